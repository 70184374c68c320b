"""Commands and functions inside."""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import Row, floor, program, rounds, timed

from pynamespaces import Isolation, kinds, plan

SEVEN = ("mnt", "uts", "ipc", "net", "pid", "user", "cgroup")
TRUE = ["/bin/true"]


def plain() -> float:
    return timed(lambda: subprocess.run(TRUE, check=True), 200)


def with_memory(measure: Callable[[], float]) -> float:
    """What is measured while this process has 4 GiB resident, in pages of 4 KiB."""
    with mmap.mmap(-1, 4 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for offset in range(0, len(memory), mmap.PAGESIZE):
            memory[offset] = 1
        return measure()


def commands() -> Iterator[Row]:
    flags = sum(kinds.row(kind).flag for kind in SEVEN)
    bare = Isolation(*SEVEN, init=False, loopback=False, propagation=None, proc=False)
    with_init = Isolation(*SEVEN, loopback=False, propagation=None, proc=False)

    def in_c() -> float:
        return floor("spawn", flags, rounds(100), "/bin/true")

    yield Row(
        "run(true), no namespaces",
        lambda: timed(lambda: Isolation().run(TRUE), 200),
        peers={"subprocess.run": plain},
    )
    yield Row(
        "run(true) in seven kinds",
        lambda: timed(lambda: bare.run(TRUE), 100),
        in_c,
        peers={
            "subprocess.run(unshare ...)": lambda: timed(
                lambda: subprocess.run(["unshare", "-Urmuinpf", "-C", *TRUE], check=True), 50
            )
        },
        peer_promise=0.65,
    )
    eight = bare.replace(kinds=kinds.Kind.ALL)

    def in_eight() -> float:
        return timed(lambda: eight.run(TRUE), 100)

    def in_c_and_subprocess() -> float:
        """The C launcher, and what subprocess.run adds over a bare vfork of the same command."""
        return in_c() + max(0.0, plain() - floor("spawn", 0, rounds(200), "/bin/true"))

    yield Row(
        "run(true) in all eight kinds; floor: C, and what subprocess.run adds",
        in_eight,
        in_c_and_subprocess,
        promise=1.12,
    )
    spawn = ctypes.CDLL(program("spawn", library=True)).spawn
    spawn.restype = ctypes.c_double

    def in_c_here() -> float:
        """The C launcher, in this process."""
        argv = (ctypes.c_char_p * 2)(os.fsencode(TRUE[0]))
        return spawn(ctypes.c_ulong(flags), rounds(100), argv)

    yield Row(
        "run(true) in all eight kinds, 4 GiB resident; floor: without them, and what the C launcher here grows",
        lambda: with_memory(in_eight),
        lambda: in_eight() + max(0.0, with_memory(in_c_here) - in_c_here()),
        promise=1.15,
    )
    yield Row("run(true) in seven kinds with an init", lambda: timed(lambda: with_init.run(TRUE), 100), in_c)
    with bare.Popen(["sleep", "100"]) as process, process.namespaces.only("mnt", "uts", "ipc", "net", "cgroup") as five:
        nsenter = ["nsenter", "-t", str(process.pid), "-m", "-u", "-i", "-n", "-C", *TRUE]
        yield Row(
            "run(true) in five existing kinds",
            lambda: timed(lambda: five.run(TRUE), 200),
            peers={"subprocess.run in none": plain},
            peer_promise=1.15,
        )
        yield Row(
            "the same",
            lambda: timed(lambda: five.run(TRUE), 200),
            peers={
                "subprocess.run(nsenter ...)": lambda: timed(lambda: subprocess.run(nsenter, check=True), 100),
            },
            peer_promise=0.75,
        )
        process.kill()


def fork_and_pickle() -> None:
    """What a careful program does without the library."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        uid, gid = os.geteuid(), os.getegid()
        plan.do(plan.unshare(kinds.parse("user", "uts", "net")))
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            Path(f"/proc/self/{name}").write_text(text)
        plan.do(plan.loopback())
        os.write(writer, pickle.dumps(os.getuid()))
        os._exit(0)
    os.close(writer)
    pickle.loads(os.read(reader, 1000))
    os.close(reader)
    os.waitpid(pid, 0)


def functions() -> Iterator[Row]:
    box = Isolation("user", "uts", "net")
    yield Row(
        "call(function)",
        lambda: timed(lambda: box.call(os.getuid), 100),
        peers={"os.fork and a pickle": lambda: timed(fork_and_pickle, 100)},
        peer_promise=1.3,
    )
    with box.executor() as pool:
        asked = len(pickle.dumps((os.getuid, (), {}), protocol=5))
        answered = len(pickle.dumps((True, 0), protocol=5))
        before = os.sched_getaffinity(0)
        two = len(before) > 1
        if two:
            pool.submit(os.sched_setaffinity, 0, {1}).result()
            os.sched_setaffinity(0, {0})
        yield Row(
            "executor: submit().result()",
            lambda: timed(lambda: pool.submit(os.getuid).result(), 3000),
            (lambda: floor("pair", rounds(3000), asked, answered)) if two else None,
            peers={"call": lambda: timed(lambda: box.call(os.getuid), 50)},
            promise=2.2,
        )
        yield Row(
            "executor: map of 1,000, chunksize 100",
            lambda: timed(lambda: list(pool.map(abs, range(1000), chunksize=100)), 20) / 1000,
            peers={"a message each": lambda: timed(lambda: list(pool.map(abs, range(1000))), 5) / 1000},
        )
        os.sched_setaffinity(0, before)


def rows() -> Iterator[Row]:
    yield from commands()
    yield from functions()
