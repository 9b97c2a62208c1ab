"""What can be claimed now, and why the rest cannot (DESIGN section 4, *ready*; never stored).

`Index` holds what depends on the plans alone (overlaps, order, waves) and can be kept as long as
the approved revisions stay the same; everything else is read off the snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property

from msgspec import Struct

from git_fleet.core import graph, lease, verdicts
from git_fleet.core.config import Config
from git_fleet.core.ids import TaskId
from git_fleet.core.lifecycle import ATTEMPTS
from git_fleet.core.model import Plan, PlanState, Schedule, State
from git_fleet.core.overlaps import Overlaps, Recall
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.core.wording import count, first_line

INTEGRATES = "git fleet integrate"
"""What lifts the limit on proposals that wait: no worker does."""


class Reason(Struct, frozen=True):
    """Why a task cannot be claimed now: a stable code, a plain sentence, what would change it."""

    code: str
    text: str
    fix: str


class Index:
    """What follows from the plans that count, whatever the states of their tasks. `recall` as for Overlaps."""

    def __init__(
        self,
        plans: Iterable[PlanRecord],
        generated: Sequence[str],
        recall: Recall = lambda compute: compute(),
    ) -> None:
        self._plans: tuple[Plan, ...] = tuple(plan for record in plans for plan in record.counting)
        self._generated = tuple(generated)
        self._recall = recall

    @cached_property
    def overlaps(self) -> Overlaps:
        """Which tasks own common paths, over all plans that count."""
        tasks = [task for plan in self._plans for task in plan.tasks]
        return Overlaps(tasks, self._generated, self._recall)

    @cached_property
    def dependents(self) -> dict[TaskId, int]:
        """How many tasks wait for each."""
        return {
            task_id: n for plan in self._plans for task_id, n in graph.dependents_count(plan.tasks).items()
        }

    @cached_property
    def wave(self) -> dict[TaskId, int]:
        """The wave of each task of a plan with `schedule = "waves"`; others are absent."""
        found: dict[TaskId, int] = {}
        for plan in self._plans:
            if plan.schedule is Schedule.WAVES:
                pairs = [(a, b) for a in (task.id for task in plan.tasks) for b in self.overlaps.of(a)]
                for number, tasks in enumerate(graph.waves(plan.tasks, pairs)):
                    found |= dict.fromkeys(tasks, number)
        return found

    @cached_property
    def order(self) -> tuple[TaskId, ...]:
        """Every task in the order it is offered: priority, tasks waiting for it, plan order."""
        tasks = [task for plan in self._plans for task in plan.tasks]
        ranked = sorted(tasks, key=lambda task: (-task.priority, -self.dependents[task.id]))
        return tuple(dict.fromkeys(task.id for task in ranked))


def claimable_state(record: TaskRecord, snapshot: Snapshot, host: str) -> bool:
    """Whether the task's own state lets it be claimed: pending, rework, or an expired lease."""
    state = record.state
    if state.state in (State.PENDING, State.REWORK):
        return True
    claim = state.claim
    return state.state is State.CLAIMED and claim is not None and lease.expired(claim, snapshot.at, host=host)


def ready_tasks(
    snapshot: Snapshot, index: Index, config: Config, *, host: str, among: Iterable[TaskId] | None = None
) -> Iterator[TaskRecord]:
    """The tasks that can be claimed now, in the order they are offered. Limits are not looked at.

    `among` are the only ones worth looking at, in order, where the caller knows (default: all).
    """
    for task_id in index.order if among is None else among:
        record = snapshot.tasks.get(task_id)
        if record is None or not claimable_state(record, snapshot, host):
            continue
        if next(reasons(record, snapshot, index, config, host=host), None) is None:
            yield record


def reasons(
    record: TaskRecord, snapshot: Snapshot, index: Index, config: Config, *, host: str
) -> Iterator[Reason]:
    """Why `record` cannot be claimed now; nothing when it can."""
    yield from _plan_reasons(record, snapshot)
    yield from _own_reasons(record, snapshot, config, host)
    yield from _need_reasons(record, snapshot)
    yield from _overlap_reasons(record, snapshot, index)
    yield from _turn_reasons(record, snapshot, index)


def first_obstacle(
    record: TaskRecord, snapshot: Snapshot, index: Index, config: Config, *, host: str
) -> Reason | None:
    """The first reason why a worker may not have `record` now. Used-up attempts are none: whoever
    would claim the task blocks it (DESIGN section 4)."""
    found = reasons(record, snapshot, index, config, host=host)
    return next((reason for reason in found if reason.code != ATTEMPTS), None)


def _plan_reasons(record: TaskRecord, snapshot: Snapshot) -> Iterator[Reason]:
    plan = snapshot.plans[record.id.plan]
    if plan.state is PlanState.OPEN:
        return
    fixes = {
        PlanState.PAUSED: f"git fleet plan resume {plan.id}",
        PlanState.APPROVING: f"git fleet plan approve {plan.id} finishes an approval that was interrupted",
        PlanState.CLOSING: f"git fleet plan close {plan.id} finishes closing",
    }
    why = f": {plan.log.reason}" if plan.log.reason else ""
    yield Reason("plan", f"plan {plan.id} is {plan.state}{why}", fixes.get(plan.state, ""))


def _own_reasons(record: TaskRecord, snapshot: Snapshot, config: Config, host: str) -> Iterator[Reason]:
    state = record.state
    if state.state is State.CLAIMED and not claimable_state(record, snapshot, host) and state.claim:
        claim = state.claim
        yield Reason(
            "claimed",
            f"{claim.holder} holds it until {claim.expires_at:%H:%M:%S} UTC",
            "wait for the hand-in; an expired lease is taken over by the next claim",
        )
    elif not claimable_state(record, snapshot, host):
        yield Reason("state", f"it is {_describe(record)}", _fix(record, config))
    elif out_of_attempts(record, config):
        yield Reason(
            ATTEMPTS,
            f"{state.attempts_used} of {config.max_attempts} attempts are used up",
            f"git fleet unblock {record.id} starts the attempts anew",
        )
    if record.task.hold and not state.lifted and state.state is State.PENDING:
        yield Reason("hold", "it is on hold until a person says so", f"git fleet accept {record.id}")


def out_of_attempts(record: TaskRecord, config: Config) -> bool:
    """Whether the next claim has to block the task instead. (One given back empty-handed has
    cost nothing and is pending, where the table has no block.)"""
    state = record.state
    return state.state is not State.PENDING and state.attempts_used >= config.max_attempts


def _describe(record: TaskRecord) -> str:
    state = record.state
    if state.state is State.BLOCKED:
        return f"blocked ({state.code}): {first_line(state.reason)}"
    return str(state.state)


def _fix(record: TaskRecord, config: Config) -> str:
    """What brings a task further that cannot be claimed."""
    state, changeset = record.state, record.task.changeset
    together = f"git fleet integrate --changeset {changeset}, in the workspace" if changeset else ""
    if together and state.state is State.VERIFIED:
        return together
    if state.state is not State.PROPOSED:
        return _FIXES[state.state].format(id=record.id)
    if verdicts.to_ask(state, config):
        return f"git fleet verify {record.id}, or git fleet accept {record.id}"
    if verdicts.why_not(state, config):
        command = verdicts.persons_command(record.id, state, config)
        return f"{command}, or git fleet accept {record.id}"
    return together or f"git fleet integrate {record.id}"


_FIXES = {
    State.VERIFIED: "git fleet integrate {id}",
    State.PARKED: "git fleet accept {id} or git fleet reject {id}",
    State.BLOCKED: "git fleet unblock {id}",
    State.INTEGRATED: "nothing to do: main has it",
    State.REVERTED: "git fleet reopen {id}",
    State.CANCELLED: "git fleet reopen {id}",
}


def _need_reasons(record: TaskRecord, snapshot: Snapshot) -> Iterator[Reason]:
    for need in record.task.needs_ids:
        other = snapshot.tasks.get(need)
        if other is None or other.state.state is not State.INTEGRATED:
            now = other.state.state.phrase if other else "not in the plan"
            yield Reason("needs", f"it needs {need}, which is {now}", f"git fleet explain {need}")
    for name, found in snapshot.missing_elsewhere(record.task):
        repo = name.partition("/")[0]
        yield Reason(
            "elsewhere",
            f"it needs {name} of another repository, which is {found.now}",
            f"git fleet workspace status tells how {repo} stands",
        )


def _overlap_reasons(record: TaskRecord, snapshot: Snapshot, index: Index) -> Iterator[Reason]:
    for other_id in sorted(index.overlaps.of(record.id)):
        other = snapshot.record(other_id)
        if other is not None and other.state.state.active:
            yield Reason(
                "overlap",
                f"{other_id} owns files of it and is {other.state.state.phrase}",
                f"wait until {other_id} is integrated (git fleet explain {other_id})",
            )


def _turn_reasons(record: TaskRecord, snapshot: Snapshot, index: Index) -> Iterator[Reason]:
    plan = snapshot.plans[record.id.plan].approved
    if plan is None or plan.schedule is not Schedule.WAVES:
        return
    mine = index.wave[record.id]
    earlier = [
        other.id
        for other in snapshot.of_plan(plan.id)
        if index.wave.get(other.id, 0) < mine and other.state.state not in (State.INTEGRATED, State.CANCELLED)
    ]
    if earlier:
        yield Reason(
            "turn", f"wave {mine + 1} waits for {', '.join(map(str, earlier[:5]))} of earlier waves", ""
        )


def limit(records: Iterable[TaskRecord], config: Config, at: datetime, *, host: str) -> Reason | None:
    """The limit that no new claim may pass at `at`, if one is reached (DESIGN section 6, Limits).

    `records` are all tasks of the plans that count; those that are not active may be left out. A claim
    that can be taken over does not count: workers that died must not keep the others out.
    """
    states: Counter[State] = Counter()
    for record in records:
        claim = record.state.claim
        dead = claim is not None and lease.expired(claim, at, host=host)
        if record.state.state is not State.CLAIMED or not dead:
            states[record.state.state] += 1
    claimed, waiting = states[State.CLAIMED], states[State.PROPOSED] + states[State.VERIFIED]
    if claimed >= config.max_active:
        are = f"{count(claimed, 'task is', 'tasks are')} claimed"
        return Reason("limit", f"{are}, max_active is {config.max_active}", "git fleet status")
    if waiting >= config.max_review:
        wait = count(waiting, "proposal waits", "proposals wait")
        return Reason("limit", f"{wait}, max_review is {config.max_review}", INTEGRATES)
    return None
