"""Setting up a repository, checking it, tidying up after tasks that have ended."""

from __future__ import annotations

import os
import sys

import click

from git_fleet.cli.call import Call, command, examples
from git_fleet.views import landing, machine


@click.command(epilog=examples("git fleet doctor", "git fleet doctor --fix"))
@click.option("--fix", is_flag=True, help="Put right what is safe to put right.")
@command
def doctor(call: Call, fix: bool) -> int:
    """Check that everything holds: refs, logs, hooks, worktrees, main. Ends with 1 when it does not."""
    from git_fleet.app import doctor as checking

    with call.session() as session:
        found = checking.doctor(session, fix=fix)
    call.show(lambda: machine.doctor(found), lambda look: landing.doctor(found, look))
    return 0 if found.ok else 1


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def hook(name: str, arguments: tuple[str, ...]) -> None:
    """What git's hooks call: the decision of hook NAME on git's own arguments and input.

    The hooks' own program takes over this process, so that they never wait for this command line.
    """
    sys.stdout.flush()
    start = "from git_fleet.hook import entry; entry()"
    os.execv(sys.executable, [sys.executable, "-c", start, name, *arguments])  # noqa: S606 - no shell wanted
