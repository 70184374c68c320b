"""A marker's words into an Isolation: what they mean, how they merge, what is refused at collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynamespaces import ClockOffsets, IdMap, Isolation, Kind
from pynamespaces.pytest_plugin import marks

Project = Callable[..., pytest.RunResult]


def read(*words: Any, **keywords: Any) -> marks.Wish:
    """What one marker asks for."""
    return marks._read([pytest.mark.namespaces(*words, **keywords).mark], ())


@pytest.mark.parametrize(
    ("keywords", "kinds"),
    [
        ({"hostname": "web"}, Kind.UTS),
        ({"domainname": "example"}, Kind.UTS),
        ({"network": "none"}, Kind.NET),
        ({"tmpfs": {"/mnt": "1M"}}, Kind.MNT),
        ({"bind": {"/mnt": "/srv"}}, Kind.MNT),
        ({"files": {"/etc/hosts": ""}}, Kind.MNT),
        ({"readonly": ["/etc"]}, Kind.MNT),
        ({"hide": ["/run/nscd"]}, Kind.MNT),
        ({"root": "/srv"}, Kind.MNT),
        ({"clock": 5}, Kind.TIME),
        ({"ids": "current"}, Kind.USER),
        ({"init": True}, Kind.PID | Kind.MNT),
        ({"sysctl": {"net.ipv4.ip_forward": 1, "kernel.msgmax": 5}}, Kind.NET | Kind.IPC),
    ],
)
def test_a_keyword_adds_the_kind_that_it_needs(keywords: dict[str, Any], kinds: Kind) -> None:
    assert read(**keywords).box.kinds == kinds


def test_words_become_an_isolation() -> None:
    wish = read(
        "net", hostname="web", network="bare", clock={"boottime": 5}, ids="root", init=False, timeout=3, mode="fork"
    )
    fields = {"hostname": "web", "loopback": True, "clock": ClockOffsets(boottime=5), "ids": IdMap.root()}
    kinds = Kind.NET | Kind.UTS | Kind.TIME | Kind.USER | Kind.PID | Kind.MNT
    assert wish.box == Isolation(kinds, init=False, **fields)
    assert (wish.mode, wish.timeout, wish.unavailable) == ("fork", 3, None)
    assert read("net").box.loopback == "host"
    assert read("net", network="none").box.loopback is False


def test_the_inner_marker_wins_and_dicts_and_lists_add_up() -> None:
    outer = pytest.mark.namespaces("net", hostname="outer", tmpfs={"/mnt": "1M", "/srv": "1M"}, hide=["/a"]).mark
    inner = pytest.mark.namespaces(hostname="inner", tmpfs={"/srv": "2M"}, hide=["/b"]).mark
    box = marks._read([outer, inner], ("ipc",)).box
    assert box.kinds == Kind.NET | Kind.UTS | Kind.MNT | Kind.IPC
    assert box.hostname == "inner"
    assert [str(mount) for mount in box.mounts] == [
        "tmpfs('/mnt', size='1M')",
        "tmpfs('/srv', size='2M')",
        "mask('/a')",
        "mask('/b')",
    ]


@given(st.permutations(["/a", "/a/b", "/a/b/c", "/d"]))
def test_nothing_covers_what_lies_below_it(paths: list[str]) -> None:
    words = dict.fromkeys(paths[:2], "1M"), dict.fromkeys(paths[2:], "/srv")
    targets = [mount.target for mount in read(tmpfs=words[0], bind=words[1]).box.mounts]
    for position, target in enumerate(targets):
        assert not any(target.startswith(later + "/") for later in targets[position:])


def test_a_file_below_a_read_only_directory_is_read_only() -> None:
    mounts = read(readonly=["/etc"], files={"/etc/hosts": "x"}).box.mounts
    assert [str(mount).split("(")[0] for mount in mounts] == ["bind", "file"]
    assert mounts[1].steps()[0].flags & 1


@pytest.mark.parametrize(
    ("words", "keywords", "message"),
    [
        ((), {}, "alone asks for nothing"),
        ((), {"mode": "fork"}, "names no kind"),
        (("nett",), {}, "unknown kind of namespace 'nett'"),
        (("net",), {"hostnam": "x"}, "unknown keyword 'hostnam'.*it takes mode, hostname"),
        (("net",), {"mode": "spawn"}, "mode is one of 'auto', 'inprocess', 'fork'"),
        (("net",), {"network": "yes"}, "network is one of 'loopback', 'none', 'bare'"),
        (("net",), {"unavailable": "run"}, "unavailable is one of 'skip', 'fail', 'xfail'"),
        (("pid",), {"mode": "inprocess"}, "no thread comes back from pid"),
        (("net",), {"mode": "inprocess", "timeout": 1}, "not with mode='inprocess'"),
        (("net",), {"timeout": "1"}, "timeout is a number of seconds"),
        ((), {"clock": {"realtime": 1}}, "clock has 'monotonic' and 'boottime'"),
        ((), {"ids": "nobody"}, "ids is 'root', 'current' or an IdMap"),
        ((), {"tmpfs": "/mnt"}, "tmpfs is a dict"),
        ((), {"hide": "/mnt"}, "hide is a list"),
        ((), {"tmpfs": {"mnt": 1}}, "mnt"),
        ((), {"sysctl": {"vm.swappiness": 1}}, "of no namespace"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], keywords: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        read(*words, **keywords)


@pytest.mark.parametrize("mark", ["namespaces", "namespaces()", "namespaces('nett')", "namespaces('net', hostnam='x')"])
def test_a_wrong_marker_is_an_error_of_the_collection(project: Project, mark: str) -> None:
    result = project(f"@pytest.mark.{mark}\ndef test_it(): open('ran', 'w')\ndef test_other(): pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR collecting test_it.py*", "test_it.py::test_it: *"])
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_a_marker_on_a_class_a_parameter_and_a_unittest(project: Project) -> None:
    result = project("""
import unittest
pytestmark = pytest.mark.namespaces("uts")
@pytest.mark.namespaces("ipc")
class TestA:
    @pytest.mark.namespaces(hostname="inner")
    def test_merged(self):
        assert {"uts", "ipc"} <= new() and socket.gethostname() == "inner"
@pytest.mark.parametrize("kind", [pytest.param("net", marks=pytest.mark.namespaces("net")), None])
def test_parameter(kind):
    assert ("net" in new()) == (kind == "net")
class TestB(unittest.TestCase):
    def setUp(self):
        self.there = new()
    def test_it(self):
        assert "uts" in self.there and "uts" in new()
""")
    result.assert_outcomes(passed=4)


def test_a_wrong_marker_of_a_unittest_is_an_error_too(project: Project) -> None:
    result = project("""
import unittest
class TestB(unittest.TestCase):
    @pytest.mark.namespaces("nett")
    def test_it(self): pass
""")
    result.assert_outcomes(errors=1)


def test_markers_and_fixtures_and_help_read_well(project: Project) -> None:
    text = project("", "--markers").stdout.str()
    assert "@pytest.mark.namespaces(*kinds, mode='auto', hostname=, domainname=, network='loopback'" in text
    text = project("", "--fixtures").stdout.str()
    for name, kind in marks.FIXTURES.items():
        assert f"\n{name} -- " in text
        if name != "make_netns":
            assert f'The same as @pytest.mark.namespaces("{kind}")' in text
    text = project("", "--help").stdout.str()
    for name in ("namespaces=KINDS", "namespaces-mode=", "namespaces-home=", "namespaces-unavailable=", "-timeout="):
        assert f"--{name}" in text or name in text
    assert "namespaces_leak (string)" in text
