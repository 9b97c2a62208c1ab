"""`review`: a plan as its reviewer sees it. Nothing here writes (invariant I8)."""

from __future__ import annotations

import click

from git_fleet.app.review import review as look_over
from git_fleet.cli.call import Call, command, examples
from git_fleet.cli.named import PLAN
from git_fleet.cli.progress import working
from git_fleet.views import machine_review
from git_fleet.views import review as view


@click.command(
    epilog=examples(
        "git fleet review                  the plan on one screen",
        "git fleet review bump --task 42   one task, with all there is to it",
        "git fleet review bump --json | jq '.divergences[].odd'",
    )
)
@click.argument("plan", type=PLAN, required=False)
@click.option("--task", metavar="TASK", help="One task: its files, gates, verdicts, findings, differences.")
@command
def review(call: Call, plan: str | None, task: str | None) -> None:
    """What each task did, what was said of it, who differs from its siblings, what waits for whom."""
    with call.session(reading=True) as session, working(call, "reading the plan"):
        found = look_over(session, plan, task)
    show = view.task if task is not None else view.review
    call.show(lambda: machine_review.review(found), lambda look: show(found, look))
