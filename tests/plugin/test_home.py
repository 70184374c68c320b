"""--namespaces-home: an ordinary user's session moves once, and in-process mode is there."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

Project = Callable[..., pytest.RunResult]

pytestmark = pytest.mark.skipif(
    os.geteuid() == 0, reason="root needs no home; the run as an ordinary user has these tests"
)

INSIDE = """
@pytest.mark.namespaces("mnt", "uts", "ipc", "cgroup", hostname="inside", tmpfs={"/mnt": "64k"})
def test_in_process():
    assert os.getpid() == SESSION and socket.gethostname() == "inside"
    assert new() == {"mnt", "uts", "ipc", "cgroup"}
def test_still_oneself(tmp_path):
    assert os.getuid() == UID and not new()
    (tmp_path / "locked").touch(0)
    with pytest.raises(PermissionError):
        open(tmp_path / "locked")
"""


@pytest.mark.parametrize("home", ["keep-net", "isolated"])
def test_a_home(project: Project, home: str) -> None:
    inside = home == "isolated"
    result = project(
        f"UID = {os.getuid()}\n"
        + INSIDE
        + f"""
@pytest.mark.namespaces("net")
def test_net():
    assert (os.getpid() == SESSION) == {inside}
    socket.create_server(("127.0.0.1", 80)).close()
@pytest.mark.namespaces("pid", "time", clock=1000)
def test_forked():
    assert os.getpid() != SESSION
def test_the_sessions_network():
    devices = [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]]
    assert (os.readlink("/proc/self/ns/net") == {os.readlink("/proc/self/ns/net")!r}) != {inside}
""",
        f"--namespaces-home={home}",
    )
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines([f"namespaces: uid {os.getuid()}, home={home}; in-process: *mnt uts ipc cgroup*"])


def test_by_ini_and_by_addopts(project: Project, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nnamespaces_home = isolated\naddopts = -p pynamespaces\n")
    project(f"UID = {os.getuid()}\n{INSIDE}").assert_outcomes(passed=2)
    pytester.makeini("[pytest]\naddopts = -p pynamespaces --namespaces-home=keep-net\n")
    project(f"UID = {os.getuid()}\n{INSIDE}").assert_outcomes(passed=2)


def test_threads_are_named_with_the_ways_out(project: Project, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        early="import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='early').start()\n"
    )
    pytester.syspathinsert()
    result = project("def test_a(): pass\n", "-p", "early", "-p", "pynamespaces", "--namespaces-home=isolated")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str()
    assert "this process has other threads" in text
    assert "addopts = -p pynamespaces" in text
    assert "unshare --user --map-current-user --keep-caps -muinC" in text


def test_a_wrong_word(project: Project) -> None:
    assert project("", "--namespaces-home=yes").ret == pytest.ExitCode.USAGE_ERROR
