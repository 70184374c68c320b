"""``#include <sys/mount.h>``: mount(2), umount(2) and the mount descriptors; one meaning per function."""

from __future__ import annotations

import os

from pynamespaces._kernel._ffi import ffi, lib
from pynamespaces._kernel.answers import checked

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
