"""Mounts: as values for `Isolation(mounts=..., root=...)`, as acts in this thread's namespace, and as a list.

    Isolation("mnt", mounts=[mounts.tmpfs("/data", size="1M"), mounts.file("/etc/hosts", "127.0.0.1 db\\n")])
    Isolation("user", "mnt", root=mounts.throw_away("/"))      # a copy of the whole root that vanishes
    with mounts.mount(mounts.bind("/srv", "/mnt", read_only=True)): ...
    mounts.list()

A value is checked when it is made; it is mounted by the steps of a plan, in a thread's block or in a child.
"""

from pynamespaces.mounts.acts import Mounted, mount, pivot_root, propagate, unmount
from pynamespaces.mounts.copies import Change, changes, discard, throw_away
from pynamespaces.mounts.filesystems import cgroup2, dev, devpts, empty, filesystem, mqueue, proc, sysfs, tmpfs
from pynamespaces.mounts.furnishing import furnish
from pynamespaces.mounts.listing import Listed, list  # noqa: A004 (mounts.list reads well)
from pynamespaces.mounts.options import Propagation
from pynamespaces.mounts.trees import MASKED, Mount, bind, directory, file, mask, overlay, symlink

__all__ = [
    "MASKED",
    "Change",
    "Listed",
    "Mount",
    "Mounted",
    "Propagation",
    "bind",
    "cgroup2",
    "changes",
    "dev",
    "devpts",
    "directory",
    "discard",
    "empty",
    "file",
    "filesystem",
    "furnish",
    "list",
    "mask",
    "mount",
    "mqueue",
    "overlay",
    "pivot_root",
    "proc",
    "propagate",
    "symlink",
    "sysfs",
    "throw_away",
    "tmpfs",
    "unmount",
]
