"""The keeper: a tiny process that holds namespaces where a bind mount cannot (init.c), found by its socket."""

from __future__ import annotations

import os
import socket
import struct

from pynamespaces._kernel import init

_SECONDS = 5.0
_FD = struct.Struct("i")
_MOST = 8  #: one of each kind


def start(directory: int, name: str, kept: list[int]) -> None:
    """Start a keeper of these namespaces, reached by a socket `name` in a directory (a descriptor)."""
    image = init.image()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(_address(directory, name))
            listening.listen(16)
            init.spawn_keeper(image, listening.fileno(), kept)
    finally:
        os.close(image)


def fetch(directory: int, name: str) -> list[int] | None:
    """Descriptors of what a keeper holds; None where it has ended.

    Raises:
        FileNotFoundError: there is no such socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        if not _connect(client, directory, name):
            return None
        try:
            client.sendall(b"o")
            # socket.recv_fds() passes no flags on in Python 3.11: what it received would be inheritable.
            space = socket.CMSG_LEN(_MOST * _FD.size)
            data, messages, _, _ = client.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:  # it ended meanwhile
            return None
        fds = [fd for *_, sent in messages for (fd,) in _FD.iter_unpack(sent[: len(sent) - len(sent) % _FD.size])]
        return fds if data else None


def end(directory: int, name: str) -> None:
    """End a keeper, and wait for that; harmless where it has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            if _connect(client, directory, name):
                client.sendall(b"q")
                client.recv(1)
        except (FileNotFoundError, ConnectionError):
            pass


def _connect(client: socket.socket, directory: int, name: str) -> bool:
    client.settimeout(_SECONDS)
    try:
        client.connect(_address(directory, name))
    except ConnectionRefusedError:
        return False
    return True


def _address(directory: int, name: str) -> str:
    # By descriptor: a socket's path may have 107 bytes only.
    return f"/proc/thread-self/fd/{directory}/{name}"
