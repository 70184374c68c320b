"""The same behaviour, or a clear refusal, where the kernel lacks a newer call: a short journey through the library.

The long way is ``make old-kernels``: the whole suite under each filter of `old_kernel.py`.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import old_kernel
import pynamespaces as ns
from conftest import IS_ROOT, in_child, links, run_in_child
from pynamespaces import Isolation, Namespace, NamespaceSet, PidFd, mounts

#: Without these nothing can be launched, or held: Linux 5.3.
FLOOR = ("clone3", "pidfd_open")

STAGES: dict[str, Callable[[], object]] = {}


def stage(function: Callable[[], object]) -> Callable[[], object]:
    STAGES[function.__name__] = function
    return function


@stage
def block() -> object:
    before = links()
    with ns.unshare("net", "uts", "ipc", "mnt", "cgroup", hostname="web") as inside:
        changed = sorted(name for name, link in links().items() if link != before[name])
        named = os.uname().nodename, [str(kind) for kind in inside]
    assert links() == before
    with ns.enter(inside) as there:
        again = os.uname().nodename, {kind: there[kind] == inside[kind] for kind in map(str, inside)}
    inside.close()
    return changed, named, again, links() == before


@stage
def pid_block() -> object:
    with ns.unshare("pid"):
        return [subprocess.run(["sh", "-c", "echo $$"], check=True, capture_output=True).stdout for _ in range(2)]


@stage
def time_block() -> object:
    command = [sys.executable, "-c", "import time; print(int(time.clock_gettime(time.CLOCK_BOOTTIME) // 10**6))"]
    with ns.unshare("time", clock=ns.ClockOffsets(boottime=5 * 10**6)):
        return subprocess.run(command, check=True, capture_output=True).stdout


@stage
def identity() -> object:
    with NamespaceSet.current() as here, PidFd.open(os.getpid()) as process, NamespaceSet.of(process) as same:
        owners = []
        for namespace in here.values():
            try:
                with namespace.owner() as owner:
                    owners.append(str(owner.kind))
            except OSError as error:
                owners.append(errno.errorcode[error.errno or 0])
        return here == same, owners, [str(here[kind].kind) for kind in here]


@stage
def run() -> object:
    place = Isolation("user", "pid", "net", "uts", "ipc", "mnt", "cgroup", hostname="web")
    done = place.run(["sh", "-c", "echo $$; uname -n; test -d /proc/2 && echo proc"], capture_output=True)
    return done.returncode, done.stdout


@stage
def kill() -> object:
    with Isolation("user", "pid").Popen(["sleep", "3"], start_new_session=True) as process:
        process.terminate()
        return process.wait(5)


@stage
def closed_descriptors() -> object:
    spare = os.dup(0)
    os.set_inheritable(spare, True)
    command = ["sh", "-c", f"test -e /proc/self/fd/{spare} && echo open || echo closed"]
    try:
        return Isolation("user", "uts").run(command, capture_output=True).stdout
    finally:
        os.close(spare)


@stage
def call() -> object:
    return Isolation("user", "pid", "net", "uts", hostname="web").call(lambda: (os.getpid(), os.uname().nodename))


@stage
def executor() -> object:
    with Isolation("user", "uts", hostname="pool").executor() as pool:
        return [pool.submit(os.uname).result().nodename for _ in range(2)]


@stage
def inside_others() -> object:
    with Isolation("user", "pid", "uts", hostname="web").Popen(["sleep", "60"]) as process:
        try:
            wanted = process.namespaces.only("user", "pid", "uts")
            with wanted:
                return wanted.run(["uname", "-n"], capture_output=True).stdout, wanted.call(lambda: os.uname().nodename)
        finally:
            process.kill()


@stage
def translated() -> object:
    with Isolation("user", "pid").Popen(["sleep", "60"]) as process:
        try:
            with Namespace.of(process, "pid") as namespace:
                number = ns.translate_pid(process.pid, target=namespace)
                return (
                    number,
                    ns.translate_pid(number or 0, source=namespace) == process.pid,
                    len(namespace.host_pids()),
                )
        finally:
            process.kill()


@stage
def kept() -> object:
    with ns.unshare("uts", "ipc", "cgroup", hostname="kept") as inside:
        inside.persist("old")
    inside.close()
    rows = [(row.name, str(row.kinds), row.alive) for row in ns.saved()]
    with ns.rejoin("old"):
        name = os.uname().nodename
    ns.forget("old")
    return rows, name, ns.saved()


@stage
def furnished() -> object:
    place = Isolation(
        "user",
        "mnt",
        mounts=[
            mounts.tmpfs("/mnt", size="1M"),
            mounts.bind("/usr/bin", "/mnt/usr", recursive=False, read_only=True),
            mounts.file("/mnt/hosts", "10.0.0.7 db\n"),
        ],
    )

    def look() -> object:
        try:
            Path("/mnt/usr/written").touch()
        except OSError as error:
            refused = errno.errorcode[error.errno or 0]
        mine = [str(row.target) for row in mounts.list() if str(row.target).startswith("/mnt")]
        return sorted(os.listdir("/mnt")), Path("/mnt/hosts").read_text(), refused, mine

    return place.call(look)


@stage
def read_only_tree() -> object:
    place = Isolation("user", "mnt", mounts=[mounts.bind("/usr", "/mnt", recursive=True, read_only=True)])
    return place.run(["sh", "-c", "touch /mnt/written 2>/dev/null || echo refused"], capture_output=True).stdout


@stage
def census() -> object:
    found = ns.discover()
    return sorted({str(row.kind) for row in found.holding(os.getpid())})


#: What cannot be had in another way: (call, stage).  Everything else goes as before.
REFUSED = {(name, "read_only_tree") for name in ("open_tree", "move_mount", "mount_setattr", "all newer ones")}


def travel() -> dict[str, object]:
    """What each stage gives; an exception as the exception."""
    found: dict[str, object] = {}
    for name, function in STAGES.items():
        try:
            found[name] = function()
        except (OSError, RuntimeError) as error:
            found[name] = error
    return found


#: A filter's EPERM is tried, too, where it is not the answer of an old kernel.
ANSWERS = [(name, errno.ENOSYS) for name in old_kernel.CALLS]
ANSWERS += [("all newer ones", errno.ENOSYS)]
ANSWERS += [(name, errno.EPERM) for name, (_, calls, _) in old_kernel.CALLS.items() if calls and name not in FLOOR]


def compared(name: str, number: int) -> dict[str, BaseException]:
    """In a child of its own: the stages that a missing call makes impossible; all others give what they gave."""
    expected = travel()
    if not IS_ROOT:  # pid is not in the base set of `in_child`: no thread could start there
        expected.pop("pid_block")
    assert not [found for found in expected.values() if isinstance(found, BaseException)], expected
    missing = [name] if name in old_kernel.CALLS else [call for call in old_kernel.CALLS if call not in FLOOR]
    old_kernel.install(old_kernel.rules(missing, number))
    refused: dict[str, BaseException] = {}
    for stage, found in travel().items():
        if stage not in expected:
            continue
        if isinstance(found, BaseException):
            refused[stage] = found
        else:
            assert found == expected[stage], (stage, found)
    return refused


@pytest.mark.parametrize(("name", "number"), ANSWERS, ids=[f"{n}-{errno.errorcode[e]}" for n, e in ANSWERS])
def test_journey(name: str, number: int, store: Path) -> None:
    @in_child
    def test() -> None:
        refused = compared(name, number)
        for stage, error in refused.items():
            assert isinstance(error, ns.NamespaceError), (stage, repr(error))
            assert isinstance(error, ns.NotPermitted if number == errno.EPERM else ns.NotSupported), (stage, error)
            said = str(error)
            assert "seccomp filter" in said or "does not have the call" in said or ", Linux " in said, (stage, said)
        if name not in FLOOR and number == errno.ENOSYS:
            assert {(name, stage) for stage in refused} <= REFUSED, refused

    test()


def main() -> None:
    """Print the table of docs/explanation/old-kernels.md: ``python tests/test_old_kernels.py``."""
    print("| call | since Linux | answer | outcome |\n|---|---|---|---|", flush=True)
    for name, number in ANSWERS:
        since, calls, _ = old_kernel.CALLS.get(name, ("", (0,), ()))
        answer = errno.errorcode[number if calls else errno.ENOTTY]

        def row(name: str = name, number: int = number, since: str = since, answer: str = answer) -> None:
            refused = compared(name, number)
            said = f"refused, and said so: {', '.join(refused)}" if refused else "as before"
            print(f"| {name} | {since} | {answer} | {said} |", flush=True)

        run_in_child(row)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        os.environ["PYNAMESPACES_STORE"] = f"{directory}/store"
        main()
