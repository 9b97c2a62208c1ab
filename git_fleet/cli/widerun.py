"""`run --workspace`: all repositories of a workspace worked by workers that own none of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from git_fleet.cli.across import found
from git_fleet.cli.call import Call, surroundings
from git_fleet.cli.live import live
from git_fleet.cli.run import PROGRAM, ExitOn, as_claimed
from git_fleet.views import workspace as views


def everywhere(
    call: Call,
    given: str,
    command: Sequence[str],
    labels: Sequence[str],
    workers: int,
    *,
    verify: bool,
    integrate: bool,
) -> int:
    """Work every open plan of every repository; 0 when all of them have come to their end."""
    from git_fleet.app.running.run import surroundings as without_worker
    from git_fleet.app.wide.running import Run, Wanted

    space = found(call, given)
    name = call.worker or os.environ.get("FLEET_WORKER") or os.environ.get("USER") or "worker"
    wanted = Wanted(
        workers, PROGRAM, name, tuple(command), labels=tuple(labels), verify=verify, integrate=integrate
    )
    with live(call, space.name) as screen, ExitOn(screen) as ending:
        run = Run(space, without_worker(surroundings()), wanted, screen.say, as_claimed)
        ending.run = run
        came = run.work()
    call.show(lambda: views.ran(came), lambda look: views.run(came, look))
    if ending.ended_by:
        return 128 + ending.ended_by
    return 0 if came.stop.code == "complete" else 1
