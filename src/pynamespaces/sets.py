"""NamespaceSet: existing namespaces, one of a kind at most; pure data with an algebra, and a place to run in."""

from __future__ import annotations

import os
from _collections_abc import ItemsView, KeysView, Mapping
from struct import pack

from pynamespaces import causes, handles, kinds, pidfds
from pynamespaces._kernel import sched
from pynamespaces.handles import Namespace
from pynamespaces.kinds import Kind
from pynamespaces.places import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import NoReturn, Self, TypeVar, overload

    from pynamespaces.blocks import Block
    from pynamespaces.handles import PathLike
    from pynamespaces.kinds import KindLike
    from pynamespaces.persistence import Persisted
    from pynamespaces.pidfds import Process
    from pynamespaces.plan import Plan

    T = TypeVar("T")
else:
    from pynamespaces.places import overload

_NONE = Kind(0)


class NamespaceSet(Place, Mapping["Kind | str", Namespace]):
    """An immutable mapping from Kind to Namespace, in the order mnt, uts, ipc, net, pid, user, cgroup, time.

    It holds its own share in each namespace: closing what it was made from does not close it, nor the other way round.

    Args:
        namespaces: at most one of each kind.

    Raises:
        ValueError: two of one kind, or one that is closed.
    """

    __slots__ = ("__weakref__", "_by_flag", "_planned", "missing", "preserve_credentials")

    _planned: tuple[bytes, int, Plan] | None  # the ids to compare, what differed last, and the plan for that
    missing: Kind  #: the optional kinds that this machine refused to a block
    preserve_credentials: bool  #: commands inside keep user and group even where they are nobody

    def __init__(self, namespaces: Iterable[Namespace] = ()) -> None:
        self._by_flag: dict[int, Namespace] = {}
        self.missing = Kind(0)
        self.preserve_credentials = False
        self._planned = None
        given: dict[int, Namespace] = {}
        for namespace in namespaces:
            if not isinstance(namespace, Namespace):
                raise TypeError(f"expected Namespace objects, got {namespace!r}")
            if namespace.closed:
                raise ValueError(f"this Namespace is closed: {namespace!r}")
            if given.setdefault(namespace.row.flag, namespace) is not namespace:
                raise ValueError(f"two {namespace.row.name} namespaces: a set has at most one of each kind")
        self._by_flag = {row.flag: given[row.flag]._share() for row in kinds.TABLE if row.flag in given}

    @classmethod
    def _adopt(cls, namespaces: Iterable[Namespace], missing: Kind | None = None) -> Self:
        """Own these very namespaces, which the caller gives away."""
        self = cls.__new__(cls)
        by_flag = {namespace.row.flag: namespace for namespace in namespaces}
        if len(by_flag) > 1:
            by_flag = {row.flag: by_flag[row.flag] for row in kinds.TABLE if row.flag in by_flag}
        self._by_flag = by_flag
        self.missing = missing or _NONE
        self.preserve_credentials = False
        self._planned = None
        return self

    @classmethod
    def _alone(cls, namespace: Namespace) -> Self:
        """A share of one namespace."""
        self = cls.__new__(cls)
        self._by_flag = {namespace.row.flag: namespace._share()}
        self.missing = _NONE
        self.preserve_credentials = False
        self._planned = None
        return self

    @classmethod
    def current(cls, *kinds_: KindLike) -> Self:
        """The calling thread's namespaces, of these kinds or of all eight."""
        opened: list[Namespace] = []
        try:
            for row in kinds.parse(*kinds_) or kinds.TABLE:
                opened.append(Namespace.current(row.kind))
        except BaseException:
            _close(opened)
            raise
        return cls._adopt(opened)

    @classmethod
    def of(cls, target: Process, /, *kinds_: KindLike) -> Self:
        """A process's namespaces, of these kinds or of all eight: all of one and the same process.

        Args:
            target: a process id, a Popen of ours or subprocess's, or a PidFd.

        Raises:
            ProcessLookupError: it has ended (ESRCH).
            PermissionError: it may not be inspected (EACCES: ptrace(2)).
        """
        wanted = kinds.parse(*kinds_) or kinds.TABLE
        held, ours = pidfds.open_process(target)
        opened: list[Namespace] = []
        try:
            for row in wanted:
                opened.append(handles.of_pidfd(held, row))
        except BaseException:
            _close(opened)
            raise
        finally:
            if ours:
                os.close(held)
        return cls._adopt(opened)

    @classmethod
    def at(cls, name: PathLike, /, *kinds_: KindLike) -> Self:
        """What was kept under a saved name, or the namespaces that a directory's files (or one file) stand for.

        A str without "/" is a saved name; with "/", or any os.PathLike, it is a path.

        Raises:
            FileNotFoundError: no such name or path.
            ValueError: a bad name; a path that holds no namespace.
        """
        from pynamespaces import persistence

        found: Self = cls._adopt(persistence.open_saved(name))
        if not kinds_:
            return found
        with found:
            return found.only(*kinds_)

    @property
    def kinds(self) -> Kind:
        """The kinds in it, as one Kind."""
        flags = 0
        for flag in self._by_flag:
            flags |= flag
        return Kind(flags)

    def only(self, *kinds_: KindLike) -> Self:
        """A set of these kinds alone; KeyError if one is not there."""
        wanted = kinds.parse(*kinds_)
        return self._sharing([self[row.kind] for row in wanted])

    def without(self, *kinds_: KindLike) -> Self:
        """A set of all the other kinds."""
        unwanted = [row.flag for row in kinds.parse(*kinds_)]
        return self._sharing([ns for flag, ns in self._by_flag.items() if flag not in unwanted])

    def __or__(self, other: NamespaceSet) -> Self:
        """Both; of a kind that is in both, the right one's."""
        if not isinstance(other, NamespaceSet):
            return NotImplemented
        return self._sharing((self._by_flag | other._by_flag).values())

    def differences(self, other: NamespaceSet, /) -> Kind:
        """The kinds in which the two differ, those that only one of them has included."""
        flags = 0
        for flag in self._by_flag.keys() | other._by_flag.keys():
            if self._by_flag.get(flag) != other._by_flag.get(flag):
                flags |= flag
        return Kind(flags)

    def enter(self, *kinds_: KindLike) -> Block:
        """A ``with`` block in these namespaces; see `pynamespaces.enter`."""
        from pynamespaces import blocks

        if kinds_:
            return blocks.Enter(None, tuple([self[row.kind] for row in kinds.parse(*kinds_)]))
        return blocks.Enter(None, tuple(self._by_flag.values()))

    def plan(self) -> Plan:
        """The steps to there: what differs from where this thread's children go, in an order that the kernel allows.

        Namespaces that the target's user namespace does not own are joined before it, the others after it.
        """
        from pynamespaces import plan

        if self._planned is None:
            ordered = [self._by_flag[flag] for flag in (*sched.ORDER, Kind.USER.value) if flag in self._by_flag]
            ids = b"".join([pack("=QQ", namespace.id.dev, namespace.id.ino) for namespace in ordered])
        else:
            ids = self._planned[0]
        with causes.naming("compare with this thread's namespaces"):
            differ = sched.differ(sum(self._by_flag), ids) if ids else 0
        for namespace in self._by_flag.values():
            namespace.fileno()
        if self._planned is not None and self._planned[1] == differ:
            return self._planned[2]
        todo = [namespace for namespace in self._by_flag.values() if namespace.row.flag & differ]
        user = next((namespace for namespace in todo if namespace.kind is Kind.USER), None)
        others = [namespace for namespace in todo if namespace is not user]
        first = [] if user is None else [namespace for namespace in others if not _owned(namespace, user)]
        order = [*first, *([user] if user else []), *[namespace for namespace in others if namespace not in first]]
        order.sort(key=lambda namespace: namespace.kind is Kind.MNT and namespace not in first)
        steps = [plan.join(ns.fileno(), ns.row, ns.id.text(ns.kind)) for ns in order]
        if user is not None and not self.preserve_credentials:
            steps.append(plan.set_ids(0, 0))
        planned = plan.Plan([*steps, plan.capabilities(None)])
        if user is None:  # what a user namespace owns depends on who asks
            self._planned = ids, differ, planned
        return planned

    def persist(self, name: PathLike, /, *, store: PathLike | None = None) -> None:
        """Keep these namespaces after their last process, under a saved name or in a directory.

        Each kind becomes a bind mount ``<store>/<name>/<kind>``; the name appears whole or not at all.  Where a bind
        mount cannot do it (pid namespaces; ordinary users) a tiny keeper process holds them.

        Args:
            name: a str without "/" is a name in the store; with "/", or any os.PathLike, it is a directory to make.
            store: instead of $PYNAMESPACES_STORE, /run/pynamespaces, or $XDG_RUNTIME_DIR/pynamespaces.

        Raises:
            FileExistsError: the name is taken.
            ValueError: a bad name.
        """
        from pynamespaces import persistence

        persistence.persist(self, name, store=store)

    def persisted(self, name: PathLike, /, *, store: PathLike | None = None) -> Persisted:
        """A ``with`` block for whose length they are kept under a name."""
        from pynamespaces import persistence

        return persistence.Persisted(self, name, store=store)

    def close(self) -> None:
        """Give up this set's share in each; harmless twice."""
        _close(self._by_flag.values())

    @property
    def closed(self) -> bool:
        return any(namespace.closed for namespace in self._by_flag.values())

    def __enter__(self) -> Self:
        for namespace in self._by_flag.values():
            namespace.fileno()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __getitem__(self, kind: Kind | str, /) -> Namespace:
        row = kinds.row(kind)
        try:
            return self._by_flag[row.flag]
        except KeyError:
            raise KeyError(f"no {row.name} namespace in this set (it has {self.kinds})") from None

    def __contains__(self, kind: object, /) -> bool:
        try:
            return kinds.row(kind).flag in self._by_flag  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return False

    @overload
    def get(self, kind: object, /) -> Namespace | None: ...
    @overload
    def get(self, kind: object, default: Namespace | T, /) -> Namespace | T: ...
    def get(self, kind: object, default: object = None, /) -> object:
        """The namespace of a kind, or the default; never raises."""
        return self[kind] if kind in self else default  # type: ignore[index]  # noqa: SIM401

    def __iter__(self) -> Iterator[Kind]:
        return iter([namespace.kind for namespace in self._by_flag.values()])

    def keys(self) -> KeysView[Kind]:
        return KeysView(self)

    def items(self) -> ItemsView[Kind, Namespace]:
        return ItemsView(self)

    def __len__(self) -> int:
        return len(self._by_flag)

    def __eq__(self, other: object) -> bool:
        return self._by_flag == other._by_flag if isinstance(other, NamespaceSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._by_flag.values()))

    def __repr__(self) -> str:
        inside = ", ".join(namespace.id.text(namespace.kind) for namespace in self._by_flag.values())
        return f"<NamespaceSet {inside}{', closed' if self.closed else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a NamespaceSet holds descriptors of this process and cannot be pickled")

    def _sharing(self, namespaces: Iterable[Namespace]) -> Self:
        return self._adopt([namespace._share() for namespace in namespaces])


def _close(namespaces: Iterable[Namespace]) -> None:
    for namespace in namespaces:
        namespace.close()


def _owned(namespace: Namespace, user: Namespace) -> bool:
    """Is it owned by this user namespace, or by one below it?"""
    try:
        owner = namespace.owner()
    except PermissionError:
        return False
    for _ in range(40):
        with owner:
            if owner == user:
                return True
            try:
                above = owner.parent()
            except PermissionError:
                return False
        owner = above
    owner.close()
    return False
