"""Capabilities by name: what capabilities(7) lists, as the kernel numbers it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: In the kernel's order: the number of each is its place.  A kernel may know fewer, or more.
NAMES = tuple(
    """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
    sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
    mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore""".split()  # noqa: SIM905
)
_BY_NAME = {name: number for number, name in enumerate(NAMES)}
#: What most of namespaces(7) takes.
SYS_ADMIN = _BY_NAME["sys_admin"]


def number(capability: int | str) -> int:
    """The number of a capability: "net_admin", "CAP_NET_ADMIN", or the number itself.

    Raises:
        ValueError: there is none of that name or number.
    """
    if type(capability) is int:
        if not 0 <= capability < 64:
            raise ValueError(f"no capability has the number {capability}; expected 0 to 63")
        return capability
    if not isinstance(capability, str):
        raise TypeError(f"expected a capability's name or number, got {capability!r}")
    found = _BY_NAME.get(capability.lower().removeprefix("cap_"))
    if found is None:
        raise ValueError(f"unknown capability {capability!r}: expected one of {', '.join(NAMES)}")
    return found


def name(number: int) -> str:
    """``"net_admin"``; of one that is newer than this library, its number."""
    return NAMES[number] if number < len(NAMES) else str(number)


def numbers(capabilities: Iterable[int | str]) -> frozenset[int]:
    """The numbers of several."""
    if isinstance(capabilities, (str, int)):
        raise TypeError(f"expected several capabilities, got {capabilities!r}")
    return frozenset(map(number, capabilities))
