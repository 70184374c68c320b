"""Namespace, PidFd and NamespaceSet: held, compared, shared, and never of two processes at once."""

from __future__ import annotations

import gc
import os
import pickle
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pynamespaces as ns
from conftest import IS_ROOT, drop_to_user, in_child, in_plain_child
from pynamespaces import Kind, Namespace, NamespaceId, NamespaceSet, PidFd, unshare

KINDS = ["mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time"]


@pytest.mark.parametrize("kind", KINDS)
def test_current_agrees_with_proc(kind: str) -> None:
    with Namespace.current(kind) as here:
        assert os.readlink(f"/proc/thread-self/ns/{kind}") == here.id.text(kind)
        status = os.fstat(here.fileno())
        assert (status.st_dev, status.st_ino) == (here.id.dev, here.id.ino)
        assert here.kind is Kind[kind.upper()]
        assert here.serial is None or here.serial > 0
        assert not os.get_inheritable(here.fileno())
        assert repr(here) == f"<Namespace {here.id.text(kind)}>"


def test_closing_twice_and_using_afterwards() -> None:
    here = Namespace.current("net")
    again = Namespace.current("net")
    here.close()
    here.close()
    assert here.closed
    assert here == again
    assert hash(here) == hash(again)
    assert "closed" in repr(here)
    with pytest.raises(ValueError, match="closed"):
        here.fileno()
    with pytest.raises(ValueError, match="closed"):
        here.__enter__()
    again.close()


def test_dropping_an_open_one_warns_and_closes() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for make in (lambda: Namespace.current("net"), lambda: PidFd.open(os.getpid())):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            held = make()
            del held
            gc.collect()
        assert [w.category for w in caught] == [ResourceWarning]
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_a_block_made_is_dropped_silently() -> None:
    @in_child
    def body() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with unshare("uts") as inside:
                derived = inside.only("uts")
            del inside, derived
            gc.collect()

    body()


def test_equality_is_kind_and_id_and_serial() -> None:
    with Namespace.current("net") as a, Namespace.current("uts") as b, Namespace.current("net") as c:
        assert a == c
        assert a != b
        assert a != "net"
        assert len({a, b, c}) == 2
        c.serial, was = (c.serial or 0) + 1, c.serial
        assert a.serial is None or a != c
        c.serial = was


@in_child
def test_of_a_process_a_popen_a_pidfd_and_a_thread() -> None:
    with unshare("net") as inside:
        child = subprocess.Popen(["sleep", "60"])
    try:
        with PidFd.open(child.pid) as held:
            assert held.alive
            assert held.pid == child.pid
            for target in (child, child.pid, held):
                with Namespace.of(target, "net") as theirs:
                    assert theirs == inside["net"]
            with PidFd(os.dup(held.fileno())) as copy:
                assert copy.pid == child.pid
        with Namespace.of(os.getpid(), "pid", for_children=True) as theirs:
            assert theirs.kind is Kind.PID
    finally:
        child.kill()
        child.wait()
    with pytest.raises(ProcessLookupError, match="ended"):
        Namespace.of(child, "net")
    inside.close()


@in_child
def test_a_thread_s_own_namespace_by_its_number() -> None:
    import threading

    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        with unshare("uts"):
            ready.set()
            done.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(20)
    assert thread.native_id is not None
    with Namespace.of(thread.native_id, "uts") as theirs, Namespace.of(os.getpid(), "uts") as main:
        assert theirs != main
    done.set()
    thread.join()


def test_dead_and_impossible_processes() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    for target in (child, child.pid):  # a zombie has no namespaces any more
        with pytest.raises(ProcessLookupError):
            NamespaceSet.of(target)
    child.wait()
    with pytest.raises(ns.NoSuchProcess):
        Namespace.of(child, "net")
    for bad in (0, -1, 2**31):
        with pytest.raises(ValueError, match="process id"):
            Namespace.of(bad, "net")
    for bad in (True, "1", None, 1.0):
        with pytest.raises(TypeError):
            Namespace.of(bad, "net")
    with pytest.raises(ValueError, match="pidfd"):
        PidFd(0)


@in_plain_child
def test_a_process_that_may_not_be_inspected() -> None:
    """PID 1 is root's; as root, a user's eyes look at the parent."""
    target = 1
    if IS_ROOT:
        from conftest import drop_to_user

        target = os.getppid()
        drop_to_user()
    with pytest.raises(PermissionError, match="ptrace") as caught:
        Namespace.of(target, "net")
    assert caught.value.errno in (1, 13)


def test_at_refuses_what_is_no_namespace(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (plain, fifo, "/dev/null", tmp_path):
        with pytest.raises(ns.NotANamespace) as caught:
            Namespace.at(path)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, ns.NamespaceError)
    with pytest.raises(FileNotFoundError):
        Namespace.at(tmp_path / "missing")
    with pytest.raises(ns.NotANamespace, match="uts namespace, where net"):
        Namespace.at("/proc/self/ns/uts", "net")
    with Namespace.at("/proc/self/ns/uts") as here:
        assert here.kind is Kind.UTS


@in_child
def test_of_socket_is_where_it_was_made() -> None:
    with unshare("net") as inside:
        made_inside = socket.socket()
    with made_inside, Namespace.of_socket(made_inside) as theirs, Namespace.of_socket(made_inside.fileno()) as also:
        assert theirs == inside["net"] == also
    with pytest.raises(OSError):
        Namespace.of_socket(0)
    inside.close()


@in_child
def test_owner_parent_and_owner_uid() -> None:
    with NamespaceSet.current() as here, here["net"].owner() as owner:
        assert owner == here["user"]
        assert here["user"].owner_uid == os.stat("/proc/self/ns").st_uid if IS_ROOT else True
        assert isinstance(here["net"].owner_uid, int)
        with pytest.raises(PermissionError):
            here["user"].parent()
        with pytest.raises(ValueError, match="only user and pid"):
            here["net"].parent()


def test_handles_cannot_be_made_or_pickled_by_hand() -> None:
    with pytest.raises(TypeError):
        Namespace()
    with Namespace.current("net") as here, pytest.raises(TypeError):
        pickle.dumps(here)
    with NamespaceSet.current("net") as here, pytest.raises(TypeError):
        pickle.dumps(here)


def test_a_set_is_a_mapping_that_knows_names() -> None:
    with NamespaceSet.current() as here:
        assert [str(kind) for kind in here] == KINDS
        assert len(here) == 8
        assert here["net"] == here[Kind.NET] == here["network"]
        assert here.kinds == Kind.ALL
        assert "net" in here
        assert "foo" not in here
        assert 3 not in here
        assert here.get("foo") is None
        assert here.get(3, "x") == "x"
        with here.only("net", "uts") as some:
            assert some.kinds == Kind.NET | Kind.UTS
            with pytest.raises(KeyError, match="user"):
                some["user"]
            with pytest.raises(KeyError):
                some.only("user")
            with pytest.raises(ValueError, match="expected one of"):
                some["foo"]
            with here.without(some.kinds) as rest, some | rest as all_again:
                assert all_again == here
                assert hash(all_again) == hash(here)
                assert rest.differences(some) == Kind.ALL
        with pytest.raises(TypeError):
            here["net"] = here["uts"]  # type: ignore[index]


def test_shares_close_with_the_last() -> None:
    net = Namespace.current("net")
    fd = net.fileno()
    one = NamespaceSet([net])
    two = one.only("net")
    net.close()
    one.close()
    assert os.fstat(fd)
    assert two["net"].fileno() == fd
    two.close()
    with pytest.raises(OSError):
        os.fstat(fd)


def test_bad_sets() -> None:
    with Namespace.current("net") as a, Namespace.current("net") as b, pytest.raises(ValueError, match="two net"):
        NamespaceSet([a, b])
    with pytest.raises(ValueError, match="closed"):
        NamespaceSet([a])
    with pytest.raises(TypeError):
        NamespaceSet(["net"])  # type: ignore[list-item]


def test_a_set_of_a_process_is_all_of_one_process_or_an_error() -> None:
    """Numbers that are used again at once must never mix two processes in one set."""
    seen = 0
    for _ in range(60):
        child = subprocess.Popen(["true"])
        try:
            with NamespaceSet.of(child.pid) as found:
                assert len(found) == 8
                seen += 1
        except ProcessLookupError:
            pass
        child.wait()
    assert seen >= 0


def test_a_hundred_failing_opens_leak_nothing() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        for call in (
            lambda: Namespace.at("/dev/null"),
            lambda: NamespaceSet.of(2**31 - 1),
            lambda: PidFd.open(2**31 - 1),
        ):
            with pytest.raises(OSError):
                call()
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.sampled_from(KINDS), st.integers(0, 2**63))
def test_namespace_ids_round_trip(kind: str, ino: int) -> None:
    found, parsed = NamespaceId.parse(NamespaceId(0, ino).text(kind))
    assert (str(found), parsed.ino) == (kind, ino)


@given(st.text(max_size=40))
def test_what_is_no_namespace_id_is_a_value_error(text: str) -> None:
    try:
        kind, parsed = NamespaceId.parse(text)
    except ValueError:
        return
    assert (
        parsed.text(kind).split(":")[1] == text.split(":")[1].replace("[0", "[0") or int(text.split("[")[1][:-1]) >= 0
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(KINDS)), st.sets(st.sampled_from(KINDS)))
def test_the_algebra_of_sets(left: set[str], right: set[str]) -> None:
    with NamespaceSet.current() as here, here.only(*left) as a, here.only(*right) as b, a | b as both:
        assert {str(kind) for kind in both} == left | right
        assert {str(kind) for kind in a.differences(b)} == left ^ right
        with both.without(*right) as rest:
            assert {str(kind) for kind in rest} == left - right


def test_a_handle_that_outlives_the_interpreter_is_no_noise() -> None:
    code = "import pynamespaces; held = pynamespaces.NamespaceSet.current()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@in_plain_child
def test_of_socket_names_the_capability_that_is_missing() -> None:
    drop_to_user()
    with socket.socket() as sock, pytest.raises(PermissionError, match="CAP_NET_ADMIN"):
        Namespace.of_socket(sock)
