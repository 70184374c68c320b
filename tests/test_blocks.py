"""Blocks of a thread: there and back, nested, interleaved, refused before anything changes."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import pynamespaces as ns
from conftest import IS_ROOT, drop_to_user, in_child, in_pid_child, in_plain_child, links, state
from pynamespaces import Kind, Namespace, NamespaceSet, enter, unshare

THREAD_KINDS = ("net", "uts", "ipc", "cgroup", "mnt", "pid")


@pytest.mark.parametrize("kind", [*THREAD_KINDS, "time"])
@in_pid_child
def test_a_new_namespace_and_exactly_back(kind: str) -> None:
    before = state()
    with unshare(kind) as inside:
        name = {"pid": "pid_for_children", "time": "time_for_children"}.get(kind, kind)
        assert links()[name] == f"{kind}:[{inside[kind].id.ino}]"
        assert links()[name] != before["namespaces"][name]
    inside.close()
    assert links() == before["namespaces"]


@pytest.mark.parametrize("kind", [*THREAD_KINDS, "time"])
@in_pid_child
def test_the_way_back_holds_when_the_body_raises(kind: str) -> None:
    before = links()
    with pytest.raises(KeyError), unshare(kind):
        raise KeyError(kind)
    assert links() == before


@in_pid_child
def test_all_kinds_at_once() -> None:
    before = links()
    with unshare(*THREAD_KINDS, "time", hostname="all") as inside:
        assert inside.kinds == Kind.ALL & ~Kind.USER
        assert os.uname().nodename == "all"
        with Namespace.current("user") as user:
            assert before["user"] == user.id.text("user")
        assert not {new.id.text(new.kind) for new in inside.values()} & set(before.values())
    assert links() == before
    inside.close()


@in_child
def test_nested_blocks_come_back_one_by_one() -> None:
    home = links()["net"]
    with unshare("net") as a:
        first = links()["net"]
        with unshare("net") as b:
            assert links()["net"] not in (home, first)
        assert links()["net"] == first
    assert links()["net"] == home
    a.close()
    b.close()


@in_child
def test_hostname_and_domainname() -> None:
    before = os.uname().nodename
    with unshare("uts", hostname="web", domainname="example.test"):
        assert os.uname().nodename == "web"
        assert Path("/proc/sys/kernel/domainname").read_text() == "example.test\n"
    assert os.uname().nodename == before


@in_child
def test_loopback_is_up_and_can_be_left_down() -> None:
    with (
        unshare("net"),
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), 5) as client,
    ):
        assert client.getpeername() == server.getsockname()
    with unshare("net", loopback=False), pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("127.0.0.1", 9), 5)


@in_child
def test_mounts_inside_do_not_leak_from_under_a_shared_mount(tmp_path: Path) -> None:
    subprocess.run(["mount", "--bind", tmp_path, tmp_path], check=True)
    subprocess.run(["mount", "--make-shared", tmp_path], check=True)
    (tmp_path / "a").mkdir()
    with unshare("mnt"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "a"], check=True)
        (tmp_path / "a" / "inside").touch()
    assert list((tmp_path / "a").iterdir()) == []
    subprocess.run(["umount", tmp_path], check=True)


@in_child
def test_cwd_and_root_come_back_from_another_mnt_namespace(tmp_path: Path) -> None:
    os.chdir(tmp_path)
    with unshare("mnt") as inside:
        assert os.getcwd() == str(tmp_path)
        os.chdir("/usr")
    assert os.getcwd() == str(tmp_path)
    with enter(inside):
        assert os.getcwd() == "/"
    assert os.getcwd() == str(tmp_path)
    inside.close()
    os.chdir("/")


@in_child
def test_a_deleted_cwd_comes_back(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with unshare("mnt"):
        os.chdir("/")
    assert os.readlink("/proc/thread-self/cwd") == f"{gone} (deleted)"
    os.chdir("/")


@in_child
def test_a_chroot_comes_back(tmp_path: Path) -> None:
    home = os.open("/", os.O_PATH)
    for name in ("proc", "usr", "deep"):
        (tmp_path / name).mkdir()
    subprocess.run(["mount", "--rbind", "/proc", tmp_path / "proc"], check=True)
    with NamespaceSet.current("mnt") as here:
        os.chroot(tmp_path)
        os.chdir("/deep")
        root = os.stat("/").st_ino
        with unshare("mnt") as inside:
            assert os.stat("/").st_ino == root
        with enter(inside):
            assert os.stat("/").st_ino != root
        assert (os.stat("/").st_ino, os.getcwd()) == (root, "/deep")
        inside.close()
        with NamespaceSet.current("mnt") as again:
            assert again == here
    os.fchdir(home)
    os.chroot(".")
    os.close(home)
    subprocess.run(["umount", "-R", tmp_path / "proc"], check=True)
    os.chdir("/")


@in_child
def test_enter_a_process_takes_the_kinds_that_differ() -> None:
    with unshare("net", "uts") as inside:
        child = subprocess.Popen(["sleep", "60"])
    try:
        before = links()
        for target in (child, child.pid, ns.PidFd.open(child.pid), inside):
            with enter(target) as there:
                assert there.kinds == Kind.NET | Kind.UTS
                assert there == inside
                assert links() != before
            there.close()
            assert links() == before
            if isinstance(target, ns.PidFd):
                target.close()
        with enter(child, "uts") as there:
            assert there.kinds == Kind.UTS
            assert links()["net"] == before["net"]
        there.close()
    finally:
        child.kill()
        child.wait()
    inside.close()


@in_child
def test_kinds_that_are_the_same_are_not_joined() -> None:
    with NamespaceSet.current("net", "ipc") as here, enter(here) as there:
        assert there == here
    there.close()


@in_child
def test_an_inside_may_be_entered_again_after_its_block() -> None:
    with unshare("uts", hostname="again") as inside:
        pass
    for _ in range(3):
        with enter(inside):
            assert os.uname().nodename == "again"
    assert not inside.closed
    inside.close()


def _block_in_a_generator(*kinds: str) -> Iterator[NamespaceSet]:
    with unshare(*kinds) as inside:
        yield inside


@in_child
def test_a_generator_closed_early_brings_the_thread_back() -> None:
    before = links()
    running = _block_in_a_generator("net", "mnt")
    next(running).close()
    assert links() != before
    running.close()
    assert links() == before


@in_child
def test_generators_closed_out_of_order_hand_the_way_home_on() -> None:
    before = links()
    first, second = _block_in_a_generator("net", "mnt", "uts"), _block_in_a_generator("net", "mnt")
    a = next(first)
    b = next(second)
    first.close()
    assert links()["net"] == f"net:[{b['net'].id.ino}]", "the inner block stays in force"
    assert links()["uts"] == before["uts"], "what only the closed block changed is back at once"
    second.close()
    assert links() == before
    a.close()
    b.close()


@in_child
def test_threads_interleave_freely() -> None:
    home = links()
    gate = threading.Barrier(2, timeout=20)
    seen: list[tuple[str, str]] = []
    problems: list[BaseException] = []

    def work() -> None:
        try:
            with unshare("net", "uts") as outer:
                gate.wait()
                with unshare("net") as inner:
                    gate.wait()
                    seen.append((links()["net"], links()["uts"]))
                    gate.wait()
                gate.wait()
                inner.close()
            outer.close()
            assert {k: v for k, v in links().items() if k in ("net", "uts")} == {k: home[k] for k in ("net", "uts")}
        except BaseException as error:
            problems.append(error)
            gate.abort()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not problems
    assert len(set(seen)) == 2
    assert links() == home


@in_child
def test_mnt_in_a_thread_leaves_the_others_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    os.chdir(tmp_path / "x")
    problems: list[BaseException] = []

    def work() -> None:
        try:
            with unshare("mnt", "uts") as inside:
                pass
            with enter(inside):
                os.chdir("/usr")
            assert os.getcwd() == str(tmp_path / "x")
            inside.close()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert not problems
    assert os.getcwd() == str(tmp_path / "x")
    os.chdir("/")


@in_child
def test_the_one_trace_a_thread_s_cwd_is_parted_for_good_and_only_by_an_entered_block(tmp_path: Path) -> None:
    parted: list[bool] = []

    def shares_cwd() -> bool:
        os.chdir(tmp_path)
        moved: list[str] = []
        other = threading.Thread(target=lambda: (os.chdir("/usr"), moved.append(os.getcwd())))
        other.start()
        other.join()
        return os.getcwd() == "/usr"

    def work() -> None:
        with pytest.raises(ValueError, match="user"):
            unshare("mnt", "user")
        with NamespaceSet.current("mnt") as here, enter(here) as there:  # the same: never joined
            pass
        there.close()
        parted.append(os.getcwd() != "/")

    os.chdir("/")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert parted == [False]
    assert shares_cwd()
    os.chdir("/")


@in_child
def test_time_is_refused_in_a_process_with_threads_before_anything_changes() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="the-other-one")
    thread.start()
    before = links()
    try:
        for kinds in (("time",), ("net", "time")):
            with pytest.raises(ns.NotSupported, match="other threads") as caught, unshare(*kinds):
                pytest.fail("the body ran")
            assert "run" in str(caught.value)
            assert "executor" in str(caught.value)
            assert f"tid {thread.native_id}" in str(caught.value)
            assert links() == before
        with unshare("net", "time", optional="time") as inside:
            assert inside.missing == Kind.TIME
            assert "time" in inside.missing
        inside.close()
    finally:
        stop.set()
        thread.join()


@in_child
def test_entering_a_time_namespace_moves_this_process_s_clocks_and_back() -> None:
    import time

    with unshare("time", clock=ns.ClockOffsets(monotonic=1_000_000)) as inside:
        pass
    start = time.monotonic()
    with enter(inside):
        assert 999_000 < time.monotonic() - start < 1_001_000
    assert time.monotonic() - start < 100
    inside.close()


@in_child
def test_a_thread_left_alive_by_a_time_block_is_named_and_the_thread_is_spent() -> None:
    stop = threading.Event()
    with pytest.raises(ns.RestoreError, match="left behind") as caught, unshare("time") as inside:
        thread = threading.Thread(target=stop.wait)
        thread.start()
    inside.close()
    assert isinstance(caught.value.__cause__, OSError)
    assert not isinstance(caught.value, OSError)
    assert str(thread.native_id) in str(caught.value)
    stop.set()
    thread.join()
    with pytest.raises(ns.RestoreError), unshare("uts"):
        pytest.fail("a spent thread went on")
    # The test's own end: put the thread back, which has nobody else any more, and forget that it is spent.
    from pynamespaces import ways
    from pynamespaces._kernel import sched

    assert ways.wait_alone(10)
    fd = os.open("/proc/thread-self/ns/time", os.O_RDONLY | os.O_CLOEXEC)
    assert sched.go(fd, Kind.TIME.value) >= 0
    os.close(fd)
    ways._thread.spent = None


@in_child
def test_user_is_refused_before_anything_changed_and_three_ways_are_named() -> None:
    before = links()
    for make in (lambda: unshare("user"), lambda: unshare("net", "user"), lambda: unshare(Kind.ALL)):
        with pytest.raises(ns.NotInABlock) as caught:
            make()
        assert isinstance(caught.value, ns.NamespaceError)
        assert isinstance(caught.value, ValueError)
        for way in ("run", "call", "become_root"):
            assert way in str(caught.value)
    assert links() == before


@in_child
def test_a_block_must_be_left_by_the_thread_that_entered_it() -> None:
    block = unshare("net")
    inside = block.__enter__()
    here = links()
    caught: list[BaseException] = []

    def leave_elsewhere() -> None:
        try:
            block.__exit__(None, None, None)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=leave_elsewhere)
    thread.start()
    thread.join()
    assert "thread" in str(caught[0])
    assert links() == here
    block.__exit__(None, None, None)
    assert links() != here
    inside.close()


@in_child
def test_a_block_cannot_be_entered_twice_at_once() -> None:
    block = unshare("uts")
    with block, pytest.raises(RuntimeError, match="entered already"):
        block.__enter__()
    with block:
        pass


@in_child
def test_decorators_wrap_each_call_in_a_block_of_its_own() -> None:
    @unshare("uts", hostname="decorated")
    def inside(depth: int = 0) -> set[str]:
        """Say where it runs."""
        assert os.uname().nodename == "decorated"
        return {links()["uts"]} | (inside(depth - 1) if depth else set())

    before = links()
    assert inside.__name__ == "inside"
    assert len(inside(3)) == 4
    assert links() == before


def test_decorating_what_pauses_is_refused_at_once() -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> object:
        yield 1

    for function in (coroutine, generator, async_generator):
        with pytest.raises(TypeError, match="call"):
            unshare("net")(function)
    with pytest.raises(TypeError):
        unshare("net")(dict)


@in_child
def test_a_failure_half_way_leaves_everything_as_before() -> None:
    before = state()
    with NamespaceSet.current("uts") as here, unshare("net", "uts", "mnt") as inside:
        pass
    with pytest.raises(ns.NamespaceError) as caught, unshare("net", "uts", "mnt", mounts=[_Impossible()]):
        pytest.fail("the body ran")
    assert caught.value.step.startswith("mount")
    assert isinstance(caught.value, OSError)
    inside.close()
    assert state()["namespaces"] == before["namespaces"]
    assert state()["fds"] == before["fds"]
    assert here.closed


class _Impossible:
    def steps(self):
        from pynamespaces import plan

        return [plan.mount(b"tmpfs", b"/no/such/place")]


@in_child
def test_emfile_on_the_way_in_changes_nothing() -> None:
    import resource

    before = links()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in range(12):
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1 + spare, hard))
        try:
            with unshare("net", "uts", "mnt") as inside:
                pass
            inside.close()
        except OSError as error:
            assert error.errno == 24, error
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert links() == before


@in_pid_child
def test_a_limit_in_proc_sys_user_is_enospc_and_nothing_changed() -> None:
    with unshare("mnt", "pid") as inside:
        pass
    inside.close()
    limit = Path("/proc/sys/user/max_uts_namespaces")
    if IS_ROOT:
        pytest.skip("as root the limit would be the machine's; the ordinary user's run has one of its own")
    was = limit.read_text()
    before = links()
    limit.write_text("0")
    try:
        with pytest.raises(OSError, match=r"max_uts_namespaces|No space") as caught, unshare("net", "uts"):
            pytest.fail("the body ran")
        assert caught.value.errno == 28
        assert links() == before
    finally:
        limit.write_text(was)


@in_plain_child
def test_an_ordinary_user_is_refused_beforehand_and_told_the_ways() -> None:
    drop_to_user()
    before = links()
    for kind in ("net", "mnt", "uts"):
        with pytest.raises(PermissionError) as caught, unshare(kind):
            pytest.fail("the body ran")
        assert isinstance(caught.value, ns.NotPermitted)
        assert caught.value.errno == 1
        assert "run, call or executor" in str(caught.value)
        assert kind in caught.value.step
    assert links() == before


@in_child
def test_a_block_in_a_running_event_loop_warns() -> None:
    import asyncio

    async def main() -> None:
        with pytest.warns(RuntimeWarning, match="await"), unshare("uts") as inside:
            pass
        inside.close()

    asyncio.run(main())


@in_child
def test_a_hundred_blocks_leak_nothing() -> None:
    before = state()
    for _ in range(100):
        with unshare("uts", "ipc", "cgroup"):
            pass
    for _ in range(100):
        with pytest.raises(ns.NotInABlock):
            unshare("user")
    assert state()["fds"] == before["fds"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: unshare("foo"), ValueError),
        (lambda: unshare(3), TypeError),
        (lambda: unshare("net", hostname="x"), ValueError),
        (lambda: unshare("uts", hostname="x" * 65), ValueError),
        (lambda: unshare("uts", hostname=""), ValueError),
        (lambda: unshare("uts", hostname=b"x"), TypeError),
        (lambda: unshare("mnt", propagation="odd"), ValueError),
        (lambda: unshare("net", nonsense=1), TypeError),
        (lambda: unshare("net", clock=ns.ClockOffsets(boottime=1)), ValueError),
        (lambda: unshare("net", no_new_privs=True), ValueError),
        (lambda: enter(3.5), TypeError),
        (lambda: enter(-1), ValueError),
        (lambda: enter(2**31), ValueError),
        (lambda: enter(True), TypeError),
        (lambda: enter("/", "foo"), ValueError),
    ],
)
def test_bad_arguments_are_refused_before_any_call(call, error) -> None:
    with pytest.raises(error):
        call()
