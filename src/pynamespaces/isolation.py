"""Isolation: a description of new namespaces and how they are furnished; a place to run in."""

from __future__ import annotations

import os

from pynamespaces import blocks, causes, kinds, plan
from pynamespaces._kernel import steps
from pynamespaces.clocks import ClockOffsets
from pynamespaces.kinds import Kind, Row
from pynamespaces.places import Place
from pynamespaces.plan import Plan, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from typing import Any, Literal, NoReturn, Protocol, Self, TypedDict, Unpack

    from pynamespaces.idmaps import IdMap
    from pynamespaces.kinds import KindLike
    from pynamespaces.mounts.options import Propagation
    from pynamespaces.sets import NamespaceSet
    from pynamespaces.ways_out import WayOut

    class Furniture(Protocol):
        """What `mounts` and `root` take: a value that knows its steps."""

        def steps(self) -> Iterable[Step]: ...

    class Fields(TypedDict, total=False):
        """What an `Isolation` takes by keyword; FIELDS has their defaults."""

        within: NamespaceSet | None
        ids: IdMap | None
        hostname: str | None
        domainname: str | None
        loopback: bool | Literal["host"]
        network: WayOut | Literal["pasta", "slirp4netns"] | None
        sysctl: Mapping[str, str | int] | Iterable[tuple[str, str | int]] | None
        mounts: Iterable[Furniture]
        propagation: Propagation | Literal["private", "slave", "shared", "unbindable"] | None
        root: str | PathLike[str] | Furniture | None
        proc: bool | None
        clock: ClockOffsets | None
        init: bool | None
        cgroup: str | PathLike[str] | None
        no_new_privs: bool
        capabilities: Iterable[int | str] | None
        rlimits: Mapping[int, tuple[int, int]] | Iterable[tuple[int, tuple[int, int]]] | None
        new_session: bool
        die_with_parent: bool


#: field -> (its default, the kind without which it means nothing)
FIELDS: dict[str, tuple[Any, str | None]] = {
    "within": (None, None),
    "ids": (None, "user"),
    "hostname": (None, "uts"),
    "domainname": (None, "uts"),
    "loopback": (True, None),
    "network": (None, "net"),
    "sysctl": (None, None),
    "mounts": ((), "mnt"),
    "propagation": ("private", "mnt"),
    "root": (None, "mnt"),
    "proc": (None, "mnt"),
    "clock": (None, "time"),
    "init": (None, "pid"),
    "cgroup": (None, None),
    "no_new_privs": (False, None),
    "capabilities": (None, None),
    "rlimits": (None, None),
    "new_session": (False, None),
    "die_with_parent": (True, None),
}

#: What only a child can be given: a thread could not come back from it.
CHILD_ONLY = ("within", "ids", "network", "cgroup", "no_new_privs", "capabilities", "rlimits", "new_session")


class Isolation(Place):
    """What is new inside, and how it is furnished: a frozen value, and a place with the verbs of one.

    Args:
        kinds_: which namespaces are new.
        within: existing namespaces in which the new ones are made.
        ids: with user, who is who inside; by default this user is root.  Within an existing user namespace ids outside
            are those of that one.
        hostname: with uts, at most 64 bytes.
        domainname: with uts, at most 64 bytes.
        loopback: with net, bring lo up; "host" makes it a host without a cable: documentation addresses (RFC 5737,
            RFC 3849) on lo, with which getaddrinfo's AI_ADDRCONFIG resolves, and ports below 1024 and ping for
            everybody, each as far as this machine allows.
        network: with net, a way out over this process's network: "pasta" (slirp4netns where only that is installed),
            "slirp4netns", or a ``way_out`` with ports forwarded; by default there is none.
        sysctl: {name: value} of the new namespaces; each one's kind must be among the kinds.
        mounts: with mnt, what to mount (`pynamespaces.mounts`), in this order.
        propagation: with mnt, "private", "slave", "shared", "unbindable", or None to leave it as the kernel made it.
        root: with mnt, another root directory.
        proc: with mnt, mount a fresh /proc; by default where pid is new as well.
        clock: with time, ClockOffsets.
        init: with pid, a tiny init of ours as PID 1 (the default); False makes the command PID 1.
        cgroup: a cgroup v2 directory to start in.
        no_new_privs: nothing inside can gain privileges by exec (prctl(2)).
        capabilities: which are kept ("net_admin", "CAP_NET_ADMIN" or its number); None leaves them as the kernel
            gives them.
        rlimits: resource limits as {which: (soft, hard)}, like {resource.RLIMIT_NOFILE: (64, 64)}.
        new_session: a terminal session of its own (setsid(2)).
        die_with_parent: end everything inside when this process ends.

    Raises:
        ValueError: an unknown kind, or a field whose kind is not among the kinds.
    """

    __slots__ = (*FIELDS, "kinds")

    kinds: Kind
    within: NamespaceSet | None
    ids: IdMap | None
    hostname: str | None
    domainname: str | None
    loopback: bool | Literal["host"]
    network: WayOut | str | None
    sysctl: tuple[tuple[str, str | int], ...] | None
    mounts: tuple[Furniture, ...]
    propagation: Propagation | Literal["private", "slave", "shared", "unbindable"] | None
    root: str | PathLike[str] | Furniture | None
    proc: bool | None
    clock: ClockOffsets | None
    init: bool | None
    cgroup: str | PathLike[str] | None
    no_new_privs: bool
    capabilities: frozenset[int] | None
    rlimits: tuple[tuple[int, tuple[int, int]], ...] | None
    new_session: bool
    die_with_parent: bool

    def __init__(self, *kinds_: KindLike, **fields: Unpack[Fields]) -> None:
        rows = kinds.parse(*kinds_)
        unknown = fields.keys() - FIELDS.keys()
        if unknown:
            raise TypeError(f"unknown field {min(unknown)!r}; an Isolation has {', '.join(FIELDS)}")
        if "mounts" in fields:
            fields["mounts"] = tuple(fields["mounts"])
        present = {row.name for row in rows}
        for name, (default, kind) in FIELDS.items():
            given: Any = fields.get(name, default)
            if given != default and kind is not None and kind not in present:
                raise ValueError(
                    f"{name} is of the {kind} namespace, and {kind} is not among the kinds ({_names(rows)})"
                )
            object.__setattr__(self, name, given)
        object.__setattr__(self, "kinds", kinds.combined(rows))
        self._check()

    def _check(self) -> None:
        for name in ("hostname", "domainname"):
            given = getattr(self, name)
            if given is None:
                continue
            if not isinstance(given, str):
                raise TypeError(f"{name} must be a str, got {given!r}")
            if not given or "\0" in given or len(given.encode()) > 64:
                raise ValueError(f"{name} must have 1 to 64 bytes and no NUL, got {given!r}")
        if self.propagation is not None and self.propagation not in plan.PROPAGATIONS:
            raise ValueError(
                f"unknown propagation {self.propagation!r}: expected one of {', '.join(plan.PROPAGATIONS)}, or None"
            )
        if self.capabilities is not None:
            from pynamespaces import capabilities

            object.__setattr__(self, "capabilities", capabilities.numbers(self.capabilities))
        if self.rlimits is not None:
            object.__setattr__(self, "rlimits", _limits(self.rlimits))
        if self.loopback not in (True, False, "host"):
            raise ValueError(f"loopback is True, False or 'host', got {self.loopback!r}")
        if self.network is not None:
            from pynamespaces import ways_out

            object.__setattr__(self, "network", ways_out.parse(self.network))
        if self.sysctl is not None:
            object.__setattr__(self, "sysctl", tuple(dict(self.sysctl).items()))
        for name, _ in self.sysctl or ():
            kind = plan.kind_of_sysctl(name)
            if Kind(kinds.row(kind).flag) not in self.kinds:
                raise ValueError(f"sysctl {name} is of the {kind} namespace, and {kind} is not among the kinds")
        if self.clock is not None and not isinstance(self.clock, ClockOffsets):
            raise TypeError(f"clock must be ClockOffsets, got {self.clock!r}")
        for mount in self.mounts:
            if not hasattr(mount, "steps"):
                raise TypeError(f"mounts takes values of pynamespaces.mounts, got {mount!r}")
        if self.root is not None:
            from pynamespaces.mounts import furnishing

            furnishing.as_root(self.root)

    def plan(self) -> Plan:
        """The steps to there, in order; ``print(box.plan())`` shows them."""
        rows = tuple(kinds.rows(self.kinds))
        names = {row.name for row in rows}
        if "user" in names:
            from pynamespaces.idmaps import IdMap
        todo: list[Step] = []
        if self.within is not None:
            todo.extend(step for step in self.within.plan() if step.op == steps.JOIN)
        if rows:
            todo.append(plan.unshare(rows))
        if "user" in names:
            below = self.within is not None and "user" in self.within
            ids = self.ids or (IdMap([(0, 0, 1)], [(0, 0, 1)]) if below else IdMap.root())
            todo.append(ids.step())
            todo.append(plan.set_ids(min(ids.uids)[0], min(ids.gids)[0]))
        if self.clock is not None:
            todo.append(plan.clocks(self.clock.text()))
        if "pid" in names and self.init is not False:
            todo.append(plan.init())
        if self.hostname is not None:
            todo.append(plan.hostname(self.hostname))
        if self.domainname is not None:
            todo.append(plan.domainname(self.domainname))
        if "net" in names and self.loopback:
            todo.append(plan.loopback())
            if self.loopback == "host":
                todo.extend(_host(min((self.ids or IdMap.root()).gids)[0] if "user" in names else None))
        for name, given in self.sysctl or ():
            todo.append(plan.sysctl(name, str(given)))
        if "mnt" in names:
            todo.extend(self._mount_steps("pid" in names, "user" in names))
        for resource, (soft, hard) in self.rlimits or ():
            todo.append(plan.rlimit(resource, soft, hard))
        todo.append(plan.capabilities(self.capabilities))
        if self.no_new_privs:
            todo.append(plan.no_new_privs())
        return Plan(todo)

    def _mount_steps(self, new_pid: bool, users: bool) -> Iterable[Step]:
        """Propagation, the root, /proc, the mounts, and into the root."""
        how = self.propagation
        late = how in ("shared", "unbindable") and self.root is not None  # no pivot_root(2) from a shared root
        if how is not None:
            yield plan.propagate("private" if late else how)
        wanted = list(self.mounts)
        if (self.proc or (self.proc is None and new_pid)) or wanted or self.root is not None:
            from pynamespaces import mounts
            from pynamespaces.mounts import furnishing

            own = any(furnishing.is_proc(mount) for mount in wanted)
            if self.proc or (self.proc is None and new_pid and not own):
                wanted.insert(0, mounts.proc())
            with causes.naming("plan the mounts"):
                yield from mounts.furnish(wanted, self.root, users=users)
        if late and how is not None:
            yield plan.propagate(how)

    def unshare(self, *, optional: KindLike = ()) -> blocks.Block:
        """A ``with`` block of this thread in new namespaces; see `pynamespaces.unshare`."""
        may_miss = kinds.parse(optional)
        blocks.refuse_user(tuple([row for row in kinds.rows(self.kinds) if row not in may_miss]))
        for name in CHILD_ONLY:
            if getattr(self, name) != FIELDS[name][0]:
                raise ValueError(f"{name} can only be given to a child: use run, call or executor")
        wanted = self
        if Kind.USER in self.kinds:  # optional, and never to be had in a block
            wanted = self.replace(kinds=self.kinds & ~Kind.USER)
        return blocks.Unshare(wanted.plan(), may_miss)

    def replace(self, *, kinds: KindLike | None = None, **changes: Unpack[Fields]) -> Self:
        """The same with some fields, or the kinds, changed."""
        fields: Any = {name: getattr(self, name) for name in FIELDS} | changes
        return type(self)(self.kinds if kinds is None else kinds, **fields)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an Isolation is frozen: cannot set {name!r}; use replace({name}=...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an Isolation is frozen: cannot delete {name!r}")

    def _state(self) -> tuple[object, ...]:
        return self.kinds, *[getattr(self, name) for name in FIELDS]

    def __eq__(self, other: object) -> bool:
        return self._state() == other._state() if isinstance(other, Isolation) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._state())

    def __repr__(self) -> str:
        given = [repr(row.name) for row in kinds.rows(self.kinds)]
        for name, (default, _) in FIELDS.items():
            if getattr(self, name) != default:
                given.append(f"{name}={getattr(self, name)!r}")
        return f"Isolation({', '.join(given)})"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.kinds, {name: getattr(self, name) for name in FIELDS})


def unshare(*kinds_: KindLike, optional: KindLike = (), **fields: Unpack[Fields]) -> blocks.Block:
    """A ``with`` block (or decorator) in new namespaces for this thread, which comes back exactly to where it was.

    Of pid and time, new children go there; of a pid block a tiny init of ours is PID 1, and with the block everything
    inside ends.  In a process with threads the first mnt block parts this thread's cwd and umask from the others' for
    good (unshare(2), CLONE_FS): that one trace cannot be undone.

    Args:
        kinds_: which; not user: no thread can leave one again.
        optional: kinds that may be left out where the machine refuses them; ``inside.missing`` has what was left out.
        fields: how it is furnished; see `Isolation`.

    Returns:
        a block whose ``as`` is the NamespaceSet inside; it stays open after the block, and may be entered again.

    Raises:
        NotPermitted: CAP_SYS_ADMIN is missing (EPERM), unshare(2); ordinary users: `become_root` first.
        NotInABlock: a user namespace was asked for.
        NotSupported: time, in a process with other threads (EUSERS).
        OSError: a limit in /proc/sys/user is reached (ENOSPC).
        RestoreError: the way back failed; this thread is spent.
    """
    may_miss = kinds.parse(optional)
    return Isolation(*kinds_, kinds.combined(may_miss), **fields).unshare(optional=optional)


def _names(rows: tuple[Row, ...]) -> str:
    return ", ".join(row.name for row in rows) or "none"


def _limits(given: object) -> tuple[tuple[int, tuple[int, int]], ...]:
    """{which: (soft, hard)} as a value that cannot change."""
    try:
        limits = tuple(sorted((which, (soft, hard)) for which, (soft, hard) in dict(given).items()))  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise TypeError(f"rlimits must be {{which: (soft, hard)}}, got {given!r}") from None
    for which, (soft, hard) in limits:
        if any(type(number) is not int or not -1 <= number < 2**64 for number in (which, soft, hard)):
            raise ValueError(f"rlimits must be whole numbers, -1 for no limit, got {which}: ({soft!r}, {hard!r})")
        if soft % 2**64 > hard % 2**64:
            raise ValueError(f"the soft limit of resource {which} is above the hard one: ({soft}, {hard})")
    return limits


def _host(group: int | None) -> Iterable[Step]:
    """What programs expect of a host, cable or not; `group` is the one that a new user namespace has."""
    if group not in _HOSTS:
        ports, ping = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"
        own = os.getegid() if group is None else group  # only groups that are mapped can be given (EINVAL)
        ranges = [f"{own} {own}", *(["0 2147483647"] if group is None else [])]
        _HOSTS[group] = (
            plan.address("lo", "192.0.2.1/32", if_allowed=True),
            plan.address("lo", "2001:db8::1/128", if_allowed=True),
            plan.sysctl(ports, "0", if_allowed=True),
            *[plan.sysctl(ping, text, if_allowed=True) for text in ranges],
        )
    return _HOSTS[group]


_HOSTS: dict[int | None, tuple[Step, ...]] = {}


def _rebuild(kinds_: Kind, fields: Fields) -> Isolation:
    return Isolation(kinds_, **fields)
