"""Coverage of tests in children, also where parent and child would write one and the same file (coverage run)."""

from __future__ import annotations

import glob
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Where a child's data goes, beside the parent's: the session's process id, the child's number.
SUFFIX = "pynamespaces"
_session = os.getpid()
_children = 0


def _current() -> tuple[Any, Any]:
    """What measures this process, and its data, if coverage.py does and writes without a suffix of its own."""
    coverage = sys.modules.get("coverage")
    current = coverage.Coverage.current() if coverage is not None else None
    data = getattr(current, "_data", None)
    return (current, data) if data is not None and getattr(data, "_suffix", True) is None else (None, None)


def split() -> None:
    """In the parent: the next child is another one."""
    global _children
    _children += 1


def own_file() -> None:
    """In the child: write a file of its own, which does not erase the parent's."""
    _, data = _current()
    if data is not None:
        data._suffix = f"{SUFFIX}.{_session}.{_children}"


def combine() -> None:
    """In the parent, at the end: its data has what the children measured."""
    current, _ = _current()
    if current is None or not _children:
        return
    from coverage import CoverageData

    ours = current.get_data()
    for path in glob.glob(f"{glob.escape(ours.base_filename())}.{SUFFIX}.{_session}.*"):
        theirs = CoverageData(path)
        theirs.read()
        ours.update(theirs)
        theirs.close()
        os.unlink(path)
