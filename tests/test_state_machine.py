"""Nested and interleaved blocks, kept names and children in any order, against a model of where each thread must be."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from queue import SimpleQueue

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from conftest import in_child, state
from pynamespaces import Isolation, Namespace, NamespaceSet, enter, forget, rejoin, saved, unshare

KINDS = ("net", "uts", "ipc", "cgroup", "mnt")
THREADS = 3


class Worker:
    """A thread that does what it is told, one thing after the other."""

    def __init__(self) -> None:
        self.orders: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self.answers: SimpleQueue[tuple[bool, object]] = SimpleQueue()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while (order := self.orders.get()) is not None:
            try:
                self.answers.put((True, order()))
            except BaseException as error:
                self.answers.put((False, error))

    def do(self, order: Callable[[], object]) -> object:
        self.orders.put(order)
        done, answer = self.answers.get(timeout=60)
        if not done:
            raise answer  # type: ignore[misc]
        return answer


def here() -> dict[str, int]:
    found = {}
    for kind in KINDS:
        with Namespace.current(kind) as namespace:
            found[kind] = namespace.id.ino
    return found


class Blocks(RuleBasedStateMachine):
    """Each thread's open blocks as a stack of (block, kinds it changed); leaving any of them in any order."""

    blocks = Bundle("blocks")

    @initialize()
    def begin(self) -> None:
        self.workers = [Worker() for _ in range(THREADS)]
        self.home = [worker.do(here) for worker in self.workers]
        self.open: list[list[tuple[object, dict[str, int], NamespaceSet]]] = [[] for _ in range(THREADS)]
        self.sets: list[NamespaceSet] = []
        self.names: dict[str, dict[str, int]] = {}
        self.store = tempfile.mkdtemp()

    def expected(self, who: int) -> dict[str, int]:
        where = dict(self.home[who])
        for _, changed, _ in self.open[who]:
            where.update(changed)
        return where

    def check(self, who: int) -> None:
        assert self.workers[who].do(here) == self.expected(who)

    @rule(target=blocks, who=st.integers(0, THREADS - 1), kinds=st.sets(st.sampled_from(KINDS), min_size=1))
    def new(self, who: int, kinds: set[str]):
        return self._open(who, lambda: unshare(*kinds))

    @rule(target=blocks, who=st.integers(0, THREADS - 1), which=st.integers(0, 20))
    def again(self, who: int, which: int):
        if not self.sets:
            return multiple()
        target = self.sets[which % len(self.sets)]
        if target.closed:
            return multiple()
        return self._open(who, lambda: enter(target))

    @rule(target=blocks, who=st.integers(0, THREADS - 1))
    def from_the_store(self, who: int):
        if not self.names:
            return multiple()
        name = min(self.names)
        return self._open(who, lambda: rejoin(name, store=self.store))

    def _open(self, who: int, make: Callable[[], object]) -> tuple[int, object]:
        def go() -> tuple[object, NamespaceSet]:
            block = make()
            return block, block.__enter__()

        block, inside = self.workers[who].do(go)
        self.open[who].append((block, {str(kind): ns.id.ino for kind, ns in inside.items()}, inside))
        self.sets.append(inside)
        self.check(who)
        return who, block

    @rule(one=consumes(blocks), fail=st.booleans())
    def leave(self, one: tuple[int, object], fail: bool) -> None:
        who, block = one
        error = KeyError("x") if fail else None
        self.workers[who].do(lambda: block.__exit__(type(error) if error else None, error, None))
        stack = self.open[who]
        position = next(i for i, (other, _, _) in enumerate(stack) if other is block)
        stack.pop(position)
        self.check(who)

    @rule(one=blocks)
    def the_other_thread_cannot_leave_it(self, one: tuple[int, object]) -> None:
        who, block = one

        def go() -> bool:
            try:
                block.__exit__(None, None, None)
            except RuntimeError:
                return True
            return False

        assert self.workers[(who + 1) % THREADS].do(go)
        for other in range(THREADS):
            self.check(other)

    @rule(who=st.integers(0, THREADS - 1), which=st.integers(0, 20))
    def persist(self, who: int, which: int) -> None:
        if not self.sets or len(self.names) > 3:
            return
        target, name = self.sets[which % len(self.sets)], f"n{len(self.names)}"
        if name in self.names or target.closed:
            return
        self.workers[who].do(lambda: target.persist(name, store=self.store))
        self.names[name] = {str(kind): ns.id.ino for kind, ns in target.items()}
        self.check(who)

    @rule(who=st.integers(0, THREADS - 1))
    def forget_one(self, who: int) -> None:
        if self.names:
            name = max(self.names)
            self.workers[who].do(lambda: forget(name, store=self.store))
            del self.names[name]
        assert {row.name for row in saved(store=self.store)} == set(self.names)
        self.check(who)

    @rule(who=st.integers(0, THREADS - 1))
    def a_child_is_where_its_thread_is(self, who: int) -> None:
        assert self.workers[who].do(lambda: Isolation().call(here)) == self.expected(who)

    @rule(who=st.integers(0, THREADS - 1))
    def a_command_is_where_its_thread_is(self, who: int) -> None:
        links = [f"/proc/self/ns/{kind}" for kind in KINDS]
        done = self.workers[who].do(
            lambda: Isolation().run(["readlink", *links], capture_output=True, text=True, check=True)
        )
        found = [int(line.partition("[")[2].rstrip("]")) for line in done.stdout.splitlines()]
        assert dict(zip(KINDS, found, strict=True)) == self.expected(who)

    @rule(which=st.integers(0, 20))
    def close_a_handle_early(self, which: int) -> None:
        if self.sets:
            self.sets[which % len(self.sets)].close()

    def teardown(self) -> None:
        for who, worker in enumerate(self.workers):
            for block, _, _ in reversed(self.open[who]):
                worker.do(lambda block=block: block.__exit__(None, None, None))
            assert worker.do(here) == self.home[who]
            worker.orders.put(None)
            worker.thread.join()
        for name in self.names:
            forget(name, store=self.store)
        for inside in self.sets:
            inside.close()
        os.rmdir(self.store)


@in_child
def test_blocks_in_any_order() -> None:
    before = state()
    examples = int(os.environ.get("STATE_MACHINE_EXAMPLES", "40"))
    run_state_machine_as_test(
        Blocks,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert state()["namespaces"] == before["namespaces"]
