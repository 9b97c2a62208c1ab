"""The commands that are worth running next, for whoever looks at the status, the most urgent first.

What only a person can move comes first, then what brings work to its end, then new work.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from git_fleet.app.session import Session
from git_fleet.core import verdicts
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.results import Step
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.git import upstream, worktrees
from git_fleet.git.contents import listing
from git_fleet.store import names
from git_fleet.store.shared import SharedRefs
from git_fleet.store.worktree import Placement

NEW_PLAN = "git fleet plan import FILE, or git fleet plan new NAME"
"""How a plan begins."""

Unfit = Callable[[PlanRecord], str]
"""Why the plan's newest text cannot be approved as it is; "" when it can."""


_MOST = 5
_NAMED = 3  # tasks named in one sentence


def first_step(main: Oid | None, *, set_up: bool) -> Step:
    """What to do in a repository without any plan. `main` is None while there is no commit, `set_up` says
    that the hooks are installed."""
    if main is None:
        return Step('git commit --allow-empty -m "First commit"')
    return Step(NEW_PLAN if set_up else "git fleet init")


def steps(
    snapshot: Snapshot,
    config: Config,
    *,
    ready: bool,
    unfit: Unfit,
    placement: Placement | None = None,
) -> tuple[Step, ...]:
    """What to do next, one at least; `ready` says that a task can be claimed. In a task's worktree
    (`placement`) it is its worker's, else a person's."""
    if placement is not None:
        return (_for_worker(snapshot, placement),)
    found: dict[str, Step] = {}
    for step in _for_person(snapshot, config, unfit, ready=ready):
        found.setdefault(step.command, step)
    return tuple(islice(found.values(), _MOST)) or (Step(NEW_PLAN),)


def publish(session: Session, base: str) -> str:
    """What publishes the branch: to where it is pushed, else to the only remote, or the one called origin.
    "" where there is no remote, and where one decides: it has the branch already."""
    if isinstance(session.store.refs, SharedRefs):
        return ""
    remote = upstream.remote_for(session.repo, base)
    return f"git push {shlex.quote(remote)} {shlex.quote(base)}" if remote else ""


def submodules(session: Session, base: str, before: Oid, after: Oid) -> str:
    """What is left to do where `base`, moved from `before` to `after`, is checked out with submodules that have
    another commit now: a sentence, "" for nothing."""
    if before == after or next(session.store.objects.read_many([f"{after}:.gitmodules"])) is None:
        return ""
    from git_fleet.git import moves

    for place in worktrees.occupied(session.repo, names.branch(base)):
        behind = moves.left_behind(place, before, after)
        if behind:
            update = f"git -C {shlex.quote(str(place))} submodule update"
            return f"{listing(behind)}: checked out as before; {update} brings it to what {base} has"
    return ""


def _for_worker(snapshot: Snapshot, placement: Placement) -> Step:
    record = snapshot.record(TaskId(placement.plan, placement.task))
    claim = record.state.claim if record else None
    if record is None or claim is None or claim.fence != placement.fence:
        return Step(f"git fleet log {placement.plan}/{placement.task}", "this claim is over")
    if record.state.state is State.CLAIMED:
        return Step('git fleet done -m "…"')
    return Step(f"git fleet explain {record.id}", f"it is {record.state.state.phrase}")


def _for_person(snapshot: Snapshot, config: Config, unfit: Unfit, *, ready: bool) -> Iterator[Step]:
    """What moves something; else what shows why nothing moves."""
    moving = [
        *_unfinished_business(snapshot),
        *_proposals(snapshot, config),
        *_blocked(snapshot),
        *_plans(snapshot, "git fleet plan resume {}", "is paused", PlanState.PAUSED),
        *([Step("git fleet claim", "there is a task to claim")] if ready else []),
        *_unapproved(snapshot, unfit),
        *_each(_those(snapshot, _on_hold), "git fleet accept {}", "is on hold", "are on hold"),
    ]
    yield from moving or _waiting(snapshot)


def _unfinished_business(snapshot: Snapshot) -> Iterator[Step]:
    """What a command that was interrupted has left: the same command finishes it."""
    if snapshot.lead.intent is not None:
        yield Step("git fleet integrate", "an integration was interrupted")
    yield from _plans(
        snapshot, "git fleet plan approve {}", "was being approved when it was cut short", PlanState.APPROVING
    )
    yield from _plans(
        snapshot, "git fleet plan close {}", "was being closed when it was cut short", PlanState.CLOSING
    )


def _proposals(snapshot: Snapshot, config: Config) -> Iterator[Step]:
    """Verifiers first, where some are configured and not heard yet; what may land as far as verdicts go is
    decided by the gates of `integrate`; the rest waits for a person."""
    records = _those(snapshot, lambda record: record.state.state in (State.PROPOSED, State.VERIFIED))
    proposed = [record for record in records if record.state.state is State.PROPOSED]
    asked = [record for record in proposed if verdicts.to_ask(record.state, config)]
    if asked:
        yield Step("git fleet verify", f"{_proposed(asked)} for verdicts")
    may_land = [record for record in records if not verdicts.why_not(record.state, config)]
    if may_land:
        yield Step("git fleet integrate", f"{_proposed(may_land)} to be integrated")
    parked = _those(snapshot, lambda record: record.state.state is State.PARKED)
    yield from _each(parked, "git fleet accept {}", "is parked for you", "are parked for you")
    held_up = [record for record in proposed if record not in asked and record not in may_land]
    if held_up:
        first, why = held_up[0], f"{_proposed(held_up)} for you"
        if verdicts.missing(first.state, config):
            yield Step(verdicts.persons_command(first.id, first.state, config), why)
        yield Step(f"git fleet accept {first.id}", why)


def _proposed(records: Sequence[TaskRecord]) -> str:
    return "1 proposal waits" if len(records) == 1 else f"{len(records)} proposals wait"


def _blocked(snapshot: Snapshot) -> Iterator[Step]:
    blocked = _those(snapshot, lambda record: record.state.state is State.BLOCKED)
    code = f" ({blocked[0].state.code})" if len(blocked) == 1 and blocked[0].state.code else ""
    yield from _each(blocked, "git fleet explain {}", f"is blocked{code}", "are blocked")


def _waiting(snapshot: Snapshot) -> Iterator[Step]:
    """Nothing is to be done: what is going on, or what came of it."""
    claimed = _those(snapshot, lambda record: record.state.state is State.CLAIMED)
    unended = _those(snapshot, lambda record: not record.state.state.ended)
    if claimed:
        yield from _each(claimed, "git fleet log {}", "is at work", "are at work")
    elif unended:
        yield from _each(unended, "git fleet explain {}", "cannot go on", "cannot go on")
    else:
        yield from _plans(snapshot, "git fleet plan close {}", "has ended", PlanState.OPEN)


def _on_hold(record: TaskRecord) -> bool:
    return record.task.hold and not record.state.lifted and record.state.state is State.PENDING


def _those(snapshot: Snapshot, wanted: Callable[[TaskRecord], bool]) -> list[TaskRecord]:
    return [record for record in snapshot.tasks.values() if wanted(record)]


def _each(records: Sequence[TaskRecord], command: str, is_: str, are: str) -> Iterator[Step]:
    """One step for all of them: the command is about the first."""
    if records:
        more = len(records) - _NAMED
        named = ", ".join(str(record.id) for record in records[:_NAMED])
        named += f" and {more} more" if more > 0 else ""
        yield Step(command.format(records[0].id), f"{named} {is_ if len(records) == 1 else are}")


def _plans(snapshot: Snapshot, command: str, how: str, state: PlanState) -> Iterator[Step]:
    for plan in snapshot.plans.values():
        if plan.state is state:
            yield Step(command.format(plan.id), f"plan {plan.id} {how}")


def _unapproved(snapshot: Snapshot, unfit: Unfit) -> Iterator[Step]:
    """Drafts, then plans that were edited since they were approved: the edit changes nothing yet."""
    plans: Iterable[PlanRecord] = snapshot.plans.values()
    edited = [plan for plan in plans if plan.state is PlanState.OPEN and plan.note != plan.log.revision]
    for plan in (*(plan for plan in plans if plan.state is PlanState.DRAFT), *edited):
        what = "what was changed in plan" if plan in edited else "plan"
        if why := unfit(plan):
            text = f"{what} {plan.id} cannot be approved as it is: {why}"
            yield Step(f"git fleet plan edit {plan.id}", text)
        else:
            yield Step(f"git fleet plan approve {plan.id}", f"{what} {plan.id} is not approved")
