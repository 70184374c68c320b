"""What every test stands on: a guard against leaks, and children in which a test may do as it likes.

A test that enters namespaces runs in a forked child (`in_child`).  As root the child has a private mount namespace of
its own; as an ordinary user it first becomes root of a user namespace with a base set of kinds.  So the same test
holds for both, and nothing that it does can hurt the machine.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import pickle
import platform
import shutil
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pynamespaces import kinds, plan
from pynamespaces.rootless import become_root

pytest_plugins = ["pytester"]

NAMES = ("mnt", "uts", "ipc", "net", "pid_for_children", "user", "cgroup", "time_for_children")
IS_ROOT = os.geteuid() == 0
#: What an ordinary user's child can come back to.
BASE = ("mnt", "uts", "ipc", "net", "cgroup", "time")
#: Longer than any test should need; the child is killed then.
LIMIT = 120


def links() -> dict[str, str]:
    """The calling thread's namespaces."""
    return {name: os.readlink(f"/proc/thread-self/ns/{name}") for name in NAMES}


def fds() -> dict[int, str]:
    """The open descriptors, and what they are."""
    found = {}
    for name in os.listdir("/proc/thread-self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/thread-self/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def mounts() -> list[str]:
    """Every mount, by its line in mountinfo without the ids that each copy has anew."""
    return [line.split(" ", 2)[2] for line in Path("/proc/thread-self/mountinfo").read_text("utf-8").splitlines()]


def children() -> list[int]:
    """This process's children, whichever thread started them."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            found += [int(pid) for pid in Path(f"/proc/self/task/{task}/children").read_text("ascii").split()]
        except FileNotFoundError:
            pass
    return sorted(found)


def state() -> dict[str, Any]:
    """All that a test must leave as it was."""
    gc.collect()
    return {
        "namespaces": links(),
        "mounts": mounts(),
        "children": children(),
        "threads": len(os.listdir("/proc/self/task")),
        "cwd": os.getcwd(),
        "root": (os.stat("/").st_dev, os.stat("/").st_ino),
        "ids": (os.getresuid(), os.getresgid()),
        "fds": fds(),
    }


def check_unchanged(before: dict[str, Any]) -> None:
    """Fail with what changed; inits that are on their way out get a moment."""
    import time

    from pynamespaces import inits

    for _ in range(200):
        inits.sweep()
        after = state()
        changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
        if not changed:
            return
        time.sleep(0.005)
    pytest.fail(f"the test left behind: {changed}")


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    before = state()
    yield
    if "keeps_state" not in request.keywords:
        check_unchanged(before)


def isolate(base: tuple[str, ...] = BASE) -> None:
    """Make this process one that may do anything without hurting the machine."""
    if IS_ROOT:
        for step in (plan.unshare(kinds.parse("mnt")), plan.propagate("private")):
            assert plan.do(step) >= 0, step
    else:
        become_root(*base)


def run_in_child(function: Callable[[], object], *, base: tuple[str, ...] | None = BASE, check: bool = True) -> None:
    """Run a function in a forked child and raise what it raises here."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT)
        outcome: tuple[str, str] = ("passed", "")
        try:
            os.chdir("/")
            if base is not None:
                isolate(base)
            before = state()
            function()
            if check and os.geteuid() == before["ids"][0][1]:
                check_unchanged(before)
        except pytest.skip.Exception as error:
            outcome = ("skipped", str(error))
        except BaseException:
            outcome = ("failed", traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(outcome, pipe)
        from pynamespaces import inits

        inits.sweep()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not data:
        pytest.fail(f"the child ended with wait status {status} before it could say how it went")
    word, text = pickle.loads(data)
    if word == "skipped":
        pytest.skip(text)
    if word == "failed":
        pytest.fail(f"in the child:\n{text}", pytrace=False)


def in_child(test: Callable[..., Any]) -> Callable[..., None]:
    """Run this test in a child of its own: root of its own namespaces, whoever runs the suite."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        run_in_child(lambda: test(*args, **kwargs))

    return wrapper


def in_pid_child(test: Callable[..., Any]) -> Callable[..., None]:
    """The same with pid in an ordinary user's base set, with which no thread can start any more (clone(2), EINVAL)."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        run_in_child(lambda: test(*args, **kwargs), base=(*BASE, "pid"))

    return wrapper


def in_plain_child(test: Callable[..., Any]) -> Callable[..., None]:
    """Run this test in a child that is as the suite's process: the true root, or an ordinary user."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        run_in_child(lambda: test(*args, **kwargs), base=None)

    return wrapper


def in_rootless_child(test: Callable[..., Any]) -> Callable[..., None]:
    """Run this test in a child that an ordinary user made root of a user namespace, by `become_root`."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        def rootless() -> None:
            drop_to_user()
            become_root(*BASE)
            run_in_child(lambda: test(*args, **kwargs), base=None)

        run_in_child(rootless, base=None, check=False)

    return wrapper


def drop_to_user(uid: int = 12345) -> None:
    """Become an ordinary user for good; a caller who is one already stays as it is."""
    # What is imported at its first use must be so before: the user may not be able to read this interpreter's files.
    import pynamespaces.calls
    import pynamespaces.persistence
    import pynamespaces.processes
    import pynamespaces.workers  # noqa: F401

    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        from pynamespaces._kernel import prctl

        prctl.set_dumpable(1)


#: Berkeley packet filters: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_LOAD, _JUMP_IF, _ANSWER = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def refuse(*numbers: int, errno: int = 38) -> None:
    """From now on these system calls answer an errno in this process and its children (seccomp(2)): an older kernel."""
    program = [(_LOAD, 0, 0, 0)]
    for position, number in enumerate(numbers):
        program.append((_JUMP_IF, len(numbers) - position, 0, number))
    _filter([*program, (_ANSWER, 0, 0, _ALLOW), (_ANSWER, 0, 0, _ERRNO | errno)])


def refuse_ioctls(*commands: int, errno: int = 25) -> None:
    """The same for these commands of ioctl(2)."""
    ioctl = 16 if platform.machine() == "x86_64" else 29
    program = [(_LOAD, 0, 0, 0), (_JUMP_IF, 0, len(commands) + 1, ioctl), (_LOAD, 0, 0, 24)]  # the second argument
    for position, command in enumerate(commands):
        program.append((_JUMP_IF, len(commands) - position, 0, command))
    _filter([*program, (_ANSWER, 0, 0, _ALLOW), (_ANSWER, 0, 0, _ERRNO | errno)])


def _filter(program: list[tuple[int, int, int, int]]) -> None:
    code = b"".join([struct.pack("=HBBI", *line) for line in program])
    buffer = ctypes.create_string_buffer(code)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    assert libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) == 0  # PR_SET_NO_NEW_PRIVS
    filters = Program(len(program), ctypes.cast(buffer, ctypes.c_void_p))
    assert libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(filters)) == 0, ctypes.get_errno()  # PR_SET_SECCOMP


def need(program: str) -> str:
    """The path of a program; in CI it has to be there."""
    found = shutil.which(program)
    if found is None:
        message = f"needs {program}, which is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own."""
    path = tmp_path / "store"
    monkeypatch.setenv("PYNAMESPACES_STORE", str(path))
    return path


needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs the machine's own root; this run is an ordinary user's")
