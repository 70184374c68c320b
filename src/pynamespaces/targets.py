"""What `enter` takes, resolved to a NamespaceSet: a set, a namespace, a process, a path or a saved name."""

from __future__ import annotations

import os

from pynamespaces import blocks, kinds, persistence
from pynamespaces._kernel import sched
from pynamespaces.handles import Namespace
from pynamespaces.pidfds import PidFd
from pynamespaces.sets import NamespaceSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from pynamespaces.kinds import KindLike
    from pynamespaces.pidfds import Process
    from pynamespaces.store import PathLike

    Target: TypeAlias = "NamespaceSet | Namespace | Process | PathLike"


def enter(target: Target, /, *kinds_: KindLike) -> blocks.Block:
    """A ``with`` block (or decorator) in existing namespaces; the thread comes back exactly to where it was.

    Args:
        target: a NamespaceSet, a Namespace, a process (its id, a Popen, a PidFd), a path, or a saved name; a str
            without "/" is a name; with "/", or any os.PathLike, it is a path.
        kinds_: of these kinds only; without any, all in which the target differs from this thread.  Kinds that are the
            same already are never joined.

    Returns:
        a block whose ``as`` is the NamespaceSet that was entered.

    Raises:
        NotPermitted: CAP_SYS_ADMIN is missing over the target or over the way home (EPERM), setns(2).
        NotInABlock: a user namespace among them: no thread can leave one again.
        FileNotFoundError: no such name or path; ProcessLookupError: the process has ended.
        KeyError: the target has no namespace of a kind that was asked for.
        RestoreError: the way back failed; this thread is spent.
    """
    if isinstance(target, Namespace) and not kinds_:
        return blocks.Enter(None, (target,))
    if isinstance(target, NamespaceSet):
        return target.enter(*kinds_)
    kinds.parse(*kinds_)
    if isinstance(target, int):  # held now: a number may be another process's later
        target = PidFd.open(target)
        target._loud = False
    elif not isinstance(target, (Namespace, PidFd, str, os.PathLike)) and not hasattr(target, "returncode"):
        raise TypeError(f"cannot enter {target!r}: expected a NamespaceSet, Namespace, process, path or saved name")
    return blocks.Enter(lambda: resolve(target, kinds_))


def rejoin(name: PathLike, /, *kinds_: KindLike, store: PathLike | None = None) -> blocks.Block:
    """A ``with`` block in what was persisted under a name, or at a path; see `enter`.

    An ordinary user runs commands and functions inside instead: ``NamespaceSet.at(name).run(...)``.

    Raises:
        FileNotFoundError: nothing is kept there.
        Stale: what was kept is gone (ESTALE).
        ValueError: a bad name.
    """
    kinds.parse(*kinds_)
    return blocks.Enter(lambda: _chosen(NamespaceSet._adopt(persistence.open_saved(name, store=store)), kinds_))


def resolve(target: Namespace | Process | PathLike, kinds_: tuple[KindLike, ...]) -> NamespaceSet:
    """The namespaces of a target, as a set that the caller owns; see `enter`."""
    if isinstance(target, Namespace):
        return _chosen(NamespaceSet([target]), kinds_)
    if isinstance(target, (str, os.PathLike)):
        return _chosen(NamespaceSet._adopt(persistence.open_saved(target)), kinds_)
    if kinds_:
        return _quiet(NamespaceSet.of(target, *kinds_))
    with NamespaceSet.of(target) as found, _quiet(_current()) as here:
        return _quiet(found.only(found.differences(here)))


def _current() -> NamespaceSet:
    """Where this thread's children would go, in all kinds."""
    return NamespaceSet._adopt(
        [Namespace._adopt(sched.current(row.flag, for_children=True), row, loud=False) for row in kinds.TABLE]
    )


def _chosen(found: NamespaceSet, kinds_: tuple[KindLike, ...]) -> NamespaceSet:
    if not kinds_:
        return found
    with found:
        return found.only(*kinds_)


def _quiet(found: NamespaceSet) -> NamespaceSet:
    for namespace in found.values():
        namespace._hold().loud = False
    return found
