/* The scan over /proc.  Reading a link is the cheapest question that tells a namespace's inode (stat would make an
   inode of nsfs first), one openat of PID/ns saves walking to it for each, and two cores halve the time.  A task may
   end at any moment: what it did not say any more stays 0. */
#include "kernel.h"
#include "scan.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif
#ifndef NS_MNT_GET_NEXT
struct mnt_ns_info {
    uint32_t size, nr_mounts;
    uint64_t mnt_ns_id;
};
#define NS_MNT_GET_NEXT _IOR(NSIO, 11, struct mnt_ns_info)
#define NS_MNT_GET_PREV _IOR(NSIO, 12, struct mnt_ns_info)
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

_Static_assert(sizeof(struct pn_task) == 96, "scan.py unpacks it");
_Static_assert(sizeof(struct pn_held) == 24, "scan.py unpacks it");
_Static_assert(sizeof(struct pn_relations) == 64, "scan.py unpacks it");

static const struct link { const char *name, *kind; int flag; } links[PN_SCAN_LINKS] = {
    {"mnt", "mnt", CLONE_NEWNS}, {"uts", "uts", CLONE_NEWUTS}, {"ipc", "ipc", CLONE_NEWIPC},
    {"net", "net", CLONE_NEWNET}, {"pid", "pid", CLONE_NEWPID}, {"user", "user", CLONE_NEWUSER},
    {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"time", "time", CLONE_NEWTIME},
    {"pid_for_children", "pid", CLONE_NEWPID}, {"time_for_children", "time", CLONE_NEWTIME},
};

/* ---- text ---- */

/* A decimal number and where it ends; -1 where there is none, or one that is too large. */
static int64_t number(const char *text, const char *end, const char **rest)
{
    const char *at = text;
    int64_t value = 0;

    while (at < end && *at >= '0' && *at <= '9' && value <= INT64_MAX / 16)
        value = value * 10 + (*at++ - '0');
    *rest = at;
    return at == text || (at < end && *at >= '0' && *at <= '9') ? -1 : value;
}

/* Behind a prefix, a number in brackets and nothing else: "net:[4026531840]"; 0 for anything else. */
static uint64_t bracketed(const char *text, long length, const char *prefix)
{
    size_t skip = strlen(prefix);
    const char *end = text + (length < 0 ? 0 : length), *rest;

    if ((size_t)(end - text) < skip + 4 || memcmp(text, prefix, skip) || text[skip] != ':' || text[skip + 1] != '[')
        return 0;
    int64_t value = number(text + skip + 2, end, &rest);
    return value < 0 || rest + 1 != end || *rest != ']' ? 0 : (uint64_t)value;
}

static char *decimal(char *at, unsigned value)
{
    char digits[10];
    int count = 0;

    do {
        digits[count++] = '0' + value % 10;
    } while (value /= 10);
    while (count)
        *at++ = digits[--count];
    return at;
}

/* "PID", or "PID/task/TID", and what follows. */
static void task_path(char *at, int pid, int tid, const char *below)
{
    at = decimal(at, pid);
    if (tid != pid) {
        memcpy(at, "/task/", 6);
        at = decimal(at + 6, tid);
    }
    strcpy(at, below);
}

/* proc_pid_stat(5).  The name may hold anything, so the fields are counted from the last parenthesis. */
static void read_stat(const char *text, long length, struct pn_task *task)
{
    const char *end = text + length, *open = memchr(text, '(', length), *at = end, *rest;

    while (at > text && at[-1] != ')')
        at--;
    if (!open || at <= open + 1 || at + 2 >= end)
        return;
    size_t name = at - 1 - (open + 1);
    memcpy(task->name, open + 1, name < sizeof task->name ? name : sizeof task->name);
    task->state = (unsigned char)at[1];
    at += 2;
    for (int field = 4; field <= 22 && at < end; field++) {
        at += *at == ' ';
        if (at < end && *at == '-')
            at++;
        int64_t value = number(at, end, &rest);
        if (value < 0)
            return;
        at = rest;
        if (field == 4)
            task->parent = value > INT_MAX ? 0 : value;
        else if (field == 9)
            task->flags = value;
        else if (field == 20)
            task->threads = value > INT_MAX ? 0 : value;
        else if (field == 22)
            task->started = value;
    }
}

/* ---- directories ---- */

struct entry { uint64_t inode, offset; uint16_t length; uint8_t type; char name[]; };

/* Walk the names of an open directory that are numbers; `each` answers < 0 to stop. */
static int each_number(int directory, int (*each)(void *, const char *, int), void *with)
{
    char buffer[8192] __attribute__((aligned(8)));

    for (;;) {
        long got = sys3(__NR_getdents64, directory, buffer, sizeof buffer);
        if (got <= 0)
            return got;
        for (long at = 0; at < got;) {
            const struct entry *entry = (const struct entry *)(buffer + at);
            const char *rest, *end = entry->name + strlen(entry->name);
            int64_t value = number(entry->name, end, &rest);
            if (value >= 0 && rest == end && value <= INT_MAX) {
                int answer = each(with, entry->name, value);
                if (answer < 0)
                    return answer;
            }
            at += entry->length;
        }
    }
}

struct list { int *numbers, capacity, found; };

static int add_number(void *with, const char *name, int value)
{
    struct list *list = with;

    (void)name;
    if (list->found < list->capacity)
        list->numbers[list->found] = value;
    list->found++;
    return 0;
}

/* The numbers in a directory (tasks, descriptors): how many there are, of which `count` at most are written. */
int pn_scan_list(int directory, const char *path, int *numbers, int count)
{
    struct list list = {numbers, count, 0};
    int fd = sys4(__NR_openat, directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    int answer = each_number(fd, add_number, &list);
    sys1(__NR_close, fd);
    return answer < 0 ? answer : list.found;
}

/* ---- two cores ---- */

/* Tasks are dealt out by the handful; every thread takes the next as it has time. */
enum { HANDFUL = 32 };

struct scan {
    int proc, count, next;
    const int *pids, *tids;
    unsigned wanted;
    struct pn_task *tasks;
    struct pn_held *held;
    int capacity, found, *errors;
    void (*one)(struct scan *, int);
    int finished; /* the helper's thread id, once it has nothing more to do */
};

static void *work(void *with)
{
    struct scan *scan = with;

    for (;;) {
        int first = __atomic_fetch_add(&scan->next, HANDFUL, __ATOMIC_RELAXED);
        if (first >= scan->count)
            return NULL;
        for (int i = first; i < first + HANDFUL && i < scan->count; i++)
            scan->one(scan, i);
    }
}

static void *help(void *with)
{
    struct scan *scan = with;

    work(scan);
    __atomic_store_n(&scan->finished, (int)sys0(__NR_gettid), __ATOMIC_RELEASE);
    return NULL;
}

/* With a second thread where that pays and can be had (none can be in a process whose children go to another pid
   namespace).  It is really gone when this returns: unshare(2) of some kinds refuses a process with threads, and
   pthread_join returns a moment before the kernel takes it off the books. */
static void run(struct scan *scan, int workers)
{
    pthread_t thread;
    sigset_t all, before;
    int helped = 0;

    if (workers > 1 && scan->count > 4 * HANDFUL) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        helped = pthread_create(&thread, NULL, help, scan) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    work(scan);
    if (!helped)
        return;
    pthread_join(thread, NULL);
    for (int i = 0; i < 10000 && sys3(__NR_tgkill, sys0(__NR_getpid), scan->finished, 0) == 0; i++)
        sys0(__NR_sched_yield);
}

/* ---- tasks ---- */

/* From PID/ns one up: that is still the directory of the same task. */
static void read_facts(int directory, struct pn_task *task)
{
    char text[1024];
    struct stat status;
    int fd = sys4(__NR_openat, directory, "../stat", O_RDONLY | O_CLOEXEC, 0);

    if (fd >= 0) {
        long length = sys3(__NR_read, fd, text, sizeof text);
        sys1(__NR_close, fd);
        if (length > 0)
            read_stat(text, length, task);
    }
    if (fstatat(directory, "..", &status, 0) == 0)
        task->uid = status.st_uid;
}

static void read_links(int directory, unsigned wanted, struct pn_task *task)
{
    char text[64];
    int found = 0;

    for (int i = 0; i < PN_SCAN_LINKS; i++) {
        if (!(wanted & 1u << i))
            continue;
        long length = sys4(__NR_readlinkat, directory, links[i].name, text, sizeof text);
        if (length >= 0) {
            uint64_t inode = bracketed(text, length, links[i].kind);
            task->links[i] = inode > UINT32_MAX ? 0 : inode;
            found++;
        } else if (length != -ENOENT) { /* EACCES, and so would be the others */
            task->error = length;
            return;
        }
    }
    /* A kernel may lack a kind, a zombie has few; nothing at all is a task that has ended. */
    if (!found && wanted & (PN_SCAN_FACTS - 1))
        task->error = -ESRCH;
}

static void scan_task(struct scan *scan, int i)
{
    struct pn_task *task = &scan->tasks[i];
    int pid = scan->pids[i], tid = scan->tids[i];
    char path[64];

    memset(task, 0, sizeof *task);
    task->pid = pid;
    task->tid = tid;
    task->uid = UINT32_MAX;
    task_path(path, pid, tid, "/ns");
    int directory = sys4(__NR_openat, scan->proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (directory < 0) {
        task->error = directory;
        return;
    }
    /* Everything from this directory on is of the same task, however soon its number is used again. */
    read_links(directory, scan->wanted, task);
    if (scan->wanted & PN_SCAN_FACTS)
        read_facts(directory, task);
    sys1(__NR_close, directory);
}

int pn_scan_tasks(int proc, const int *pids, const int *tids, int count, unsigned wanted, int workers,
                  unsigned long long *tasks)
{
    struct scan scan = {.proc = proc, .count = count, .pids = pids, .tids = tids, .wanted = wanted,
                        .tasks = (struct pn_task *)tasks, .one = scan_task};
    run(&scan, workers);
    return 0;
}

/* ---- descriptors ---- */

struct descriptors { struct scan *scan; int directory, pid, tid; };

static int look_at_fd(void *with, const char *name, int fd)
{
    const struct descriptors *of = with;
    char text[64];
    unsigned what = 0;
    uint64_t inode = 0;
    long length = sys4(__NR_readlinkat, of->directory, name, text, sizeof text);

    if (length <= 0 || length == sizeof text || text[0] == '/')
        return 0;
    if ((inode = bracketed(text, length, "socket")) != 0) {
        what = PN_HELD_SOCKET;
    } else if (length == 18 && !memcmp(text, "anon_inode:[pidfd]", 18)) {
        what = PN_HELD_PIDFD;
    } else {
        for (int i = 0; i < 8 && !what; i++)
            if ((inode = bracketed(text, length, links[i].kind)) != 0)
                what = links[i].flag;
    }
    if (!what)
        return 0;
    int slot = __atomic_fetch_add(&of->scan->found, 1, __ATOMIC_RELAXED);
    if (slot < of->scan->capacity)
        of->scan->held[slot] = (struct pn_held){of->pid, of->tid, fd, what, inode};
    return 0;
}

static void scan_fds(struct scan *scan, int i)
{
    struct descriptors of = {scan, -1, scan->pids[i], scan->tids[i]};
    char path[64];

    task_path(path, of.pid, of.tid, "/fd");
    of.directory = sys4(__NR_openat, scan->proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (of.directory < 0) {
        scan->errors[i] = of.directory;
        return;
    }
    scan->errors[i] = each_number(of.directory, look_at_fd, &of);
    sys1(__NR_close, of.directory);
}

/* How many there are, of which `capacity` at most are written. */
int pn_scan_fds(int proc, const int *pids, const int *tids, int count, int workers, unsigned long long *held,
                int capacity, int *errors)
{
    struct scan scan = {.proc = proc, .count = count, .pids = pids, .tids = tids, .held = (struct pn_held *)held,
                        .capacity = capacity, .errors = errors, .one = scan_fds};
    run(&scan, workers);
    return scan.found;
}

/* The net namespace of another process's socket, as a descriptor. */
int pn_scan_socket(int pidfd, int fd)
{
    int copy = sys3(__NR_pidfd_getfd, pidfd, fd, 0);

    if (copy < 0)
        return copy;
    int answer = sys3(__NR_ioctl, copy, SIOCGSKNS, 0);
    sys1(__NR_close, copy);
    return answer;
}

/* ---- mounts ---- */

enum { SB_BASIC = 0x1, MNT_ROOT = 0x8, MNT_POINT = 0x10, STRINGS = 512 };

static int append(char *text, int size, int *used, const char *word)
{
    int length = strlen(word) + 1;

    if (*used + length > size)
        return -ENOSPC;
    memcpy(text + *used, word, length);
    *used += length;
    return 0;
}

/* The mounts of nsfs in a mnt namespace (its 64-bit id): root, NUL, mount point, NUL, …; how many bytes. */
int pn_scan_mounts(unsigned long long namespace, unsigned *text, int size)
{
    unsigned long long ids[256], last = 0, buffer[1200];
    char *raw = (char *)buffer;
    int used = 0;

    for (;;) {
        int count = pn_listmount(namespace, last, ids, 256);
        if (count < 0)
            return count;
        for (int i = 0; i < count; i++) {
            uint64_t magic;
            uint32_t root, point;
            int answer = pn_statmount(namespace, ids[i], SB_BASIC, buffer, sizeof buffer);
            if (answer < 0)
                continue; /* gone by now */
            memcpy(&magic, raw + 24, sizeof magic);
            if (magic != NSFS_MAGIC || pn_statmount(namespace, ids[i], MNT_ROOT | MNT_POINT, buffer, sizeof buffer) < 0)
                continue;
            memcpy(&root, raw + 104, sizeof root);
            memcpy(&point, raw + 108, sizeof point);
            if (append((char *)text, size, &used, raw + STRINGS + root) < 0 ||
                append((char *)text, size, &used, raw + STRINGS + point) < 0)
                return -ENOSPC;
        }
        if (count < 256)
            return used;
        last = ids[count - 1];
    }
}

/* ---- namespaces ---- */

static int ask(int fd, unsigned question, uint64_t *inode, int64_t *uid)
{
    struct stat status;
    unsigned owner = 0;
    int answer = sys3(__NR_ioctl, fd, question, 0);

    if (answer < 0)
        return answer;
    if (fstat(answer, &status) == 0)
        *inode = status.st_ino;
    if (uid && sys3(__NR_ioctl, answer, NS_GET_OWNER_UID, &owner) >= 0)
        *uid = owner;
    sys1(__NR_close, answer);
    return 0;
}

int pn_relations(int fd, unsigned long long *out)
{
    struct pn_relations *found = (struct pn_relations *)out;
    unsigned long long identity[3];
    unsigned uid = 0;
    int answer = pn_identity(fd, identity);
    long kind = sys3(__NR_ioctl, fd, NS_GET_NSTYPE, 0);

    if (answer < 0 || kind < 0)
        return answer < 0 ? answer : (int)kind;
    memset(found, 0, sizeof *found);
    found->device = identity[0];
    found->inode = identity[1];
    found->serial = identity[2];
    found->kind = kind;
    found->uid = -1;
    found->owner_error = ask(fd, NS_GET_USERNS, &found->owner, kind == CLONE_NEWUSER ? NULL : &found->uid);
    if (kind == CLONE_NEWUSER && sys3(__NR_ioctl, fd, NS_GET_OWNER_UID, &uid) >= 0)
        found->uid = uid;
    if (kind == CLONE_NEWUSER || kind == CLONE_NEWPID)
        found->parent_error = ask(fd, NS_GET_PARENT, &found->parent, NULL);
    return 0;
}

/* The next mnt namespace in the kernel's list, or the previous; ENOENT at the end.  Linux 6.12, CAP_SYS_ADMIN. */
int pn_mnt_next(int fd, int previous)
{
    struct mnt_ns_info info = {.size = sizeof info};
    return sys3(__NR_ioctl, fd, previous ? NS_MNT_GET_PREV : NS_MNT_GET_NEXT, &info);
}

/* ns_id_req: <linux/nsfs.h> of Linux 6.19.  The ids after `last`: how many of `count`. */
int pn_listns(unsigned long long last, unsigned kind, unsigned long long *ids, int count)
{
    struct {
        uint32_t size, spare;
        uint64_t last;
        uint32_t kind, spare2;
        uint64_t owner;
    } request = {sizeof request, 0, last, kind, 0, 0};
    return sys4(__NR_listns, &request, ids, count, 0);
}

/* Open a namespace by its 64-bit id: a file handle of nsfs, Linux 6.18; kind and inode both, or neither. */
int pn_open_by_id(unsigned long long id, unsigned kind, unsigned inode)
{
    struct {
        uint32_t bytes;
        int32_t type;
        uint64_t id;
        uint32_t kind, inode;
    } handle = {16, 0xf1 /* FILEID_NSFS */, id, kind, inode};
    return sys3(__NR_open_by_handle_at, -10003 /* FD_NSFS_ROOT */, &handle, O_RDONLY | O_CLOEXEC);
}
