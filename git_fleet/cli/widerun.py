"""`run --workspace`: all repositories of a workspace worked by workers that own none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from git_fleet.cli.across import found
from git_fleet.cli.call import Call, surroundings
from git_fleet.cli.live import live
from git_fleet.cli.run import ExitOn, as_claimed
from git_fleet.views import machine_run
from git_fleet.views import run as text
from git_fleet.views import workspace as views

if TYPE_CHECKING:
    from git_fleet.app.wide.running import Wanted


def everywhere(call: Call, given: str, wanted: Wanted, *, dry_run: bool) -> int:
    """Work every open plan of every repository, or say what that would begin with; 0 when all of them have come to their
    end, and when no repository keeps a dry run from saying."""
    from git_fleet.app.running.run import surroundings as without_worker
    from git_fleet.app.wide import outlook
    from git_fleet.app.wide.running import Run

    space = found(call, given)
    if dry_run:
        ahead = outlook.foresee(space, surroundings(), wanted.command, wanted.labels, wanted.workers)
        call.show(lambda: machine_run.wide_outlook(ahead), lambda look: text.wide_outlook(ahead, look))
        return int(any(each.error is not None for each in ahead.repos))
    with live(call, space.name) as screen, ExitOn(screen) as ending:
        run = Run(space, without_worker(surroundings()), wanted, screen.say, as_claimed)
        ending.run = run
        came = run.work()
    call.show(lambda: views.ran(came), lambda look: views.run(came, look))
    if ending.ended_by:
        return 128 + ending.ended_by
    return 0 if came.stop.code == "complete" else 1
