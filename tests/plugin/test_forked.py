"""Tests in a child: the same outcomes, reports and side effects as plain pytest's; crashes, hangs and their words."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pynamespaces import Isolation

from .conftest import clean

Project = Callable[..., pytest.RunResult]

#: Every outcome, every kind of captured thing, in one file.
OUTCOMES = """
import logging, unittest
@pytest.fixture(scope="session")
def of_session():
    print("session up")
    yield "s"
    print("session down")
@pytest.fixture(scope="module", params=["one", "two"])
def of_module(request, of_session):
    print("module up", request.param)
    yield request.param
    print("module down", request.param)
@pytest.fixture
def of_test(of_module):
    print("test up")
    logging.warning("up")
    yield of_module
    print("test down")
@pytest.fixture
def broken(of_module):
    raise ValueError("broken fixture")
@pytest.fixture
def breaks():
    yield
    print("goes wrong")
    raise ValueError("broken teardown")
@pytest.fixture
def skips():
    pytest.skip("fixture says no")
def test_passes(of_test, record_property):
    record_property("colour", "blue")
    print("out")
def test_fails(of_test, tmp_path, capsys, caplog):
    print("captured")
    assert capsys.readouterr().out == "captured\\n"
    logging.error("logged")
    assert [record.message for record in caplog.records] == ["logged"]
    print("on stdout"); print("on stderr", file=sys.stderr); os.write(1, b"by write\\n")
    warnings.warn("careful")
    left, right = {"a": [1, 2]}, {"a": [1, 3]}
    assert left == right, "they differ"
def test_raises():
    def deep(n):
        return deep(n - 1) if n else {}["missing"]
    deep(3)
def test_error(broken): pass
def test_teardown_error(breaks):
    print("body")
def test_both(breaks):
    assert 0
def test_skips(): pytest.skip("body says no")
def test_fixture_skips(skips): pass
@pytest.mark.skipif(True, reason="mark says no")
def test_mark_skips(): pass
@pytest.mark.xfail(reason="known")
def test_xfails(): assert False
@pytest.mark.xfail(reason="known")
def test_xpasses(): pass
@pytest.mark.xfail(strict=True, reason="known")
def test_xpasses_strictly(): pass
@pytest.mark.xfail(raises=KeyError)
def test_xfails_otherwise(): raise ValueError
def test_xfail_inside(): pytest.xfail("midway")
def test_sys_exit(): sys.exit(4)
def test_importorskip(): pytest.importorskip("no_such_module_here")
@pytest.mark.parametrize("n", [1, 2])
def test_parameter(n, of_test): assert n < 2
class TestClass:
    @classmethod
    def setup_class(cls): cls.made = os.getpid()
    def setup_method(self): self.own = 1
    def test_class(self): assert self.own == 1 and self.made
class TestUnit(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.made = 1
    def setUp(self): self.own = 2
    def tearDown(self): assert self.own == 2
    def test_unit(self): self.assertEqual(self.own + self.made, 3)
    def test_unit_fails(self): self.assertEqual(self.own, 3)
    @unittest.skip("unit says no")
    def test_unit_skips(self): pass
    @unittest.expectedFailure
    def test_unit_expected(self): self.fail()
    def test_unit_subtests(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertNotEqual(n, 1)
def test_warns():
    with pytest.warns(UserWarning):
        warnings.warn("seen")
    warnings.warn_explicit("explicit", DeprecationWarning, "elsewhere.py", 7)
"""
SUBTESTS = """
def test_subtests(subtests):
    for n in range(4):
        with subtests.test("sub", n=n):
            assert n % 2 == 0
def test_subtests_pass(subtests):
    with subtests.test("fine"):
        pass
"""
FORK = ("--namespaces=uts,net", "--namespaces-mode=fork")


def normal(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(r"/[^ ]*?/test_[a-z_0-9]+0/", "", clean(text))
    return re.sub(r"(runpytest|pytest)-\d+/", r"\1-N/", text)


def plain(result: pytest.RunResult) -> str:
    """What a run said, but for the plugin's own line."""
    return normal(re.sub(r"^(namespaces|rootdir):.*\n", "", result.stdout.str(), flags=re.M))


def compare(project: Project, text: str, *args: str) -> None:
    once, twice = project(text, *args), project(text, *args, *FORK)
    assert plain(twice) == plain(once)
    assert twice.ret == once.ret


@pytest.mark.parametrize(
    "args",
    [
        ("-rA", "-vv"),
        ("-q", "--tb=short", "-x"),
        ("--maxfail=3", "-s"),
        ("--tb=line", "--capture=sys", "-W", "error"),
        ("--setup-show",),
    ],
    ids=" ".join,
)
def test_the_terminal_shows_the_same(project: Project, args: tuple[str, ...]) -> None:
    compare(project, OUTCOMES + (SUBTESTS if pytest.version_tuple >= (9, 0) else ""), *args)


def test_junit_is_the_same(project: Project) -> None:
    def junit(*args: str) -> str:
        project(OUTCOMES, "--junitxml=out.xml", "-o", "junit_logging=all", *args)
        text = Path("out.xml").read_text("utf-8")
        return re.sub(r'(time|timestamp|hostname)="[^"]*"', r'\1=""', normal(text))

    assert junit(*FORK) == junit()


def test_broader_fixtures_are_set_up_and_torn_down_once_in_the_parent(project: Project) -> None:
    result = project(
        """
log = open("log", "a", buffering=1)
def both(name, scope):
    @pytest.fixture(scope=scope, autouse=True, name=name)
    def fixture():
        log.write(f"{name} up {os.getpid() == SESSION}\\n")
        yield
        log.write(f"{name} down {os.getpid() == SESSION}\\n")
    return fixture
for scope in ("session", "package", "module", "class"):
    globals()[scope] = both(scope, scope)
@pytest.fixture(scope="module")
def base():
    log.write(f"base {os.getpid() == SESSION}\\n")
    return []
class TestOne:
    @pytest.fixture
    def base(self, base):  # a function-scoped one over a broader one of the same name
        base.append(1)
        return base
    def test_a(self, base): assert base == [1] and os.getpid() != SESSION
    def test_b(self, base): assert base == [1]
def test_c(base): assert base == []
""",
        *FORK,
    )
    result.assert_outcomes(passed=3)
    assert Path("log").read_text("utf-8").splitlines() == [
        "session up True",
        "package up True",
        "module up True",
        "class up True",
        "base True",
        "class down True",
        "class up False",  # of a function outside a class it is the function's own
        "class down False",
        "module down True",
        "package down True",
        "session down True",
    ]


def test_a_broader_fixture_that_only_the_child_asks_for_ends_with_it(project: Project) -> None:
    result = project(
        """
@pytest.fixture(scope="module")
def late():
    yield os.getpid()
    open(f"down-{os.getpid() == SESSION}", "w").close()
def test_a(request): assert request.getfixturevalue("late") == os.getpid() != SESSION
""",
        *FORK,
    )
    result.assert_outcomes(passed=1)
    assert Path("down-False").exists()
    assert not Path("down-True").exists()


def test_crashes_are_named_with_a_stack(project: Project) -> None:
    result = project(
        """
@pytest.fixture
def dies(): os.kill(os.getpid(), signal.SIGKILL)
@pytest.fixture
def dies_late():
    yield
    os._exit(7)
def test_segv():
    print("before")
    os.kill(os.getpid(), signal.SIGSEGV)
def test_exits(): os._exit(7)
def test_setup(dies): pass
def test_teardown(dies_late): pass
@pytest.mark.xfail(reason="dies")
def test_expected(): os.abort()
def test_after(): pass
""",
        *FORK,
    )
    result.assert_outcomes(passed=2, failed=2, errors=2, xfailed=1)
    text = result.stdout.str()
    assert "test_segv" in text
    assert "the test process was killed by SIGSEGV (Segmentation fault) during call" in text
    assert re.search(r'File ".*test_it.py", line \d+ in test_segv\n\n', text), text
    assert "Captured stdout call" in text
    assert "before" in text
    assert "the test process exited with status 7 without reporting during call" in text
    assert "the test process was killed by SIGKILL (Killed) during setup" in text
    assert "the test process exited with status 7 without reporting during teardown" in text


def test_hangs_end(project: Project) -> None:
    result = project(
        """
@pytest.fixture(scope="module")
def thread():
    end = threading.Event()
    threading.Thread(target=end.wait, name="of-the-session").start()
    yield
    end.set()
pytestmark = pytest.mark.namespaces("net", mode="fork", timeout=0.5)
def test_sleeps(): time.sleep(60)
def test_stuck_in_c(thread): max(range(10**13))
def test_deaf():
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
    max(range(10**13))
"""
    )
    result.assert_outcomes(failed=3)
    text = result.stdout.str()
    assert "Failed: timeout: the test's call took more than 0.5 seconds" in text
    assert "time.sleep(60)" in text
    assert "timeout: the test process did not end within 0.5 seconds during call" in text
    assert "threads of the session, which do not exist in the test's process: of-the-session" in text
    assert re.search(r'File ".*test_it.py", line \d+ in test_stuck_in_c', text), text


def test_exit_and_interrupt_are_the_sessions(project: Project) -> None:
    result = project("def test_a(): pytest.exit('enough', returncode=9)\ndef test_b(): pass\n", *FORK)
    assert result.ret == 9
    assert "!!! _pytest.outcomes.Exit: enough !!!" in result.stdout.str()
    result = project("def test_a(): raise KeyboardInterrupt\ndef test_b(): pass\n", *FORK)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert re.search(r"test_it.py:\d+: KeyboardInterrupt", result.stdout.str())


def test_an_interrupt_of_pytest_alone_is_not_lost(project: Project) -> None:
    """The test ends in time by itself; pytest's own process still has been interrupted."""
    result = project(
        "def test_a():\n    os.kill(os.getppid(), signal.SIGINT)\n    time.sleep(0.1)\ndef test_b(): pass\n", *FORK
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in result.stdout.str()


def test_with_pid_everything_inside_ends_with_the_test(project: Project) -> None:
    result = project("""
@pytest.mark.namespaces("pid")
def test_leaks():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()
    assert os.getpid() not in (1, SESSION)
    assert open("/proc/1/comm").read() == "namespaces-init\\n"
@pytest.mark.namespaces("pid", init=False)
def test_is_pid_1(): assert os.getpid() == 1
@pytest.mark.namespaces("pid")
def test_signals(): os.kill(os.getpid(), signal.SIGTERM)
""")
    result.assert_outcomes(passed=2, failed=1)
    assert "killed by SIGTERM" in result.stdout.str()


def test_the_pid_of_a_test_is_no_ancestors(pytester: pytest.Pytester) -> None:
    """Where pytest is process 2 of a container, the test in a pid namespace would be, too; coverage for one minds."""
    pytester.makepyfile(
        "import os, pytest\nSESSION = os.getpid()\n@pytest.mark.namespaces('pid')\n"
        "def test_it():\n    assert os.getpid() == 3 and SESSION == 2\n"
    )
    args = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    done = Isolation("user", "pid", "mnt").run(args, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout


def test_what_changes_in_the_child_stays_there(project: Project) -> None:
    result = project("""
@pytest.mark.namespaces("uts", mode="fork")
def test_drops():
    os.chdir("/")
    os.environ["CHANGED"] = "1"
    if os.getuid() == 0:
        os.setresuid(12345, 12345, 12345)
def test_after(): assert "CHANGED" not in os.environ and os.getcwd() != "/"
""")
    result.assert_outcomes(passed=2)


def test_an_ordinary_user_keeps_being_refused(project: Project) -> None:
    if os.geteuid() == 0:
        pytest.skip("root is refused nothing; the run as an ordinary user has this test")
    result = project("""
@pytest.mark.namespaces("net", "mnt")
def test_it(tmp_path):
    assert os.getuid() != 0
    (tmp_path / "locked").touch(0)
    with pytest.raises(PermissionError):
        open(tmp_path / "locked")
    subprocess.run(["ip", "link", "add", "type", "veth"], check=True)
""")
    result.assert_outcomes(passed=1)


def test_debugging_in_the_child(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal is the child's as well: breakpoint() and --pdb, driven through a pseudo-terminal."""
    pytest.importorskip("pexpect", reason="needs pexpect")
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile("def test_it():\n    secret = 'x' * 7\n    breakpoint()\n    assert secret == 'y'\n")
    args = "-p no:cacheprovider --pdb --namespaces=net,pid --namespaces-mode=fork --namespaces-timeout=1"
    child = pytester.spawn_pytest(args)
    child.expect(r"\(Pdb\)")
    child.sendline("p secret")
    child.expect("'xxxxxxx'")
    child.sendline("import time; time.sleep(2.5)")
    child.sendline("c")
    child.expect("AssertionError")
    child.expect(r"\(Pdb\)")
    child.sendline("p secret")
    child.expect("'xxxxxxx'")
    child.sendline("q")
    child.expect("1 failed")
    child.read()
    child.wait()


@pytest.mark.parametrize("args", [(), ("--parallel-mode",), ("--branch", "--append")], ids=" ".join)
def test_coverage_run_counts_what_children_run(pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
    pytester.makepyfile(
        measured="def a():\n    return 1\ndef b():\n    return 2\ndef c():\n    return 3\n",
        test_it="import measured\ndef test_a(): measured.a()\ndef test_b(): measured.b()\n",
    )
    words = ["-m", "coverage"]
    options = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", *FORK]
    run = pytester.run(sys.executable, *words, "run", *args, "--source=.", "-m", "pytest", *options, timeout=60)
    run.assert_outcomes(passed=2)
    if "--parallel-mode" in args:
        pytester.run(sys.executable, *words, "combine", "-q")
    report = pytester.run(sys.executable, *words, "report", "-m", "--include=measured.py")
    report.stdout.re_match_lines([r"measured.py +6 +1( +0 +0)? +83% +6"])
    assert [path.name for path in Path().glob(".coverage*")] == [".coverage"]
