/* What a scan over /proc writes, into the caller's buffers; scan.py unpacks the same layout. */
#ifndef PN_SCAN_H
#define PN_SCAN_H

#include <stdint.h>

/* The links of /proc/PID/ns that can be asked for, as bits: the eight kinds in the table's order,
   then pid_for_children and time_for_children.  PN_SCAN_FACTS asks for the rest of pn_task. */
#define PN_SCAN_LINKS 10
#define PN_SCAN_FACTS 0x400

/* One task (a process, or a thread where tid differs) as it was seen. */
struct pn_task {
    int32_t pid, tid;
    int32_t error; /* 0, or -errno: what kept us from reading its links */
    int32_t parent;
    uint32_t uid, threads, flags, state;
    uint64_t started; /* in clock ticks after boot */
    uint32_t links[PN_SCAN_LINKS]; /* inodes; 0 for what was not read */
    char name[16];
};

/* One open descriptor that has to do with namespaces; `what` is a CLONE_NEW* value or one of these. */
#define PN_HELD_SOCKET 1
#define PN_HELD_PIDFD 2
struct pn_held {
    int32_t pid, tid, fd;
    uint32_t what;
    uint64_t inode;
};

/* What a namespace says of itself; 0 where it does not say, and the two errors why. */
struct pn_relations {
    uint64_t device, inode, kind, serial, owner, parent;
    int64_t uid; /* of its owner (of itself, where it is a user namespace); -1: not told */
    int32_t owner_error, parent_error;
};

int pn_scan_list(int directory, const char *path, int *numbers, int count);
int pn_scan_tasks(int proc, const int *pids, const int *tids, int count, unsigned wanted, int workers,
                  unsigned long long *tasks);
int pn_scan_fds(int proc, const int *pids, const int *tids, int count, int workers, unsigned long long *held,
                int capacity, int *errors);
int pn_scan_mounts(unsigned long long namespace, unsigned *text, int size);
int pn_scan_socket(int pidfd, int fd);
int pn_relations(int fd, unsigned long long *out);
int pn_mnt_next(int fd, int previous);
int pn_listns(unsigned long long last, unsigned kind, unsigned long long *ids, int count);
int pn_open_by_id(unsigned long long id, unsigned kind, unsigned inode);

#endif
