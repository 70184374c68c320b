"""Keeping namespaces by bind mount, and giving them up."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from measure import Row, floor, rounds

import pynamespaces as ns
from pynamespaces import unshare


def rows() -> Iterator[Row]:
    store, c = Path("/mnt/store"), Path("/mnt/c")
    store.mkdir()
    c.mkdir()
    count = rounds(1000)

    def ours() -> float:
        start = time.perf_counter_ns()
        for number in range(count):
            with unshare("net", loopback=False) as inside:
                inside.persist(f"n{number}", store=store)
            inside.close()
        for number in range(count):
            ns.forget(f"n{number}", store=store)
        return (time.perf_counter_ns() - start) / count

    def by_ip() -> float:
        few = max(3, count // 10)
        start = time.perf_counter_ns()
        for number in range(few):
            subprocess.run(["ip", "netns", "add", f"b{number}"], check=True)
        for number in range(few):
            subprocess.run(["ip", "netns", "del", f"b{number}"], check=True)
        return (time.perf_counter_ns() - start) / few

    yield Row(
        "unshare, persist, forget 1,000 net",
        ours,
        lambda: floor("persist", "tree", c, count),
        peers={"ip netns add, del": by_ip},
        promise=1.3,
        peer_promise=0.2,
    )
    yield Row("the same against one bind mount each in C", ours, lambda: floor("persist", "bind", c, count))
