"""The hooks around one test: which way it takes.  Registered only where a test asks for namespaces."""

from __future__ import annotations

import pytest

from pynamespaces.pytest_plugin import SETTINGS, available, measuring, private
from pynamespaces.pytest_plugin.forked import Forked
from pynamespaces.pytest_plugin.inprocess import InProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any


def begin(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Be there from now on."""
    running = Running(config)
    config.pluginmanager.register(running, "pynamespaces-running")
    config.pluginmanager.register(Answers(running), "pynamespaces-answers")


class Unavailable:
    """A test whose namespaces this machine refuses: it never runs without them."""

    def __init__(self, reason: str, how: str) -> None:
        self.reason: str = f"namespaces are not to be had: {reason}"
        self.how = how

    def refuse(self) -> None:
        if self.how == "skip":
            raise private.skip_here(self.reason)
        if self.how == "xfail":
            pytest.xfail(self.reason)
        pytest.fail(self.reason, pytrace=False)


class Running:
    """What wraps the protocol of every test."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings: Any = config.stash[SETTINGS]
        self.visit: Unavailable | InProcess | Forked | None = None
        self.timers: dict[str, Any] = {}  # pytest-timeout's, of the test that runs

    def _visit(self, item: pytest.Item) -> Unavailable | InProcess | Forked | None:
        from pynamespaces.pytest_plugin import _wish_of

        wish = _wish_of(item)
        if wish is None:
            return None
        mode, box, reason = available.place_of(wish, self.settings.mode)
        if box is None:
            return Unavailable(reason, wish.unavailable or self.settings.unavailable)
        if mode == "inprocess":
            return InProcess(item, box, self.settings.leak)
        return Forked(item, box, self.settings.timeout if wish.timeout is None else wish.timeout)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.visit = visit = self._visit(item)
        try:
            if isinstance(visit, Forked):
                return (yield from visit.protocol())
            return (yield)
        finally:
            self.visit = None

    def pytest_runtest_setup(self) -> None:
        if isinstance(self.visit, Unavailable):
            self.visit.refuse()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        if isinstance(self.visit, InProcess):
            self.visit.enter()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        visit = self.visit
        if isinstance(visit, InProcess):
            if request.node is visit.item:
                visit.enter()
            elif visit.block is not None:
                with visit.outside():
                    return (yield)
        elif isinstance(visit, Forked) and visit.inside is not None and request.node is not visit.item:
            visit.inside.broader.append((fixturedef, request))
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "setup" and isinstance(self.visit, Forked) and self.visit.inside is not None:
            self.visit.inside.serve(call, report)
        return report

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, settings: Any) -> bool | None:
        """pytest-timeout's timer runs in the child."""
        if isinstance(self.visit, Forked) and self.visit.inside is None:
            self.visit.timer = settings
            return True
        return None

    def pytest_enter_pdb(self) -> None:
        if isinstance(self.visit, Forked) and self.visit.inside is not None:
            self.visit.inside.debugging()

    def pytest_sessionfinish(self) -> None:
        Forked.reap()
        measuring.combine()


class Answers:
    """For a test in a child: what pytest's own process takes for a fixture's value, and for a report."""

    def __init__(self, running: Running) -> None:
        self.running = running

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> object:
        visit = self.running.visit
        if isinstance(visit, Forked) and visit.standing_in and request.node is visit.item:
            if private.is_parameter(fixturedef):
                return None
            visit.stood_in.append((fixturedef, request))
            return private.stand_in(fixturedef, request)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
        visit = self.running.visit
        if isinstance(visit, Forked) and visit.inside is None and visit.item is item:
            return visit.report(call)
        return None
