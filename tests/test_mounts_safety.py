"""What must not happen with mounts: nothing leads out of a root, nothing borrowed is written, nothing stays behind."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from conftest import IS_ROOT, in_child, in_pid_child, refuse
from pynamespaces import IdMap, Isolation, Namespace, NamespaceError, NotPermitted, mounts, procfs, unshare
from test_mounts import SYSTEM, sh

USER = () if IS_ROOT else ("user",)


# ---- out of a root ----


def test_a_mount_on_the_root_is_never_silently_without_effect(tmp_path: Path) -> None:
    for make in (
        lambda: Isolation("mnt", mounts=[mounts.bind("/", read_only=True)]).plan(),
        lambda: Isolation("mnt", mounts=[mounts.throw_away()]).plan(),
        lambda: Isolation("mnt", root="/usr", mounts=[mounts.tmpfs("/")]).plan(),
        lambda: mounts.mount(mounts.tmpfs("/")),
    ):
        with pytest.raises(ValueError, match="root="):
            make()
    said = sh(f"touch {tmp_path}/x /etc/x", root=mounts.bind("/", read_only=True))
    assert said.count("Read-only file system") == 2


def test_a_root_is_a_directory() -> None:
    with pytest.raises(NotADirectoryError, match="a root is a directory"):
        sh("true", root="/etc/passwd")
    with pytest.raises(FileNotFoundError, match="the source"):
        sh("true", root="/no/such")


def test_cwd_by_a_descriptor_that_is_open_to_the_host_is_refused(tmp_path: Path) -> None:
    """CVE-2024-21626: a working directory of /proc/self/fd/7, where 7 is a directory of the host."""
    values = [*SYSTEM, mounts.directory("/inside")]
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(fd, True)
    try:
        box = Isolation(*USER, "mnt", "pid", root=mounts.empty(), mounts=values)
        for cwd in (f"/proc/self/fd/{fd}", f"/proc/self/fd/{fd}/etc", f"/proc/thread-self/fd/{fd}/../"):
            with pytest.raises(OSError) as error:
                box.run(["/bin/ls"], cwd=cwd, capture_output=True)
            assert error.value.errno in (errno.EACCES, errno.ENOENT), error.value
        found = box.run(["/bin/sh", "-c", "pwd; ls /proc/self/fd"], cwd="/inside", capture_output=True, text=True)
        assert found.stdout.split()[0] == "/inside"
        assert str(fd) not in found.stdout.split()[4:], found.stdout  # 0, 1, 2 and ls's own
        found = box.run(["/bin/ls", f"/proc/self/fd/{fd}/"], capture_output=True, text=True)
        assert found.returncode != 0
    finally:
        os.close(fd)


@in_child
def test_a_thousand_mounts_while_the_target_is_swapped_for_a_link() -> None:
    """Each is in the root, or refused; what they write is nowhere outside, nor in the tree that the root is made of."""
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        for name in ("out", "root/mnt/out", "root/place"):
            os.makedirs(f"/mnt/{name}")
        os.symlink("/mnt/out", "/mnt/root/link")
        swapper = os.fork()
        if swapper == 0:
            exchange = ctypes.CDLL(None).renameat2
            for _ in range(100_000_000):
                exchange(-100, b"/mnt/root/place", -100, b"/mnt/root/link", 2)  # RENAME_EXCHANGE
            os._exit(0)
        mounted = refused = 0
        try:
            for _ in range(1000):
                block = unshare(
                    "mnt", root="/mnt/root", mounts=[mounts.tmpfs("/place"), mounts.file("/place/written", "x")]
                )
                try:
                    with block:
                        mounted += 1
                except OSError as error:
                    refused += 1
                    expected = (errno.ENOENT, errno.ELOOP, errno.EXDEV, errno.ENOTDIR)
                    assert error.errno in expected, error
        finally:
            os.kill(swapper, signal.SIGKILL)
            os.waitpid(swapper, 0)
        assert (mounted, refused) >= (1, 1), (mounted, refused)
        for directory, _, files in os.walk("/mnt"):
            assert files == [] or directory == "/mnt/root", (directory, files)


def test_what_a_plan_makes_does_not_land_in_what_it_borrows(tmp_path: Path) -> None:
    """An image's links lead to a directory of the host that is bound: files, directories, links are not made there."""
    image, host = tmp_path / "image", tmp_path / "host"
    for directory in (image / "etc", image / "data", host):
        directory.mkdir(parents=True)
    (host / "real").write_text("real")
    (image / "etc/file").symlink_to("/data/real")
    (image / "way").symlink_to("data")
    root = mounts.overlay("/", image)
    common = [*SYSTEM, mounts.bind(host, "/data")]
    assert sh("cat /etc/file", *common, mounts.file("/etc/file", "fake"), root=root) == "fake"
    assert (host / "real").read_text() == "real"
    for value in (
        mounts.file("/way/new", "x"),
        mounts.directory("/way/new"),
        mounts.symlink("/way/new", "x"),
        mounts.tmpfs("/way/new"),
        mounts.bind("/etc/passwd", "/way/new"),
    ):
        with pytest.raises(NamespaceError, match="symbolic link") as error:
            sh("true", *common, value, root=root)
        assert error.value.errno in (errno.ELOOP, errno.EXDEV)
        assert os.listdir(host) == ["real"], value
    assert sorted(os.listdir(image)) == ["data", "etc", "way"]


@in_child
def test_the_same_on_a_kernel_without_openat2() -> None:
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        for name in ("host", "image/etc", "image/data"):
            os.makedirs(f"/mnt/{name}")
        Path("/mnt/host/real").write_text("real")
        os.symlink("/data/real", "/mnt/image/etc/file")
        os.symlink("data", "/mnt/image/way")
        refuse(437)
        with unshare(
            "mnt",
            root=mounts.overlay("/", "/mnt/image"),
            mounts=[mounts.bind("/mnt/host", "/data"), mounts.file("/etc/plain", "plain")],
        ):
            assert Path("/etc/plain").read_text() == "plain"
        for value in (mounts.file("/etc/file", "x"), mounts.file("/way/new", "x"), mounts.directory("/way/new")):
            with pytest.raises(NamespaceError):
                unshare(
                    "mnt",
                    root=mounts.overlay("/", "/mnt/image"),
                    mounts=[mounts.bind("/mnt/host", "/data"), value],
                ).__enter__()
        assert os.listdir("/mnt/host") == ["real"]
        assert Path("/mnt/host/real").read_text() == "real"


@in_child
def test_every_mask_hides() -> None:
    def inside() -> list[str]:
        wrong = []
        for path in mounts.MASKED:
            if os.path.isdir(path):
                if os.listdir(path):
                    wrong.append(path)
            elif os.path.exists(path):
                with open(path, "rb") as file:
                    if file.read(1):
                        wrong.append(path)
        return wrong

    kinds = ("mnt", "pid", "net")
    with unshare("mnt", mounts=[mounts.mask(*mounts.MASKED, missing_ok=True)]):
        assert inside() == []
        assert {row.target for row in mounts.list()} & set(mounts.MASKED)
        # With these masks the kernel lets no ordinary user's namespace mount a proc that shows what is below them.
        with pytest.raises(NotPermitted, match="masked"):
            Isolation("user", *kinds).run(["/bin/true"])
        with pytest.raises(NotPermitted, match="masked"):
            Isolation("user", *kinds, proc=False, mounts=[mounts.sysfs()]).run(["/bin/true"])


@in_child
def test_a_read_only_sysfs_is_locked_for_namespaces_below() -> None:
    with unshare("mnt", mounts=[mounts.bind("/sys", read_only=True)]):
        with pytest.raises(NotPermitted, match="read_only=True"):
            Isolation("user", "mnt", "net", mounts=[mounts.sysfs()]).run(["/bin/true"])
        Isolation("user", "mnt", "net", mounts=[mounts.sysfs(read_only=True)]).run(["/bin/true"], check=True)


# ---- nothing stays behind ----


@in_child
def test_acts_undo_what_they_made_and_nothing_else() -> None:
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        os.mkdir("/mnt/d")
        Path("/mnt/d/empty").touch()
        os.mkdir("/mnt/d/kept")
        before = mounts.list()
        with mounts.mount(mounts.tmpfs("/mnt/d"), mounts.file("/mnt/d/empty", ""), mounts.directory("/mnt/d/kept")):
            assert sorted(os.listdir("/mnt/d")) == ["empty", "kept"]
        assert sorted(os.listdir("/mnt/d")) == ["empty", "kept"]
        assert mounts.list() == before
        # A failing one takes the mount points with it that were made for it and before it.
        with pytest.raises(FileNotFoundError):
            mounts.mount(mounts.tmpfs("/mnt/made/here"), mounts.bind("/no/such", "/mnt/x/y"), create=True)
        assert os.listdir("/mnt") == ["d"]
        # Of a link what it names is mounted on, and unmounted again.
        os.symlink("d/empty", "/mnt/link")
        with mounts.mount(mounts.file("/mnt/link", "fake")) as mounted:
            assert Path("/mnt/d/empty").read_text() == "fake"
            assert mounted.created == []
        assert Path("/mnt/d/empty").read_text() == ""
        assert mounts.list() == before


@in_child
def test_acts_are_undone_in_the_namespace_that_they_were_done_in() -> None:
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        Path("/mnt/outside").touch()
        with unshare("mnt"):
            mounted = mounts.mount(mounts.tmpfs("/mnt"))
        with pytest.raises(RuntimeError, match="another mount namespace"):
            mounted.close()
        assert os.listdir("/mnt") == ["outside"]  # not unmounted in its place


@in_child
def test_acts_undo_on_an_old_kernel() -> None:
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt"), mounts.tmpfs("/mnt/nosuid", nosuid=True, nodev=True)]):
        os.mkdir("/mnt/to")
        Path("/mnt/nosuid/x").touch()
        os.chmod("/mnt/nosuid/x", 0o755)
        refuse(428, 429, 430, 442)
        before = mounts.list()
        with mounts.mount(mounts.overlay("/mnt/to", "/etc")):  # with a tmpfs below it there
            assert "passwd" in os.listdir("/mnt/to")
        assert mounts.list() == before
        with mounts.mount(mounts.bind("/mnt/nosuid", "/mnt/to", recursive=False, read_only=True)):
            row = mounts.list()[-1]
            assert {"ro", "nosuid", "nodev"} <= set(row.options)  # what was there is not cleared by the remount
        with pytest.raises(OSError, match=r"mount_setattr\(2\)"):
            mounts.mount(mounts.bind("/etc", "/mnt/to", read_only=True))
        assert mounts.list() == before
        os.mkdir("/mnt/closed", 0o700)
        with unshare("mnt", mounts=[mounts.overlay("/mnt/to", "/mnt/closed")]):
            assert os.stat("/mnt/to").st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [428, 429, 430, 431, 432, 442, 437, 452])
@in_pid_child
def test_dev_proc_and_roots_without_a_modern_call(number: int) -> None:
    refuse(number)
    values = [mounts.dev("/mnt/dev"), mounts.proc("/mnt/proc"), mounts.overlay("/mnt/o", ["/etc", "/usr"])]
    with unshare("mnt", "pid", mounts=[mounts.tmpfs("/mnt"), *values]):
        Path("/mnt/dev/null").write_text("x")
        with open("/mnt/dev/zero", "rb") as zero:
            assert zero.read(2) == b"\0\0"
        assert "1" in os.listdir("/mnt/proc")
        assert {"share", "passwd"} <= set(os.listdir("/mnt/o"))
        Path("/mnt/o/new").touch()


@in_child
def test_no_descriptor_is_lost_by_what_fails() -> None:
    values: list[Any] = [
        mounts.tmpfs("/no/such"),
        mounts.bind("/no/such", "/mnt"),
        mounts.bind("/etc/passwd", "/mnt"),
        mounts.overlay("/mnt", ["/usr", "/no/such"]),
        mounts.overlay("/mnt", "/usr", upper="/no/upper", work="/no/work"),
        mounts.file("/mnt", "x"),
        mounts.mask("/no/such"),
        mounts.dev("/no/such"),
    ]
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        before, there = os.listdir("/proc/thread-self/fd"), mounts.list()
        for value in values:
            with pytest.raises(OSError):
                mounts.mount(value)
        for number in (428, 429, 430, 431, 432, 437, 442):
            pid = os.fork()
            if pid == 0:
                refuse(number)
                for value in values:
                    try:
                        mounts.mount(value)
                    except OSError:
                        continue
                    os._exit(1)
                os._exit(0 if os.listdir("/proc/thread-self/fd") == before and mounts.list() == there else 2)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, number
        assert os.listdir("/proc/thread-self/fd") == before
        assert mounts.list() == there
        assert os.listdir("/mnt") == []


@in_child
def test_other_threads_keep_their_root() -> None:
    seen: list[list[str]] = []
    go, done = threading.Event(), threading.Event()

    def look() -> None:
        go.wait(30)
        seen.append(sorted(os.listdir("/")))
        done.set()

    thread = threading.Thread(target=look)
    before = sorted(os.listdir("/"))
    thread.start()
    with unshare("mnt", root=mounts.empty(), mounts=[mounts.bind("/usr")]):
        assert os.listdir("/") == ["usr"]
        go.set()
        assert done.wait(30)
    thread.join()
    assert seen == [before] == [sorted(os.listdir("/"))]


def test_functions_in_a_root_without_a_standard_library() -> None:
    """What the child needs of it is imported before; tried in an interpreter that has imported little."""
    code = """if True:
        import os, sys
        from pynamespaces import Isolation, mounts
        box = Isolation(*sys.argv[1:], "mnt", root=mounts.empty(), mounts=[mounts.file("/x y", "")])
        assert box.call(os.listdir, "/") == ["x y"]
        with box.executor() as pool:
            assert pool.submit(os.listdir, "/").result() == ["x y"]
        with Isolation(*sys.argv[1:], "mnt", "pid", root=mounts.empty()).executor() as pool:
            assert pool.submit(os.listdir, "/").result() == ["proc"]
        try:
            box.call(os.listdir, "/no/such")
        except FileNotFoundError:
            pass
        try:
            box.replace(mounts=[mounts.file("/x y", ""), mounts.bind("/no/such", "/x y")]).call(os.getpid)
        except FileNotFoundError as error:
            assert "the source" in str(error), error
        try:
            box.replace(mounts=[mounts.tmpfs("/a b"), mounts.sysfs()]).call(os.getpid)
        except PermissionError as error:
            assert "net" in str(error), error
    """
    done = subprocess.run([sys.executable, "-c", code, *USER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ---- propagation, as mount_namespaces(7) has it ----


@in_child
def test_propagation_to_a_process_that_is_a_peer() -> None:
    """Shared, slave, private, unbindable between two processes, each with its own mount namespace."""
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")], propagation=None):
        for name in ("a", "b", "copy"):
            os.mkdir(f"/mnt/{name}")
        mounts.propagate("/mnt", mounts.Propagation.SHARED, recursive=True)
        for how, comes_in, goes_out in ((None, True, True), ("slave", True, False), ("private", False, False)):
            with Isolation("mnt", propagation=how).executor() as pool:
                pool.submit(os.getpid).result()
                mounts.mount(mounts.tmpfs("/mnt/a"))
                assert pool.submit(os.path.ismount, "/mnt/a").result() is comes_in, how
                pool.submit(_mount_tmpfs, "/mnt/b").result()
                assert os.path.ismount("/mnt/b") is goes_out, how
                row = pool.submit(_row, "/mnt").result()
                assert (row.peers is not None, row.master is not None) == (goes_out, how == "slave")
                mounts.unmount("/mnt/a")
                assert pool.submit(os.path.ismount, "/mnt/a").result() is False, how
                if goes_out:
                    mounts.unmount("/mnt/b")
        # Unbindable: no bind of it, and a recursive one leaves it out.
        with mounts.mount(mounts.tmpfs("/mnt/a")):
            mounts.propagate("/mnt/a", "unbindable")
            with pytest.raises(NamespaceError) as error:
                mounts.mount(mounts.bind("/mnt/a", "/mnt/copy", recursive=False))
            assert error.value.errno == errno.EINVAL
            with mounts.mount(mounts.bind("/mnt", "/mnt/copy")):
                assert os.path.isdir("/mnt/copy/a")
                assert not os.path.ismount("/mnt/copy/a")
        # A change with recursive=True reaches what is mounted below.
        with mounts.mount(mounts.tmpfs("/mnt/b")):
            mounts.propagate("/mnt", "private", recursive=True)
            assert {row.propagation for row in mounts.list() if row.target.startswith("/mnt")} == {
                mounts.Propagation.PRIVATE
            }
        with pytest.raises(NamespaceError):
            mounts.propagate("/mnt/b", "slave")  # no mount point


def _mount_tmpfs(path: str) -> None:
    mounts.mount(mounts.tmpfs(path))


def _row(path: str) -> mounts.Listed:
    return next(row for row in mounts.list() if row.target == path)


# ---- seen from inside, unseen from outside ----


@in_child
def test_idmapped_bind_of_ones_own_tmpfs() -> None:
    """Root of a user namespace may map the file systems that it mounted itself."""
    box = Isolation("user", "mnt", ids=IdMap([(5, 0, 1)], [(5, 0, 1)]))
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        os.mkdir("/mnt/from")
        os.mkdir("/mnt/to")
        Path("/mnt/from/x").touch()
        with box.Popen(["/bin/sleep", "60"]) as process:
            with Namespace.of(process, "user") as namespace:
                value = mounts.bind("/mnt/from", "/mnt/to", idmap=namespace)
                assert "idmap=" in repr(value)
                raised = None
                try:
                    with mounts.mount(value):
                        shown = os.stat("/mnt/to/x").st_uid
                except NotPermitted as error:
                    raised = error
            process.kill()
    assert raised is None, raised
    assert shown == 65534  # 0 there is 5 in that namespace, which is nobody's in ours


@in_child
def test_a_carriage_return_in_a_name_is_no_line() -> None:
    """The kernel escapes no carriage return: a name could pass for a mount of its own."""
    name = "/mnt/a\r1 2 0:3 / /forged rw - tmpfs x rw"
    with unshare("mnt", mounts=[mounts.tmpfs("/mnt")]):
        os.makedirs(name)
        with mounts.mount(mounts.tmpfs(name)):
            targets = [row.target for row in mounts.list()]
            assert name in targets
            assert "/forged" not in targets
            assert name in [target for target, _ in procfs.mount_points()]
        with pytest.raises(NamespaceError, match="no mount point"):
            mounts.unmount(name)


def test_a_throw_away_root_says_all_that_was_changed(tmp_path: Path) -> None:
    upper, home = tmp_path / "upper", tmp_path / "home"
    for directory in (upper, home / "was/deep", home / "gone", home / "mode"):
        directory.mkdir(parents=True)
    for name in ("was/x", "was/y", "gone/z", "touched"):
        (home / name).write_text(name)
    said = sh(
        f"cd {home}; rm -r was; mkdir was; echo x > was/new; rm -r gone; chmod 711 mode; echo more >> touched; "
        f"mkdir -p new/a; touch new/a/b; ln -s touched link; touch /made-in-root; ls {upper} 2>&1",
        root=mounts.throw_away("/", upper=upper),
    )
    assert "No such file" in said  # the upper directory is not in the copy
    found = {str(change) for change in mounts.changes(upper) if change.path.startswith((str(home), "/made"))}
    assert found >= {
        f"- {home}/was/x", f"- {home}/was/y", f"+ {home}/was/new", f"- {home}/gone", f"+ {home}/mode",
        f"+ {home}/touched", f"+ {home}/new", f"+ {home}/new/a", f"+ {home}/new/a/b", f"+ {home}/link",
        "+ /made-in-root",
    }  # fmt: skip
    assert not os.path.exists("/made-in-root")
    assert (home / "was/x").read_text() == "was/x"


@pytest.mark.skipif(not IS_ROOT, reason="who owns the root's files is for the machine's root to see")
def test_a_throw_away_root_of_roots_own_is_one_overlay() -> None:
    """Nothing is locked for it: owners and modes stay as they are, also in the root directory itself."""
    assert sum("overlay" in str(step) for step in mounts.throw_away().steps(locked=False)) >= 1
    said = sh("stat -c '%u %g %a' /etc/shadow /etc; ls /", root=mounts.throw_away())
    real = subprocess.run(
        ["/bin/sh", "-c", "stat -c '%u %g %a' /etc/shadow /etc; ls /"], capture_output=True, text=True, check=True
    )
    assert said == real.stdout.strip()
