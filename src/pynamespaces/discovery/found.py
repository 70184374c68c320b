"""One namespace as the census found it, and who holds it."""

from __future__ import annotations

import errno

from pynamespaces import handles, kinds, procfs
from pynamespaces._kernel import scan
from pynamespaces.errors import refusal
from pynamespaces.handles import Namespace
from pynamespaces.ids import NamespaceId
from pynamespaces.kinds import Kind
from pynamespaces.values import value


@value(frozen=True)
class Bind:
    """A bind mount of a namespace."""

    path: str  #: as it is seen in `mnt`
    mnt: NamespaceId  #: the mnt namespace that it is mounted in

    def __str__(self) -> str:
        return self.path


@value(frozen=True)
class Process:
    """A process (or thread) as it was when the census was taken."""

    pid: int
    parent: int  #: its parent's id; 0: none, or one that is out of sight
    name: str  #: at most 15 characters
    uid: int  #: effective
    started: int  #: in clock ticks after boot
    threads: int
    state: str  #: proc_pid_stat(5): "R", "S", "Z", …

    @property
    def command(self) -> str:
        """Its command line now; the name in brackets where it has none (kernel threads, zombies), or has ended."""
        text = procfs.read_text(f"/proc/{self.pid}/cmdline") or ""
        return " ".join(text.rstrip("\0").split("\0")) or f"[{self.name}]"


@value(frozen=True)
class Found:
    """One namespace, and everything that was seen to hold it.

    Equal censuses give equal rows; a row does not keep its namespace alive: `open` does.
    """

    kind: Kind
    id: NamespaceId
    serial: int | None = None  #: the 64-bit id that is never used again; None before Linux 6.18
    owner: NamespaceId | None = None  #: the owning user namespace; None if the initial one or out of sight
    parent: NamespaceId | None = None  #: of user and pid
    owner_uid: int | None = None  #: who created it (user), or its owner, as a uid of the caller's user namespace
    processes: tuple[int, ...] = ()  #: the members' ids, in order
    leader: int | None = None  #: the oldest of them
    threads: tuple[int, ...] = ()  #: ids of threads that are here while their processes are elsewhere
    for_children: tuple[int, ...] = ()  #: ids of tasks that are elsewhere, but whose new children will be here
    fds: tuple[tuple[int, int], ...] = ()  #: (process, descriptor) that refers to it
    sockets: tuple[tuple[int, int], ...] = ()  #: (process elsewhere, descriptor) of a socket that lives here
    pidfds: tuple[tuple[int, int], ...] = ()  #: (process, descriptor) of a pidfd whose process, out of sight, is here
    binds: tuple[Bind, ...] = ()  #: in this mnt namespace and in others
    names: tuple[str, ...] = ()  #: saved names and names of ``ip netns``, under which it is kept

    @property
    def paths(self) -> tuple[str, ...]:
        """The mount points of `binds`."""
        return tuple([bind.path for bind in self.binds])

    @property
    def nprocs(self) -> int:
        """How many processes are members."""
        return len(self.processes)

    @property
    def text(self) -> str:
        """``"net:[4026531840]"``."""
        return self.id.text(self.kind)

    @property
    def holders(self) -> dict[str, int]:
        """How many of each sort hold it, as ``{"processes": 3, "fds": 1}``; empty if only namespaces below it do."""
        sorts = ("processes", "threads", "for_children", "fds", "sockets", "pidfds", "binds")
        return {sort: len(found) for sort in sorts if (found := getattr(self, sort))}

    def open(self) -> Namespace:
        """Hold it: by its 64-bit id (Linux 6.18), or through who was seen to hold it.

        Raises:
            FileNotFoundError: it is gone (ENOENT).
            PermissionError: nothing that leads to it may be opened (EPERM, EACCES).
        """
        row = kinds.row(self.kind)
        denied = 0
        for way in self.links if self.serial is None else ("", *self.links):
            try:
                fd = handles.open_nsfs(way) if way else scan.open_by_id(self.serial or 0, row.flag, self.id.ino)
                namespace = handles.from_fd(fd, self.text, row)
            except OSError as error:
                if error.errno in (errno.EPERM, errno.EACCES):
                    denied = error.errno or 0
                continue
            if namespace.id == self.id and (None in (self.serial, namespace.serial) or namespace.serial == self.serial):
                return namespace
            namespace.close()
        raise refusal(denied or errno.ENOENT, step=f"open {self.text}", text=None if denied else "it is gone")

    @property
    def links(self) -> tuple[str, ...]:
        """Paths through which it could be opened here, by who was seen to hold it; the first few of each sort."""
        name = kinds.row(self.kind).name
        found = [f"/proc/{pid}/ns/{name}" for pid in (*self.processes[:5], *self.threads[:5])]
        if self.kind in (Kind.PID, Kind.TIME):
            found += [f"/proc/{pid}/ns/{name}_for_children" for pid in self.for_children[:5]]
        found += [f"/proc/{pid}/fd/{fd}" for pid, fd in self.fds[:5]]
        return (*found, *[bind.path for bind in self.binds[:5]])
