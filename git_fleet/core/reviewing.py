"""What a review of a plan says: the values, and the rules for what waits for whom and what to do about it
(DESIGN section 9, end). Texts in it are the workers', verifiers' and gates' own: untrusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from git_fleet.core.config import Config
from git_fleet.core.divergence import Divergence
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.likeness import same_text
from git_fleet.core.model import Finding, PlanState, State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.verdicts import missing, persons_command, to_ask, why_not

_NAMED = 5  # tasks named in one sentence or command


@dataclass(frozen=True, slots=True)
class GateRun:
    """What came of one gate on the latest proposal. `seconds` is None where nobody wrote it down, `cached`
    says that an earlier pass on the same tree stood for a run."""

    name: str
    outcome: str
    seconds: float | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Opinion:
    """One verdict on the latest proposal, or a person's word, whose lens is "". `counts` unless it was
    replaced by a later one or asked for anew."""

    lens: str
    verifier: str
    verdict: str
    at: datetime
    counts: bool = True


@dataclass(frozen=True, slots=True)
class ChangedPath:
    """One file that a proposal changed: lines that came and went (none are counted in a binary one)."""

    path: str
    added: int
    removed: int
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file handed in beside the commit; `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """What was found wrong with one of the proposals of a task, by the proposal's number."""

    proposal: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class TaskReview:
    """One task as a reviewer sees it; all of it about its latest proposal.

    `did` is what its worker says was done. `base` and `commit` are the ends of its changes (None: a report,
    or nothing handed in yet), `landed` the commit that the base branch has. `state_since` is when it came
    into its state, `why` the reason that was given for that. `refusals` are about all its proposals.
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task in the review queue: what it waits for, a word (`verdict`, `integrate`, `person`) and a phrase,
    since when, and what a person types for it where one command is enough."""

    id: TaskId
    state: State
    code: str
    what: str
    since: datetime
    command: str = ""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What a person should do next: a stable word, a plain sentence, and the exact commands."""

    code: str
    text: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Review:
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
        said = f"{state.code}: {state.reason}" if state.code and state.reason else state.code or state.reason
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
    parts = [f"{done} of {_count(len(counted), 'task')} integrated"]
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
    parts += [f"siblings of {_count(len(unlike), 'matrix entry', 'matrix entries')} differ"] if unlike else []
    return "; ".join(parts) + "."


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _named(ids: Sequence[TaskId]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(str, ids[:_NAMED])) + more


# --- what to do --------------------------------------------------------------------------------------


def recommendations(
    plan: str,
    state: PlanState,
    tasks: Sequence[TaskReview],
    divergences: Sequence[Divergence],
    waiting: Sequence[Waiting],
    *,
    outside: int = 0,
    unapproved: str = "",
) -> tuple[Recommendation, ...]:
    """What to do next, the most urgent first: what would land unseen before what merely waits. `outside`
    counts findings that no task was drafted for, `unapproved` says what of the newest text is not approved."""
    by_id = {task.id: task for task in tasks}
    found = [
        *_odd_ones(plan, divergences, by_id),
        *_unlike(plan, divergences),
        *(_parked(task) for task in tasks if task.state is State.PARKED),
        *_verdicts(plan, waiting),
        *_by_hand(waiting),
        *_to_integrate(plan, waiting),
        *_blocked(tasks),
        *(_on_hold(one) for one in waiting if one.state is State.PENDING),
        *_unclear(plan, tasks),
        *_outside(plan, outside),
        *_unapproved(plan, unapproved),
        *_rework(tasks),
    ]
    undone = outside or unapproved
    if tasks and state is PlanState.OPEN and not undone and all(task.state.ended for task in tasks):
        text = "Every task has ended: the plan can be closed."
        found.append(Recommendation("close", text, (f"git fleet plan close {plan}",)))
    return tuple(found)


def _odd_ones(
    plan: str, divergences: Sequence[Divergence], by_id: dict[TaskId, TaskReview]
) -> Iterator[Recommendation]:
    odd: dict[TaskId, list[Divergence]] = {}
    for one in divergences:
        for task in one.odd:
            odd.setdefault(task, []).append(one)
    for task, found in odd.items():
        review = by_id.get(task)
        landed = review.landed if review else None
        others = found[0].siblings - len(found[0].odd)
        where = ", ".join(dict.fromkeys(one.name for one in found[:3])) + (", …" if len(found) > 3 else "")
        when = "it is integrated already, so look soon" if landed else "look before integrating"
        look = f"git show {landed[:12]}" if landed else f"git fleet review {plan} --task {task.task}"
        text = f"{task} differs from {_count(others, 'sibling')} in {where}: {when}."
        yield Recommendation("odd-one-out", text, (look,))


def _unlike(plan: str, divergences: Sequence[Divergence]) -> Iterator[Recommendation]:
    unsettled = [one for one in divergences if not one.odd]
    for group, some in groupby(unsettled, key=lambda one: one.group):
        found = list(some)
        where = ", ".join(one.name for one in found[:3]) + (", …" if len(found) > 3 else "")
        text = f"The siblings of {group} differ in {where}, and no shape has a majority: compare them."
        yield Recommendation(
            "siblings-differ", text, (f"git fleet review {plan} --task {found[0].one.task}",)
        )


def _parked(task: TaskReview) -> Recommendation:
    ends = f"git diff {task.base[:12]} {task.commit[:12]}" if task.base and task.commit else ""
    look = ends or f"git fleet log {task.id}"
    return Recommendation(
        "parked",
        f"{task.id} is parked for you: {task.why or 'a person has to look at it'}.",
        (look, f"git fleet accept {task.id}", f'git fleet reject {task.id} --finding "…"'),
    )


def _verdicts(plan: str, waiting: Sequence[Waiting]) -> Iterator[Recommendation]:
    ids = [one.id for one in waiting if one.code == "verdict"]
    if ids:
        command = " ".join(["git fleet verify", *map(str, ids)]) if len(ids) <= _NAMED else "git fleet verify"
        text = f"{_count(len(ids), 'proposal')} of {plan} {_verb(ids, 'waits', 'wait')} for verdicts: {_named(ids)}."
        yield Recommendation("verify", text, (command,))


def _by_hand(waiting: Sequence[Waiting]) -> Iterator[Recommendation]:
    """Verdicts that no configured verifier can give."""
    found = [one for one in waiting if one.command]
    if found:
        ids = [one.id for one in found]
        text = f"{_named(ids)} {_verb(ids, 'waits', 'wait')} for verdicts that only a person can give."
        yield Recommendation("verdict", text, tuple(one.command for one in found[:_NAMED]))


def _to_integrate(plan: str, waiting: Sequence[Waiting]) -> Iterator[Recommendation]:
    ids = [one.id for one in waiting if one.code == "integrate"]
    if ids:
        text = f"{_count(len(ids), 'proposal')} can be integrated: {_named(ids)}."
        yield Recommendation("integrate", text, (f"git fleet integrate {plan}",))


def _blocked(tasks: Sequence[TaskReview]) -> Iterator[Recommendation]:
    """Tasks that met the same wall are one thing to do."""
    blocked = sorted(
        (task for task in tasks if task.state is State.BLOCKED), key=lambda task: task.record.state.code
    )
    for code, some in groupby(blocked, key=lambda task: task.record.state.code):
        found = list(some)
        ids = [task.id for task in found]
        reason = found[0].record.state.reason
        said = f" ({code}{': ' + reason if reason else ''})" if code else ""
        yield Recommendation(
            "blocked",
            f"{_named(ids)} {_verb(ids, 'is', 'are')} blocked{said}.",
            (f"git fleet explain {ids[0]}", *(f"git fleet unblock {one}" for one in ids[:_NAMED])),
        )


def _on_hold(one: Waiting) -> Recommendation:
    return Recommendation(
        "hold", f"{one.id} is on hold until you say so.", (f"git fleet explain {one.id}", f"git fleet accept {one.id}")
    )  # fmt: skip


def _unclear(plan: str, tasks: Sequence[TaskReview]) -> Iterator[Recommendation]:
    """A finding that came back with the next attempt: the worker was not told, or not understood."""
    for task in tasks:
        again = _found_again(task.refusals)
        if again is not None and not task.state.ended:
            text = f"{task.id} was sent back twice for the same ({_first_line(again.text)}): its prompt is unclear."
            yield Recommendation("unclear", text, (f"git fleet plan edit {plan}",))


def _found_again(refusals: Sequence[Refused]) -> Finding | None:
    for number, later in enumerate(refusals):
        for earlier in refusals[:number]:
            if earlier.proposal != later.proposal:
                for found in later.findings:
                    if any(same_text(found.text, known.text) for known in earlier.findings):
                        return found
    return None


def _outside(plan: str, number: int) -> Iterator[Recommendation]:
    if number:
        text = f"{_count(number, 'finding')} outside of {'its task' if number == 1 else 'their tasks'}, of which nobody has drafted a task."
        yield Recommendation("outside", text, (f"git fleet plan add --from-findings {plan}",))


def _unapproved(plan: str, what: str) -> Iterator[Recommendation]:
    if what:
        text = f"The newest text of {plan} waits for your approval: {what}."
        yield Recommendation("unapproved", text, (f"git fleet plan check {plan}", f"git fleet plan approve {plan}"))  # fmt: skip


def _rework(tasks: Sequence[TaskReview]) -> Iterator[Recommendation]:
    ids = [task.id for task in tasks if task.state is State.REWORK]
    if ids:
        text = f"{_named(ids)} {_verb(ids, 'is', 'are')} in rework and nobody has taken {_verb(ids, 'it', 'them')}: the next claim gets the findings."
        yield Recommendation("rework", text, (f"git fleet claim {ids[0]}",))


def _verb(many: Sequence[object], one: str, more: str) -> str:
    return one if len(many) == 1 else more


def _first_line(text: str, limit: int = 60) -> str:
    plain = " ".join(text.strip().partition("\n")[0].split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
