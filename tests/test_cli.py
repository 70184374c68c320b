"""The command: run and enter as unshare(1) and nsenter(1) users type them, the tour, and exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import in_child
from pynamespaces import IdMap, Isolation


def command(*argv: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "pynamespaces", *argv]
    return subprocess.run(whole, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **kwargs)


@pytest.mark.parametrize(
    ("argv", "status", "out"),
    [
        (["run", "-Ur", "sh", "-c", "id -u; exit 3"], 3, "0\n"),
        (["run", "-r", "--", "sh", "-c", "id -u"], 0, "0\n"),
        (["run", "-Urpf", "--mount-proc", "sh", "-c", "echo $$; readlink /proc/self"], 0, "1\n2\n"),
        (["run", "-Urp", "--init", "sh", "-c", "echo $$"], 0, "2\n"),
        (["run", "-Uru", "--hostname", "cli", "uname", "-n"], 0, "cli\n"),
        (["run", "-Urn", "sh", "-c", "cat /proc/net/dev | tail -n +3 | wc -l"], 0, "1\n"),
        (["run", "-UrT", "--boottime", "100000000", "cut", "-d.", "-f1", "/proc/uptime"], 0, None),
        (["run", "-Ur", "--user", "--mount", "--ipc", "--cgroup", "true"], 0, ""),
        (["run", "-Ur", "sh", "-c", "kill -9 $$"], 137, ""),
        (["run", "-Ur", "/no/such"], 127, ""),
        (["run", "-Ur", "/usr"], 126, ""),
        (["run", "--no-such-option"], 125, ""),
        (["run", "-U", "--map-users", "odd", "true"], 125, ""),
        (["run", "-Ur", "-w", "/no/such", "true"], 127, ""),
        (["run", "-Ur", "-w", "/usr", "pwd"], 0, "/usr\n"),
        (["run", "-c", "id", "-u"], 0, f"{os.geteuid()}\n"),
        (["run", "-U", "--map-user=5", "--map-group=6", "sh", "-c", "id -u; id -g"], 0, "5\n6\n"),
        (["run", "--map-user=daemon", "--map-group=daemon", "sh", "-c", "id -u; id -g"], 0, "1\n1\n"),
        (["run", "--map-user=no such", "true"], 125, ""),
        (["run", "--map-users", f"7:{os.geteuid()}:1", "--map-groups", f"{os.getegid()},8,1", "id", "-u"], 0, "7\n"),
        (["run", "-Ur", "--kill-child=SIGTERM", "true"], 125, ""),
        (["run", "-Ur", "--kill-child", "true"], 0, ""),
        (["run", "-Urp", "--mount-proc=/mnt", "cat", "/mnt/sys/kernel/cap_last_cap"], 0, None),
        (["run", "-c", "--keep-caps", "grep", "CapEff", "/proc/self/status"], 0, None),
        (["run", "-Urm", "-R", "/", "-w", "/usr", "pwd"], 0, "/usr\n"),
        (["run", "-Ur", "--setgroups", "deny", "cat", "/proc/self/setgroups"], 0, "deny\n"),
        (["run", "-Urm", "--propagation", "slave", "true"], 0, ""),
        (["run", "-Ur", "-S", "4242", "true"], 125, ""),
        (["run", "-V"], 0, None),
        (["enter", "-V"], 0, None),
        (["enter"], 125, ""),
        (["enter", "no-such-name", "true"], 125, ""),
        (["nonsense"], 2, ""),
        ([], 2, ""),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_statuses_and_output(argv: list[str], status: int, out: str | None) -> None:
    done = command(*argv)
    assert done.returncode == status, done
    if out is not None:
        assert done.stdout == out or not argv
    if status in (125, 126, 127, 2):
        assert "pynamespaces" in done.stderr + done.stdout


def test_help_and_version() -> None:
    assert "unshare(1)" in command("run", "--help").stdout
    assert "nsenter(1)" in command("enter", "--help").stdout
    assert "tour" in command("--help").stdout
    assert command("--version").stdout.startswith("pynamespaces ")


def test_enter_a_process() -> None:
    with Isolation("user", "uts", "net", ids=IdMap.root(), hostname="there").Popen(["sleep", "60"]) as process:
        pid = str(process.pid)
        assert command("enter", pid, "--", "uname", "-n").stdout == "there\n"
        assert command("enter", "-t", pid, "-a", "uname", "-n").stdout == "there\n"
        assert command("enter", "-t", pid, "-U", "-u", "sh", "-c", "uname -n; id -u").stdout == "there\n0\n"
        assert command("enter", "-t", pid, "-U", "-n", "uname", "-n").stdout != "there\n"
        assert command("enter", "-t", pid, "-U", "-W", "/usr", "pwd").stdout == "/usr\n"
        assert command("enter", "-Ut", pid, "--uts", "uname", "-n").stdout == "there\n"
        assert command("enter", "-t", pid, "-U", "--wd", "pwd", cwd="/").stdout == os.getcwd() + "\n"
        assert command("enter", "-t", pid, "-U", "-S", "0", "-G", "0", "id", "-u").stdout == "0\n"
        assert command("enter", "-t", pid, "-a", "sh", "-c", "kill -15 $$").returncode == 128 + 15
        process.kill()


@in_child
def test_files_keep_and_are_entered(tmp_path: Path) -> None:
    file = tmp_path / "net"
    assert command("run", f"--net={file}", "true").returncode == 0
    done = command("enter", f"--net={file}", "--", "ip", "-brief", "address")
    assert done.stdout.split()[:1] == ["lo"], done
    subprocess.run(["umount", file], check=True)


def test_the_tour_holds_here() -> None:
    done = command("tour")
    assert done.returncode == 0, done.stdout
    assert "0 forbidden, 0 failed" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
