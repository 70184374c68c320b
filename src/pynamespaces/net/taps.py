"""Taps: an interface whose other end is a descriptor, for programs that bring their own packets."""

from __future__ import annotations

import os

from pynamespaces import errands
from pynamespaces.net import links
from pynamespaces.net.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pynamespaces.net.links import Addresses, End
    from pynamespaces.net.networks import Where


class Tap:
    """The descriptor end of a tap: what the host sends is read here, what is written here it receives.

    Each `read` and `write` is one frame (tap) or one packet (tun).  The interface is gone with the descriptor.
    """

    def __init__(self, fd: int, end: End) -> None:
        self._fd = fd
        self.end = end  #: the interface

    @property
    def name(self) -> str:
        return self.end.name

    def fileno(self) -> int:
        """The descriptor, non-blocking and close-on-exec; ValueError once closed."""
        if self._fd < 0:
            raise ValueError(f"this tap is closed: {self!r}")
        return self._fd

    def read(self, size: int = 65536) -> bytes:
        """One frame; BlockingIOError if there is none."""
        return os.read(self.fileno(), size)

    def write(self, frame: bytes) -> int:
        """Let the host receive one frame."""
        return os.write(self.fileno(), frame)

    def close(self) -> None:
        """Let go: the interface is gone; harmless twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self.end.network.close()

    def __enter__(self) -> Self:
        self.fileno()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Tap {self.end.name} in {self.end.network!r}{', closed' if self._fd < 0 else ''}>"


def tap(where: Where, name: str | None = None, *, addresses: Addresses = None, tun: bool = False) -> Tap:
    """Make a tap interface in a network, up, with addresses (Documentation/networking/tuntap.rst).

    Args:
        where: whose network.
        name: by default the first free of tap0, tap1, …
        addresses: see `net.wire`.
        tun: IP packets rather than Ethernet frames.

    Raises:
        NotPermitted: /dev/net/tun is closed to this user (EACCES), or no CAP_NET_ADMIN there (EPERM).
        NotFound: this kernel has no tun (ENOENT).
    """
    wanted = links.parsed(addresses)
    with Netlink(where) as there:
        chosen = links.checked_name(name) or links.free_name(there, "tun" if tun else "tap")
        fd = errands.open_tap(there.network.steps(), chosen, tun=tun)
        try:
            return Tap(fd, links.configure(there, chosen, None, wanted))
        except BaseException:
            os.close(fd)
            raise
