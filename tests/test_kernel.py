"""The floor: every function really called, and the errno that the kernel gives for what it refuses."""

from __future__ import annotations

import errno
import os
import pickle
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pynamespaces as ns
from conftest import in_child
from pynamespaces import Kind, errors, kinds
from pynamespaces._kernel import init, mount, nsfs, pidfd, prctl, sched
from pynamespaces._kernel._ffi import lib
from pynamespaces.values import value

NET = Kind.NET.value


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda: sched.setns(-1, NET), errno.EBADF),
        (lambda: sched.setns(0, NET), errno.EINVAL),
        (lambda: sched.unshare(1), errno.EINVAL),
        (lambda: sched.current(12345), errno.EINVAL),
        (lambda: nsfs.identity(-1), errno.EBADF),
        (lambda: nsfs.kind(0), errno.ENOTTY),
        (lambda: nsfs.owner(0), errno.ENOTTY),
        (lambda: nsfs.parent(0), errno.ENOTTY),
        (lambda: nsfs.owner_uid(0), errno.ENOTTY),
        (lambda: nsfs.is_namespace(-1), errno.EBADF),
        (lambda: nsfs.of_socket(-1), errno.EBADF),
        (lambda: pidfd.pidfd_open(2**31 - 1), errno.ESRCH),
        (lambda: pidfd.pidfd_open(-1), errno.EINVAL),
        (lambda: pidfd.send_signal(-1, 0), errno.EBADF),
        (lambda: pidfd.pidfd_getfd(-1, 0), errno.EBADF),
        (lambda: pidfd.namespace(-1, NET), errno.EBADF),
        (lambda: mount.umount(b"/no/such"), (errno.ENOENT, errno.EPERM)),
        (lambda: mount.detach(b"/no/such"), (errno.ENOENT, errno.EPERM)),
        (lambda: mount.open_directory(b"/etc/passwd"), errno.ENOTDIR),
        (lambda: mount.fchdir(-1), errno.EBADF),
        (lambda: mount.detached(b"no-such-type"), (errno.ENODEV, errno.EPERM)),
        (lambda: sched.has_capability(99), errno.EINVAL),
        (lambda: prctl.set_dumpable(77), errno.EINVAL),
    ],
)
def test_refusals_keep_their_errno(call, number) -> None:
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno in (number if isinstance(number, tuple) else (number,))
    assert caught.value.strerror.split(":")[0]


def test_each_namespace_says_its_kind_and_owner() -> None:
    for row in kinds.TABLE:
        for fd in (sched.current(row.flag), sched.current(row.flag, for_children=True)):
            assert nsfs.is_namespace(fd)
            assert nsfs.kind(fd) == row.flag
            assert nsfs.identity(fd)[:2] == (os.fstat(fd).st_dev, os.fstat(fd).st_ino)
            os.close(fd)


def test_pidfds() -> None:
    held = pidfd.pidfd_open(os.getpid())
    assert pidfd.alive(held)
    assert pidfd.alive(held, 1)
    pidfd.send_signal(held, 0)
    copy = pidfd.pidfd_getfd(held, 0)
    assert os.fstat(copy).st_ino == os.fstat(0).st_ino
    fd = pidfd.namespace(held, NET)
    assert fd is not None
    for each in (held, copy, fd):
        os.close(each)


def test_sockets_know_their_network() -> None:
    with socket.socket() as sock:
        try:
            fd = nsfs.of_socket(sock.fileno())
        except PermissionError:
            assert os.geteuid() != 0, "takes CAP_NET_ADMIN"
            return
        assert nsfs.kind(fd) == NET
        os.close(fd)


@in_child
def test_mounts(tmp_path) -> None:
    target = os.fsencode(tmp_path)
    tree = mount.detached(b"tmpfs", ((b"size", b"1m"),))
    mount.attach(tree, mount.HERE, target)
    os.close(tree)
    (tmp_path / "file").touch()
    mount.make_private(target)
    mount.make_shared(target)
    copy = mount.clone_tree(mount.HERE, target)
    assert os.listdir(copy if False else tmp_path) == ["file"]
    os.close(copy)
    mount.umount(target)
    mount.mount(b"tmpfs", target, b"tmpfs")
    mount.bind(b"/etc", target)
    mount.detach(target)
    mount.detach(target)
    assert os.listdir(tmp_path) == []


@in_child
def test_an_init_is_started_and_ended() -> None:
    image = init.image()
    assert not os.get_inheritable(image)
    held = init.spawn(image)
    assert pidfd.alive(held)
    pidfd.send_signal(held, init.END)
    for _ in range(200):
        if not pidfd.alive(held, 10):
            break
    assert not pidfd.alive(held)
    assert pidfd.reap(held)
    assert pidfd.reap(held)
    os.close(held)
    os.close(image)


def test_a_kept_init_stays_until_released() -> None:
    @in_child
    def body() -> None:
        image = init.image()
        held = init.spawn(image)
        os.close(image)
        for word in (init.KEEP, init.KEEP, init.END, init.RELEASE):
            pidfd.send_signal(held, word)
        assert pidfd.alive(held, 50)
        pidfd.send_signal(held, init.RELEASE)
        assert not pidfd.alive(held, 2000)
        assert pidfd.reap(held)
        os.close(held)

    body()


def test_constants_come_out_of_c() -> None:
    assert (
        {row.name: row.flag for row in kinds.TABLE}["net"] == lib.CLONE_NEWNET == os.CLONE_NEWNET
        if hasattr(os, "CLONE_NEWNET")
        else True
    )
    assert Kind.ALL.value == sum(row.flag for row in kinds.TABLE)


# ---- kinds, errors, values ----


@given(st.lists(st.sampled_from([row.name for row in kinds.TABLE] + [row.long for row in kinds.TABLE] + ["network"])))
def test_kinds_in_any_spelling(names: list[str]) -> None:
    rows = kinds.parse(*names)
    assert rows == kinds.parse(names) == kinds.parse(kinds.combined(rows))
    assert {kinds.row(name) for name in names} == set(rows)
    assert list(rows) == [row for row in kinds.TABLE if row in rows]


@given(st.text(max_size=12))
def test_an_unknown_kind_lists_the_eight(name: str) -> None:
    if name in kinds._BY_NAME:
        return
    with pytest.raises(ValueError, match="mnt, uts, ipc, net, pid, user, cgroup, time"):
        kinds.parse(name)


def test_kinds_of_other_types() -> None:
    for bad in (3, None, b"net", 1.5, [3]):
        with pytest.raises(TypeError):
            kinds.parse(bad)
    with pytest.raises(ValueError, match="single"):
        kinds.row(Kind.NET | Kind.UTS)
    assert str(Kind.NET) == "net"
    assert str(Kind.NET | Kind.UTS) == "uts|net"
    assert str(Kind(0)) == "none"
    assert "net" in Kind.ALL


@pytest.mark.parametrize(
    ("number", "builtin"),
    [
        (errno.EPERM, PermissionError),
        (errno.EACCES, PermissionError),
        (errno.ENOENT, FileNotFoundError),
        (errno.EEXIST, FileExistsError),
        (errno.ESRCH, ProcessLookupError),
        (errno.ENOTDIR, NotADirectoryError),
        (errno.EISDIR, IsADirectoryError),
        (errno.ENOSPC, OSError),
        (errno.ENOSYS, ns.NotSupported),
    ],
)
def test_errors_are_also_the_builtin_and_travel(number: int, builtin: type[Exception]) -> None:
    error = errors.refusal(number, step="setns(net)", hint="because", filename="/x")
    assert isinstance(error, builtin)
    assert isinstance(error, ns.NamespaceError)
    assert (error.errno, error.step, error.hint, error.filename) == (number, "setns(net)", "because", "/x")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.step, again.hint) == (error.step, error.hint)


def test_frozen_values() -> None:
    @value(frozen=True)
    class Point:
        x: int
        y: int = 2

    assert Point(1) == Point(1, 2) == Point(x=1, y=2)
    assert Point(1) != Point(2)
    assert hash(Point(1)) == hash(Point(1))
    assert repr(Point(1)) == "Point(x=1, y=2)"
    with pytest.raises(AttributeError, match="frozen"):
        Point(1).x = 3
    with pytest.raises(TypeError):
        Point()
    row = pickle.loads(pickle.dumps(kinds.TABLE[0]))
    assert row == kinds.TABLE[0]


@given(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18))
def test_clock_offsets_are_what_the_kernel_reads(monotonic: int, boottime: int) -> None:
    text = ns.ClockOffsets(monotonic_ns=monotonic, boottime_ns=boottime).text().decode()
    found = {}
    for line in text.splitlines():
        name, seconds, rest = line.split()
        assert 0 <= int(rest) < 10**9
        found[name] = int(seconds) * 10**9 + int(rest)
    assert found == {"monotonic": monotonic, "boottime": boottime}


def test_bad_clock_offsets() -> None:
    from datetime import timedelta

    assert ns.ClockOffsets(boottime=timedelta(days=1)).text() == ns.ClockOffsets(boottime=86400).text()
    for bad in (
        {"monotonic": float("nan")},
        {"boottime": float("inf")},
        {"monotonic": 1, "monotonic_ns": 1},
        {"boottime": 5e9},
    ):
        with pytest.raises(ValueError, match=r"monotonic|boottime"):
            ns.ClockOffsets(**bad)
    for bad in ({"monotonic": "1"}, {"monotonic_ns": 1.5}):
        with pytest.raises(TypeError):
            ns.ClockOffsets(**bad)


def test_the_dumpable_flag_s_lock_is_no_deadlock_within_itself() -> None:
    with prctl.readable(), prctl.sharing(False):
        assert prctl.dumpable() == 1
    with prctl.sharing(True):
        assert prctl.dumpable() == 0
        with prctl.readable():
            assert prctl.dumpable() == 1
        assert prctl.dumpable() == 0
    assert prctl.dumpable() == 1
