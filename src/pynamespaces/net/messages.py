"""The requests that networks are made of, each one message of rtnetlink(7)."""

from __future__ import annotations

import ipaddress

from pynamespaces.net import netlink
from pynamespaces.net.netlink import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pynamespaces.net.networks import Network

IFF_UP = 1
IFA_F_NODAD = 2
NO_GENERATED_ADDRESS = 1  #: IN6_ADDR_GEN_MODE_NONE
RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_LINK, RTN_UNICAST = 254, 4, 253, 1
TC_H_ROOT = 0xFFFFFFFF
EACCES, ENODEV, EOPNOTSUPP, EAFNOSUPPORT = 13, 19, 95, 97
#: What an end says where its network has no IPv6.
NO_IPV6 = (EACCES, EOPNOTSUPP, EAFNOSUPPORT, 22)


def _link(**fields: Any) -> Any:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    message = ifinfmsg()
    message["attrs"] = fields.pop("attrs", [])
    for name, given in fields.items():
        message[name] = given
    return message


def new_link(
    name: str,
    kind: str,
    *,
    mac: str | None = None,
    mtu: int | None = None,
    below: int | None = None,
    master: int | None = None,
    index: int = 0,
    group: int = 0,
    up: bool = False,
    data: list[Any] | None = None,
) -> Request:
    """``ip link add``; with `below` on top of that interface, with `master` as a port of it."""
    attrs = _attributes(name, mac, mtu)
    if below is not None:
        attrs.append(("IFLA_LINK", below))
    if master is not None:
        attrs.append(("IFLA_MASTER", master))
    if group:
        attrs.append(("IFLA_GROUP", group))
    info: list[Any] = [("IFLA_INFO_KIND", kind)]
    if data is not None:
        info.append(("IFLA_INFO_DATA", {"attrs": data}))
    attrs.append(("IFLA_LINKINFO", {"attrs": info}))
    flags = IFF_UP if up else 0
    message = _link(attrs=attrs, flags=flags, change=flags, index=index)
    return Request(f"ip link add {name} type {kind}", netlink.NEWLINK, netlink.CREATE | netlink.EXCL, message)


def veth_peer(name: str, mac: str, mtu: int | None, network: Network, index: int = 0) -> list[Any]:
    """The data of a veth: its peer, and where that lives (veth(4))."""
    attrs = [*_attributes(name, mac, mtu), ("IFLA_NET_NS_FD", network.fileno())]
    return [("VETH_INFO_PEER", {"index": index, "attrs": attrs})]


def _attributes(name: str, mac: str | None, mtu: int | None) -> list[Any]:
    attrs: list[Any] = [("IFLA_IFNAME", name)]
    if mac is not None:
        attrs.append(("IFLA_ADDRESS", mac))
    if mtu is not None:
        attrs.append(("IFLA_MTU", mtu))
    return attrs


def link(index: int) -> Any:
    """An interface, by its number: what to ask after."""
    return _link(index=index)


def set_master(index: int, name: str, master: int) -> Request:
    """``ip link set NAME master …``."""
    return Request(
        f"ip link set {name} master {master}", netlink.NEWLINK, 0, _link(index=index, attrs=[("IFLA_MASTER", master)])
    )


def delete_link(index: int, name: str) -> Request:
    """``ip link delete``; fine if it is gone."""
    return Request(f"ip link delete {name}", netlink.DELLINK, 0, _link(index=index), (ENODEV,))


def delete_group(group: int) -> Request:
    """``ip link delete group GROUP``: all of them in one go, which takes as long as one; fine if there is none."""
    return Request(f"ip link delete group {group}", netlink.DELLINK, 0, _link(attrs=[("IFLA_GROUP", group)]), (ENODEV,))


def up(index: int, name: str) -> Request:
    """``ip link set NAME up``."""
    return Request(f"ip link set {name} up", netlink.NEWLINK, 0, _link(index=index, flags=IFF_UP, change=IFF_UP))


def move(index: int, name: str, network: Network, new_name: str) -> Request:
    """``ip link set NAME netns … name …``."""
    attrs = [("IFLA_NET_NS_FD", network.fileno()), ("IFLA_IFNAME", new_name)]
    return Request(
        f"ip link set {name} netns {network!r} name {new_name}", netlink.NEWLINK, 0, _link(index=index, attrs=attrs)
    )


def no_generated_address(index: int, name: str) -> Request:
    """``ip link set NAME addrgenmode none``: the kernel's own link-local address would wait for a second (RFC 4862)."""
    spec = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", NO_GENERATED_ADDRESS)]})]}
    message = _link(index=index, attrs=[("IFLA_AF_SPEC", spec)])
    return Request(f"ip link set {name} addrgenmode none", netlink.NEWLINK, 0, message, NO_IPV6)


def new_address(index: int, name: str, address: str, tolerated: tuple[int, ...] = ()) -> Request:
    """``ip address add ADDRESS dev NAME nodad``."""
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    interface = ipaddress.ip_interface(address)
    message = ifaddrmsg()
    message["family"] = 2 if interface.version == 4 else 10
    message["prefixlen"] = interface.network.prefixlen
    message["index"] = index
    attrs: list[Any] = [("IFA_LOCAL", str(interface.ip)), ("IFA_ADDRESS", str(interface.ip))]
    if interface.version == 6:
        message["flags"] = IFA_F_NODAD
        attrs.append(("IFA_FLAGS", IFA_F_NODAD))
    elif interface.network.prefixlen < 31:
        attrs.append(("IFA_BROADCAST", str(interface.network.broadcast_address)))
    message["attrs"] = attrs
    what = f"ip address add {address} dev {name}"
    return Request(what, netlink.NEWADDR, netlink.CREATE | netlink.EXCL, message, tolerated)


def new_route(
    destination: str, version: int, via: str | None, index: int, what: str, *, delete: bool = False
) -> Request:
    """``ip route add DESTINATION via VIA dev …``; "default" is 0.0.0.0/0 or ::/0."""
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    message = rtmsg()
    message["family"] = 2 if version == 4 else 10
    message["table"], message["proto"], message["type"] = RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST
    message["scope"] = RT_SCOPE_LINK if via is None and version == 4 else 0
    attrs: list[Any] = [("RTA_TABLE", RT_TABLE_MAIN)]
    if destination != "default":
        network = ipaddress.ip_network(destination)
        message["dst_len"] = network.prefixlen
        attrs.append(("RTA_DST", str(network.network_address)))
    if via is not None:
        attrs.append(("RTA_GATEWAY", via))
    if index:
        attrs.append(("RTA_OIF", index))
    message["attrs"] = attrs
    if delete:
        return Request(f"ip route delete {what}", netlink.DELROUTE, 0, message, (3,))
    return Request(f"ip route add {what}", netlink.NEWROUTE, netlink.CREATE | netlink.EXCL, message)


def qdisc(index: int, name: str, kind: str, options: Any) -> Request:
    """``tc qdisc replace dev NAME root KIND …``."""
    message = _tc(index)
    message["attrs"] = [("TCA_KIND", kind), ("TCA_OPTIONS", options)]
    return Request(
        f"tc qdisc replace dev {name} root {kind}", netlink.NEWQDISC, netlink.CREATE | netlink.REPLACE, message
    )


def no_qdisc(index: int, name: str) -> Request:
    """``tc qdisc delete dev NAME root``; fine if there is none."""
    return Request(f"tc qdisc delete dev {name} root", netlink.DELQDISC, 0, _tc(index), (2, 22, ENODEV))


def _tc(index: int) -> Any:
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    message = tcmsg()
    message["family"], message["index"], message["handle"], message["parent"] = 0, index, 0, TC_H_ROOT
    return message
