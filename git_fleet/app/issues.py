"""`plan sync-issues`: what was integrated is closed where it came from. Nothing is ever opened again.

An issue is closed once all tasks that came from it are integrated. What has been done is remembered by the tracker:
an issue that is closed is left alone, and a comment of ours that is there already is not written twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from git_fleet.app import exporting, gh
from git_fleet.app.importers import extra
from git_fleet.app.importers.github import is_issue_url
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.core.model import State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.tracked import Fate, Synced, TrackedIssue
from git_fleet.errors import FleetError
from git_fleet.git.flocks import alone

_BY_HAND = {
    "beads": "git fleet plan export {plan} --format beads | bd import -",
    "backlog": "set it to Done in Backlog.md",
    "taskmaster": "set it to done in Task Master",
}


def sync(session: Session, plan_id: str, *, close: bool) -> Synced:
    """The issues whose tasks are integrated; with `close` those of GitHub are closed through gh, if it is there.

    Raises InvalidInput when there is no such plan.
    """
    snapshot = session.snapshot()
    record = snapshot.plan(plan_id)
    found = tuple(_finished(exporting.records(session, snapshot, record), record.id))
    folder = session.repo.main_worktree() or session.repo.common_dir
    program = gh.find(folder, session.around.env)
    if close and program is not None:
        session.repo.fleet_dir.mkdir(exist_ok=True)
        with alone(session.repo.fleet_dir / "issues.lock"):  # two at once would both comment
            found = tuple(_close(found, program))
    return Synced(record.id, found, close, program is not None)


def _finished(records: list[TaskRecord], plan_id: str) -> Iterator[TrackedIssue]:
    """Every issue that tasks came from and of which no task is left to do, in the order of the plan."""
    tasks: dict[tuple[str, str], list[TaskRecord]] = {}
    for record in records:
        for place in _places(record):
            tasks.setdefault(place, []).append(record)
    for (tracker, reference), of_issue in tasks.items():
        if all(record.state.state is State.INTEGRATED for record in of_issue):
            ids = tuple(record.id for record in of_issue)
            if tracker in _BY_HAND:
                yield TrackedIssue(tracker, reference, ids, detail=_BY_HAND[tracker].format(plan=plan_id))
            elif not _is_reference(reference):
                yield TrackedIssue(
                    tracker,
                    reference,
                    ids,
                    fate=Fate.FAILED,
                    detail="extra.github is not what an import wrote",
                )
            else:
                command = ("gh", "issue", "close", reference, "--comment", _comment(of_issue))
                yield TrackedIssue(tracker, reference, ids, command)


def _places(record: TaskRecord) -> Iterator[tuple[str, str]]:
    """(tracker, the issue's name there) of what the task came from. GitHub's is its address where that is known."""
    for tracker in ("github", *_BY_HAND):
        try:
            fields = extra.unpack(tracker, record.task.extra)
        except FleetError:
            yield tracker, "?"
            continue
        if fields is not None:
            name = fields.get("url") or fields.get("number") if tracker == "github" else fields.get("id")
            yield tracker, str(name or record.id.task)


def _is_reference(text: str) -> bool:
    """Whether gh can only take it for an issue: a number, or an issue's address."""
    return text.isdecimal() or is_issue_url(text)


def _comment(records: list[TaskRecord]) -> str:
    lines = [
        f"{record.id}: integrated as {record.state.landed}." if record.state.landed else f"{record.id}: done."
        for record in records
    ]
    return "\n".join([*lines, "", _mark(tuple(record.id for record in records))])


def _mark(ids: tuple[TaskId, ...]) -> str:
    """By which a comment of ours is known again; it is not shown to readers."""
    return f"<!-- git-fleet: {' '.join(map(str, ids))} -->"


def _close(issues: tuple[TrackedIssue, ...], program: gh.Gh) -> Iterator[TrackedIssue]:
    """What became of each. Without a login, or an answer in time, the others need not be tried."""
    refused = ""
    for issue in issues:
        if not issue.command or issue.fate is Fate.FAILED:
            yield issue
        elif refused:
            yield replace(issue, fate=Fate.FAILED, detail=refused)
        else:
            try:
                yield replace(issue, fate=_close_one(issue, program))
            except gh.Failed as error:
                refused = error.why if error.for_all else ""
                yield replace(issue, fate=Fate.FAILED, detail=error.why)


def _close_one(issue: TrackedIssue, program: gh.Gh) -> Fate:
    """Close it unless it is closed, or was by us and somebody has opened it again. Raises gh.Failed.

    An open issue with our comment was opened again, or gh went away between comment and close. An old gh cannot
    tell: then it is left to a person.
    """
    now = program.issue(issue.reference)
    told = any(_mark(issue.tasks) in comment for comment in now.comments)
    if now.closed:
        return Fate.ALREADY_CLOSED
    if told and now.reopened is not False:
        return Fate.REOPENED
    program.close(issue.reference, "" if told else issue.command[-1])
    return Fate.CLOSED
