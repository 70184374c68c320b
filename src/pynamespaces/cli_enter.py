"""``pynamespaces enter``: a command in existing namespaces, with nsenter(1)'s options."""

from __future__ import annotations

import os

from pynamespaces import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = shell.Parser(
        prog="pynamespaces enter",
        usage="pynamespaces enter [options] [TARGET] [--] [COMMAND [ARGUMENTS]]",
        description="Run a command in existing namespaces, as nsenter(1) does; without a command, $SHELL.  TARGET is a "
        "process id, a saved name or a path; it is left out with -t or with files (--net=FILE).  Without any kind: all "
        "in which the target differs.",
    )
    shell.add_kinds(found, "-m -u -i -n -p -U -C -T, or --mount[=FILE] …: of the target, or of FILE")
    add = found.add_argument
    add("-t", "--target", type=int, metavar="PID", help="the process whose namespaces to enter")
    add("-a", "--all", action="store_true", help="all in which the target differs")
    add("-F", "--no-fork", action="store_true", help="accepted: the command is always a child")
    add("-S", "--setuid", type=int, metavar="UID", help="user id inside")
    add("-G", "--setgid", type=int, metavar="GID", help="group id inside; supplementary groups are dropped")
    add("--preserve-credentials", action="store_true", help="keep user and group even if they are nobody inside")
    add("-w", "--wd", metavar="DIR", help="working directory inside; without DIR the target's")
    add("-W", "--wdns", dest="wd", metavar="DIR", help="the same")
    add("words", nargs="...", metavar="[TARGET] COMMAND", help="the target, if need be, and the command")
    return found


def main(argv: Sequence[str]) -> int:
    """Run it; the exit status as env(1) has it."""
    from pynamespaces import targets
    from pynamespaces.handles import Namespace
    from pynamespaces.sets import NamespaceSet

    options = (known := parser()).parse_args(shell.split(known, argv, ("--wd",)))
    words = list(options.words)
    kinds = shell.chosen(options)
    files = {row: file for row, file in kinds.items() if file}
    wanted = [row.kind for row in kinds if row not in files and not options.all]
    target: int | str | None = options.target
    if target is None and not files:
        if not words or words[0] == "--":
            parser().error("a target is needed: -t PID, a saved name, a path, or files as --net=FILE")
        word = words.pop(0)
        target = int(word) if word.isdigit() else word
    try:
        if options.wd == "":
            options.wd = os.readlink(f"/proc/{int(target or 0) or 'self'}/cwd")
        found = NamespaceSet() if target is None else targets.resolve(target, tuple(wanted))
        with (
            found,
            NamespaceSet([Namespace.at(file, row.kind) for row, file in files.items()]) as named,
            found | named as place,
        ):
            if options.preserve_credentials:
                place.preserve_credentials = True
            return shell.execute(place, shell.command(words), "enter", **shell.as_whom(options))
    except (OSError, ValueError, KeyError) as error:
        return shell.complain("enter", error)
