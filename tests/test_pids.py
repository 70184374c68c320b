"""One process, several numbers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from conftest import in_plain_child, refuse_ioctls
from pynamespaces import Isolation, Namespace, translate_pid

#: NS_GET_PID_FROM_PIDNS, NS_GET_TGID_FROM_PIDNS, NS_GET_PID_IN_PIDNS, NS_GET_TGID_IN_PIDNS
TRANSLATE = (0x8004B706, 0x8004B707, 0x8004B708, 0x8004B709)


def by_the_ioctls() -> None:
    with Namespace.current("pid") as here:
        assert translate_pid(os.getpid(), target=here) == os.getpid()


def by_nspid() -> None:
    from pynamespaces._kernel import nsfs

    refuse_ioctls(*TRANSLATE)
    with Namespace.current("pid") as here, pytest.raises(OSError, match="PIDNS"):
        nsfs.translate_pid(here.fileno(), 0, 1)


@contextmanager
def a_thread() -> Iterator[int]:
    end, ready, tids = threading.Event(), threading.Event(), []

    def run() -> None:
        tids.append(threading.get_native_id())
        ready.set()
        end.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60)
    try:
        yield tids[0]
    finally:
        end.set()
        thread.join()


def with_threads_inside() -> list[int]:
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return [os.getpid(), thread.native_id or 0]


@pytest.mark.parametrize("way", [by_the_ioctls, by_nspid])
def test_processes_and_threads_both_ways(way: Callable[[], None]) -> None:
    @in_plain_child
    def test() -> None:
        way()
        outer, below = Isolation("user", "pid"), ["unshare", "-Urpf", "--kill-child", "sleep", "10"]
        with outer.Popen(below) as process, Namespace.of(process, "pid") as middle:
            for _ in range(1000):
                deepest = _deepest(process.pid)  # [here, in the middle, in its own]
                if deepest:
                    break
                time.sleep(0.005)
            assert translate_pid(1, source=middle) == min(middle.host_pids())
            assert translate_pid(deepest[0], target=middle) == deepest[1]
            assert translate_pid(deepest[1], source=middle) == deepest[0]
            assert translate_pid(1, source=deepest[0]) == deepest[0]  # the host's number of PID 1 of that container
            assert translate_pid(1, source=deepest[0], target=middle) == deepest[1]
            assert translate_pid(deepest[1], source=middle, target=deepest[0]) == 1
            with Namespace.of(deepest[0], "pid") as innermost:
                assert innermost.host_pids() == [deepest[0]]
                with pytest.raises(ProcessLookupError):
                    translate_pid(process.pid, target=innermost)
            with pytest.raises(ProcessLookupError):
                translate_pid(os.getpid(), target=middle)
            with pytest.raises(ProcessLookupError):
                translate_pid(30000, source=middle)
            process.kill()
        with a_thread() as tid, Namespace.current("pid") as here:
            assert translate_pid(tid, target=here) == tid
            assert translate_pid(tid, source=here) == tid
            assert translate_pid(tid) == tid
        with outer.executor() as pool:
            pid, tid = pool.submit(with_threads_inside).result()
            outside = pool._workers[0].child.pid  # its children are inside: an init, and the worker
            with open(f"/proc/{outside}/task/{outside}/children", encoding="ascii") as file:
                worker = max(map(int, file.read().split()))
            found = translate_pid(tid, source=worker)
            assert translate_pid(found, target=worker) == tid
            assert found != translate_pid(pid, source=worker) == worker

    test()


def _deepest(pid: int) -> list[int]:
    """The numbers of the sleep below a process, from here down to its own namespace."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/status", encoding="utf-8") as file:
                lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        except OSError:
            continue
        if lines["Name"] == "sleep" and lines["PPid"] == str(pid):
            return [int(word) for word in lines["NSpid"].split()]
    return []


def test_both_ways() -> None:
    with Isolation("user", "pid").Popen(["sleep", "60"]) as process, Namespace.of(process, "pid") as inside:
        assert translate_pid(process.pid, target=inside) == 2
        assert translate_pid(2, source=inside) == process.pid
        assert translate_pid(2, source=process, target=process) == 2
        init = translate_pid(1, source=inside)
        assert inside.host_pids() == sorted([init, process.pid])
        with pytest.raises(ProcessLookupError):
            translate_pid(99999, source=inside)
        with pytest.raises(ProcessLookupError):
            translate_pid(os.getpid(), target=inside)
        process.kill()
    assert translate_pid(os.getpid()) == os.getpid()
    with pytest.raises(ProcessLookupError):
        translate_pid(2**31 - 1)


def test_bad_arguments() -> None:
    for bad in (0, -1, 2**31):
        with pytest.raises(ValueError, match="process id"):
            translate_pid(bad)
    for bad in (True, "1", None):
        with pytest.raises(TypeError):
            translate_pid(bad)
    with Namespace.current("net") as net:
        with pytest.raises(ValueError, match="only pid"):
            translate_pid(1, source=net)
        with pytest.raises(ValueError, match="only pid"):
            net.host_pids()
