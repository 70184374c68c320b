"""The few exceptions of our own.

Every refusal of the kernel is a NamespaceError, an OSError with its errno, and also the builtin that people catch
(PermissionError, FileNotFoundError, …).  Bad arguments are plain ValueError and TypeError, before any call.
"""

from __future__ import annotations

import errno as _errno


class NamespaceError(OSError):
    """The kernel refused a step.

    Attributes:
        errno: the kernel's.
        step: which call of which kind, on what: ``"setns(net) /run/netns/blue"``.
        hint: the cause that was found and what to change, or None.
    """

    step: str
    hint: str | None

    def __init__(self, errno: int, text: str, /, *, step: str = "", hint: str | None = None) -> None:
        message = f"{step}: {text}" if step else text
        super().__init__(errno, f"{message} ({hint})" if hint else message)
        self.step = step
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.errno, self.strerror, self.step, self.hint, self.filename)


class NotPermitted(NamespaceError, PermissionError):
    """A capability, an owner or a policy is missing (EPERM, EACCES)."""


class NotFound(NamespaceError, FileNotFoundError):
    """No such file, name or namespace (ENOENT)."""


class AlreadyExists(NamespaceError, FileExistsError):
    """The name is taken (EEXIST)."""


class NoSuchProcess(NamespaceError, ProcessLookupError):
    """The process has ended (ESRCH)."""


class NotADirectory(NamespaceError, NotADirectoryError):
    """A part of a path is no directory (ENOTDIR)."""


class IsADirectory(NamespaceError, IsADirectoryError):
    """A directory where a file is needed (EISDIR)."""


class NotSupported(NamespaceError):
    """This kernel cannot do it, or not in this state of the process (ENOSYS, EOPNOTSUPP, EINVAL, EUSERS)."""


class RestoreError(RuntimeError):
    """The way back failed: this thread is in namespaces it should have left, and is spent.

    Never an OSError, so that no ``except OSError`` swallows it; the kernel's error is its ``__cause__``.
    """


_CLASSES: dict[int, type[NamespaceError]] = {
    _errno.EPERM: NotPermitted,
    _errno.EACCES: NotPermitted,
    _errno.ENOENT: NotFound,
    _errno.EEXIST: AlreadyExists,
    _errno.ESRCH: NoSuchProcess,
    _errno.ENOTDIR: NotADirectory,
    _errno.EISDIR: IsADirectory,
    _errno.ENOSYS: NotSupported,
    _errno.EOPNOTSUPP: NotSupported,
    _errno.EUSERS: NotSupported,
}


def refusal(
    errno: int, *, step: str, text: str | None = None, hint: str | None = None, filename: str | None = None
) -> NamespaceError:
    """The NamespaceError of an errno: also the builtin class that belongs to it."""
    import os

    error = _CLASSES.get(errno, NamespaceError)(errno, text or os.strerror(errno), step=step, hint=hint)
    if filename is not None:
        error.filename = filename
    return error


def _rebuild(
    cls: type[NamespaceError], errno: int, message: str, step: str, hint: str | None, filename: str | None
) -> NamespaceError:
    error = cls.__new__(cls, errno, message)
    OSError.__init__(error, errno, message)
    error.step, error.hint = step, hint
    if filename is not None:
        error.filename = filename
    return error
