"""Routes of a network, and forwarding: what makes a host a router."""

from __future__ import annotations

import ipaddress

from pynamespaces.net import links, messages
from pynamespaces.net.netlink import Netlink
from pynamespaces.net.networks import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pynamespaces.net.networks import Where


class Route:
    """A route of ours; deleted at the end of its ``with`` block, or with its network or interface."""

    def __init__(
        self, network: Network, destination: str, version: int, via: str | None, index: int, what: str
    ) -> None:
        self._network = network
        self._is = destination, version, via, index, what

    def close(self) -> None:
        """Delete it; harmless twice."""
        if self._network.namespace.closed:
            return
        with Netlink(self._network) as there:
            there.do(messages.new_route(*self._is, delete=True))
        self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Route {self._is[-1]} in {self._network!r}>"


def route(where: Where, destination: str, *, via: str | None = None, dev: str | None = None) -> Route:
    """Add a route to a network (``ip route add``).

    Args:
        where: whose.
        destination: a subnet as "10.1.0.0/16" or "fd01::/64"; or "default", of the family that ``via`` has.
        via: the router's address.
        dev: the interface, where no router is between.

    Raises:
        ValueError: bad addresses, or neither via nor dev.
        AlreadyExists: there is one (EEXIST).
        NamespaceError: the router is on no subnet of this host (EHOSTUNREACH, ENETUNREACH); the interface is down.
    """
    if via is None and dev is None:
        raise ValueError("a route needs via (a router's address) or dev (an interface)")
    version = ipaddress.ip_address(via).version if via is not None else 4
    if destination != "default":
        subnet = ipaddress.ip_network(destination)
        if via is not None and subnet.version != version:
            raise ValueError(f"{destination} and {via} are of different families")
        version = subnet.version
    what = " ".join([destination, *(["via", via] if via else []), *(["dev", dev] if dev else [])])
    with Netlink(where) as there:
        index = there.index(links.checked_name(dev) or "") if dev is not None else 0
        if dev is not None and not index:
            raise ValueError(f"no interface {dev!r} there")
        there.do(messages.new_route(destination, version, via, index, what))
        return Route(Network(there.network), destination, version, via, index, what)


def forward(where: Where, on: bool = True) -> None:
    """Let a network pass on packets that are for others, IPv4 and IPv6: make it a router (or no longer).

    Raises:
        NotPermitted: not a network of ours.
    """
    text = "1" if on else "0"
    with Network(where) as network:
        network.write("ipv4/ip_forward", text)
        try:
            network.write("ipv6/conf/all/forwarding", text)
        except FileNotFoundError:  # a kernel without IPv6
            pass
