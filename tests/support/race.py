"""Real processes that do something at the same moment.

    outcomes = race(16, claim_one, repo.path)      # claim_one(index, repo.path) in each of 16 processes

A process that returns a value gives a `Done`, one that raises a `Raised`, one that is killed a `Died`.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Barrier
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

# Forked, not spawned: sixteen fresh interpreters take longer than most of the races they run.
_CONTEXT = multiprocessing.get_context("fork")
_TIMEOUT = 500.0  # seconds; reached only by a deadlock: four races at once take 280 on two cores
_GRACE = 60.0  # seconds; for those who are left when one has failed


@dataclass(frozen=True)
class Done(Generic[T]):
    """The process returned."""

    value: T


@dataclass(frozen=True)
class Raised:
    """The process ended with an exception: the name of its class, and its text."""

    kind: str
    text: str


@dataclass(frozen=True)
class Died:
    """The process ended without an answer; `code` is negative for a signal."""

    code: int | None


Outcome = Done[T] | Raised | Died


def race(count: int, work: Callable[..., T], *args: Any) -> list[Outcome[T]]:
    """Run `work(index, *args)` in `count` processes that all start it together. One outcome each, by index.

    Where one fails, the others may wait for what it will never do: some time later they are killed.
    """
    barrier = _CONTEXT.Barrier(count)
    started = [_start(work, (index, *args), barrier) for index in range(count)]
    ends, found = time.monotonic() + _TIMEOUT, dict[int, Outcome[T]]()
    while len(found) < count:
        left = {pipe: index for index, (_, pipe) in enumerate(started) if index not in found}
        ready = wait(left, max(0.0, ends - time.monotonic()))
        for pipe in ready or left:
            process, ear = started[left[cast(Connection, pipe)]]
            if not ready:
                process.kill()
            found[left[ear]] = outcome = _outcome(process, ear)
            if not isinstance(outcome, Done):
                ends = min(ends, time.monotonic() + _GRACE)
    return [found[index] for index in range(count)]


def values(outcomes: list[Outcome[T]]) -> list[T]:
    """What all processes returned. Fails when any did not."""
    bad = [outcome for outcome in outcomes if not isinstance(outcome, Done)]
    bad.sort(
        key=lambda outcome: outcome == Died(-signal.SIGKILL)
    )  # as a rule that is not why, but what came of it
    assert not bad, f"{len(bad)} of {len(outcomes)} processes failed, the first: {bad[0]}"
    return [outcome.value for outcome in outcomes if isinstance(outcome, Done)]


@contextmanager
def meanwhile(work: Callable[..., object], *args: Any) -> Iterator[None]:
    """Repeat `work(*args)` in another process until the block ends. Fails when it raised."""
    stop = _CONTEXT.Event()

    def repeat() -> int:
        rounds = 0
        while not stop.is_set():
            work(*args)
            rounds += 1
        return rounds

    process, pipe = _start(repeat, (), None)
    try:
        yield
    finally:
        stop.set()
        outcome = _outcome(process, pipe)
    assert isinstance(outcome, Done), outcome


class Puppet:
    """A process that runs `work(say, *args)` and can be stopped, continued and killed from here.

    `say(value)` sends something out of it; `hear()` waits for it here.
    """

    def __init__(self, work: Callable[..., object], *args: Any) -> None:
        gc.collect()  # sessions that nobody has any more end their gits now: a stopped fork would hold their pipes open
        self._ear, mouth = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=work, args=(mouth.send, *args), daemon=True)
        _start_quietly(self._process)
        mouth.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def hear(self) -> Any:
        """The next thing it says. Fails when it says nothing more."""
        assert self._ear.poll(_TIMEOUT), "it says nothing"
        return self._ear.recv()

    def kill(self) -> None:
        """End it as kill -9 does, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.join()  # without a limit it asks the kernel; with one, it also waits for children it left
        self._ear.close()
        self._process.close()


def _start(
    work: Callable[..., Any], args: tuple[Any, ...], barrier: Barrier | None
) -> tuple[ForkProcess, Connection]:
    ear, mouth = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_run, args=(work, args, barrier, mouth), daemon=True)
    _start_quietly(process)
    mouth.close()
    return process, ear


def _start_quietly(process: ForkProcess) -> None:
    with warnings.catch_warnings():
        # Python 3.12 warns of forking while threads run; the test runner's threads hold nothing of ours.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()


def _run(work: Callable[..., Any], args: tuple[Any, ...], barrier: Barrier | None, mouth: Connection) -> None:
    if barrier is not None:
        barrier.wait(_TIMEOUT)
    try:
        mouth.send(Done(work(*args)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells the test
        mouth.send(Raised(type(error).__name__, str(error)))


def _outcome(process: ForkProcess, ear: Connection) -> Outcome[Any]:
    outcome: Outcome[Any] | None = None
    try:
        assert ear.poll(_TIMEOUT), "a process of the race hangs"
        outcome = ear.recv()
    except EOFError:
        pass
    finally:
        ear.close()
        process.join(_TIMEOUT)
    code = process.exitcode
    process.close()
    return Died(code) if outcome is None else outcome


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another process brings about. Fails when it never comes."""
    end = time.monotonic() + _TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.002)
