/* The floor of mounts: the same calls in C.  mounts block ROUNDS: nanoseconds for one new mnt namespace with a tmpfs on
   /mnt, and back: to the namespace, the root and the cwd from before.  mounts root ROUNDS: the same with a new root, an
   empty tmpfs with /usr bound read-only and a /tmp. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PRIVATE = 1 << 18, REC = 1 << 14, RECURSIVE = 0x8000, DETACH = 2 };

static int check(long answer, const char *what)
{
    if (answer < 0) { perror(what); exit(1); }
    return answer;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int new_tmpfs(void)
{
    int context = check(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), "fsopen");
    check(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", "tmpfs", 0), "source");
    check(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0), "create");
    int tree = check(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0), "fsmount");
    close(context);
    return tree;
}

static void attach(int tree, const char *path)
{
    int target = check(open(path, O_PATH | O_CLOEXEC), path);
    check(syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH), path);
    close(target);
    close(tree);
}

static void new_root(void)
{
    int root = new_tmpfs();
    check(syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH), "root");
    check(fchdir(root), "fchdir");
    close(root);
    int usr = check(syscall(SYS_open_tree, AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | RECURSIVE), "usr");
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    check(syscall(SYS_mount_setattr, usr, "", AT_EMPTY_PATH | RECURSIVE, &read_only, sizeof read_only), "setattr");
    check(mkdir("usr", 0755), "usr");
    attach(usr, "usr");
    check(mkdir("tmp", 0755), "tmp");
    attach(new_tmpfs(), "tmp");
    check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(syscall(SYS_umount2, ".", DETACH), "umount");
    check(chdir("/"), "chdir");
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int rounds = atoi(argv[2]), root_too = !strcmp(argv[1], "root");
    double start = now();
    for (int i = 0; i < rounds; i++) {
        int home = check(open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC), "ns");
        int root = check(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "/");
        int cwd = check(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), ".");
        check(unshare(CLONE_NEWNS), "unshare");
        check(syscall(SYS_mount, 0, "/", 0, REC | PRIVATE, 0), "private");
        int inside = -1;
        if (!root_too) {
            attach(new_tmpfs(), "/mnt");
            inside = check(open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC), "ns");
        } else
            new_root();
        check(setns(home, CLONE_NEWNS), "setns");
        check(fchdir(root), "fchdir");
        check(chroot("."), "chroot");
        check(fchdir(cwd), "fchdir");
        close(inside);
        close(home);
        close(root);
        close(cwd);
    }
    printf("%.0f\n", (now() - start) / rounds);
    return 0;
}
