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
    PN_STEP_MOUNT,      /* mount(a, b, c, flags, d) */
    PN_STEP_INIT,       /* PID 1 of the new pid namespace: each executor has its own way */
    PN_STEP_SET_IDS,    /* setresuid(fd), setresgid(fd2), if this user namespace does not map ours */
    PN_STEP_CAPABILITIES, /* keep those in flags (fd = 1), or only clear the inheritable ones */
    PN_STEP_NO_NEW_PRIVS, /* prctl(PR_SET_NO_NEW_PRIVS, 1) */
    PN_STEP_RLIMIT,     /* prlimit(fd, soft = flags, hard = the 8 bytes at a) */
};

struct pn_step {
    int op;
    int fd;
    int fd2;
    unsigned long long flags;
    const char *a, *b, *c, *d;
};

#endif
