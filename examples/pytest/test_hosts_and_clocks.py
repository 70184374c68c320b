"""Another name of the machine, another uptime."""

import os
import socket
import time

import pytest

DAY = 86_400


@pytest.mark.namespaces(hostname="web-1", domainname="example.org")
def test_the_machine_has_another_name() -> None:
    assert socket.gethostname() == "web-1"
    assert os.uname().nodename == "web-1"


def test_the_name_may_change(utsns) -> None:
    utsns.hostname = "db"
    assert socket.gethostname() == "db"


@pytest.mark.namespaces(clock=300 * DAY)
def test_up_for_300_days() -> None:
    assert time.clock_gettime(time.CLOCK_BOOTTIME) > 300 * DAY
    assert time.monotonic() > 300 * DAY
    with open("/proc/uptime") as uptime:
        assert float(uptime.read().split()[0]) > 300 * DAY
