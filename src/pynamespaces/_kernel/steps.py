"""steps.c: the operations that a plan is made of, each done by one C function."""

from __future__ import annotations

from pynamespaces._kernel._ffi import ffi, lib

JOIN = lib.PN_STEP_JOIN
UNSHARE = lib.PN_STEP_UNSHARE
MAP_IDS = lib.PN_STEP_MAP_IDS
CLOCKS = lib.PN_STEP_CLOCKS
HOSTNAME = lib.PN_STEP_HOSTNAME
DOMAINNAME = lib.PN_STEP_DOMAINNAME
LOOPBACK = lib.PN_STEP_LOOPBACK
PROPAGATE = lib.PN_STEP_PROPAGATE
MOUNT = lib.PN_STEP_MOUNT
INIT = lib.PN_STEP_INIT
SET_IDS = lib.PN_STEP_SET_IDS
CAPABILITIES = lib.PN_STEP_CAPABILITIES
NO_NEW_PRIVS = lib.PN_STEP_NO_NEW_PRIVS
RLIMIT = lib.PN_STEP_RLIMIT

MS_NOSUID = lib.MS_NOSUID
MS_NODEV = lib.MS_NODEV
MS_NOEXEC = lib.MS_NOEXEC
MS_REC = lib.MS_REC
MS_PRIVATE = lib.MS_PRIVATE
MS_SLAVE = lib.MS_SLAVE
MS_SHARED = lib.MS_SHARED
MS_UNBINDABLE = lib.MS_UNBINDABLE


def do(
    op: int,
    fd: int,
    fd2: int,
    flags: int,
    a: bytes | None,
    b: bytes | None,
    c: bytes | None,
    d: bytes | None,
    *,
    in_child: bool = False,
) -> int:
    """Do one step in the calling thread: >= 0, or -errno (the caller knows the step's name for the error).

    With `in_child` a child does it that shares all but the pid namespace with the thread.
    """
    null = ffi.NULL
    call = lib.pn_step_in_child if in_child else lib.pn_step
    return call(
        op,
        fd,
        fd2,
        flags,
        null if a is None else a,
        null if b is None else b,
        null if c is None else c,
        null if d is None else d,
    )
