"""Gating several candidates at once, each on top of all before it (DESIGN section 10, step 3).

With one job this is the plain queue. A red candidate goes back to rework as soon as everything below it is
decided; those above it are laid anew without it at once, since it will hardly turn green.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from git_fleet.app.gating import Gating, Judgement
from git_fleet.app.queue import Entry, Queue

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor


def speculate(queue: Queue, jobs: int) -> None:
    """Drain the queue with up to `jobs` candidates gated at once. Raises as their gates do."""
    with _Workers(queue.gating, jobs) as workers:
        while True:
            queue.fill(jobs)
            queue.ready()
            if queue.over or not queue.settle():
                return
            if not queue.entries and not queue.waiting:
                return
            workers.begin(queue)
            workers.collect(queue)


class _Running(NamedTuple):
    entry: Entry
    stop: threading.Event


class _Workers:
    """The threads that wait for gates, and what each is waiting for."""

    def __init__(self, gating: Gating, jobs: int) -> None:
        self._gating = gating
        self._jobs = jobs
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[Future[Judgement], _Running] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self._running.values():
            running.stop.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(self, queue: Queue) -> None:
        """Gate what nobody gates yet, and stop what no longer counts."""
        here = {id(entry) for entry in queue.entries}
        for running in self._running.values():
            if id(running.entry) not in here:
                running.stop.set()
        at_work = {id(running.entry) for running in self._running.values()}
        for entry in queue.undecided:
            if id(entry) not in at_work and entry.layer is not None:
                stop = threading.Event()
                future = self._threads().submit(self._gating.judge, entry.layer, stop)
                self._running[future] = _Running(entry, stop)

    def _threads(self) -> ThreadPoolExecutor:
        """Not before a gate runs: where none is declared the import (4 ms, with logging) is for nothing."""
        from concurrent.futures import ThreadPoolExecutor

        self._pool = self._pool or ThreadPoolExecutor(self._jobs, thread_name_prefix="gates")
        return self._pool

    def collect(self, queue: Queue) -> None:
        """Wait until a gate has answered, and take what it says into the queue."""
        if not self._running:
            return
        answered = [(self._running.pop(future), future) for future in queue.attend(self._running)]
        for entry, found in [
            (running.entry, future) for running, future in answered if not running.stop.is_set()
        ]:
            if not any(entry is other for other in queue.entries):
                continue  # what is below it has changed since
            judgement = found.result()
            if judgement.ejected is None:
                entry.outcome = judgement
            else:
                queue.drop(entry, judgement)
