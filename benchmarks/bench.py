"""How fast it is: ratios to C programs that make the same calls, and to the best other way, interleaved in one run.

    make bench                                      every topic; writes results.md and docs/explanation/speed.svg
    python benchmarks/bench.py --only blocks        some topics; prints only (--save keeps them, too)
    python benchmarks/bench.py --quick              a tenth of the rounds, two turns

Each topic (rows/*.py) runs in a process and a mount namespace of its own.  A row's ways are measured in turn, several
times; the table has medians and spread.  Absolute times belong to the machine, ratios mean something elsewhere, too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import measure
import plot
from measure import HERE, Row

RESULTS = HERE / "results.json"
TABLE = HERE / "results.md"
PLOT = HERE.parent / "docs" / "explanation" / "speed.svg"
TURNS = 5
INTRODUCTION = (
    "# Results\n\nWritten by `make bench`; see README.md for how.  Times belong to the machine and to its other work "
    "at that moment; the ratios are taken turn by turn within one run (median and spread).\n"
)
HEAD = (
    "| what | ours, us | C floor, us | ratio to the floor | promised | best peer, us | ratio to it | promised |\n"
    "|---|---|---|---|---|---|---|---|"
)


def take(row: Row, turns: int) -> dict[str, object]:
    """Measure a row's ways in turn; medians, and median and spread of the ratios turn by turn."""
    ways = {"ours": row.ours, **({"floor": row.floor} if row.floor else {}), **row.peers}
    columns: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            columns[name].append(way())
    result: dict[str, object] = {"name": row.name, "ours": statistics.median(columns["ours"])}
    against = {"floor": "floor"} if row.floor else {}
    if row.peers:
        against["peer"] = result["best"] = min(row.peers, key=lambda name: statistics.median(columns[name]))
    for kind, name in against.items():
        ratios = sorted(a / b for a, b in zip(columns["ours"], columns[name], strict=True))
        result[kind] = statistics.median(columns[name])
        result[f"{kind}_ratio"] = [statistics.median(ratios), ratios[0], ratios[-1]]
    result["promise"], result["peer_promise"] = row.promise, row.peer_promise
    result["peers"] = {name: statistics.median(columns[name]) for name in row.peers}
    return result


def line(result: dict) -> str:
    """One line of the table."""

    def us(key: str) -> str:
        return f"{result[key] / 1000:.1f}" if key in result else ""

    def ratio(key: str) -> str:
        return "{:.2f} ({:.2f}-{:.2f})".format(*result[key]) if key in result else ""

    def limit(key: str) -> str:
        return "" if result[key] is None else f"<= {result[key]:g}"

    peer = f"{us('peer')} {result['best']}" if "best" in result else ""
    return (
        f"| {result['name']} | {us('ours')} | {us('floor')} | {ratio('floor_ratio')} | {limit('promise')} "
        f"| {peer} | {ratio('peer_ratio')} | {limit('peer_promise')} |"
    )


def short(result: dict) -> list[str]:
    """Where a promise is not met."""
    return [
        f"{result['name']}: {result[f'{kind}_ratio'][0]:.2f} of the {kind} (promised {limit:g})"
        for kind, limit in (("floor", result["promise"]), ("peer", result["peer_promise"]))
        if limit is not None and result[f"{kind}_ratio"][0] > limit
    ]


def topic(name: str, turns: int) -> None:
    """The child's part: rows of one topic, as JSON lines, in a mount namespace of its own."""
    from pynamespaces import kinds, plan

    assert plan.do(plan.unshare(kinds.parse("mnt"))) >= 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for where in ("/mnt", "/run"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", where], check=True)
    spec = importlib.util.spec_from_file_location(name, HERE / "rows" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peers print is not a row
    for row in module.rows():
        print(json.dumps(take(row, turns)), file=out, flush=True)


def machine() -> str:
    """What the numbers were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) >> 20
    return (
        f"{os.cpu_count()} processors{f' ({model})' if model else ''}, {memory} GiB of memory, "
        f"Linux {platform.release()}, {platform.python_implementation()} {platform.python_version()}"
    )


def write(results: dict) -> None:
    """results.json, and from it the table and the plot."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    parts = [INTRODUCTION]
    missed = []
    for name, part in results.items():
        parts.append(f"## {name}\n\n{part['machine']}.\n\n{HEAD}")
        parts.append("\n".join(line(row) for row in part["rows"]) + "\n")
        missed += [text for row in part["rows"] for text in short(row)]
    parts.append("## Short of what was promised\n")
    parts.append("\n".join(f"* {text}" for text in missed) or "Nothing.")
    TABLE.write_text("\n".join(parts) + "\n")
    PLOT.write_text(plot.svg([row for part in results.values() for row in part["rows"]]))


def main() -> int:
    known = sorted(path.stem for path in (HERE / "rows").glob("*.py"))
    parser = argparse.ArgumentParser(description="Benchmarks: ratios to C programs that make the same calls.")
    parser.add_argument("--only", action="append", metavar="TOPIC", help=f"one of {', '.join(known)}; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds, two turns")
    parser.add_argument("--save", action="store_true", help="keep the results of --only, too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("the benchmarks need root: blocks of an ordinary user's thread are refused by the kernel")
    turns = 2 if chosen.quick else TURNS
    if chosen.quick:
        measure.divisor = 10
    if chosen.child:
        topic(chosen.child, turns)
        return 0
    wanted = chosen.only or known
    for name in wanted:
        if name not in known:
            parser.error(f"no topic {name!r}: there are {', '.join(known)}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    print(f"{machine()}\n\n{HEAD}")
    failed = 0
    for name in wanted:
        argv = [sys.executable, __file__, "--child", name, *(["--quick"] if chosen.quick else [])]
        rows = []
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for text in child.stdout:
                rows.append(json.loads(text))
                print(line(rows[-1]), flush=True)
        if child.returncode:
            print(f"topic {name} ended with {child.returncode}")
            failed = 1
        results[name] = {"machine": machine(), "rows": rows}
    if not failed and not chosen.quick and (chosen.save or not chosen.only):
        write({name: results[name] for name in sorted(results) if name in known})
    return failed


if __name__ == "__main__":
    sys.exit(main())
