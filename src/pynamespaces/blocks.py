"""Executor 1: this thread, there and back.  ``with`` blocks and decorators over a plan or over existing namespaces."""

from __future__ import annotations

import os
import sys

from pynamespaces import causes, inits, kinds, pids, plan, ways
from pynamespaces._kernel import sched, steps
from pynamespaces.errors import NamespaceError, NotSupported, refusal
from pynamespaces.handles import Namespace
from pynamespaces.kinds import Kind, Row, Way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, Self, TypeVar

    from pynamespaces.sets import NamespaceSet

    P = ParamSpec("P")
    T = TypeVar("T")

#: Which kind an operation furnishes: it is left out with its kind.
FURNISHES = {
    steps.CLOCKS: Kind.TIME.value,
    steps.INIT: Kind.PID.value,
    steps.HOSTNAME: Kind.UTS.value,
    steps.DOMAINNAME: Kind.UTS.value,
    steps.LOOPBACK: Kind.NET.value,
    steps.ADDRESS: Kind.NET.value,
}

#: Steps that only a child can do: the kernel has no way back from them.
CHILD_ONLY = (steps.JOIN, steps.MAP_IDS, steps.RLIMIT, steps.NO_NEW_PRIVS)

#: Steps that each child takes care of, and a thread has no use for.
NOT_FOR_THREADS = (steps.UNSHARE, steps.INIT, steps.CAPABILITIES)


class NotInABlock(NotSupported, ValueError):
    """A thread cannot go there and come back (EINVAL): said before anything changes."""


def refuse_user(rows: tuple[Row, ...]) -> None:
    """Refuse the kinds that no thread can come back from."""
    for row in rows:
        if row.way is Way.NEVER:
            raise NotInABlock(
                22,
                f"a {row.name} namespace cannot be left again, so no block can enter one",
                step=f"setns({row.name})",
                hint="three ways work: run(...) starts a command inside, call(...) runs a function inside, and "
                "become_root() moves this whole process, one way",
            )


class Block:
    """A ``with`` block or decorator; made by `unshare`, `enter`, `rejoin` and the places' verbs of those names.

    Entering is all or nothing; leaving brings back the exact namespaces, root and cwd, in whatever way the body ends.
    It belongs to the thread that enters it.  As a decorator it wraps each call of a plain function in a block.
    """

    __slots__ = ("_frame",)

    def __init__(self) -> None:
        self._frame: ways.Frame | None = None

    def _go(self) -> tuple[ways.Frame, NamespaceSet]:
        raise NotImplementedError

    def _again(self) -> Self:
        """A block of its own for one more call of a decorated function."""
        raise NotImplementedError

    def __enter__(self) -> NamespaceSet:
        if self._frame is not None:
            raise RuntimeError("this block is entered already; make another one")
        if "asyncio.events" in sys.modules:
            _warn_in_event_loop()
        with causes.naming("enter a block"):
            self._frame, there = self._go()
        return there

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._frame is None:
            raise RuntimeError("this block is not entered")
        ways.leave(self._frame)
        self._frame = None

    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]:
        import functools
        import inspect

        if inspect.isclass(function) or not hasattr(function, "__call__"):  # noqa: B004
            raise TypeError(f"expected a function to decorate, got {function!r}")
        for test in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            if test(function):
                raise TypeError(
                    f"{function!r} pauses in the middle, and what runs meanwhile in this thread would be inside too; "
                    "decorate a plain function, or run one inside with call()"
                )

        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._again():
                return function(*args, **kwargs)

        return inside


class Enter(Block):
    """A block in existing namespaces.

    Args:
        find: gives the namespaces to go to, as a set that the block may own.
        held: or these, which their owner holds open.
    """

    __slots__ = ("_find", "_held", "_single")

    def __init__(self, find: Callable[[], NamespaceSet] | None, held: tuple[Namespace, ...] = ()) -> None:
        self._frame = None
        self._find = find
        self._held = held
        self._single: tuple[Namespace, int] | None = None
        if len(held) == 1 and held[0].row.flag in ways.PLAIN:
            self._single = held[0], held[0].row.flag

    def _again(self) -> Self:
        return type(self)(self._find, self._held)

    def __enter__(self) -> NamespaceSet:
        """Into one held namespace it is a single call; everything else goes the long way."""
        if self._single is not None and self._frame is None and "asyncio.events" not in sys.modules:
            namespace, flag = self._single
            stack = ways.frames()
            there = _alone(namespace)
            home = sched.visit(flag, namespace._held.fd, namespace.id.dev, namespace.id.ino)  # type: ignore[union-attr]
            if home >= 0:
                self._frame = frame = ways.Frame(flag)
                if home != sched.HERE:
                    frame.homes.append((flag, home))
                stack.append(frame)
                return there
            there.close()
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        frame = self._frame
        if self._single is not None and frame is not None:
            stack = ways.frames()
            if stack and stack[-1] is frame and len(frame.homes) == 1:
                flag, home = frame.homes[0]
                if flag in ways.PLAIN and sched.leave(home, flag) >= 0:
                    frame.homes.clear()
                    stack.pop()
                    self._frame = None
                    return
        super().__exit__(kind, error, tb)

    def _go(self) -> tuple[ways.Frame, NamespaceSet]:
        if self._find is None:
            there = _set([namespace._share() for namespace in self._held])
        else:
            there = self._find()
        try:
            order = tuple(there._by_flag.values())
            if len(order) > 1:
                by_flag = there._by_flag
                order = tuple([by_flag[flag] for flag in GOING if flag in by_flag])
            if order and order[-1].row.way is Way.NEVER:
                refuse_user((order[-1].row,))
            frame = ways.join(order)
        except BaseException:
            there.close()
            raise
        if ways.PID in there._by_flag:
            try:
                _require_init(there._by_flag[ways.PID], frame)
            except BaseException:
                ways.leave(frame)
                there.close()
                raise
        return frame, there


#: The order of going; what no block enters is last, to be seen at a glance.
GOING = (*sched.ORDER, Kind.USER.value)


def _set(namespaces: list[Namespace]) -> NamespaceSet:
    from pynamespaces.sets import NamespaceSet

    return NamespaceSet._adopt(namespaces)


def _alone(namespace: Namespace) -> NamespaceSet:
    global _alone
    from pynamespaces.sets import NamespaceSet

    _alone = NamespaceSet._alone
    return _alone(namespace)


class Unshare(Block):
    """A block in new namespaces.

    Args:
        todo: the plan: one unshare, and what furnishes it.
        optional: kinds that may be left out where the machine refuses them.
    """

    __slots__ = ("_flags", "_init", "_optional", "_todo")

    def __init__(self, todo: tuple[plan.Step, ...], optional: tuple[Row, ...] = ()) -> None:
        super().__init__()
        self._todo = tuple([step for step in todo if step.op not in NOT_FOR_THREADS])
        self._init = any(step.op == steps.INIT for step in todo)
        self._optional = optional
        self._flags = 0
        for step in todo:
            if step.op == steps.UNSHARE:
                self._flags |= step.flags
            elif step.op in CHILD_ONLY:
                raise ValueError(f"{step} can only be done in a child: use run, call or executor")
        refuse_user(tuple([row for row in kinds.TABLE if row.flag & self._flags and row not in optional]))

    def _again(self) -> Self:
        other = type(self).__new__(type(self))
        other._frame = None
        other._todo, other._init, other._optional, other._flags = self._todo, self._init, self._optional, self._flags
        return other

    def _go(self) -> tuple[ways.Frame, NamespaceSet]:
        flags = self._flags
        if not self._optional:
            return self._attempt(flags)
        wanted = [row.flag for row in self._optional]
        required = flags & ~sum(set(wanted))
        try:
            return self._attempt(flags)
        except OSError:
            pass
        # Find out which of the optional kinds this machine refuses, each by trying it.
        chosen = required
        for flag in wanted:
            if flag & self._flags and self._possible(required | flag):
                chosen |= flag
        return self._attempt(chosen)

    def _possible(self, flags: int) -> bool:
        try:
            frame, inside = self._attempt(flags)
        except OSError:
            return False
        inside.close()
        ways.leave(frame)
        return True

    def _attempt(self, flags: int) -> tuple[ways.Frame, NamespaceSet]:
        from pynamespaces.sets import NamespaceSet

        frame = self._unshare(flags)
        opened: list[Namespace] = []
        init = bool(flags & ways.PID and self._init)
        followed = False
        try:
            if flags & ways.TIME:  # offsets freeze with the first process inside, our init
                self._furnish(flags, (steps.CLOCKS,))
            if init:
                frame.generation = inits.generation()
                frame.init = inits.start(below=_elsewhere())
                ways.follow_init(frame.init)
                followed = True
            self._furnish(flags, None)
            fds = ways.open_homes(flags)
            for position, flag in enumerate(flag for flag in sched.ORDER if flag & flags):
                try:
                    opened.append(Namespace._adopt(fds[position], kinds.row_of_flag(flag), loud=False))
                except BaseException:
                    for fd in fds[position + 1 :]:
                        os.close(fd)
                    raise
        except BaseException as error:
            for namespace in opened:
                namespace.close()
            if init and not followed:
                frame.stay(ways.PID)
            ways.leave(frame)
            if isinstance(error, OSError) and not isinstance(error, NamespaceError):
                raise ways.refused(error.errno or 0, "unshare(pid), init (PID 1 of the new pid namespace)") from None
            raise
        return frame, NamespaceSet._adopt(opened, Kind(self._missing(flags)))

    def _missing(self, flags: int) -> int:
        return (self._flags | sum(row.flag for row in self._optional)) & ~flags

    def _unshare(self, flags: int) -> ways.Frame:
        """The way home of every kind, then the kernel's own all-or-nothing call."""
        stack = ways.frames()
        homes = ways.open_homes(flags)
        frame = ways.Frame(flags)
        try:
            if flags & ways.TIME:
                ways.require_alone("time")
            if flags & ways.MNT:
                frame.remember_root()
            # With an init, the pid namespace is made by its clone3: it has a PID 1 from the first instant on.
            now = flags & ~ways.PID if self._init else flags
            step = plan.unshare([row for row in kinds.TABLE if row.flag & now])
            answer = plan.do(step)
            if answer < 0:
                raise ways.refused(-answer, str(step))
        except BaseException:
            for home in homes:
                os.close(home)
            frame.close()
            raise
        frame.homes = [(flag, homes[i]) for i, flag in enumerate(flag for flag in sched.ORDER if flag & flags)]
        stack.append(frame)
        return frame

    def _furnish(self, flags: int, only: tuple[int, ...] | None) -> None:
        for step in self._todo:
            if (step.op in only) if only else (step.op != steps.CLOCKS):
                kind = step.fd if step.op == steps.WRITE else FURNISHES.get(step.op, ways.MNT)
                if kind & flags:
                    # A mount of proc shows the pid namespace of whoever mounts it.
                    plan.carry_out(step, in_child=bool(kind == ways.MNT and flags & ways.PID and self._init))


def _elsewhere() -> bool:
    """Do this thread's children go to another pid namespace than its own?"""
    with Namespace.current("pid") as own, Namespace.current("pid", for_children=True) as children:
        return own != children


def _require_init(namespace: Namespace, frame: ways.Frame) -> None:
    """A pid namespace needs a living PID 1: start ours in one that has never had any, refuse a dead one."""
    if pids.ask(namespace, pids.FROM, 1) is not None:
        return
    try:
        frame.generation = inits.generation()
        frame.init = inits.start(new=False)
    except OSError as error:
        name = namespace.id.text(namespace.kind)
        raise refusal(error.errno or 0, step=f"first process in {name}", hint=causes.DEAD_INIT) from None


def _warn_in_event_loop() -> None:
    events = sys.modules["asyncio.events"]
    if events._get_running_loop() is not None:
        import warnings

        warnings.warn(
            "a namespace block in a running event loop: at every await inside it other tasks run in these namespaces; "
            "await nothing inside, or use an executor of the namespaces",
            RuntimeWarning,
            stacklevel=3,
        )
