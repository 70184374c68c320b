"""A test in pytest's own process: this thread goes there before the first function-scoped fixture, and comes back."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

import pytest

from pynamespaces import kinds
from pynamespaces.errors import NamespaceError, RestoreError
from pynamespaces.kinds import Kind
from pynamespaces.pytest_plugin import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynamespaces.blocks import Block
    from pynamespaces.isolation import Isolation
    from pynamespaces.sets import NamespaceSet


class InProcess:
    """One test's visit.

    Args:
        leak: what becomes of threads that are left inside: warn, ignore or error.
    """

    def __init__(self, item: pytest.Item, box: Isolation, leak: str) -> None:
        self.item = item
        self.box = box
        self.leak = leak
        self.block: Block | None = None
        self.inside: NamespaceSet | None = None

    def enter(self) -> None:
        """Go there, if this thread is not there yet; the item's last finalizer brings it back."""
        if self.inside is not None:
            return
        block = self.box.unshare()
        try:
            self.inside = block.__enter__()
        except NamespaceError as error:
            pytest.fail(f"the namespaces of this test: {error.strerror}", pytrace=False)
        self.block = block
        self.item.addfinalizer(self.leave)
        self._renamed()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Home again for as long as a broader fixture, which this test asked for dynamically, is set up."""
        inside, cwd = self.inside, os.getcwd()
        assert inside is not None
        self._go_home()
        try:
            yield
        finally:
            self.block = inside.enter()
            self.block.__enter__().close()
            if Kind.MNT in inside:
                os.chdir(cwd)

    def leave(self) -> None:
        __tracebackhide__ = True
        inside, self.inside = self.inside, None
        if inside is None:
            return
        try:
            self._go_home()
            self._renamed()
            left = self._left(inside) if self.leak != "ignore" else ""
        finally:
            inside.close()
        if left:
            self._complain(left)

    def _go_home(self) -> None:
        block, self.block = self.block, None
        assert block is not None
        try:
            block.__exit__(None, None, None)
        except RestoreError as error:
            reason = (
                f"after {self.item.nodeid} this thread could not come back from the test's namespaces, and every later "
                f"test would run in the wrong place: {error.__cause__ or error}; mode='fork' is for tests that drop "
                "privileges"
            )
            self.item.session.shouldstop = reason
            pytest.exit(reason, returncode=int(pytest.ExitCode.INTERNAL_ERROR))

    def _renamed(self) -> None:
        if Kind.UTS in self.box.kinds:
            values.forget_hostname()

    def _left(self, inside: NamespaceSet) -> str:
        """The threads of this process that are still there; one just joined may take a moment to go."""
        for _ in range(50):
            left = self._there(inside)
            if not left:
                return ""
            time.sleep(0.002)
        return left

    def _there(self, inside: NamespaceSet) -> str:
        tasks = os.listdir("/proc/self/task")
        if len(tasks) < 2:
            return ""
        there = {row.name: inside[row.kind].id.text(row.kind) for row in kinds.rows(inside.kinds)}
        found = []
        for task in tasks:
            for kind, text in there.items():
                try:
                    if os.readlink(f"/proc/self/task/{task}/ns/{kind}") == text:
                        found.append((int(task), kind))
                        break
                except OSError:
                    break
        return ", ".join([f"{_thread_name(tid)} (tid {tid}, {kind})" for tid, kind in found])

    def _complain(self, left: str) -> None:
        __tracebackhide__ = True
        import warnings

        from pynamespaces.pytest_plugin import NamespaceLeakWarning

        text = f"threads that the test started are still inside its namespaces: {left}"
        if self.leak == "error":
            pytest.fail(text, pytrace=False)
        line = (self.item.location[1] or 0) + 1
        warnings.warn_explicit(NamespaceLeakWarning(text), None, str(self.item.path), line)


def _thread_name(tid: int) -> str:
    import threading

    for thread in threading.enumerate():
        if thread.native_id == tid:
            return thread.name
    from pynamespaces.procfs import read_text

    return (read_text(f"/proc/self/task/{tid}/comm") or "a thread").strip()
