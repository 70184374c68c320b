"""The eight kinds of namespace, and what the kernel allows with each: one row per kind.

See namespaces(7).  A fact about a kind is a column here, never an `if` somewhere else.
"""

from __future__ import annotations

import enum

from pynamespaces._kernel._ffi import lib
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    KindLike: TypeAlias = "Kind | str | Iterable[Kind | str]"


class Kind(enum.Flag):
    """A kind of namespace, or several: ``Kind.NET | Kind.UTS``; its value is the kernel's CLONE_NEW* flag.

    ``str(Kind.NET)`` is ``"net"``, as /proc spells it.
    """

    MNT = lib.CLONE_NEWNS
    UTS = lib.CLONE_NEWUTS
    IPC = lib.CLONE_NEWIPC
    NET = lib.CLONE_NEWNET
    PID = lib.CLONE_NEWPID
    USER = lib.CLONE_NEWUSER
    CGROUP = lib.CLONE_NEWCGROUP
    TIME = lib.CLONE_NEWTIME
    ALL = MNT | UTS | IPC | NET | PID | USER | CGROUP | TIME

    def __contains__(self, other: Kind | str) -> bool:
        """``Kind.NET in kinds``; a name does as well."""
        return super().__contains__(row(other).kind if isinstance(other, str) else other)

    def __str__(self) -> str:
        return "|".join(row.name for row in rows(self)) or "none"


class Way(enum.Enum):
    """How a block of a thread may go into namespaces of a kind."""

    THREAD = "the thread itself"
    CHILDREN = "its children only"
    NEVER = "never in a block"


@value(frozen=True)
class Row:
    """What is true of one kind."""

    kind: Kind
    name: str  #: as /proc/PID/ns spells it
    children: str  #: the link under /proc/PID/ns that new children follow
    long: str  #: util-linux's long option
    option: str  #: util-linux's short option
    since: str  #: the first kernel with it
    way: Way
    alone: bool  #: joining one needs a process with a single thread (setns(2))
    capability: str  #: what entering takes, over the namespace and over the way home
    isolates: str
    flag: int = 0  #: the CLONE_NEW* value

    def __post_init__(self) -> None:
        object.__setattr__(self, "flag", int(self.kind.value))


TABLE: tuple[Row, ...] = (
    Row(Kind.MNT, "mnt", "mnt", "mount", "m", "2.4.19", Way.THREAD, False, "CAP_SYS_ADMIN, CAP_SYS_CHROOT", "mounts"),
    Row(Kind.UTS, "uts", "uts", "uts", "u", "2.6.19", Way.THREAD, False, "CAP_SYS_ADMIN", "host and domain name"),
    Row(Kind.IPC, "ipc", "ipc", "ipc", "i", "2.6.19", Way.THREAD, False, "CAP_SYS_ADMIN",
        "System V IPC, POSIX message queues"),
    Row(Kind.NET, "net", "net", "net", "n", "2.6.24", Way.THREAD, False, "CAP_SYS_ADMIN",
        "network devices, addresses, ports"),
    Row(Kind.PID, "pid", "pid_for_children", "pid", "p", "2.6.24", Way.CHILDREN, False, "CAP_SYS_ADMIN",
        "process ids"),
    Row(Kind.USER, "user", "user", "user", "U", "3.8", Way.NEVER, True, "none to create", "user and group ids"),
    Row(Kind.CGROUP, "cgroup", "cgroup", "cgroup", "C", "4.6", Way.THREAD, False, "CAP_SYS_ADMIN",
        "the cgroup root directory"),
    Row(Kind.TIME, "time", "time_for_children", "time", "T", "5.6", Way.CHILDREN, True, "CAP_SYS_ADMIN",
        "boot and monotonic clocks"),
)  # fmt: skip

NAMES = tuple(row.name for row in TABLE)
_BY_NAME = {name: row for row in TABLE for name in (row.name, row.long)} | {"network": TABLE[3]}
_BY_FLAG = {row.flag: row for row in TABLE}


def unknown(kind: object) -> ValueError:
    """The error for what is no kind: it lists the eight."""
    return ValueError(f"unknown kind of namespace {kind!r}: expected one of {', '.join(NAMES)}")


def row(kind: Kind | str) -> Row:
    """The row of one single kind; ValueError for an unknown one and for several at once."""
    if isinstance(kind, Kind):
        found = _BY_FLAG.get(kind.value)
        if found is None:
            raise ValueError(f"expected a single kind of namespace, got {str(kind)!r}")
        return found
    if not isinstance(kind, str):
        raise TypeError(f"expected a Kind or its name, got {kind!r}")
    found = _BY_NAME.get(kind)
    if found is None:
        raise unknown(kind)
    return found


def row_of_flag(flag: int) -> Row:
    """The row of a CLONE_NEW* value."""
    return _BY_FLAG[flag]


def rows(kinds: Kind) -> Iterator[Row]:
    """The rows of each single kind in a combination, in the table's order."""
    flags = kinds.value
    return iter([row for row in TABLE if row.flag & flags])


def parse(*kinds: KindLike) -> tuple[Row, ...]:
    """The rows that names, Kinds, combinations and iterables of them ask for: each once, in the table's order.

    Raises:
        ValueError: an unknown name; the message lists the eight.
        TypeError: something that is neither a Kind nor text.
    """
    flags = _flags(kinds)
    return tuple([row for row in TABLE if row.flag & flags])


def _flags(kinds: Iterable[KindLike]) -> int:
    flags = 0
    for kind in kinds:
        if type(kind) is str:
            flags |= row(kind).flag
        elif isinstance(kind, Kind):
            flags |= kind.value
        elif isinstance(kind, (bytes, int)) or not hasattr(kind, "__iter__"):
            raise TypeError(f"expected kinds of namespace (Kind or its name), got {kind!r}")
        else:
            flags |= _flags(kind)
    return flags


def combined(rows: Iterable[Row]) -> Kind:
    """One Kind out of rows."""
    flags = 0
    for row in rows:
        flags |= row.flag
    return Kind(flags)
