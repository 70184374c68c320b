"""call, apply and executor: Python functions inside, with their values, exceptions and ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pynamespaces as ns
from conftest import in_child, state
from pynamespaces import ChildDied, Isolation, NamespaceSet

ALL = ("mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time")
PLACES = {
    "plain": Isolation(),
    "user": Isolation("user", "uts"),
    "all": Isolation(*ALL),
    "bare": Isolation(*ALL, init=False),
}
everywhere = pytest.mark.parametrize("box", PLACES.values(), ids=PLACES)


class TwoArguments(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")
        self.first = first


def where(*args: object, **kwargs: object) -> tuple[object, ...]:
    return os.getpid(), os.uname().nodename, args, kwargs


def raise_two() -> None:
    raise TwoArguments(1, 2)


def hostname() -> str:
    return os.uname().nodename


@everywhere
def test_values_and_every_keyword(box: Isolation) -> None:
    pid, _, args, kwargs = box.call(where, 1, [2], timeout=3, start="x", place=4, function=5)
    assert args == (1, [2])
    assert kwargs == {"timeout": 3, "start": "x", "place": 4, "function": 5}
    assert pid != os.getpid() or "pid" in {str(kind) for kind in box.kinds}
    assert box.call(lambda: "a closure " + box.propagation) == "a closure private"
    assert box.apply(where, [1], {"a": 2})[2:] == ((1,), {"a": 2})


@everywhere
def test_exceptions_come_back_with_the_remote_traceback(box: Isolation) -> None:
    with pytest.raises(TwoArguments, match="1 and 2") as caught:
        box.call(raise_two)
    assert caught.value.first == 1
    assert "raise_two" in str(caught.value.__cause__)
    with pytest.raises(FileNotFoundError) as missing:
        box.call(open, "/no/such/file")
    assert missing.value.filename == "/no/such/file"

    def local() -> None:
        class Local(ValueError):
            """Cannot be pickled."""

        raise Local("told faithfully")

    with pytest.raises(ValueError, match="told faithfully") as stand_in:
        box.call(local)
    assert type(stand_in.value).__name__ == "Local"
    with pytest.raises(KeyboardInterrupt):
        box.call(signal.raise_signal, signal.SIGINT)


@everywhere
def test_ends_without_a_result_are_a_clear_error(box: Isolation) -> None:
    with pytest.raises(ChildDied, match="status 3") as caught:
        box.call(os._exit, 3)
    assert caught.value.returncode == 3
    if box.init is not False or not box.kinds & ns.Kind.PID:
        with pytest.raises(ChildDied, match="SIGKILL") as killed:
            box.call(lambda: os.kill(os.getpid(), signal.SIGKILL))
        assert killed.value.returncode == -9
    with pytest.raises(ChildDied, match=r"sys\.exit"):
        box.call(sys.exit, "words")


def test_what_cannot_leave_the_child_is_refused() -> None:
    def generator():
        yield 1

    async def coroutine() -> None: ...

    for function in (generator, coroutine):
        with pytest.raises(TypeError, match="generator or coroutine"):
            Isolation().call(function)
    with pytest.raises(TypeError, match="generator"):
        Isolation().call(lambda: (x for x in ()))
    with pytest.raises(TypeError, match="cannot be sent"):
        Isolation().call(lambda: threading.Lock())
    with pytest.raises(TypeError):
        Isolation().call("no function")
    with pytest.raises(ValueError, match="timeout"):
        Isolation().apply(hostname, timeout=0)
    with pytest.raises(ValueError, match="start"):
        Isolation().apply(hostname, start="other")


def test_a_big_result() -> None:
    assert len(Isolation("user").call(bytes, 50_000_000)) == 50_000_000


@everywhere
def test_a_timeout_ends_everything_inside(box: Isolation) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="did not return within"):
        box.apply(time.sleep, [60], timeout=0.1)
    assert time.monotonic() - start < 10


def test_finally_blocks_of_the_caller_never_run_twice(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    try:
        with pytest.raises(ZeroDivisionError):
            Isolation("user").call(lambda: 1 // 0)
        with pytest.raises(ChildDied):
            Isolation("user").call(sys.exit, 1)
    finally:
        with lines.open("a") as file:
            file.write(f"{os.getpid()}\n")
    assert lines.read_text() == f"{os.getpid()}\n"


def test_output_is_flushed_once(capfd: pytest.CaptureFixture[str]) -> None:
    print("before", end=";")
    Isolation("user").call(print, "inside", end=";")
    print("after")
    assert capfd.readouterr().out == "before;inside;after\n"


def test_logging_threads_do_not_hang_the_child() -> None:
    stop = threading.Event()
    handler = logging.StreamHandler(open(os.devnull, "w", encoding="ascii"))  # noqa: SIM115
    logging.getLogger().addHandler(handler)

    def chatter() -> None:
        while not stop.is_set():
            logging.getLogger().warning("x" * 100)

    threads = [threading.Thread(target=chatter) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            assert Isolation("user").apply(_log_and_import, timeout=20) == 7
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        logging.getLogger().removeHandler(handler)
        handler.stream.close()


def _log_and_import() -> int:
    logging.getLogger().warning("from the child")
    import colorsys  # noqa: F401

    return 7


def test_a_refused_step_is_the_plan_s_error() -> None:
    class Impossible:
        def steps(self):
            from pynamespaces import plan

            return [plan.mount(b"tmpfs", b"/no/such/place")]

    before = state()
    with pytest.raises(ns.NotFound) as caught:
        Isolation("user", "mnt", "pid", mounts=[Impossible()]).call(hostname)
    assert caught.value.step == "mount(tmpfs on /no/such/place)"
    assert state()["children"] == before["children"]


def test_existing_namespaces() -> None:
    with Isolation(*ALL, hostname="there").Popen(["sleep", "60"]) as process:
        there = process.namespaces
        assert there.call(hostname) == "there"
        assert there.call(os.getuid) == 0
        assert there.call(os.getpid) > 2
        with there.executor() as pool:
            assert pool.submit(hostname).result(10) == "there"
        assert there.apply(hostname, start="spawn") == "there"
        process.kill()
    there.close()


@in_child
def test_inside_a_block() -> None:
    with ns.unshare("uts", hostname="block"):
        assert Isolation("ipc").call(hostname) == "block"
        with NamespaceSet.current("uts") as here:
            assert here.call(hostname) == "block"


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_an_executor_s_workers_live_inside(start: str) -> None:
    with Isolation("user", "uts", "pid", hostname="worker").executor(2, start=start) as pool:
        assert pool.submit(hostname).result(20) == "worker"
        assert list(pool.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]
        assert list(pool.map(pow, range(10), [2] * 10, chunksize=3)) == [n * n for n in range(10)]
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result(20)
        assert pool.submit(lambda: 1).exception(20) is not None, "a lambda cannot be pickled"
        futures = [pool.submit(time.sleep, 0.01) for _ in range(10)]
        assert [future.result(20) for future in futures] == [None] * 10
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(hostname)


def test_cancelled_calls_are_never_begun() -> None:
    reader, writer = os.pipe()  # what the worker waits for
    with Isolation("user").executor() as pool:
        first = pool.submit(os.read, reader, 1)
        waiting = [pool.submit(hostname) for _ in range(5)]
        assert waiting[2].cancel()
        os.write(writer, b"x")
        assert first.result(20) == b"x"
        assert waiting[4].result(20)
        pool.submit(os.read, reader, 1)
        rest: list[Future[str]] = [pool.submit(hostname) for _ in range(5)]
        pool.shutdown(wait=False, cancel_futures=True)
        assert all(future.cancelled() for future in rest)
        os.write(writer, b"x")
    os.close(reader)
    os.close(writer)


def test_any_number_of_calls_can_be_cancelled() -> None:
    reader, writer = os.pipe()
    with Isolation("user").executor() as pool:
        first = pool.submit(os.read, reader, 1)
        waiting = [pool.submit(hostname) for _ in range(2 * sys.getrecursionlimit())]
        assert all(future.cancel() for future in waiting)
        last = pool.submit(hostname)
        os.write(writer, b"x")
        assert first.result(20) == b"x"
        assert last.result(20)
    os.close(reader)
    os.close(writer)


def test_a_worker_that_dies_breaks_the_pool() -> None:
    with Isolation("user", "uts").executor() as pool:
        future, queued = pool.submit(os._exit, 3), pool.submit(hostname)
        for broken in (future, queued):
            with pytest.raises(BrokenExecutor, match="status 3"):
                broken.result(20)
        with pytest.raises(BrokenExecutor):
            pool.submit(hostname)


def test_asyncio_runs_in_it() -> None:
    async def main() -> str:
        with Isolation("user", "uts", hostname="aio").executor() as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, hostname)

    assert asyncio.run(main()) == "aio"


def test_a_child_that_dies_is_heard_though_what_it_forked_lives_on() -> None:
    reader, writer = os.pipe()

    def forks_and_dies() -> None:
        if os.fork() == 0:
            os.close(writer)
            os.read(reader, 1)
        os._exit(3)

    with pytest.raises(ChildDied, match="status 3"):
        Isolation("user").apply(forks_and_dies, timeout=20)
    os.close(writer)
    os.close(reader)


def test_a_hundred_calls_leave_nothing() -> None:
    before = state()
    for _ in range(50):
        Isolation(*ALL).call(hostname)
        with pytest.raises(ChildDied):
            Isolation("user").call(os._exit, 1)
    assert state()["fds"] == before["fds"]
    assert state()["children"] == before["children"]


PARENT = """
import os, sys, threading, time
from pynamespaces import Isolation
def inside():
    os.write(int(sys.argv[1]), b"%d\\n" % os.getpid()); time.sleep(500)
box = Isolation(*sys.argv[3:])
if sys.argv[2] == "thread":
    t = threading.Thread(target=box.call, args=(inside,)); t.start(); t.join()
else:
    box.call(inside)
"""


@pytest.mark.parametrize("where_", ["main", "thread"])
@pytest.mark.parametrize("kinds", [("user",), ("user", "pid")])
def test_sigkill_of_the_parent_mid_call_leaves_nothing(where_: str, kinds: tuple[str, ...]) -> None:
    import subprocess

    reader, writer = os.pipe()
    argv = [sys.executable, "-c", PARENT, str(writer), where_, *kinds]
    parent = subprocess.Popen(argv, pass_fds=[writer])
    os.close(writer)
    assert os.read(reader, 20).strip().isdigit()
    parent.kill()
    parent.wait()
    assert os.read(reader, 1) == b"", "the pipe closes when the last process inside has ended"
    os.close(reader)


@settings(max_examples=15, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.binary(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_arguments_round_trip(value: object) -> None:
    assert Isolation().call(lambda x: x, value) == value
