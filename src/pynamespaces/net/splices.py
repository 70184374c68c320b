"""Splices: another network put between the two ends of a wire, and the ends none the wiser."""

from __future__ import annotations

from struct import pack, unpack_from

from pynamespaces.net import links, messages, netlink
from pynamespaces.net.netlink import Netlink, Request
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynamespaces.net.links import End
    from pynamespaces.net.networks import Network

IFLA_ADDRESS, IFLA_MTU, IFLA_MASTER, IFLA_GROUP = 1, 4, 10, 27
RTA_OIF = 4
RTPROT_KERNEL, RTN_UNICAST = 2, 1
NUD_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  #: reachable, stale, delay, probe, permanent
EINVAL, EEXIST = 22, 17


@value(frozen=True)
class State:
    """All that an interface has and a new one in its place must get."""

    name: str
    index: int
    mac: str
    mtu: int
    master: int | None
    group: int
    addresses: tuple[bytes, ...]
    routes: tuple[bytes, ...]
    neighbours: tuple[bytes, ...]


def splice(a: End, b: End, middle: Network) -> None:
    """Replace a wire by two that end as m0 and m1 in the middle; on failure it is a plain wire again."""
    with Netlink(a.network) as here, Netlink(b.network) as there:
        first, second = read(here, a), read(there, b)
        here.do(messages.delete_link(a.index, a.name))
        try:
            for side, state, port in ((here, first, "m0"), (there, second, "m1")):
                peer = messages.veth_peer(port, links.made_mac(), state.mtu, middle)
                side.do(_again(state, peer))
                restore(side, state)
        except BaseException:
            for side, state in ((here, first), (there, second)):
                side.do(messages.delete_link(state.index, state.name))
            peer = messages.veth_peer(b.name, second.mac, second.mtu, b.network, b.index)
            here.do(_again(first, peer))
            restore(here, first)
            restore(there, second)
            raise


def read(there: Netlink, end: End) -> State:
    """What an interface has now."""
    question = Request(f"ip link show {end.name}", netlink.GETLINK, 0, messages.link(end.index))
    (link,) = there.ask(question)
    found = dict(_attributes(link, 16 + 16))
    master, group = found.get(IFLA_MASTER), found.get(IFLA_GROUP)
    return State(
        end.name,
        end.index,
        ":".join(f"{byte:02x}" for byte in found[IFLA_ADDRESS]),
        unpack_from("=I", found[IFLA_MTU])[0],
        None if master is None else unpack_from("=I", master)[0],
        0 if group is None else unpack_from("=I", group)[0],
        tuple(
            message for message in _dump(there, netlink.GETADDR, 8) if unpack_from("=I", message, 20)[0] == end.index
        ),
        tuple(message for message in _dump(there, netlink.GETROUTE, 12) if _is_ours(message, end.index)),
        tuple(message for message in _dump(there, netlink.GETNEIGH, 12) if _is_known(message, end.index)),
    )


def restore(there: Netlink, state: State) -> None:
    """Give it to a new interface, which comes up by it."""
    todo = [messages.no_generated_address(state.index, state.name), messages.up(state.index, state.name)]
    todo += [
        Request(f"ip address add dev {state.name}", netlink.NEWADDR, netlink.CREATE, message, (EEXIST,))
        for message in state.addresses
    ]
    todo += [
        Request(f"ip route add dev {state.name}", netlink.NEWROUTE, netlink.CREATE, message, (EEXIST,))
        for message in state.routes
    ]
    # The other end keeps its MAC: nobody has to be asked for it anew.
    todo += [
        Request(f"ip neighbour add dev {state.name}", netlink.NEWNEIGH, netlink.CREATE, message, (EINVAL, EEXIST))
        for message in state.neighbours
    ]
    there.do(*todo)
    if state.master is not None:
        there.do(messages.set_master(state.index, state.name, state.master))


def _again(state: State, peer: list[object]) -> Request:
    return messages.new_link(
        state.name, "veth", mac=state.mac, mtu=state.mtu, index=state.index, group=state.group, data=peer
    )


def _dump(there: Netlink, kind: int, size: int) -> Iterator[bytes]:
    """Everything of a kind; the question is a header of zeros."""
    return there.ask(Request("ip show", kind, netlink.DUMP, bytes(16) + pack(f"{size}x")))


def _index(message: bytes) -> int:
    """The interface that an address or a neighbour is of."""
    return int(unpack_from("=I", message, 16 + 4)[0])


def _is_ours(message: bytes, index: int) -> bool:
    """A route over an interface that somebody added: the kernel's own come with addresses."""
    protocol, kind = message[16 + 5], message[16 + 7]
    if protocol == RTPROT_KERNEL or kind != RTN_UNICAST:
        return False
    out = dict(_attributes(message, 16 + 12)).get(RTA_OIF)
    return out is not None and unpack_from("=I", out)[0] == index


def _is_known(message: bytes, index: int) -> bool:
    """A neighbour whose MAC is known there."""
    return _index(message) == index and bool(unpack_from("=H", message, 16 + 8)[0] & NUD_KNOWN)


def _attributes(message: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    rest = message[start:]
    while len(rest) >= 4:
        length, kind = unpack_from("=HH", rest)
        if length < 4:
            return
        yield kind & 0x3FFF, rest[4:length]
        rest = rest[(length + 3) & ~3 :]
