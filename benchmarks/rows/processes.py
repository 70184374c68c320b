"""Commands and functions inside."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path

from measure import Row, floor, rounds, timed

from pynamespaces import Isolation, kinds, plan

SEVEN = ("mnt", "uts", "ipc", "net", "pid", "user", "cgroup")
TRUE = ["/bin/true"]


def plain() -> float:
    return timed(lambda: subprocess.run(TRUE, check=True), 200)


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
    yield Row("the same with an init", lambda: timed(lambda: with_init.run(TRUE), 100), in_c)
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
        yield Row(
            "executor: submit().result()",
            lambda: timed(lambda: pool.submit(os.getuid).result(), 3000),
            peers={"call": lambda: timed(lambda: box.call(os.getuid), 50)},
        )


def rows() -> Iterator[Row]:
    yield from commands()
    yield from functions()
