"""``#include <sys/prctl.h>``: what a process says of itself."""

from __future__ import annotations

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
