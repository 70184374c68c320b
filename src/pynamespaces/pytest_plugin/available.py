"""Where a test can have what it asks for: in pytest's own process, in a child, or not at all, and why."""

from __future__ import annotations

import os

from pynamespaces.isolation import Isolation
from pynamespaces.kinds import Kind
from pynamespaces.pytest_plugin.marks import INPROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.pytest_plugin.marks import Wish
    from pynamespaces.pytest_plugin.options import Settings

#: What a test's own user namespace leaves it beside its user's own rights, so that what is forbidden to that user stays
#: forbidden: no DAC_OVERRIDE, for one.
KEPT = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT")

_places: dict[tuple[object, ...], tuple[str, Isolation | None, str]] = {}


def place_of(wish: Wish, mode: str) -> tuple[str, Isolation | None, str]:
    """The mode and the place of a test; where there is none, the reason.

    Args:
        mode: what is in force for the session; the test's own wins.
    """
    mode = wish.mode or mode
    key = wish, mode
    if key not in _places:
        _places[key] = _place(wish, mode)
    return _places[key]


def _place(wish: Wish, mode: str) -> tuple[str, Isolation | None, str]:
    box = wish.box
    own = not box.kinds & ~INPROCESS and wish.timeout is None
    refused = "no thread comes back from these kinds"
    if mode != "fork" and own:
        refused = _refusal(Isolation(box.kinds), "block") or ""
        if not refused:
            return "inprocess", box, ""
    if mode == "inprocess":
        return mode, None, refused
    with_user = box if Kind.USER in box.kinds else _as_own_user(box)
    for candidate in (box, with_user):
        furnished = {name: getattr(candidate, name) for name in ("clock", "ids", "init")}
        refused = _refusal(Isolation(candidate.kinds, **furnished), "call") or ""
        if not refused:
            return "fork", candidate, ""
    return "fork", None, refused


def _as_own_user(box: Isolation) -> Isolation:
    """The same in a user namespace, which lets an ordinary user have it, and in which he is who he was."""
    from pynamespaces.idmaps import IdMap

    return box.replace(kinds=box.kinds | Kind.USER, ids=IdMap.current(), capabilities=KEPT)


def _refusal(place: Isolation, verb: str) -> str | None:
    from pynamespaces.doctor import refusal_of

    return refusal_of(place, verb)  # type: ignore[arg-type]


def header(settings: Settings) -> str:
    """The line of the report's head: what this user can have, as far as can be said without trying."""
    from pynamespaces import capabilities
    from pynamespaces._kernel import sched
    from pynamespaces.procfs import read_text

    words = []
    if settings.home != "no":
        words.append(f"home={settings.home}")
    if settings.kinds:
        words.append(f"every test in {' '.join(settings.kinds)}")
    if settings.mode != "auto":
        words.append(f"mode={settings.mode}")
    power = sched.has_capability(capabilities.SYS_ADMIN)
    here = "net mnt uts ipc cgroup"
    if power and settings.home == "keep-net":
        here = "mnt uts ipc cgroup"
    if power:
        can = f"in-process: {here}; forked: all kinds"
    elif (read_text("/proc/sys/user/max_user_namespaces") or "").strip() == "0":
        can = "unavailable: /proc/sys/user/max_user_namespaces is 0"
    else:
        can = "in-process: none (see --namespaces-home); forked: all kinds, in a user namespace"
    return f"namespaces: {', '.join([f'uid {os.geteuid()}', *words])}; {can}"
