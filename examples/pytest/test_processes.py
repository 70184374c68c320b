"""Fake root, PID 1, daemons that die with the test, and a queue that nobody removes."""

import os
import signal
import subprocess
import time

import pytest


@pytest.mark.namespaces("user", ids="root")
def test_a_fake_root_may_chown(tmp_path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert os.geteuid() == 0
    os.chown(path, 0, 0)
    assert path.stat().st_uid == 0


@pytest.mark.namespaces("pid", init=False)
def test_a_pid_1_that_must_reap() -> None:
    assert os.getpid() == 1
    if os.fork() == 0:  # a child that leaves an orphan to PID 1
        if os.fork() == 0:
            os._exit(7)
        os._exit(0)
    assert sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)) == [0, 7]


@pytest.mark.namespaces("pid")
def test_a_daemon_dies_with_the_test() -> None:
    daemon = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    daemon.returncode = 0  # forgotten: nobody waits for it
    os.kill(daemon.pid, 0)


def test_and_it_did() -> None:
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 1000" not in found.splitlines()


@pytest.mark.namespaces("ipc")
def test_a_queue_that_nobody_removes() -> None:
    subprocess.run(["ipcmk", "--queue"], check=True, stdout=subprocess.DEVNULL)
    assert queues() == 1


def test_and_it_is_gone() -> None:
    assert queues() == 0


def queues() -> int:
    with open("/proc/sysvipc/msg") as table:
        return len(table.readlines()) - 1


@pytest.mark.namespaces("pid")
def test_a_signal_ends_what_it_should() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
