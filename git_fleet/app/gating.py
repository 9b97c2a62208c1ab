"""What the gates say of one task (DESIGN section 9).

A commit is judged by the repository's gates and the task's own `accept` commands, on exactly the commit
that main would get. One with nothing left in it is judged by the same, on main as it would be. A report changes
nothing, so only its `accept` commands run, on main as it would be; its artifacts are not in the checkout.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from git_fleet.app import gates
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
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import NeedsPerson


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of the gates that ran, what they printed by file name, and why the task goes back to
    rework, if it does. `gated_as` is the commit they looked at where it is not the task's own."""

    results: tuple[GateResult, ...] = ()
    texts: Mapping[str, bytes] = field(default_factory=dict)
    ejected: Ejected | None = None
    gated_as: Oid | None = None

    @property
    def by(self) -> str:
        """Who upholds the proposal: the gates; nobody where there was none to run."""
        return "gates" if self.results else "nobody"


class Gating:
    """Runs gates for the queue. May be used by several threads at once.

    `runs` counts the commands that really ran; a pass that was known costs nothing. `fresh`: believe none.
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

    def wanted(self, record: TaskRecord) -> tuple[Gate, ...]:
        """The gates a task has to pass, the repository's first."""
        config = self._config
        if record.task.output is Output.REPORT:
            config = replace(config, gates=())
        return gates.gates_of(config, record.task)

    @property
    def common(self) -> tuple[Gate, ...]:
        """The gates of the repository."""
        return self._config.gates

    def is_common(self, gate: Gate) -> bool:
        """Whether it is a gate of the repository, not of a task."""
        return gate in self._config.gates

    def judge(self, layer: Layer, stop: threading.Event | None = None) -> Judgement:
        """Run the task's gates on its layer, up to the first that does not pass. Raises as `refusal`."""
        wanted = self.wanted(layer.record)
        if not wanted:
            return Judgement()
        results = self.run(layer, wanted, stop)
        passed = results[-1].outcome is Outcome.PASS
        refused = None if passed else self.refusal(layer, wanted[len(results) - 1], results[-1])
        return Judgement(results, logs_of(results), refused)

    def run(
        self, layer: Layer, wanted: Sequence[Gate], stop: threading.Event | None = None
    ) -> tuple[GateResult, ...]:
        """The results of these gates on the layer's commit, up to the first that does not pass."""
        task = layer.record.id
        self._report(f"{task}: gates: {', '.join(gate.name for gate in wanted)}")
        # One folder a candidate: one that no longer counts may still be printing while the next begins.
        folder = self._logs / task.plan / task.task / str(layer.proposal.number) / layer.at[:12]
        results = gates.run_gates(
            wanted,
            self._pool,
            layer.at,
            layer.tree,
            env=self._env,
            log_dir=folder,
            passes=self._passes,
            stop=stop,
        )
        with self._counting:
            self.runs += sum(not result.cached for result in results)
        return results

    def refusal(self, layer: Layer, gate: Gate, bad: GateResult) -> Ejected:
        """Why the task goes back to rework when `gate` did not pass.

        Raises NeedsPerson when a gate of the repository cannot be run, which says nothing about the task. An
        `accept` command that cannot be run is the task's own trouble, and keeps nobody else waiting.
        """
        reason = bad.reason
        if bad.outcome is Outcome.ERROR:
            reason = f"cannot be run: {bad.reason}"
            if self.is_common(gate):
                raise NeedsPerson(
                    f"gate {gate.name} {reason}", hint=f"its output is in {bad.log}; nothing has moved"
                )
        detail = f"gate {gate.name}: {reason}\n{bad.tail}".rstrip()
        return Ejected(layer.record.id, "gate", (), detail)


def logs_of(results: Iterable[GateResult]) -> dict[str, bytes]:
    """What these gates printed, by file name; nothing of a pass that was known before."""
    return {result.log.name: result.log.read_bytes() for result in results if not result.cached}
