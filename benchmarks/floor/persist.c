/* persist WAY DIRECTORY COUNT: nanoseconds for making a net namespace, keeping it, and removing it again.
   WAY "bind": one bind mount on a file.  WAY "tree": the library's calls: under a lock, a tmpfs furnished while it is
   mounted nowhere and attached whole by one move_mount. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int check(int answer, const char *what)
{
    if (answer < 0) { perror(what); exit(1); }
    return answer;
}

static void touch(int directory, const char *path)
{
    close(check(openat(directory, path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444), path));
}

static void tree(int namespace, const char *path)
{
    check(mkdir(path, 0755), path);
    int context = check(syscall(430 /* fsopen */, "tmpfs", 1), "fsopen");
    check(syscall(431 /* fsconfig */, context, 1, "mode", "0755", 0), "fsconfig");
    check(syscall(431, context, 1, "size", "64k", 0), "fsconfig");
    check(syscall(431, context, 6, NULL, NULL, 0), "fsconfig");
    int mounted = check(syscall(432 /* fsmount */, context, 1, 0), "fsmount");
    close(context);
    touch(mounted, "net");
    int clone = check(syscall(428 /* open_tree */, namespace, "", 1 | O_CLOEXEC | AT_EMPTY_PATH), "open_tree");
    check(syscall(429 /* move_mount */, clone, "", mounted, "net", 4), "move_mount");
    close(clone);
    check(syscall(429, mounted, "", AT_FDCWD, path, 4), "move_mount");
    close(mounted);
}

static int locked(const char *store)
{
    int lock = check(open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC), store);
    check(flock(lock, LOCK_EX), "flock");
    return lock;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int as_tree = !strcmp(argv[1], "tree"), count = atoi(argv[3]);
    char path[256];
    double start = now();
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/c%d", argv[2], i);
        int home = check(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "home");
        check(unshare(CLONE_NEWNET), "unshare");
        int new = check(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "new");
        if (as_tree) {
            int lock = locked(argv[2]);
            tree(new, path);
            close(lock);
        } else {
            touch(AT_FDCWD, path);
            check(mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL), "mount");
        }
        check(setns(home, CLONE_NEWNET), "setns");
        close(new);
        close(home);
    }
    double made = now();
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/c%d", argv[2], i);
        int lock = as_tree ? locked(argv[2]) : -1;
        check(umount2(path, MNT_DETACH), "umount");
        check(as_tree ? rmdir(path) : unlink(path), "remove");
        if (lock >= 0)
            close(lock);
    }
    printf("%.0f %.0f\n", (made - start) / count, (now() - made) / count);
    return 0;
}
