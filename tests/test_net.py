"""Networks: namespaces as hosts, wires, switches, sockets of other hosts."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import children, drop_to_user, in_child, in_plain_child
from pynamespaces import (
    Isolation,
    Namespace,
    NamespaceError,
    NotPermitted,
    NotSupported,
    errands,
    forget,
    mounts,
    net,
    plan,
    unshare,
)
from pynamespaces._kernel import prctl
from pynamespaces.net import Network, links, names

if TYPE_CHECKING:
    from pynamespaces.net import Host, Lab
    from pynamespaces.pytest_labs import TwoHosts

ROOM = os.path.dirname(__file__)


def talk(server: Host, client: Host, address: str) -> None:
    with server.listen(80, address) as listening, client.connect(address, 80, timeout=5) as near:
        far, _ = listening.accept()
        with far:
            near.sendall(b"hello")
            assert far.recv(10) == b"hello"


def interfaces(host: Host) -> list[str]:
    names: list[str] = host.call(lambda: sorted(name for _, name in socket.if_nameindex()))
    return names


def test_two_wired_hosts_talk_at_once_over_both_families(two_hosts: TwoHosts) -> None:
    client, server = two_hosts
    talk(server, client, "10.77.1.2")
    talk(server, client, "fd77:0:0:1::2")
    talk(client, server, links.link_local(two_hosts.wire.a.mac).split("/")[0] + "%eth0")
    assert [end.name for end in two_hosts.wire.ends] == ["eth0", "eth0"]


def test_a_wire_is_made_as_asked_and_goes_with_its_block(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    macs = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
    with net.wire(a, b, names=("left", "right"), macs=macs, mtu=9000) as wire:
        assert interfaces(a) == ["left", "lo"] and interfaces(b) == ["lo", "right"]
        said = b.run(
            ["cat", "/sys/class/net/right/address", "/sys/class/net/right/mtu"], capture_output=True, text=True
        )
        assert said.stdout.split() == [macs[1], "9000"]
        assert wire.end(b).name == "right" and not wire.closed
    assert wire.closed and interfaces(a) == ["lo"] and interfaces(b) == ["lo"]
    wire.close()


def test_a_wire_that_cannot_be_whole_is_not_there(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    with net.wire(a, b, names=("x", "y")):
        with pytest.raises(FileExistsError) as refused:
            net.wire(a, b, names=("z", "y"))
        assert "ip link add z type veth" in str(refused.value)
        assert interfaces(a) == ["lo", "x"]
    with pytest.raises(NamespaceError):  # the second address is there already
        net.wire(a, b, addresses=(None, ["10.0.0.1/24", "10.0.0.1/24"]))
    assert interfaces(a) == ["lo"] and interfaces(b) == ["lo"]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"names": ("a/b", None)}, "interface name"),
        ({"names": ("much-too-long-name", None)}, "interface name"),
        ({"macs": ("01:00:00:00:00:00", None)}, "unicast MAC"),
        ({"addresses": ("10.0.0.1", None)}, "prefix"),
        ({"addresses": ("10.0.0.1/99", None)}, "10.0.0.1/99"),
        ({"addresses": "10.0.0.1/24"}, "pair"),
    ],
)
def test_bad_arguments_are_said_before_anything_happens(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        net.wire(None, None, **wrong)  # type: ignore[arg-type]


def test_a_switch_joins_many_and_nobody_else(lab: Lab) -> None:
    switch = lab.switch("a", "b", "c")
    talk(lab["a"], lab["c"], "10.77.1.1")
    talk(lab["b"], lab["a"], "fd77:0:0:1::2")
    assert switch.wire(lab["b"]).a.addresses == ("10.77.1.2/24", "fd77:0:0:1::2/64")
    lab.wire("x", "y")
    with pytest.raises(OSError) as refused:
        lab["x"].connect("10.77.1.1", 80, timeout=5)
    assert refused.value.errno == errno.ENETUNREACH
    with pytest.raises(ValueError, match="not on this switch"):
        switch.wire(lab["x"])
    switch.close()
    assert interfaces(lab["a"]) == ["lo"]
    with pytest.raises(ValueError, match="no address for each"):
        net.switch(lab["a"], lab["b"], lab["c"], subnets="10.0.0.0/30")


def test_a_router_forwards_between_two_subnets(lab: Lab) -> None:
    lab.wire("left", "router", addresses=(["10.1.0.2/24", "fd01::2/64"], ["10.1.0.1/24", "fd01::1/64"]))
    lab.wire("right", "router", addresses=(["10.2.0.2/24", "fd02::2/64"], ["10.2.0.1/24", "fd02::1/64"]))
    net.route(lab["left"], "default", via="10.1.0.1")
    net.route(lab["left"], "default", via="fd01::1")
    back = net.route(lab["right"], "10.1.0.0/16", via="10.2.0.1")
    net.route(lab["right"], "fd01::/16", via="fd02::1")
    net.forward(lab["router"])
    talk(lab["right"], lab["left"], "10.2.0.2")
    talk(lab["right"], lab["left"], "fd02::2")
    with pytest.raises(FileExistsError):
        net.route(lab["right"], "10.1.0.0/16", via="10.2.0.1")
    back.close()
    back.close()
    with pytest.raises(OSError) as refused:
        lab["right"].connect("10.1.0.2", 80, timeout=5)
    assert refused.value.errno == errno.ENETUNREACH
    with pytest.raises(ValueError, match="via"):
        net.route(lab["left"], "10.0.0.0/8")


def test_hosts_know_each_other_by_name(two_hosts: TwoHosts) -> None:
    client, server = two_hosts
    assert server.run(["hostname"], capture_output=True, text=True).stdout == "server\n"
    said = client.run(["getent", "ahostsv4", "server"], capture_output=True, text=True).stdout
    assert said.split()[0] == "10.77.1.2"
    shown = client.run(["ls", "/sys/class/net"], capture_output=True, text=True).stdout.split()
    assert shown == ["eth0", "lo"]
    assert "server" not in Path("/etc/hosts").read_text("utf-8")


def test_sockets_of_another_host_from_a_program_with_threads(two_hosts: TwoHosts) -> None:
    client, server = two_hosts
    here = Namespace.current("net")
    done: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(connection.recv(100).upper())

    with here, net.listen(server, ("10.77.1.2", 80)) as listening:
        assert not os.get_inheritable(listening.fileno())
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()

        def ask() -> None:
            with net.connect(client, ("10.77.1.2", 80), timeout=5) as sock:
                sock.sendall(b"threads")
                done.append(sock.recv(100))

        other = threading.Thread(target=ask)
        other.start()
        other.join()
        thread.join()
        assert done == [b"THREADS"]
        with Namespace.current("net") as now:
            assert now == here


def test_asyncio_serves_from_one_host_and_asks_from_another(two_hosts: TwoHosts) -> None:
    client, server = two_hosts

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def both(host: str) -> bytes:
        serving = await net.start_server(echo, server, host, 80)
        async with serving:
            reader, writer = await net.open_connection(client, host, 80)
            writer.write(b"hello\n")
            said = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return said

    assert asyncio.run(both("10.77.1.2")) == b"hello\n"
    assert asyncio.run(both("fd77:0:0:1::2")) == b"hello\n"


def test_datagrams_and_raw_sockets(two_hosts: TwoHosts) -> None:
    client, server = two_hosts
    with net.bind(server, ("10.77.1.2", 53)) as there, net.bind(client, ("", 0)) as here:
        here.sendto(b"query", ("10.77.1.2", 53))
        there.settimeout(5)
        assert there.recvfrom(100)[0] == b"query"
    with net.socket(client, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as raw:
        assert raw.type == socket.SOCK_RAW


def test_names_are_not_looked_up_here(two_hosts: TwoHosts) -> None:
    with pytest.raises(ValueError, match="numeric"):
        net.connect(two_hosts.client, ("server", 80))
    with pytest.raises(ValueError, match="port"):
        net.listen(two_hosts.client, ("", 70000))
    with pytest.raises(OSError, match="bind") as refused:
        net.listen(two_hosts.client, ("10.77.1.2", 80))
    assert refused.value.errno == errno.EADDRNOTAVAIL


def test_a_packet_socket_sees_what_was_sent_and_nothing_of_the_machines(two_hosts: TwoHosts) -> None:
    client, server = two_hosts
    with net.socket(server, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as sniffer:
        sniffer.settimeout(5)
        with socket.create_server(("127.0.0.1", 0)) as home, socket.create_connection(home.getsockname()) as local:
            local.sendall(b"of the machine")
        with net.bind(client, ("", 0)) as sock:
            sock.sendto(b"payload", ("10.77.1.2", 9))
        seen = []
        while not any(b"payload" in frame for frame in seen):
            seen.append(sniffer.recv(2000))
        sniffer.setblocking(False)
        try:
            while True:
                seen.append(sniffer.recv(2000))
        except BlockingIOError:
            pass
    assert not any(b"of the machine" in frame for frame in seen)
    macs = {bytes.fromhex(end.mac.replace(":", "")) for end in two_hosts.wire.ends}
    strangers = [frame for frame in seen if frame[6:12] not in macs and frame[6:12] != bytes(6)]
    assert strangers == []


def test_what_the_kernel_has_is_tried(lab: Lab) -> None:
    host = lab.host("a")
    assert net.supports("veth") and net.supports("bridge") and not net.supports("nonsense")
    makers: dict[str, Callable[[], net.Link]] = {
        "dummy": lambda: net.dummy(host, "d0", addresses="10.9.0.1/24"),
        "macvlan": lambda: net.macvlan(lab["b"], "eth0", "m0", of=host, addresses="10.9.0.2/24"),
        "ipvlan": lambda: net.ipvlan(lab["b"], "eth0", "i0", of=host, addresses="10.9.0.3/24"),
    }
    lab.wire("a", "c")
    lab.host("b")
    for kind, make in makers.items():
        if net.supports(kind):
            with make() as link:
                assert link.name in interfaces(lab["a"] if kind == "dummy" else lab["b"])
            assert link.name not in [*interfaces(lab["a"]), *interfaces(lab["b"])]
        else:
            with pytest.raises(NotSupported, match=f"CONFIG_{kind.upper()}"):
                make()


def test_macvlan_reaches_the_other_end_of_its_parents_wire(lab: Lab) -> None:
    if not net.supports("macvlan"):
        pytest.skip("this kernel has no macvlan")
    lab.wire("a", "c", addresses=("10.9.0.1/24", "10.9.0.9/24"))
    with net.macvlan(lab.host("b"), "eth0", of=lab["a"], addresses="10.9.0.2/24"):
        talk(lab["c"], lab["b"], "10.9.0.9")
    with pytest.raises(OSError, match="no interface"):
        net.macvlan(lab["b"], "eth7", of=lab["a"])


def test_http_between_two_hosts(two_hosts: TwoHosts) -> None:
    client, server = two_hosts
    ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())"
    ready = (
        "import http.server, socket, sys\n"
        "class Server(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6\n"
        "server = Server(('::', 80), http.server.SimpleHTTPRequestHandler)\n"
        "print('ready', flush=True)\n"
        "server.serve_forever()\n"
    )
    with server.Popen(
        [sys.executable, "-c", ready], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOM
    ) as web:
        assert web.stdout is not None and web.stdout.readline() == b"ready\n"
        for url in ("http://server/conftest.py", "http://10.77.1.2/conftest.py", "http://[fd77:0:0:1::2]/conftest.py"):
            said = client.run([sys.executable, "-c", ask, url], capture_output=True, text=True, check=True)
            assert "What every test stands on" in said.stdout
        web.kill()


def test_http_of_a_server_from_the_package_index(two_hosts: TwoHosts) -> None:
    client, server = two_hosts
    code = (
        "from waitress import create_server\n"
        "def app(environ, start):\n"
        "    start('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [environ['REMOTE_ADDR'].encode()]\n"
        "server = create_server(app, listen='0.0.0.0:80 [::]:80')\n"
        "print('ready', flush=True)\n"
        "server.run()\n"
    )
    ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())"
    with server.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as web:
        assert web.stdout is not None and web.stdout.readline() == b"ready\n"
        for url, seen in (("http://10.77.1.2/", "10.77.1.1"), ("http://[fd77:0:0:1::2]/", "fd77:0:0:1::1")):
            said = client.run([sys.executable, "-c", ask, url], capture_output=True, text=True, check=True)
            assert said.stdout.strip() == seen
        web.kill()


def test_what_a_host_started_ends_with_its_lab() -> None:
    with net.Lab() as lab:
        process = lab.host("a").Popen(["sleep", "1000"])
        inside = Namespace.of(process, "net")
    assert process.returncode == -9
    assert lab.host is not None and len(lab) == 0
    inside.close()
    with pytest.raises(ValueError, match="closed"):
        lab.host("b")


def make_labs(count: int, limit: int) -> None:
    """Labs of seven networks each; far fewer may exist at any time, so none of them stays."""
    Path("/proc/sys/user/max_net_namespaces").write_text(str(limit), "ascii")
    for _ in range(count):
        for left in range(1000, -1, -1):  # the kernel clears away behind our back
            try:
                with net.Lab() as lab:
                    lab.wire("a", "b")
                    lab.switch("a", "b", "c", "d", "e")
                break
            except OSError as error:
                if error.errno != errno.ENOSPC or not left:
                    raise
                time.sleep(0.01)
    assert children() == []
    assert [name for _, name in socket.if_nameindex()] == ["lo"]


def test_nothing_is_left_of_many_labs() -> None:
    Isolation("user", "net").call(make_labs, int(os.environ.get("PYNAMESPACES_LABS", "12")), 40)


@in_child
def test_wires_between_this_thread_and_sets_of_blocks() -> None:
    with unshare("net") as web:
        pass
    with unshare("net"), web:
        with net.wire(None, web, addresses=("10.0.0.1/24", "10.0.0.2/24")) as wire:
            assert wire.a.ipv4 == "10.0.0.1" and wire.a.ipv6 is None
            with net.listen(web, ("10.0.0.2", 80)) as server, socket.create_connection(("10.0.0.2", 80), 5):
                server.accept()[0].close()
        assert [name for _, name in socket.if_nameindex()] == ["lo"]


def test_processes_are_places_too() -> None:
    box = Isolation("user", "net")
    with box.Popen(["sleep", "60"]) as process:
        with net.listen(process, ("127.0.0.1", 80)) as server, net.connect(process.pid, ("127.0.0.1", 80), timeout=5):
            server.accept()[0].close()
        process.kill()


@in_plain_child
def test_a_network_that_is_not_ours_is_refused() -> None:
    # The user may not be able to read this interpreter's files.
    from pyroute2.netlink.rtnl import ifaddrmsg, ifinfmsg, rtmsg  # noqa: F401

    drop_to_user()
    with pytest.raises(NotPermitted, match="no CAP_NET_ADMIN here"):
        net.wire(None, None)
    with Namespace.current("net") as machines, pytest.raises(NotPermitted):
        net.route(machines, "default", via="127.0.0.1")
    with pytest.raises(ValueError, match="net namespace"), Namespace.current("uts") as uts:
        net.socket(uts)


def test_errands_leave_this_thread_where_it_is(lab: Lab) -> None:
    host = lab.host("a")
    way = [step for step in host.plan() if step.what.startswith("setns")]
    with os.fdopen(
        errands.open_file(way, "/etc/hostname" if os.path.exists("/etc/hostname") else "/proc/version", 0)
    ) as f:
        assert f.read()
    with pytest.raises(FileNotFoundError) as refused:
        errands.open_file(way, "/no/such/file", os.O_RDONLY)
    assert "open(/no/such/file)" in str(refused.value)


@in_plain_child
def test_an_errand_leaves_this_process_dumpable() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may go into the user namespace of somebody else")
    theirs = Isolation().Popen(["unshare", "--user", "cat"], user=12345, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with theirs:
        assert theirs.stdin is not None and theirs.stdout is not None
        theirs.stdin.write(b"x\n")
        theirs.stdin.flush()
        assert theirs.stdout.readline() == b"x\n", "it is there now"
        with Namespace.of(theirs.pidfd, "user") as user:
            before = prctl.dumpable()
            errands.go([plan.join(user.fileno(), user.row)])
            assert prctl.dumpable() == before == 1


@given(st.binary(min_size=5, max_size=5))
def test_link_local_addresses_follow_from_the_mac(tail: bytes) -> None:
    mac = ":".join(f"{byte:02x}" for byte in b"\x02" + tail)
    address = socket.inet_pton(socket.AF_INET6, links.link_local(mac).split("/")[0])
    assert address[:8] == bytes.fromhex("fe80000000000000")
    assert bytes([address[8] ^ 2]) + address[9:11] + address[13:] == b"\x02" + tail


def test_without_pyroute2_the_error_says_what_to_install(tmp_path: object) -> None:
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'pyroute2' else real(name, *a)\n"
        "import pynamespaces\n"
        "try: import pynamespaces.net\n"
        "except ImportError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'pynamespaces[net]'" in said


def test_an_interface_moves_there_and_back(lab: Lab) -> None:
    lab.wire("a", "b", names=("cable", "port"), addresses=("10.1.0.1/24", "10.1.0.2/24"))
    c = lab.host("c")
    with net.move("port", c, source=lab["b"], name="eth7", addresses="10.1.0.3/24") as moved:
        assert moved.name == "eth7" and interfaces(c) == ["eth7", "lo"] and interfaces(lab["b"]) == ["lo"]
        talk(c, lab["a"], "10.1.0.3")
    assert interfaces(c) == ["lo"] and interfaces(lab["b"]) == ["lo", "port"]
    moved.close()
    with pytest.raises(OSError, match="no interface 'eth9'"):
        net.move("eth9", c, source=lab["b"])
    with pytest.raises(OSError) as refused:
        net.move("lo", c, source=lab["b"])
    assert refused.value.errno == errno.EINVAL
    with pytest.raises(NamespaceError):  # what it should get there is refused: it comes back
        net.move("port", c, source=lab["b"], addresses=["10.1.0.3/24", "10.1.0.3/24"])
    assert interfaces(lab["b"]) == ["lo", "port"]


def test_a_tap_hands_frames_to_its_program(lab: Lab) -> None:
    host = lab.host("a")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        with pytest.raises(NotPermitted, match="/dev/net/tun"):
            net.tap(host)
        return
    with net.tap(host, tun=True, addresses="10.5.0.1/24") as tap, net.bind(host, ("", 0)) as sock:
        assert tap.name == "tun0" and not os.get_inheritable(tap.fileno())
        sock.sendto(b"to nowhere", ("10.5.0.2", 9))
        while True:
            select.select([tap], [], [], 5)
            packet = tap.read()
            if packet[0] >> 4 == 4 and b"to nowhere" in packet:
                break
        with net.bind(host, ("10.5.0.1", 53)) as there:  # the same, from the other side, without a checksum
            ports = (9).to_bytes(2, "big") + (53).to_bytes(2, "big")
            body = ports + (8 + 5).to_bytes(2, "big") + b"\0\0" + b"hello"
            head = bytes([0x45, 0]) + (20 + len(body)).to_bytes(2, "big") + bytes([0, 0, 0, 0, 64, 17, 0, 0])
            head += socket.inet_aton("10.5.0.2") + socket.inet_aton("10.5.0.1")
            total = sum(int.from_bytes(head[i : i + 2], "big") for i in range(0, 20, 2))
            total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
            tap.write(head[:10] + total.to_bytes(2, "big") + head[12:] + body)
            there.settimeout(5)
            assert there.recv(100) == b"hello"
    assert interfaces(host) == ["lo"]
    with pytest.raises(ValueError, match="closed"):
        tap.read()


def test_names_of_ones_own() -> None:
    hosts = net.hosts_file({"db": ["10.0.0.2", "fd00::2"], "web": "10.0.0.1"})
    box = Isolation("user", "net", "mnt", mounts=[hosts, net.resolv_conf("10.0.0.53", search=["lan"])])
    said = box.run(["sh", "-c", "getent hosts db; cat /etc/resolv.conf"], capture_output=True, text=True)
    assert said.stdout.split() == ["fd00::2", "db", "nameserver", "10.0.0.53", "search", "lan"]
    for wrong in (
        lambda: net.hosts_file({"a b": "10.0.0.1"}),
        lambda: net.hosts_file({"db": "here"}),
        lambda: net.resolv_conf("dns.example"),
        lambda: net.resolv_conf("10.0.0.1", search=["a b"]),
        lambda: net.netns("../up"),
        lambda: net.netns_files(""),
    ):
        with pytest.raises(ValueError):
            wrong()


@in_child
def test_what_ip_netns_exec_gives() -> None:
    """A network in /run/netns, its files in /etc/netns, and a /sys that shows it."""
    patching = pytest.MonkeyPatch.context()
    run, mnt = mounts.mount(mounts.tmpfs("/run")), mounts.mount(mounts.tmpfs("/mnt"))
    with run, mnt, unshare("net") as inside, inside, Network(inside) as blue, patching as patch:
        os.makedirs("/run/netns")
        os.makedirs("/mnt/blue")
        Path("/mnt/blue/hosts").write_text("10.0.0.9 of-blue\n", "utf-8")
        Path("/mnt/blue/no-such-file").write_text("", "utf-8")
        patch.setattr(names, "ETC", "/mnt")
        blue.namespace.persist("/run/netns/blue")
        with net.wire(blue, blue, names=("azure", "sky")):
            script = "ls /sys/class/net; cat /etc/hosts"
            said = net.netns("blue").run(["sh", "-c", script], capture_output=True, text=True, check=True)
        assert said.stdout.split()[0] == "azure" and "of-blue" in said.stdout
        with pytest.raises(FileNotFoundError):
            net.netns("green")
        forget("/run/netns/blue")
    assert "of-blue" not in Path("/etc/hosts").read_text("utf-8")
