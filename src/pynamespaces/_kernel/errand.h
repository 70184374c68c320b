/* An errand in other namespaces: what the caller fills in and reads back.  The same text is in the cdef. */
#ifndef PN_ERRAND_H
#define PN_ERRAND_H

#include "steps.h"

/* What is made there, after the steps. */
enum pn_errand_op {
    PN_ERRAND_NONE,
    PN_ERRAND_HOLD,   /* descriptors of the namespaces of these kinds: arguments[0] */
    PN_ERRAND_SOCKET, /* socket(arguments) */
    PN_ERRAND_OPEN,   /* open(path, arguments[0], arguments[1]) */
    PN_ERRAND_TAP,    /* a tun or tap interface called path, with the IFF_* flags arguments[0] */
};

struct pn_errand {
    const struct pn_step *steps;
    int count;
    int op;
    int arguments[3];
    const char *path;
    int fds[8];
    int failed;
    int answer;
    char log[PN_LOG];
};

#endif
