"""Closing an intent: what follows from a main that has moved, however far whoever moved it had come (DESIGN section 3).

Every step may be done again, by anybody who leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from git_fleet.app import homing
from git_fleet.app.lead import Leading
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import State
from git_fleet.core.snapshot import Snapshot
from git_fleet.errors import LostRace, NeedsPerson
from git_fleet.git import contents, moves, worktrees
from git_fleet.git.refs import Absent, Update
from git_fleet.store import evidence, names, tasks
from git_fleet.store import lead as log
from git_fleet.store.lead import Intent, Landing
from git_fleet.store.shared import SharedRefs

_TRIES = 20
_BY_A_FORGE = ("via", "url", "below")
"""What an `integrate` event says, and the evidence with it, where a pull request was merged."""


def settle(leading: Leading) -> str:
    """Close the open intent: complete it if main has its commits, else void it.

    "complete", "void", or "" when none is open. Every step may be done again. Raises NeedsPerson when
    the worktree of main holds files that are neither the old nor the new ones, and when a commit made
    before that worktree followed has taken back what landed.
    """
    session, record = leading.work, leading.record
    if record.state.intent is None:
        return ""
    intent = log.read_intent(session.store, record.state.intent)
    main, landed = session.store.refs.get(intent.ref), log.landed(session.store, intent)
    if landed:
        refuse_undone(session, intent, main)
        _finish_checkout(session, intent, main)
        refuse_undone(session, intent, session.store.refs.get(intent.ref))
        finish_tasks(leading, landed)
        note(session, landed)
    return close(leading, "complete" if landed else "void")


def note(session: Session, landings: Sequence[Landing]) -> None:
    """Write the evidence of what landed."""
    notes = {landing.commit: landing.note for landing in landings}
    evidence.add(session.store, notes, actor=session.person(), at=session.now())


def close(leading: Leading, name: str) -> str:
    """Write the end of the intent: `name`."""
    store, person, now = leading.work.store, leading.work.person(), leading.work.now()
    leading.write(lambda record: log.close(store, record, name, actor=person, now=now))
    return name


def refuse_undone(session: Session, intent: Intent, main: Oid | Absent) -> None:
    """Main has gone on from what landed: it must not have been taken back by accident, which is what
    `git commit` does in a worktree whose files had not followed. Raises NeedsPerson."""
    if isinstance(main, Absent) or main == intent.new:
        return
    objects = session.store.objects
    since = {change.path for change in objects.changed_paths(intent.old, main)}
    undone = [c.path for c in objects.changed_paths(intent.old, intent.new) if c.path not in since]
    said = session.repo.git().text("log", "--format=%B", f"{intent.new}..{main}") if undone else ""
    if not undone or any(f"This reverts commit {each.commit}" in said for each in intent.landings):
        return
    branch, new = intent.ref.removeprefix("refs/heads/"), intent.new
    raise NeedsPerson(
        f"a later commit on {branch} took back what {new[:12]} had brought, maybe because the files here had not"
        f" followed when it was made: {contents.listing(undone)}",
        hint=f"git checkout {new[:12]} -- PATH brings a file back, for you to commit; if it was meant, say so in a"
        f' commit of its own (git commit --allow-empty -m "This reverts commit {new}."); then git fleet integrate',
    )


def _finish_checkout(session: Session, intent: Intent, main: Oid | Absent) -> None:
    """Bring the worktree of main along, unless it has left the branch or main has gone on since."""
    if isinstance(session.store.refs, SharedRefs):
        if isinstance(main, str):
            homing.catch_up(session, intent.ref, main)
        return
    path = Path(intent.checkout) if intent.checkout else None
    if path is None or main != intent.new or not path.is_dir():
        return
    if path not in worktrees.occupied(session.repo, intent.ref):
        return
    moves.finish_move(path, intent.old, intent.new)


def finish_tasks(leading: Leading, landed: Sequence[Landing]) -> None:
    """Append the tasks' events: those prepared where nothing happened since, else new ones."""
    session = leading.work
    now = session.store.refs.read(*(names.task_log(landing.task) for landing in landed))
    there = [
        landing for landing in landed if now.get(names.task_log(landing.task)) not in (None, landing.event)
    ]
    waiting = [
        landing
        for landing in there
        if now.get(names.task_log(landing.task)) == landing.tip and _is_written(session, landing.event)
    ]
    others = [landing for landing in there if landing not in waiting]
    try:
        session.store.transact([Update(names.task_log(each.task), each.tip, each.event) for each in waiting])
    except LostRace:
        others += waiting
    if others:
        session.store.objects.save()
        snapshot = leading.session.snapshot()
        for landing in others:
            _complete(leading.session, snapshot, landing)  # it saves work by git, which knows no drafts


def _complete(session: Session, snapshot: Snapshot, landing: Landing) -> None:
    """The task moved after its integration was decided: main wins, whatever it is now. Whoever holds
    it is told at its next step, and its work is kept."""
    record = snapshot.record(landing.task)
    if record is None:
        return  # its plan was closed
    for attempt in range(_TRIES):
        record = session.reread(record)
        if (record.state.state is State.INTEGRATED) is not landing.reverts or _follows(
            session, record.tip, landing.event
        ):
            return
        fields: dict[str, Any] = {"commit": landing.commit, "number": landing.proposal}
        if not landing.reverts:
            import tomllib

            from git_fleet.app import placing

            said = tomllib.loads(landing.note)  # the event itself may be in the clone of a lead that died
            fields |= {"completing": True} | {key: said[key] for key in _BY_A_FORGE if key in said}
            fields |= placing.rescue(session, record, leave=True).fields()
        name = "revert" if landing.reverts else "integrate"
        try:
            tasks.append(session.store, record, Event(name, session.now(), session.person(), fields))
            return
        except LostRace:
            if attempt == _TRIES - 1:
                raise


def _is_written(session: Session, event: Oid) -> bool:
    """Whether a prepared event is here: a lead of another clone may have died before it could be pushed."""
    return not isinstance(session.store.refs, SharedRefs) or session.store.objects.exists(event)


def _follows(session: Session, at: Oid | None, event: Oid) -> bool:
    """Whether the task's log has the event already, and went on from there."""
    return at is not None and _is_written(session, event) and session.store.objects.is_ancestor(event, at)
