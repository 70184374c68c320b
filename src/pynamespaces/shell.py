"""What ``pynamespaces run`` and ``pynamespaces enter`` share: util-linux's options for kinds, and exit statuses."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from pynamespaces.errors import NamespaceError
from pynamespaces.kinds import TABLE, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from pynamespaces.places import Place

#: As env(1) has them.
OURS, CANNOT_EXEC, NOT_FOUND = 125, 126, 127


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors end with 125, as unshare(1)'s own failures do not look like the command's."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(OURS, f"{self.prog}: {message}\n")


class _Version(argparse.Action):
    """Say the version and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        parser.exit(message=f"pynamespaces {version('pynamespaces')}\n")


def add_kinds(parser: argparse.ArgumentParser, file_help: str) -> None:
    """-m -u -i -n -p -U -C -T, and their long forms with an optional =FILE."""
    parser.add_argument("-V", "--version", nargs=0, action=_Version, help="say which version this is")
    group = parser.add_argument_group("namespaces", file_help)
    for row in TABLE:
        group.add_argument(f"-{row.option}", dest=f"short_{row.name}", action="store_true", help=argparse.SUPPRESS)
        group.add_argument(
            f"--{row.long}", dest=f"file_{row.name}", metavar="FILE", help=f"-{row.option}: {row.isolates}"
        )


def split(parser: argparse.ArgumentParser, argv: Sequence[str], optional: Sequence[str] = ()) -> list[str]:
    """Give long options whose value is optional, and only after "=", an empty value: ``--net`` becomes ``--net=``."""
    names = {f"--{row.long}" for row in TABLE} | set(optional)
    valued = {name for action in parser._actions if action.nargs is None for name in action.option_strings} - names
    out: list[str] = []
    value = False  # the next word is the one before's
    for position, word in enumerate(argv):
        if not value and (word == "--" or not word.startswith("-")):
            return [*out, *argv[position:]]
        out.append(f"{word}=" if not value and word in names else word)
        if value:
            value = False
        elif word.startswith("--"):
            value = word in valued
        else:
            letters = [f"-{letter}" in valued for letter in word[1:]]
            value = True in letters and letters.index(True) == len(letters) - 1
    return out


def chosen(options: argparse.Namespace) -> dict[Row, str]:
    """The kinds that were asked for, and their files ("" for none)."""
    found: dict[Row, str] = {}
    for row in TABLE:
        file = getattr(options, f"file_{row.name}")
        if file is not None or getattr(options, f"short_{row.name}"):
            found[row] = file or ""
    return found


def command(words: list[str]) -> list[str]:
    """The command, or a shell."""
    if words and words[0] == "--":
        words = words[1:]
    return words or [os.environ.get("SHELL") or "/bin/sh"]


def as_whom(options: argparse.Namespace) -> dict[str, Any]:
    """-S, -G and -w as Popen takes them."""
    found: dict[str, Any] = {"cwd": options.wd}
    if options.setuid is not None:
        found["user"] = options.setuid
    if options.setgid is not None:
        found["group"] = options.setgid
        if os.geteuid() == 0:  # setgroups(2) is denied in every user namespace that others can make or enter
            found["extra_groups"] = []
    return found


def execute(place: Place, argv: list[str], name: str, **kwargs: Any) -> int:
    """Run a command in the foreground; its exit status, 128 + n for a signal, or one of ours."""
    try:
        process = place.Popen(argv, stdin=None, **kwargs)
    except NamespaceError as error:
        return complain(name, error)
    except FileNotFoundError as error:
        return complain(name, error, NOT_FOUND)
    except OSError as error:
        return complain(name, error, CANNOT_EXEC)
    except (ValueError, KeyError) as error:
        return complain(name, error)
    # Ctrl-C is for the command; we end when it does.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def width() -> int | None:
    """How wide the terminal is; None where the output is none."""
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return None


def complain(name: str, error: BaseException, status: int = OURS) -> int:
    """Say on stderr what went wrong."""
    text = error.args[0] if isinstance(error, KeyError) else error
    if isinstance(error, OSError) and not isinstance(error, NamespaceError):
        text = f"{error.filename}: {error.strerror}"
    print(f"pynamespaces {name}: {text}", file=sys.stderr)
    return status
