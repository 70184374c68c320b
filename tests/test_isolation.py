"""Isolation as a value: what it takes, what it refuses, what equals what."""

from __future__ import annotations

import pickle
import re
import resource
import subprocess
from pathlib import Path

import pytest

from pynamespaces import Isolation, Kind, capabilities

HEADER = Path("/usr/include/linux/capability.h")


def test_capabilities_go_by_name_or_number() -> None:
    assert capabilities.number("net_admin") == capabilities.number("CAP_NET_ADMIN") == capabilities.number(12) == 12
    assert capabilities.name(12) == "net_admin"
    box = Isolation("user", capabilities=["CAP_NET_BIND_SERVICE", "sys_admin", 21])
    assert box.capabilities == {10, 21}
    assert box == Isolation("user", capabilities=(21, 10))
    done = box.run(["grep", "CapEff", "/proc/self/status"], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[1], 16) == 1 << 10 | 1 << 21


@pytest.mark.parametrize("wrong", ["flying", "", 64, -1])
def test_an_unknown_capability_is_refused(wrong: str | int) -> None:
    with pytest.raises(ValueError, match="capabilit"):
        Isolation("user", capabilities=[wrong])
    with pytest.raises(TypeError):
        Isolation("user", capabilities="net_admin")


@pytest.mark.skipif(not HEADER.exists(), reason="the kernel's headers are not installed")
def test_the_names_stand_in_the_kernel_s_order() -> None:
    found = re.findall(r"^#define CAP_(\w+)\s+(\d+)$", HEADER.read_text("utf-8"), re.M)
    assert len(found) >= 38
    for name, number in found:
        assert capabilities.number(name) == int(number)


@pytest.mark.parametrize("wrong", [{7: 1}, {7: (2, 1)}, {7: (1, "2")}, {"nofile": (1, 2)}, 7, [7], {7: (1, 2, 3)}])
def test_limits_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"limit"):
        Isolation(rlimits=wrong)  # type: ignore[arg-type]


def test_it_is_a_value_whatever_it_holds() -> None:
    def make() -> Isolation:
        return Isolation(
            "user", "mnt", "uts", hostname="web", capabilities=["sys_admin"], rlimits={resource.RLIMIT_NOFILE: (64, 64)}
        )

    box = make()
    assert box == make()
    assert hash(box) == hash(make())
    assert pickle.loads(pickle.dumps(box)) == box
    assert box.replace(hostname="db") != box
    assert box.replace(kinds=Kind.UTS | Kind.USER | Kind.MNT) == box
    assert eval(repr(box), {"Isolation": Isolation, "frozenset": frozenset}) == box
    done = box.run(["sh", "-c", "ulimit -Sn"], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "64\n"
