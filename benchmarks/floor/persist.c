/* persist DIRECTORY COUNT: nanoseconds for making a net namespace, keeping it by a bind mount, and removing it again. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void check(int answer, const char *what)
{
    if (answer < 0) { perror(what); exit(1); }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int count = atoi(argv[2]), home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    char path[256];
    double start = now();
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/c%d", argv[1], i);
        int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        check(fd, path);
        close(fd);
        check(unshare(CLONE_NEWNET), "unshare");
        check(mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL), "mount");
        check(setns(home, CLONE_NEWNET), "setns");
    }
    double made = now();
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/c%d", argv[1], i);
        check(umount2(path, MNT_DETACH), "umount");
        check(unlink(path), "unlink");
    }
    printf("%.0f %.0f\n", (made - start) / count, (now() - made) / count);
    return 0;
}
