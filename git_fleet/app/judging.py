"""What the gates say of one task (DESIGN section 9).

A commit is judged by the repository's gates and the task's own `accept` commands, on exactly the commit
that main would get. One with nothing left in it is judged by the same, on main as it is. A report changes
nothing, so only its `accept` commands run, on main as it is; its artifacts are not in the checkout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from git_fleet.app import gates
from git_fleet.app.checkouts import Checkout, Checkouts
from git_fleet.app.gates import GateResult, Outcome
from git_fleet.app.passes import Passes
from git_fleet.app.session import Session
from git_fleet.core.config import Config, Gate
from git_fleet.core.ids import Oid
from git_fleet.core.model import Output
from git_fleet.core.results import Ejected
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import NeedsPerson


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of the gates that ran, what they printed by file name, and why the task goes back to
    rework, if it does."""

    results: tuple[GateResult, ...]
    texts: Mapping[str, bytes]
    ejected: Ejected | None

    @property
    def by(self) -> str:
        """Who upholds the proposal: the gates; nobody where there was none to run."""
        return "gates" if self.results else "nobody"


class _Held(Checkouts):
    """A pool of the one checkout that is held already."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    @contextmanager
    def checkout(self, commit: Oid) -> Iterator[Checkout]:
        """That one, clean, at `commit`."""
        self._checkout.commit = commit
        self._checkout.reset()
        yield self._checkout


def judge(
    session: Session,
    config: Config,
    record: TaskRecord,
    checkout: Checkout,
    commit: Oid,
    report: Callable[[str], None],
) -> Judgement:
    """Run the task's gates in a clean checkout of `commit`, up to the first that does not pass.

    Raises NeedsPerson when a gate of the repository cannot be run, which says nothing about the task. An
    `accept` command that cannot be run is the task's own trouble, and keeps nobody else waiting.
    """
    wanted = _wanted(config, record)
    listed = ", ".join(gate.name for gate in wanted)
    report(f"{record.id}: gates: {listed}" if listed else f"{record.id}: no gates")
    results = _run(session, config, record, wanted, _Held(checkout), commit) if wanted else ()
    texts = {result.log.name: result.log.read_bytes() for result in results if not result.cached}
    if not results or results[-1].outcome is Outcome.PASS:
        return Judgement(results, texts, None)
    bad, own = results[-1], len(results) > len(wanted) - len(record.task.accept)
    reason = bad.reason
    if bad.outcome is Outcome.ERROR:
        reason = f"cannot be run: {bad.reason}"
        if not own:
            raise NeedsPerson(
                f"gate {bad.name} {reason}", hint=f"its output is in {bad.log}; nothing has moved"
            )
    detail = f"gate {bad.name}: {reason}\n{bad.tail}".rstrip()
    return Judgement(results, texts, Ejected(record.id, "gate", (), detail))


def _wanted(config: Config, record: TaskRecord) -> tuple[Gate, ...]:
    if record.task.output is Output.REPORT:
        config = replace(config, gates=())
    return gates.gates_of(config, record.task)


def _run(
    session: Session,
    config: Config,
    record: TaskRecord,
    wanted: tuple[Gate, ...],
    pool: Checkouts,
    commit: Oid,
) -> tuple[GateResult, ...]:
    number = record.state.proposal.number if record.state.proposal else 0
    folder = session.repo.fleet_dir / "logs" / record.id.plan / record.id.task / str(number)
    return gates.run_gates(
        wanted,
        pool,
        commit,
        session.store.objects.read_commit(commit).tree,
        env=gates.gate_environment(session.around.env, dict(config.env)),
        log_dir=folder,
        passes=Passes.of(session.repo),
    )
