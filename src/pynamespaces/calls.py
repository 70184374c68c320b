"""Executor 2: a child that runs a Python function, and gives back its value or its exception."""

from __future__ import annotations

import inspect
import math
import select
import time

from pynamespaces import causes, children, remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from typing import Any, Literal, ParamSpec, TypeVar

    from pynamespaces.places import Place

    P = ParamSpec("P")
    T = TypeVar("T")


def call(place: Place, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """See `Place.call`."""
    return _forked(place, function, args, kwargs, None)


def apply(
    place: Place,
    function: Callable[..., T],
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    timeout: float | None = None,
    start: Literal["fork", "spawn"] = "fork",
) -> T:
    """See `Place.apply`."""
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be more than 0 seconds, got {timeout!r}")
    if start == "spawn":
        from pynamespaces.workers import Executor

        check_function(function)
        with Executor(place, 1, start="spawn") as pool:
            future = pool.submit(function, *args, **(kwargs or {}))
            try:
                return future.result(timeout)
            except TimeoutError:
                if not future.done():
                    pool.kill()
                raise
    if start != "fork":
        raise ValueError(f"start must be 'fork' or 'spawn', got {start!r}")
    return _forked(place, function, tuple(args), kwargs or {}, timeout)


def check_function(function: object) -> None:
    """Refuse what would not run in a call, but only make something that runs later."""
    if not callable(function):
        raise TypeError(f"expected a function, got {function!r}")
    for test in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        if test(function):
            raise TypeError(f"{function!r} only makes a generator or coroutine, which cannot leave the child")


def _forked(
    place: Place, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
) -> T:
    check_function(function)

    def main(sock: socket.socket) -> None:
        try:
            data = remote.pack_value(function(*args, **kwargs))
        except BaseException as error:
            data = remote.pack_error(error)
        children.send(sock, data)

    deadline = None if timeout is None else time.monotonic() + timeout
    child = children.start(place, main)
    try:
        # Its end, too: what it has forked may keep the socket open.
        poll = select.poll()
        poll.register(child.sock, select.POLLIN)
        poll.register(child.pidfd, select.POLLIN)
        rest = None if deadline is None else math.ceil(max(0.0, deadline - time.monotonic()) * 1000)
        ready = [fd for fd, _ in poll.poll(rest)]
        if not ready:
            raise TimeoutError(f"{function!r} did not return within {timeout} seconds; everything inside was killed")
        try:
            data = children.receive(child.sock) if child.sock.fileno() in ready else None
        except ConnectionError:
            data = None
        except OSError as error:
            raise causes.refused(error, "receive the answer of a call") from None
        returncode = child.wait()
    except BaseException:
        child.kill()
        child.wait()
        raise
    finally:
        child.close()
    if data is None:
        raise remote.died(returncode)
    value: T = remote.unpack(data)
    return value
