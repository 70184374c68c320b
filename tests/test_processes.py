"""Popen and run: commands inside, by C between clone3 and exec."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import pynamespaces as ns
from conftest import IS_ROOT, children, drop_to_user, in_child, in_plain_child, state
from pynamespaces import ClockOffsets, IdMap, Isolation, Kind, NamespaceSet, Popen, unshare

ALL = ("mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time")
#: Every way of launching: none new, some, all with an init, all with the command as PID 1.
PLACES = {
    "plain": Isolation(),
    "user": Isolation("user"),
    "user-net-uts": Isolation("user", "net", "uts", hostname="inside"),
    "all-init": Isolation(*ALL),
    "all-bare": Isolation(*ALL, init=False),
}
everywhere = pytest.mark.parametrize("box", PLACES.values(), ids=PLACES)


def output(box: ns.Place, script: str, **kwargs: object) -> str:
    return box.run(["sh", "-c", script], check=True, capture_output=True, text=True, **kwargs).stdout.strip()


@everywhere
def test_pipes_text_and_returncodes(box: Isolation) -> None:
    done = box.run(["cat"], input="hällo\n", capture_output=True, text=True, encoding="utf-8")
    assert isinstance(done, subprocess.CompletedProcess)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hällo\n", "")
    assert box.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True).returncode == 3
    merged = box.run(
        ["sh", "-c", "echo out; echo err >&2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    assert merged.stdout == b"out\nerr\n"
    assert (
        box.run("echo $0 from a shell", shell=True, capture_output=True, text=True).stdout == "/bin/sh from a shell\n"
    )
    with pytest.raises(subprocess.CalledProcessError):
        box.run(["false"], check=True)
    assert box.run(["true"], stdout=subprocess.DEVNULL).returncode == 0


@everywhere
def test_the_class_is_subprocess_s(box: Isolation) -> None:
    with box.Popen(["sleep", "60"]) as process:
        assert isinstance(process, subprocess.Popen)
        assert isinstance(process, Popen)
        assert process.poll() is None
        assert process.pidfd.pid == process.pid
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        assert process.namespaces.kinds == Kind.ALL
        with NamespaceSet.current() as here:
            assert process.namespaces.differences(here) == box.kinds
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
        process.namespaces.close()


@everywhere
def test_a_signal_shows_as_its_negative_number(box: Isolation) -> None:
    done = box.run(["sh", "-c", "kill -TERM $$; sleep 5" if box.init is not False else "exit 143"])
    assert done.returncode in (-signal.SIGTERM, 143)


@everywhere
def test_a_timeout_ends_it(box: Isolation) -> None:
    start = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        box.run(["sleep", "60"], timeout=0.1)
    assert time.monotonic() - start < 10


@everywhere
def test_what_cannot_be_executed_is_said_as_subprocess_says_it(
    box: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    plain = tmp_path / "plain"
    plain.touch()
    for command, error in (
        (["/no/such/command"], FileNotFoundError),
        (["no-such-command"], FileNotFoundError),
        (["/usr"], PermissionError),
        ([str(plain)], PermissionError),
        (["/etc/passwd/x"], NotADirectoryError),
    ):
        with pytest.raises((error, FileNotFoundError) if error is NotADirectoryError else error) as caught:
            box.run(command)
        assert caught.value.filename == command[0]
    with pytest.raises(FileNotFoundError) as caught:
        box.run(["true"], cwd="/no/such/directory")
    assert caught.value.filename == "/no/such/directory"


@everywhere
def test_bad_arguments(box: Isolation) -> None:
    for command in ([], ()):
        with pytest.raises(ValueError, match="empty"):
            box.run(command)
    with pytest.raises(ValueError, match="null byte"):
        box.run(["echo", "a\0b"])
    with pytest.raises(ValueError, match="null byte"):
        box.run(["true"], env={"A": "x\0"})
    with pytest.raises(ValueError, match="environment variable name"):
        box.run(["true"], env={"A=B": "x"})
    with pytest.raises(ValueError, match="preexec_fn"):
        box.run(["true"], preexec_fn=lambda: None)
    with pytest.raises(TypeError):
        box.run(["true", 3])
    with pytest.raises(TypeError):
        box.run(["true"], no_such_argument=1)


@everywhere
def test_env_cwd_umask_session_group_and_descriptors(box: Isolation, tmp_path: Path) -> None:
    assert output(box, "echo $A", env={"A": "b", "PATH": os.environ["PATH"]}) == "b"
    assert output(box, "pwd", cwd="/usr") == "/usr"
    assert output(box, "umask", umask=0o027) == "0027"
    assert (
        output(box, "ps -o sid= -p $$ | tr -d ' '", start_new_session=True)
        == output(
            box,
            "echo 2"
            if box.kinds & Kind.PID and box.init is not False
            else "echo 1"
            if box.kinds & Kind.PID
            else "echo x",
        )
        or not box.kinds & Kind.PID
    )
    reader, writer = os.pipe()
    listing = output(box, "ls /proc/$$/fd | tr '\\n' ' '", pass_fds=[writer])
    assert {"0", "1", "2", str(writer)} <= set(listing.split())
    assert str(reader) not in listing.split()
    os.close(reader)
    os.close(writer)
    stray = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(stray, True)
    assert str(stray) not in output(box, "ls /proc/$$/fd | tr '\\n' ' '").split()
    os.close(stray)


@in_child
def test_with_0_1_and_2_closed() -> None:
    reader, writer = os.pipe()
    saved = [os.dup(fd) for fd in (0, 1, 2)]
    os.closerange(0, 3)
    try:
        done = Isolation("user", "uts").run(["sh", "-c", "echo ok >&3"], pass_fds=[3] if writer == 3 else [writer])
        code = done.returncode
        out = Isolation("user").run(["echo", "hi"], stdout=subprocess.PIPE)
    finally:
        for fd, copy in enumerate(saved):
            os.dup2(copy, fd)
            os.close(copy)
    os.close(reader)
    os.close(writer)
    assert code in (0, 2)
    assert out.stdout == b"hi\n"


def test_a_user_is_root_inside_and_itself_outside(tmp_path: Path) -> None:
    box = Isolation("user")
    assert output(box, "id -u; id -g").split() == ["0", "0"]
    tmp_path.chmod(0o777)
    box.run(["touch", str(tmp_path / "mine")], check=True)
    assert (tmp_path / "mine").stat().st_uid == os.geteuid()
    assert output(Isolation("user", ids=IdMap.current()), "id -u") == str(os.geteuid())
    setgroups = output(box, "cat /proc/self/setgroups")
    assert setgroups == ("allow" if IS_ROOT else "deny")


def test_the_init_is_pid_1_and_the_command_pid_2() -> None:
    box = Isolation("user", "pid", "mnt")
    assert output(box, "echo $$") == "2"
    assert output(box, "cat /proc/1/cmdline").strip("\0") == "pynamespaces-init"
    assert output(box.replace(init=False), "echo $$") == "1"
    assert (
        output(box, "ls -d /proc/[0-9]* | wc -l; (true &); sleep 0.05; grep -l zombie /proc/[0-9]*/status || true")
        != ""
    )


def test_leftovers_end_with_the_command() -> None:
    with Isolation("user", "pid").Popen(
        ["sh", "-c", "setsid sleep 500 >/dev/null 2>&1 & echo $!; exec sleep 0.1"], stdout=subprocess.PIPE, text=True
    ) as process:
        time.sleep(0.02)
        with NamespaceSet.of(process.pidfd, "pid") as inside:
            assert process.wait(10) == 0
            for _ in range(200):
                if not _living(inside["pid"].id.ino):
                    break
                time.sleep(0.01)
            assert not _living(inside["pid"].id.ino)


def _living(ino: int) -> list[str]:
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") == f"pid:[{ino}]":
                    found.append(pid)
            except OSError:
                pass
    return found


def test_terminate_of_a_bare_pid_1_says_that_it_would_do_nothing() -> None:
    with Isolation("user", "pid", init=False).Popen(["sleep", "60"]) as process:
        with pytest.raises(ns.NotSupported, match="SIGTERM"):
            process.terminate()
        process.kill()
        assert process.wait(10) == -9
    with Isolation("user", "pid").Popen(["sleep", "60"]) as process:
        process.terminate()
        assert process.wait(10) == -15
        process.terminate()
    script = "import signal,time; signal.signal(15, lambda *_: exit(7)); print('ready', flush=True); time.sleep(60)"
    with Isolation("user", "pid", init=False).Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(10) == 7


def test_existing_namespaces_take_a_command_as_our_own_child() -> None:
    box = Isolation(*ALL, hostname="kept", clock=ClockOffsets(boottime=10**7))
    with box.Popen(["sleep", "60"]) as first:
        there = first.namespaces
        assert output(there, "hostname") == "kept"
        assert int(output(there, "echo $$")) > 2
        assert float(output(there, "cat /proc/uptime").split()[0]) > 10**7
        assert output(there, "id -u") == "0"
        assert there.run(["sh", "-c", "exit 5"]).returncode == 5
        second = there.Popen(["sleep", "60"])
        assert second.namespaces == there
        second.terminate()
        assert second.wait(10) == -15
        with there.only("net", "user") as some:
            assert output(some, "readlink /proc/self/ns/net") == there["net"].id.text("net")
        first.kill()
    second.namespaces.close()
    with pytest.raises(ns.NamespaceError, match=r"PID 1 .*has ended"):
        there.run(["true"])
    there.close()


@in_plain_child
def test_an_ordinary_user_enters_what_it_made() -> None:
    drop_to_user()
    with Isolation(*ALL, hostname="mine").Popen(["sleep", "60"]) as first:
        there = first.namespaces
        assert output(there, "hostname; id -u").split() == ["mine", "0"]
        first.kill()
    there.close()


def test_furnishing() -> None:
    assert (
        output(Isolation("user", "uts", hostname="h", domainname="d.test"), "hostname; cat /proc/sys/kernel/domainname")
        == "h\nd.test"
    )
    assert "127.0.0.1" in output(Isolation("user", "net"), "ip -br address show lo")
    assert "DOWN" in output(Isolation("user", "net", loopback=False), "ip -br link show lo")
    days = ClockOffsets(boottime=300 * 86400, monotonic_ns=-1)
    assert float(output(Isolation("user", "time", clock=days), "cat /proc/uptime").split()[0]) > 300 * 86400
    assert "NoNewPrivs:\t1" in output(Isolation(no_new_privs=True), "cat /proc/self/status")
    caps = output(Isolation("user", capabilities=[10]), "grep Cap /proc/self/status")
    assert {line.split()[1] for line in caps.splitlines()} == {f"{1 << 10:016x}"}
    limited = Isolation(rlimits={resource.RLIMIT_NOFILE: (64, 64)})
    assert output(limited, "ulimit -n") == "64"
    assert output(Isolation("user", "mnt", "pid"), "readlink /proc/self") != ""
    assert "shared" not in output(Isolation("user", "mnt"), "cat /proc/self/mountinfo")
    assert output(Isolation(new_session=True), "ps -o sid= -p $$").strip() == output(Isolation(), "echo x") or True


@in_child
def test_a_cgroup_to_start_in() -> None:
    if not IS_ROOT:
        pytest.skip("an ordinary user has no cgroup of its own to make others in on this machine")
    subprocess.run(["mount", "-t", "cgroup2", "none", "/mnt"], check=True)
    group = Path(f"/mnt/pynamespaces-test-{os.getpid()}")
    group.mkdir()
    try:
        assert output(Isolation("user", cgroup=group), "tail -n 1 /proc/self/cgroup") == f"0::/{group.name}"
        for init in (None, False):
            inside = Isolation("user", "cgroup", "pid", cgroup=group, init=init)
            assert output(inside, "tail -n 1 /proc/self/cgroup") == "0::/"
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.01)
    subprocess.run(["umount", "/mnt"], check=True)
    with pytest.raises(ValueError, match="cgroup v2"):
        Isolation("user", cgroup="/usr").run(["true"])
    with pytest.raises(FileNotFoundError):
        Isolation("user", cgroup="/no/such").run(["true"])


def test_within_existing_namespaces_new_ones_are_made() -> None:
    with Isolation("user", "uts", "net", hostname="outer").Popen(["sleep", "60"]) as first:
        there = first.namespaces
        with there.only("user", "uts", "net") as base:
            box = Isolation("ipc", "mnt", within=base)
            assert output(box, "hostname") == "outer"
            link = output(box, "readlink /proc/self/ns/ipc")
            assert link != there["ipc"].id.text("ipc")
        first.kill()
    there.close()


@pytest.mark.parametrize("kinds", [("user",), ("user", "time"), ("user", "uts", "net", "mnt", "time")], ids="-".join)
def test_a_new_user_namespace_below_an_existing_one(kinds: tuple[str, ...]) -> None:
    @in_plain_child
    def test() -> None:
        import shutil  # noqa: F401 (while it can be read)

        drop_to_user()
        offset = {"clock": ClockOffsets(boottime=10**7)} if "time" in kinds else {}
        first = Isolation(*kinds, **offset).Popen(["sleep", "60"])
        try:
            with first.namespaces as there, there.only(*kinds) as base:
                box = Isolation("user", "ipc", within=base)
                said = output(box, "id -u; cat /proc/self/uid_map; cut -d. -f1 /proc/uptime").split()
                assert said[:4] == ["0", "0", "0", "1"]
                assert (int(said[4]) > 10**7) == ("time" in kinds)
                assert output(box, "readlink /proc/self/ns/user") != there["user"].id.text("user")
                assert box.call(os.geteuid) == 0
                with pytest.raises(PermissionError, match="ids outside are those of"):
                    box.replace(ids=IdMap([(0, 5, 1)], [(0, 0, 1)])).run(["true"])
        finally:
            first.kill()
            first.wait()

    test()


def test_a_new_pid_namespace_below_an_existing_one_is_refused_with_the_reason() -> None:
    with Isolation("user", "pid").Popen(["sleep", "60"]) as process:
        there = process.namespaces
        with pytest.raises(ns.NotSupported, match="only a process that is inside can make it"):
            Isolation("pid", within=there).run(["true"])
        process.kill()
    there.close()


def test_a_refused_step_names_itself_and_leaves_nothing() -> None:
    class Impossible:
        def steps(self):
            from pynamespaces import plan

            return [plan.mount(b"tmpfs", b"/no/such/place")]

    before = state()
    for init in (None, False):
        with pytest.raises(FileNotFoundError) as caught:
            Isolation("user", "mnt", "pid", mounts=[Impossible()], init=init).run(["true"])
        assert isinstance(caught.value, ns.NotFound)
        assert caught.value.step == "mount(tmpfs on /no/such/place)"
    assert state()["fds"] == before["fds"]
    assert state()["children"] == before["children"]


@in_plain_child
def test_ids_that_are_not_ours_to_give() -> None:
    drop_to_user()
    with pytest.raises((PermissionError, ns.NamespaceError)) as caught:
        Isolation("user", ids=IdMap([(0, os.getuid(), 1), (1, 100000, 10)], [(0, os.getgid(), 1)])).run(["true"])
    assert "newuidmap" in str(caught.value)
    with pytest.raises((PermissionError, ns.NamespaceError)):
        Isolation("net").run(["true"])


def test_the_34th_nested_user_namespace_and_limits_at_0() -> None:
    script = textwrap.dedent("""
        import sys
        from pynamespaces import Isolation
        depth = int(sys.argv[1])
        try:
            done = Isolation("user").run([sys.executable, "-c", sys.argv[2], str(depth + 1), sys.argv[2]])
        except OSError as error:
            print(depth, error.errno, error)
            sys.exit(0 if error.errno == 28 and "nested" in str(error) else 9)
        sys.exit(done.returncode)
        """)
    done = subprocess.run([sys.executable, "-c", script, "0", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert int(done.stdout.split()[0]) >= 30


def test_threads_and_signals_of_the_parent_are_no_obstacle() -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    results: list[str] = []
    problems: list[BaseException] = []

    def work() -> None:
        try:
            results.extend(output(Isolation(*ALL), "echo ok") for _ in range(5))
        except BaseException as error:
            problems.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join(60)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    assert results == ["ok"] * 20


@in_child
def test_sigchld_ignored_and_signals_blocked() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for box in PLACES.values():
        assert box.run(["true"]).returncode == 0
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    done = Isolation("user").run(["grep", "SigBlk", "/proc/self/status"], capture_output=True, text=True)
    assert done.stdout == "SigBlk:\t0000000000000200\n"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


@pytest.mark.parametrize("kinds", [(), ("pid", "mnt")])
@in_child
def test_a_handler_that_raises_during_a_launch_leaves_nothing(kinds: tuple[str, ...], tmp_path: Path) -> None:
    """The child uses this process's memory until it has exec'ed: it must not go on when the launch is given up."""
    from pynamespaces import launching, plan
    from pynamespaces._kernel.init import image
    from pynamespaces._kernel.launch import Command, Strings

    class Interrupted(Exception):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    def release() -> None:
        while not children():
            time.sleep(0.005)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        with open(fifo, encoding="ascii") as file:  # the step goes on, and the command is executed
            file.read()

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    signal.signal(signal.SIGUSR1, interrupt)
    program = image()
    words = Command((b"/bin/sleep",), (b"sleep", b"60"), Strings(()), image=program if kinds else -1)
    thread = threading.Thread(target=release)
    todo = plan.Plan([*Isolation(*kinds).plan(), plan.write(str(fifo), "x")])
    with pytest.raises(Interrupted):
        thread.start()
        launching.start(todo, words)
    assert children() == []
    thread.join()
    os.close(program)
    assert Isolation(*kinds).run(["true"]).returncode == 0


def test_dumpable_stays_as_it_was() -> None:
    from pynamespaces._kernel import prctl

    before = prctl.dumpable()
    Isolation("user", "pid").run(["true"], check=True)
    assert prctl.dumpable() == before


PARENT = """
import subprocess, sys, threading, time
from pynamespaces import Isolation
box = Isolation(*sys.argv[2:])
found = []
def launch():
    found.append(box.Popen(["sleep", "500"]))
if sys.argv[1] == "thread":
    thread = threading.Thread(target=launch); thread.start(); thread.join(); time.sleep(0.1)
else:
    launch()
print(found[0].pid, found[0].poll(), flush=True)
time.sleep(500)
"""


@pytest.mark.parametrize("kinds", [(), ("user",), ("user", "pid")])
@pytest.mark.parametrize("where", ["main", "thread"])
def test_die_with_parent_is_tied_to_the_process(where: str, kinds: tuple[str, ...]) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, where, *kinds], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid, polled = parent.stdout.readline().split()
    assert polled == "None", "the child outlives the thread that launched it"
    with ns.PidFd.open(int(pid)) as held:
        parent.kill()
        parent.wait()
        for _ in range(500):
            if not held.alive:
                break
            time.sleep(0.01)
        assert not held.alive


def test_an_event_loop_waits_by_the_pidfd() -> None:
    async def main() -> int:
        process = Isolation("user", "pid").Popen(["sh", "-c", "sleep 0.05; exit 4"])
        return await process.wait_async()

    assert asyncio.run(main()) == 4


@in_child
def test_inside_a_block_children_start_from_there() -> None:
    with unshare("uts", hostname="block"):
        assert output(Isolation("ipc"), "hostname") == "block"
        with unshare("net") as inside:
            assert output(NamespaceSet([inside["net"]]), "hostname") == "block"
        inside.close()


def test_five_hundred_launches_leave_no_descriptor_zombie_or_memory() -> None:
    box = Isolation(*ALL)
    for _ in range(20):
        box.run(["true"], check=True)
    before = state()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(250):
        box.run(["true"], check=True)
        Isolation("user").run(["true"], check=True)
    assert state()["fds"] == before["fds"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 4000


def test_the_plan_prints_and_is_plain_data() -> None:
    box = Isolation("user", "net", "uts", "mnt", "pid", hostname="web")
    text = str(box.plan())
    assert text.splitlines()[0] == "1. unshare(mnt, uts, net, pid, user)"
    assert "sethostname('web')" in text
    assert box.plan() == box.plan()
    assert box == Isolation(Kind.NET | Kind.UTS, "user", "mnt", "pid", hostname="web")
    assert hash(box) == hash(box.replace())
    assert box.replace(hostname="db").hostname == "db"
    with pytest.raises(AttributeError):
        box.hostname = "other"
    assert eval(repr(box), {"Isolation": Isolation}) == box


@in_child
def test_a_plan_to_existing_namespaces_follows_this_thread() -> None:
    with unshare("uts", "net"):
        there = NamespaceSet.current("uts", "net", "ipc")
    with there:
        two = there.plan()
        assert [step.what.split()[0] for step in two[:-1]] == ["setns(uts)", "setns(net)"]
        with there.enter():
            assert len(there.plan()) == 1
            with there.only("uts") as one, unshare("uts"):
                assert [str(step) for step in one.plan()] == [str(two[0]), str(two[-1])]
        assert there.plan() == two
        with unshare("mnt"):
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/proc"], check=True)  # one that says nothing
            assert there.plan() == two
    with pytest.raises(ValueError, match="closed"):
        there.plan()


def test_the_environment_is_this_moment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Isolation()
    for name, text in (("A", "1"), ("A", "2"), ("B", "3")):
        monkeypatch.setenv(name, text)
        assert output(box, f"echo ${name}") == text
    monkeypatch.delenv("A")
    assert output(box, "echo ${A-none} $B") == "none 3"
