"""Ports: two servers on port 80 at once, a low port without root, and the same port in every xdist worker.

Every test has a network of its own, so no port is ever taken.  ``pytest -n 8 test_ports.py`` is as good.
"""

import http.client
import http.server
import socket
import threading
import time

import pytest


def serve(text: str, port: int = 80) -> http.server.HTTPServer:
    """An HTTP server in the network that this thread is in now; its thread stays in it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    server.thread.start()
    return server


def stop(server: http.server.HTTPServer) -> None:
    server.shutdown()
    server.thread.join()
    server.server_close()


def get(port: int = 80) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_two_servers_on_port_80(make_netns) -> None:
    blue, green = make_netns(), make_netns()
    servers = []
    try:
        for host, name in ((blue, "blue"), (green, "green")):
            with host:
                servers.append(serve(name))
        with blue:
            assert get() == "blue"
        with green:
            assert get() == "green"
    finally:
        for server in servers:
            stop(server)


@pytest.mark.namespaces("net")
def test_a_port_below_1024_without_root() -> None:
    with socket.create_server(("127.0.0.1", 443)) as server:
        assert server.getsockname() == ("127.0.0.1", 443)


@pytest.mark.parametrize("worker", range(8))
@pytest.mark.namespaces("net")
def test_the_same_port_in_every_worker(worker: int) -> None:
    with socket.create_server(("127.0.0.1", 8080)) as server, socket.create_connection(server.getsockname()) as client:
        time.sleep(0.02)
        client.sendall(b"%d" % worker)
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(10) == b"%d" % worker
