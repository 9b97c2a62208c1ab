"""Plans before and between approvals: imported, edited, checked, paused, closed.

Storing a text never changes what runs: tasks are read from the revision the plan's log names as
approved (app/approve.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from git_fleet.app import documents, oldlogs, snapshots
from git_fleet.app.session import Session
from git_fleet.core import check as checking
from git_fleet.core.check import PlanCheck
from git_fleet.core.ids import Oid, check_id
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import Plan, PlanState
from git_fleet.core.results import PlanRow
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.errors import Busy, FleetError, Held, IllegalEvent, InvalidInput, Stale
from git_fleet.store import archive, log, names, past, plans
from git_fleet.store.base import tip
from git_fleet.store.plans import Revision

_NAMED = 5  # tasks in one sentence
_TRIES = 20


class Imported(Struct, frozen=True):
    """A stored revision of a plan: `note` is the notes commit, `created` says the plan is new."""

    plan: Plan
    note: Oid
    created: bool


def import_plan(
    session: Session, text: bytes, *, name: str, format_name: str | None, plan_id: str | None
) -> Imported:
    """Store the plan that `text` holds as a draft, or as the next revision of a plan there is.

    `name` is the file's, for messages and for the id of a plan that has none. Raises InvalidInput
    for anything wrong in it; then nothing is stored.
    """
    plan, toml = read(session, text, name=name, format_name=format_name, plan_id=plan_id)
    return _store(session, plan, toml, f"import {plan.id} from {name}")


def read(
    session: Session, text: bytes, *, name: str, format_name: str | None, plan_id: str | None
) -> tuple[Plan, str]:
    """What `import_plan` would store of `text`: the plan, and its text as TOML. Raises as that."""
    plan, toml = documents.load_plan(
        text, name=name, format=format_name, plan_id=plan_id, default_base=session.main
    )
    refuse_closed(plan.id, _state(session, plan.id))
    _base_commit(session, plan)
    return plan, toml


def save_text(session: Session, plan_id: str, toml: str, expected: Oid | None) -> Imported:
    """Store an edited text of the plan. Raises Stale when it was changed since `expected` was read."""
    plan, toml = _load(session, plan_id, toml)
    return _store(session, plan, toml, f"edit {plan.id}", expected=expected)


def _load(session: Session, plan_id: str, toml: str) -> tuple[Plan, str]:
    text = toml.encode("utf-8", "surrogatepass")  # what is no text then is refused as no UTF-8
    return read(session, text, name=f"plan {plan_id}", format_name="toml", plan_id=plan_id)


def add_task(session: Session, plan_id: str, fields: Mapping[str, Any]) -> Imported:
    """Add one task (keys as in a plan file) to the plan's newest text, whatever others add at the same time. Raises
    Busy when they keep editing it."""
    for _ in range(_TRIES):
        with suppress(Stale):
            return add_task_once(session, plan_id, fields)
    raise Busy(f"the plan {plan_id} is being edited again and again", hint=f"git fleet plan show {plan_id}")


def add_task_once(session: Session, plan_id: str, fields: Mapping[str, Any]) -> Imported:
    """The same. Raises Stale when somebody edits the plan at this moment."""
    note, toml = text_of(session, plan_id)
    return save_text(session, plan_id, _with_task(toml, fields), note)


def read_with(session: Session, plan_id: str, tables: Sequence[Mapping[str, Any]]) -> tuple[Oid, str, Plan]:
    """The plan's newest text with these tasks added, which is not stored: the note the text was read from, the
    new text, and what it says. Raises InvalidInput."""
    note, toml = text_of(session, plan_id)
    for fields in tables:
        toml = _with_task(toml, fields)
    return note, toml, _load(session, plan_id, toml)[0]


def _with_task(toml: str, fields: Mapping[str, Any]) -> str:
    """The text with one more task. Its heading is ours: tomli_w may write a list of short tables as
    `task = [{…}]`, and a text that has its tasks so is written anew as a whole."""
    import tomllib

    import tomli_w

    text = f"{toml.rstrip()}\n\n[[task]]\n{tomli_w.dumps(fields)}"
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with suppress(tomllib.TOMLDecodeError):  # broken by hand: refused by whoever loads it
            document = tomllib.loads(toml)
            return tomli_w.dumps({**document, "task": [*document.get("task", ()), fields]})
    return text


def _store(session: Session, plan: Plan, toml: str, subject: str, expected: Oid | None = None) -> Imported:
    store = session.store
    before = tip(store.refs.get(names.plan_note(plan.id)))
    if expected is not None:
        before = expected
    base_commit = plans.text(store, before)[0] if before else _base_commit(session, plan)
    try:
        note = plans.save_text(
            store,
            plan,
            toml,
            expected=before,
            base_commit=base_commit,
            actor=session.person(),
            at=session.now(),
            subject=subject,
        )
    except (Stale, Held) as faster:
        raise Stale(
            f"plan {plan.id} was changed by somebody else meanwhile; nothing is stored",
            hint=f"git fleet plan show {plan.id}",
        ) from faster
    return Imported(plan, note, before is None)


def refuse_closed(plan_id: str, state: PlanState) -> None:
    """Raises InvalidInput where the plan is closed: no text of it is stored or approved any more."""
    if state is PlanState.CLOSED:
        raise InvalidInput(
            f"plan {plan_id} is closed, and its id is never used again",
            hint="git fleet plan import FILE --plan ID",
        )


def _base_commit(session: Session, plan: Plan) -> Oid:
    found = tip(session.store.refs.get(names.branch(plan.base)))
    if found is None:
        raise InvalidInput(
            f"plan {plan.id}: base {plan.base!r}: there is no such branch",
            hint='base = "…" in the plan names it',
        )
    return found


def _state(session: Session, plan_id: str) -> PlanState:
    found = tip(session.store.refs.get(names.plan_log(plan_id)))
    return plans.read_log(session.store, found).state if found else PlanState.DRAFT


def template(session: Session, plan_id: str) -> str:
    """A commented plan to begin with. Raises InvalidInput where there is a plan of that id: it would be replaced."""
    name = check_id(plan_id, "plan id")
    if tip(session.store.refs.get(names.plan_note(name))) is not None:
        raise InvalidInput(
            f"there is a plan {name} already", hint=f"git fleet plan edit {name}, or another name"
        )
    return _TEMPLATE.format(plan=name, base=session.main)


_TEMPLATE = """\
version = 1
plan = "{plan}"
title = ""
base = "{base}"

# One entry a task. `files` are gitignore-style patterns: what the task may change, and nobody else
# while it is active. `needs` are ids of tasks that must be integrated first.

[[task]]
id = "1"
title = "What is to be done, as a commit subject"
files = ["src/**"]
needs = []
prompt = \"\"\"
What the worker has to know.
\"\"\"
accept = []            # commands that must pass, beside the repository's gates
estimate_minutes = 10

# One entry, many tasks:
# [[task]]
# id = "bump-{{cluster}}"
# title = "Bump the operator on {{cluster}}"
# files = ["live/{{cluster}}/**"]
# matrix.cluster = ["dev", "staging"]
"""


def text_of(session: Session, plan_id: str) -> tuple[Oid, str]:
    """The newest text of the plan and the notes commit that holds it. Raises InvalidInput."""
    note = tip(session.store.refs.get(names.plan_note(check_id(plan_id, "plan id"))))
    if note is None:
        raise InvalidInput(f"there is no plan {plan_id}", hint="git fleet plan list")
    return note, plans.text(session.store, note)[1].decode(errors="replace")


def newest(session: Session, snapshot: Snapshot, plan_id: str) -> Revision:
    """The newest revision of the plan, approved or not. Raises InvalidInput."""
    return newest_of(session, snapshot.plan(plan_id))


def newest_of(session: Session, record: PlanRecord) -> Revision:
    """The newest revision of this plan. Raises InvalidInput."""
    if record.note is None:
        raise InvalidInput(f"there is no text of the plan {record.id}", hint="git fleet plan list")
    return plans.revision(session.store, record.id, record.note)


def unapproved(session: Session, record: PlanRecord) -> str:
    """What the newest text of an approved plan has that is not approved, in a few words; "" when nothing."""
    if record.approved is None or record.note in (None, record.log.revision):
        return ""
    try:
        text = newest_of(session, record).plan
    except FleetError:
        return "an edited text that cannot be read"
    known = {task.id for task in record.approved.tasks}
    new = [str(task.id) for task in text.tasks if task.id not in known]
    more = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
    return f"{', '.join(new[:_NAMED])}{more}" if new else "an edited text"


def only(session: Session) -> str:
    """The id of the one plan that is not closed. Raises InvalidInput when there is not exactly one."""
    plans_there = session.snapshot().plans.values()
    found = [record.id for record in plans_there if record.state is not PlanState.CLOSED]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(f"name the plan: there are {', '.join(found)}", hint="git fleet plan list")
    if plans_there:
        raise InvalidInput("every plan is closed: name the one you mean", hint="git fleet plan list")
    raise InvalidInput("there is no plan yet", hint="git fleet plan import FILE, or git fleet plan new NAME")


def check(session: Session, plan_id: str, workers: int | None = None) -> PlanCheck:
    """What can be said about the plan before anyone starts, from it and the repository alone.

    Raises InvalidInput when there is no such plan, or no such base.
    """
    return check_text(session, newest(session, session.snapshot(), plan_id).plan, workers)


def check_text(session: Session, plan: Plan, workers: int | None = None) -> PlanCheck:
    """The same of one revision. Raises InvalidInput when there is no such base."""
    commit = _base_commit(session, plan)
    git = session.repo.git()
    base = session.store.refs.named(names.branch(plan.base))
    tracked = git.paths("ls-tree", "-r", "-z", "--name-only", base)
    return checking.check_plan(
        plan,
        tracked=tracked,
        config=session.config(plan.base),
        history=map(frozenset, past.recent(session.store, commit, keep=True).values()),
        workers=workers,
    )


def checkout_bytes(session: Session, base: str) -> int:
    """How much disk one worktree of `base` takes, by the sizes of its files."""
    lines = session.repo.git().paths(
        "ls-tree", "-r", "-l", "-z", session.store.refs.named(names.branch(base))
    )
    sizes = (line.partition("\t")[0].split()[-1] for line in lines)
    return sum(int(size) for size in sizes if size.isdigit())


def list_plans(session: Session) -> tuple[PlanRow, ...]:
    """Every plan there is, closed ones included."""
    return tuple(_row(session, record) for record in session.snapshot().plans.values())


def _row(session: Session, record: PlanRecord) -> PlanRow:
    plan = record.approved
    if plan is None and record.note is not None:
        plan = plans.revision(session.store, record.id, record.note).plan
    if plan is None:
        return PlanRow(record.id, "", "", record.state, 0)
    return PlanRow(record.id, plan.title, plan.base, record.state, len(plan.tasks))


def pause(session: Session, plan_id: str, reason: str = "") -> PlanRecord:
    """No new claims until `resume`; what is claimed goes on."""
    return _append(session, plan_id, "pause", {"reason": reason})


def resume(session: Session, plan_id: str) -> PlanRecord:
    """Let a paused plan go on."""
    return _append(session, plan_id, "resume", {})


def _append(session: Session, plan_id: str, name: str, fields: Mapping[str, Any]) -> PlanRecord:
    event = Event(name, session.now(), session.person(), fields)
    return plans.append(session.store, session.snapshot().plan(plan_id), event)


def close(session: Session, plan_id: str, *, force: bool = False) -> PlanRecord:
    """End a plan none of whose tasks is active; its logs are folded into the archive, its snapshots go.

    What was drafted and never approved is nobody's from then on, so that needs `force`; a plan that is a
    draft altogether, too. First `closing`, then the tips are read: a claim made meanwhile is either seen here
    or given back by its claimer (rule *closing* of the claim model). Done again after a crash it finishes.
    Raises IllegalEvent when a task is active, or something waits for approval.
    """
    person = session.person()
    record = session.snapshot().plan(plan_id)
    if not force:
        _refuse_to_drop(session, record)
    if record.state is not PlanState.CLOSED:
        record = _close(session, record, person)
    plans.refresh_open_file(session.store)
    try:
        archive.fold(session.store, record.id, actor=person, at=session.now())
    except Stale:  # a claim computed before was given back at this moment
        archive.fold(session.store, record.id, actor=person, at=session.now())
    snapshots.retire_all(session, record.id)
    oldlogs.clear(session.repo.fleet_dir / oldlogs.FOLDER / record.id)
    return record


def _refuse_to_drop(session: Session, record: PlanRecord) -> None:
    """Raises IllegalEvent where closing would drop what nobody has approved."""
    hint = f"git fleet plan approve {record.id}, or git fleet plan close {record.id} --force"
    if record.state is PlanState.DRAFT:
        raise IllegalEvent(
            f"plan {record.id} is a draft that nobody has approved, and closing it drops it", hint=hint
        )
    drafted = unapproved(session, record) if record.state in (PlanState.OPEN, PlanState.PAUSED) else ""
    if drafted:
        raise IllegalEvent(
            f"plan {record.id} has what nobody has approved yet, and closing it drops that: {drafted}",
            hint=hint,
        )


def _close(session: Session, record: PlanRecord, person: str) -> PlanRecord:
    if record.state is PlanState.DRAFT:
        return plans.append(session.store, record, Event("close", session.now(), person))
    fields = {"paused": was_paused(session, record)}
    record = plans.append(session.store, record, Event("closing", session.now(), person, fields))
    active = [task for task in session.snapshot().of_plan(record.id) if task.state.state.active]
    if active:
        plans.append(session.store, record, Event("reopen-plan", session.now(), person, fields))
        first = active[0].id
        raise IllegalEvent(
            f"plan {record.id} cannot be closed: {_how_they_stand(active)}",
            hint=f"git fleet explain {first} says what brings it further; git fleet cancel {first} ends it, and its work is kept",
        )
    return plans.append(session.store, record, Event("close", session.now(), person))


def _how_they_stand(tasks: Sequence[TaskRecord]) -> str:
    """The first of them, each with its state: `p/a is blocked, p/b is handed in and 3 more`."""
    said = ", ".join(f"{task.id} is {task.state.state.phrase}" for task in tasks[:_NAMED])
    return said + (f" and {len(tasks) - _NAMED} more" if len(tasks) > _NAMED else "")


def was_paused(session: Session, record: PlanRecord) -> bool:
    """Whether the plan is paused, or was when the approval or close began that is not finished."""
    if record.state in (PlanState.APPROVING, PlanState.CLOSING) and record.tip is not None:
        return bool(log.read(session.store.objects, record.tip).event.fields.get("paused"))
    return record.state is PlanState.PAUSED
