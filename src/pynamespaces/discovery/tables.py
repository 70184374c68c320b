"""A census as text: columns, as lsns(8) names them and a few more, and trees."""

from __future__ import annotations

from pynamespaces.kinds import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from pynamespaces.discovery.census import Census
    from pynamespaces.discovery.found import Found, Process
    from pynamespaces.discovery.trees import Branch

    Cell: TypeAlias = "str | int | list[str] | None"


def _leader(row: Found, census: Census) -> Process | None:
    """Who stands for a namespace: its oldest member, or a thread, or a task whose children go there, or a holder."""
    for pid in (row.leader, *row.threads, *row.for_children, *[pid for pid, _ in (*row.fds, *row.sockets)]):
        process = census.processes.get(pid) if pid is not None else None
        if process is not None:
            return process
    return None


def _user(row: Found, census: Census) -> Cell:
    process = _leader(row, census)
    if process is None:
        return None
    import pwd

    try:
        return pwd.getpwuid(process.uid).pw_name
    except KeyError:
        return str(process.uid)


def _of_process(field: str) -> Callable[[Found, Census], Cell]:
    def cell(row: Found, census: Census) -> Cell:
        process = _leader(row, census)
        found: Cell = None if process is None else getattr(process, field)
        return found

    return cell


def _path(row: Found, census: Census) -> Cell:
    process = _leader(row, census)
    if row.leader is not None:
        return f"/proc/{row.leader}/ns/{row.kind}"
    if row.threads:
        return f"/proc/{row.threads[0]}/ns/{row.kind}"
    if row.paths:
        return row.paths[0]
    if row.fds:
        return "/proc/{}/fd/{}".format(*row.fds[0])
    return f"/proc/{process.pid}/ns/{row.kind}_for_children" if process is not None and row.for_children else None


_WORDS = {
    "processes": ("process", "processes"),
    "threads": ("thread", "threads"),
    "for_children": ("task for its children", "tasks for their children"),
    "fds": ("descriptor", "descriptors"),
    "sockets": ("socket", "sockets"),
    "pidfds": ("pidfd", "pidfds"),
    "binds": ("mount", "mounts"),
}


def held_by(row: Found) -> str:
    """``"8 processes, 1 descriptor"``."""
    words = [f"{count} {_WORDS[sort][count > 1]}" for sort, count in row.holders.items()]
    return ", ".join(words) or "only namespaces below it"


def _holders(row: Found, census: Census) -> Cell:
    return ",".join(f"{sort}:{count}" for sort, count in row.holders.items()) or "below"


#: column -> (what it says, its cell, is it a number)
COLUMNS: dict[str, tuple[str, Callable[[Found, Census], Cell], bool]] = {
    "NS": ("inode number", lambda row, _: row.id.ino, True),
    "TYPE": ("kind", lambda row, _: str(row.kind), False),
    "PATH": ("a path through which it can be opened", _path, False),
    "NPROCS": ("number of processes in it", lambda row, _: row.nprocs, True),
    "PID": ("the oldest process in it, or who else holds it", _of_process("pid"), True),
    "PPID": ("that one's parent", _of_process("parent"), True),
    "COMMAND": ("that one's command line", _of_process("command"), False),
    "UID": ("that one's uid", _of_process("uid"), True),
    "USER": ("that one's user", _user, False),
    "NSFS": ("mount points", lambda row, _: list(row.paths), False),
    "PNS": ("the parent's inode number", lambda row, _: row.parent.ino if row.parent else None, True),
    "ONS": ("the owner's inode number", lambda row, _: row.owner.ino if row.owner else None, True),
    "PARENT": ("the parent", lambda row, _: row.parent.text(row.kind) if row.parent else None, False),
    "OWNER": ("the owning user namespace", lambda row, _: row.owner.text(Kind.USER) if row.owner else None, False),
    "OWNERUID": ("who made it, or its owner", lambda row, _: row.owner_uid, True),
    "HOLDERS": ("what holds it, and how many of each", _holders, False),
    "SERIAL": ("the 64-bit id that is never used again", lambda row, _: row.serial, True),
    "NAME": ("names under which it is kept", lambda row, _: list(row.names), False),
}
DEFAULT = ("NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND")


def columns(text: str | None, default: Sequence[str] = DEFAULT) -> tuple[str, ...]:
    """``"NS,TYPE"``, or ``"+PATH"`` for the default ones and more; ValueError for an unknown one."""
    names = [name.strip().upper() for name in (text or "").removeprefix("+").split(",") if name.strip()]
    for name in names:
        if name not in COLUMNS:
            raise ValueError(f"unknown column {name!r}: expected some of {', '.join(COLUMNS)}")
    return (*default, *names) if text is None or text.startswith("+") else tuple(names)


def cells(row: Found, census: Census, names: Iterable[str]) -> dict[str, Cell]:
    """One row's cells."""
    return {name: COLUMNS[name][1](row, census) for name in names}


def draw(
    rows: Iterable[tuple[str, Found]], census: Census, names: Sequence[str], *, headings: bool = True, raw: bool = False
) -> Iterator[str]:
    """A table's lines.

    Args:
        rows: each with what is drawn before its last column's text: the branches of a tree.
        headings: begin with the columns' names.
        raw: one space between cells, blanks in them as ``\\x20``, for other programs.
    """
    body = [[_text(cell, raw) for cell in cells(row, census, names).values()] for _, row in rows]
    lines = [list(names), *body] if headings else body
    if not raw:
        for line, (branches, _) in zip(body, rows, strict=True):
            line[-1] = branches + line[-1]
    widths = [max((len(line[place]) for line in lines), default=0) for place in range(len(names))]
    for line in lines:
        if raw:
            yield " ".join(line)
            continue
        out = []
        for name, text, width in zip(names, line, widths, strict=True):
            out.append(text.rjust(width) if COLUMNS[name][2] else text.ljust(width))
        yield " ".join(out).rstrip()


def branches(tree: Iterable[Branch], *, ascii_: bool = False) -> Iterator[tuple[str, Found]]:
    """A tree's rows, each with the lines that lead to it."""
    return _branches(tuple(tree), ("|-", "`-", "| ", "  ") if ascii_ else ("├─", "└─", "│ ", "  "), "", top=True)


def _branches(
    tree: tuple[Branch, ...], signs: tuple[str, ...], before: str, *, top: bool
) -> Iterator[tuple[str, Found]]:
    for place, branch in enumerate(tree):
        last = place == len(tree) - 1
        yield ("" if top else before + signs[last]), branch.row
        yield from _branches(branch.below, signs, "" if top else before + signs[2 + last], top=False)


def _text(cell: Cell, raw: bool) -> str:
    text = ",".join(cell) if isinstance(cell, list) else "" if cell is None else str(cell)
    text = "".join([char if char.isprintable() else f"\\x{ord(char):02x}" for char in text])
    return (text.replace(" ", "\\x20") or "-") if raw else text
