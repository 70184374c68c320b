"""``#include <sched.h>``: unshare(2), setns(2), and the calling thread's namespaces."""

from __future__ import annotations

from pynamespaces._kernel._ffi import lib
from pynamespaces._kernel.answers import checked


def unshare(flags: int) -> None:
    """``unshare(flags)``: new namespaces for the calling thread (for pid and time: for its children)."""
    checked(lib.pn_unshare(flags), "unshare")


def setns(fd: int, kinds: int) -> None:
    """``setns(fd, kinds)``: the calling thread into a namespace, or into several of a pidfd's process."""
    checked(lib.pn_setns(fd, kinds), "setns")


def unshare_fs() -> None:
    """``unshare(CLONE_FS)``: cwd, root and umask of this thread's own; cannot be undone."""
    checked(lib.pn_unshare(lib.CLONE_FS), "unshare(CLONE_FS)")


def alone() -> bool:
    """Is this thread the only one, and its memory shared with nobody?

    ``unshare(CLONE_THREAD)`` changes nothing and succeeds exactly then (unshare(2)); unlike a look
    at /proc/self/task it needs no /proc, and it is what the kernel asks for user and time.
    """
    return lib.pn_unshare(lib.CLONE_THREAD) >= 0


def current(kind: int, *, for_children: bool = False) -> int:
    """A descriptor of the calling thread's namespace (pid, time: its own, or that of its children)."""
    return checked(lib.pn_current(kind, not for_children), "open the current namespace")


def sched_yield() -> None:
    """``sched_yield()``."""
    lib.pn_yield()


def has_capability(capability: int) -> bool:
    """``capget(2)``: has the calling thread this capability in its effective set?"""
    return bool(checked(lib.pn_has_capability(capability), "capget"))
