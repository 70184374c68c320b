"""Ways out: a box's network carried over this process's own by pasta or slirp4netns.

The network outside is one of the test's own, with one other host in it; nothing reaches the machine's.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 (an ordinary user may not be able to read this interpreter's files)
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import IS_ROOT, children, drop_to_user, in_child, in_plain_child, need
from pynamespaces import Isolation, NamespaceError, NotFound, net, unshare, ways_out
from pynamespaces.net import Network

USABLE = os.access("/dev/net/tun", os.R_OK | os.W_OK)
needs_tun = pytest.mark.skipif(not USABLE, reason="/dev/net/tun is closed to this user on this machine")


@contextmanager
def outside() -> Iterator[Network]:
    """A network with a default route, and a web server's host behind it; this thread is in the former."""
    with unshare("net") as first:
        pass
    web = Network(first)
    first.close()
    wired = {"addresses": ("198.51.100.1/24", "198.51.100.80/24")}
    with web, unshare("net"), net.wire(None, web, **wired), net.route(None, "default", via="198.51.100.80"):
        yield web


def serve(server: socket.socket) -> threading.Thread:
    """Answer one connection."""

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"from outside")

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def fetch(host: str = "198.51.100.80", port: int = 80) -> bytes:
    with socket.create_connection((host, port), 10) as sock:
        return sock.recv(100)


def helpers() -> list[str]:
    """What runs in this network by these names, as our own children."""
    found = []
    for pid in children():
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            found.append(file.read().strip())
    return found


@needs_tun
@pytest.mark.parametrize("program", ways_out.PROGRAMS)
@in_child
def test_a_box_reaches_the_network_outside(program: str) -> None:
    need(program)
    with outside() as web, net.listen(web, ("198.51.100.80", 80)) as server:
        box = Isolation("user", "net", network=program)
        thread = serve(server)
        assert box.call(fetch) == b"from outside"
        thread.join()
        assert helpers() == []


@needs_tun
@pytest.mark.parametrize("program", ways_out.PROGRAMS)
@in_child
def test_ports_are_forwarded_on_request_and_end_with_the_box(program: str) -> None:
    need(program)
    code = (
        "import socket; server = socket.create_server(('', 80)); print('ready', flush=True)\n"
        "connection, _ = server.accept(); connection.sendall(b'from inside'); connection.close()\n"
        "import time; time.sleep(60)\n"
    )
    with outside():
        box = Isolation("user", "net", "pid", network=net.way_out(tcp=[(8080, 80)], program=program))
        with box.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            assert fetch("127.0.0.1", 8080) == b"from inside"
            process.kill()
        with pytest.raises(ConnectionRefusedError):
            fetch("127.0.0.1", 8080)
        assert helpers() == []


@needs_tun
@in_child
def test_a_box_cannot_reach_the_loopback_outside() -> None:
    need("pasta")

    def refused(address: str) -> bool:
        try:
            fetch(address, 8000)
        except OSError:
            return True
        return False

    with outside(), socket.create_server(("127.0.0.1", 8000)) as server:
        assert Isolation("user", "net", network="pasta").call(refused, "198.51.100.80")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@needs_tun
@in_child
def test_it_dies_with_its_box_though_nobody_waits() -> None:
    need("pasta")
    with outside():
        process = Isolation("user", "net", network="pasta").Popen(["sleep", "60"])
        way = process._way_out
        assert way is not None and way._process.pidfd.alive
        process.pidfd.send_signal(9)
        for _ in range(200):
            if not way._process.pidfd.alive:
                break
            time.sleep(0.01)
        assert not way._process.pidfd.alive
        assert process.wait() == -9


@needs_tun
@in_child
def test_workers_have_it_and_failures_end_it() -> None:
    need("pasta")
    with outside() as web, net.listen(web, ("198.51.100.80", 80)) as server:
        box = Isolation("user", "net", network="pasta")
        with box.executor() as pool:
            for _ in range(2):
                thread = serve(server)
                assert pool.submit(fetch).result(20) == b"from outside"
                thread.join()
        with pytest.raises(FileNotFoundError, match="no-such-program"):
            box.run(["/no-such-program"])
        with pytest.raises(OSError, match="pasta"):  # the port is taken
            taken = net.way_out(tcp=[(8080, 80)], program="pasta")
            with socket.create_server(("127.0.0.1", 8080)):
                box.replace(network=taken).run(["/bin/true"])
        assert helpers() == []


@in_child
def test_an_ordinary_user_gets_out_too() -> None:
    if not IS_ROOT:
        pytest.skip("root's run does this with a tun device that is open to all")
    need("pasta")
    with unshare("mnt") as rooms, outside() as web, net.listen(web, ("198.51.100.80", 80)) as server:
        rooms.close()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/dev/net"], check=True)
        os.mknod("/dev/net/tun", 0o666 | stat.S_IFCHR, os.makedev(10, 200))
        os.chmod("/dev/net/tun", 0o666)
        thread = serve(server)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                drop_to_user()
                os.write(writer, Isolation("user", "net", network="pasta").call(fetch))
            except BaseException as error:
                os.write(writer, repr(error).encode())
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(pid, 0)
        said = os.read(reader, 1000)
        os.close(reader)
        assert said == b"from outside"
        thread.join()


def test_it_says_so_when_neither_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways_out, "SEARCH", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent")
    before = children()
    with pytest.raises(NotFound, match=r"pasta and slirp4netns not found.*package passt or slirp4netns"):
        Isolation("user", "net", network="pasta").run(["/bin/true"])
    with pytest.raises(FileNotFoundError, match="slirp4netns not found"):
        Isolation("user", "net", network="slirp4netns").call(int)
    assert children() == before


FAKE = """#!/bin/bash
for word in "$@"; do
    case $word in
        /proc/self/fd/*) ready=${word##*/} ;;
        /proc/*/ns/net) box=${word#/proc/}; box=${box%%/*} ;;
    esac
    last=$word
done
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a script be what is found as pasta: it knows $ready, a descriptor, and $box, a process."""

    def write(script: str) -> None:
        (tmp_path / "pasta").write_text(FAKE + ': "${box:=$last}"\n' + script)
        (tmp_path / "pasta").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return write


def test_one_that_says_nothing_is_given_up(fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways_out, "PATIENCE", 0.5)
    fake('eval "exec $ready>&-"; exec sleep 60\n')
    before = children()
    with pytest.raises(NamespaceError, match=r"not ready within 0\.5 s"):
        Isolation("user", "net", network="pasta").run(["/bin/true"])
    assert children() == before


def test_a_copy_of_this_process_ends_by_an_interrupt(fake: Callable[[str], None]) -> None:
    """Ctrl-C while the box waits for its way out: what is done about that here is not done there once more."""
    fake('kill -INT "$box"; for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$box" || break; sleep 0.05; done\n')
    before, here = children(), os.getpid()
    try:
        with pytest.raises(OSError, match="pasta"):
            Isolation("user", "net", network="pasta").call(int)
    finally:
        if os.getpid() != here:
            os._exit(1)
    assert children() == before


@in_plain_child
def test_a_closed_tun_device_is_named() -> None:
    need("pasta")
    drop_to_user()
    if os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun is open to everybody on this machine: nothing is refused")
    with pytest.raises(OSError, match="/dev/net/tun"):
        Isolation("user", "net", network="pasta").run(["/bin/true"])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Isolation("user", "net", network="wifi"),
        lambda: Isolation("user", network="pasta"),
        lambda: Isolation("net", network="pasta").unshare(),
        lambda: net.way_out(tcp=[0]),
        lambda: net.way_out(tcp=[(80, 80, 80)]),
        lambda: net.way_out(address="localhost"),
        lambda: net.way_out(program="ip"),
    ],
)
def test_bad_arguments(wrong: object) -> None:
    with pytest.raises(ValueError):
        wrong()  # type: ignore[operator]
