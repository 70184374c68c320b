/* One short function per system call: >= 0, or -errno.  Nothing here allocates or keeps state. */
#include "kernel.h"

#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <linux/capability.h>
#include <linux/openat2.h>

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif
#ifndef PROC_SUPER_MAGIC
#define PROC_SUPER_MAGIC 0x9fa0
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* ---- sched: unshare(2), setns(2) ---- */

int pn_unshare(long long flags) { return sys1(__NR_unshare, flags); }
int pn_setns(int fd, int kinds) { return sys2(__NR_setns, fd, kinds); }
int pn_yield(void) { return sys0(__NR_sched_yield); }

/* The two kinds in which a thread's children may live elsewhere are read for the
   children: that is what a block changes.  `now` asks for the process's own. */
struct source { int kind; unsigned ioctl; unsigned ioctl_now; const char *proc; const char *proc_now; };

/* Where `proc` lies. */
#define NS_LINKS "/proc/thread-self/ns"

/* In the order in which a thread goes: mnt late, since a refusal after it may have parted
   cwd and umask from the other threads'. */
static const struct source sources[] = {
    {CLONE_NEWNET, PIDFD_GET_NET_NAMESPACE, PIDFD_GET_NET_NAMESPACE, "/proc/thread-self/ns/net", "/proc/thread-self/ns/net"},
    {CLONE_NEWUTS, PIDFD_GET_UTS_NAMESPACE, PIDFD_GET_UTS_NAMESPACE, "/proc/thread-self/ns/uts", "/proc/thread-self/ns/uts"},
    {CLONE_NEWIPC, PIDFD_GET_IPC_NAMESPACE, PIDFD_GET_IPC_NAMESPACE, "/proc/thread-self/ns/ipc", "/proc/thread-self/ns/ipc"},
    {CLONE_NEWCGROUP, PIDFD_GET_CGROUP_NAMESPACE, PIDFD_GET_CGROUP_NAMESPACE, "/proc/thread-self/ns/cgroup", "/proc/thread-self/ns/cgroup"},
    {CLONE_NEWTIME, PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE, PIDFD_GET_TIME_NAMESPACE, "/proc/thread-self/ns/time_for_children",
     "/proc/thread-self/ns/time"},
    {CLONE_NEWPID, PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE, PIDFD_GET_PID_NAMESPACE, "/proc/thread-self/ns/pid_for_children", "/proc/thread-self/ns/pid"},
    {CLONE_NEWNS, PIDFD_GET_MNT_NAMESPACE, PIDFD_GET_MNT_NAMESPACE, "/proc/thread-self/ns/mnt", "/proc/thread-self/ns/mnt"},
    {CLONE_NEWUSER, PIDFD_GET_USER_NAMESPACE, PIDFD_GET_USER_NAMESPACE, "/proc/thread-self/ns/user", "/proc/thread-self/ns/user"},
};

static const struct source *source_of(int kind)
{
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (sources[i].kind == kind)
            return &sources[i];
    return NULL;
}

/* Answers that mean "this kernel has no such ioctl", not "no". */
static int absent(int answer)
{
    return answer == -ENOTTY || answer == -EINVAL || answer == -EOPNOTSUPP || answer == -ENOSYS;
}

static int of_pidfd(int pidfd, int kind, int now)
{
    const struct source *source = source_of(kind);

    if (!source)
        return -EINVAL;
    int answer = sys3(__NR_ioctl, pidfd, now ? source->ioctl_now : source->ioctl, 0);
    return absent(answer) ? -ENOTTY : answer;
}

/* ENOTTY: the kernel is older than 6.11, and the caller reads /proc instead. */
int pn_of(int pidfd, int kind) { return of_pidfd(pidfd, kind, 0); }
int pn_of_now(int pidfd, int kind) { return of_pidfd(pidfd, kind, 1); }

/* Where the calling thread's namespaces are read from.  One is read fastest by its path in
   /proc, several by a pidfd of the thread; that also needs no /proc, which may belong to
   another pid namespace after a setns(mnt). */
struct thread { int pidfd, several; };

static int thread_open(struct thread *thread, int several)
{
    thread->pidfd = -1;
    thread->several = several != 0;
    return 0;
}

static int thread_namespace(struct thread *thread, const struct source *source, int now)
{
    int fd = -ENOENT;

    if (!thread->several)
        fd = sys4(__NR_openat, AT_FDCWD, now ? source->proc_now : source->proc, O_RDONLY | O_CLOEXEC, 0);
    if (fd != -ENOENT && fd != -EACCES && fd != -ENOTDIR)
        return fd;
    if (thread->pidfd < 0)
        thread->pidfd = sys2(__NR_pidfd_open, sys0(__NR_gettid), PIDFD_THREAD);
    if (thread->pidfd == -EMFILE || thread->pidfd == -ENFILE)
        return thread->pidfd;
    if (thread->pidfd >= 0) {
        int found = of_pidfd(thread->pidfd, source->kind, now);
        if (found != -ENOTTY)
            return found;
    }
    /* Before 6.11 there is only /proc. */
    return thread->several ? (int)sys4(__NR_openat, AT_FDCWD, now ? source->proc_now : source->proc,
                                       O_RDONLY | O_CLOEXEC, 0)
                           : fd;
}

static void thread_close(struct thread *thread)
{
    if (thread->pidfd >= 0)
        sys1(__NR_close, thread->pidfd);
}

/* The calling thread's namespace; of pid and time the one its children go to, or its own (`now`). */
int pn_current(int kind, int now)
{
    const struct source *source = source_of(kind);
    struct thread thread;

    if (!source)
        return -EINVAL;
    thread_open(&thread, 0);
    int fd = thread_namespace(&thread, source, now);
    thread_close(&thread);
    return fd;
}

/* Coming home needs CAP_SYS_ADMIN over the home's owner, which nobody has where the owner
   lies outside our user namespace; NS_GET_USERNS says so (EPERM).  It costs as much as all
   the rest of a block, so what this thread of this process was told in the last moment
   counts: only a new user namespace of the process itself could change it. */
enum { A_MOMENT = 50000000 /* ns */ };
static _Thread_local struct { int fork; int64_t when; struct { uint64_t dev, ino; } homes[8]; } sure;
static int forks = 1;

static void count_fork(void) { forks++; }

__attribute__((constructor)) static void prepare(void) { pthread_atfork(NULL, NULL, count_fork); }

static int returnable(int fd, size_t index, const struct stat *status)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    int fresh = sure.fork == forks && now >= sure.when && now - sure.when < A_MOMENT;
    if (fresh && sure.homes[index].ino == status->st_ino && sure.homes[index].dev == status->st_dev)
        return 0;
    int owner = sys3(__NR_ioctl, fd, NS_GET_USERNS, 0);
    if (owner < 0)
        return owner;
    sys1(__NR_close, owner);
    if (!fresh) {
        memset(&sure, 0, sizeof sure);
        sure.fork = forks;
        sure.when = now;
    }
    sure.homes[index].dev = status->st_dev;
    sure.homes[index].ino = status->st_ino;
    return 0;
}

/* Open the way home of one kind, unless the thread is at (dev, ino) already: -1 then.
   0, or -errno and nothing is open. */
static int open_home(struct thread *thread, const struct source *source, uint64_t dev, uint64_t ino, int *home)
{
    struct stat status;
    int fd = thread_namespace(thread, source, 0);

    if (fd < 0)
        return fd;
    int answer = fstat(fd, &status) < 0 ? -errno : 0;
    if (answer == 0 && status.st_dev == dev && status.st_ino == ino) {
        sys1(__NR_close, fd);
        *home = -1;
        return 0;
    }
    if (answer == 0)
        answer = returnable(fd, (size_t)(source - sources), &status);
    if (answer < 0)
        sys1(__NR_close, fd);
    else
        *home = fd;
    return answer;
}

/* The ways home of the calling thread, in the order in which to go: fds[i] for the i-th of
   `kinds` in the order of `sources`, opened before anything changes.  With `targets`, their
   (device, inode) pairs in the same order, the kinds that are the same already get -1.
   -errno: nothing is open, and fds[0] is the kind that has no way home (EPERM). */
int pn_homes(int kinds, const char *targets, int *fds)
{
    struct thread thread;
    uint64_t target[2] = {0, 0};
    int n = 0, answer = thread_open(&thread, kinds & (kinds - 1)), kind = 0;

    for (size_t i = 0; answer >= 0 && i < sizeof sources / sizeof *sources; i++) {
        if (!(sources[i].kind & kinds))
            continue;
        kind = sources[i].kind;
        if (targets)
            memcpy(target, targets + (size_t)n * sizeof target, sizeof target);
        answer = open_home(&thread, &sources[i], target[0], target[1], &fds[n]);
        if (answer >= 0)
            n++;
    }
    thread_close(&thread);
    if (answer >= 0)
        return n;
    while (n > 0)
        if (fds[--n] >= 0)
            sys1(__NR_close, fds[n]);
    fds[0] = kind;
    return answer;
}

struct target { int kind, fd; uint64_t dev, ino; };

/* setns; into mnt with cwd, root and umask parted from other threads' first if need be. */
static int go(int fd, int kind)
{
    int answer = sys2(__NR_setns, fd, kind);
    if (answer == -EINVAL && kind == CLONE_NEWNS && sys1(__NR_unshare, CLONE_FS) >= 0)
        answer = sys2(__NR_setns, fd, kind);
    return answer;
}

/* Back to where a thread was in a mnt namespace: setns moved both to its root. */
static int restore_root(int root, int cwd)
{
    int answer = sys1(__NR_fchdir, root);
    if (answer >= 0)
        answer = sys1(__NR_chroot, ".");
    if (answer >= 0)
        answer = sys1(__NR_fchdir, cwd);
    return answer;
}

enum { ROOT = 8, CWD = 9 };

static int remember_root(int *homes)
{
    homes[ROOT] = sys4(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (homes[ROOT] < 0)
        return homes[ROOT];
    homes[CWD] = sys4(__NR_openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    return homes[CWD];
}

/* Go into existing namespaces, all or none, by one call: `targets` is an array of struct
   target in the order of `sources`, without time and user.  homes[i]: the way back, -1
   where the thread is there already; homes[8] and [9]: root and cwd, if mnt was changed.
   -errno: nothing has changed, homes[0] is the kind. */
int pn_enter(const char *targets, int count, int *homes)
{
    struct thread thread;
    struct target target = {0, -1, 0, 0};
    int i, answer = thread_open(&thread, count > 1);

    homes[ROOT] = homes[CWD] = -1;
    for (i = 0; answer >= 0 && i < count; i++) {
        memcpy(&target, targets + (size_t)i * sizeof target, sizeof target);
        const struct source *source = source_of(target.kind);
        homes[i] = -1;
        answer = source ? open_home(&thread, source, target.dev, target.ino, &homes[i]) : -EINVAL;
        if (answer >= 0 && homes[i] >= 0 && target.kind == CLONE_NEWNS)
            answer = remember_root(homes);
        if (answer >= 0 && homes[i] >= 0)
            answer = go(target.fd, target.kind);
        if (answer < 0) {
            if (homes[i] >= 0)
                sys1(__NR_close, homes[i]);
            break;
        }
    }
    thread_close(&thread);
    if (answer >= 0)
        return 0;
    for (int j = i - 1; j >= 0; j--)
        if (homes[j] >= 0) {
            struct target gone;
            memcpy(&gone, targets + (size_t)j * sizeof gone, sizeof gone);
            if (go(homes[j], gone.kind) < 0)
                answer = -ENOTRECOVERABLE;
            sys1(__NR_close, homes[j]);
        }
    for (int j = ROOT; j <= CWD; j++)
        if (homes[j] >= 0)
            sys1(__NR_close, homes[j]);
    homes[0] = target.kind;
    return answer;
}

/* Come home by all ways, last first: pairs of (home, kind), then root and cwd or -1.
   0, and all are closed; or the first -errno: every way was tried, and all are still open. */
int pn_leave(const char *ways, int count)
{
    int way[20], answer = 0;

    if (count < 0 || count > 9)
        return -EINVAL;
    memcpy(way, ways, (size_t)(2 * count + 2) * sizeof *way);
    for (int i = count - 1; i >= 0; i--) {
        int back = go(way[2 * i], way[2 * i + 1]);
        if (back >= 0 && way[2 * i + 1] == CLONE_NEWNS)
            back = restore_root(way[2 * count], way[2 * count + 1]);
        if (back < 0 && answer == 0)
            answer = back;
    }
    if (answer == 0) {
        for (int i = 0; i < count; i++)
            sys1(__NR_close, way[2 * i]);
        for (int i = 2 * count; i < 2 * count + 2; i++)
            if (way[i] >= 0)
                sys1(__NR_close, way[i]);
    }
    return answer;
}

/* The number in a link of /proc/thread-self/ns, as "uts:[4026531838]"; 0 if it cannot be had. */
static uint64_t number_of_link(int links, const char *name)
{
    char text[64];
    uint64_t number = 0;
    long length = links < 0 ? 0 : sys4(__NR_readlinkat, links, name, text, sizeof text);
    long i = 0;

    while (i < length && text[i] != '[')
        i++;
    while (++i < length && text[i] >= '0' && text[i] <= '9')
        number = number * 10 + (uint64_t)(text[i] - '0');
    return i == length - 1 ? number : 0;
}

/* The directory of those links, of a real /proc only; or -errno. */
static int open_links(void)
{
    struct statfs status;
    int links = sys4(__NR_openat, AT_FDCWD, NS_LINKS, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

    if (links >= 0 && (sys2(__NR_fstatfs, links, &status) < 0 || status.f_type != PROC_SUPER_MAGIC)) {
        sys1(__NR_close, links);
        return -ENOENT;
    }
    return links;
}

/* Is the thread's child in a namespace that is not this one?  1, 0, or -errno. */
static int is_elsewhere(struct thread *thread, const struct source *source, const uint64_t *target)
{
    struct stat status;
    int fd = thread_namespace(thread, source, 0);

    if (fd < 0)
        return fd;
    int answer = fstat(fd, &status) < 0 ? -errno : status.st_dev != target[0] || status.st_ino != target[1];
    sys1(__NR_close, fd);
    return answer;
}

/* Which of these kinds (as pn_homes takes them) is the thread's child not in already?  A link
   tells for less than half of what it costs to open a namespace that nobody else holds open. */
int pn_differ(int kinds, const char *targets)
{
    struct thread thread;
    uint64_t target[2];
    int n = 0, differ = 0, answer = thread_open(&thread, 1), links = open_links();

    for (size_t i = 0; answer >= 0 && i < sizeof sources / sizeof *sources; i++) {
        if (!(sources[i].kind & kinds))
            continue;
        memcpy(target, targets + (size_t)n++ * sizeof target, sizeof target);
        uint64_t number = number_of_link(links, sources[i].proc + sizeof NS_LINKS);
        answer = number ? number != target[1] : is_elsewhere(&thread, &sources[i], target);
        if (answer > 0)
            differ |= sources[i].kind;
    }
    if (links >= 0)
        sys1(__NR_close, links);
    thread_close(&thread);
    return answer < 0 ? answer : differ;
}

/* The same for one namespace: its way home, or PN_HERE where the thread is there already. */
int pn_visit(int kind, int fd, unsigned long long dev, unsigned long long ino)
{
    struct thread thread;
    const struct source *source = source_of(kind);
    int home = -1;

    thread_open(&thread, 0);
    int answer = source ? open_home(&thread, source, dev, ino, &home) : -EINVAL;
    thread_close(&thread);
    if (answer < 0)
        return answer;
    if (home < 0)
        return PN_HERE;
    answer = sys2(__NR_setns, fd, kind);
    if (answer >= 0)
        return home;
    sys1(__NR_close, home);
    return answer;
}

/* Come home and close the way: 0, or -errno and it is still open. */
int pn_return(int home, int kind)
{
    int answer = sys2(__NR_setns, home, kind);
    return answer < 0 ? answer : (int)sys1(__NR_close, home);
}

/* ---- nsfs: ioctl_nsfs(2) ---- */

long long pn_nsfs_type(int fd) { return sys3(__NR_ioctl, fd, NS_GET_NSTYPE, 0); }
int pn_nsfs_owner(int fd) { return sys3(__NR_ioctl, fd, NS_GET_USERNS, 0); }
int pn_nsfs_parent(int fd) { return sys3(__NR_ioctl, fd, NS_GET_PARENT, 0); }

long long pn_nsfs_owner_uid(int fd)
{
    unsigned uid = 0;
    long answer = sys3(__NR_ioctl, fd, NS_GET_OWNER_UID, &uid);
    return answer < 0 ? answer : (long long)uid;
}

/* direction: NS_GET_PID_FROM_PIDNS, …TGID_FROM…, PID_IN, TGID_IN as 0…3. */
int pn_nsfs_translate(int fd, int direction, int pid)
{
    static const unsigned calls[] = {NS_GET_PID_FROM_PIDNS, NS_GET_TGID_FROM_PIDNS, NS_GET_PID_IN_PIDNS,
                                     NS_GET_TGID_IN_PIDNS};

    if (direction < 0 || direction > 3)
        return -EINVAL;
    return sys3(__NR_ioctl, fd, calls[direction], pid);
}

/* out: device, inode, and the 64-bit id, 0 where the kernel (before 6.18) has none. */
int pn_identity(int fd, unsigned long long *out)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    out[0] = status.st_dev;
    out[1] = status.st_ino;
    out[2] = 0;
    sys3(__NR_ioctl, fd, NS_GET_ID, &out[2]);
    return 0;
}

int pn_is_nsfs(int fd)
{
    struct statfs status;

    if (fstatfs(fd, &status) < 0)
        return -errno;
    return status.f_type == NSFS_MAGIC;
}

int pn_socket_netns(int socket) { return sys3(__NR_ioctl, socket, SIOCGSKNS, 0); }

/* ---- pidfds ---- */

int pn_pidfd_open(int pid, unsigned flags) { return sys2(__NR_pidfd_open, pid, flags); }
int pn_pidfd_getfd(int pidfd, int fd) { return sys3(__NR_pidfd_getfd, pidfd, fd, 0); }
int pn_pidfd_send_signal(int pidfd, int signal) { return sys4(__NR_pidfd_send_signal, pidfd, signal, 0, 0); }

/* 1 while the process runs, 0 once it has ended (reaped or not); waits for that so long. */
int pn_pidfd_alive(int pidfd, int milliseconds)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN, .revents = 0};
    struct timespec wait = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    long answer = sys5(__NR_ppoll, &poll_fd, 1, &wait, 0, 0);
    if (answer == -EINTR)
        return 1;
    if (answer < 0)
        return answer;
    return answer == 0;
}

/* 1 once our child has been reaped (by us or by somebody else), 0 while it cannot be. */
int pn_pidfd_reap(int pidfd)
{
    siginfo_t info;

    long answer;
    memset(&info, 0, sizeof info);
    do
        answer = sys5(__NR_waitid, P_PIDFD, pidfd, &info, WEXITED | WNOHANG | __WALL, 0);
    while (answer == -EINTR);
    if (answer == -ECHILD)
        return 1;
    if (answer < 0)
        return answer;
    return info.si_pid != 0;
}

/* ---- files ---- */

int pn_openat(int dirfd, const char *path, int flags, int mode)
{
    return sys4(__NR_openat, dirfd, path, flags | O_CLOEXEC, mode);
}

int pn_close(int fd) { return sys1(__NR_close, fd); }
int pn_fchdir(int fd) { return sys1(__NR_fchdir, fd); }
int pn_chroot(const char *path) { return sys1(__NR_chroot, path); }

/* ---- mount: mount(2), umount(2), the mount file descriptors of 5.2 and mount_setattr of 5.12 ---- */

int pn_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    return sys5(__NR_mount, source, target, type, flags, data);
}

int pn_umount(const char *target, int flags) { return sys2(__NR_umount2, target, flags); }

int pn_open_tree(int dirfd, const char *path, unsigned flags)
{
    return sys3(__NR_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC);
}

int pn_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{
    return sys5(__NR_move_mount, from, from_path, to, to_path, flags);
}

int pn_mount_setattr(int dirfd, const char *path, unsigned flags, unsigned long long set,
                     unsigned long long clear, unsigned long long propagation, int userns)
{
    /* struct mount_attr, spelt out: C libraries differ in which header has it. */
    uint64_t attributes[4] = {set, clear, propagation, (uint64_t)(userns < 0 ? 0 : userns)};
    return sys5(__NR_mount_setattr, dirfd, path, flags, attributes, sizeof attributes);
}

int pn_fsopen(const char *type, unsigned flags) { return sys2(__NR_fsopen, type, flags | 1 /* FSOPEN_CLOEXEC */); }

int pn_fsconfig(int fd, unsigned command, const char *key, const char *value, int aux)
{
    return sys5(__NR_fsconfig, fd, command, key, value, aux);
}

int pn_fsmount(int fd, unsigned flags, unsigned attributes)
{
    return sys3(__NR_fsmount, fd, flags | 1 /* FSMOUNT_CLOEXEC */, attributes);
}

/* ---- furnishing ---- */

int pn_sethostname(const char *name, size_t length) { return sys2(__NR_sethostname, name, length); }
int pn_setdomainname(const char *name, size_t length) { return sys2(__NR_setdomainname, name, length); }

/* lo up, in the calling thread's network; fine if it is up already. */
int pn_loopback_up(void)
{
    struct ifreq request = {0};
    int fd = sys3(__NR_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd == -EAFNOSUPPORT)
        fd = sys3(__NR_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    request.ifr_name[0] = 'l';
    request.ifr_name[1] = 'o';
    long answer = sys3(__NR_ioctl, fd, SIOCGIFFLAGS, &request);
    if (answer >= 0 && (request.ifr_flags & (IFF_UP | IFF_RUNNING)) != (IFF_UP | IFF_RUNNING)) {
        request.ifr_flags |= IFF_UP | IFF_RUNNING;
        answer = sys3(__NR_ioctl, fd, SIOCSIFFLAGS, &request);
    }
    sys1(__NR_close, fd);
    return answer;
}

/* 1 if the calling thread has it in its effective set. */
int pn_has_capability(int capability)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    if (capability < 0 || capability > 63)
        return -EINVAL;
    long answer = sys2(__NR_capget, &header, data);
    if (answer < 0)
        return answer;
    return data[capability / 32].effective >> (capability % 32) & 1;
}

int pn_prctl(int option, unsigned long a, unsigned long b, unsigned long c)
{
    return sys5(__NR_prctl, option, a, b, c, 0);
}

/* mnt_id_req, its second form: <linux/mount.h> of Linux 6.11 */
struct id_request {
    uint32_t size, spare;
    uint64_t mount, param, namespace;
};

/* The ids of a namespace's mounts after `last`: how many of `count`. */
int pn_listmount(unsigned long long namespace, unsigned long long last, unsigned long long *ids, int count)
{
    struct id_request request = {sizeof request, 0, ~0ULL /* LSMT_ROOT */, last, namespace};
    return sys4(__NR_listmount, &request, ids, count, 0);
}

/* out: a struct pn_statmount, and its strings */
int pn_statmount(unsigned long long namespace, unsigned long long mount, unsigned long long mask,
                 unsigned long long *out, int size)
{
    struct id_request request = {sizeof request, 0, mount, mask, namespace};
    return sys4(__NR_statmount, &request, out, size, 0);
}

int pn_mount_namespace_id(int fd, unsigned long long *out)
{
    return sys3(__NR_ioctl, fd, NS_GET_MNTNS_ID, out);
}
