"""What the plugin uses of pytest that is not promised: that it is there, and does what the plugin takes it for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Project = Callable[..., pytest.RunResult]

CONFTEST = """
import pytest
from pynamespaces.pytest_plugin import private
NAMES = []
class Plugin:
    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef, request):
        NAMES.append((fixturedef.argname, private.is_parameter(fixturedef), request.node is not request.session))
        if fixturedef.argname == "stood_in":
            value = private.stand_in(fixturedef, request)
            self.last = fixturedef, request
            return value
def pytest_configure(config):
    config.pluginmanager.register(Plugin(), "own")
"""


def test_fixtures_can_have_a_stand_in_and_be_set_up_after_all(project: Project, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    result = project(
        """
from pynamespaces.pytest_plugin import private
import conftest
@pytest.fixture(scope="session")
def base(): return []
@pytest.fixture
def stood_in(base):
    base.append(1)
    return "real"
@pytest.mark.parametrize("n", [1, 2])
def test_it(stood_in, n, request, base):
    item = request.node
    assert private.has_request(item)
    assert stood_in is private.STAND_IN and base == [] and repr(stood_in)
    assert ("n", True, True) in conftest.NAMES and ("stood_in", False, True) in conftest.NAMES
    private.withdraw(*request.config.pluginmanager.get_plugin("own").last)
    private.restart_request(item)
    assert item.funcargs == {}
    item.add_report_section("call", "stdout", "text")
    assert ("call", "stdout", "text") in private.sections(item)
    assert private.identity(item)
    assert private.is_capturing(request.config)
    with private.capture_disabled(request.config):
        assert not private.is_capturing(request.config)
def test_hooks(request):
    seen = []
    relays = [vars(relay) for relay in (request.config.hook, request.node.ihook)]
    before = [dict(relay) for relay in relays]
    private.set_hook(request.config, request.node, "pytest_runtest_logreport", lambda report: seen.append(report))
    request.config.hook.pytest_runtest_logreport(report=1)
    request.node.ihook.pytest_runtest_logreport(report=2)
    assert seen == [1, 2]
    for relay, hooks in zip(relays, before):
        relay.clear()
        relay.update(hooks)
def test_skip():
    raise private.skip_here("so")
""",
        "-rs",
    )
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.re_match_lines([r"SKIPPED \[1\] test_it.py:\d+: so"])


def test_what_is_interactive() -> None:
    from pynamespaces.pytest_plugin import private
    from pynamespaces.pytest_plugin.forked import Crashed, RemoteFailure

    def call(error: BaseException) -> pytest.CallInfo[None]:
        def act() -> None:
            raise error

        return pytest.CallInfo.from_call(act, when="call", reraise=())

    report = object()
    assert private.is_interactive(call(ValueError()), report)
    for error in (pytest.skip.Exception("so"), RemoteFailure(), Crashed("died", pytrace=False)):
        assert not private.is_interactive(call(error), report)
    assert str(Crashed("died", pytrace=False)) == "died"


def test_subtests_are_counted_where_pytest_has_them(pytestconfig: pytest.Config) -> None:
    from pynamespaces.pytest_plugin import private

    assert (private.subtests(pytestconfig) is not None) == (pytest.version_tuple >= (9, 0))
