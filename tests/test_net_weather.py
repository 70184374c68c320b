"""Weather: wires that delay, lose, are slow or cut, and change while connections go over them."""

from __future__ import annotations

import os
import re
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynamespaces import Isolation, net
from pynamespaces.net import Weather
from pynamespaces.net.weather import CLEAR

if TYPE_CHECKING:
    from pynamespaces.net import Lab
    from pynamespaces.pytest_labs import TwoHosts


class Echo:
    """A datagram echo on one host, asked from another."""

    def __init__(self, client: object, server: object, address: str) -> None:
        self.there = net.bind(server, (address, 7))  # type: ignore[arg-type]
        self.here = net.bind(client, ("", 0) if "." in address else ("::", 0))  # type: ignore[arg-type]
        self.here.connect((address, 7))

    def ask(self, patience: float = 5.0) -> float | None:
        """Seconds there and back; None where nothing came."""
        word = os.urandom(8)  # late answers to earlier questions are not this one's
        start = time.monotonic()
        self.here.send(word)
        while True:
            if not select.select([self.there], [], [], patience)[0]:
                return None
            data, who = self.there.recvfrom(100)
            self.there.sendto(data, who)
            if not select.select([self.here], [], [], patience)[0]:
                return None
            if self.here.recv(100) == word:
                break
        return time.monotonic() - start


@contextmanager
def echo(pair: TwoHosts, address: str = "10.77.1.2") -> Iterator[Echo]:
    made = Echo(pair.client, pair.server, address)
    try:
        yield made
    finally:
        made.here.close()
        made.there.close()


def relays() -> int:
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += Path(f"/proc/{pid}/comm").read_text("ascii") == "namespaces-wire\n"
        except OSError:
            pass
    return found


@pytest.mark.parametrize("address", ["10.77.1.2", "fd77:0:0:1::2"])
def test_a_delay_is_set_and_taken_back(two_hosts: TwoHosts, address: str) -> None:
    wire = two_hosts.wire
    with echo(two_hosts, address) as pair:
        assert wire.by == "nothing" and pair.ask() is not None
        wire.weather = Weather(delay=0.05)
        assert wire.by == ("tc" if net.has_netem() else "relay") and "Weather(delay=0.05" in repr(wire)
        slow = pair.ask()
        assert slow is not None and 0.1 <= slow < 1
        wire.weather = CLEAR
        fast = min(pair.ask() or 9 for _ in range(5))
        assert fast < 0.05


def test_a_relayed_wire_is_the_same_to_its_hosts(lab: Lab) -> None:
    wire = lab.wire("a", "b", names=("left", "right"), mtu=1400)
    a, b = lab["a"], lab["b"]
    net.route(a, "10.99.0.0/16", via=b.address)
    net.route(b, "fd99::/64", dev="right")

    def shown(host: net.Host) -> str:
        script = "ip -o address; ip -o link | sed 's/@[^:]*//; s/qdisc [a-z_]* //'; ip route; ip -6 route"
        return str(host.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout)

    before = shown(a), shown(b)
    with b.listen(80) as server, a.connect(b, 80, timeout=10) as near:
        far, _ = server.accept()
        with far:
            near.sendall(b"before")
            assert far.recv(100) == b"before"
            wire.weather = Weather(delay=0.01)
            near.sendall(b"after")
            assert far.recv(100) == b"after"
    after = shown(a), shown(b)
    for old, new in zip(before, after, strict=True):
        old_lines, new_lines = (re.sub(r" link-netns.*| state \w+", "", text).splitlines() for text in (old, new))
        assert sorted(set(old_lines) ^ set(new_lines)) == []


def test_loss_takes_its_part(two_hosts: TwoHosts) -> None:
    with echo(two_hosts) as pair:
        arrived = 0
        pair.ask()
        two_hosts.wire.weather = Weather(loss=0.5)  # the hosts know each other's MAC still
        for _ in range(400):
            pair.here.send(b"x")
        pair.there.settimeout(1)  # after the last
        try:
            while pair.there.recv(10):
                arrived += 1
        except TimeoutError:
            pass
        assert 120 < arrived < 280
        two_hosts.wire.weather = Weather(loss=1)
        assert pair.ask(0.2) is None


def test_a_stream_survives_loss_and_delay_whole(two_hosts: TwoHosts) -> None:
    two_hosts.wire.weather = Weather(delay=0.002, jitter=0.001, loss=0.02)
    data = os.urandom(1 << 20)
    with two_hosts.server.listen(80) as server, two_hosts.client.connect("10.77.1.2", 80, timeout=60) as near:
        far, _ = server.accept()
        thread = threading.Thread(target=near.sendall, args=(data,))
        thread.start()
        got = bytearray()
        with far:
            far.settimeout(60)
            while len(got) < len(data):
                got += far.recv(1 << 16)
        thread.join()
    assert bytes(got) == data


def test_a_rate_is_kept(two_hosts: TwoHosts) -> None:
    two_hosts.wire.weather = Weather(rate=8_000_000)
    with two_hosts.server.listen(80) as server, two_hosts.client.connect("10.77.1.2", 80, timeout=60) as near:
        far, _ = server.accept()
        with far:
            start = time.monotonic()
            thread = threading.Thread(target=near.sendall, args=(bytes(600_000),))
            thread.start()
            left = 600_000
            while left:
                left -= len(far.recv(1 << 16))
            took = time.monotonic() - start
            thread.join()
    assert 0.4 < took < 5


def test_a_partition_that_heals(two_hosts: TwoHosts) -> None:
    wire = two_hosts.wire
    with echo(two_hosts) as pair:
        assert pair.ask() is not None
        wire.cut()
        assert wire.is_cut and "cut" in repr(wire) and pair.ask(0.2) is None
        wire.mend()
        assert not wire.is_cut and pair.ask() is not None
        wire.weather = Weather(delay=0.01)
        wire.cut()
        assert pair.ask(0.2) is None
        wire.mend()
        pair.ask()
        assert (pair.ask() or 0) > 0.02


def test_a_connection_outlives_a_partition(two_hosts: TwoHosts) -> None:
    with two_hosts.server.listen(80) as server, two_hosts.client.connect("10.77.1.2", 80, timeout=20) as near:
        far, _ = server.accept()
        with far:
            two_hosts.wire.cut()
            near.sendall(b"late")
            far.settimeout(0.2)
            with pytest.raises(TimeoutError):
                far.recv(10)
            two_hosts.wire.mend()
            far.settimeout(20)
            assert far.recv(10) == b"late"


def test_one_port_of_a_switch_has_its_own_weather(lab: Lab) -> None:
    switch = lab.switch("a", "b", "c")
    switch.wire(lab["a"]).weather = Weather(delay=0.03)
    for host, least, most in (("a", 0.06, 2), ("b", 0, 0.06)):
        with net.bind(lab["c"], ("10.77.1.3", 7)) as there, net.bind(lab[host], ("", 0)) as here:
            here.settimeout(5)
            there.settimeout(5)
            times = []
            for _ in range(3):
                start = time.monotonic()
                here.sendto(b"x", ("10.77.1.3", 7))
                there.sendto(*there.recvfrom(10))
                here.recv(10)
                times.append(time.monotonic() - start)
            assert least <= min(times) < most
    switch.close()


def gone(before: int) -> None:
    for _ in range(300):
        if relays() <= before:
            return
        time.sleep(0.02)
    raise AssertionError(f"{relays()} relays are left")


def ends_with_its_wire() -> None:
    with net.Lab() as lab, net.wire(lab.host("a"), lab.host("b"), weather=Weather(delay=0.01)) as wire:
        assert relays() == 1 and wire.by == "relay"
    gone(0)
    with pytest.raises(ValueError, match="closed"):
        wire.cut()


def ends_with_its_process() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        lab = net.Lab()
        lab.wire("a", "b").weather = Weather(delay=0.01)
        os.write(writer, b"ready")
        time.sleep(60)
        os._exit(0)
    assert os.read(reader, 5) == b"ready" and relays() == 1
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    gone(0)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("what", [ends_with_its_wire, ends_with_its_process])
def test_no_relay_is_left(what: Callable[[], None]) -> None:
    if net.has_netem():
        pytest.skip("this kernel has netem: there is no relay")
    # In a pid namespace, so that only its own relays are seen.
    Isolation("user", "net", "pid", "mnt").call(what)


@pytest.mark.parametrize(
    "wrong", [{"delay": -1}, {"loss": 1.5}, {"delay": 0.1, "jitter": 0.2}, {"rate": 10}, {"rate": True}]
)
def test_impossible_weather(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Weather(**wrong)  # type: ignore[arg-type]


@given(st.floats(0, 100), st.floats(0, 1), st.one_of(st.none(), st.integers(1000, 10**12)))
def test_weather_is_a_value(delay: float, loss: float, rate: int | None) -> None:
    weather = Weather(delay=delay, loss=loss, rate=rate)
    assert weather == Weather(delay, 0.0, loss, rate) and hash(weather) == hash(Weather(delay, 0.0, loss, rate))
    assert weather.late == bool(delay or loss)


def test_what_netem_is_told(two_hosts: TwoHosts) -> None:
    """The message for kernels that have netem, which this one need not have."""
    from pynamespaces.net import netlink, weather
    from pynamespaces.net.netlink import _encoded

    (request,) = weather.requests(two_hosts.wire.a, Weather(0.05, 0.01, 0.25, 8000), cut=False, netem=True)
    data = _encoded(request, 1, 5)
    assert request.kind == netlink.NEWQDISC and b"netem\0" in data
    loss = int(0.25 * 2**32)
    assert any(abs(int.from_bytes(data[i : i + 4], "little") - loss) < 100 for i in range(0, len(data) - 3, 4))
