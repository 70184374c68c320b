"""Rows below one another: by owner, by parent, or as their processes are."""

from __future__ import annotations

from pynamespaces.kinds import Kind
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pynamespaces.discovery.found import Found, Process
    from pynamespaces.ids import NamespaceId


@value(frozen=True)
class Branch:
    """A namespace and what is below it."""

    row: Found
    below: tuple[Branch, ...] = ()

    def __iter__(self) -> Iterator[Found]:
        """This row, then all below it, top first."""
        yield self.row
        for branch in self.below:
            yield from branch


def grow(rows: Iterable[Found], processes: Mapping[int, Process], by: str) -> tuple[Branch, ...]:
    """See `Census.tree`."""
    rows = tuple(rows)
    ways: dict[str, Callable[[Found], Found | None]] = {}
    users = {row.id: row for row in rows if row.kind is Kind.USER}
    same = {(row.kind, row.id): row for row in rows}

    def to(kind: Kind, identity: NamespaceId | None) -> Found | None:
        return None if identity is None else same.get((kind, identity))

    ways["owner"] = lambda row: users.get(row.owner) if row.owner is not None else None
    ways["parent"] = lambda row: to(row.kind, row.parent)
    ways["process"] = _by_process(rows, processes)
    if by not in ways:
        raise ValueError(f"a tree is by 'owner', 'parent' or 'process', got {by!r}")
    below: dict[tuple[Kind, NamespaceId] | None, list[Found]] = {}
    for row in rows:
        above = ways[by](row)
        below.setdefault(None if above is None or above is row else (above.kind, above.id), []).append(row)
    return tuple([_branch(row, below) for row in below.get(None, [])])


def _branch(row: Found, below: Mapping[tuple[Kind, NamespaceId] | None, list[Found]]) -> Branch:
    return Branch(row, tuple([_branch(other, below) for other in below.get((row.kind, row.id), [])]))


def _by_process(rows: tuple[Found, ...], processes: Mapping[int, Process]) -> Callable[[Found], Found | None]:
    """The namespace of the same kind that the leader's parent is in, or the first other one further up."""
    home = {(row.kind, pid): row for row in rows for pid in row.processes}

    def above(row: Found) -> Found | None:
        pid = row.leader
        for _ in range(len(processes)):
            process = processes.get(pid) if pid is not None else None
            if process is None:
                return None
            pid = process.parent
            found = home.get((row.kind, pid))
            if found is not None and found is not row:
                return found if _older(found, row, processes) else None
        return None

    return above


def _older(one: Found, other: Found, processes: Mapping[int, Process]) -> bool:
    """No circle: two may each have a member whose parent is in the other."""
    first, second = (processes.get(row.leader) if row.leader is not None else None for row in (one, other))
    return first is not None and second is not None and (first.started, first.pid) < (second.started, second.pid)
