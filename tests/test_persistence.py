"""Kept and rejoined: whole or absent, one winner, both ways with iproute2 and util-linux, keepers where mounts end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import pynamespaces as ns
from conftest import IS_ROOT, drop_to_user, in_child, in_pid_child, in_plain_child, links, need
from pynamespaces import Kind, Namespace, NamespaceSet, enter, forget, handles, keeper, mounts, rejoin, saved, unshare


def names() -> list[str]:
    return [row.name for row in saved()]


@in_pid_child
def test_kept_rejoined_forgotten(store: Path) -> None:
    before = links()
    with unshare("uts", "net", "ipc", hostname="kept") as inside:
        inside.persist("web")
        assert names() == ["web"]
    assert [(row.name, row.kinds, row.alive) for row in saved()] == [("web", Kind.UTS | Kind.NET | Kind.IPC, True)]
    assert saved()[0].path == str(store / "web")
    with rejoin("web") as there:
        assert there == inside
        assert os.uname().nodename == "kept"
    with enter("web", "uts") as there:
        assert there.kinds == Kind.UTS
    with NamespaceSet.at("web") as opened, NamespaceSet.at(store / "web") as by_path:
        assert opened == inside == by_path
    forget("web")
    forget("web")
    assert names() == []
    assert list(store.iterdir()) == []
    with pytest.raises(FileNotFoundError), rejoin("web"):
        pytest.fail("entered what was forgotten")
    inside.close()
    assert links() == before


@pytest.mark.parametrize("kind", ["mnt", "uts", "ipc", "net", "pid", "cgroup", "time"])
@in_pid_child
def test_every_kind_outlives_its_processes(store: Path, kind: str) -> None:
    with unshare(kind) as inside:
        inside.persist("one")
    with rejoin("one") as there:
        assert there == inside
        name = {"pid": "pid_for_children", "time": "time_for_children"}.get(kind, kind)
        with Namespace.current(kind, for_children=True) as here:
            assert here == inside[kind], name
    assert saved()[0].alive
    forget("one")
    inside.close()


@in_child
def test_a_mnt_namespace_lives_on_with_its_tmpfs(store: Path) -> None:
    with unshare("mnt") as inside:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
        Path("/mnt/letter").write_text("hello")
        inside.persist("room")
    inside.close()
    assert not Path("/mnt/letter").exists()
    with rejoin("room"):
        assert Path("/mnt/letter").read_text() == "hello"
    forget("room")


@in_child
def test_a_mnt_namespace_is_kept_below_a_shared_mount(store: Path) -> None:
    store.mkdir()
    subprocess.run(["mount", "--bind", store, store], check=True)
    subprocess.run(["mount", "--make-shared", store], check=True)
    with unshare("mnt", propagation="shared") as inside:
        inside.persist("room")
    with rejoin("room") as there:
        assert there == inside
    forget("room")
    assert list(store.iterdir()) == []
    inside.close()
    subprocess.run(["umount", store], check=True)


@in_child
def test_a_name_that_is_taken(store: Path) -> None:
    with unshare("uts") as inside, inside.persisted("a") as same:
        assert same is inside
        with pytest.raises(FileExistsError) as caught:
            inside.persist("a")
        assert isinstance(caught.value, ns.NamespaceError)
        assert names() == ["a"]
    assert names() == []
    inside.close()


@in_child
def test_two_processes_race_for_one_name(store: Path) -> None:
    with unshare("uts", "ipc") as inside:
        for _ in range(10):
            pids = []
            for _ in range(4):
                pid = os.fork()
                if pid == 0:
                    try:
                        inside.persist("race")
                        os._exit(0)
                    except FileExistsError:
                        os._exit(1)
                    except BaseException:
                        os._exit(2)
                pids.append(pid)
            codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
            assert codes == [0, 1, 1, 1]
            forget("race")
    inside.close()


@in_child
def test_killed_at_any_instant_a_name_is_whole_or_absent(store: Path) -> None:
    with unshare("uts", "ipc", "net", "mnt") as inside:
        pass
    for delay in range(60):
        pid = os.fork()
        if pid == 0:
            for number in range(1000):
                inside.persist(f"x{number}")
                forget(f"x{number}")
            os._exit(0)
        time.sleep(0.001 + delay / 20000)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for row in saved():
            assert row.alive
            assert row.kinds == inside.kinds
            with NamespaceSet.at(row.name) as found:
                assert found == inside
            forget(row.name)
        inside.persist("afterwards")
        forget("afterwards")
    assert all(left.is_dir() and not any(left.iterdir()) for left in store.iterdir()), "at most an empty directory"
    inside.close()


@pytest.mark.parametrize("bad", ["", ".", "..", ".hidden", "a\0b", "a\nb", "x" * 300])
def test_bad_names(store: Path, bad: str) -> None:
    with NamespaceSet.current("uts") as here:
        for call in (forget, NamespaceSet.at, here.persist, here["uts"].persist):
            with pytest.raises(ValueError, match="name"):
                call(bad)
    assert not store.exists()


def test_names_of_the_wrong_type(store: Path) -> None:
    for bad in (3, None, b"x"):
        with pytest.raises(TypeError):
            forget(bad)
    assert not store.exists()


@in_child
def test_stale_entries_are_recognised(store: Path) -> None:
    (store / "stale").mkdir(parents=True)
    (store / "stale" / "net").touch()
    (store / "file").touch()
    (store / "empty").mkdir()
    assert {row.name: row.alive for row in saved()} == {"stale": False, "file": False}
    with pytest.raises(ns.Stale, match="plain file") as caught, rejoin("stale"):
        pytest.fail("entered a plain file")
    assert "forget" in str(caught.value)
    with pytest.raises(ns.NamespaceError, match="not a namespace"), rejoin("file"):
        pytest.fail("entered a plain file")
    with pytest.raises(FileNotFoundError), rejoin("empty"):
        pytest.fail("entered an empty directory")
    with unshare("uts") as inside, inside.persisted("empty"):
        assert [row.name for row in saved() if row.alive] == ["empty"]
    for name in ("stale", "file", "empty"):
        forget(name)
    assert list(store.iterdir()) == []
    inside.close()


@in_child
def test_forget_removes_nothing_that_was_not_persisted(tmp_path: Path, store: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "work").write_text("of years")
    (tmp_path / "file").write_text("too")
    (precious / "net").write_text("not empty")
    for path in (precious, tmp_path / "file"):
        with pytest.raises(ns.NotANamespace):
            forget(path)
    assert (precious / "work").read_text() == "of years"
    assert (tmp_path / "file").read_text() == "too"
    (precious / "work").unlink()
    with pytest.raises(ns.NotANamespace):
        forget(precious)
    (tmp_path / ".hidden").touch()
    (tmp_path / ".empty").mkdir()
    with unshare("uts") as inside, inside.persisted(tmp_path / "kept"):
        pass
    inside.close()
    forget(tmp_path / "kept")
    assert sorted(os.listdir(tmp_path)) == [".empty", ".hidden", "file", "precious"]
    assert (precious / "net").read_text() == "not empty"


@in_child
def test_any_path_will_do(tmp_path: Path) -> None:
    with unshare("uts", "net") as inside:
        inside.persist(tmp_path / "here")
        inside["uts"].persist(tmp_path / "file")
        with pytest.raises(FileExistsError):
            inside["uts"].persist(tmp_path / "file")
    with NamespaceSet.at(tmp_path / "here") as found:
        assert found == inside
    with rejoin(f"{tmp_path}/file") as there:
        assert there["uts"] == inside["uts"]
    forget(tmp_path / "here")
    forget(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
    inside.close()


@in_child
def test_from_inside_a_mnt_block_it_acts_where_the_thread_began(tmp_path: Path, store: Path) -> None:
    os.chdir(tmp_path)
    with unshare("mnt", "uts", hostname="deep") as outer:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)
        with unshare("mnt") as inner:
            os.chdir("/usr")
            outer.persist("deep")
            assert names() == ["deep"]
            assert os.getcwd() == "/usr"
            with Namespace.current("mnt") as here:
                assert here == inner["mnt"]
            with rejoin("deep", "uts"):
                assert os.uname().nodename == "deep"
        assert not (tmp_path / "store").exists(), "hidden by the block's own tmpfs"
    assert os.listdir(store) == ["deep"]
    forget("deep")
    os.chdir("/")
    outer.close()
    inner.close()


@in_pid_child
def test_processes_in_a_kept_pid_namespace_live_on(store: Path) -> None:
    with unshare("pid", "mnt") as inside:
        daemon = subprocess.Popen(["sleep", "500"])
        inside.persist("alive")
    assert daemon.poll() is None
    assert saved()[0].alive
    with rejoin("alive"):
        assert "sleep 500" in subprocess.run(["ps", "ax"], capture_output=True, text=True, check=True).stdout
    with NamespaceSet.at("alive") as again, again.persisted("second name"):
        pass
    assert daemon.poll() is None, "kept once more, and once still"
    forget("alive")
    assert daemon.wait(5) == -9
    inside.close()


@in_pid_child
def test_forgotten_inside_the_block_the_block_goes_on(store: Path) -> None:
    with unshare("pid") as inside:
        with inside.persisted("for a while"):
            pass
        assert subprocess.run(["true"], check=False).returncode == 0
    inside.close()


@in_child
def test_a_read_only_store_and_a_full_table(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path], check=True)
    with unshare("uts") as inside:
        with pytest.raises(OSError) as caught:
            inside.persist("x", store=tmp_path / "store")
        assert caught.value.errno == 30
        assert "store" in str(caught.value)
    subprocess.run(["umount", tmp_path], check=True)
    inside.close()


@in_child
def test_an_empty_set_and_a_closed_one(store: Path) -> None:
    with pytest.raises(ValueError, match="empty"):
        NamespaceSet().persist("x")
    with unshare("uts") as inside:
        pass
    inside.close()
    with pytest.raises(ValueError, match="closed"):
        inside.persist("x")
    assert not store.exists()


@in_child
def test_iproute2_sees_enters_and_deletes_ours_and_we_enter_its() -> None:
    ip = need("ip")
    if not IS_ROOT:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    else:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)

    def run(*argv: str) -> str:
        return subprocess.run([ip, *argv], check=True, capture_output=True, text=True).stdout

    with unshare("net") as inside:
        inside["net"].persist("/run/netns/blue")
    assert "blue" in run("netns", "list")
    assert "LOOPBACK,UP" in run("netns", "exec", "blue", ip, "link", "show", "lo")
    with pytest.raises(FileExistsError):
        inside["net"].persist("/run/netns/blue")
    run("netns", "del", "blue")
    assert not Path("/run/netns/blue").exists()
    run("netns", "add", "green")
    with enter("/run/netns/green") as there:
        assert there.kinds == Kind.NET
        assert "127.0.0.1" not in run("-brief", "address")
    forget("/run/netns/green")
    assert run("netns", "list") == ""
    before = os.listdir("/run/netns")
    with pytest.raises(FileNotFoundError), enter("/run/netns/typo"):
        pytest.fail("entered a typo")
    assert os.listdir("/run/netns") == before
    there.close()
    inside.close()
    subprocess.run(["umount", "-R", "-l", "/run"], check=True)


@in_child
def test_nsenter_enters_ours_and_we_enter_what_unshare_kept(tmp_path: Path) -> None:
    nsenter, unshare_ = need("nsenter"), need("unshare")
    if not IS_ROOT:
        pytest.skip("an ordinary user's are held by a keeper: there is no file for nsenter to open")
    with unshare("uts", "net", hostname="ours") as inside:
        inside.persist(tmp_path / "kept")
    said = subprocess.run(
        [nsenter, f"--uts={tmp_path}/kept/uts", f"--net={tmp_path}/kept/net", "uname", "-n"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said == "ours\n"
    forget(tmp_path / "kept")
    theirs = tmp_path / "theirs"
    theirs.touch()
    subprocess.run([unshare_, f"--uts={theirs}", "hostname", "theirs"], check=True)
    with enter(theirs):
        assert os.uname().nodename == "theirs"
    forget(theirs)
    inside.close()


@in_plain_child
def test_an_ordinary_user_s_are_held_by_a_keeper(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:-1]:
        if IS_ROOT and parent.stat().st_uid == 0 and parent != Path("/tmp"):
            parent.chmod(0o755)
    drop_to_user()
    where = tmp_path / "store"
    child = subprocess.Popen(["unshare", "--user", "--net", "--uts", "--map-root-user", "sleep", "60"])
    for _ in range(500):
        with NamespaceSet.of(child) as theirs, NamespaceSet.current() as here:
            if "uts" in theirs.differences(here):
                break
        time.sleep(0.01)
    inside = NamespaceSet.of(child, "user", "net", "uts")
    inside.persist("mine", store=where)
    child.kill()
    child.wait()
    [row] = saved(store=where)
    assert (row.name, row.kinds, row.alive) == ("mine", inside.kinds, True)
    with pytest.raises(ns.NamespaceError, match=r"run\(...\)"), rejoin("mine", store=where):
        pytest.fail("entered")
    with pytest.raises(PermissionError, match=r"NamespaceSet.at\(name\).run"), rejoin("mine", "net", store=where):
        pytest.fail("entered")
    with NamespaceSet.at(where / "mine") as kept:
        assert kept.run(["id", "-u"], capture_output=True, text=True).stdout == "0\n"
        assert kept.call(os.getuid) == 0
    keeper = subprocess.run(
        ["pgrep", "-u", str(os.getuid()), "-f", "^pynamespaces-keeper"], capture_output=True, text=True, check=True
    ).stdout.split()
    resident = Path(f"/proc/{keeper[-1]}/status").read_text()
    assert int(resident.split("VmRSS:")[1].split()[0]) < 200
    forget("mine", store=where)
    assert saved(store=where) == []
    # A keeper that was killed is reported, not waited for.
    inside.persist("killed", store=where)
    found = subprocess.run(
        ["pgrep", "-n", "-u", str(os.getuid()), "-f", "^pynamespaces-keeper"],
        capture_output=True,
        text=True,
        check=True,
    )
    os.kill(int(found.stdout), signal.SIGKILL)
    for _ in range(500):
        if not any(row.alive for row in saved(store=where)):
            break
        time.sleep(0.01)
    assert [(row.name, row.alive) for row in saved(store=where)] == [("killed", False)]
    with pytest.raises(ns.Stale, match="keeper has ended"), rejoin("killed", store=where):
        pytest.fail("entered")
    forget("killed", store=where)
    assert saved(store=where) == []
    inside.close()


@in_child
def test_what_a_keeper_sends_is_not_inherited(store: Path) -> None:
    """Descriptors that come over a socket are close-on-exec from the first instant on."""
    with unshare("uts", "mnt") as inside:
        directory = os.open(store.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            keeper.start(directory, "keeper", [inside["uts"].fileno(), inside["mnt"].fileno()])
            fds = keeper.fetch(directory, "keeper") or []
            assert [os.get_inheritable(fd) for fd in fds] == [False, False]
            for fd in fds:
                os.close(fd)
            # One of them is no namespace: none is left open.
            null = os.open("/dev/null", os.O_RDONLY)
            spare = os.dup(inside["uts"].fileno())
            with pytest.raises(ns.NotANamespace):
                handles.from_fds([null, spare], "x")
            for fd in (null, spare):
                with pytest.raises(OSError, match="Bad file descriptor"):
                    os.fstat(fd)
        finally:
            keeper.end(directory, "keeper")
            os.close(directory)


@in_child
def test_a_store_in_tmp_is_no_link_of_somebody_else() -> None:
    with mounts.mount(mounts.tmpfs("/tmp", mode=0o1777)):
        os.mkdir("/tmp/elsewhere")
        os.symlink("/tmp/elsewhere", "/tmp/pynamespaces-7")
        with unshare("uts") as inside, pytest.raises(OSError) as error:
            inside.persist("web", store="/tmp/pynamespaces-7")
        assert error.value.errno in (errno.ELOOP, errno.ENOTDIR)
        assert os.listdir("/tmp/elsewhere") == []
