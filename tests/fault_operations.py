"""Operations whose every kernel call is made to fail: each yields what is to be done, and looks at what came of it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Generator
from typing import Any

from conftest import IS_ROOT, links
from pynamespaces import (
    Isolation,
    Namespace,
    NamespaceSet,
    enter,
    forget,
    mounts,
    rejoin,
    saved,
    unshare,
    ways,
)

Steps = Generator[Callable[[], Any], Any, None]

FIVE = ("net", "uts", "ipc", "cgroup", "mnt")
READ = ["/usr/bin/readlink", "/proc/self/ns/uts", "/proc/self/ns/net"]


def made(*kinds: str, **fields: Any) -> NamespaceSet:
    with unshare(*kinds, **fields) as inside:
        pass
    return inside


def differs(*kinds: str, home: dict[str, str]) -> None:
    here = links()
    for kind in kinds:
        assert here[kind] != home[kind], kind


def new_block(room: str) -> Steps:
    home = links()
    block = unshare(*FIVE, hostname="web")
    inside = yield block.__enter__
    differs(*FIVE, home=home)
    assert socket.gethostname() == "web"
    for kind in FIVE:
        with Namespace.current(kind) as here:
            assert inside[kind] == here
    with socket.socket() as server:  # lo is up
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname(), 5).close()
    block.__exit__(None, None, None)
    inside.close()


def new_pid_block(room: str) -> Steps:
    home = links()
    block = unshare("pid")
    inside = yield block.__enter__
    differs("pid_for_children", home=home)
    assert subprocess.run(["/bin/true"], check=False).returncode == 0
    block.__exit__(None, None, None)
    inside.close()


def new_time_block(room: str) -> Steps:
    from pynamespaces import ClockOffsets

    home = links()
    block = unshare("time", clock=ClockOffsets(monotonic=1000))
    inside = yield block.__enter__
    differs("time_for_children", home=home)
    block.__exit__(None, None, None)
    inside.close()


def _leave(*kinds: str) -> Steps:
    block = unshare(*kinds)
    inside = block.__enter__()
    try:
        yield lambda: block.__exit__(None, None, None)
    except OSError:
        block.__exit__(None, None, None)
        raise
    finally:
        inside.close()


def leave_five(room: str) -> Steps:
    yield from _leave(*FIVE)


def leave_one(room: str) -> Steps:
    yield from _leave("net")


def leave_pid(room: str) -> Steps:
    yield from _leave("pid")


def _enter(*kinds: str) -> Steps:
    with made(*kinds) as there:
        home = links()
        block = enter(there)
        try:
            inside = yield block.__enter__
        except OSError:
            raise
        differs(*[f"{kind}_for_children" if kind in ("pid", "time") else kind for kind in kinds], home=home)
        block.__exit__(None, None, None)
        inside.close()


def enter_five(room: str) -> Steps:
    yield from _enter(*FIVE)


def enter_one(room: str) -> Steps:
    yield from _enter("net")


def enter_time(room: str) -> Steps:
    yield from _enter("time")


def enter_of_a_process(room: str) -> Steps:
    with Isolation("user", "net", "uts").Popen(["/bin/sleep", "100"]) as process:
        try:
            there = yield lambda: NamespaceSet.of(process)
            assert len(there) == 8
            there.close()
        finally:
            process.kill()


def leave_entered(room: str) -> Steps:
    with made(*FIVE) as there:
        block = enter(there)
        inside = block.__enter__()
        try:
            yield lambda: block.__exit__(None, None, None)
        finally:
            inside.close()


def _absent(room: str) -> None:
    assert saved(store=f"{room}/store") == []


def _persist(room: str, *kinds: str) -> Steps:
    store = f"{room}/store"
    os.mkdir(store)
    with unshare(*kinds) as inside, inside:
        try:
            yield lambda: inside.persist("web", store=store)
        except OSError:
            _absent(room)
            forget("web", store=store)  # sweeps what could not be undone
            os.rmdir(store)
            raise
        with NamespaceSet.at(os.path.join(store, "web")) as kept:
            assert dict(kept) == dict(inside)
        assert saved(store=store)[0].alive
        forget("web", store=store)
        os.rmdir(store)


def persist_mounted(room: str) -> Steps:
    yield from _persist(room, "net", "uts")


def persist_mnt(room: str) -> Steps:
    yield from _persist(room, *FIVE)


def persist_pid(room: str) -> Steps:
    yield from _persist(room, "pid", "uts")


def persist_by_keeper(room: str) -> Steps:
    ways.moved = True
    yield from _persist(room, "net", "uts")


def persist_one(room: str) -> Steps:
    path = f"{room}/blue"
    with made("net") as inside:
        try:
            yield lambda: inside["net"].persist(path)
        except OSError:
            assert not os.path.exists(path)
            raise
        with Namespace.at(path) as kept:
            assert kept == inside["net"]
        forget(path)


def _forget(room: str, *kinds: str) -> Steps:
    store = f"{room}/store"
    os.mkdir(store)
    with unshare(*kinds) as inside, inside:
        inside.persist("web", store=store)
        try:
            yield lambda: forget("web", store=store)
        except OSError:
            for row in saved(store=store):  # it is still there, whole
                assert row.alive, row
                with NamespaceSet.at(row.path) as kept:
                    assert dict(kept) == dict(inside)
            raise
        finally:
            forget("web", store=store)
            _absent(room)
            os.rmdir(store)


def forget_mounted(room: str) -> Steps:
    yield from _forget(room, "net", "uts")


def forget_pid(room: str) -> Steps:
    yield from _forget(room, "pid", "uts")


def forget_kept(room: str) -> Steps:
    ways.moved = True
    yield from _forget(room, "net", "uts")


def _rejoin(room: str, *kinds: str) -> Steps:
    store = f"{room}/store"
    os.mkdir(store)
    with made(*kinds) as inside:
        inside.persist("web", store=store)
        home = links()
        block = rejoin("web", store=store)
        try:
            there = yield block.__enter__
            assert dict(there) == dict(inside)
            differs(*kinds, home=home)
            block.__exit__(None, None, None)
            there.close()
        finally:
            forget("web", store=store)
            os.rmdir(store)


def rejoin_mounted(room: str) -> Steps:
    yield from _rejoin(room, *FIVE)


def rejoin_kept(room: str) -> Steps:
    ways.moved = True
    yield from _rejoin(room, "net", "uts")


def list_saved(room: str) -> Steps:
    store = f"{room}/store"
    os.mkdir(store)
    with made("net", "uts") as inside:
        inside.persist("web", store=store)
        try:
            rows = yield lambda: saved(store=store)
            for row in rows:  # what may not be looked at (EACCES) is another user's, and left out
                assert row.name == "web" and row.alive and row.kinds == inside.kinds
        finally:
            forget("web", store=store)
            os.rmdir(store)


def _run(box: Any, *new: str, **kwargs: Any) -> Steps:
    home = links()
    done = yield lambda: box.run(READ, capture_output=True, text=True, check=True, **kwargs)
    found = dict(zip(("uts", "net"), done.stdout.split(), strict=True))
    for kind in new:
        assert found[kind] != home[kind]


def run_seven_with_init(room: str) -> Steps:
    yield from _run(Isolation("mnt", "uts", "ipc", "net", "pid", "user", "cgroup", hostname="web"), "uts", "net")


def run_seven_bare(room: str) -> Steps:
    yield from _run(Isolation("mnt", "uts", "ipc", "net", "pid", "user", "cgroup", init=False), "uts", "net")


def run_in_a_room(room: str) -> Steps:
    yield from _run(Isolation("user", "uts", "net", no_new_privs=True, capabilities=()), "uts", "net", cwd=room)


def run_in_existing(room: str) -> Steps:
    with made(*FIVE) as there:
        yield from _run(there, "uts", "net")


def run_within_existing(room: str) -> Steps:
    with made("net", "ipc") as there:
        yield from _run(Isolation("uts", within=there), "uts", "net")


def run_with_clock(room: str) -> Steps:
    from pynamespaces import ClockOffsets

    yield from _run(Isolation("user", "time", "uts", "net", clock=ClockOffsets(monotonic=1000)), "uts", "net")


def run_from_a_thread(room: str) -> Steps:
    import threading

    box = Isolation("user", "uts", "net")
    answer: list[Any] = []
    go = threading.Event()

    def inside() -> None:
        go.wait()
        try:
            answer.append(box.run(READ, capture_output=True, text=True, check=True))
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=inside)
    thread.start()

    def act() -> Any:
        go.set()
        thread.join()
        if isinstance(answer[0], BaseException):
            raise answer[0]
        return answer[0]

    home = links()
    done = yield act
    assert done.stdout.split()[0] != home["uts"]


def popen(room: str) -> Steps:
    box = Isolation("user", "uts", "net", "pid")
    process = yield lambda: box.Popen(["/bin/cat"], stdin=-1, stdout=-1)
    with process:
        assert process.communicate(b"hello", timeout=10)[0] == b"hello"


def _call(box: Any, start: Callable[..., Any]) -> Steps:
    home = links()
    there = yield start
    assert there["uts"] != home["uts"] and there["net"] != home["net"]


def call(room: str) -> Steps:
    box = Isolation("user", "uts", "net", "mnt")
    yield from _call(box, lambda: box.call(links))


def call_in_new_pid(room: str) -> Steps:
    box = Isolation("user", "uts", "net", "pid", "mnt")
    yield from _call(box, lambda: box.call(links))


def call_in_existing(room: str) -> Steps:
    with made(*FIVE) as there:
        yield from _call(there, lambda: there.call(links))


def call_with_timeout(room: str) -> Steps:
    box = Isolation("user", "uts", "net")
    yield from _call(box, lambda: box.apply(links, timeout=10))


def executor(room: str) -> Steps:
    box = Isolation("user", "uts", "net")

    def act() -> Any:
        with box.executor() as pool:
            return pool.submit(links).result(15)

    yield from _call(box, act)


def mounts_in_a_block(room: str) -> Steps:
    wanted = [
        mounts.tmpfs("/mnt", size="1M"),
        mounts.file("/mnt/hello", "world"),
        mounts.bind("/usr", "/mnt/usr", read_only=True),
    ]
    block = unshare("mnt", mounts=wanted)
    inside = yield block.__enter__
    with open("/mnt/hello", encoding="ascii") as file:
        assert file.read() == "world"
    assert os.path.isdir("/mnt/usr/bin") and os.statvfs("/mnt/usr").f_flag & os.ST_RDONLY
    block.__exit__(None, None, None)
    inside.close()


def mounts_in_a_child(room: str) -> Steps:
    wanted = [
        mounts.tmpfs("/mnt", size="1M"),
        mounts.file("/mnt/hello", "world"),
        mounts.overlay("/mnt/top", lower="/usr"),
        mounts.mask("/etc/hostname"),
    ]
    box = Isolation("user", "mnt", "pid", mounts=wanted)
    done = yield lambda: box.run(["/bin/cat", "/mnt/hello", "/etc/hostname"], capture_output=True, check=True)
    assert done.stdout == b"world"


def run_in_a_root(room: str) -> Steps:
    box = Isolation("user", "mnt", "pid", root=mounts.throw_away("/"))
    done = yield lambda: box.run(["/usr/bin/touch", "/touched"], check=True)
    assert done.returncode == 0 and not os.path.exists("/touched")


def mount_and_unmount(room: str) -> Steps:
    os.mkdir(f"{room}/there")

    def act() -> None:
        with mounts.mount(mounts.tmpfs(f"{room}/there")) as done:
            assert done.targets == [f"{room}/there"]

    try:
        yield act
    finally:
        os.rmdir(f"{room}/there")


def list_mounts(room: str) -> Steps:
    rows = yield lambda: list(mounts.list())
    assert any(row.target == "/" for row in rows)


def ask_a_namespace(room: str) -> Steps:
    def act() -> tuple[Any, ...]:
        with Namespace.current("net") as net, net.owner() as owner, Namespace.of(os.getpid(), "net") as same:
            return net.kind, net.id, net.serial, owner.id, same.id

    found = yield act
    assert found[1] == found[4]


#: A name is there whole or absent; what is left of it is hidden, and swept by the next verb.
for operation in (forget_mounted, forget_pid, forget_kept):
    operation.may_change = ("files", "mounts", "children")  # type: ignore[attr-defined]
#: The function's own calls fail as they would outside.
for operation in (call, call_in_new_pid, call_in_existing, call_with_timeout, executor):
    operation.plain = ("readlink",)  # type: ignore[attr-defined]
run_from_a_thread.may_change = ("threads",)  # type: ignore[attr-defined]
#: Calls of subprocess, which raises their errors bare: its pipes, the command, its cwd.
for operation in (
    run_seven_with_init,
    run_seven_bare,
    run_in_a_room,
    run_in_existing,
    run_within_existing,
    run_with_clock,
    run_from_a_thread,
    popen,
    mounts_in_a_child,
    run_in_a_root,
):
    operation.plain = ("pipe2", "read", "execve", "chdir", "fcntl")  # type: ignore[attr-defined]
#: Where undoing is refused for ever, too.
for operation in (persist_mounted, persist_mnt, persist_pid, persist_by_keeper, mount_and_unmount):
    operation.may_stay = ("files", "mounts")  # type: ignore[attr-defined]

#: Every operation, and whether it needs the machine's own root.
ANYBODY = (
    new_block,
    leave_one,
    leave_five,
    enter_one,
    enter_five,
    enter_of_a_process,
    leave_entered,
    persist_by_keeper,
    forget_kept,
    rejoin_kept,
    list_saved,
    run_seven_with_init,
    run_seven_bare,
    run_in_a_room,
    run_in_existing,
    run_within_existing,
    run_with_clock,
    run_from_a_thread,
    popen,
    call,
    call_in_new_pid,
    call_in_existing,
    call_with_timeout,
    executor,
    mounts_in_a_block,
    mounts_in_a_child,
    run_in_a_root,
    mount_and_unmount,
    list_mounts,
    ask_a_namespace,
)
ROOT = (
    new_pid_block,
    new_time_block,
    leave_pid,
    enter_time,
    persist_mounted,
    persist_mnt,
    persist_pid,
    persist_one,
    forget_mounted,
    forget_pid,
    rejoin_mounted,
)
OPERATIONS = (*ANYBODY, *ROOT) if IS_ROOT else ANYBODY
