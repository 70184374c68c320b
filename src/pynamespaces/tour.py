"""The tour: a walk through the kinds on this very machine, each proved by what is seen inside and outside.

Each chapter shows what a person would type, what was seen, and a tick, or the reason why this machine forbids it.
"""

from __future__ import annotations

import ctypes  # here, not inside: another user may not be able to read this interpreter's files
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import IO

import pynamespaces as ns
from pynamespaces.errors import NamespaceError
from pynamespaces.kinds import TABLE

WIDTH = 78

#: Tunnel devices that some kernels put into every new net namespace (net.core.fb_tunnels_only_for_init_net).
FALLBACK_DEVICES = {"sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"}


class Failed(Exception):
    """Something that a chapter promised was not seen."""


class Guide:
    """Prints a chapter: the code, what was seen, the tick."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour
        self.number: int = 0

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def title(self, text: str) -> None:
        self.number += 1
        print(f"\n{self.paint(f'{self.number}. {text}', '1')}")

    def say(self, text: str) -> None:
        print(textwrap.fill(" ".join(text.split()), WIDTH, initial_indent="   ", subsequent_indent="   "))

    def code(self, text: str) -> None:
        for line in textwrap.dedent(text).strip().splitlines():
            print(self.paint(f"   >>> {line}" if not line.startswith(" ") else f"   ... {line}", "36"))

    def saw(self, where: str, what: object) -> None:
        lines = str(what).splitlines() or [""]
        print(f"   {where and where + ':':9} {lines[0]}"[: WIDTH + 2])
        for line in lines[1:]:
            print(f"   {'':9} {line}"[: WIDTH + 2])

    def held(self, text: str) -> None:
        print(f"   {self.paint('✔', '32')} {text}")

    def forbidden(self, error: BaseException) -> None:
        print(f"   {self.paint('–', '33')} this machine forbids it:")
        self.say(str(error))

    def failed(self, error: BaseException) -> None:
        print(f"   {self.paint('✘', '31')} {type(error).__name__}: {error}")


def expect(true: object, what: str) -> None:
    """The proof: what was seen is what the chapter says."""
    if not true:
        raise Failed(what)


def output(*argv: str) -> str:
    """What a command prints."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.rstrip()


def first_look(guide: Guide) -> None:
    guide.title("Every process lives in eight namespaces")
    guide.code('NamespaceSet.of(os.getpid())["net"]')
    with ns.NamespaceSet.of(os.getpid()) as here:
        for kind, namespace in here.items():
            link = os.readlink(f"/proc/{os.getpid()}/ns/{kind}")
            guide.saw(str(kind), f"/proc/{os.getpid()}/ns/{kind} -> {link}")
            expect(link == namespace.id.text(kind), f"the object and /proc disagree about {kind}")
        expect(len(here) == len(TABLE), "fewer than eight kinds")
    guide.held("eight links in /proc, eight objects that agree with them")


def mnt(guide: Guide) -> None:
    guide.title("mnt: mounts of one's own")
    guide.code(
        """
        with unshare("mnt") as inside:
            mount -t tmpfs -o size=20m tmpfs /mnt
        """
    )
    with ns.NamespaceSet.current() as outside, ns.unshare("mnt") as inside:
        output("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", "/mnt")
        seen = output("df", "-h", "--output=fstype,size,target", "/mnt").splitlines()[-1]
        guide.saw("inside", seen)
        expect("20M" in seen and "tmpfs" in seen, "no tmpfs of 20 MiB inside")
        with ns.NamespaceSet.current() as here:
            differs = outside.differences(here)
        inside.close()
    guide.saw("outside", output("df", "-h", "--output=fstype,size,target", "/mnt").splitlines()[-1])
    guide.saw("differs", differs)
    expect(not any(line.split()[4] == "/mnt" for line in _mountinfo() if " tmpfs " in line), "the tmpfs leaked")
    expect(differs == ns.Kind.MNT, "another namespace changed than mnt")
    guide.held("20 MiB of memory mounted inside, nothing outside; only the mnt id differs")


def uts(guide: Guide) -> None:
    guide.title("uts: a host name")
    guide.code('with unshare("uts", hostname="rocinante"): os.uname().nodename')
    before = os.uname().nodename
    with ns.unshare("uts", hostname="rocinante"):
        guide.saw("inside", os.uname().nodename)
        expect(os.uname().nodename == "rocinante", "the name did not change inside")
    guide.saw("outside", os.uname().nodename)
    expect(os.uname().nodename == before, "the name changed outside")
    guide.held("changed inside, the same as ever outside")


def ipc(guide: Guide) -> None:
    guide.title("ipc: System V message queues")
    guide.code('with unshare("ipc"): ipcmk -Q; ipcs -q')
    with ns.unshare("ipc"):
        output("ipcmk", "-Q")
        inside = _queues()
        guide.saw("inside", f"{len(inside)} queue: {', '.join(inside)}")
    outside = _queues()
    guide.saw("outside", f"{len(outside)} queues")
    expect(len(inside) == 1, "no queue, or others than ours, inside")
    expect(not set(inside) & set(outside), "the queue is seen outside")
    guide.held("a message queue that nobody outside can see")


def net(guide: Guide) -> None:
    guide.title("net: a network of one's own")
    guide.code(
        """
        with unshare("net"):
            ip address add 192.0.2.1/32 dev lo
        """
    )
    with ns.unshare("net"):
        names = [name for _, name in socket.if_nameindex()]
        output("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
        seen = output("ip", "-brief", "address")
        guide.saw("inside", seen)
        with socket.create_server(("192.0.2.1", 80)) as server, socket.create_connection(server.getsockname()[:2], 5):
            guide.saw("", "a server on 192.0.2.1:80 answers")
    outside = [name for _, name in socket.if_nameindex()]
    guide.saw("outside", ", ".join(outside))
    expect("lo" in names and "192.0.2.1" in seen, "no lo, or no address on it")
    physical = set(names) - {"lo"} - FALLBACK_DEVICES
    expect(not physical, f"devices of the host inside: {physical}")
    expect("192.0.2.1" not in output("ip", "-brief", "address"), "the address is seen outside")
    guide.held("only lo inside, up and usable; its address is unknown outside")


def pid(guide: Guide) -> None:
    guide.title("pid: process ids")
    guide.code(
        """
        box = Isolation("user", "pid", "mnt", init=False)
        child = box.Popen(["sh", "-c", "echo $$; ps -e; exec sleep 60"])
        """
    )
    box = ns.Isolation("user", "pid", "mnt", init=False)
    script = "echo $$; ps -e -o pid,args; echo; exec sleep 60"
    with box.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = child.stdout.readline().strip()
        table = _until_blank(child.stdout)
        guide.saw("inside", f"it says of itself: I am {said}, and sees:")
        guide.saw("", "\n".join(table))
        guide.saw("outside", f"the host knows it as {child.pid}")
        status = _status(child.pid).split()
        guide.saw("", f"NSpid in /proc/{child.pid}/status: {' '.join(status)}")
        child.kill()
    expect(said == "1" and status[-1] == "1" and str(child.pid) in status, "it is not PID 1")
    expect(len(table) == 3, "it sees others than itself and ps")
    guide.held("PID 1 inside, alone in its /proc, and its host pid is found")


def user(guide: Guide) -> None:
    guide.title("user: root, but only here")
    guide.code('Isolation("user").call(be_root)  # os.geteuid(), and reboot(2)')
    uid = os.geteuid()
    box = ns.Isolation(
        "user", "pid", ids=ns.IdMap([(0, _stranger(), 1)], [(0, _stranger(), 1)]) if _is_root() else None
    )
    inside, refused = box.call(_be_root)
    guide.saw("inside", f"uid {inside}; reboot(2) with the harmless CAD_OFF: {refused}")
    guide.saw("outside", f"uid {_stranger() if _is_root() else uid}")
    expect(inside == 0, "not uid 0 inside")
    expect(refused != "allowed", "reboot(2) was not refused")
    guide.held("uid 0 inside, and yet the machine does not obey")


def docker(guide: Guide) -> None:
    guide.title("All of Docker's kinds at once, around one command")
    guide.code(
        """
        box = Isolation("mnt", "uts", "ipc", "net", "pid", "user",
                        hostname="box")
        box.run(["sh", "-c", "hostname; id -u; ps -e; ip -brief address"])
        """
    )
    box = ns.Isolation("mnt", "uts", "ipc", "net", "pid", "user", hostname="box")
    script = "hostname; id -u; ps -e -o pid,args; ip -brief address; sleep 60 >/dev/null & echo; wait"
    with box.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seen = _until_blank(child.stdout)
        guide.saw("inside", "\n".join(seen))
        with ns.NamespaceSet.of(child) as there, ns.NamespaceSet.current() as here:
            differs = here.differences(there)
        guide.saw("differs", differs)
        guide.saw("host pid", f"{child.pid}, which calls itself {_status(child.pid).split()[-1]}")
        child.kill()
    expect(seen[:2] == ["box", "0"], "another host name or user inside")
    expect(box.kinds & differs == box.kinds, "fewer than six kinds differ")
    guide.held("a container is nothing else than this")


def cgroup(guide: Guide) -> None:
    guide.title("cgroup: where the tree of control groups begins")
    guide.code('with unshare("cgroup"): cat /proc/thread-self/cgroup')
    outside = _first_line("/proc/thread-self/cgroup")
    with ns.unshare("cgroup"):
        inside = _first_line("/proc/thread-self/cgroup")
        guide.saw("inside", inside)
    guide.saw("outside", outside)
    expect(inside.endswith(":/"), "the root inside is not /")
    expect(_first_line("/proc/thread-self/cgroup") == outside, "the view outside changed")
    guide.held("inside, the own cgroup is the root of all")


def clock(guide: Guide) -> None:
    guide.title("time: how long the machine has been up")
    guide.code(
        """
        with unshare("time", clock=ClockOffsets(boottime=300 * 86400)):
            uptime -p
        """
    )
    days = 300
    with ns.unshare("time", clock=ns.ClockOffsets(boottime=days * 86400)):
        inside = float(output("cat", "/proc/uptime").split()[0])
        guide.saw("inside", f"up {inside / 86400:.1f} days")
    outside = float(output("cat", "/proc/uptime").split()[0])
    guide.saw("outside", f"up {outside / 86400:.1f} days")
    expect(abs(inside - outside - days * 86400) < 60, "the clock was not moved by 300 days")
    guide.held("children inside believe in 300 more days; the host does not")


def life(guide: Guide) -> None:
    guide.title("Life and death: kept by a bind mount, rejoined, forgotten")
    name = f"tour-{os.getpid()}"
    guide.code(
        """
        with unshare("mnt") as inside:
            mount -t tmpfs tmpfs /mnt; echo hello > /mnt/letter
            inside.persist("tour")
        """
    )
    with ns.unshare("mnt") as inside:
        output("mount", "-t", "tmpfs", "tmpfs", "/mnt")
        with open("/mnt/letter", "w", encoding="ascii") as file:
            file.write("hello")
        inside.persist(name)
    inside.close()
    try:
        kept = [row for row in ns.saved() if row.name == name]
        guide.saw("kept", f"{kept[0].path} ({kept[0].kinds})")
        expect(not os.path.exists("/mnt/letter"), "the file is seen outside")
        guide.saw("outside", "no process is left in it, and /mnt/letter is not there")
        guide.code('with rejoin("tour"): open("/mnt/letter").read()')
        with ns.rejoin(name):
            with open("/mnt/letter", encoding="ascii") as file:
                letter = file.read()
            guide.saw("inside", letter)
            expect(letter == "hello", "its tmpfs is gone")
    finally:
        guide.code('forget("tour")')
        ns.forget(name)
    expect(not any(row.name == name for row in ns.saved()), "the name is still there")
    guide.held("without any process it lived on, with its tmpfs; now it is gone")


CHAPTERS: tuple[Callable[[Guide], None], ...] = (
    first_look,
    mnt,
    uts,
    ipc,
    net,
    pid,
    user,
    cgroup,
    clock,
    life,
    docker,
)


def main(argv: Sequence[str] = ()) -> int:
    """Walk through every chapter; 0 only if each held or this machine forbids it and says why."""
    if list(argv) in (["-h"], ["--help"]):
        print("usage: pynamespaces tour\n\nWalk through the kinds of namespace on this machine and prove each.")
        return 0
    if argv:
        print(f"pynamespaces tour: takes no arguments, got {' '.join(argv)}", file=sys.stderr)
        return 2
    guide = Guide(colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    print(guide.paint("A tour of Linux namespaces, on this machine", "1"))
    start = time.monotonic()
    held = forbidden = failed = 0
    if os.geteuid() != 0:
        base = "mnt", "uts", "ipc", "net", "cgroup", "time"
        guide.say("You are an ordinary user, so this process first becomes root of a user namespace of its own:")
        guide.code(f"become_root({', '.join(map(repr, base))})")
        try:
            ns.become_root(*base)
        except NamespaceError as error:
            guide.forbidden(error)
            return 1
    for chapter in CHAPTERS:
        try:
            chapter(guide)
            held += 1
        except NamespaceError as error:
            guide.forbidden(error)
            forbidden += 1
        except (Failed, OSError, subprocess.SubprocessError) as error:
            guide.failed(error)
            failed += 1
    said = f"{held} chapters held, {forbidden} forbidden, {failed} failed, in {time.monotonic() - start:.1f} s."
    print(f"\n{guide.paint(said, '1')}")
    return 1 if failed or forbidden else 0


def _is_root() -> bool:
    """Is this the machine's root, or one of a user namespace only?"""
    with ns.Namespace.current("user") as here:
        try:
            here.parent().close()
        except PermissionError:
            return _first_line("/proc/thread-self/uid_map").split() == ["0", "0", "4294967295"] and os.geteuid() == 0
    return False


def _stranger() -> int:
    """An id that owns nothing: the machine's root must not be root inside, too."""
    return 65534 - 1 if _is_root() else os.geteuid()


def _be_root() -> tuple[int, str]:
    """Inside: who am I, and will the machine obey?  CAD_OFF only says what Ctrl-Alt-Del does."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.reboot(0x00000000)
    return os.geteuid(), "allowed" if answer == 0 else os.strerror(ctypes.get_errno())


def _mountinfo() -> list[str]:
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return file.read().splitlines()


def _queues() -> list[str]:
    with open("/proc/sysvipc/msg", encoding="ascii") as file:
        return [line.split()[1] for line in file.read().splitlines()[1:]]


def _until_blank(lines: IO[str]) -> list[str]:
    return list(iter(lambda: lines.readline().rstrip(), ""))


def _status(pid: int) -> str:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(line.split(None, 1)[1] for line in file if line.startswith("NSpid"))


def _first_line(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()[-1]
