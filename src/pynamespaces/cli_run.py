"""``pynamespaces run``: a command in new namespaces, with unshare(1)'s options."""

from __future__ import annotations

import os

from pynamespaces import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from pynamespaces.idmaps import IdMap
    from pynamespaces.kinds import Row

#: Long options whose value is optional.
OPTIONAL = ("--mount-proc", "--kill-child")


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = shell.Parser(
        prog="pynamespaces run",
        usage="pynamespaces run [options] [--] [COMMAND [ARGUMENTS]]",
        description="Run a command in new namespaces, as unshare(1) does; without a command, $SHELL.",
    )
    shell.add_kinds(found, "-m -u -i -n -p -U -C -T, or --mount[=FILE] …: FILE keeps the namespace by a bind mount")
    add = found.add_argument
    add("-f", "--fork", action="store_true", help="accepted: the command is always a child")
    add("--init", action="store_true", help="with -p, a tiny init is PID 1 and the command PID 2")
    add("--mount-proc", metavar="/proc", help="mount a fresh proc (implies -m)")
    add("-r", "--map-root-user", action="store_true", help="be root inside (implies -U)")
    add("-c", "--map-current-user", action="store_true", help="be oneself inside (implies -U)")
    add("--map-user", type=int, metavar="UID", help="be this user inside (implies -U)")
    add("--map-group", type=int, metavar="GID", help="be this group inside (implies -U)")
    add("--map-users", action="append", metavar="INNER:OUTER:COUNT", help="a range of users (implies -U)")
    add("--map-groups", action="append", metavar="INNER:OUTER:COUNT", help="a range of groups (implies -U)")
    add("--map-auto", action="store_true", help="this user's subordinate ids (implies -U)")
    add("--setgroups", choices=("allow", "deny"), help="setgroups(2) inside")
    add("--propagation", choices=("private", "slave", "shared", "unchanged"), default="private")
    add("--kill-child", metavar="SIGKILL", help="end the command when this program ends")
    add("--monotonic", type=float, metavar="SECONDS", help="offset of the monotonic clock (implies -T)")
    add("--boottime", type=float, metavar="SECONDS", help="offset of the boottime clock (implies -T)")
    add("-S", "--setuid", type=int, metavar="UID", help="user id inside")
    add("-G", "--setgid", type=int, metavar="GID", help="group id inside; supplementary groups are dropped")
    add("-w", "--wd", metavar="DIR", help="working directory inside")
    add("--hostname", help="host name inside (implies -u)")
    add("command", nargs="...", help="the command and its arguments")
    return found


def main(argv: Sequence[str]) -> int:
    """Run it; the exit status as env(1) has it."""
    from pynamespaces.clocks import ClockOffsets
    from pynamespaces.isolation import Isolation

    options = parser().parse_args(shell.split(argv, OPTIONAL))
    files = shell.chosen(options)
    names = {row.name for row in files}
    fields: dict[str, Any] = {"proc": False, "die_with_parent": options.kill_child is not None}
    try:
        ids = _ids(options)
        if ids is not None or "user" in names:
            names.add("user")
            fields["ids"] = ids
        if options.mount_proc is not None:
            names.add("mnt")
            fields["proc"] = True
        if options.monotonic is not None or options.boottime is not None:
            names.add("time")
            fields["clock"] = ClockOffsets(monotonic=options.monotonic or 0, boottime=options.boottime or 0)
        if options.hostname is not None:
            names.add("uts")
            fields["hostname"] = options.hostname
        if "mnt" in names:
            fields["propagation"] = None if options.propagation == "unchanged" else options.propagation
        else:
            fields.pop("proc")
        if "pid" in names:
            fields["init"] = None if options.init else False
        box = Isolation(names, **fields)
    except (ValueError, OSError) as error:
        return shell.complain("run", error)
    as_whom = shell.as_whom(options)
    kept = {row: file for row, file in files.items() if file}
    if kept:
        as_whom["before_exec"] = lambda pid: _keep(pid, kept)
    return shell.execute(box, shell.command(options.command), "run", **as_whom)


def _keep(pid: int, files: dict[Row, str]) -> None:
    from pynamespaces.handles import Namespace
    from pynamespaces.persistence import persist_over

    for row, file in files.items():
        with Namespace.of(pid, row.kind, for_children=True) as namespace:
            persist_over(namespace, file)


def _ids(options: argparse.Namespace) -> IdMap | None:
    from pynamespaces.idmaps import IdMap

    uid, gid = os.geteuid(), os.getegid()
    if options.map_auto:
        return IdMap.subids()
    ranges = {
        "users": (options.map_users, options.map_user, uid),
        "groups": (options.map_groups, options.map_group, gid),
    }
    if (
        options.map_root_user
        or options.map_current_user
        or any(many or one is not None for many, one, _ in ranges.values())
    ):
        both = []
        for name, (many, one, own) in ranges.items():
            if many:
                both.append([_range(text, name) for text in many])
            else:
                inside = one if one is not None else own if options.map_current_user else 0
                both.append([(inside, own, 1)])
        return IdMap(both[0], both[1], options.setgroups)
    if options.setgroups is not None:
        return IdMap([(0, uid, 1)], [(0, gid, 1)], options.setgroups)
    return None


def _range(text: str, name: str) -> tuple[int, int, int]:
    words = text.split(":")
    if len(words) != 3 or not all(word.isdigit() for word in words):
        raise ValueError(f"--map-{name} takes INNER:OUTER:COUNT, got {text!r}")
    return int(words[0]), int(words[1]), int(words[2])
