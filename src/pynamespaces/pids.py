"""One process, several numbers: translating process ids between pid namespaces.

By the calls of ioctl_nsfs(2) (Linux 6.11); by the line NSpid of /proc/PID/status (Linux 4.1) where they are missing.
"""

from __future__ import annotations

import errno
import os

from pynamespaces import causes, procfs
from pynamespaces._kernel import nsfs
from pynamespaces.errors import refusal
from pynamespaces.handles import Namespace
from pynamespaces.kinds import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynamespaces.pidfds import Process

FROM, IN = 0, 2  # NS_GET_PID_FROM_PIDNS, NS_GET_PID_IN_PIDNS


def translate_pid(
    pid: int, source: Namespace | Process | None = None, target: Namespace | Process | None = None
) -> int:
    """What a process (or thread) that has this number in one pid namespace is called in another.

    ``translate_pid(1, source=pid)`` is the number, here, of PID 1 of the container that this process lives in.

    Args:
        pid: its number in ``source``.
        source: a pid Namespace, or a process that lives in it; None is the caller's.
        target: the same; None is the caller's.

    Returns:
        its number in ``target``.

    Raises:
        ProcessLookupError: there is no such process in ``source``, or it is not visible in ``target`` (ESRCH).
        PermissionError: ``source`` or ``target`` is a process that may not be inspected (EACCES).
    """
    if type(pid) is not int:
        raise TypeError(f"expected a process id, got {pid!r}")
    if not 0 < pid < 2**31:
        raise ValueError(f"not a process id: {pid}; expected 1 to {2**31 - 1}")
    here = pid if source is None else _translate(source, FROM, pid, f"process {pid} of the source")
    if target is None:
        if source is None and not os.path.exists(f"/proc/{pid}"):
            raise refusal(3, step=f"look for process {pid}")
        return here
    return _translate(target, IN, here, f"process {here} in the target")


def host_pids(namespace: Namespace) -> list[int]:
    """The processes that are visible in a pid namespace, by the numbers that they have in the caller's."""
    if namespace.kind is not Kind.PID:
        raise ValueError(f"only pid namespaces have process ids, not {namespace.kind}")
    return sorted(pid for pid in _processes() if ask(namespace, IN, pid) is not None)


def _translate(where: Namespace | Process, direction: int, pid: int, what: str) -> int:
    namespace = where if isinstance(where, Namespace) else Namespace.of(where, "pid")
    try:
        if namespace.kind is not Kind.PID:
            raise ValueError(f"only pid namespaces have process ids, not {namespace.kind}")
        try:
            found = ask(namespace, direction, pid)
        except OSError as error:
            raise causes.refused(error, f"translate {what}") from None
    finally:
        if namespace is not where:
            namespace.close()
    if found is None:
        raise refusal(3, step=f"translate {what}", text="there is no such process there")
    return found


def ask(namespace: Namespace, direction: int, pid: int) -> int | None:
    """A number `FROM` or `IN` a pid namespace; None where there is no such process, or none that may be looked at."""
    try:
        return nsfs.translate_pid(namespace.fileno(), direction, pid)
    except OSError as error:
        if error.errno != errno.ENOTTY:
            raise
    below = _steps_up(namespace.fileno(), os.stat("/proc/thread-self/ns/pid").st_ino)
    if below is None:
        return None  # neither the caller's pid namespace nor below it
    if direction == IN:
        return _number(pid, namespace.id.ino, below)
    for task in _tasks():
        numbers = _numbers(task)
        if len(numbers) > below and numbers[below] == pid and _number(task, namespace.id.ino, below) == pid:
            return task
    return None


def _number(task: int, inode: int, below: int) -> int | None:
    """A task's number in the pid namespace that has this inode and is so far below the caller's; None: it has none."""
    numbers = _numbers(task)
    if len(numbers) <= below:
        return None
    try:
        fd = os.open(f"/proc/{task}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return numbers[below] if _steps_up(fd, inode) == len(numbers) - 1 - below else None
    finally:
        os.close(fd)


def _numbers(task: int) -> list[int]:
    """NSpid: its numbers from the caller's pid namespace down to its own; none once it has ended."""
    for line in (procfs.read_text(f"/proc/{task}/status") or "").splitlines():
        if line.startswith("NSpid:"):
            return [int(word) for word in line[6:].split()]
    return []


def _steps_up(fd: int, inode: int) -> int | None:
    """How many parents above a pid namespace the one with this inode is; None: it is not among them."""
    at = os.dup(fd)
    try:
        for steps in range(33):  # they nest no deeper
            if os.fstat(at).st_ino == inode:
                return steps
            above = nsfs.parent(at)
            os.close(at)
            at = above
    except PermissionError:  # the last one in sight
        pass
    finally:
        os.close(at)
    return None


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _tasks() -> Iterator[int]:
    """Processes first, then all threads."""
    processes = _processes()
    yield from processes
    for pid in processes:
        try:
            yield from [int(name) for name in os.listdir(f"/proc/{pid}/task") if name != str(pid)]
        except OSError:
            pass
