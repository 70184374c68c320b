"""launch.c: a command in namespaces, from plain Python values."""

from __future__ import annotations

from mmap import mmap

from pynamespaces._kernel import steps
from pynamespaces._kernel._ffi import ffi, lib
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pynamespaces.plan import Step

DIRECT = lib.PN_DIRECT
HELPER = lib.PN_HELPER
COPY = lib.PN_COPY

#: PN_FAILED_*: what a child was at when it failed, beside the plan's steps.
CWD = lib.PN_FAILED_CWD
EXEC = lib.PN_FAILED_EXEC
PHASES = {
    lib.PN_FAILED_CLONE: "clone3",
    lib.PN_FAILED_INIT: "init (PID 1 of the new pid namespace)",
    lib.PN_FAILED_STDIO: "dup2",
    lib.PN_FAILED_CWD: "chdir",
    lib.PN_FAILED_SESSION: "setsid",
    lib.PN_FAILED_GROUP: "setpgid",
    lib.PN_FAILED_GROUPS: "setgroups",
    lib.PN_FAILED_GID: "setresgid",
    lib.PN_FAILED_UID: "setresuid",
    lib.PN_FAILED_EXEC: "execve",
}

_STRINGS = ffi.typeof("char *[]")
_CHARS = ffi.typeof("char[]")
_new = ffi.new_allocator(should_clear_after_alloc=False)
_spare: list[Any] = []  # structs with their stacks, whose pages a next launch need not fault in again


class Strings:
    """A NULL-terminated array of C strings, alive as long as this.

    Raises:
        ValueError: a NUL in one of them.
    """

    __slots__ = ("_texts", "cells")

    def __init__(self, items: Sequence[bytes]) -> None:
        if b"\0" in b"".join(items):
            raise ValueError("embedded null byte")
        self._texts = [ffi.from_buffer(_CHARS, item + b"\0") for item in items]
        self.cells: Any = ffi.new(_STRINGS, [*self._texts, ffi.NULL])


@value(frozen=True)
class Command:
    """What to execute, and as whom: everything of a launch that is no step of the plan."""

    paths: tuple[bytes, ...]
    argv: tuple[bytes, ...]
    envp: Strings
    cwd: bytes | None = None
    stdio: tuple[int, int, int] = (-1, -1, -1)
    close_fds: bool = True
    pass_fds: tuple[int, ...] = ()
    restore_signals: bool = True
    new_session: bool = False
    process_group: int = -1
    umask: int = -1
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    uid: int | None = None
    death_signal: int = 0
    cgroup: int = -1
    image: int = -1


class Launch:
    """One launch under way: `start`, perhaps write maps, `go`."""

    __slots__ = ("_alive", "_struct", "_under_way")

    _struct: Any
    _under_way: bool

    def __init__(
        self,
        way: int,
        flags: int,
        outer: Sequence[Step],
        inner: Sequence[Step],
        late: Sequence[Step],
        command: Command,
        *,
        wait: bool,
    ) -> None:
        struct: Any
        if way == COPY:  # what a copied helper says must be seen here
            memory = mmap(-1, ffi.sizeof("struct pn_launch"))
            self._alive: list[Any] = [memory]
            struct = ffi.from_buffer("struct pn_launch *", memory, require_writable=True)
        else:
            self._alive = []
            try:
                struct = _spare.pop()
            except IndexError:
                struct = _new("struct pn_launch *")
        self._struct = struct
        self._under_way = False
        struct.way, struct.wait, struct.flags = way, wait, flags
        struct.image, struct.cgroup = command.image, command.cgroup
        struct.close_fds, struct.restore_signals = command.close_fds, command.restore_signals
        struct.new_session, struct.process_group, struct.umask = (
            command.new_session,
            command.process_group,
            command.umask,
        )
        struct.set_gid, struct.gid = command.gid is not None, command.gid or 0
        struct.set_uid, struct.uid = command.uid is not None, command.uid or 0
        struct.death_signal = command.death_signal
        struct.stdio = command.stdio
        struct.set_groups = command.groups is not None
        struct.groups, struct.groups_count = self._array("unsigned[]", command.groups or ()), len(command.groups or ())
        kept = sorted({fd for fd in command.pass_fds if fd > 2})
        struct.pass_fds, struct.pass_count = self._array("int[]", kept), len(kept)
        struct.outer, struct.outer_count = self._steps(outer), len(outer)
        struct.inner, struct.inner_count = self._steps(inner), len(inner)
        struct.late, struct.late_count = self._steps(late), len(late)
        struct.paths, struct.paths_count = self._strings(Strings(command.paths)), len(command.paths)
        struct.argv, struct.envp = self._strings(Strings(command.argv)), self._strings(command.envp)
        struct.cwd = ffi.NULL if command.cwd is None else self._text(command.cwd)

    def __del__(self) -> None:
        struct = getattr(self, "_struct", None)
        if struct is not None:
            self.abandon()
            if struct.way != COPY and len(_spare) < 4:
                _spare.append(struct)

    def abandon(self) -> None:
        """End what still uses our memory, where an exception (a signal's handler raised it) came between the two."""
        if self._under_way and (self._struct.pid > 0 or self._struct.helper > 0):
            lib.pn_launch_go(self._struct, True)
        self._under_way = False

    def start(self) -> int:
        """clone3: 0 or -errno; with `wait` the child stands in its new user namespace then."""
        self._struct.pid = self._struct.helper = -1
        self._under_way = True  # already: an exception may come right after the call
        answer = lib.pn_launch_start(self._struct)
        self._under_way = answer >= 0
        return answer

    def go(self, *, abandon: bool = False) -> int:
        """Wait until it has exec'ed: 0, or the -errno of `failed`."""
        answer = lib.pn_launch_go(self._struct, abandon)
        self._under_way = False
        return answer

    @property
    def waiting(self) -> int:
        """The process whose maps are to be written."""
        return int(self._struct.pid if self._struct.way == DIRECT else self._struct.helper)

    @property
    def failed(self) -> int:
        """Which step failed (outer, inner, late), or a key of PHASES."""
        return int(self._struct.failed)

    @property
    def said(self) -> str:
        """The failed step's own words."""
        return steps.text(self._struct.log)

    @property
    def pid(self) -> int:
        return int(self._struct.pid)

    @property
    def pidfd(self) -> int:
        return int(self._struct.pidfd)

    @property
    def init_pidfd(self) -> int:
        return int(self._struct.init_pidfd)

    def _keep(self, data: Any) -> Any:
        self._alive.append(data)
        return data

    def _text(self, text: bytes) -> Any:
        return self._keep(ffi.from_buffer("char[]", text + b"\0"))

    def _array(self, kind: str, items: Sequence[int]) -> Any:
        return self._keep(ffi.new(kind, list(items))) if items else ffi.NULL

    def _strings(self, items: Strings) -> Any:
        return self._keep(items).cells

    def _steps(self, todo: Sequence[Step]) -> Any:
        return steps.array(todo, self._alive)


def watch(image: int, watched: int, mother: int = -1) -> int:
    """Start a watcher: the process behind a pidfd is killed when this one (or `mother`, a pidfd) ends.  0 or -errno."""
    return lib.pn_watcher_spawn(image, mother, watched)
