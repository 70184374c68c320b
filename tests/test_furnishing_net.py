"""A host without a cable: addresses and sysctls of new namespaces, in blocks and in children."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from conftest import in_child
from pynamespaces import Isolation, NamespaceError, kinds, plan

START = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def host() -> tuple[str, int, set[str]]:
    """What a program that looks for its host's network finds: the low-port sysctl, what resolves, who answers."""
    found = socket.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET, flags=socket.AI_ADDRCONFIG)
    reached = set()
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family) as server:
            server.bind((address, 80))
            reached.add(server.getsockname()[0])
    with open(START, encoding="ascii") as file:
        return file.read().strip(), len(found), reached


@in_child
def test_a_host_without_a_cable_in_a_block() -> None:
    with Isolation("net", loopback="host").unshare():
        start, found, reached = host()
    assert start == "0"
    assert found > 0
    assert reached == {"192.0.2.1", "2001:db8::1"}


def test_a_host_without_a_cable_in_a_call() -> None:
    start, found, reached = Isolation("user", "net", loopback="host").call(host)
    assert (start, reached) == ("0", {"192.0.2.1", "2001:db8::1"})
    assert found > 0


def test_ping_is_allowed() -> None:
    def ping() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sock:
            return sock.fileno()

    assert Isolation("user", "net", loopback="host").call(ping) >= 0


def test_sysctls_are_of_the_namespaces_inside() -> None:
    def read() -> tuple[str, str]:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text(), Path("/proc/sys/kernel/msgmax").read_text()

    box = Isolation("user", "net", "ipc", sysctl={"net.ipv4.ip_forward": 1, "kernel.msgmax": 4000})
    before = read()
    assert box.call(read) == ("1\n", "4000\n")
    assert read() == before
    assert hash(box) == hash(Isolation("user", "net", "ipc", sysctl={"net.ipv4.ip_forward": 1, "kernel.msgmax": 4000}))


def test_a_sysctl_that_is_refused_is_an_error() -> None:
    box = Isolation("user", "net", sysctl={"net.ipv4.ip_forward": "many"})
    with pytest.raises(NamespaceError, match="write 'many' to /proc/sys/net/ipv4/ip_forward") as caught:
        box.call(os.getpid)
    assert caught.value.errno == 22


def test_what_makes_no_sense_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"of no namespace; .*net/"):
        Isolation("net", sysctl={"vm.swappiness": 1})
    with pytest.raises(ValueError, match=r"kernel.msgmax is of the ipc namespace, and ipc is not among"):
        Isolation("net", sysctl={"kernel.msgmax": 1})
    with pytest.raises(ValueError, match="'host'"):
        Isolation("net", loopback="hosts")
    for text in ("192.0.2.1/33", "192.0.2", "2001:db8::1/129", "::/x", "192.0.2.1/-1"):
        with pytest.raises(ValueError, match="expected an address"):
            plan.address("lo", text)
    with pytest.raises(ValueError, match="1 to 15 bytes"):
        plan.address("a-very-long-device", "192.0.2.1/32")


def test_an_address_twice_is_fine_and_a_missing_device_is_not() -> None:
    def add() -> tuple[int, int, int]:
        once, again = [plan.do(plan.address("lo", "10.0.0.1/8")) for _ in range(2)]
        return once, again, plan.do(plan.address("eth7", "10.0.0.1/8"))

    assert Isolation("user", "net").call(add) == (0, 0, -19)
    assert plan.sysctl("net/ipv4/conf/eth0.1/forwarding", "1").a == b"/proc/sys/net/ipv4/conf/eth0.1/forwarding"
    assert kinds.row_of_flag(plan.sysctl("kernel.shmmax", "1").fd).name == "ipc"
