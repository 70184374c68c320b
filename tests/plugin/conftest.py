"""Each test runs pytest in a process of its own on a small project."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

#: What every small project has: the namespaces that the session itself is in.
HEAD = """
import os, signal, socket, subprocess, sys, threading, time, warnings
import pytest
KINDS = ("net", "mnt", "uts", "ipc", "cgroup", "pid", "user", "time")
def links():
    return {kind: os.readlink("/proc/thread-self/ns/" + kind) for kind in KINDS}
HOME, SESSION = links(), os.getpid()
def new():
    there = links()
    return {kind for kind in KINDS if there[kind] != HOME[kind]}
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Run pytest on a test file with this text."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def run(text: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=HEAD + text)
        # hypothesis takes a second to import
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest", *args, timeout=60)

    return run


def is_root() -> bool:
    return os.geteuid() == 0


def clean(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(r"\b\d+\.\d+s\b", "0.00s", text)
    text = re.sub(r"0x[0-9a-f]+", "0x0", text)
    return re.sub(r"\(tid \d+", "(tid 0", text)
