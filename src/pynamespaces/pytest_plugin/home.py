"""--namespaces-home: an ordinary user's whole session moves, once, into a user namespace with a base set of namespaces.

From there tests can go into namespaces of their own, and come back, in pytest's own process.  It stays who it is, and
keeps only the capabilities that this takes: what is forbidden to the user stays forbidden.  Commands that it starts,
xdist's workers too, inherit all of it.
"""

from __future__ import annotations

import os

import pytest

#: What the session keeps: unshare and setns, mounts, the network; no DAC_OVERRIDE, for one.
KEPT = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_CHROOT")
BASE: dict[str, tuple[str, ...]] = {
    "keep-net": ("mnt", "uts", "ipc", "cgroup"),
    "isolated": ("mnt", "uts", "ipc", "cgroup", "net"),
}


def move(home: str) -> None:
    """Move, if this process is not somewhere already where it can come home.

    Raises:
        pytest.UsageError: threads are running; or this machine refuses user namespaces; and the ways out.
    """
    from pynamespaces import capabilities, plan
    from pynamespaces._kernel import sched
    from pynamespaces.errors import NamespaceError
    from pynamespaces.rootless import become_root

    if home not in BASE:
        raise pytest.UsageError(f"--namespaces-home is one of no, {', '.join(BASE)}, got {home!r}")
    if sched.has_capability(capabilities.SYS_ADMIN):
        return
    before = os.getcwd()
    try:
        become_root(*BASE[home], ids="current")
        plan.carry_out(plan.capabilities(capabilities.numbers(KEPT)))
    except NamespaceError as error:
        others = (
            "; load this plugin first (addopts = -p pynamespaces), or start pytest by: "
            f"unshare --user --map-current-user --keep-caps -mui{'n' if home == 'isolated' else ''}C pytest …"
            if "thread" in str(error)
            else ""
        )
        raise pytest.UsageError(f"--namespaces-home={home}: {error.strerror}{others}") from None
    if home == "isolated":
        _as_host()
    os.chdir(before)


def _as_host() -> None:
    """The session's own network is a host without a cable, too."""
    from pynamespaces import plan
    from pynamespaces._kernel import steps
    from pynamespaces.isolation import Isolation

    for step in Isolation("net", loopback="host").plan():
        if step.op in (steps.LOOPBACK, steps.ADDRESS, steps.WRITE):
            plan.carry_out(step)
