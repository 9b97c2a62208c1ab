"""What the gates say of one task (DESIGN section 9).

A commit is judged by the repository's gates and the task's own `accept` commands, on exactly the commit
that main would get. One with nothing left in it is judged by the same, on main as it would be. A report changes
nothing, so only its `accept` commands run, on main as it would be; its artifacts are not in the checkout.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from git_fleet.app import commands, gates, oldlogs
from git_fleet.app.checkouts import Checkouts
from git_fleet.app.gates import GateResult, Outcome
from git_fleet.app.passes import Passes
from git_fleet.app.session import Session
from git_fleet.app.stacking import Layer
from git_fleet.core.config import Config, Gate
from git_fleet.core.ids import Oid
from git_fleet.core.model import Output
from git_fleet.core.progress import Report
from git_fleet.core.results import Ejected
from git_fleet.errors import NeedsPerson


class Judgement(Struct, frozen=True):
    """What came of the gates that ran, what they printed by file name, and why the task goes back to
    rework, if it does, and by which gate. `gated_as` is the commit they looked at where it is not the task's own."""

    results: tuple[GateResult, ...] = ()
    texts: Mapping[str, bytes] = field(default_factory=dict)
    ejected: Ejected | None = None
    refused_by: Gate | None = None
    gated_as: Oid | None = None

    @property
    def by(self) -> str:
        """Who upholds the proposal: the gates; nobody where there was none to run."""
        return "gates" if self.results else "nobody"


class Gating:
    """Runs gates for the queue. May be used by several threads at once.

    `runs` counts the commands that ran to their end; a pass that was known costs nothing. `fresh`: believe none.
    """

    def __init__(
        self, session: Session, config: Config, pool: Checkouts, report: Report, *, fresh: bool = False
    ) -> None:
        self._config, self._pool, self._report = config, pool, report
        self._passes = Passes(session.repo.fleet_dir / "passes", fresh=fresh)
        self._logs = session.repo.fleet_dir / "logs"
        self._env = gates.gate_environment(session.around.env, dict(config.env))
        self._counting = threading.Lock()
        self.runs = 0

    def wanted(self, layer: Layer) -> tuple[Gate, ...]:
        """The gates a layer has to pass: the repository's first, with those it brings itself, then its task's."""
        return (*self.of_repository(layer), *self.of_task(layer))

    def of_repository(self, layer: Layer) -> tuple[Gate, ...]:
        """The gates of the repository; none for a report. Who changes the gates has to pass the new ones, too."""
        if layer.record.task.output is Output.REPORT:
            return ()
        return (*self.common, *layer.gates)

    def of_task(self, layer: Layer) -> tuple[Gate, ...]:
        """The task's own: what its `accept` says."""
        return gates.own_gates(layer.record.task)

    @property
    def common(self) -> tuple[Gate, ...]:
        """The gates of the repository."""
        return self._config.gates

    def is_common(self, gate: Gate) -> bool:
        """Whether it is a gate of the repository as it is, so that main is to pass it."""
        return gate in self._config.gates

    def judge(self, layer: Layer, stop: threading.Event | None = None) -> Judgement:
        """What all its gates say of a layer."""
        return self.ask(layer, self.wanted(layer), stop)

    def ask(self, layer: Layer, wanted: Sequence[Gate], stop: threading.Event | None = None) -> Judgement:
        """What these gates say of a layer, up to the first that does not pass."""
        if not wanted:
            return Judgement()
        task = layer.record.id
        self._report(f"{task}: gates: {', '.join(gate.name for gate in wanted)}")
        # One folder a candidate: one that no longer counts may still be printing while the next begins.
        folder = self._logs / task.plan / task.task / str(layer.proposal.number) / layer.at[:12]
        results = self._run(wanted, layer.at, layer.tree, folder, stop)
        if results[-1].outcome is Outcome.PASS:
            return Judgement(results, logs_of(results))
        refused_by = wanted[len(results) - 1]
        return Judgement(results, logs_of(results), _refusal(layer, refused_by, results[-1]), refused_by)

    def blame(self, found: Judgement, branch: str, main: Oid, tree: Oid, stop: threading.Event) -> None:
        """Raises NeedsPerson when the gate that refused a task does not pass on `main` either, the commit (with
        its tree) of `branch` that the task stands on: nobody is to blame then."""
        gate = found.refused_by
        if gate is None or not self.is_common(gate):
            return
        self._report(f"gate {gate.name} on {branch} itself, at {main[:12]}")
        answer = self._run([gate], main, tree, self._logs / "main" / main[:12], stop)[-1]
        if answer.outcome is Outcome.PASS:
            return
        cannot = "cannot be run" if answer.outcome is Outcome.ERROR else "does not pass"
        raise NeedsPerson(
            f"gate {gate.name} {cannot} on {branch} itself, at {main[:12]}: {answer.reason}",
            hint=f"mend {branch} (git fleet lead acquire lets you commit there) or the gate, then go on; its output is "
            f"in {answer.log}, and nobody was sent back for it",
        )

    def _run(
        self, wanted: Sequence[Gate], commit: Oid, tree: Oid, folder: Path, stop: threading.Event | None
    ) -> tuple[GateResult, ...]:
        results = gates.run_gates(
            wanted,
            self._pool,
            commit,
            tree,
            env=self._env,
            log_dir=folder,
            passes=self._passes,
            stop=stop,
        )
        with self._counting:
            self.runs += sum(not (result.cached or result.stopped) for result in results)
        return results


def _refusal(layer: Layer, gate: Gate, bad: GateResult) -> Ejected:
    """Why the task goes back to rework when `gate` did not pass, or could not be run, on its layer."""
    reason = f"cannot be run: {bad.reason}" if bad.outcome is Outcome.ERROR else bad.reason
    return Ejected(layer.record.id, "gate", (), f"gate {gate.name}: {reason}\n{bad.tail}".rstrip())


def logs_of(results: Sequence[GateResult]) -> dict[str, bytes]:
    """What these gates printed, by file name; nothing of a pass that was known before. The files of those that
    passed, or were stopped, go: nothing names their place."""
    found = {result.log.name: commands.printed(result.log) for result in results if not result.cached}
    oldlogs.remove(
        result.log
        for result in results
        if not result.cached and (result.stopped or result.outcome is Outcome.PASS)
    )
    return found
