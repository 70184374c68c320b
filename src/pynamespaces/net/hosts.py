"""Hosts: a network with a hostname and names of its own, in which commands and functions run."""

from __future__ import annotations

import os

from pynamespaces import capabilities, errands, plan
from pynamespaces._kernel import sched
from pynamespaces.errors import NotPermitted
from pynamespaces.isolation import Isolation
from pynamespaces.net import sockets
from pynamespaces.places import Place
from pynamespaces.sets import NamespaceSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as sockets_
    from types import TracebackType
    from typing import Any, Self

    from pynamespaces.blocks import Block
    from pynamespaces.handles import Namespace
    from pynamespaces.net.links import End
    from pynamespaces.places import Arguments
    from pynamespaces.plan import Plan, Step
    from pynamespaces.processes import Popen

#: What a hosts file begins with.
LOCALHOST = "127.0.0.1 localhost\n::1 localhost\n"


class Ours:
    """Where networks of ours can be made: in this thread's user namespace, or in a new one where it may not."""

    def __init__(self, user: Namespace | None) -> None:
        self.user = user

    def steps(self) -> list[Step]:
        """The way there."""
        return [] if self.user is None else [plan.join(self.user.fileno(), self.user.row)]

    def close(self) -> None:
        if self.user is not None:
            self.user.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def ours() -> Ours:
    """This thread's own user namespace if it has CAP_SYS_ADMIN, else a new one in which this user is root.

    Raises:
        NotPermitted: this machine refuses user namespaces to this user (EPERM), and why.
    """
    return Ours(None if sched.has_capability(capabilities.SYS_ADMIN) else errands.make_user())


class Host(Place):
    """A host of a lab: net, uts and mnt namespaces of its own, /etc/hosts of its own, a /sys that shows its interfaces.

    A place: `run`, `Popen`, `call` and `executor` work inside.  Made by `Lab.host`.
    """

    __slots__ = ("_started", "ends", "name", "namespaces")

    name: str
    namespaces: NamespaceSet
    ends: list[End]  #: its interfaces, in the order in which they were made

    def __init__(self, name: str, way: Ours) -> None:
        self.name = name
        self.ends = []
        self._started: list[Popen] = []
        try:
            made = _make(name, way, sysfs=True)
        except NotPermitted:  # parts of /sys are masked, and the kernel will not reveal them: the old one stays
            made = _make(name, way, sysfs=False)
        if way.user is not None:
            made.append(way.user._share())
        self.namespaces = NamespaceSet._adopt(made)

    def plan(self) -> Plan:
        return self.namespaces.plan()

    def Popen(self, argv: Arguments, **kwargs: Any) -> Popen[Any]:  # noqa: N802 (subprocess's name)
        """Start a command on this host; it is killed with the lab at the latest."""
        process = super().Popen(argv, **kwargs)
        self._started.append(process)
        return process

    def enter(self, *kinds: Any) -> Block:
        """A ``with`` block of this thread on this host; see `pynamespaces.enter`."""
        return (
            self.namespaces.without("user").enter(*kinds)
            if "user" in self.namespaces
            else self.namespaces.enter(*kinds)
        )

    def socket(self, *args: Any) -> sockets_.socket:
        """A socket on this host; see `net.socket`."""
        return sockets.socket(self, *args)

    def listen(self, port: int, host: str = "", **kwargs: Any) -> sockets_.socket:
        """A TCP socket that listens on this host; see `net.listen`."""
        return sockets.listen(self, (host, port), **kwargs)

    def connect(self, other: Host | str, port: int, *, timeout: float | None = None) -> sockets_.socket:
        """A TCP connection from this host to another one, by its first address; see `net.connect`."""
        address = other if isinstance(other, str) else other.address
        return sockets.connect(self, (address, port), timeout=timeout)

    @property
    def address(self) -> str:
        """Its first address, IPv4 before IPv6; ValueError while it has none."""
        found = self.ipv4 or self.ipv6
        if found is None:
            raise ValueError(f"{self!r} has no address: wire it first")
        return found

    @property
    def ipv4(self) -> str | None:
        return next((end.ipv4 for end in self.ends if end.ipv4), None)

    @property
    def ipv6(self) -> str | None:
        return next((end.ipv6 for end in self.ends if end.ipv6), None)

    def write(self, path: str | os.PathLike[str], text: str) -> None:
        """Write to a file that this host sees, in place."""
        way = [plan.join(ns.fileno(), ns.row) for ns in self._in_order() if str(ns.kind) in ("user", "mnt")]
        fd = errands.open_file(way, path, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(fd, "w") as file:
            file.write(text)

    def _in_order(self) -> list[Namespace]:
        """A user namespace first: in it one may go to the others."""
        return sorted(self.namespaces.values(), key=lambda ns: str(ns.kind) != "user")

    def close(self) -> None:
        """Kill what `Popen` started and still runs, and let go; harmless twice."""
        started, self._started = self._started, []
        for process in started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        self.namespaces.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Host {self.name}>"


def _make(name: str, way: Ours, *, sysfs: bool) -> list[Namespace]:
    from pynamespaces import mounts

    wanted = [mounts.file("/etc/hosts", LOCALHOST + f"127.0.1.1 {name}\n")]
    if sysfs:
        wanted.append(mounts.sysfs())
    box = Isolation("net", "uts", "mnt", hostname=name, mounts=wanted, proc=False)
    return errands.make([*way.steps(), *box.plan()])
