"""One process, several numbers: translating process ids between pid namespaces (ioctl_nsfs(2), Linux 6.11)."""

from __future__ import annotations

import os

from pynamespaces import causes
from pynamespaces._kernel import nsfs
from pynamespaces.errors import refusal
from pynamespaces.handles import Namespace
from pynamespaces.kinds import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.pidfds import Process

_FROM, _IN = 0, 2  # NS_GET_PID_FROM_PIDNS, NS_GET_PID_IN_PIDNS


def translate_pid(
    pid: int, source: Namespace | Process | None = None, target: Namespace | Process | None = None
) -> int:
    """What a process (or thread) that has this number in one pid namespace is called in another.

    Args:
        pid: its number in `source`.
        source: a pid Namespace, or a process that lives in it; None is the caller's.
        target: the same; None is the caller's.

    Returns:
        its number in `target`.

    Raises:
        ProcessLookupError: there is no such process in `source`, or it is not visible in `target` (ESRCH).
        NotSupported: the kernel is older than 6.11 (ENOTTY).
    """
    if type(pid) is not int:
        raise TypeError(f"expected a process id, got {pid!r}")
    if not 0 < pid < 2**31:
        raise ValueError(f"not a process id: {pid}; expected 1 to {2**31 - 1}")
    here = pid if source is None else _translate(source, _FROM, pid, f"process {pid} of the source")
    if target is None:
        if source is None and not os.path.exists(f"/proc/{pid}"):
            raise refusal(3, step=f"look for process {pid}")
        return here
    return _translate(target, _IN, here, f"process {here} in the target")


def host_pids(namespace: Namespace) -> list[int]:
    """The processes that are visible in a pid namespace, by the numbers that they have in the caller's."""
    if namespace.kind is not Kind.PID:
        raise ValueError(f"only pid namespaces have process ids, not {namespace.kind}")
    fd = namespace.fileno()
    found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return sorted(pid for pid in found if nsfs.translate_pid(fd, _IN, pid) is not None)


def _translate(where: Namespace | Process, direction: int, pid: int, what: str) -> int:
    namespace = where if isinstance(where, Namespace) else Namespace.of(where, "pid")
    try:
        if namespace.kind is not Kind.PID:
            raise ValueError(f"only pid namespaces have process ids, not {namespace.kind}")
        try:
            found = nsfs.translate_pid(namespace.fileno(), direction, pid)
        except OSError as error:
            raise causes.refused(error, f"translate {what}") from None
    finally:
        if namespace is not where:
            namespace.close()
    if found is None:
        raise refusal(3, step=f"translate {what}", text="there is no such process there")
    return found
