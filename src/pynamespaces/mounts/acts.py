"""The plain acts, in the mount namespace that this thread is in now: mount, unmount, propagate, pivot_root."""

from __future__ import annotations

import os

from pynamespaces import causes, plan
from pynamespaces._kernel import mount as kernel
from pynamespaces._kernel import steps
from pynamespaces.errors import NamespaceError
from pynamespaces.mounts import options
from pynamespaces.mounts.furnishing import MAKING, furnish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from pynamespaces.mounts.options import PathLike, Propagation
    from pynamespaces.mounts.trees import Mount


class Mounted:
    """What `mount` mounted; `close`, or the end of a ``with`` block, unmounts it and removes what was made for it.

    Attributes:
        targets: where, in the order of mounting.
        created: the mount points that were made.
    """

    def __init__(self) -> None:
        self._where = _here()
        self.targets: list[str] = []
        self.created: list[str] = []
        self._undo: list[Callable[[], None]] = []

    def close(self) -> None:
        """Unmount in reverse, busy or not (MNT_DETACH), and remove the mount points that were made.

        Raises:
            RuntimeError: this thread is in another mount namespace now, where these paths are others.
        """
        if self._undo and _here() != self._where:
            raise RuntimeError(f"{self!r} is of another mount namespace than this thread is in now")
        with causes.naming("unmount"):
            while self._undo:
                self._undo[-1]()
                self._undo.pop()  # done; after a refusal, close may be called again
        self.targets, self.created = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Mounted {', '.join(self.targets) or 'nothing any more'}>"


def mount(*mounts: Mount, create: bool = False) -> Mounted:
    """Mount values here and now, all or none; a ``with`` block unmounts them at its end.

    Args:
        mounts: what, in this order.
        create: make mount points that are missing; the end removes them again.

    Returns:
        what to close; dropped without it, the mounts stay.

    Raises:
        NotPermitted: no CAP_SYS_ADMIN over this mount namespace (EPERM); mount(2).
        FileNotFoundError: a source or target is missing (ENOENT).
        NotADirectoryError, IsADirectoryError: one is a directory, the other is none.
        NamespaceError: EINVAL: an option that the file system refuses, said in its own words.
    """
    todo = list(furnish(mounts, create=create))
    done = Mounted()
    try:
        for step in todo:
            path = os.fsdecode(step.b or b"")
            before = _topmost(path)
            if step.flags & steps.CREATE:
                _watch_creation(path, done)
            try:
                plan.carry_out(step)
            finally:
                real = os.path.realpath(path)
                differs = step.op not in MAKING and _differs(real, before)
                if differs is not False:
                    done.targets.append(path)
                    done._undo.append(
                        lambda real=real, before=before, seen=differs: _unmount_down_to(real, before, seen)  # type: ignore[misc]
                    )
    except BaseException as error:
        done.close()
        if isinstance(error, OSError) and not isinstance(error, NamespaceError):
            raise causes.refused(error, "mount") from None
        raise
    done.created = [path for path in done.created if os.path.lexists(path)]
    return done


def unmount(target: PathLike, *, lazy: bool = False) -> None:
    """Take the topmost mount off a path (umount(2)); a symbolic link is not followed.

    Args:
        target: the mount point.
        lazy: away at once, gone with its last user (MNT_DETACH).

    Raises:
        NamespaceError: EBUSY: somebody uses it; EINVAL: no mount point, or one inherited from another user namespace.
    """
    path = options.target(target)
    try:
        (kernel.detach if lazy else kernel.umount)(os.fsencode(path))
    except OSError as error:
        raise causes.refused(error, f"umount({path})", filename=path) from None


def propagate(target: PathLike, how: Propagation | str, *, recursive: bool = False) -> None:
    """Set where mounts below a mount are seen: private, slave, shared, unbindable (mount_namespaces(7)).

    Args:
        target: a mount point.
        how: a Propagation, or its name.
        recursive: all mounts below it as well.

    Raises:
        NamespaceError: EINVAL: the target is no mount point.
    """
    path = options.target(target)
    step = plan.propagate(options.propagation(how).value, path, recursive=recursive)
    plan.carry_out(step)


def pivot_root(root: PathLike) -> None:
    """Make a directory the root of this mount namespace; the old root is gone (pivot_root(2)).

    Meant for a mount namespace of one's own: every thread and process in it gets the new root.

    Raises:
        NamespaceError: EINVAL: the old root is a shared mount: propagate("/", "private") first.
    """
    for step in furnish((), root):
        plan.carry_out(step)


def _here() -> str:
    """Which mount namespace this thread is in; needs no descriptor, which may be what is short."""
    link = "/proc/thread-self/ns/mnt"
    with causes.naming("stat of this thread's mnt namespace"):
        try:
            return os.readlink(link)
        except OSError:  # the same by another call
            return f"mnt:[{os.stat(link).st_ino}]"


def _differs(path: str, before: int) -> bool | None:
    """Is another mount on top?  None where that cannot be told."""
    try:
        return _topmost(path) != before
    except OSError:
        return None


def _watch_creation(path: str, done: Mounted) -> None:
    """Remember what a step may make, to be removed again if it is as it was made: empty."""
    missing = []
    while path != "/" and not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    if missing:
        done.created += missing[::-1]
        done._undo.append(lambda: _remove(missing))


def _remove(paths: list[str]) -> None:
    for path in paths:
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                os.rmdir(path)
            elif os.path.getsize(path) == 0:
                os.unlink(path)
        except OSError:  # not made, or somebody uses it by now: it is theirs
            pass


def _unmount_down_to(path: str, before: int, seen: bool | None) -> None:
    """Take off all that a step mounted on a path: an old kernel's overlay has a tmpfs below it."""
    for _ in range(16):
        try:
            if _topmost(path) == before:
                return
        except OSError:
            if not seen:
                raise
            unmount(path, lazy=True)  # what was seen to be mounted there; no further look is to be had
            return
        unmount(path, lazy=True)


def _topmost(path: str) -> int:
    """The mount that a path is on, or will be once it is made."""
    while True:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            break
        except (FileNotFoundError, NotADirectoryError):
            if path in ("/", ""):
                raise
            path = os.path.dirname(path)
    try:
        return kernel.mount_id(fd)[0]
    finally:
        os.close(fd)
