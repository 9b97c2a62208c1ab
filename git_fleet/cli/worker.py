"""`worker`: one worker, here or in a clone of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from git_fleet.cli.call import Amount, Call, command, examples, surroundings
from git_fleet.cli.run import COMMAND, PROGRAM, ExitOn, RunCommand, as_claimed

if TYPE_CHECKING:
    from git_fleet.app.session import Session
    from git_fleet.cli.live import Screen
    from git_fleet.core.running import Worked

_DEFAULT_MINUTES = 10.0
_FAILED = ("trouble", "unreachable")


@click.command(
    cls=RunCommand,
    options_metavar="[OPTIONS]",
    epilog=examples(
        "git fleet worker --plan tasks-app    here, until nothing is left to do",
        "git fleet worker --remote git@host:app.git --plan tasks-app   in a clone of its own, anywhere",
        "git fleet worker --plan tasks-app --task 42   this task alone",
        "git fleet worker --plan tasks-app -- claude -p '{prompt}'   with this command",
    ),
)
@click.option("--plan", required=True, metavar="PLAN", help="Work on this plan.")
@click.option(
    "--remote",
    "url",
    metavar="URL",
    help="Clone this git server's repository, and remove the clone at the end.",
)
@click.option("--task", default="", metavar="TASK", help="Work this task alone.")
@click.option("--most", type=click.IntRange(min=1), metavar="N", help="Work so many tasks at the most.")
@click.option(
    "--wait-minutes",
    type=Amount(min=0),
    default=_DEFAULT_MINUTES,
    metavar="N",
    help=f"Wait so long for a task to become ready (default {_DEFAULT_MINUTES:g}).",
)
@click.option(
    "--depth", type=click.IntRange(min=1), metavar="N", help="Clone so many commits of each branch."
)
@click.option(
    "--filter", "contents", default="", metavar="SPEC", help="Clone without some contents: blob:none."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Clone into a new folder there, and not where temporary files are.",
)
@click.option("--keep", is_flag=True, help="Leave the clone where it is.")
@command
def worker(
    call: Call,
    plan: str,
    url: str | None,
    task: str,
    most: int | None,
    wait_minutes: float,
    depth: int | None,
    contents: str,
    directory: Path | None,
    keep: bool,
) -> int:
    """Be one worker of a plan: claim, have an agent work, hand in, until there is nothing left.

    Its name (--worker) is what lasts: started again under the same name it takes its own claims over, with a new
    fence, and goes on from what was saved. SIGTERM ends the agent, saves its work and gives the task back. The exit
    code is 1 when nothing was handed in.
    """
    from git_fleet.app.clones import Wanted, cloned
    from git_fleet.cli.live import live

    if url is None and (depth or contents or directory or keep):
        raise click.UsageError(
            "--depth, --filter, --directory and --keep are about the clone of --remote URL"
        )
    given: tuple[str, ...] = click.get_current_context().meta[COMMAND]
    with live(call, plan) as screen, ExitOn(screen) as ending:

        def work(session: Session) -> Worked:
            return _work(session, plan, given, task, most or 0, wait_minutes * 60, screen, ending)

        if url is None:
            with call.session(long_lived=True, bulk=False) as session:
                found = work(session)
        else:
            wanted = Wanted(url, directory, depth or 0, contents, keep)
            with cloned(wanted, plan, surroundings(), call.worker, screen.say) as clone:
                found = work(clone.session)
            found = replace(found, left=str(clone.folder) if clone.left and not keep else "")
    return _show(call, found, ending.ended_by)


def _work(
    session: Session,
    plan: str,
    given: tuple[str, ...],
    task: str,
    most: int,
    seconds: float,
    screen: Screen,
    ending: ExitOn,
) -> Worked:
    from git_fleet.app.running import run as running
    from git_fleet.app.running.desk import Options
    from git_fleet.app.running.worker import Worker

    options = Options(
        plan=plan,
        workers=1,
        program=PROGRAM,
        verify=False,
        integrate=False,
        command=given,
        worker=session.actor,
    )
    ready = running.prepare(session, options)
    one = Worker(session, ready, screen.say, as_claimed, task=task, most=most, patience_seconds=seconds)
    ending.run = one
    return one.work()


def _show(call: Call, found: Worked, ended_by: int) -> int:
    from git_fleet.views import worker as views

    call.show(lambda: views.document(found), lambda how: views.worked(found, how))
    if ended_by:
        return 128 + ended_by
    if found.stop.code in _FAILED or found.left:
        return 5
    useful = found.stop.code == "complete" or any(each.how == "handed in" for each in found.tasks)
    return 0 if useful else 1
