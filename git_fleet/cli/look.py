"""Looking at the fleet. Nothing here writes (invariant I8)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from git_fleet.app import places, sharing
from git_fleet.app import status as looking
from git_fleet.app.session import Session
from git_fleet.cli.across import show_all, workspace_option
from git_fleet.cli.call import Call, Group, command, examples, write, write_bytes, write_path
from git_fleet.cli.named import PLAN, TASK, TASK_OR_PLAN
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.results import LogLine
from git_fleet.errors import InvalidInput
from git_fleet.views import machine, text


def overview(call: Call) -> None:
    """What bare `git fleet` shows."""
    from git_fleet.views import machine_status, standing

    with call.session(reading=True) as session:
        found = looking.status(session, details=call.as_json)  # the few lines name no commits or changes
    call.show(lambda: machine_status.status(found), lambda look: standing.overview(found, look))


@click.command(
    epilog=examples(
        "git fleet status",
        "git fleet status tasks-app                    one plan alone",
        "git fleet status --watch                      as it changes",
        "git fleet status --json | jq '.plans[].counts'",
        "git fleet status --porcelain -z               for scripts; git help fleet has the format",
        "PS1='$(git fleet status --line 2>/dev/null) $ '   in a prompt",
    )
)
@click.argument("plan", type=PLAN, required=False)
@click.option("--all", "everything", is_flag=True, help="Every task, and closed plans too.")
@click.option("--watch", is_flag=True, help="Look on, until Ctrl-C; with --json a document for each change.")
@click.option("--line", is_flag=True, help="In one short line, for prompts and status lines.")
@click.option("--porcelain", is_flag=False, flag_value="1", type=click.Choice(["1"]), metavar="[VERSION]",
              help="For scripts: one fact a line, in a format that stays.")  # fmt: skip
@click.option("-z", "nul", is_flag=True, help="With --porcelain: lines end with NUL, and nothing is quoted.")
@workspace_option("All repositories of the workspace, side by side")
@command
def status(
    call: Call,
    plan: str | None,
    everything: bool,
    watch: bool,
    line: bool,
    porcelain: str | None,
    nul: bool,
    workspace: str | None,
) -> int:
    """Who does what, what waits for what, and what to do next."""
    from git_fleet.views import machine_status, standing

    asked = {"--watch": watch, "--line": line, "--porcelain": porcelain is not None}
    given = [name for name, wanted in {**asked, "--json": call.as_json}.items() if wanted]
    if len(given) > 1 and given != ["--watch", "--json"]:
        raise click.UsageError(f"{' and '.join(given)}: one at a time")
    if nul and porcelain is None:
        raise click.UsageError("-z goes with --porcelain")
    if workspace is not None:
        if plan is not None or given not in ([], ["--json"]):
            raise click.UsageError(f"--workspace goes without {'PLAN' if plan is not None else given[0]}")
        return show_all(
            call,
            workspace,
            partial(looking.status, closed=everything),
            machine_status.status,
            lambda value, look: standing.status(value, look, everything=everything),
        )
    if watch:
        from git_fleet.cli import watch as watching

        watching.status(call, plan, everything=everything)
        return 0
    with call.session(reading=True) as session:
        if line:
            sharing.as_known(session.store)  # a prompt does not wait for a server
        found = looking.status(session, plan, closed=everything, details=not line)
        placed = session.placement
    if line:
        write(standing.one_line(found, TaskId(placed.plan, placed.task) if placed else None))
    elif porcelain is not None:
        write_bytes(machine_status.to_bytes(machine_status.porcelain(found, nul=nul)))
    else:
        call.show(
            lambda: machine_status.status(found),
            lambda look: standing.status(found, look, everything=everything),
        )
    return 0


@click.command(epilog=examples("git fleet ready", "git fleet ready --json | jq -r '.tasks[].task_id'"))
@workspace_option("In each repository of the workspace")
@command
def ready(call: Call, workspace: str | None) -> int:
    """What can be claimed now."""
    if workspace is not None:
        return show_all(call, workspace, looking.ready, machine.ready, text.ready)
    with call.session(reading=True) as session:
        found = looking.ready(session)
    call.show(lambda: machine.ready(found), lambda look: text.ready(found, look))
    return 0


@click.command(epilog=examples("git fleet explain 42", "git fleet explain        in the task's worktree"))
@click.argument("task", type=TASK, required=False)
@command
def explain(call: Call, task: str | None) -> None:
    """How a task stands, why it cannot be claimed now, and what would change that."""
    with call.session(reading=True) as session:
        found = looking.explain(session, task)
        now = session.now()
    call.show(lambda: machine.explain(found), lambda look: text.explain(found, now, look))


@click.command(
    epilog=examples(
        "git fleet siblings        in a task's worktree", "git fleet siblings tasks-app   all of a plan"
    )
)
@click.argument("name", type=TASK_OR_PLAN, required=False, metavar="[TASK|PLAN]")
@command
def siblings(call: Call, name: str | None) -> None:
    """What the other tasks of the plan are doing; who met the same wall."""
    with call.session(reading=True) as session:
        found = looking.siblings(session, name)
    call.show(lambda: machine.siblings(found), lambda look: text.siblings(found, look))


@click.command(
    epilog=examples(
        "git fleet log 42",
        "git fleet log 42 --event 3f2a9c81d0   with what its gate printed",
        "git fleet log 42 --output | less      all that its agents printed",
    )
)
@click.argument("name", type=TASK_OR_PLAN, required=False, metavar="[TASK|PLAN]")
@click.option("--event", metavar="ID", help="The texts of one event: log chunks, findings, gate output.")
@click.option("--output", is_flag=True, help="What the task's agents printed, on this machine.")
@command
def log(call: Call, name: str | None, event: str | None, output: bool) -> None:
    """A task's story so far (or a plan's), oldest first."""
    from git_fleet.app import history as telling

    if output and event is not None:
        raise click.UsageError("--output and --event are two things to show: take one of them")
    with call.session(reading=True) as session:
        if output:
            _outputs(call, session, name)
            return
        found = telling.history(session, name)
        if event is not None:
            oid = _event(found.events, event)
            texts = telling.texts(session, oid)
            call.show(lambda: machine.event_texts(oid, texts), lambda look: text.event_texts(texts, look))
            return
        now = session.now()
    call.show(lambda: machine.log(found), lambda look: text.log(found, now, look))


def _outputs(call: Call, session: Session, name: str | None) -> None:
    from git_fleet.app import history as telling
    from git_fleet.views import machine_run, run

    task, found = telling.outputs_of(session, name)
    now = session.now()
    call.show(lambda: machine_run.outputs(task, found), lambda how: run.outputs(task, found, now, how))


def _event(events: Sequence[LogLine], wanted: str) -> Oid:
    """The one event whose id begins so."""
    fitting = [event.oid for event in events if wanted and event.oid.startswith(wanted.lower())]
    if len(fitting) != 1:
        what = "more than one event has" if fitting else "no event has"
        raise InvalidInput(f"{what} an id that begins with {wanted!r}", hint="git fleet log TASK lists them")
    return fitting[0]


@click.command(
    epilog=examples(
        "git fleet prompt 42                          what the agent of task 42 is told",
        'claude -p "$(git fleet prompt)"              tell an agent, in the task\'s worktree',
    )
)
@click.argument("task", type=TASK, required=False)
@command
def prompt(call: Call, task: str | None) -> None:
    """What a task's agent is told: the task, its files, the checks, findings, the commands to end it.

    What others wrote in it is quoted, each with its source. `prompt` of [worker] in fleet.toml names a
    template of your own.
    """
    from git_fleet.app import prompt as prompting

    with call.session(reading=True) as session:
        found = prompting.prompt(session, task)
    call.show(
        lambda: machine.prompt(found.task, found.text, found.template), lambda _: found.text.rstrip("\n")
    )


@click.command(epilog=examples('cd "$(git fleet path 42)"'))
@click.argument("task", type=TASK)
@command
def path(call: Call, task: str) -> None:
    """Where a task is worked on."""
    with call.session(reading=True) as session:
        found = places.path_of(session, task)
    if call.as_json:
        call.show(lambda: machine.path(found), str)
    else:
        write_path(found)


@click.group(cls=Group, epilog=examples("git fleet worktree list"))
def worktree() -> None:
    """The fleet's worktrees on this machine."""


@worktree.command("list", epilog=examples("git fleet worktree list"))
@command
def worktree_list(call: Call) -> None:
    """Every worktree of a task here, and what is in it."""
    from git_fleet.views import upkeep

    with call.session(reading=True) as session:
        found = looking.list_worktrees(session)
    call.show(lambda: machine.worktree_list(found), lambda look: upkeep.worktrees(found, look))
