/* The one interpreter of steps.  Async-signal-safe: raw system calls and the stack only. */
#include "clone.h"
#include "kernel.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <linux/capability.h>

#ifndef MS_PRIVATE
#define MS_PRIVATE (1 << 18)
#endif

static long write_file(const char *path, const char *text)
{
    int fd = sys4(__NR_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    long answer = sys3(__NR_write, fd, text, length(text));
    sys1(__NR_close, fd);
    return answer;
}

/* mount(2) changes the propagation of mounts, so its target must be one.  In a chroot "/"
   is not: then go to the namespace's own root for it, and come back by descriptors. */
static long propagate(const char *path, unsigned long flags)
{
    long answer = sys5(__NR_mount, 0, path, 0, flags, 0);
    if (answer != -EINVAL)
        return answer;
    long root = sys4(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (root < 0)
        return root;
    long cwd = sys4(__NR_openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (cwd < 0) {
        sys1(__NR_close, root);
        return cwd;
    }
    long self = pn_current(CLONE_NEWNS, 1);
    answer = self < 0 ? self : sys2(__NR_setns, self, CLONE_NEWNS);
    if (answer >= 0) {
        answer = sys5(__NR_mount, 0, path, 0, flags, 0);
        long back = sys1(__NR_fchdir, root);
        if (back >= 0)
            back = sys1(__NR_chroot, ".");
        if (back >= 0)
            back = sys1(__NR_fchdir, cwd);
        if (answer >= 0)
            answer = back;
    }
    if (self >= 0)
        sys1(__NR_close, self);
    sys1(__NR_close, cwd);
    sys1(__NR_close, root);
    return answer;
}

enum { OVERFLOW_ID = 65534 };

static long set_ids(unsigned uid, unsigned gid)
{
    long answer = 0;

    if (sys0(__NR_getegid) == OVERFLOW_ID) {
        sys2(__NR_setgroups, 0, 0); /* refused where setgroups is denied: then there is nothing to drop */
        answer = sys3(__NR_setresgid, gid, gid, gid);
    }
    if (answer >= 0 && sys0(__NR_geteuid) == OVERFLOW_ID)
        answer = sys3(__NR_setresuid, uid, uid, uid);
    return answer;
}

/* Inheritable capabilities are always cleared: they would come back with the next program. */
static long capabilities(uint64_t keep, int set)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    long answer = sys2(__NR_capget, &header, data);

    if (answer < 0)
        return answer;
    if (set)
        for (int capability = 0; capability < 64; capability++) {
            long held = sys5(__NR_prctl, PR_CAPBSET_READ, capability, 0, 0, 0);
            if (held < 0)
                break;
            if (held && !(keep >> capability & 1) &&
                (answer = sys5(__NR_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0)) < 0)
                return answer;
        }
    for (int half = 0; half < 2; half++) {
        uint32_t wanted = keep >> (32 * half);
        if (set) {
            data[half].permitted &= wanted;
            data[half].effective = data[half].permitted;
        }
        data[half].inheritable = set ? data[half].permitted : 0;
    }
    if ((answer = sys2(__NR_capset, &header, data)) < 0 || !set)
        return answer;
    sys5(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int capability = 0; capability < 64; capability++)
        if (data[capability / 32].permitted >> (capability % 32) & 1)
            if ((answer = sys5(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)) < 0)
                return answer;
    return 0;
}

/* >= 0, or -errno.  Steps that an executor does in its own way are nothing here. */
int pn_do_step(const struct pn_step *step, char *log)
{
    switch (step->op) {
    case PN_STEP_JOIN:
        return sys2(__NR_setns, step->fd, step->flags);
    case PN_STEP_UNSHARE:
        return sys1(__NR_unshare, step->flags);
    case PN_STEP_CLOCKS: {
        long answer = write_file("/proc/thread-self/timens_offsets", step->a);
        /* /proc may be another pid namespace's: then there is no thread-self in it. */
        return answer == -ENOENT ? write_file("/proc/self/timens_offsets", step->a) : answer;
    }
    case PN_STEP_HOSTNAME:
        return sys2(__NR_sethostname, step->a, length(step->a));
    case PN_STEP_DOMAINNAME:
        return sys2(__NR_setdomainname, step->a, length(step->a));
    case PN_STEP_LOOPBACK:
        return pn_loopback_up();
    case PN_STEP_PROPAGATE:
        return propagate(step->a, step->flags);
    case PN_STEP_FS:
    case PN_STEP_DEVICES:
    case PN_STEP_BIND:
    case PN_STEP_OVERLAY:
    case PN_STEP_FILE:
    case PN_STEP_MASK:
    case PN_STEP_MKDIR:
    case PN_STEP_SYMLINK:
    case PN_STEP_PIVOT:
        return pn_mount_step(step, log);
    case PN_STEP_SET_IDS:
        return set_ids(step->fd, step->fd2);
    case PN_STEP_CAPABILITIES:
        return capabilities(step->flags, step->fd == 1);
    case PN_STEP_NO_NEW_PRIVS:
        return sys5(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    case PN_STEP_ADDRESS: {
        long answer = pn_add_address(step->a, step->fd, step->fd2, step->b);
        return step->flags & PN_IF_ALLOWED && answer < 0 ? 0 : answer;
    }
    case PN_STEP_WRITE: {
        long answer = write_file(step->a, step->b);
        return step->flags & PN_IF_ALLOWED && answer < 0 ? 0 : answer;
    }
    case PN_STEP_RLIMIT: {
        uint64_t limits[2] = {step->flags, 0};
        __builtin_memcpy(&limits[1], step->a, sizeof limits[1]);
        return sys4(__NR_prlimit64, 0, step->fd, limits, 0);
    }
    }
    return 0;
}

/* The same, from plain arguments: what the thread executor calls. */
int pn_step(int op, int fd, int fd2, unsigned long long flags, const char *a, const char *b, const char *c,
            const char *d, int *log)
{
    struct pn_step step = {op, fd, fd2, flags, a, b, c, d};
    return pn_do_step(&step, (char *)log);
}

struct errand { struct pn_step step; char *log; int answer; };

static int run_errand(void *data)
{
    struct errand *errand = data;
    errand->answer = pn_do_step(&errand->step, errand->log);
    return 0;
}

/* The same, done by a child that shares everything with this thread but its pid namespace:
   a proc mount shows the pid namespace of the process that mounts it. */
int pn_step_in_child(int op, int fd, int fd2, unsigned long long flags, const char *a, const char *b,
                     const char *c, const char *d, int *log)
{
    _Alignas(16) char stack[32768];
    struct errand errand = {{op, fd, fd2, flags, a, b, c, d}, (char *)log, -ECHILD};
    struct pn_clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS,
        .stack = (uintptr_t)stack,
        .stack_size = sizeof stack,
    };
    uint64_t all = ~0ULL, mask = 0;

    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof mask);
    long child = clone_and_run(&args, run_errand, &errand);
    if (child > 0)
        await_child(child);
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof mask);
    return child < 0 ? child : errand.answer;
}
