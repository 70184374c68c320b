"""How results and exceptions travel from a child: as they are, or by a faithful stand-in."""

from __future__ import annotations

import builtins
import inspect  # now: in another root there may be no standard library
import pickle
import signal
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ChildDied(RuntimeError):
    """A child ended without a result: by a signal, `os._exit`, or `sys.exit`.

    Attributes:
        returncode: its exit status, or -N for signal N.
    """

    def __init__(self, message: str, returncode: int = 0) -> None:
        super().__init__(message, returncode)
        self.returncode = returncode

    def __str__(self) -> str:
        return str(self.args[0])


class RemoteTraceback(Exception):
    """The traceback in the child, as text; the ``__cause__`` of the exception that it belongs to."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


def pack_value(value: Any) -> bytes:
    """A result; one that cannot be sent becomes the TypeError that says so."""
    if inspect.isgenerator(value) or inspect.iscoroutine(value) or inspect.isasyncgen(value):
        kind = type(value).__name__
        return pack_error(
            TypeError(f"the function returned a {kind}, which lives in the child only; return its results")
        )
    try:
        return pickle.dumps((True, value), protocol=5)
    except Exception as error:
        problem = TypeError(f"the function returned {type(value).__qualname__}, which cannot be sent: {error}")
        return pack_error(problem)


def pack_error(error: BaseException) -> bytes:
    """An exception and its traceback."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else (0 if error.code is None else 1)
        error = ChildDied(f"the function called sys.exit({error.code!r})", code)
    try:
        data = pickle.dumps((False, error, text), protocol=5)
        if type(pickle.loads(data)[1]) is type(error):
            return data
    except Exception:
        pass
    return pickle.dumps((False, _describe(error), text), protocol=5)


def unpack(data: bytes | bytearray) -> Any:
    """The value, or raise the exception."""
    done, *rest = pickle.loads(data)
    if done:
        return rest[0]
    error, text = rest
    if not isinstance(error, BaseException):
        error = _stand_in(*error)
    error.__cause__ = RemoteTraceback(text)
    raise error


def died(returncode: int) -> ChildDied:
    """The error for a child that ended without a word."""
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return ChildDied(f"the function's process was killed by {name}", returncode)
    return ChildDied(f"the function's process exited with status {returncode} before it returned", returncode)


def _describe(error: BaseException) -> tuple[object, ...]:
    cls: object = type(error)
    try:
        pickle.loads(pickle.dumps(cls))
    except Exception:
        cls = None
    args, state = _picklable(error.args), {}
    for key, item in vars(error).items():
        if _picklable(item) is item:
            state[key] = item
    bases = [base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"]
    return cls, type(error).__module__, type(error).__qualname__, bases, args, state, _text(error)


def _stand_in(cls: Any, module: str, name: str, bases: list[str], args: Any, state: dict[str, Any], text: str) -> Any:
    if cls is None:
        base = getattr(builtins, bases[0], Exception)
        content = {
            "__module__": module,
            "__str__": lambda self: text,
            "__doc__": "A stand-in: its class could not be sent.",
        }
        cls = type(name.rpartition(".")[2], (base,), content)
        cls.__qualname__ = name
    error = cls.__new__(cls, *args) if isinstance(args, tuple) else cls.__new__(cls, text)
    error.args = args if isinstance(args, tuple) else (text,)
    error.__dict__.update(state)
    return error


def _picklable(item: Any) -> Any:
    try:
        pickle.loads(pickle.dumps(item))
    except Exception:
        return repr(item)
    return item


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:
        return f"<{type(error).__qualname__}: its text cannot be had: {problem!r}>"
