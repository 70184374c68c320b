"""Sockets that live in another network, while this thread stays where it is.

    server = net.listen(web, ("0.0.0.0", 80))
    client = net.connect(db, ("10.0.0.1", 80), timeout=5)

A socket belongs to the network in which it was made, for ever: whoever has its descriptor uses that network.
Addresses are numeric: a name would be looked up by this process, in this process's network.
"""

from __future__ import annotations

import ipaddress
import socket as _socket
from fcntl import ioctl
from struct import pack, unpack_from

from pynamespaces.net.networks import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from typing import Any

    from pynamespaces.net.networks import Where

SIOCGIFINDEX = 0x8933


def socket(
    where: Where,
    family: int = _socket.AF_INET,
    type: int = _socket.SOCK_STREAM,  # noqa: A002 (as socket.socket has it)
    proto: int = 0,
) -> _socket.socket:
    """A socket in another network: `socket.socket` with a place.  Works from any thread, and rootless.

    Args:
        where: whose network; see `Network`.
        family: as socket(2) takes it.
        type: SOCK_NONBLOCK may be part of it; the descriptor is close-on-exec in any case.
        proto: as socket(2) takes it; for AF_PACKET in network byte order.

    Raises:
        NotPermitted: the network belongs to a user namespace that is not ours (EPERM, setns(2)); a raw socket without
            CAP_NET_RAW there.
        OSError: what socket(2) says of family, type and proto.
    """
    with Network(where) as network:
        return _socket.socket(fileno=network.open_socket(int(family), int(type), proto))


def index(sock: _socket.socket, name: str) -> int:
    """An interface's number in the network of a socket; 0 where there is none of this name (netdevice(7))."""
    try:
        answer = ioctl(sock.fileno(), SIOCGIFINDEX, pack("16s24x", name.encode()))
    except OSError as error:
        if error.errno == 19:
            return 0
        raise
    return int(unpack_from("=i", answer, 16)[0])


def listen(
    where: Where, address: tuple[str, int], *, backlog: int | None = None, reuse_port: bool = False
) -> _socket.socket:
    """A TCP socket that listens in another network: `socket.create_server` with a place.

    Args:
        where: whose network.
        address: numeric host ("" for all of IPv4, "::" for all of IPv6) and port; 0 for a free one.
        backlog: as listen(2) takes it.
        reuse_port: SO_REUSEPORT.

    Raises:
        ValueError: a host name.
        OSError: EADDRINUSE, EADDRNOTAVAIL, as bind(2) says it.
    """
    return _bound(where, _socket.SOCK_STREAM, address, backlog, reuse_port)


def bind(where: Where, address: tuple[str, int]) -> _socket.socket:
    """A UDP socket with an address in another network; see `listen`."""
    return _bound(where, _socket.SOCK_DGRAM, address, None, False)


def _bound(where: Where, type_: int, address: tuple[str, int], backlog: int | None, reuse_port: bool) -> _socket.socket:
    family, host, port, scope = _parse(address)
    sock = socket(where, family, type_)
    try:
        if type_ == _socket.SOCK_STREAM:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(_full(sock, host, port, scope))
        except OSError as error:
            text = f"bind({address!r}) in {where!r}: {error.strerror}"
            raise type(error)(error.errno, text) from None
        if type_ == _socket.SOCK_STREAM:
            sock.listen() if backlog is None else sock.listen(backlog)
        return sock
    except BaseException:
        sock.close()
        raise


def connect(where: Where, address: tuple[str, int], *, timeout: float | None = None) -> _socket.socket:
    """A TCP connection from another network: `socket.create_connection` with a place.

    Args:
        where: whose network it is made from.
        address: numeric host, and port.
        timeout: seconds, for connecting and for each operation afterwards.

    Raises:
        ValueError: a host name.
        TimeoutError, ConnectionRefusedError, OSError: as connect(2) says it.
    """
    family, host, port, scope = _parse(address)
    sock = socket(where, family)
    try:
        sock.settimeout(timeout)
        sock.connect(_full(sock, host, port, scope))
    except BaseException:
        sock.close()
        raise
    return sock


async def open_connection(
    where: Where, host: str, port: int, **kwargs: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """`asyncio.open_connection` from another network; the loop stays at home."""
    import asyncio

    family, host, port, scope = _parse((host, port))
    sock = socket(where, family)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, _full(sock, host, port, scope))
        return await asyncio.open_connection(sock=sock, **kwargs)
    except BaseException:
        sock.close()
        raise


async def start_server(
    client_connected_cb: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None],
    where: Where,
    host: str,
    port: int,
    **kwargs: Any,
) -> asyncio.Server:
    """`asyncio.start_server` in another network; the loop stays at home."""
    import asyncio

    sock = listen(where, (host, port))
    try:
        return await asyncio.start_server(client_connected_cb, sock=sock, **kwargs)
    except BaseException:
        sock.close()
        raise


def _parse(address: tuple[str, int]) -> tuple[int, str, int, str]:
    """Family, host, port, and the interface after a "%"."""
    host, port = address
    if type(port) is not int or not 0 <= port < 65536:
        raise ValueError(f"not a port: {port!r}; expected 0 to 65535")
    plain, _, scope = host.partition("%")
    try:
        version = ipaddress.ip_address(plain or "0.0.0.0").version
    except ValueError:
        raise ValueError(
            f"not a numeric address: {host!r}; a name would be looked up in this process's network: "
            "do that inside, with call()"
        ) from None
    return (_socket.AF_INET if version == 4 else _socket.AF_INET6), plain or "0.0.0.0", port, scope


def _full(sock: _socket.socket, host: str, port: int, scope: str) -> tuple[str, int] | tuple[str, int, int, int]:
    if sock.family == _socket.AF_INET:
        return host, port
    number = int(scope) if scope.isdigit() else index(sock, scope) if scope else 0
    if scope and not number:
        raise ValueError(f"no interface {scope!r} there")
    return host, port, 0, number
