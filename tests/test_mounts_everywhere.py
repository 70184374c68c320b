"""Each value in a command, a function, a block and as an act: seen from inside, and unseen from outside."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import IS_ROOT, in_child, in_pid_child
from pynamespaces import Isolation, mounts, unshare
from pynamespaces.mounts import Listed

USER = () if IS_ROOT else ("user",)


def row(path: str) -> Listed:
    return next(row for row in reversed(mounts.list()) if row.target == path)


def refuses(path: str) -> str:
    try:
        Path(path).write_text("x")
    except OSError as error:
        return error.strerror or ""
    return "written"


def is_sized() -> bool:
    return "size=64k" in row("/mnt/t").super_options and stat.S_IMODE(os.stat("/mnt/t").st_mode) == 0o750


def is_read_only_below() -> bool:
    return refuses("/mnt/t/x") == refuses("/mnt/t/in/x") == "Read-only file system"


def is_bound() -> bool:
    options = row("/mnt/t").options
    return (
        os.path.exists("/mnt/t/x") and {"nosuid", "nodev", "noexec"} <= {*options} and not os.path.ismount("/mnt/t/in")
    )


def is_fake() -> bool:
    return Path("/mnt/f").read_text() == "fake" and stat.S_IMODE(os.stat("/mnt/f").st_mode) == 0o640


def is_layered() -> bool:
    Path("/mnt/t/written").touch()
    return sorted(os.listdir("/mnt/t")) == ["in", "only-two", "written", "x"] and Path("/mnt/t/x").read_text() == "one"


def is_thrown_away() -> bool:
    os.unlink("/mnt/one/x")
    return os.listdir("/mnt/one") == ["in"]


def is_masked() -> bool:
    return os.listdir("/mnt/one") == [] and Path("/mnt/f").read_text() == "" and refuses("/mnt/one/y") != "written"


def is_dev() -> bool:
    Path("/mnt/t/null").write_text("x")
    terminals = os.listdir("/mnt/t/pts")
    return terminals == ["ptmx"] and os.readlink("/mnt/t/fd") == "/proc/self/fd" and os.path.ismount("/mnt/t/shm")


def has_terminals() -> bool:
    return os.listdir("/mnt/t") == ["ptmx"] and "max=3" in row("/mnt/t").super_options


def has_furniture() -> bool:
    mode = stat.S_IMODE(os.stat("/mnt/t/d").st_mode)
    return os.readlink("/mnt/t/l") == "d/f" and Path("/mnt/t/l").read_text() == "plain" and mode == 0o1777


def has_interfaces() -> bool:
    return os.listdir("/mnt/t/class/net") == ["lo"]


def has_queues() -> bool:
    Path("/mnt/t/queue").touch()
    return row("/mnt/t").type == "mqueue" and "QSIZE" in Path("/mnt/t/queue").read_text()


def has_cgroups() -> bool:
    return row("/mnt/t").type == "cgroup2" and os.path.exists("/mnt/t/cgroup.procs")


def has_processes() -> bool:
    numbers = [name for name in os.listdir("/mnt/t") if name.isdigit()]
    return (
        "1" in numbers and not os.path.exists("/mnt/t/meminfo") and "hidepid=invisible" in row("/mnt/t").super_options
    )


#: the kinds that it takes, the values, and what is to be seen inside
VALUES: dict[str, tuple[tuple[str, ...], Callable[[], list[Any]], Callable[[], bool]]] = {
    "tmpfs": ((), lambda: [mounts.tmpfs("/mnt/t", size="64k", mode=0o750, inodes=10)], is_sized),
    "bind": (
        (),
        lambda: [mounts.bind("/mnt/one", "/mnt/t", recursive=False, nosuid=True, nodev=True, noexec=True)],
        is_bound,
    ),
    "bind, read-only": ((), lambda: [mounts.bind("/mnt/one", "/mnt/t", read_only=True)], is_read_only_below),
    "file": ((), lambda: [mounts.file("/mnt/f", "fake", mode=0o640)], is_fake),
    "overlay": ((), lambda: [mounts.overlay("/mnt/t", ["/mnt/one", "/mnt/two"])], is_layered),
    "overlay, kept": (
        (),
        lambda: [mounts.overlay("/mnt/t", ["/mnt/one", "/mnt/two"], upper="/mnt/up", work="/mnt/work")],
        is_layered,
    ),
    "throw-away": ((), lambda: [mounts.throw_away("/mnt/one")], is_thrown_away),
    "mask": ((), lambda: [mounts.mask("/mnt/one", "/mnt/f", "/mnt/absent", missing_ok=True)], is_masked),
    "dev": ((), lambda: [mounts.dev("/mnt/t")], is_dev),
    "devpts": ((), lambda: [mounts.devpts("/mnt/t", terminals=3)], has_terminals),
    "directory, symlink, file": (
        (),
        lambda: [
            mounts.tmpfs("/mnt/t"),
            mounts.directory("/mnt/t/d", mode=0o1777),
            mounts.file("/mnt/t/d/f", "plain"),
            mounts.symlink("/mnt/t/l", "d/f"),
        ],
        has_furniture,
    ),
    "filesystem": ((), lambda: [mounts.filesystem("tmpfs", "/mnt/t", options={"size": "64k", "mode": 750})], is_sized),
    "sysfs": (("net",), lambda: [mounts.sysfs("/mnt/t", read_only=True)], has_interfaces),
    "mqueue": (("ipc",), lambda: [mounts.mqueue("/mnt/t")], has_queues),
    "cgroup2": (("cgroup",), lambda: [mounts.cgroup2("/mnt/t", read_only=True)], has_cgroups),
    "proc": (("pid",), lambda: [mounts.proc("/mnt/t", subset="pid", hidepid=2)], has_processes),
}


def prepare() -> tuple[list[Listed], list[str]]:
    """The directories that all start with, in a tmpfs of this test's own; and how it looks outside."""
    mounts.mount(mounts.tmpfs("/mnt"))
    for name in ("t", "one/in", "two", "up", "work"):
        os.makedirs(f"/mnt/{name}")
    Path("/mnt/f").write_text("real")
    Path("/mnt/one/x").write_text("one")
    Path("/mnt/two/x").write_text("two")
    Path("/mnt/two/only-two").touch()
    return outside()


def outside() -> tuple[list[Listed], list[str]]:
    found = [os.path.join(directory, name) for directory, _, files in os.walk("/mnt") for name in files]
    return mounts.list(), sorted(found)


def kept(name: str) -> list[str]:
    return ["/mnt/up/written"] if name == "overlay, kept" else []


def without_work(seen: tuple[list[Listed], list[str]]) -> tuple[list[Listed], list[str]]:
    return seen[0], [path for path in seen[1] if not path.startswith("/mnt/work/")]


@pytest.mark.parametrize("name", VALUES)
@in_child
def test_in_a_command_and_a_function(name: str) -> None:
    kinds, make, check = VALUES[name]
    with unshare("mnt"):
        listed, files = prepare()
        # An ordinary user's own namespace owns these mounts; a new user namespace has them locked.
        mounts_below = [mounts.tmpfs("/mnt/one/in")] if name == "bind, read-only" else []
        box = Isolation(*USER, *kinds, "mnt", mounts=[*mounts_below, *make()])
        assert box.call(check) is True
        box.run(["/bin/true"], check=True)
        assert without_work(outside()) == (listed, sorted([*files, *kept(name)]))


def in_a_block_and_as_an_act(name: str) -> None:
    kinds, make, check = VALUES[name]
    with unshare("mnt"):
        listed, files = prepare()
        with unshare(*kinds, "mnt", mounts=make()):
            if name != "proc":  # a proc's processes are the children's
                assert check() is True
        assert without_work(outside()) == (listed, sorted([*files, *kept(name)]))
        with unshare(*kinds) if kinds else unshare("uts"):
            for path in kept(name):
                os.unlink(path)
            if name == "throw-away":
                return
            before = without_work(outside())
            with mounts.mount(*make()) as mounted:
                assert name == "proc" or check() is True
                assert all(target.startswith("/mnt/") for target in mounted.targets)
            listed, files = without_work(outside())
            assert (listed, files) == (before[0], sorted([*before[1], *kept(name)]))


@pytest.mark.parametrize("name", [name for name in VALUES if name != "proc"])
@in_child
def test_in_a_block_and_as_an_act(name: str) -> None:
    in_a_block_and_as_an_act(name)


@in_pid_child
def test_proc_in_a_block() -> None:
    with unshare("mnt"):
        prepare()
        with unshare("mnt", "pid", mounts=VALUES["proc"][1]()):
            assert has_processes()
