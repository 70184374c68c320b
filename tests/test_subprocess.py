"""What subprocess promises of `run` and `Popen`, behaviour by behaviour: by subprocess itself, and by ours with no
namespace, with new ones, under an init, as PID 1 and in existing ones.

The first parameter keeps the tests honest: what subprocess does not do is not asked of ours.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import inspect
import io
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pynamespaces
from conftest import IS_ROOT, in_plain_child, needs_root, state
from pynamespaces import IdMap, Isolation
from pynamespaces.processes import Popen as OurPopen

PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL
#: Longer than any command here needs.
LONG = 20


class Stdlib:
    """subprocess with the verbs of a place."""

    run = staticmethod(subprocess.run)
    Popen = subprocess.Popen


BOXES: dict[str, Any] = {
    "subprocess": Stdlib(),
    "none": Isolation(),
    "user": Isolation("user", "net", "uts", "ipc", "mnt", "cgroup"),
    "init": Isolation("user", "mnt", "pid"),
    "bare": Isolation("user", "mnt", "pid", "time", init=False),
}


@pytest.fixture(scope="module", autouse=True)
def existing() -> Iterator[pynamespaces.NamespaceSet]:
    """A pid, user, net, mnt … namespace that a process of ours lives in."""
    process = Isolation("user", "mnt", "pid", "net", "uts").Popen(["sleep", "600"])
    there = process.namespaces
    yield there
    process.kill()
    process.wait()
    there.close()


@pytest.fixture(params=[*BOXES, "existing"])
def box(request: pytest.FixtureRequest) -> Any:
    if request.param == "existing":
        return request.getfixturevalue("existing")
    return BOXES[request.param]


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def output(box: Any, argv: Any, **kwargs: Any) -> str:
    return box.run(argv, stdout=PIPE, check=True, text=True, timeout=LONG, **kwargs).stdout


def is_pid_1(box: Any) -> bool:
    return getattr(box, "init", None) is False


# Pipes, files, text


def test_each_stream_alone_and_together(box: Any) -> None:
    with box.Popen(["cat"], stdin=PIPE, stdout=PIPE) as process:
        assert process.communicate(b"pear", timeout=LONG) == (b"pear", None)
    with box.Popen(["sh", "-c", "printf out"], stdout=PIPE) as process:
        assert process.stdout.read() == b"out"
    with box.Popen(["sh", "-c", "printf err >&2"], stderr=PIPE) as process:
        assert process.communicate(timeout=LONG) == (None, b"err")
    with box.Popen(["sh", "-c", "cat; printf err >&2"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.communicate(b"in", timeout=LONG) == (b"in", b"err")
    with box.Popen(["sh", "-c", "printf a; printf b >&2"], stdout=PIPE, stderr=STDOUT) as process:
        assert process.communicate(timeout=LONG) == (b"ab", None)
    with box.Popen(["true"], stdin=PIPE) as process:
        assert process.communicate(timeout=LONG) == (None, None)


def test_files_and_descriptors_as_streams(box: Any) -> None:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(b"strawberry")
        source.seek(0)
        box.run(["cat"], stdin=source, stdout=target.fileno(), check=True)
        target.seek(0)
        assert target.read() == b"strawberry"
        target.seek(0)
        box.run(["sh", "-c", "printf 123; printf 45 >&2"], stdout=target, stderr=target, check=True)
        target.seek(0)
        assert target.read(5) == b"12345"
    assert box.run(["cat"], stdin=DEVNULL, stdout=PIPE).stdout == b""
    assert box.run(["sh", "-c", "echo gone; echo gone >&2"], stdout=DEVNULL, stderr=DEVNULL).returncode == 0


def test_a_descriptor_that_is_not_open(box: Any) -> None:
    with pytest.raises(OSError) as caught:
        box.run(["true"], stdout=999)
    assert caught.value.errno == errno.EBADF


def test_stderr_to_a_stdout_that_is_inherited(box: Any, capfd: pytest.CaptureFixture[str]) -> None:
    box.run(["sh", "-c", "echo said >&2"], stderr=STDOUT, check=True)
    assert capfd.readouterr().out == "said\n"


@pytest.mark.parametrize(("mode", "sent"), [({"text": True}, "a\nb\n"), ({"universal_newlines": True}, "a\nb\n")])
def test_text_translates_newlines(box: Any, mode: dict[str, Any], sent: str) -> None:
    done = box.run(["sh", "-c", r"cat; printf 'c\r\nd\re\n'"], input=sent, stdout=PIPE, **mode)
    assert done.stdout == "a\nb\nc\nd\ne\n"


def test_encodings_and_errors(box: Any) -> None:
    for encoding in ("utf-16", "utf-32-be", "iso8859-1"):
        done = box.run(["cat"], input="1\r\n2\r3\nä", stdout=PIPE, encoding=encoding)
        assert done.stdout == "1\n2\n3\nä"
    broken = [b"sh", b"-c", rb"printf '\200\200'"]
    assert box.run(broken, stdout=PIPE, errors="surrogateescape", encoding="utf-8").stdout == "\udc80\udc80"
    assert box.run(broken, stdout=PIPE, errors="replace", encoding="utf-8").stdout == "\ufffd\ufffd"
    with pytest.raises(UnicodeDecodeError):
        box.run(broken, stdout=PIPE, encoding="utf-8")


def test_buffering(box: Any) -> None:
    with box.Popen(["cat"], bufsize=0, stdin=PIPE, stdout=PIPE) as process:
        assert isinstance(process.stdin, io.FileIO)
        process.stdin.write(b"x")
        assert process.stdout.read(1) == b"x"
    with box.Popen(["cat"], bufsize=1, stdin=PIPE, stdout=PIPE, text=True) as process:
        process.stdin.write("line\n")
        assert process.stdout.readline() == "line\n", "line buffering sends whole lines"
    with box.Popen(["true"], bufsize=None):
        pass
    with pytest.raises(TypeError, match="integer"):
        box.Popen(["true"], bufsize="odd")


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="this Python's fcntl has no F_GETPIPE_SZ")
def test_pipesize(box: Any) -> None:
    with box.Popen(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE, pipesize=8192) as process:
        assert {fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) for pipe in (process.stdin, process.stdout, process.stderr)} == {
            8192
        }
        process.communicate(timeout=LONG)


# communicate


def test_much_data_both_ways(box: Any) -> None:
    data = os.urandom(1 << 20)
    with box.Popen(["sh", "-c", "head -c 1000000 /dev/zero >&2; cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        out, err = process.communicate(data, timeout=LONG)
    assert out == data
    assert err == bytes(1_000_000)
    assert box.run(["cat"], input=memoryview(data), stdout=PIPE).stdout == data


def test_communicate_goes_on_after_a_timeout(box: Any) -> None:
    data = b"x" * 3000
    with box.Popen(["sh", "-c", "sleep 0.3; cat"], stdin=PIPE, stdout=PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            process.communicate(data, timeout=0.05)
        assert (caught.value.cmd, caught.value.timeout) == (process.args, 0.05)
        assert process.communicate(timeout=LONG)[0] == data


def test_run_s_timeout_has_what_was_said(box: Any) -> None:
    start = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        box.run(["sh", "-c", "printf BDFL; exec sleep 15"], stdout=PIPE, timeout=0.5)
    assert caught.value.output == b"BDFL"
    assert time.monotonic() - start < LONG


def test_a_reader_that_is_gone(box: Any) -> None:
    with box.Popen(["true"], stdin=PIPE) as process:
        process.communicate(b"x" * (1 << 20), timeout=LONG)  # EPIPE is no news
    assert process.returncode == 0
    process = box.Popen(["true"], bufsize=1 << 20, stdin=PIPE)
    process.stdin.write(b"x" * (1 << 19))
    with pytest.raises(BrokenPipeError), process:
        process.wait(LONG)
    with box.Popen(["sh", "-c", "exec >&-; cat >/dev/null"], stdin=PIPE, stdout=PIPE) as process:
        process.stdout.close()
        assert process.wait is not None


def test_bad_combinations(box: Any) -> None:
    with pytest.raises(ValueError, match="stdin and input"):
        box.run(["true"], input=b"", stdin=PIPE)
    for stream in ("stdout", "stderr"):
        with pytest.raises(ValueError, match="capture_output"):
            box.run(["true"], capture_output=True, **{stream: PIPE})
    with pytest.raises(subprocess.SubprocessError):
        box.run(["true"], text=True, universal_newlines=False)
    with pytest.raises(ValueError, match="Windows"):
        box.Popen(["true"], startupinfo=object())
    with pytest.raises(ValueError, match="Windows"):
        box.Popen(["true"], creationflags=1)


# What is executed, and with what words


def test_executable_is_run_and_argv_0_is_only_a_name(box: Any) -> None:
    assert output(box, ["any name", "-c", 'printf %s "$0"'], executable="/bin/sh") == "any name"
    assert output(box, [b"other", b"-c", b'printf %s "$0"'], executable=b"/bin/sh") == "other"
    assert output(box, ["other", "-c", 'printf %s "$0"'], executable=Path("/bin/sh")) == "other"
    with pytest.raises(FileNotFoundError) as caught:
        box.run(["sh"], executable="/no/such/program")
    assert caught.value.filename == "/no/such/program"


def test_shell(box: Any) -> None:
    assert output(box, "printf %s $SHELL_TEST", shell=True, env={**os.environ, "SHELL_TEST": "apple"}) == "apple"
    assert output(box, b"printf '%s '  a b", shell=True) == "a b "
    assert output(box, ["printf %s $1$0", "0", "1"], shell=True) == "10", "the rest are the shell's own arguments"
    assert output(box, 'printf %s "$0"', shell=True) == "/bin/sh"
    name = output(box, 'printf %s "$0"', shell=True, executable="/bin/bash") if Path("/bin/bash").exists() else None
    assert name in ("/bin/bash", None)
    with pytest.raises(TypeError, match="shell"):
        box.run(Path("/bin/true"), shell=True)
    assert box.run("exit 47", shell=True).returncode == 47
    assert box.run("no-such-command-at-all", shell=True, stderr=DEVNULL).returncode == 127
    with box.Popen("sleep 15", shell=True) as process:
        process.kill()
        assert process.wait(LONG) == -signal.SIGKILL


def test_forms_of_the_command(box: Any) -> None:
    assert box.run("true").returncode == 0
    assert box.run(b"true").returncode == 0
    assert box.run(Path("/bin/true")).returncode == 0
    assert box.run(("true",)).returncode == 0
    assert output(box, [b"printf", b"%s", Path("a")]) == "a"
    assert box.run(iter(["true"])).returncode == 0
    with pytest.raises(FileNotFoundError):
        box.run("true with spaces")
    with pytest.raises((ValueError, IndexError)):
        box.run([])
    with pytest.raises(TypeError):
        box.run(["true", 3])
    with pytest.raises(OSError):
        box.run([""])


def test_nul_bytes(box: Any) -> None:
    for bad in (["printf", "a\0b"], ["tr\0ue"], "tr\0ue"):
        with pytest.raises(ValueError, match="null"):
            box.run(bad)
    for environment in ({"A\0": "b"}, {"A": "b\0"}):
        with pytest.raises(ValueError):
            box.run(["true"], env={**os.environ, **environment})
    with pytest.raises(ValueError, match="null"):
        box.run(["true"], cwd="a\0b")
    with pytest.raises(ValueError, match="illegal environment variable name"):
        box.run(["true"], env={"A=B": "c"})


def test_names_that_do_not_decode(box: Any) -> None:
    text = "na\udcffme"
    assert box.run(["printf", "%s", text], stdout=PIPE).stdout == os.fsencode(text)
    assert box.run(["sh", "-c", 'printf %s "$T"'], env={**os.environ, "T": text}, stdout=PIPE).stdout == os.fsencode(
        text
    )
    assert box.run([b"printf", b"%s", b"\xff"], stdout=PIPE).stdout == b"\xff"


def test_too_many_words(box: Any) -> None:
    with pytest.raises(OSError) as caught:
        box.run(["true", *["x" * 100_000] * 40])
    assert caught.value.errno == errno.E2BIG


def test_what_cannot_be_executed(box: Any, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"no shebang, no ELF\n")
    script.chmod(0o644)
    cases: list[tuple[Any, type[OSError]]] = [
        ("/no/such", FileNotFoundError),
        ("no-such-command-at-all", FileNotFoundError),
        ("/usr", PermissionError),
        (str(script), PermissionError),
        ("/etc/passwd/x", NotADirectoryError),
    ]
    for name, error in cases:
        with pytest.raises(error) as caught:
            box.run([name])
        assert caught.value.filename == name
        assert caught.value.strerror in (os.strerror(number) for number in (2, 13, 20))
    script.chmod(0o755)
    with pytest.raises(OSError) as caught:
        box.run([str(script)])
    assert caught.value.errno == errno.ENOEXEC


def test_env(box: Any) -> None:
    assert output(box, ["sh", "-c", 'printf %s "$FRUIT"'], env={**os.environ, "FRUIT": "orange"}) == "orange"
    assert output(box, ["/usr/bin/env"], env={}) == ""
    assert output(box, ["/usr/bin/env"], env={b"A": b"1", "B": "2"}) == "A=1\nB=2\n"
    assert output(box, ["/usr/bin/env"], env={"A": ""}) == "A=\n"


def test_env_is_this_process_s_as_it_is_now(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("now", "later", "later still"):
        monkeypatch.setenv("PYNAMESPACES_TEST_NOW", text)
        assert output(box, ["printenv", "PYNAMESPACES_TEST_NOW"]) == text + "\n"
    monkeypatch.delenv("PYNAMESPACES_TEST_NOW")
    assert box.run(["printenv", "PYNAMESPACES_TEST_NOW"], stdout=DEVNULL).returncode == 1


def test_the_path_that_counts_is_the_child_s(box: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    tool = tmp_path / "a-tool-of-ours"
    tool.write_text("#!/bin/sh\nprintf found\n", "ascii")
    tool.chmod(0o755)
    assert output(box, ["a-tool-of-ours"], env={"PATH": f"/no/such:{tmp_path}:/bin:/usr/bin"}) == "found"
    assert output(box, ["a-tool-of-ours"], env={b"PATH": os.fsencode(tmp_path)}) == "found"
    with pytest.raises(FileNotFoundError):
        box.run(["a-tool-of-ours"])
    hidden = tmp_path / "first"
    hidden.mkdir()
    (hidden / "a-tool-of-ours").touch()
    assert output(box, ["a-tool-of-ours"], env={"PATH": f"{hidden}:{tmp_path}"}) == "found", "not the first that cannot"


def test_cwd(box: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for cwd in (str(tmp_path), os.fsencode(tmp_path), tmp_path):
        assert output(box, ["pwd"], cwd=cwd) == f"{tmp_path}\n"
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nprintf relative\n", "ascii")
    tool.chmod(0o755)
    assert output(box, ["./tool"], cwd=tmp_path) == "relative", "a relative command is looked for in the new cwd"
    assert output(box, ["x"], executable="./tool", cwd=tmp_path) == "relative"
    for cwd, error in (("/no/such", FileNotFoundError), ("/etc/passwd", NotADirectoryError)):
        with pytest.raises(error) as caught:
            box.run(["true"], cwd=cwd)
        assert caught.value.filename == cwd


# Descriptors


def test_close_fds(box: Any) -> None:
    kept = [os.dup(0) for _ in range(3)]
    for fd in kept:
        os.set_inheritable(fd, True)
    try:
        code = "import os\ndef is_open(fd):\n try: return [os.fstat(fd)]\n except OSError: return []\n"
        listing = python(code + "print(*[fd for fd in range(256) if is_open(fd)])")
        assert output(box, listing).split() == ["0", "1", "2"]
        seen = set(map(int, output(box, listing, close_fds=False).split()))
        assert seen >= {0, 1, 2, *kept}
        assert set(map(int, output(box, listing, pass_fds=[kept[1]]).split())) == {0, 1, 2, kept[1]}
        os.set_inheritable(kept[1], False)
        assert set(map(int, output(box, listing, pass_fds=(kept[1], kept[2])).split())) == {0, 1, 2, kept[1], kept[2]}
        assert not os.get_inheritable(kept[1]), "passing one does not change it here"
        with pytest.warns(RuntimeWarning, match="overriding close_fds"):
            assert box.run(["true"], pass_fds=[kept[1]], close_fds=False).returncode == 0
        with pytest.raises(OSError) as caught:
            box.run(["true"], pass_fds=[999])
        assert caught.value.errno == errno.EBADF
    finally:
        for fd in kept:
            os.close(fd)


def test_nothing_of_ours_leaks_into_a_command_that_keeps_descriptors(box: Any) -> None:
    """What the library opens for a launch is close-on-exec, and so are the pipes of another Popen."""
    script = "for fd in /proc/$$/fd/*; do readlink $fd || true; done"
    with box.Popen(["sleep", "15"], stdin=PIPE, stdout=PIPE) as process:
        pipes = {os.readlink(f"/proc/self/fd/{pipe.fileno()}") for pipe in (process.stdin, process.stdout)}
        links = output(box, ["sh", "-c", script], close_fds=False).splitlines()
        process.kill()
    assert not pipes & set(links)
    assert not [link for link in links if "pidfd" in link or "_ffi" in link or ":[40" in link]


@pytest.mark.parametrize("closed", [(0,), (1, 2), (0, 1, 2)], ids=str)
def test_with_low_descriptors_closed(box: Any, closed: tuple[int, ...]) -> None:
    @in_plain_child
    def test() -> None:
        saved = [(fd, os.dup(fd)) for fd in closed]
        for fd in closed:
            os.close(fd)
        try:
            script = 'read line; printf %s "$line"; printf oranges >&2'
            both = box.run(["sh", "-c", script], input=b"apples\n", stdout=PIPE, stderr=PIPE)
            one = box.run(["sh", "-c", "printf pears"], stdout=PIPE)
            left = [fd for fd in closed if os.path.lexists(f"/proc/self/fd/{fd}")]
        finally:
            for fd, copy in saved:
                os.dup2(copy, fd)
                os.close(copy)
        assert (both.returncode, both.stdout, both.stderr) == (0, b"apples", b"oranges")
        assert (one.returncode, one.stdout) == (0, b"pears")
        assert left in ([], [closed[0]]), "the directory that is being listed may have the number"

    test()


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)], ids=str)
def test_low_descriptors_swapped(box: Any, order: tuple[int, int, int]) -> None:
    @in_plain_child
    def test() -> None:
        files = [tempfile.TemporaryFile(dir="/tmp") for _ in range(3)]  # noqa: SIM115
        files[order.index(0)].write(b"STDIN")
        for file in files:
            file.seek(0)
        saved = [os.dup(fd) for fd in range(3)]
        for low, file in enumerate(files):
            os.dup2(file.fileno(), low)
        stdin, stdout, stderr = (order.index(low) for low in range(3))
        try:
            box.run(["sh", "-c", "cat; printf err >&2"], stdin=stdin, stdout=stdout, stderr=stderr)
        finally:
            for fd, copy in enumerate(saved):
                os.dup2(copy, fd)
                os.close(copy)
        for number, text in ((stdout, b"STDIN"), (stderr, b"err")):
            files[number].seek(0)
            assert files[number].read() == text
        for file in files:
            file.close()

    test()


def test_failures_leak_no_descriptor(box: Any) -> None:
    before = state()["fds"]
    for _ in range(20):
        with pytest.raises(OSError):
            box.Popen(["/no/such"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
        with pytest.raises(OSError):
            box.run(["true"], cwd="/no/such", capture_output=True)
        with pytest.raises((TypeError, ValueError)):
            box.Popen(["true", 3], stdout=PIPE)
        with pytest.raises(ValueError):
            box.Popen(["true"], stdout=PIPE, env={"A=": "\0"})
    assert state()["fds"] == before


# Ids, sessions, masks


def test_umask(box: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    before = os.umask(0o022)
    os.umask(before)
    box.run(["touch", str(tmp_path / "file")], umask=0o053, check=True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o624
    assert os.umask(before) == before


def test_sessions_and_process_groups(box: Any) -> None:
    ids = python("import os; print(os.getpid(), os.getsid(0), os.getpgid(0))")
    pid, session, group = output(box, ids, start_new_session=True).split()
    assert pid == session == group
    pid, session, group = output(box, ids, process_group=0).split()
    assert pid == group
    assert session != pid or is_pid_1(box)
    if not isinstance(box, Stdlib) and "pid" in str(getattr(box, "kinds", "")):
        return  # groups of this pid namespace are not there
    with box.Popen(["sleep", "15"], process_group=0) as leader:
        pid, session, group = output(box, ids, process_group=leader.pid).split()
        assert (int(group), int(session)) == (leader.pid, os.getsid(0))
        leader.kill()
    with pytest.raises(PermissionError):
        box.run(["true"], process_group=1)


@needs_root
def test_user_and_groups_as_root() -> None:
    """Inside: the ids of a namespace that maps many."""
    ids = ["sh", "-c", "id -u; id -g; id -G"]
    many = IdMap([(0, 100000, 65536)], [(0, 100000, 65536)])
    for box in (Stdlib(), Isolation(), Isolation("user", "mnt", ids=many), Isolation("user", "pid", ids=many)):
        said = output(box, ids, user=1234, group=2345, extra_groups=[3456, 4567])
        assert said.split() == ["1234", "2345", "2345", "3456", "4567"]
        assert output(box, ids, user="nobody", group="nogroup", extra_groups=[]).split() == ["65534"] * 3
        assert output(box, ids, extra_groups=["daemon"]).split()[-1] == "1"
        with pytest.raises(ValueError):
            box.run(["true"], user=-1)
        with pytest.raises((ValueError, OverflowError)):
            box.run(["true"], user=2**64)
        with pytest.raises(KeyError):
            box.run(["true"], user="no such user at all")
        with pytest.raises(KeyError):
            box.run(["true"], group="no such group at all")
        with pytest.raises(TypeError):
            box.run(["true"], user=3.5)


def test_ids_that_are_nobody_inside(box: Any) -> None:
    if isinstance(box, Stdlib) or (IS_ROOT and box is BOXES["none"]):
        assert box.run(["true"], user=os.geteuid()).returncode == 0
        return
    with pytest.raises(OSError) as caught:
        box.run(["true"], user=4242)
    assert caught.value.errno in (errno.EINVAL, errno.EPERM)
    if caught.value.errno == errno.EINVAL:
        assert "4242 is not mapped" in str(caught.value)
    with pytest.raises(OSError) as caught:
        box.run(["true"], group=4242)
    assert caught.value.errno in (errno.EINVAL, errno.EPERM)


def test_signals_are_restored(box: Any) -> None:
    ignored = ["sh", "-c", "grep SigIgn /proc/self/status"]
    restored = int(output(box, ignored).split()[1], 16)
    kept = int(output(box, ignored, restore_signals=False).split()[1], 16)
    pipe = 1 << (signal.SIGPIPE - 1)
    assert not restored & pipe
    assert kept & pipe, "Python ignores SIGPIPE, and that is inherited"


# Ends


def test_poll_wait_and_timeouts(box: Any) -> None:
    with box.Popen(["sleep", "15"]) as process:
        assert process.poll() is None
        assert process.returncode is None
        for timeout in (0, 0.0001, 0.05):
            with pytest.raises(subprocess.TimeoutExpired) as caught:
                process.wait(timeout=timeout)
            assert str(timeout) in str(caught.value)
        process.kill()
        assert process.wait(timeout=LONG) == -signal.SIGKILL
        assert process.poll() == process.wait() == process.returncode == -signal.SIGKILL
    with box.Popen(["sh", "-c", "exit 7"]) as process:
        assert process.wait() == 7


def test_signals_end_it(box: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with box.Popen(["sleep", "15"]) as process:
            if is_pid_1(box) and number != signal.SIGKILL:
                with pytest.raises(pynamespaces.NotSupported):
                    process.send_signal(number)
                process.kill()
                number = signal.SIGKILL
            else:
                process.send_signal(number)
            assert process.wait(LONG) == -number
    with box.Popen(
        python("import signal, time, os\nsignal.signal(15, lambda *_: os._exit(9))\nprint(flush=True)\ntime.sleep(9)"),
        stdout=PIPE,
    ) as process:
        process.stdout.readline()
        process.terminate()
        assert process.wait(LONG) == 9, "its own handler counts, whoever it is"


def test_a_signal_to_what_has_ended(box: Any) -> None:
    with box.Popen(["true"], stdout=PIPE) as process:
        process.stdout.read()
        for _ in range(500):
            if Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.terminate()
        process.kill()
        assert process.wait(LONG) == 0
        process.kill()


def test_the_context_manager(box: Any) -> None:
    with box.Popen(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        streams = process.stdin, process.stdout, process.stderr
    assert all(stream.closed for stream in streams)
    assert process.returncode == 0, "it has been waited for"
    with pytest.raises(FileNotFoundError), box.Popen(["/no/such"], stdout=PIPE):
        pass


def test_check_and_completed_process(box: Any) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        box.run(["sh", "-c", "printf out; printf err >&2; exit 47"], check=True, capture_output=True)
    assert (caught.value.returncode, caught.value.output, caught.value.stderr) == (47, b"out", b"err")
    done = box.run(["sh", "-c", "exit 3"])
    assert repr(done) == "CompletedProcess(args=['sh', '-c', 'exit 3'], returncode=3)"
    if not is_pid_1(box):  # which cannot kill itself
        with pytest.raises(subprocess.CalledProcessError, match="SIGKILL"):
            box.run(["sh", "-c", "kill -9 $$"], check=True)


def test_what_is_dropped_while_it_runs_is_reaped_later(box: Any) -> None:
    before = state()
    process = box.Popen(["sleep", "0.3"])
    pid = process.pid
    with pytest.warns(ResourceWarning, match=f"{pid} is still running"):
        del process
        gc.collect()
    for _ in range(1000):
        subprocess._cleanup()  # type: ignore[attr-defined]
        if not subprocess._active:  # type: ignore[attr-defined]
            break
        time.sleep(0.01)
    gc.collect()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    assert state()["fds"] == before["fds"]


def test_dropped_after_its_end(box: Any) -> None:
    process = box.Popen(["true"])
    process.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del process
        gc.collect()
    assert gc.garbage == []


def test_sigchld_ignored(box: Any) -> None:
    @in_plain_child
    def test() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        assert box.run(["true"]).returncode == 0
        with box.Popen(["sleep", "15"]) as process:
            process.kill()
            assert process.wait(LONG) in (0, -signal.SIGKILL)

    test()


def test_somebody_else_s_wait(box: Any) -> None:
    process = box.Popen(["sh", "-c", "exit 3"])
    os.waitpid(process.pid, 0)
    assert process.wait(LONG) == 0, "the status is lost, as in subprocess"


def test_two_threads_wait_for_one(box: Any) -> None:
    found: list[int] = []
    with box.Popen(["sh", "-c", "sleep 0.1; exit 5"]) as process:
        threads = [threading.Thread(target=lambda n=n: found.append(process.wait(n))) for n in (None, LONG, LONG, None)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
    assert found == [5] * 4


def test_many_threads_at_once(box: Any) -> None:
    found: list[Any] = []

    def work(number: int) -> None:
        try:
            found.append(box.run(["sh", "-c", f"printf {number}; exit {number}"], capture_output=True))
            with pytest.raises(FileNotFoundError):
                box.run(["/no/such"])
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert sorted((done.returncode, done.stdout) for done in found) == [(n, b"%d" % n) for n in range(16)]


def test_a_signal_handler_runs_while_we_wait(box: Any) -> None:
    @in_plain_child
    def test() -> None:
        seen: list[int] = []
        signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert box.run(["sleep", "0.3"]).returncode == 0
        assert seen == [1]
        with box.Popen(["sh", "-c", "sleep 0.3; printf done"], stdout=PIPE) as process:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert process.communicate(timeout=LONG) == (b"done", None)
        assert seen == [1, 1]

    test()


def test_an_exception_while_it_waits_ends_it(box: Any) -> None:
    @in_plain_child
    def test() -> None:
        signal.signal(signal.SIGALRM, lambda *_: _veto())
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(RuntimeError, match="vetoed"):
            box.run(["sleep", "15"])
        assert time.monotonic() - start < 10

    test()


def test_a_stopped_one_goes_on(box: Any) -> None:
    with box.Popen(["sh", "-c", "sleep 0.2; exit 6"]) as process:
        if is_pid_1(box):
            process.send_signal(signal.SIGSTOP)
        else:
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(LONG) == 6


def test_pipes_between_two(box: Any) -> None:
    with box.Popen(["sh", "-c", "echo b; echo a"], stdout=PIPE) as first:
        second = box.Popen(["sort"], stdin=first.stdout, stdout=PIPE)
        with second:
            first.stdout.close()
            assert second.communicate(timeout=LONG)[0] == b"a\nb\n"


def test_output_can_be_selected_as_it_comes(box: Any) -> None:
    with box.Popen(["sh", "-c", "printf now; exec sleep 15"], stdout=PIPE, bufsize=0) as process:
        assert select.select([process.stdout], [], [], LONG)[0] == [process.stdout]
        assert process.stdout.read(3) == b"now"
        process.kill()


# The class


def test_an_audit_hook_sees_the_command(box: Any) -> None:
    @in_plain_child
    def test() -> None:
        seen: list[Any] = []
        sys.addaudithook(lambda name, args: seen.append(args) if name == "subprocess.Popen" else None)
        box.run(["true"], env={"PATH": os.environ["PATH"]})
        assert seen == [("true", ["true"], None, {"PATH": os.environ["PATH"]})]
        with pytest.raises(RuntimeError, match="vetoed"):
            sys.addaudithook(lambda name, _: _veto() if name == "subprocess.Popen" else None)
            box.run(["true"])

    test()


def _veto() -> None:
    raise RuntimeError("vetoed")


def test_repr_and_args(box: Any) -> None:
    with box.Popen(["sleep", "15"]) as process:
        assert repr(process) == "<Popen: returncode: None args: ['sleep', '15']>"
        assert process.args == ["sleep", "15"]
        process.kill()
    assert repr(process) == "<Popen: returncode: -9 args: ['sleep', '15']>"


def test_what_we_replace_has_the_shape_that_this_python_calls() -> None:
    """`_execute_child` and its companions are private: this pins them on every Python that the suite runs on."""
    names: tuple[str, ...] = ("_execute_child", "_wait", "send_signal", "kill", "terminate")
    for name in names:
        theirs = [*inspect.signature(getattr(subprocess.Popen, name)).parameters]
        ours = [*inspect.signature(getattr(OurPopen, name)).parameters]
        assert [word.removeprefix("unused_") for word in ours] == theirs, name
    source = inspect.getsource(subprocess.Popen)
    for used in ("_handle_exitstatus(sts", "_close_pipe_fds(", "_internal_poll(", "_child_created", "_waitpid_lock"):
        assert used in source, used
    known = set(inspect.signature(subprocess.Popen.__init__).parameters)
    assert known == {
        *(
            [
                "self",
                "args",
                "bufsize",
                "executable",
                "stdin",
                "stdout",
                "stderr",
                "preexec_fn",
                "close_fds",
                "shell",
                "cwd",
                "env",
            ]
        ),
        *(["universal_newlines", "startupinfo", "creationflags", "restore_signals", "start_new_session", "pass_fds"]),
        *(["user", "group", "extra_groups", "encoding", "errors", "text", "umask", "pipesize", "process_group"]),
    }, "an argument that we do not know of"


def test_preexec_fn_is_refused_with_the_reason() -> None:
    for box in BOXES.values():
        if not isinstance(box, Stdlib):
            with pytest.raises(ValueError, match="no Python code runs between clone3 and exec"):
                box.run(["true"], preexec_fn=_veto)
