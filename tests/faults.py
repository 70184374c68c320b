"""Every kernel call of an operation made to fail in turn, from outside and without a change to the library.

An operation runs in a child under a seccomp filter that hands its calls, those of its own children, inits and keepers
included, to this process (seccomp_unotify(2)), which lets each go on or answers an errno.  Afterwards the child looks
at itself: was there an exception that names the step, or the full result; is everything as before?

    python tests/faults.py                  every call, every errno, every operation; prints the table
    python tests/faults.py --write          keeps it in docs/explanation/reliability.md, too
    python tests/faults.py --only persist   operations whose name has this word
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pickle
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import BrokenExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import conftest
from pynamespaces import ChildDied, RestoreError, inits, removal, ways
from pynamespaces._kernel import pidfd, prctl
from pynamespaces.errors import NamespaceError

#: What each call can answer.  Not here: what cannot fail, and what would be a lie (close(2) closes whatever it answers,
#: ESRCH and ECHILD of a process that is there, EPERM for a signal to one's own child).
DESCRIPTORS = ("EMFILE", "ENFILE", "ENOMEM")
CALLS: dict[str, tuple[str, ...]] = {
    "accept4": ("EMFILE",),
    "bind": ("EACCES", "ENOMEM"),
    "capget": ("EPERM",),
    "capset": ("EPERM",),
    "chdir": ("ENOENT", "EACCES"),
    "chroot": ("EPERM", "ENOMEM"),
    "clone": ("EAGAIN", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM", "ENOSPC", "EPERM", "ENOSYS"),
    "close_range": ("ENOSYS", "ENOMEM"),
    "connect": ("EAGAIN", "ENOMEM"),
    "dup3": ("EMFILE", "EBUSY"),
    "execve": ("ENOENT", "EACCES", "ENOMEM", "E2BIG"),
    "execveat": ("ENOENT", "EACCES", "ENOMEM"),
    "fchdir": ("EACCES", "ENOMEM"),
    "fcntl": ("EMFILE",),
    "flock": ("ENOLCK", "EINTR"),
    "fork": ("EAGAIN", "ENOMEM"),
    "fsconfig": ("EINVAL", "ENOMEM", "EPERM"),
    "fsmount": ("EPERM", "EMFILE", "ENOMEM"),
    "fsopen": ("EPERM", "EMFILE", "ENOSYS"),
    "fstat": ("ENOMEM",),
    "fstatfs": ("ENOMEM",),
    "getdents64": ("ENOMEM", "EIO"),
    "ioctl": ("ENOTTY", "EPERM", "EMFILE", "ENOMEM"),
    "kill": ("EPERM",),
    "listen": ("EADDRINUSE",),
    "listmount": ("ENOSYS", "EPERM", "ENOMEM"),
    "lstat": ("ENOMEM", "EACCES"),
    "mkdir": ("EACCES", "ENOSPC", "EROFS"),
    "mkdirat": ("EACCES", "ENOSPC", "EROFS"),
    "mknodat": ("EPERM", "ENOSPC"),
    "mount": ("EPERM", "EINVAL", "ENOMEM", "EBUSY"),
    "mount_setattr": ("ENOSYS", "EPERM", "ENOMEM"),
    "move_mount": ("EPERM", "EINVAL", "ENOMEM", "ENOSYS"),
    "newfstatat": ("ENOMEM", "EACCES"),
    "open_tree": ("EPERM", "EMFILE", "ENOMEM", "ENOSYS"),
    "openat": (*DESCRIPTORS, "EACCES", "EINTR"),
    "openat2": ("ENOSYS", "EMFILE", "EAGAIN"),
    "pidfd_getfd": ("EPERM", "EMFILE"),
    "pidfd_open": ("EMFILE", "ENFILE", "ENOMEM", "ENOSYS"),
    "pipe2": DESCRIPTORS,
    "pivot_root": ("EPERM", "EBUSY", "EINVAL"),
    "prctl": ("EPERM", "EINVAL"),
    "prlimit64": ("EPERM",),
    "read": ("EINTR", "EIO", "ENOMEM"),
    "readlink": ("ENOMEM", "EACCES"),
    "readlinkat": ("ENOMEM", "EACCES"),
    "recvfrom": ("EINTR", "ECONNRESET", "ENOMEM"),
    "recvmsg": ("EINTR", "ECONNRESET", "ENOMEM"),
    "rename": ("EACCES", "ENOSPC"),
    "renameat": ("EACCES", "ENOSPC"),
    "rmdir": ("EBUSY", "EACCES"),
    "sendmsg": ("EINTR", "EPIPE", "ENOMEM"),
    "sendto": ("EINTR", "EPIPE", "ENOMEM"),
    "setdomainname": ("EPERM",),
    "setgroups": ("EPERM", "ENOMEM"),
    "sethostname": ("EPERM",),
    "setns": ("EPERM", "EINVAL", "ENOMEM", "ENOSPC"),
    "setresgid": ("EPERM", "EAGAIN"),
    "setresuid": ("EPERM", "EAGAIN"),
    "setsid": ("EPERM",),
    "socket": ("EMFILE", "ENOBUFS", "EAFNOSUPPORT"),
    "socketpair": DESCRIPTORS,
    "stat": ("ENOMEM", "EACCES"),
    "statfs": ("ENOMEM",),
    "statmount": ("ENOSYS", "EPERM", "ENOMEM"),
    "statx": ("ENOMEM",),
    "symlinkat": ("EACCES", "ENOSPC"),
    "umount2": ("EPERM", "ENOMEM"),
    "unlink": ("EACCES", "EBUSY"),
    "unlinkat": ("EACCES", "EBUSY"),
    "unshare": ("EPERM", "EINVAL", "ENOSPC", "ENOMEM", "EUSERS"),
    "vfork": ("EAGAIN", "ENOMEM"),
    "wait4": ("EINTR",),
    "waitid": ("EINTR",),
    "write": ("EINTR", "EIO", "EPERM", "ENOSPC"),
}

RECEIVE, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, _SEND
NEW_LISTENER, WAIT_KILLABLE = 1 << 3, 1 << 5
CONTINUE = 1
MARK = 0x504E  # prctl(MARK, phase): no such option, so only we see it
UNFAILING = (1, 3, 4, 15, 23)  # PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NAME, PR_CAPBSET_READ
LIMIT = 20.0  # seconds for one run


class Fault(NamedTuple):
    """The n-th of these calls, counted over all processes of the operation, answers an errno; or it and all later."""

    call: str
    nth: int
    errno: str
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.call} #{self.nth}{'...' if self.lasting else ''} {self.errno}"


class Result(NamedTuple):
    """What came of a run."""

    outcome: str  # raised, full, spent; or WRONG
    text: str
    seen: list[str]  # the calls of the operation, in order
    hit: bool  # was the fault's call reached?


Operation = Callable[[str], Generator[Callable[[], Any], Any, None]]


@cache
def numbers() -> dict[str, int]:
    """System call numbers, as the headers of this machine and sys.h have them."""
    header = Path(__file__).parent.parent / "src/pynamespaces/_kernel/sys.h"
    text = subprocess.run(["cc", "-E", "-dM", header], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR_") and words[2].isdigit():
            found[words[1].removeprefix("__NR_")] = int(words[2])
    return found


def filtered() -> dict[int, str]:
    """The calls that are handed over, by number."""
    known = numbers()
    return {known[name]: name for name in (*CALLS, "prctl") if name in known}


def listen(watched: Iterable[int]) -> int:
    """Install the filter in this thread; the descriptor that its calls are told to."""
    load, jump_if, answer = 0x20, 0x15, 0x06
    ordered = sorted(watched)
    program = [(load, 0, 0, 0)]
    program += [(jump_if, len(ordered) - position, 0, number) for position, number in enumerate(ordered)]
    program += [(answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x7FC00000)]  # SECCOMP_RET_ALLOW, _USER_NOTIF
    code = b"".join([struct.pack("=HBBI", *line) for line in program])
    buffer = ctypes.create_string_buffer(code)
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero)  # PR_SET_NO_NEW_PRIVS
    fd = libc.syscall(numbers()["seccomp"], 1, NEW_LISTENER | WAIT_KILLABLE, filters)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return int(fd)


def snapshot(room: str) -> dict[str, Any]:
    """All that an operation must leave as it was, unless that is what it is for."""
    found = conftest.state()
    found["files"] = sorted(
        os.path.join(where, name) for where, folders, files in os.walk(room) for name in (*folders, *files)
    )
    for line in Path("/proc/thread-self/status").read_text("ascii").splitlines():
        if line.startswith(("Umask", "SigBlk", "CapEff", "CapInh", "NoNewPrivs")):
            found[line.split(":")[0]] = line.split()[1]
    found["dumpable"] = prctl.dumpable()
    return found


def changes(before: dict[str, Any], room: str, ignored: Iterable[str] = (), tries: int = 30) -> dict[str, Any]:
    """What is different; inits that are on their way out get a moment."""
    changed: dict[str, Any] = {}
    ignored = set(ignored)
    for _ in range(tries):
        inits.sweep()
        after = snapshot(room)
        changed = {key: _difference(before[key], after[key]) for key in before if before[key] != after[key]}
        if not changed.keys() - ignored:
            break
        time.sleep(0.01)
    return {key: value for key, value in changed.items() if key not in ignored}


def _difference(before: Any, after: Any) -> Any:
    if isinstance(before, dict):
        return {k: (before.get(k), after.get(k)) for k in {*before, *after} if before.get(k) != after.get(k)}
    if isinstance(before, list):
        return [x for x in after if x not in before], [x for x in before if x not in after]
    return before, after


def run(operation: Operation, fault: Fault | None = None, *, prepare: Callable[[], object] | None = None) -> Result:
    """Do an operation in a child of its own, with one call failing."""
    room = tempfile.mkdtemp(prefix="faults-")
    os.chmod(room, 0o777)
    telling, told = os.pipe()
    going, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(go)
            os.close(telling)
            outcome = _child(operation, room, told, going, prepare, fault is not None and fault.lasting)
            os.write(told, b"R" + pickle.dumps(outcome))
        except BaseException:
            os.write(told, b"R" + pickle.dumps(("WRONG", traceback.format_exc())))
        os._exit(0)
    os.close(told)
    os.close(going)
    held = os.pidfd_open(pid)
    try:
        return _supervise(operation, pid, held, telling, go, fault)
    finally:
        for fd in (telling, go, held):
            os.close(fd)
        for line in Path("/proc/thread-self/mountinfo").read_text("utf-8").splitlines():
            if line.split()[4].startswith(room):  # of a thread that is spent
                removal.unmount_all(line.split()[4])
        shutil.rmtree(room, ignore_errors=True)


def _child(
    operation: Operation, room: str, told: int, going: int, prepare: Callable[[], object] | None, lasting: bool
) -> tuple[str, str]:
    """The whole run of a child, and what it found."""
    if prepare is not None:
        prepare()
    libc = ctypes.CDLL(None)
    names = filtered()
    probe = os.dup(0)
    os.close(probe)  # the listener gets this number
    os.write(told, b"L" + struct.pack("=i", probe))
    assert listen(names) == probe
    os.read(going, 1)
    os.close(probe)
    before = snapshot(room)
    steps = operation(room)
    act = next(steps)
    ready = snapshot(room)
    error, value = None, None
    libc.prctl(MARK, 1)
    try:
        value = act()
    except BaseException as caught:
        error = caught
    libc.prctl(MARK, 2)
    if error is None:
        try:
            steps.send(value)
        except StopIteration:
            pass
        left = changes(before, room)
        return ("WRONG", f"done, but at the end: {left}") if left else ("full", "")
    text = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error)[-6:])
    error.__traceback__ = error.__context__ = None
    if isinstance(error, RestoreError):
        globals()["_open"] = steps  # closing it would act in a thread that is spent
        return _spent(ready, room, text)
    error.__cause__ = None
    ignored = (*getattr(operation, "may_change", ()), *(getattr(operation, "may_stay", ()) if lasting else ()))
    left = changes(ready, room, ignored)
    if left:
        return "WRONG", f"{text}; changed: {left}\n{trace}"
    try:
        steps.throw(error)
    except BaseException as after:
        if after is not error:
            return "WRONG", f"{text}; afterwards: {''.join(traceback.format_exception(after)[-6:])}"
    left = changes(before, room)
    if left:
        return "WRONG", f"{text}; at the end: {left}\n{trace}"
    if not (isinstance(error, NamespaceError) and error.step) and not isinstance(error, (ChildDied, BrokenExecutor)):
        return "WRONG", f"names no step: {text}\n{trace}"
    return "raised", text


def _spent(ready: dict[str, Any], room: str, text: str) -> tuple[str, str]:
    """The way back was cut: the thread says so from now on, and holds on to nothing."""
    try:
        ways.frames()
    except RestoreError:
        pass
    else:
        return "WRONG", f"{text}; but the next verb goes on"
    left = changes(ready, room, ("namespaces", "mounts", "cwd", "root", "files"), tries=5)
    more = len(left.get("fds", {})) and [fd for fd, (was, is_) in left["fds"].items() if was is None]
    if "threads" in left or "ids" in left or any(left.get("children", ((),))[0]):
        return "WRONG", f"{text}; changed: {left}"
    return ("WRONG", f"{text}; more descriptors: {left['fds']}") if more else ("spent", text)


def _supervise(operation: Operation, pid: int, held: int, telling: int, go: int, fault: Fault | None) -> Result:
    """Let the calls of a child and its own go on, but for one."""
    listener = _fetch(held, telling)
    os.write(go, b"g")
    names = filtered()
    waits = select.poll()
    waits.register(listener, select.POLLIN)
    waits.register(held, select.POLLIN)
    counts: Counter[str] = Counter()
    seen: list[str] = []
    commands: set[int] = set()
    everybody: set[int] = set()
    armed = hit = ended = False
    notice, reply = bytearray(80), bytearray(24)
    deadline = time.monotonic() + LIMIT
    problem, data = "", b""
    while True:
        ready = dict(waits.poll(max(0, (deadline - time.monotonic()) * 1000)))
        if not ready:
            problem = "still running after its end" if ended else "hangs"
            _kill(everybody)
            break
        if held in ready and not ended:
            ended = True
            waits.unregister(held)
            data += _rest(telling)
            if data and pickle.loads(data[1:])[0] == "spent":  # what it held is lost with its thread
                _kill(everybody)
            deadline = time.monotonic() + 3
        state = ready.get(listener, 0)
        if state & select.POLLIN:
            notice[:] = bytes(80)
            try:
                fcntl.ioctl(listener, RECEIVE, notice)
            except FileNotFoundError:  # killed meanwhile
                continue
            identity, who, _, number = struct.unpack_from("=QIIi", notice)
            name = names[number]
            everybody.add(who)
            value = error = 0
            flags = CONTINUE
            if name == "prctl" and struct.unpack_from("=Q", notice, 32)[0] == MARK:
                armed = struct.unpack_from("=Q", notice, 40)[0] == 1
                flags = 0
            elif name == "prctl" and struct.unpack_from("=Q", notice, 32)[0] in UNFAILING:
                pass
            elif armed and who not in commands:
                counts[name] += 1
                seen.append(name)
                if fault is not None and name == fault.call and _strikes(fault, counts[name]):
                    hit = True
                    flags, error = 0, -getattr(errno, fault.errno)
                elif name == "execve":
                    commands.add(who)
            struct.pack_into("=QqiI", reply, 0, identity, value, error, flags)
            try:
                fcntl.ioctl(listener, SEND, reply)
            except FileNotFoundError:
                pass
        elif state:  # nobody has this filter any more
            break
    os.close(listener)
    os.waitpid(pid, 0)
    data += _rest(telling)
    outcome, text = pickle.loads(data[1:]) if data else ("WRONG", "died")
    plain = fault is not None and fault.call in getattr(operation, "plain", ())
    if plain and outcome == "WRONG" and text.startswith("names no step: "):
        outcome, text = "raised", text.partition("\n")[0]
    if problem:
        outcome, text = "WRONG", f"{problem}; {text}"
    return Result(outcome, text, seen, hit)


def _kill(everybody: Iterable[int]) -> None:
    for other in everybody:
        try:
            os.kill(other, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _rest(telling: int) -> bytes:
    os.set_blocking(telling, False)
    data = b""
    try:
        while part := os.read(telling, 65536):
            data += part
    except BlockingIOError:
        pass
    return data


def _strikes(fault: Fault, count: int) -> bool:
    return count == fault.nth or (fault.lasting and count > fault.nth)


def _fetch(held: int, telling: int) -> int:
    """The child's listener, as soon as it has one."""
    data = os.read(telling, 5)
    assert data[:1] == b"L", data
    (fd,) = struct.unpack("=i", data[1:])
    for _ in range(5000):
        try:
            return pidfd.pidfd_getfd(held, fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        time.sleep(0.0005)
    raise AssertionError("no listener appeared")


#: A lasting failure of these would be a lie, or is waited for: EINTR for ever, a lock that is never had.
PASSING = ("EINTR", "EAGAIN")


def faults(seen: Iterable[str], *, lasting: bool = False) -> Iterable[Fault]:
    """Every call that was made, with every errno that it can answer."""
    counts: Counter[str] = Counter()
    for call in seen:
        counts[call] += 1
        if counts[call] <= 60:  # a copy of the whole root makes the same call for each directory
            for name in CALLS.get(call, ()):
                if not (lasting and name in PASSING):
                    yield Fault(call, counts[call], name, lasting)


def warm_up() -> None:
    """Import what would be imported at its first use: importing is Python's, and its failures are ImportErrors."""
    import importlib
    import pkgutil

    import pynamespaces

    for module in pkgutil.walk_packages(pynamespaces.__path__, "pynamespaces."):
        if not module.name.endswith(("__main__", "_ffi")) and "pytest" not in module.name:
            importlib.import_module(module.name)
    numbers()


def table(results: Iterable[tuple[str, Fault, Result]]) -> list[str]:
    """The outcomes by operation and call."""
    rows: dict[tuple[str, str], dict[str, Counter[str]]] = {}
    for name, fault, result in results:
        if result.hit:
            rows.setdefault((name, fault.call), {}).setdefault(fault.errno, Counter())[result.outcome] += 1
    lines = ["| operation | call | errno: outcomes |", "|---|---|---|"]
    for (name, call), errnos in rows.items():
        cells = [f"{one}: {_counted(counts)}" for one, counts in errnos.items()]
        lines.append(f"| {name} | {call} | {'; '.join(cells)} |")
    return lines


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items()))


def main() -> int:
    """Everything; 1 if anything went wrong."""
    import argparse

    import fault_operations

    parser = argparse.ArgumentParser(description="Make every kernel call of every operation fail in turn.")
    parser.add_argument("--only", action="append", metavar="WORD", help="operations whose name has this word")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/explanation/reliability.md")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th fault")
    parser.add_argument("--verbose", action="store_true", help="the whole text of each failure")
    chosen = parser.parse_args()
    results: list[tuple[str, Fault, Result]] = []
    warm_up()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        conftest.isolate()
        with os.fdopen(writer, "wb") as out:
            for operation in fault_operations.OPERATIONS:
                if not chosen.only or any(word in operation.__name__ for word in chosen.only):
                    _every(operation, out, chosen.every)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        wrong = _report(source, results, verbose=chosen.verbose)
    os.waitpid(pid, 0)
    totals = Counter(result.outcome for _, _, result in results if result.hit)
    print("\n".join(table(results)))
    print(f"\n{totals.total():,} faults: {_counted(totals)}")
    if chosen.write and not chosen.only and not wrong:
        write(results, totals)
    return 1 if wrong else 0


def _every(operation: Operation, out: Any, step: int) -> None:
    seen = run(operation).seen
    todo = [*faults(seen), *faults(seen, lasting=True)]
    for fault in todo[::step]:
        pickle.dump((operation.__name__, fault, run(operation, fault)), out)
    out.flush()


def _report(source: Any, results: list[tuple[str, Fault, Result]], *, verbose: bool) -> int:
    wrong = 0
    alike: set[str] = set()
    while True:
        try:
            name, fault, result = pickle.load(source)
        except EOFError:
            return wrong
        if not results or results[-1][0] != name:
            print(f"{name}: {', '.join(result.seen[:200])}", file=sys.stderr, flush=True)
        results.append((name, fault, result))
        if result.outcome == "WRONG":
            wrong += 1
            short = result.text.partition("\n")[0][:200]
            frames = [line.strip() for line in result.text.splitlines() if "src/pynamespaces" in line]
            where = frames[-1] if frames else ""
            if (key := f"{name} {fault.call} {fault.lasting} {where}") not in alike:
                alike.add(key)
                text = result.text if verbose else f"{short} {where}"
                print(f"WRONG {name}, {fault}: {text}", file=sys.stderr, flush=True)


def write(results: list[tuple[str, Fault, Result]], totals: Counter[str]) -> None:
    """Put the table into the page, between its two marks."""
    page = Path(__file__).parent.parent / "docs/explanation/reliability.md"
    head, _, rest = page.read_text("utf-8").partition("<!-- faults: begin -->\n")
    tail = rest.partition("<!-- faults: end -->")[2]
    said = f"{totals.total():,} faults: {_counted(totals)}."
    middle = "\n".join([said, "", *table(results)])
    page.write_text(f"{head}<!-- faults: begin -->\n{middle}\n<!-- faults: end -->{tail}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
