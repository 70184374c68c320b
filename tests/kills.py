"""Killed at any instant: SIGKILL to the program, its children, inits or keepers, at delays swept over each operation.

    python tests/kills.py [TRIES]       how many for each operation and victim; 200 by default

Afterwards nothing may be there, no process, mount or file, but what was persisted; and that is whole or absent.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

import conftest
import faults
from pynamespaces import (
    ChildDied,
    Isolation,
    NamespaceError,
    NamespaceSet,
    enter,
    forget,
    mounts,
    rejoin,
    saved,
    unshare,
    ways,
)

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
PATIENCE = 15.0  # seconds until a run counts as hanging


def blocks(store: str) -> None:
    with unshare("net", "uts", "ipc", "cgroup", "mnt", hostname="web") as inside, inside, unshare("uts"):
        pass


def entering(store: str) -> None:
    with unshare("net", "uts") as there, there:
        pass
    with unshare("net", "uts") as there:
        pass
    with there, enter(there) as inside, inside:
        pass


def pid_blocks(store: str) -> None:
    with unshare("pid", "mnt", proc=True) as inside, inside:
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def keeping(store: str) -> None:
    with unshare("net", "uts", "mnt") as inside, inside:
        inside.persist("web", store=store)
    with rejoin("web", store=store) as there, there:
        pass
    forget("web", store=store)


def keeping_pid(store: str) -> None:
    with unshare("pid", "uts") as inside, inside:
        inside.persist("web", store=store)
    forget("web", store=store)


def keeping_by_keeper(store: str) -> None:
    ways.moved = True
    with unshare("net", "uts") as inside, inside:
        inside.persist("web", store=store)
    with rejoin("web", store=store) as there, there:
        pass
    forget("web", store=store)


def commands(store: str) -> None:
    Isolation("user", "mnt", "uts", "ipc", "net", "pid", "cgroup").run(["/bin/sleep", "0.002"])


def bare_commands(store: str) -> None:
    Isolation("user", "uts", "net").run(["/bin/sleep", "0.002"])


def functions(store: str) -> None:
    Isolation("user", "uts", "pid").call(os.getpid)


def workers(store: str) -> None:
    with Isolation("user", "uts", "pid").executor() as pool:
        pool.submit(os.getpid).result(10)


def furnished(store: str) -> None:
    wanted = [mounts.tmpfs("/mnt"), mounts.file("/mnt/x", "y"), mounts.bind("/usr", "/srv", read_only=True)]
    with unshare("mnt", mounts=wanted) as inside, inside:
        pass


ANYBODY = (blocks, entering, keeping_by_keeper, commands, bare_commands, functions, workers, furnished)
OPERATIONS = (*ANYBODY, pid_blocks, keeping, keeping_pid) if conftest.IS_ROOT else ANYBODY
#: Operations that have somebody else to kill than the program.
WITH_OTHERS = (commands, bare_commands, functions, workers, keeping_by_keeper, pid_blocks, keeping_pid)


class Kill(NamedTuple):
    """One try."""

    operation: Callable[[str], None]
    victim: str  # "program", or "other": any of its descendants
    delay: float


def become_subreaper() -> None:
    """Orphans of the programs come to this process, so that they can be counted."""
    zero = ctypes.c_ulong(0)
    assert ctypes.CDLL(None).prctl(SUBREAPER, ctypes.c_ulong(1), zero, zero, zero) == 0


def duration(operation: Callable[[str], None]) -> float:
    """How long a program of this operation takes, the second time."""
    best = 1.0
    for _ in range(2):
        store = tempfile.mkdtemp(prefix="kills-")
        start = time.perf_counter()
        pid = _program(operation, store, once=True)
        _, status = os.waitpid(pid, 0)
        best = min(best, time.perf_counter() - start)
        assert status == 0, f"{operation.__name__} fails even when nobody is killed"
        _reap(time.monotonic() + 5)
        shutil.rmtree(store)
    return best


def attempt(kill: Kill) -> str:
    """Try it; what is wrong, or ""."""
    store = tempfile.mkdtemp(prefix="kills-")
    before = conftest.mounts()
    alone = kill.victim == "program"
    pid = _program(kill.operation, store, once=not alone)
    time.sleep(kill.delay)
    if alone:
        os.kill(pid, signal.SIGKILL)
    else:
        others = _descendants(pid)
        if others:
            try:
                os.kill(others[int(kill.delay * 1e6) % len(others)], signal.SIGKILL)
            except ProcessLookupError:
                pass
    held = os.pidfd_open(pid)
    try:
        if not _ended(held, PATIENCE):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "the program hangs"
    finally:
        os.close(held)
    _, status = os.waitpid(pid, 0)
    if not alone and status != 0:
        return f"the program ended with wait status {status}: see above"
    problem = _look(store, before)
    shutil.rmtree(store, ignore_errors=True)
    return problem


def _look(store: str, before: list[str]) -> str:
    """Is what was persisted whole or absent, and is nothing else there?"""
    try:
        for row in saved(store=store):
            if row.alive and "pid" not in row.kinds:
                with NamespaceSet.at(row.path) as kept:
                    if kept.kinds != row.kinds or len(kept) < 2:
                        return f"{row} is not whole: {kept}"
            forget(row.name, store=store)
        forget("web", store=store)  # sweeps what is hidden
    except OSError as error:
        return f"cannot be forgotten: {error}"
    left = _reap(time.monotonic() + 5)
    if left:
        return f"processes left: {left}"
    if conftest.mounts() != before:
        return f"mounts left: {set(conftest.mounts()) - set(before)}"
    files = [os.path.join(where, name) for where, folders, names in os.walk(store) for name in (*folders, *names)]
    return f"files left: {files}" if files else ""


def _program(operation: Callable[[str], None], store: str, *, once: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        while True:
            operation(store)
            if once:
                break
        status = 0
    except (NamespaceError, ChildDied, OSError, RuntimeError) as error:  # one of its own was killed, and it says so
        status = 0 if isinstance(error, (NamespaceError, ChildDied)) or "worker" in str(error) else 1
        if status:
            traceback.print_exc()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as file:
                    new = [int(word) for word in file.read().split()]
                found += new
                todo += new
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def _ended(held: int, seconds: float) -> bool:
    import select

    return bool(select.select([held], [], [], seconds)[0])


def _reap(deadline: float) -> list[str]:
    """Wait for all orphans to end; those that do not."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return []
        if pid == 0:
            if time.monotonic() > deadline:
                left = conftest.children()
                names = [f"{one} {_comm(one)}" for one in left]
                for one in left:
                    os.kill(one, signal.SIGKILL)
                return names
            time.sleep(0.001)


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "?"


def sweep(operation: Callable[[str], None], tries: int) -> list[str]:
    """Kill at delays spread over the operation; what went wrong.  The caller is a subreaper without children."""
    long = duration(operation) * 1.2 + 0.001
    found = []
    for victim in ("program", "other") if operation in WITH_OTHERS else ("program",):
        for number in range(tries):
            delay = long * (number * 0.6180339887 % 1)
            problem = attempt(Kill(operation, victim, delay))
            if problem:
                found.append(f"{operation.__name__}, {victim} killed after {delay * 1000:.2f} ms: {problem}")
    return found


def main() -> int:
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    faults.warm_up()
    wrong: list[str] = []

    def everything() -> None:
        become_subreaper()
        for operation in OPERATIONS:
            found = sweep(operation, tries)
            print(f"{operation.__name__}: {len(found)} wrong", *found[:10], sep="\n  ", flush=True)
            wrong.extend(found)
        assert not wrong, f"{len(wrong)} wrong"

    conftest.LIMIT = 7200
    conftest.run_in_child(everything)
    return 0


if __name__ == "__main__":
    sys.exit(main())
