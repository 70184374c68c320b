"""SIGKILL at any instant: a few tries of what `make kills` does thousands of times, and what it found."""

from __future__ import annotations

import os
import signal
import time

import pytest

import faults
import kills
from conftest import in_child
from pynamespaces import Isolation, NamespaceError

faults.warm_up()
OPERATIONS = {operation.__name__: operation for operation in kills.OPERATIONS}


@pytest.mark.parametrize("name", OPERATIONS)
@in_child
def test_nothing_stays_but_what_was_persisted(name: str) -> None:
    kills.become_subreaper()
    assert kills.sweep(OPERATIONS[name], 5) == []


@in_child
def test_a_child_that_waits_for_its_maps_ends_with_its_parent() -> None:
    kills.become_subreaper()
    pid = os.fork()
    if pid == 0:  # killed while the child waits: before_exec runs then
        Isolation("user", "uts").Popen(
            ["/bin/sleep", "100"], before_exec=lambda _: os.kill(os.getpid(), signal.SIGKILL)
        )
    os.waitpid(pid, 0)
    assert kills._reap(time.monotonic() + 5) == []


@in_child
def test_a_helper_that_is_killed_is_an_error_and_leaves_nothing() -> None:
    def kill_the_helper(pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    with pytest.raises(NamespaceError):
        Isolation("user", "uts", "pid").Popen(["/bin/sleep", "100"], before_exec=kill_the_helper)
