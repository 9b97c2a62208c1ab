"""Learning: what a worker or a person tells all others, what a person decides about it, and what a plan's log teaches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from git_fleet.app import knowledge, plan
from git_fleet.app.session import Session
from git_fleet.app.surroundings import is_generated
from git_fleet.core import followups, learnings, recalling
from git_fleet.core.learnings import (
    MAX_NAMES,
    MAX_TEXT_BYTES,
    Decision,
    Kind,
    Known,
    Learned,
    Learning,
    Standing,
)
from git_fleet.core.lifecycle import ATTEMPTS
from git_fleet.core.model import PlanState, Task
from git_fleet.core.quoting import harmless
from git_fleet.errors import GitFailed, InvalidInput, Unreachable
from git_fleet.store import knowledge as stored
from git_fleet.store import logs, names
from git_fleet.store.log import Entry

_REFUTING = frozenset({"refute", "reject"})


class Edit(Struct, frozen=True):
    """New words for the learning of that id."""

    name: str
    text: str


def learn(
    session: Session,
    text: str,
    *,
    kind: Kind = Kind.FACT,
    paths: Sequence[str] = (),
    labels: Sequence[str] = (),
    task: str | None = None,
) -> Learned:
    """Tell all others what was learned, in `task` (default: the one whose worktree or claim this is, if any). Who tells
    what is known already changes nothing.

    Raises InvalidInput for what is no learning, no task, no pattern; Refused when a server does not want it.
    """
    made = learnings.make(
        text,
        by=_who(session),
        at=session.now(),
        kind=kind,
        task=_task(session, task),
        paths=paths,
        labels=labels,
    )
    return _store(session, [made], f"learn: {made.text}")


def _who(session: Session) -> str:
    return session.person() if is_generated(session.actor, session.around) else session.actor


def _task(session: Session, name: str | None) -> str:
    env = session.around.env
    if name is not None:
        return str(session.record(session.snapshot_of(name), name).id)
    if session.placement is not None:
        return str(session.here())
    return (
        f"{env['FLEET_PLAN']}/{env['FLEET_TASK']}" if env.get("FLEET_PLAN") and env.get("FLEET_TASK") else ""
    )


def _store(session: Session, made: Sequence[Learning], subject: str) -> Learned:
    files = dict(learnings.learning_file(one) for one in made)
    done = stored.add(session.store, lambda: files, actor=_who(session), at=session.now(), subject=subject)
    ids = [one.id for one in made]
    now = {one.id: one for one in stored.read(session.store).known}
    broken = next((name for name in ids if name not in now), None)
    if broken is not None:
        raise GitFailed(
            f"{names.KNOWLEDGE} has a broken file in the place of {learnings.place(broken)}",
            hint="git fleet doctor --fix",
        )
    new = frozenset(name for name in ids if learnings.place(name) in done.added)
    return Learned(tuple(now[name] for name in dict.fromkeys(ids)), new, done.told)


# --- a person's decisions ------------------------------------------------------------------------


def decide(
    session: Session, *, approve: Sequence[str] = (), retire: Sequence[str] = (), edits: Sequence[Edit] = ()
) -> Learned:
    """Approve, retire and change learnings (named by the beginnings of their ids), all at once. One that is changed is
    retired, and its new words are approved in its place.

    Raises Denied for an agent, InvalidInput and Ambiguous for names, InvalidInput for one that is named twice or words
    that are no learning, Refused when a server lets this person decide nothing.
    """
    session.require_person("knowledge")
    with suppress(Unreachable):  # then what was known last is decided about, and stays here
        knowledge.read(session)
    touched: list[str] = []

    def make() -> Mapping[str, bytes]:
        found = stored.read(session.store)
        chosen = [knowledge.find(found.known, name) for name in (*approve, *retire, *(e.name for e in edits))]
        ids = [one.id for one in chosen]
        if len(set(ids)) < len(ids):
            raise InvalidInput("a learning is named twice", hint="decide one thing about each")
        files = {}
        touched[:] = []
        for path, data, name in _decided(
            session, chosen, len(approve), len(retire), edits, found.last_order + 1
        ):
            files[path] = data
            touched.append(name)
        return files

    verbs = {"approve": approve, "retire": retire, "edit": [edit.name for edit in edits]}
    subject = ", ".join(f"{verb} {' '.join(few)}" for verb, few in verbs.items() if few)
    done = stored.add(session.store, make, actor=session.person(), at=session.now(), subject=subject)
    now = {one.id: one for one in stored.read(session.store).known}
    return Learned(tuple(now[name] for name in dict.fromkeys(touched)), told=done.told)


def _decided(
    session: Session, chosen: Sequence[Known], approved: int, retired: int, edits: Sequence[Edit], order: int
) -> Iterator[tuple[str, bytes, str]]:
    """The files of what was decided, each with the id of the learning that it is about."""

    def decision(name: str, state: Standing, successor: str = "") -> tuple[str, bytes, str]:
        made = Decision(name, state, session.person(), session.now(), order, successor)
        return (*learnings.decision_file(made), name)

    for one in chosen[:approved]:
        yield decision(one.id, Standing.APPROVED)
    for one in chosen[approved : approved + retired]:
        yield decision(one.id, Standing.RETIRED)
    for one, edit in zip(chosen[approved + retired :], edits, strict=True):
        old = one.learning
        new = learnings.make(
            edit.text,
            by=session.person(),
            at=session.now(),
            kind=old.kind,
            task=old.task,
            paths=old.paths,
            labels=old.labels,
            edits=one.id,
        )
        if new.id != one.id:
            yield decision(one.id, Standing.RETIRED, new.id)
            yield (*learnings.learning_file(new), new.id)
        yield decision(new.id, Standing.APPROVED)


# --- what a plan's log teaches -------------------------------------------------------------------


def from_plan(session: Session, plan_id: str | None, *, dry_run: bool = False) -> Learned:
    """Why tasks of the plan (default: the only one; a closed one, too) were blocked, and what was refuted, as learnings that nobody has
    approved. What is known already in nearly these words, retired or not, is left out. On a dry run all are new, and
    nothing is stored. Raises InvalidInput for a plan that there is not, and as `learn`."""
    snapshot = session.snapshot()
    record = snapshot.plan(plan_id or plan.only(session))
    tasks = plan.newest_of(session, record).plan.tasks
    closed = record.state is PlanState.CLOSED
    entries = logs.task_logs(session.store, record.id, closed=closed)
    found = [one for task in tasks for one in _taught(task, entries.get(task.id, ()))]
    said = [recalling.shingles(one.learning.text) for one in stored.read(session.store).known]
    made = [
        one
        for one in _joined(found)
        if not any(recalling.are_alike(recalling.shingles(one.text), other) for other in said)
    ]
    if dry_run or not made:
        return Learned(tuple(map(Known, made)), frozenset(one.id for one in made))
    return _store(session, made, f"learn {len(made)} things from plan {record.id}")


def _taught(task: Task, entries: Iterable[Entry]) -> Iterator[Learning]:
    for entry in entries:
        event, owned = entry.event, task.owned
        if event.name == "block" and event.fields.get("code") != ATTEMPTS:
            words = f"{event.fields.get('code', '')}: {event.fields.get('reason', '')}"
            yield from _pitfall(task, entry, words, owned)
        elif event.name in _REFUTING:
            for found in event.fields.get("findings", ()):
                path = followups.path_of(found.path)
                paths = [followups.pattern(path)] if path else owned
                if found.source not in followups.OWN:
                    yield from _pitfall(task, entry, found.text, paths)


def _pitfall(task: Task, entry: Entry, text: str, paths: Sequence[str]) -> Iterator[Learning]:
    words = _cut(harmless(text))
    if words:
        yield learnings.make(
            words,
            by=entry.event.actor,
            at=entry.event.at,
            kind=Kind.PITFALL,
            task=str(task.id),
            paths=paths[:MAX_NAMES],
            labels=task.labels[:MAX_NAMES],
        )


def _cut(text: str) -> str:
    data = text.strip().encode()
    return (
        text.strip()
        if len(data) <= MAX_TEXT_BYTES
        else data[: MAX_TEXT_BYTES - 3].decode("utf-8", "ignore") + "…"
    )


def _joined(found: Iterable[Learning]) -> Iterator[Learning]:
    """Those that say nearly the same as one, about the files and labels of all."""
    groups: list[tuple[frozenset[str], list[Learning]]] = []
    for one in found:
        parts = recalling.shingles(one.text)
        same = next((group for said, group in groups if recalling.are_alike(parts, said)), None)
        if same is None:
            groups.append((parts, [one]))
        else:
            same.append(one)
    for _, group in groups:
        first = group[0]
        yield learnings.make(
            first.text,
            by=first.by,
            at=first.at,
            kind=first.kind,
            task=first.task,
            paths=list(dict.fromkeys(path for one in group for path in one.paths))[:MAX_NAMES],
            labels=list(dict.fromkeys(label for one in group for label in one.labels))[:MAX_NAMES],
        )
