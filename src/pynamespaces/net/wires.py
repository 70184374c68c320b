"""Wires: a veth pair (veth(4)) between two networks, up, with addresses."""

from __future__ import annotations

from pynamespaces.net import links, messages
from pynamespaces.net import weather as weathers
from pynamespaces.net.links import End
from pynamespaces.net.netlink import Netlink
from pynamespaces.net.weather import CLEAR, Weather

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self, TypeVar

    from pynamespaces.net.links import Addresses
    from pynamespaces.net.networks import Network, Where
    from pynamespaces.net.relays import Relay

    T = TypeVar("T")


class Wire:
    """A wire between two networks; made by `wire` and `switch`.

    It is gone at the end of its ``with`` block, when it is closed, or with either of its networks.
    """

    a: End  #: the first one's end
    b: End  #: the second one's

    def __init__(self, a: End, b: End) -> None:
        self.a = a
        self.b = b
        self._weather = CLEAR
        self._cut = False
        self._relay: Relay | None = None

    @property
    def ends(self) -> tuple[End, End]:
        return self.a, self.b

    def end(self, where: Where) -> End:
        """The end that is in a network; ValueError if neither is."""
        from pynamespaces.net.networks import Network

        with Network(where) as network:
            for end in self.ends:
                if end.network == network:
                    return end
        raise ValueError(f"{where!r} is at neither end of {self!r}")

    @property
    def weather(self) -> Weather:
        """What it does to frames, in each direction; set another one at any time, and it is in force.

        Delay and loss are tc's (sch_netem) where the kernel has that.  Elsewhere the wire gets a relay, a process of
        ours in the middle, when they are first asked for: interfaces, addresses, routes and connections stay.
        """
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        if not isinstance(weather, Weather):
            raise TypeError(f"expected a Weather, got {weather!r}")
        self._apply(weather, self._cut)
        self._weather = weather

    @property
    def by(self) -> str:
        """What makes its weather, "tc", or "relay" where the kernel has no netem, or "nothing"."""
        if self._relay is not None:
            return "relay"
        return "tc" if self._cut or self._weather != CLEAR else "nothing"

    def cut(self) -> None:
        """Lose everything, silently, in both directions: links stay up, addresses and routes stay."""
        self._apply(self._weather, True)
        self._cut = True

    def mend(self) -> None:
        """Undo `cut`; the weather is what it was."""
        self._apply(self._weather, False)
        self._cut = False

    @property
    def is_cut(self) -> bool:
        return self._cut

    def _apply(self, weather: Weather, cut: bool) -> None:
        if self.closed:
            raise ValueError(f"this wire is closed: {self!r}")
        netem = self._relay is None and weather.late and weathers.has_netem()
        if weather.late and not netem and self._relay is None:
            from pynamespaces.net.relays import Relay

            self._relay = Relay(self.a, self.b)
        if self._relay is not None:
            self._relay.set(weather)
        for end in self.ends:
            with Netlink(end.network) as there:
                there.do(*weathers.requests(end, weather, cut=cut, netem=netem))

    @property
    def closed(self) -> bool:
        return self.a.network.namespace.closed

    def close(self) -> None:
        """Take it down: both interfaces are gone; harmless twice."""
        if self.closed:
            return
        try:
            for end in self.ends if self._relay is not None else (self.a,):
                with Netlink(end.network) as there:
                    there.do(messages.delete_link(end.index, end.name))
        finally:
            self.release()

    def release(self) -> None:
        """Let go of both networks: the interfaces go when those do; a relay ends."""
        if self._relay is not None:
            self._relay.close()
        for end in self.ends:
            end.network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f", {self._weather!r} by {self.by}" if self.by != "nothing" else ""
        cut = ", cut" if self._cut else ""
        return f"<Wire {self.a.name} of {self.a.network!r} to {self.b.name} of {self.b.network!r}{state}{cut}>"


def wire(
    a: Where,
    b: Where = None,
    *,
    addresses: tuple[Addresses, Addresses] = (None, None),
    names: tuple[str | None, str | None] = (None, None),
    macs: tuple[str | None, str | None] = (None, None),
    mtu: int | None = None,
    weather: Weather = CLEAR,
) -> Wire:
    """Join two networks by a veth pair: both ends are up, and their addresses can be used at once.

    Args:
        a: a Host, a NamespaceSet, a net Namespace, a process, a path, a saved name; None is this thread's own network.
        b: the other one.
        addresses: of each end, as "10.0.0.1/24", "fd00::1/64", or several of them.
        names: of the interfaces; by default the first free of eth0, eth1, …
        macs: by default random and locally administered.
        mtu: bytes; by default 1500.
        weather: what it does to frames; see `Wire.weather`.

    Raises:
        ValueError: a bad name, MAC or address.
        AlreadyExists: the name is taken (EEXIST).
        NotPermitted: no CAP_NET_ADMIN over one of them; as an ordinary user join networks of one user namespace of
            your own, as a `Lab` has them (EPERM).
    """
    wanted = [links.parsed(given) for given in _pair("addresses", addresses)]
    mac_a, mac_b = [links.checked_mac(mac) or links.made_mac() for mac in _pair("macs", macs)]
    given_a, given_b = [links.checked_name(name) for name in _pair("names", names)]
    with Netlink(a) as here, Netlink(b) as there:
        name_a = given_a or links.free_name(here)
        name_b = given_b or links.free_name(there)
        if here.network == there.network and name_a == name_b:
            name_b = links.free_name(there, name_b.rstrip("0123456789") + "1")
        here.do(messages.new_link(name_a, "veth", mac=mac_a, mtu=mtu, data=_peer(name_b, mac_b, mtu, there.network)))
        first = links.settle(here, name_a, mac_a, wanted[0])
        try:
            second = links.settle(there, name_b, mac_b, wanted[1])
        except BaseException:
            here.do(messages.delete_link(first.index, name_a))
            first.network.close()
            raise
    made = Wire(first, second)
    if weather != CLEAR:
        try:
            made.weather = weather
        except BaseException:
            made.close()
            raise
    return made


def _peer(name: str, mac: str, mtu: int | None, network: Network) -> list[object]:
    return messages.veth_peer(name, mac, mtu, network)


def _pair(name: str, given: Sequence[T]) -> Sequence[T]:
    if isinstance(given, str) or len(given) != 2:
        raise ValueError(f"{name} is a pair, one for each end, got {given!r}")
    return given
