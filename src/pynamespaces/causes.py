"""Why the kernel refuses: the one source of diagnosis for every error of the library.

Each probe looks for one cause and says what it found and what to change, or None: nothing here is guessed from the
errno alone.
"""

from __future__ import annotations

import errno
import os

from pynamespaces import capabilities, procfs
from pynamespaces._kernel import sched
from pynamespaces.errors import NamespaceError, refusal
from pynamespaces.kinds import TABLE, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def refused(error: OSError, step: str, *, filename: str | None = None, hint: str | None = None) -> NamespaceError:
    """The kernel's refusal of a step, with the cause where one is found."""
    number = error.errno or 0
    return refusal(number, step=step, filename=filename, hint=hint or why(number, step))


def why(number: int, step: str, said: str = "") -> str | None:
    """The cause that was found for the refusal of a step, in words; None where none was.

    Args:
        number: the errno.
        step: the step's name; the kinds in its parentheses are looked at.
        said: the kernel's own words about a mount.
    """
    if "too revealing" in said:
        return too_revealing(step)
    rows = _rows_of(step)
    for probe in _PROBES.get(number, ()):
        found = probe(step, rows)
        if found is not None:
            return found
    return None


def other_threads(step: str, rows: Iterable[Row]) -> str | None:
    """Threads beside this one, by name: user and time cannot be entered then (unshare(2), setns(2))."""
    if not any(row.alone for row in rows) or sched.alone():
        return None
    names = procfs.describe_threads() or "threads that /proc does not show"
    return f"this process has other threads: {names}"


def limit_reached(step: str, rows: Iterable[Row]) -> str | None:
    """A limit in /proc/sys/user that is 0 or used up, here or in an ancestor (namespaces(7))."""
    for row in rows:
        path = f"/proc/sys/user/max_{row.name}_namespaces"
        text = procfs.read_text(path)
        if text is not None and text.strip() == "0":
            return f"{path} is 0: no {row.name} namespace may be made here; raise that sysctl"
    names = [row.name for row in rows]
    if not names:
        return None
    depth = " (or 32 are nested already)" if {"user", "pid"} & set(names) else ""
    limits = ", ".join(
        f"max_{name}_namespaces = {(procfs.read_text(f'/proc/sys/user/max_{name}_namespaces') or '?').strip()}"
        for name in names
    )
    return f"a limit in /proc/sys/user is used up, here or in an ancestor{depth}: {limits}"


def userns_switched_off(step: str, rows: Iterable[Row]) -> str | None:
    """A distribution's switch against user namespaces of ordinary users."""
    if not any(row.name == "user" for row in rows) and "uid_map" not in step:
        return None
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        return "sysctl kernel.unprivileged_userns_clone is 0 (Debian's switch): set it to 1"
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "sysctl kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu's switch): set it to 0, or give the "
            "program an AppArmor profile with 'userns,'"
        )
    return None


def chrooted(step: str, rows: Iterable[Row]) -> str | None:
    """A chroot, in which no user namespace can be made (user_namespaces(7))."""
    if not any(row.name == "user" for row in rows) or not step.startswith(("unshare", "clone")):
        return None
    points = [target for target, _ in procfs.mount_points()]
    if not points or "/" in points:
        return None
    return "this thread is in a chroot, where no user namespace can be made; use pivot_root(2) instead"


def unmapped(step: str, rows: Iterable[Row]) -> str | None:
    """An id without a mapping, which cannot make user namespaces."""
    if not any(row.name == "user" for row in rows) or not step.startswith(("unshare", "clone")):
        return None
    for name, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        text = procfs.read_text(f"/proc/thread-self/{name}_map")
        if text is None:
            continue
        ranges = [tuple(map(int, line.split())) for line in text.splitlines()]
        if not any(first <= own < first + count for first, _, count in ranges):
            return f"{name} {own} is not mapped in this user namespace"
    return None


def missing_capability(step: str, rows: Iterable[Row]) -> str | None:
    """CAP_SYS_ADMIN (and CAP_SYS_CHROOT for mnt) that this thread lacks."""
    rows = tuple(rows)
    if rows and all(row.name == "user" for row in rows) and step.startswith(("unshare", "clone")):
        return None
    wanted = ["net_admin" if step.startswith("ioctl(SIOCGSKNS)") else "sys_admin"]
    if any(row.name == "mnt" for row in rows):
        wanted.append("sys_chroot")
    lacking = [f"CAP_{name.upper()}" for name in wanted if not sched.has_capability(capabilities.number(name))]
    if not lacking:
        return None
    link = _readlink("/proc/thread-self/ns/user") or "its user namespace"
    return f"uid {os.geteuid()} has no {' and no '.join(lacking)} in {link}"


def foreign_owner(step: str, rows: Iterable[Row]) -> str | None:
    """Capabilities, but not over the user namespace that owns the target."""
    if not step.startswith("setns") or missing_capability(step, rows) is not None:
        return None
    link = _readlink("/proc/thread-self/ns/user") or "its user namespace"
    return f"this thread has its capabilities in {link} only, which does not own the target or the way there"


def seccomp(step: str, rows: Iterable[Row]) -> str | None:
    """A system call filter, as container runtimes install."""
    text = procfs.read_text("/proc/thread-self/status") or ""
    for line in text.splitlines():
        if line.startswith("Seccomp:") and line.split()[1] == "2":
            return (
                "a seccomp filter is in force, as container runtimes install it: allow the call "
                "(docker run --security-opt seccomp=unconfined, or --cap-add SYS_ADMIN)"
            )
    return None


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
    return f"parts of {top} are masked ({', '.join(masks[:3])}), and the kernel will not reveal them by a fresh one"


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
    if any(path == "/" and "shared" in options for path, options in procfs.mount_points()):
        return "/ is a shared mount, which pivot_root(2) refuses: make it private or slave first"
    return None


def no_such_init(step: str, rows: Iterable[Row]) -> str | None:
    """A pid namespace whose PID 1 has ended."""
    if any(row.name == "pid" for row in rows) or "process" in step or step.startswith("clone"):
        return "PID 1 of the pid namespace has ended, and the kernel lets no process into such a namespace any more"
    return None


def nested_pid(step: str, rows: Iterable[Row]) -> str | None:
    """unshare(pid) where this thread's children go to another pid namespace already."""
    if not step.startswith("unshare") or not any(row.name == "pid" for row in rows):
        return None
    own, children = _readlink("/proc/thread-self/ns/pid"), _readlink("/proc/thread-self/ns/pid_for_children")
    if own == children:
        return None
    return "this thread's children go to another pid namespace already; below it, only one with an init can be made"


def descriptors(step: str, rows: Iterable[Row]) -> str | None:
    """No descriptor left."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"the limit of open files is {soft} (hard limit {hard}): close some, or raise RLIMIT_NOFILE"


_PROBES: dict[int, tuple[Callable[[str, Iterable[Row]], str | None], ...]] = {
    errno.EPERM: (
        userns_switched_off,
        chrooted,
        unmapped,
        masked_proc,
        mount_needs,
        missing_capability,
        foreign_owner,
        seccomp,
    ),
    errno.EACCES: (userns_switched_off, seccomp),
    errno.ENOSYS: (seccomp,),
    errno.EINVAL: (other_threads, nested_pid, locked_mounts, not_mounted, shared_root),
    errno.EBUSY: (mount_in_use,),
    errno.EUSERS: (other_threads, limit_reached),
    errno.ENOSPC: (limit_reached,),
    errno.ENOMEM: (no_such_init,),
    errno.EMFILE: (descriptors,),
}


def _rows_of(step: str) -> tuple[Row, ...]:
    """The kinds that a step names in its parentheses: ``"unshare(net, uts)"``."""
    _, _, rest = step.partition("(")
    words = {word.strip() for word in rest.partition(")")[0].split(",")}
    return tuple([row for row in TABLE if row.name in words])


def _sysctl(name: str) -> str | None:
    text = procfs.read_text(f"/proc/sys/{name}")
    return None if text is None else text.strip()


def _readlink(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
