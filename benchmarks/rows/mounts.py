"""Mounts: a block with one, a new root, and the set that bubblewrap is asked for most."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from measure import Row, floor, rounds, timed

from pynamespaces import Isolation, mounts, unshare

ONE = [mounts.tmpfs("/mnt")]
USR = [mounts.bind("/usr", read_only=True), mounts.tmpfs("/tmp")]
LINKS = [mounts.symlink("/bin", "usr/bin"), mounts.symlink("/lib", "usr/lib"), mounts.symlink("/lib64", "usr/lib64")]
SET = [*USR, *LINKS, mounts.dev(), mounts.bind("/etc", read_only=True), mounts.directory("/run")]
WORDS = """--unshare-user --unshare-pid --ro-bind /usr /usr --tmpfs /tmp --symlink usr/bin /bin --symlink usr/lib /lib
--symlink usr/lib64 /lib64 --proc /proc --dev /dev --ro-bind /etc /etc --dir /run /bin/true"""


def one() -> None:
    with unshare("mnt", mounts=ONE):
        pass


def root() -> None:
    with unshare("mnt", root=mounts.empty(), mounts=USR):
        pass


def rows() -> Iterator[Row]:
    yield Row(
        "a block with one tmpfs, and back",
        lambda: timed(one, 500),
        lambda: floor("mounts", "block", rounds(500)),
        promise=1.3,
    )
    yield Row(
        "a block in a new root, and back",
        lambda: timed(root, 300),
        lambda: floor("mounts", "root", rounds(300)),
    )
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return
    box = Isolation("user", "pid", "mnt", root=mounts.empty(), mounts=SET)

    def by_bwrap() -> float:
        return timed(lambda: subprocess.run([bwrap, *WORDS.split()], check=True), 50)

    def set_up() -> None:
        with unshare("mnt", root=mounts.empty(), mounts=[*SET, mounts.proc()]):
            pass

    yield Row(
        "bubblewrap's set of mounts, in a block",
        lambda: timed(set_up, 100),
        peers={"bwrap as a whole process": by_bwrap},
        peer_promise=0.5,
    )
    yield Row(
        "run(true) in that set, in new user and pid",
        lambda: timed(lambda: box.run(["/bin/true"], check=True), 50),
        peers={"subprocess.run(bwrap ...)": by_bwrap},
    )
