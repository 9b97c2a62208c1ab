"""The values everything else speaks in: plans and tasks as written, and a task's state as stored.

All frozen and already checked: whoever holds one need not validate it again. Times are aware
datetimes in UTC; durations carry their unit in the name.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from git_fleet.core.ids import Oid, TaskId

Moment = Annotated[datetime, Meta(tz=True)]
"""A time that says its zone: one that does not cannot be compared with ours."""


class Overlap(StrEnum):
    """What two tasks that own a common path may do. For a pair the stricter one holds."""

    SERIALIZE = "serialize"
    WATCH = "watch"
    ACCEPT = "accept"


class Output(StrEnum):
    """What a task hands in: a commit, or a report (owns no files, needs a result or artifacts)."""

    COMMIT = "commit"
    REPORT = "report"


class Schedule(StrEnum):
    """Which ready tasks may be claimed: any, or only those of the lowest unfinished wave."""

    READY = "ready"
    WAVES = "waves"


class Task(Struct, frozen=True, forbid_unknown_fields=True):
    """A task as the plan says it, matrix and templates already expanded.

    `files` and `reads` are gitignore-style patterns (core/patterns.py); `files` is None in a draft
    that does not say yet. `needs` are task ids of the same plan. `branch` and `worktree` are names
    the plan insists on, else "". `params` are the matrix values this task was expanded from. `extra` is what
    came with it from an issue tracker, as canonical JSON ("" for nothing): kept, and part of no decision.
    `needs_elsewhere` are tasks of the plan in other repositories of the workspace, `repo/task` each, that must be
    integrated first, `follows_elsewhere` those that must be handed in; `changeset` is the one it lands with, "" for
    none (DESIGN section 18).
    """

    id: TaskId
    title: str
    slug: str
    files: tuple[str, ...] | None = None
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    worker: str = ""
    prompt: str = ""
    accept: tuple[str, ...] = ()
    estimate_minutes: float = 10.0
    priority: int = 0
    hold: bool = False
    joint: bool = False
    output: Output = Output.COMMIT
    overlap: Overlap = Overlap.SERIALIZE
    branch: str = ""
    worktree: str = ""
    remarks: str = ""
    params: tuple[tuple[str, str], ...] = ()
    group: str = ""  # the matrix entry's template id: siblings of one matrix share it
    extra: str = ""
    needs_elsewhere: tuple[str, ...] = ()
    follows_elsewhere: tuple[str, ...] = ()
    changeset: str = ""

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """All of other repositories that it waits for."""
        return self.needs_elsewhere + self.follows_elsewhere

    @property
    def owned(self) -> tuple[str, ...]:
        """The patterns it owns; empty for a report and for a draft without files."""
        return self.files or ()

    @property
    def needs_ids(self) -> tuple[TaskId, ...]:
        """`needs` as full task ids."""
        return tuple(TaskId(self.id.plan, need) for need in self.needs)


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """A coordination plan: an ordered list of tasks on a base branch (a short branch name). `workspace` is the name of
    the one that its tasks' `elsewhere` is looked up in, "" for none."""

    id: str
    title: str
    base: str
    tasks: tuple[Task, ...]
    schedule: Schedule = Schedule.READY
    workspace: str = ""

    def task(self, task_id: TaskId) -> Task | None:
        """The task of that id, or None."""
        return next((task for task in self.tasks if task.id == task_id), None)


class PlanState(StrEnum):
    """Where a plan is in its life; it counts for overlaps from `approving` to `closing`."""

    DRAFT = "draft"
    APPROVING = "approving"
    OPEN = "open"
    PAUSED = "paused"
    CLOSING = "closing"
    CLOSED = "closed"

    @property
    def counts(self) -> bool:
        """Whether its tasks' overlaps matter (DESIGN section 5)."""
        return self not in (PlanState.DRAFT, PlanState.CLOSED)


class State(StrEnum):
    """Where a task is in its life (DESIGN section 4)."""

    PENDING = "pending"
    CLAIMED = "claimed"
    PROPOSED = "proposed"
    VERIFIED = "verified"
    PARKED = "parked"
    REWORK = "rework"
    BLOCKED = "blocked"
    INTEGRATED = "integrated"
    REVERTED = "reverted"
    CANCELLED = "cancelled"

    @property
    def phrase(self) -> str:
        """How a sentence goes on after "it is"."""
        return "in rework" if self is State.REWORK else str(self)

    @property
    def active(self) -> bool:
        """Whether the task keeps its files to itself."""
        return self in _ACTIVE

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it unless a person reopens it."""
        return self in (State.INTEGRATED, State.REVERTED, State.CANCELLED)


_ACTIVE = frozenset(
    {State.CLAIMED, State.PROPOSED, State.VERIFIED, State.PARKED, State.REWORK, State.BLOCKED}
)


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """A lease on a task. `fence` is the claim event's object id; None only while that event is
    being built. `branch` and `worktree` say where the work happens ("" when without a worktree).
    `base` is main when the claim was made, `start` the commit the branch starts from, `merge` says
    that main is to be merged into it before work begins."""

    holder: str
    fence: Oid | None
    acquired_at: Moment
    expires_at: Moment
    attempt: int
    branch: str = ""
    worktree: str = ""
    host: str = ""
    base: Oid | None = None
    start: Oid | None = None
    merge: bool = False


class Proposal(Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker handed in: `oid` is the proposal commit (artifacts), `commit` the worker's
    commit, `base` their merge base with main then. A report has no `commit`."""

    number: int
    oid: Oid
    worker: str
    commit: Oid | None = None
    tree: Oid | None = None
    base: Oid | None = None
    message: str = ""


class Finding(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing a gate, verifier or person found. Text is untrusted; `source` says whose it is.

    `outside` says that it is not this task's to put right, `label` what kind of task would.
    """

    text: str
    source: str
    path: str = ""
    label: str = ""
    outside: bool = False


class Ruling(StrEnum):
    """What a verifier said of a proposal. Inconclusive counts as refuted."""

    UPHELD = "upheld"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    """An answer on one proposal, under one lens: upheld, refuted or inconclusive (counts as refuted).

    `verifier` is who gave it: `verifier:NAME` for a configured command, `person:NAME`. It is bound to the
    proposal by number and by its commit's `oid`; `onto` is the tip of the base branch at that time.
    """

    lens: str
    verifier: str
    verdict: str
    proposal: int
    oid: Oid | None = None
    onto: Oid | None = None

    @property
    def source(self) -> str:
        """Whose its findings are."""
        return f"{self.verifier}/{self.lens}"


class Usage(Struct, frozen=True, forbid_unknown_fields=True):
    """What the work cost so far, as agents reported it."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            round(self.cost_usd + other.cost_usd, 6),
        )

    def beyond(self, known: Usage) -> Usage:
        """What of it is more than what is known, of each number."""
        return Usage(
            max(0, self.input_tokens - known.input_tokens),
            max(0, self.output_tokens - known.output_tokens),
            max(0.0, round(self.cost_usd - known.cost_usd, 6)),
        )


NO_USAGE = Usage()


class TaskState(Struct, frozen=True, forbid_unknown_fields=True):
    """A task's whole state after an event.

    `attempt` counts claims for ever, `forgiven` how many of them an unblock has written off.
    `claim` is the latest claim and stays after the hand-in, so that its holder can be named.
    `salvages` counts salvage refs; `salvaged` is the commit the next claim starts from.
    `conflict` says that the last ejection was a conflict with main.
    """

    state: State = State.PENDING
    attempt: int = 0
    forgiven: int = 0
    claim: Claim | None = None
    proposal: Proposal | None = None
    verdicts: tuple[Verdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    summary: str = ""
    code: str = ""
    reason: str = ""
    lifted: bool = False
    unparked: int = 0
    salvages: int = 0
    salvaged: Oid | None = None
    conflict: bool = False
    landed: Oid | None = None
    usage: Usage = NO_USAGE

    @property
    def attempts_used(self) -> int:
        """Claims that count towards `max_attempts`."""
        return self.attempt - self.forgiven

    def fenced(self, event: Oid) -> TaskState:
        """This state as stored in `event`: a claim event is its own fence."""
        if self.claim is None or self.claim.fence is not None:
            return self
        return replace(self, claim=replace(self.claim, fence=event))


PENDING = TaskState()
"""A task without a ref."""


class PlanLog(Struct, frozen=True, forbid_unknown_fields=True):
    """A plan's state after an event of its log. `revision` is the notes commit its tasks are read
    from (None before the first approval), `incoming` the one being approved."""

    state: PlanState = PlanState.DRAFT
    revision: Oid | None = None
    incoming: Oid | None = None
    reason: str = ""


class ChangesetLog(Struct, frozen=True, forbid_unknown_fields=True):
    """A change set after an event of its log: `intent` is the event that says what is to be moved (None: nothing is
    under way), `reason` why it could not land, `landed` that all of it has."""

    intent: Oid | None = None
    reason: str = ""
    landed: bool = False


class LeadState(Struct, frozen=True, forbid_unknown_fields=True):
    """The lead's lease: `fence` is the acquire event (None: nobody leads), `intent` the event that
    holds an intent not yet completed. `worktree` is the git dir of the worktree it is bound to."""

    holder: str = ""
    fence: Oid | None = None
    worktree: str = ""
    acquired_at: Moment | None = None
    expires_at: Moment | None = None
    intent: Oid | None = None
