"""``#include <sys/prctl.h>``: what a process says of itself."""

from __future__ import annotations

import os
from _thread import RLock

from pynamespaces._kernel._ffi import lib
from pynamespaces._kernel.answers import checked


def dumpable() -> int:
    """``PR_GET_DUMPABLE``: 1, or 0 after privileges were dropped (2: readable by root only)."""
    return checked(lib.pn_prctl(lib.PR_GET_DUMPABLE, 0, 0, 0), "prctl(PR_GET_DUMPABLE)")


def set_dumpable(value: int) -> None:
    """``PR_SET_DUMPABLE``: while it is 0, /proc/PID belongs to root."""
    checked(lib.pn_prctl(lib.PR_SET_DUMPABLE, value, 0, 0), "prctl(PR_SET_DUMPABLE)")


def set_death_signal(signal: int) -> None:
    """``PR_SET_PDEATHSIG``: sent to this process when the thread that made it ends."""
    checked(lib.pn_prctl(lib.PR_SET_PDEATHSIG, signal, 0, 0), "prctl(PR_SET_PDEATHSIG)")


class sharing:  # noqa: N801 (reads as a verb)
    """While a child shares this process's memory: what it does to the dumpable flag, which is shared, is undone.

    Args:
        hidden: the child goes into an existing user namespace, whose root may trace every process in it (ptrace(2)):
            it must not reach our memory through the child.  It does not while the flag is 0.
    """

    __slots__ = ("_hidden",)

    def __init__(self, hidden: bool) -> None:
        self._hidden = hidden

    def __enter__(self) -> None:
        global _sharing, _before, _prepared
        with _lock:
            if not _prepared:
                _prepared = True
                os.register_at_fork(after_in_child=_forked)
            if _sharing == 0:
                _before = dumpable()
            _sharing += 1
            if self._hidden:
                set_dumpable(0)

    def __exit__(self, *_: object) -> None:
        global _sharing
        with _lock:
            _sharing -= 1
            if _sharing == 0 and _before == 1 and dumpable() != 1:
                set_dumpable(1)


class readable:  # noqa: N801 (reads as a verb)
    """While /proc/PID of this process or its child is written: it belongs to root unless we are dumpable (proc(5))."""

    __slots__ = ("_was",)

    def __enter__(self) -> None:
        _lock.acquire()
        self._was = dumpable()
        if self._was == 0:
            set_dumpable(1)

    def __exit__(self, *_: object) -> None:
        if self._was == 0:
            set_dumpable(0)
        _lock.release()


#: Reentrant: a child may be made while /proc is to be readable (`errands.make_user`).
_lock = RLock()
_sharing = 0
_before = 1
_prepared = False


def _forked() -> None:
    """A child that another thread forks meanwhile shares nothing."""
    global _lock, _sharing
    _lock = RLock()
    if _sharing and _before == 1:
        set_dumpable(1)
    _sharing = 0
