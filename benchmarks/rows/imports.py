"""What it costs to import."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from measure import Row, timed


def start(code: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, "-I", "-c", code], check=True), 20)


def rows() -> Iterator[Row]:
    bare = statistics.median(start("pass") for _ in range(5))
    yield Row(
        "import pynamespaces, over a bare start",
        lambda: start("import pynamespaces") - bare,
        peers={"import subprocess": lambda: start("import subprocess") - bare},
        peer_promise=0.7,
    )
