"""`integrate`: proposals onto main, one commit a task."""

from __future__ import annotations

import click

from git_fleet.app import advice
from git_fleet.app.integrate import Order
from git_fleet.app.integrate import integrate as bring_in
from git_fleet.cli.call import Call, command, dry_run_option, examples, say
from git_fleet.views import landing, machine
from git_fleet.views.look import line


@click.command(
    epilog=examples(
        "git fleet integrate              everything that is handed in",
        "git fleet integrate -n           the order, the conflicts, the commits; nothing moves",
        "git fleet integrate 42 44        these two",
        "git fleet integrate --order 44,42   in an order of your own",
    )
)
@click.argument("targets", nargs=-1, metavar="[PLAN|TASK]…")
@click.option("--order", default="", metavar="A,B,…", help="These first, in this order.")
@click.option("--stop-on-conflict", is_flag=True, help="Stop at the first conflict, to look at it.")
@dry_run_option
@command
def integrate(call: Call, targets: tuple[str, ...], order: str, stop_on_conflict: bool, dry_run: bool) -> int:
    """Bring what is handed in onto main, one commit a task.

    Each proposal is replayed onto main as it is, gated as exactly that commit, and only then main moves.
    What cannot land (a conflict, a red gate, a path that is not the task's) goes back to rework with
    what was found, and the others go on; the exit code is 1 then.
    """
    first = tuple(name.strip() for name in order.split(",") if name.strip())
    wanted = Order(targets, first, stop_on_conflict=stop_on_conflict, dry_run=dry_run)
    with call.session(long_lived=True) as session:
        found = bring_in(session, wanted, lambda text: say(line(text)))
        moved = not dry_run and found.main_before != found.main_after
        then = advice.publish(session, found.base) if moved else ""
    call.show(
        lambda: machine.integrate(found, dry_run=dry_run, then=then),
        lambda how: landing.integration(found, how, dry_run=dry_run, then=then),
    )
    return 1 if found.ejected else 0
