"""The values: what can be mounted, each a frozen `Mount` that knows its steps."""

from __future__ import annotations

import os

from pynamespaces import plan
from pynamespaces._kernel import steps
from pynamespaces.mounts import options
from pynamespaces.plan import Step
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pynamespaces.handles import Namespace
    from pynamespaces.mounts.options import PathLike

#: What container runtimes hide of /proc and /sys: it tells of the host, or changes it.
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)

#: The devices of a minimal /dev.
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}


@value(frozen=True)
class Mount:
    """Something to mount, and where: made by `bind`, `tmpfs`, `proc`, …; frozen, and compared by what it does."""

    text: str  #: as it was written
    target: str
    todo: tuple[Step, ...]
    held: Namespace | None = None  #: with an idmapped bind, the user namespace

    def steps(self) -> tuple[Step, ...]:
        """Its steps, in order."""
        if self.held is None:
            return self.todo
        return tuple([_with_fd2(step, self.held.fileno()) for step in self.todo])

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def bind(
    source: PathLike,
    target: PathLike | None = None,
    *,
    recursive: bool = True,
    read_only: bool = False,
    nosuid: bool = False,
    nodev: bool = False,
    noexec: bool = False,
    idmap: Namespace | None = None,
) -> Mount:
    """A directory or file of the host at another place, with the mounts below it (``mount --rbind``).

    Args:
        source: as the mounting process sees it before it gets another root.
        target: where; by default at its own place, to change its attributes there.
        recursive: with the mounts below it, which get the attributes as well.
        read_only: nothing below can be written.
        nosuid: set-user-ID programs have no effect.
        nodev: devices cannot be opened.
        noexec: nothing can be executed.
        idmap: a user Namespace: ids on the file system are shown through its map (Linux 5.12; needs CAP_SYS_ADMIN
            over the file system).

    Raises:
        NotPermitted: no CAP_SYS_ADMIN over the mount namespace (EPERM).
        NamespaceError: EINVAL: a part of a tree whose mounts are locked (another user namespace's): recursive=True.
    """
    given = options.attributes({"read_only": read_only, "nosuid": nosuid, "nodev": nodev, "noexec": noexec})
    path = options.source(source)
    where = options.target(path if target is None else target)
    if idmap is not None and (not hasattr(idmap, "kind") or str(idmap.kind) != "user"):
        raise TypeError(f"idmap takes a user Namespace, got {idmap!r}")
    flags = given | (steps.RECURSIVE if recursive else 0)
    step = Step(steps.BIND, f"bind({path} on {where})", flags=flags, a=os.fsencode(path), b=os.fsencode(where))
    return Mount(
        _text(
            "bind", path, where, read_only=read_only, nosuid=nosuid, nodev=nodev, noexec=noexec,
            recursive=(recursive, True), idmap=(idmap, None),
        ), where, (step,), held=idmap
    )  # fmt: skip


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
        words.append(f"size={options.size(size)}")
    if mode is not None:
        words.append(f"mode={options.mode(mode)}")
    if inodes is not None:
        words.append(f"nr_inodes={options.number('inodes', inodes, 1, 2**63 - 1)}")
    for name, given in (("uid", uid), ("gid", gid)):
        if given is not None:
            words.append(f"{name}={options.number(name, given, 0, 2**32 - 2)}")
    flags = options.attributes({"read_only": read_only, "nosuid": nosuid, "nodev": nodev, "noexec": noexec})
    where = options.target(target)
    text = _text(
        "tmpfs", where, size=(size, None), inodes=(inodes, None), uid=(uid, None), gid=(gid, None),
        read_only=read_only, nosuid=nosuid, nodev=nodev, noexec=noexec,
    )  # fmt: skip
    return _filesystem(text, "tmpfs", where, words, flags)


def empty(*, size: int | str | None = None) -> Mount:
    """A root with nothing in it but what the mounts list: for `Isolation(root=...)`."""
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
    where = options.target(target)
    text = _text("proc", where, subset=(subset, None), hidepid=(hidepid, None))
    return _filesystem(text, "proc", where, words, flags)


def sysfs(target: PathLike = "/sys", *, read_only: bool = False) -> Mount:
    """A sysfs of this network namespace: /sys/class/net has its interfaces (an ordinary user needs a new net)."""
    flags = options.attributes({"read_only": read_only, "nosuid": True, "nodev": True, "noexec": True})
    where = options.target(target)
    return _filesystem(_text("sysfs", where, read_only=read_only), "sysfs", where, [], flags)


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
    words = ["newinstance", "ptmxmode=0666", f"mode={options.mode(mode)}"]
    if gid is not None:
        words.append(f"gid={options.number('gid', gid, 0, 2**32 - 2)}")
    if terminals is not None:
        words.append(f"max={options.number('terminals', terminals, 1, 2**20)}")
    where = options.target(target)
    return _filesystem(_text("devpts", where), "devpts", where, words, steps.NOSUID | steps.NOEXEC)


def mqueue(target: PathLike = "/dev/mqueue") -> Mount:
    """The POSIX message queues of this ipc namespace, as files (an ordinary user needs a new ipc)."""
    where = options.target(target)
    flags = steps.NOSUID | steps.NODEV | steps.NOEXEC
    return _filesystem(_text("mqueue", where), "mqueue", where, [], flags)


def cgroup2(target: PathLike = "/sys/fs/cgroup", *, read_only: bool = False) -> Mount:
    """The cgroup v2 tree from this cgroup namespace's root on (an ordinary user needs a new cgroup)."""
    flags = options.attributes({"read_only": read_only, "nosuid": True, "nodev": True, "noexec": True})
    where = options.target(target)
    return _filesystem(_text("cgroup2", where, read_only=read_only), "cgroup2", where, [], flags)


def overlay(
    target: PathLike,
    lower: PathLike | Iterable[PathLike] | None = None,
    *,
    upper: PathLike | None = None,
    work: PathLike | None = None,
    read_only: bool = False,
) -> Mount:
    """Directories on top of each other; what is written goes to the upper one, or vanishes with the mount.

    Mounts below the lower directories are not part of it: `throw_away` takes care of them.

    Args:
        target: a directory.
        lower: one or more, the top one first; by default the target itself.
        upper: where changes go; None: to memory, gone with the mount.
        work: with an upper, an empty directory on the same file system.
        read_only: no upper; with one lower directory alone the kernel refuses that.
    """
    where = options.target(target)
    if lower is None:
        lowers = [where]
    elif isinstance(lower, (str, os.PathLike)):
        lowers = [options.source(lower)]
    else:
        lowers = [options.source(path) for path in lower]
    if not lowers:
        raise ValueError("overlay needs a lower directory")
    if (upper is None) != (work is None):
        raise ValueError("upper and work go together: both, or neither for an upper that vanishes")
    if read_only and (upper is not None or len(lowers) < 2):
        raise ValueError("a read-only overlay has no upper, and two or more lower directories")
    step = Step(
        steps.OVERLAY,
        f"overlay({':'.join(lowers)} on {where})",
        flags=steps.RDONLY if read_only else 0,
        a=b"".join([os.fsencode(path) + b"\0" for path in lowers]),
        b=os.fsencode(where),
        c=None if upper is None else os.fsencode(options.source(upper)),
        d=None if work is None else os.fsencode(options.source(work)),
    )
    return Mount(_text("overlay", where, lowers), where, (step,))


def file(target: PathLike, content: str | bytes, *, mode: int = 0o644, read_only: bool = False) -> Mount:
    """A file with this content over another one: a fake /etc/hosts.  The real file is untouched.

    Args:
        target: a file; a symbolic link is followed to what it names.
        content: text (UTF-8) or bytes.
        mode: its permissions.
        read_only: writing to it fails with EROFS.
    """
    if not isinstance(content, (str, bytes)):
        raise TypeError(f"content is str or bytes, got {content!r}")
    data = content.encode() if isinstance(content, str) else content
    bits = int(options.mode(mode), 8)
    where = options.target(target)
    flags = steps.NOSUID | steps.NODEV | (steps.RDONLY if read_only else 0)
    size = len(data).to_bytes(8, "little")
    step = Step(steps.FILE, f"file({where})", fd=bits, flags=flags, a=data, b=os.fsencode(where), d=size)
    return Mount(f"file({where!r}, {len(data)} bytes)", where, (step,))


def directory(target: PathLike, *, mode: int = 0o755) -> Mount:
    """An empty directory, in a file system that this plan makes (a tmpfs, an overlay, an empty root)."""
    where = options.target(target)
    bits = int(options.mode(mode), 8)
    step = Step(steps.MKDIR, f"mkdir({where})", fd=bits, b=os.fsencode(where))
    return Mount(_text("directory", where), where, (step,))


def symlink(target: PathLike, to: PathLike) -> Mount:
    """A symbolic link at `target` that says `to`, in a file system that this plan makes."""
    where = options.target(target)
    to = os.fspath(to)
    if not isinstance(to, str):
        raise TypeError(f"a symbolic link says a str or a path, got {to!r}")
    if not to or "\0" in to:
        raise ValueError(f"a symbolic link says a path without NUL, got {to!r}")
    step = Step(steps.SYMLINK, f"symlink({to} at {where})", a=os.fsencode(to), b=os.fsencode(where))
    return Mount(_text("symlink", where, to), where, (step,))


def dev(target: PathLike = "/dev", *, pts: bool = True, shm: bool = True) -> Mount:
    """A minimal /dev: null zero full random urandom tty, the fd links, and pts and shm of its own."""
    top = options.target(target).rstrip("/")
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
    return combined(_text("dev", top or "/"), parts)


def mask(*targets: PathLike, missing_ok: bool = False) -> Mount:
    """Hide paths: a directory looks empty and read-only, a file is /dev/null; ``mask(*MASKED, missing_ok=True)``.

    Args:
        targets: one or more.
        missing_ok: what is not there needs no mask.
    """
    if not targets:
        raise ValueError("mask needs a path")
    paths = [options.target(target) for target in targets]
    flags = steps.MISSING_OK if missing_ok else 0
    todo = [Step(steps.MASK, f"mask({path})", flags=flags, b=os.fsencode(path)) for path in paths]
    return Mount(_text("mask", *paths), paths[0], tuple(todo))


def combined(text: str, parts: Iterable[Mount]) -> Mount:
    """Several as one, at the target of the first."""
    parts = tuple(parts)
    return Mount(text, parts[0].target, tuple([step for part in parts for step in part.steps()]))


def _filesystem(text: str, fstype: str, where: str, words: list[str], flags: int) -> Mount:
    step = plan.mount(fstype.encode(), os.fsencode(where), ",".join(words).encode() or None, flags)
    return Mount(text, where, (step,))


def _with_fd2(step: Step, fd: int) -> Step:
    return Step(step.op, step.what, step.fd, fd, step.flags, step.a, step.b, step.c, step.d)


def _text(name: str, *positional: object, **keywords: object) -> str:
    """How it was written, without what is as by default."""
    shown = [repr(argument) for argument in positional]
    for keyword, given in keywords.items():
        now, default = given if isinstance(given, tuple) else (given, False)
        if now != default:
            shown.append(f"{keyword}={now!r}")
    return f"{name}({', '.join(shown)})"
