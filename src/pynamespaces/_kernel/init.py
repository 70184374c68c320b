"""Our tiny init, PID 1 of a pid namespace: the extension module run as a program (init.c)."""

from __future__ import annotations

import os
from struct import pack

from pynamespaces._kernel import _ffi
from pynamespaces._kernel._ffi import ffi, lib
from pynamespaces._kernel.answers import checked

#: What our init understands when it is sent from outside its namespace.
KEEP = lib.PN_INIT_KEEP
RELEASE = lib.PN_INIT_RELEASE
END = lib.PN_INIT_END
#: Its /proc/PID/comm while it is kept.
KEPT = "namespaces-kept\n"


def image() -> int:
    """A descriptor of the program: opened before a plan changes what paths mean."""
    path = _ffi.__file__
    return checked(lib.pn_openat(lib.AT_FDCWD, os.fsencode(path), os.O_RDONLY, 0), "open", path)


def spawn(image: int, *, new: bool = True, below: bool = False) -> int:
    """Start PID 1; a pidfd of it.

    Args:
        image: what `image` opened.
        new: of a new pid namespace; else of the one that this thread's children go to, which has had none
            (ENOMEM: it has had one that died, and can have no process any more).
        below: make the new one below the one that this thread's children go to, not below this process's own.
    """
    pidfd = ffi.new("int *")
    checked(lib.pn_init_spawn(image, lib.CLONE_NEWPID if new else 0, below, pidfd), "clone3")
    return int(pidfd[0])


def spawn_keeper(image: int, listening: int, kept: list[int]) -> None:
    """Start a process that is nobody's child, holds `kept` and gives it to who asks on the socket."""
    fds = [listening, *kept]
    checked(lib.pn_keeper_spawn(image, pack(f"={len(fds)}i", *fds), len(fds)), "clone3")


def spawn_relay(image: int, control: int, first: int, second: int) -> None:
    """Start a process that is nobody's child and passes frames between two packet sockets, as `control` tells it."""
    checked(lib.pn_relay_spawn(image, control, first, second), "clone3")
