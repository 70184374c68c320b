"""Pitfalls in which other libraries were seen, each by its number, for commands and functions inside.

Each runs as whoever runs the suite, and as root once more as an ordinary user.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 (while it can be read)
import functools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pynamespaces as ns
from conftest import IS_ROOT, drop_to_user, in_child, in_plain_child, state
from pynamespaces import ClockOffsets, IdMap, Isolation, Namespace, enter, unshare

LIMIT = 20


def by_both(test: Callable[..., None]) -> Callable[..., None]:
    """As this suite's user, and where that is root as an ordinary user, too."""
    whom = pytest.mark.parametrize("whom", ["root", "user"] if IS_ROOT else ["user"])

    @functools.wraps(test)
    def wrapper(whom: str) -> None:
        @in_plain_child
        def as_whom() -> None:
            if whom == "user":
                drop_to_user()
            test()

        as_whom()

    del wrapper.__wrapped__
    return whom(wrapper)


def say(box: Any, script: str) -> str:
    return box.run(["sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT).stdout.strip()


def work() -> int:
    import _symtable  # noqa: F401 (a module that needs no file, and that nobody has imported)

    time.sleep(0.001)
    return len([bytearray(1000) for _ in range(1000)])


@by_both
def test_p9_python_in_a_child_of_a_program_whose_threads_allocate() -> None:
    stop = threading.Event()

    def allocate() -> None:
        while not stop.is_set():
            [bytearray(size) for size in range(1, 5000, 50)]
            time.sleep(0.0002)

    threads = [threading.Thread(target=allocate) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        box = Isolation("user", "uts")
        assert [box.apply(work, timeout=LIMIT) for _ in range(30)] == [1000] * 30
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@by_both
def test_p10_a_child_unwinds_nothing_of_its_parent() -> None:
    lines: list[int] = []
    reader, writer = os.pipe()
    try:
        Isolation("user", "pid").call(os.getpid)
        with pytest.raises(ns.ChildDied):
            Isolation("user").call(sys.exit, "out")
        Isolation("user").run(["true"], check=True)
    finally:
        lines.append(os.getpid())
        os.write(writer, b"%d\n" % os.getpid())
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"%d\n" % os.getpid()


@by_both
def test_p11_a_body_is_a_function_and_runs_whole_whatever_traces_it() -> None:
    def body(how: str) -> str:
        if how == "return":
            return "returned"
        if how == "exit":
            sys.exit("x")
        return "end"

    box = Isolation("user")
    for tracer in (None, lambda *_: None):
        sys.settrace(tracer)
        try:
            assert box.call(body, "return") == "returned"
            assert box.call(body, "") == "end"
            with pytest.raises(ns.ChildDied, match="exit"):
                box.call(body, "exit")
        finally:
            sys.settrace(None)


class TwoArguments(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first}, {second}")
        self.both = first, second


def raise_two() -> None:
    raise TwoArguments(1, 2)


@by_both
def test_p12_results_exceptions_and_ends_come_back_as_they_are() -> None:
    class Local:
        pass

    box = Isolation("user", "uts")
    with pytest.raises(TwoArguments) as caught:
        box.call(raise_two)
    assert caught.value.both == (1, 2)
    with pytest.raises(TypeError, match="Local"):
        box.call(Local)
    assert box.call(bytes, 1_000_000) == bytes(1_000_000)
    with pytest.raises(ns.ChildDied) as died:
        box.call(os._exit, 3)
    assert died.value.returncode == 3
    with pytest.raises(ns.ChildDied) as died:
        box.call(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert died.value.returncode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError):
        box.call(os.execv, "/no/such", ["x"])


@by_both
def test_p13_a_command_that_is_not_there_is_said_at_once() -> None:
    for box in (Isolation(), Isolation("user"), Isolation("user", "pid"), Isolation("user", "pid", init=False)):
        start = time.monotonic()
        with pytest.raises(FileNotFoundError) as caught:
            box.run(["/no/such/bin"], stdin=subprocess.PIPE, capture_output=True)
        assert caught.value.filename == "/no/such/bin"
        assert time.monotonic() - start < 5


@in_child
def test_p22_the_cwd_is_kept_over_a_mnt_block() -> None:
    os.chdir("/usr")
    with unshare("mnt") as inside:
        assert os.getcwd() == "/usr"
    with enter(inside):
        pass
    inside.close()
    assert os.getcwd() == "/usr"
    assert say(Isolation("mnt"), "pwd") == "/usr"
    os.chdir("/")


@by_both
def test_p23_a_user_namespace_is_refused_before_it_is_entered() -> None:
    before = os.readlink("/proc/thread-self/ns/user")
    with pytest.raises(ns.NamespaceError, match=r"run|call"):
        unshare("user")
    with Isolation("user").Popen(["sleep", "60"]) as process:
        there = process.namespaces.only("user")
        with there, pytest.raises(ns.NamespaceError, match=r"run|call"), enter(there):
            pytest.fail("the body ran")
        process.namespaces.close()
        process.kill()
    assert os.readlink("/proc/thread-self/ns/user") == before


@by_both
def test_p24_who_one_is_inside_is_somebody() -> None:
    assert say(Isolation("user"), "id -u; id -g").split() == ["0", "0"]
    own = [str(os.geteuid()), str(os.getegid())]
    assert say(Isolation("user", ids=IdMap.current()), "id -u; id -g").split() == own
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        say(Isolation("user", "mnt"), f"touch {directory}/mine")
        assert os.stat(f"{directory}/mine").st_uid == os.geteuid()


@by_both
def test_p25_lo_is_up_and_sysfs_shows_no_other_network() -> None:
    def serve() -> int:
        import socket

        with socket.create_server(("127.0.0.1", 80)) as server, socket.create_connection(server.getsockname()[:2]):
            return 80

    assert Isolation("user", "net").call(serve) == 80
    box = Isolation("user", "net", "mnt", mounts=[ns.mounts.sysfs("/sys")]) if hasattr(ns.mounts, "sysfs") else None
    if box is not None:
        assert say(box, "ls /sys/class/net").split() == ["lo"]
    assert say(Isolation("user", "net"), "tail -n +3 /proc/net/dev | wc -l") == "1"


@by_both
def test_p26_proc_is_that_of_the_new_pid_namespace() -> None:
    for init, pid in ((None, "2"), (False, "1")):
        box = Isolation("user", "pid", "mnt", init=init)
        assert say(box, "echo $$; exec readlink /proc/self") == f"{pid}\n{pid}"
        assert box.call(lambda: os.readlink("/proc/self") == str(os.getpid()))


@by_both
def test_p27_a_pid_namespace_has_a_second_command_or_says_that_its_init_ended() -> None:
    with Isolation("user", "pid").Popen(["sleep", "60"]) as process:
        there = process.namespaces
        for _ in range(3):
            assert int(say(there, "true; echo $$")) > 2
        process.kill()
    with pytest.raises(ns.NamespaceError, match=r"PID 1 .*has ended"):
        there.run(["true"])
    with pytest.raises(ns.NamespaceError, match=r"PID 1 .*has ended"):
        there.call(os.getpid)
    there.close()


@by_both
def test_p28_clock_offsets_are_there_from_the_first_process_on() -> None:
    box = Isolation("user", "time", clock=ClockOffsets(boottime=10**8, monotonic_ns=10**18))
    assert float(say(box, "cut -d' ' -f1 /proc/uptime")) > 10**8
    assert box.call(time.monotonic) > 10**9
    with box.Popen(["sleep", "60"]) as process:
        with Namespace.of(process.pidfd, "time") as inside, Namespace.current("time") as here:
            assert inside != here
        late = "echo 'boottime 1 0' > /proc/self/timens_offsets"
        with process.namespaces as there:
            assert there.run(["sh", "-c", late], stderr=subprocess.DEVNULL).returncode != 0, "too late: refused aloud"
        process.kill()
    for bad in ({"boottime": 10**10}, {"monotonic": -(10**9)}):
        with pytest.raises((ValueError, ns.NamespaceError)):
            Isolation("user", "time", clock=ClockOffsets(**bad)).run(["true"])


@in_child
def test_p29_a_pool_lives_inside_and_an_event_loop_is_warned() -> None:
    with Isolation("uts", hostname="pool").executor(2) as pool:
        assert {pool.submit(os.uname).result(LIMIT).nodename for _ in range(4)} == {"pool"}
    with ThreadPoolExecutor(1) as threads:
        threads.submit(int).result()
        with unshare("uts", hostname="block"):
            assert threads.submit(os.uname).result().nodename != "block", "a thread that was there stays where it was"

    async def main() -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with unshare("uts"):
                await asyncio.sleep(0)
        assert any("await" in str(warning.message) for warning in caught)

    asyncio.run(main())


PARENT = """
import os, sys, time
from pynamespaces import Isolation
box = Isolation("user", "pid", "mnt", "net")
inner = box.Popen(["sh", "-c", "sleep 500 & setsid sleep 500 & wait"], pass_fds=[int(sys.argv[1])])
print(inner.pid, flush=True)
time.sleep(500)
"""


def test_p35_nothing_remains_of_a_program_that_is_killed() -> None:
    before = state()["mounts"]
    reader, writer = os.pipe()
    argv = [sys.executable, "-c", PARENT, str(writer)]
    with subprocess.Popen(argv, pass_fds=[writer], stdout=subprocess.PIPE) as parent:
        os.close(writer)
        assert parent.stdout is not None
        assert parent.stdout.readline().strip().isdigit()
        parent.kill()
    assert os.read(reader, 1) == b"", "the pipe closes when the last process inside has ended"
    os.close(reader)
    assert state()["mounts"] == before


def test_many_launches_leave_no_descriptor_zombie_mount_or_memory() -> None:
    """By default a few hundred; `make growth` asks for 10,000."""
    count = int(os.environ.get("PYNAMESPACES_LAUNCHES", "300"))
    box = Isolation("user", "pid", "mnt", "uts")
    with Isolation("user", "net", "uts").Popen(["sleep", "6000"]) as process:
        there = process.namespaces

        def launch(number: int) -> None:
            if number % 10 == 0:
                with pytest.raises(FileNotFoundError):
                    box.run(["/no/such"])
            (there if number % 3 == 0 else box).run(["true"], check=True)

        for number in range(60):
            launch(number)
        before, memory = state(), resident()
        for number in range(count):
            launch(number)
        after = state()
        grown = resident() - memory
        process.kill()
    there.close()
    for what in ("fds", "mounts", "threads"):
        assert after[what] == before[what], what
    assert len(after["children"]) <= len(before["children"]) + 2, "inits on their way out"
    assert grown < 2_000, f"{grown} kB more are resident"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0


def resident() -> int:
    """Kilobytes."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() // 1024
