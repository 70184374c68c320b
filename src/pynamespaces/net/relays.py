"""Relays: a process of our own between the two ends of a wire, where the kernel cannot delay or lose frames itself.

The wire becomes two, which meet in a network of their own; a tiny process (relay.c) passes frames from one to the
other.  Both ends keep their names, numbers, MACs, addresses and routes, so that connections go on.
"""

from __future__ import annotations

import os
import socket
from struct import pack

from pynamespaces._kernel import init
from pynamespaces.net import messages, networks, sockets, splices
from pynamespaces.net.netlink import Netlink
from pynamespaces.net.networks import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.net.links import End
    from pynamespaces.net.weather import Weather

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_ALL = 3
PATIENCE = 10.0  #: seconds to wait for its answer
BUFFER = 4 << 20  #: bytes of a packet socket's queue; the kernel gives what net.core.rmem_max allows


class Relay:
    """The process in the middle of a wire; it ends with this object, or with this process."""

    def __init__(self, a: End, b: End) -> None:
        self._network = networks.make(a.network.beside(), ipv6=False)
        self._control: socket.socket | None = None
        try:
            splices.splice(a, b, self._network)
            self._start()
        except BaseException:
            self._network.close()
            raise

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        image = init.image()
        try:
            with theirs, _packets(self._network, "m0") as first, _packets(self._network, "m1") as second:
                init.spawn_relay(image, theirs.fileno(), first.fileno(), second.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(image)
        ours.settimeout(PATIENCE)
        self._control = ours

    def set(self, weather: Weather) -> None:
        """Change what it does; in force when this returns."""
        if self._control is None:
            raise ValueError("this relay has ended")
        jitter, delay = int(weather.jitter * 1e9), int(weather.delay * 1e9)
        self._control.send(pack("=QQQ", delay, jitter, int(weather.loss * 2**32)))
        if not self._control.recv(1):
            raise ConnectionError("the relay of this wire has ended")

    def close(self) -> None:
        """End it, and wait until it has."""
        control, self._control = self._control, None
        if control is not None:
            with control:
                control.shutdown(socket.SHUT_WR)
                try:
                    while control.recv(16):
                        pass
                except OSError:
                    pass
        self._network.close()


def _packets(network: Network, name: str) -> socket.socket:
    """What arrives at one interface, whole: with the headers of unfinished checksums and of segments to be made."""
    sock = sockets.socket(network, socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        with Netlink(network) as there:
            there.do(messages.up(there.index(name), name))
        sock.bind((name, ETH_P_ALL))  # Python looks the name up in the socket's network
        return sock
    except BaseException:
        sock.close()
        raise
