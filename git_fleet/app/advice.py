"""The one command that is worth running next, for whoever looks at the status.

What only a person can move comes first, then what brings work to its end, then new work.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from git_fleet.app.session import Session
from git_fleet.core import verdicts
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.git import upstream, worktrees
from git_fleet.git.contents import listing
from git_fleet.store import names
from git_fleet.store.worktree import Placement

NEW_PLAN = "git fleet plan import FILE, or git fleet plan new NAME"
"""How a plan begins."""

Approvable = Callable[[PlanRecord], bool]
"""Whether the plan's newest text could be approved as it is."""


def first_step(main: Oid | None, *, set_up: bool) -> str:
    """What to do in a repository without any plan. `main` is None while there is no commit, `set_up` says
    that the hooks are installed."""
    if main is None:
        return 'git commit --allow-empty -m "First commit"'
    return NEW_PLAN if set_up else "git fleet init"


def next_command(
    snapshot: Snapshot,
    config: Config,
    *,
    ready: bool,
    approvable: Approvable,
    placement: Placement | None = None,
) -> str:
    """The next command; `ready` says that a task can be claimed. In a task's worktree (`placement`)
    it is its worker's, else a person's."""
    if placement is not None:
        return _for_worker(snapshot, placement)
    return next(_for_person(snapshot, config, approvable, ready=ready), NEW_PLAN)


def publish(session: Session, base: str) -> str:
    """What publishes the branch: to where it is pushed, else to the only remote, or the one called origin.
    "" where there is no remote."""
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


def _for_worker(snapshot: Snapshot, placement: Placement) -> str:
    record = snapshot.record(TaskId(placement.plan, placement.task))
    claim = record.state.claim if record else None
    if record is None or claim is None or claim.fence != placement.fence:
        return f"git fleet log {placement.plan}/{placement.task}"
    if record.state.state is State.CLAIMED:
        return 'git fleet done -m "…"'
    return f"git fleet explain {record.id}"


def _for_person(snapshot: Snapshot, config: Config, approvable: Approvable, *, ready: bool) -> Iterator[str]:
    yield from _unfinished_business(snapshot)
    yield from _proposals(snapshot, config)
    yield from _first(snapshot, "git fleet explain {}", lambda r: r.state.state is State.BLOCKED)
    yield from _plans(snapshot, "git fleet plan resume {}", PlanState.PAUSED)
    if ready:
        yield "git fleet claim"
    yield from _unapproved(snapshot, approvable)
    yield from _first(snapshot, "git fleet accept {}", _on_hold)
    yield from _first(snapshot, "git fleet log {}", lambda r: r.state.state is State.CLAIMED)
    yield from _first(snapshot, "git fleet explain {}", lambda r: not r.state.state.ended)
    yield from _plans(snapshot, "git fleet plan close {}", PlanState.OPEN)


def _unfinished_business(snapshot: Snapshot) -> Iterator[str]:
    """What a command that was interrupted has left: the same command finishes it."""
    if snapshot.lead.intent is not None:
        yield "git fleet integrate"
    yield from _plans(snapshot, "git fleet plan approve {}", PlanState.APPROVING)
    yield from _plans(snapshot, "git fleet plan close {}", PlanState.CLOSING)


def _proposals(snapshot: Snapshot, config: Config) -> Iterator[str]:
    """Verifiers first, where some are configured and not heard yet; what may land as far as verdicts go is
    decided by the gates of `integrate`; the rest waits for a person."""
    states = [record.state for record in snapshot.tasks.values()]
    if any(state.state is State.PROPOSED and verdicts.to_ask(state, config) for state in states):
        yield "git fleet verify"
    handed_in = (state for state in states if state.state in (State.PROPOSED, State.VERIFIED))
    if any(not verdicts.why_not(state, config) for state in handed_in):
        yield "git fleet integrate"
    for record in snapshot.tasks.values():
        if record.state.state is State.PARKED:
            yield f"git fleet accept {record.id}"
        elif record.state.state is State.PROPOSED:
            if verdicts.missing(record.state, config):
                yield verdicts.persons_command(record.id, record.state, config)
            yield f"git fleet accept {record.id}"


def _on_hold(record: TaskRecord) -> bool:
    return record.task.hold and not record.state.lifted and record.state.state is State.PENDING


def _first(snapshot: Snapshot, command: str, wanted: Callable[[TaskRecord], bool]) -> Iterator[str]:
    yield from (command.format(record.id) for record in snapshot.tasks.values() if wanted(record))


def _plans(snapshot: Snapshot, command: str, state: PlanState) -> Iterator[str]:
    yield from (command.format(plan.id) for plan in snapshot.plans.values() if plan.state is state)


def _unapproved(snapshot: Snapshot, approvable: Approvable) -> Iterator[str]:
    """Drafts, then plans that were edited since they were approved: the edit changes nothing yet."""
    drafts = [plan for plan in snapshot.plans.values() if plan.state is PlanState.DRAFT]
    edited = [
        plan
        for plan in snapshot.plans.values()
        if plan.state is PlanState.OPEN and plan.note != plan.log.revision
    ]
    for plan in (*drafts, *edited):
        yield f"git fleet plan {'approve' if approvable(plan) else 'edit'} {plan.id}"
