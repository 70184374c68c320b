"""The scan over /proc (scan.c): tasks and their links, descriptors, mounts of nsfs, what a namespace says of itself."""

from __future__ import annotations

import os
from array import array
from struct import Struct

from pynamespaces._kernel._ffi import ffi, lib
from pynamespaces._kernel.answers import checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FACTS = lib.PN_SCAN_FACTS
SOCKET = lib.PN_HELD_SOCKET
PIDFD = lib.PN_HELD_PIDFD

#: struct pn_task: pid, tid, error, parent, uid, threads, flags, state, started, ten links, name.
TASK = Struct("=4i4IQ40s16s")
#: The same, of which only pid, tid, error and the links.
BARE = Struct("=3i28x40s16x")
LINKS = Struct("=10I")
HELD = Struct("=3iIQ")
_RELATIONS = Struct("=6Qq2i")
_INTS, _WORDS, _UNSIGNED = ffi.typeof("int[]"), ffi.typeof("unsigned long long[]"), ffi.typeof("unsigned[]")


def workers() -> int:
    """How many threads are worth it: two, where this process may run on as many."""
    return min(2, len(os.sched_getaffinity(0)))


def numbers(directory: int, path: bytes) -> array[int]:
    """The entries of a directory whose names are numbers, in its order: tasks, descriptors."""
    room = 4096
    while True:
        found = array("i", bytes(4 * room))
        count = checked(lib.pn_scan_list(directory, path, ffi.from_buffer(_INTS, found), room), "getdents", path)
        if count <= room:
            return found[:count]
        room = count + 256


def tasks(proc: int, pids: array[int], tids: array[int], wanted: int, threads: int) -> bytearray:
    """One `TASK` for each: processes, or threads where the two numbers differ.

    Args:
        proc: a descriptor of /proc.
        pids, tids: whom to look at.
        wanted: links as bits (the kinds in the table's order, then pid_for_children and time_for_children), `FACTS`.
        threads: how many may work.
    """
    count = len(pids)
    out = bytearray(TASK.size * count)
    if count:
        pairs = ffi.from_buffer(_INTS, pids), ffi.from_buffer(_INTS, tids)
        answer = lib.pn_scan_tasks(proc, *pairs, count, wanted, threads, ffi.from_buffer(_WORDS, out))
        checked(answer, "scan")
    return out


def descriptors(
    proc: int, pids: array[int], tids: array[int], threads: int
) -> tuple[Iterator[tuple[int, int, int, int, int]], array[int]]:
    """Descriptors that have to do with namespaces, and for each task 0 or -errno.

    Returns:
        (pid, tid, descriptor, what, inode) of each: `what` is a CLONE_NEW* value, `SOCKET` or `PIDFD`.
    """
    count = len(pids)
    errors = array("i", bytes(4 * count))
    room = 1024 + 2 * count
    for _ in range(8):
        out = bytearray(HELD.size * room)
        if not count:
            break
        pairs = ffi.from_buffer(_INTS, pids), ffi.from_buffer(_INTS, tids)
        held, error = ffi.from_buffer(_WORDS, out), ffi.from_buffer(_INTS, errors)
        found = checked(lib.pn_scan_fds(proc, *pairs, count, threads, held, room, error), "scan")
        ffi.release(held)
        if found <= room:
            del out[HELD.size * found :]
            return HELD.iter_unpack(out), errors
        room = found + found // 4
    return iter(()), errors


def socket_namespace(pidfd: int, fd: int) -> int:
    """``pidfd_getfd`` and ``SIOCGSKNS``: a descriptor of the net namespace that another process's socket lives in."""
    return checked(lib.pn_scan_socket(pidfd, fd), "ioctl(SIOCGSKNS)")


def nsfs_mounts(namespace: int) -> list[tuple[str, str]]:
    """``listmount`` and ``statmount``: (root, mount point) of nsfs's mounts in a mnt namespace, by its 64-bit id."""
    size = 4096
    while True:
        out = bytearray(size)
        used = lib.pn_scan_mounts(namespace, ffi.from_buffer(_UNSIGNED, out), size)
        if used != -28:  # ENOSPC
            break
        size *= 4
    checked(used, "listmount")
    words = os.fsdecode(bytes(out[:used])).split("\0")
    return list(zip(words[0::2], words[1::2], strict=False))


def relations(fd: int) -> tuple[int, ...]:
    """What a namespace says of itself.

    Returns:
        device, inode, CLONE_NEW* value, 64-bit id, inode of its owner, of its parent, uid of its owner (-1: not told),
        and why owner and parent are 0 where they are: -errno.
    """
    out = ffi.new("unsigned long long[8]")
    checked(lib.pn_relations(fd, out), "ioctl(NS_GET_NSTYPE)")
    return _RELATIONS.unpack(ffi.buffer(out))


def next_mnt(fd: int, *, previous: bool = False) -> int:
    """``NS_MNT_GET_NEXT``, ``NS_MNT_GET_PREV``: ENOENT at the end of the kernel's list."""
    return checked(lib.pn_mnt_next(fd, previous), "ioctl(NS_MNT_GET_NEXT)")


def listns(kinds: Iterable[int]) -> list[int]:
    """``listns(2)``: the 64-bit ids of all namespaces that this thread may see; ENOSYS before Linux 6.19."""
    page = ffi.new("unsigned long long[512]")
    mask = 0
    for kind in kinds:
        mask |= kind
    found: list[int] = []
    while True:
        count = checked(lib.pn_listns(found[-1] if found else 0, mask, page, 512), "listns")
        found.extend(page[0:count])
        if count < 512:
            return found


def open_by_id(serial: int, kind: int = 0, inode: int = 0) -> int:
    """``open_by_handle_at(FD_NSFS_ROOT)``: open a namespace by its 64-bit id; ESTALE once it is gone."""
    return checked(lib.pn_open_by_id(serial, kind, inode), "open_by_handle_at")
