"""New file systems as values: tmpfs, the kernel's views, a minimal /dev, and any other by its name."""

from __future__ import annotations

import os

from pynamespaces import plan
from pynamespaces._kernel import steps
from pynamespaces.mounts import options as checked
from pynamespaces.mounts.trees import Mount, combined, directory, symlink, written
from pynamespaces.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pynamespaces.mounts.options import PathLike

#: The devices of a minimal /dev.
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}


def tmpfs(
    target: PathLike,
    *,
    size: int | str | None = None,
    mode: int | None = None,
    inodes: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
    read_only: bool = False,
    nosuid: bool = False,
    nodev: bool = False,
    noexec: bool = False,
) -> Mount:
    """A new empty file system in memory; with a size, a disk that can be full (ENOSPC).

    Args:
        target: a directory.
        size: bytes, or "64k", "10M", "50%"; at least one page is given.
        mode: of its root directory; by default 0o1777.
        inodes: how many files and directories, its root included.
        uid: the owner of its root directory, as seen by the mounting process.
        gid: its group.
        read_only: nothing can be written: an empty directory.
        nosuid: set-user-ID programs have no effect.
        nodev: devices cannot be opened.
        noexec: nothing can be executed.
    """
    words = []
    if size is not None:
        words.append(f"size={checked.size(size)}")
    if mode is not None:
        words.append(f"mode={checked.mode(mode)}")
    if inodes is not None:
        words.append(f"nr_inodes={checked.number('inodes', inodes, 1, 2**63 - 1)}")
    for name, given in (("uid", uid), ("gid", gid)):
        if given is not None:
            words.append(f"{name}={checked.number(name, given, 0, 2**32 - 2)}")
    flags = checked.attributes({"read_only": read_only, "nosuid": nosuid, "nodev": nodev, "noexec": noexec})
    where = checked.target(target)
    text = written(
        "tmpfs", where, size=(size, None), inodes=(inodes, None), uid=(uid, None), gid=(gid, None),
        read_only=read_only, nosuid=nosuid, nodev=nodev, noexec=noexec,
    )  # fmt: skip
    return _filesystem(text, "tmpfs", where, words, flags)


def empty(*, size: int | str | None = None) -> Mount:
    """A root with nothing in it but what the mounts list: for ``Isolation(root=...)``."""
    return tmpfs("/", size=size, mode=0o755, nosuid=True, nodev=True)


def proc(target: PathLike = "/proc", *, subset: str | None = None, hidepid: int | str | None = None) -> Mount:
    """A fresh proc of the pid namespace that the new processes are in (proc(5)).

    Args:
        target: a directory.
        subset: "pid": nothing but processes.
        hidepid: 0, 1, 2, 4 or "off", "noaccess", "invisible", "ptraceable": who sees other users' processes.

    Raises:
        NotPermitted: an ordinary user without a new pid namespace, or a /proc of which parts are masked (EPERM).
    """
    words = []
    if subset is not None:
        if subset != "pid":
            raise ValueError(f"subset is 'pid', got {subset!r}")
        words.append("subset=pid")
    if hidepid is not None:
        allowed = (0, 1, 2, 4, "off", "noaccess", "invisible", "ptraceable")
        if hidepid not in allowed or type(hidepid) not in (int, str):
            raise ValueError(f"hidepid is one of {', '.join(map(str, allowed))}, got {hidepid!r}")
        words.append(f"hidepid={hidepid}")
    flags = steps.NOSUID | steps.NODEV | steps.NOEXEC
    where = checked.target(target)
    text = written("proc", where, subset=(subset, None), hidepid=(hidepid, None))
    return _filesystem(text, "proc", where, words, flags)


def sysfs(target: PathLike = "/sys", *, read_only: bool = False) -> Mount:
    """A sysfs of this network namespace: /sys/class/net has its interfaces (an ordinary user needs a new net)."""
    flags = checked.attributes({"read_only": read_only, "nosuid": True, "nodev": True, "noexec": True})
    where = checked.target(target)
    return _filesystem(written("sysfs", where, read_only=read_only), "sysfs", where, [], flags)


def devpts(
    target: PathLike = "/dev/pts", *, mode: int = 0o620, gid: int | None = None, terminals: int | None = None
) -> Mount:
    """Pseudo-terminals of its own; /dev/ptmx must be a link to its ptmx.

    Args:
        target: a directory.
        mode: of a new terminal.
        gid: the group of new terminals (5 is tty on most systems; it must be mapped).
        terminals: how many at most.
    """
    words = ["newinstance", "ptmxmode=0666", f"mode={checked.mode(mode)}"]
    if gid is not None:
        words.append(f"gid={checked.number('gid', gid, 0, 2**32 - 2)}")
    if terminals is not None:
        words.append(f"max={checked.number('terminals', terminals, 1, 2**20)}")
    where = checked.target(target)
    return _filesystem(written("devpts", where), "devpts", where, words, steps.NOSUID | steps.NOEXEC)


def mqueue(target: PathLike = "/dev/mqueue") -> Mount:
    """The POSIX message queues of this ipc namespace, as files (an ordinary user needs a new ipc)."""
    where = checked.target(target)
    flags = steps.NOSUID | steps.NODEV | steps.NOEXEC
    return _filesystem(written("mqueue", where), "mqueue", where, [], flags)


def cgroup2(target: PathLike = "/sys/fs/cgroup", *, read_only: bool = False) -> Mount:
    """The cgroup v2 tree from this cgroup namespace's root on (an ordinary user needs a new cgroup)."""
    flags = checked.attributes({"read_only": read_only, "nosuid": True, "nodev": True, "noexec": True})
    where = checked.target(target)
    return _filesystem(written("cgroup2", where, read_only=read_only), "cgroup2", where, [], flags)


def filesystem(
    fstype: str,
    target: PathLike,
    *,
    source: str | None = None,
    options: Mapping[str, str | int | bool] | None = None,
    read_only: bool = False,
    nosuid: bool = False,
    nodev: bool = False,
    noexec: bool = False,
) -> Mount:
    """A file system that has no function of its own here, as mount(8) has it: ``mount -t TYPE``.

    Args:
        fstype: as /proc/filesystems has it.
        target: a directory.
        source: a device, or what the file system makes of it.
        options: its own, which it checks: {"commit": 5}; True for one without a value.
        read_only: nothing can be written.
        nosuid: set-user-ID programs have no effect.
        nodev: devices cannot be opened.
        noexec: nothing can be executed.

    Raises:
        NamespaceError: ENODEV: this kernel does not know it; EINVAL: an option that it refuses, in its own words.
        NotPermitted: a user namespace may not mount it (EPERM).
    """
    words = []
    for key, given in (options or {}).items():
        if given is False or not isinstance(given, (str, int)):
            raise TypeError(f"an option is a str, an int, or True for one without a value, got {key}={given!r}")
        words.append(key if given is True else f"{key}={given}")
    for word in (fstype, source or "-", *words):
        if not isinstance(word, str):
            raise TypeError(f"a file system, its source and its options are str, got {word!r}")
        if not word or "\0" in word:
            raise ValueError(f"a file system, its source and its options are text without NUL, got {word!r}")
    if any("," in word for word in words):
        raise ValueError(f"an option has no comma, got {words}")
    flags = checked.attributes({"read_only": read_only, "nosuid": nosuid, "nodev": nodev, "noexec": noexec})
    where = checked.target(target)
    data = ",".join(words).encode() or None
    step = plan.mount(fstype.encode(), os.fsencode(where), data, flags, os.fsencode(source) if source else None)
    text = written("filesystem", fstype, where, source=(source, None), options=(options, None), read_only=read_only)
    return Mount(text, where, (step,))


def dev(target: PathLike = "/dev", *, pts: bool = True, shm: bool = True) -> Mount:
    """A minimal /dev: null zero full random urandom tty, the fd links, and pts and shm of its own."""
    top = checked.target(target).rstrip("/")
    step = Step(
        steps.DEVICES,
        f"mount(devices on {top or '/'})",
        flags=steps.NOSUID | steps.NOEXEC,
        a=b"".join([f"/dev/{name}".encode() + b"\0" for name in DEVICES]),
        b=os.fsencode(top or "/"),
        d=b"size=1M,mode=0755",
    )
    parts = [Mount("devices", top or "/", (step,))]
    parts += [symlink(f"{top}/{name}", to) for name, to in LINKS.items()]
    if pts:
        parts += [directory(f"{top}/pts"), devpts(f"{top}/pts"), symlink(f"{top}/ptmx", "pts/ptmx")]
    if shm:
        parts += [
            directory(f"{top}/shm", mode=0o1777),
            tmpfs(f"{top}/shm", mode=0o1777, nosuid=True, nodev=True, noexec=True),
        ]
    return combined(written("dev", top or "/"), parts)


def _filesystem(text: str, fstype: str, where: str, words: list[str], flags: int) -> Mount:
    step = plan.mount(fstype.encode(), os.fsencode(where), ",".join(words).encode() or None, flags)
    return Mount(text, where, (step,))
