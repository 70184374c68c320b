"""steps.c: the operations that a plan is made of, each done by one C function."""

from __future__ import annotations

from pynamespaces._kernel._ffi import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pynamespaces.plan import Step

JOIN = lib.PN_STEP_JOIN
UNSHARE = lib.PN_STEP_UNSHARE
MAP_IDS = lib.PN_STEP_MAP_IDS
CLOCKS = lib.PN_STEP_CLOCKS
HOSTNAME = lib.PN_STEP_HOSTNAME
DOMAINNAME = lib.PN_STEP_DOMAINNAME
LOOPBACK = lib.PN_STEP_LOOPBACK
PROPAGATE = lib.PN_STEP_PROPAGATE
FS = lib.PN_STEP_FS
DEVICES = lib.PN_STEP_DEVICES
BIND = lib.PN_STEP_BIND
OVERLAY = lib.PN_STEP_OVERLAY
FILE = lib.PN_STEP_FILE
MASK = lib.PN_STEP_MASK
MKDIR = lib.PN_STEP_MKDIR
SYMLINK = lib.PN_STEP_SYMLINK
PIVOT = lib.PN_STEP_PIVOT
INIT = lib.PN_STEP_INIT
SET_IDS = lib.PN_STEP_SET_IDS
CAPABILITIES = lib.PN_STEP_CAPABILITIES
NO_NEW_PRIVS = lib.PN_STEP_NO_NEW_PRIVS
ADDRESS = lib.PN_STEP_ADDRESS
WRITE = lib.PN_STEP_WRITE
RLIMIT = lib.PN_STEP_RLIMIT

#: Of ADDRESS and WRITE: a refusal is no failure.
IF_ALLOWED = lib.PN_IF_ALLOWED

#: Flags of the mount steps: see steps.h.
IN_ROOT = lib.PN_MOUNT_IN_ROOT
AS_ROOT = lib.PN_MOUNT_AS_ROOT
CREATE = lib.PN_MOUNT_CREATE
RECURSIVE = lib.PN_MOUNT_RECURSIVE
MISSING_OK = lib.PN_MOUNT_MISSING_OK
PLAIN = lib.PN_MOUNT_PLAIN
USERXATTR = lib.PN_MOUNT_USERXATTR
OWN_SHIFT = lib.PN_MOUNT_OWN_SHIFT
RDONLY = lib.MOUNT_ATTR_RDONLY
NOSUID = lib.MOUNT_ATTR_NOSUID
NODEV = lib.MOUNT_ATTR_NODEV
NOEXEC = lib.MOUNT_ATTR_NOEXEC

MS_REC = lib.MS_REC
MS_PRIVATE = lib.MS_PRIVATE
MS_SLAVE = lib.MS_SLAVE
MS_SHARED = lib.MS_SHARED
MS_UNBINDABLE = lib.MS_UNBINDABLE

_STEPS = ffi.typeof("struct pn_step[]")
_CHARS = ffi.typeof("char[]")


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
    said: list[str] | None = None,
) -> int:
    """Do one step in the calling thread: >= 0, or -errno (the caller knows the step's name for the error).

    With `in_child` a child does it that shares all but the pid namespace with the thread.  What a file system said
    of its options is appended to `said`.
    """
    log = ffi.NULL if said is None else ffi.new("int[]", lib.PN_LOG // 4)
    null = ffi.NULL
    call = lib.pn_step_in_child if in_child else lib.pn_step
    answer = call(
        op,
        fd,
        fd2,
        flags,
        null if a is None else a,
        null if b is None else b,
        null if c is None else c,
        null if d is None else d,
        log,
    )
    if answer < 0 and said is not None:
        said.append(text(ffi.cast("char *", log)))
    return answer


def text(log: Any) -> str:
    """What a step's log has, as one line."""
    said = ffi.string(log, lib.PN_LOG)
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def array(todo: Sequence[Step], alive: list[Any]) -> Any:
    """Steps as C reads them; what must live as long as the array is appended to `alive`."""
    if not todo:
        return ffi.NULL
    rows = []
    for step in todo:
        row: list[Any] = [step.op, step.fd, step.fd2, step.flags]
        for given in (step.a, step.b, step.c, step.d):
            if given is None:
                row.append(ffi.NULL)
            else:
                alive.append(ffi.from_buffer(_CHARS, given + b"\0"))
                row.append(alive[-1])
        rows.append(row)
    alive.append(ffi.new(_STEPS, rows))
    return alive[-1]
