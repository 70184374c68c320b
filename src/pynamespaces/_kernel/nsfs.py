"""``#include <linux/nsfs.h>``: what an open namespace says of itself (ioctl_nsfs(2))."""

from __future__ import annotations

from pynamespaces._kernel._ffi import ffi, lib
from pynamespaces._kernel.answers import checked


def identity(fd: int) -> tuple[int, int, int | None]:
    """``fstat`` and ``NS_GET_ID``: (device, inode, 64-bit id that is never used again, None before Linux 6.18)."""
    out = ffi.new("unsigned long long[3]")
    checked(lib.pn_identity(fd, out), "fstat")
    dev, ino, serial = out
    return dev, ino, serial or None


def is_namespace(fd: int) -> bool:
    """``fstatfs``: is it a file of nsfs at all?"""
    return checked(lib.pn_is_nsfs(fd), "fstatfs") == 1


def kind(fd: int) -> int:
    """``NS_GET_NSTYPE``: its CLONE_NEW* value."""
    return checked(lib.pn_nsfs_type(fd), "ioctl(NS_GET_NSTYPE)")


def owner(fd: int) -> int:
    """``NS_GET_USERNS``: a descriptor of the owning user namespace; EPERM if it is outside one's own."""
    return checked(lib.pn_nsfs_owner(fd), "ioctl(NS_GET_USERNS)")


def parent(fd: int) -> int:
    """``NS_GET_PARENT``: a descriptor of the parent (user and pid only: else EINVAL)."""
    return checked(lib.pn_nsfs_parent(fd), "ioctl(NS_GET_PARENT)")


def owner_uid(fd: int) -> int:
    """``NS_GET_OWNER_UID``: its creator's uid as seen from here (user only: else EINVAL)."""
    return checked(lib.pn_nsfs_owner_uid(fd), "ioctl(NS_GET_OWNER_UID)")


def translate_pid(fd: int, direction: int, pid: int) -> int | None:
    """``NS_GET_{PID,TGID}_{FROM,IN}_PIDNS`` as 0…3; None where there is no such process (ESRCH)."""
    answer = lib.pn_nsfs_translate(fd, direction, pid)
    return None if answer == -3 else checked(answer, "ioctl(NS_GET_PID_FROM_PIDNS)")


def of_socket(fd: int) -> int:
    """``SIOCGSKNS``: a descriptor of the net namespace that a socket lives in."""
    return checked(lib.pn_socket_netns(fd), "ioctl(SIOCGSKNS)")
