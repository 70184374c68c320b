"""doctor's verdicts against what really happens, wherever one may be: users, threads, filters, limits, mounts."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pynamespaces as ns
from conftest import IS_ROOT, drop_to_user, in_child, in_plain_child, in_rootless_child, refuse, state
from pynamespaces import Isolation, Kind, NamespaceSet, children, kinds, mounts, procfs, trials
from pynamespaces.doctor import VERBS, Report, Verdict, doctor, refusal_of
from pynamespaces.rootless import become_root

PLAIN_KINDS = tuple(row.name for row in kinds.TABLE if row.name != "user")


def tried(function: Callable[[], object]) -> OSError | RuntimeError | None:
    """What really happens."""
    try:
        function()
    except (OSError, RuntimeError) as error:
        return error
    return None


def in_fork(function: Callable[[], object]) -> bool:
    """Does it work in a fork, for what cannot be undone?"""
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(30)
            failed = tried(function)
            os._exit(0 if failed is None else 1)
        finally:
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


def enter_and_leave(kind: str) -> None:
    with ns.unshare(kind):
        pass


def become_and_enter(kind: str) -> None:
    become_root(kind)
    if kind != "user":
        enter_and_leave(kind)


def keep_and_rejoin(place: Isolation) -> tuple[bool, bool, bool]:
    """(can it be persisted, rejoined by a block, rejoined by a command or function?)"""
    wanted = [row.kind for row in kinds.rows(place.kinds)]
    try:
        command = place.Popen(["sleep", "60"])
    except OSError:
        try:
            child = children.start(place, lambda sock: sock.recv(1))
        except OSError:
            return False, False, False
        with NamespaceSet.of(child.pid, *wanted) as namespaces:
            child.kill()
            child.wait()
            child.close()
            return keep_and_rejoin_those(namespaces)
    with command:
        try:
            with command.namespaces.only(*wanted) as namespaces:
                return keep_and_rejoin_those(namespaces)
        finally:
            command.kill()


def keep_and_rejoin_those(namespaces: NamespaceSet) -> tuple[bool, bool, bool]:
    if tried(lambda: namespaces.persist("really")) is not None:
        return False, False, False

    def rejoin() -> None:
        with ns.rejoin("really"):
            pass

    def inside() -> None:
        with NamespaceSet.at("really") as kept:
            try:
                kept.run(["true"], check=True)
            except OSError:
                kept.call(os.getpid)

    found = True, tried(rejoin) is None, tried(inside) is None
    ns.forget("really")
    return found


def says(verdict: Verdict) -> str:
    return (verdict.way or "yes") if verdict.works else "no"


def really(kind: str, threads: bool) -> dict[str, str]:
    """What a report must say of one kind."""
    plain = Isolation(kind)
    with_user = Isolation(kind, "user")
    out = {}
    out["block"] = "yes" if tried(lambda: enter_and_leave(kind)) is None else "no"
    for verb, attempt in (
        ("run", lambda place: place.run(["true"], check=True)),
        ("call", lambda place: place.call(os.getpid)),
    ):
        if tried(lambda: attempt(plain)) is None:
            out[verb] = "yes"
        elif kind != "user" and tried(lambda: attempt(with_user)) is None:
            out[verb] = "with user"
        else:
            out[verb] = "no"
    kept, entered, called = keep_and_rejoin(plain)
    out["persist"] = "yes" if kept else "no"
    if not kept and kind != "user":
        kept, entered, called = keep_and_rejoin(with_user)
        out["persist"] = "with user" if kept else "no"
    out["rejoin"] = "yes" if entered else "by run" if called else "no"
    if threads:  # a fork would have none; refused, it changes nothing
        assert tried(lambda: become_root(kind)) is not None
        out["become_root"] = "no"
    else:
        out["become_root"] = "yes" if in_fork(lambda: become_and_enter(kind)) else "no"
    return out


def compare(report: Report, *, threads: bool = False) -> None:
    for row in kinds.TABLE:
        said = {verb: says(report[row.kind, verb]) for verb in VERBS}
        assert said == really(row.name, threads), f"{row.name}\n{report}"


def examine(*, threads: bool = False) -> Report:
    """A report, which changed nothing, and is right."""
    store = os.environ["PYNAMESPACES_STORE"]
    before = state(), os.path.exists(store)
    report = doctor()
    assert (state(), os.path.exists(store)) == before
    compare(report, threads=threads)
    for verdict in report:
        if verdict.refusal is not None:
            assert verdict.refusal.text, verdict
            assert verdict.refusal.hint, f"no cause was found for {verdict}"
    return report


def hints(report: Report) -> str:
    return "\n".join(str(verdict.refusal) for verdict in report if verdict.refusal)


@in_plain_child
def _as_we_are() -> None:
    report = examine()
    assert report.threads == 1
    assert report.uid == os.geteuid()
    word = "yes" if IS_ROOT else "with user"
    for kind in PLAIN_KINDS:
        assert says(report[kind, "run"]) == says(report[kind, "call"]) == word
        assert report[kind, "block"].works == IS_ROOT
    assert not report["user", "block"].works
    assert not any(verdict.trace for verdict in report if verdict.verb == "block")


def test_as_whoever_runs_this(store: Path) -> None:
    _as_we_are()


@in_plain_child
def test_as_an_ordinary_user(store: Path) -> None:
    if IS_ROOT:
        os.chmod(store.parent, 0o777)
        for path in store.parents:
            if path.stat().st_uid == 0 and not path.stat().st_mode & 1:
                os.environ["PYNAMESPACES_STORE"] = f"/tmp/pynamespaces-doctor-{os.getpid()}"
        import pynamespaces.trials  # noqa: F401

        os.chdir("/")
        drop_to_user()
    report = examine()
    assert "has no CAP_SYS_ADMIN" in hints(report)
    assert [says(report[kind, "run"]) for kind in PLAIN_KINDS] == ["with user"] * 7
    assert says(report["net", "rejoin"]) == "by run"
    assert says(report["uts", "become_root"]) == "yes"


@in_rootless_child
def test_after_become_root(store: Path) -> None:
    mounts.mount(mounts.tmpfs("/mnt"))
    os.environ["PYNAMESPACES_STORE"] = "/mnt/store"
    report = examine()
    assert says(report["net", "block"]) == says(report["uts", "run"]) == "yes"
    assert says(report["pid", "block"]) == "no"  # not in the base set
    assert "become_root('pid')" in hints(report)
    mounts.unmount("/mnt", lazy=True)


@contextmanager
def python_thread() -> Iterator[str]:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="second")
    thread.start()
    yield Path(f"/proc/self/task/{thread.native_id}/comm").read_text().strip()
    done.set()
    thread.join()


@contextmanager
def native_thread() -> Iterator[str]:
    """One that the threading module does not know."""
    libc = ctypes.CDLL(None)
    handle = ctypes.c_ulong()
    libc.pause.restype = ctypes.c_int
    assert libc.pthread_create(ctypes.byref(handle), None, libc.pause, None) == 0
    name = b"native-worker"
    assert libc.pthread_setname_np(handle, name) == 0
    yield name.decode()
    libc.pthread_cancel(handle)
    libc.pthread_join(handle, None)


@pytest.mark.parametrize("kind_of_thread", [python_thread, native_thread])
def test_with_other_threads(kind_of_thread: Callable[[], Any], store: Path) -> None:
    @in_plain_child
    def test() -> None:
        with kind_of_thread() as name:
            report = examine(threads=True)
            assert report.threads == 2
            tid = procfs.threads()[0][0]
            for verdict in (report["user", "become_root"], report["time", "block"]):
                assert not verdict.works
                if IS_ROOT or verdict.verb == "become_root":
                    assert f"{name} (tid {tid})" in str(verdict.refusal), verdict
            trace = report["mnt", "block"].trace
            if IS_ROOT:
                assert trace is not None
                assert name in trace
                assert "cwd" in trace
                assert trace in str(report)
            assert any(name in text for text in report.found)

    test()


UNSHARE = {"x86_64": 272, "aarch64": 97, "riscv64": 97}[os.uname().machine]
CLONE3 = 435


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("call", ["unshare", "clone3"])
def test_under_a_seccomp_filter(call: str, number: int, store: Path) -> None:
    @in_plain_child
    def test() -> None:
        refuse({"unshare": UNSHARE, "clone3": CLONE3}[call], errno=number)
        report = examine()
        assert any("seccomp" in text for text in report.found)
        if call == "unshare":
            verdict = report["uts", "block"] if IS_ROOT else report["user", "call"]
            assert not verdict.works
            assert verdict.refusal is not None
            assert "a seccomp filter refuses unshare(2)" in str(verdict.refusal.hint)

    test()


def test_with_limits_at_0(store: Path) -> None:
    """In a user namespace of its own, whose root may set them."""

    @in_rootless_child
    def test() -> None:
        os.environ["PYNAMESPACES_STORE"] = f"/tmp/pynamespaces-doctor-{os.getpid()}"
        for row in kinds.TABLE:
            Path(f"/proc/sys/user/max_{row.name}_namespaces").write_text("0")
        report = examine()
        for row in kinds.TABLE:
            assert not report[row.kind, "run"].works
            assert f"user.max_{row.name}_namespaces is 0" in str(report[row.kind, "call"].refusal)
        assert sum("is 0: no" in text for text in report.found) == 8

    test()


def test_in_a_chroot(store: Path) -> None:
    @in_child
    def test() -> None:
        new = f"/mnt/chroot-{os.getpid()}"
        mounts.mount(mounts.tmpfs("/mnt"))
        os.mkdir(new)
        for name in os.listdir("/"):
            if os.path.islink(f"/{name}"):
                os.symlink(os.readlink(f"/{name}"), f"{new}/{name}")
            elif os.path.isdir(f"/{name}") and name != "mnt":
                os.mkdir(f"{new}/{name}")
                mounts.mount(mounts.bind(f"/{name}", f"{new}/{name}", recursive=True))
        os.mkdir(f"{new}/mnt")
        os.environ["PYNAMESPACES_STORE"] = "/mnt/store"
        root = os.open("/", os.O_PATH)
        os.chroot(new)
        os.chdir("/")
        report = examine()
        assert not report["user", "run"].works
        assert "this thread is in a chroot" in str(report["user", "run"].refusal)
        assert any("chroot" in text for text in report.found)
        os.fchdir(root)
        os.chroot(".")
        os.close(root)
        mounts.unmount("/mnt", lazy=True)

    test()


def test_with_a_masked_proc(store: Path) -> None:
    @in_child
    def test() -> None:
        assert says(doctor()[Kind.PID | Kind.MNT, "proc"]) in ("yes", "with user")
        mounts.mount(mounts.tmpfs("/proc/tty"))
        report = examine()
        verdict = report["mnt", "run"]
        assert verdict.works
        assert any("/proc/tty" in text for text in report.found)
        with_user = refusal_of(Isolation("user", "pid", "mnt"))
        assert with_user is not None
        assert "parts of /proc are masked (/proc/tty)" in with_user
        mounts.unmount("/proc/tty")

    test()


def test_under_a_shared_mount(store: Path) -> None:
    @in_child
    def test() -> None:
        mounts.propagate("/", "shared")
        report = examine()
        assert any("/ is a shared mount" in text for text in report.found)
        mounts.propagate("/", "private")

    test()


SETHOSTNAME = {"x86_64": 170, "aarch64": 161, "riscv64": 161}[os.uname().machine]


@pytest.mark.parametrize(
    ("switch", "position", "call"),
    [("apparmor_restrict_unprivileged_userns", "1", SETHOSTNAME), ("unprivileged_userns_clone", "0", UNSHARE)],
)
def test_a_distribution_s_switch(switch: str, position: str, call: int) -> None:
    """Played by a sysctl of that name, and a filter that refuses what such a kernel refuses."""

    @in_rootless_child
    def test() -> None:
        mounts.mount(mounts.tmpfs("/proc/sys/kernel"))
        Path(f"/proc/sys/kernel/{switch}").write_text(f"{position}\n")
        refuse(call, errno=errno.EPERM)
        place = Isolation("user", "uts", hostname="web")
        why = refusal_of(place, "call" if call == UNSHARE else "run")
        assert why is not None
        assert f"kernel.{switch} is {position}" in why
        assert f"sysctl -w kernel.{switch}={1 - int(position)}" in why
        mounts.unmount("/proc/sys/kernel", lazy=True)

    test()


@in_plain_child
def test_the_reason_is_one_line_found_once(store: Path) -> None:
    place = Isolation("user", "mnt", mounts=[mounts.bind("/no/such/directory", "/mnt")])
    for verb in ("run", "call"):
        why = refusal_of(place, verb)
        assert why is not None
        assert "\n" not in why
        assert "bind(/no/such/directory on /mnt)" in why
    import pynamespaces.doctor as module

    before = dict(module._tried)
    assert refusal_of(place, "run") == before[next(key for key in before if key[:2] == (place, "run"))]
    assert module._tried == before
    assert refusal_of(Isolation("user", "net", "uts", hostname="web")) is None
    with pytest.raises(ValueError, match="block, run, call"):
        refusal_of(place, "sing")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hostname"):
        refusal_of(Isolation("user", hostname="web"))
    assert (refusal_of(Isolation("uts"), "block") is None) == IS_ROOT


def test_the_module_is_the_function() -> None:
    """``pynamespaces.doctor()``, whether or not somebody has imported the module of that name."""
    for first in ("import pynamespaces.doctor", "from pynamespaces.doctor import refusal_of", "pass"):
        code = f"import pynamespaces\n{first}\nassert callable(pynamespaces.doctor)\nfrom pynamespaces import doctor\n"
        code += "assert doctor()['user', 'block'].works is False and pynamespaces.doctor().uid >= 0"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, first


def test_the_command() -> None:
    command = [sys.executable, "-m", "pynamespaces", "doctor"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for word in (*VERBS, *kinds.NAMES, "a fresh /proc", "subordinate ids", f"uid {os.geteuid()}"):
        assert word in text
    data = json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout)
    assert len(data["verdicts"]) == len(kinds.TABLE) * len(VERBS) + 2
    assert all(isinstance(verdict["works"], bool) for verdict in data["verdicts"])
    assert {verdict["verb"] for verdict in data["verdicts"]} == {*VERBS, "proc", "subids"}


@in_child
def test_a_trial_that_is_interrupted_leaves_no_child() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    before = state()["children"]
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(KeyboardInterrupt):
        trials.in_child(signal.pause)
    assert state()["children"] == before
