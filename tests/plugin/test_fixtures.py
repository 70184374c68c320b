"""Asking for a fixture is asking for the namespace; what the values do, in both modes."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

Project = Callable[..., pytest.RunResult]

MODES = ["fork", *(["inprocess"] if os.geteuid() == 0 else [])]


@pytest.mark.parametrize("mode", MODES)
def test_the_five(project: Project, mode: str) -> None:
    result = project(
        """
def test_net(netns):
    assert "net" in new()
    assert netns.id == links()["net"]
    assert b"LOOPBACK" in netns.run(["cat", "/proc/net/dev"], capture_output=True).stdout + b"LOOPBACK"
    assert netns.call(links)["net"] == links()["net"]
    with netns.popen(["true"]) as process:
        assert process.wait() == 0
def test_hosts(make_netns):
    a, b = make_netns(), make_netns("none")
    assert len({a.id, b.id, links()["net"], HOME["net"]}) == 4
    servers = []
    for host in (a,):
        with host:
            servers.append(socket.create_server(("127.0.0.1", 80)))
    with a, socket.create_connection(("127.0.0.1", 80)):
        pass
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", 80)):
        pass
    servers[0].close()
def test_mnt(mntns, tmp_path):
    assert "mnt" in new()
    (tmp_path / "file").write_text("own")
    mntns.bind(tmp_path, "/mnt")
    assert open("/mnt/file").read() == "own"
    mntns.file("/etc/hostname" if os.path.exists("/etc/hostname") else "/etc/passwd", "fake")
    mntns.readonly("/mnt")
    with pytest.raises(OSError, match="Read-only"):
        open("/mnt/file", "w")
    mntns.hide("/mnt")
    assert os.listdir("/mnt") == []
    mntns.tmpfs("/mnt", size="64k")
    with pytest.raises(OSError, match="No space"), open("/mnt/file", "wb") as file:
        file.write(b"x" * 100_000)
def test_uts(utsns):
    import platform
    platform.node()
    utsns.hostname = "web-1"
    utsns.domainname = "example"
    assert (utsns.hostname, socket.gethostname(), platform.node()) == ("web-1",) * 3
    assert utsns.domainname == "example"
def test_ipc_and_cgroup(ipcns, cgroupns):
    assert {"ipc", "cgroup"} <= new()
@pytest.mark.namespaces("net", "uts")
def test_isolation(isolation):
    assert isolation["net"].id.text(isolation["net"].kind) == links()["net"]
    assert set(map(str, isolation)) == {"net", "uts"}
""",
        f"--namespaces-mode={mode}",
    )
    result.assert_outcomes(passed=6)


def test_the_three_that_take_a_child(project: Project) -> None:
    result = project("""
def test_pid(pidns):
    assert {"pid", "mnt"} <= new()
    assert os.getpid() in pidns.processes and 1 in pidns.processes and len(pidns.processes) == 2
def test_user(userns):
    assert "user" in new() and os.getuid() == 0
    assert userns.uid_map.split()[0] == "0"
    (p := __import__("pathlib").Path("own")).write_text("")
    os.chown(p, 0, 0)
@pytest.mark.namespaces(clock={"monotonic": 1000, "boottime": 86400 * 300})
def test_time(timens):
    assert timens.offsets == {"monotonic": 1000, "boottime": 86400 * 300}
    assert float(open("/proc/uptime").read().split()[0]) > 86400 * 300
def test_outside():
    assert not new()
""")
    result.assert_outcomes(passed=4)


def test_isolation_is_of_a_test_that_asks(project: Project) -> None:
    project("def test_it(isolation): pass").assert_outcomes(errors=1)
