"""Trials: whether a place can be had for a verb, found out by really doing it in a throw-away child.

A command is launched as every command is, without a fork, and told to execute a directory: the kernel refuses that
(EACCES) after every step to the place has been taken.  Everything that would change a thread is done in a forked
child, which has as many threads as its parent had, and leaves nothing.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal

from pynamespaces.errors import NamespaceError, RestoreError
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import NoReturn, TypeAlias, TypeVar

    from pynamespaces.handles import Namespace
    from pynamespaces.pidfds import PidFd
    from pynamespaces.places import Place

    Kept: TypeAlias = "tuple[Refusal | None, Refusal | None, Refusal | None]"
    T = TypeVar("T")

#: Seconds that a trial may take.
LIMIT = 20


@value(frozen=True)
class Refusal:
    """Why something did not work: the step and the kernel's word, and the cause that was found."""

    step: str
    errno: int
    text: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.text} ({self.hint})" if self.hint else self.text


def refusal(error: Exception) -> Refusal:
    """What an exception of the library says."""
    number = getattr(error, "errno", None) or 0
    if isinstance(error, NamespaceError):
        text = str(error.strerror)
        if error.hint:
            text = text.removesuffix(f" ({error.hint})")
        return Refusal(error.step, number, text, error.hint)
    return Refusal("", number, str(error) or type(error).__name__)


def run(place: Place) -> Refusal | None:
    """Try `place.run`: everything but the command itself."""
    from pynamespaces.processes import Popen

    try:
        process = Popen(place, ["/"])
    except PermissionError as error:
        if not isinstance(error, NamespaceError) and error.errno == errno.EACCES and error.filename == "/":
            return None
        return refusal(error)
    except (OSError, RestoreError) as error:
        return refusal(error)
    process.kill()
    process.wait()
    raise AssertionError("a directory was executed")


def call(place: Place) -> Refusal | None:
    """Try `place.call`."""
    from pynamespaces import calls

    try:
        calls.apply(place, _nothing, timeout=LIMIT)
    except (OSError, RuntimeError) as error:  # TimeoutError, ChildDied
        return refusal(error)
    return None


def block(place: Place) -> Refusal | None:
    """Try a ``with`` block there and back, of a thread like this one."""
    return in_child(lambda: _enter(place))


def become_root(kind: str) -> Refusal | None:
    """Try `become_root` of a kind in a process like this one, and then a block of that kind."""
    return in_child(lambda: _become_root(kind))


def keep(place: Place, name: str) -> Kept:
    """Try to persist new namespaces in the store of this user, and to rejoin them.

    Returns:
        what refused to persist; to rejoin them by a block; to run a function in them.
    """
    from pynamespaces import persistence, store

    directory = store.default()
    missing = not os.path.lexists(directory)
    try:
        refused = in_child(lambda: _keep(place, name))
        return refused if isinstance(refused, tuple) else (refused, refused, refused)
    finally:
        try:
            persistence.forget(name)  # where the child was killed
            if missing:
                os.rmdir(directory)
        except OSError:
            pass


def _nothing() -> None:
    pass


def _caught(function: Callable[[], object]) -> Refusal | None:
    try:
        function()
    except (OSError, RuntimeError) as error:
        return refusal(error)
    return None


def _enter(place: Place) -> Refusal | None:
    def there_and_back() -> None:
        block = getattr(place, "unshare", None) or place.enter  # type: ignore[attr-defined]
        with block():
            pass

    return _caught(there_and_back)


def _become_root(kind: str) -> Refusal | None:
    from pynamespaces import isolation, rootless

    def become() -> None:
        rootless.become_root(kind)
        if kind != "user":
            with isolation.unshare(kind):
                pass

    return _caught(become)


def _keep(place: Place, name: str) -> Kept | Refusal:
    """Keep the namespaces of a function that waits; or, where none can be started, those of a command."""
    from pynamespaces import children
    from pynamespaces.pidfds import PidFd
    from pynamespaces.processes import Popen

    try:
        child = children.start(place, _wait)
    except OSError as error:
        opened: list[Namespace] = []
        try:
            Popen(place, ["/"], before_exec=lambda pid: opened.extend(_open(pid, place)))
        except (OSError, RuntimeError):
            pass
        return _keep_those(opened, name) if opened else refusal(error)
    with PidFd(child.pidfd) as process:
        answer = _keep_those(_open(process, place), name)
    child.sock.close()
    child.wait()
    return answer


def _wait(sock: socket.socket) -> None:
    sock.recv(1)


def _open(process: int | PidFd, place: Place) -> list[Namespace]:
    from pynamespaces import kinds
    from pynamespaces.handles import Namespace
    from pynamespaces.kinds import Kind

    below = Kind.PID | Kind.TIME
    wanted = kinds.rows(place.kinds)  # type: ignore[attr-defined]
    return [Namespace.of(process, row.kind, for_children=row.kind in below) for row in wanted]


def _keep_those(opened: list[Namespace], name: str) -> Kept:
    from pynamespaces import persistence, targets
    from pynamespaces.sets import NamespaceSet

    def rejoin() -> None:
        with targets.rejoin(name):
            pass

    kept = _caught(lambda: persistence.persist(NamespaceSet._adopt(opened), name))
    if kept is not None:
        return kept, kept, kept
    entered = _caught(rejoin)
    called = _caught(lambda: NamespaceSet.at(name).call(_nothing))
    return _caught(lambda: persistence.forget(name)), entered, called


def in_child(function: Callable[[], T]) -> T | Refusal:
    """The function's result in a forked child, which has as many threads as this process.

    An exception in the child is raised here; a child that takes too long, or dies, is a Refusal.
    """
    import warnings

    from pynamespaces import procfs
    from pynamespaces._kernel import sched
    from pynamespaces.children import _Quiet

    threads = [] if sched.alone() else procfs.threads() or [(0, "threads that /proc does not show")]
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = -1
    try:
        with _Quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            pid = os.fork()
            if pid == 0:
                os.close(reader)
                _child(function, threads, writer)
    finally:
        if pid <= 0:
            os.close(reader)
        os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            data = pipe.read()
    except BaseException:  # Ctrl-C
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:  # SIGCHLD is ignored
        status = 0
    if not data:
        return Refusal(
            "try", 0, f"the child that tried ended with wait status {status} before it could say how it went"
        )
    answer, error = pickle.loads(data)
    if error is not None:
        raise error
    result: T = answer
    return result


def _child(function: Callable[[], object], threads: list[tuple[int, str]], writer: int) -> NoReturn:
    try:
        import warnings

        from pynamespaces import inits, procfs
        from pynamespaces._kernel import prctl

        prctl.set_death_signal(signal.SIGKILL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.alarm(LIMIT)
        warnings.simplefilter("ignore")
        procfs.parent_threads = threads or None
        answer: tuple[object, Exception | None]
        try:
            answer = (_stand_in() if threads else None) or function(), None
        except Exception as error:
            answer = None, error
        os.write(writer, pickle.dumps(answer))
        inits.sweep()
    finally:
        os._exit(0)


def _stand_in() -> Refusal | None:
    """A second thread, as the parent has: the kernel asks no more than whether there is one."""
    from _thread import allocate_lock, start_new_thread

    running, forever = allocate_lock(), allocate_lock()
    running.acquire()
    forever.acquire()

    def stand() -> None:
        running.release()
        forever.acquire()

    try:
        start_new_thread(stand, ())
    except RuntimeError as error:  # a filter refuses clone3 with EPERM
        return refusal(error)
    running.acquire()
    return None
