"""Labs: hosts by name, wired as one likes, and all of it gone at the end.

with net.Lab() as lab:
    web, db = lab.host("web"), lab.host("db")
    lab.wire(web, db)
    server = web.listen(80)
    db.run(["curl", "http://web/"])
"""

from __future__ import annotations

import ipaddress

from pynamespaces.net import hosts, switches, wires
from pynamespaces.net.hosts import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any, Self

    from pynamespaces.net.links import End
    from pynamespaces.net.switches import Switch
    from pynamespaces.net.wires import Wire

#: Each wire or switch of a lab gets the next subnet of these, unless addresses are given (RFC 1918, RFC 4193).
SUBNETS = ("10.77.{}.0/24", "fd77:0:0:{:x}::/64")


class Lab:
    """A set of hosts and wires that ends with its ``with`` block: no namespace, interface or process of it stays.

    As root its namespaces are owned by this thread's user namespace; as an ordinary user by a new one, in which that
    user is root.  Other threads are no obstacle.

    Raises:
        NotPermitted: this machine refuses user namespaces to this user (EPERM), and why.
    """

    def __init__(self) -> None:
        self._way = hosts.ours()
        self._hosts: dict[str, Host] = {}
        self._joints: list[Wire | Switch] = []
        self._subnets = 0
        self._closed = False

    def host(self, name: str) -> Host:
        """Make a host, or give the one that has this name.

        Args:
            name: its hostname, and its name in the other hosts' /etc/hosts.
        """
        if self._closed:
            raise ValueError("this lab is closed")
        if name not in self._hosts:
            _check_name(name)
            self._hosts[name] = Host(name, self._way)
        return self._hosts[name]

    def wire(self, a: Host | str, b: Host | str, **kwargs: Any) -> Wire:
        """Wire two hosts; a name makes its host.  Without addresses they get the next subnets of ``SUBNETS``.

        Args:
            a: the one whose end is ``Wire.a``.
            b: the other one.
            kwargs: see `net.wire`.
        """
        pair = self._host(a), self._host(b)
        if "addresses" not in kwargs:
            subnets = self._next()
            kwargs["addresses"] = tuple([[_address(subnet, number) for subnet in subnets] for number in (1, 2)])
        made = wires.wire(*pair, **kwargs)
        self._joints.append(made)
        self._joined(zip(pair, made.ends, strict=True))
        return made

    def switch(self, *hosts_: Host | str, **kwargs: Any) -> Switch:
        """Join hosts by a switch; a name makes its host.  Addresses as with `wire`; the rest see `net.switch`."""
        members = [self._host(host) for host in hosts_]
        if "addresses" not in kwargs and "subnets" not in kwargs:
            kwargs["subnets"] = self._next()
        made = switches.switch(*members, **kwargs)
        self._joints.append(made)
        self._joined(zip(members, [wire.a for wire in made.wires], strict=True))
        return made

    def close(self) -> None:
        """Take everything down; harmless twice."""
        self._closed = True
        joints, self._joints = self._joints, []
        members, self._hosts = self._hosts, {}
        try:
            for host in members.values():
                host.close()
        finally:
            for joint in reversed(joints):
                joint.release()  # the kernel takes interfaces down with their networks
            self._way.close()

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(list(self._hosts.values()))

    def __len__(self) -> int:
        return len(self._hosts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Lab of {', '.join(self._hosts) or 'no hosts'}>"

    def _host(self, host: Host | str) -> Host:
        return self.host(host) if isinstance(host, str) else host

    def _next(self) -> list[str]:
        self._subnets += 1
        if self._subnets > 254:
            raise ValueError("no subnet is left: give addresses")
        return [text.format(self._subnets) for text in SUBNETS]

    def _joined(self, ends: Any) -> None:
        """Hosts have new addresses: every host's /etc/hosts says so."""
        pairs: list[tuple[Host, End]] = list(ends)
        for host, end in pairs:
            host.ends.append(end)
        lines = [f"{address} {host.name}\n" for host in self for address in _addresses(host)]
        for host in self:
            host.write("/etc/hosts", "".join([hosts.LOCALHOST, *lines]))


def _addresses(host: Host) -> list[str]:
    return [address for end in host.ends for address in (end.ipv4, end.ipv6) if address is not None]


def _address(subnet: str, number: int) -> str:
    network = ipaddress.ip_network(subnet)
    return f"{network[number]}/{network.prefixlen}"


def _check_name(name: str) -> None:
    if not 0 < len(name) < 64 or not all(c.isalnum() or c in "-." for c in name):
        raise ValueError(f"not a host name: {name!r}; letters, digits, '-' and '.', at most 63")
