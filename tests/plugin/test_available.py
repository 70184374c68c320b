"""A test never runs without what it asks for: skipped, failed or expected to fail, with the reason."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from pynamespaces import Isolation

Project = Callable[..., pytest.RunResult]

#: A machine that allows no more network namespaces, as far as this process and its children go.
REFUSED = """
from pynamespaces import doctor
import pynamespaces.doctor
sys.modules["pynamespaces.doctor"].refusal_of = lambda place, verb="run": "unshare(net): EPERM (no such luck)"
"""
TESTS = """
@pytest.mark.namespaces("net")
def test_net(): open("ran", "w").close()
def test_plain(): pass
"""


def test_skipped_by_default_with_the_reason_at_the_test(project: Project) -> None:
    result = project(REFUSED + TESTS, "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]1[]] test_it.py:*: namespaces are not to be had: unshare(net): EPERM*"])
    assert not os.path.exists("ran")


def test_a_failure_where_ci_is_set(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = project(REFUSED + TESTS)
    result.assert_outcomes(passed=1, errors=1)
    project(REFUSED + TESTS, "--namespaces-unavailable=skip").assert_outcomes(passed=1, skipped=1)


def test_as_the_option_or_the_marker_says(project: Project) -> None:
    project(REFUSED + TESTS, "-o", "namespaces_unavailable=xfail").assert_outcomes(passed=1, xfailed=1)
    text = TESTS.replace('"net"', '"net", unavailable="xfail"')
    project(REFUSED + text, "--namespaces-unavailable=fail").assert_outcomes(passed=1, xfailed=1)


def test_a_mark_that_skips_comes_first(project: Project) -> None:
    text = TESTS.replace("def test_net", "@pytest.mark.skip('not today')\ndef test_net")
    result = project(REFUSED + text, "-rs", "--namespaces-unavailable=fail")
    result.assert_outcomes(passed=1, skipped=1)
    assert "not today" in result.stdout.str()


def test_what_the_kernel_refuses_in_truth(pytester: pytest.Pytester) -> None:
    """Where /proc/sys/user/max_net_namespaces is 0, the reason says so."""
    pytester.makepyfile("import pytest\n@pytest.mark.namespaces('net')\ndef test_net(): pass\n")

    def run() -> str:
        with open("/proc/sys/user/max_net_namespaces", "w", encoding="ascii") as file:
            file.write("0")
        args = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-rs", "--namespaces-unavailable=skip"]
        return pytester.runpytest_subprocess(*args).stdout.str()

    text = Isolation("user").call(run)
    assert "1 skipped" in text
    assert "max_net_namespaces" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--namespaces-mode=thread"], "--namespaces-mode is one of auto, inprocess, fork"),
        (["--namespaces-unavailable=run"], "--namespaces-unavailable is one of skip, fail, xfail"),
        (["--namespaces-timeout=long"], "--namespaces-timeout is a number of seconds"),
        (["-o", "namespaces_leak=yes"], "namespaces_leak is one of warn, ignore, error"),
    ],
)
def test_a_wrong_option_is_a_usage_error(project: Project, args: list[str], message: str) -> None:
    result = project("", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


def test_a_session_without_markers_imports_nothing_for_them(project: Project) -> None:
    result = project(
        """
def test_it():
    mine = [name for name in sys.modules if name.startswith("pynamespaces")]
    assert not {"pynamespaces." + name for name in ("children", "blocks", "mounts", "isolation", "sets")} & set(mine)
    assert {"options", "fixtures"} == {
        name.rpartition(".")[2] for name in mine if name.startswith("pynamespaces.pytest_plugin.")
    }
    assert not pytest_has("pynamespaces-running")
def pytest_has(name):
    return CONFIG.pluginmanager.has_plugin(name)
@pytest.fixture(autouse=True)
def config(pytestconfig):
    global CONFIG
    CONFIG = pytestconfig
""",
        "-q",
    )
    result.assert_outcomes(passed=1)
