"""A test in a child.

pytest's protocol stays in this process; what `item.setup`, `runtest` and `teardown` do, one child does, and its reports
become this process's.

Fixtures of broader scope are set up here, as ever; function-scoped ones have a stand-in here and are set up in the
child.
"""

from __future__ import annotations

import bdb
import os
import pickle
import select
import signal
import socket
import time
from contextlib import nullcontext

import pytest

from pynamespaces import children
from pynamespaces.errors import NamespaceError
from pynamespaces.pytest_plugin import crashes, measuring, private
from pynamespaces.pytest_plugin.child import Inside
from pynamespaces.pytest_plugin.messages import Interrupted, Log, Quit, Reply, report_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from typing import Any

    from pynamespaces.isolation import Isolation

ACTS = ("setup", "runtest", "teardown")
#: Seconds that a child has for what comes after its own time-out: for its report, for its core dump, to end.
GRACE = 1.0


class RemoteFailure(bdb.BdbQuit):
    """What happened in the child; its report is there.  A BdbQuit, so that no debugger opens here on top of that."""


class Crashed(private.Failed, bdb.BdbQuit):
    """The child died; the same of debuggers."""

    __module__ = "builtins"  # as pytest's own: it is shown by its name alone


class Forked:
    """One test's visit.

    Args:
        timeout: seconds for each phase; 0 for no limit.
    """

    #: A child that has told all and ends while this process goes on.
    ending: children.Child | None = None
    #: What faulthandler writes to.
    faults: int = -1

    def __init__(self, item: pytest.Item, box: Isolation, timeout: float) -> None:
        self.item: Any = item
        self.box = box
        self.timeout = timeout
        self.timer: Any = None  # pytest-timeout's settings
        self.child: children.Child | None = None
        self.inside: Inside | None = None  # in the child
        self.standing_in: bool = False
        self.stood_in: list[tuple[Any, Any]] = []
        self.replies: dict[str, Reply] = {}
        self.debugging: bool = False
        self.threads: list[str] = []
        self._said = 0

    def protocol(self) -> Generator[None, object, object]:
        """Around the protocol: the item's three acts are ours."""
        own: dict[str, Any] = vars(self.item)
        before = {name: own[name] for name in ACTS if name in own}
        self._setup, self._runtest, self._teardown = [getattr(self.item, name) for name in ACTS]
        own.update({name: getattr(self, name) for name in ACTS})
        try:
            return (yield)
        except BaseException as error:
            if self.inside is not None:
                self.inside.end_by(error)
            raise
        finally:
            if self.inside is not None:
                self.inside.end_by(RuntimeError("the protocol ended in the child"))
            for name in ACTS:
                del own[name]
            own.update(before)

    def setup(self) -> None:
        __tracebackhide__ = True
        self.replies.clear()
        self.stood_in.clear()
        if private.has_request(self.item):
            self.standing_in = True
            try:
                self._setup()
            finally:
                self.standing_in = False
            funcargs = self.item.funcargs
            for name in [name for name, given in funcargs.items() if given is private.STAND_IN]:
                del funcargs[name]
        self._fork()
        if self.inside is not None:
            for fixturedef, request in reversed(self.stood_in):
                private.withdraw(fixturedef, request)
            self.inside.begin("setup")
            if self.stood_in:
                private.restart_request(self.item)
                self._setup()
            elif not private.has_request(self.item):
                self._setup()
            return
        self._hear("setup")

    def runtest(self) -> None:
        __tracebackhide__ = True
        if self.inside is not None:
            self._runtest()
        elif self.child is not None:
            children.send(self.child.sock, b"call")
            self._hear("call")

    def teardown(self) -> None:
        __tracebackhide__ = True
        if self.inside is not None:
            self._teardown()
        elif self.child is not None:
            try:
                children.send(self.child.sock, b"teardown")
            except OSError:
                pass  # it is dead; that is heard
            try:
                self._hear("teardown")
            finally:
                Forked.ending, self.child = self.child, None

    def _fork(self) -> None:
        import gc
        import threading

        Forked.reap()
        measuring.split()
        _make_base_temp(self.item)
        if Forked.faults < 0:
            Forked.faults = os.memfd_create("faulthandler", os.MFD_CLOEXEC)
        os.ftruncate(Forked.faults, 0)
        os.lseek(Forked.faults, 0, os.SEEK_SET)
        main = threading.main_thread()
        self.threads = [thread.name for thread in threading.enumerate() if thread is not main]
        gc.freeze()  # so that a collection in the child touches, and copies, none of what is here
        try:
            child = self.box.fork()
        except NamespaceError as error:
            pytest.fail(f"the namespaces of this test: {error.strerror}", pytrace=False)
        finally:
            gc.unfreeze()
        if child.pid == 0:
            gc.freeze()
            self.inside = Inside(self, child)
        else:
            self.child = child

    @staticmethod
    def reap() -> None:
        """Wait for the last child, which has nothing left to do."""
        ending, Forked.ending = Forked.ending, None
        if ending is not None:
            if not select.select([ending.pidfd], [], [], 10)[0]:
                ending.kill()
            ending.wait()
            ending.close()

    def _hear(self, when: str) -> None:
        """Wait for the child's report of a phase, and act on what it says meanwhile."""
        child = self.child
        assert child is not None
        config = self.item.config
        limits = self._limits()
        interrupted: BaseException | None = None
        poll = select.poll()
        poll.register(child.sock, select.POLLIN)
        poll.register(child.pidfd, select.POLLIN)
        killed = ""
        while True:
            try:
                rest = None if self.debugging or not limits else max(0.0, limits[0][0] - time.monotonic())
                ready = dict(poll.poll(None if rest is None else rest * 1000 + 1))
                if not ready:
                    _, number = limits.pop(0)
                    killed = f"did not end within {self._seconds():g} seconds"
                    crashes.strike(child, number)
                    continue
                data = children.receive(child.sock) if child.sock.fileno() in ready else None
            except KeyboardInterrupt as error:
                if config.option.usepdb:
                    continue
                interrupted = error
                limits = [(time.monotonic() + GRACE, signal.SIGKILL)]
                continue
            except ConnectionError:
                data = None
            if data is None:
                break
            message = pickle.loads(data)
            if isinstance(message, Log):
                self._log(message)
                children.send(child.sock, b"logged")
            elif isinstance(message, Reply):
                if interrupted is not None:  # the phase was over before anything could stop it
                    child.sock.shutdown(socket.SHUT_RDWR)
                    break
                message.take(self.item)
                self.replies[when] = message
                self._said = len(private.sections(self.item))
                if message.raised is not None:
                    name, text = message.raised
                    raise type(name, (RemoteFailure,), {})(text)
                return
            elif isinstance(message, (Quit, Interrupted)):
                self._log(message.pending)
                self._bury()
                message.again()
            else:
                self.debugging = True
        self._died(when, killed, interrupted)

    def _died(self, when: str, killed: str, interrupted: BaseException | None) -> None:
        status = self._bury()
        if interrupted is not None:
            raise interrupted
        stack = crashes.stack(Forked.faults)
        if stack:
            self.item.add_report_section(when, "faulthandler", stack)
        raise Crashed(crashes.describe(self.item, when, status, killed, self.threads), pytrace=False)

    def _bury(self) -> int:
        child, self.child = self.child, None
        assert child is not None
        if not select.select([child.pidfd], [], [], 2 * GRACE)[0]:
            child.kill()
        status = child.wait()
        child.close()
        return status

    def _seconds(self) -> float:
        return min([number for number in (self.timeout, self.timer.timeout if self.timer else 0) if number] or [0])

    def _limits(self) -> list[tuple[float, signal.Signals]]:
        """When to end a child that does not answer, and by which signals: the first lets faulthandler speak."""
        seconds = self._seconds()
        if not seconds:
            return []
        end = time.monotonic() + seconds + GRACE
        return [(end, signal.SIGABRT), (end + GRACE, signal.SIGKILL)]

    def _log(self, message: Log | None) -> None:
        """A report that the child's test made by itself (subtests), or that its end left behind."""
        if message is None:
            return
        config = self.item.config
        message.take(self.item)
        with nullcontext() if message.captured else private.capture_disabled(config):
            self.item.ihook.pytest_runtest_logreport(report=report_of(message.report, config))

    def report(self, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
        """The child's report as ours, with the time that it took here; None for the one that pytest makes itself."""
        reply = self.replies.pop(call.when, None)
        if reply is None:
            return None
        sections = private.sections(self.item)
        # What broader fixtures said here while they were torn down, after the child was done.
        own = sections[self._said :] if call.when == "teardown" else []
        sections[:] = _joined(reply.sections, own)
        self.item.user_properties[:] = reply.properties
        if reply.report is None:
            return None
        report = report_of(reply.report, self.item.config)
        if own:
            report.sections = [(f"Captured {what} {when}", text) for when, what, text in sections]
        report.duration, report.start, report.stop = call.duration, call.start, call.stop
        return report


def _joined(theirs: Iterable[tuple[str, str, str]], ours: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Captured sections, of which the same has been said in two processes."""
    found = {(when, what): text for when, what, text in theirs}
    for when, what, text in ours:
        found[when, what] = found.get((when, what), "") + text
    return [(when, what, text) for (when, what), text in found.items()]


def _make_base_temp(item: Any) -> None:
    """The session's temporary directory is made here, not once by each child."""
    names = getattr(item, "fixturenames", ())
    if any(name in names for name in ("tmp_path", "tmpdir", "tmp_path_factory", "tmpdir_factory", "request")):
        factory = getattr(item.config, "_tmp_path_factory", None)
        if factory is not None:
            factory.getbasetemp()
