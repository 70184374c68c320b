"""Code that must do without a network, a name server that the test is, and files that say who is who."""

import errno
import os
import socket
import struct
import threading

import pytest


@pytest.mark.namespaces("net")
def test_nothing_is_reachable_but_localhost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    with socket.socket() as sock, pytest.raises(OSError) as refused:
        sock.connect(("198.51.100.1", 80))
    assert refused.value.errno == errno.ENETUNREACH


@pytest.mark.namespaces("net", network="none")
def test_not_even_localhost() -> None:
    with socket.socket() as sock, pytest.raises(OSError) as refused:
        sock.connect(("127.0.0.1", 80))
    assert refused.value.errno == errno.ENETUNREACH


@pytest.mark.namespaces(
    files={"/etc/hosts": "127.0.0.1 localhost\n192.0.2.7 db.example\n", "/etc/nsswitch.conf": "hosts: files\n"}
)
def test_a_host_that_only_this_test_knows() -> None:
    assert socket.gethostbyname("db.example") == "192.0.2.7"


def answer(sock: socket.socket) -> None:
    """A name server with one address for everything (RFC 1035): the question as it came, and one answer."""
    query, client = sock.recvfrom(512)
    head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
    end = query.index(b"\0", 12) + 5
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("192.0.2.53")
    sock.sendto(head + query[12:end] + record, client)


@pytest.mark.namespaces(
    "net", files={"/etc/resolv.conf": "nameserver 127.0.0.1\n", "/etc/nsswitch.conf": "hosts: dns\n"}
)
def test_a_name_server_that_is_the_test(mntns) -> None:
    if os.path.exists("/run/nscd"):
        mntns.hide("/run/nscd")  # a cache would answer in its place, through a socket that no network keeps out
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 53))
        thread = threading.Thread(target=answer, args=(sock,))
        thread.start()
        assert socket.gethostbyname("anything.example") == "192.0.2.53"
        thread.join()
