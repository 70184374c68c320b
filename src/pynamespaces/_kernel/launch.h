/* Launching a command: what the caller fills in and reads back.  The same text is in the cdef. */
#ifndef PN_LAUNCH_H
#define PN_LAUNCH_H

#include "steps.h"

enum { PN_STACK = 65536 };

/* How the command comes into being. */
enum pn_way {
    PN_DIRECT, /* one clone3 with the new kinds; the child does the steps and execs */
    PN_HELPER, /* a helper does the outer steps and makes init and command, as our own children */
    PN_COPY,   /* the same with a copied helper: the kernel lets nobody who shares memory join a time namespace */
};

struct pn_launch {
    /* in */
    int way;
    int wait;      /* stop after the new user namespace is there, until pn_launch_go */
    int image;     /* with an init: the program, else -1 */
    int close_fds; /* close all but 0-2 and pass_fds */
    int restore_signals, new_session, process_group, umask, set_gid, set_uid, set_groups, death_signal;
    int cgroup;    /* a descriptor, or -1 */
    int stdio[3];  /* what becomes 0, 1, 2; -1 leaves it */
    unsigned gid, uid;
    unsigned long long flags; /* PN_DIRECT: the new kinds */
    const struct pn_step *outer, *inner, *late; /* late: after the ids have changed */
    int outer_count, inner_count, late_count, groups_count, pass_count, paths_count;
    const unsigned *groups;
    const int *pass_fds; /* sorted */
    char *const *paths, *const *argv, *const *envp;
    const char *cwd;
    /* out */
    int pid, pidfd, init_pidfd, helper;
    int failed; /* which step: outer, then inner, then late ones; or PN_FAILED_* */
    int error;  /* its -errno, or 0 */
    char log[PN_LOG]; /* the failed step's own words */
    /* between the two */
    int ready, go, alive, mother;
    unsigned long long mask;
    char stack[PN_STACK], inner_stack[PN_STACK], init_stack[PN_STACK];
};

enum { PN_FAILED_CLONE = 1000, PN_FAILED_INIT, PN_FAILED_STDIO, PN_FAILED_CWD, PN_FAILED_SESSION, PN_FAILED_GROUP,
       PN_FAILED_GROUPS, PN_FAILED_GID, PN_FAILED_UID, PN_FAILED_EXEC };

#endif
