"""What is mounted: this thread's mount namespace, a process's, or one that is only held, as typed rows."""

from __future__ import annotations

import os

from pynamespaces import causes, procfs
from pynamespaces._kernel import mount as kernel
from pynamespaces._kernel import pidfd
from pynamespaces.errors import NotSupported, refusal
from pynamespaces.handles import Namespace
from pynamespaces.mounts.options import Propagation
from pynamespaces.pidfds import open_process
from pynamespaces.sets import NamespaceSet
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins

    from pynamespaces.pidfds import Process


@value(frozen=True)
class Listed:
    """One mount: a line of /proc/PID/mountinfo (proc_pid_mountinfo(5))."""

    id: int  #: as in mountinfo; used again once the mount is gone
    parent: int
    device: tuple[int, int]  #: (major, minor)
    root: str  #: what of the file system: "/", a directory of it, "net:[4026532183]"
    target: str
    options: tuple[str, ...]  #: of the mount: "ro", "nosuid", …
    type: str
    source: str
    super_options: tuple[str, ...] = ()  #: of the file system: "size=1024k", …
    propagation: Propagation = Propagation.PRIVATE
    peers: int | None = None  #: the peer group, where it is shared
    master: int | None = None  #: the peer group that a slave gets its mounts from
    hidden: bool = False  #: mounted over: no path leads there any more

    def __str__(self) -> str:
        return f"{self.target} {self.type} {','.join(self.options)}{' (hidden)' if self.hidden else ''}"


def list(of: Process | Namespace | NamespaceSet | None = None) -> builtins.list[Listed]:  # noqa: A001
    """The mounts, in the kernel's order: parents before what is mounted on them.

    Args:
        of: None: this thread's mount namespace; a process's (its root's view); or a mnt Namespace or a set with one,
            which is read without entering it (listmount(2), Linux 6.8, of another namespace 6.11).

    Raises:
        ProcessLookupError: it has ended (ESRCH).
        PermissionError: it may not be inspected (EACCES), or no CAP_SYS_ADMIN over the namespace (EPERM, ENOENT).
        NotSupported: a namespace, on an older kernel (ENOSYS).
    """
    if isinstance(of, NamespaceSet):
        of = of["mnt"]
    if isinstance(of, Namespace):
        if str(of.kind) != "mnt":
            raise ValueError(f"only mnt namespaces have mounts, not {of.kind}")
        return _of_namespace(of)
    if of is None:
        text = procfs.read_text("/proc/thread-self/mountinfo")
        if text is not None:
            return parse(text)
        try:  # no proc, or another pid namespace's, as in a block with a new one
            with Namespace.current("mnt") as here:
                return _of_namespace(here)
        except OSError:
            hint = "proc is not mounted, or another pid namespace's"
            raise refusal(2, step="read /proc/thread-self/mountinfo", hint=hint) from None
    held, ours = open_process(of)
    try:
        pid = procfs.pid_of_pidfd(held)
        text = procfs.read_text(f"/proc/{pid}/mountinfo")
        if not pidfd.alive(held):
            raise refusal(3, step=f"read the mounts of process {pid}")
        if text is None:
            raise refusal(13, step=f"read the mounts of process {pid}")
        return parse(text)
    finally:
        if ours:
            os.close(held)


def parse(text: str) -> builtins.list[Listed]:
    """The rows of a mountinfo file; a line that is none is left out."""
    rows = []
    for line in text.split("\n"):
        before, dash, after = line.partition(" - ")
        words, rest = before.split(" "), after.split(" ")
        if not dash or len(words) < 6 or len(rest) < 2:
            continue
        try:
            major, minor = map(int, words[2].split(":"))
            number, parent = int(words[0]), int(words[1])
            fields = dict(_field(word) for word in words[6:])
        except ValueError:
            continue
        rows.append(
            Listed(
                number, parent, (major, minor), procfs.unescape(words[3]), procfs.unescape(words[4]),
                tuple(words[5].split(",")),
                procfs.unescape(rest[0]), procfs.unescape(rest[1]), tuple(rest[2].split(",")) if len(rest) > 2 else (),
                _propagation("shared" in fields, "master" in fields, "unbindable" in fields),
                fields.get("shared"), fields.get("master"),
            )
        )  # fmt: skip
    return _mark_hidden(rows)


def _field(word: str) -> tuple[str, int]:
    name, _, number = word.partition(":")
    return name, int(number or 0)


def _propagation(shared: bool, slave: bool, unbindable: bool) -> Propagation:
    if shared:
        return Propagation.SHARED
    if slave:
        return Propagation.SLAVE
    return Propagation.UNBINDABLE if unbindable else Propagation.PRIVATE


def _mark_hidden(rows: builtins.list[Listed]) -> builtins.list[Listed]:
    """A mount is hidden if its target's path leads to another one: over it, or over a directory on the way."""
    on: dict[tuple[int, str], int] = {}
    ids = {row.id for row in rows}
    roots = [row for row in rows if row.parent not in ids or row.parent == row.id]
    for row in rows:
        if row.parent in ids and row.parent != row.id:
            on[row.parent, row.target] = row.id
    start = roots[0] if roots else None
    return [row if start is None or _leads(row.target, start, on) == row.id else _hidden(row) for row in rows]


def _leads(path: str, start: Listed, on: dict[tuple[int, str], int]) -> int:
    """The mount that a path leads to, by the mounts alone."""
    at = start.id
    base = start.target.rstrip("/")
    parts = path[len(base) :].split("/") if path.startswith(base) else []
    prefix = base
    for part in parts or [""]:
        prefix = f"{prefix}/{part}" if part else prefix
        seen = set()
        while (at, prefix or "/") in on and at not in seen:
            seen.add(at)
            at = on[at, prefix or "/"]
    return at


def _hidden(row: Listed) -> Listed:
    return Listed(
        row.id, row.parent, row.device, row.root, row.target, row.options, row.type, row.source, row.super_options,
        row.propagation, row.peers, row.master, True,
    )  # fmt: skip


def _of_namespace(namespace: Namespace) -> builtins.list[Listed]:
    rows = []
    try:
        serial = kernel.namespace_id(namespace.fileno())
        for unique in kernel.listmount(serial):
            found = kernel.statmount(unique, serial)
            if found is not None:
                rows.append(_row(found))
    except OSError as error:
        if error.errno == 38:
            raise NotSupported(38, "this kernel has no listmount(2)", step="listmount", hint="Linux 6.8") from None
        if error.errno == 2:
            error = PermissionError(1, os.strerror(1))
        raise causes.refused(error, f"listmount({namespace.id.text(namespace.kind)})") from None
    return _mark_hidden(rows)


def _row(found: kernel.Statmount) -> Listed:
    words = ["ro" if found.attributes & kernel.RDONLY else "rw"]
    words += [word for word, (mask, bits) in kernel.ATTRIBUTES.items() if found.attributes & mask == bits]
    how = found.propagation
    return Listed(
        found.id, found.parent, found.device, found.root, found.target, tuple(words), found.type, found.source,
        ("ro" if found.read_only else "rw", *found.options.split(",")) if found.options else
        ("ro" if found.read_only else "rw",),
        _propagation(bool(how & kernel.MS_SHARED), bool(how & kernel.MS_SLAVE), bool(how & kernel.MS_UNBINDABLE)),
        found.peers or None, found.master or None,
    )  # fmt: skip
