"""What to read first for a task. Nothing here writes (invariant I8)."""

from __future__ import annotations

import click

from git_fleet.cli.call import Call, command, examples
from git_fleet.cli.named import TASK
from git_fleet.core.context import DEFAULT_BUDGET


@click.command(
    epilog=examples(
        "git fleet context              in a task's worktree",
        "git fleet context 42 --budget 8000",
        "git fleet context 42 --json | jq -r '.files[].path'   for a script",
    )
)
@click.argument("task", type=TASK, required=False)
@click.option(
    "--budget",
    type=click.IntRange(1, 100_000_000),
    default=DEFAULT_BUDGET,
    show_default=True,
    metavar="TOKENS",
    help="How much the files may have together, at four characters a token.",
)
@command
def context(call: Call, task: str | None, budget: int) -> None:
    """The files that a task's agent should read first, the most important first.

    Those it owns and reads, then what its Python files import and who imports them, then what history changes with
    them, as they are on the base branch. What does not fit the budget is named, and so is what is no text.
    """
    from git_fleet.app import context as finding
    from git_fleet.views import context as views

    with call.session(reading=True) as session:
        found = finding.context(session, task, budget)
    call.show(lambda: views.document(found), lambda look: views.context(found, look))
