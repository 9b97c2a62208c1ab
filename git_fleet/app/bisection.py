"""Gating only the top of the stack, and looking for the red candidate by halves (DESIGN section 10, step 3).

As many gate runs as there are red candidates, times the logarithm of how many there are. Main stops only at a
commit that was gated itself; the evidence of those below says which (`gated_as`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import TypeVar

from git_fleet.app.gates import GateResult, Outcome
from git_fleet.app.gating import Judgement, logs_of
from git_fleet.app.queue import Entry, Queue
from git_fleet.app.stacking import Layer
from git_fleet.core.config import Command, Gate

T = TypeVar("T")


def bisect(queue: Queue) -> None:
    """Drain the queue, gating the top of the stack and then halves of it. Raises as the gates do."""
    while True:
        queue.fill(None)
        queue.ready()
        # Main may stop where the run is to stop, so nothing above that is gated together with what is below.
        reached = list(takewhile(lambda entry: not queue.stops(entry), queue.entries))
        chain = [entry for entry in reached if entry.outcome is None and not _parks(entry)]
        if chain:
            _decide(queue, chain)
        _look_at_parked(queue)
        if not queue.settle():
            return
        if not queue.entries and not queue.waiting:
            return


def _look_at_parked(queue: Queue) -> None:
    """Gate what waits for a person, as far as everything below is decided: main must not stop there."""
    for entry in queue.entries:
        if entry.outcome is None:
            if entry.layer is None or not _parks(entry):
                return
            entry.outcome = _attended(queue, partial(queue.gating.judge, entry.layer))


def _attended(queue: Queue, gates: Callable[[threading.Event], T]) -> T:
    """What these gates say, in a thread of their own: the lead is kept meanwhile, and they end with us."""
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="gates") as pool:
        try:
            (answered,) = queue.attend([pool.submit(gates, stop)])
            return answered.result()
        finally:
            stop.set()


def _parks(entry: Entry) -> bool:
    return entry.layer is not None and bool(entry.layer.parks)


def _decide(queue: Queue, chain: Sequence[Entry]) -> None:
    """Give an outcome to all of the chain, or to the first red one and those below it."""
    probe = _Probe(queue, [entry.layer for entry in chain if entry.layer is not None])
    good, bad = -1, len(chain)
    at = bad - 1
    while bad - good > 1:
        if probe.passes(at):
            good = at
        else:
            bad = at
        at = (good + bad) // 2
    for number, entry in enumerate(chain[: good + 1]):
        entry.outcome = probe.judgement(number, good)
    if bad < len(chain):
        queue.drop(chain[bad], probe.judgement(bad, bad))


class _Probe:
    """The gates on layer k of a chain: the repository's, and the `accept` commands of all up to it."""

    def __init__(self, queue: Queue, layers: Sequence[Layer]) -> None:
        self._queue = queue
        self._gating = queue.gating
        self._layers = layers
        self._results: dict[int, Sequence[tuple[Gate, GateResult]]] = {}

    def passes(self, at: int) -> bool:
        """Whether everything passes with the layers up to `at`."""
        wanted = self._wanted(at)
        results = _attended(self._queue, partial(self._gating.run, self._layers[at], wanted))
        self._results[at] = list(zip(wanted, results, strict=False))
        return results[-1].outcome is Outcome.PASS

    def _wanted(self, at: int) -> list[Gate]:
        """Each command once, however many tasks ask for it; those of the repository first."""
        found: dict[Command, Gate] = {}
        for layer in self._layers[: at + 1]:
            for gate in self._gating.wanted(layer.record):
                named = (
                    gate
                    if self._gating.is_common(gate)
                    else replace(gate, name=f"{gate.name} of {layer.record.id}")
                )
                found.setdefault(gate.run, named)
        return sorted(found.values(), key=lambda gate: not self._gating.is_common(gate))

    def judgement(self, number: int, at: int) -> Judgement:
        """What the probe of layer `at` says of the task of layer `number`, at or below it.

        Raises NeedsPerson when a gate of the repository could not be run.
        """
        layer, probed = self._layers[number], self._layers[at]
        answers = {gate.run: result for gate, result in self._results[at]}
        own = [(gate, answers[gate.run]) for gate in self._gating.wanted(layer.record) if gate.run in answers]
        results = tuple(replace(result, name=gate.name) for gate, result in own)
        gate, last = self._results[at][-1]
        texts = logs_of([result for _, result in self._results[at]])
        if last.outcome is not Outcome.PASS:
            return Judgement(results, texts, self._gating.refusal(layer, gate, last))
        gated_as = probed.at if probed.at != layer.at else None
        return Judgement(results, texts if number == at else {}, gated_as=gated_as)
