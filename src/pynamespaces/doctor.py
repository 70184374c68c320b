"""doctor: what this machine allows this user, in this process and thread; and where it does not, why."""

from __future__ import annotations

import os
import sys
from types import ModuleType

from pynamespaces import capabilities, causes, kinds, procfs, trials
from pynamespaces._kernel import sched
from pynamespaces.isolation import Isolation
from pynamespaces.kinds import Kind
from pynamespaces.trials import Refusal
from pynamespaces.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Literal, TypeAlias

    from pynamespaces.places import Place

    Verb: TypeAlias = Literal["block", "run", "call"]

#: What is tried of every kind, in the order of the report's columns.
VERBS = ("block", "run", "call", "persist", "rejoin", "become_root")


@value(frozen=True)
class Verdict:
    """Whether one thing works, as it was found by trying."""

    kind: Kind  #: of which kind; several where the thing takes several
    verb: str  #: one of `VERBS`, or "proc" (a fresh /proc for a new pid namespace), "subids" (subordinate ids)
    works: bool
    way: str  #: "" where it works plainly; else what it takes: "with user", "by run"
    refusal: Refusal | None  #: why it does not work, or does not work plainly
    trace: str | None = None  #: what stays changed afterwards and cannot be undone

    def __str__(self) -> str:
        word = (self.way or "yes") if self.works else "no"
        return f"{self.verb} {self.kind}: {word}{f': {self.refusal}' if self.refusal else ''}"


@value(frozen=True)
class Report:
    """What ``doctor()`` found: verdicts by kind and verb, and what is special here."""

    verdicts: tuple[Verdict, ...]
    found: tuple[str, ...]  #: causes that were found here, whatever they prevent
    uid: int
    gid: int
    kernel: str
    threads: int  #: of this process

    def __getitem__(self, which: tuple[Kind | str, str]) -> Verdict:
        """``report["net", "run"]``."""
        kind, verb = which
        wanted = kinds.combined(kinds.parse(kind))
        for verdict in self.verdicts:
            if verdict.kind == wanted and verdict.verb == verb:
                return verdict
        raise KeyError(which)

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``pynamespaces doctor --json`` prints it."""
        return {
            "uid": self.uid,
            "gid": self.gid,
            "kernel": self.kernel,
            "threads": self.threads,
            "found": list(self.found),
            "verdicts": [
                {
                    "kinds": [row.name for row in kinds.rows(verdict.kind)],
                    "verb": verdict.verb,
                    "works": verdict.works,
                    "way": verdict.way,
                    "step": verdict.refusal.step if verdict.refusal else None,
                    "errno": verdict.refusal.errno if verdict.refusal else None,
                    "reason": verdict.refusal.text if verdict.refusal else None,
                    "hint": verdict.refusal.hint if verdict.refusal else None,
                    "trace": verdict.trace,
                }
                for verdict in self.verdicts
            ],
        }

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        lines = [f"uid {self.uid}, gid {self.gid}, Linux {self.kernel}, {threads}", ""]
        lines.append(f"{'':8}" + "".join([f"{verb:12}" for verb in VERBS]).rstrip())
        for row in kinds.TABLE:
            words = [_word(self[row.kind, verb]) for verb in VERBS]
            lines.append(f"{row.name:8}" + "".join([f"{word:12}" for word in words]).rstrip())
        lines.append("")
        for verdict in self.verdicts:
            if verdict.verb in _EXTRA:
                lines.append(f"{_EXTRA[verdict.verb]}: {_word(verdict)}")
        reasons: dict[str, list[str]] = {}
        for verdict in self.verdicts:
            if verdict.refusal is not None:
                reason = verdict.refusal.hint or verdict.refusal.text
                reasons.setdefault(reason, []).append(f"{verdict.verb} {verdict.kind}")
        if reasons:
            lines += ["", "Where it does not go plainly:"]
            lines += [f"  {_grouped(where)}: {reason}" for reason, where in reasons.items()]
        traces = sorted({verdict.trace for verdict in self.verdicts if verdict.trace})
        if traces:
            lines += ["", "What cannot be undone:"]
            lines += [f"  {trace}" for trace in traces]
        if self.found:
            lines += ["", "What was found here:"]
            lines += [f"  {text}" for text in self.found]
        return "\n".join(lines)


#: What is tried beside the kinds, in words.
_EXTRA = {
    "proc": "a fresh /proc for a new pid namespace",
    "subids": "this user's subordinate ids in a new user namespace (IdMap.subids())",
}


def doctor() -> Report:
    """Try what this machine allows this user in this process and thread, kind by kind and verb by verb.

    Everything is really done, in throw-away children that leave nothing: blocks, commands, functions, names in the
    store, `become_root`.  Functions and blocks are tried in forked children, which costs as much as a fork of this
    process does.

    Returns:
        a Report, for ``print(report)``, ``report["net", "block"].works``, ``report.to_dict()``.
    """
    verdicts: list[Verdict] = []
    for row in kinds.TABLE:
        verdicts += _of_kind(row)
    verdicts.append(_with_user("proc", Isolation("pid", "mnt"), trials.run))
    verdicts.append(_subids())
    threads = len(procfs.threads()) + 1
    return Report(tuple(verdicts), causes.circumstances(), os.geteuid(), os.getegid(), os.uname().release, threads)


def refusal_of(place: Place, verb: Verb = "run") -> str | None:
    """Why a place cannot be had for a verb; None where it can: tried in a throw-away child, once in this process.

    Args:
        place: an Isolation with all its furnishing, or a NamespaceSet.
        verb: "run" (Popen, too), "call" (apply and executor, too) or "block".

    Returns:
        None, or one line with the step that was refused, and the cause that was found with what to change.

    Raises:
        ValueError: an unknown verb, or what the place itself refuses as a bad argument.
    """
    if verb not in _TRIALS:
        raise ValueError(f"unknown verb {verb!r}: expected one of {', '.join(_TRIALS)}")
    from pynamespaces import ways

    key = place, verb, sched.alone(), os.geteuid(), ways.moved
    try:
        if key in _tried:
            return _tried[key]
    except TypeError:  # a field that cannot be hashed
        return _one_line(_TRIALS[verb](place))
    answer = _tried[key] = _one_line(_TRIALS[verb](place))
    return answer


_TRIALS = {"block": trials.block, "run": trials.run, "call": trials.call}
_tried: dict[tuple[object, ...], str | None] = {}


def _one_line(refusal: Refusal | None) -> str | None:
    return None if refusal is None else " ".join(str(refusal).split())


def _of_kind(row: kinds.Row) -> Iterator[Verdict]:
    kind = row.kind
    plain = Isolation(kind)
    refused = trials.block(plain) if kind is not Kind.USER else _never()
    yield Verdict(kind, "block", refused is None, "", refused, _trace(row) if refused is None else None)
    yield _with_user("run", plain, trials.run)
    yield _with_user("call", plain, trials.call)
    yield from _kept(plain)
    refused = trials.become_root(row.name)
    yield Verdict(kind, "become_root", refused is None, "", refused, None if refused else causes.NO_WAY_BACK)


def _never() -> Refusal:
    from pynamespaces.blocks import NotInABlock

    try:
        Isolation("user").unshare()
    except NotInABlock as error:
        return trials.refusal(error)
    raise AssertionError("a block of a user namespace")


def _with_user(verb: str, place: Isolation, trial: Any) -> Verdict:
    """Plainly, or in a new user namespace."""
    refused = trial(place)
    if refused is None or Kind.USER in place.kinds:
        return Verdict(place.kinds, verb, refused is None, "", refused)
    again = trial(place.replace(kinds=place.kinds | Kind.USER))
    if again is None:
        return Verdict(place.kinds, verb, True, "with user", refused)
    return Verdict(place.kinds, verb, False, "", refused if sched.has_capability(capabilities.SYS_ADMIN) else again)


_names = iter(range(10**9))


def _kept(place: Isolation) -> Iterator[Verdict]:
    name = f"doctor-{os.getpid()}-{next(_names)}"
    with_user = place.replace(kinds=place.kinds | Kind.USER)
    found, way = trials.keep(place, name), ""
    plain = found[0]
    if plain is not None and Kind.USER not in place.kinds:
        found, way = trials.keep(with_user, name), "with user"
    refused, entered, called = found
    if refused is not None:
        if sched.has_capability(capabilities.SYS_ADMIN):
            refused = plain
        yield Verdict(place.kinds, "persist", False, "", refused)
        yield Verdict(place.kinds, "rejoin", False, "", refused)
        return
    yield Verdict(place.kinds, "persist", True, way, plain)
    by_run = "by run" if entered and called is None else ""
    yield Verdict(place.kinds, "rejoin", entered is None or called is None, by_run, entered)


def _subids() -> Verdict:
    from pynamespaces.idmaps import IdMap

    try:
        refused = trials.run(Isolation("user", ids=IdMap.subids()))
    except OSError as error:
        refused = trials.refusal(error)
    return Verdict(Kind.USER, "subids", refused is None, "", refused)


def _trace(row: kinds.Row) -> str | None:
    return causes.parted(procfs.describe_threads()) if row.kind is Kind.MNT and procfs.threads() else None


def _word(verdict: Verdict) -> str:
    return (verdict.way or "yes") if verdict.works else "no"


def _grouped(where: list[str]) -> str:
    """``["run net", "run uts", "call net"]`` as ``run net, uts; call net``."""
    groups: dict[str, list[str]] = {}
    for text in where:
        verb, _, kind = text.partition(" ")
        groups.setdefault(verb, []).append(kind)
    return "; ".join([f"{verb} {', '.join(names)}" for verb, names in groups.items()])


class _Callable(ModuleType):
    """``pynamespaces.doctor`` is this module once it is imported by name, and the function at the door: be both."""

    def __call__(self) -> Report:
        return doctor()


sys.modules[__name__].__class__ = _Callable
