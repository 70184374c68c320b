"""Census: what was found, as rows to look up, to filter, to compare and to print."""

from __future__ import annotations

from pynamespaces import kinds as kinds_
from pynamespaces.discovery import trees
from pynamespaces.discovery.found import Found
from pynamespaces.discovery.gathering import Gathering
from pynamespaces.handles import Namespace
from pynamespaces.ids import NamespaceId
from pynamespaces.kinds import Kind
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Literal, TypeAlias

    from pynamespaces.discovery.found import Process
    from pynamespaces.discovery.gathering import Unseen
    from pynamespaces.discovery.trees import Branch
    from pynamespaces.kinds import KindLike

    Key: TypeAlias = "int | str | Found | NamespaceId | Namespace | tuple[Kind | str, NamespaceId | int]"
    Source: TypeAlias = Literal[
        "processes", "children", "threads", "fds", "sockets", "pidfds", "kernel", "mounts", "owners", "names"
    ]


@value(frozen=True)
class Difference:
    """What changed from one census to a later one."""

    appeared: tuple[Found, ...]
    gone: tuple[Found, ...]
    changed: tuple[tuple[Found, Found], ...]  #: the same namespace before and after, held by others or named otherwise

    def __bool__(self) -> bool:
        return bool(self.appeared or self.gone or self.changed)

    def __str__(self) -> str:
        lines = [f"+ {row.text}" for row in self.appeared] + [f"- {row.text}" for row in self.gone]
        return "\n".join(lines + [f"~ {after.text}" for _, after in self.changed])


class Census:
    """The namespaces that were found, in a stable order: by kind as in `Kind`, then by inode.

    Made by `discover`; iterates over its rows (`Found`).  It holds nothing open: `Found.open` does, while it lives.

    Attributes:
        rows: all of them.
        processes: who was seen, by process id (and by thread id, of threads that are apart from their process).
        unseen: what could not be looked at, counted and said.
    """

    __slots__ = ("_asked", "_by_inode", "processes", "rows", "unseen")

    rows: tuple[Found, ...]
    processes: Mapping[int, Process]
    unseen: tuple[Unseen, ...]

    def __init__(
        self,
        rows: Iterable[Found],
        processes: Mapping[int, Process],
        unseen: Iterable[Unseen] = (),
        asked: tuple[Kind, tuple[Source, ...], str] | None = None,
    ) -> None:
        self.rows = tuple(rows)
        self.processes = processes
        self.unseen = tuple(unseen)
        self._asked = asked
        self._by_inode = {row.id.ino: row for row in self.rows}

    def __iter__(self) -> Iterator[Found]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> Found:
        """The row of a namespace: by its id, inode number, text ("net:[4026531840]"), (kind, id), Namespace or row.

        Raises:
            KeyError: it is not in this census.
        """
        found = self.get(key)
        if found is None:
            raise KeyError(f"{key!r} is not in this census")
        return found

    def get(self, key: Key) -> Found | None:
        """The same, or None."""
        kind: Kind | None = None
        serial: int | None = None
        if isinstance(key, (Namespace, Found)):
            kind, serial, key = key.kind, key.serial, key.id
        elif isinstance(key, str):
            kind, key = NamespaceId.parse(key)
        elif isinstance(key, tuple):
            kind, key = kinds_.row(key[0]).kind, key[1]
        inode = key.ino if isinstance(key, NamespaceId) else key
        found = self._by_inode.get(inode)
        if found is None or (kind is not None and found.kind is not kind):
            return None
        if isinstance(key, NamespaceId) and key.dev and key.dev != found.id.dev:
            return None
        return None if None not in (serial, found.serial) and serial != found.serial else found

    def __contains__(self, key: object) -> bool:
        if isinstance(key, Found):
            return key in self.rows
        try:
            return self.get(key) is not None  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return False

    def of(self, *kinds: KindLike) -> tuple[Found, ...]:
        """The rows of some kinds."""
        wanted = kinds_.combined(kinds_.parse(*kinds))
        return tuple([row for row in self.rows if row.kind in wanted])

    def holding(self, pid: int) -> tuple[Found, ...]:
        """The rows that a process (or thread apart) holds: as a member, for its children, by a descriptor or socket."""
        return tuple([row for row in self.rows if pid in _holders(row)])

    def where(
        self,
        test: Callable[[Found], bool] | None = None,
        *,
        kinds: KindLike = (),
        owner: Key | None = None,
        parent: Key | None = None,
        owner_uid: int | None = None,
        name: str | None = None,
        held_by: str | None = None,
    ) -> Census:
        """The rows that pass all of these, as a census.

        Args:
            test: called with each row.
            kinds: of these kinds.
            owner: owned by this user namespace.
            parent: whose parent is this namespace.
            owner_uid: created or owned by this uid.
            name: kept under this name.
            held_by: with a holder of this sort, as `Found.holders` names them; "nothing": with none.
        """
        wanted = kinds_.combined(kinds_.parse(kinds)) or Kind.ALL
        above = None if owner is None else self[owner].id
        over = None if parent is None else self[parent].id

        def passes(row: Found) -> bool:
            return (
                row.kind in wanted
                and (above is None or row.owner == above)
                and (over is None or row.parent == over)
                and (owner_uid is None or row.owner_uid == owner_uid)
                and (name is None or name in row.names)
                and (held_by is None or (held_by in row.holders if held_by != "nothing" else not row.holders))
                and (test is None or test(row))
            )

        return Census([row for row in self.rows if passes(row)], self.processes, self.unseen, self._asked)

    def tree(self, by: Literal["owner", "parent", "process"] = "owner") -> tuple[Branch, ...]:
        """The rows below one another.

        Args:
            by: "owner": below the user namespace that owns each; "parent": user and pid below their parents;
                "process": below the namespace of the leader's parent.

        Returns:
            the roots; each `Branch` has a ``.row`` and the branches ``.below`` it.
        """
        return trees.grow(self.rows, self.processes, by)

    def difference(self, older: Census, /) -> Difference:
        """What appeared, what went and what changed since an older census."""
        before = {_identity(row): row for row in older.rows}
        after = {_identity(row): row for row in self.rows}
        return Difference(
            tuple([row for key, row in after.items() if key not in before]),
            tuple([row for key, row in before.items() if key not in after]),
            tuple([(before[key], row) for key, row in after.items() if key in before and before[key] != row]),
        )

    __sub__ = difference

    def refresh(self) -> Census:
        """Another census of the same kinds from the same sources, now."""
        if self._asked is None:
            raise ValueError("this Census was not made by discover")
        kinds, sources, proc = self._asked
        return discover(kinds, sources=sources, proc=proc)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, in the schema that the reference documents (version 1)."""
        return {
            "version": 1,
            "namespaces": [_plain(row) for row in self.rows],
            "processes": [
                {name: getattr(process, name) for name in process.__match_args__} for process in self.processes.values()
            ],
            "unseen": [{"source": item.source, "count": item.count, "why": item.why} for item in self.unseen],
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """The same as JSON."""
        import json

        return json.dumps(self.to_dict(), indent=indent)

    def __repr__(self) -> str:
        return f"<Census of {len(self.rows)} namespaces, {len(self.processes)} processes>"


def discover(kinds: KindLike = (), *, sources: Iterable[Source] | None = None, proc: str = "/proc") -> Census:
    """Find the namespaces of this machine, and who holds each; nothing is entered and nothing stays open.

    Args:
        kinds: of these kinds only; by default all eight.
        sources: where to look; by default everywhere: "processes", "children" (pid and time for children), "threads",
            "fds", "sockets", "pidfds", "kernel", "mounts", "owners", "names".
        proc: where proc is mounted.

    Returns:
        a Census; what this user may not see is counted in its ``unseen``, and no error.

    Raises:
        ValueError: an unknown kind or source.
        FileNotFoundError: proc is not mounted there (ENOENT).
    """
    from pynamespaces.discovery.sources import SOURCES

    rows = kinds_.parse(kinds) or kinds_.TABLE
    names = tuple(SOURCES) if sources is None else tuple(sources)
    unknown: list[str] = [name for name in names if name not in SOURCES]
    if unknown:
        raise ValueError(f"unknown source {unknown[0]!r}: expected some of {', '.join(SOURCES)}")
    gathering = Gathering(rows, frozenset(names), proc)
    try:
        asked = [SOURCES["processes"][0], *[function for name, (function, _) in SOURCES.items() if name in names]]
        for function in dict.fromkeys(asked):  # descriptors are looked at once for all that they lead to
            function(gathering)
        found = gathering.rows()
        return Census(
            found, gathering.processes(), gathering.unseen(), (kinds_.combined(rows), names, proc)  # type: ignore[arg-type]
        )  # fmt: skip
    finally:
        gathering.close()


def _holders(row: Found) -> set[int]:
    held = {pid for sort in (row.fds, row.sockets, row.pidfds) for pid, _ in sort}
    return held.union(row.processes, row.threads, row.for_children)


def _identity(row: Found) -> tuple[object, ...]:
    return row.kind, row.id, row.serial


def _plain(row: Found) -> dict[str, Any]:
    return {
        "type": str(row.kind),
        "ns": row.id.ino,
        "dev": row.id.dev,
        "serial": row.serial,
        "owner": row.owner and row.owner.ino,
        "parent": row.parent and row.parent.ino,
        "owner_uid": row.owner_uid,
        "nprocs": row.nprocs,
        "leader": row.leader,
        "processes": list(row.processes),
        "threads": list(row.threads),
        "for_children": list(row.for_children),
        "fds": [list(pair) for pair in row.fds],
        "sockets": [list(pair) for pair in row.sockets],
        "pidfds": [list(pair) for pair in row.pidfds],
        "binds": [{"path": bind.path, "mnt": bind.mnt.ino} for bind in row.binds],
        "names": list(row.names),
    }
