"""What the fixtures give: one namespace, and the acts that a test wants of it."""

from __future__ import annotations

import socket
import sys
from contextlib import contextmanager

from pynamespaces import mounts, plan
from pynamespaces.isolation import Isolation
from pynamespaces.sets import NamespaceSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from subprocess import CompletedProcess
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from pynamespaces.blocks import Block
    from pynamespaces.handles import Namespace
    from pynamespaces.processes import Popen

    Path = str | PathLike[str]
    N = TypeVar("N", bound="One")


class One:
    """One namespace: `namespace`, `id`, and where commands and functions can run."""

    kind = ""

    def __init__(self, place: NamespaceSet) -> None:
        self.place = place

    @property
    def namespace(self) -> Namespace:
        """The pynamespaces.Namespace."""
        return self.place[self.kind]

    @property
    def id(self) -> str:
        """As /proc says it: "net:[4026532177]"."""
        return self.namespace.id.text(self.namespace.kind)

    def run(self, argv: Any, **kwargs: Any) -> CompletedProcess[Any]:
        """Run a command inside; subprocess.run's arguments."""
        return self.place.run(argv, **kwargs)

    def Popen(self, argv: Any, **kwargs: Any) -> Popen:  # noqa: N802 (subprocess's name)
        """Start a command inside; subprocess.Popen's arguments."""
        return self.place.Popen(argv, **kwargs)

    popen = Popen

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run a function in a child inside; its value."""
        return self.place.call(function, *args, **kwargs)

    def close(self) -> None:
        self.place.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class NetNS(One):
    """A network; ``with netns:`` is a block in it, and threads and sockets that are made there belong there."""

    kind = "net"

    def __init__(self, place: NamespaceSet) -> None:
        super().__init__(place)
        self._blocks: list[Block] = []

    def __enter__(self) -> Self:
        block = self.place.enter()
        block.__enter__().close()
        self._blocks.append(block)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._blocks.pop().__exit__(kind, error, tb)


class MntNS(One):
    """Mounts: each act is of the test's own namespace, and ends with it."""

    kind = "mnt"

    def tmpfs(self, target: Path, size: int | str | None = None, **options: Any) -> None:
        """An empty file system in memory on a directory; with a size, a disk that can be full."""
        mounts.mount(mounts.tmpfs(target, size=size, **options))

    def bind(self, source: Path, target: Path, **options: Any) -> None:
        """A file or directory at another place, too."""
        mounts.mount(mounts.bind(source, target, **options))

    def file(self, target: Path, content: str | bytes, **options: Any) -> None:
        """This content over a file that exists."""
        mounts.mount(mounts.file(target, content, **options))

    def readonly(self, *targets: Path) -> None:
        """Nothing below can be written (EROFS)."""
        mounts.mount(*[mounts.bind(target, read_only=True) for target in targets])

    def hide(self, *targets: Path) -> None:
        """A directory is empty, a file is /dev/null."""
        mounts.mount(mounts.mask(*targets, missing_ok=True))

    def mount(self, *values: mounts.Mount) -> None:
        """Any of pynamespaces.mounts."""
        mounts.mount(*values)


class UtsNS(One):
    """Hostname and domainname; both can be set."""

    kind = "uts"

    @property
    def hostname(self) -> str:
        return socket.gethostname()

    @hostname.setter
    def hostname(self, name: str) -> None:
        socket.sethostname(name)
        forget_hostname()

    @property
    def domainname(self) -> str:
        with open("/proc/sys/kernel/domainname", encoding="utf-8") as file:
            return file.read().strip()

    @domainname.setter
    def domainname(self, name: str) -> None:
        plan.carry_out(plan.domainname(name))


class IpcNS(One):
    """System V IPC and POSIX message queues."""

    kind = "ipc"


class CgroupNS(One):
    """The root of the cgroups as they are seen."""

    kind = "cgroup"


class PidNS(One):
    """Process ids."""

    kind = "pid"

    @property
    def processes(self) -> list[int]:
        """The ids of all processes inside, our init (1) included."""
        import os

        return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


class UserNS(One):
    """Who is who."""

    kind = "user"

    @property
    def uid_map(self) -> str:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read()

    @property
    def gid_map(self) -> str:
        with open("/proc/self/gid_map", encoding="ascii") as file:
            return file.read()


class TimeNS(One):
    """Clocks."""

    kind = "time"

    @property
    def offsets(self) -> dict[str, float]:
        """{"monotonic": seconds, "boottime": seconds} from the machine's own."""
        found = {}
        with open("/proc/self/timens_offsets", encoding="ascii") as file:
            for line in file:
                name, seconds, nanoseconds = line.split()
                found[name] = int(seconds) + int(nanoseconds) / 1e9
        return found


def forget_hostname() -> None:
    """The platform module remembers it."""
    platform: Any = sys.modules.get("platform")
    if hasattr(platform, "_uname_cache"):
        platform._uname_cache = None


@contextmanager
def current(cls: type[N]) -> Iterator[N]:
    """The namespace that the test is in, for as long as a fixture lives."""
    value = cls(NamespaceSet.current(cls.kind))
    try:
        yield value
    finally:
        value.close()


def new_net(network: str) -> NetNS:
    """One more host."""
    from pynamespaces.pytest_plugin.marks import NETWORKS

    if network not in NETWORKS:
        raise ValueError(f"network is one of {', '.join(map(repr, NETWORKS))}, got {network!r}")
    with Isolation("net", loopback=NETWORKS[network]).unshare() as inside:
        return NetNS(inside)
