"""Why the kernel refuses a mount: what `causes` asks of steps that mount, unmount or change the root."""

from __future__ import annotations

from pynamespaces import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pynamespaces.kinds import Row


def masked_proc(step: str, rows: Iterable[Row]) -> str | None:
    """A /proc with parts mounted over: a fresh one would reveal them (mount_too_revealing)."""
    if not step.startswith("mount(proc"):
        return None
    return too_revealing(step) if any(path.startswith("/proc/") for path, _ in procfs.mount_points()) else None


def too_revealing(step: str) -> str:
    """A fresh proc or sysfs would show what is masked, or let write what is read-only (mount_too_revealing)."""
    top = "/sys" if step.startswith("mount(sysfs") else "/proc"
    masks = [path for path, _ in procfs.mount_points() if path.startswith(f"{top}/")]
    if any(path == top and "ro" in options for path, options in procfs.mount_points()):
        return f"{top} is read-only here, and the kernel lets no fresh one be written to: read_only=True"
    more = ", …" if len(masks) > 3 else ""
    return (
        f"parts of {top} are masked ({', '.join(masks[:3])}{more}), and the kernel will not reveal them by a fresh "
        "one: unmask them (docker run --security-opt systempaths=unconfined), or go without (proc=False)"
    )


#: What an ordinary user can mount only in a new namespace of that kind.
_MOUNT_NEEDS = {"proc": "pid", "sysfs": "net", "mqueue": "ipc", "cgroup2": "cgroup"}
#: What can be mounted in any user namespace (FS_USERNS_MOUNT).
_MOUNTS = ("tmpfs", "ramfs", "devpts", "overlay", "devices", "fuse", "binfmt_misc", "bpf", "erofs")


def mount_needs(step: str, rows: Iterable[Row]) -> str | None:
    """A file system that a user namespace's root may not mount, or not here (user_namespaces(7))."""
    if not step.startswith("mount("):
        return None
    fstype, on, _ = step[6:].partition(" on ")
    kind = _MOUNT_NEEDS.get(fstype)
    if kind is not None and on:
        return f"in a user namespace {fstype} goes with a new {kind} namespace only: add {kind!r} to the kinds"
    return f"{fstype} can be mounted in the first user namespace only" if on and fstype not in _MOUNTS else None


def locked_mounts(step: str, rows: Iterable[Row]) -> str | None:
    """Mounts below a source, which another user namespace keeps together (mount_namespaces(7))."""
    verb, _, rest = step.partition("(")
    source = rest.rpartition(" on ")[0]
    if verb not in ("bind", "overlay") or not any(
        path.startswith(source.rstrip("/") + "/") and path != source for path, _ in procfs.mount_points()
    ):
        return None
    way = "bind it with recursive=True" if verb == "bind" else "mounts.throw_away() copies around them"
    return f"mounts below {source} are locked in this user namespace, and may not be left out: {way}"


def not_mounted(step: str, rows: Iterable[Row]) -> str | None:
    """umount(2) of what is no mount point, or of one that came from another user namespace."""
    if not step.startswith("umount("):
        return None
    path = step[7:-1]
    if any(path == point for point, _ in procfs.mount_points()):
        return f"{path} was inherited from another user namespace, and is locked"
    return f"{path} is no mount point"


def mount_in_use(step: str, rows: Iterable[Row]) -> str | None:
    """umount(2) of what is in use."""
    return "somebody has files open or a cwd below it; lazy=True detaches it" if step.startswith("umount(") else None


def shared_root(step: str, rows: Iterable[Row]) -> str | None:
    """pivot_root(2) where / is shared with peers."""
    if not step.startswith("pivot_root"):
        return None
    if is_shared("/"):
        return "/ is a shared mount, which pivot_root(2) refuses: make it private or slave first"
    return None


def is_shared(path: str) -> bool:
    options = [options for target, options in procfs.mount_points() if target == path]
    return bool(options) and "shared" in options[-1]


def unknown_filesystem(step: str, rows: Iterable[Row]) -> str | None:
    """A file system that this kernel has not."""
    fstype = step[6:].partition(" on ")[0] if step.startswith("mount(") else ""
    known = procfs.read_text("/proc/filesystems")
    if not fstype or known is None or fstype in known.split():
        return None
    return f"this kernel has no file system {fstype} (/proc/filesystems), and no module of it could be loaded"
