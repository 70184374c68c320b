"""Why the kernel refuses: the one source of diagnosis, for errors, doctor and the plugin's skips."""

from __future__ import annotations

from pynamespaces.errors import NamespaceError, refusal


def refused(error: OSError, step: str, *, filename: str | None = None, hint: str | None = None) -> NamespaceError:
    """The kernel's refusal of a step, with the cause where one is found."""
    number = error.errno or 0
    return refusal(number, step=step, filename=filename, hint=hint or why(number, step))


def why(errno: int, call: str) -> str | None:
    return None
