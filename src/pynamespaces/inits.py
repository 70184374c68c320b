"""The inits of pid blocks: one tiny PID 1 for each, ended with the block and reaped when that can be."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from pynamespaces import handles, kinds, pids, procfs
from pynamespaces._kernel import init, pidfd
from pynamespaces.kinds import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pynamespaces.handles import Namespace

_lock = allocate_lock()
_ended: list[int] = []  # pidfds of killed inits that could not be reaped yet
_generation = 0  # forks since the first pid block: a forked child must not kill its parent's inits
_prepared = False


def start(*, new: bool = True, below: bool = False) -> int:
    """Start PID 1 of a pid namespace (see `_kernel.init.spawn`); a pidfd of it."""
    _prepare()
    sweep()
    image = init.image()
    try:
        return init.spawn(image, new=new, below=below)
    finally:
        os.close(image)


def generation() -> int:
    """Changes in a forked child: what was started before belongs to the parent."""
    return _generation


def keep(held: int) -> None:
    """Let an init outlive what it works for: once for each name under which its namespace is kept."""
    pidfd.send_signal(held, init.KEEP)


def release(held: int) -> None:
    """Take one `keep` back: it ends with the last, if what it works for has ended."""
    pidfd.send_signal(held, init.RELEASE)


def end(held: int) -> None:
    """End an init unless it is kept, and with it everything in its namespace; wait for that, but not for zombies.

    An init cannot be reaped while a process that was put into its namespace from outside, a `subprocess` of the
    block, has not been reaped by its own parent.  It is reaped at the next pid block or at exit then.
    """
    try:
        procfs.signal_child(held, init.END)
    except ProcessLookupError:
        pass  # somebody's wait() for any child has reaped it
    for _ in range(50):
        if not pidfd.alive(held, 20) or _zombies() or _kept(held):
            break
    with _lock:
        _ended.append(held)
    sweep()


def _kept(held: int) -> bool:
    return procfs.read_text(f"/proc/{procfs.pid_of_pidfd(held)}/comm") == init.KEPT


def sweep() -> None:
    """Reap the killed inits that can be reaped now."""
    with _lock:
        _ended[:] = [held for held in _ended if not _reaped(held)]


def _reaped(held: int) -> bool:
    if not pidfd.reap(held):
        return False
    os.close(held)
    return True


def _zombies() -> bool:
    """Has this process a child that has ended and waits for its `wait`?"""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _prepare() -> None:
    global _prepared
    if not _prepared:
        import atexit

        _prepared = True
        atexit.register(sweep)
        os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    global _generation, _lock
    _generation += 1
    _lock = allocate_lock()
    for held in _ended:
        os.close(held)
    _ended.clear()


def of(namespace: Namespace) -> int | None:
    """A pidfd of PID 1 of a pid namespace, if that is our tiny init."""
    pid = pids.ask(namespace, pids.FROM, 1)
    if not pid or pid < 0:
        return None
    try:
        held = pidfd.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        if _command(pid) != b"pynamespaces-init\0":
            return None
        with handles.of_pidfd(held, kinds.row(Kind.PID), loud=False) as its:
            ours = its == namespace and pidfd.alive(held)
        if ours:
            found, held = held, -1
            return found
    except ProcessLookupError:
        pass
    finally:
        if held >= 0:
            os.close(held)
    return None


def _command(pid: int) -> bytes | None:
    """What a process calls itself; one that is just now in execve(2) has no name yet, though its parent goes on."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        if text:
            return text
        time.sleep(0.0005)
    return None


def tell(namespace: Namespace, word: Callable[[int], None]) -> None:
    """`keep` or `release` our init, if it is PID 1 of this namespace."""
    held = of(namespace) if namespace.kind is Kind.PID else None
    if held is not None:
        try:
            word(held)
        finally:
            os.close(held)
