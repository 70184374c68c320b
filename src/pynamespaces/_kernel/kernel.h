/* What the C floor offers to Python: declarations only, and the same text as the cdef. */
#ifndef PN_KERNEL_H
#define PN_KERNEL_H

#include "errand.h"
#include "launch.h"
#include "scan.h"
#include "steps.h"
#include "sys.h"
#include <signal.h>
#include <sys/types.h>
#include <linux/mount.h>

/* The compiler makes it a strlen, which is as safe between clone and exec: the linker binds it at load time. */
static inline size_t length(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

/* <sys/mount.h> and <linux/mount.h> quarrel in some C libraries; these are the kernel's. */
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef UMOUNT_NOFOLLOW
#define UMOUNT_NOFOLLOW 8
#endif

/* statmount(2): <linux/mount.h> of Linux 6.15, of which older headers lack a part.  Strings are
   offsets into what follows, and there if the mask has their bit. */
#ifndef STATMOUNT_SB_BASIC
#define STATMOUNT_SB_BASIC 0x1
#define STATMOUNT_MNT_BASIC 0x2
#define STATMOUNT_MNT_ROOT 0x8
#define STATMOUNT_MNT_POINT 0x10
#define STATMOUNT_FS_TYPE 0x20
#endif
#ifndef STATMOUNT_MNT_OPTS
#define STATMOUNT_MNT_OPTS 0x80
#endif
#ifndef STATMOUNT_SB_SOURCE
#define STATMOUNT_SB_SOURCE 0x200
#endif

struct pn_statmount {
    unsigned size, options;
    unsigned long long mask;
    unsigned major, minor;
    unsigned long long magic;
    unsigned super_flags, type;
    unsigned long long unique_id, unique_parent;
    unsigned id, parent;
    unsigned long long attributes, propagation, peers, master, from;
    unsigned root, point;
    unsigned long long namespace;
    unsigned subtype, source;
    unsigned long long spare[48];
    char strings[];
};
_Static_assert(sizeof(struct pn_statmount) == 512, "struct statmount");

/* calls.c */
#define PN_HERE 0x7fffffff
int pn_unshare(long long flags);
int pn_setns(int fd, int kinds);
int pn_current(int kind, int now);
int pn_homes(int kinds, const char *targets, int *fds);
int pn_enter(const char *targets, int count, int *homes);
int pn_leave(const char *ways, int count);
int pn_differ(int kinds, const char *targets);
int pn_visit(int kind, int fd, unsigned long long dev, unsigned long long ino);
int pn_return(int home, int kind);
int pn_of(int pidfd, int kind);
int pn_of_now(int pidfd, int kind);
long long pn_nsfs_type(int fd);
int pn_nsfs_owner(int fd);
int pn_nsfs_parent(int fd);
long long pn_nsfs_owner_uid(int fd);
int pn_nsfs_translate(int fd, int direction, int pid);
int pn_identity(int fd, unsigned long long *out);
int pn_is_nsfs(int fd);
int pn_pidfd_open(int pid, unsigned flags);
int pn_pidfd_getfd(int pidfd, int fd);
int pn_pidfd_send_signal(int pidfd, int signal);
int pn_pidfd_alive(int pidfd, int milliseconds);
int pn_pidfd_reap(int pidfd);
int pn_socket_netns(int socket);
int pn_openat(int dirfd, const char *path, int flags, int mode);
int pn_close(int fd);
int pn_fchdir(int fd);
int pn_chroot(const char *path);
int pn_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int pn_umount(const char *target, int flags);
int pn_open_tree(int dirfd, const char *path, unsigned flags);
int pn_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int pn_mount_setattr(int dirfd, const char *path, unsigned flags, unsigned long long set,
                     unsigned long long clear, unsigned long long propagation, int userns);
int pn_fsopen(const char *type, unsigned flags);
int pn_fsconfig(int fd, unsigned command, const char *key, const char *value, int aux);
int pn_fsmount(int fd, unsigned flags, unsigned attributes);
int pn_sethostname(const char *name, size_t length);
int pn_setdomainname(const char *name, size_t length);
int pn_loopback_up(void);
int pn_has_capability(int capability);
int pn_yield(void);
int pn_prctl(int option, unsigned long a, unsigned long b, unsigned long c);
int pn_listmount(unsigned long long namespace, unsigned long long last, unsigned long long *ids, int count);
int pn_statmount(unsigned long long namespace, unsigned long long mount, unsigned long long mask,
                 unsigned long long *out, int size);
int pn_mount_namespace_id(int fd, unsigned long long *out);
int pn_mount_id(int fd, unsigned long long *out);

/* steps.c */
int pn_do_step(const struct pn_step *step, char *log);
int pn_step(int op, int fd, int fd2, unsigned long long flags, const char *a, const char *b, const char *c,
            const char *d, int *log);
int pn_step_in_child(int op, int fd, int fd2, unsigned long long flags, const char *a, const char *b,
                     const char *c, const char *d, int *log);

/* network.c */
long pn_add_address(const char *device, int family, int prefix, const char *bytes);

/* errand.c */
int pn_errand(struct pn_errand *errand);

/* mounts.c */
long pn_mount_step(const struct pn_step *step, char *log);

/* init.c: what our init understands, sent from outside its namespace */
#define PN_INIT_KEEP 34
#define PN_INIT_RELEASE 35
#define PN_INIT_END 36

int pn_init_spawn(int image, int kinds, int below, int *pidfd);
int pn_keeper_spawn(int image, const char *fds, int count);

/* relay.c */
struct pn_weather {
    uint64_t delay, jitter; /* nanoseconds */
    uint64_t loss;          /* of 2^32 */
};
void pn_run_relay(void);
int pn_relay_spawn(int image, int control, int first, int second);

struct pn_spawn {
    int image, parent, error;
};
int pn_become_init(void *spawn);
int pn_spawn_apart(int image, const int *fds, int count, const char *word);

/* launch.c */
int pn_launch_start(struct pn_launch *launch);
int pn_launch_go(struct pn_launch *launch, int abandon);
int pn_watcher_spawn(int image, int mother, int watched);

#endif
