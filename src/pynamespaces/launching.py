"""A plan and a command into a launch: which steps the helper does, which the child, and what went wrong."""

from __future__ import annotations

import os

from pynamespaces import causes, idmaps, kinds, plan
from pynamespaces._kernel import launch, prctl, steps
from pynamespaces._kernel.launch import Command, Launch
from pynamespaces.errors import NamespaceError, NotSupported, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pynamespaces.plan import Step

_PID = kinds.row("pid").flag
_TIME = kinds.row("time").flag
_USER = kinds.row("user").flag

#: Done after user and group have changed: what they lose, or what would take their right to change.
LATE = (steps.CAPABILITIES, steps.NO_NEW_PRIVS)


class Failure(Exception):
    """A child's failure in a phase of its own, for which subprocess has its own words: cwd or exec."""

    def __init__(self, phase: int, errno: int) -> None:
        super().__init__(phase, errno)
        self.phase = phase
        self.errno = errno


def has_init(plan: Sequence[Step]) -> bool:
    """Does the plan want PID 1 to be our init?"""
    return any(step.op == steps.INIT for step in plan)


def makes_pid_1(plan: Sequence[Step]) -> bool:
    """Will the command itself be PID 1?"""
    return not has_init(plan) and any(step.op == steps.UNSHARE and step.flags & _PID for step in plan)


def start(plan: Sequence[Step], command: Command, ready: Callable[[int], object] | None = None) -> Launch:
    """Launch a command by a plan; when this returns it has exec'ed.

    Raises:
        NamespaceError: a step of the plan failed; nothing is left over.
        Failure: the command's cwd or exec failed; nothing is left over.
    """
    joins: list[Step] = []
    inner: list[Step] = []
    late: list[Step] = []
    joined = flags = 0
    maps: Step | None = None
    with_init = clocks = False
    for step in plan:
        op = step.op
        if op == steps.JOIN:
            joined |= step.flags
            joins.append(step)
        elif op == steps.UNSHARE:
            flags |= step.flags
        elif op == steps.MAP_IDS:
            maps = step
        elif op == steps.INIT:
            with_init = True
        elif op in LATE:
            late.append(step)
        else:
            clocks = clocks or op == steps.CLOCKS
            inner.append(step)
    if joined & flags & _PID:
        text = (
            "a new pid namespace within an existing one: only a process that is inside can make it (unshare(2), EINVAL)"
        )
        hint = "start a program inside that makes it, or leave pid out of the existing or of the new ones"
        raise NotSupported(95, text, step="unshare(pid)", hint=hint)
    outer: list[Step] = []
    if joined & _TIME:
        way = launch.COPY
    elif with_init or joined & _PID or (joined and flags):
        way = launch.HELPER
    else:
        way = launch.DIRECT
        outer = joins
    if way != launch.DIRECT:
        outer = [*joins, *[step for step in plan if step.op == steps.UNSHARE]]
        outer += [step for step in inner if step.op == steps.CLOCKS]  # before init, the first process there
        inner = [step for step in inner if step.op != steps.CLOCKS]
    started = Launch(way, flags, outer, inner, late, command, wait=maps is not None or ready is not None)
    # timens_offsets and uid_map of a process that is not dumpable belong to root.
    hidden = bool(joined & _USER) and maps is None and not clocks
    try:
        with prctl.sharing(hidden):
            _run(started, maps, [*outer, *inner, *late], flags, ready)
    except NamespaceError as error:
        raise _of_whom(error, command) from error.__cause__
    except BaseException:
        started.abandon()
        raise
    return started


def _run(
    started: Launch, maps: Step | None, order: list[Step], flags: int, ready: Callable[[int], object] | None
) -> None:
    answer = started.start()
    if answer < 0:
        names = ", ".join(row.name for row in kinds.TABLE if row.flag & flags)
        step = f"clone({names})"
        raise refusal(-answer, step=step, hint=causes.why(-answer, step))
    try:
        if maps is not None:
            with causes.naming("write the id maps"):
                write_maps(started.waiting, maps, order)
        if ready is not None:
            ready(started.waiting)
    except BaseException as error:
        failed = started.go(abandon=True)
        if failed not in (0, -125) and started.failed < len(order):  # it had failed before we could write
            raise plan.refused(order[started.failed], -failed, started.said, users=bool(flags & _USER)) from error
        raise
    answer = started.go()
    if answer == 0:
        return
    where = started.failed
    if where in (launch.CWD, launch.EXEC):
        raise Failure(where, -answer)
    if where in launch.PHASES:
        step = launch.PHASES[where]
        raise refusal(-answer, step=step, hint=causes.why(-answer, step, users=bool(flags & _USER)))
    raise plan.refused(order[where], -answer, started.said, users=bool(flags & _USER))


def write_maps(pid: int, maps: Step, todo: Sequence[Step]) -> None:
    """Write the maps of a process that waits in its new user namespace, from where that one's parent namespace is."""
    for step in todo:
        if step.op == steps.JOIN and step.flags == _USER:
            return idmaps.write_within(pid, maps, step)
    return idmaps.write(pid, maps)


def _of_whom(error: NamespaceError, command: Command) -> NamespaceError:
    """Name the ids in the refusal of a change of ids: EINVAL means that the user namespace does not map them."""
    ids = {"setresuid": command.uid, "setresgid": command.gid, "setgroups": command.groups}.get(error.step)
    if ids is None:
        return error
    hint = error.hint
    if error.errno == 22:
        hint = f"{ids} {'is' if isinstance(ids, int) else 'are'} not mapped in the command's user namespace"
    return refusal(error.errno or 0, step=f"{error.step}({ids})", hint=hint)


def executables(argv0: bytes, path: str | None) -> tuple[bytes, ...]:
    """The candidates for a command, as execvp(3) looks for them."""
    if b"/" in argv0:
        return (argv0,)
    found = os.fsencode(path or os.defpath).split(b":")
    return tuple([directory + b"/" + argv0 if directory else argv0 for directory in found])
