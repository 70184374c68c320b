"""A marker's words, merged from module, class and test, into an Isolation and how the test is to run in it."""

from __future__ import annotations

from pynamespaces import mounts
from pynamespaces.clocks import ClockOffsets
from pynamespaces.idmaps import IdMap
from pynamespaces.isolation import Isolation
from pynamespaces.kinds import Kind, parse
from pynamespaces.plan import kind_of_sysctl
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    import pytest

    from pynamespaces.mounts import Mount

NAME = "namespaces"
#: What asking for a fixture asks for.
FIXTURES = {
    "netns": "net",
    "make_netns": "net",
    "mntns": "mnt",
    "utsns": "uts",
    "ipcns": "ipc",
    "cgroupns": "cgroup",
    "pidns": "pid",
    "userns": "user",
    "timens": "time",
}
#: keyword -> the kind that it is of
KEYWORDS: dict[str, str | None] = {
    "mode": None,
    "hostname": "uts",
    "domainname": "uts",
    "network": "net",
    "tmpfs": "mnt",
    "bind": "mnt",
    "files": "mnt",
    "readonly": "mnt",
    "hide": "mnt",
    "root": "mnt",
    "clock": "time",
    "ids": "user",
    "sysctl": None,
    "init": "pid",
    "timeout": None,
    "unavailable": None,
}
NETWORKS: dict[str, Any] = {"loopback": "host", "none": False, "bare": True}
MODES = ("auto", "inprocess", "fork")
UNAVAILABLE = ("skip", "fail", "xfail")
#: From these a thread of pytest's own process can come back.
INPROCESS = Kind.NET | Kind.MNT | Kind.UTS | Kind.IPC | Kind.CGROUP


@value(frozen=True)
class Wish:
    """What a test asks for."""

    box: Isolation
    mode: str | None = None
    timeout: float | None = None
    unavailable: str | None = None


_made: dict[tuple[object, ...], tuple[object, Wish]] = {}


def wish_of(item: pytest.Item, everywhere: tuple[str, ...] = ()) -> Wish | None:
    """What an item asks for by markers, fixtures and --namespaces; None for an ordinary test.

    Raises:
        ValueError, TypeError: what is wrong with a marker.
    """
    marks = tuple(item.iter_markers(NAME))
    names = getattr(item, "fixturenames", ())
    asked = tuple([FIXTURES[name] for name in names if name in FIXTURES])
    if not marks and not asked and not everywhere and "isolation" not in names:
        return None
    key = (*map(id, marks), *asked, *everywhere)
    if key not in _made:
        wish = _read(marks[::-1], (*everywhere, *asked))
        _made[key] = marks, wish  # the marks are kept, so that their ids stay theirs
    return _made[key][1]


def _read(marks: Iterable[pytest.Mark], kinds: tuple[str, ...]) -> Wish:
    words: dict[str, Any] = {}
    wanted = parse(*kinds)
    for mark in marks:
        if not mark.args and not mark.kwargs:
            raise ValueError(f"@pytest.mark.{NAME} alone asks for nothing: name the kinds, like {NAME}('net', 'mnt')")
        wanted += parse(*mark.args)
        for word, given in mark.kwargs.items():
            if word not in KEYWORDS:
                raise TypeError(f"unknown keyword {word!r} of @pytest.mark.{NAME}; it takes {', '.join(KEYWORDS)}")
            words[word] = _merged(words.get(word), given)
    implied = [kind for word, kind in KEYWORDS.items() if kind is not None and words.get(word) is not None]
    implied += [kind_of_sysctl(name) for name in words.get("sysctl") or ()]
    flags = Kind(0)
    for row in (*wanted, *parse(*implied)):
        flags |= row.kind
    if Kind.PID in flags:
        flags |= Kind.MNT  # for a /proc that shows it
    if not flags:
        raise ValueError(f"@pytest.mark.{NAME} names no kind of namespace, and no keyword adds one")
    return _wish(flags, words)


def _wish(kinds: Kind, words: dict[str, Any]) -> Wish:
    mode = _one_of("mode", words.get("mode"), MODES)
    timeout = words.get("timeout")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout < 0):
        raise ValueError(f"timeout is a number of seconds, got {timeout!r}")
    if mode == "inprocess" and timeout is not None:
        raise ValueError("timeout takes a process that can be ended: not with mode='inprocess'")
    if mode == "inprocess" and kinds & ~INPROCESS:
        raise ValueError(f"no thread comes back from {kinds & ~INPROCESS}: not with mode='inprocess'")
    fields: dict[str, Any] = {}
    for word in ("hostname", "domainname", "root"):
        if words.get(word) is not None:
            fields[word] = words[word]
    if Kind.NET in kinds:
        fields["loopback"] = NETWORKS[_one_of("network", words.get("network"), NETWORKS) or "loopback"]
    if words.get("clock") is not None:
        fields["clock"] = _clock(words["clock"])
    if words.get("ids") is not None:
        fields["ids"] = _ids(words["ids"])
    if words.get("sysctl"):
        fields["sysctl"] = words["sysctl"]
    if words.get("init") is not None:
        fields["init"] = None if words["init"] else False
    if Kind.MNT in kinds:
        fields["mounts"] = tuple(_mounts(words))
    unavailable = _one_of("unavailable", words.get("unavailable"), UNAVAILABLE)
    return Wish(Isolation(kinds, **fields), mode, timeout, unavailable)


def _merged(outer: Any, inner: Any) -> Any:
    """The inner one wins; of two dicts or lists both count."""
    if isinstance(outer, dict) and isinstance(inner, dict):
        return {**outer, **inner}
    if isinstance(outer, (list, tuple)) and isinstance(inner, (list, tuple)):
        return [*outer, *inner]
    return inner


def _one_of(word: str, given: Any, allowed: Iterable[str]) -> str | None:
    if given is not None and given not in tuple(allowed):
        raise ValueError(f"{word} is one of {', '.join(map(repr, allowed))}, got {given!r}")
    return given  # type: ignore[no-any-return]


def _clock(given: Any) -> ClockOffsets:
    if isinstance(given, ClockOffsets):
        return given
    if isinstance(given, dict):
        if given.keys() - {"monotonic", "boottime"}:
            raise ValueError(f"clock has 'monotonic' and 'boottime', got {given!r}")
        return ClockOffsets(**given)
    return ClockOffsets(monotonic=given, boottime=given)


def _ids(given: Any) -> IdMap:
    if isinstance(given, IdMap):
        return given
    if given not in ("root", "current"):
        raise ValueError(f"ids is 'root', 'current' or an IdMap, got {given!r}")
    return IdMap.root() if given == "root" else IdMap.current()


def _mounts(words: Mapping[str, Any]) -> Iterator[Mount]:
    """In the order of their depth, so that nothing covers what was put below it."""
    readonly = [str(path).rstrip("/") or "/" for path in _paths("readonly", words)]
    found: list[Mount] = []
    found += [mounts.tmpfs(path, size=size) for path, size in _pairs("tmpfs", words)]
    found += [mounts.bind(source, target) for target, source in _pairs("bind", words)]
    for target, content in _pairs("files", words):
        below = any(str(target).startswith(path.rstrip("/") + "/") for path in readonly)
        found.append(mounts.file(target, content, read_only=below or str(target) in readonly))
    found += [mounts.bind(path, read_only=True) for path in readonly]
    found += [mounts.mask(path, missing_ok=True) for path in _paths("hide", words)]
    yield from sorted(found, key=lambda mount: 0 if mount.target == "/" else mount.target.count("/"))


def _pairs(word: str, words: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    given = words.get(word) or {}
    if not isinstance(given, dict):
        raise TypeError(f"{word} is a dict of paths, got {given!r}")
    return list(given.items())


def _paths(word: str, words: Mapping[str, Any]) -> list[Any]:
    given = words.get(word) or []
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise TypeError(f"{word} is a list of paths, got {given!r}")
    return list(given)
