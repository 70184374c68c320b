"""Tests in pytest's own process: there before the first function-scoped fixture, and back whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

Project = Callable[..., pytest.RunResult]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has this mode in a home; see test_home.py")

FIXTURES = """
@pytest.fixture(scope="session")
def of_session():
    assert not new()
    yield os.getpid()
    assert not new()
@pytest.fixture(scope="module")
def of_module(of_session):
    assert not new()
    yield []
    assert not new()
@pytest.fixture
def of_test(of_module):
    there = new()
    yield there
    assert new() == there
"""


def test_the_body_and_function_fixtures_are_inside_and_broader_ones_outside(project: Project) -> None:
    result = project(
        FIXTURES
        + """
@pytest.mark.namespaces("net", "mnt", "uts", "ipc", "cgroup")
def test_inside(of_test, of_module):
    assert of_test == new() == {"net", "mnt", "uts", "ipc", "cgroup"}
    assert os.getpid() == SESSION
def test_outside(of_test):
    assert not of_test and not new()
@pytest.mark.namespaces("net")
def test_no_fixture():
    assert new() == {"net"}
class TestClass:
    @pytest.fixture(scope="class", autouse=True)
    def of_class(self):
        assert not new()
        yield
        assert not new()
    def setup_method(self):
        self.there = new()
    def teardown_method(self):
        assert new() == self.there
    @pytest.mark.namespaces("uts")
    def test_it(self):
        assert self.there == new() == {"uts"}
"""
    )
    result.assert_outcomes(passed=4)


def test_it_comes_back_whatever_the_outcome(project: Project) -> None:
    result = project(
        """
pytestmark = pytest.mark.namespaces("net", "mnt", hostname="inside")
@pytest.fixture
def broken(): raise ValueError
@pytest.fixture
def breaks():
    yield
    raise ValueError
def test_fails(): assert False
def test_skips(): pytest.skip("so")
@pytest.mark.xfail(strict=True)
def test_xfails(): assert False
def test_error(broken): pass
def test_teardown_error(breaks): pass
def test_exits(): sys.exit(3)
def test_moves(tmp_path):
    os.chdir(tmp_path)
@pytest.mark.usefixtures()
class TestAfter:
    pytestmark = []
def test_cwd_is_back(): pass
def pytest_never(): pass
""",
        "-p",
        "no:randomly",
    )
    result.assert_outcomes(failed=2, skipped=1, xfailed=1, errors=2, passed=3)
    result = project("""
CWD = os.getcwd()
@pytest.mark.namespaces("mnt", "uts")
def test_moves(tmp_path):
    os.chdir(tmp_path)
    socket.sethostname("inside")
    import platform
    assert platform.node() == "inside"
def test_back():
    import platform
    assert not new() and os.getcwd() == CWD and platform.node() == socket.gethostname() != "inside"
""")
    result.assert_outcomes(passed=2)


def test_broader_fixtures_that_are_asked_for_dynamically_are_outside(project: Project) -> None:
    result = project(
        FIXTURES
        + """
@pytest.mark.namespaces("net", "mnt", tmpfs={"/mnt": "1M"})
def test_it(request, tmp_path):
    os.chdir("/mnt")
    before = links()
    assert request.getfixturevalue("of_module") == []
    assert links() == before and os.getcwd() == "/mnt"
def test_after():
    assert not new()
"""
    )
    result.assert_outcomes(passed=2)


def test_threads_left_inside_are_named_and_blamed_on_their_test(project: Project) -> None:
    text = """
end = threading.Event()
@pytest.fixture(scope="module", autouse=True)
def ends():
    yield
    end.set()
@pytest.mark.namespaces("net", "mnt")
def test_leaks():
    threading.Thread(target=end.wait, name="left-behind").start()
@pytest.mark.namespaces("net")
def test_does_not():
    pass
"""
    result = project(text)
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.re_match_lines(
        [
            r"test_it.py::test_leaks",
            r".*NamespaceLeakWarning: threads that the test started.*: left-behind \(tid \d+, (net|mnt)\)",
        ]
    )
    result = project(text, "-o", "namespaces_leak=error")
    result.assert_outcomes(passed=2, errors=1)
    project(text, "-o", "namespaces_leak=ignore").assert_outcomes(passed=2, warnings=0)
    project(text, "-W", "error").assert_outcomes(passed=2, errors=1)


def test_if_the_way_home_fails_the_session_stops(project: Project) -> None:
    result = project("""
@pytest.mark.namespaces("net")
def test_drops():
    from pynamespaces import plan
    plan.carry_out(plan.capabilities(set(range(40)) - {21}))  # CAP_SYS_ADMIN
def test_never_runs():
    raise AssertionError
""")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert "AssertionError" not in result.stdout.str()
    text = result.stdout.str() + result.stderr.str()
    assert "after test_it.py::test_drops this thread could not come back" in text
    assert "mode='fork' is for tests that drop privileges" in text


def test_a_network_without_a_cable(project: Project) -> None:
    result = project("""
import errno
def connect(address):
    with socket.socket() as client:
        return client.connect_ex(address)
def test_loopback(netns):
    assert socket.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET, flags=socket.AI_ADDRCONFIG)
    server = socket.create_server(("127.0.0.1", 80))
    assert connect(("127.0.0.1", 80)) == 0
    server.close()
    assert connect(("127.0.0.1", 80)) == errno.ECONNREFUSED
    assert connect(("198.51.100.1", 80)) == errno.ENETUNREACH
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP):
        pass
@pytest.mark.namespaces(network="none")
def test_none():
    assert connect(("127.0.0.1", 80)) == errno.ENETUNREACH
@pytest.mark.namespaces(network="bare")
def test_bare():
    assert connect(("127.0.0.1", 80)) == errno.ECONNREFUSED
    assert connect(("192.0.2.1", 80)) == errno.ENETUNREACH
""")
    result.assert_outcomes(passed=3)


def test_the_namespaces_option_is_for_every_test(project: Project) -> None:
    text = """
def test_a(): assert new() == {"net", "uts"}
@pytest.mark.namespaces("ipc")
def test_b(): assert new() == {"net", "uts", "ipc"}
class TestC:
    '''
    >>> new() == {"net", "uts"}
    True
    '''
"""
    project(text, "--namespaces=net,uts", "--doctest-modules").assert_outcomes(passed=3)
    project(text, "-o", "namespaces=net uts").assert_outcomes(passed=2)
    result = project(text, "--namespaces=net,nett")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unknown kind of namespace 'nett'" in result.stderr.str()


def test_a_mount_that_fails_is_the_tests_error(project: Project) -> None:
    result = project("""
@pytest.mark.namespaces(tmpfs={"/no/such/place": "1M"})
def test_it(): raise AssertionError
def test_after(): assert not new()
""")
    result.assert_outcomes(failed=1, passed=1)
    assert "mount(tmpfs on /no/such/place): No such file or directory" in result.stdout.str()
