"""Compile the C floor: cffi in API mode, one abi3 extension.  Everything else is in pyproject.toml."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from cffi import FFI
from setuptools import setup

OLDEST = (3, 11)  # as requires-python says
KERNEL = Path("src/pynamespaces/_kernel")

macros: list[tuple[str, str | None]] = [("_GNU_SOURCE", "1")]
wheel: dict[str, str] = {}
if not sysconfig.get_config_var("Py_GIL_DISABLED"):
    macros.append(("Py_LIMITED_API", "0x{:02x}{:02x}0000".format(*OLDEST)))
    wheel = {"py_limited_api": "cp{}{}".format(*OLDEST)}
elif sys.version_info >= (3, 15):
    wheel = {"py_limited_api": "cp315"}  # becomes abi3.abi3t

# init.c makes the extension itself executable (its entry point is our tiny
# init), so no second binary has to be built, shipped and found.
strict = ["-Werror"] if os.environ.get("PYNAMESPACES_WERROR") else []
extra = os.environ.get("PYNAMESPACES_CFLAGS", "").split()

ffibuilder = FFI()
ffibuilder.cdef((KERNEL / "_ffi.cdef.txt").read_text(encoding="utf-8"))
ffibuilder.set_source(
    "pynamespaces._kernel._ffi",
    (KERNEL / "_ffi.csrc.c").read_text(encoding="utf-8"),
    sources=sorted(str(path) for path in KERNEL.glob("*.c") if path.name != "_ffi.csrc.c"),
    depends=sorted(str(path) for path in KERNEL.glob("*.[ht]*")),
    include_dirs=[str(KERNEL)],
    define_macros=macros,
    extra_compile_args=["-std=gnu11", "-fvisibility=hidden", "-Wall", "-Wextra", *strict, *extra],
    extra_link_args=["-Wl,-e,pn_start", "-Wl,-z,now", *extra],
)

if __name__ == "__main__":
    setup(cffi_modules=["setup.py:ffibuilder"], options={"bdist_wheel": wheel})
