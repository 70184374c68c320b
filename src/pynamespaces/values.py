"""Small frozen values: what @dataclass(frozen=True, slots=True, kw_only=…) would give, for a twentieth of its import.

Type checkers are shown the real dataclass; at run time `dataclasses` (and `inspect`, `ast`, … behind it) would cost
more than the rest of the library together.
"""

from __future__ import annotations

__all__ = ["value"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen=True):
        """Make a class with annotations into a frozen value: __init__, repr, eq, hash, match by its fields."""
        assert frozen
        return _value

    def _value(cls):
        fields = tuple(cls.__dict__.get("__annotations__", ()))  # noqa: RUF063 (inspect is what we avoid)
        defaults = tuple(cls.__dict__[name] for name in fields if name in cls.__dict__)
        namespace = {"_set": object.__setattr__}
        body = "".join(f"    _set(self, {name!r}, {name})\n" for name in fields)
        if hasattr(cls, "__post_init__"):
            body += "    self.__post_init__()\n"
        exec(f"def __init__(self, {', '.join(fields)}):\n{body or '    pass'}", namespace)
        init = namespace["__init__"]
        init.__defaults__ = defaults
        init.__qualname__ = f"{cls.__qualname__}.__init__"
        content = {k: v for k, v in cls.__dict__.items() if k not in (*fields, "__dict__", "__weakref__")}
        content.update(__slots__=fields, __match_args__=fields, __init__=init)
        for method in (_repr, _eq, _hash, _setattr, _delattr, _getstate, _setstate):
            content.setdefault(f"__{method.__name__[1:]}__", method)
        if content["__hash__"] is None:
            content["__hash__"] = _hash
        return type(cls)(cls.__name__, cls.__bases__, content)

    def _repr(self):
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({inside})"

    def _astuple(self):
        return tuple([getattr(self, name) for name in self.__match_args__])

    def _eq(self, other):
        return _astuple(self) == _astuple(other) if type(other) is type(self) else NotImplemented

    def _hash(self):
        return hash((type(self), _astuple(self)))

    def _setattr(self, name, value):
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def _delattr(self, name):
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")

    def _getstate(self):
        return _astuple(self)

    def _setstate(self, state):
        for name, item in zip(self.__match_args__, state, strict=True):
            object.__setattr__(self, name, item)
