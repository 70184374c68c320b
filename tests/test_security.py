"""What container runtimes got wrong, each with a test that naive code fails; mounts' are in test_mounts_safety.py."""

from __future__ import annotations

import ctypes
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import IS_ROOT, drop_to_user, in_child, in_plain_child
from pynamespaces import Isolation, NamespaceSet, mounts
from pynamespaces._kernel import prctl

SPY = """
import os, time
own, end, found, last = os.getpid(), time.monotonic() + 20, 0, 2
print("ready", flush=True)
while time.monotonic() < end and not os.path.exists("/mnt/enough"):
    for pid in range(last, last + 30):
        if pid == own:
            continue
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
            os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
        except OSError:
            continue
        found += "python" in exe
    last = max(last, int(open("/proc/loadavg").read().split()[-1]) - 5)
print(found, flush=True)
"""


@in_plain_child
def test_nobody_inside_reaches_the_memory_of_who_comes_in() -> None:
    """CVE-2016-9962: root inside traced the process that was about to join, and through it reached the host.

    Until it execs, ours shares the very memory of this program.
    """
    box = Isolation("user", "pid", "mnt", mounts=[mounts.tmpfs("/mnt")])
    with box.Popen([sys.executable, "-c", SPY], stdout=subprocess.PIPE, text=True) as spy:
        assert spy.stdout is not None
        assert spy.stdout.readline() == "ready\n"
        with NamespaceSet.of(spy, "user", "pid", "mnt") as there:
            for _ in range(150):
                there.run(["/bin/true"], check=True)
            there.run(["/bin/touch", "/mnt/enough"], check=True)
        assert spy.stdout.read() == "0\n"
    assert prctl.dumpable() == 1


def _set_inheritable(mask: int) -> None:
    """capset(2): all that we have stays, and these become inheritable."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, data) == 0
    data[2] = mask
    assert libc.capset(header, data) == 0, ctypes.get_errno()


def _inherited(text: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.startswith("CapInh:")).lstrip("0")


@in_child
def test_no_capability_is_inheritable_inside() -> None:
    """CVE-2022-24769 and its kin: what was inheritable came back by a file's inheritable set."""
    _set_inheritable(1 << 5 | 1 << 21)
    command = ["cat", "/proc/self/status"]
    naive = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert _inherited(naive) == "200020"
    for box in (Isolation("uts"), Isolation("user", "uts"), Isolation("user", "pid")):
        assert _inherited(box.run(command, check=True, capture_output=True, text=True).stdout) == ""
        assert _inherited(box.call(lambda: Path("/proc/self/status").read_text())) == ""


@in_plain_child
def test_a_group_that_takes_rights_away_cannot_be_dropped() -> None:
    """CVE-2014-8989, CVE-2018-7169: setgroups(2) in a user namespace dropped a group that was there to forbid."""
    drop_to_user()
    assert Isolation("user").run(["cat", "/proc/self/setgroups"], capture_output=True).stdout == b"deny\n"
    with pytest.raises(PermissionError):
        Isolation("user").call(os.setgroups, [])


@in_child
def test_no_descriptor_of_the_host_comes_along() -> None:
    """CVE-2024-21626: a directory of the host was left open, and cwd could be below /proc/self/fd."""
    leaked = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leaked, True)
    try:
        for box, whose in (
            (Isolation("mnt"), "self"),
            (Isolation("user", "net"), "self"),
            (Isolation("pid", "mnt"), "1"),
        ):
            script = f"for fd in /proc/{whose}/fd/*; do readlink $fd; done"
            said = box.run(["sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
            assert said
            assert "/" not in said.splitlines(), said
    finally:
        os.close(leaked)


@in_child
def test_our_program_inside_cannot_be_written() -> None:
    """CVE-2019-5736: root inside wrote to the runtime by /proc/PID/exe.  Our init's is the extension module."""
    from pynamespaces._kernel import _ffi

    path = Path(_ffi.__file__)
    before = path.stat().st_mtime_ns, path.stat().st_size
    script = "readlink /proc/1/exe; (echo x >>/proc/1/exe) 2>/dev/null && echo written"
    for box in (Isolation("pid", "mnt"), Isolation("user", "pid", "mnt")):
        said = box.run(["sh", "-c", script], capture_output=True, text=True).stdout
        assert "written" not in said, said
    assert (path.stat().st_mtime_ns, path.stat().st_size) == before


def test_a_new_session_has_no_terminal() -> None:
    """CVE-2017-5226 and its kin: TIOCSTI typed into the terminal that the command shared with its caller."""
    probe = (
        "import fcntl, os, termios\n"
        "try: os.close(os.open('/dev/tty', os.O_RDWR)); print('tty', end=' ')\n"
        "except OSError: print('none', end=' ')\n"
        "try: fcntl.ioctl(0, termios.TIOCSTI, b'!'); print('typed')\n"
        "except OSError: print('refused')\n"
    )

    def under_a_terminal(**fields: bool) -> bytes:
        reader, writer = os.pipe()
        pid, terminal = pty.fork()
        if pid == 0:
            signal.alarm(60)
            done = Isolation("user", "uts", **fields).run([sys.executable, "-c", probe], stdin=0, capture_output=True)
            os.write(writer, done.stdout)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
        os.close(terminal)
        return said

    assert under_a_terminal().startswith(b"tty ")
    assert under_a_terminal(new_session=True) == b"none refused\n"


@in_plain_child
def test_a_number_that_is_another_process_s_by_now_gets_no_signal() -> None:
    """Reuse of process ids (CVE-2019-6133 and its kin), played by ns_last_pid in a pid namespace of its own."""

    def inside() -> str:
        with Isolation("uts" if IS_ROOT else "user").Popen(["sleep", "60"]) as old:
            number = old.pid
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)  # somebody else's wait
            for _ in range(100):
                Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
                other = os.fork()
                if other == 0:
                    signal.pause()
                if other == number:
                    break
                os.kill(other, signal.SIGKILL)
                os.waitpid(other, 0)
            else:
                return "the number did not come again"
            old.pidfd.alive
            for act in (old.terminate, old.kill):
                act()
            time.sleep(0.05)
            survived = os.waitpid(other, os.WNOHANG) == (0, 0)
            os.kill(other, signal.SIGKILL)
            os.waitpid(other, 0)
            return "survived" if survived else "killed"

    assert Isolation("user", "pid", "mnt").call(inside) == "survived"
