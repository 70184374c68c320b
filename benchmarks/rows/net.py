"""Networks: against pyroute2 by itself sending the same messages, and a veth pair made by hand."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

from measure import Row, rounds

from pynamespaces import net
from pynamespaces.net import networks

HOSTS = 50
STREAM = 1 << 30
NO_GENERATED = {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", 1]]}


def made(count: int) -> list[net.Network]:
    return [networks.make([]) for _ in range(count)]


def ours() -> float:
    hosts = made(HOSTS)
    start = time.perf_counter_ns()
    switch = net.switch(*hosts, subnets=["10.0.0.0/24", "fd00::/64"])
    took = time.perf_counter_ns() - start
    for host in hosts:
        host.close()
    switch.release()
    return took / HOSTS


def by_pyroute2() -> float:
    """The same links, addresses and flags, each by the call that its documentation shows."""
    from pyroute2 import IPRoute

    hosts, middle = made(HOSTS), networks.make([], ipv6=False)

    def opened(network: net.Network) -> IPRoute:
        return IPRoute(fileno=network.open_socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0))

    start = time.perf_counter_ns()
    bridge = opened(middle)
    bridge.link("add", ifname="br0", kind="bridge", br_forward_delay=0, br_stp_state=0, br_mcast_snooping=0, state="up")
    master = bridge.link_lookup(ifname="br0")[0]
    for number, host in enumerate(hosts):
        mac = f"02:00:00:00:00:{number:02x}"
        peer = {"ifname": "eth0", "net_ns_fd": host.fileno(), "address": mac}
        bridge.link("add", ifname=f"p{number}", kind="veth", peer=peer)
        bridge.link("set", index=bridge.link_lookup(ifname=f"p{number}")[0], master=master, state="up")
        with opened(host) as there:
            index = there.link_lookup(ifname="eth0")[0]
            there.link(
                "set", index=index, af_spec={"attrs": [["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", 1]]}]]}
            )
            there.link("set", index=index, state="up")
            there.addr("add", index=index, address=f"fe80::{number + 1:x}", prefixlen=64, flags=2)
            there.addr("add", index=index, address=f"10.0.0.{number + 1}", prefixlen=24)
            there.addr("add", index=index, address=f"fd00::{number + 1:x}", prefixlen=64, flags=2)
    took = time.perf_counter_ns() - start
    bridge.close()
    for network in (*hosts, middle):
        network.close()
    return took / HOSTS


def stream(a: net.Network, b: net.Network, address: str) -> float:
    """Nanoseconds for a megabyte of a TCP stream."""
    size = max(STREAM // (8 if rounds(10) < 10 else 1), 1 << 26)
    with net.listen(b, (address, 80)) as server, net.connect(a, (address, 80)) as near:
        far, _ = server.accept()
        with far:

            def send() -> None:
                piece = bytes(1 << 18)
                for _ in range(size // len(piece)):
                    near.sendall(piece)

            thread = threading.Thread(target=send)
            into = bytearray(1 << 20)
            start = time.perf_counter_ns()
            thread.start()
            left = size
            while left:
                left -= far.recv_into(into)
            took = time.perf_counter_ns() - start
            thread.join()
    return took / (size >> 20)


def by_hand(a: net.Network, b: net.Network) -> None:
    def ip(*words: str, of: net.Network) -> None:
        command = ["nsenter", f"--net=/proc/self/fd/{of.fileno()}", "ip", *words]
        subprocess.run(command, check=True, pass_fds=[a.fileno(), b.fileno()])

    ip("link", "add", "h0", "type", "veth", "peer", "name", "h1", "netns", f"/proc/{os.getpid()}/fd/{b.fileno()}", of=a)
    for network, name, address in ((a, "h0", "10.9.0.1/24"), (b, "h1", "10.9.0.2/24")):
        ip("address", "add", address, "dev", name, of=network)
        ip("link", "set", name, "up", of=network)


def labs() -> float:
    count = rounds(100)
    start = time.perf_counter_ns()
    for _ in range(count):
        with net.Lab() as lab:
            lab.wire("a", "b")
    return (time.perf_counter_ns() - start) / count


def by_ip() -> float:
    count = max(2, rounds(10))
    script = (
        "ip netns add a && ip netns add b && ip link add e0 netns a type veth peer name e0 netns b && "
        "ip -n a address add 10.0.0.1/24 dev e0 && ip -n b address add 10.0.0.2/24 dev e0 && "
        "ip -n a link set e0 up && ip -n b link set e0 up && ip -n a link set lo up && ip -n b link set lo up && "
        "ip netns del a && ip netns del b"
    )
    start = time.perf_counter_ns()
    for _ in range(count):
        subprocess.run(["sh", "-c", script], check=True)
    return (time.perf_counter_ns() - start) / count


def rows() -> Iterator[Row]:
    yield Row(
        "a switch of 50 hosts, for each host",
        ours,
        peers={"pyroute2, the same messages": by_pyroute2},
        peer_promise=2.0,
    )
    a, b = made(2)
    with a, b, net.wire(a, b, addresses=("10.8.0.1/24", "10.8.0.2/24")):
        by_hand(a, b)
        yield Row(
            "a TCP stream over a wire, for each MiB",
            lambda: stream(a, b, "10.8.0.2"),
            peers={"a veth pair made by ip": lambda: stream(a, b, "10.9.0.2")},
            peer_promise=1 / 0.95,
        )
    yield Row("a lab of two wired hosts, there and gone", labs, peers={"ip netns": by_ip}, peer_promise=1.0)
