/* An errand: a child that shares our memory and our descriptors goes to other namespaces by
   the steps of a plan, makes a descriptor there, and ends.  The descriptor is here then, close
   on exec from birth, and this thread has been nowhere: whatever other threads there are, and
   whoever owns those namespaces.  Async-signal-safe: raw system calls and the stack only. */
#include "clone.h"
#include "kernel.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <linux/if.h>
#include <linux/if_tun.h>

/* In the order of the table in calls.c. */
static const int kinds[] = {CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWCGROUP, CLONE_NEWNS, CLONE_NEWUSER};

static long hold(struct pn_errand *errand)
{
    int n = 0;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!(errand->arguments[0] & kinds[i]))
            continue;
        long fd = pn_current(kinds[i], 1);
        if (fd < 0) {
            while (n > 0)
                sys1(__NR_close, errand->fds[--n]);
            return fd;
        }
        errand->fds[n++] = fd;
    }
    return n;
}

static long open_tap(const char *name, int flags)
{
    struct ifreq request = {0};
    long fd = sys4(__NR_openat, AT_FDCWD, "/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);

    if (fd < 0)
        return fd;
    for (int i = 0; i < IFNAMSIZ - 1 && name[i]; i++)
        request.ifr_name[i] = name[i];
    request.ifr_flags = flags;
    long answer = sys3(__NR_ioctl, fd, TUNSETIFF, &request);
    if (answer >= 0)
        return fd;
    sys1(__NR_close, fd);
    return answer;
}

static long last(struct pn_errand *errand)
{
    const int *given = errand->arguments;

    switch (errand->op) {
    case PN_ERRAND_HOLD:
        return hold(errand);
    case PN_ERRAND_SOCKET:
        return sys3(__NR_socket, given[0], given[1] | SOCK_CLOEXEC, given[2]);
    case PN_ERRAND_OPEN:
        return sys4(__NR_openat, AT_FDCWD, errand->path, given[0] | O_CLOEXEC, given[1]);
    case PN_ERRAND_TAP:
        return open_tap(errand->path, given[0]);
    }
    return 0;
}

static int run(void *data)
{
    struct pn_errand *errand = data;

    for (errand->failed = 0; errand->failed < errand->count; errand->failed++) {
        errand->answer = pn_do_step(&errand->steps[errand->failed], errand->log);
        if (errand->answer < 0)
            return 1;
    }
    errand->answer = last(errand);
    return 0;
}

/* The answer of the last call, or the -errno of what `failed` names: a step, or with `count`
   the last call.  How many of fds are open, with PN_ERRAND_HOLD. */
int pn_errand(struct pn_errand *errand)
{
    _Alignas(16) char stack[32768];
    struct pn_clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_FILES,
        .stack = (uintptr_t)stack,
        .stack_size = sizeof stack,
    };
    uint64_t all = ~0ULL, mask = 0;

    errand->failed = errand->count;
    errand->answer = -ECHILD;
    errand->log[0] = 0;
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof mask);
    long child = clone_and_run(&args, run, errand);
    if (child > 0)
        sys4(__NR_wait4, child, 0, __WALL, 0);
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof mask);
    return child < 0 ? child : errand->answer;
}
