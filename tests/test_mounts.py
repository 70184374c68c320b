"""Mounts as values, as acts and as a list, and roots to live in: as root and as an ordinary user."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import IS_ROOT, in_child, refuse
from pynamespaces import Isolation, Namespace, NamespaceError, NotPermitted, RestoreError, mounts, unshare
from pynamespaces._kernel import steps
from pynamespaces.mounts import listing, options

USER = () if IS_ROOT else ("user",)
#: fsopen, fsmount, open_tree, move_mount, mount_setattr, openat2: one number on every architecture.
MODERN = {"open_tree": 428, "move_mount": 429, "fsopen": 430, "mount_setattr": 442, "openat2": 437}


def sh(command: str, *values: Any, kinds: tuple[str, ...] = (), **fields: Any) -> str:
    """What a shell says inside, as the machine's root or as an ordinary user in a new user namespace."""
    box = Isolation(*USER, *kinds, "mnt", mounts=values, **fields)
    found = box.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    return (found.stdout + found.stderr).strip()


SYSTEM = [
    mounts.bind("/usr"),
    mounts.symlink("/bin", "usr/bin"),
    mounts.symlink("/lib", "usr/lib"),
    mounts.symlink("/lib64", "usr/lib64"),
]


def test_tmpfs_is_a_full_disk_in_a_line(tmp_path: Path) -> None:
    said = sh(f"dd if=/dev/zero of={tmp_path}/x bs=1k count=2000 2>&1", mounts.tmpfs(tmp_path, size="1M"))
    assert "No space left on device" in said
    assert os.listdir(tmp_path) == []


def test_tmpfs_takes_mode_inodes_and_attributes(tmp_path: Path) -> None:
    value = mounts.tmpfs(tmp_path, size=65536, mode=0o700, inodes=3, noexec=True)
    said = sh(
        f"stat -c %a {tmp_path}; touch {tmp_path}/a {tmp_path}/b {tmp_path}/c; grep {tmp_path} /proc/self/mounts", value
    )
    assert said.startswith("700")
    assert "noexec" in said
    assert "size=64k" in said
    assert "No space left" in said
    assert "Read-only" in sh(f"touch {tmp_path}/a", mounts.tmpfs(tmp_path, read_only=True))


def test_bind_directory_and_file(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "x").write_text("here")
    (tmp_path / "to").mkdir()
    (tmp_path / "file").touch()
    value = mounts.bind(tmp_path / "from", tmp_path / "to")
    one = mounts.bind(tmp_path / "from/x", tmp_path / "file")
    assert sh(f"cat {tmp_path}/to/x {tmp_path}/file", value, one) == "herehere"
    assert os.listdir(tmp_path / "to") == []


def test_bind_is_read_only_all_the_way_down(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    inner = tmp_path / "inner"
    inner.mkdir()
    values = [mounts.tmpfs(inner), mounts.bind(tmp_path, read_only=True)]
    said = sh(f"touch {tmp_path}/x; touch {inner}/x", *values)
    assert said.count("Read-only file system") == 2


def test_bind_attributes(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    tmp_path.chmod(0o755)
    assert sh(f"{script}") == "ran"
    assert "Permission denied" in sh(f"{script}", mounts.bind(tmp_path, noexec=True))
    said = sh(f"grep {tmp_path} /proc/self/mounts", mounts.bind(tmp_path, nosuid=True, nodev=True))
    assert "nosuid,nodev" in said


def test_proc_sysfs_mqueue_cgroup2(tmp_path: Path) -> None:
    for name in ("proc", "mqueue"):
        (tmp_path / name).mkdir()
    values = [
        mounts.proc(tmp_path / "proc", subset="pid", hidepid=2),
        mounts.sysfs(),
        mounts.mqueue(tmp_path / "mqueue"),
        mounts.cgroup2(read_only=True),
    ]
    said = sh(
        f"ls {tmp_path}/proc; ls /sys/class/net; ls -d {tmp_path}/mqueue; ls /sys/fs/cgroup/cgroup.procs",
        *values,
        kinds=("pid", "net", "ipc", "cgroup"),
    )
    words = said.split()
    assert "self" in words
    assert "meminfo" not in words
    assert "lo" in words
    assert "eth0" not in words
    assert "/sys/fs/cgroup/cgroup.procs" in words


def test_minimal_dev() -> None:
    said = sh(
        "ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c; cat /dev/fd/0 </dev/null; ls /dev/pts", mounts.dev()
    )
    assert said.split() == (
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero 3 ptmx".split()  # noqa: SIM905
    )


def test_a_terminal_in_the_minimal_dev() -> None:
    code = "import os; a, b = os.openpty(); print(os.ttyname(b))"
    assert sh(f"/usr/bin/python3 -c '{code}'", mounts.dev()) == "/dev/pts/0"


def test_overlay_vanishes(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "x").touch()
    said = sh(
        f"cd {tmp_path}; rm old; echo new > new; rm -r directory; mkdir directory; ls . directory; stat -c %a .",
        mounts.overlay(tmp_path),
    )
    assert said.split() == [".:", "directory", "new", "directory:", f"{tmp_path.stat().st_mode & 0o7777:o}"]
    assert sorted(os.listdir(tmp_path)) == ["directory", "old"]


def test_overlay_of_several_with_an_upper_that_stays(tmp_path: Path) -> None:
    for name in ("one", "two", "upper", "work", "to", "odd:na,me"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/x").write_text("one")
    (tmp_path / "two/x").write_text("two")
    (tmp_path / "odd:na,me/y").write_text("odd")
    value = mounts.overlay(
        tmp_path / "to",
        [tmp_path / "one", tmp_path / "two", tmp_path / "odd:na,me"],
        upper=tmp_path / "upper",
        work=tmp_path / "work",
    )
    assert sh(f"cd {tmp_path}/to; cat x y; echo z > z", value) == "oneodd"
    assert (tmp_path / "upper/z").read_text() == "z\n"


def test_file_with_content(tmp_path: Path) -> None:
    real = tmp_path / "hosts"
    real.write_text("real\n")
    (tmp_path / "link").symlink_to("hosts")
    data = b"\0binary\xff" * 10000
    assert (
        sh(f"cat {real}; echo more >> {real}; cat {real}", mounts.file(tmp_path / "link", "fake\n"))
        == "fake\nfake\nmore"
    )
    assert sh(f"wc -c < {real}; stat -c %a {real}", mounts.file(real, data, mode=0o600)).split() == ["80000", "600"]
    assert "Read-only" in sh(f"echo x > {real}", mounts.file(real, "fake", read_only=True))
    assert real.read_text() == "real\n"


def test_masks(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory/x").touch()
    value = mounts.mask(tmp_path / "secret", tmp_path / "directory", tmp_path / "absent", missing_ok=True)
    assert sh(f"cat {tmp_path}/secret; ls {tmp_path}/directory", value) == ""
    assert "Read-only" in sh(f"touch {tmp_path}/directory/y", value)
    assert sh("cat /proc/kcore 2>/dev/null | wc -c", mounts.mask(*mounts.MASKED, missing_ok=True)).split()[-1] == "0"


@pytest.mark.skipif(
    not IS_ROOT, reason="an idmapped mount needs CAP_SYS_ADMIN over the file system: the machine's root"
)
def test_idmapped_bind(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/x").touch()
    (tmp_path / "to").mkdir()
    from pynamespaces import IdMap

    with Isolation("user", ids=IdMap([(0, 70000, 10)], [(0, 70000, 10)])).Popen(["/bin/sleep", "60"]) as process:
        with Namespace.of(process, "user") as namespace:
            value = mounts.bind(tmp_path / "from", tmp_path / "to", idmap=namespace)
            said = sh(f"stat -c %u {tmp_path}/to/x", value)
        process.kill()
    assert said == "70000"


def test_empty_root_has_only_what_is_listed() -> None:
    said = sh(
        "ls /; pwd; cat /etc/hosts; ls -ld /run/x; ls /proc/self/exe; echo $$",
        *SYSTEM,
        mounts.dev(),
        mounts.file("/etc/hosts", "10.0.0.7 db\n"),
        mounts.directory("/run/x", mode=0o1777),
        root=mounts.empty(),
        kinds=("pid",),
    )
    lines = said.split("\n")
    assert lines[:7] == ["bin", "dev", "etc", "lib", "lib64", "proc", "run"]
    assert lines[7:10] == ["usr", "/", "10.0.0.7 db"]
    assert lines[10].startswith("drwxrwxrwt")
    assert lines[12] == "2"


def test_a_directory_as_root(tmp_path: Path) -> None:
    for name in ("usr", "bin", "lib", "lib64", "proc", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "marker").touch()
    values = [mounts.bind(f"/{name}") for name in ("usr", "bin", "lib", "lib64")]
    said = sh("ls /; cat /proc/self/mountinfo | wc -l; cd ..; pwd", *values, root=tmp_path)
    assert said.split()[:3] == ["bin", "lib", "lib64"]
    assert "marker" in said
    assert "etc" not in said.split()
    with pytest.raises(FileNotFoundError, match=r"mount\(tmpfs on /nowhere\)"):
        sh("true", *values, mounts.tmpfs("/nowhere"), root=tmp_path)


def test_throw_away_root_can_be_ruined() -> None:
    said = sh("touch /new /etc/new && ls /new /etc/new; ls /dev/null; ls -d /proc/self", root=mounts.throw_away())
    assert said.split() == ["/etc/new", "/new", "/dev/null", "/proc/self"]
    assert not os.path.exists("/new")
    assert not os.path.exists("/etc/new")


def test_what_an_installer_would_change(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "old").touch()
    (tree / "sub/kept").touch()
    upper = tmp_path / "upper"
    upper.mkdir()
    sh(f"cd {tree}; rm old; echo x > sub/made; mkdir fresh", mounts.throw_away(tree, upper=upper))
    assert [str(change) for change in mounts.changes(upper)] == [
        f"+ {tree}/fresh", f"- {tree}/old", f"+ {tree}/sub/made",
    ]  # fmt: skip
    assert sorted(os.listdir(tree)) == ["old", "sub"]


@in_child
def test_block_in_another_root_comes_back_exactly() -> None:
    os.chdir("/usr")
    before = os.stat("/"), os.getcwd(), mounts.list()
    with unshare("mnt", root=mounts.empty(), mounts=[mounts.bind("/usr"), mounts.file("/x", "inside")]):
        assert sorted(os.listdir("/")) == ["usr", "x"]
        assert os.getcwd() == "/"
        assert Path("/x").read_text() == "inside"
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.extend(os.listdir("/")))
        thread.start()
        thread.join()
        assert sorted(seen) == ["usr", "x"]
    assert (os.stat("/"), os.getcwd(), mounts.list()) == before
    os.chdir("/")


@in_child
def test_block_with_mounts_is_undone_by_a_failing_one() -> None:
    before = mounts.list()
    with pytest.raises(FileNotFoundError, match=r"mount\(tmpfs on /no/such\)"):
        unshare("mnt", mounts=[mounts.tmpfs("/mnt"), mounts.tmpfs("/no/such")]).__enter__()
    assert mounts.list() == before
    assert not os.path.exists("/no")


@in_child
def test_acts_mount_and_unmount_here() -> None:
    with unshare("mnt"):
        before = mounts.list()
        with mounts.mount(mounts.tmpfs("/mnt"), mounts.tmpfs("/mnt/a/b"), mounts.file("/mnt/f", "x")) as mounted:
            assert mounted.targets == ["/mnt", "/mnt/a/b"]
            assert os.path.ismount("/mnt/a/b")
            assert Path("/mnt/f").read_text() == "x"
            assert "/mnt/a/b" in repr(mounted)
        assert mounts.list() == before
        with pytest.raises(FileNotFoundError):
            mounts.mount(mounts.tmpfs("/mnt"), mounts.tmpfs("/no/such"))
        assert mounts.list() == before
        mounts.mount(mounts.tmpfs("/mnt"))
        os.mkdir("/mnt/base")
        with mounts.mount(mounts.tmpfs("/mnt/base/made/here"), create=True) as mounted:
            assert mounted.created == ["/mnt/base/made", "/mnt/base/made/here"]
        assert os.listdir("/mnt/base") == []
        with open("/mnt/open", "w", encoding="ascii"):
            with pytest.raises(NamespaceError, match="lazy=True") as busy:
                mounts.unmount("/mnt")
            assert busy.value.errno == errno.EBUSY
            mounts.unmount("/mnt", lazy=True)
        with pytest.raises(NamespaceError, match="no mount point"):
            mounts.unmount("/usr")


@in_child
def test_inherited_mounts_are_locked() -> None:
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        said = Isolation("user", "mnt").call(_unmount, "/mnt")
    assert "inherited from another user namespace" in said


def _unmount(path: str) -> str:
    try:
        mounts.unmount(path)
    except OSError as error:
        return str(error)
    return "unmounted"


@in_child
def test_propagation_between_real_peers() -> None:
    """mount_namespaces(7): what is mounted in one is seen, or not, in the other."""
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        for name in ("a", "b"):
            os.mkdir(f"/mnt/{name}")
        for how, there, back in (("shared", True, True), ("slave", True, False), ("private", False, False)):
            mounts.propagate("/mnt", "shared")
            with unshare("mnt", propagation=None) as inner:
                mounts.propagate("/mnt", how, recursive=True)
                row = next(row for row in mounts.list() if row.target == "/mnt")
                assert row.propagation is mounts.Propagation(how)
                assert (row.peers is not None) == (how == "shared")
                assert (row.master is not None) == (how == "slave")
                mounts.mount(mounts.tmpfs("/mnt/b"))
            assert os.path.ismount("/mnt/b") == back, how
            mounts.mount(mounts.tmpfs("/mnt/a"))
            assert any(row.target == "/mnt/a" for row in mounts.list(inner)) == there, how
            for name in ("a", "b"):
                if os.path.ismount(f"/mnt/{name}"):
                    mounts.unmount(f"/mnt/{name}")
            inner.close()
            mounts.propagate("/mnt", mounts.Propagation.PRIVATE)
        mounts.propagate("/mnt", "unbindable")
        with pytest.raises(NamespaceError):
            mounts.mount(mounts.bind("/mnt", "/tmp"))


@in_child
def test_listing_reads_other_namespaces_without_entering() -> None:
    before = mounts.list()
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt", size="1M")]) as inside:
        os.mkdir("/mnt/with space\n\\")
        mounts.mount(mounts.tmpfs("/mnt/with space\n\\"), mounts.tmpfs("/mnt", read_only=True))
        here = mounts.list()
    there = mounts.list(inside)
    assert mounts.list() == before
    assert there == here
    with inside["mnt"] as namespace:
        assert mounts.list(namespace) == here
    by_target = {row.target: row for row in there}
    assert by_target["/mnt/with space\n\\"].hidden
    assert by_target["/mnt"].options[0] == "ro"
    assert not by_target["/mnt"].hidden
    assert [row.hidden for row in there if row.target == "/mnt"] == [True, False]
    with Isolation("user", "mnt", mounts=[mounts.tmpfs("/mnt")]).Popen(["/bin/sleep", "60"]) as process:
        assert any(row.target == "/mnt" and row.type == "tmpfs" for row in mounts.list(process))
        process.kill()


@in_child
def test_listing_without_the_new_calls_says_so() -> None:
    with unshare("mnt") as inside:
        pass
    refuse(457, 458)
    with pytest.raises(OSError, match=r"listmount\(2\)") as error:
        mounts.list(inside)
    assert error.value.errno == errno.ENOSYS
    inside.close()


@pytest.mark.parametrize("name", [*MODERN, "all"])
@in_child
def test_without_a_modern_call_the_old_one_does_the_same(name: str) -> None:
    """Every value again, with one of the calls, or all, answering ENOSYS."""
    refuse(*(MODERN.values() if name == "all" else (MODERN[name],)))
    values = [
        mounts.tmpfs("/mnt", size="1M", mode=0o755),
        mounts.bind("/etc", "/mnt/etc"),
        mounts.bind("/etc/passwd", "/mnt/passwd", recursive=False, read_only=True),
        mounts.file("/mnt/plain", "plain"),
        mounts.directory("/mnt/d"),
        mounts.symlink("/mnt/l", "d"),
        mounts.overlay("/mnt/etc", "/usr/share"),
        mounts.file("/mnt/passwd", "fake", read_only=True),
        mounts.mask("/mnt/d"),
    ]
    with unshare("mnt", mounts=values):
        assert sorted(os.listdir("/mnt")) == ["d", "etc", "l", "passwd", "plain"]
        assert Path("/mnt/passwd").read_text() == "fake"
        assert Path("/mnt/plain").read_text() == "plain"
        with pytest.raises(OSError, match="Read-only"):
            Path("/mnt/passwd").write_text("x")
        with pytest.raises(OSError, match="Read-only"):
            Path("/mnt/d/x").touch()
        Path("/mnt/etc/new").touch()
        assert "doc" in os.listdir("/mnt/etc")
    with unshare("mnt", root=mounts.empty(), mounts=[mounts.bind("/usr"), mounts.file("/x", "x")]):
        assert sorted(os.listdir("/")) == ["usr", "x"]
        assert os.getcwd() == "/"
    with unshare("mnt", root="/usr"):
        assert "share" in os.listdir("/")
    if name in ("mount_setattr", "open_tree", "all"):
        with pytest.raises(OSError, match=r"mount_setattr\(2\)"):  # never half read-only
            unshare("mnt", mounts=[mounts.bind("/etc", "/mnt", read_only=True)]).__enter__()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: mounts.tmpfs("/mnt", size="-1"), "size"),
        (lambda: mounts.tmpfs("/mnt", size=""), "size"),
        (lambda: mounts.tmpfs("/mnt", size=2**64), "size"),
        (lambda: mounts.tmpfs("/mnt", size=0), "size"),
        (lambda: mounts.tmpfs("/mnt", size="101%"), "size"),
        (lambda: mounts.tmpfs("/mnt", size="8E"), "size"),
        (lambda: mounts.tmpfs("/mnt", size="1M,uid=0"), "size"),
        (lambda: mounts.tmpfs("/mnt", mode=0o10000), "mode"),
        (lambda: mounts.tmpfs("mnt"), "absolute"),
        (lambda: mounts.tmpfs("/m\0"), "NUL"),
        (lambda: mounts.bind("", "/mnt"), "source"),
        (lambda: mounts.proc(subset="net"), "subset"),
        (lambda: mounts.proc(hidepid=3), "hidepid"),
        (lambda: mounts.proc(hidepid=True), "hidepid"),
        (lambda: mounts.overlay("/mnt", []), "lower"),
        (lambda: mounts.overlay("/mnt", upper="/x"), "together"),
        (lambda: mounts.overlay("/mnt", read_only=True), "read-only"),
        (lambda: mounts.mask(), "path"),
        (lambda: mounts.symlink("/x", ""), "symbolic link"),
        (lambda: mounts.devpts(terminals=0), "terminals"),
        (lambda: mounts.filesystem("", "/mnt"), "text"),
        (lambda: mounts.filesystem("tmpfs", "/mnt", options={"size": "1M,uid=0"}), "comma"),
        (lambda: mounts.propagate("/", "public"), "propagation"),
        (lambda: Isolation("mnt", root=mounts.tmpfs("/mnt")), "root"),
        (lambda: Isolation("mnt", mounts=[mounts.symlink("/left", "x")]).plan(), "stay behind"),
        (lambda: Isolation("uts", mounts=[mounts.dev()]), "mnt"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_before_any_call(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: mounts.tmpfs("/mnt", size=1.5),
        lambda: mounts.tmpfs("/mnt", mode="755"),
        lambda: mounts.tmpfs("/mnt", inodes=True),
        lambda: mounts.tmpfs("/mnt", read_only=1),
        lambda: mounts.tmpfs(b"/mnt"),
        lambda: mounts.bind("/a", "/b", idmap=3),
        lambda: mounts.filesystem("tmpfs", "/mnt", options={"size": 1.5}),
        lambda: mounts.filesystem("tmpfs", "/mnt", options={"noswap": False}),
        lambda: mounts.file("/f", 5),
        lambda: mounts.symlink("/f", b"x"),
        lambda: mounts.bind("/a", "/b", exec=False),
        lambda: Isolation("mnt", mounts=["/mnt"]),
    ],
)
def test_bad_types_are_refused_before_any_call(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


def test_refusals_name_the_mount_the_step_and_the_cause(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    for value, kind, says in (
        (mounts.tmpfs(tmp_path / "absent"), FileNotFoundError, "the target"),
        (mounts.bind(tmp_path / "absent", tmp_path), FileNotFoundError, "the source"),
        (mounts.tmpfs(tmp_path / "file"), NotADirectoryError, "the target is no directory"),
        (mounts.bind(tmp_path / "file", tmp_path / "directory"), IsADirectoryError, "the target is a directory"),
        (mounts.file(tmp_path / "directory", "x"), IsADirectoryError, "the target is a directory"),
    ):
        with pytest.raises(kind, match=says) as error:
            sh("true", value)
        assert str(tmp_path) in error.value.step

    def bare(fstype: str, **options: str) -> mounts.Mount:
        return mounts.filesystem(fstype, tmp_path, options=options)

    with pytest.raises(OSError, match="Bad value for 'size'"):
        sh("true", bare("tmpfs", size="x"))
    with pytest.raises(OSError, match="Unknown parameter 'colour'"):
        sh("true", bare("tmpfs", colour="red"))
    with pytest.raises(OSError, match="this kernel has no file system nosuchfs") as error:
        sh("true", bare("nosuchfs"))
    assert error.value.errno == errno.ENODEV
    for fstype in {"ext4", "debugfs"} & {*Path("/proc/filesystems").read_text("ascii").split()}:
        with pytest.raises(NotPermitted, match="first user namespace only"):
            Isolation("user", "mnt", mounts=[bare(fstype)]).run(["true"])


def test_a_user_namespace_may_not_mount_everything(tmp_path: Path) -> None:
    for value, kind in ((mounts.proc(), "pid"), (mounts.sysfs(), "net"), (mounts.mqueue(tmp_path), "ipc")):
        with pytest.raises(NotPermitted, match=f"new {kind} namespace"):
            Isolation("user", "mnt", mounts=[value]).run(["true"])
    with pytest.raises(NamespaceError, match="recursive=True"):
        Isolation("user", "mnt", mounts=[mounts.bind("/", tmp_path, recursive=False)]).run(["true"])
    with pytest.raises(NamespaceError, match="throw_away"):
        Isolation("user", "mnt", root=mounts.overlay("/")).run(["true"])


def test_a_root_whose_links_lead_out_is_confined(tmp_path: Path) -> None:
    """The runtimes' faults: /dev, /proc or /etc of an image as symbolic links to the host's."""
    out = tmp_path / "out"
    out.mkdir()
    root = tmp_path / "root"
    for name in ("usr", "bin", "lib", "lib64"):
        (root / name).mkdir(parents=True)
    (root / "dev").symlink_to(out)
    (root / "etc").symlink_to("../../../../../../../../.." + str(out))
    (root / "proc").symlink_to("/proc/self/root" + str(out))
    values = [mounts.bind(f"/{name}") for name in ("usr", "bin", "lib", "lib64")]
    for name in ("dev", "etc", "proc"):
        with pytest.raises((FileNotFoundError, NamespaceError)) as error:
            sh("true", *values, mounts.tmpfs(f"/{name}"), root=root)
        assert error.value.errno in (errno.ENOENT, errno.ELOOP), error.value
    inside = root / str(out).lstrip("/")
    inside.mkdir(parents=True)
    said = sh(
        "touch /dev/made; ls /dev/; mount 2>/dev/null | grep -c nothing", *values, mounts.tmpfs("/dev"), root=root
    )
    assert said.split()[0] == "made"
    assert os.listdir(out) == os.listdir(inside) == []


def test_nothing_leads_out_by_a_descriptor(tmp_path: Path) -> None:
    """cwd and descriptors of the host are no way out (the runtimes' leaked /proc/self/fd)."""
    said = sh(
        "pwd; ls -l /proc/self/fd | wc -l; ls /proc/self/cwd/; ls /proc/1/root/",
        *SYSTEM,
        root=mounts.empty(),
        kinds=("pid",),
    )
    lines = said.split("\n")
    assert lines[0] == "/"
    assert int(lines[1]) <= 5
    assert lines.count("etc") == 0


def test_mounts_race_with_a_link_that_is_swapped(tmp_path: Path) -> None:
    """A thousand swaps of the target by a link to the outside: what is mounted stays in the root."""
    out, root = tmp_path / "out", tmp_path / "root"
    out.mkdir()
    (root / "place").mkdir(parents=True)
    (root / "link").symlink_to(out)
    stop = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not stop.is_set():
            swaps += 1
            os.rename(root / "place", root / "other")
            os.rename(root / "link", root / "place")
            os.rename(root / "place", root / "link")
            os.rename(root / "other", root / "place")

    thread = threading.Thread(target=swap)
    thread.start()
    tried = mounted = 0
    try:
        while tried < 400 and not (mounted and swaps >= 1000):
            tried += 1
            try:
                rows = Isolation(*USER, "mnt", root=root, mounts=[mounts.tmpfs("/place")]).call(_targets)
            except OSError as error:
                assert error.errno in (errno.ENOENT, errno.ELOOP, errno.EAGAIN, errno.ENOTDIR), error
            else:
                mounted += 1
                assert set(rows) <= {"/place", "/other", "/link"}, rows  # it is renamed while we look
            assert os.listdir(out) == []
    finally:
        stop.set()
        thread.join()
    assert mounted > 0


def _targets() -> list[str]:
    """The entries of / that are other mounts than /: there is no /proc to ask."""
    top = os.stat("/").st_dev
    return [f"/{name}" for name in os.listdir("/") if os.lstat(f"/{name}").st_dev != top]


@in_child
def test_a_root_in_a_chroot_is_had_by_pivot_root_as_well() -> None:
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt"), mounts.bind("/usr", "/mnt/usr")]):
        pid = os.fork()
        if pid == 0:
            os.chroot("/mnt")
            os.chdir("/usr")
            try:
                with unshare("mnt", root=mounts.empty(), mounts=[mounts.bind("/usr")]):
                    assert os.listdir("/") == ["usr"]
                assert os.getcwd() == "/usr"
                assert os.path.samefile("/", "/usr/..")
                os._exit(0)
            except (OSError, AssertionError, RestoreError):
                import traceback

                traceback.print_exc()
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0


def test_values_are_values() -> None:
    one, other = mounts.tmpfs("/mnt/", size="1M"), mounts.tmpfs("/mnt", size="1M")
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == "tmpfs('/mnt', size='1M')"
    assert mounts.bind("/a", "/b", read_only=True) != mounts.bind("/a", "/b")
    box = Isolation("mnt", mounts=[one])
    assert box == Isolation("mnt", mounts=(other,))
    assert "mount(tmpfs on /mnt)" in str(box.plan())
    assert box.plan()[-2].flags & (steps.CREATE | steps.IN_ROOT) == 0


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_mountinfo_escapes(name: str) -> None:
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in name)
    line = f"1 0 0:1 / /{escaped} rw shared:3 master:2 - tmpfs a\\040b rw,size=1k\n"
    (row,) = listing.parse(line)
    assert row.target == f"/{name}"
    assert (row.peers, row.master, row.source) == (3, 2, "a b")


@given(st.text())
def test_any_text_is_a_mountinfo(text: str) -> None:
    assert all(isinstance(row, mounts.Listed) for row in listing.parse(text))


@given(st.integers(-(2**70), 2**70))
def test_sizes(number: int) -> None:
    if 0 < number < 2**63:
        assert options.size(number) == str(number) == options.size(str(number))
    else:
        with pytest.raises(ValueError, match="size"):
            options.size(number)


def test_bubblewrap_agrees(tmp_path: Path) -> None:
    """The same root by both shows the same tree."""
    from conftest import need

    bwrap = need("bwrap")
    words = "--unshare-user --unshare-pid --bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib"
    words += " --symlink usr/lib64 /lib64 --proc /proc --dev /dev --dir /run --tmpfs /tmp"
    command = ["/bin/sh", "-c", "ls / /dev /tmp /run; readlink /bin"]
    theirs = subprocess.run([bwrap, *words.split(), *command], capture_output=True, text=True, check=True).stdout
    box = Isolation(
        "user", "pid", "mnt", root=mounts.empty(),
        mounts=[*SYSTEM, mounts.dev(), mounts.directory("/run"), mounts.directory("/tmp"), mounts.tmpfs("/tmp")],
    )  # fmt: skip
    ours = box.run(command, capture_output=True, text=True).stdout
    assert set(theirs.split()) - set(ours.split()) <= {"core"}
