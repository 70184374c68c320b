"""The values: what is there already, at another place or in another way, each a frozen `Mount` that knows its steps."""

from __future__ import annotations

import os

from pynamespaces._kernel import steps
from pynamespaces.mounts import options as checked
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
    given = checked.attributes({"read_only": read_only, "nosuid": nosuid, "nodev": nodev, "noexec": noexec})
    path = checked.source(source)
    where = checked.target(path if target is None else target)
    if idmap is not None and (not hasattr(idmap, "kind") or str(idmap.kind) != "user"):
        raise TypeError(f"idmap takes a user Namespace, got {idmap!r}")
    flags = given | (steps.RECURSIVE if recursive else 0)
    step = Step(steps.BIND, f"bind({path} on {where})", flags=flags, a=os.fsencode(path), b=os.fsencode(where))
    return Mount(
        written(
            "bind", path, where, read_only=read_only, nosuid=nosuid, nodev=nodev, noexec=noexec,
            recursive=(recursive, True), idmap=(idmap, None),
        ), where, (step,), held=idmap
    )  # fmt: skip


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
    where = checked.target(target)
    if lower is None:
        lowers = [where]
    elif isinstance(lower, (str, os.PathLike)):
        lowers = [checked.source(lower)]
    else:
        lowers = [checked.source(path) for path in lower]
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
        c=None if upper is None else os.fsencode(checked.source(upper)),
        d=None if work is None else os.fsencode(checked.source(work)),
    )
    return Mount(written("overlay", where, lowers), where, (step,))


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
    bits = int(checked.mode(mode), 8)
    where = checked.target(target)
    flags = steps.NOSUID | steps.NODEV | (steps.RDONLY if read_only else 0)
    size = len(data).to_bytes(8, "little")
    step = Step(steps.FILE, f"file({where})", fd=bits, flags=flags, a=data, b=os.fsencode(where), d=size)
    return Mount(f"file({where!r}, {len(data)} bytes)", where, (step,))


def directory(target: PathLike, *, mode: int = 0o755) -> Mount:
    """An empty directory, in a file system that this plan makes (a tmpfs, an overlay, an empty root)."""
    where = checked.target(target)
    bits = int(checked.mode(mode), 8)
    step = Step(steps.MKDIR, f"mkdir({where})", fd=bits, b=os.fsencode(where))
    return Mount(written("directory", where), where, (step,))


def symlink(target: PathLike, to: PathLike) -> Mount:
    """A symbolic link at ``target`` that says ``to``, in a file system that this plan makes."""
    where = checked.target(target)
    to = os.fspath(to)
    if not isinstance(to, str):
        raise TypeError(f"a symbolic link says a str or a path, got {to!r}")
    if not to or "\0" in to:
        raise ValueError(f"a symbolic link says a path without NUL, got {to!r}")
    step = Step(steps.SYMLINK, f"symlink({to} at {where})", a=os.fsencode(to), b=os.fsencode(where))
    return Mount(written("symlink", where, to), where, (step,))


def mask(*targets: PathLike, missing_ok: bool = False) -> Mount:
    """Hide paths: a directory looks empty and read-only, a file is /dev/null; ``mask(*MASKED, missing_ok=True)``.

    Args:
        targets: one or more.
        missing_ok: what is not there needs no mask.
    """
    if not targets:
        raise ValueError("mask needs a path")
    paths = [checked.target(target) for target in targets]
    flags = steps.MISSING_OK if missing_ok else 0
    todo = [Step(steps.MASK, f"mask({path})", flags=flags, b=os.fsencode(path)) for path in paths]
    return Mount(written("mask", *paths), paths[0], tuple(todo))


def combined(text: str, parts: Iterable[Mount]) -> Mount:
    """Several as one, at the target of the first."""
    parts = tuple(parts)
    return Mount(text, parts[0].target, tuple([step for part in parts for step in part.steps()]))


def _with_fd2(step: Step, fd: int) -> Step:
    return Step(step.op, step.what, step.fd, fd, step.flags, step.a, step.b, step.c, step.d)


def written(name: str, *positional: object, **keywords: object) -> str:
    """How it was written, without what is as by default."""
    shown = [repr(argument) for argument in positional]
    for keyword, given in keywords.items():
        now, default = given if isinstance(given, tuple) else (given, False)
        if now != default:
            shown.append(f"{keyword}={now!r}")
    return f"{name}({', '.join(shown)})"
