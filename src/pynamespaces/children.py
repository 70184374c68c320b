"""A forked Python child in a place: what `calls` and `workers` are made of.

The fork is os.fork, which honours glibc's and Python's locks; then the child, which has a single thread, does the
plan's steps itself.  Where a pid namespace is new or joined it forks once more, stays outside and passes the status on.
Everything else is told over one socket.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import sys
import threading
import warnings

from pynamespaces import causes, inits, kinds, launching, plan, procfs, ways
from pynamespaces._kernel import init, launch, pidfd, prctl, sched, steps
from pynamespaces.errors import NamespaceError, refusal
from pynamespaces.handles import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from pynamespaces.places import Place
    from pynamespaces.plan import Step
    from pynamespaces.ways_out import Running

_PID = kinds.row("pid").flag
_TIME = kinds.row("time").flag
_HEAD = struct.Struct("=Q")


class Child:
    """A child that has arrived in its place, and the socket to it."""

    def __init__(self, pid: int, held: int, sock: socket.socket) -> None:
        self.pid = pid
        self.pidfd: int = held
        self.sock = sock
        self.way_out: Running | None = None

    def kill(self) -> None:
        """SIGKILL; with it ends an init of its own, and everything in a new pid namespace."""
        try:
            if self.pidfd >= 0:
                procfs.signal_child(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def wait(self) -> int:
        """Reap it; the returncode as subprocess counts it: -N for a signal."""
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:  # somebody's wait() for any child, or SIGCHLD is ignored
            return 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        way_out, self.way_out = self.way_out, None
        if way_out is not None:
            way_out.end()
        self.sock.close()
        held, self.pidfd = self.pidfd, -1
        if held >= 0:
            os.close(held)


def start(place: Place, main: Callable[[socket.socket], None]) -> Child:
    """Fork a child that goes to a place and runs `main(socket)` there, and then ends without unwinding anything.

    Raises:
        NamespaceError: a step to the place was refused; the child is gone.
    """
    child = fork(place)
    if child.pid == 0:
        _child(child.sock, main)
    return child


def fork(place: Place) -> Child:
    """os.fork, with the child inside a place: in the child, pid is 0 and the socket is the one to the parent.

    The child is a copy of everything, so it ends by `leave`, which unwinds nothing.

    Raises:
        NamespaceError: in the parent: a step to the place was refused; the child is gone.
    """
    todo = place.plan()
    ways.frames()  # a spent thread starts nothing
    with causes.naming("start a child"):
        return _start(place, todo)


def _start(place: Place, todo: Sequence[Step]) -> Child:
    network = getattr(place, "network", None)
    die = getattr(place, "die_with_parent", True)
    in_main = threading.current_thread() is threading.main_thread()
    image = init.image()
    try:
        if launching.has_init(todo):
            _lineage()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:
        os.close(image)
        raise
    pid = -1
    try:
        with _Quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                os.close(image)
                _arrive_inside(todo, theirs, signal.SIGKILL if die and in_main else 0)
                if network is not None and receive(theirs) is None:  # else its way out is there
                    os._exit(1)
            except BaseException:  # Ctrl-C: what the parent would do then is not for a copy of it
                os._exit(1)
            return Child(0, -1, theirs)
        theirs.close()
        try:
            held = pidfd.pidfd_open(pid)
        except OSError as error:  # no descriptor left, or an older kernel
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise causes.refused(error, "pidfd_open of a new child") from None
        child = Child(pid, held, ours)
        try:
            if die and not in_main:
                answer = launch.watch(image, held)
                if answer < 0:
                    raise refusal(-answer, step="start the watcher (die_with_parent)")
            _arrive(child, todo)
            if network is not None:
                from pynamespaces import ways_out

                child.way_out = ways_out.start(network, pid, die_with_parent=die)
                child.way_out.follow(held)
                send(ours, b"N")
        except BaseException:
            child.kill()
            child.wait()
            child.close()
            raise
        return child
    except BaseException:
        ours.close()
        theirs.close()
        raise
    finally:
        if pid != 0:
            os.close(image)


def send(sock: socket.socket, data: bytes) -> None:
    """One message: its length, then it."""
    if len(data) < 65536:
        sock.sendall(_HEAD.pack(len(data)) + data)
    else:
        sock.sendall(_HEAD.pack(len(data)))
        sock.sendall(data)


def receive(sock: socket.socket) -> bytes | bytearray | None:
    """One message; None at the end of the conversation."""
    head = sock.recv(_HEAD.size, socket.MSG_WAITALL)
    if len(head) < _HEAD.size:
        return None
    (size,) = _HEAD.unpack(head)
    if size < 65536:
        data = sock.recv(size, socket.MSG_WAITALL)
        return data if len(data) == size else None
    large = bytearray(size)
    view = memoryview(large)
    while view:
        count = sock.recv_into(view)
        if count == 0:
            return None
        view = view[count:]
    return large


def _arrive(child: Child, todo: Sequence[Step]) -> None:
    """Write the child's maps when it asks, and hear that it is there or what was refused."""
    while True:
        said = receive(child.sock)
        if said is None:
            raise refusal(3, step="start a child", text=f"it ended with status {child.wait()} on the way")
        word = bytes(said[:1])
        if word == b"M":
            maps = next(step for step in todo if step.op == steps.MAP_IDS)
            launching.write_maps(int(said[1:]), maps, todo)
            send(child.sock, b"G")
        elif word == b"E":
            error: NamespaceError = pickle.loads(said[1:])
            raise error
        else:
            return


def _arrive_inside(todo: Sequence[Step], sock: socket.socket, death: int) -> None:
    """The child's way to its place; where that is refused, the parent is told and the child is gone."""
    try:
        if death:
            prctl.set_death_signal(death)
        try:
            _go(todo, sock)
        except OSError as error:
            named = error if isinstance(error, NamespaceError) else causes.refused(error, "go to the place")
            send(sock, b"E" + pickle.dumps(named))
            os._exit(1)
        send(sock, b"R")
    except ConnectionError:  # the parent is gone: there is nobody to tell
        os._exit(1)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def _child(sock: socket.socket, main: Callable[[socket.socket], None]) -> NoReturn:
    """Everything that the child does; it never returns, so that nothing of the parent's is unwound twice."""
    status = 1
    try:
        main(sock)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        leave(status)


def _go(todo: Sequence[Step], sock: socket.socket) -> None:
    """The plan's steps; in a new or joined pid namespace by a second child, which alone returns."""
    flags = joined = 0
    for step in todo:
        if step.op == steps.UNSHARE:
            flags |= step.flags
        elif step.op == steps.JOIN:
            joined |= step.flags
    before = [step for step in todo if step.op in (steps.JOIN, steps.UNSHARE, steps.MAP_IDS, steps.CLOCKS)]
    for step in before:
        if step.op == steps.MAP_IDS:
            send(sock, b"M%d" % os.getpid())
            receive(sock)
        else:
            plan.carry_out(step)
    if flags & _TIME:
        with Namespace.current("time", for_children=True) as new:
            if sched.go(new.fileno(), _TIME) < 0:
                raise refusal(87, step="setns(time)")
    if (flags | joined) & _PID:
        _fork_inside(launching.has_init(todo))
    for step in todo:
        if step not in before and step.op not in (steps.INIT, *launching.LATE):
            plan.carry_out(step)
    for step in todo:
        if step.op in launching.LATE:
            plan.carry_out(step)


def _fork_inside(with_init: bool) -> None:
    """Fork into the pid namespace of this process's children; the outer one waits, and ends as the inner one did."""
    if with_init:
        try:
            inits.start(new=False)
        except OSError as error:
            raise causes.refused(error, "init (PID 1 of the new pid namespace)") from None
        number, taken = 2, {os.getpid(), *_lineage()}
        while number in taken:  # whoever tells forks by their pid would take the child for what it was forked from
            plan.do(plan.init(), in_child=True)  # a process that does nothing, and has had that number
            number += 1
    others = _others()  # now: the child may mount another /proc over this one
    try:
        pid = os.fork()
    except OSError as error:
        raise causes.refused(error, "fork(pid)") from None
    if pid == 0:
        prctl.set_death_signal(signal.SIGKILL)
        return
    for fd in others:
        try:
            os.close(fd)
        except OSError:
            pass
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _lineage() -> set[int]:
    """The ids of this process, when it was first asked, and of those it descends from; children inherit the answer."""
    if not _ancestors:
        pid = os.getpid()
        while pid > 0 and pid not in _ancestors:
            _ancestors.add(pid)
            text = procfs.read_text(f"/proc/{pid}/stat") or ") ? 0"
            pid = int(text.rpartition(")")[2].split()[1])
    return _ancestors


_ancestors: set[int] = set()


def _others() -> list[int]:
    """The descriptors that a process which only waits has no use for: so that it keeps nobody's pipes open."""
    found = [0, 1, 2]
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            if int(name) > 2 and "pidfd" not in os.readlink(f"/proc/self/fd/{name}"):
                found.append(int(name))
        except OSError:  # the one that listed them
            pass
    return found


def leave(status: int) -> NoReturn:
    """End: what is measured is saved and what was printed is flushed, nothing else is."""
    try:
        save_coverage()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:
        os._exit(status)


def save_coverage() -> None:
    """Stop measuring and save what was measured, if anything is."""
    coverage = sys.modules.get("coverage")
    current = None if coverage is None else coverage.Coverage.current()
    if current is not None:
        current.stop()
        current.save()


class _Quiet:
    """Around a fork: nothing of ours is in a buffer, and no thread is in the middle of logging.

    A handler's own lock is made anew in the child, the lock of its buffered file is not (CPython #84579).
    """

    def __enter__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                try:
                    stream.flush()
                except (OSError, ValueError):
                    pass
        logging = sys.modules.get("logging")
        self._locks = []
        for handler in logging.getLogger().handlers if logging is not None else ():
            if handler.lock is not None and handler.lock.acquire(timeout=1):
                self._locks.append(handler.lock)

    def __exit__(self, *_: object) -> None:
        for lock in self._locks:
            try:
                lock.release()
            except RuntimeError:  # in the child it is a new lock
                pass
