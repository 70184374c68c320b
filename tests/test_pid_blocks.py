"""pid blocks: an init of ours as PID 1, the hundredth child, orphans, zombies, and nothing left at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import pynamespaces as ns
from conftest import IS_ROOT, in_child, in_pid_child, links
from pynamespaces import Namespace, NamespaceSet, enter, unshare


def output(script: str) -> str:
    return subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout.strip()


@in_pid_child
def test_the_hundredth_child_of_a_block_works_too() -> None:
    with unshare("pid") as inside:
        pids = {output("echo $$") for _ in range(100)}
        assert len(pids) == 100
        assert output("readlink /proc/self/ns/pid") == inside["pid"].id.text("pid")
    inside.close()


@in_pid_child
def test_pid_1_is_our_tiny_init_and_proc_is_fresh() -> None:
    with unshare("pid", "mnt"):
        assert output("cat /proc/1/cmdline").strip("\0") == "pynamespaces-init"
        resident = next(line for line in output("cat /proc/1/status").splitlines() if line.startswith("VmRSS"))
        assert int(resident.split()[1]) < 200, "kB: an init that shares or copies nothing of ours"
        assert output("ls -l /proc/1/fd | wc -l") == "3", "its signals, and the pidfd of whom it works for"
        assert output("ls -d /proc/[0-9]* | wc -l").isdigit()
    assert Path("/proc/self/status").exists()


@in_pid_child
def test_without_mnt_proc_stays_the_old_one() -> None:
    with unshare("pid"):
        assert output("cat /proc/self/comm") == "cat"
        assert int(output("ls -d /proc/[0-9]* | wc -l")) > 2


@in_pid_child
def test_orphans_are_reaped_and_at_the_end_all_are_gone() -> None:
    with unshare("pid", "mnt") as inside:
        for _ in range(5):
            output("(sleep 0.01 >/dev/null &) ; true")
        output("(sleep 500 >/dev/null 2>&1 &) ; (setsid sleep 500 >/dev/null 2>&1 &) ; true")
        daemon = subprocess.Popen(["sleep", "500"])
        for _ in range(500):  # the init is told of each, and reaps it in its time
            states = output("cat /proc/[0-9]*/stat 2>/dev/null | cut -d' ' -f3")
            if "Z" not in states:
                break
            time.sleep(0.01)
        assert "Z" not in states
        pid = daemon.pid
    for _ in range(100):
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            break
        time.sleep(0.01)
    assert daemon.wait(5) == -signal.SIGKILL, "the status belongs to who started it"
    inside.close()


@in_pid_child
def test_a_nested_pid_block_is_below_the_outer_one() -> None:
    with unshare("pid") as outer:
        with unshare("pid") as inner:
            assert inner["pid"].parent() == outer["pid"]
            assert output("readlink /proc/self/ns/pid") == inner["pid"].id.text("pid")
        assert output("readlink /proc/self/ns/pid") == outer["pid"].id.text("pid")
    outer.close()
    inner.close()


@in_child
def test_init_false_makes_the_first_child_pid_1() -> None:
    if not IS_ROOT:
        pytest.skip("the way home to a pid namespace of the host's is closed to an ordinary user's thread")
    with unshare("pid", init=False) as inside:
        assert output("echo $$") == "1"
        with pytest.raises(OSError, match="memory"):
            subprocess.run(["true"], check=True)
    assert subprocess.run(["true"], check=True).returncode == 0
    with pytest.raises(OSError, match="PID 1 has ended"), enter(inside):
        pytest.fail("the body ran in a dead pid namespace")
    inside.close()
    assert links()["pid_for_children"] == links()["pid_for_children"]


@in_pid_child
def test_a_block_ends_while_a_child_was_not_waited_for() -> None:
    before = links()
    with unshare("pid"):
        child = subprocess.Popen(["sleep", "500"])
    assert links() == before
    with unshare("pid"):  # the next pid block does not stumble over the init that cannot be reaped yet
        assert output("echo ok") == "ok"
    assert child.wait(5) == -9


@in_pid_child
def test_a_forked_child_does_not_end_the_parent_s_init() -> None:
    with unshare("pid"):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if subprocess.run(["true"], check=False).returncode == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert output("echo still") == "still"


@in_child
def test_pid_blocks_in_two_threads_at_once() -> None:
    if not IS_ROOT:
        pytest.skip("threads and a pid base set exclude each other (clone(2), EINVAL)")
    found: list[str] = []
    problems: list[BaseException] = []
    gate = threading.Barrier(2, timeout=20)

    def work() -> None:
        try:
            for _ in range(5):
                with unshare("pid") as inside:
                    gate.wait()
                    assert output("readlink /proc/self/ns/pid") == inside["pid"].id.text("pid")
                    found.append(inside["pid"].id.text("pid"))
                    gate.wait()
                inside.close()
        except BaseException as error:
            problems.append(error)
            gate.abort()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    assert len(found) == 10


KILLED = """
import os, subprocess, sys, time
from conftest import isolate, BASE
isolate((*BASE, "pid"))
from pynamespaces import unshare
with unshare("pid", "mnt"):
    daemon = subprocess.Popen(["sleep", "500"])
    print(daemon.pid, flush=True)
    time.sleep(500)
"""


def test_sigkill_of_the_process_ends_everything_inside() -> None:
    tests = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with process.stdout:
        pid = int(process.stdout.readline())
    held = ns.PidFd.open(pid) if Path(f"/proc/{pid}").exists() else None
    process.kill()
    process.wait(10)
    if held is not None:
        with held:
            for _ in range(500):
                if not held.alive:
                    break
                time.sleep(0.01)
            assert not held.alive


@in_pid_child
def test_host_names_of_the_same_process() -> None:
    with unshare("pid") as inside:
        child = subprocess.Popen(["sh", "-c", "echo $$; sleep 500"], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        with child.stdout:
            said = int(child.stdout.readline())
        with Namespace.of(child, "pid") as theirs, NamespaceSet.of(child, "pid") as also:
            assert theirs == inside["pid"] == also["pid"]
        assert said != child.pid
        child.kill()
        child.wait()
    inside.close()
