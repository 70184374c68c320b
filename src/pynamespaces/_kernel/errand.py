"""errand.c: a child that shares our memory and descriptors makes a descriptor in other namespaces."""

from __future__ import annotations

from pynamespaces._kernel import steps
from pynamespaces._kernel._ffi import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pynamespaces.plan import Step

NOTHING = lib.PN_ERRAND_NONE
HOLD = lib.PN_ERRAND_HOLD
SOCKET = lib.PN_ERRAND_SOCKET
OPEN = lib.PN_ERRAND_OPEN
TAP = lib.PN_ERRAND_TAP

IFF_TUN = lib.IFF_TUN
IFF_TAP = lib.IFF_TAP
IFF_NO_PI = lib.IFF_NO_PI
IFF_VNET_HDR = lib.IFF_VNET_HDR

#: The kinds that can be held, in the order in which their descriptors come.
ORDER = (
    lib.CLONE_NEWNET,
    lib.CLONE_NEWUTS,
    lib.CLONE_NEWIPC,
    lib.CLONE_NEWCGROUP,
    lib.CLONE_NEWNS,
    lib.CLONE_NEWUSER,
)


def run(
    todo: Sequence[Step], op: int, arguments: tuple[int, ...] = (), path: bytes | None = None
) -> tuple[int, int, list[int], str]:
    """Do these steps in a child, then the last call.

    Returns:
        the answer (>= 0, or -errno); which step refused, or their number for the last call; with HOLD the descriptors,
        in the order of `ORDER`; and what a file system said of a refusal.
    """
    alive: list[Any] = []
    errand: Any = ffi.new("struct pn_errand *")
    errand.steps, errand.count, errand.op = steps.array(todo, alive), len(todo), op
    errand.arguments = (*arguments, *([0] * (3 - len(arguments))))
    if path is not None:
        alive.append(ffi.from_buffer("char[]", path + b"\0"))
        errand.path = alive[-1]
    answer = lib.pn_errand(errand)
    held = [errand.fds[i] for i in range(answer)] if op == HOLD else []
    return answer, errand.failed, held, steps.text(errand.log)
