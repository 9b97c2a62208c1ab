"""`git fleet score`: was the fan-out worth it?"""

from __future__ import annotations

import sys

import click

from git_fleet.app import score as scoring
from git_fleet.cli.call import Call, command, examples, speaks_unicode
from git_fleet.cli.named import PLAN
from git_fleet.cli.progress import working
from git_fleet.views import score as view


@click.command(epilog=examples("git fleet score tasks-app", "git fleet score --json | jq .bottleneck"))
@click.argument("plan", type=PLAN, required=False)
@command
def score(call: Call, plan: str | None) -> None:
    """Was it worth it: where the time went, what the bottleneck was.

    From the logs alone: agent time and wall time, starting, waiting, rework and conflicts, the speed-up
    against one worker, Amdahl's bound. Closed plans have a score, too.
    """
    with call.session(reading=True) as session, working(call, "reading the logs"):
        found = scoring.score(session, plan)
    blocks = speaks_unicode(sys.stdout)
    call.show(
        lambda: view.document(found.score, found.lessons),
        lambda look: view.text(found.score, found.lessons, look, blocks=blocks),
    )
