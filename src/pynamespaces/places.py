"""Place: somewhere code can run.  A place makes a plan, and every verb is a place plus an executor of plans.

`NamespaceSet` is the place of existing namespaces, `Isolation` describes new ones.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Collection, Mapping, Sequence
    from os import PathLike
    from typing import IO, Any, Literal, ParamSpec, TypeAlias, TypedDict, TypeVar, Unpack, overload

    from pynamespaces.children import Child
    from pynamespaces.plan import Plan
    from pynamespaces.processes import Popen
    from pynamespaces.workers import Executor

    P = ParamSpec("P")
    T = TypeVar("T")
    Arguments: TypeAlias = (
        "str | bytes | PathLike[str] | PathLike[bytes] | Sequence[str | bytes | PathLike[str] | PathLike[bytes]]"
    )
    File: TypeAlias = "int | IO[Any] | None"

    class PopenOptions(TypedDict, total=False):
        """What `subprocess.Popen` takes, but for what decides whether its pipes are text, and preexec_fn."""

        bufsize: int
        executable: str | bytes | PathLike[str] | PathLike[bytes] | None
        stdin: File
        stdout: File
        stderr: File
        close_fds: bool
        shell: bool
        cwd: str | bytes | PathLike[str] | PathLike[bytes] | None
        env: Mapping[str, str] | Mapping[bytes, bytes] | None
        errors: str | None
        restore_signals: bool
        start_new_session: bool
        pass_fds: Collection[int]
        user: str | int | None
        group: str | int | None
        extra_groups: Sequence[str | int] | None
        umask: int
        pipesize: int
        process_group: int | None
        before_exec: Callable[[int], object] | None

    class RunOptions(PopenOptions, total=False):
        """What `subprocess.run` takes beyond that."""

        input: str | bytes | None
        capture_output: bool
        timeout: float | None
        check: bool

else:

    def overload(function: object) -> None:
        """For type checkers alone."""


class Place:
    """The verbs that `NamespaceSet` and `Isolation` share; each imports its executor where it is called."""

    __slots__ = ()

    def plan(self) -> Plan:
        """The steps to there, in order; ``print(place.plan())`` shows them."""
        raise NotImplementedError

    @overload
    def run(
        self, argv: Arguments, *, text: Literal[True], encoding: str | None = ..., **kwargs: Unpack[RunOptions]
    ) -> subprocess.CompletedProcess[str]: ...
    @overload
    def run(
        self, argv: Arguments, *, text: bool | None = ..., encoding: str, **kwargs: Unpack[RunOptions]
    ) -> subprocess.CompletedProcess[str]: ...
    @overload
    def run(
        self, argv: Arguments, *, text: Literal[False] | None = ..., encoding: None = ..., **kwargs: Unpack[RunOptions]
    ) -> subprocess.CompletedProcess[bytes]: ...
    @overload
    def run(
        self, argv: Arguments, *, text: bool | None, encoding: str | None = ..., **kwargs: Unpack[RunOptions]
    ) -> subprocess.CompletedProcess[Any]: ...
    def run(self, argv: Arguments, **kwargs: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command inside and wait for it: `subprocess.run` with its arguments.

        Returns:
            subprocess.CompletedProcess
        """
        from pynamespaces import processes

        return processes.run(self, argv, **kwargs)

    @overload
    def Popen(
        self, argv: Arguments, *, text: Literal[True], encoding: str | None = ..., **kwargs: Unpack[PopenOptions]
    ) -> Popen[str]: ...
    @overload
    def Popen(
        self, argv: Arguments, *, text: bool | None = ..., encoding: str, **kwargs: Unpack[PopenOptions]
    ) -> Popen[str]: ...
    @overload
    def Popen(
        self,
        argv: Arguments,
        *,
        text: Literal[False] | None = ...,
        encoding: None = ...,
        **kwargs: Unpack[PopenOptions],
    ) -> Popen[bytes]: ...
    @overload
    def Popen(
        self, argv: Arguments, *, text: bool | None, encoding: str | None = ..., **kwargs: Unpack[PopenOptions]
    ) -> Popen[Any]: ...
    def Popen(self, argv: Arguments, **kwargs: Any) -> Popen[Any]:
        """Start a command inside: a `subprocess.Popen` with ``.namespaces`` and ``.pidfd``."""
        from pynamespaces import processes

        return processes.Popen(self, argv, **kwargs)

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a child inside; its value, or its exception with the remote traceback as cause."""
        from pynamespaces import calls

        return calls.call(self, function, *args, **kwargs)

    def apply(
        self,
        function: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        timeout: float | None = None,
        start: Literal["fork", "spawn"] = "fork",
    ) -> T:
        """`call` with limits.

        Args:
            function: what to run.
            args: its positional arguments.
            kwargs: its keyword arguments.
            timeout: seconds after which everything inside is killed, and TimeoutError.
            start: "spawn" for a fresh interpreter inside, for programs with threads.
        """
        from pynamespaces import calls

        return calls.apply(self, function, args, kwargs, timeout=timeout, start=start)

    def fork(self) -> Child:
        """os.fork with the child inside, for programs that go on in both: pid is 0 in the child, as os.fork has it.

        Whoever goes on in the child ends it by ``children.leave(status)``; everything of the parent's is in it twice.

        Returns:
            what holds the child and the socket to it; in the child, the socket to the parent.
        """
        from pynamespaces import children

        return children.fork(self)

    def executor(self, max_workers: int = 1, *, start: Literal["fork", "spawn"] = "fork") -> Executor:
        """A `concurrent.futures.Executor` whose workers live inside: a call costs a message, not a fork."""
        from pynamespaces import workers

        return workers.Executor(self, max_workers, start=start)
