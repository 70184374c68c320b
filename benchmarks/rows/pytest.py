"""The pytest plugin: what a trivial test costs more than plainly run, in ms; a child against a bare fork.

Each turn runs pytest on the same generated file, once with each option; the other column is a plain run of the same
number of tests, or os.fork and os.waitpid in that same pytest process.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Row, rounds

TESTS = """
import os, time, pytest
@pytest.mark.parametrize("n", range({count}))
def test_nothing(n): pass
"""
FORK = """
import os, time, pytest
def test_fork():
    start = time.perf_counter_ns()
    for _ in range({count}):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    print("each", (time.perf_counter_ns() - start) / {count})
"""
FIVE = "net,mnt,uts,ipc,cgroup"
ALL = FIVE + ",user,pid,time"


class Project:
    """A directory with a file of trivial tests."""

    def __init__(self, directory: Path, count: int) -> None:
        self.directory = directory
        self.count = count
        (directory / "test_nothing.py").write_text(TESTS.format(count=count))
        (directory / "test_fork.py").write_text(FORK.format(count=min(count, 300)))

    def _run(self, *args: str) -> str:
        words = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        done = subprocess.run([*words, *args], cwd=self.directory, check=True, capture_output=True, text=True)
        return done.stdout

    def each(self, *args: str) -> float:
        """Nanoseconds for one test, as pytest counts them, collection included."""
        text = self._run("test_nothing.py", *args)
        return float(re.findall(r"passed in ([\d.]+)s", text)[0]) * 1e9 / self.count

    def more(self, *args: str) -> float:
        """The same, less a plain test's."""
        return max(1.0, self.each(*args) - self.each())

    def fork(self) -> float:
        """Nanoseconds of a bare fork and wait in a pytest process."""
        return float(re.findall(r"each ([\d.]+)", self._run("test_fork.py"))[0])


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name), rounds(1000))
        yield Row(
            "pytest: plugin unused, against not loaded",
            project.each,
            lambda: project.each("-p", "no:pynamespaces"),
            promise=1.1,
        )
        for kinds, promise in (("uts,ipc,mnt", 0.2), ("net", 0.5), ("uts,ipc,mnt,net", 0.7)):
            yield Row(
                f"pytest: in-process {kinds}, more than a plain test; against a bare fork",
                lambda kinds=kinds: project.more(f"--namespaces={kinds}"),
                project.fork,
                promise=promise,
            )
        for kinds in ("user,net", ALL):
            yield Row(
                f"pytest: a child in {kinds}, more than a plain test; against a bare fork",
                lambda kinds=kinds: project.more(f"--namespaces={kinds}"),
                project.fork,
                promise=3.0,
            )
