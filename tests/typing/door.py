"""The door as type checkers see it: never run, checked by mypy --strict and pyright (`make typing`).

A comment that ignores an error says that the line must be one: an ignore that is not needed is itself reported.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import timedelta
from pathlib import Path
from typing import assert_type

import pynamespaces
from pynamespaces import (
    AlreadyExists,
    Block,
    Census,
    ChildDied,
    ClockOffsets,
    Found,
    IdMap,
    Isolation,
    Kind,
    Namespace,
    NamespaceError,
    NamespaceId,
    NamespaceSet,
    NoSuchProcess,
    NotANamespace,
    NotFound,
    NotInABlock,
    NotPermitted,
    NotSupported,
    PidFd,
    Place,
    Popen,
    Report,
    RestoreError,
    Saved,
    Stale,
    WayOut,
    become_root,
    can,
    discover,
    doctor,
    enter,
    forget,
    mounts,
    rejoin,
    saved,
    translate_pid,
    unshare,
    way_out,
)


def kinds() -> None:
    both = Kind.NET | Kind.UTS
    assert_type(both, Kind)
    assert_type("net" in both, bool)
    assert_type(str(Kind.NET), str)


def handles(sock: socket.socket, child: subprocess.Popen[bytes], held: PidFd) -> None:
    for namespace in (
        Namespace.current("net"),
        Namespace.of(1, Kind.NET),
        Namespace.of(child, "net"),
        Namespace.of(held, "pid", for_children=True),
        Namespace.at("/run/netns/blue"),
        Namespace.at(Path("blue"), "net"),
        Namespace.of_socket(sock),
    ):
        assert_type(namespace, Namespace)
        with namespace as itself:
            assert_type(itself, Namespace)
        assert_type(namespace.kind, Kind)
        assert_type(namespace.id, NamespaceId)
        assert_type(namespace.id.ino, int)
        assert_type(namespace.serial, int | None)
        assert_type(namespace.owner(), Namespace)
        assert_type(namespace.parent(), Namespace)
        assert_type(namespace.owner_uid, int)
        assert_type(namespace.fileno(), int)
        assert_type(namespace.closed, bool)
        assert_type(namespace.host_pids(), list[int])
        namespace.persist("/run/netns/blue")
    with PidFd.open(1) as held:
        assert_type(held, PidFd)
        assert_type(held.pid, int)
        assert_type(held.alive, bool)
    Namespace()  # type: ignore[call-arg, unused-ignore]


def sets(namespace: Namespace, other: NamespaceSet) -> None:
    found = NamespaceSet.current("net", Kind.UTS)
    assert_type(found, NamespaceSet)
    assert_type(NamespaceSet.of(1), NamespaceSet)
    assert_type(NamespaceSet.at("web", "net"), NamespaceSet)
    assert_type(NamespaceSet([namespace]), NamespaceSet)
    assert_type(found["net"], Namespace)
    assert_type(found.get("net"), Namespace | None)
    assert_type(found.get("net", 0), Namespace | int)
    assert_type(found.kinds, Kind)
    assert_type(found.missing, Kind)
    assert_type(found.only("net"), NamespaceSet)
    assert_type(found.without("net", "uts"), NamespaceSet)
    assert_type(found | other, NamespaceSet)
    assert_type(found.differences(other), Kind)
    assert_type([kind for kind in found], list[Kind])
    for kind, each in found.items():
        assert_type(kind, Kind)
        assert_type(each, Namespace)
    with found as itself:
        assert_type(itself, NamespaceSet)
    found["net"] = namespace  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def blocks(target: NamespaceSet) -> None:
    with unshare("net", "uts", hostname="web", optional="time") as inside:
        assert_type(inside, NamespaceSet)
        inside.persist("web")
        with inside.persisted(Path("/tmp/web")) as kept:
            assert_type(kept, NamespaceSet)
    with enter(target, "net") as there, enter(1), enter("web"), rejoin("web", store="/tmp/store"), target.enter():
        assert_type(there, NamespaceSet)
    assert_type(unshare("net"), Block)

    @unshare("net")
    def decorated(port: int, *, host: str = "") -> float:
        return port / len(host)

    assert_type(decorated(1, host="a"), float)
    decorated("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for row in saved():
        assert_type(row, Saved)
        assert_type(row.alive, bool)
    forget("web")
    become_root("net", "uts")
    unshare("net", hostnam="web")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def isolations(target: NamespaceSet) -> None:
    box = Isolation(
        "user",
        Kind.NET | Kind.UTS,
        ["pid", "mnt", "time"],
        within=target,
        ids=IdMap(uids=[(0, 1000, 1)], gids=[(0, 1000, 1)]),
        hostname="web",
        domainname="example",
        loopback=True,
        mounts=[mounts.tmpfs("/data", size="1M"), mounts.bind("/srv", "/mnt", read_only=True)],
        propagation="private",
        root=Path("/srv/root"),
        proc=True,
        clock=ClockOffsets(monotonic=timedelta(days=1), boottime_ns=1),
        init=None,
        cgroup="/sys/fs/cgroup/web",
        no_new_privs=True,
        capabilities=("net_admin", 12),
        new_session=True,
        die_with_parent=True,
    )
    assert_type(box, Isolation)
    assert_type(box.replace(hostname="db"), Isolation)
    assert_type(box.hostname, str | None)
    for ids in (IdMap.root(), IdMap.current(), IdMap.identity(), IdMap.subids()):
        assert_type(ids, IdMap)
    Isolation("uts", hostname=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    box.hostname = "db"  # refused when it runs


def verbs(place: Place) -> None:
    assert_type(place.run(["true"]), subprocess.CompletedProcess[bytes])
    assert_type(place.run("true", text=True, check=True), subprocess.CompletedProcess[str])
    assert_type(place.run(["true"], encoding="utf-8", input="in", timeout=1.5), subprocess.CompletedProcess[str])
    with place.Popen(["true"], stdout=subprocess.PIPE) as process:
        assert_type(process, Popen[bytes])
        assert_type(process.namespaces, NamespaceSet)
        assert_type(process.pidfd, PidFd)
        assert_type(process.communicate(), tuple[bytes, bytes])
    with place.Popen(["true"], text=True) as talking:
        assert_type(talking, Popen[str])
    assert_type(place.call(int, "12"), int)
    assert_type(place.call(_add, 1, second=2.0), float)
    assert_type(place.apply(_add, (1,), {"second": 2.0}, timeout=1, start="spawn"), float)
    with place.executor(max_workers=2) as pool:
        also: Executor = pool
        assert_type(pool.submit(_add, 1, second=2.0), Future[float])
        assert_type(list(also.map(_add, [1, 2], [0.5, 0.5])), list[float])
    place.call(_add, "1", second=2.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    place.run(["true"], shel=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    place.run(["true"], preexec_fn=print)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def _add(first: int, second: float) -> float:
    return first + second


def questions(process: Popen[str], namespace: Namespace) -> None:
    assert_type(translate_pid(1), int)
    assert_type(translate_pid(1, process, namespace), int)
    census = discover("net", sources=["processes", "names"])
    assert_type(census, Census)
    for row in census:
        assert_type(row, Found)
    assert_type(bool(can(process, namespace)), bool)
    assert_type(doctor(), Report)
    assert_type(doctor()["net", "run"].works, bool)


def ways_out() -> None:
    box = Isolation("user", "net", network=way_out(tcp=[80, (8080, 80)]))
    assert_type(box.network, WayOut | str | None)


def errors(function: Callable[[], object]) -> None:
    try:
        function()
    except (AlreadyExists, NoSuchProcess, NotANamespace, NotFound, NotInABlock, NotPermitted, NotSupported) as error:
        assert_type(error.step, str)
        assert_type(error.hint, str | None)
        assert_type(error.errno, int | None)
        refused: NamespaceError = error
        also_an_os_error: OSError = refused
        print(also_an_os_error)
    except Stale as stale:
        assert_type(stale.hint, str | None)
    except ChildDied as died:
        assert_type(died.returncode, int)
    except RestoreError:
        pass
    assert_type(pynamespaces.__all__, list[str])
