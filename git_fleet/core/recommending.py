"""What a person should do next about a plan, as sentences and exact commands (DESIGN section 9, end).
Texts in it are the workers', verifiers' and gates' own: untrusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from git_fleet.core.divergence import Divergence
from git_fleet.core.ids import TaskId
from git_fleet.core.likeness import same_text
from git_fleet.core.model import Finding, PlanState, Ruling, State
from git_fleet.core.reviewing import Opinion, Recommendation, Refused, TaskReview, Waiting
from git_fleet.core.wording import count, first_line

_NAMED = 5  # tasks named in one sentence or command


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
        *(_outvoted(plan, task) for task in tasks if _against(task)),
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
        text = f"{task} differs from {count(others, 'sibling')} in {where}: {when}."
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
        text = f"{count(len(ids), 'proposal')} of {plan} {_verb(ids, 'waits', 'wait')} for verdicts: {_named(ids)}."
        yield Recommendation("verify", text, (command,))


def _by_hand(waiting: Sequence[Waiting]) -> Iterator[Recommendation]:
    """Verdicts that no configured verifier can give."""
    found = [one for one in waiting if one.command]
    if found:
        ids = [one.id for one in found]
        text = f"{_named(ids)} {_verb(ids, 'waits', 'wait')} for verdicts that only a person can give."
        yield Recommendation("verdict", text, tuple(one.command for one in found[:_NAMED]))


def _against(task: TaskReview) -> list[Opinion]:
    """Verdicts against what may land all the same: others were enough, or a person accepted it."""
    may_land = task.state in (State.PROPOSED, State.VERIFIED, State.PARKED)
    counting = [one for one in task.opinions if one.lens and one.counts and may_land]
    return [one for one in counting if one.verdict != Ruling.UPHELD]


def _outvoted(plan: str, task: TaskReview) -> Recommendation:
    against = _against(task)
    sources = {f"{one.verifier}/{one.lens}" for one in against}
    first = next((found.text for found in task.findings if found.source in sources), "")
    lenses = ", ".join(one.lens for one in against)
    text = (
        f"{task.id} is not upheld by all ({lenses}){': ' + _first_line(first).rstrip('.') if first else ''}."
    )
    return Recommendation("outvoted", text, (f"git fleet review {plan} --task {task.id.task}",))


def _to_integrate(plan: str, waiting: Sequence[Waiting]) -> Iterator[Recommendation]:
    ids = [one.id for one in waiting if one.code == "integrate"]
    if ids:
        text = f"{count(len(ids), 'proposal')} can be integrated: {_named(ids)}."
        yield Recommendation("integrate", text, (f"git fleet integrate {plan}",))


def _blocked(tasks: Sequence[TaskReview]) -> Iterator[Recommendation]:
    """Tasks that met the same wall are one thing to do."""
    blocked = sorted(
        (task for task in tasks if task.state is State.BLOCKED), key=lambda task: task.record.state.code
    )
    for code, some in groupby(blocked, key=lambda task: task.record.state.code):
        found = list(some)
        ids = [task.id for task in found]
        reason = first_line(found[0].record.state.reason)
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
        text = f"{count(number, 'finding')} outside of {'its task' if number == 1 else 'their tasks'}, of which nobody has drafted a task."
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


def _named(ids: Sequence[TaskId]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(str, ids[:_NAMED])) + more


def _verb(many: Sequence[object], one: str, more: str) -> str:
    return one if len(many) == 1 else more


def _first_line(text: str, limit: int = 60) -> str:
    plain = " ".join(first_line(text).split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
