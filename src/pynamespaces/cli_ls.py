"""``pynamespaces ls``: what lsns(8) lists, with its options and columns, and what it does not find."""

from __future__ import annotations

import sys

from pynamespaces import shell
from pynamespaces.discovery import discover, tables
from pynamespaces.kinds import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pynamespaces.discovery import Census, Found


def main(argv: Sequence[str]) -> int:
    """List; the exit status."""
    parser = shell.Parser(prog="pynamespaces ls", description="List the namespaces of this machine.", add_help=False)
    add = parser.add_argument
    add("-h", "--help", action="help", help="show this and end")
    add("-t", "--type", action="append", default=[], metavar="KIND", help="of this kind; may be given more than once")
    add("-p", "--task", "--pid", type=int, metavar="PID", help="held by this process")
    add("-l", "--list", action="store_true", help="a plain list, no tree")
    add("-T", "--tree", nargs="?", const="parent", choices=("parent", "owner", "process"), metavar="HOW",
        help="as a tree: by parent (the default), owner or process")  # fmt: skip
    add("-o", "--output", metavar="COLUMNS", help="these columns, or with a leading + these as well")
    add("--output-all", action="store_true", help="all columns")
    add("-J", "--json", action="store_true", help="print JSON")
    add("-r", "--raw", action="store_true", help="one space between columns, for other programs")
    add("-n", "--noheadings", action="store_true", help="no line of column names")
    add("-u", "--notruncate", action="store_true", help="do not cut lines at the terminal's width")
    add("-W", "--nowrap", action="store_true", help="accepted: nothing is wrapped")
    add("--html", metavar="FILE", help="write a page to open in a browser")
    add("namespace", nargs="?", metavar="NAMESPACE", help="only this one, by its inode number: with its members")
    parser.epilog = "columns: " + ", ".join(f"{name} ({text})" for name, (text, *_) in tables.COLUMNS.items())
    options = parser.parse_args(argv)
    try:
        kinds = parse(options.type)
        names = tuple(tables.COLUMNS) if options.output_all else tables.columns(options.output)
        wanted = None if options.namespace is None else int(options.namespace.rpartition("[")[2].rstrip("]"))
    except ValueError as error:
        return shell.complain("ls", error)
    census = discover([row.kind for row in kinds])
    if options.html:
        return _write(options.html, census)
    rows: Sequence[Found] = census.rows if options.task is None else census.holding(options.task)
    if wanted is not None:
        rows = [row for row in rows if row.id.ino == wanted]
        if not rows:
            return shell.complain("ls", ValueError(f"no namespace {wanted} is in sight"))
    _print(census, rows, options, names)
    if not options.json:
        for item in census.unseen:
            print(f"pynamespaces ls: not seen: {item}", file=sys.stderr)
    return 0


def _write(path: str, census: Census) -> int:
    from pynamespaces.discovery.page import page

    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(page(census))
    except OSError as error:
        return shell.complain("ls", error)
    return 0


def _print(census: Census, rows: Sequence[Found], options: argparse.Namespace, names: tuple[str, ...]) -> None:
    if options.json:
        import json

        body = [{name.lower(): cell for name, cell in tables.cells(row, census, names).items()} for row in rows]
        print(json.dumps({"namespaces": body}, indent=3))
        return
    placed = [("", row) for row in rows]
    if options.tree and not options.list:
        chosen = set(rows)
        placed = [(lines, row) for lines, row in tables.branches(census.tree(options.tree)) if row in chosen]
    lines = tables.draw(placed, census, names, headings=not options.noheadings, raw=options.raw)
    width = None if options.notruncate or options.raw else shell.width()
    for line in lines:
        print(line if width is None else line[:width])
