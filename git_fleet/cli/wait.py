"""`wait`: what `claim` does not do."""

from __future__ import annotations

import math

import click

from git_fleet.cli.call import Amount, Call, command, examples, say
from git_fleet.cli.named import PLAN


@click.command(
    epilog=examples(
        "git fleet wait && git fleet claim    a worker's loop",
        "git fleet wait tasks-app --minutes 10",
    )
)
@click.argument("plan", type=PLAN, required=False)
@click.option("--minutes", type=Amount(min=0), metavar="N", help="Wait so long at the most.")
@command
def wait(call: Call, plan: str | None, minutes: float | None) -> int:
    """Wait until there is a task to claim.

    Ends with 1 when every task has ended, or the time is over. Somebody may still be faster: claim, and wait again.
    """
    from git_fleet.app.awaiting import wait as wait_for
    from git_fleet.app.claim import NothingReady
    from git_fleet.views import machine, text

    seconds = math.inf if minutes is None else minutes * 60
    with call.session(long_lived=True, bulk=False, reading=True) as session:
        found = wait_for(session, plan or "", seconds, say)
    if isinstance(found, NothingReady):
        why = found
        call.show(
            lambda: machine.nothing_ready(why.reason, why.text, why.retry_after_seconds),
            lambda _: f"nothing to claim ({why.reason}): {why.text}",
        )
        return 1
    tasks = found
    call.show(lambda: machine.ready(tasks), lambda look: text.ready(tasks, look))
    return 0
