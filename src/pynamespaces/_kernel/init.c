/* A tiny init: PID 1 of a new pid namespace.

   The extension module is its own executable: its ELF entry point is pn_start, below.
   What runs from there has no C library, no relocations and no thread-local storage, only
   raw system calls and its stack: about 16 kB resident, and nothing of the parent's memory.

   Descriptor 3 is the pidfd of the process for which it works.  It reaps every orphan, and
   when that process ends it ends too, and the kernel kills everything in the namespace.
   INIT_KEEP, sent from outside the namespace only, makes it stay. */
#include "clone.h"
#include "kernel.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

/* No stack protector (it reads TLS) and no sanitizer in what runs without a C library. */
#if defined(__clang__)
#define FREESTANDING __attribute__((no_sanitize("address", "undefined"), no_stack_protector))
#else
#define FREESTANDING __attribute__((no_sanitize("address", "undefined"), optimize("no-stack-protector", \
                     "no-tree-loop-distribute-patterns", "O2"), noinline))
#endif

enum { PARENT_FD = 3, IMAGE_FD = 4, SIGSET_BYTES = 8 };

FREESTANDING static void reap(void)
{
    while (sys4(__NR_wait4, -1, 0, WNOHANG | __WALL, 0) > 0)
        ;
}

__attribute__((used, visibility("hidden"))) FREESTANDING void pn_init_main(long *stack)
{
    uint64_t all = ~0ULL;
    int parent = PARENT_FD;
    (void)stack;

    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, 0, SIGSET_BYTES);
    int signals = sys4(__NR_signalfd4, -1, &all, SIGSET_BYTES, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        sys1(__NR_exit_group, 1);
    for (;;) {
        struct pollfd waits[2];
        waits[0].fd = signals;
        waits[0].events = POLLIN;
        waits[1].fd = parent;
        waits[1].events = POLLIN;
        long ready = sys5(__NR_ppoll, waits, 2, 0, 0, 0);
        if (ready < 0 && ready != -EINTR)
            sys1(__NR_exit_group, 1);
        /* ssi_pid is 0 for a sender outside: nobody inside can make us stay. */
        struct signalfd_siginfo info;
        while (sys3(__NR_read, signals, &info, sizeof info) == sizeof info)
            if (info.ssi_signo == SIGUSR1 && info.ssi_pid == 0 && parent >= 0) {
                sys1(__NR_close, parent);
                parent = -1;
                waits[1].revents = 0;
            }
        reap();
        if (parent >= 0 && waits[1].revents)
            sys1(__NR_exit_group, 0);
    }
}

#if defined(__x86_64__)
__asm__(".text\n.globl pn_start\n.hidden pn_start\n.type pn_start, @function\n"
        "pn_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall pn_init_main\n\thlt\n"
        ".size pn_start, .-pn_start\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl pn_start\n.hidden pn_start\n.type pn_start, %function\n"
        "pn_start:\n\tmov x29, xzr\n\tmov x30, xzr\n\tmov x0, sp\n\tbl pn_init_main\n\tbrk 0\n"
        ".size pn_start, .-pn_start\n");
#elif defined(__riscv)
__asm__(".text\n.globl pn_start\n.hidden pn_start\n.type pn_start, @function\n"
        "pn_start:\n\tmv s0, zero\n\tmv a0, sp\n\tjal ra, pn_init_main\n\tebreak\n"
        ".size pn_start, .-pn_start\n");
#endif

struct spawn {
    int image, parent, error;
    struct pn_clone_args args;
};

/* In the child, on its own stack, in our memory: the caller is suspended (CLONE_VFORK). */
static int become_init(void *data)
{
    struct spawn *spawn = data;
    static char *const argv[] = {(char *)"pynamespaces-init", 0};
    static char *const envp[] = {0};

    /* Move both out of the way of 3 and 4 first. */
    long parent = sys3(__NR_fcntl, spawn->parent, F_DUPFD, 5);
    long image = sys3(__NR_fcntl, spawn->image, F_DUPFD_CLOEXEC, 5);
    if (parent < 0 || image < 0) {
        spawn->error = parent < 0 ? parent : image;
        return 1;
    }
    sys3(__NR_dup3, parent, PARENT_FD, 0);
    sys3(__NR_dup3, image, IMAGE_FD, O_CLOEXEC);
    for (int fd = 0; fd < PARENT_FD; fd++)
        sys1(__NR_close, fd);
    if (sys3(__NR_close_range, IMAGE_FD + 1, ~0U, 0) < 0)
        for (int fd = IMAGE_FD + 1; fd < 65536; fd++)
            sys1(__NR_close, fd);
    sys1(__NR_chdir, "/");
    sys0(__NR_setsid);
    spawn->error = sys5(__NR_execveat, IMAGE_FD, "", argv, envp, AT_EMPTY_PATH);
    return 1;
}

/* A child in the pid namespace that our children go to: only from there can a namespace
   below it be made.  It shares our descriptors, so that the pidfd arrives here, and its
   child is ours (CLONE_PARENT). */
static int spawn_below(void *data)
{
    struct spawn *spawn = data;
    long child = clone_and_run(&spawn->args, become_init, spawn);
    if (child < 0)
        spawn->error = child;
    return 0;
}

/* PID 1: of a new pid namespace with kinds = CLONE_NEWPID, below the one that this thread's
   children go to if `below`; or with kinds = 0 of the one they go to, which has none yet.
   0, or -errno with nothing left over; *pidfd holds the init. */
int pn_init_spawn(int image, int kinds, int below, int *pidfd)
{
    _Alignas(16) char stack[8192], outer[8192];
    struct spawn spawn = {.image = image};
    uint64_t all = ~0ULL, mask = 0;
    int held = -1;

    spawn.parent = sys2(__NR_pidfd_open, sys0(__NR_getpid), 0);
    if (spawn.parent < 0)
        return spawn.parent;
    spawn.args = (struct pn_clone_args){
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | (unsigned)kinds,
        .pidfd = (uintptr_t)&held,
        .exit_signal = below ? 0 : SIGCHLD,
        .stack = (uintptr_t)stack,
        .stack_size = sizeof stack,
    };
    struct pn_clone_args helper = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_FILES,
        .exit_signal = 0,
        .stack = (uintptr_t)outer,
        .stack_size = sizeof outer,
    };
    if (below)
        spawn.args.flags |= CLONE_PARENT;

    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, &mask, SIGSET_BYTES);
    long child = below ? clone_and_run(&helper, spawn_below, &spawn)
                       : clone_and_run(&spawn.args, become_init, &spawn);
    if (below && child > 0)
        sys4(__NR_wait4, child, 0, __WALL, 0);
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, 0, SIGSET_BYTES);
    sys1(__NR_close, spawn.parent);
    if (child < 0)
        return child;
    if (spawn.error < 0) {
        if (held >= 0) {
            siginfo_t info;
            sys5(__NR_waitid, 3 /* P_PIDFD */, held, &info, WEXITED | __WALL, 0);
            sys1(__NR_close, held);
        }
        return spawn.error;
    }
    *pidfd = held;
    return 0;
}
