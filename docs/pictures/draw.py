#!/usr/bin/env python3
"""The pictures of the documentation, as text: boxes in boxes, and arrows.  ``python docs/pictures/draw.py`` draws them.

`PICTURES` is the source; the SVG files beside this one are what it draws, committed so that a page shows them wherever
it is read.  A test compares the two.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

GLYPH, LINE, PAD, GAP = 7.3, 17, 10, 14
STYLES = {  # fill, line, dash
    "machine": ("#ffffff", "#9aa4b2", ""),
    "old": ("#eef1f5", "#5b6778", ""),
    "new": ("#e3f2e6", "#2b7a3d", ""),
    "process": ("#fff6d9", "#a67c00", ""),
    "thing": ("#ffffff", "#5b6778", ""),
    "gone": ("#fafafa", "#b0b6bf", "5 4"),
}


@dataclass
class Box:
    """Some lines of text, and boxes below or beside each other."""

    text: str
    style: str
    inside: tuple[Box, ...] = ()
    across: bool = True
    name: str = ""
    x: float = 0
    y: float = 0
    width: float = field(default=0, init=False)
    height: float = field(default=0, init=False)

    def measure(self) -> None:
        """How large it is: first what is inside."""
        lines = self.text.splitlines() if self.text else []
        width, height = max([len(line) * GLYPH for line in lines], default=0), len(lines) * LINE
        for box in self.inside:
            box.measure()
        if self.inside:
            wide = [box.width for box in self.inside]
            high = [box.height for box in self.inside]
            space = GAP * (len(wide) - 1)
            width = max(width, sum(wide) + space if self.across else max(wide))
            height += (6 if lines else 0) + (max(high) if self.across else sum(high) + space)
            for box in self.inside:  # beside each other they end together; below each other they are as wide
                if self.across:
                    box.height = max(high)
                else:
                    box.width = width
        self.width, self.height = width + 2 * PAD, height + 2 * PAD

    def place(self, x: float, y: float) -> None:
        """Where it stands."""
        self.x, self.y = x, y
        x, y = x + PAD, y + PAD + len(self.text.splitlines()) * LINE + (6 if self.text else 0)
        for box in self.inside:
            box.place(x, y)
            x, y = (x + box.width + GAP, y) if self.across else (x, y + box.height + GAP)

    def all(self) -> list[Box]:
        """It and what is in it."""
        return [self, *[box for inner in self.inside for box in inner.all()]]

    def svg(self) -> list[str]:
        """What it looks like."""
        fill, line, dash = STYLES[self.style]
        found = []
        if line:
            found.append(
                f'<rect x="{self.x:.1f}" y="{self.y:.1f}" width="{self.width:.1f}" height="{self.height:.1f}" rx="6" '
                f'fill="{fill}" stroke="{line}" stroke-width="1.4" stroke-dasharray="{dash}"/>'
            )
        for number, text in enumerate(self.text.splitlines()):
            weight = "bold" if number == 0 and self.style in {"old", "new"} else "normal"
            y = self.y + PAD + (number + 0.75) * LINE
            found.append(
                f'<text xml:space="preserve" x="{self.x + PAD:.1f}" y="{y:.1f}" font-weight="{weight}">'
                f"{escape(text)}</text>"
            )
        return found + [line for box in self.inside for line in box.svg()]


def machine(*inside: Box, text: str = "", across: bool = True) -> Box:
    return Box(text, "machine", inside, across)


def old(text: str, *inside: Box, name: str = "", across: bool = False) -> Box:
    return Box(text, "old", inside, across, name)


def new(text: str, *inside: Box, name: str = "", across: bool = False) -> Box:
    return Box(text, "new", inside, across, name)


def process(text: str, name: str = "") -> Box:
    return Box(text, "process", name=name)


def thing(text: str, name: str = "") -> Box:
    return Box(text, "thing", name=name)


def gone(text: str, name: str = "") -> Box:
    return Box(text, "gone", name=name)


@dataclass
class Picture:
    """A box, what it is called, and arrows between boxes that have names: (from, to, what it says)."""

    title: str
    box: Box
    arrows: tuple[tuple[str, str, str], ...] = ()

    def svg(self) -> str:
        """The file."""
        self.box.measure()
        self.box.place(8, 8)
        width, height = self.box.width + 16, self.box.height + 16
        named = {box.name: box for box in self.box.all() if box.name}
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(self.title)}" '
            'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="12" fill="#1b1f24">',
            f"<title>{escape(self.title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#b3261e"/></marker></defs>',
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
            *self.box.svg(),
        ]
        for start, end, text in self.arrows:
            lines += arrow(named[start], named[end], text)
        return "\n".join([*lines, "</svg>", ""])


def arrow(start: Box, end: Box, text: str) -> list[str]:
    """From edge to edge, with its words in the middle."""
    if start.x + start.width <= end.x:
        x1, y1, x2, y2 = start.x + start.width, start.y + start.height / 2, end.x, end.y + end.height / 2
    elif end.x + end.width <= start.x:
        x1, y1, x2, y2 = start.x, start.y + start.height / 2, end.x + end.width, end.y + end.height / 2
    elif start.y < end.y:
        x1 = x2 = max(start.x, end.x) + min(start.width, end.width) / 2
        y1, y2 = start.y + start.height, end.y
    else:
        x1 = x2 = max(start.x, end.x) + min(start.width, end.width) / 2
        y1, y2 = start.y, end.y + end.height
    found = [
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#b3261e" stroke-width="1.6" '
        'marker-end="url(#tip)"/>'
    ]
    if text:
        x, y, wide = (x1 + x2) / 2, (y1 + y2) / 2, len(text) * GLYPH + 8
        found.append(f'<rect x="{x - wide / 2:.1f}" y="{y - 10:.1f}" width="{wide:.1f}" height="19" fill="#ffffff"/>')
        found.append(f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="#b3261e">{escape(text)}</text>')
    return found


def spread(*boxes: Box) -> tuple[Box, ...]:
    """Boxes with room between them for an arrow's words."""
    found = [boxes[0]]
    for box in boxes[1:]:
        found += [Box(" " * 12, "room"), box]
    return tuple(found)


STYLES["room"] = ("none", "", "")

PICTURES = {
    "eight": Picture(
        "A process and the eight namespaces that it lives in",
        machine(
            process("your program\n\n/proc/PID/ns/", "program"),
            Box(" " * 5, "room"),
            Box(
                "",
                "room",
                (
                    old("mnt     which files", name="mnt"),
                    old("uts     which host name"),
                    old("ipc     which message queues"),
                    old("net     which network"),
                    old("pid     which process numbers", name="pid"),
                    old("user    which users, and who is root"),
                    old("cgroup  which root of the control groups"),
                    old("time    which uptime", name="time"),
                ),
                across=False,
            ),
        ),
        (("program", "mnt", ""), ("program", "pid", ""), ("program", "time", "")),
    ),
    "mnt": Picture(
        "Two mnt namespaces: the same disk, other mounts",
        machine(
            old(
                "mnt of the host", thing("/            disk"), thing("/mnt         disk, empty"), process("your shell")
            ),
            new("a new mnt", thing("/            disk"), thing("/mnt         tmpfs, 1 MiB"), process("the command")),
        ),
    ),
    "uts": Picture(
        "Two uts namespaces: two host names",
        machine(
            old("uts of the host", thing("hostname  laptop"), process("your shell")),
            new("a new uts", thing("hostname  rocinante"), process("the command")),
        ),
    ),
    "ipc": Picture(
        "Two ipc namespaces: two sets of queues",
        machine(
            old("ipc of the host", thing("message queues: (none)"), process("your shell")),
            new("a new ipc", thing("message queues: 0x2a"), process("the command")),
        ),
    ),
    "net": Picture(
        "Three net namespaces: port 80 is free in each",
        machine(
            old("net of the host", thing("lo  eth0  192.0.2.7"), process("your shell")),
            new("a new net", thing("lo  127.0.0.1"), process("server on :80")),
            new("another", thing("lo  127.0.0.1"), process("server on :80")),
        ),
    ),
    "pid": Picture(
        "A pid namespace inside the host's: one process, two numbers",
        machine(
            old(
                "pid of the host",
                process("1      the machine's init"),
                process("4711   your program"),
                new(
                    "a new pid",
                    process("4712 = 1   our tiny init"),
                    process("4713 = 2   the command"),
                ),
            ),
        ),
    ),
    "user": Picture(
        "A user namespace: 0 inside is 1000 outside",
        machine(
            *spread(
                new("a new user", thing("uid 0      (root)", "inside"), thing("uid 65534  (all others)")),
                old("user of the host", thing("uid 1000   (you)", "outside"), thing("uid 0      (the real root)")),
            ),
        ),
        (("inside", "outside", "uid_map"),),
    ),
    "cgroup": Picture(
        "A cgroup namespace: the tree begins where the process stands",
        machine(
            old("cgroup of the host", thing("/"), thing("/user.slice"), thing("/user.slice/session-2", "there")),
            Box(" " * 10, "room"),
            new("a new cgroup", thing("/", "here"), process("the command")),
        ),
        (("here", "there", "the same"),),
    ),
    "time": Picture(
        "A time namespace: another uptime, the same date",
        machine(
            old("time of the host", thing("up 3 days"), thing("25 Nov 2026, 12:00"), process("your shell")),
            new("a new time", thing("up 303 days"), thing("25 Nov 2026, 12:00"), process("the command")),
        ),
    ),
    "life": Picture(
        "What keeps a namespace alive: a process in it, a descriptor of it, or a bind mount of it",
        machine(
            Box(
                "",
                "room",
                (
                    process("a process in it", "process"),
                    thing("an open descriptor", "fd"),
                    thing("a bind mount\n/run/pynamespaces/web/net", "mount"),
                ),
                across=False,
            ),
            Box(" " * 12, "room"),
            new(
                "net:[4026532281]",
                thing("lo, addresses,\nroutes, ports"),
                thing("ends with the\nlast of the three"),
                name="net",
            ),
        ),
        (("process", "net", ""), ("fd", "net", "keeps"), ("mount", "net", "")),
    ),
    "back": Picture(
        "A with block: the thread goes, and comes back to where it was",
        machine(
            *spread(
                old("before", process("this thread", "before"), thing("descriptors of\nthe way home")),
                new("in the block", process("this thread", "inside"), thing("net, uts: new\nthe rest: as before")),
                old("after", process("this thread", "after"), thing("the same (dev, ino),\nroot and cwd")),
            ),
        ),
        (("before", "inside", "unshare"), ("inside", "after", "setns")),
    ),
    "container": Picture(
        "A container: one command in new namespaces of six kinds or more, and a root of its own",
        machine(
            old("the host", process("4711  your program"), process("4712  (the init below)")),
            new(
                "the container",
                Box(
                    "",
                    "room",
                    (
                        thing("mnt   /, /proc, /dev of its own"),
                        thing("uts   hostname box"),
                        thing("ipc   no queues"),
                    ),
                    across=False,
                ),
                Box(
                    "",
                    "room",
                    (
                        thing("net   lo"),
                        thing("pid   1 init, 2 the command"),
                        thing("user  root, which is you outside"),
                    ),
                    across=False,
                ),
                across=True,
            ),
        ),
    ),
    "design": Picture(
        "A place makes a plan; two executors carry it out",
        machine(
            Box(
                "",
                "room",
                (
                    old("Isolation\nwhat is to be new", name="isolation"),
                    old("NamespaceSet\nwhat exists", name="set"),
                ),
                across=False,
            ),
            Box(" " * 7, "room"),
            Box(
                "",
                "room",
                (new("Plan\n1. unshare(uts, net)\n2. sethostname('web')\n3. lo up", name="plan"),),
                across=False,
            ),
            Box(" " * 7, "room"),
            Box(
                "",
                "room",
                (
                    process("this thread\nwith unshare, enter\nand back, in reverse", "thread"),
                    process("a child that execs\nrun, Popen", "exec"),
                    process("a child that runs Python\ncall, executor", "python"),
                ),
                across=False,
            ),
        ),
        (
            ("isolation", "plan", ""),
            ("set", "plan", ""),
            ("plan", "thread", ""),
            ("plan", "exec", ""),
            ("plan", "python", ""),
        ),
    ),
}


def main() -> None:
    """Draw them all, or into another directory."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, picture in PICTURES.items():
        (target / f"{name}.svg").write_text(picture.svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
