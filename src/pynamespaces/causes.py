"""Why the kernel refuses: the one source of diagnosis, for every error of the library and for `doctor`.

Each probe looks for one cause and says what it found and what to change, or None: nothing here is guessed from the
errno alone.
"""

from __future__ import annotations

import errno
import os

from pynamespaces import capabilities, kinds, mount_causes, procfs
from pynamespaces._kernel import sched
from pynamespaces.errors import NamespaceError, refusal
from pynamespaces.kinds import TABLE, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

_USER = kinds.row("user")


def refused(error: OSError, step: str, *, filename: str | None = None, hint: str | None = None) -> NamespaceError:
    """The kernel's refusal of a step, with the cause where one is found."""
    number = error.errno or 0
    return refusal(number, step=step, filename=filename, hint=hint or why(number, step))


class naming:  # noqa: N801 (reads as a verb)
    """A ``with`` block that gives the kernel's bare refusals the name of the step in which they came."""

    __slots__ = ("_filename", "_step")

    def __init__(self, step: str, *, filename: str | None = None) -> None:
        self._step = step
        self._filename = filename

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if isinstance(error, OSError) and not isinstance(error, NamespaceError):
            raise refused(error, self._step, filename=self._filename) from None


def why(number: int, step: str, said: str = "", *, users: bool = False) -> str | None:
    """The cause that was found for the refusal of a step, in words; None where none was.

    Args:
        number: the errno.
        step: the step's name; the kinds in its parentheses are looked at.
        said: the kernel's own words about a mount.
        users: it was taken in a new user namespace, by its root: what this thread may do itself is not the cause.
    """
    if "too revealing" in said:
        return mount_causes.too_revealing(step)
    rows = _rows_of(step)
    if users and not any(row.name == "user" for row in rows):
        rows = (*rows, _USER)
    for probe in _PROBES.get(number, ()):
        try:
            found = probe(step, rows)
        except (OSError, ImportError):  # a search that fails must not hide what it is about
            continue
        if found is not None:
            filtered = seccomp(step, rows) if probe is mount_causes.mount_needs else None
            return f"{found}; or else {filtered}" if filtered else found
    return None


def other_threads(step: str, rows: Iterable[Row]) -> str | None:
    """Threads beside this one, by name: user and time cannot be entered then (unshare(2), setns(2))."""
    if not any(row.alone for row in rows) or sched.alone():
        return None
    names = procfs.describe_threads() or "threads that /proc does not show"
    return f"this process has other threads: {names}; do it before they start, or use run, call or executor"


def limit_reached(step: str, rows: Iterable[Row]) -> str | None:
    """A limit in /proc/sys/user that is 0 or used up, here or in an ancestor (namespaces(7))."""
    for row in rows:
        if _sysctl(f"user/max_{row.name}_namespaces") == "0":
            return _no_namespaces(row)
    names = [row.name for row in rows]
    if not names:
        return None
    depth = " (or 32 are nested already)" if {"user", "pid"} & set(names) else ""
    limits = ", ".join(f"max_{name}_namespaces = {_sysctl(f'user/max_{name}_namespaces') or '?'}" for name in names)
    return (
        f"a limit in /proc/sys/user is used up, here or in an ancestor{depth}: {limits}; end what holds namespaces, or "
        "raise it"
    )


def _no_namespaces(row: Row) -> str:
    name = f"user.max_{row.name}_namespaces"
    return f"sysctl {name} is 0: no {row.name} namespace may be made here; raise it (sysctl -w {name}=...)"


def userns_switched_off(step: str, rows: Iterable[Row]) -> str | None:
    """A distribution's switch against user namespaces of ordinary users."""
    if sched.has_capability(capabilities.SYS_ADMIN) and procfs.in_first_user_namespace():
        return None  # neither is for root
    users = any(row.name == "user" for row in rows) or "uid_map" in step
    if users and _sysctl("kernel/unprivileged_userns_clone") == "0":
        return (
            "sysctl kernel.unprivileged_userns_clone is 0 (Debian's switch): set it to 1 "
            "(sysctl -w kernel.unprivileged_userns_clone=1)"
        )
    # Ubuntu lets the namespace be made, and refuses what its root then does.
    inside = sched.has_capability(capabilities.SYS_ADMIN) and not procfs.in_first_user_namespace()
    if (users or inside) and _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "sysctl kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu's switch): set it to 0 "
            "(sysctl -w kernel.apparmor_restrict_unprivileged_userns=0), or give the program an AppArmor profile with "
            "'userns,'"
        )
    return None


def chrooted(step: str, rows: Iterable[Row]) -> str | None:
    """A chroot, in which no user namespace can be made (user_namespaces(7))."""
    if not any(row.name == "user" for row in rows) or not step.startswith(("unshare", "clone")):
        return None
    return _in_chroot()


def _in_chroot() -> str | None:
    points = [target for target, _ in procfs.mount_points()]
    if not points or "/" in points:
        return None
    return (
        "this thread is in a chroot (its / is no mount point), where no user namespace can be made; use pivot_root(2) "
        "instead"
    )


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
            return f"{name} {own} is not mapped in this user namespace; map it, or become one that is"
    return None


def net_admin(step: str, rows: Iterable[Row]) -> str | None:
    """CAP_NET_ADMIN over each network that a link, an address or a route touches (rtnetlink(7))."""
    if not step.startswith(("ip ", "tc ")):
        return None
    if sched.has_capability(capabilities.number("net_admin")):
        found = "this thread has CAP_NET_ADMIN, but not in the user namespaces that own all of these networks"
    else:
        found = f"uid {os.geteuid()} has no CAP_NET_ADMIN here"
    return f"{found}; the hosts of a net.Lab can be wired without, and networks that one user namespace of ours owns"


def missing_capability(step: str, rows: Iterable[Row]) -> str | None:
    """CAP_SYS_ADMIN (and CAP_SYS_CHROOT for mnt) that this thread lacks."""
    rows = tuple(rows)
    if any(row.name == "user" for row in rows) and not step.startswith("setns"):
        return None  # made in the same call, or before, it gives all of them
    wanted = ["net_admin" if step.startswith("ioctl(SIOCGSKNS)") else "sys_admin"]
    if step.startswith("setns") and any(row.name == "mnt" for row in rows):
        wanted.append("sys_chroot")
    lacking = [f"CAP_{name.upper()}" for name in wanted if not sched.has_capability(capabilities.number(name))]
    if not lacking:
        return None
    link = _readlink("/proc/thread-self/ns/user") or "its user namespace"
    found = f"uid {os.geteuid()} has no {' and no '.join(lacking)} in {link}"
    return (
        found
        if step.startswith("setns")
        else f"{found}; be root, or use run, call or executor with 'user' among the kinds"
    )


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
            found = "a seccomp filter is in force, as container runtimes install it"
            name = step.partition("(")[0]
            if name in _HARMLESS and _errno_of(_HARMLESS[name]) in (errno.EPERM, errno.ENOSYS):
                found = f"a seccomp filter refuses {name}(2), as container runtimes' do"
            return f"{found}: allow the call (docker run --security-opt seccomp=unconfined, or --cap-add SYS_ADMIN)"
    return None


#: Calls that change nothing, and that the kernel itself answers otherwise than by EPERM or ENOSYS.
_HARMLESS: dict[str, Callable[[], None]] = {"unshare": lambda: sched.unshare(0), "setns": lambda: sched.setns(-1, 0)}


def _errno_of(call: Callable[[], None]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return 0


def too_old(step: str, rows: Iterable[Row]) -> str | None:
    """A kernel without a kind: it says EINVAL (namespaces(7)), and /proc has no link of that name."""
    for row in rows:
        if os.path.isdir("/proc/thread-self/ns") and not os.path.lexists(f"/proc/thread-self/ns/{row.name}"):
            return (
                f"this kernel ({os.uname().release}) has no {row.name} namespaces: Linux {row.since} has them, where "
                "it was built with them"
            )
    return None


def no_such_call(step: str, rows: Iterable[Row]) -> str | None:
    """A kernel older than the call."""
    return f"this kernel ({os.uname().release}) does not have the call; it takes a newer one"


#: No process can be made in a pid namespace whose PID 1 has ended (pid_namespaces(7), ENOMEM).
DEAD_INIT = "the pid namespace's PID 1 has ended, and the kernel lets no process into such a namespace any more"


def no_such_init(step: str, rows: Iterable[Row]) -> str | None:
    """A pid namespace whose PID 1 has ended."""
    return DEAD_INIT if any(row.name == "pid" for row in rows) or step.startswith(("clone", "fork")) else None


def nested_pid(step: str, rows: Iterable[Row]) -> str | None:
    """unshare(pid) where this thread's children go to another pid namespace already."""
    if not step.startswith("unshare") or not any(row.name == "pid" for row in rows):
        return None
    own, children = _readlink("/proc/thread-self/ns/pid"), _readlink("/proc/thread-self/ns/pid_for_children")
    if own == children:
        return None
    return "this thread's children go to another pid namespace already; below it, only one with an init can be made"


def descriptors(step: str, rows: Iterable[Row]) -> str | None:
    """No descriptor left; perhaps not even to look with."""
    try:
        import resource
    except ImportError:
        return "the limit of open files is reached: close some, or raise RLIMIT_NOFILE"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"the limit of open files is {soft} (hard limit {hard}): close some, or raise RLIMIT_NOFILE"


def idmap_helper(name: str) -> str | None:
    """newuidmap(1) or newgidmap(1), which give away subordinate ids: missing, or without the right to.

    Args:
        name: "uid" or "gid".
    """
    import shutil

    program = f"new{name}map"
    path = shutil.which(program)
    if path is None:
        return f"more {name}s than one's own take CAP_SET{name.upper()}, or {program}: install uidmap or shadow-utils"
    if not os.stat(path).st_mode & 0o4000 and "security.capability" not in os.listxattr(path):
        return f"{path} is neither set-user-ID nor has file capabilities: install it anew, or chmod u+s"
    return None


def no_subids(name: str) -> str:
    """A user without subordinate ids in /etc/subuid or /etc/subgid (subuid(5))."""
    return f"give uid {os.geteuid()} some: usermod --add-sub{name}s 100000-165535 {_login()}"


def _login() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "USER"


#: The trace of `become_root`.
NO_WAY_BACK = "become_root is one way: a process cannot leave a user namespace again (setns(2))"


def parted(threads: str) -> str:
    """The trace of the first mnt block in a process with other threads."""
    return (
        f"the first mnt block parts this thread's cwd, root and umask from those of {threads}, for good (unshare(2), "
        "CLONE_FS): os.chdir() in one no longer moves the other"
    )


def circumstances() -> tuple[str, ...]:
    """What was found here that makes the kernel refuse something; for `doctor`."""
    found: list[str | None] = []
    if not sched.alone():
        names = procfs.describe_threads() or "threads that /proc does not show"
        found.append(f"this process has other threads: {names}")
    found.append(missing_capability("setns", ()))
    found.append(userns_switched_off("unshare(user)", (_USER,)))
    found += [_no_namespaces(row) for row in TABLE if _sysctl(f"user/max_{row.name}_namespaces") == "0"]
    found.append(_in_chroot())
    found.append(unmapped("unshare(user)", (_USER,)))
    found.append(seccomp("", ()))
    found.append(mount_causes.masked_proc("mount(proc", ()))
    if mount_causes.is_shared("/"):
        found.append(
            "/ is a shared mount: what a new mnt namespace mounts reaches this one, unless it is made private or slave "
            "(propagation=, which is private by default)"
        )
    found += [too_old("", (row,)) for row in TABLE]
    return tuple([text for text in found if text is not None])


_PROBES: dict[int, tuple[Callable[[str, Iterable[Row]], str | None], ...]] = {
    errno.EPERM: (
        net_admin,
        userns_switched_off,
        chrooted,
        unmapped,
        mount_causes.masked_proc,
        mount_causes.mount_needs,
        missing_capability,
        foreign_owner,
        seccomp,
    ),
    errno.EACCES: (userns_switched_off, seccomp),
    errno.ENOSYS: (seccomp, no_such_call),
    errno.EINVAL: (
        too_old,
        other_threads,
        nested_pid,
        mount_causes.locked_mounts,
        mount_causes.not_mounted,
        mount_causes.shared_root,
    ),
    errno.ENODEV: (mount_causes.unknown_filesystem,),
    errno.EBUSY: (mount_causes.mount_in_use,),
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
