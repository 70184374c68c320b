"""Where namespaces are kept: names, directories, locks; what an entry looks like on disk.

An entry of the store is a directory ``<store>/<name>``.  Either a small tmpfs is mounted on it, with a file for each
kind on which that namespace is bound; or, where mounts would not outlive this process, it holds the socket of a keeper.
Under the lock of the store everything hidden is somebody's unfinished work.
"""

from __future__ import annotations

import errno
import os

from pynamespaces.errors import NamespaceError, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TypeAlias

    PathLike: TypeAlias = "str | os.PathLike[str]"

VARIABLE = "PYNAMESPACES_STORE"

#: In an entry: its tmpfs is attached, but not all is done; and the socket of its keeper.
UNFINISHED = ".pynamespaces-unfinished"
SOCKET = "keeper"

#: The directory, beside the entries, of those that have no name yet, or no more.
HIDDEN = ".pynamespaces"


def is_name(name: object) -> bool:
    """A str without "/" is a saved name; with "/", or any os.PathLike, it is a path."""
    if isinstance(name, str):
        return "/" not in name
    if isinstance(name, os.PathLike):
        return False
    raise TypeError(f"expected a saved name (str) or a path, got {name!r}")


def check_name(name: str) -> str:
    """Return a valid name.

    Raises:
        ValueError: empty, longer than 200 bytes, or one that could climb out of the store.
    """
    if not name or name.startswith(".") or "/" in name or not name.isprintable() or len(os.fsencode(name)) > 200:
        raise ValueError(
            f"not a name to save under: {name!r}; expected 1 to 200 printable characters without '/', not beginning "
            "with '.'"
        )
    return name


def check_path(path: PathLike) -> str:
    """Return a path as an absolute str.

    Raises:
        ValueError: an empty one, or one with NUL.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"expected a str or a path of str, got {path!r}")
    if not text or "\0" in text:
        raise ValueError(f"not a path: {text!r}")
    return os.path.abspath(text)


def default() -> str:
    """$PYNAMESPACES_STORE; /run/pynamespaces for root; else $XDG_RUNTIME_DIR/pynamespaces or one in /tmp."""
    given = os.environ.get(VARIABLE)
    if given:
        return os.path.abspath(given)
    uid = os.geteuid()
    if uid == 0 and os.access("/run", os.W_OK):
        return "/run/pynamespaces"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    if os.access(runtime, os.W_OK):
        return os.path.join(runtime, "pynamespaces")
    return f"/tmp/pynamespaces-{uid}"


class Store:
    """A directory of entries, locked for the length of a ``with`` block.

    Args:
        path: the directory.
        make: make it where it is missing (mode 0700 below /tmp, where others could make it first).
    """

    __slots__ = ("_make", "fd", "path")

    def __init__(self, path: str, *, make: bool) -> None:
        self.path: str = path
        self.fd: int = -1
        self._make = make

    def __enter__(self) -> Self:
        step = f"open the store {self.path}"
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        if self.path.startswith("/tmp/pynamespaces-"):  # where others could make it first: no link of theirs
            flags |= os.O_NOFOLLOW
        try:
            try:
                self.fd = os.open(self.path, flags)
            except FileNotFoundError:
                if not self._make:
                    raise
                os.makedirs(self.path, 0o700 if self.path.startswith("/tmp/") else 0o755, exist_ok=True)
                self.fd = os.open(self.path, flags)
        except OSError as error:
            raise refusal(error.errno or 0, step=step, filename=self.path) from None
        try:
            if self.path.startswith("/tmp/pynamespaces-") and os.fstat(self.fd).st_uid != os.geteuid():
                raise refusal(errno.EPERM, step=step, hint="it belongs to another user", filename=self.path)
            self._lock(step)
        except BaseException as error:
            self.__exit__(None, None, None)
            if isinstance(error, OSError) and not isinstance(error, NamespaceError):
                raise refusal(error.errno or 0, step=step, filename=self.path) from None
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def entry(self, name: str) -> str:
        """The path of an entry."""
        return os.path.join(self.path, name)

    def _lock(self, step: str) -> None:
        import fcntl
        import time

        for attempt in range(1000):
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.001 if attempt < 100 else 0.01)
        raise NamespaceError(errno.EAGAIN, "another process has held its lock for ten seconds", step=step)
