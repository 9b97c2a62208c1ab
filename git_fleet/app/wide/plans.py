"""Plans of a workspace: stored in its own repository, approved into each repository that has tasks in them.

Approving is `approving` in the workspace's log, a plan of the same id approved in each repository, then `approve`. Every
step may be done again: an approval that was interrupted is approved again, from the text that it had begun with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import tomli_w
from msgspec import Struct

from git_fleet.app import approve as approvals
from git_fleet.app import documents, sharing
from git_fleet.app import plan as planning
from git_fleet.app.importers import toml
from git_fleet.app.session import Session, open_session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.validation import check_schema
from git_fleet.app.wide import across
from git_fleet.core import plandoc, wideplan
from git_fleet.core.ids import Oid, check_id
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import Plan, PlanState
from git_fleet.core.problems import Problems
from git_fleet.core.wideplan import WidePlan
from git_fleet.core.workspace import Workspace
from git_fleet.errors import FleetError, InvalidInput, Stale
from git_fleet.git.repository import Repository
from git_fleet.store import plans, wide
from git_fleet.store.wide import WideRecord


class Stored(Struct, frozen=True):
    """A plan of the workspace: its text `note`, what it says, where it is in its life."""

    record: WideRecord
    plan: WidePlan

    @property
    def state(self) -> PlanState:
        """Where the plan is in its life."""
        return self.record.log.state


class Foreseen(Struct, frozen=True):
    """What approving a plan means: in each repository what approving its part there does."""

    stored: Stored
    parts: Mapping[str, approvals.Preview]


@contextmanager
def home(space: Workspace, around: Surroundings, *, reading: bool = False) -> Iterator[Session]:
    """A session in the workspace's own repository, where what others have planned and landed is known."""
    worker = across.READER if reading else None
    with open_session(Path(space.folder), around, worker=worker, reading=reading) as session:
        sharing.refresh(session.store, session.patience, around.warn)
        yield session


def import_plan(space: Workspace, around: Surroundings, text: bytes, name: str) -> Stored:
    """Store the plan that `text` (TOML, from the file `name`) holds, or its next revision. Nothing that is approved
    changes by it. Raises InvalidInput for anything wrong in it; then nothing is stored."""
    found = parse(space, around, text, name)
    wideplan.refuse_standstill(found, source=name)
    with home(space, around) as session:
        record = wide.read(session.store, found.id)
        if record.log.state is PlanState.CLOSED:
            raise InvalidInput(f"plan {found.id} of the workspace is closed, and its id is never used again")
        base = _head(session.repo)
        source = documents.decode(text, name)
        subject = f"import {found.id} from {name}"
        record = wide.save_text(
            session.store,
            record,
            source,
            base_commit=base,
            actor=session.person(),
            at=session.now(),
            subject=subject,
        )
    return Stored(record, found)


def parse(space: Workspace, around: Surroundings, text: bytes, name: str, *, based: bool = True) -> WidePlan:
    """The plan that a text holds; without `based` its parts may lack their default bases, and no repository is asked.
    Raises InvalidInput."""
    found = toml.read(documents.decode(text, name), name)
    documents.check_shape(found.data, name)
    problems = Problems(name)
    check_schema(found.data, "workspace-plan", problems, found.lines)
    problems.raise_if_any(hint="nothing was stored; correct it and import it again")
    repos = {str(table["id"]).partition("/")[0].lower() for table in found.data.get("task", ())}
    wanted = [repo for repo in space.repos if repo.name in repos]
    answers = across.ask(space, around, lambda one: one.main, wanted) if based else ()
    bases = {each.repo.name: each.value for each in answers if each.value}
    return wideplan.parse(found.data, space, source=name, bases=bases)


def _head(repo: Repository) -> Oid:
    """What the note of a plan stands on: the workspace's commit, or nothing yet."""
    said = repo.git().text("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1))
    return Oid(said) if said else repo.empty_tree


def read_all(space: Workspace, around: Surroundings, session: Session) -> list[Stored]:
    """Every plan of the workspace that has begun to be approved and is not closed, as it is approved."""
    found = []
    for plan_id in wide.plan_ids(session.store):
        record = wide.read(session.store, plan_id)
        note = record.log.incoming or record.log.revision
        if note is not None and record.log.state is not PlanState.CLOSED:
            text = plans.text(session.store, note)[1]
            name = f"plan {plan_id} of the workspace"
            found.append(Stored(record, parse(space, around, text, name, based=False)))
    return found


def newest(space: Workspace, around: Surroundings, session: Session, plan_id: str) -> Stored:
    """The plan as an approval would take it: the text whose approval has begun, else the newest. Raises InvalidInput."""
    record = wide.read(session.store, check_id(plan_id, "plan id"))
    note = record.log.incoming or record.note
    if note is None:
        there = ", ".join(wide.plan_ids(session.store)) or "none"
        raise InvalidInput(
            f"workspace {space.name} has no plan {plan_id}; there are: {there}",
            hint="git fleet workspace import FILE",
        )
    return Stored(record, _of_note(space, around, session, record.id, note))


def _of_note(space: Workspace, around: Surroundings, session: Session, plan_id: str, note: Oid) -> WidePlan:
    return parse(space, around, plans.text(session.store, note)[1], f"plan {plan_id} of the workspace")


def text_of(session: Session, stored: Stored) -> str:
    """The newest text, as it was imported."""
    note = stored.record.note
    return plans.text(session.store, note)[1].decode(errors="replace") if note else ""


# --- approving -----------------------------------------------------------------------------------


def foresee(space: Workspace, around: Surroundings, plan_id: str) -> Foreseen:
    """What approving the plan would do. The parts are stored as drafts in their repositories for that, which changes
    nothing there. Raises InvalidInput for what cannot be approved."""
    with home(space, around) as session:
        stored = newest(space, around, session, plan_id)
        before = stored.record.log.revision
        old = _of_note(space, around, session, plan_id, before).parts if before else {}
    gone = [repo for repo in old if repo not in stored.plan.parts]
    if gone:
        raise InvalidInput(
            f"plan {plan_id}: no task of {', '.join(gone)} is left in it, and a plan cannot be without tasks there",
            hint=f"leave the tasks that have ended in it, or git fleet plan close {plan_id} in {gone[0]}",
        )
    found = {}
    with _opened(space, around, list(stored.plan.parts)) as sessions:
        for repo, session in sessions.items():
            session.require_person("approve")
            _refuse_foreign(space, repo, session, plan_id)
        for repo, session in sessions.items():
            _draft(space, session, stored.plan.parts[repo])
            try:
                found[repo] = approvals.preview(session, plan_id)
            except InvalidInput as error:
                raise InvalidInput(f"{repo}: {error.message}", hint=error.hint) from error
    return Foreseen(stored, found)


def approve(space: Workspace, around: Surroundings, shown: Foreseen) -> Stored:
    """Approve what was shown, in every repository. Raises Stale when it was changed meanwhile, InvalidInput where a
    repository refuses; the others stay as they are by then, and approving again goes on."""
    plan_id = shown.stored.plan.id
    with home(space, around) as session, _opened(space, around, list(shown.parts)) as sessions:
        for part in sessions.values():
            part.require_person(
                "approve"
            )  # whose it is, each repository says; the workspace has no fleet.toml
        stored = newest(space, around, session, plan_id)
        record, note = stored.record, stored.record.log.incoming or stored.record.note
        if note != (shown.stored.record.log.incoming or shown.stored.record.note):
            raise Stale(f"plan {plan_id} was changed while you were looking at it; nothing is approved")
        person = session.person()
        if record.log.state is not PlanState.APPROVING:
            event = Event("approving", session.now(), person, {"incoming": note, "paused": False})
            record = wide.append(session.store, record, event)
        for repo, part in sessions.items():
            try:
                _approve_part(space, part, stored.plan.parts[repo])
            except FleetError as error:
                error.message = f"{repo}: {error.message}"
                error.hint = error.hint or f"then git fleet workspace approve {plan_id} goes on"
                raise
        record = wide.append(
            session.store, record, Event("approve", session.now(), person, {"revision": note})
        )
    return Stored(record, stored.plan)


@contextmanager
def _opened(space: Workspace, around: Surroundings, repos: Sequence[str]) -> Iterator[dict[str, Session]]:
    with ExitStack() as stack:
        yield {repo: stack.enter_context(across.opened(space, space.repo(repo), around)) for repo in repos}


def _refuse_foreign(space: Workspace, repo: str, session: Session, plan_id: str) -> None:
    """Raises InvalidInput when the repository has a plan of that id which is not this workspace's."""
    record = session.snapshot().plans.get(plan_id)
    if record is None or record.note is None:
        return
    if record.state is PlanState.CLOSED:
        raise InvalidInput(f"{repo}: plan {plan_id} is closed there, and its id is never used again")
    try:
        whose = planning.newest_of(session, record).plan.workspace
    except FleetError:
        whose = ""
    if whose != space.name:
        raise InvalidInput(
            f"{repo} has a plan {plan_id} of its own: what this workspace plans would replace it",
            hint='give one of the two another id: plan = "…"',
        )


def _approve_part(space: Workspace, session: Session, plan: Plan) -> None:
    """Have the part approved in its repository: an approval of another text that was interrupted there ends first."""
    record = session.snapshot().plans.get(plan.id)
    if record is not None and record.log.incoming is not None:
        approvals.approve(session, plan.id)
    _draft(space, session, plan)
    record = session.snapshot().plans[plan.id]
    if record.log.revision != record.note:
        approvals.approve(session, plan.id)


def _draft(space: Workspace, session: Session, plan: Plan) -> None:
    """Store the part of a repository there, unless it is there already."""
    head = f"# a part of plan {plan.id} of workspace {space.name}: change it there\n"
    text = head + tomli_w.dumps(plandoc.dump_plan(plan))
    record = session.snapshot().plans.get(plan.id)
    if record is not None and record.log.incoming is not None:
        return  # an approval that was interrupted ends first
    if record is None or record.note is None or plans.text(session.store, record.note)[1] != text.encode():
        planning.import_plan(session, text.encode(), name=f"{plan.id}.toml", format_name="toml", plan_id=None)
