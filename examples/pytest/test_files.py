"""Disks that are full, directories that are read-only, and code that may remove all it finds."""

import errno
import os
import shutil

import pytest

import pynamespaces


@pytest.mark.namespaces(tmpfs={"/mnt": "1M"})
def test_a_disk_of_one_megabyte_is_full() -> None:
    with pytest.raises(OSError) as refused, open("/mnt/log", "wb", buffering=0) as log:
        for _ in range(32):
            log.write(bytes(1 << 16))
    assert refused.value.errno == errno.ENOSPC
    assert os.path.getsize("/mnt/log") <= 1 << 20


@pytest.mark.namespaces(readonly=["/etc"])
def test_etc_is_read_only() -> None:
    with pytest.raises(OSError) as refused, open("/etc/my-program.conf", "w"):
        pass
    assert refused.value.errno == errno.EROFS


def test_a_directory_in_another_s_place(mntns, tmp_path) -> None:
    (tmp_path / "settings").write_text("answer = 42\n")
    mntns.bind(tmp_path, "/mnt")
    with open("/mnt/settings") as settings:
        assert settings.read() == "answer = 42\n"


@pytest.mark.namespaces("mnt", root=pynamespaces.mounts.throw_away("/"))
def test_it_may_remove_whatever_it_finds() -> None:
    assert os.path.exists("/etc/passwd")
    shutil.rmtree("/etc", ignore_errors=True)
    assert not os.path.exists("/etc/passwd") or os.geteuid() != 0


def test_and_the_machine_is_whole() -> None:
    assert os.path.exists("/etc/passwd")
