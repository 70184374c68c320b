"""How many system calls a verb makes, all its processes' together until the command's exec: counted by strace.

python benchmarks/count_calls.py        (as root) prints the table of docs/explanation/speed.md
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HEAD = """
import os, subprocess
from pynamespaces import *
store = {store!r}
with unshare("net") as one: pass
with unshare("net", "uts", "ipc", "cgroup", "mnt") as five: pass
seven = ("mnt", "uts", "ipc", "net", "pid", "user", "cgroup")
def act():
    {act}
{before}
act()
{between}
os.access("/begin", 0)
act()
os.access("/end", 0)
"""

#: name: (what is done, before the first time, between the first and the counted time)
VERBS = {
    "enter(one held) and back": ("with enter(one['net']): pass", "", ""),
    "enter(five held) and back": ("with enter(five): pass", "", ""),
    'unshare("net") and back': ("with unshare('net'): pass", "", ""),
    "unshare(five kinds) and back": ("with unshare('net', 'uts', 'ipc', 'cgroup', 'mnt'): pass", "", ""),
    "persist one": ("one.persist('a', store=store)", "", "forget('a', store=store)"),
    "forget one": ("forget('a', store=store)", "one.persist('a', store=store)", "one.persist('a', store=store)"),
    "run, no namespaces": ("Isolation().run(['/bin/true'])", "", ""),
    "subprocess.run": ("subprocess.run(['/bin/true'])", "", ""),
    "run, seven kinds, no init": ("Isolation(*seven, init=False).run(['/bin/true'])", "", ""),
    "run, seven kinds, with init": ("Isolation(*seven).run(['/bin/true'])", "", ""),
    "run in five held": ("five.run(['/bin/true'])", "", ""),
    "call in three kinds": ("Isolation('user', 'uts', 'net').call(os.getpid)", "", ""),
}


def count(act: str, before: str, between: str) -> Counter[str]:
    """The calls between the two marks, but for those of a command after its exec."""
    with tempfile.TemporaryDirectory() as room:
        out = Path(room) / "out"
        code = HEAD.format(store=room + "/store", act=act, before=before, between=between)
        run = ["unshare", "--mount", "--propagation", "private", "strace", "-f", "-o", out, sys.executable, "-c", code]
        subprocess.run(run, check=True)
        lines = out.read_text("utf-8", "replace").splitlines()
    found: Counter[str] = Counter()
    armed, commands = False, set()
    for line in lines:
        who, _, rest = line.partition(" ")
        rest = rest.strip()
        if '"/begin"' in rest:
            armed = True
        elif '"/end"' in rest:
            break
        elif armed and who not in commands and (match := re.match(r"(\w+)\(", rest)):
            found[match[1]] += 1
            if rest.startswith("execve("):
                commands.add(who)
    return found


def main() -> int:
    print("| verb | system calls | most of them |\n|---|---|---|")
    for name, (act, before, between) in VERBS.items():
        found = count(act, before, between)
        most = ", ".join(f"{call} {number}" for call, number in found.most_common(6))
        print(f"| {name} | {found.total()} | {most} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
