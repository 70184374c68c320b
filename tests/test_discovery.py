"""The census: against lsns, against what was made on purpose, and while everything moves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import IS_ROOT, drop_to_user, in_child, in_plain_child, need, needs_root, refuse, refuse_ioctls
from pynamespaces import (
    Census,
    Found,
    IdMap,
    Isolation,
    Kind,
    Namespace,
    NamespaceId,
    NamespaceSet,
    can,
    capabilities,
    discover,
    forget,
    kinds,
    mounts,
    plan,
    unshare,
)
from pynamespaces._kernel import sched
from pynamespaces.discovery import sources

LISTMOUNT, LISTNS, PIDFD_GETFD = 458, 470, 438
NS_GET_MNTNS_ID, NS_MNT_GET_NEXT, NS_MNT_GET_PREV, NS_GET_ID = 0x8008B705, 0x8010B70B, 0x8010B70C, 0x8008B70D
SLEEP = ["sleep", "60"]


def in_room(test: Callable[..., Any]) -> Callable[[], None]:
    """Run a test in a pid namespace with a proc of its own, so that nothing else on the machine is in sight."""

    def wrapper() -> None:
        # An ordinary user can come back from blocks of the kinds that are new here.
        base = () if IS_ROOT else ("user", "uts", "ipc", "net", "cgroup")
        box = Isolation(*base, "pid", "mnt", mounts=[mounts.tmpfs("/mnt")])
        box.apply(test, timeout=600)

    wrapper.__name__, wrapper.__doc__ = test.__name__, test.__doc__
    return wrapper


@contextmanager
def processes(*boxes: Isolation, argv: list[str] | None = None) -> Iterator[list[int]]:
    """A sleeping command in each place."""
    with ExitStack() as stack:
        started = []
        for box in boxes:
            process = stack.enter_context(box.Popen(argv or SLEEP))
            stack.callback(process.kill)
            started.append(process.pid)
        yield started


@contextmanager
def in_thread(act: Callable[[], Any]) -> Iterator[int]:
    """A thread that has done something, and stays; its id."""
    ready, end, tids = threading.Event(), threading.Event(), []

    def run() -> None:
        act()
        tids.append(threading.get_native_id())
        ready.set()
        end.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield tids[0]
    finally:
        end.set()
        thread.join()


@contextmanager
def forked(act: Callable[[], Any]) -> Iterator[int]:
    """A child that has done something, and stays."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            act()
            os.write(writer, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    said = os.read(reader, 1)
    os.close(reader)
    try:
        assert said == b"x"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def part(*names: str) -> None:
    assert plan.do(plan.unshare(kinds.parse(*names))) >= 0


def inode(link: str) -> int:
    return os.stat(link).st_ino


def lsns(*options: str) -> Any:
    done = subprocess.run([need("lsns"), "-J", *options], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["namespaces"]


# ---- what lsns finds, and what it does not ----


@in_room
def test_everything_that_lsns_lists_with_the_same_members() -> None:
    many = [Isolation("uts", "ipc", "cgroup", "mnt", proc=False, loopback=False) for _ in range(40)]
    more = [Isolation("user", "net", "time", "uts") for _ in range(12)]
    deep = [Isolation("user", "pid", "mnt", "ipc") for _ in range(8)]
    with processes(*many, *more, *deep) as pids, processes(Isolation("net")), unshare("net") as fresh:
        fresh["net"].persist("/mnt/net")
        census = discover()
        assert len(census) > 240
        listed = lsns("-o", "NS,TYPE,NPROCS,PID")
        assert len(listed) > 240
        us = os.getpid()
        for line in listed:
            row = census[line["type"], int(line["ns"])]
            # lsns itself is one more, wherever we are.
            assert int(line["nprocs"] or 0) == row.nprocs + (us in row.processes), line
            if row.nprocs:
                assert int(line["pid"]) == min(row.processes)
        for row in [census[Kind.UTS, inode(f"/proc/{pid}/ns/uts")] for pid in pids[::9]]:
            members = lsns_members(row.id.ino)
            assert members >= set(row.processes)
            assert len(members) == row.nprocs + (us in row.processes)
        fresh.close()


def lsns_members(ns: int) -> set[int]:
    done = subprocess.run(["lsns", "-n", "-r", "-o", "PID", str(ns)], check=True, capture_output=True, text=True)
    return {int(word) for word in done.stdout.split()}


@in_room
def test_what_lsns_misses() -> None:
    found: dict[str, tuple[str, int]] = {}
    with ExitStack() as stack:
        future = stack.enter_context(forked(lambda: part("time")))
        found["for_children"] = ("time", inode(f"/proc/{future}/ns/time_for_children"))

        tid = stack.enter_context(in_thread(lambda: part("uts")))
        found["threads"] = ("uts", inode(f"/proc/{tid}/ns/uts"))

        with unshare("ipc") as held:
            pass
        stack.enter_context(held)
        found["fds"] = ("ipc", held["ipc"].id.ino)

        with unshare("net") as lonely:
            sock = stack.enter_context(socket.socket())
            found["sockets"] = ("net", lonely["net"].id.ino)
        lonely.close()

        with unshare("uts") as bound:
            bound["uts"].persist("/mnt/uts")
            found["binds"] = ("uts", bound["uts"].id.ino)
        bound.close()

        pool = stack.enter_context(Isolation("mnt").executor())
        elsewhere, mnt = pool.submit(_bind_elsewhere).result()

        [middle] = stack.enter_context(
            processes(Isolation("user"), argv=["unshare", "-Ur", "unshare", "-U", "sleep", "60"])
        )
        _until(lambda: Path(f"/proc/{middle}/comm").read_text() == "sleep\n")

        census = discover()
        listed = {(line["type"], int(line["ns"])) for line in lsns("-o", "NS,TYPE")}
        for sort, key in found.items():
            row = census[key]
            assert set(row.holders) == {sort}, (sort, row)
            assert sort in ("binds", "fds") or key not in listed, sort
            assert row.serial and row.owner and row.owner_uid == 0
        assert census[found["threads"]].threads == (tid,)
        assert census[found["for_children"]].for_children == (future,)
        assert (os.getpid(), held["ipc"].fileno()) in census[found["fds"]].fds
        assert (os.getpid(), sock.fileno()) in census[found["sockets"]].sockets
        assert set(census[found["binds"]].paths) == {"/mnt/uts"}

        row = census["uts", elsewhere]
        assert row.binds and {bind.mnt.ino for bind in row.binds} == {mnt}
        assert row.serial is not None
        assert ("uts", elsewhere) not in listed

        lowest = census["user", inode(f"/proc/{middle}/ns/user")]
        assert lowest.parent is not None
        hidden = census["user", lowest.parent]
        assert hidden.holders == {}
        assert hidden.parent and census["user", hidden.parent].nprocs == 0  # the one that Isolation made
        for row in census:
            if row.links:
                with row.open() as opened:
                    assert opened.id == row.id, row


def _bind_elsewhere() -> tuple[int, int]:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
    with unshare("uts") as inside:
        inside["uts"].persist("/mnt/elsewhere")
        found = inside["uts"].id.ino
    inside.close()
    return found, inode("/proc/thread-self/ns/mnt")


def _until(test: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end
        time.sleep(0.005)


@in_room
def test_a_mnt_namespace_that_only_a_descriptor_holds_is_looked_into() -> None:
    with unshare("mnt") as inside, unshare("uts") as kept:
        bind = "touch /mnt/uts && mount --bind /proc/self/ns/uts /mnt/uts"
        subprocess.run(["sh", "-c", bind], check=True)
    with inside, kept:
        key = kept["uts"].id
        mnt = inside["mnt"]
        kept.close()
        row = discover()["uts", key]
        assert [(bind.path, bind.mnt) for bind in row.binds] == [("/mnt/uts", mnt.id)]


@in_room
def test_a_process_out_of_sight_is_found_by_its_pidfd() -> None:
    with processes(Isolation("uts")) as [pid]:
        held = os.pidfd_open(pid)
        where = inode(f"/proc/{pid}/ns/uts")

        def look() -> tuple[tuple[tuple[int, int], ...], int]:
            row = discover().get(("uts", where))
            return (row.pidfds, os.getpid()) if row else ((), 0)

        pidfds, us = Isolation("pid", "mnt").apply(look, timeout=60)
        os.close(held)
        assert (us, held) in pidfds


# ---- names ----


@in_child
def test_names_of_the_store_and_of_ip_netns(store: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    with unshare("net", "uts") as inside:
        inside.persist("web")
        inside["net"].persist("/run/netns/blue")
        rows = discover(["net", "uts"])
        assert rows["net", inside["net"].id].names == ("blue", "web")
        assert rows[inside["uts"]].names == ("web",)
        assert [row.kind for row in rows.where(name="web")] == [Kind.UTS, Kind.NET]
        forget("web")
        for path in ("/run/netns/blue", "/run/netns", "/run"):
            subprocess.run(["umount", path], check=True)


@in_plain_child
def test_the_name_of_what_a_keeper_holds() -> None:
    os.environ["PYNAMESPACES_STORE"] = f"/tmp/pynamespaces-census-{os.getpid()}"

    drop_to_user()
    with Isolation("user", "net").Popen(SLEEP) as process, NamespaceSet.of(process, "user", "net") as inside:
        inside.persist("kept")
        process.kill()
        process.wait()
        row = discover("net")[inside["net"]]
        assert row.names == ("kept",)
        assert row.holders
        forget("kept")
    os.rmdir(os.environ["PYNAMESPACES_STORE"])


# ---- everything moves ----


def storm(seconds: float, *, new: bool) -> None:
    """Processes and threads by the thousand, each for a moment; in a new uts namespace each, where asked."""
    signal.alarm(int(seconds) + 30)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pids = []
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                try:
                    if new:
                        part("uts")
                    if os.fork() == 0:
                        os._exit(0)
                    for _ in range(3):
                        threading.Thread(target=int).start()
                finally:
                    os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)


@pytest.mark.parametrize("new", [False, True], ids=["same", "new"])
def test_a_storm_of_short_lived_processes(new: bool) -> None:
    scans = int(os.environ.get("PYNAMESPACES_SCANS", "25"))

    def inside() -> None:
        with processes(*[Isolation("uts", "ipc")] * 5, Isolation("user", "net")) as steady:
            before = discover()
            children = [os.fork() for _ in range(1)]
            if children == [0]:
                storm(2 + scans * 0.2, new=new)
                os._exit(0)
            for _ in range(scans):
                census = discover()
                for row in before:
                    after = census[row.kind, row.id]
                    assert after.serial == row.serial
                    assert set(steady) & set(row.processes) == set(steady) & set(after.processes)
                invented = {row.id for row in census} - {row.id for row in before}
                assert not invented or (new and {census[key].kind for key in invented} == {Kind.UTS})
            os.kill(children[0], signal.SIGKILL)
            os.waitpid(children[0], 0)

    in_room(inside)()


@in_room
def test_zombies_and_a_process_whose_first_thread_has_ended() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    code = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); print(flush=True);"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as headless:
        assert headless.stdout
        headless.stdout.readline()
        _until(lambda: "State:\tZ" in Path(f"/proc/{headless.pid}/status").read_text())
        census = discover()
        assert census.processes[pid].state == "Z"
        assert census.processes[pid].command.startswith("[")
        us = census[Namespace.current("uts")]
        [thread] = us.threads
        assert pid not in us.processes
        assert thread in census.processes
        assert us in census.holding(thread)
        headless.kill()
    os.waitpid(pid, 0)


@in_plain_child
def test_no_thread_and_no_descriptor_stays() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(30):
        discover(sources=["processes", "fds"])
        assert sched.alone()
    discover()
    assert sorted(os.listdir("/proc/self/fd")) == before


# ---- what may not be seen is said ----


@in_plain_child
def test_what_may_not_be_inspected_is_counted() -> None:

    drop_to_user()
    census = discover()
    told = {item.source: item.count for item in census.unseen}
    assert told["processes"], census.unseen
    assert "may not be inspected" in str(census.unseen[0])
    assert census[Namespace.current("net")].holders["processes"] >= 1


@needs_root
@in_room
def test_hidden_processes_are_said() -> None:

    subprocess.run(["mount", "-o", "remount,hidepid=2", "/proc"], check=True)
    assert not [item for item in discover().unseen if "hidepid" in str(item)]
    drop_to_user()
    [said] = [item for item in discover(sources=["processes"]).unseen if "hidepid" in str(item)]
    assert said.count is None
    assert "invisible" in str(said)


@in_room
def test_no_proc() -> None:
    with pytest.raises(FileNotFoundError, match="not mounted"):
        discover(proc="/no/such")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/proc"], check=True)
    assert discover(sources=["processes"]).rows == ()


# ---- older and newer kernels ----


@in_room
def test_the_same_where_the_kernel_has_less() -> None:
    where = "/mnt/kept dir"
    os.mkdir(where)
    with unshare("net") as inside:
        inside["net"].persist(f"{where}/net")
    inside.close()
    before = discover()
    assert [row.paths for row in before if row.binds] == [(f"{where}/net",)]
    refuse(LISTMOUNT, LISTNS, PIDFD_GETFD)
    _same_but_for_the_lost(before, discover())
    refuse_ioctls(NS_GET_MNTNS_ID, NS_MNT_GET_NEXT, NS_MNT_GET_PREV, NS_GET_ID)
    oldest = discover()
    _same_but_for_the_lost(before, oldest)
    assert all(row.serial is None for row in oldest)
    with Namespace.current("uts") as us, oldest[us].open() as opened:
        assert opened == us


def _same_but_for_the_lost(before: Census, after: Census) -> None:
    # Without pidfd_getfd(2) nobody out of sight is found by a pidfd, nor a net namespace by a socket.
    lost = {"pidfds", "sockets"}
    assert [(row.text, row.binds) for row in before if set(row.holders) - lost] == [
        (row.text, row.binds) for row in after if row.holders
    ]


def test_what_the_kernel_lists_itself() -> None:
    from pynamespaces._kernel import scan

    try:
        serials = scan.listns(row.flag for row in kinds.TABLE)
    except OSError as error:
        assert error.errno == 38  # before 6.19
        return
    assert {Namespace.current(row.kind).serial for row in kinds.TABLE} <= set(serials)


# ---- looking things up ----


def test_lookups() -> None:
    census = discover()
    with Namespace.current("net") as net:
        row = census[net]
        assert row is census[net.id] is census[net.id.ino] is census[f"net:[{net.id.ino}]"]
        assert row is census[Kind.NET, net.id] is census["net", net.id.ino]
        assert row.serial == net.serial
        assert net in census
        assert row in census
        assert ("uts", net.id.ino) not in census
        assert "nonsense" not in census
    with pytest.raises(KeyError, match="not in this census"):
        census[1]
    assert os.getpid() in row.processes
    assert row in census.holding(os.getpid())
    assert {row.kind for row in census.holding(os.getpid())} >= {row.kind for row in kinds.TABLE}
    assert census.of("net", "uts") == tuple(row for row in census if row.kind in Kind.NET | Kind.UTS)
    assert [row.kind for row in census.where(kinds="user")] == [Kind.USER] * len(census.of("user"))
    assert census.where(held_by="nothing").rows == tuple(row for row in census if not row.holders)
    order = [(str(row.kind), row.id.ino) for row in census]
    assert order == sorted(order, key=lambda key: ([r.name for r in kinds.TABLE].index(key[0]), key[1]))
    assert isinstance(row, Found)
    assert isinstance(census, Census)
    assert census.processes[os.getpid()].parent == os.getppid()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="expected one of mnt"):
        discover("nonsense")
    with pytest.raises(ValueError, match="unknown source 'x'"):
        discover(sources=["x"])
    with pytest.raises(ValueError, match="'owner', 'parent' or 'process'"):
        discover("user").tree("x")
    with pytest.raises(ValueError, match="not made by discover"):
        Census([], {}).refresh()


def test_only_some_kinds_and_sources() -> None:
    census = discover(["net", "uts"], sources=["processes"])
    assert {row.kind for row in census} == {Kind.NET, Kind.UTS}
    assert all(row.processes and row.leader in row.processes for row in census)
    assert all(not row.fds and not row.binds for row in census)
    with Namespace.current("net") as net:
        mine = discover("net", sources=["fds"])[net]
        assert (os.getpid(), net.fileno()) in mine.fds
        assert not mine.processes


@in_room
def test_each_source_alone() -> None:
    with unshare("net") as inside, forked(lambda: part("time")) as pid, in_thread(lambda: part("uts")) as tid:
        inside["net"].persist("/mnt/net")
        uts, then = inode(f"/proc/{tid}/ns/uts"), inode(f"/proc/{pid}/ns/time_for_children")
        rows = {source: discover(sources=[source]) for source in sources.SOURCES}
        assert os.getpid() in rows["processes"][Namespace.current("pid")].processes
        assert rows["threads"]["uts", uts].threads == (tid,)
        assert rows["children"]["time", then].for_children == (pid,)
        assert (os.getpid(), inside["net"].fileno()) in rows["fds"][inside["net"]].fds
        assert set(rows["mounts"][inside["net"]].paths) == {"/mnt/net"}
        for source, census in rows.items():
            assert all(not row.processes for row in census) or source == "processes", source
    inside.close()


@in_room
def test_trees_and_differences() -> None:
    before = discover()
    with processes(Isolation("user", "pid", "uts")) as [pid]:
        after = before.refresh()
        came = after - before
        assert {row.kind for row in came.appeared} == {Kind.USER, Kind.PID, Kind.UTS}
        assert not came.gone
        assert came
        assert f"+ uts:[{inode(f'/proc/{pid}/ns/uts')}]" in str(came).splitlines()
        user = after["user", inode(f"/proc/{pid}/ns/user")]
        home = after[Namespace.current("user")]
        branches = {branch.row.id: branch for root in after.tree("owner") for branch in _all(root)}
        assert {branch.row.kind for branch in branches[user.id].below} == {Kind.PID, Kind.UTS}
        assert user in [branch.row for branch in branches[home.id].below]
        by_parent = {branch.row.id: branch for root in after.tree("parent") for branch in _all(root)}
        inner = after["pid", inode(f"/proc/{pid}/ns/pid")]
        assert inner in [branch.row for branch in by_parent[after[Namespace.current("pid")].id].below]
        by_process = {branch.row.id: branch for root in after.tree("process") for branch in _all(root)}
        assert sum(1 for root in after.tree("process") for _ in root) == len(after) == len(by_process)
        uts = after["uts", inode(f"/proc/{pid}/ns/uts")]
        assert uts in [branch.row for branch in by_process[after[Namespace.current("uts")].id].below]
        assert after.where(owner=user).rows == tuple(row for row in after if row.owner == user.id)
    went = before.refresh() - after
    assert {row.kind for row in went.gone} == {Kind.USER, Kind.PID, Kind.UTS}
    assert not before - before


def _all(branch: Any) -> Iterator[Any]:
    yield branch
    for below in branch.below:
        yield from _all(below)


def test_json_says_what_the_schema_says() -> None:
    data = json.loads(discover().to_json())
    assert data["version"] == 1
    assert set(data) == {"version", "namespaces", "processes", "unseen"}
    page = (Path(__file__).parent.parent / "docs" / "reference" / "census.md").read_text("utf-8")
    for name in {key for row in (*data["namespaces"], *data["processes"], *data["unseen"]) for key in row}:
        assert f"`{name}`" in page, name
    [mine] = [row for row in data["namespaces"] if row["type"] == "user" and os.getpid() in row["processes"]]
    assert mine["nprocs"] == len(mine["processes"])
    assert mine["leader"] in mine["processes"]


def test_open_what_was_found() -> None:
    census = discover("uts")
    with Namespace.current("uts") as here, census[here].open() as opened:
        assert opened == here
    gone = Found(Kind.UTS, NamespaceId(here.id.dev, 1), serial=2**60)
    with pytest.raises(FileNotFoundError, match="gone"):
        gone.open()


# ---- hostile trees ----

NUMBERS = st.sampled_from(["1", "2", "7", "4026531840", "4294967295", "4294967296", "-1", "0", "", "9" * 30, "x"])
LINKS = st.builds("{}:[{}]".format, st.sampled_from([row.name for row in kinds.TABLE]), NUMBERS) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=70
)
STATS = st.binary(max_size=300) | st.builds(
    lambda name, rest: b"7 (" + name + b") S " + rest, st.binary(max_size=40), st.binary(max_size=200)
)


@given(
    links=st.dictionaries(st.sampled_from([row.name for row in kinds.TABLE]), LINKS),
    fds=st.dictionaries(st.integers(0, 9), LINKS),
    stat=STATS,
    mountinfo=st.text(max_size=200),
    names=st.sets(st.sampled_from(["1", "07", "-3", "99999999999", "self", "2x"]), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_a_hostile_proc(
    links: dict[str, str], fds: dict[int, str], stat: bytes, mountinfo: str, names: set[str]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        for name in {"7", *names}:
            for below in ("ns", "fd", "task"):
                os.makedirs(f"{root}/{name}/{below}")
            Path(f"{root}/{name}/stat").write_bytes(stat)
            Path(f"{root}/{name}/mountinfo").write_text(mountinfo, "utf-8", "replace")
            for link, target in links.items():
                os.symlink(target, f"{root}/{name}/ns/{link}")
            for fd, target in fds.items():
                os.symlink(target, f"{root}/{name}/fd/{fd}")
        census = discover(sources=["processes", "children", "threads", "fds", "mounts", "owners"], proc=root)
        wanted = {
            target
            for link, target in links.items()
            if (match := re.fullmatch(r"([a-z]+):\[([0-9]+)\]", target))
            and match[1] == link
            and 0 < int(match[2]) < 2**32
        }
        assert {row.text for row in census if 7 in row.processes} == {
            f"{text.partition('[')[0]}[{int(text.partition('[')[2][:-1])}]" for text in wanted
        }
        assert all(0 < row.id.ino < 2**63 for row in census)
        json.loads(census.to_json())


def stat_line(name: bytes, parent: int, threads: int, started: int) -> bytes:
    return b"7 (%b) S %d 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 %d 0 %d 99 1 2 3" % (name, parent, threads, started)


@given(
    st.binary(max_size=15).filter(lambda name: b"\0" not in name),
    st.integers(0, 2**22),
    st.integers(1, 9999),
    st.integers(1, 2**59),
)
@settings(max_examples=60, deadline=None)
def test_any_name_in_a_stat_file(name: bytes, parent: int, threads: int, started: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(f"{root}/7/ns")
        os.symlink("net:[5]", f"{root}/7/ns/net")
        Path(f"{root}/7/stat").write_bytes(stat_line(name, parent, threads, started))
        process = discover(sources=["processes", "owners"], proc=root).processes[7]
        assert (process.parent, process.threads, process.started, process.state) == (parent, threads, started, "S")
        assert process.name == name.decode("utf-8", "surrogateescape")


@given(st.text())
def test_mountinfo_of_anything(text: str) -> None:
    assert isinstance(sources.parse(text), list)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), st.integers(1, 2**32))
def test_mountinfo_of_what_the_kernel_writes(path: str, number: int) -> None:
    target = "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in "/" + path)
    text = f"30 1 0:4 net:[{number}] {target} rw shared:7 - nsfs nsfs rw\n31 1 0:5 / /x rw - tmpfs tmpfs rw\n"
    assert sources.parse(text) == [(f"net:[{number}]", "/" + path)]


@given(st.text())
def test_fdinfo_of_anything(text: str) -> None:
    assert sources.process_of_pidfd(text) >= -1


# ---- capabilities ----


@in_room
def test_can() -> None:
    everything = {name for name in capabilities.NAMES if sched.has_capability(capabilities.number(name))}
    us = os.getpid()
    with (
        processes(Isolation("user", "uts"), Isolation("user", "uts")) as [one, other],
        Namespace.of(one, "uts") as uts,
        Namespace.of(one, "user") as user,
        Namespace.current("user") as home,
    ):
        mine = can(us, uts)
        assert "sys_admin" in mine
        assert "CAP_SYS_ADMIN" in mine
        assert 21 in mine
        assert object() not in mine
        assert mine >= everything  # of what is below ours, whose owner we are
        assert "sys_admin" in can(one, uts)  # its own
        assert can(one, user) == can(one, uts)
        assert not can(other, uts)  # a sibling's
        assert not can(one, home)  # an ancestor
        assert can(us, home) == everything  # our own: what we have
        with pytest.raises(ValueError, match="unknown capability"):
            assert "nonsense" in mine


@needs_root
@in_room
def test_can_of_another_user() -> None:

    with Isolation("user", "net", ids=IdMap([(0, 12345, 1)], [(0, 12345, 1)])).Popen(SLEEP) as process:
        with Namespace.of(process, "net") as net, forked(drop_to_user) as user:
            assert not can(user, net)  # same uid as root inside, but not who made it
            assert can(os.getpid(), net)
        process.kill()


# ---- the command ----


def command(*argv: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "pynamespaces", *argv]
    return subprocess.run(whole, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@in_room
def test_ls_prints_what_lsns_prints() -> None:
    with processes(Isolation("uts", "ipc"), Isolation("user", "net")) as [_, pid]:
        subprocess.run(["true"], check=True)
        columns = "NS,TYPE,NPROCS,USER"
        ours = json.loads(command("ls", "-J", "-o", columns).stdout)["namespaces"]
        theirs = lsns("-o", columns)
        known = {(line["type"], int(line["ns"])): line for line in ours}
        for line in theirs:
            mine = known[line["type"], int(line["ns"])]
            assert (int(line["nprocs"]), line["user"]) == (mine["nprocs"], mine["user"])
        plain = command("ls").stdout.splitlines()
        assert plain[0].split() == ["NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND"]
        assert any("sleep 60" in line for line in plain)
        raw = command("ls", "-r", "-n", "-t", "net", "-p", str(pid), "-o", "NS,COMMAND,PATH").stdout.splitlines()
        assert raw == [f"{inode(f'/proc/{pid}/ns/net')} sleep\\x2060 /proc/{pid}/ns/net"]
        more = command("ls", "-t", "user", "-o", "+PATH,OWNER,PARENT,HOLDERS,SERIAL").stdout
        assert more.splitlines()[0].split()[-5:] == ["PATH", "OWNER", "PARENT", "HOLDERS", "SERIAL"]
        assert "processes:1" in more
        tree = command("ls", "-T", "owner", "-t", "user", "-t", "net").stdout
        assert "└─" in tree
        alone = command("ls", str(inode(f"/proc/{pid}/ns/net"))).stdout.splitlines()
        assert len(alone) == 2


@in_room
def test_tree_show_and_diff() -> None:
    with processes(Isolation("user", "net")) as [pid]:
        net = inode(f"/proc/{pid}/ns/net")
        for how in ("owner", "parent", "process"):
            for options in ([], ["--plain"], ["--ascii"]):
                done = command("tree", how, *options)
                assert done.returncode == 0, done
                assert f"net:[{net}]" in done.stdout
        assert "`-" in command("tree", "--ascii").stdout
        assert "├" in command("tree", "--plain").stdout
        for what in (str(net), f"net:[{net}]", str(pid)):
            said = command("show", what).stdout
            assert f"net:[{net}]" in said
            assert "sleep 60" in said
        assert json.loads(command("show", "-J", str(net)).stdout)["namespaces"][0]["ns"] == net
        done = command("diff", str(pid), str(os.getpid()))
        assert done.returncode == 1
        assert [line.split()[0] for line in done.stdout.splitlines() if "different" in line] == ["net", "user"]
        assert command("diff", str(pid), str(pid)).returncode == 0


def test_the_command_refuses_politely() -> None:
    for argv in (["ls", "-t", "x"], ["ls", "-o", "X"], ["ls", "1"], ["show", "no-such"], ["diff", "1"], ["tree", "x"]):
        done = command(*argv)
        assert done.returncode == 125, (argv, done)
        assert "Traceback" not in done.stderr
        assert "pynamespaces" in done.stderr


# ---- the page ----


@in_room
def test_the_page_stands_alone_and_works_in_a_browser() -> None:
    with processes(Isolation("user", "net"), argv=["sh", "-c", 'sleep 60 # <script>alert(1)</script> & "x"']) as [pid]:
        net = inode(f"/proc/{pid}/ns/net")
        assert command("ls", "--html", "/mnt/page.html").returncode == 0
        text = Path("/mnt/page.html").read_text("utf-8")
    assert "<script>alert" not in text
    assert f'id="net-{net}"' in text
    assert not re.findall(r"(?:src|href)=[\"'](?!#)", text)
    assert "http" not in text and "url(" not in text
    if not IS_ROOT:
        return  # the browser's half is root's: its own sandbox is off, and it wants the machine's /dev
    browser = need("chromium")
    act = f"""<script>
      const part = document.getElementById("net-{net}"), box = document.getElementById("filter");
      document.querySelector('a[href="#net-{net}"]').click();
      setTimeout(() => {{
        const open = part.open;
        box.value = "net:[{net}]"; box.dispatchEvent(new Event("input"));
        const shown = [...document.querySelectorAll("details")].filter(each => !each.hidden).length;
        document.title = `open ${{open}} shown ${{shown}}`;
      }}, 200);
    </script>"""
    Path("/mnt/page.html").write_text(text.replace("</body>", act + "</body>"), "utf-8")
    flags = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
        --disable-component-update --disable-sync --virtual-time-budget=3000 --user-data-dir=/mnt/chromium --dump-dom"""
    done = subprocess.run(
        [browser, *flags.split(), "file:///mnt/page.html"], capture_output=True, text=True, timeout=90, check=False
    )
    found = re.search("<title>open (.*) shown (.*)</title>", done.stdout)
    assert found, done.stderr
    assert found[1] == "true"
    assert 1 <= int(found[2]) <= 3  # itself, and its owner's list
