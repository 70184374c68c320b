"""The command ``pynamespaces``: one subcommand a module, each imported when it is asked for."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: subcommand -> (module with ``main(argv) -> int``, help)
COMMANDS = {
    "tour": ("pynamespaces.tour", "walk through the kinds on this machine and prove each"),
    "run": ("pynamespaces.cli_run", "run a command in new namespaces, as unshare(1) does"),
    "enter": ("pynamespaces.cli_enter", "run a command in existing namespaces, as nsenter(1) does"),
    "ls": ("pynamespaces.cli_ls", "list namespaces, as lsns(8) does, and those that it does not find"),
    "tree": ("pynamespaces.cli_tree", "draw which namespaces are below which"),
    "show": ("pynamespaces.cli_show", "say all that is known of a namespace, a process or a saved name"),
    "diff": ("pynamespaces.cli_show:diff", "say which namespaces two processes share"),
    "doctor": ("pynamespaces.cli_doctor", "try what this machine allows, and say why where it does not"),
}


def usage() -> str:
    """The help text."""
    lines = ["usage: pynamespaces COMMAND [ARGUMENTS]", "", "Linux namespaces at the prompt.", ""]
    lines += [f"  {name:8} {help_}" for name, (_, help_) in COMMANDS.items()]
    lines += ["", "pynamespaces COMMAND --help says more."]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status of the process."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name in ("-V", "--version"):
        from importlib.metadata import version

        print(f"pynamespaces {version('pynamespaces')}")
        return 0
    if name not in COMMANDS:
        print(f"pynamespaces: unknown command {name!r}\n\n{usage()}", file=sys.stderr)
        return 2
    from importlib import import_module

    where, _, function = COMMANDS[name][0].partition(":")
    module = import_module(where)
    try:
        status: int = getattr(module, function or "main")(rest)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
