"""What /proc says of tasks: always thread-self or a held process, never self."""

from __future__ import annotations

import errno
import os

from pynamespaces._kernel import pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pynamespaces.kinds import Row


#: In a child that stands for its parent: the parent's other threads.
parent_threads: list[tuple[int, str]] | None = None


def threads() -> list[tuple[int, str]]:
    """The other threads of this process: (tid, name).

    From /proc/self/task, since the threading module does not know the threads of C libraries.
    """
    if parent_threads is not None:
        return parent_threads
    from _thread import get_native_id

    own = get_native_id()
    found = []
    for entry in _listdir("/proc/self/task"):
        tid = int(entry)
        if tid == own:
            continue
        name = read_text(f"/proc/self/task/{tid}/comm")
        if name is not None:
            found.append((tid, name.strip()))
    return found


def describe_threads() -> str:
    """The other threads in words: ``"ThreadPoolExecu (tid 123), jemalloc_bg (tid 124)"``."""
    return ", ".join(f"{name} (tid {tid})" for tid, name in threads())


def open_namespace(pid: int, row: Row, *, for_children: bool = False) -> int:
    """Open /proc/PID/ns/KIND; the caller holds the process and checks afterwards that it still lives."""
    name = row.children if for_children else row.name
    return os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)


def pid_of_pidfd(pidfd: int) -> int:
    """The process id behind a pidfd, in this process's pid namespace: -1 once reaped, 0 if it is not visible."""
    text = read_text(f"/proc/thread-self/fdinfo/{pidfd}") or ""
    for line in text.splitlines():
        if line.startswith("Pid:"):
            return int(line[4:])
    return -1


def signal_child(held: int, signal: int) -> None:
    """pidfd_send_signal(2) to a child that only we reap; where that call is refused, by its number, which is its own
    until then.

    Raises:
        ProcessLookupError: it has been reaped.
    """
    try:
        pidfd.send_signal(held, signal)
    except OSError as error:
        pid = pid_of_pidfd(held)
        if error.errno not in (errno.ENOSYS, errno.EPERM) or pid <= 0:
            raise
        os.kill(pid, signal)


def in_first_user_namespace() -> bool:
    """Is this thread in the user namespace that the machine booted with?  Its inode is a constant of the kernel."""
    try:
        return os.stat("/proc/thread-self/ns/user").st_ino == 0xEFFFFFFD
    except OSError:  # no /proc here
        return False


def mount_points() -> list[tuple[str, tuple[str, ...]]]:
    """This thread's mounts as (target, options and "shared" where it is), in the kernel's order; none without /proc."""
    found = []
    for line in (read_text("/proc/thread-self/mountinfo") or "").split("\n"):
        words = line.partition(" - ")[0].split(" ")
        if len(words) >= 6:
            tags = [word.partition(":")[0] for word in words[6:]]
            found.append((unescape(words[4]), (*words[5].split(","), *tags)))
    return found


def unescape(text: str) -> str:
    r"""Undo the kernel's escapes of mountinfo: ``\040`` is a space."""
    if "\\" not in text:
        return text
    raw, *rest = os.fsencode(text).split(b"\\")
    for part in rest:
        octal = part[:3]
        if len(octal) == 3 and not octal.strip(b"01234567"):
            raw += bytes([int(octal, 8) & 255]) + part[3:]
        else:
            raw += b"\\" + part
    return os.fsdecode(raw)


def read_text(path: str) -> str | None:
    """A small file's text, or None where it cannot be read: the task ended, or it is none of our business."""
    try:
        # No universal newlines: a carriage return may be part of a name.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.read()
    except OSError:
        return None


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
