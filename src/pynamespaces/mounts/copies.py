"""Throw-away copies of directories and of whole roots: overlays where the kernel allows them, and what lies around."""

from __future__ import annotations

import os
import stat

from pynamespaces.mounts import listing, options, trees
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from pynamespaces.mounts.options import PathLike
    from pynamespaces.mounts.trees import Mount
    from pynamespaces.plan import Step

#: File systems that are views of the kernel: bound as they are, a copy of them means nothing.
VIEWS = frozenset(
    """autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs
    proc pstore rpc_pipefs securityfs selinuxfs sysfs tracefs""".split()  # noqa: SIM905
)
#: Files are copied up to this size; larger ones are bound read-only.
LARGEST = 1 << 20


@value(frozen=True)
class ThrowAway:
    """A copy of a directory with all that is mounted below it; see `throw_away`."""

    target: str
    upper: str | None

    def steps(self) -> Iterator[Step]:
        """Made from what is mounted now."""
        below = {
            row.target: row.type
            for row in listing.list()
            if not row.hidden and row.target != self.target and _is_below(row.target, self.target)
        }
        for mount in self._parts(self.target, below):
            yield from mount.steps()

    def _parts(self, path: str, below: dict[str, str]) -> Iterator[Mount]:
        """A directory without mounts below it is an overlay; others are made of their entries.

        An overlay has the mounts below its directory neither in it nor may it hide them, where they are locked
        (mount_namespaces(7)): in a new user namespace all are.
        """
        if not any(_is_below(mounted, path) for mounted in below):
            yield self._overlay(path)
            return
        top = os.stat(path)
        yield trees.tmpfs(path, mode=stat.S_IMODE(top.st_mode))
        for name in sorted(os.listdir(path)):
            entry = os.path.join(path, name)
            found = os.lstat(entry)
            if stat.S_ISLNK(found.st_mode):
                yield trees.symlink(entry, os.readlink(entry))
            elif below.get(entry) in VIEWS or entry == "/dev":
                yield trees.bind(entry)
            elif stat.S_ISDIR(found.st_mode):
                yield from self._parts(entry, below)
            elif stat.S_ISREG(found.st_mode):
                yield _file(entry, found)
            else:
                yield trees.bind(entry, recursive=False)

    def _overlay(self, path: str) -> Mount:
        if self.upper is None:
            return trees.overlay(path)
        name = path.strip("/").replace("%", "%25").replace("/", "%2F") or "%2F"
        upper, work = (os.path.join(self.upper, part, name) for part in ("changes", "work"))
        for directory in (upper, work):
            os.makedirs(directory, exist_ok=True)
        os.chmod(upper, stat.S_IMODE(os.stat(path).st_mode))
        return trees.overlay(path, upper=upper, work=work)


def throw_away(target: PathLike = "/", *, upper: PathLike | None = None) -> ThrowAway:
    """A copy of a directory, or of the whole root, that can be changed and vanishes: for `mounts` or `root`.

    Nothing is copied but what is written.  /proc, /sys and /dev are as they were.  For an ordinary user files that
    belong to others stay so: the copy lets nobody do what the original would not let them.

    Args:
        target: an absolute path; "/" is meant for ``Isolation(root=throw_away())``.
        upper: an empty directory where the changes stay, for `changes`; on a file system that an overlay can
            write to (not itself an overlay).
    """
    return ThrowAway(options.target(target), None if upper is None else options.source(upper))


@value(frozen=True)
class Change:
    """One path that is not as it was."""

    path: str
    what: Literal["changed", "removed"]  #: changed is also what is new

    def __str__(self) -> str:
        return f"{'-' if self.what == 'removed' else '+'} {self.path}"


def changes(upper: PathLike) -> list[Change]:
    """What was changed in a `throw_away(upper=...)`: files written or made, and what was removed, by path."""
    found = []
    top = os.path.join(os.fspath(upper), "changes")
    for name in os.listdir(top):
        base = "/" + name.replace("%2F", "/").replace("%25", "%").strip("/")
        for directory, subdirectories, files in os.walk(os.path.join(top, name)):
            inside = os.path.relpath(directory, os.path.join(top, name))
            for entry in (*subdirectories, *files):
                real = os.path.join(directory, entry)
                path = os.path.normpath(os.path.join(base, inside, entry))
                mode = os.lstat(real)
                if stat.S_ISCHR(mode.st_mode) and mode.st_rdev == 0:
                    found.append(Change(path, "removed"))
                elif not stat.S_ISDIR(mode.st_mode) or not os.path.isdir(path):
                    found.append(Change(path, "changed"))
    return sorted(found, key=lambda change: change.path)


def _file(path: str, found: os.stat_result) -> Mount:
    if found.st_size <= LARGEST:
        try:
            with open(path, "rb") as source:
                return trees.file(path, source.read(LARGEST + 1), mode=stat.S_IMODE(found.st_mode))
        except OSError:
            pass
    return trees.bind(path, recursive=False, read_only=True)


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/") and path != directory
