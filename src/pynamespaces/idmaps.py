"""IdMap: who is who in a user namespace (user_namespaces(7)); who may write it, and how."""

from __future__ import annotations

import itertools
import os

from pynamespaces import causes, plan, procfs
from pynamespaces._kernel import errand, prctl, sched
from pynamespaces.errors import NotPermitted, NotSupported, refusal
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    Range: TypeAlias = "tuple[int, int, int]"  # inside, outside, count

_LAST = 2**32 - 2  # -1 is no id
_LINES = 340
_BYTES = 4096
_CAP_SETGID, _CAP_SETUID = 6, 7


@value(frozen=True)
class IdMap:
    """The ids of a user namespace: ranges of (first id inside, first id outside, how many).

    Raises:
        ValueError: an empty or overlapping range, an id beyond 4,294,967,294, over 340 ranges or 4,095 bytes of text.
    """

    uids: Sequence[Range]
    gids: Sequence[Range]
    setgroups: str | None = None  #: "deny" forbids setgroups(2) inside; None does so where the kernel demands it

    def __post_init__(self) -> None:
        if self.setgroups not in (None, "allow", "deny"):
            raise ValueError(f"setgroups must be 'allow', 'deny' or None, got {self.setgroups!r}")
        for name in ("uids", "gids"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))

    @staticmethod
    def root() -> IdMap:
        """This process's user and group are root inside; nobody else is there."""
        return IdMap(((0, os.geteuid(), 1),), ((0, os.getegid(), 1),))

    @staticmethod
    def current() -> IdMap:
        """This process's user and group are themselves inside; nobody else is there."""
        uid, gid = os.geteuid(), os.getegid()
        return IdMap(((uid, uid, 1),), ((gid, gid, 1),))

    @staticmethod
    def identity() -> IdMap:
        """Everybody who is somebody here is the same inside; takes CAP_SETUID and CAP_SETGID."""
        uids, gids = ([(first, first, count) for first, _, count in extents(name)] for name in ("uid", "gid"))
        return IdMap(uids, gids)

    @staticmethod
    def subids() -> IdMap:
        """This user is root inside, and has its subordinate ids of /etc/subuid and /etc/subgid from 1 on.

        Raises:
            NotSupported: there are none for this user.
        """
        return IdMap(_sub("uid", os.geteuid()), _sub("gid", os.getegid()))

    @staticmethod
    def parse(uids: str, gids: str, /) -> IdMap:
        """Read the text of uid_map and gid_map."""
        return IdMap(_parse(uids), _parse(gids))

    def uid_text(self) -> str:
        """What is written to uid_map."""
        return _text(self.uids)

    def gid_text(self) -> str:
        """What is written to gid_map."""
        return _text(self.gids)

    def step(self) -> plan.Step:
        """The step of a plan that writes it."""
        return plan.map_ids(self.uid_text(), self.gid_text(), self.setgroups)

    def __str__(self) -> str:
        return f"uid_map:\n{self.uid_text()}gid_map:\n{self.gid_text()}"


def write(pid: int, step: plan.Step) -> None:
    """Write the maps of a process that waits in its new user namespace; by newuidmap(1) where we may not ourselves.

    Raises:
        NotPermitted: ids that are not this user's to give; newuidmap missing or not set-user-ID.
    """
    uids, gids = (step.a or b"").decode(), (step.b or b"").decode()
    setgroups = (step.c or b"").decode()
    privileged = sched.has_capability(_CAP_SETUID) and sched.has_capability(_CAP_SETGID)
    if setgroups == "allow" and not privileged:
        raise NotPermitted(1, "an unprivileged gid_map takes setgroups 'deny'", step=str(step))
    if not privileged and not (_is_own(uids, os.geteuid()) and _is_own(gids, os.getegid())):
        _write_by_helper(pid, "uid", split(_parse(uids), "uid"))
        _write_by_helper(pid, "gid", split(_parse(gids), "gid"))
        return
    with prctl.readable():
        if not privileged or setgroups == "deny":
            _write(pid, "setgroups", "deny")
        for name, text in (("uid", uids), ("gid", gids)):
            try:
                _write(pid, f"{name}_map", text)
            except NotPermitted:  # perhaps a range lies across two of our own
                ranges = _parse(text)
                cut = split(ranges, name)
                if cut == ranges:
                    raise
                _write(pid, f"{name}_map", _text(cut))


def _is_own(text: str, own: int) -> bool:
    """Is it a map of nobody but oneself?"""
    return text.count("\n") == 1 and text.split()[1:] == [str(own), "1"]


def write_within(pid: int, step: plan.Step, user: plan.Step) -> None:
    """The same below an existing user namespace that `user` joins: only from there may it be written.

    Ids outside are those of that namespace; its root has every right over them.

    Raises:
        NotPermitted: ids that nobody has in that namespace.
    """
    files = [("uid_map", step.a or b""), ("gid_map", step.b or b"")]
    if step.c == b"deny":
        files.insert(0, ("setgroups", step.c))
    for name, text in files:
        path = f"/proc/{pid}/{name}"
        fd = errand.run([user], errand.OPEN, (os.O_WRONLY, 0), path.encode())[0]
        if fd < 0:
            raise refusal(-fd, step=f"open {path} in {user}")
        try:
            os.write(fd, text)
        except OSError as error:
            hint = f"it was to be: {', '.join(text.decode().splitlines()[:3])}; ids outside are those of {user.what}"
            raise refusal(error.errno or 0, step=f"write {path}", hint=hint) from None
        finally:
            os.close(fd)


def extents(name: str) -> tuple[Range, ...]:
    """The ids that are somebody in this thread's user namespace: its own uid_map or gid_map."""
    with open(f"/proc/thread-self/{name}_map", encoding="ascii") as file:
        return _parse(file.read())


def split(ranges: Iterable[Range], name: str) -> tuple[Range, ...]:
    """Ranges cut along the extents of our own map: the kernel takes no range across two of them.

    Raises:
        ValueError: an id outside that is nobody here.
    """
    known = [(first, first + count) for first, _, count in extents(name)]
    cut: list[Range] = []
    for inside, outside, count in ranges:
        done = 0
        while done < count:
            start = outside + done
            end = next((end for first, end in known if first <= start < end), None)
            if end is None:
                raise ValueError(
                    f"{name} {start} is not mapped in this user namespace, so it cannot be given to another"
                )
            length = min(count - done, end - start)
            cut.append((inside + done, start, length))
            done += length
    return _checked(f"{name}s", cut)


def _checked(name: str, ranges: Iterable[Iterable[int]]) -> tuple[Range, ...]:
    found: list[Range] = []
    for item in ranges:
        numbers = tuple(item)
        if len(numbers) != 3 or any(type(number) is not int for number in numbers):
            raise TypeError(f"{name} must be tuples (inside, outside, count) of ints, got {item!r}")
        inside, outside, count = numbers
        if inside < 0 or outside < 0 or count < 1 or max(inside, outside) + count - 1 > _LAST:
            raise ValueError(
                f"{name}: {numbers} is no range of ids: they go from 0 to {_LAST}, and count is at least 1"
            )
        found.append((inside, outside, count))
    if not found:
        raise ValueError(f"{name}: at least one range is needed")
    for side, index in (("inside", 0), ("outside", 1)):
        ordered = sorted((item[index], item[index] + item[2]) for item in found)
        for (_, end), (start, _) in itertools.pairwise(ordered):
            if start < end:
                raise ValueError(f"{name}: two ranges both have id {start} {side}")
    if len(found) > _LINES or len(_text(tuple(found))) >= _BYTES:
        raise ValueError(f"{name}: the kernel takes at most {_LINES} ranges and {_BYTES - 1} bytes of text")
    return tuple(found)


def _text(ranges: Iterable[Range]) -> str:
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges)


def _parse(text: str) -> tuple[Range, ...]:
    found: list[Range] = []
    for line in text.splitlines():
        numbers = [int(word) if word.isascii() and word.isdigit() else -1 for word in line.split()]
        if len(numbers) != 3 or min(numbers) < 0:
            raise ValueError(f"not a line of uid_map: {line!r}; expected three numbers: inside, outside, count")
        found.append((numbers[0], numbers[1], numbers[2]))
    return tuple(found)


def _write(pid: int, name: str, text: str) -> None:
    step = f"write /proc/{pid}/{name}"
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        lines = ", ".join(text.strip().splitlines()[:3])
        hint = causes.why(error.errno or 0, step) or f"it was to be: {lines}"
        raise refusal(error.errno or 0, step=step, hint=hint) from None


def _write_by_helper(pid: int, name: str, ranges: tuple[Range, ...]) -> None:
    import shutil
    import subprocess

    program = f"new{name}map"
    path = shutil.which(program)
    step = f"{program} {pid}"
    if path is None:
        raise NotPermitted(1, f"{program} is not installed", step=step, hint=causes.idmap_helper(name))
    numbers = [str(number) for item in ranges for number in item]
    done = subprocess.run([path, str(pid), *numbers], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        text = done.stderr.strip() or f"exit status {done.returncode}"
        raise NotPermitted(1, text, step=step, hint=causes.idmap_helper(name))


def _sub(name: str, own: int) -> tuple[Range, ...]:
    import pwd

    names = {str(os.geteuid())}
    try:
        names.add(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        pass
    found: list[Range] = [(0, own, 1)]
    inside = 1
    for line in (procfs.read_text(f"/etc/sub{name}") or "").splitlines():
        user, *numbers = line.split(":")
        if user in names and len(numbers) == 2 and all(word.isdigit() for word in numbers):
            found.append((inside, int(numbers[0]), int(numbers[1])))
            inside += int(numbers[1])
    if inside == 1:
        raise NotSupported(
            95,
            f"/etc/sub{name} has no ids for this user",
            step=f"read /etc/sub{name}",
            hint=causes.no_subids(name),
        )
    return tuple(found)
