"""Everything read at one moment. Views, readiness and claiming work from a snapshot alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import LeadState, Plan, PlanLog, PlanState, State, Task, TaskState
from git_fleet.errors import Ambiguous, InvalidInput

_HANDED_IN = (State.PROPOSED, State.VERIFIED, State.PARKED)


class PlanRecord(Struct, frozen=True):
    """A plan as read: its log's tip and state, the approved revision and, while approving, the
    incoming one. `note` is the newest notes commit (maybe a draft), `base_commit` what it annotates."""

    id: str
    log: PlanLog
    tip: Oid | None
    note: Oid | None = None
    base_commit: Oid | None = None
    approved: Plan | None = None
    incoming: Plan | None = None

    @property
    def state(self) -> PlanState:
        """The plan's state."""
        return self.log.state

    @property
    def counting(self) -> tuple[Plan, ...]:
        """The revisions whose tasks count for overlaps: both while approving (DESIGN section 5)."""
        if not self.state.counts:
            return ()
        return tuple(plan for plan in (self.approved, self.incoming) if plan is not None)


class TaskRecord(Struct, frozen=True):
    """A task as read. `tip` is its log's newest event, None for a task nobody has touched."""

    task: Task
    tip: Oid | None
    state: TaskState

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self.task.id


class Elsewhere(Struct, frozen=True):
    """A task of another repository as read: its state, or (`problem`) why it cannot be read, so that it counts as not
    done."""

    state: State | None
    problem: str = ""

    @property
    def now(self) -> str:
        """How a sentence goes on after "which is"."""
        return self.state.phrase if self.state is not None else f"not known: {self.problem}"


class Snapshot(Struct, frozen=True):
    """`tasks` holds every task of every plan that is not a draft nor closed, in plan order.

    While a plan is being approved, tasks only its incoming revision has are in `incoming`: they
    count for overlaps but are not ready. `elsewhere` has what tasks that have not ended wait for in other
    repositories, by plan and `repo/task`.
    """

    at: datetime
    plans: Mapping[str, PlanRecord]
    tasks: Mapping[TaskId, TaskRecord]
    guard: Oid | None = None
    lead: LeadState = field(default_factory=LeadState)
    lead_tip: Oid | None = None
    incoming: Mapping[TaskId, TaskRecord] = field(default_factory=dict)
    elsewhere: Mapping[tuple[str, str], Elsewhere] = field(default_factory=dict)

    def missing_elsewhere(self, task: Task) -> list[tuple[str, Elsewhere]]:
        """What the task waits for in other repositories, and how that stands: what it needs is not integrated,
        what it follows is not handed in."""
        unknown = Elsewhere(None, "it was not looked up")
        found = [(need, self.elsewhere.get((task.id.plan, need), unknown)) for need in task.elsewhere]
        return [
            (need, other)
            for need, other in found
            if other.state is not State.INTEGRATED
            and not (need in task.follows_elsewhere and other.state in _HANDED_IN)
        ]

    def record(self, task_id: TaskId) -> TaskRecord | None:
        """The task of that id, also one that only an incoming revision has."""
        return self.tasks.get(task_id) or self.incoming.get(task_id)

    def replacing(self, records: Iterable[TaskRecord]) -> Snapshot:
        """A snapshot in which these tasks have been read again."""
        return replace(self, tasks={**self.tasks, **{record.id: record for record in records}})

    def plan(self, name: str) -> PlanRecord:
        """The plan that `name` names, drafts and closed ones included. Raises InvalidInput for an unknown one."""
        found = self.plans.get(name.strip().lower())
        if found is None:
            raise InvalidInput(f"there is no plan {name}", hint="git fleet plan list")
        return found

    def of_plan(self, plan: str) -> list[TaskRecord]:
        """The tasks of one plan, in plan order."""
        return [record for record in self.tasks.values() if record.id.plan == plan]

    def resolve(self, text: str) -> TaskRecord:
        """The task that `text` names: `plan/task`, or the short form where only one fits.

        Raises InvalidInput for an unknown one and Ambiguous for one that fits several.
        """
        plan, slash, short = text.strip().lower().lstrip("#").rpartition("/")
        fitting = [
            record
            for record in self.tasks.values()
            if record.id.task == short and (not slash or record.id.plan == plan)
        ]
        if len(fitting) > 1:
            names = ", ".join(str(record.id) for record in fitting)
            raise Ambiguous(f"task {text!r} fits several: {names}", hint="name it plan/task")
        if not fitting:
            raise InvalidInput(
                f"no task {text!r} in an approved plan", hint="git fleet status shows the tasks there are"
            )
        return fitting[0]
