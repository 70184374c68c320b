"""Old kernels without old kernels: run pytest where newer system calls answer as if the kernel did not have them.

    python tests/old_kernel.py CALL[,CALL...] [--errno EPERM] [pytest arguments]
    python tests/old_kernel.py --table [pytest arguments]       one run for each call, one for all; a table of outcomes

A seccomp filter (seccomp(2)) gives the answer, by the number of the call and, for ioctls, by the request.  The suite
learns from $PYNAMESPACES_REFUSED what is missing: a test that ends in the library's own refusal for that reason is
skipped and says so; anything else that fails is a fault.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
import subprocess
import sys

VARIABLE = "PYNAMESPACES_REFUSED"

_X86 = os.uname().machine == "x86_64"
IOCTL = 16 if _X86 else 29

#: call -> (since which kernel, numbers of system calls, requests of ioctls)
CALLS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "clone3": ("5.3", (435,), ()),
    "pidfd_open": ("5.3", (434,), ()),
    "pidfd_send_signal": ("5.1", (424,), ()),
    "pidfd_getfd": ("5.6", (438,), ()),
    "close_range": ("5.9", (436,), ()),
    "openat2": ("5.6", (437,), ()),
    "open_tree": ("5.2", (428,), ()),
    "move_mount": ("5.2", (429,), ()),
    "fsopen": ("5.2", (430, 431, 432, 433), ()),
    "mount_setattr": ("5.12", (442,), ()),
    "open_tree_attr": ("6.15", (467,), ()),
    "statmount": ("6.8", (457,), ()),
    "listmount": ("6.8", (458,), ()),
    "listns": ("6.19", (470,), ()),
    "file handles": ("2.6.39; of namespaces 6.18", (303, 304) if _X86 else (264, 265), ()),
    "PIDFD_GET_NAMESPACE": ("6.11", (), tuple(0xFF00 | number for number in range(1, 11))),
    "PIDFD_GET_INFO": ("6.13", (), (0xC040FF0B, 0xC048FF0B, 0xC050FF0B)),
    "NS_GET_MNTNS_ID": ("6.11", (), (0x8008B705,)),
    "NS_GET_PID_FROM_PIDNS": ("6.11", (), tuple(0x8004B700 | number for number in range(6, 10))),
    "NS_MNT_GET_NEXT": ("6.12", (), tuple(0x8010B700 | number for number in range(10, 13))),
    "NS_GET_ID": ("6.18", (), (0x8008B70D,)),
}


def install(rules: list[tuple[int, int | None, int]]) -> None:
    """Let (call, ioctl's request or None, errno) be answered so in this process and its children, for good."""
    load, jump_if, answer = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
    program: list[tuple[int, int, int, int]] = []
    for number, request, code in rules:
        refusal = (answer, 0, 0, 0x00050000 | code)  # SECCOMP_RET_ERRNO
        if request is None:
            program += [(load, 0, 0, 0), (jump_if, 0, 1, number), refusal]
        else:  # offsetof(struct seccomp_data, args[1])
            program += [(load, 0, 0, 0), (jump_if, 0, 3, number), (load, 0, 0, 24), (jump_if, 0, 1, request), refusal]
    program.append((answer, 0, 0, 0x7FFF0000))  # SECCOMP_RET_ALLOW
    buffer = ctypes.create_string_buffer(b"".join([struct.pack("=HBBI", *line) for line in program]))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    zero, set_seccomp = ctypes.c_ulong(0), 22
    filters = ctypes.byref(Program(len(program), ctypes.cast(buffer, ctypes.c_void_p)))
    # Root needs no PR_SET_NO_NEW_PRIVS (38), under which newuidmap could not do its work.
    if libc.prctl(set_seccomp, ctypes.c_ulong(2), filters) != 0:
        assert libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) == 0
        assert libc.prctl(set_seccomp, ctypes.c_ulong(2), filters) == 0, ctypes.get_errno()


def rules(names: list[str], number: int = errno.ENOSYS) -> list[tuple[int, int | None, int]]:
    """The rules for calls of the table; an ioctl that is missing says ENOTTY."""
    found: list[tuple[int, int | None, int]] = []
    for name in names:
        _, calls, requests = CALLS[name]
        found += [(call, None, number) for call in calls]
        found += [(IOCTL, request, errno.ENOTTY) for request in requests]
    return found


def _run(names: list[str], number: int, arguments: list[str]) -> None:
    os.environ[VARIABLE] = ",".join(names)
    install(rules(names, number))
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])


def _table(arguments: list[str]) -> int:
    print("| call | since Linux | answer | passed | refused, and said so | failed |")
    print("|---|---|---|---|---|---|", flush=True)
    worst = 0
    whole = [("all together", list(CALLS), errno.ENOSYS)]
    each = [(name, [name], errno.ENOSYS) for name in CALLS]
    # Whoever refuses clone3 with EPERM takes glibc's threads away, too.
    filtered = [(name, [name], errno.EPERM) for name in CALLS if CALLS[name][1] and name != "clone3"]
    for title, names, number in [*each, *filtered, *whole]:
        answer = errno.errorcode[number if CALLS[names[0]][1] else errno.ENOTTY]
        command = [sys.executable, __file__, ",".join(names), "--errno", errno.errorcode[number], *arguments, "-q"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        tail = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
        counts = {word.rstrip("s"): int(count) for count, word in re.findall(r"(\d+) (\w+)", tail)}
        refused = len(re.findall(r"^SKIPPED .*refused: ", done.stdout, re.M))
        refused = sum(int(count) for count in re.findall(r"^SKIPPED \[(\d+)\] .*refused: ", done.stdout, re.M))
        failed = counts.get("failed", 0) + counts.get("error", 0)
        since = CALLS[names[0]][0] if len(names) == 1 else ""
        print(f"| {title} | {since} | {answer} | {counts.get('passed', 0)} | {refused} | {failed} |", flush=True)
        for line in done.stdout.splitlines():
            if line.startswith(("FAILED", "ERROR")):
                print(f"<!-- {line} -->", flush=True)
        worst = max(worst, done.returncode)
    return worst


def main() -> int:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__, "\ncalls: " + ", ".join(CALLS))
        return 0 if arguments else 2
    first, *rest = arguments
    if first == "--table":
        return _table(rest)
    number = errno.ENOSYS
    if rest[:1] == ["--errno"]:
        number = getattr(errno, rest[1])
        rest = rest[2:]
    names = list(CALLS) if first == "all" else first.split(",")
    unknown = set(names) - set(CALLS)
    if unknown:
        print(f"unknown call {min(unknown)!r}; known: {', '.join(CALLS)}", file=sys.stderr)
        return 2
    _run(names, number, rest)
    return 1


if __name__ == "__main__":
    sys.exit(main())
