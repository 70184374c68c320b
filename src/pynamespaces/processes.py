"""Executor 2: a child that execs.  `Popen` is subprocess.Popen with another way to make the child."""

from __future__ import annotations

import math
import os
import signal as signals
import subprocess
import sys
import threading
import time

from pynamespaces import causes, inits, launching, procfs
from pynamespaces._kernel import init, launch, pidfd
from pynamespaces.errors import NotSupported, refusal
from pynamespaces.pidfds import PidFd
from pynamespaces.sets import NamespaceSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import TypeVar  # type checkers know it, installed or not

    from pynamespaces import ways_out
    from pynamespaces.places import Arguments, Place

    Text = TypeVar("Text", str, bytes, default=bytes)
else:
    Text = str  # without typing, which is slow to import


class Popen(subprocess.Popen[Text]):
    """A command started in a place: `subprocess.Popen` with all that belongs to one, pipes, text, timeouts, ``with``.

    Never forks the interpreter: the child shares this process's memory until it execs, whatever its size, and threads
    elsewhere are no obstacle.  With a new pid namespace a tiny init is PID 1 and ends, with all that is left inside,
    when the command has been waited for.

    Args:
        place: where: a NamespaceSet or an Isolation.
        argv: the command, as subprocess takes it.
        before_exec: called here, in the parent, with the id of the process that waits in the new namespaces.
        kwargs: subprocess.Popen's; ``cwd``, ``user`` and ``group`` are taken inside.

    Raises:
        NamespaceError: a step to the place was refused; nothing is left over.
        FileNotFoundError, PermissionError: as subprocess raises them for the command or cwd.
        ValueError: preexec_fn (no Python runs in the child), an empty command.
    """

    pid: int
    pidfd: PidFd  #: the process, held

    def __init__(
        self, place: Place, argv: Arguments, *, before_exec: Callable[[int], object] | None = None, **kwargs: Any
    ) -> None:
        self._place = place
        self._before_exec = before_exec
        self._plan = place.plan()
        self._init = -1
        self._bare = launching.makes_pid_1(self._plan)
        self._namespaces: NamespaceSet | None = None
        self._way_out: ways_out.Running | None = None
        if kwargs.get("preexec_fn") is not None:
            raise ValueError(
                "preexec_fn cannot be honoured: no Python code runs between clone3 and exec; use the place's fields, "
                "or call(function)"
            )
        if isinstance(argv, (list, tuple)) and not argv:
            raise ValueError("the command is empty")
        super().__init__(argv, **kwargs)

    @property
    def namespaces(self) -> NamespaceSet:
        """Where the command lives; ProcessLookupError once it has ended, if nobody asked before."""
        if self._namespaces is None:
            found = NamespaceSet.of(self.pidfd)
            for namespace in found.values():
                namespace._hold().loud = False
            self._namespaces = found
        return self._namespaces

    def _execute_child(
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: bool,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: Any,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        restore_signals: bool,
        gid: int | None,
        gids: list[int] | None,
        uid: int | None,
        umask: int,
        start_new_session: bool,
        process_group: int,
    ) -> None:
        args = _arguments(args, shell, executable)
        sys.audit("subprocess.Popen", args[0] if executable is None else executable, args, cwd, env)
        words: list[bytes] = [os.fsencode(word) for word in args]
        program = words[0] if executable is None else os.fsencode(executable)
        environment = os.environ if env is None else env
        if env is None:
            envp = _own_environment()
        else:
            envp = launch.Strings([_variable(key, text) for key, text in env.items()])
        if cwd is not None and b"\0" in os.fsencode(cwd):
            raise ValueError("embedded null byte")
        place = self._place
        parent_dies = getattr(place, "die_with_parent", True)
        with_init = launching.has_init(self._plan)
        # PR_SET_PDEATHSIG fires when the launching *thread* ends: only the main one ends with the process.
        main = threading.current_thread() is threading.main_thread()
        image = cgroup = -1
        try:
            with causes.naming("start a command"):
                if with_init or (parent_dies and not main):
                    image = init.image()
                cgroup = _open_cgroup(getattr(place, "cgroup", None))
            command = launch.Command(
                launching.executables(program, os.fsdecode(_path(environment))),
                tuple(words),
                envp,
                None if cwd is None else os.fsencode(cwd),
                (p2cread, c2pwrite, errwrite),
                close_fds,
                tuple(int(fd) for fd in pass_fds),
                restore_signals,
                start_new_session or getattr(place, "new_session", False),
                process_group,
                umask,
                gid,
                None if gids is None else tuple(gids),
                uid,
                signals.SIGKILL if parent_dies and not with_init and main else 0,
                cgroup,
                image if with_init else -1,
            )
            try:
                started = launching.start(self._plan, command, self._ready(place))
            except launching.Failure as failure:
                raise _as_subprocess(failure, program, cwd, executable) from None
            self._child_created = True
            self.pid = started.pid
            self.pidfd = PidFd._of(started.pidfd, started.pid)
            self._init = started.init_pidfd
            if parent_dies and not with_init and not main:
                self._watch(image)
            if self._way_out is not None:
                self._way_out.follow(self.pidfd.fileno())
        except BaseException:
            if self._way_out is not None:
                self._way_out.end()
            raise
        finally:
            for fd in (image, cgroup):
                if fd >= 0:
                    os.close(fd)
            self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _ready(self, place: Place) -> Callable[[int], object] | None:
        """What is done while the child waits in its new namespaces."""
        network = getattr(place, "network", None)
        if network is None:
            return self._before_exec
        from pynamespaces import ways_out

        def ready(pid: int) -> None:
            die = getattr(place, "die_with_parent", True)
            self._way_out = ways_out.start(network, pid, die_with_parent=die)
            if self._before_exec is not None:
                self._before_exec(pid)

        return ready

    def _watch(self, image: int) -> None:
        answer = launch.watch(image, self.pidfd.fileno())
        if answer < 0:
            super().kill()
            self.wait()
            raise refusal(-answer, step="start the watcher (die_with_parent)")

    def _handle_exitstatus(self, sts: int, *args: Any, **kwargs: Any) -> None:
        super()._handle_exitstatus(sts, *args, **kwargs)  # type: ignore[misc]
        self._end()

    def _end(self) -> None:
        """The command has ended: so does its init, what is left inside, and its way out."""
        way_out, self._way_out = self._way_out, None
        if way_out is not None:
            way_out.end()
        held, self._init = self._init, -1
        if held >= 0:
            inits.end(held)
        pid_fd = getattr(self, "pidfd", None)
        if pid_fd is not None and not pid_fd.closed:
            pid_fd.close()

    def _wait(self, timeout: float | None) -> int:
        """subprocess's, but without its busy loop: the pidfd tells when it has ended."""
        lock: threading.Lock = self._waitpid_lock  # type: ignore[attr-defined]
        if timeout is not None and lock.acquire(False):  # nobody closes the pidfd while it is ours
            try:
                held = -1 if self.pidfd.closed else os.dup(self.pidfd.fileno())
            finally:
                lock.release()
            if held >= 0:
                try:
                    deadline = time.monotonic() + timeout
                    while pidfd.alive(held, max(0, math.ceil((deadline - time.monotonic()) * 1000))):
                        if time.monotonic() >= deadline:
                            raise subprocess.TimeoutExpired(self.args, timeout)
                finally:
                    os.close(held)
        return int(super()._wait(timeout))  # type: ignore[misc]

    def send_signal(self, sig: int) -> None:
        """Send a signal; nothing happens if it has ended.

        Raises:
            NotSupported: the command is PID 1 of its namespace and has no handler: the kernel would drop the signal.
        """
        self.poll()
        if self.returncode is not None:
            return
        if self._bare and sig not in (0, signals.SIGKILL, signals.SIGSTOP) and not self._catches(sig):
            raise NotSupported(
                95,
                f"PID 1 has no handler for {signals.Signals(sig).name}, and the kernel drops what it does not handle",
                step=f"pidfd_send_signal({sig}) to process {self.pid}",
                hint="kill() ends it; or let our init be PID 1 (init=None)",
            )
        try:
            procfs.signal_child(self.pidfd.fileno(), sig)
        except ProcessLookupError:
            pass
        except OSError as error:
            raise causes.refused(error, f"pidfd_send_signal({sig}) to process {self.pid}") from None

    def kill(self) -> None:
        """SIGKILL; with an init of ours everything in the pid namespace ends."""
        self.send_signal(signals.SIGKILL)
        if self._init >= 0 and self.returncode is None:
            try:
                procfs.signal_child(self._init, init.END)
            except ProcessLookupError:
                pass

    def _catches(self, sig: int) -> bool:
        text = procfs.read_text(f"/proc/{self.pid}/status") or ""
        for line in text.splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (sig - 1) & 1)
        return True

    async def wait_async(self) -> int:
        """Wait for the command in a running event loop, by its pidfd: no thread, no signal handler.

        Returns:
            the returncode.
        """
        import asyncio

        if self.poll() is None:
            loop = asyncio.get_running_loop()
            ended: asyncio.Future[None] = loop.create_future()
            fd = os.dup(self.pidfd.fileno())
            loop.add_reader(fd, _resolve, ended)
            try:
                await ended
            finally:
                loop.remove_reader(fd)
                os.close(fd)
        return int(self.wait())

    def __del__(self, *args: Any) -> None:
        if getattr(self, "_child_created", False):
            super().__del__(*args)  # a command that still runs is kept in subprocess._active, and this with it
            if self.returncode is not None:
                self.pidfd.close()


def run(
    place: Place,
    argv: Arguments,
    *,
    input: Any = None,  # noqa: A002 (subprocess's name)
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **kwargs: Any,
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` in a place; at a timeout everything in a new pid namespace is killed."""
    if input is not None:
        if kwargs.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        kwargs["stdin"] = subprocess.PIPE
    if capture_output:
        if kwargs.get("stdout") is not None or kwargs.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        kwargs["stdout"] = kwargs["stderr"] = subprocess.PIPE
    with Popen(place, argv, **kwargs) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        except BaseException:
            process.kill()
            raise
        code = process.poll()
        assert code is not None
        if check and code:
            raise subprocess.CalledProcessError(code, process.args, output=stdout, stderr=stderr)
    return subprocess.CompletedProcess(process.args, code, stdout, stderr)


def _resolve(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _arguments(args: Any, shell: bool, executable: Any) -> list[Any]:
    """The command's words, as subprocess makes them of what it is given."""
    if isinstance(args, os.PathLike) and shell:
        raise TypeError("path-like args is not allowed when shell is true")
    words = [args] if isinstance(args, (str, bytes, os.PathLike)) else list(args)
    if shell:
        words = [executable or "/bin/sh", "-c", *words]
    if not words:
        raise ValueError("the command is empty")
    return words


def _own_environment() -> launch.Strings:
    """os.environb as C reads it, made anew only when it has changed since the last launch.

    Looked at is the dict below it where there is one, which need not be decoded and checked.
    """
    global _last
    data: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
    now = dict(os.environb if data is None else data)
    before, strings = _last
    if now != before:
        strings = launch.Strings([name + b"=" + text for name, text in now.items()])
        _last = now, strings
    return strings


_last: tuple[dict[bytes, bytes], launch.Strings] = ({}, launch.Strings(()))


def _variable(key: Any, text: Any) -> bytes:
    name = os.fsencode(key)
    if not name or b"=" in name or b"\0" in name:
        raise ValueError(f"illegal environment variable name {key!r}")
    return name + b"=" + os.fsencode(text)


def _path(environment: Any) -> Any:
    found = environment.get("PATH")
    if found is None and environment is not os.environ:
        found = environment.get(b"PATH")
    return found if found is not None else os.defpath


def _open_cgroup(path: Any) -> int:
    if path is None:
        return -1
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise refusal(error.errno or 0, step=f"open the cgroup {os.fspath(path)}", filename=os.fspath(path)) from None
    try:
        os.stat("cgroup.controllers", dir_fd=fd)
    except OSError:
        os.close(fd)
        raise ValueError(f"not a directory of cgroup v2: {os.fspath(path)}") from None
    return fd


def _as_subprocess(failure: launching.Failure, program: bytes, cwd: Any, executable: Any) -> OSError:
    """The OSError that subprocess raises: of the cwd, or of the command as it was given."""
    name = cwd if failure.phase == launch.CWD else (executable if executable is not None else os.fsdecode(program))
    return OSError(failure.errno, os.strerror(failure.errno), name)
