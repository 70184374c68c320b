"""PidFd: one process held rather than named."""

from __future__ import annotations

import os
import sys

from pynamespaces import causes, procfs
from pynamespaces._kernel import pidfd
from pynamespaces.errors import refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from types import TracebackType
    from typing import Any, Self, TypeAlias

    Process: TypeAlias = "int | subprocess.Popen[Any] | PidFd"


class PidFd:
    """A process held by its pidfd (pidfd_open(2)): its number may be used again, this cannot go astray.

    Args:
        fd: a pidfd; it is adopted, and closed with this object.

    Raises:
        ValueError: not a pidfd.
    """

    __slots__ = ("_fd", "_loud", "pid")

    def __init__(self, fd: int, /) -> None:
        self._fd = -1
        self._loud = True
        if type(fd) is not int:
            raise TypeError(f"expected a pidfd (int), got {fd!r}")
        text = procfs.read_text(f"/proc/thread-self/fdinfo/{fd}")
        if text is not None and "\nPid:" not in text:
            raise ValueError(f"descriptor {fd} is not a pidfd")
        self.pid: int = procfs.pid_of_pidfd(fd)  #: in this pid namespace, when it was opened
        self._fd = fd

    @classmethod
    def open(cls, pid: int, /) -> Self:
        """Hold the process that has this number now.

        Raises:
            ValueError: not a positive number.
            ProcessLookupError: there is none (ESRCH).
        """
        self = cls.__new__(cls)
        self._fd = -1
        self._loud = True
        self._fd = _open_pid(pid)
        self.pid = pid
        return self

    @classmethod
    def _of(cls, fd: int, pid: int) -> Self:
        """Adopt a descriptor that is known to be this process's; it may be dropped open."""
        self = cls.__new__(cls)
        self._fd, self._loud, self.pid = fd, False, pid
        return self

    def fileno(self) -> int:
        """The descriptor; ValueError once closed."""
        if self._fd < 0:
            raise ValueError("this PidFd is closed")
        return self._fd

    @property
    def closed(self) -> bool:
        return self._fd < 0

    @property
    def alive(self) -> bool:
        """Has the process not ended yet?  A zombie has."""
        return pidfd.alive(self.fileno())

    def send_signal(self, signal: int, /) -> None:
        """``pidfd_send_signal``; ProcessLookupError once it has been reaped."""
        try:
            pidfd.send_signal(self.fileno(), signal)
        except OSError as error:
            raise refusal(error.errno or 0, step=f"pidfd_send_signal({signal}) to process {self.pid}") from None

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        self.fileno()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if self._fd >= 0:
            try:
                if self._loud:
                    warn_unclosed(self)
            finally:
                self.close()

    def __repr__(self) -> str:
        return f"<PidFd of process {self.pid}{', closed' if self._fd < 0 else ''}>"


def open_process(target: Process) -> tuple[int, bool]:
    """A pidfd of a target, and whether the caller must close it."""
    if isinstance(target, PidFd):
        return target.fileno(), False
    if isinstance(target, int):
        return _open_pid(target), True
    if not hasattr(target, "pid") or not hasattr(target, "returncode"):
        raise TypeError(f"expected a process id, a Popen or a PidFd, got {target!r}")
    step = f"pidfd_open of {target!r}"
    held = getattr(target, "pidfd", None)
    if held is not None and target.returncode is None:
        return (held if isinstance(held, int) else held.fileno()), False
    # An unreaped child's number cannot be used again; so see that it was not reaped meanwhile.
    if target.returncode is None:
        fd = _open_pid(target.pid)
        if target.returncode is None:
            return fd, True
        os.close(fd)
    raise refusal(3, step=step, hint=f"it has ended with status {target.returncode}")


def _open_pid(pid: int) -> int:
    if type(pid) is not int:
        raise TypeError(f"expected a process id, got {pid!r}")
    if not 0 < pid < 2**31:
        raise ValueError(f"not a process id: {pid}; expected 1 to {2**31 - 1}")
    try:
        return pidfd.pidfd_open(pid)
    except OSError as error:
        if error.errno == 3:
            raise refusal(3, step=f"pidfd_open({pid})") from None
        if error.errno not in (2, 22):  # what a thread's number gets without PIDFD_THREAD
            raise causes.refused(error, f"pidfd_open({pid})") from None
    try:
        return pidfd.pidfd_open(pid, thread=True)
    except OSError as error:
        raise causes.refused(error, f"pidfd_open({pid}, PIDFD_THREAD)") from None


def warn_unclosed(handle: object) -> None:
    if sys.is_finalizing():  # nothing can be imported any more, and the process closes all
        return
    import warnings

    warnings.warn(f"unclosed {handle!r}", ResourceWarning, stacklevel=3, source=handle)
