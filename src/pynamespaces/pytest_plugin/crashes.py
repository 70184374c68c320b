"""What is said of a child that died, and how one that does not answer is ended."""

from __future__ import annotations

import os
import signal

from pynamespaces._kernel import pidfd
from pynamespaces.procfs import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pynamespaces.children import Child

#: Frames from here outward are pytest's and pluggy's.
OUTER = ("pytest_pyfunc_call", "in runtest", "_callTestMethod", "call_fixture_func")


def strike(child: Child, number: signal.Signals) -> None:
    """Send the test's process a signal; SIGKILL ends all."""
    if number == signal.SIGKILL:
        child.kill()
        return
    target = _inner(child.pid)
    try:
        if target is None:
            pidfd.send_signal(child.pidfd, number)
            return
        held = pidfd.pidfd_open(target)
        try:
            pidfd.send_signal(held, number)
        finally:
            os.close(held)
    except OSError:  # it has just ended
        pass


def _inner(pid: int) -> int | None:
    """In a pid namespace the test's process is the child's child beside our init."""
    for word in (read_text(f"/proc/{pid}/task/{pid}/children") or "").split():
        if (read_text(f"/proc/{word}/comm") or "").strip() not in ("namespaces-init", "namespaces-kept"):
            status = read_text(f"/proc/{word}/status") or ""
            inner = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
            if len(inner) > len(_levels(pid)):
                return int(word)
    return None


def _levels(pid: int) -> list[str]:
    status = read_text(f"/proc/{pid}/status") or ""
    return next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])


def stack(faults: int) -> str:
    """What faulthandler wrote, down to the test."""
    with os.fdopen(os.dup(faults), "rb") as file:
        file.seek(0)
        text = file.read().decode(errors="replace")
    kept = []
    skipping = False
    for line in text.splitlines():
        if skipping and line.startswith("  "):
            continue
        skipping = any(word in line for word in OUTER)
        if not skipping:
            kept.append(line)
    return "\n".join(kept).strip()


def describe(item: Any, when: str, status: int, killed: str, threads: Sequence[str]) -> str:
    """One line: where, what, when."""
    path, line, _ = item.location
    where = f"{path}:{(line or 0) + 1}"
    if killed:
        lost = f"; threads of the session, which do not exist in the test's process: {', '.join(threads)}"
        return f"{where}: timeout: the test process {killed} during {when}, and was ended{lost if threads else ''}"
    if status < 0:
        try:
            name = f"{signal.Signals(-status).name} ({signal.strsignal(-status)})"
        except ValueError:
            name = f"signal {-status}"
        return f"{where}: the test process was killed by {name} during {when}"
    return f"{where}: the test process exited with status {status} without reporting during {when}"
