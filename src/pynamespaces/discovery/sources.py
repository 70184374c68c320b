"""Where namespaces are found: one function a source, each adding to what was gathered before it."""

from __future__ import annotations

import errno
import os
from array import array

from pynamespaces import kinds, procfs
from pynamespaces._kernel import mount, pidfd, scan
from pynamespaces.discovery import keeping
from pynamespaces.discovery.found import Bind
from pynamespaces.discovery.gathering import FOR_CHILDREN, MNT, NET, PLACES, Gathering
from pynamespaces.ids import NamespaceId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: How often /proc is listed again, where processes ended before they were read: they may have left children behind.
ROUNDS = 5


def processes(gathering: Gathering) -> None:
    """Members: /proc/PID/ns of every process."""
    facts = bool(set(gathering.sources) - {"processes", "children"})
    links = 0x3FF if set(gathering.sources) & {"children", "threads"} else 0xFF
    if not facts:
        links &= 0x300 | sum(1 << place for place, row in enumerate(kinds.TABLE) if row.flag & gathering.flags)
    seen: set[int] = set()
    denied = 0
    for _ in range(ROUNDS):
        pids = scan.numbers(gathering.proc, b".")
        if seen:
            pids = array("i", [pid for pid in pids if pid not in seen])
        out = scan.tasks(gathering.proc, pids, pids, links | (scan.FACTS if facts else 0), gathering.workers)
        seen.update(pids)
        ended = []
        if facts:
            unpacked = list(scan.TASK.iter_unpack(out))
            gathering.facts.update(zip(pids, unpacked, strict=True))
            seen_now = [(fact[0], fact[2], fact[9]) for fact in unpacked]
        else:
            seen_now = [(pid, error, found) for pid, _, error, found in scan.BARE.iter_unpack(out)]
        groups, of = gathering.groups, gathering.links
        for pid, error, found in seen_now:
            if error == 0:
                of[pid] = found
                try:
                    groups[found].append(pid)
                except KeyError:
                    groups[found] = [pid]
            elif error in (-errno.ESRCH, -errno.ENOENT):
                ended.append(pid)
            else:
                denied += 1
        if not ended:
            break
        seen.difference_update(ended)
    _missed_processes(gathering, denied)
    if "processes" in gathering.sources:
        _add_members(gathering)


def _add_members(gathering: Gathering) -> None:
    for found, pids in gathering.groups.items():
        for row, inode in zip(kinds.TABLE, scan.LINKS.unpack(found), strict=False):
            if inode:
                gathering.note(row.flag, inode).processes.extend(pids)


def _missed_processes(gathering: Gathering, denied: int) -> None:
    if denied:
        gathering.miss("processes", "processes may not be inspected (ptrace(2) access)", denied)
    table = procfs.read_text(f"{gathering.path}/thread-self/mounts") or ""
    mounted = [line.split(" ")[3] for line in table.splitlines() if line.split(" ")[1:3] == [gathering.path, "proc"]]
    hidden = [word for word in mounted[-1].split(",") if word.startswith("hidepid=")] if mounted else []
    if hidden and hidden[0] not in ("hidepid=0", "hidepid=off") and not _sees_all():
        gathering.miss("processes", f"others' processes may be invisible: proc is mounted with {hidden[0]}", None)


def _sees_all() -> bool:
    return os.geteuid() == 0 and procfs.in_first_user_namespace()


def children(gathering: Gathering) -> None:
    """pid_for_children and time_for_children of every process, where they differ from its own."""
    for found, pids in gathering.groups.items():
        inodes = scan.LINKS.unpack(found)
        for place, flag in FOR_CHILDREN:
            if inodes[place] and inodes[place] != inodes[PLACES[flag]]:
                gathering.note(flag, inodes[place]).children.extend(pids)


def threads(gathering: Gathering) -> None:
    """Threads whose namespaces differ from their process's."""
    tids, pids = array("i"), array("i")
    for pid in gathering.links:
        if gathering.facts[pid][5] > 1:
            try:
                found = scan.numbers(gathering.proc, b"%d/task" % pid)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESRCH):
                    gathering.miss("threads", "processes' threads may not be listed")
                continue
            tids.extend(found)
            pids.extend([pid] * len(found))
    out = scan.tasks(gathering.proc, pids, tids, 0x3FF | scan.FACTS, gathering.workers)
    heads: dict[int, tuple[int, ...]] = {}
    for pid, tid, _, *_, started, found, _ in scan.TASK.iter_unpack(out):
        # The same process still?  Its number may have been used again since it was read.
        if pid == tid and started == gathering.facts[pid][8]:
            heads[pid] = scan.LINKS.unpack(found)
    for fact in scan.TASK.iter_unpack(out):
        pid, tid, refused, links = fact[0], fact[1], fact[2], fact[9]
        if pid == tid or refused or pid not in heads:
            continue
        own = scan.LINKS.unpack(links)
        for row, inode, head in zip(kinds.TABLE, own, heads[pid], strict=False):
            if inode and inode != head:
                gathering.note(row.flag, inode).threads.append(tid)
                gathering.loose[tid] = pid
        for place, flag in FOR_CHILDREN:
            if own[place] and own[place] not in (own[PLACES[flag]], heads[pid][place]):
                gathering.note(flag, own[place]).children.append(tid)
                gathering.loose[tid] = pid
        if tid in gathering.loose:
            gathering.facts[tid] = fact


def descriptors(gathering: Gathering) -> None:
    """Open descriptors of namespaces, and sockets and pidfds that lead to others."""
    pids = array("i", [*gathering.links, *gathering.loose.values()])
    tids = array("i", [*gathering.links, *gathering.loose])
    held, errors = scan.descriptors(gathering.proc, pids, tids, gathering.workers)
    denied = sum(error not in (0, -errno.ENOENT, -errno.ESRCH) for error in errors)
    if denied:
        gathering.miss("fds", "processes' descriptors may not be listed", denied)
    sockets: dict[int, list[tuple[int, int]]] = {}
    pidfds: list[tuple[int, int]] = []
    found = list(held)
    own = {(pid, fd, inode) for pid, tid, fd, _, inode in found if pid == tid} if gathering.loose else frozenset()
    for pid, tid, fd, what, inode in found:
        if pid != tid and (pid, fd, inode) in own:
            continue  # the thread and its process share one table of descriptors
        if what == scan.SOCKET:
            sockets.setdefault(inode, []).append((tid, fd))
        elif what == scan.PIDFD:
            pidfds.append((tid, fd))
        elif "fds" in gathering.sources:
            gathering.note(what, inode).fds.append((tid, fd))
    if "sockets" in gathering.sources and gathering.flags & NET:
        _sockets(gathering, sockets)
    if "pidfds" in gathering.sources:
        _pidfds(gathering, pidfds)


class _Copies:
    """Copies of other tasks' descriptors: one pidfd a task, and each task that refuses is asked once."""

    def __init__(self, gathering: Gathering) -> None:
        self.gathering = gathering
        self.task = self.held = -1
        self.refused = False

    def __enter__(self) -> _Copies:
        return self

    def __exit__(self, *_: object) -> None:
        self.turn(-1)

    def turn(self, task: int) -> None:
        if task != self.task:
            if self.held >= 0:
                os.close(self.held)
            self.task, self.held, self.refused = task, -1, False
            if task > 0:
                try:
                    self.held = pidfd.pidfd_open(task, thread=task in self.gathering.loose)
                except OSError:
                    self.refused = True

    def get(self, task: int, fd: int, copy: Callable[[int, int], int], source: str) -> int:
        """What `copy` makes of a task's descriptor; -1 where it is gone or refused."""
        self.turn(task)
        if self.refused:
            return -1
        try:
            return copy(self.held, fd)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                self.refused = True
                self.gathering.miss(source, f"processes' {source} may not be inspected")
            return -1


def _sockets(gathering: Gathering, sockets: dict[int, list[tuple[int, int]]]) -> None:
    """Sockets that live in another net namespace than the process that has them (SIOCGSKNS)."""
    with _Copies(gathering) as copies:
        for holders in sockets.values():
            for task, fd in holders[:3]:
                found = copies.get(task, fd, scan.socket_namespace, "sockets")
                if found >= 0:
                    break
            else:
                continue
            try:
                inode = os.fstat(found).st_ino
                elsewhere = [(task, fd) for task, fd in holders if gathering.link(task, NET) != inode]
                if elsewhere:
                    note = gathering.notes.get((NET, inode)) or gathering.adopt(found)
                    note.sockets.extend(elsewhere)
            finally:
                os.close(found)


def _pidfds(gathering: Gathering, pidfds: list[tuple[int, int]]) -> None:
    """Pidfds of processes that /proc does not show: of another pid namespace, or hidden (PIDFD_GET_*_NAMESPACE)."""
    with _Copies(gathering) as copies:
        for task, fd in pidfds:
            number = process_of_pidfd(procfs.read_text(f"{gathering.path}/{task}/fdinfo/{fd}") or "")
            if number < 0 or number in gathering.links or number in gathering.facts:
                continue  # ended, or seen already
            found = copies.get(task, fd, pidfd.pidfd_getfd, "pidfds")
            if found < 0:
                continue
            try:
                for row in gathering.wanted:
                    _of_pidfd(gathering, found, row.flag, (task, fd))
            finally:
                os.close(found)


def process_of_pidfd(text: str) -> int:
    """The process that fdinfo of a pidfd tells: 0 if it is of another pid namespace, -1 if it has ended."""
    for line in text.splitlines():
        name, _, number = line.partition(":")
        if name == "Pid" and number.strip().isdecimal():
            return int(number)
    return -1


def _of_pidfd(gathering: Gathering, held: int, flag: int, holder: tuple[int, int]) -> None:
    try:
        namespace = pidfd.namespace(held, flag)
    except OSError:
        return
    if namespace is not None:
        try:
            gathering.adopt(namespace).pidfds.append(holder)
        finally:
            os.close(namespace)


def kernel(gathering: Gathering) -> None:
    """What the kernel itself lists: every namespace (listns(2), Linux 6.19), or the mnt ones (Linux 6.12, root)."""
    try:
        serials = scan.listns(row.flag for row in gathering.wanted)
    except OSError:
        if gathering.flags & MNT:
            _mnt_namespaces(gathering)
        return
    for serial in serials:
        try:
            fd = scan.open_by_id(serial)
        except OSError as error:
            if error.errno == errno.EPERM:
                gathering.miss("kernel", "namespaces that listns(2) names may not be opened")
            continue
        try:
            gathering.adopt(fd, above=False)
        finally:
            os.close(fd)


def _mnt_namespaces(gathering: Gathering) -> None:
    try:
        start = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    for previous in (False, True):
        at = os.dup(start)
        try:
            for _ in range(1 << 20):
                after = scan.next_mnt(at, previous=previous)
                os.close(at)
                at = after
                gathering.adopt(at)
        except OSError:
            pass  # ENOENT: the end; ENOTTY: before 6.12; EPERM
        finally:
            os.close(at)
    os.close(start)


def mounts(gathering: Gathering) -> None:
    """Bind mounts, in every mnt namespace that is known: they may lead to further ones."""
    looked: set[int] = {0}  # what could not be read
    of_processes = [scan.LINKS.unpack(found)[PLACES[MNT]] for found in gathering.groups]
    for _ in range(64):
        todo = [inode for flag, inode in gathering.notes if flag == MNT] + of_processes
        todo = [inode for inode in todo if inode not in looked]
        if not todo:
            return
        for inode in dict.fromkeys(todo):
            looked.add(inode)
            _mounts_in(gathering, inode)


def _mounts_in(gathering: Gathering, inode: int) -> None:
    fd = gathering.open(MNT, inode)
    if fd < 0:
        gathering.miss("mounts", "mnt namespaces may not be opened")
        return
    try:
        gathering.adopt(fd)
        found = scan.nsfs_mounts(mount.namespace_id(fd))
    except OSError:
        members = gathering.members(MNT, inode)
        text = next(filter(None, (procfs.read_text(f"{gathering.path}/{pid}/mountinfo") for pid in members[:3])), None)
        if text is None:
            gathering.miss("mounts", "mnt namespaces' mounts may not be listed")
            return
        found = parse(text)
    finally:
        os.close(fd)
    where = NamespaceId(gathering.device, inode)
    for root, path in found:
        try:
            kind, identity = NamespaceId.parse(root)
        except ValueError:
            continue
        gathering.note(kind.value, identity.ino).binds.append(Bind(path, where))


def parse(text: str) -> list[tuple[str, str]]:
    """(root, mount point) of nsfs's mounts in the text of a mountinfo file."""
    found = []
    for line in text.split("\n"):
        before, dash, after = line.partition(" - ")
        words = before.split(" ")
        if dash and after.startswith("nsfs ") and len(words) > 4:
            found.append((procfs.unescape(words[3]), procfs.unescape(words[4])))
    return found


def owners(gathering: Gathering) -> None:
    """What each says of itself (id, owner, parent); and owners and parents that nothing else holds."""
    for _ in range(64):
        todo = [key for key, note in gathering.notes.items() if note.relations is None and key[0] & gathering.flags]
        fresh = [key for key in todo if key not in gathering.unasked]
        if not fresh:
            return
        for key in fresh:
            fd = gathering.open(*key)
            if fd < 0:
                gathering.unasked.add(key)
                gathering.miss("owners", "namespaces may not be opened, or ended meanwhile")
                continue
            try:
                gathering.adopt(fd)
            finally:
                os.close(fd)


#: In the order in which they are asked: name -> (function, what it looks at).
SOURCES: dict[str, tuple[Callable[[Gathering], None], str]] = {
    "processes": (processes, "the namespaces of every process"),
    "children": (children, "pid_for_children and time_for_children, where they differ"),
    "threads": (threads, "threads whose namespaces differ from their process's"),
    "fds": (descriptors, "open descriptors of namespaces"),
    "sockets": (descriptors, "sockets in another net namespace than the process that has them"),
    "pidfds": (descriptors, "pidfds of processes that /proc does not show"),
    "kernel": (kernel, "what the kernel itself lists: listns(2), or mnt namespaces one after the other"),
    "mounts": (mounts, "bind mounts, in this mnt namespace and in others"),
    "owners": (owners, "owners and parents, also those that nothing else holds"),
    "names": (keeping.names, "the names of the store and of ip netns"),
}
