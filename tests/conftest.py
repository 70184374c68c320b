"""What every test stands on: a guard against leaks, and children in which a test may do as it likes.

A test that enters namespaces runs in a forked child (`in_child`).  As root the child has a private mount namespace of
its own; as an ordinary user it first becomes root of a user namespace with a base set of kinds.  So the same test
holds for both, and nothing that it does can hurt the machine.
"""

from __future__ import annotations

import functools
import gc
import os
import pickle
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import old_kernel
from pynamespaces import kinds, plan
from pynamespaces.rootless import become_root

pytest_plugins = ["pytester"]

NAMES = ("mnt", "uts", "ipc", "net", "pid_for_children", "user", "cgroup", "time_for_children")
IS_ROOT = os.geteuid() == 0
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
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


def refuse(*numbers: int, errno: int = 38) -> None:
    """From now on these system calls answer an errno in this process and its children (seccomp(2)): an older kernel."""
    old_kernel.install([(number, None, errno) for number in numbers])


def refuse_ioctls(*commands: int, errno: int = 25) -> None:
    """The same for these commands of ioctl(2)."""
    old_kernel.install([(old_kernel.IOCTL, command, errno) for command in commands])


#: How the library says that a call is missing: NotSupported, or that a filter refuses it.
_REFUSED = re.compile(r"(NotSupported: \[Errno (38|95)\]|NotPermitted: .*seccomp filter).*")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under `old_kernel.py`, and only there: a test that ends in the library's own refusal needs the missing call."""
    report = yield
    missing = os.environ.get(old_kernel.VARIABLE)
    if missing and report.failed and report.when == "call":
        error = call.excinfo.value if call.excinfo else None
        said = _REFUSED.search(f"{type(error).__name__}: {error}".strip().splitlines()[-1])
        if said:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), item.location[1] or 0, f"refused: {said[0][:160]}")
    return report


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
