"""Two hosts of a test's own: the same port number on both, a partition that heals, a link that is too slow.

The fixtures `two_hosts` and `lab` come with the plugin; they need ``pip install 'pynamespaces[net]'``.
"""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from pynamespaces import net

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynamespaces.net import Host, Lab
    from pynamespaces.pytest_labs import TwoHosts


class Hello(BaseHTTPRequestHandler):
    """Says hello to whoever asks."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hello {self.client_address[0]}".encode())

    def log_message(self, *args: object) -> None:
        pass


def serve(host: Host) -> HTTPServer:
    """A web server on a host's port 80: its socket lives there, its thread here."""
    server = HTTPServer(("", 80), Hello, bind_and_activate=False)
    server.socket.close()
    server.socket = host.listen(80)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    return server


@pytest.fixture
def web(two_hosts: TwoHosts) -> Iterator[TwoHosts]:
    """Two hosts, and a web server on the one called server."""
    server = serve(two_hosts.server)
    yield two_hosts
    server.shutdown()
    server.server_close()


def get(url: str, timeout: float) -> str:
    """What a client program does; run on a host by `call`."""
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return str(answer.read().decode())


def outcome(url: str, timeout: float) -> str:
    """The same, with a failure as a word."""
    try:
        return get(url, timeout)
    except (TimeoutError, urllib.error.URLError) as error:
        return type(getattr(error, "reason", error)).__name__


def test_client_and_server(web: TwoHosts) -> None:
    assert web.client.call(get, "http://server/", 10) == "hello 10.77.1.1"


def test_the_same_port_on_two_hosts(lab: Lab) -> None:
    lab.switch("client", "one", "two")
    servers = [serve(lab[name]) for name in ("one", "two")]
    try:
        for name in ("one", "two"):
            assert lab["client"].call(get, f"http://{name}/", 10) == "hello 10.77.1.1"
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def test_a_partition_that_heals(web: TwoHosts) -> None:
    web.wire.cut()
    assert web.client.call(outcome, "http://10.77.1.2/", 0.3) == "TimeoutError"
    web.wire.mend()
    assert web.client.call(outcome, "http://10.77.1.2/", 10) == "hello 10.77.1.1"


def test_a_connection_waits_for_the_partition_to_heal(two_hosts: TwoHosts) -> None:
    client, server = two_hosts
    with server.listen(80) as listening, client.connect(server, 80, timeout=20) as near:
        far, _ = listening.accept()
        with far:
            two_hosts.wire.cut()
            near.sendall(b"late")
            far.settimeout(0.2)
            with pytest.raises(TimeoutError):
                far.recv(10)
            two_hosts.wire.mend()
            far.settimeout(20)
            assert far.recv(10) == b"late"


def test_a_slow_link_trips_a_timeout(web: TwoHosts) -> None:
    web.wire.weather = net.Weather(delay=0.3)
    assert web.client.call(outcome, "http://10.77.1.2/", 0.4) == "TimeoutError"
    start = time.monotonic()
    assert web.client.call(outcome, "http://10.77.1.2/", 30) == "hello 10.77.1.1"
    assert time.monotonic() - start > 1.2  # two times there and back
