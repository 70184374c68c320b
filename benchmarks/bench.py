"""How fast it is, as ratios to C programs that make the same calls, interleaved in one run.

    make bench            (as root; in a mount namespace of its own)

Each row runs the library and the floor in turn, several times, and prints the medians and their ratio: absolute times
belong to this machine, ratios mean something elsewhere, too.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pynamespaces as ns
from pynamespaces import Isolation, Namespace, NamespaceSet, enter, kinds, plan, unshare

HERE = Path(__file__).parent
BUILD = HERE / "build"
ALL = ("mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time")
TURNS = 5


def build() -> None:
    """Compile the floor."""
    BUILD.mkdir(exist_ok=True)
    for source in (HERE / "floor").glob("*.c"):
        target = BUILD / source.stem
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-Wall", "-o", target, source], check=True)


def floor(*argv: object) -> float:
    """What a C program says: nanoseconds (the sum, where it says several)."""
    done = subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True)
    return sum(map(float, done.stdout.split()))


def timed(function: Callable[[], object], rounds: int) -> float:
    """Nanoseconds for one call."""
    start = time.perf_counter_ns()
    for _ in range(rounds):
        function()
    return (time.perf_counter_ns() - start) / rounds


def row(name: str, promise: str, ours: Callable[[], float], other: Callable[[], float]) -> None:
    """Both in turn; the medians and their ratio."""
    pairs = [(ours(), other()) for _ in range(TURNS)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    print(
        f"| {name} | {mine / 1000:.1f} | {theirs / 1000:.1f} | {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f}-{ratios[-1]:.2f}) | {promise} |",
        flush=True,
    )


def blocks() -> None:
    with unshare("net") as net:
        pass
    with unshare("net", "uts", "ipc", "cgroup", "mnt") as five:
        pass
    held = net["net"]

    def there_and_back(target: Namespace | NamespaceSet) -> None:
        with enter(target):
            pass

    def fresh() -> None:
        with unshare("net"):
            pass

    row(
        "enter(held net), and back",
        "<= 1.4",
        lambda: timed(lambda: there_and_back(held), 20000),
        lambda: floor(BUILD / "enter", "net", 20000),
    )
    row(
        "enter(held five kinds), and back",
        "<= 1.4",
        lambda: timed(lambda: there_and_back(five), 5000),
        lambda: floor(BUILD / "enter", "five", 5000),
    )
    row('unshare("net"), and back', "<= 1.2", lambda: timed(fresh, 300), lambda: floor(BUILD / "enter", "unshare", 300))
    net.close()
    five.close()


def persisting(count: int = 1000) -> None:
    where = Path("/mnt/store")
    where.mkdir()

    def ours() -> float:
        start = time.perf_counter_ns()
        for number in range(count):
            with unshare("net", loopback=False) as inside:
                inside.persist(f"n{number}", store=where)
            inside.close()
        for number in range(count):
            ns.forget(f"n{number}", store=where)
        return (time.perf_counter_ns() - start) / count

    def by_ip() -> float:
        few = count // 10
        start = time.perf_counter_ns()
        for number in range(few):
            subprocess.run(["ip", "netns", "add", f"b{number}"], check=True)
        for number in range(few):
            subprocess.run(["ip", "netns", "del", f"b{number}"], check=True)
        return (time.perf_counter_ns() - start) / few

    c = Path("/mnt/c")
    c.mkdir()
    row(
        "unshare, persist, forget 1,000 net, against the same calls in C",
        "<= 1.3",
        ours,
        lambda: floor(BUILD / "persist", "tree", c, count),
    )
    row("the same against one bind mount each in C", "", ours, lambda: floor(BUILD / "persist", "bind", c, count))
    row("the same against `ip netns add`, `del`", "<= 0.2", ours, by_ip)


def launching() -> None:
    flags = sum(kinds.row(kind).flag for kind in ALL) - kinds.row("time").flag
    seven = tuple(kind for kind in ALL if kind != "time")
    bare = Isolation(*seven, init=False, loopback=False, propagation=None, proc=False)
    with_init = Isolation(*seven, loopback=False, propagation=None, proc=False)
    true = ["/bin/true"]

    def plain() -> float:
        return timed(lambda: subprocess.run(true, check=True), 200)

    row(
        "run(true), no namespaces, against subprocess.run", "", lambda: timed(lambda: Isolation().run(true), 200), plain
    )
    row(
        "run(true) in seven kinds, against C",
        "",
        lambda: timed(lambda: bare.run(true), 100),
        lambda: floor(BUILD / "spawn", flags, 100, "/bin/true"),
    )
    row(
        "the same with an init",
        "",
        lambda: timed(lambda: with_init.run(true), 100),
        lambda: floor(BUILD / "spawn", flags, 100, "/bin/true"),
    )
    row(
        "the same against subprocess.run(unshare ...)",
        "<= 0.65",
        lambda: timed(lambda: bare.run(true), 100),
        lambda: timed(lambda: subprocess.run(["unshare", "-Urmuinpf", "-C", *true], check=True), 50),
    )
    with bare.Popen(["sleep", "100"]) as process, process.namespaces.only("mnt", "uts", "ipc", "net", "cgroup") as five:
        row(
            "run(true) in five existing kinds, against subprocess.run",
            "<= 1.15",
            lambda: timed(lambda: five.run(true), 200),
            plain,
        )
        nsenter = ["nsenter", "-t", str(process.pid), "-m", "-u", "-i", "-n", "-C", *true]
        row(
            "the same against subprocess.run(nsenter ...)",
            "<= 0.75",
            lambda: timed(lambda: five.run(true), 200),
            lambda: timed(lambda: subprocess.run(nsenter, check=True), 100),
        )
        process.kill()


def functions() -> None:
    box = Isolation("user", "uts", "net")

    def fork_and_pickle() -> None:
        import pickle

        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            uid, gid = os.geteuid(), os.getegid()
            plan.do(plan.unshare(kinds.parse("user", "uts", "net")))
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
                Path(f"/proc/self/{name}").write_text(text)
            plan.do(plan.loopback())
            os.write(writer, pickle.dumps(os.getuid()))
            os._exit(0)
        os.close(writer)
        pickle.loads(os.read(reader, 1000))
        os.close(reader)
        os.waitpid(pid, 0)

    row(
        "call(function), against os.fork and a pickle",
        "<= 1.3",
        lambda: timed(lambda: box.call(os.getuid), 100),
        lambda: timed(fork_and_pickle, 100),
    )
    with box.executor() as pool:
        row(
            "executor: submit().result(), against call",
            "",
            lambda: timed(lambda: pool.submit(os.getuid).result(), 3000),
            lambda: timed(lambda: box.call(os.getuid), 50),
        )


def imports() -> None:
    def start(code: str) -> float:
        return timed(lambda: subprocess.run([sys.executable, "-I", "-c", code], check=True), 20)

    bare = statistics.median(start("pass") for _ in range(TURNS))
    row(
        "import pynamespaces, against import subprocess (both over a bare start)",
        "<= 0.7",
        lambda: start("import pynamespaces") - bare,
        lambda: start("import subprocess") - bare,
    )


def main() -> int:
    if os.geteuid() != 0:
        print("the benchmarks need root: blocks of an ordinary user's thread are refused by the kernel")
        return 1
    build()
    for step in (plan.unshare(kinds.parse("mnt")), plan.propagate("private")):
        assert plan.do(step) >= 0
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    wanted = sys.argv[1:] or ["blocks", "persisting", "launching", "functions", "imports"]
    print("| what | here, us | other, us | ratio: median (spread) | promised |\n|---|---|---|---|---|")
    for name in wanted:
        {
            "blocks": blocks,
            "persisting": persisting,
            "launching": launching,
            "functions": functions,
            "imports": imports,
        }[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
