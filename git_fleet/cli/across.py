"""`--workspace` of the reading commands: the same question to every repository of a workspace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from git_fleet.cli.call import Call, Document, surroundings
from git_fleet.cli.progress import working

if TYPE_CHECKING:
    from git_fleet.app.session import Session
    from git_fleet.core.workspace import Workspace
    from git_fleet.views.look import Look

T = TypeVar("T")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

HERE = "."


def workspace_option(what: str) -> Callable[[Decorated], Decorated]:
    """`--workspace [DIR]`: None when it is not given, `HERE` without a folder."""
    return click.option(
        "--workspace",
        "workspace",
        is_flag=False,
        flag_value=HERE,
        metavar="[DIR]",
        help=f"{what} (DIR: its folder).",
    )


def found(call: Call, given: str | None) -> Workspace:
    """The workspace that is meant. Raises InvalidInput, UsageError."""
    from git_fleet.app import workspaces

    if not call.directory.is_dir():
        raise click.UsageError(f"-C {call.directory}: no such folder")
    return workspaces.require(call.directory, surroundings().env, "" if given in (None, HERE) else str(given))


def show_all(
    call: Call,
    given: str,
    question: Callable[[Session], T],
    document: Callable[[T], Document],
    text: Callable[[T, Look], str],
) -> int:
    """Ask every repository, and show the answers side by side. Ends with 1 when one of them could not be read."""
    from git_fleet.app.wide import across
    from git_fleet.views import workspace as views

    space = found(call, given)
    with working(call, "looking at the repositories"):
        answers = across.ask(space, surroundings(), question)
    call.show(
        lambda: views.answers(space, answers, lambda value: dict(document(value))),
        lambda look: views.side_by_side(answers, lambda value: text(value, look), look),
    )
    return int(any(answer.error is not None for answer in answers))
