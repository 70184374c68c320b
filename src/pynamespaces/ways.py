"""The way there and back of one thread: what each block changed, and how it is undone.

Namespaces belong to threads, so does everything here.  A frame holds, for each kind that its block changed, an open
descriptor of where the thread was before.  Frames end in any order (generators may be closed early): leaving one
whose kind a later block has changed again hands the way home to that later block.
"""

from __future__ import annotations

import os
from _thread import _local
from struct import pack

from pynamespaces import causes, inits, kinds, procfs
from pynamespaces._kernel import mount, pidfd, sched
from pynamespaces.errors import NamespaceError, NotPermitted, NotSupported, RestoreError, refusal
from pynamespaces.kinds import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from pynamespaces.handles import Namespace

MNT = Kind.MNT.value
PID = Kind.PID.value
TIME = Kind.TIME.value
#: Kinds for whose way back setns(2) is all.
PLAIN = frozenset([kind.value for kind in (Kind.NET, Kind.UTS, Kind.IPC, Kind.CGROUP)])

EUSERS = 87
ENOTRECOVERABLE = 131
ELSEWHERE = "processes and functions can go there: use run, call or executor"

#: This process became root of a user namespace of its own: mounts that it makes end with it.
moved = False

_thread = _local()


class Frame:
    """What one block changed in this thread."""

    __slots__ = ("cwd", "generation", "homes", "init", "kinds", "root")

    def __init__(self, kinds: int = 0) -> None:
        self.kinds: int = kinds  # all that it is in, those included in which the thread was already
        self.homes: list[tuple[int, int]] = []  # (kind, descriptor), in the order of going
        self.root: int = -1
        self.cwd: int = -1
        self.init: int = -1
        self.generation: int = 0

    def remember_root(self) -> None:
        """Hold root and cwd: setns(mnt) moves both to the root of the namespace, also on the way back."""
        self.root = mount.open_directory(b"/")
        self.cwd = mount.open_directory(b".")

    def stay(self, kind: int) -> None:
        """Forget the way home from a kind that was not left after all."""
        for _, fd in [pair for pair in self.homes if pair[0] == kind]:
            os.close(fd)
        self.homes = [pair for pair in self.homes if pair[0] != kind]

    def close(self) -> None:
        """Give up the way home."""
        for _, fd in self.homes:
            os.close(fd)
        self.homes.clear()
        self.close_root()

    def close_root(self) -> None:
        if self.root >= 0:
            os.close(self.root)
        if self.cwd >= 0:
            os.close(self.cwd)
        self.root = self.cwd = -1

    def __del__(self) -> None:
        if self.homes or self.root >= 0:  # its thread ended inside the block
            self.close()
        if self.init >= 0 and self.generation == inits.generation():
            inits.end(self.init)


def frames() -> list[Frame]:
    """The calling thread's open blocks, outermost first; RestoreError once a way back has failed."""
    try:
        stack: list[Frame] = _thread.frames
    except AttributeError:
        _thread.spent = None
        stack = _thread.frames = []
    spent: RestoreError | None = _thread.spent
    if spent is not None:
        raise RestoreError(str(spent)) from spent.__cause__
    return stack


def open_homes(flags: int, targets: bytes | None = None) -> list[int]:
    """Descriptors of where this thread is, sure to let it come back; see `_kernel.sched.homes`.

    Raises:
        NotPermitted: this thread could go but never come back; nothing has changed.
    """
    answer, fds = sched.homes(flags, targets)
    if answer >= 0:
        return fds
    name = kinds.row_of_flag(fds[0]).name
    step = f"open the way back to this thread's {name} namespace"
    if answer == -1:
        hint = (
            f"this thread's {name} namespace belongs to a user namespace outside its own, so it could leave but never "
            f"come back; {ELSEWHERE}, or become_root({name!r}) first"
        )
        raise NotPermitted(1, os.strerror(1), step=step, hint=hint)
    raise refused(-answer, step)


def refused(errno: int, step: str) -> NamespaceError:
    """The refusal of a step of a block; where a capability is missing, with the ways that need none."""
    cause = causes.why(errno, step)
    if errno == 1:
        ways = "or become_root() first"
        if cause is None or not step.startswith("unshare"):
            ways = f"{ELSEWHERE} (NamespaceSet.at(name).run(...) for what was persisted); {ways}"
        cause = f"{cause or 'blocks need CAP_SYS_ADMIN'}; {ways}"
    return refusal(errno, step=step, hint=cause)


def require_alone(kind: str) -> None:
    """Refuse what the kernel allows to a process with one thread only; a thread just joined may take a moment to go."""
    if not wait_alone(0.05):
        raise NotSupported(
            EUSERS,
            "this process has other threads",
            step=f"setns({kind})",
            hint=f"{procfs.describe_threads() or 'other threads'}: the kernel would let one go and never come back; "
            f"{ELSEWHERE}",
        )


def wait_alone(seconds: float) -> bool:
    """Wait for the other threads to be gone: join() returns before the kernel has dropped the thread."""
    import time

    if sched.alone():
        return True
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while time.perf_counter_ns() < end:
        sched.sched_yield()
        if sched.alone():
            return True
        time.sleep(0.0005)
    return False


def join(namespaces: Sequence[Namespace]) -> Frame:
    """Go into existing namespaces, all or none; kinds that are the same already are not joined.

    Args:
        namespaces: in the order of `_kernel.sched.ORDER`.
    """
    stack = frames()
    targets = b""
    flags = 0
    for namespace in namespaces:
        flag = namespace.row.flag
        flags |= flag
        targets += pack("=iiQQ", flag, namespace.fileno(), namespace.id.dev, namespace.id.ino)
    if flags & TIME:
        frame = _join_slowly(namespaces, flags)
    else:
        answer, homes, root, cwd = sched.enter(targets, len(namespaces))
        if answer < 0:
            _refuse_entry(-answer, homes[0], namespaces)
        frame = Frame(flags)
        frame.root, frame.cwd = root, cwd
        frame.homes = [(namespaces[i].row.flag, home) for i, home in enumerate(homes) if home >= 0]
    stack.append(frame)
    return frame


def _refuse_entry(errno: int, flag: int, namespaces: Sequence[Namespace]) -> NoReturn:
    namespace = next(namespace for namespace in namespaces if namespace.row.flag == flag)
    step = f"setns({namespace.row.name}) to {namespace.id.text(namespace.kind)}"
    if errno == ENOTRECOVERABLE:
        _spend(refusal(errno, step=step))
    if errno == 1:  # say which of the two ways is closed
        for home in open_homes(flag):
            os.close(home)
    raise refused(errno, step)


def _join_slowly(namespaces: Sequence[Namespace], flags: int) -> Frame:
    """With time, which wants a process with a single thread, seen to before anything changes."""
    targets = b"".join([pack("=QQ", namespace.id.dev, namespace.id.ino) for namespace in namespaces])
    homes = open_homes(flags, targets)
    frame = Frame(flags)
    gone = 0
    try:
        for namespace, home in zip(namespaces, homes, strict=True):
            if home >= 0 and namespace.row.flag == TIME:
                require_alone("time")
            elif home >= 0 and namespace.row.flag == MNT:
                frame.remember_root()
        for namespace, home in zip(namespaces, homes, strict=True):
            if home >= 0:
                answer = sched.go(namespace.fileno(), namespace.row.flag)
                if answer < 0:
                    raise refused(-answer, f"setns({namespace.row.name}) to {namespace.id.text(namespace.kind)}")
                frame.homes.append((namespace.row.flag, home))
            gone += 1
    except BaseException:
        for home in homes[gone:]:
            if home >= 0:
                os.close(home)
        undo(frame)
        raise
    return frame


def leave(frame: Frame) -> None:
    """Undo a block, in reverse.

    Raises:
        RuntimeError: this thread has not entered it; nothing has changed.
        RestoreError: the kernel refuses the way back; this thread is spent.
    """
    stack = frames()
    if stack and stack[-1] is frame:
        stack.pop()
    else:
        if frame not in stack:
            raise RuntimeError("a block must be left by the thread that entered it; nothing has changed")
        _bequeath(frame, stack[stack.index(frame) + 1 :])
        stack.remove(frame)
    homes = frame.homes
    if len(homes) == 1 and frame.init < 0 and homes[0][0] in PLAIN and sched.leave(homes[0][1], homes[0][0]) >= 0:
        homes.clear()
    elif len(homes) > 1 and frame.init < 0 and _leave_at_once(frame):
        homes.clear()
        frame.root = frame.cwd = -1
    else:
        undo(frame)


def _leave_at_once(frame: Frame) -> bool:
    """All ways home by one call; where that fails nothing is closed, and `undo` tries each again and says which."""
    pairs = b""
    for flag, home in frame.homes:
        if flag == TIME:
            return False
        pairs += pack("=ii", home, flag)
    return sched.return_home(pairs + pack("=ii", frame.root, frame.cwd), len(frame.homes)) >= 0


def undo(frame: Frame) -> None:
    """Go home from a frame and end its init; every kind is tried even where one fails."""
    failed: OSError | None = None
    where = ""
    for flag, home in reversed(frame.homes):
        if flag == TIME:
            wait_alone(1.0)
        answer = sched.go(home, flag)
        if answer < 0:
            where = f"setns({kinds.row_of_flag(flag).name})"
            failed = refusal(-answer, step=f"{where} on the way back", hint=_why_no_return(flag, -answer))
        elif flag == MNT:
            failed = _restore_root(frame) or failed
    frame.close()
    if frame.init >= 0:
        held, frame.init = frame.init, -1
        if frame.generation == inits.generation():
            inits.end(held)
        else:
            os.close(held)
    if failed is not None:
        _spend(failed)


def follow_init(held: int) -> None:
    """Send this thread's children into the pid namespace of its new init."""
    fd = pidfd.namespace(held, PID)
    if fd is None:
        fd = os.open(f"/proc/{procfs.pid_of_pidfd(held)}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = sched.go(fd, PID)
        if answer < 0:
            raise refusal(-answer, step="setns(pid) to the new init's", hint=causes.why(-answer, "setns(pid)"))
    finally:
        os.close(fd)


def outermost(flag: int) -> tuple[Frame, int] | None:
    """This thread's outermost block that changed a kind, and its way home: to where the thread began."""
    for frame in frames():
        for kind, home in frame.homes:
            if kind == flag:
                return frame, home
    return None


def _bequeath(frame: Frame, later: list[Frame]) -> None:
    """Hand the ways home of kinds that later blocks are in, too, to the first such block."""
    kept = []
    for flag, home in frame.homes:
        heir = next((other for other in later if other.kinds & flag), None)
        if heir is None:
            kept.append((flag, home))
            continue
        for position, (kind, old) in enumerate(heir.homes):
            if kind == flag:
                os.close(old)
                del heir.homes[position]
                break
        heir.homes.append((flag, home))
        if flag == MNT:
            heir.close_root()
            heir.root, heir.cwd = frame.root, frame.cwd
            frame.root = frame.cwd = -1
    frame.homes = kept


def _restore_root(frame: Frame) -> OSError | None:
    try:
        mount.fchdir(frame.root)
        mount.chroot(b".")
        mount.fchdir(frame.cwd)
    except OSError as error:
        return error
    return None


def _why_no_return(flag: int, errno: int) -> str | None:
    if flag == TIME and errno == EUSERS:
        return f"threads that the block left behind: {procfs.describe_threads()}"
    return causes.why(errno, "setns")


def _spend(cause: OSError) -> NoReturn:
    error = RestoreError(f"this thread could not come back and is spent: {cause}")
    error.__cause__ = cause
    _thread.spent = error
    raise error
