"""ClockOffsets: how far the clocks of a time namespace are from its parent's (time_namespaces(7))."""

from __future__ import annotations

import math

from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta

_SECOND = 1_000_000_000
#: The kernel refuses (ERANGE) offsets with which a clock would leave 0 … this many seconds.
_LIMIT = 4_611_686_018


@value(frozen=True)
class ClockOffsets:
    """Offsets of CLOCK_MONOTONIC and CLOCK_BOOTTIME; CLOCK_REALTIME cannot be moved.

    Args:
        monotonic: seconds, or a timedelta; may be negative.
        boottime: the same; what uptime(1) shows.
        monotonic_ns: nanoseconds, instead of ``monotonic``.
        boottime_ns: nanoseconds, instead of ``boottime``.

    Raises:
        TypeError: not a number or timedelta.
        ValueError: both forms of one clock, or an offset beyond the kernel's limit of 4,611,686,018 seconds.
    """

    monotonic: float | timedelta = 0
    boottime: float | timedelta = 0
    monotonic_ns: int = 0
    boottime_ns: int = 0

    def __post_init__(self) -> None:
        nanoseconds("monotonic", self.monotonic, self.monotonic_ns)
        nanoseconds("boottime", self.boottime, self.boottime_ns)

    def text(self) -> bytes:
        """What is written to /proc/PID/timens_offsets."""
        lines = []
        for name, offset, ns in (
            ("monotonic", self.monotonic, self.monotonic_ns),
            ("boottime", self.boottime, self.boottime_ns),
        ):
            seconds, rest = divmod(
                nanoseconds(name, offset, ns), _SECOND
            )  # the kernel's nanoseconds are never negative
            lines.append(f"{name} {seconds} {rest}\n")
        return "".join(lines).encode()


def nanoseconds(name: str, offset: float | timedelta, ns: int) -> int:
    """One clock's offset in nanoseconds, checked."""
    if type(ns) is not int:
        raise TypeError(f"{name}_ns must be an int, got {ns!r}")
    if offset and ns:
        raise ValueError(f"give {name} or {name}_ns, not both")
    if isinstance(offset, (int, float)):
        if not math.isfinite(offset):
            raise ValueError(f"{name} must be finite, got {offset!r}")
        if offset:
            ns = offset * _SECOND if isinstance(offset, int) else round(offset * _SECOND)
    elif hasattr(offset, "total_seconds"):
        ns = (offset.days * 86_400 + offset.seconds) * _SECOND + offset.microseconds * 1000
    else:
        raise TypeError(f"{name} must be seconds or a timedelta, got {offset!r}")
    if abs(ns) > _LIMIT * _SECOND:
        raise ValueError(f"{name} is {ns / _SECOND:g} seconds; the kernel's limit is {_LIMIT}")
    return ns
