"""Other ways to the same end, side by side."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from measure import Row, timed

import pynamespaces as ns
from pynamespaces import Isolation, enter, unshare

TRUE = ["/bin/true"]


def in_a_process() -> None:
    """What multiprocessing does for one call: a fork, a pipe, a pickle; without namespaces."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=lambda: writer.send(os.getpid()))
    child.start()
    reader.recv()
    child.join()
    reader.close()
    writer.close()


def rows() -> Iterator[Row]:
    sandbox = Isolation("mnt", "uts", "ipc", "net", "pid", "user", "cgroup")
    bwrap = ["bwrap", "--unshare-all", "--dev-bind", "/", "/", "--proc", "/proc", *TRUE]
    yield Row(
        "run(true) in seven kinds with an init and /proc",
        lambda: timed(lambda: sandbox.run(TRUE), 100),
        peers={"bwrap --unshare-all": lambda: timed(lambda: subprocess.run(bwrap, check=True), 100)},
    )
    subprocess.run(["ip", "netns", "add", "peer"], check=True)
    path = Path("/run/netns/peer")

    def fresh() -> None:
        with enter(path):
            pass

    def by_hand() -> None:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.setns(there, 0x40000000)  # type: ignore[attr-defined]
        os.setns(home, 0x40000000)  # type: ignore[attr-defined]
        os.close(home)
        os.close(there)

    if hasattr(os, "setns"):  # Python 3.12
        yield Row("enter(path) and back", lambda: timed(fresh, 5000), peers={"os.setns": lambda: timed(by_hand, 5000)})
    with ns.NamespaceSet.at(path) as there:
        exec_ = ["ip", "netns", "exec", "peer", *TRUE]
        yield Row(
            "run(true) in a net namespace of a name",
            lambda: timed(lambda: there.run(TRUE), 100),
            peers={"ip netns exec": lambda: timed(lambda: subprocess.run(exec_, check=True), 100)},
        )
    subprocess.run(["ip", "netns", "del", "peer"], check=True)
    box = Isolation("user", "uts", "net")
    yield Row(
        "call(function) in three new kinds",
        lambda: timed(lambda: box.call(os.getpid), 50),
        peers={"multiprocessing.Process, in none": lambda: timed(in_a_process, 50)},
    )
    with box.executor() as pool, multiprocessing.get_context("fork").Pool(1) as other:
        yield Row(
            "executor: submit().result() inside",
            lambda: timed(lambda: pool.submit(os.getpid).result(), 2000),
            peers={"multiprocessing.Pool.apply, in none": lambda: timed(lambda: other.apply(os.getpid), 2000)},
        )
    with unshare("net") as held, held:
        yield Row(
            "run(true) in a held net namespace",
            lambda: timed(lambda: held.run(TRUE), 100),
            peers={"subprocess.run in none": lambda: timed(lambda: subprocess.run(TRUE, check=True), 100)},
        )
