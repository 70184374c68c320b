"""The plugin together with others: each alone with ours, in both modes, and then all of them at once.

`make together` makes an environment that has them all, and runs this file in it; a plain run does not collect it.
Each test runs pytest in a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

#: Distribution -> the names by which its plugins are switched off.
OTHERS = {
    "pytest-xdist": ("xdist", "xdist.looponfail"),
    "pytest-asyncio": ("asyncio",),
    "anyio": ("anyio",),
    "pytest-cov": ("pytest_cov",),
    "pytest-timeout": ("timeout",),
    "pytest-randomly": ("randomly",),
    "pytest-rerunfailures": ("rerunfailures",),
    "pytest-run-parallel": ("run-parallel",),
}
HEAD = """
import asyncio, os, signal, socket, subprocess, sys, threading, time, unittest, warnings
import pytest
def net():
    return os.readlink("/proc/thread-self/ns/net")
HOME = net()
"""
Project = Callable[..., "Outcome"]


class Outcome:
    """What a run printed, and how it ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.text = done.stdout + done.stderr
        self.code = done.returncode

    @property
    def counts(self) -> dict[str, int]:
        """``{"passed": 3, "failed": 1}``, by the last line."""
        last = [line for line in self.text.splitlines() if re.search(r"\d+ \w+.* in \d", line)]
        return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last[-1].rpartition(" in ")[0])}


@pytest.fixture(scope="session", autouse=True)
def _all_there() -> None:
    missing = []
    for name in OTHERS:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        pytest.exit(f"these tests need {', '.join(missing)}: run them by `make together`", returncode=3)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Run pytest on a file with this text, with some of the other plugins and no more; `mode` is the marker's."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)

    def run(text: str, *args: str, having: tuple[str, ...] = (), mode: str = "fork", timeout: int = 100) -> Outcome:
        (tmp_path / "test_it.py").write_text(HEAD + text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        off = [f"-pno:{plugin}" for name, plugins in OTHERS.items() if name not in having for plugin in plugins]
        if mode == "inprocess" and os.geteuid() != 0:
            off += ["-ppynamespaces", "--namespaces-home=isolated"]  # only so can an ordinary user come back
        argv = [sys.executable, "-m", "pytest", "-pno:cacheprovider", f"--namespaces-mode={mode}", *off, *args]
        return Outcome(subprocess.run(argv, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=timeout))

    return run


@pytest.fixture(params=["inprocess", "fork"])
def mode(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


FEW = """
@pytest.mark.namespaces("net")
@pytest.mark.parametrize("number", range(8))
def test_the_same_port(number):
    assert net() != HOME
    with socket.create_server(("127.0.0.1", 8080)):
        time.sleep(0.05)
def test_outside():
    assert net() == HOME
"""


def test_xdist(project: Project, mode: str) -> None:
    done = project(FEW, "-n2", having=("pytest-xdist",), mode=mode)
    assert done.counts == {"passed": 9}, done.text


def test_a_crash_under_xdist_is_one_failed_test(project: Project) -> None:
    text = FEW + '\n@pytest.mark.namespaces("net")\ndef test_crash():\n    os.kill(os.getpid(), signal.SIGSEGV)\n'
    done = project(text, "-n2", having=("pytest-xdist",))
    assert done.counts == {"failed": 1, "passed": 9}, done.text
    assert "SIGSEGV" in done.text
    assert "worker" not in done.text.rpartition("short test summary")[2]


ASYNC = """
@pytest.mark.namespaces("net"){mark}
async def test_it():
    assert net() != HOME
    async def echo(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(echo, "127.0.0.1", 80)
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", 80)
        writer.write(b"hello\\n")
        assert await reader.readline() == b"hello\\n"
        writer.close()
        assert await asyncio.get_running_loop().run_in_executor(None, net) == net()
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
def test_outside():
    assert net() == HOME
"""


def test_asyncio(project: Project, mode: str) -> None:
    done = project(ASYNC.replace("{mark}", "\n@pytest.mark.asyncio"), having=("pytest-asyncio",), mode=mode)
    assert done.counts["passed"] == 2, done.text
    assert "failed" not in done.counts


def test_anyio(project: Project, mode: str) -> None:
    text = (
        ASYNC.replace("{mark}", "\n@pytest.mark.anyio")
        + """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
    )
    done = project(text, having=("anyio",), mode=mode)
    assert done.counts["passed"] == 2, done.text
    assert "failed" not in done.counts


COVERED = """
def covered():
    if net() == HOME:
        return "home"
    return "away"
@pytest.mark.namespaces("net")
def test_it():
    assert covered() == "away"
"""


@pytest.mark.parametrize("way", [(), ("--cov-branch",), ("--cov-context=test",)])
def test_cov(project: Project, mode: str, way: tuple[str, ...], tmp_path: Path) -> None:
    done = project(COVERED, "--cov=.", "--cov-report=term-missing", *way, having=("pytest-cov",), mode=mode)
    assert done.counts == {"passed": 1}, done.text
    assert _missing(done.text) == _line(tmp_path, 'return "home"'), done.text


def test_cov_under_xdist(project: Project, tmp_path: Path) -> None:
    done = project(COVERED, "--cov=.", "--cov-report=term-missing", "-n2", having=("pytest-cov", "pytest-xdist"))
    assert done.counts == {"passed": 1}, done.text
    assert _missing(done.text) == _line(tmp_path, 'return "home"'), done.text


def _missing(report: str) -> str:
    """The column of lines that were not run."""
    line = next(line for line in report.splitlines() if line.startswith("test_it.py ") and line.split()[1].isdigit())
    return line.rpartition("%")[2].strip()


def _line(directory: Path, text: str) -> str:
    return str([line.strip() for line in (directory / "test_it.py").read_text("utf-8").splitlines()].index(text) + 1)


HANGS = """
@pytest.mark.namespaces("net")
def test_hangs():
    time.sleep(30)
@pytest.mark.namespaces("net")
def test_after():
    assert net() != HOME
"""


def test_timeout_by_signal(project: Project, mode: str) -> None:
    done = project(HANGS, "--timeout=1", "--timeout-method=signal", having=("pytest-timeout",), mode=mode)
    assert done.counts == {"failed": 1, "passed": 1}, done.text
    assert "Timeout" in done.text
    assert "time.sleep(30)" in done.text


def test_timeout_by_thread_ends_the_child_only(project: Project) -> None:
    done = project(HANGS, "--timeout=1", "--timeout-method=thread", having=("pytest-timeout",))
    assert done.counts == {"failed": 1, "passed": 1}, done.text


def test_randomly(project: Project, mode: str) -> None:
    done = project(FEW, "-prandomly", "--randomly-seed=7", having=("pytest-randomly",), mode=mode)
    assert done.counts == {"passed": 9}, done.text
    assert "--randomly-seed=7" in done.text


FLAKY = """
from pathlib import Path
count = Path(__file__).with_name("count")
@pytest.mark.namespaces("net")
def test_third_time():
    assert net() != HOME
    with count.open("a") as file:
        file.write("x")
    assert count.stat().st_size >= 3
"""


def test_rerunfailures(project: Project, mode: str) -> None:
    done = project(FLAKY, "--reruns=3", having=("pytest-rerunfailures",), mode=mode)
    assert done.counts == {"passed": 1, "rerun": 2}, done.text


def test_run_parallel(project: Project, mode: str) -> None:
    text = """
@pytest.mark.namespaces("net")
def test_it():
    assert net() != HOME
def test_outside():
    assert net() == HOME
"""
    done = project(text, "--parallel-threads=2", having=("pytest-run-parallel",), mode=mode)
    assert done.counts["passed"] == 2, done.text
    assert "failed" not in done.counts


def test_hypothesis(project: Project, mode: str) -> None:
    text = """
from hypothesis import given, settings, strategies
seen = set()
@pytest.mark.namespaces("net")
@settings(max_examples=20, database=None)
@given(strategies.integers(1024, 65535))
def test_it(port):
    seen.add(net())
    assert net() != HOME and len(seen) == 1
    with socket.create_server(("127.0.0.1", port)):
        pass
"""
    done = project(text, mode=mode)
    assert done.counts == {"passed": 1}, done.text


def test_unittest(project: Project, mode: str) -> None:
    text = """
@pytest.mark.namespaces("net")
class TestIt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = net()
    def setUp(self):
        self.there = net()
    def test_it(self):
        self.assertEqual(self.home, HOME)
        self.assertEqual(self.there, net())
        self.assertNotEqual(net(), HOME)
    def test_skips(self):
        self.skipTest("not today")
    @unittest.expectedFailure
    def test_fails(self):
        self.fail("as expected")
    def tearDown(self):
        assert net() == self.there
"""
    done = project(text, mode=mode)
    assert done.counts == {"passed": 1, "skipped": 1, "xfailed": 1}, done.text


def test_doctest_items(project: Project, mode: str) -> None:
    text = 'def f():\n    """\n    >>> net() != HOME\n    True\n    """\n'
    done = project(text, "--doctest-modules", "--namespaces=net", mode=mode)
    assert done.counts == {"passed": 1}, done.text


def test_parametrised_and_generator_fixtures(project: Project, mode: str) -> None:
    text = """
@pytest.fixture(params=["a", "b"], scope="module")
def outer(request):
    assert net() == HOME
    yield request.param
    assert net() == HOME
@pytest.fixture(params=[1, 2])
def inner(request, outer):
    there = net()
    yield outer * request.param, there
    assert net() == there
@pytest.mark.namespaces("net")
def test_it(inner):
    assert inner[0] in ("a", "aa", "b", "bb") and inner[1] == net() != HOME
"""
    done = project(text, mode=mode)
    assert done.counts == {"passed": 4}, done.text


def test_all_at_once(project: Project, mode: str) -> None:
    text = FEW + ASYNC.replace("{mark}", "\n@pytest.mark.asyncio").replace("test_outside", "test_outside_too")
    done = project(text, "-n2", "--timeout=60", "--cov=.", "--reruns=1", having=tuple(OTHERS), mode=mode)
    assert done.counts["passed"] == 11, done.text
    assert "failed" not in done.counts


def test_the_recipe_of_eight_workers(project: Project) -> None:
    ports = Path(__file__).parents[1] / "examples" / "pytest" / "test_ports.py"
    done = project(ports.read_text("utf-8"), "-n8", having=("pytest-xdist",), mode="auto")
    assert done.code == 0, done.text
    assert done.counts == {"passed": 10}
