"""In the child: what is different from the process that it is a copy of, and the phases of its one test."""

from __future__ import annotations

import copy
import signal
import sys
import warnings

import pytest

from pynamespaces import children
from pynamespaces.pytest_plugin import measuring, private
from pynamespaces.pytest_plugin.messages import Debugging, Interrupted, Log, Quit, Reply, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, NoReturn

    from pynamespaces.pytest_plugin.forked import Forked

#: What the report of a test that passed has, and nothing else.
PLAIN = frozenset(
    "nodeid id location keywords outcome longrepr when user_properties sections duration start stop".split()  # noqa: SIM905
)


class Inside:
    """The child's side of a visit."""

    def __init__(self, visit: Forked, parent: children.Child) -> None:
        import faulthandler

        self.visit = visit
        self.item: Any = visit.item
        self.sock: socket.socket = parent.sock
        self.broader: list[tuple[Any, Any]] = []  # fixtures of broader scope that only this test asked for
        self.pending: Log | None = None
        config = self.item.config
        measuring.own_file()
        faulthandler.enable(file=visit.faults)
        self._recorder = warnings.catch_warnings(record=True)
        warned = self._recorder.__enter__()
        assert warned is not None
        self.warned = warned
        config.option.setupshow = False  # the parent shows it
        private.set_hook(config, self.item, "pytest_runtest_logreport", self._log)
        visit.inside = self  # from here on a timer is armed in this process
        if visit.timer is not None:
            config.hook.pytest_timeout_set_timer(item=self.item, settings=visit.timer)

    def begin(self, when: str) -> None:
        """Start the clock of a phase: the time-out is a failure with a traceback."""
        seconds = self.visit.timeout
        if seconds and self.visit.timer is None and signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, self._alarm):
            self._when = when
            signal.signal(signal.SIGALRM, self._alarm)
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def _alarm(self, number: int, frame: object) -> None:
        __tracebackhide__ = True
        pytest.fail(f"timeout: the test's {self._when} took more than {self.visit.timeout:g} seconds")

    def _end_clock(self) -> None:
        if signal.getsignal(signal.SIGALRM) == self._alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def debugging(self) -> None:
        """A debugger has been entered."""
        self._end_clock()
        self._send(Debugging())

    def serve(self, call: pytest.CallInfo[None], report: pytest.TestReport) -> NoReturn:
        """After the set-up: the phases that the parent asks for, and the end."""
        try:
            self._tell(call, report)
            while True:
                word = children.receive(self.sock)
                if word == b"call":
                    self._phase("call", self.item.ihook.pytest_runtest_call)
                elif word == b"teardown":
                    sibling = copy.copy(self.item)  # so that nothing but the item is torn down
                    self._phase("teardown", self.item.ihook.pytest_runtest_teardown, nextitem=sibling)
                if word != b"call":
                    break
        except BaseException as error:
            self.end_by(error)
        children.leave(0)

    def _phase(self, when: Any, hook: Any, **kwargs: Any) -> None:
        quiet: tuple[type[BaseException], ...] = (pytest.exit.Exception,)
        if not self.item.config.getoption("usepdb", False):
            quiet += (KeyboardInterrupt,)
        self.begin(when)

        def act() -> None:
            hook(item=self.item, **kwargs)
            if when == "teardown":
                self._finish_broader()

        call: pytest.CallInfo[None] = pytest.CallInfo.from_call(act, when=when, reraise=quiet)
        self._end_clock()
        report = self.item.ihook.pytest_runtest_makereport(item=self.item, call=call)
        if when == "teardown":  # nobody waits for our end: pytest-cov may combine before it
            children.save_coverage()
        self._tell(call, report)

    def _finish_broader(self) -> None:
        while self.broader:
            fixturedef, request = self.broader.pop()
            fixturedef.finish(request)

    def _tell(self, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        self._end_clock()
        excinfo = call.excinfo
        if private.is_interactive(call, report):
            self.pending = Log(report, self._subtests())
            self.item.ihook.pytest_exception_interact(node=self.item, call=call, report=report)
            self.pending = None
        plain = excinfo is None and report.passed and vars(report).keys() <= PLAIN
        warned = [(one.message, one.category, one.filename, one.lineno) for one in self.warned]
        self.warned.clear()
        reply = Reply(
            None if plain else report,
            None if excinfo is None else (excinfo.type.__name__, _text(excinfo.value)),
            list(private.sections(self.item)),
            list(self.item.user_properties),
            warned,
            self._subtests(),
        )
        self._send(reply)

    def _send(self, message: object) -> None:
        children.send(self.sock, pack(message, self.item.config))

    def _log(self, report: pytest.TestReport) -> None:
        """In the place of pytest_runtest_logreport: a subtest's report is logged by the parent."""
        sys.stdout.flush()
        self._send(Log(report, self._subtests(), private.is_capturing(self.item.config)))
        children.receive(self.sock)  # it is on the terminal, or where we find it when we read what was captured

    def _subtests(self) -> int | None:
        counts = private.subtests(self.item.config)
        return None if counts is None else counts.get(private.identity(self.item), 0)

    def end_by(self, error: BaseException) -> NoReturn:
        """What no phase catches is the parent's to raise."""
        status = 0
        try:
            if isinstance(error, pytest.exit.Exception):
                message: object = Quit(error.msg or "", error.returncode, self.pending)
            else:
                import traceback

                text = "".join(traceback.format_exception(error))
                last = traceback.extract_tb(error.__traceback__)[-1:]
                filename, line = (last[0].filename, last[0].lineno or 1) if last else (str(self.item.path), 1)
                name = type(error).__name__
                message = Interrupted(name, f"in the test's own process:\n{text}", filename, line, self.pending)
            self._send(message)
        except BaseException:
            status = 1
        children.leave(status)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__}>"
