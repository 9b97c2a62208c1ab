"""What use cases answer with: frozen values that the views turn into text and JSON."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import MAX_TEXT
from git_fleet.core.model import Finding, PlanState, State, Usage
from git_fleet.core.ready import Reason


class PlanRow(Struct, frozen=True):
    """One plan in `plan list`."""

    plan: str
    title: str
    base: str
    state: PlanState
    tasks: int


class TaskRow(Struct, frozen=True):
    """One task in `status`. `ahead` counts commits over the base, `dirty` uncommitted paths; both
    are None when its worktree is not on this machine. `why` says what keeps it from going on when it is
    blocked, and what was found wrong with it when it is in rework. `claimed_at` is when its claim began,
    `seen_at` the last sign of life of whoever works on it; both None when nobody does. `wave` counts from 0,
    None where it is not known."""

    id: TaskId
    title: str
    state: State
    holder: str
    attempt: int
    expires_at: datetime | None
    branch: str
    worktree: str
    ahead: int | None
    dirty: int | None
    files: tuple[str, ...]
    needs: tuple[TaskId, ...]
    waits_for: tuple[TaskId, ...]
    summary: str
    usage: Usage
    why: str = ""
    claimed_at: datetime | None = None
    seen_at: datetime | None = None
    wave: int | None = None


class Step(Struct, frozen=True):
    """Something worth doing next: the command, and why, in a few words ("" where the command says it)."""

    command: str
    why: str = ""


class PlanStatus(Struct, frozen=True):
    """One plan in `status`: how many tasks are in each state, and the tasks in plan order. `waves` is how many
    there are (0 where they are not known), `wave` the first that has not ended, from 0 (None: all have)."""

    plan: str
    title: str
    base: str
    state: PlanState
    reason: str
    counts: tuple[tuple[State, int], ...]
    tasks: tuple[TaskRow, ...]
    wave: int | None = None
    waves: int = 0


class Sharing(Struct, frozen=True):
    """How this clone stands with the remote that decides: how old what it knows is, how often it pushed for the fleet
    within the last hour, how many refs are here alone and wait to be told."""

    remote: str
    age_seconds: float
    pushes: int
    waiting: int


class Status(Struct, frozen=True):
    """The fleet at one moment. `main` is the commit of the default base, `steps` what the one who looks would
    do next, the most urgent first; `closed` says how many plans there have been that `plans` leaves out. `sharing` is
    None where no remote decides."""

    at: datetime
    plans: tuple[PlanStatus, ...]
    main: Oid | None
    lead: str
    steps: tuple[Step, ...]
    closed: int = 0
    sharing: Sharing | None = None

    @property
    def next_command(self) -> str:
        """The first of the steps, "" when there is none."""
        return self.steps[0].command if self.steps else ""


class ReadyTask(Struct, frozen=True):
    """A task that can be claimed now. `wave` counts from 0."""

    id: TaskId
    title: str
    wave: int
    priority: int
    files: tuple[str, ...]
    labels: tuple[str, ...] = ()


class Explanation(Struct, frozen=True):
    """Why a task can or cannot be claimed now, and what was found wrong with it before. `row` is what `status` has
    of it, `landed` the commit of it on the base branch `base`, `waiting` are the tasks that wait for it."""

    id: TaskId
    state: State
    ready: bool
    reasons: tuple[Reason, ...]
    findings: tuple[Finding, ...] = ()
    row: TaskRow | None = None
    base: str = ""
    landed: Oid | None = None
    waiting: tuple[TaskId, ...] = ()


class Sibling(Struct, frozen=True):
    """What a worker may know of another task of its plan."""

    id: TaskId
    state: State
    summary: str
    holder: str
    code: str
    reason: str


class WorktreeRow(Struct, frozen=True):
    """One task's worktree on this machine. `current` says that it belongs to the task's latest claim,
    `dirty` counts uncommitted paths (None: the folder is gone or cannot be read), `slot` is 0 without
    one. `state` is None when nobody knows the task any more."""

    id: TaskId
    path: str
    branch: str
    worker: str
    slot: int
    state: State | None
    current: bool
    dirty: int | None


class LogLine(Struct, frozen=True):
    """One event of a log; `summary` is what it says in a few words (a reason, a finding, a commit)."""

    event: str
    at: datetime
    actor: str
    summary: str
    oid: Oid


class AgentOutput(Struct, frozen=True):
    """What the `number`-th agent of the claim `attempt` printed, as far as it is kept; `at` is when it last did.
    `text` is as the agent wrote it: nothing in it is made harmless."""

    attempt: int
    number: int
    at: datetime
    path: str
    text: str


class Story(Struct, frozen=True):
    """A log, oldest first, and where all that a task's gates printed is kept: `<ref>:<file>` each, as `git
    show` takes them, oldest proposal first."""

    events: tuple[LogLine, ...]
    gate_logs: tuple[str, ...] = ()


class Landed(Struct, frozen=True):
    """A task that ended integrated; `commit` is None when there was nothing to commit."""

    id: TaskId
    commit: Oid | None
    tree: Oid | None


class Ejected(Struct, frozen=True):
    """A task that went back to rework: `reason` is conflict, gate, scope, needs or verdict."""

    id: TaskId
    reason: str
    paths: tuple[str, ...]
    detail: str

    @property
    def finding(self) -> Finding:
        """What the next worker of the task is told: the first line, and of the rest the end, which tells
        most of a gate's output."""
        first, _, rest = self.detail.partition("\n")
        room = MAX_TEXT - len(first) - 2
        text = f"{first}\n…{rest[-room:]}" if len(rest) > room > 0 else self.detail
        return Finding(text, source=self.reason, path=self.paths[0] if self.paths else "")


class Skipped(Struct, frozen=True):
    """A task that was asked for and left as it is, and why."""

    id: TaskId
    reason: str


class Integration(Struct, frozen=True):
    """What `integrate` did (or, on a dry run, would do) to the branch `base`, which `main_…` speak of."""

    main_before: Oid
    main_after: Oid
    integrated: tuple[Landed, ...]
    ejected: tuple[Ejected, ...]
    skipped: tuple[Skipped, ...]
    gate_runs: int
    warnings: tuple[str, ...] = ()
    base: str = "main"


class Given(Struct, frozen=True):
    """One verdict on a task's latest proposal, as its log has it: who (`verifier:NAME`, `person:NAME`) gave
    it, when, on which tip of the base branch. `oid` is the event, whose text `output` is what a command
    printed. `counts` says that no later answer took its place."""

    lens: str
    verifier: str
    verdict: str
    at: datetime
    proposal: int
    onto: Oid | None
    findings: tuple[Finding, ...]
    summary: str
    oid: Oid
    counts: bool = True


class Verified(Struct, frozen=True):
    """What `verify` made of one task: its state after it, the verdicts on its proposal, and the lenses that
    are not heard yet. `refuted` says that it went back to rework, `reason` why in a word (verdict, gate,
    scope), and `detail` what a gate or the scope had against it."""

    id: TaskId
    title: str
    state: State
    proposal: int
    commit: Oid | None
    verdicts: tuple[Given, ...]
    missing: tuple[str, ...]
    reason: str = ""
    detail: str = ""

    @property
    def refuted(self) -> bool:
        """Whether it went back to rework."""
        return self.state is State.REWORK


class Verification(Struct, frozen=True):
    """What `verify` did: the tasks looked at, and those left as they are."""

    tasks: tuple[Verified, ...]
    skipped: tuple[Skipped, ...]


class Reverted(Struct, frozen=True):
    """What `revert` did (or, on a dry run, would do): `commit` on the branch `base` takes back `reverted`."""

    id: TaskId
    reverted: Oid
    commit: Oid
    main_before: Oid
    main_after: Oid
    gate_runs: int
    base: str = "main"


class Problem(Struct, frozen=True):
    """One thing that `doctor` found; `fixed` says that --fix has put it right."""

    code: str
    text: str
    fix: str
    fixed: bool = False


class Diagnosis(Struct, frozen=True):
    """All that `doctor` found; `ok` when no problem is left. `notes` are worth knowing, not wrong."""

    ok: bool
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...] = ()


class Cleaned(Struct, frozen=True):
    """What became of one task's worktree. `kept` is a word for why it stays ("" when it is gone, or would
    be), `text` says it in a sentence, `paths` what is in the way. `branch` was deleted with it, `salvage`
    is the ref that now holds what nothing else did."""

    id: TaskId
    path: str
    kept: str = ""
    text: str = ""
    paths: tuple[str, ...] = ()
    branch: str = ""
    salvage: str = ""


class FoundGate(Struct, frozen=True):
    """A gate that the repository itself suggests: `run` goes to sh, `reason` names the file that says so.
    An `alternative` checks what another one found does already."""

    name: str
    run: str
    reason: str
    alternative: bool = False


class InitReport(Struct, frozen=True):
    """What `init` did (or, on a dry run, would do). `config` is the new fleet.toml's text, "" when there
    is one already; `hooks` are lines about each hook that changed, `agents` about each file for coding agents;
    `commands` commit what has to be."""

    config: str
    gates: tuple[FoundGate, ...]
    hooks: tuple[str, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    agents: tuple[str, ...] = ()


class WallReport(Struct, frozen=True):
    """What `guard --server` did, or would do, to the bare repository `place`. `strength`: "rules" for refs alone,
    "contents" for what is pushed as well, "" for no wall; `allowed` is the file that says who may push."""

    place: str
    strength: str
    allowed: str
    changes: tuple[str, ...]
    notes: tuple[str, ...] = ()


class LeadView(Struct, frozen=True):
    """Who leads; an empty holder means nobody. `mine` says that this worktree does, `by_hand` that somebody has
    acquired it here. `run` is the process that leads here while it runs, 0 when it is not known which, None without
    one. With neither of them a run has left it that was killed."""

    holder: str
    worktree: str
    acquired_at: datetime | None
    expires_at: datetime | None
    mine: bool
    intent_open: bool
    by_hand: bool = False
    run: int | None = None


class Settled(Struct, frozen=True):
    """What came of a claim made offline. A loser's work is at the ref `kept`, and in its `worktree`."""

    task: TaskId
    won: bool
    reason: str = ""
    kept: str = ""
    worktree: str = ""


class Synced(Struct, frozen=True):
    """What was exchanged with a remote: how many pushes, which refs had events to tell, what came of claims made
    offline. `lost` counts what is kept of events that came too late; `notes` are for a person."""

    remote: str
    pushes: int
    told: tuple[str, ...]
    settled: tuple[Settled, ...]
    lost: int
    notes: tuple[str, ...] = ()
