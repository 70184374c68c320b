"""Moves: an interface out of one network into another, and back."""

from __future__ import annotations

from pynamespaces.errors import refusal
from pynamespaces.net import links, messages
from pynamespaces.net.netlink import Netlink
from pynamespaces.net.networks import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pynamespaces.net.links import Addresses, End
    from pynamespaces.net.networks import Where

ENODEV = 19


class Moved:
    """An interface in another network; it comes back, with its old name, at the end of the ``with`` block.

    A physical one comes back to the first network by itself when the one it is in goes; others go with that.
    """

    def __init__(self, end: End, home: Network, old_name: str) -> None:
        self.end = end  #: where it is now
        self._home = home
        self._old_name = old_name

    @property
    def name(self) -> str:
        return self.end.name

    def close(self) -> None:
        """Move it back; harmless twice, and where it is gone."""
        if self._home.namespace.closed:
            return
        try:
            with Netlink(self.end.network) as there:
                index = there.index(self.end.name)
                if index:
                    there.do(messages.move(index, self.end.name, self._home, self._old_name))
        finally:
            self._home.close()
            self.end.network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Moved {self._old_name} of {self._home!r} to {self.end.name} of {self.end.network!r}>"


def move(
    interface: str, to: Where, *, source: Where = None, name: str | None = None, addresses: Addresses = None
) -> Moved:
    """Move an interface into another network, where it comes up (``ip link set … netns …``).

    The kernel takes its addresses and routes away at a move, and they do not come back with it.

    Args:
        interface: its name.
        to: whose network it goes to.
        source: whose network it is in; by default this thread's own.
        name: its name there; by default the same.
        addresses: what it gets there; see `net.wire`.

    Raises:
        NamespaceError: no such interface (ENODEV); one that stays where it is, as lo does (EINVAL).
        AlreadyExists: the name is taken there (EEXIST).
        NotPermitted: no CAP_NET_ADMIN over both networks (EPERM).
    """
    wanted = links.parsed(addresses)
    old = links.checked_name(interface) or ""
    new = links.checked_name(name) or old
    with Netlink(source) as here, Netlink(to) as there:
        index = here.index(old)
        if not index:
            raise refusal(ENODEV, step=f"ip link set {old} netns", text=f"no interface {old!r} there")
        here.do(messages.move(index, old, there.network, new))
        try:
            end = links.configure(there, new, None, wanted)
        except BaseException:
            there.do(messages.move(there.index(new), new, here.network, old))
            raise
        return Moved(end, Network(here.network), old)
