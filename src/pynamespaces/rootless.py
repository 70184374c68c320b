"""become_root: one way, for ordinary users, into a user namespace in which this process is root."""

from __future__ import annotations

import os

from pynamespaces import causes, inits, kinds, plan, procfs, ways
from pynamespaces._kernel import prctl, sched
from pynamespaces.errors import NotSupported
from pynamespaces.kinds import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from pynamespaces.kinds import KindLike

#: The base set by default: the host's network stays.
BASE = (Kind.MNT, Kind.UTS, Kind.IPC, Kind.CGROUP)


def become_root(*kinds_: KindLike, ids: Literal["root", "current"] = "root") -> None:
    """Make this process root of a new user namespace, together with a base set of new namespaces; there is no way back.

    Afterwards blocks of the base kinds work as root's do: only namespaces made in the same call can be come back to.
    Uid and gid are mapped to 0, supplementary groups are given up (``setgroups`` is denied).  In a new mnt namespace
    mounts of the host still arrive, and none of this process's go there.

    Args:
        kinds_: the base set; by default mnt, uts, ipc and cgroup, so that the host's network stays.  With pid, a tiny
            init of ours is PID 1 there; this process itself stays outside, and can start no thread any more (clone(2)).
        ids: "root", or "current": with root's capabilities, but as the user and group that one is.

    Raises:
        ValueError: another word for ids.
        NotSupported: this process has other threads, which the message names (EINVAL): unshare(2).
        NotPermitted: this machine refuses user namespaces to this user (EPERM), and why.
        OSError: a limit in /proc/sys/user is reached (ENOSPC).
    """
    if ids not in ("root", "current"):
        raise ValueError(f"ids is 'root' or 'current', got {ids!r}")
    rows = [row for row in kinds.parse(*kinds_ or BASE) if row.kind is not Kind.USER]
    stack = ways.frames()
    if stack:
        raise RuntimeError("leave all namespace blocks first: none of them could be left afterwards")
    if not ways.wait_alone(0.05):
        hint = (
            f"{procfs.describe_threads() or 'other threads'}: a user namespace can only be entered by a process with a "
            f"single thread; call become_root() before any thread starts, or use run, call or executor"
        )
        raise NotSupported(22, "this process has other threads", step="unshare(user)", hint=hint)
    uid, gid = os.geteuid(), os.getegid()
    own = os.open("/proc/thread-self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check_maps(own)
        step = plan.unshare([kinds.row(Kind.USER), *[row for row in rows if row.kind is not Kind.PID]])
        plan.carry_out(step)
        ways.moved = True
        with _dumpable():
            _write(own, "setgroups", "deny")
            _write(own, "uid_map", f"{uid if ids == 'current' else 0} {uid} 1")
            _write(own, "gid_map", f"{gid if ids == 'current' else 0} {gid} 1")
    finally:
        os.close(own)
    for row in rows:
        if row.kind is Kind.MNT:
            plan.carry_out(plan.propagate("slave"))
        elif row.kind is Kind.NET:
            plan.carry_out(plan.loopback())
        elif row.kind is Kind.PID:
            try:
                held = inits.start()
            except OSError as error:
                raise causes.refused(error, "init (PID 1 of the new pid namespace)") from None
            ways.follow_init(held)
        elif row.kind is Kind.TIME:  # leaving a block moves this process's own clocks to the base, too
            _enter_time()


def _enter_time() -> None:
    fd = sched.current(ways.TIME, for_children=True)
    try:
        answer = sched.go(fd, ways.TIME)
    finally:
        os.close(fd)
    if answer < 0:
        raise ways.refused(-answer, "setns(time)")


class _dumpable:  # noqa: N801 (reads as a verb)
    """The files of a process that dropped privileges belong to root until it is dumpable again (proc(5))."""

    def __enter__(self) -> None:
        self._before = prctl.dumpable()
        if self._before != 1:
            prctl.set_dumpable(1)

    def __exit__(self, *_: object) -> None:
        if self._before == 0:
            prctl.set_dumpable(0)


def _check_maps(own: int) -> None:
    """See that the maps can be written before anything is given up."""
    for name in ("uid_map", "gid_map", "setgroups"):
        try:
            os.stat(name, dir_fd=own)
        except OSError as error:
            raise causes.refused(error, f"write /proc/thread-self/{name}") from None


def _write(own: int, name: str, text: str) -> None:
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=own)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise causes.refused(error, f"write {text!r} to /proc/thread-self/{name}") from None
