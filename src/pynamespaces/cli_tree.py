"""``pynamespaces tree``: the namespaces below one another, drawn for a terminal."""

from __future__ import annotations

from pynamespaces import shell
from pynamespaces.discovery import discover, tables
from pynamespaces.kinds import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from pynamespaces.discovery import Branch, Census, Found


def main(argv: Sequence[str]) -> int:
    """Draw; the exit status."""
    parser = shell.Parser(prog="pynamespaces tree", description="Draw which namespaces are below which.")
    parser.add_argument("by", nargs="?", default="owner", choices=("owner", "parent", "process"),
                        help="below its owner (the default), its parent, or as the processes are")  # fmt: skip
    parser.add_argument("-t", "--type", action="append", default=[], metavar="KIND", help="of this kind only")
    parser.add_argument("--plain", action="store_true", help="without rich, which draws it where it is installed")
    parser.add_argument("--ascii", action="store_true", help="lines of ASCII")
    options = parser.parse_args(argv)
    try:
        kinds = {row.kind for row in parse(options.type)}
    except ValueError as error:
        return shell.complain("tree", error)
    if options.by == "owner" and kinds:
        from pynamespaces.kinds import Kind

        kinds.add(Kind.USER)
    census = discover(list(kinds))
    tree = census.tree(options.by)
    if options.plain or options.ascii or not _with_rich(tree, census):
        for lines, row in tables.branches(tree, ascii_=options.ascii):
            print(f"{lines}{row.text}  {_about(row, census)}".rstrip())
    return 0


def _about(row: Found, census: Census) -> str:
    """What stands behind a namespace's name: its names, members and who leads them."""
    found = tables.cells(row, census, ("NPROCS", "PID", "COMMAND", "USER"))
    parts = [f"[{', '.join(row.names)}]"] if row.names else []
    if row.nprocs:
        parts.append(f"{row.nprocs} process{'es' if row.nprocs > 1 else ''}: {found['PID']} {found['COMMAND']}")
    else:
        parts.append(tables.held_by(row))
    return " ".join(parts)


def _with_rich(tree: Iterable[Branch], census: Census) -> bool:
    try:
        from rich.console import Console
        from rich.text import Text
        from rich.tree import Tree
    except ImportError:
        return False

    def label(row: Found) -> Any:
        about = _about(row, census).rstrip()
        return Text.assemble((str(row.kind), "bold cyan"), f":[{row.id.ino}]  ", (about, "dim"))

    def grow(above: Any, branches: Iterable[Branch]) -> None:
        for branch in branches:
            grow(above.add(label(branch.row)), branch.below)

    console = Console(highlight=False, soft_wrap=False)
    for branch in tree:
        root = Tree(label(branch.row))
        grow(root, branch.below)
        console.print(root, no_wrap=True, overflow="ellipsis", crop=True)
    return True
