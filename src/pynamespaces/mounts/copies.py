"""Throw-away copies of directories and of whole roots: overlays where the kernel allows them, and what lies around."""

from __future__ import annotations

import os
import stat

from pynamespaces import plan
from pynamespaces._kernel import steps
from pynamespaces.mounts import filesystems, listing, options, trees
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

#: In the upper directory of a copy: what the overlays wrote, their work, and the directories that are copied.
CHANGES, WORK, COPIES = "changes", "work", "copies"


@value(frozen=True)
class ThrowAway:
    """A copy of a directory with all that is mounted below it; see `throw_away`."""

    target: str
    upper: str | None

    def steps(self, *, locked: bool = True) -> Iterator[Step]:
        """Made from what is mounted now.

        Args:
            locked: the mounts below cannot be parted from their places, as in every new user namespace.
        """
        below = {
            row.target: row.type
            for row in listing.list()
            if not row.hidden and row.target != self.target and _is_below(row.target, self.target)
        }
        around = self.upper is not None and _is_below(self.upper, self.target)
        if around:  # an overlay may not have its upper directory in a lower one
            below[str(self.upper)] = ""
        for mount in self._parts(self.target, below) if locked or around else self._layers(below):
            for step in mount.steps():  # what is gone by then is none the less a copy
                yield step if mount.target == self.target else plan.with_flags(step, step.flags | steps.MISSING_OK)

    def _layers(self, below: dict[str, str]) -> Iterator[Mount]:
        """An overlay, which has not the mounts below its directory in it, and then each of those in its place."""
        yield self._overlay(self.target)
        views: list[str] = []
        for path in sorted(below):
            if any(_is_below(path, view) for view in views):
                continue
            if below[path] in VIEWS or path == "/dev":
                views.append(path)
                yield trees.bind(path)
            elif os.path.isdir(path):
                yield self._overlay(path)
            else:
                yield _file(path, os.stat(path))

    def _parts(self, path: str, below: dict[str, str]) -> Iterator[Mount]:
        """A directory without mounts below it is an overlay; others are made of their entries.

        An overlay has the mounts below its directory neither in it nor may it hide them, where they are locked
        (mount_namespaces(7)).
        """
        if not any(_is_below(mounted, path) for mounted in below):
            yield self._overlay(path)
            return
        copy = self._copy(path)
        yield trees.bind(copy, path) if copy else filesystems.tmpfs(path, mode=stat.S_IMODE(os.stat(path).st_mode))
        for name in sorted(os.listdir(path)):
            entry = os.path.join(path, name)
            try:
                found = os.lstat(entry)
            except FileNotFoundError:  # gone meanwhile
                continue
            if entry == self.upper:
                continue
            view = below.get(entry) in VIEWS or entry == "/dev"
            if copy:
                _prepare(os.path.join(copy, name), entry, found)
            if view:
                yield trees.bind(entry)
            elif stat.S_ISDIR(found.st_mode):
                yield from self._parts(entry, below)
            elif stat.S_ISREG(found.st_mode):
                if copy is None or found.st_size > LARGEST or not os.access(entry, os.R_OK):
                    yield _file(entry, found)
            elif not stat.S_ISLNK(found.st_mode):
                yield trees.bind(entry, recursive=False)
            elif copy is None:
                yield trees.symlink(entry, os.readlink(entry))

    def _overlay(self, path: str) -> Mount:
        if self.upper is None:
            return trees.overlay(path)
        upper, work = (os.path.join(self.upper, part, _escape(path)) for part in (CHANGES, WORK))
        for directory in (upper, work):
            os.makedirs(directory, exist_ok=True)
        os.chmod(upper, stat.S_IMODE(os.stat(path).st_mode))
        return trees.overlay(path, upper=upper, work=work)

    def _copy(self, path: str) -> str | None:
        """Where a directory that is made of its entries stays, if it does."""
        if self.upper is None:
            return None
        copy = os.path.join(self.upper, COPIES, _escape(path))
        os.makedirs(copy, exist_ok=True)
        os.chmod(copy, stat.S_IMODE(os.stat(path).st_mode))
        return copy


def throw_away(target: PathLike = "/", *, upper: PathLike | None = None) -> ThrowAway:
    """A copy of a directory, or of the whole root, that can be changed and vanishes: for ``mounts`` or `root`.

    Nothing is copied but what is written, and small files beside mount points.  /proc, /sys and /dev are as they were.
    For an ordinary user files that belong to others stay so: the copy lets nobody do what the original would not let
    them.

    Args:
        target: an absolute path; "/" is meant for ``Isolation(root=throw_away())``.
        upper: an empty directory where the changes stay, for `changes`, until `discard`; on a file system that an
            overlay can write to (not itself an overlay).
    """
    return ThrowAway(options.target(target), None if upper is None else options.source(upper))


@value(frozen=True)
class Change:
    """One path that is not as it was."""

    path: str
    what: Literal["changed", "removed"]  #: changed is also what is new
    now: str | None = None  #: where it lies, as it was left; None where it was removed

    def __str__(self) -> str:
        return f"{'-' if self.what == 'removed' else '+'} {self.path}"


def changes(upper: PathLike) -> list[Change]:
    """What was changed in a ``throw_away(upper=...)``: files written or made, and what was removed, by path.

    It is compared with what is there now.  Who may not read a directory of the upper one does not see its changes.
    """
    found: dict[str, Change] = {}
    for kind, look in ((CHANGES, _overlaid), (COPIES, _copied)):
        top = os.path.join(os.fspath(upper), kind)
        for name in sorted(os.listdir(top)) if os.path.isdir(top) else ():
            found.update({change.path: change for change in look(os.path.join(top, name), _unescape(name))})
    return [found[path] for path in sorted(found)]


def discard(upper: PathLike) -> None:
    """Remove an upper directory with all in it: overlay leaves directories there that are closed to their owner.

    Raises:
        OSError: something in it belongs to another user (EPERM).
    """
    import shutil

    for directory, subdirectories, _ in os.walk(upper):
        for name in subdirectories:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(upper)


def _overlaid(top: str, base: str) -> Iterator[Change]:
    """What an overlay's upper directory says (the kernel's Documentation/filesystems/overlayfs.rst)."""
    opaque: set[str] = set()
    was = _lstat(base)
    if was is not None and stat.S_IMODE(os.stat(top).st_mode) != stat.S_IMODE(was.st_mode):
        yield Change(base, "changed", top)
    for entry, path in _walk(top, base):
        now, before = os.lstat(entry), _lstat(path)
        if stat.S_ISCHR(now.st_mode) and now.st_rdev == 0:
            yield Change(path, "removed")
        elif before is None or not stat.S_ISDIR(now.st_mode) or _looks(now) != _looks(before):
            yield Change(path, "changed", entry)
        if not stat.S_ISDIR(now.st_mode) or before is None or not stat.S_ISDIR(before.st_mode):
            continue
        if os.path.dirname(entry) in opaque or _opaque(entry):  # it hides the lower one, and so does all in it
            opaque.add(entry)
            for name in set(os.listdir(path)) - set(os.listdir(entry)):
                yield Change(os.path.join(path, name), "removed")


def _copied(top: str, base: str) -> Iterator[Change]:
    """How a copied directory differs from the original; the directories in it are mount points."""
    original = set(os.listdir(base)) if os.path.isdir(base) else set()
    for name in sorted(original - set(os.listdir(top))):
        if os.path.join(base, name) not in top:  # where the upper directory itself is
            yield Change(os.path.join(base, name), "removed")
    for name in sorted(os.listdir(top)):
        entry, path = os.path.join(top, name), os.path.join(base, name)
        now, before = os.lstat(entry), _lstat(path)
        if os.path.isdir(os.path.join(top, "..", "..", CHANGES, _escape(path))):
            continue  # an overlay's mount point, though the original may be gone by now
        if before is None:
            yield Change(path, "changed", entry)
            for file, inside in _walk(entry, path):
                yield Change(inside, "changed", file)
        elif stat.S_IFMT(now.st_mode) != stat.S_IFMT(before.st_mode):
            if not (now.st_size == 0 and stat.S_ISREG(now.st_mode)):  # the mount point of a socket, pipe or device
                yield Change(path, "changed", entry)
        elif stat.S_ISREG(now.st_mode) and before.st_size <= LARGEST and os.access(path, os.R_OK):
            if stat.S_IMODE(now.st_mode) != stat.S_IMODE(before.st_mode) or _content(entry) != _content(path):
                yield Change(path, "changed", entry)
        elif stat.S_ISLNK(now.st_mode) and os.readlink(entry) != os.readlink(path):
            yield Change(path, "changed", entry)


def _walk(top: str, base: str) -> Iterator[tuple[str, str]]:
    """All below a directory, links not followed: where it is, and what it stands for."""
    for directory, subdirectories, files in os.walk(top):
        inside = os.path.relpath(directory, top)
        for name in (*subdirectories, *files):
            yield os.path.join(directory, name), os.path.normpath(os.path.join(base, inside, name))


def _prepare(copy: str, original: str, found: os.stat_result) -> None:
    """The entry of a copied directory: a small file or link itself, or the mount point for what comes there."""
    if os.path.lexists(copy):
        return
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(original), copy)
    elif stat.S_ISDIR(found.st_mode):
        os.mkdir(copy)
    else:
        data = _content(original) if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST else None
        with open(copy, "xb") as file:
            file.write(data or b"")
        os.chmod(copy, stat.S_IMODE(found.st_mode))


def _file(path: str, found: os.stat_result) -> Mount:
    data = _content(path) if found.st_size <= LARGEST else None
    if data is not None and stat.S_ISREG(found.st_mode):
        return trees.file(path, data, mode=stat.S_IMODE(found.st_mode))
    return trees.bind(path, recursive=False, read_only=stat.S_ISREG(found.st_mode))


def _content(path: str) -> bytes | None:
    """A file's content; None where it may not be read."""
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST + 1)
    except OSError:
        return None


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _looks(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid


def _opaque(directory: str) -> bool:
    """Does it hide the lower one?  The attribute's name depends on who mounted the overlay."""
    for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
        try:
            if os.getxattr(directory, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            pass
    return False


def _escape(path: str) -> str:
    """A path as the name of a directory."""
    return path.strip("/").replace("%", "%25").replace("/", "%2F") or "%2F"


def _unescape(name: str) -> str:
    return "/" + name.replace("%2F", "/").replace("%25", "%").strip("/")


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/") and path != directory
