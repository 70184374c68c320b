"""Mounts and a root as the steps of a plan: what lies in which file system, and what may be made there."""

from __future__ import annotations

import os

from pynamespaces import plan, procfs
from pynamespaces._kernel import steps
from pynamespaces.mounts import trees
from pynamespaces.mounts.copies import ThrowAway
from pynamespaces.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    from pynamespaces.mounts.options import PathLike

    class Furniture(Protocol):
        """A value that knows its steps."""

        def steps(self) -> Iterable[Step]: ...


#: New and ours alone: mount points, links and files may be made in them.
_OWN = (b"tmpfs", b"ramfs")
#: What only makes something where it may stay.
MAKING = (steps.MKDIR, steps.SYMLINK)


def furnish(
    mounts: Iterable[Furniture], root: PathLike | Furniture | None = None, *, users: bool = False, create: bool = False
) -> Iterator[Step]:
    """The steps of a list of mounts, under a new root or not.

    Args:
        mounts: in this order.
        root: a directory, or a value whose target is "/".
        create: make mount points that are missing, in whatever file system; else only in the plan's own.
        users: in a new user namespace; else it is looked up where it matters.

    Raises:
        ValueError: something would be made, and left, in a file system that is not the plan's own; a mount on "/".
    """
    own = {"/": False}  # target -> is what lies there the plan's own?
    under = 0
    if root is not None:
        for step in _steps(as_root(root), users):
            yield _placed(step, own, under or steps.AS_ROOT, users)
            under = steps.IN_ROOT
    for mount in mounts:
        if getattr(mount, "target", None) == "/":
            raise ValueError(f"{mount}: what is mounted on / is seen by nobody whose root it is not: use root=")
        for step in _steps(mount, users):
            yield _placed(step, own, under | (steps.CREATE if create else 0), users)
    if root is not None:
        yield plan.pivot_root()


def as_root(root: PathLike | Furniture) -> Furniture:
    """What `root` means: a path is that directory, with the mounts below it."""
    if isinstance(root, (str, os.PathLike)):
        return trees.bind(root, "/")
    target = getattr(root, "target", "/")
    if target != "/" or not hasattr(root, "steps"):
        raise ValueError(f"a root is a directory, or a mount whose target is '/', got {root!r}")
    return root


def _steps(mount: Furniture, users: bool) -> Iterable[Step]:
    if isinstance(mount, ThrowAway):
        return mount.steps(locked=users or not procfs.in_first_user_namespace())
    return mount.steps()


def _placed(step: Step, own: dict[str, bool], where: int, users: bool) -> Step:
    """A step with what its place asks for."""
    if step.b is None or step.op < steps.FS or step.op == steps.PIVOT:
        return step
    flags = step.flags | where
    path = os.path.normpath(os.fsdecode(step.b))
    cover = _cover(path, own)
    ours = own[cover] and where != steps.AS_ROOT
    if ours:
        flags |= steps.CREATE | len(os.fsencode(cover)) << steps.OWN_SHIFT
    elif step.op in MAKING:
        raise ValueError(f"{step} would stay behind: {cover} is no file system of this plan's own")
    if step.op == steps.FILE and ours and not flags & steps.RDONLY:
        flags |= steps.PLAIN
    elif step.op == steps.OVERLAY:
        # The first user namespace alone may write the trusted.* attributes.
        flags |= steps.USERXATTR if users or not procfs.in_first_user_namespace() else 0
        own[path] = step.c is None and not flags & steps.RDONLY
    elif step.op in (steps.FS, steps.DEVICES):
        own[path] = (step.c in _OWN or step.op == steps.DEVICES) and not flags & steps.RDONLY
    elif step.op not in MAKING:
        own[path] = False
    return plan.with_flags(step, flags)


def _cover(path: str, own: dict[str, bool]) -> str:
    """The longest target of the plan that a path lies below."""
    while path not in own:
        path = os.path.dirname(path)
    return path


def is_proc(mount: Furniture) -> bool:
    """Does it mount a proc on /proc?"""
    return any(step.op == steps.FS and step.c == b"proc" and step.b == b"/proc" for step in mount.steps())
