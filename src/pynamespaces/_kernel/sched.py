"""``#include <sched.h>``: unshare(2), setns(2), and the calling thread's namespaces."""

from __future__ import annotations

import os

from pynamespaces._kernel._ffi import ffi, lib
from pynamespaces._kernel.answers import checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EPERM, EINVAL, ENOSYS = 1, 22, 38
_INTS = ffi.typeof("int[]")


def _ints(count: int) -> Any:
    return ffi.new(_INTS, count)


#: The order in which a thread goes into several kinds, as in calls.c.
ORDER = (
    lib.CLONE_NEWNET,
    lib.CLONE_NEWUTS,
    lib.CLONE_NEWIPC,
    lib.CLONE_NEWCGROUP,
    lib.CLONE_NEWTIME,
    lib.CLONE_NEWPID,
    lib.CLONE_NEWNS,
)


def unshare(flags: int) -> None:
    """``unshare(flags)``: new namespaces for the calling thread (for pid and time: for its children)."""
    checked(lib.pn_unshare(flags), "unshare")


def setns(fd: int, kinds: int) -> None:
    """``setns(fd, kinds)``: the calling thread into a namespace, or into several of a pidfd's process."""
    checked(lib.pn_setns(fd, kinds), "setns")


def alone() -> bool:
    """Is this thread the only one, and its memory shared with nobody?

    ``unshare(CLONE_THREAD)`` changes nothing and succeeds exactly then (unshare(2)); unlike a look
    at /proc/self/task it needs no /proc, and it is what the kernel asks for user and time.
    """
    answer = lib.pn_unshare(lib.CLONE_THREAD)
    if answer in (-EPERM, -ENOSYS):  # a seccomp filter's word, not the kernel's
        try:
            return os.stat("/proc/self/task").st_nlink <= 3
        except OSError:
            return True
    return answer >= 0


def current(kind: int, *, for_children: bool = False) -> int:
    """A descriptor of the calling thread's namespace (pid, time: its own, or that of its children)."""
    return checked(lib.pn_current(kind, not for_children), "open the current namespace")


def homes(kinds: int, targets: bytes | None = None) -> tuple[int, list[int]]:
    """The ways home of the calling thread, opened before anything changes.

    Args:
        kinds: CLONE_NEW* flags.
        targets: (device, inode) pairs as native 64-bit numbers, one for each kind in `ORDER`.

    Returns:
        0 and a descriptor for each kind in `ORDER`, -1 for a kind that is in its target already; or -errno and the
        kind for which there is none.  EPERM: its owner lies outside this thread's user namespace.
    """
    fds = _ints(8)
    answer = lib.pn_homes(kinds, ffi.NULL if targets is None else targets, fds)
    return (0, [fds[i] for i in range(answer)]) if answer >= 0 else (answer, [fds[0]])


def enter(targets: bytes, count: int) -> tuple[int, list[int], int, int]:
    """Go into existing namespaces, all or none, by one call; not for time and user.

    Args:
        targets: for each (kind, descriptor, device, inode) as "=iiQQ", in the order of `ORDER`.
        count: how many.

    Returns:
        0, the way back from each, -1 where the thread was there already, and root and cwd, -1 where mnt was not
        changed; or -errno and the kind that was refused.
    """
    homes = _ints(10)
    answer = lib.pn_enter(targets, count, homes)
    if answer < 0:
        return answer, [homes[0]], -1, -1
    return 0, ffi.unpack(homes, count), homes[8], homes[9]  # type: ignore[return-value]


#: ``return_home(pairs, count)``: all ways of a block, (home, kind) as "=ii" each, then root and cwd; 0, or -errno.
return_home = lib.pn_leave


def differ(kinds: int, targets: bytes) -> int:
    """The kinds (CLONE_NEW*) in which this thread's children would not be in these targets; as `homes` takes them."""
    return checked(lib.pn_differ(kinds, targets), "compare with this thread's namespaces")


#: ``visit(kind, fd, device, inode)``: the same for one namespace; its way home, HERE, or -errno.
visit = lib.pn_visit
HERE = lib.PN_HERE

#: ``leave(home, kind)``: setns(2) and close; 0, or -errno and it is still open.
leave = lib.pn_return


def go(fd: int, kind: int) -> int:
    """``setns(fd, kind)``: >= 0, or -errno; with mnt, cwd and umask are first parted from other threads' if need be."""
    answer = lib.pn_setns(fd, kind)
    if answer == -EINVAL and kind == lib.CLONE_NEWNS and lib.pn_unshare(lib.CLONE_FS) >= 0:
        answer = lib.pn_setns(fd, kind)
    return answer


def sched_yield() -> None:
    """``sched_yield()``."""
    lib.pn_yield()


def has_capability(capability: int) -> bool:
    """``capget(2)``: has the calling thread this capability in its effective set?"""
    return bool(checked(lib.pn_has_capability(capability), "capget"))
