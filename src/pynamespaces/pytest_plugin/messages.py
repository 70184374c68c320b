"""What a child tells: pickled values over the socket that it was forked with."""

from __future__ import annotations

import pickle
import warnings

import pytest

from pynamespaces.pytest_plugin import private
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Report = pytest.TestReport | dict[str, Any]
    Told = tuple[Any, type[Warning], str, int]


@value(frozen=True)
class Reply:
    """How one phase went.

    Args:
        report: as it is, or as pytest serializes it; None for one that passed and says nothing else.
        raised: class and text of what was raised.
        sections: all that has been captured so far.
        properties: the item's user properties.
        warned: what was warned of.
        subtests: how many have failed.
    """

    report: Report | None
    raised: tuple[str, str] | None
    sections: list[tuple[str, str, str]]
    properties: list[tuple[str, object]]
    warned: list[Told]
    subtests: int | None

    def take(self, item: Any) -> None:
        """Take over what pytest keeps elsewhere than in a report."""
        _count(item, self.subtests)
        if not self.warned:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            for message, category, filename, line in self.warned:
                warnings.warn_explicit(message, category, filename, line)


@value(frozen=True)
class Log:
    """A report to be logged at once: of a subtest.

    Args:
        captured: what is printed of it is captured, as all that the test prints.
    """

    report: Report
    subtests: int | None
    captured: bool = False

    def take(self, item: Any) -> None:
        _count(item, self.subtests)


@value(frozen=True)
class Quit:
    """`pytest.exit` in the child."""

    text: str
    returncode: int | None
    pending: Log | None

    def again(self) -> NoReturn:
        pytest.exit(self.text, returncode=self.returncode)


@value(frozen=True)
class Interrupted:
    """Ctrl-C, or an error that no test makes; and where it was."""

    name: str
    text: str
    filename: str
    line: int
    pending: Log | None

    def again(self) -> NoReturn:
        """Raise it as if there."""
        error: BaseException = KeyboardInterrupt() if self.name == "KeyboardInterrupt" else RuntimeError(self.text)
        source = "\n" * (self.line - 1) + "raise error"
        exec(compile(source, self.filename, "exec"), {"error": error})
        raise AssertionError


@value(frozen=True)
class Debugging:
    """A debugger has been entered: nobody counts seconds any more."""


def pack(message: Any, config: pytest.Config) -> bytes:
    """As bytes; what cannot be sent is sent as its repr."""
    try:
        return pickle.dumps(message, protocol=5)
    except Exception:
        return pickle.dumps(_plain(message, config), protocol=5)


def serialized(report: Any, config: pytest.Config) -> dict[str, Any]:
    """A report as xdist sends it."""
    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    return {key: _sendable(given) for key, given in data.items()}


def report_of(report: Report, config: pytest.Config) -> pytest.TestReport:
    """The report itself again."""
    if isinstance(report, dict):
        made: pytest.TestReport = config.hook.pytest_report_from_serializable(config=config, data=report)
        return made
    return report


def _plain(message: Any, config: pytest.Config) -> Any:
    if isinstance(message, Reply):
        warned = [
            (_sendable(text), category if _can(category) else UserWarning, name, line)
            for text, category, name, line in message.warned
        ]
        properties = [(str(name), _sendable(given)) for name, given in message.properties]
        report = None if message.report is None else serialized(message.report, config)
        return Reply(report, message.raised, message.sections, properties, warned, message.subtests)
    if isinstance(message, Log):
        return Log(serialized(message.report, config), message.subtests, message.captured)
    return message


def _can(given: object) -> bool:
    try:
        pickle.loads(pickle.dumps(given, protocol=5))
    except Exception:
        return False
    return True


def _sendable(given: Any) -> Any:
    if _can(given):
        return given
    return str(given) if isinstance(given, Warning) else repr(given)


def _count(item: Any, failed: int | None) -> None:
    counts = private.subtests(item.config)
    if failed and counts is not None:
        counts[private.identity(item)] = failed
