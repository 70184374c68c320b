"""Links: network interfaces of ours, by themselves or as the two ends of a wire."""

from __future__ import annotations

import ipaddress
import os
import re

from pynamespaces.errors import NotSupported
from pynamespaces.net import messages
from pynamespaces.net.netlink import Netlink
from pynamespaces.net.networks import Network, make
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Any, Literal, Self, TypeAlias

    from pynamespaces.net.networks import Where

    Addresses: TypeAlias = "str | Iterable[str] | None"

_NAME = re.compile(r"[^\s/:%]{1,15}")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
EEXIST, ENODEV, EOPNOTSUPP = 17, 19, 95


@value(frozen=True)
class End:
    """One interface, as it was made: whose network, its name there, its number, its MAC, its addresses."""

    network: Network
    name: str
    index: int
    mac: str
    addresses: tuple[str, ...]

    @property
    def ipv4(self) -> str | None:
        """Its first IPv4 address, without the prefix."""
        return self._first(4)

    @property
    def ipv6(self) -> str | None:
        """Its first IPv6 address, without the prefix."""
        return self._first(6)

    def _first(self, version: int) -> str | None:
        found = [ipaddress.ip_interface(text) for text in self.addresses]
        return next((str(address.ip) for address in found if address.version == version), None)


class Link:
    """An interface of ours; deleted at the end of its ``with`` block, or with its network."""

    def __init__(self, end: End) -> None:
        self.end = end

    @property
    def name(self) -> str:
        return self.end.name

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.end.addresses

    def close(self) -> None:
        """Delete it; harmless twice, and where its network is gone."""
        if self.end.network.namespace.closed:
            return
        with Netlink(self.end.network) as there:
            there.do(messages.delete_link(self.end.index, self.end.name))
        self.end.network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.end.name} in {self.end.network!r}>"


def dummy(where: Where, name: str | None = None, *, addresses: Addresses = None, mac: str | None = None) -> Link:
    """An interface whose other end is nowhere: what is sent to it is gone (``ip link add type dummy``).

    Raises:
        NotSupported: the kernel has none (CONFIG_DUMMY).
    """
    return _alone(where, "dummy", name, addresses, mac, None, None)


def macvlan(
    where: Where,
    parent: str,
    name: str | None = None,
    *,
    of: Where = None,
    mode: Literal["bridge", "private", "vepa", "passthru"] = "bridge",
    addresses: Addresses = None,
    mac: str | None = None,
) -> Link:
    """An interface in `where` with a MAC of its own on top of ``parent``, which is an interface of ``of``.

    Raises:
        NotSupported: the kernel has none (CONFIG_MACVLAN).
        NotFound: no such parent.
    """
    modes = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
    if mode not in modes:
        raise ValueError(f"unknown mode {mode!r}: expected one of {', '.join(modes)}")
    return _on_top(where, "macvlan", parent, name, of, addresses, mac or made_mac(), [("IFLA_MACVLAN_MODE", mode)])


def ipvlan(
    where: Where,
    parent: str,
    name: str | None = None,
    *,
    of: Where = None,
    mode: Literal["l2", "l3", "l3s"] = "l2",
    addresses: Addresses = None,
) -> Link:
    """An interface in `where` that shares the MAC of ``parent``, which is an interface of ``of``.

    Raises:
        NotSupported: the kernel has none (CONFIG_IPVLAN).
        NotFound: no such parent.
    """
    modes = {"l2": 0, "l3": 1, "l3s": 2}
    if mode not in modes:
        raise ValueError(f"unknown mode {mode!r}: expected one of {', '.join(modes)}")
    return _on_top(where, "ipvlan", parent, name, of, addresses, None, [("IFLA_IPVLAN_MODE", modes[mode])])


def supports(kind: str) -> bool:
    """Has this kernel links of a kind ("bridge", "dummy", "macvlan", "ipvlan")?  Tried in a network of its own."""
    from pynamespaces.net.hosts import ours

    with ours() as way, make(way.steps()) as trial, Netlink(trial) as there:
        try:
            below = None
            if kind in ("macvlan", "ipvlan"):
                there.do(messages.new_link("below", "veth"))
                below = there.index("below")
            there.do(messages.new_link("trial", kind, below=below))
        except NotSupported:
            return False
    return True


def _alone(
    where: Where, kind: str, name: str | None, addresses: Addresses, mac: str | None, below: int | None, data: Any
) -> Link:
    wanted = parsed(addresses)
    with Netlink(where) as there:
        name = checked_name(name) or free_name(there)
        _create(there, messages.new_link(name, kind, mac=checked_mac(mac), below=below, data=data), kind)
        return Link(settle(there, name, mac, wanted))


def _on_top(
    where: Where,
    kind: str,
    parent: str,
    name: str | None,
    of: Where,
    addresses: Addresses,
    mac: str | None,
    data: list[Any],
) -> Link:
    """Made beside its parent, then moved: the parent's number means nothing elsewhere."""
    wanted = parsed(addresses)
    with Netlink(where) as there, Netlink(of) as below:
        name = checked_name(name) or free_name(there)
        index = below.index(checked_name(parent) or "")
        if not index:
            from pynamespaces.errors import refusal

            raise refusal(ENODEV, step=f"ip link add link {parent} type {kind}", text=f"no interface {parent!r} there")
        if there.network == below.network:
            _create(there, messages.new_link(name, kind, mac=checked_mac(mac), below=index, data=data), kind)
        else:
            first = "pn" + os.urandom(5).hex()
            _create(below, messages.new_link(first, kind, mac=checked_mac(mac), below=index, data=data), kind)
            made = below.index(first)
            try:
                below.do(messages.move(made, first, there.network, name))
            except BaseException:
                below.do(messages.delete_link(made, first))
                raise
        return Link(settle(there, name, mac, wanted))


def _create(there: Netlink, request: Any, kind: str) -> None:
    try:
        there.do(request)
    except NotSupported as error:
        config = f"CONFIG_{kind.upper()}"
        raise NotSupported(
            error.errno or EOPNOTSUPP, f"this kernel has no {kind} links", step=request.what, hint=f"it wants {config}"
        ) from None


def settle(there: Netlink, name: str, mac: str | None, addresses: tuple[str, ...]) -> End:
    """Bring a new interface of ours up with its addresses; on failure it is deleted again."""
    try:
        return configure(there, name, mac, addresses)
    except BaseException:
        there.do(messages.delete_link(there.index(name), name))
        raise


def configure(there: Netlink, name: str, mac: str | None, addresses: tuple[str, ...]) -> End:
    """Bring an interface up with its addresses.

    With a MAC its link-local address is made here and, like all its IPv6 addresses, can be used at once (nodad).
    """
    index = there.index(name)
    todo = [messages.up(index, name)]
    if mac is not None:
        todo.insert(0, messages.no_generated_address(index, name))
        todo.append(messages.new_address(index, name, link_local(mac), messages.NO_IPV6))
    there.do(*todo, *[messages.new_address(index, name, address) for address in addresses])
    return End(Network(there.network), name, index, mac or "", addresses)


def free_name(there: Netlink, prefix: str = "eth") -> str:
    """The first of eth0, eth1, … that is free there."""
    for number in range(10000):
        if not there.index(f"{prefix}{number}"):
            return f"{prefix}{number}"
    raise ValueError(f"no name {prefix}N is free there")


def checked_name(name: str | None) -> str | None:
    """ValueError for what dev_valid_name refuses: at most 15 bytes, no "/", ":", "%" or white space."""
    if name is None:
        return None
    if not _NAME.fullmatch(name) or name in (".", "..") or len(name.encode()) > 15:
        raise ValueError(f"not an interface name: {name!r}; 1 to 15 bytes without '/', ':', '%' and white space")
    return name


def checked_mac(mac: str | None) -> str | None:
    """ValueError for what is no unicast MAC address."""
    if mac is not None and (not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1):
        raise ValueError(f"not a unicast MAC address: {mac!r}; expected as 02:00:00:00:00:01")
    return mac


def made_mac() -> str:
    """A random MAC address, locally administered."""
    return ":".join(f"{byte:02x}" for byte in (0x02, *os.urandom(5)))


def link_local(mac: str) -> str:
    """The IPv6 link-local address that belongs to a MAC (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return f"{ipaddress.IPv6Address(bytes.fromhex('fe80000000000000') + identifier)}/64"


def parsed(addresses: Addresses) -> tuple[str, ...]:
    """Addresses with their prefix lengths, each checked; ValueError names the bad one."""
    given = () if addresses is None else (addresses,) if isinstance(addresses, str) else tuple(addresses)
    for address in given:
        if "/" not in str(address):
            raise ValueError(f"expected an address with its prefix, as 10.0.0.1/24 or fd00::1/64, got {address!r}")
        ipaddress.ip_interface(address)
    return given
