"""What mounts may be told: paths, sizes, modes and attributes, checked before any call."""

from __future__ import annotations

import enum
import os
import re

from pynamespaces._kernel import steps
from pynamespaces.plan import PROPAGATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    PathLike: TypeAlias = "str | os.PathLike[str]"

#: Keyword -> the attribute of the mount that it sets (mount_setattr(2)).
ATTRIBUTES = {"read_only": steps.RDONLY, "nosuid": steps.NOSUID, "nodev": steps.NODEV, "noexec": steps.NOEXEC}

_UNITS = "kmgtpe"


class Propagation(enum.StrEnum):
    """Where mounts and unmounts below a mount are seen as well: mount_namespaces(7).

    A member is also the str that ``Isolation(propagation=...)`` takes.
    """

    PRIVATE = "private"  #: nowhere else
    SLAVE = "slave"  #: they come in from the peers, and do not go out
    SHARED = "shared"  #: in all peers
    UNBINDABLE = "unbindable"  #: private, and it cannot be bind mounted

    @property
    def flag(self) -> int:
        """The MS_* flag."""
        return PROPAGATIONS[self.value]


def target(path: PathLike) -> str:
    """Where to mount: an absolute path without NUL, in its shortest form."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"a target must be a str or a path, got {text!r}")
    if not text.startswith("/") or "\0" in text:
        raise ValueError(f"a target must be an absolute path without NUL, got {text!r}")
    return "/" + os.path.normpath(text).lstrip("/")


def source(path: PathLike) -> str:
    """What to mount: made absolute from the cwd of now, as the plan may run elsewhere."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"a source must be a str or a path, got {text!r}")
    if not text or "\0" in text:
        raise ValueError(f"a source must be a path without NUL, got {text!r}")
    return os.path.abspath(text)


def size(value: int | str) -> str:
    """A size in bytes, or as "64k", "10M", "1G", "50%" (of the memory), as tmpfs(5) takes it."""
    if type(value) is int:
        if not 0 < value < 2**63:
            raise ValueError(f"a size is 1 to 2**63-1 bytes, got {value}")
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"a size is an int or a str, got {value!r}")
    found = re.fullmatch(r"([0-9]+)([kmgtpe%]?)", value, re.IGNORECASE)
    number = int(found[1]) if found else 0
    unit = found[2].lower() if found else ""
    if found and unit == "%" and 0 < number <= 100:
        return value
    if not found or unit == "%" or not 0 < number << 10 * (_UNITS.find(unit) + 1 if unit else 0) < 2**63:
        raise ValueError(f"a size is bytes with k, M, G, T, P or E, or 1% to 100%, and less than 2**63, got {value!r}")
    return value


def mode(value: int) -> str:
    """Permission bits, as an octal text."""
    if type(value) is not int:
        raise TypeError(f"a mode is an int (0o755), got {value!r}")
    if not 0 <= value <= 0o7777:
        raise ValueError(f"a mode is 0 to 0o7777, got {value:#o}")
    return f"{value:04o}"


def number(name: str, value: int, low: int = 0, high: int = 2**31 - 1) -> int:
    """An int within bounds."""
    if type(value) is not int:
        raise TypeError(f"{name} is an int, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} is {low} to {high}, got {value}")
    return value


def attributes(given: dict[str, bool]) -> int:
    """read_only, nosuid, nodev, noexec as the flags of a step."""
    flags = 0
    for name, wanted in given.items():
        if name not in ATTRIBUTES:
            raise TypeError(f"unknown attribute {name!r}: expected {', '.join(ATTRIBUTES)}")
        if not isinstance(wanted, bool):
            raise TypeError(f"{name} is True or False, got {wanted!r}")
        flags |= ATTRIBUTES[name] if wanted else 0
    return flags


def propagation(how: Propagation | str) -> Propagation:
    """A Propagation by its name."""
    try:
        return Propagation(how)
    except ValueError:
        names = ", ".join(member.value for member in Propagation)
        raise ValueError(f"unknown propagation {how!r}: expected one of {names}") from None
