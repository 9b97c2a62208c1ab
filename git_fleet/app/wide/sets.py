"""How the change sets of a workspace stand: read off each repository's tasks and the sets' own logs. Reading only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, plans
from git_fleet.app.wide.plans import Stored
from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.wideplan import Changeset
from git_fleet.core.workspace import Answer, ChangesetView, Moving, Standing, Workspace
from git_fleet.errors import InvalidInput
from git_fleet.store import archive, wide
from git_fleet.store.wide import ChangesetRecord

_HANDED_IN = (State.PROPOSED, State.VERIFIED)
UNKNOWN = "not known"
States = Mapping[tuple[str, str], State]
"""By repository and `plan/task`, of the repositories that could be read."""
Claims = Mapping[tuple[str, str], datetime]
"""When the latest claim of each began."""


def find(space: Workspace, around: Surroundings, session: Session, name: str) -> tuple[Stored, Changeset]:
    """The change set `name` (or `plan/name`) of a plan that is approved. Raises InvalidInput."""
    plan_id, slash, short = name.strip().lower().rpartition("/")
    known = plans.read_all(space, around, session)
    fitting = [
        (stored, found)
        for stored in known
        if (not slash or stored.plan.id == plan_id) and (found := stored.plan.changeset(short)) is not None
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        said = ", ".join(f"{stored.plan.id}/{found.id}" for stored, found in fitting)
        raise InvalidInput(f"change set {name!r} fits several: {said}", hint="name it plan/changeset")
    there = ", ".join(f"{stored.plan.id}/{each.id}" for stored in known for each in stored.plan.changesets)
    raise InvalidInput(
        f"no approved plan of workspace {space.name} has a change set {name!r}; there are: {there or 'none'}",
        hint="git fleet workspace status",
    )


def views(
    space: Workspace, around: Surroundings, session: Session, answers: Sequence[Answer[Standing]]
) -> tuple[ChangesetView, ...]:
    """How each change set of a plan that is approved stands."""
    rows = {
        (answer.repo.name, str(task.id)): task
        for answer in answers
        if answer.value is not None
        for plan in answer.value.plans
        for task in plan.tasks
    }
    states = {key: row.state for key, row in rows.items()}
    claimed = {key: row.claimed_at for key, row in rows.items() if row.claimed_at is not None}
    found = [
        (stored.plan.id, each, wide.read_changeset(session.store, stored.plan.id, each.id))
        for stored in plans.read_all(space, around, session)
        for each in stored.plan.changesets
    ]
    closed = {
        key
        for plan_id, each, record in found
        if not _landed(record, wanted := _wanted(plan_id, each), states)
        for key in wanted
        if key not in states
    }
    known = {**_ended(space, around, closed, answers), **states}
    return tuple(view(plan_id, each, record, known, claimed) for plan_id, each, record in found)


def _wanted(plan_id: str, changeset: Changeset) -> list[tuple[str, str]]:
    """Its tasks, as `States` has them."""
    parts = (name.partition("/") for name in changeset.tasks)
    return [(repo, f"{plan_id}/{task}") for repo, _, task in parts]


def _landed(record: ChangesetRecord, wanted: Iterable[tuple[str, str]], states: States) -> bool:
    """Whether it has landed as far as is known: what is not (a plan was closed, a repository is gone) takes nothing back."""
    return record.log.landed and all(states.get(key, State.INTEGRATED) is State.INTEGRATED for key in wanted)


def _ended(
    space: Workspace,
    around: Surroundings,
    closed: Collection[tuple[str, str]],
    answers: Sequence[Answer[Standing]],
) -> dict[tuple[str, str], State]:
    """The states of tasks that no open plan has, from the logs of closed ones."""
    wanted = {repo for repo, _ in closed}
    among = [each.repo for each in answers if each.value is not None and each.repo.name in wanted]
    tasks = {TaskId(*task.split("/", 1)) for _, task in closed}

    def look(session: Session) -> dict[TaskId, State]:
        shut = {name for name, plan in session.snapshot().plans.items() if plan.state is PlanState.CLOSED}
        found = {task: archive.ended(session.store, task) for task in tasks if task.plan in shut}
        return {task: state for task, state in found.items() if state is not None}

    return {
        (answer.repo.name, str(task)): state
        for answer in (across.ask(space, around, look, among) if among else ())
        for task, state in (answer.value or {}).items()
    }


def view(
    plan_id: str, changeset: Changeset, record: ChangesetRecord, states: States, claimed: Claims
) -> ChangesetView:
    """How one change set stands, its tasks' states and claims being these."""
    repos = []
    for repo in changeset.order:
        found = {task: states.get((repo, f"{plan_id}/{task}")) for task in changeset.of_repo(repo)}
        shown = tuple((task, state.phrase if state else UNKNOWN) for task, state in found.items())
        repos.append(Moving(repo, shown, all(state is State.INTEGRATED for state in found.values())))
    reworked = any(
        record.at is not None and (at := claimed.get(key)) is not None and at > record.at
        for key in _wanted(plan_id, changeset)
    )
    state, why = _state(
        plan_id, changeset, record, states, sum(each.moved for each in repos), reworked=reworked
    )
    return ChangesetView(plan_id, changeset.id, state, tuple(repos), why, record.at, record.log.intent)


def _state(
    plan_id: str, changeset: Changeset, record: ChangesetRecord, states: States, moved: int, *, reworked: bool
) -> tuple[str, str]:
    again = f"git fleet integrate --changeset {changeset.id} goes on"
    if moved == len(changeset.order) or _landed(record, _wanted(plan_id, changeset), states):
        return "landed", ""
    if moved:
        return "half-way", f"{record.log.reason}; {again}" if record.log.reason else again
    if record.log.intent is not None and not record.log.reason:
        return "begun", f"it was interrupted before anything had moved; {again}"
    keys = zip(changeset.tasks, _wanted(plan_id, changeset), strict=True)
    missing = [name for name, key in keys if states.get(key) not in _HANDED_IN]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return "waiting", f"not handed in: {', '.join(missing[:5])}{more}"
    if record.log.reason and not reworked:
        again = f"git fleet integrate --changeset {changeset.id} tries again"
        return "refused", f"the last time by {record.log.reason}; {again}"
    return "ready", f"git fleet integrate --changeset {changeset.id}"
