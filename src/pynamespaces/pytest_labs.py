"""Fixtures for pytest: hosts of a test's own, joined by wires.

``lab`` is an empty `pynamespaces.net.Lab`, ``two_hosts`` a client and a server that are wired.  Both need
``pip install 'pynamespaces[net]'``, work as root and as an ordinary user, and leave nothing behind.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynamespaces.net import Host, Lab, Wire


class TwoHosts:
    """Two hosts and the wire between them; ``client, server = two_hosts``."""

    def __init__(self, client: Host, server: Host, wire: Wire) -> None:
        self.client = client
        self.server = server
        self.wire = wire

    def __iter__(self) -> Iterator[Host]:
        return iter((self.client, self.server))


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An empty `pynamespaces.net.Lab`: ``lab.host("web")``, ``lab.wire("web", "db")``."""
    from pynamespaces import NamespaceError, net

    try:
        made = net.Lab()
    except NamespaceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no networks of our own here: {error}")
    with made:
        yield made


@pytest.fixture
def two_hosts(lab: Lab) -> TwoHosts:
    """The hosts ``client`` and ``server``, wired: 10.77.1.1 and 10.77.1.2, fd77:0:0:1::1 and ::2."""
    wire = lab.wire("client", "server")
    return TwoHosts(lab["client"], lab["server"], wire)
