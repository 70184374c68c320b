"""Switches: a bridge in a network of its own, and a wire from it to each host."""

from __future__ import annotations

import ipaddress

from pynamespaces.net import links, messages, networks
from pynamespaces.net.netlink import Netlink
from pynamespaces.net.networks import Network
from pynamespaces.net.wires import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from pynamespaces.net.links import Addresses
    from pynamespaces.net.networks import Where


PORTS = 1  #: the group (ip-link(8)) of a switch's ports


class Switch:
    """A bridge and its wires; made by `switch`.  Gone at the end of its ``with`` block, or with its last handle."""

    def __init__(self, network: Network, wires: Sequence[Wire]) -> None:
        self.network = network  #: the bridge's own; its ports are p0, p1, …
        self.wires: tuple[Wire, ...] = tuple(wires)  #: in the order of the hosts, whose end is `a`

    def wire(self, where: Where) -> Wire:
        """The wire to a host; ValueError if there is none."""
        with Network(where) as network:
            for wire in self.wires:
                if wire.a.network == network:
                    return wire
        raise ValueError(f"{where!r} is not on this switch")

    def close(self) -> None:
        """Take it down with all its wires; harmless twice."""
        if self.network.namespace.closed:
            return
        with Netlink(self.network) as there:
            there.do(messages.delete_group(PORTS))
        for wire in self.wires:
            wire.close() if wire.by == "relay" else wire.release()
        self.network.close()

    def release(self) -> None:
        """Let go of all networks: the interfaces go when those do, the bridge at once."""
        for wire in self.wires:
            wire.release()
        self.network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Switch of {len(self.wires)} wires in {self.network!r}>"


def switch(
    *hosts: Where,
    addresses: Iterable[Addresses] | None = None,
    subnets: str | Iterable[str] = (),
    names: Iterable[str | None] | None = None,
    mtu: int | None = None,
) -> Switch:
    """Join networks by a bridge in a network of its own: frames go between them, and nowhere else.

    Args:
        hosts: as `wire` takes them.
        addresses: of each host, in their order; see `wire`.
        subnets: instead: "10.0.0.0/24", "fd00::/64", or several; each host gets the next address of each.
        names: of the hosts' interfaces; by default the first free of eth0, eth1, …
        mtu: bytes; by default 1500.

    Raises:
        ValueError: no host, a bad address, more hosts than a subnet has addresses.
        NotSupported: the kernel has no bridges (CONFIG_BRIDGE).
    """
    if not hosts:
        raise ValueError("a switch joins one host or more")
    wanted = _addresses(len(hosts), addresses, subnets)
    given = [links.checked_name(name) for name in (names or [None] * len(hosts))]
    if len(given) != len(hosts):
        raise ValueError(f"{len(given)} names for {len(hosts)} hosts")
    opened: list[Netlink] = []
    try:
        opened.extend(Netlink(host) for host in hosts)
        network = networks.make(opened[0].network.beside(), ipv6=False)
        try:
            return Switch(network, _wires(network, opened, given, wanted, mtu))
        except BaseException:
            network.close()
            raise
    finally:
        for there in opened:
            there.close()


def _wires(
    network: Network,
    hosts: list[Netlink],
    names: list[str | None],
    addresses: list[tuple[str, ...]],
    mtu: int | None,
) -> list[Wire]:
    found: list[Wire] = []
    with Netlink(network) as middle:
        options = [("IFLA_BR_FORWARD_DELAY", 0), ("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", 0)]
        links._create(middle, messages.new_link("br0", "bridge", mtu=mtu, up=True, data=options), "bridge")
        bridge = middle.index("br0")
        todo, planned = [], []
        taken: set[tuple[Network, str]] = set()
        for number, host in enumerate(hosts):
            name = names[number] or _free(host, taken)
            taken.add((host.network, name))
            mac = links.made_mac()
            peer = messages.veth_peer(name, mac, mtu, host.network)
            todo.append(
                messages.new_link(f"p{number}", "veth", mtu=mtu, master=bridge, group=PORTS, up=True, data=peer)
            )
            planned.append((name, mac))
        try:
            middle.do(*todo)
            for number, (host, (name, mac)) in enumerate(zip(hosts, planned, strict=True)):
                end = links.settle(host, name, mac, addresses[number])
                port = f"p{number}"
                found.append(Wire(end, links.End(Network(network), port, middle.index(port), "", ())))
        except BaseException:
            middle.do(messages.delete_group(PORTS))
            for wire in found:
                for end in wire.ends:
                    end.network.close()
            raise
    return found


def _free(host: Netlink, taken: set[tuple[Network, str]]) -> str:
    number = 0
    while (host.network, f"eth{number}") in taken or host.index(f"eth{number}"):
        number += 1
    return f"eth{number}"


def _addresses(
    count: int, addresses: Iterable[Addresses] | None, subnets: str | Iterable[str]
) -> list[tuple[str, ...]]:
    if addresses is not None:
        if subnets:
            raise ValueError("addresses or subnets, not both")
        given = [links.parsed(each) for each in addresses]
        if len(given) != count:
            raise ValueError(f"{len(given)} addresses for {count} hosts")
        return given
    found: list[list[str]] = [[] for _ in range(count)]
    for text in (subnets,) if isinstance(subnets, str) else subnets:
        subnet = ipaddress.ip_network(text)
        if subnet.num_addresses - 2 < count:
            raise ValueError(f"{subnet} has no address for each of {count} hosts")
        for number in range(count):
            found[number].append(f"{subnet[number + 1]}/{subnet.prefixlen}")
    return [tuple(each) for each in found]
