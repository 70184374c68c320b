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


def with_flags(step: Step, flags: int) -> Step:
    """The same step with these flags instead of its own."""
    return Step(step.op, step.what, step.fd, step.fd2, flags, step.a, step.b, step.c, step.d)


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


def write(path: str, text: str, *, kind: int = 0, if_allowed: bool = False) -> Step:
    """Write to a file of /proc.

    Args:
        kind: which namespace it furnishes.
        if_allowed: a refusal is no failure.
    """
    what = f"write {text!r} to {path}"
    flags = steps.IF_ALLOWED if if_allowed else 0
    return Step(steps.WRITE, what, fd=kind, flags=flags, a=os.fsencode(path), b=text.encode())


def sysctl(name: str, text: str, *, if_allowed: bool = False) -> Step:
    """Set a sysctl of the namespaces inside, as sysctl(8) names it: ``net.ipv4.ip_forward``.

    Raises:
        ValueError: one that is the whole machine's, of no namespace.
    """
    path = name if "/" in name else name.replace(".", "/")
    return write(f"/proc/sys/{path}", text, kind=kinds.row(kind_of_sysctl(path)).flag, if_allowed=if_allowed)


#: Which namespace a sysctl belongs to, by the beginning of its path (sysctl(5), namespaces(7)).
SYSCTLS = {
    "net/": "net",
    "kernel/hostname": "uts",
    "kernel/domainname": "uts",
    "kernel/msg": "ipc",
    "kernel/sem": "ipc",
    "kernel/shm": "ipc",
    "fs/mqueue/": "ipc",
    "user/": "user",
    "kernel/pid_max": "pid",
    "kernel/ns_last_pid": "pid",
}


def kind_of_sysctl(name: str) -> str:
    """The kind of namespace that has a sysctl of its own."""
    path = name if "/" in name else name.replace(".", "/")
    for start, kind in SYSCTLS.items():
        if path.startswith(start) and ".." not in path.split("/"):
            return kind
    raise ValueError(f"sysctl {name!r} is of no namespace; those that are begin with {', '.join(SYSCTLS)}")


def address(device: str, text: str, *, if_allowed: bool = False) -> Step:
    """An address of a network device, as ``ip address add`` takes it: ``address("lo", "192.0.2.1/32")``."""
    import socket

    host, _, length = text.partition("/")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        data = socket.inet_pton(family, host)
        prefix = int(length or len(data) * 8)
    except (OSError, ValueError):
        prefix = -1
    if not 0 <= prefix <= len(data if prefix >= 0 else b"") * 8:
        raise ValueError(f"expected an address like 192.0.2.1/24 or 2001:db8::1/64, got {text!r}")
    if not 0 < len(device.encode()) < 16:
        raise ValueError(f"a network device has a name of 1 to 15 bytes, got {device!r}")
    flags = steps.IF_ALLOWED if if_allowed else 0
    what = f"address {text} on {device}"
    return Step(steps.ADDRESS, what, fd=int(family), fd2=prefix, flags=flags, a=device.encode(), b=data)


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


def refused(step: Step, errno: int, said: str = "", *, users: bool = False) -> NamespaceError:
    """The refusal of a step: with what the file system said, and the cause that is found (`causes.why`)."""
    hint = causes.why(errno, str(step), said, users=users)
    return refusal(errno, step=str(step), hint="; ".join(filter(None, [said, hint])) or None)
