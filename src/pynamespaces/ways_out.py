"""Ways out: a program of the distribution's that carries a new network's traffic over this process's own, rootless.

pasta (of passt) is preferred, slirp4netns does where only that is installed.  It is started for a box before the box's
command, held by its pidfd, and killed with it: by this process, or by a watcher if this one can do nothing any more.
"""

from __future__ import annotations

import os
import select
import subprocess
import time

from pynamespaces._kernel import init, launch, pidfd
from pynamespaces.errors import NamespaceError, NotFound, refusal
from pynamespaces.handles import Namespace
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeAlias

    Ports: TypeAlias = "Iterable[int | tuple[int, int]]"

PROGRAMS = ("pasta", "slirp4netns")
PACKAGES = {"pasta": "passt", "slirp4netns": "slirp4netns"}
PATIENCE = 15.0  #: seconds until it has to be ready
SEARCH = f"{os.defpath}:/usr/sbin:/sbin"


@value(frozen=True)
class WayOut:
    """How a box reaches the network outside; made by ``pasta`` and ``slirp4netns``, or written as their names.

    Ports are (outside, inside): who connects to the outside one, at `address` of this process's network, reaches the
    inside one in the box.  The box itself cannot reach this machine's loopback.
    """

    program: str | None = None  #: None: pasta, or slirp4netns where only that is installed
    tcp: tuple[tuple[int, int], ...] = ()
    udp: tuple[tuple[int, int], ...] = ()
    address: str = "127.0.0.1"


def way_out(tcp: Ports = (), udp: Ports = (), address: str = "127.0.0.1", *, program: str | None = None) -> WayOut:
    """A way out with ports forwarded into the box.

    Args:
        tcp: ports, each a number, or (outside, inside).
        udp: the same.
        address: numeric; at which they listen outside; "0.0.0.0" for all.
        program: "pasta" or "slirp4netns"; by default the first that is installed.

    Raises:
        ValueError: not a port, not an address, not one of the two programs.
    """
    import ipaddress

    if program is not None and program not in PROGRAMS:
        raise ValueError(f"unknown way out {program!r}: expected one of {', '.join(PROGRAMS)}")
    ipaddress.ip_address(address)
    return WayOut(program, _pairs(tcp), _pairs(udp), address)


def parse(given: WayOut | str) -> WayOut:
    """What `Isolation(network=…)` takes; ValueError for anything else."""
    if isinstance(given, WayOut):
        return given
    if given == "pasta":
        return WayOut()
    if given == "slirp4netns":
        return WayOut("slirp4netns")
    raise ValueError(f"network is 'pasta', 'slirp4netns' or a WayOut, got {given!r}")


class Running:
    """The program at work for one box."""

    def __init__(self, process: Any, image: int) -> None:
        self._process = process
        self._image = image

    def follow(self, box: int) -> None:
        """From now on it dies with the process behind this pidfd, too."""
        self._watch(box)

    def _watch(self, mother: int) -> None:
        answer = launch.watch(self._image, self._process.pidfd.fileno(), mother)
        if answer < 0:
            raise refusal(-answer, step="start the watcher of the way out")

    def end(self) -> None:
        """Kill and reap it; harmless twice."""
        image, self._image = self._image, -1
        if image >= 0:
            os.close(image)
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()


def start(wanted: WayOut, pid: int, *, die_with_parent: bool = True) -> Running:
    """Start it for the network of a process that waits, and wait until the network is there.

    Raises:
        NotFound: none of the programs is installed (ENOENT).
        NamespaceError: it ended, with what it said (EIO), or was not ready in time (ETIMEDOUT).
    """
    from pynamespaces.isolation import Isolation
    from pynamespaces.processes import Popen

    program, path = _find(wanted.program)
    with Namespace.of(pid, "user") as theirs, Namespace.current("user") as ours:
        shared = theirs == ours
    reader, writer = os.pipe()
    said = os.memfd_create("way-out", os.MFD_CLOEXEC)
    image = init.image()
    room = _Room() if program == "slirp4netns" and (wanted.tcp or wanted.udp) else None
    running: Running | None = None
    try:
        argv = _argv(program, path, wanted, pid, writer, shared, room)
        process = Popen(
            Isolation(die_with_parent=False),
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=[writer],
            cwd="/",
        )
        running = Running(process, image)
        if die_with_parent:
            running._watch(-1)
        os.close(writer)
        writer = -1
        _wait(program, process, reader, said)
        if room is not None:
            _forward_by_slirp(wanted, room.path)
        return running
    except BaseException:
        if running is not None:
            running.end()
        else:
            os.close(image)
        raise
    finally:
        for fd in (reader, writer, said):
            if fd >= 0:
                os.close(fd)
        if room is not None:
            room.close()


def _find(program: str | None) -> tuple[str, str]:
    import shutil

    names = PROGRAMS if program is None else (program,)
    for name in names:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SEARCH}")
        if path is not None:
            return name, path
    packages = " or ".join(PACKAGES[name] for name in names)
    raise NotFound(
        2,
        f"{' and '.join(names)} not found",
        step="start the way out of the new network",
        hint=f"install the distribution's package {packages} (apt-get install {PACKAGES[names[0]]})",
    )


class _Room:
    """Where slirp4netns listens, for a moment, for the ports to forward."""

    def __init__(self) -> None:
        import tempfile

        self._directory = tempfile.mkdtemp(prefix="pynamespaces-")
        self.path = os.path.join(self._directory, "api")

    def close(self) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        os.rmdir(self._directory)


def _argv(program: str, path: str, wanted: WayOut, pid: int, ready: int, shared: bool, room: _Room | None) -> list[str]:
    if program == "pasta":
        argv = [path, "--foreground", "--config-net", "--no-map-gw", "--pid", f"/proc/self/fd/{ready}"]
        for option, ports in (("-t", wanted.tcp), ("-u", wanted.udp)):
            for outside, inside in ports:
                argv += [option, f"{wanted.address}/{outside}:{inside}"]
            if not ports:
                argv += [option, "none"]
        argv += ["-T", "none", "-U", "none"]
        if os.geteuid() == 0:  # else it becomes nobody, who may not look at this process
            argv += ["--runas", "0"]
        if shared:
            argv.append("--netns-only")
            return [*argv, "--netns", f"/proc/{pid}/ns/net"]
        return [*argv, str(pid)]
    argv = [path, "--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={ready}"]
    if room is not None:
        argv.append(f"--api-socket={room.path}")
    if not shared:
        argv.append(f"--userns-path=/proc/{pid}/ns/user")
    return [*argv, "--netns-type=path", f"/proc/{pid}/ns/net", "tap0"]


def _wait(program: str, process: Any, reader: int, said: int) -> None:
    """Until it says that it is ready: pasta writes its process id, slirp4netns a 1."""
    step = f"start {program}"
    deadline = time.monotonic() + PATIENCE
    while True:
        left = max(0.0, deadline - time.monotonic())
        if not select.select([reader], [], [], left)[0] or not left:
            raise NamespaceError(110, f"it was not ready within {PATIENCE:g} s", step=step, hint=_words(said))
        if os.read(reader, 100):
            return
        if not pidfd.alive(process.pidfd.fileno(), int(left * 1000)):
            status = process.wait()
            raise NamespaceError(5, f"it ended with status {status}", step=step, hint=_words(said))


def _words(said: int) -> str | None:
    """The last of what it said; both need the tun device."""
    text = os.pread(said, 1 << 16, 0).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    last = [line for line in lines if line and not line.startswith("Failed to send")][-3:]
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        exists = os.path.exists("/dev/net/tun")
        last.append(f"/dev/net/tun {'is closed to this user: chmod 666 it' if exists else 'does not exist'}")
    return "; ".join(last) or None


def _forward_by_slirp(wanted: WayOut, path: str) -> None:
    import json
    import socket

    for proto, ports in (("tcp", wanted.tcp), ("udp", wanted.udp)):
        for outside, inside in ports:
            arguments = {"proto": proto, "host_addr": wanted.address, "host_port": outside, "guest_port": inside}
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(path)
                sock.sendall(json.dumps({"execute": "add_hostfwd", "arguments": arguments}).encode())
                sock.shutdown(socket.SHUT_WR)
                answer = json.loads(sock.recv(4096) or b"{}")
            if "error" in answer:
                text = str(answer["error"].get("desc", answer["error"]))
                raise NamespaceError(98, text, step=f"forward {proto} port {outside} by slirp4netns")


def _pairs(ports: Ports) -> tuple[tuple[int, int], ...]:
    found = []
    for port in ports:
        pair: Sequence[int] = (port, port) if isinstance(port, int) else port
        if len(pair) != 2 or not all(type(number) is int and 0 < number < 65536 for number in pair):
            raise ValueError(f"not a port: {port!r}; expected a number from 1 to 65535, or (outside, inside)")
        found.append((pair[0], pair[1]))
    return tuple(found)
