"""Use an installed pynamespaces for what a wheel can break: every module, the C core, and the init that it is too."""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import sys

import pynamespaces
from pynamespaces import Isolation, Kind, Namespace, NamespaceSet

#: What needs packages that are not installed with it, and what is no module to import.
OPTIONAL = ("pynamespaces.net", "pynamespaces.pytest_", "pynamespaces.__main__", "pynamespaces._kernel._ffi")


def every_module() -> int:
    """Import all there is."""
    count = 0
    for module in pkgutil.walk_packages(pynamespaces.__path__, "pynamespaces.", onerror=_optional):
        if not module.name.startswith(OPTIONAL):
            importlib.import_module(module.name)
            count += 1
    for name in pynamespaces.__all__:
        getattr(pynamespaces, name)
    return count


def _optional(name: str) -> None:
    """A package that could not be walked through has to be one of those."""
    assert name.startswith(OPTIONAL), name


def main() -> None:
    """Say what works, or fail."""
    count = every_module()
    with Namespace.current("net") as net:
        assert net.id.text(net.kind) == os.readlink("/proc/thread-self/ns/net")
    with NamespaceSet.current() as here:
        assert here.kinds == Kind.ALL
    said = f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}: {count} modules"
    if "--no-namespaces" not in sys.argv:
        # The extension runs as PID 1, so the command is PID 2.
        done = Isolation("user", "pid").run(["sh", "-c", "exit $$"], check=False)
        assert done.returncode == 2, done
        done = Isolation(*Kind.ALL, hostname="inside", ids=pynamespaces.IdMap.root()).run(
            ["sh", "-c", "echo $$ $(id -u) $(uname -n)"], capture_output=True, text=True, check=True
        )
        assert done.stdout == "2 0 inside\n", done.stdout
        assert Isolation("user", "uts", hostname="called").call(os.uname).nodename == "called"
        said += ", a command below our init, a function inside"
    print(said)


if __name__ == "__main__":
    main()
