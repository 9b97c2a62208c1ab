"""What a review of a plan says: the values, and the rules for what waits for whom and what to do about it
(DESIGN section 9, end). Texts in it are the workers', verifiers' and gates' own: untrusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from git_fleet.core.config import Config
from git_fleet.core.divergence import Divergence
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Finding, PlanState, State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.verdicts import missing, persons_command, to_ask, why_not
from git_fleet.core.wording import count, first_line


class GateRun(Struct, frozen=True):
    """What came of one gate on the latest proposal. `seconds` is None where nobody wrote it down, `cached`
    says that an earlier pass on the same tree stood for a run."""

    name: str
    outcome: str
    seconds: float | None = None
    cached: bool = False


class Opinion(Struct, frozen=True):
    """One verdict on the latest proposal, or a person's word, whose lens is "". `counts` unless it was
    replaced by a later one or asked for anew."""

    lens: str
    verifier: str
    verdict: str
    at: datetime
    counts: bool = True


class ChangedPath(Struct, frozen=True):
    """One file that a proposal changed: lines that came and went (none are counted in a binary one)."""

    path: str
    added: int
    removed: int
    binary: bool = False


class Artifact(Struct, frozen=True):
    """A file handed in beside the commit; `size` in bytes."""

    name: str
    size: int


class Refused(Struct, frozen=True):
    """What was found wrong with one of the proposals of a task, by the proposal's number."""

    proposal: int
    findings: tuple[Finding, ...]


class TaskReview(Struct, frozen=True):
    """One task as a reviewer sees it; all of it about its latest proposal.

    `did` is what its worker says was done. `base` and `commit` are the ends of its changes (None: a report,
    or nothing handed in yet), `landed` the commit that the base branch has. `state_since` is when it came
    into its state, `why` the reason that was given for that. `refusals` are about all its proposals, `noticed` is
    what its workers saw and left alone.
    """

    record: TaskRecord
    did: str = ""
    base: Oid | None = None
    commit: Oid | None = None
    paths: tuple[ChangedPath, ...] = ()
    cut: bool = False
    gates: tuple[GateRun, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    findings: tuple[Finding, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    refusals: tuple[Refused, ...] = ()
    state_since: datetime | None = None
    why: str = ""
    noticed: tuple[Finding, ...] = ()

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self.record.id

    @property
    def state(self) -> State:
        """The task's state."""
        return self.record.state.state

    @property
    def landed(self) -> Oid | None:
        """The commit that the base branch has."""
        return self.record.state.landed

    @property
    def added(self) -> int:
        """Lines that came, in all its files."""
        return sum(path.added for path in self.paths)

    @property
    def removed(self) -> int:
        """Lines that went."""
        return sum(path.removed for path in self.paths)


class Waiting(Struct, frozen=True):
    """A task in the review queue: what it waits for, a word (`verdict`, `integrate`, `person`) and a phrase,
    since when, and what a person types for it where one command is enough."""

    id: TaskId
    state: State
    code: str
    what: str
    since: datetime
    command: str = ""


class Recommendation(Struct, frozen=True):
    """What a person should do next: a stable word, a plain sentence, and the exact commands."""

    code: str
    text: str
    commands: tuple[str, ...]


class Review(Struct, frozen=True):
    """A plan as a reviewer sees it at one moment. `tasks` are all of them, or the one that was asked for;
    `queue` has the longest waiting first."""

    plan: str
    title: str
    base: str
    state: PlanState
    at: datetime
    summary: str
    tasks: tuple[TaskReview, ...]
    divergences: tuple[Divergence, ...]
    queue: tuple[Waiting, ...]
    recommendations: tuple[Recommendation, ...]


# --- the queue ---------------------------------------------------------------------------------------


def queue(tasks: Iterable[TaskReview], config: Config, approved_at: datetime) -> tuple[Waiting, ...]:
    """What waits for a person, a verifier or the lead, the longest waiting first. A task on hold has
    waited since its plan was approved."""
    found = []
    for task in tasks:
        waits = _waits_for(task, config)
        if waits is not None:
            since = task.state_since or approved_at
            by_hand = waits[0] == "person" and task.state is State.PROPOSED
            command = persons_command(task.id, task.record.state, config) if by_hand else ""
            found.append(Waiting(task.id, task.state, *waits, since, command))
    return tuple(sorted(found, key=lambda waiting: waiting.since))


def _waits_for(task: TaskReview, config: Config) -> tuple[str, str] | None:
    """A word and a phrase for what the task waits for; None when for nobody here."""
    state = task.record.state
    if task.state is State.PENDING and task.record.task.hold and not state.lifted:
        return "person", "your word: it is on hold"
    if task.state is State.PROPOSED and why_not(state, config):
        lenses = ", ".join(missing(state, config))
        if not to_ask(state, config):
            return "person", f"your verdict: {lenses or 'under any lens'}"
        return "verdict", f"verdicts: {lenses}" if lenses else "a verdict"
    if task.state in (State.PROPOSED, State.VERIFIED):
        return "integrate", "the lead to integrate it"
    if task.state is State.PARKED:
        return "person", f"your word: it {task.why}" if task.why else "your word"
    if task.state is State.BLOCKED:
        reason = first_line(state.reason)
        said = f"{state.code}: {reason}" if state.code and reason else state.code or reason
        return "person", f"help: {said}"
    return None


# --- in a sentence -----------------------------------------------------------------------------------


def summary(
    tasks: Sequence[TaskReview], divergences: Sequence[Divergence], waiting: Sequence[Waiting]
) -> str:
    """The plan in one sentence."""
    if not tasks:
        return "No task of it is approved yet."
    counted = [task for task in tasks if task.state is not State.CANCELLED]
    done = sum(task.state is State.INTEGRATED for task in counted)
    parts = [f"{done} of {count(len(counted), 'task')} integrated"]
    for code, phrase in (
        ("integrate", "{} to integrate"),
        ("verdict", "{} waiting for verdicts"),
        ("person", "{} waiting for a person"),
    ):
        number = sum(one.code == code for one in waiting)
        parts += [phrase.format(number)] if number else []
    rework = sum(task.state is State.REWORK for task in counted)
    parts += [f"{rework} in rework"] if rework else []
    odd = {task for one in divergences for task in one.odd}
    unlike = {one.group for one in divergences if not one.odd}
    parts += [f"{len(odd)} unlike {'its' if len(odd) == 1 else 'their'} siblings"] if odd else []
    parts += [f"siblings of {count(len(unlike), 'matrix entry', 'matrix entries')} differ"] if unlike else []
    return "; ".join(parts) + "."
