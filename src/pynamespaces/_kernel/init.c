/* A tiny init: PID 1 of a new pid namespace; and a tiny keeper of namespaces, where no bind mount can keep them.

   The extension module is its own executable: its ELF entry point is pn_start, below.
   What runs from there has no C library, no relocations and no thread-local storage, only
   raw system calls and its stack: about 16 kB resident, and nothing of the parent's memory.

   Descriptor 3 is the pidfd of the process for which it works.  It reaps every orphan, and
   when that process ends, or sends PN_INIT_END, it ends too, and the kernel kills everything
   in the namespace; but not while it has been asked to stay (PN_INIT_KEEP) more often than
   released.  Only signals from outside the namespace count; they are real-time ones, queued.

   The keeper has a listening socket at 3 and the namespaces it keeps from 4 on.  Who connects
   and sends 'o' is sent them all (SCM_RIGHTS); 'q' ends it; nobody but its own user and root
   is answered. */
#include "clone.h"
#include "kernel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

enum { PARENT_FD = 3, IMAGE_FD = 4, LISTEN_FD = 3, KEPT_FD = 4, SIGSET_BYTES = 8 };

FREESTANDING static void reap(void)
{
    while (sys4(__NR_wait4, -1, 0, WNOHANG | __WALL, 0) > 0)
        ;
}

FREESTANDING static void run_init(void)
{
    uint64_t all = ~0ULL;
    int parent = PARENT_FD, done = 0, kept = 0;

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
        waits[1].revents = 0;
        long ready = sys5(__NR_ppoll, waits, 2, 0, 0, 0);
        if (ready < 0 && ready != -EINTR)
            sys1(__NR_exit_group, 1);
        struct signalfd_siginfo info;
        while (sys3(__NR_read, signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_pid != 0) /* somebody inside */
                continue;
            if (info.ssi_signo == PN_INIT_KEEP && kept++ == 0)
                sys2(__NR_prctl, PR_SET_NAME, "namespaces-kept");
            if (info.ssi_signo == PN_INIT_RELEASE && kept > 0 && --kept == 0)
                sys2(__NR_prctl, PR_SET_NAME, "namespaces-init");
            if (info.ssi_signo == PN_INIT_END)
                done = 1;
        }
        reap();
        if (ready > 0 && waits[1].revents) {
            sys1(__NR_close, parent);
            parent = -1;
            done = 1;
        }
        if (done && !kept)
            sys1(__NR_exit_group, 0);
    }
}

/* One client: 1 when it asked us to end. */
FREESTANDING static int answer_client(int client, int kept, unsigned self)
{
    struct timeval patience;
    struct { unsigned pid, uid, gid; } peer;
    unsigned size = sizeof peer;
    char word = 0;

    patience.tv_sec = 1;
    patience.tv_usec = 0;
    sys5(__NR_setsockopt, client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (sys5(__NR_getsockopt, client, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return 0;
    if (peer.uid != self && peer.uid != 0)
        return 0;
    if (sys3(__NR_read, client, &word, 1) != 1)
        return 0;
    if (word == 'q')
        return 1;

    struct iovec part;
    struct msghdr message;
    union { struct cmsghdr header; char space[CMSG_SPACE(8 * sizeof(int))]; } control;
    part.iov_base = &word;
    part.iov_len = 1;
    message.msg_name = 0;
    message.msg_namelen = 0;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(kept * sizeof(int));
    message.msg_flags = 0;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(kept * sizeof(int));
    for (int i = 0; i < kept; i++)
        ((volatile int *)CMSG_DATA(&control.header))[i] = KEPT_FD + i;
    sys3(__NR_sendmsg, client, &message, MSG_NOSIGNAL);
    return 0;
}

FREESTANDING static void run_keeper(int kept)
{
    unsigned self = sys0(__NR_geteuid);
    struct timespec moment = {0, 10000000};
    uint64_t all = ~(1ULL << (SIGTERM - 1)); /* whoever stops the machine may stop us */

    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, 0, SIGSET_BYTES);
    for (;;) {
        long client = sys4(__NR_accept4, LISTEN_FD, 0, 0, SOCK_CLOEXEC);
        if (client == -EINTR || client == -ECONNABORTED)
            continue;
        if (client == -EMFILE || client == -ENFILE || client == -ENOMEM || client == -ENOBUFS) {
            sys5(__NR_ppoll, 0, 0, &moment, 0, 0); /* what we hold must not end with a shortage */
            continue;
        }
        if (client < 0)
            sys1(__NR_exit_group, 1);
        if (answer_client(client, kept, self))
            sys1(__NR_exit_group, 0);
        sys1(__NR_close, client);
    }
}

/* The watcher: when the process at 3 ends before the one at 4, it kills that one. */
FREESTANDING static void run_watcher(void)
{
    uint64_t all = ~(1ULL << (SIGTERM - 1)); /* whoever stops the machine may stop us */

    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, 0, SIGSET_BYTES);
    for (;;) {
        struct pollfd waits[2];
        for (int i = 0; i < 2; i++) {
            waits[i].fd = 3 + i;
            waits[i].events = POLLIN;
            waits[i].revents = 0;
        }
        if (sys5(__NR_ppoll, waits, 2, 0, 0, 0) < 0)
            continue;
        if (!waits[1].revents)
            sys4(__NR_pidfd_send_signal, 4, SIGKILL, 0, 0);
        sys1(__NR_exit_group, 0);
    }
}

/* stack: argc, argv[0] …; the keeper has one argument for each namespace. */
__attribute__((used, visibility("hidden"))) FREESTANDING void pn_init_main(long *stack)
{
    if (stack[0] > 1 && ((char **)stack)[2][0] == 'w')
        run_watcher();
    if (stack[0] > 1 && ((char **)stack)[2][0] == 'r')
        pn_run_relay();
    if (stack[0] > 1)
        run_keeper(stack[0] - 1);
    sys2(__NR_prctl, PR_SET_NAME, "namespaces-init");
    run_init();
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

struct nested_spawn {
    struct pn_spawn spawn;
    struct pn_clone_args args;
};

/* In the child, on its own stack, in our memory: the caller is suspended (CLONE_VFORK). */
int pn_become_init(void *data)
{
    struct pn_spawn *spawn = data;
    static char *const argv[] = {(char *)"pynamespaces-init", 0};
    static char *const envp[] = {0};

    /* Move both out of the way of 3 and 4 first. */
    long parent = sys3(__NR_fcntl, spawn->parent, F_DUPFD, 5);
    long image = sys3(__NR_fcntl, spawn->image, F_DUPFD_CLOEXEC, 5);
    if (parent < 0 || image < 0) {
        spawn->error = parent < 0 ? parent : image;
        return 1;
    }
    spawn->error = sys3(__NR_dup3, parent, PARENT_FD, 0);
    if (spawn->error >= 0)
        spawn->error = sys3(__NR_dup3, image, IMAGE_FD, O_CLOEXEC);
    if (spawn->error < 0)
        return 1;
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
    struct nested_spawn *nested = data;
    long child = clone_and_run(&nested->args, pn_become_init, &nested->spawn);
    if (child < 0)
        nested->spawn.error = child;
    return 0;
}

/* PID 1: of a new pid namespace with kinds = CLONE_NEWPID, below the one that this thread's
   children go to if `below`; or with kinds = 0 of the one they go to, which has none yet.
   0, or -errno with nothing left over; *pidfd holds the init. */
int pn_init_spawn(int image, int kinds, int below, int *pidfd)
{
    _Alignas(16) char stack[8192], outer[8192];
    struct nested_spawn nested = {.spawn = {.image = image}};
    uint64_t all = ~0ULL, mask = 0;
    int held = -1;

    nested.spawn.parent = sys2(__NR_pidfd_open, sys0(__NR_getpid), 0);
    if (nested.spawn.parent < 0)
        return nested.spawn.parent;
    nested.args = (struct pn_clone_args){
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
        nested.args.flags |= CLONE_PARENT;

    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, &mask, SIGSET_BYTES);
    long child = below ? clone_and_run(&helper, spawn_below, &nested)
                       : clone_and_run(&nested.args, pn_become_init, &nested.spawn);
    if (below && child > 0)
        await_child(child);
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, 0, SIGSET_BYTES);
    sys1(__NR_close, nested.spawn.parent);
    if (child < 0)
        return child;
    if (nested.spawn.error < 0) {
        if (held >= 0) {
            siginfo_t info;
            while (sys5(__NR_waitid, 3 /* P_PIDFD */, held, &info, WEXITED | __WALL, 0) == -EINTR)
                ;
            sys1(__NR_close, held);
        }
        return nested.spawn.error;
    }
    *pidfd = held;
    return 0;
}

struct keep {
    int image, error;
    const int *fds; /* the socket, then what to keep; or the two processes of a watcher */
    int count;
    const char *word;
    struct pn_clone_args args;
};

static int become_keeper(void *data)
{
    struct keep *keep = data;
    static char *const envp[] = {0};
    char *argv[10] = {(char *)"pynamespaces-keeper"};
    int moved[9];
    int image_fd = LISTEN_FD + keep->count;

    for (int i = 1; i < keep->count; i++)
        argv[i] = (char *)keep->word;
    /* All out of the way of the numbers that they are to have. */
    long image = sys3(__NR_fcntl, keep->image, F_DUPFD_CLOEXEC, 32);
    keep->error = image < 0 ? image : 0;
    for (int i = 0; i < keep->count && keep->error >= 0; i++) {
        moved[i] = sys3(__NR_fcntl, keep->fds[i], F_DUPFD_CLOEXEC, 32);
        keep->error = moved[i] < 0 ? moved[i] : 0;
    }
    if (keep->error < 0)
        return 1;
    for (int i = 0; i < keep->count && keep->error >= 0; i++)
        keep->error = sys3(__NR_dup3, moved[i], LISTEN_FD + i, 0);
    if (keep->error >= 0)
        keep->error = sys3(__NR_dup3, image, image_fd, O_CLOEXEC);
    if (keep->error < 0)
        return 1;
    for (int fd = 0; fd < LISTEN_FD; fd++)
        sys1(__NR_close, fd);
    if (sys3(__NR_close_range, image_fd + 1, ~0U, 0) < 0)
        for (int fd = image_fd + 1; fd < 65536; fd++)
            sys1(__NR_close, fd);
    sys1(__NR_chdir, "/");
    sys0(__NR_setsid);
    keep->error = sys5(__NR_execveat, image_fd, "", argv, envp, AT_EMPTY_PATH);
    return 1;
}

/* The middle one ends at once, so that the keeper is nobody's child and no zombie of ours. */
static int spawn_keeper(void *data)
{
    struct keep *keep = data;
    long child = clone_and_run(&keep->args, become_keeper, keep);
    if (child < 0)
        keep->error = child;
    return 0;
}

/* Run the image as a process that is nobody's child, with these descriptors from 3 on and
   `word` as each of count - 1 arguments. */
int pn_spawn_apart(int image, const int *fds, int count, const char *word)
{
    _Alignas(16) char stack[8192], outer[8192];
    uint64_t all = ~0ULL, mask = 0;

    struct keep keep = {.image = image, .fds = fds, .count = count, .word = word};
    keep.args = (struct pn_clone_args){
        .flags = CLONE_VM | CLONE_VFORK | CLONE_CLEAR_SIGHAND,
        .stack = (uintptr_t)stack,
        .stack_size = sizeof stack,
    };
    struct pn_clone_args helper = {
        .flags = CLONE_VM | CLONE_VFORK,
        .stack = (uintptr_t)outer,
        .stack_size = sizeof outer,
    };
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, &mask, SIGSET_BYTES);
    long child = clone_and_run(&helper, spawn_keeper, &keep);
    if (child > 0)
        await_child(child);
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, 0, SIGSET_BYTES);
    return child < 0 ? child : keep.error;
}

/* A process that holds fds[1…] and gives them to who asks on the listening fds[0]. */
int pn_keeper_spawn(int image, const char *fds, int count)
{
    int copied[9];

    if (count < 2 || count > 9)
        return -EINVAL;
    __builtin_memcpy(copied, fds, count * sizeof(int));
    return pn_spawn_apart(image, copied, count, "ns");
}
