"""What little of pytest's private surface is needed; tests/plugin/test_private.py holds it for each pytest."""

from __future__ import annotations

import bdb
import sys

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


if TYPE_CHECKING:

    class Failed(BaseException):
        """What pytest.fail raises."""

        def __init__(self, msg: str | None = None, pytrace: bool = True) -> None: ...
else:
    Failed = pytest.fail.Exception


class StandIn:
    """In pytest's own process: the value of a fixture that is set up in the child."""

    def __repr__(self) -> str:
        return "<set up in the test's own process>"


STAND_IN = StandIn()


def stand_in(fixturedef: Any, request: Any) -> StandIn:
    """Let a fixture be set up without its function being called."""
    fixturedef.cached_result = (STAND_IN, fixturedef.cache_key(request), None)
    return STAND_IN


def is_parameter(fixturedef: Any) -> bool:
    """Is it the value of a parametrized argument?  That is the same in every process."""
    return getattr(fixturedef.func, "__name__", "") == "get_direct_param_fixture_func"


def withdraw(fixturedef: Any, request: Any) -> None:
    """In the child: as if it had never been set up."""
    fixturedef.finish(request)


def has_request(item: Any) -> bool:
    """Does the item have fixtures?"""
    return hasattr(item, "_request") and hasattr(item, "_initrequest")


def restart_request(item: Any) -> None:
    """Resolve fixtures anew; what is cached of broader ones is used."""
    item._initrequest()


def sections(item: Any) -> list[tuple[str, str, str]]:
    """What has been captured of an item: (when, what, text)."""
    return item._report_sections  # type: ignore[no-any-return]


def skip_here(reason: str) -> BaseException:
    """A skip whose place is the test, not this plugin."""
    return pytest.skip.Exception(reason, _use_item_location=True)


def subtests(config: pytest.Config) -> Any:
    """How many subtests of each test have failed; None where this pytest does not count."""
    module = sys.modules.get("_pytest.subtests")
    key = getattr(module, "failed_subtests_key", None)
    return None if key is None else config.stash.get(key, None)


def identity(item: Any) -> Any:
    """What a test is counted by: its id (pytest 9.2), or its nodeid."""
    return getattr(item, "id", None) or item.nodeid


def is_interactive(call: pytest.CallInfo[Any], report: Any) -> bool:
    """Does pytest tell pytest_exception_interact of this failure?"""
    if call.excinfo is None or hasattr(report, "wasxfail"):
        return False
    unittest = sys.modules.get("unittest")
    quiet: tuple[type[BaseException], ...] = (pytest.skip.Exception, bdb.BdbQuit)
    return not isinstance(call.excinfo.value, quiet if unittest is None else (*quiet, unittest.SkipTest))


def set_hook(config: pytest.Config, item: Any, name: str, function: Any) -> None:
    """Let all calls of a hook for this item go to a function, past every plugin."""
    for relay in {id(relay): relay for relay in (config.hook, item.ihook)}.values():
        relay.__dict__[name] = function


def is_capturing(config: pytest.Config) -> bool:
    """Is what is printed now captured?"""
    manager: Any = config.pluginmanager.get_plugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    return capturing is not None and bool(capturing.is_started())


def capture_disabled(config: pytest.Config) -> Any:
    """A ``with`` block in which what is printed goes to the terminal."""
    from contextlib import nullcontext

    manager: Any = config.pluginmanager.get_plugin("capturemanager")
    return nullcontext() if manager is None else manager.global_and_fixture_disabled()
