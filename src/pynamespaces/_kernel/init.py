"""Our tiny init, PID 1 of a pid namespace: the extension module run as a program (init.c)."""

from __future__ import annotations

import os

from pynamespaces._kernel import _ffi
from pynamespaces._kernel._ffi import ffi, lib
from pynamespaces._kernel.answers import checked


def image() -> int:
    """A descriptor of the program: opened before a plan changes what paths mean."""
    path = _ffi.__file__
    return checked(lib.pn_openat(lib.AT_FDCWD, os.fsencode(path), os.O_RDONLY, 0), "open", path)


def spawn(image: int, kinds: int = 0) -> int:
    """Start PID 1 of the pid namespace that this thread's children go to; a pidfd of it.

    ENOMEM: that namespace has had a PID 1 that died, and can have no process any more.
    """
    pidfd = ffi.new("int *")
    checked(lib.pn_init_spawn(image, kinds, pidfd), "clone3")
    return int(pidfd[0])
