"""``#include <sys/mount.h>``: mount(2), umount(2) and the mount descriptors; one meaning per function."""

from __future__ import annotations

import errno
import os

from pynamespaces._kernel._ffi import ffi, lib
from pynamespaces._kernel.answers import checked
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MS_SHARED = lib.MS_SHARED
MS_SLAVE = lib.MS_SLAVE
MS_UNBINDABLE = lib.MS_UNBINDABLE
RDONLY = lib.MOUNT_ATTR_RDONLY
#: mountinfo's words for the attributes of a mount, in its order: (mask, value).
ATTRIBUTES = {
    "nosuid": (lib.MOUNT_ATTR_NOSUID, lib.MOUNT_ATTR_NOSUID),
    "nodev": (lib.MOUNT_ATTR_NODEV, lib.MOUNT_ATTR_NODEV),
    "noexec": (lib.MOUNT_ATTR_NOEXEC, lib.MOUNT_ATTR_NOEXEC),
    "noatime": (lib.MOUNT_ATTR__ATIME, lib.MOUNT_ATTR_NOATIME),
    "nodiratime": (lib.MOUNT_ATTR_NODIRATIME, lib.MOUNT_ATTR_NODIRATIME),
    "relatime": (lib.MOUNT_ATTR__ATIME, 0),
    "nosymfollow": (lib.MOUNT_ATTR_NOSYMFOLLOW, lib.MOUNT_ATTR_NOSYMFOLLOW),
}

EMPTY = b""
HERE = lib.AT_FDCWD


def mount(
    source: bytes | None, target: bytes, fstype: bytes | None = None, flags: int = 0, data: bytes | None = None
) -> None:
    """``mount(source, target, fstype, flags, data)``."""
    null = ffi.NULL
    answer = lib.pn_mount(
        null if source is None else source,
        target,
        null if fstype is None else fstype,
        flags,
        null if data is None else data,
    )
    checked(answer, "mount", os.fsdecode(target))


def bind(source: bytes, target: bytes) -> None:
    """``mount(source, target, NULL, MS_BIND, NULL)``."""
    mount(source, target, None, lib.MS_BIND)


def make_private(target: bytes, *, recursive: bool = True) -> None:
    """``mount(NULL, target, NULL, MS_PRIVATE, NULL)``: nothing goes in or out by propagation."""
    mount(None, target, None, lib.MS_PRIVATE | (lib.MS_REC if recursive else 0))


def make_shared(target: bytes) -> None:
    """``mount(NULL, target, NULL, MS_SHARED, NULL)``: mounts on it appear in its peers too."""
    mount(None, target, None, lib.MS_SHARED)


def detach(target: bytes) -> None:
    """``umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW)``: away at once, gone with its last user."""
    checked(lib.pn_umount(target, lib.MNT_DETACH | lib.UMOUNT_NOFOLLOW), "umount", os.fsdecode(target))


def umount(target: bytes) -> None:
    """``umount2(target, UMOUNT_NOFOLLOW)``: EBUSY while somebody uses it."""
    checked(lib.pn_umount(target, lib.UMOUNT_NOFOLLOW), "umount", os.fsdecode(target))


def clone_tree(fd: int, path: bytes = EMPTY, *, recursive: bool = False) -> int:
    """``open_tree(fd, path, OPEN_TREE_CLONE)``: a detached copy of a mount, as a descriptor."""
    flags = lib.OPEN_TREE_CLONE | (lib.AT_RECURSIVE if recursive else 0) | (0 if path else lib.AT_EMPTY_PATH)
    return checked(lib.pn_open_tree(fd, path, flags), "open_tree", os.fsdecode(path) or None)


def attach(tree: int, directory: int, path: bytes = EMPTY) -> None:
    """``move_mount(tree, "", directory, path, MOVE_MOUNT_F_EMPTY_PATH)``: put a detached mount somewhere."""
    flags = lib.MOVE_MOUNT_F_EMPTY_PATH | (0 if path else lib.MOVE_MOUNT_T_EMPTY_PATH)
    checked(lib.pn_move_mount(tree, EMPTY, directory, path, flags), "move_mount", os.fsdecode(path) or None)


def detached(fstype: bytes, options: tuple[tuple[bytes, bytes], ...] = (), attributes: int = 0) -> int:
    """``fsopen``, ``fsconfig``, ``fsmount``: a new file system that is mounted nowhere yet."""
    context = checked(lib.pn_fsopen(fstype, 0), f"fsopen({os.fsdecode(fstype)})")
    try:
        for key, value in options:
            checked(lib.pn_fsconfig(context, lib.FSCONFIG_SET_STRING, key, value, 0), f"fsconfig({os.fsdecode(key)})")
        checked(lib.pn_fsconfig(context, lib.FSCONFIG_CMD_CREATE, ffi.NULL, ffi.NULL, 0), "fsconfig(create)")
        return checked(lib.pn_fsmount(context, 0, attributes), "fsmount")
    finally:
        lib.pn_close(context)


def fchdir(fd: int) -> None:
    """``fchdir(fd)``."""
    checked(lib.pn_fchdir(fd), "fchdir")


def chroot(path: bytes) -> None:
    """``chroot(path)``; needs CAP_SYS_CHROOT."""
    checked(lib.pn_chroot(path), "chroot", os.fsdecode(path))


def open_directory(path: bytes) -> int:
    """``open(path, O_PATH | O_DIRECTORY)``: a place to come back to."""
    return checked(lib.pn_openat(HERE, path, os.O_PATH | os.O_DIRECTORY, 0), "open", os.fsdecode(path))


def namespace_id(fd: int) -> int:
    """The 64-bit id of a mnt namespace (``NS_GET_MNTNS_ID``)."""
    out = ffi.new("unsigned long long *")
    checked(lib.pn_mount_namespace_id(fd, out), "ioctl(NS_GET_MNTNS_ID)")
    return int(out[0])


def mount_id(fd: int) -> tuple[int, int]:
    """``statx(fd)``: the mount, and the inode."""
    out = ffi.new("unsigned long long[2]")
    checked(lib.pn_mount_id(fd, out), "statx")
    return int(out[0]), int(out[1])


def listmount(namespace: int) -> list[int]:
    """``listmount(LSMT_ROOT)`` of a mnt namespace: the 64-bit ids of its mounts."""
    page = ffi.new("unsigned long long[512]")
    found: list[int] = []
    while True:
        count = checked(lib.pn_listmount(namespace, found[-1] if found else 0, page, 512), "listmount")
        found.extend(page[0:count])  # (+= would be taken for pointer arithmetic)
        if count < 512:
            return found


@value(frozen=True)
class Statmount:
    """What statmount(2) says of one mount."""

    id: int
    parent: int
    device: tuple[int, int]
    attributes: int
    propagation: int
    peers: int
    master: int
    root: str
    target: str
    type: str
    source: str
    options: str
    read_only: bool


_WANTED = (
    lib.STATMOUNT_SB_BASIC
    | lib.STATMOUNT_MNT_BASIC
    | lib.STATMOUNT_MNT_ROOT
    | lib.STATMOUNT_MNT_POINT
    | lib.STATMOUNT_FS_TYPE
    | lib.STATMOUNT_MNT_OPTS
    | lib.STATMOUNT_SB_SOURCE
)


def statmount(mount: int, namespace: int) -> Statmount | None:
    """``statmount(2)``; None where the mount is gone by now."""
    size = 4096
    while True:
        buffer = ffi.new("char[]", size)
        found: Any = ffi.cast("struct pn_statmount *", buffer)
        answer = lib.pn_statmount(namespace, mount, _WANTED, ffi.cast("unsigned long long *", buffer), size)
        if answer != -errno.EOVERFLOW:  # longer strings
            break
        size *= 4
    if answer == -errno.ENOENT:
        return None
    checked(answer, "statmount")

    def text(bit: int, offset: int) -> str:
        return os.fsdecode(ffi.string(found.strings + offset)) if found.mask & bit else ""

    return Statmount(
        found.id,
        found.parent,
        (found.major, found.minor),
        found.attributes,
        found.propagation,
        found.peers,
        found.master,
        text(lib.STATMOUNT_MNT_ROOT, found.root),
        text(lib.STATMOUNT_MNT_POINT, found.point),
        text(lib.STATMOUNT_FS_TYPE, found.type),
        text(lib.STATMOUNT_SB_SOURCE, found.source),
        text(lib.STATMOUNT_MNT_OPTS, found.options),
        bool(found.super_flags & lib.MS_RDONLY),
    )
