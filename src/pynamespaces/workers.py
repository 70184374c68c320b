"""Workers that live inside: a `concurrent.futures.Executor` for which a call costs a message, not a fork."""

from __future__ import annotations

import functools
import itertools
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import Executor as BaseExecutor

from pynamespaces import children, remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Literal, TypeVar

    from pynamespaces.places import Place

    T = TypeVar("T")

_SPAWN = "import sys; from pynamespaces import workers; workers._main(int(sys.argv[1]))"


class _Worker:
    """One child, what it is doing, and the thread that hears its answers."""

    def __init__(self, child: Any, pool: Executor) -> None:
        self.child = child
        self.future: Future[Any] | None = None
        self.thread = threading.Thread(target=pool._listen, args=(self,), daemon=True, name="namespace-worker")


class Executor(BaseExecutor):
    """A pool of workers in a place; submit, map and shutdown as everywhere in concurrent.futures.

    Functions and arguments are pickled.  A worker that dies breaks the pool: BrokenExecutor.

    Args:
        place: where they live: a NamespaceSet or an Isolation; each worker of an Isolation has namespaces of its own.
        max_workers: how many.
        start: "fork", or "spawn" for fresh interpreters, in programs with threads.

    Raises:
        NamespaceError: a step to the place was refused; no worker is left.
    """

    def __init__(self, place: Place, max_workers: int = 1, *, start: Literal["fork", "spawn"] = "fork") -> None:
        if type(max_workers) is not int or max_workers < 1:
            raise ValueError(f"max_workers must be a positive int, got {max_workers!r}")
        if start not in ("fork", "spawn"):
            raise ValueError(f"start must be 'fork' or 'spawn', got {start!r}")
        self._lock = threading.Lock()
        self._queue: deque[tuple[Future[Any], bytes]] = deque()
        self._idle: list[_Worker] = []
        self._workers: list[_Worker] = []
        self._closed = False
        self._broken: str | None = None
        begin = _forked if start == "fork" else _spawned
        try:
            for _ in range(max_workers):
                self._workers.append(_Worker(begin(place), self))
            for worker in self._workers:
                worker.thread.start()
        except BaseException:
            self._closed = True
            for worker in self._workers:
                worker.child.kill()
                if worker.thread.ident is not None:  # it hears of that, reaps and closes
                    worker.thread.join()
                else:
                    worker.child.wait()
                    worker.child.close()
            raise
        self._idle.extend(self._workers)

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``function(*args, **kwargs)`` in a worker."""
        future: Future[T] = Future()
        try:
            data = pickle.dumps((function, args, kwargs), protocol=5)
        except Exception as error:
            future.set_exception(error)
            return future
        with self._lock:
            if self._broken is not None:
                raise BrokenExecutor(self._broken)
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._idle:
                self._give(self._idle.pop(), future, data)
            else:
                self._queue.append((future, data))
        return future

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        """`Executor.map`; with a larger chunksize one message carries so many calls."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        items = zip(*iterables, strict=False)
        chunks = iter(lambda: tuple(itertools.islice(items, chunksize)), ())
        results = super().map(functools.partial(_run_chunk, fn), chunks, timeout=timeout)
        return itertools.chain.from_iterable(results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the workers end when those submitted are done."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                for future, _ in self._queue:
                    future.cancel()
                self._queue.clear()
            for worker in self._idle:
                _hang_up(worker)
            self._idle.clear()
        if wait:
            for worker in self._workers:
                if worker.thread is not threading.current_thread():
                    worker.thread.join()

    def kill(self) -> None:
        """End all workers at once; what they were doing ends in BrokenExecutor."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                if worker.thread.is_alive():
                    worker.child.kill()

    def _give(self, worker: _Worker, future: Future[Any], data: bytes) -> bool:
        """Under the lock: hand one call to an idle worker; False if it has been cancelled."""
        if not future.set_running_or_notify_cancel():
            return False
        worker.future = future
        try:
            children.send(worker.child.sock, data)
        except OSError:
            worker.child.kill()  # if it has not ended; that is heard by its thread
        return True

    def _next(self, worker: _Worker) -> None:
        """Under the lock: a worker has nothing to do."""
        while self._queue:
            if self._give(worker, *self._queue.popleft()):
                return
        if self._closed:
            _hang_up(worker)
        else:
            self._idle.append(worker)

    def _listen(self, worker: _Worker) -> None:
        while True:
            try:
                data = children.receive(worker.child.sock)
            except OSError:
                worker.child.kill()  # it may wait for us
                data = None
            if data is None:
                break
            future = worker.future
            assert future is not None
            with self._lock:
                worker.future = None
                self._next(worker)
            try:
                value = remote.unpack(data)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(value)
            del future, data
        returncode = worker.child.wait()
        with self._lock:
            worker.child.close()
            failed = self._break(worker, returncode) if worker.future is not None or not self._closed else []
        for future in failed:
            future.set_exception(BrokenExecutor(self._broken))

    def _break(self, worker: _Worker, returncode: int) -> list[Future[Any]]:
        """Under the lock: a worker has died; nothing that was asked of the pool will be done."""
        self._broken = f"a worker ended: {remote.died(returncode)}"
        failed = [worker.future] if worker.future is not None else []
        failed += [future for future, _ in self._queue if future.set_running_or_notify_cancel()]
        self._queue.clear()
        if worker in self._idle:
            self._idle.remove(worker)
        for other in self._idle:
            _hang_up(other)
        self._idle.clear()
        self._closed = True
        return failed


def serve(sock: socket.socket) -> None:
    """What a worker does: answer calls until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program; it will hang up
    while True:
        data = children.receive(sock)
        if data is None:
            return
        try:
            function, args, kwargs = pickle.loads(data)
            answer = remote.pack_value(function(*args, **kwargs))
        except BaseException as error:
            answer = remote.pack_error(error)
        children.send(sock, answer)


class _Spawned:
    """A fresh interpreter as a worker."""

    def __init__(self, place: Place) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
                self._process = place.Popen(
                    [sys.executable, "-c", _SPAWN, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": path},
                )
                self.pid = self._process.pid
                children.send(ours, pickle.dumps(_preparation()))
            except BaseException:
                ours.close()
                raise
        self.sock = ours

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        return int(self._process.wait())

    def close(self) -> None:
        self.sock.close()


def _forked(place: Place) -> children.Child:
    return children.start(place, serve)


def _spawned(place: Place) -> _Spawned:
    return _Spawned(place)


def _preparation() -> dict[str, Any]:
    """What multiprocessing tells a fresh interpreter, so that functions of ``__main__`` are found there, too."""
    from multiprocessing import spawn

    data = spawn.get_preparation_data("namespace-worker")
    data.pop("authkey", None)
    return data


def _main(fd: int) -> None:
    from multiprocessing import spawn

    with socket.socket(fileno=fd) as sock:
        first = children.receive(sock)
        if first is not None:
            spawn.prepare(pickle.loads(first))
            serve(sock)


def _hang_up(worker: _Worker) -> None:
    try:
        worker.child.sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _run_chunk(function: Callable[..., T], chunk: tuple[tuple[Any, ...], ...]) -> list[T]:
    return [function(*args) for args in chunk]
