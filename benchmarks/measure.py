"""What a file of rows needs: a row, a clock, and the C programs of floor/, built when they are first asked for.

A topic is a file rows/TOPIC.py with a generator `rows()`.  It yields one `Row` at a time and is resumed when that row
has been measured, so what a row needs may be held by a `with` block around its yield.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / "build"

#: A measurement: does something some number of times, and answers the nanoseconds that one took.
Measure = Callable[[], float]

#: Quick mode divides the rounds by this.
divisor = 1


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what is measured.
        ours: the library.
        floor: a C program that makes the same calls.
        peers: other ways to the same end, by name; the table shows the fastest.
        promise: ratio to the floor that was promised: at most this.
        peer_promise: ratio to the best peer that was promised: at most this.
    """

    name: str
    ours: Measure
    floor: Measure | None = None
    peers: Mapping[str, Measure] = field(default_factory=dict)
    promise: float | None = None
    peer_promise: float | None = None


def rounds(count: int) -> int:
    """How many to do of what deserves `count`."""
    return max(3, count // divisor)


def timed(function: Callable[[], object], count: int) -> float:
    """Nanoseconds for one call, of `rounds(count)`."""
    count = rounds(count)
    start = time.perf_counter_ns()
    for _ in range(count):
        function()
    return (time.perf_counter_ns() - start) / count


def program(name: str, *flags: str, library: bool = False) -> Path:
    """The C program floor/NAME.c, or as a library, compiled if it is newer than what was built."""
    source, target = HERE / "floor" / f"{name}.c", BUILD / (f"{name}.so" if library else name)
    if library:
        flags = ("-shared", "-fPIC", *flags)
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", target, source, *flags], check=True)
    return target


def floor(name: str, *argv: object) -> float:
    """What a C program says: nanoseconds (the sum, where it says several)."""
    words = [str(program(name)), *map(str, argv)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return sum(map(float, done.stdout.split()))
