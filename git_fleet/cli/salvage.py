"""Saved work: `snapshot` takes one, `salvage` lists what is kept, shows it and takes it up again."""

from __future__ import annotations

import click

from git_fleet.app import keeping
from git_fleet.cli.call import Call, Group, command, examples
from git_fleet.cli.named import TASK
from git_fleet.views import machine_salvage
from git_fleet.views import salvage as view

_CONFLICT = 5  # a person (or whoever works there) has to look


@click.command(
    epilog=examples("git fleet snapshot       inside the task's worktree", "git fleet snapshot 42")
)
@click.argument("task", type=TASK, required=False)
@command
def snapshot(call: Call, task: str | None) -> None:
    """Save a task's worktree now, as progress and renew do. Nothing in it is touched."""
    with call.session() as session:
        taken = keeping.take_snapshot(session, task)
    call.show(lambda: machine_salvage.snapshot(taken), lambda look: view.snapshot(taken, look))


@click.group(
    cls=Group,
    epilog=examples(
        "git fleet salvage list               all there is",
        "git fleet salvage show 42 --patch    what was saved last of task 42",
        "git fleet salvage apply 42 1         its first salvage, as changes of this worktree",
    ),
)
def salvage() -> None:
    """Work that was kept: of workers that were lost, of tasks given back, of worktrees now."""


@salvage.command("list", epilog=examples("git fleet salvage list", "git fleet salvage list 42"))
@click.argument("task", type=TASK, required=False)
@command
def salvage_list(call: Call, task: str | None) -> None:
    """All kept work, of one task or of all, oldest first."""
    with call.session(reading=True) as session:
        found = keeping.listing(session, task)
        now = session.now()
    call.show(lambda: machine_salvage.listing(found), lambda look: view.listing(found, now, look))


@salvage.command(
    "show", epilog=examples("git fleet salvage show 42 snapshot", "git fleet salvage show 42 1 -p")
)
@click.argument("task", type=TASK)
@click.argument("number", required=False, metavar="[N|snapshot]")
@click.option("-p", "--patch", is_flag=True, help="The diff, too (its first 1 MiB).")
@command
def salvage_show(call: Call, task: str, number: str | None, patch: bool) -> None:
    """The commits in it and the files it changes; without a number, of what was saved last."""
    with call.session(reading=True) as session:
        shown = keeping.show(session, task, number, patch=patch)
    call.show(lambda: machine_salvage.show(shown), lambda look: view.show(shown, look))


@salvage.command(
    "apply",
    epilog=examples(
        "git fleet salvage apply 42              as staged changes of this worktree, which must be clean",
        "git fleet salvage apply 42 1 --branch rescued   as a branch; this worktree is not touched",
    ),
)
@click.argument("task", type=TASK)
@click.argument("number", required=False, metavar="[N|snapshot]")
@click.option("--branch", default="", metavar="NAME", help="Make this branch of it instead.")
@command
def salvage_apply(call: Call, task: str, number: str | None, branch: str) -> int:
    """Take kept work up again. It stays kept. Ends with 5 when conflicts are left to resolve."""
    with call.session() as session:
        done = keeping.apply(session, task, number, branch=branch)
    call.show(lambda: machine_salvage.applied(done), lambda look: view.applied(done, look))
    return _CONFLICT if done.conflicts else 0
