#!/usr/bin/env python3
"""What would this installer change?  Run it in a copy of the whole root that is thrown away, and list what it did.

    what_changes.py -- sh -c 'make install'
    what_changes.py --network --show -- pip install --user thing

No file of this machine is changed; an ordinary user is root inside, with no more rights to files than before.  It is
for programs that are trusted, not a jail: /proc, /sys and /dev are the machine's.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile

from pynamespaces import Isolation, NamespaceError, mounts


def lines(path: str | None) -> list[str]:
    """Of a text file; none of what is no file."""
    try:
        with open(path or os.devnull, encoding="utf-8") as file:
            return file.readlines()
    except (OSError, UnicodeDecodeError):
        return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="store_true", help="with the machine's network; else without any")
    parser.add_argument("--show", action="store_true", help="how text files were changed, too")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    kinds = ["mnt", "pid", "ipc", "uts"] + ["net"] * (not args.network) + ["user"] * (os.geteuid() != 0)
    upper = tempfile.mkdtemp(prefix="what-changes-")
    try:
        box = Isolation(*kinds, root=mounts.throw_away("/", upper=upper))
        code = box.run(args.command, cwd=os.getcwd()).returncode
        for change in mounts.changes(upper):
            print(change)
            if args.show:
                print(*difflib.unified_diff(lines(change.path), lines(change.now), "before", "after"), sep="", end="")
        return code
    except (NamespaceError, FileNotFoundError) as error:
        print(f"what_changes: {error}", file=sys.stderr)
        return 125
    finally:
        mounts.discard(upper)


if __name__ == "__main__":
    sys.exit(main())
