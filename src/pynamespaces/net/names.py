"""Names: what a program inside sees of hosts and name servers, and what ``ip netns exec`` gives it.

Isolation("user", "net", "mnt", mounts=[net.hosts_file({"db": "10.0.0.2"}), net.resolv_conf("10.0.0.53")])
net.netns("blue").run(["curl", "http://db/"])       # as ``ip netns exec blue curl http://db/``
"""

from __future__ import annotations

import ipaddress
import os

from pynamespaces import mounts
from pynamespaces.handles import Namespace
from pynamespaces.isolation import Isolation
from pynamespaces.net.hosts import LOCALHOST
from pynamespaces.sets import NamespaceSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pynamespaces.mounts import Mount

NETNS = "/run/netns"  #: where ``ip netns`` keeps networks
ETC = "/etc/netns"  #: and where the files are that it shows below /etc (ip-netns(8))


def hosts_file(names: Mapping[str, str | Iterable[str]]) -> Mount:
    """An /etc/hosts with localhost and these names, for `Isolation(mounts=...)`; see hosts(5).

    Args:
        names: name -> its address, or several.

    Raises:
        ValueError: not an address, not a name.
    """
    lines = []
    for name, given in names.items():
        if not name or any(letter.isspace() or letter == "#" for letter in name):
            raise ValueError(f"not a host name: {name!r}")
        for address in (given,) if isinstance(given, str) else given:
            lines.append(f"{ipaddress.ip_address(address)} {name}\n")
    return mounts.file("/etc/hosts", "".join([LOCALHOST, *lines]))


def resolv_conf(*servers: str, search: Iterable[str] = (), options: Iterable[str] = ()) -> Mount:
    """An /etc/resolv.conf with these name servers, for `Isolation(mounts=...)`; see resolv.conf(5).

    Without a server every look-up of a name that /etc/hosts has not fails at once, rather than after a timeout.

    Args:
        servers: numeric addresses, at most three.
        search: domains to try.
        options: as "timeout:1".

    Raises:
        ValueError: not an address, or more than three.
    """
    if len(servers) > 3:
        raise ValueError(f"resolv.conf(5) takes three name servers at most, got {len(servers)}")
    lines = [f"nameserver {ipaddress.ip_address(server)}\n" for server in servers]
    for word, given in (("search", tuple(search)), ("options", tuple(options) or (() if servers else ("timeout:1",)))):
        for each in given:
            if not each or any(letter.isspace() for letter in each):
                raise ValueError(f"not a word for {word}: {each!r}")
        if given:
            lines.append(f"{word} {' '.join(given)}\n")
    return mounts.file("/etc/resolv.conf", "".join(lines))


def netns_files(name: str) -> list[Mount]:
    """What /etc/netns/NAME has, each mounted over its namesake below /etc, as ``ip netns exec`` does.

    A file without a namesake is left out, as there.

    Raises:
        ValueError: not a name.
    """
    room = os.path.join(ETC, _checked(name))
    try:
        entries = sorted(os.listdir(room))
    except FileNotFoundError:
        return []
    return [
        mounts.bind(os.path.join(room, entry), f"/etc/{entry}") for entry in entries if os.path.exists(f"/etc/{entry}")
    ]


def netns(name: str) -> Isolation:
    """The place that ``ip netns exec NAME`` gives: its network, a /sys that shows it, and /etc/netns/NAME over /etc.

    Args:
        name: of a network that ``ip netns add`` or `Namespace.persist` keeps in /run/netns.

    Raises:
        ValueError: not a name.
        FileNotFoundError: there is none of this name.
    """
    with Namespace.at(os.path.join(NETNS, _checked(name)), "net") as network:
        within = NamespaceSet([network])
    for namespace in within.values():
        namespace._hold().loud = False
    return Isolation("mnt", within=within, propagation="slave", mounts=[mounts.sysfs(), *netns_files(name)])


def _checked(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"not the name of a network: {name!r}")
    return name
