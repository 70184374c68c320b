/* pair ROUNDS ASKED ANSWERED: nanoseconds for a question of so many bytes and its answer, between two processes pinned to
   two different processors, over the socket that an executor and its worker use. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char buffer[65536];

static void pin(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set, &set);
}

/* As the library does: the length first, then the rest. */
static int receive(int fd, size_t size)
{
    return recv(fd, buffer, 8, MSG_WAITALL) == 8 && recv(fd, buffer, size, MSG_WAITALL) == (ssize_t)size;
}

int main(int argc, char **argv)
{
    int pair[2];

    if (argc < 4 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 2;
    int rounds = atoi(argv[1]);
    size_t asked = atoi(argv[2]), answered = atoi(argv[3]);
    if (fork() == 0) {
        close(pair[0]);
        pin(1);
        while (receive(pair[1], asked))
            if (send(pair[1], buffer, 8 + answered, 0) < 0)
                break;
        _exit(0);
    }
    close(pair[1]);
    pin(0);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < rounds; i++)
        if (send(pair[0], buffer, 8 + asked, 0) < 0 || !receive(pair[0], answered))
            return 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    close(pair[0]);
    wait(NULL);
    printf("%.0f\n", ((end.tv_sec - start.tv_sec) * 1e9 + end.tv_nsec - start.tv_nsec) / rounds);
    return 0;
}
