"""Finding namespaces: the scan over /proc against C, and a whole census against lsns."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from measure import Measure, Row, floor, program, rounds

from pynamespaces import Isolation, discover
from pynamespaces._kernel import scan


@contextmanager
def crowd(count: int, sets: int) -> Iterator[int]:
    """So many processes, in a pid namespace whose end is theirs; all are in sight from here."""
    argv = [str(program("crowd")), str(count), str(sets)]
    with Isolation("pid").Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def best(function: Callable[[], object], count: int) -> float:
    """Nanoseconds of the fastest of so many: what the floor says, too."""
    took = []
    for _ in range(count):
        start = time.perf_counter_ns()
        function()
        took.append(time.perf_counter_ns() - start)
    return min(took)


def processes() -> None:
    discover(sources=["processes"])


def lsns() -> None:
    subprocess.run(["lsns", "-n", "-o", "NS"], check=True, stdout=subprocess.DEVNULL)


def rows() -> Iterator[Row]:
    program("scan", "-pthread")
    workers = scan.workers()
    for wanted, sets in ((200, 20), (2000, 200), (10000, 200)):
        with crowd(wanted, sets) as count:
            again = rounds(9 if count < 5000 else 3)

            def in_c(again: int = again) -> float:
                return floor("scan", again, workers)

            peers: dict[str, Measure] = {"lsns": lambda: best(lsns, 1)}
            yield Row(
                f"processes of {count:,}, in {sets} sets of namespaces",
                lambda again=again: best(processes, again),
                in_c,
                peers=peers,
                promise=1.3,
                peer_promise=1 / 15 if wanted == 10000 else None,
            )
            yield Row(
                f"a whole census of {count:,}",
                lambda again=again: best(discover, again),
                peers=peers,
                peer_promise=1 / 8 if wanted == 10000 else None,
            )
