"""The keeper: a tiny process that holds namespaces where a bind mount cannot (init.c), found by its socket."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time

from pynamespaces._kernel import init

_SECONDS = 5.0
_TRIES = 5
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
        PermissionError: it is another user's, and answers nobody else.
    """
    return _ask(directory, name, b"o")


def end(directory: int, name: str) -> None:
    """End a keeper, and see that it has ended; harmless where it had before.

    Raises:
        PermissionError: it is another user's, and answers nobody else.
    """
    try:
        _ask(directory, name, b"q")
    except FileNotFoundError:
        pass


def _ask(directory: int, name: str, word: bytes) -> list[int] | None:
    """What it gives; None when nobody listens.  A conversation that is broken off says nothing: ask again."""
    for _ in range(_TRIES):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            if not _connect(client, directory, name):
                return None
            try:
                client.sendall(word)
                # socket.recv_fds() passes no flags on in Python 3.11: what it received would be inheritable.
                data, messages, _, _ = client.recvmsg(1, socket.CMSG_LEN(_MOST * _FD.size), socket.MSG_CMSG_CLOEXEC)
            except ConnectionError:
                continue
            except TimeoutError:
                raise TimeoutError(errno.ETIMEDOUT, "its keeper does not answer") from None
            if data:
                return [
                    fd for *_, sent in messages for (fd,) in _FD.iter_unpack(sent[: len(sent) - len(sent) % _FD.size])
                ]
    raise PermissionError(errno.EPERM, "its keeper does not answer: it is another user's")


def _connect(client: socket.socket, directory: int, name: str) -> bool:
    client.settimeout(_SECONDS)
    for _ in range(int(_SECONDS * 100)):
        try:
            client.connect(_address(directory, name))
            return True
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # more callers than it has seats for: connect(2) does not wait for one
            time.sleep(0.01)
    raise TimeoutError(errno.ETIMEDOUT, "the keeper does not answer")


def _address(directory: int, name: str) -> str:
    # By descriptor: a socket's path may have 107 bytes only.
    return f"/proc/thread-self/fd/{directory}/{name}"
