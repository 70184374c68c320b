"""``pynamespaces show``: one namespace, a process's, or what is kept under a name; and ``diff`` of two processes."""

from __future__ import annotations

from pynamespaces import shell
from pynamespaces.discovery import discover, tables
from pynamespaces.kinds import TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pynamespaces.discovery import Census, Found


def main(argv: Sequence[str]) -> int:
    """Show; the exit status."""
    parser = shell.Parser(
        prog="pynamespaces show", description="Say all that is known of a namespace, a process or a saved name."
    )
    parser.add_argument("what", metavar="NS|PID|NAME", help="an inode number or net:[...], a process id, or a name")
    parser.add_argument("-J", "--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    census = discover()
    try:
        rows = _find(census, options.what)
    except ValueError as error:
        return shell.complain("show", error)
    if options.json:
        keep = set(rows)
        print(census.where(keep.__contains__).to_json(indent=2))
        return 0
    print("\n\n".join(_describe(row, census) for row in rows))
    return 0


def _find(census: Census, what: str) -> Sequence[Found]:
    named = [row for row in census if what in row.names or what in row.paths]
    if named:
        return named
    if "[" in what:
        found = census.get(what)
        rows: Sequence[Found] = [found] if found else []
    elif what.isascii() and what.isdigit():
        found = census.get(int(what))
        rows = [found] if found else [row for row in census if int(what) in (*row.processes, *row.threads)]
    else:
        rows = []
    if not rows:
        raise ValueError(f"neither a namespace, a process nor a saved name in sight: {what!r}")
    return rows


def _describe(row: Found, census: Census) -> str:
    names = ("NAME", "SERIAL", "OWNER", "OWNERUID", "PARENT", "HOLDERS", "NPROCS", "PID", "USER", "COMMAND", "NSFS")
    lines = [row.text]
    for name, cell in tables.cells(row, census, names).items():
        text = ", ".join(cell) if isinstance(cell, list) else cell
        if text not in (None, ""):
            lines.append(f"  {name.lower():9} {text}")
    members = [census.processes.get(pid) for pid in row.processes[:20]]
    lines += [f"    {process.pid:>8} {process.command}" for process in members if process is not None]
    if row.nprocs > len(members):
        lines.append(f"    … and {row.nprocs - len(members)} more")
    return "\n".join(lines)


def diff(argv: Sequence[str]) -> int:
    """Which namespaces two processes share; exit status 0: all, 1: not all, as diff(1) has it."""
    from pynamespaces.handles import Namespace

    parser = shell.Parser(prog="pynamespaces diff", description="Say which namespaces two processes share.")
    parser.add_argument("pids", nargs=2, type=int, metavar="PID")
    options = parser.parse_args(argv)
    status = 0
    for row in TABLE:
        try:
            with Namespace.of(options.pids[0], row.kind) as one, Namespace.of(options.pids[1], row.kind) as other:
                same = one == other
                here, there = one.id.text(row.kind), other.id.text(row.kind)
        except (OSError, ValueError) as error:
            return shell.complain("diff", error)
        print(f"{row.name:7} same       {here}" if same else f"{row.name:7} different  {here}  {there}")
        status |= not same
    return int(status)
