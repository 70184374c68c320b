#!/usr/bin/env python3
"""A small container runner: Docker's six kinds of namespace, a root of its own, as root or as an ordinary user.

    container.py -- sh                                        this machine's /usr, and nothing else of it
    container.py --root IMAGE -- sh                           a directory as the root, which stays as it is
    container.py --root IMAGE --debootstrap stable -- sh      made by debootstrap first, where it is not there yet
    container.py --root IMAGE --keep --volume /srv:/srv:ro --memory 64M --name web -- sh

An ordinary user is root inside, with the subordinate ids of /etc/subuid where there are some.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from pynamespaces import IdMap, Isolation, NamespaceError, NotSupported, mounts

KINDS = ("mnt", "uts", "ipc", "net", "pid", "cgroup")
#: What Docker leaves root inside.
CAPABILITIES = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service", "net_raw",
    "sys_chroot", "mknod", "audit_write", "setfcap",
)  # fmt: skip
#: Of this machine, for a container without an image.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
TERMINAL = {key: os.environ[key] for key in ("TERM", "LANG") if key in os.environ}


def identity() -> dict[str, object]:
    """Root needs no user namespace; an ordinary user is root of a new one."""
    if os.geteuid() == 0:
        return {}
    try:
        return {"ids": IdMap.subids()}
    except NotSupported:
        return {"ids": IdMap.root()}


def make(root: str, suite: str) -> None:
    """A root by debootstrap, whose files belong to whoever is root inside."""
    user = () if os.geteuid() == 0 else ("user",)
    box = Isolation(*user, "mnt", "uts", "pid", **identity())
    box.run(["debootstrap", "--variant=minbase", suite, root], check=True)


def volume(text: str) -> mounts.Mount:
    """SOURCE:TARGET[:ro]."""
    source, target, *options = text.split(":")
    return mounts.bind(source, target, read_only=options == ["ro"], nosuid=True, nodev=True)


def container(args: argparse.Namespace) -> Isolation:
    """The description; nothing happens yet."""
    root: object = mounts.empty()
    inside = [mounts.proc(), mounts.sysfs(read_only=True), mounts.dev(), mounts.mqueue()]
    if args.root is None:
        links = [path for path in SYSTEM if os.path.islink(path)]
        inside += [mounts.symlink(path, os.readlink(path)) for path in links]
        inside += [mounts.bind(path, read_only=True) for path in SYSTEM if os.path.exists(path) and path not in links]
        inside.append(mounts.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"))
        inside.append(mounts.directory("/root", mode=0o700))
    else:  # mount points are made in the overlay, never in the image
        root = mounts.bind(args.root, "/") if args.keep else mounts.overlay("/", args.root)
    inside.append(mounts.tmpfs("/tmp", size=args.memory, mode=0o1777, nosuid=True, nodev=True))
    inside.append(mounts.file("/etc/hosts", f"127.0.0.1 localhost {args.name}\n"))
    inside += [mounts.mask(*mounts.MASKED, missing_ok=True), *args.volume]
    user = () if os.geteuid() == 0 else ("user",)
    return Isolation(
        *user, *KINDS, root=root, mounts=inside, hostname=args.name, capabilities=CAPABILITIES,
        no_new_privs=True, **identity(),
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", metavar="DIRECTORY", help="an image; its files are not changed")
    parser.add_argument("--debootstrap", metavar="SUITE", help="make the root first, if it is not there")
    parser.add_argument("--keep", action="store_true", help="write to the image itself; it needs its mount points")
    parser.add_argument("--volume", metavar="SOURCE:TARGET[:ro]", action="append", default=[], type=volume)
    parser.add_argument("--memory", metavar="SIZE", default="64M", help="how much /tmp may hold")
    parser.add_argument("--name", default="container", help="its hostname")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    try:
        if args.root and args.debootstrap and not os.path.isdir(args.root):
            make(args.root, args.debootstrap)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **TERMINAL}
        return container(args).run(args.command, cwd="/", env=environment).returncode
    except (NamespaceError, FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"container: {error}", file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main())
