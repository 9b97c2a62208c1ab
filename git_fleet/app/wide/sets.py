"""How the change sets of a workspace stand: read off each repository's tasks and the sets' own logs. Reading only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import plans
from git_fleet.app.wide.plans import Stored
from git_fleet.core.model import State
from git_fleet.core.wideplan import Changeset
from git_fleet.core.workspace import Answer, ChangesetView, Moving, Standing, Workspace
from git_fleet.errors import InvalidInput
from git_fleet.store import wide
from git_fleet.store.wide import ChangesetRecord

_HANDED_IN = (State.PROPOSED, State.VERIFIED)
UNKNOWN = "not known"
States = Mapping[tuple[str, str], State]
"""By repository and `plan/task`, of the repositories that could be read."""


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
    states = {
        (answer.repo.name, str(task.id)): task.state
        for answer in answers
        if answer.value is not None
        for plan in answer.value.plans
        for task in plan.tasks
    }
    return tuple(
        view(stored.plan.id, each, wide.read_changeset(session.store, stored.plan.id, each.id), states)
        for stored in plans.read_all(space, around, session)
        for each in stored.plan.changesets
    )


def view(plan_id: str, changeset: Changeset, record: ChangesetRecord, states: States) -> ChangesetView:
    """How one change set stands, its tasks' states being these."""
    repos = []
    for repo in changeset.order:
        found = {task: states.get((repo, f"{plan_id}/{task}")) for task in changeset.of_repo(repo)}
        shown = tuple((task, state.phrase if state else UNKNOWN) for task, state in found.items())
        repos.append(Moving(repo, shown, all(state is State.INTEGRATED for state in found.values())))
    state, why = _state(plan_id, changeset, record, states, sum(each.moved for each in repos))
    return ChangesetView(plan_id, changeset.id, state, tuple(repos), why, record.at, record.log.intent)


def _state(
    plan_id: str, changeset: Changeset, record: ChangesetRecord, states: States, moved: int
) -> tuple[str, str]:
    again = f"git fleet integrate --changeset {changeset.id} goes on"
    if moved == len(changeset.order) or (record.log.landed and not moved):
        return "landed", ""
    if moved:
        return "half-way", f"{record.log.reason}; {again}" if record.log.reason else again
    if record.log.intent is not None and not record.log.reason:
        return "begun", f"it was interrupted before anything had moved; {again}"
    missing = [
        name
        for name in changeset.tasks
        if states.get((name.partition("/")[0], f"{plan_id}/{name.partition('/')[2]}")) not in _HANDED_IN
    ]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return "waiting", f"not handed in: {', '.join(missing[:5])}{more}"
    if record.log.reason:
        again = f"git fleet integrate --changeset {changeset.id} tries again"
        return "refused", f"the last time by {record.log.reason}; {again}"
    return "ready", f"git fleet integrate --changeset {changeset.id}"
