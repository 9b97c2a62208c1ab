"""`integrate` and `revert`: proposals onto main, one commit a task, and back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from git_fleet.cli.across import found as found_workspace
from git_fleet.cli.across import workspace_option
from git_fleet.cli.call import Call, command, dry_run_option, examples, surroundings, write_json
from git_fleet.cli.named import TASK, TASK_OR_PLAN
from git_fleet.cli.progress import progress
from git_fleet.views.look import line

if TYPE_CHECKING:
    from git_fleet.app.integrate import Order
    from git_fleet.app.session import Session
    from git_fleet.cli.progress import Line
    from git_fleet.core.results import Integration, Reverted

_MOST_JOBS = 64


@click.command(
    epilog=examples(
        "git fleet integrate              everything that is handed in",
        "git fleet integrate -n           the order, the conflicts, the commits; nothing moves",
        "git fleet integrate 42 44        these two",
        "git fleet integrate --order 44,42   in an order of your own",
        "git fleet integrate --jobs 4     four candidates gated at once, each on top of those before it",
        "git fleet integrate --batch      gate the top of the stack, and halves of it when it is red",
        "git fleet integrate --watch      keep doing so as tasks are handed in",
        "git fleet integrate --changeset rename   onto every main of a workspace, or none",
    )
)
@click.argument("targets", type=TASK_OR_PLAN, nargs=-1, metavar="[PLAN|TASK]…")
@click.option("--order", default="", metavar="A,B,…", help="These first, in this order.")
@click.option(
    "--jobs", type=click.IntRange(1, _MOST_JOBS), default=1, metavar="N", help="Gate N candidates at once."
)
@click.option("--batch", is_flag=True, help="Gate only the top of the stack; look for what is red by halves.")
@click.option("--watch", is_flag=True, help="Go on until interrupted (Ctrl-C) or everything has ended.")
@click.option("--no-cache", is_flag=True, help="Run every gate, also where the same tree has passed it.")
@click.option("--stop-on-conflict", is_flag=True, help="Stop at the first conflict, to look at it.")
@click.option("--changeset", metavar="ID", help="Land a change set of the workspace in all its repositories.")
@workspace_option("With --changeset: of this workspace")
@dry_run_option
@command
def integrate(
    call: Call,
    targets: tuple[str, ...],
    order: str,
    jobs: int,
    batch: bool,
    watch: bool,
    no_cache: bool,
    stop_on_conflict: bool,
    changeset: str | None,
    workspace: str | None,
    dry_run: bool,
) -> int:
    """Bring what is handed in onto main, one commit a task.

    Each proposal is replayed onto what is before it, gated as exactly the commit that main would get (with
    --batch: as part of the commit where main stops), and only then main moves. What cannot land (a conflict, a red
    gate, a path that is not the task's) goes back to rework with what was found, and the others go on; the
    exit code is 1 then.

    A change set is built and gated in all its repositories at once; one that was interrupted goes on.
    """
    from git_fleet.app.integrate import Order

    if changeset is not None:
        if targets or order or batch or watch or no_cache or stop_on_conflict or dry_run or jobs > 1:
            raise click.UsageError("--changeset is integrated as a whole: it goes with --workspace alone")
        return _together(call, changeset, workspace)
    if workspace is not None:
        raise click.UsageError("--workspace goes with --changeset ID")

    if batch and jobs > 1:
        raise click.UsageError("--batch gates one candidate at a time: leave --jobs out")
    if watch and dry_run:
        raise click.UsageError("--watch brings things to main, --dry-run does not: leave one of them out")
    first = tuple(name.strip() for name in order.split(",") if name.strip())
    wanted = Order(targets, first, stop_on_conflict, dry_run, jobs, batch, cache=not no_cache)
    return _keep(call, wanted) if watch else _once(call, wanted)


def _together(call: Call, changeset: str, workspace: str | None) -> int:
    from git_fleet.app.wide.together import integrate as land_together
    from git_fleet.views import workspace as views

    space = found_workspace(call, workspace)
    with progress(call) as bar:
        came = land_together(space, surroundings(), changeset, lambda text: bar.say(line(text)))
    call.show(lambda: views.landed(came), lambda how: views.landing(came, how))
    return int(came.state != "landed")


def _session(call: Call) -> Session:
    """Without libgit2: what a run writes are drafts, what it reads it asks for in a few questions, and the
    import would take longer than both (40 ms)."""
    return call.session(long_lived=True, bulk=False)


@contextmanager
def _uncollected() -> Iterator[None]:
    """One run makes hundreds of thousands of values that live to its end. Looking through them for circles, again and
    again, takes a tenth of it and finds none."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _once(call: Call, wanted: Order) -> int:
    from git_fleet.app import advice
    from git_fleet.app.integrate import integrate as bring_in

    with _uncollected(), _session(call) as session, progress(call) as bar:
        found = bring_in(session, wanted, lambda text: bar.say(line(text)), bar)
        moved = not wanted.dry_run and found.main_before != found.main_after
        then = advice.publish(session, found.base) if moved else ""
        if moved:
            _tell_of_submodules(session, bar, found)
    _show(call, found, then, dry_run=wanted.dry_run)
    return 1 if found.ejected else 0


def _tell_of_submodules(session: Session, bar: Line, found: Integration | Reverted) -> None:
    from git_fleet.app import advice

    text = advice.submodules(session, found.base, found.main_before, found.main_after)
    if text:
        bar.say(line(text))


def _show(call: Call, found: Integration, then: str, *, dry_run: bool) -> None:
    from git_fleet.views import landing, machine

    call.show(
        lambda: machine.integrate(found, dry_run=dry_run, then=then),
        lambda how: landing.integration(found, how, dry_run=dry_run, then=then),
    )


def _keep(call: Call, wanted: Order) -> int:
    """The lines of each step say all there is to say; with --json a document for each round."""
    from git_fleet.app.integrate import keep_integrating
    from git_fleet.views import machine

    ejected = False
    with _session(call) as session, progress(call) as bar:
        for found in keep_integrating(session, wanted, lambda text: bar.say(line(text)), bar):
            ejected = ejected or bool(found.ejected)
            _tell_of_submodules(session, bar, found)
            if call.as_json:
                write_json(machine.integrate(found, dry_run=False))
    return 1 if ejected else 0


@click.command(
    epilog=examples(
        "git fleet revert 42 -m 'it breaks the import'",
        "git fleet revert 42 -n           whether it can be taken back; nothing moves",
    )
)
@click.argument("task", type=TASK, metavar="TASK")
@click.option("-m", "--message", "reason", default="", metavar="WHY", help="Why, for the commit's message.")
@dry_run_option
@command
def revert(call: Call, task: str, reason: str, dry_run: bool) -> int:
    """Take back exactly one task's commit.

    One new commit undoes it, through the repository's gates like any other; the task is `reverted` then, and
    git fleet reopen lets somebody do it again.
    """
    from git_fleet.app import advice
    from git_fleet.app.reverting import revert as take_back
    from git_fleet.views import landing, machine

    with _session(call) as session, progress(call) as bar:
        found = take_back(session, task, reason, lambda text: bar.say(line(text)), dry_run=dry_run)
        then = "" if dry_run else advice.publish(session, found.base)
        if not dry_run:
            _tell_of_submodules(session, bar, found)
    call.show(
        lambda: machine.revert(found, dry_run=dry_run, then=then),
        lambda how: landing.reverted(found, how, dry_run=dry_run, then=then),
    )
    return 0
