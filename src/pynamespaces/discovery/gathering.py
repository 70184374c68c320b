"""What a census is made from: the notes that the sources take, by namespace."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from pynamespaces import handles, kinds
from pynamespaces._kernel import nsfs, scan
from pynamespaces.discovery.found import Bind, Found, Process
from pynamespaces.errors import refusal
from pynamespaces.ids import NamespaceId
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Any, TypeAlias

    from pynamespaces.kinds import Row

    Key: TypeAlias = tuple[int, int]  #: (CLONE_NEW* value, inode)
    Fact: TypeAlias = tuple[Any, ...]  #: as `scan.TASK` unpacks it; [3] the parent, [5] threads, [8] the start

USER = kinds.row("user").flag
PID = kinds.row("pid").flag
MNT = kinds.row("mnt").flag
NET = kinds.row("net").flag
PLACES = {row.flag: place for place, row in enumerate(kinds.TABLE)}
#: Two more links behind those of the table's kinds.
FOR_CHILDREN = ((8, kinds.row("pid").flag), (9, kinds.row("time").flag))


@value(frozen=True)
class Unseen:
    """Something that could not be looked at, counted: the census may lack what only these hold."""

    source: str  #: which source met it
    count: int | None  #: how many; None: it cannot be told
    why: str

    def __str__(self) -> str:
        return f"{self.source}: {self.why}" if self.count is None else f"{self.source}: {self.count} {self.why}"


class Note:
    """What is known of one namespace so far."""

    __slots__ = ("binds", "children", "fds", "names", "pidfds", "processes", "relations", "sockets", "threads")

    def __init__(self) -> None:
        self.processes: list[int] = []
        self.threads: list[int] = []
        self.children: list[int] = []
        self.fds: list[tuple[int, int]] = []
        self.sockets: list[tuple[int, int]] = []
        self.pidfds: list[tuple[int, int]] = []
        self.binds: list[Bind] = []
        self.names: list[str] = []
        self.relations: tuple[int, ...] | None = None


class Gathering:
    """The notes of one census while it is taken; closed with its descriptor of /proc.

    Args:
        wanted: the kinds that are asked for.
        sources: names of the sources.
        proc: where proc is mounted.
    """

    def __init__(self, wanted: tuple[Row, ...], sources: Collection[str], proc: str = "/proc") -> None:
        self.wanted = wanted
        self.flags: int = sum(row.flag for row in wanted)
        self.sources = sources
        self.path = proc
        self.workers: int = scan.workers()
        self.notes: dict[Key, Note] = {}
        self.groups: dict[bytes, list[int]] = {}  #: processes by their links, as the scan wrote them
        self.links: dict[int, bytes] = {}  #: of every process that could be read
        self.facts: dict[int, Fact] = {}  #: `scan.TASK` of processes and loose threads
        self.loose: dict[int, int] = {}  #: thread -> its process
        self.unasked: set[Key] = set()  #: of which no relations could be had
        self.missed: dict[tuple[str, str], int | None] = {}
        self.device: int = 0
        try:
            self.proc: int = os.open(proc, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self.device = os.stat(f"{proc}/thread-self/ns/net").st_dev
        except FileNotFoundError:
            if not os.path.isdir(proc):
                raise refusal(errno.ENOENT, step=f"open {proc}", hint="proc is not mounted here") from None

    def close(self) -> None:
        os.close(self.proc)

    def note(self, flag: int, inode: int) -> Note:
        """The note of a namespace, begun where there is none."""
        key = flag, inode
        try:
            return self.notes[key]
        except KeyError:
            note = self.notes[key] = Note()
            return note

    def miss(self, source: str, why: str, count: int | None = 1) -> None:
        """Count something that could not be seen."""
        before = self.missed.get((source, why), 0)
        self.missed[source, why] = None if count is None or before is None else before + count

    def link(self, pid: int, flag: int) -> int:
        """The inode of a process's namespace, by what the scan read; 0 where it could not be."""
        found = self.links.get(pid)
        return 0 if found is None else scan.LINKS.unpack(found)[PLACES[flag]]

    def fact(self, pid: int) -> Fact | None:
        """What /proc/PID/stat says: from the scan, or read now."""
        found = self.facts.get(pid)
        if found is None and pid > 0:
            from array import array

            one = array("i", [pid])
            found = scan.TASK.unpack(scan.tasks(self.proc, one, one, scan.FACTS, 1))
            self.facts[pid] = found
        return found if found and found[8] else None

    def members(self, flag: int, inode: int) -> list[int]:
        """The processes in a namespace, also where nobody asked for them."""
        note = self.notes.get((flag, inode))
        found = note.processes if note is not None else []
        if found or "processes" in self.sources:
            return found
        place = PLACES[flag]
        return [pid for links, pids in self.groups.items() if scan.LINKS.unpack(links)[place] == inode for pid in pids]

    def open(self, flag: int, inode: int) -> int:
        """A descriptor of a namespace through who was seen to hold it; -1 where that leads nowhere (any more)."""
        note = self.note(flag, inode)
        row = kinds.row_of_flag(flag)
        here = Found(row.kind, NamespaceId(0, inode), None, None, None, None, tuple(self.members(flag, inode)), None,
                     tuple(note.threads), tuple(note.children), tuple(note.fds))  # fmt: skip
        for way in (*here.links, *self._bound(note)):
            try:
                fd = handles.open_nsfs(self.path + way[5:] if way.startswith("/proc/") else way)
            except OSError:
                continue
            if os.fstat(fd).st_ino == inode and nsfs.kind(fd) == flag:
                return fd
            os.close(fd)
        return -1

    def _bound(self, note: Note) -> Iterable[str]:
        """The bind mounts of a namespace, as paths through a process that sees them."""
        for bind in note.binds[:5]:
            yield bind.path
            for pid in self.members(MNT, bind.mnt.ino)[:2]:
                yield f"/proc/{pid}/root{bind.path}"

    def adopt(self, fd: int, *, above: bool = True) -> Note:
        """Ask an open namespace about itself; begin a note on it, and on owners and parents that have none."""
        relations = scan.relations(fd)
        _, inode, flag, _, owner, parent, *_ = relations
        note = self.note(flag, inode)
        note.relations = relations
        for related, of, ask in ((USER, owner, nsfs.owner), (flag, parent, nsfs.parent)):
            if above and of and self.flags & related and (related, of) not in self.notes:
                try:
                    other = ask(fd)
                except OSError:
                    continue
                try:
                    self.adopt(other)
                finally:
                    os.close(other)
        return note

    def rows(self) -> tuple[Found, ...]:
        """What was found: by kind, in the table's order, and inode."""
        keys = [key for key in self.notes if key[0] & self.flags]
        keys.sort(key=lambda key: (PLACES[key[0]], key[1]))
        first = self._first()
        return tuple([self._row(*key, first) for key in keys])

    def _row(self, flag: int, inode: int, first: dict[int, int]) -> Found:
        note = self.notes[flag, inode]
        device, _, _, serial, owner, parent, uid, _, _ = note.relations or (0, 0, 0, 0, 0, 0, -1, 0, 0)
        device = device or self.device
        return Found(
            kinds.row_of_flag(flag).kind,
            NamespaceId(device, inode),
            serial or None,
            NamespaceId(device, owner) if owner else None,
            NamespaceId(device, parent) if parent else None,
            None if uid < 0 else uid,
            tuple(sorted(note.processes)),
            self._leader(flag, note.processes, first) if note.processes else None,
            tuple(sorted(note.threads)),
            tuple(sorted(note.children)),
            tuple(sorted(note.fds)),
            tuple(sorted(note.sockets)),
            tuple(sorted(note.pidfds)),
            tuple(sorted(note.binds, key=lambda bind: (bind.mnt.ino, bind.path))),
            tuple(sorted(set(note.names))),
        )

    def _first(self) -> dict[int, int]:
        """Each process's place by age, where the scan read their facts."""
        order = sorted((fact[8], pid) for pid, fact in self.facts.items() if pid in self.links)
        return {pid: place for place, (_, pid) in enumerate(order)}

    def _leader(self, flag: int, members: list[int], age: dict[int, int]) -> int:
        """The oldest member; by the lowest number and then up its parents where ages are not known."""
        if len(members) == 1:
            return members[0]
        if len(age) == len(self.links):
            return min(members, key=age.__getitem__)
        found = min(members)
        inode = self.link(found, flag)
        for _ in range(64):
            fact = self.fact(found)
            if fact is None or self.link(fact[3], flag) != inode:
                break
            found = fact[3]
        return found

    def processes(self) -> Mapping[int, Process]:
        """Everyone whose facts were read, by number."""
        return Seen({pid: fact for pid, fact in sorted(self.facts.items()) if fact[8]})

    def unseen(self) -> tuple[Unseen, ...]:
        return tuple([Unseen(source, count, why) for (source, why), count in self.missed.items()])


class Seen(Mapping[int, Process]):
    """Processes by number, each made when it is looked at."""

    __slots__ = ("_facts",)

    def __init__(self, facts: dict[int, Fact]) -> None:
        self._facts = facts

    def __getitem__(self, pid: int) -> Process:
        return _process(self._facts[pid])

    def __iter__(self) -> Iterator[int]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


def _process(fact: Fact) -> Process:
    _, tid, _, parent, uid, threads, _, state, started, _, name = fact
    text = name.rstrip(b"\0").decode("utf-8", "surrogateescape")
    return Process(tid, parent, text, uid, started, threads, chr(state or 63))
