"""A plan: an ordered tuple of steps, plain data, that a thread or a child carries out.

A step is one operation of steps.c with its arguments.  Two executors do the same steps: `blocks` in this
thread, there and back, and `processes` in a child, where C reads them between clone3 and exec.
"""

from __future__ import annotations

import os

from pynamespaces import causes, kinds
from pynamespaces._kernel import steps
from pynamespaces.errors import NamespaceError, refusal
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


@value(frozen=True)
class Step:
    """One step: which operation, on what, and the words for it in a message."""

    op: int
    what: str
    fd: int = -1
    fd2: int = -1
    flags: int = 0
    a: bytes | None = None
    b: bytes | None = None
    c: bytes | None = None
    d: bytes | None = None

    def __str__(self) -> str:
        return self.what


class Plan(tuple[Step, ...]):
    """The steps to a place, in order; prints one a line."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(f"{number}. {step}" for number, step in enumerate(self, 1))


def join(fd: int, row: kinds.Row, name: str = "") -> Step:
    """setns(2) into an existing namespace."""
    return Step(steps.JOIN, f"setns({row.name}){' ' + name if name else ''}", fd=fd, flags=row.flag)


def unshare(rows: Iterable[kinds.Row]) -> Step:
    """unshare(2), or clone3(2) with these kinds where the child is made anew."""
    flags, names = 0, []
    for row in rows:
        flags |= row.flag
        names.append(row.name)
    return Step(steps.UNSHARE, f"unshare({', '.join(names)})", flags=flags)


def clocks(text: bytes) -> Step:
    """Write /proc/thread-self/timens_offsets (time_namespaces(7)): before the first child goes there."""
    return Step(steps.CLOCKS, f"timens_offsets {text.decode().strip()!r}", a=text)


def hostname(name: str) -> Step:
    """sethostname(2)."""
    return Step(steps.HOSTNAME, f"sethostname({name!r})", a=name.encode())


def domainname(name: str) -> Step:
    """setdomainname(2)."""
    return Step(steps.DOMAINNAME, f"setdomainname({name!r})", a=name.encode())


def loopback() -> Step:
    """Bring lo up, as ``ip link set lo up`` does."""
    return Step(steps.LOOPBACK, "lo up")


PROPAGATIONS = {
    "private": steps.MS_PRIVATE,
    "slave": steps.MS_SLAVE,
    "shared": steps.MS_SHARED,
    "unbindable": steps.MS_UNBINDABLE,
}


def propagate(how: str, path: str = "/", *, recursive: bool = True) -> Step:
    """Every mount of the namespace, or below a path, private, slave, shared or unbindable (mount_namespaces(7))."""
    what = f"mount({path}, {how}{', recursive' if recursive else ''})"
    return Step(
        steps.PROPAGATE, what, flags=PROPAGATIONS[how] | (steps.MS_REC if recursive else 0), a=os.fsencode(path)
    )


def mount(
    fstype: bytes, target: bytes, options: bytes | None = None, flags: int = 0, source: bytes | None = None
) -> Step:
    """A new file system on a target: fsopen(2) to move_mount(2), or mount(2)."""
    what = f"mount({os.fsdecode(fstype)} on {os.fsdecode(target)})"
    return Step(steps.FS, what, flags=flags, a=source, b=target, c=fstype, d=options)


def proc(target: bytes = b"/proc", options: bytes | None = None) -> Step:
    """A fresh /proc, for the pid namespace of the process that mounts it."""
    return mount(b"proc", target, options, steps.NOSUID | steps.NODEV | steps.NOEXEC)


def pivot_root() -> Step:
    """The root that was being furnished becomes the root (pivot_root(2)); the old one is gone."""
    return Step(steps.PIVOT, "pivot_root(., .)")


def init() -> Step:
    """Our tiny init as PID 1 of the new pid namespace."""
    return Step(steps.INIT, "init (PID 1 of the new pid namespace)")


def map_ids(uids: str, gids: str, setgroups: str | None = None) -> Step:
    """Write uid_map and gid_map of the new user namespace (user_namespaces(7)): its maker does, while it waits."""
    what = f"uid_map {' '.join(uids.split())}, gid_map {' '.join(gids.split())}"
    return Step(steps.MAP_IDS, what, a=uids.encode(), b=gids.encode(), c=setgroups.encode() if setgroups else None)


def set_ids(uid: int, gid: int) -> Step:
    """setresuid(2), setresgid(2) to ids that this user namespace maps, where it does not map those one has."""
    return Step(steps.SET_IDS, f"setresuid({uid}), setresgid({gid})", fd=uid, fd2=gid)


def capabilities(keep: Iterable[int] | None) -> Step:
    """capset(2) and the bounding set: keep only these; None only clears the inheritable ones."""
    if keep is None:
        return Step(steps.CAPABILITIES, "capset(inheritable = none)")
    numbers = sorted(set(keep))
    return Step(steps.CAPABILITIES, f"capset({numbers})", fd=1, flags=sum(1 << number for number in numbers))


def no_new_privs() -> Step:
    """prctl(PR_SET_NO_NEW_PRIVS)."""
    return Step(steps.NO_NEW_PRIVS, "prctl(PR_SET_NO_NEW_PRIVS)")


def rlimit(resource: int, soft: int, hard: int) -> Step:
    """prlimit(2)."""
    limit = (hard % 2**64).to_bytes(8, "little")
    return Step(steps.RLIMIT, f"prlimit({resource}, {soft}, {hard})", fd=resource, flags=soft % 2**64, a=limit)


def do(step: Step, *, in_child: bool = False, said: list[str] | None = None) -> int:
    """Do one step in the calling thread, or in a child that shares all with it but its pid namespace.

    Args:
        said: gets what a file system says of a refusal.

    Returns:
        the kernel's answer: >= 0, or -errno.
    """
    return steps.do(
        step.op, step.fd, step.fd2, step.flags, step.a, step.b, step.c, step.d, in_child=in_child, said=said
    )


def carry_out(step: Step, *, in_child: bool = False) -> None:
    """The same; a refusal is raised, with its cause.

    Raises:
        NamespaceError: with the step's name.
    """
    said: list[str] | None = [] if step.op >= steps.FS else None
    answer = do(step, in_child=in_child, said=said)
    if answer < 0:
        raise refused(step, -answer, said[0] if said else "")


def refused(step: Step, errno: int, said: str = "") -> NamespaceError:
    """The refusal of a step: with what the file system said, or the cause that is found."""
    hint = causes.why(errno, str(step))
    return refusal(errno, step=str(step), hint="; ".join(filter(None, [said, hint])) or None)
