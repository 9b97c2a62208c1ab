"""Setting up a repository, checking it, tidying up after tasks that have ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from git_fleet.cli.call import Call, command, dry_run_option, examples
from git_fleet.cli.named import TASK
from git_fleet.cli.progress import progress, working
from git_fleet.views import machine, upkeep


@click.command(
    epilog=examples(
        "git fleet init               look at the repository, propose fleet.toml, install the hooks",
        "git fleet init --agents      also what coding agents read, and their own hooks",
        "git fleet init -n            only say what it would do",
        "git fleet init --uninstall   take all that out again, and the checkouts for gates",
    )
)
@click.option(
    "--uninstall",
    is_flag=True,
    help="Take the hooks out again, put the old ones back, and remove the checkouts for gates.",
)
@click.option("--agents", is_flag=True, help="Also set up Claude Code, Codex, Gemini CLI and OpenCode.")
@click.option("--config-hooks", is_flag=True, help="Hooks by configuration (git 2.54 and newer).")
@dry_run_option
@command
def init(call: Call, uninstall: bool, agents: bool, config_hooks: bool, dry_run: bool) -> None:
    """Set up this repository. Writes nothing that is there already; prints what to commit."""
    from git_fleet.app import initialise

    if uninstall and config_hooks:
        raise click.UsageError("--uninstall takes every kind of hook out: it goes without --config-hooks")
    if uninstall and agents:
        raise click.UsageError("--uninstall takes what is for agents out as well: it goes without --agents")
    with call.session() as session, working(call, "looking at the repository"):
        if uninstall:
            found = initialise.uninstall(session, dry_run=dry_run)
        else:
            found = initialise.initialise(session, config_hooks=config_hooks, agents=agents, dry_run=dry_run)
    call.show(
        lambda: machine.init(found, dry_run=dry_run), lambda look: upkeep.init(found, look, dry_run=dry_run)
    )


@click.command(
    epilog=examples(
        "git fleet guard --server /srv/git/app.git           on the server: who may move which ref",
        "git fleet guard --server /srv/git/app.git --plain   in git and sh alone, without git-fleet",
        "git fleet guard --server /srv/git/app.git --uninstall",
    )
)
@click.option(
    "--server",
    required=True,
    type=click.Path(path_type=Path),
    metavar="BARE_REPO",
    help="The repository that all push to.",
)
@click.option("--plain", is_flag=True, help="Only the rules for refs, which need no git-fleet to run there.")
@click.option("--uninstall", is_flag=True, help="Take the hook out again, and put the old one back.")
@dry_run_option
@command
def guard(call: Call, server: Path, plain: bool, uninstall: bool, dry_run: bool) -> None:
    """Guard a repository that is pushed to: refuse, with the reason, what a worker may not do."""
    from git_fleet.app import guarding
    from git_fleet.views import guard as shown

    if uninstall and plain:
        raise click.UsageError("--uninstall takes either kind of wall out: it goes without --plain")
    place = call.directory / server
    if uninstall:
        found = guarding.take_out(place, dry_run=dry_run)
    else:
        found = guarding.guard(place, plain=plain, dry_run=dry_run)
    call.show(
        lambda: shown.document(found, dry_run=dry_run), lambda look: shown.text(found, look, dry_run=dry_run)
    )


@click.command(
    epilog=examples(
        "git fleet doctor",
        "git fleet doctor --fix",
        "git fleet doctor --signatures",
        "git fleet doctor --remote          can the server of the remote that fleet.toml names decide?",
        "git fleet doctor --remote=backup   can that one's?",
    )
)
@click.option("--fix", is_flag=True, help="Put right what is safe to put right.")
@click.option("--signatures", is_flag=True, help="Also check who has signed each event.")
@click.option(
    "--remote",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Only try what a git server can, on refs of its own.",
)
@command
def doctor(call: Call, fix: bool, signatures: bool, remote: str | None) -> int:
    """Check that everything holds: refs, logs, hooks, worktrees, main. Ends with 1 when it does not."""
    from git_fleet.app import doctor as checking

    if remote is not None and (fix or signatures):
        raise click.UsageError("--remote only looks at a server: it goes without --fix and --signatures")
    with call.session(reading=True) as session, working(call, "checking"):
        found = (
            checking.doctor(session, fix=fix, signatures=signatures)
            if remote is None
            else checking.probe(session, remote)
        )
    call.show(lambda: machine.doctor(found), lambda look: upkeep.doctor(found, look))
    return 0 if found.ok else 1


@click.command(
    epilog=examples(
        "git fleet cleanup        every worktree whose task has ended, or went on elsewhere",
        "git fleet cleanup -n     only say which",
        "git fleet cleanup 42     this task's",
    )
)
@click.argument("tasks", type=TASK, nargs=-1, metavar="[TASK]…")
@click.option("--no-teardown", is_flag=True, help="Leave out the teardown that fleet.toml asks for.")
@dry_run_option
@command
def cleanup(call: Call, tasks: tuple[str, ...], no_teardown: bool, dry_run: bool) -> int:
    """Remove worktrees that nobody needs any more. What is in them is kept, or they stay.

    The teardown of fleet.toml runs in each first; one whose teardown fails stays. The checkouts for gates
    stay too, for the next integration; `init --uninstall` removes them.
    Ends with 1 when one that was named stays.
    """
    from git_fleet.app import tidy

    with call.session() as session, progress(call) as bar:
        found = tidy.cleanup(session, tasks, dry_run=dry_run, teardown=not no_teardown, watch=bar)
    call.show(
        lambda: machine.cleanup(found, dry_run=dry_run),
        lambda look: upkeep.cleanup(found, look, dry_run=dry_run),
    )
    return 1 if tasks and any(one.kept for one in found) else 0


@click.command(
    hidden=True, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def hook(name: str, arguments: tuple[str, ...]) -> None:
    """What git's hooks call.

    The decision of hook NAME on git's own arguments and input.
    The hooks' own program takes over this process, so that they never wait for this command line.
    """
    sys.stdout.flush()
    start = "from git_fleet.hook import entry; entry()"
    os.execv(sys.executable, [sys.executable, "-P", "-c", start, name, *arguments])  # noqa: S606 - no shell wanted
