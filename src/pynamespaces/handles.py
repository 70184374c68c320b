"""Namespace: one namespace held open."""

from __future__ import annotations

import os

from pynamespaces import causes, kinds, procfs
from pynamespaces._kernel import nsfs, pidfd, sched
from pynamespaces.errors import NamespaceError, refusal
from pynamespaces.ids import NamespaceId
from pynamespaces.kinds import Kind, Row
from pynamespaces.pidfds import open_process, warn_unclosed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import TracebackType
    from typing import NoReturn, Self, TypeAlias

    from pynamespaces.pidfds import Process

    PathLike: TypeAlias = "str | os.PathLike[str]"


class NotANamespace(NamespaceError, ValueError):
    """What the path or descriptor names is no namespace, or one of another kind than asked (EINVAL)."""


class Held:
    """A descriptor with as many owners as hold a share in it; closed with the last.

    A loud one says so (ResourceWarning) when its last share is dropped rather than closed.
    """

    __slots__ = ("fd", "loud", "shares")

    def __init__(self, fd: int, *, loud: bool) -> None:
        self.fd: int = fd
        self.loud: bool = loud
        self.shares: int = 1

    def release(self) -> None:
        """Give one share back."""
        self.shares -= 1
        if self.shares == 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


_bare = object.__new__


class Namespace:
    """One namespace, held open by a descriptor.

    Equal are two of the same kind and id (and serial, where both know it), also after `close`.
    Made by `current`, `of`, `at`, `of_socket`; close it, or use it in a ``with`` block.
    """

    __slots__ = ("__weakref__", "_held", "id", "kind", "row", "serial")

    kind: Kind
    id: NamespaceId  #: (device, inode), used again once the namespace is gone
    serial: int | None  #: the 64-bit id that is never used again; None before Linux 6.18

    row: Row
    _held: Held | None

    def __init__(self) -> None:
        self._held = None
        raise TypeError("use Namespace.current, .of, .at or .of_socket")

    @classmethod
    def _adopt(cls, fd: int, row: Row, *, loud: bool = True) -> Namespace:
        """Own a descriptor that is known to be a namespace of this kind."""
        self = object.__new__(cls)
        self._held = None
        try:
            dev, ino, self.serial = nsfs.identity(fd)
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError):
                raise causes.refused(error, f"fstat of a {row.name} namespace") from None
            raise
        self._held = Held(fd, loud=loud)
        self.kind = row.kind
        self.row = row
        self.id = NamespaceId(dev, ino)
        return self

    def _share(self) -> Namespace:
        """Another owner of the same descriptor."""
        held = self._held
        if held is None:
            held = self._hold()
        other = _bare(Namespace)
        other._held = held
        held.shares += 1
        other.kind, other.row, other.id, other.serial = self.kind, self.row, self.id, self.serial
        return other

    @staticmethod
    def current(kind: Kind | str, /, *, for_children: bool = False) -> Namespace:
        """The calling thread's namespace.

        Args:
            kind: a single kind.
            for_children: of pid and time, the one that this thread's new children go to.
        """
        row = kinds.row(kind)
        try:
            fd = sched.current(row.flag, for_children=for_children)
        except OSError as error:
            raise causes.refused(error, f"open this thread's {row.name} namespace") from None
        return Namespace._adopt(fd, row)

    @staticmethod
    def of(target: Process, kind: Kind | str, /, *, for_children: bool = False) -> Namespace:
        """A process's namespace, free of races: the process is held by its pidfd while it is read.

        Args:
            target: a process id (an int is always one; also a thread's), a Popen of ours or subprocess's, or a PidFd.
            kind: a single kind.
            for_children: of pid and time, the one that its new children go to.

        Raises:
            ProcessLookupError: it has ended (ESRCH).
            PermissionError: it may not be inspected (EACCES: ptrace(2) access mode PTRACE_MODE_READ).
        """
        row = kinds.row(kind)
        held, ours = open_process(target)
        try:
            return of_pidfd(held, row, for_children=for_children)
        finally:
            if ours:
                os.close(held)

    @staticmethod
    def at(path: PathLike, /, kind: Kind | str | None = None) -> Namespace:
        """The namespace that a file stands for: a bind mount, or a link in /proc/PID/ns.

        Args:
            path: the file.
            kind: refuse any other kind than this one.

        Raises:
            FileNotFoundError: there is no such file (ENOENT).
            NotANamespace: a file that is no namespace, or one of another kind: a NamespaceError and a ValueError.
        """
        row = None if kind is None else kinds.row(kind)
        name = os.fspath(path)
        try:
            return from_fd(open_nsfs(name), name, row)
        except NamespaceError:
            raise
        except OSError as error:
            raise causes.refused(error, f"open {name}", filename=name) from None

    @staticmethod
    def of_socket(sock: socket.socket | int, /) -> Namespace:
        """The net namespace that a socket lives in: the one of the thread that made it (``SIOCGSKNS``).

        Raises:
            PermissionError: no CAP_NET_ADMIN over that namespace (EPERM).
            NotSupported: not a socket (ENOTTY, ENOTSOCK).
        """
        row = kinds.row(Kind.NET)
        fd = sock if isinstance(sock, int) else sock.fileno()
        try:
            answer = nsfs.of_socket(fd)
        except OSError as error:
            raise causes.refused(error, f"ioctl(SIOCGSKNS) of descriptor {fd}") from None
        return Namespace._adopt(answer, row)

    def owner(self) -> Namespace:
        """The user namespace that owns this one (``NS_GET_USERNS``).

        Raises:
            PermissionError: it lies outside this thread's own user namespace (EPERM).
        """
        return self._relative(nsfs.owner, "NS_GET_USERNS")

    def parent(self) -> Namespace:
        """The parent (``NS_GET_PARENT``); only user and pid namespaces have one.

        Raises:
            ValueError: another kind.
            PermissionError: it is the initial one, or its parent lies outside this thread's own (EPERM).
        """
        if self.kind not in (Kind.USER, Kind.PID):
            raise ValueError(f"only user and pid namespaces have a parent, not {self.kind}")
        return self._relative(nsfs.parent, "NS_GET_PARENT", kind=self.kind)

    @property
    def owner_uid(self) -> int:
        """The uid that created this user namespace, or the one that owns this (``NS_GET_OWNER_UID``)."""
        if self.kind is not Kind.USER:
            with self.owner() as owner:
                return owner.owner_uid
        try:
            return nsfs.owner_uid(self.fileno())
        except OSError as error:
            raise causes.refused(error, f"ioctl(NS_GET_OWNER_UID) of {self.id.text(self.kind)}") from None

    def persist(self, path: PathLike, /) -> None:
        """Keep it by a bind mount, at a path or under a saved name; see `NamespaceSet.persist`.

        ``Namespace.current("net").persist("/run/netns/blue")`` is seen by ``ip netns``.
        """
        from pynamespaces import persistence

        persistence.persist_one(self, path)

    def host_pids(self) -> list[int]:
        """The processes that are visible in this pid namespace, by their numbers in the caller's."""
        from pynamespaces import pids

        return pids.host_pids(self)

    def fileno(self) -> int:
        """The descriptor; ValueError once closed."""
        return self._hold().fd

    def close(self) -> None:
        """Give up this share of the descriptor; harmless twice."""
        held, self._held = self._held, None
        if held is not None:
            held.release()

    @property
    def closed(self) -> bool:
        return self._held is None

    def __enter__(self) -> Self:
        self._hold()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        held = getattr(self, "_held", None)
        if held is not None:
            try:
                if held.loud and held.shares == 1:
                    warn_unclosed(self)
            finally:
                self.close()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Namespace):
            return NotImplemented
        if self.kind is not other.kind or self.id != other.id:
            return False
        return self.serial is None or other.serial is None or self.serial == other.serial

    def __hash__(self) -> int:
        return hash((self.row.flag, self.id.dev, self.id.ino))

    def __repr__(self) -> str:
        return f"<Namespace {self.id.text(self.kind)}{', closed' if self._held is None else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Namespace holds a descriptor of this process and cannot be pickled")

    def _hold(self) -> Held:
        if self._held is None:
            raise ValueError(f"this Namespace is closed: {self!r}")
        return self._held

    def _relative(self, call: Callable[[int], int], name: str, kind: Kind = Kind.USER) -> Namespace:
        try:
            fd = call(self.fileno())
        except OSError as error:
            hint = "the initial namespace has none, and one outside this thread's own user namespace is out of reach"
            step = f"ioctl({name}) of {self.id.text(self.kind)}"
            raise refusal(
                error.errno or 0, step=step, hint=hint if isinstance(error, PermissionError) else None
            ) from None
        return Namespace._adopt(fd, kinds.row(kind), loud=self._hold().loud)


def of_pidfd(held: int, row: Row, *, for_children: bool = False, loud: bool = True) -> Namespace:
    """A namespace of the process behind a pidfd."""
    step = f"open the {row.name} namespace of process {procfs.pid_of_pidfd(held)}"
    try:
        fd = pidfd.namespace(held, row.flag, for_children=for_children)
        if fd is None:  # before 6.11: /proc by number, then see that it was still the same process
            fd = procfs.open_namespace(procfs.pid_of_pidfd(held), row, for_children=for_children)
            if not pidfd.alive(held):
                os.close(fd)
                raise ProcessLookupError(3, os.strerror(3))
    except FileNotFoundError:
        raise refusal(3, step=step) from None
    except PermissionError as error:
        hint = "it may not be inspected from here: ptrace(2) access mode PTRACE_MODE_READ_FSCREDS"
        raise causes.refused(error, step, hint=hint) from None
    except OSError as error:
        raise causes.refused(error, step) from None
    return Namespace._adopt(fd, row, loud=loud)


def from_fd(fd: int, name: str, row: Row | None = None, *, loud: bool = True) -> Namespace:
    """Adopt a descriptor that may be anything; `name` is for the error."""
    try:
        if not nsfs.is_namespace(fd):
            raise NotANamespace(22, "not a namespace", step=f"open {name}")
        found = kinds.row_of_flag(nsfs.kind(fd))
        if row is not None and found is not row:
            text = f"a {found.name} namespace, where {row.name} was asked for"
            raise NotANamespace(22, text, step=f"open {name}")
    except BaseException:
        os.close(fd)
        raise
    return Namespace._adopt(fd, found, loud=loud)


def from_fds(fds: list[int], name: str) -> list[Namespace]:
    """Adopt several that may be dropped open: all, or none is left open."""
    found: list[Namespace] = []
    try:
        with causes.naming(f"open {name}"):
            for fd in fds:
                found.append(from_fd(fd, name, loud=False))
    except BaseException:
        for fd in fds[len(found) + 1 :]:
            os.close(fd)
        for namespace in found:
            namespace.close()
        raise
    return found


def open_nsfs(name: str) -> int:
    """A descriptor of the namespace that a path leads to; NotANamespace if it is something else."""
    # O_PATH first: opening a FIFO or a device for reading may block or do things.
    probe = os.open(name, os.O_PATH | os.O_CLOEXEC)
    try:
        if not nsfs.is_namespace(probe):
            raise NotANamespace(22, "not a namespace", step=f"open {name}")
    finally:
        os.close(probe)
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
