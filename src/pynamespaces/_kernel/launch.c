/* A command in namespaces: clone3, the plan's steps, exec.

   The child shares our memory, runs on a stack of the caller's and only makes raw system
   calls: nothing is copied, however large this process is, and other threads are no
   obstacle.  It never touches errno or any other thread-local storage, which it shares with
   the thread that launches it.  What failed is told by the shared struct, and that it has
   exec'ed or ended by the word that the kernel clears (CLONE_CHILD_CLEARTID): no pipe. */
#include "clone.h"
#include "kernel.h"

#include <limits.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SIGSET_BYTES = 8, KERNEL_SIGNALS = 64 };

static void futex_wait(int *word, int value)
{
    sys4(__NR_futex, word, FUTEX_WAIT, value, 0);
}

static void futex_wake(int *word) { sys3(__NR_futex, word, FUTEX_WAKE, INT_MAX); }

static int fail(struct pn_launch *launch, int where, long error)
{
    launch->failed = where;
    launch->error = error;
    return 127;
}

static int run_steps(struct pn_launch *launch, const struct pn_step *steps, int count, int first)
{
    for (int i = 0; i < count; i++) {
        long answer = pn_do_step(&steps[i], launch->log);
        if (answer < 0)
            return fail(launch, first + i, answer);
    }
    return 0;
}

/* Wait for the parent to have written the id maps; -1 if it gave up, or was killed: our
   sharing its memory keeps that alive, so nobody else would wake us. */
static int await_go(struct pn_launch *launch)
{
    __atomic_store_n(&launch->ready, 1, __ATOMIC_SEQ_CST);
    futex_wake(&launch->ready);
    while (__atomic_load_n(&launch->go, __ATOMIC_SEQ_CST) == 0) {
        struct timespec tick = {0, 50000000}, none = {0, 0};
        struct pollfd mother = {.fd = launch->mother, .events = POLLIN, .revents = 0};
        if (sys4(__NR_futex, &launch->go, FUTEX_WAIT, 0, &tick) == -ETIMEDOUT &&
            sys5(__NR_ppoll, &mother, 1, &none, 0, 0) > 0)
            return -1;
    }
    return launch->go;
}

/* 0, 1 and 2 as asked for, and inheritable.  A source among 0-2 that is to become another
   one is moved out of the way first. */
static long arrange_stdio(struct pn_launch *launch)
{
    int from[3];

    for (int i = 0; i < 3; i++) {
        from[i] = launch->stdio[i];
        if (from[i] >= 0 && from[i] < 3 && from[i] != i) {
            long moved = sys3(__NR_fcntl, from[i], F_DUPFD_CLOEXEC, 3);
            if (moved < 0)
                return moved;
            from[i] = moved;
        }
    }
    for (int i = 0; i < 3; i++) {
        long answer = 0;
        if (from[i] == i)
            answer = sys3(__NR_fcntl, i, F_SETFD, 0);
        else if (from[i] >= 0)
            answer = sys3(__NR_dup3, from[i], i, 0);
        if (answer < 0)
            return answer;
    }
    return 0;
}

static void close_others(struct pn_launch *launch)
{
    unsigned first = 3;

    for (int i = 0; i <= launch->pass_count; i++) {
        unsigned keep = i < launch->pass_count ? (unsigned)launch->pass_fds[i] : ~0U;
        if (keep < first)
            continue;
        if (keep > first && sys3(__NR_close_range, first, keep - 1, 0) < 0)
            for (unsigned fd = first; fd < keep && fd < 65536; fd++)
                sys1(__NR_close, fd);
        first = keep + 1;
    }
}

static void default_signal(int signal)
{
    struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } action = {0};
    sys4(__NR_rt_sigaction, signal, &action, 0, SIGSET_BYTES);
}

static int in_another_root(const struct pn_launch *launch)
{
    for (int i = 0; i < launch->outer_count; i++)
        if (launch->outer[i].op == PN_STEP_JOIN && launch->outer[i].flags & CLONE_NEWNS)
            return 1;
    for (int i = 0; i < launch->inner_count; i++)
        if (launch->inner[i].op == PN_STEP_PIVOT)
            return 1;
    return 0;
}

/* A cwd by way of a descriptor that is open to the old root (/proc/self/fd/7) would lead out
   of the new one: getcwd(2) begins with "(unreachable)" then. */
static int is_below_root(void)
{
    char path[PATH_MAX];
    return sys2(__NR_getcwd, path, sizeof path) > 0 && path[0] == '/';
}

/* Everything from the inner steps to exec: what subprocess does in its child, in namespaces. */
static int become_command(void *data)
{
    struct pn_launch *launch = data;
    long answer;

    if (launch->way == PN_DIRECT && launch->wait && await_go(launch) < 0)
        return 127;
    if (launch->way == PN_DIRECT &&
        run_steps(launch, launch->outer, launch->outer_count, 0) != 0)
        return 127;
    if ((answer = arrange_stdio(launch)) < 0)
        return fail(launch, PN_FAILED_STDIO, answer);
    for (int i = 0; i < launch->pass_count; i++)
        if ((answer = sys3(__NR_fcntl, launch->pass_fds[i], F_SETFD, 0)) < 0)
            return fail(launch, PN_FAILED_STDIO, answer);
    if (launch->new_session && (answer = sys0(__NR_setsid)) < 0)
        return fail(launch, PN_FAILED_SESSION, answer);
    if (launch->process_group >= 0 && (answer = sys2(__NR_setpgid, 0, launch->process_group)) < 0)
        return fail(launch, PN_FAILED_GROUP, answer);
    /* The steps need privileges, ids come last but for what ids lose. */
    if (run_steps(launch, launch->inner, launch->inner_count, launch->outer_count) != 0)
        return 127;
    if (launch->cwd && (answer = sys1(__NR_chdir, launch->cwd)) < 0)
        return fail(launch, PN_FAILED_CWD, answer);
    if (launch->cwd && in_another_root(launch) && !is_below_root())
        return fail(launch, PN_FAILED_CWD, -EACCES);
    if (launch->umask >= 0)
        sys1(__NR_umask, launch->umask);
    if (launch->set_groups && (answer = sys2(__NR_setgroups, launch->groups_count, launch->groups)) < 0)
        return fail(launch, PN_FAILED_GROUPS, answer);
    if (launch->set_gid && (answer = sys3(__NR_setresgid, launch->gid, launch->gid, launch->gid)) < 0)
        return fail(launch, PN_FAILED_GID, answer);
    if (launch->set_uid && (answer = sys3(__NR_setresuid, launch->uid, launch->uid, launch->uid)) < 0)
        return fail(launch, PN_FAILED_UID, answer);
    if (run_steps(launch, launch->late, launch->late_count, launch->outer_count + launch->inner_count) != 0)
        return 127;
    if (launch->death_signal) {
        sys5(__NR_prctl, PR_SET_PDEATHSIG, launch->death_signal, 0, 0, 0);
        struct pollfd mother = {.fd = launch->mother, .events = POLLIN, .revents = 0};
        struct timespec none = {0, 0};
        if (sys5(__NR_ppoll, &mother, 1, &none, 0, 0) > 0) /* it ended before we asked */
            return 127;
    }
    if (launch->close_fds)
        close_others(launch);
    if (launch->restore_signals) {
        default_signal(SIGPIPE);
        default_signal(SIGXFSZ);
    }
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &launch->mask, 0, SIGSET_BYTES);
    /* A later directory may do, but the first refusal is worth more than an absence. */
    long refused = 0;
    for (int i = 0; i < launch->paths_count; i++) {
        answer = sys3(__NR_execve, launch->paths[i], launch->argv, launch->envp);
        if (answer != -ENOENT && answer != -ENOTDIR && refused == 0)
            refused = answer;
    }
    return fail(launch, PN_FAILED_EXEC, refused ? refused : answer);
}

static struct pn_clone_args clone_args(struct pn_launch *launch, unsigned long long flags, char *stack, int *pidfd)
{
    struct pn_clone_args args = {
        .flags = CLONE_VM | CLONE_CLEAR_SIGHAND | (pidfd ? CLONE_PIDFD : 0) | flags,
        .pidfd = (uintptr_t)pidfd,
        .stack = (uintptr_t)stack,
        .stack_size = PN_STACK,
    };
    /* The first of us: a new cgroup namespace is rooted where its maker stands. */
    if (launch->cgroup >= 0 && stack == (launch->way == PN_DIRECT ? launch->inner_stack : launch->stack)) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = launch->cgroup;
    }
    return args;
}

/* The helper: in the new or existing namespaces it makes PID 1 and then the command, both as
   children of our parent; its own end tells that the command has exec'ed, or what failed. */
static int help(void *data)
{
    struct pn_launch *launch = data;

    int i = 0;
    for (; i < launch->outer_count; i++) {
        long answer = pn_do_step(&launch->outer[i], launch->log);
        if (answer < 0)
            return fail(launch, i, answer);
        if (launch->outer[i].op == PN_STEP_UNSHARE && launch->wait && await_go(launch) < 0)
            return 127;
    }
    if (launch->image >= 0) {
        struct pn_spawn spawn = {.image = launch->image, .parent = launch->mother};
        struct pn_clone_args args =
            clone_args(launch, CLONE_VFORK | CLONE_PARENT, launch->init_stack, &launch->init_pidfd);
        long init = clone_and_run(&args, pn_become_init, &spawn);
        if (init < 0)
            return fail(launch, PN_FAILED_INIT, init);
        if (spawn.error < 0)
            return fail(launch, PN_FAILED_INIT, spawn.error);
    }
    struct pn_clone_args args = clone_args(launch, CLONE_VFORK | CLONE_PARENT, launch->inner_stack, &launch->pidfd);
    long child = clone_and_run(&args, become_command, launch);
    if (child < 0)
        return fail(launch, PN_FAILED_CLONE, child);
    launch->pid = child;
    return 0;
}

static void reap(int pidfd)
{
    siginfo_t info;
    while (sys5(__NR_waitid, P_PIDFD, pidfd, &info, WEXITED | __WALL, 0) == -EINTR)
        ;
}

/* The kernel clears `alive` only in memory that somebody else has, too: a copy's end shows by its being a zombie. */
static int is_alive(struct pn_launch *launch)
{
    siginfo_t info = {0};

    if (launch->way != PN_COPY)
        return __atomic_load_n(&launch->alive, __ATOMIC_SEQ_CST);
    sys5(__NR_waitid, P_PID, launch->helper, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0);
    return info.si_pid == 0;
}

/* Start; with `wait` it returns when the new user namespace waits for its maps, as process
   pid or helper.  0, or -errno of the clone itself. */
int pn_launch_start(struct pn_launch *launch)
{
    uint64_t all = ~0ULL;
    int direct = launch->way == PN_DIRECT;

    launch->pid = launch->pidfd = launch->init_pidfd = launch->helper = -1;
    launch->failed = launch->error = launch->ready = launch->go = 0;
    launch->alive = 1;
    launch->log[0] = 0;
    launch->mother = sys2(__NR_pidfd_open, sys0(__NR_getpid), 0);
    if (launch->mother >= 0 && launch->mother < 3) { /* the child's 0-2 will be others */
        int low = launch->mother;
        launch->mother = sys3(__NR_fcntl, low, F_DUPFD_CLOEXEC, 3);
        sys1(__NR_close, low);
    }
    if (launch->mother < 0)
        return launch->mother;
    struct pn_clone_args args;
    if (direct) {
        args = clone_args(launch, launch->flags, launch->inner_stack, &launch->pidfd);
        args.exit_signal = SIGCHLD;
        if (!launch->wait) /* nothing to do here meanwhile: one processor has the memory to itself */
            args.flags |= CLONE_VFORK;
    } else {
        args = clone_args(launch, CLONE_FILES, launch->stack, 0);
        if (launch->way == PN_COPY)
            args.flags &= ~(unsigned long long)CLONE_VM;
    }
    if (launch->way != PN_COPY) {
        args.flags |= CLONE_CHILD_CLEARTID;
        args.child_tid = (uintptr_t)&launch->alive;
    }
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, &launch->mask, SIGSET_BYTES);
    long child = clone_and_run(&args, direct ? become_command : help, launch);
    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &launch->mask, 0, SIGSET_BYTES);
    if (child < 0) {
        sys1(__NR_close, launch->mother);
        return child;
    }
    if (direct)
        launch->pid = child;
    else
        launch->helper = child;
    /* `ready` is not woken when the child ends early: look whether it is alive as well. */
    while (launch->wait && !__atomic_load_n(&launch->ready, __ATOMIC_SEQ_CST) && is_alive(launch)) {
        struct timespec tick = {0, 1000000};
        sys4(__NR_futex, &launch->ready, FUTEX_WAIT, 0, &tick);
    }
    return 0;
}

/* Let it go on (or, with abandon, end), and wait until it has exec'ed or failed.  0, or the
   -errno of what `failed` names; then nothing is left over.  With abandon also once it has
   been let go. */
int pn_launch_go(struct pn_launch *launch, int abandon)
{
    __atomic_store_n(&launch->go, abandon ? -1 : 1, __ATOMIC_SEQ_CST);
    futex_wake(&launch->go);
    while (launch->way != PN_COPY) {
        int alive = __atomic_load_n(&launch->alive, __ATOMIC_SEQ_CST);
        if (!alive)
            break;
        futex_wait(&launch->alive, alive);
    }
    if (launch->helper > 0 && await_child(launch->helper) != 0 && launch->error == 0) {
        launch->failed = PN_FAILED_CLONE; /* killed on the way: the command may be there, or not */
        launch->error = -ESRCH;
    }
    if (launch->mother >= 0)
        sys1(__NR_close, launch->mother);
    launch->helper = launch->mother = -1;
    if (abandon && (launch->error == 0 || launch->failed == PN_FAILED_CLONE))
        launch->error = -ECANCELED;
    if (launch->error == 0)
        return 0;
    if (launch->init_pidfd >= 0)
        sys4(__NR_pidfd_send_signal, launch->init_pidfd, SIGKILL, 0, 0);
    if (launch->pidfd >= 0) { /* the command first: PID 1 cannot be reaped before it */
        sys4(__NR_pidfd_send_signal, launch->pidfd, SIGKILL, 0, 0); /* abandoned late, it has exec'ed */
        reap(launch->pidfd);
        sys1(__NR_close, launch->pidfd);
    }
    if (launch->init_pidfd >= 0) {
        reap(launch->init_pidfd);
        sys1(__NR_close, launch->init_pidfd);
    }
    launch->pidfd = launch->init_pidfd = -1;
    return launch->error;
}

/* A process that is nobody's child: when `mother` ends (-1: we do), it kills the other one. */
int pn_watcher_spawn(int image, int mother, int watched)
{
    int self = mother < 0 ? (int)sys2(__NR_pidfd_open, sys0(__NR_getpid), 0) : -1;

    if (mother < 0 && self < 0)
        return self;
    int fds[2] = {mother < 0 ? self : mother, watched};
    int answer = pn_spawn_apart(image, fds, 2, "watch");
    if (self >= 0)
        sys1(__NR_close, self);
    return answer;
}
