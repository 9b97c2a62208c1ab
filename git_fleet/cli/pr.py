"""`pr`: pull requests, one a task."""

from __future__ import annotations

import click

from git_fleet.cli.call import Call, command, dry_run_option, examples, say
from git_fleet.cli.named import TASK_OR_PLAN
from git_fleet.views.look import line


@click.command(
    epilog=examples(
        "git fleet pr                     one for each task that is handed in",
        "git fleet pr -n 42               what would be pushed and opened",
        "git fleet pr --sync              what became of them; merged ones are integrated",
        "git fleet pr --sync --rework     and those with red checks go back to rework",
    )
)
@click.argument("targets", type=TASK_OR_PLAN, nargs=-1, metavar="[PLAN|TASK]…")
@click.option("--draft", is_flag=True, help="Open them as drafts.")
@click.option("--sync", "looks", is_flag=True, help="See what became of them, and record what was merged.")
@click.option(
    "--rework", is_flag=True, help="With --sync: send back tasks whose pull request has a red check."
)
@dry_run_option
@command
def pr(call: Call, targets: tuple[str, ...], draft: bool, looks: bool, rework: bool, dry_run: bool) -> int:
    """Push what is handed in, and open one pull request per task.

    GitHub's gh does it, where it is installed; else the branches are pushed and the rest is said. Run again, it brings
    branches, texts and links up to date, and opens nothing twice.

    --sync reads their checks as gates, and records what was merged there as integrated: main follows the remote, by
    the lead. Ends with 1 when something is left to do.
    """
    from git_fleet.app import elsewhere, publishing
    from git_fleet.views import pulls

    if rework and not looks:
        raise click.UsageError("--rework goes with --sync")
    if draft and looks:
        raise click.UsageError("--draft is for opening, --sync opens nothing: leave one of them out")

    def report(text: str) -> None:
        say(line(text))

    with call.session() as session:
        if looks:
            found = elsewhere.sync(session, elsewhere.Asked(targets, rework, dry_run), report)
        else:
            found = publishing.publish(session, publishing.Wanted(targets, draft, dry_run), report)
    call.show(
        lambda: pulls.document(found, dry_run=dry_run),
        lambda how: pulls.published(found, how, dry_run=dry_run),
    )
    return 1 if pulls.is_left(found, dry_run=dry_run) else 0
