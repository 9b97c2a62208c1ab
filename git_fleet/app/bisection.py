"""Gating only the top of the stack, and looking for the red candidate by halves (DESIGN section 10, step 3).

As many gate runs as there are red candidates, times the logarithm of how many there are. Main stops only at a
commit that was gated itself; the evidence of those below says which (`gated_as`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import takewhile

from git_fleet.app.gating import Judgement
from git_fleet.app.queue import Entry, Queue
from git_fleet.app.stacking import Layer
from git_fleet.core.config import Gate


def bisect(queue: Queue) -> None:
    """Drain the queue, gating the top of the stack and then halves of it. Raises as the gates do."""
    while True:
        queue.fill(None)
        queue.ready()
        if queue.over:
            return
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
            entry.outcome = queue.attended(partial(queue.gating.judge, entry.layer))


def _parks(entry: Entry) -> bool:
    return entry.layer is not None and bool(entry.layer.parks)


def _decide(queue: Queue, chain: Sequence[Entry]) -> None:
    """Give an outcome to all of the chain, or to the first red one and those below it.

    The repository's gates look at the top and at halves; a task's own at its own layer alone, since what others
    bring above it is not its business.
    """
    probe = _Probe(queue, [entry.layer for entry in chain if entry.layer is not None])
    end, refused = len(chain), None
    while end:
        red = probe.first_red(end)
        if red is not None:
            end, refused = red, probe.common(red)
        red = next((number for number in range(end) if probe.own(number).ejected is not None), None)
        if red is None:
            break
        end, refused = red, probe.own(red)  # main would stop below it, which has to be gated itself
    for number, entry in enumerate(chain[:end]):
        entry.outcome = probe.judgement(number, end - 1)
    if refused is not None:
        queue.drop(chain[end], refused)


class _Probe:
    """What gates say of the layers of a chain; nothing is asked twice."""

    def __init__(self, queue: Queue, layers: Sequence[Layer]) -> None:
        self._queue = queue
        self._layers = layers
        self._common: dict[int, Judgement] = {}
        self._own: dict[int, Judgement] = {}

    def common(self, number: int) -> Judgement:
        """What the repository's gates say of a layer, and so of all below it."""
        if number not in self._common:
            self._common[number] = self._ask(number, self._of_repository(number))
        return self._common[number]

    def own(self, number: int) -> Judgement:
        """What a task's own gates say of its layer."""
        if number not in self._own:
            self._own[number] = self._ask(number, self._queue.gating.of_task(self._layers[number]))
        return self._own[number]

    def first_red(self, end: int) -> int | None:
        """The first layer below `end` that is red, found by halves; None when the last one is green."""
        good, bad = -1, end
        at = end - 1
        while bad - good > 1:
            if self.common(self._gated(at)).ejected is None:
                good = at
            else:
                bad = self._gated(at)
            at = (good + bad) // 2
        return bad if bad < end else None

    def judgement(self, number: int, top: int) -> Judgement:
        """What is known of a layer that lands below, or as, the layer `top`."""
        layer, own = self._layers[number], self.own(number)
        at = self._gated(top)
        common = self.common(at) if self._of_repository(number) else Judgement()
        texts = {**own.texts, **(common.texts if number == at else {})}
        gated = self._layers[at].at
        return Judgement(
            (*common.results, *own.results),
            texts,
            gated_as=gated if common.results and gated != layer.at else None,
        )

    def _gated(self, number: int) -> int:
        """The layer that the repository's gates look at for this one: of a report, which has no tree of its own,
        the next below that they look at."""
        return next((at for at in range(number, -1, -1) if self._of_repository(at)), number)

    def _of_repository(self, number: int) -> tuple[Gate, ...]:
        return self._queue.gating.of_repository(self._layers[number])

    def _ask(self, number: int, wanted: tuple[Gate, ...]) -> Judgement:
        return self._queue.attended(partial(self._queue.gating.ask, self._layers[number], wanted))
