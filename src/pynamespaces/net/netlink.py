"""One netlink socket in a network: messages as pyroute2 encodes them, sent and acknowledged in batches (rtnetlink(7)).

pyroute2's own sockets run an event loop, which no coroutine could wait for, and move threads between namespaces; its
messages are all that is needed here.
"""

from __future__ import annotations

import socket
from struct import pack, unpack_from

from pynamespaces import causes
from pynamespaces.errors import refusal
from pynamespaces.net import sockets
from pynamespaces.net.networks import Network
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any, Self

    from pynamespaces.net.networks import Where

NETLINK_ROUTE, SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 0, 270, 10, 11, 12
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, DUMP, EXCL, CREATE, REPLACE, ACK_TLVS = 0x1, 0x4, 0x300, 0x200, 0x400, 0x100, 0x200
NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, GETNEIGH = 28, 30
NEWQDISC, DELQDISC, GETQDISC = 36, 37, 38
BATCH = 64  #: messages in one send, so that the acknowledgements fit into the receive buffer


@value(frozen=True)
class Request:
    """A message and what it does, in the words of ip(8) and tc(8), for an error."""

    what: str
    kind: int
    flags: int
    message: Any
    tolerated: tuple[int, ...] = ()  #: refusals that do not matter


class Netlink:
    """A socket of NETLINK_ROUTE in a network."""

    def __init__(self, where: Where) -> None:
        self.network: Network = Network(where)
        self._sequence = 0
        try:
            self._sock = socket.socket(
                fileno=self.network.open_socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
            )
        except BaseException:
            self.network.close()
            raise
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            try:
                self._sock.setsockopt(SOL_NETLINK, option, 1)
            except OSError:  # an older kernel says less
                pass
        self._sock.settimeout(10)

    def do(self, *requests: Request) -> None:
        """Send, and wait until all are done; the first refusal is raised when the kernel has seen its whole batch.

        Raises:
            NamespaceError: with what the kernel said of it.
        """
        for start in range(0, len(requests), BATCH):
            self._batch(requests[start : start + BATCH])

    def _batch(self, requests: tuple[Request, ...]) -> None:
        waiting: dict[int, Request] = {}
        data = []
        for request in requests:
            self._sequence += 1
            waiting[self._sequence] = request
            data.append(_encoded(request, self._sequence, REQUEST | ACK | request.flags))
        self._sock.send(b"".join(data))
        refused: tuple[Request, int, str] | None = None
        while waiting:
            for kind, flags, sequence, body in self._receive():
                if kind != NLMSG_ERROR or sequence not in waiting:
                    continue
                request = waiting.pop(sequence)
                number = -unpack_from("=i", body)[0]
                if number and number not in request.tolerated and refused is None:
                    refused = request, number, _said(flags, body)
        if refused is not None:
            request, number, said = refused
            raise _refusal(request, number, said)

    def ask(self, request: Request) -> Iterator[bytes]:
        """Send a question; the messages of the answer, headers and all."""
        self._sequence += 1
        self._sock.send(_encoded(request, self._sequence, REQUEST | request.flags))
        found: list[bytes] = []
        while True:
            for kind, flags, sequence, body in self._receive():
                if sequence != self._sequence:
                    continue
                if kind == NLMSG_ERROR:
                    number = -unpack_from("=i", body)[0]
                    if number:
                        raise _refusal(request, number, _said(flags, body))
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    return iter(found)
                found.append(_header(kind, flags, sequence, body))
                if not request.flags & DUMP:
                    return iter(found)

    def index(self, name: str) -> int:
        """An interface's number; 0 where there is none of this name."""
        return sockets.index(self._sock, name)

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._sock.recv(1 << 18)
        while len(data) >= 16:
            length, kind, flags, sequence = unpack_from("=IHHI", data)
            yield kind, flags, sequence, data[16:length]
            data = data[(length + 3) & ~3 :]

    def close(self) -> None:
        self._sock.close()
        self.network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _encoded(request: Request, sequence: int, flags: int) -> bytes:
    message = request.message
    if not isinstance(message, bytes):  # else as the kernel sent it
        message["header"]["type"] = request.kind
        message.reset()
        message.encode()
        message = bytes(message.data)
    return _header(request.kind, flags, sequence, message[16:])


def _header(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return pack("=IHHII", len(body) + 16, kind, flags, sequence, 0) + body + bytes(-len(body) % 4)


def _said(flags: int, body: bytes) -> str:
    """The kernel's own words, NLMSGERR_ATTR_MSG, which follow the error and the header of what it is about."""
    if not flags & ACK_TLVS:
        return ""
    rest = body[4 + 16 :]
    while len(rest) >= 4:
        length, kind = unpack_from("=HH", rest)
        if kind == 1:
            return rest[4:length].rstrip(b"\0").decode(errors="replace")
        if length < 4:
            break
        rest = rest[(length + 3) & ~3 :]
    return ""


def _refusal(request: Request, number: int, said: str) -> OSError:
    hint = "; ".join(filter(None, [said, causes.why(number, request.what)])) or None
    return refusal(number, step=request.what, hint=hint)
