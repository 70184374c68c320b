/* A step of a plan: plain data, done by the same function in a thread's block and in a child
   between clone3 and exec.  Which fields an operation reads stands beside it in steps.c. */
#ifndef PN_STEPS_H
#define PN_STEPS_H

enum pn_op {
    PN_STEP_NONE,
    PN_STEP_JOIN,       /* setns(fd, flags) */
    PN_STEP_UNSHARE,    /* unshare(flags); clone3's flags when the child is made anew */
    PN_STEP_MAP_IDS,    /* done by the parent (or newuidmap) while the child waits */
    PN_STEP_CLOCKS,     /* write a to timens_offsets */
    PN_STEP_HOSTNAME,   /* sethostname(a) */
    PN_STEP_DOMAINNAME, /* setdomainname(a) */
    PN_STEP_LOOPBACK,   /* lo up */
    PN_STEP_PROPAGATE,  /* mount(NULL, a, NULL, flags) from the namespace's true root */
    PN_STEP_FS,         /* a new file system of type c with options d (source a) on b; mounts.c */
    PN_STEP_DEVICES,    /* a tmpfs with options d on b, and the device nodes a in it */
    PN_STEP_BIND,       /* a on b, idmapped by the user namespace fd2 */
    PN_STEP_OVERLAY,    /* the directories a on b, with upper c and work d or ones that vanish */
    PN_STEP_FILE,       /* a file with the content a (its size: 8 bytes at d) and mode fd on b */
    PN_STEP_MASK,       /* something empty over b */
    PN_STEP_MKDIR,      /* a directory b with mode fd */
    PN_STEP_SYMLINK,    /* a symbolic link b to a */
    PN_STEP_PIVOT,      /* the cwd becomes the root */
    PN_STEP_INIT,       /* PID 1 of the new pid namespace: each executor has its own way */
    PN_STEP_SET_IDS,    /* setresuid(fd), setresgid(fd2), if this user namespace does not map ours */
    PN_STEP_CAPABILITIES, /* keep those in flags (fd = 1), or only clear the inheritable ones */
    PN_STEP_NO_NEW_PRIVS, /* prctl(PR_SET_NO_NEW_PRIVS, 1) */
    PN_STEP_ADDRESS,    /* the address b of family fd and prefix length fd2 on the device a */
    PN_STEP_WRITE,      /* write b to the file a: a sysctl, of the kind fd */
    PN_STEP_RLIMIT,     /* prlimit(fd, soft = flags, hard = the 8 bytes at a) */
};

/* The flags of mount steps: MOUNT_ATTR_* in the lower half. */
#define PN_MOUNT_ATTRIBUTES 0xffffffffULL
#define PN_MOUNT_IN_ROOT (1ULL << 32)    /* below the root under construction: the cwd */
#define PN_MOUNT_AS_ROOT (1ULL << 33)    /* it is that root */
#define PN_MOUNT_CREATE (1ULL << 34)     /* make what is missing of the target */
#define PN_MOUNT_RECURSIVE (1ULL << 35)  /* a bind of a whole tree */
#define PN_MOUNT_MISSING_OK (1ULL << 36) /* what is not there needs no mask, copy or bind */
#define PN_MOUNT_PLAIN (1ULL << 37)      /* a file written in place, not mounted */
#define PN_MOUNT_USERXATTR (1ULL << 38)  /* an overlay of a user namespace that is not the first */
#define PN_MOUNT_OWN_SHIFT 40            /* from here on: how much of the target is the mount point of a file
                                            system of the plan's own, below which things may be made */

/* Of an address or a sysctl: as far as this machine allows, a refusal is no failure. */
#define PN_IF_ALLOWED (1ULL << 39)

/* What a file system said about its options, or which path it was; text, ended by NUL. */
enum { PN_LOG = 192 };

struct pn_step {
    int op;
    int fd;
    int fd2;
    unsigned long long flags;
    const char *a, *b, *c, *d;
};

#endif
