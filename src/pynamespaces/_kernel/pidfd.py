"""``#include <linux/pidfd.h>``: processes held rather than named."""

from __future__ import annotations

from pynamespaces._kernel._ffi import lib
from pynamespaces._kernel.answers import checked


def pidfd_open(pid: int, *, thread: bool = False) -> int:
    """``pidfd_open(pid, flags)``: ESRCH if there is none; EINVAL/ENOENT for a thread's id without `thread`."""
    return checked(lib.pn_pidfd_open(pid, lib.PIDFD_THREAD if thread else 0), "pidfd_open")


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """``pidfd_getfd``: a copy of another process's descriptor; needs ptrace access to it."""
    return checked(lib.pn_pidfd_getfd(pidfd, fd), "pidfd_getfd")


def send_signal(pidfd: int, signal: int) -> None:
    """``pidfd_send_signal``: ESRCH once the process has been reaped."""
    checked(lib.pn_pidfd_send_signal(pidfd, signal), "pidfd_send_signal")


def namespace(pidfd: int, kind: int, *, for_children: bool = False) -> int | None:
    """``PIDFD_GET_*_NAMESPACE``: a descriptor; None where the kernel (before 6.11) has no such call."""
    answer = lib.pn_of(pidfd, kind) if for_children else lib.pn_of_now(pidfd, kind)
    return None if answer == -25 else checked(answer, "ioctl(PIDFD_GET_NAMESPACE)")


def alive(pidfd: int, milliseconds: int = 0) -> bool:
    """Has the process not ended yet?  (A zombie has.)  Waits so long for it to end."""
    return checked(lib.pn_pidfd_alive(pidfd, milliseconds), "poll") == 1


def reap(pidfd: int) -> bool:
    """``waitid(P_PIDFD, WNOHANG)``: True once our child is reaped, whoever did it."""
    return checked(lib.pn_pidfd_reap(pidfd), "waitid") == 1
