"""Executor 3: errands.  A child that shares all of this process's memory and descriptors carries out a plan, makes one
descriptor in the place where it then is, and ends; the descriptor stays here.

So a thread gets a socket, a file or a new namespace of a place that it could never enter and come back from: it may
have other threads beside it, and the place may belong to another user namespace.
"""

from __future__ import annotations

import os

from pynamespaces import kinds, plan
from pynamespaces._kernel import errand, prctl
from pynamespaces._kernel import steps as operations
from pynamespaces.handles import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pynamespaces.plan import Step


def go(todo: Sequence[Step]) -> None:
    """Carry out a plan there, and leave nothing here.

    Raises:
        NamespaceError: a step was refused, with its name.
    """
    _run(todo, errand.NOTHING, (), None, "")


def open_socket(todo: Sequence[Step], family: int, type_: int, proto: int = 0) -> int:
    """socket(2) there; close-on-exec from birth."""
    return _run(todo, errand.SOCKET, (family, type_, proto), None, f"socket({family}, {type_}, {proto})")


def open_file(todo: Sequence[Step], path: str | os.PathLike[str], flags: int, mode: int = 0o666) -> int:
    """open(2) there; close-on-exec from birth."""
    return _run(todo, errand.OPEN, (flags, mode), os.fsencode(path), f"open({os.fspath(path)})")


def open_tap(todo: Sequence[Step], name: str, *, tun: bool = False) -> int:
    """A tap (frames) or tun (packets) interface there; it is gone with its descriptor.

    Raises:
        NotPermitted: no CAP_NET_ADMIN there (EPERM), or /dev/net/tun is closed to this user (EACCES).
        NotFound: this kernel has no tun (ENOENT, ENODEV).
    """
    flags = (errand.IFF_TUN if tun else errand.IFF_TAP) | errand.IFF_NO_PI
    return _run(todo, errand.TAP, (flags,), name.encode(), f"ioctl(TUNSETIFF, {name}) of /dev/net/tun")


def make(todo: Sequence[Step]) -> list[Namespace]:
    """Carry out a plan with an unshare, and hold the new namespaces that it made (but pid and time)."""
    flags = 0
    for step in todo:
        if step.op == operations.UNSHARE:
            flags |= step.flags
    with _sharing(todo):
        answer, failed, fds, said = errand.run(todo, errand.HOLD, (flags,))
    if answer < 0:
        _refuse(todo, answer, failed, said, "hold the new namespaces")
    found: list[Namespace] = []
    rows = [kinds.row_of_flag(flag) for flag in errand.ORDER if flag & flags]
    for position, row in enumerate(rows):
        try:
            found.append(Namespace._adopt(fds[position], row, loud=False))
        except BaseException:
            for fd in fds[position + 1 :]:
                os.close(fd)
            raise
    return found


def make_user() -> Namespace:
    """A user namespace of our own in which this user is root, without a process in it (user_namespaces(7))."""
    uid, gid = os.geteuid(), os.getegid()
    with prctl.readable():
        (user,) = make(
            [
                plan.unshare(kinds.parse("user")),
                plan.write("/proc/self/setgroups", "deny"),
                plan.write("/proc/self/uid_map", f"0 {uid} 1"),
                plan.write("/proc/self/gid_map", f"0 {gid} 1"),
            ]
        )
    return user


def _run(todo: Sequence[Step], op: int, arguments: tuple[int, ...], path: bytes | None, last: str) -> int:
    with _sharing(todo):
        answer, failed, _, said = errand.run(todo, op, arguments, path)
    if answer < 0:
        _refuse(todo, answer, failed, said, last)
    return answer


def _sharing(todo: Sequence[Step]) -> prctl.sharing:
    """Around a child that shares our memory where somebody else may be root."""
    user = kinds.row("user").flag
    return prctl.sharing(any(step.op == operations.JOIN and step.flags & user for step in todo))


def _refuse(todo: Sequence[Step], answer: int, failed: int, said: str, last: str) -> None:
    if failed < len(todo):
        raise plan.refused(todo[failed], -answer, said)
    raise plan.refused(plan.Step(0, last), -answer)
