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
    add("--mount-proc", metavar="DIR", help="mount a fresh proc on /proc, or on DIR (implies -m)")
    add("-r", "--map-root-user", action="store_true", help="be root inside (implies -U)")
    add("-c", "--map-current-user", action="store_true", help="be oneself inside (implies -U)")
    add("--map-user", metavar="UID|NAME", help="be this user inside (implies -U)")
    add("--map-group", metavar="GID|NAME", help="be this group inside (implies -U)")
    add(
        "--map-users",
        action="append",
        metavar="RANGE",
        help="INNER:OUTER:COUNT, OUTER,INNER,COUNT, auto or all (implies -U)",
    )
    add("--map-groups", action="append", metavar="RANGE", help="the same of groups (implies -U)")
    add("--map-auto", action="store_true", help="this user's subordinate ids (implies -U)")
    add("--setgroups", choices=("allow", "deny"), help="setgroups(2) inside")
    add("--propagation", choices=("private", "slave", "shared", "unchanged"), default="private")
    add("--keep-caps", action="store_true", help="keep the capabilities of the user namespace, whoever one is inside")
    add("--kill-child", metavar="SIGKILL", help="end the command when this program ends")
    add("--monotonic", type=float, metavar="SECONDS", help="offset of the monotonic clock (implies -T)")
    add("--boottime", type=float, metavar="SECONDS", help="offset of the boottime clock (implies -T)")
    add("-S", "--setuid", type=int, metavar="UID", help="user id inside")
    add("-G", "--setgid", type=int, metavar="GID", help="group id inside; supplementary groups are dropped")
    add("-R", "--root", metavar="DIR", help="the root directory inside (implies -m)")
    add("-w", "--wd", metavar="DIR", help="working directory inside")
    add("--hostname", help="host name inside (implies -u)")
    add("command", nargs="...", help="the command and its arguments")
    return found


def main(argv: Sequence[str]) -> int:
    """Run it; the exit status as env(1) has it."""
    from pynamespaces import mounts
    from pynamespaces.clocks import ClockOffsets
    from pynamespaces.isolation import Isolation

    options = (known := parser()).parse_args(shell.split(known, argv, OPTIONAL))
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
            if options.mount_proc in ("", "/proc"):
                fields["proc"] = True
            else:
                fields["mounts"] = [mounts.proc(options.mount_proc)]
        if options.root is not None:
            names.add("mnt")
            fields["root"] = options.root
        if options.kill_child not in (None, "", "KILL", "SIGKILL"):
            raise ValueError(f"--kill-child ends everything inside by SIGKILL; {options.kill_child} is not supported")
        if options.keep_caps:
            with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
                fields["capabilities"] = range(int(file.read()) + 1)
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
        "users": (options.map_users, _id(options.map_user, "user"), uid),
        "groups": (options.map_groups, _id(options.map_group, "group"), gid),
    }
    if (
        options.map_root_user
        or options.map_current_user
        or any(many or one is not None for many, one, _ in ranges.values())
    ):
        both = []
        for name, (many, one, own) in ranges.items():
            if many:
                both.append([found for text in many for found in _ranges(text, name)])
            else:
                inside = one if one is not None else own if options.map_current_user else 0
                both.append([(inside, own, 1)])
        return IdMap(both[0], both[1], options.setgroups)
    if options.setgroups is not None:
        return IdMap([(0, uid, 1)], [(0, gid, 1)], options.setgroups)
    return None


def _id(text: str | None, kind: str) -> int | None:
    """A number, or the name of a user or group here."""
    if text is None or text.isdigit():
        return None if text is None else int(text)
    import grp
    import pwd

    try:
        return pwd.getpwnam(text).pw_uid if kind == "user" else grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError(f"--map-{kind}: there is no {kind} {text!r}") from None


def _ranges(text: str, name: str) -> Sequence[tuple[int, int, int]]:
    """INNER:OUTER:COUNT; OUTER,INNER,COUNT as it was until util-linux 2.39; auto; all."""
    from pynamespaces.idmaps import IdMap

    if text in ("auto", "subids", "all"):
        found = IdMap.identity() if text == "all" else IdMap.subids()
        return found.uids if name == "users" else found.gids
    words = text.split(":" if ":" in text else ",")
    if len(words) != 3 or not all(word.isdigit() for word in words):
        raise ValueError(f"--map-{name} takes INNER:OUTER:COUNT, OUTER,INNER,COUNT, auto or all; got {text!r}")
    first, second, count = map(int, words)
    return [(first, second, count) if ":" in text else (second, first, count)]
