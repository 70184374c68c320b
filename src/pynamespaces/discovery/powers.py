"""Which capabilities a process would have over a namespace (user_namespaces(7), "Capabilities")."""

from __future__ import annotations

import os

from pynamespaces import capabilities, handles, kinds, procfs
from pynamespaces.errors import refusal
from pynamespaces.handles import Namespace
from pynamespaces.kinds import Kind
from pynamespaces.pidfds import open_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.pidfds import Process

#: User namespaces nest no deeper.
_DEEPEST = 33


class Capabilities(frozenset[str]):
    """Names of capabilities; ``in`` takes a name as `Isolation` does ("net_admin", "CAP_NET_ADMIN") or its number."""

    def __contains__(self, capability: object) -> bool:
        if not isinstance(capability, (str, int)):
            return False
        return super().__contains__(capabilities.name(capabilities.number(capability)))


def can(process: Process, namespace: Namespace, /) -> Capabilities:
    """The capabilities that a process would have over a namespace: ``"net_admin" in can(pid, blue)``.

    A process has its effective capabilities over what its own user namespace owns and over what is owned below that,
    all of them over the user namespaces that its effective uid made there and over all below those, and none elsewhere.

    Args:
        process: its id, a Popen or a PidFd.
        namespace: of any kind; for a user namespace: over it, and so over what it owns.

    Returns:
        their names, as `Isolation` takes them; empty: none.

    Raises:
        ProcessLookupError: it has ended (ESRCH).
        PermissionError: it, or the owner, may not be inspected from here (EACCES, EPERM).
    """
    held, ours = open_process(process)
    try:
        with handles.of_pidfd(held, kinds.row(Kind.USER)) as home:
            pid = procfs.pid_of_pidfd(held)
            text = procfs.read_text(f"/proc/{pid}/status")
            uid, effective = _status(text or "")
            if text is None or procfs.pid_of_pidfd(held) != pid:
                raise refusal(3, step=f"read /proc/{pid}/status")
            over = namespace._share() if namespace.kind is Kind.USER else namespace.owner()
            return _walk(over, home, uid, effective)
    finally:
        if ours:
            os.close(held)


def _walk(over: Namespace, home: Namespace, uid: int, effective: int) -> Capabilities:
    """From the target's user namespace up to the process's, as the kernel's cap_capable does."""
    for _ in range(_DEEPEST):
        with over:
            if over == home:
                return _names(effective)
            try:
                above = over.parent()
            except PermissionError:  # the top, or as far up as can be seen: the process's is not on the way
                return Capabilities()
            if above == home and over.owner_uid == uid and _is_told(uid):
                above.close()
                return _names((1 << _count()) - 1)
        over = above
    over.close()
    return Capabilities()


def _status(text: str) -> tuple[int, int]:
    """The effective uid and the effective capabilities."""
    found = {line.partition(":")[0]: line.partition(":")[2].split() for line in text.splitlines()}
    return int((found.get("Uid") or ["", "-1"])[1]), int((found.get("CapEff") or ["0"])[0], 16)


def _is_told(uid: int) -> bool:
    """Is it one uid, and not the one that stands for all that this user namespace does not map (user_namespaces(7))?"""
    nobody = procfs.read_text("/proc/sys/kernel/overflowuid")
    return procfs.in_first_user_namespace() or uid != int(nobody or 65534)


def _count() -> int:
    """How many capabilities this kernel has."""
    text = procfs.read_text("/proc/sys/kernel/cap_last_cap")
    return int(text) + 1 if text else len(capabilities.NAMES)


def _names(mask: int) -> Capabilities:
    return Capabilities([capabilities.name(number) for number in range(64) if mask >> number & 1])
