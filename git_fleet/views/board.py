"""The pages of the board: the report's parts, live, and a page for each task. For looking only: what can be done
about something is shown as the command to copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from git_fleet.core.collisions import WATCH
from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.reviewing import TaskReview
from git_fleet.core.showing import Detail, Patch, Shown
from git_fleet.views import conflicts, matrix
from git_fleet.views.layout import layout
from git_fleet.views.report import Page
from git_fleet.views.timeline import THIN
from git_fleet.views.web import Load, environment

MOST_FILES = 200
MOST_LINES = 4000
"""Lines of a patch that are shown."""

_STYLES = ("colours.css", "graph.css", "page.css", "board.css")
_AT_WORK = frozenset({State.CLAIMED, State.REWORK, State.BLOCKED, State.PARKED})


class Place(NamedTuple):
    """Where a board is: below which path of its server, of which repository of which workspace, in which folder."""

    path: str = ""
    workspace: str = ""
    repo: str = ""
    folder: str = ""

    def task(self, task: TaskId) -> str:
        """Where it tells of a task."""
        return f"{self.path}/task/{task.plan}/{task.task}"


ALONE = Place()


def repo_path(repo: str) -> str:
    """Below which path the board of one repository of a workspace is."""
    return f"/repo/{repo}"


class Act(NamedTuple):
    """What a person can do, and the command for it."""

    what: str
    command: str


class PatchLine(NamedTuple):
    """One line of a patch, and its colour: add, del, hunk, file or nothing."""

    kind: str
    text: str


def style(load: Load) -> str:
    """The style of all pages."""
    return "".join(map(load, _STYLES))


def plan_page(value: Shown, load: Load, *, whole: bool, place: Place = ALONE) -> str:
    """One plan: the `whole` page, or what of it changes."""
    page = Page(value.report) if value.report else None
    return (
        environment(load)
        .get_template("board_plan.html.j2")
        .render(
            whole=whole,
            place=place,
            shown=value,
            page=page,
            drawing=layout(value.picture),
            plans=value.plans,
            current=value.plan,
            title=value.title,
            at=value.at,
            busy=_busy(page),
            collisions=list(conflicts.rows(value.collisions)),
            links=place.task,
            words=matrix,
            thin=THIN,
        )
    )


def task_page(value: Detail, load: Load, *, whole: bool, place: Place = ALONE) -> str:
    """One task: the `whole` page, or what of it changes."""
    logs = {log.gate: log for log in value.logs}
    return (
        environment(load)
        .get_template("board_task.html.j2")
        .render(
            whole=whole,
            place=place,
            detail=value,
            task=value.task,
            plans=value.plans,
            current=value.task.id.plan,
            title=f"{value.task.id.task}: {value.task.record.task.title}",
            at=value.at,
            acts=list(acts(value)),
            waits=[reason for reason in value.reasons if reason.code == WATCH],
            reasons=[reason for reason in value.reasons if reason.code != WATCH],
            collisions=list(conflicts.rows(value.collisions)),
            logs=logs,
            lines=list(patch_lines(value.patch)) if value.patch else [],
            links=place.task,
            most=MOST_FILES,
        )
    )


def note_page(
    load: Load, *, whole: bool, title: str, text: str, command: str = "", place: Place = ALONE
) -> str:
    """A page that says one thing, and what to type."""
    return (
        environment(load)
        .get_template("board_note.html.j2")
        .render(whole=whole, place=place, plans=(), current="", title=title, text=text, command=command)
    )


def _busy(page: Page | None) -> list[TaskReview]:
    """The tasks that somebody is at, or that stand still."""
    tasks = page.report.review.tasks if page else ()
    return [task for task in tasks if task.state in _AT_WORK]


def acts(value: Detail) -> Iterator[Act]:
    """What can be done about a task as it stands, and how to look closer."""
    task = value.task
    if not any(row.plan == task.id.plan and row.state is PlanState.CLOSED for row in value.plans):
        yield from _changes(task, ready=not value.reasons)
    if task.record.state.attempt:
        yield Act("all that its agents printed", f"git fleet log {task.id} --output")
    yield Act("as its reviewer sees it", f"git fleet review {task.id.plan} --task {task.id.task}")


def _changes(task: TaskReview, *, ready: bool) -> Iterator[Act]:
    name = str(task.id)
    match task.state:
        case State.PENDING | State.REWORK if ready:
            yield Act("take it", f"git fleet claim {name}")
        case State.CLAIMED:
            yield Act("watch its agent", f"git fleet attach {name}")
            yield Act("go where it is worked on", f'cd "$(git fleet path {name})"')
            yield Act("end its agent, keep its work", f"git fleet kill {name}")
        case State.PROPOSED | State.VERIFIED | State.PARKED:
            yield Act("accept it", f"git fleet accept {name}")
            yield Act("send it back", f'git fleet reject {name} --finding "…"')
            yield Act("bring it to the base branch", f"git fleet integrate {name}")
        case State.BLOCKED:
            yield Act("let it go on", f"git fleet unblock {name}")
            yield Act("give it up for now", f"git fleet shelve {name}")
        case State.INTEGRATED:
            yield Act("take exactly its commit back", f"git fleet revert {name}")
        case State.CANCELLED | State.REVERTED:
            yield Act("bring it back", f"git fleet reopen {name}")


def patch_lines(patch: Patch) -> Iterator[PatchLine]:
    """The lines of a patch with their colours; of a long one the beginning."""
    header = True
    for number, text in enumerate(patch.text.split("\n")):
        if number >= MOST_LINES:
            yield PatchLine("hunk", f"… more than {MOST_LINES} lines; git fleet review shows what changed")
            return
        if text.startswith("diff --git "):
            header = True
        elif text.startswith("@@"):
            header = False
        yield PatchLine(_kind(text, header=header), text)


def _kind(text: str, *, header: bool) -> str:
    if header:
        return "file" if text.startswith("diff ") else "hunk"
    return {"+": "add", "-": "del", "@": "hunk"}.get(text[:1], "")
