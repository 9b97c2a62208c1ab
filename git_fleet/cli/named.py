"""The kinds of arguments that are names of something: tasks, plans, files. What they are is found out by the use
cases; here is what a shell can complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from git_fleet.cli.call import Call

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from git_fleet.app.session import Session
    from git_fleet.core.snapshot import Snapshot

    Word = click.ParamType[str]
else:
    Word = click.ParamType  # generic since click 8.3 only


class Named(Word):
    """A word as it is. `tasks`, `plans`, `files` and `learnings` say what it may name."""

    name = "text"

    def __init__(
        self, *, tasks: bool = False, plans: bool = False, files: bool = False, learnings: bool = False
    ) -> None:
        self._tasks, self._plans, self._files, self._learnings = tasks, plans, files, learnings

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's signature
        """The word; where it names a task or a plan, as ids are spelled: which it is is found out by looking."""
        return value.strip().lower() if self._tasks and self._plans else value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """What there is that begins so, each with what it is. Where nothing can be read there is nothing."""
        from click.shell_completion import CompletionItem

        from git_fleet.app import sharing
        from git_fleet.errors import FleetError

        found = [CompletionItem(incomplete, type="file")] if self._files else []
        taken = ctx.params.get(param.name or "") or ()
        try:
            with _call(ctx).session(reading=True) as session:
                sharing.as_known(session.store)  # who presses Tab does not wait for a server
                snapshot = session.snapshot()
                learned = [*_learned(session)] if self._learnings else []
        except (FleetError, OSError, click.ClickException):
            return found
        names = [
            *learned,
            *(_plans(snapshot) if self._plans else ()),
            *(_tasks(snapshot, whole="/" in incomplete) if self._tasks else ()),
        ]
        return found + [
            CompletionItem(name, help=about)
            for name, about in names
            if name.startswith(incomplete) and name not in taken
        ]


def _call(context: click.Context) -> Call:
    """The call that a command line which is not finished would make."""
    given = context.find_root().params
    return Call(Path.cwd() / (given.get("directory") or ""))


def _plans(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    for plan in snapshot.plans.values():
        title = plan.approved.title if plan.approved else ""
        yield plan.id, f"{plan.state}: {title}" if title not in ("", plan.id) else str(plan.state)


def _learned(session: Session) -> Iterator[tuple[str, str]]:
    """What was learned, by the beginnings of the ids; what is retired last."""
    from git_fleet.core.recalling import SHORT_ID
    from git_fleet.store import knowledge

    for one in sorted(knowledge.read(session.store).known, key=lambda one: one.state == "retired"):
        yield one.id[:SHORT_ID], f"{one.state}: {one.learning.text}"


def _tasks(snapshot: Snapshot, *, whole: bool) -> Iterator[tuple[str, str]]:
    """The tasks that have not ended, then the others; by their short names where those are not ambiguous."""
    names = [task.task for task in snapshot.tasks]
    for record in sorted(snapshot.tasks.values(), key=lambda record: record.state.state.ended):
        short = record.id.task
        name = str(record.id) if whole or names.count(short) > 1 else short
        yield name, f"{record.state.state}: {record.task.title}"


TASK = Named(tasks=True)
PLAN = Named(plans=True)
TASK_OR_PLAN = Named(tasks=True, plans=True)
PLAN_OR_FILE = Named(plans=True, files=True)
FILE = Named(files=True)
LEARNING = Named(learnings=True)
