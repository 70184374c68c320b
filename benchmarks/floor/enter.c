/* The floor of a block: the same calls in C.  enter KINDS ROUNDS: nanoseconds for one there and back into a held
   namespace of each kind, opening /proc/thread-self/ns/KIND, going, coming back and closing.  KINDS: "net" or "five".
   enter unshare ROUNDS: a new net namespace with lo up, and back. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *five[] = {"net", "uts", "ipc", "cgroup", "mnt"};
static const int flags[] = {CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWCGROUP, CLONE_NEWNS};

static int open_kind(const char *kind)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/thread-self/ns/%s", kind);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) { perror(path); exit(1); }
    return fd;
}

static void check(int answer, const char *what)
{
    if (answer < 0) { perror(what); exit(1); }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void loopback(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    check(ioctl(fd, SIOCGIFFLAGS, &request), "SIOCGIFFLAGS");
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    check(ioctl(fd, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int rounds = atoi(argv[2]), kinds = strcmp(argv[1], "five") ? 1 : 5;
    if (!strcmp(argv[1], "unshare")) {
        double start = now();
        for (int i = 0; i < rounds; i++) {
            int home = open_kind("net");
            check(unshare(CLONE_NEWNET), "unshare");
            loopback();
            check(setns(home, CLONE_NEWNET), "setns");
            close(home);
        }
        printf("%.0f\n", (now() - start) / rounds);
        return 0;
    }
    int there[5], home[5];
    int back[5];
    for (int k = 0; k < kinds; k++)
        back[k] = open_kind(five[k]);
    for (int k = 0; k < kinds; k++)
        check(unshare(flags[k]), "unshare");
    for (int k = 0; k < kinds; k++)
        there[k] = open_kind(five[k]);
    int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)cwd;
    for (int k = 0; k < kinds; k++)
        check(setns(back[k], flags[k]), "setns");
    /* Held open they would make the opens below a third cheaper than a program ever sees. */
    for (int k = 0; k < kinds; k++)
        close(back[k]);
    double start = now();
    for (int i = 0; i < rounds; i++) {
        int here = -1, root = -1;
        for (int k = 0; k < kinds; k++)
            home[k] = open_kind(five[k]);
        if (kinds == 5) {
            here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
            root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        for (int k = 0; k < kinds; k++)
            check(setns(there[k], flags[k]), "setns");
        for (int k = kinds - 1; k >= 0; k--)
            check(setns(home[k], flags[k]), "setns back");
        if (kinds == 5) {
            check(fchdir(root), "fchdir");
            check(chroot("."), "chroot");
            check(fchdir(here), "fchdir");
            close(here);
            close(root);
        }
        for (int k = 0; k < kinds; k++)
            close(home[k]);
    }
    printf("%.0f\n", (now() - start) / rounds);
    return 0;
}
