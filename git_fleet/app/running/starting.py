"""An agent started in the worktree of a claim, with a prompt that knows what was found until now."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from git_fleet.app import agents, outputs, prompt
from git_fleet.app.agents import Agent
from git_fleet.app.placing import Placed
from git_fleet.app.running.desk import environment
from git_fleet.app.running.holding import Holding
from git_fleet.core import launch, quoting
from git_fleet.git import contents

_REFUSAL_BYTES = 4_000


def start(held: Holding, placed: Placed, number: int, refusal: str) -> Agent:
    """Start the `number`-th agent of the claim, in its worktree. It is told the `refusal` of what an earlier one left
    there to be handed in, "" without one. Raises as `agents.start`."""
    desk, record, session = held.desk, held.record, held.session
    begin: Callable[..., Agent] = agents.start
    if desk.options.tmux:
        from git_fleet.app import panes

        begin = partial(panes.start, socket=panes.socket_for(desk.fleet, session.around.env))
    found, claimed, attempt = _launch(held, placed, refusal), record.state.claim, record.state.attempt
    if number == 1:
        held.say(f"{held.seat.worker} is at work (attempt {attempt})")
    return begin(
        held.folder,
        found,
        env=environment(session.around.env, found.env),
        task=record.id,
        fence=held.fence,
        worker=claimed.holder if claimed else held.seat.worker,
        number=number,
        log=outputs.log_of(desk.fleet, record.id, attempt, number),
        now=session.now(),
        before=record.state.usage,
    )


def _launch(held: Holding, placed: Placed, refusal: str) -> launch.Launch:
    """How it is started, with a prompt that knows what was found and what siblings met until now."""
    record, session, options = held.record, held.session, held.desk.options
    claimed = record.state.claim
    if placed.path is None or claimed is None:
        raise AssertionError("a claim of a run has a worktree")
    text = prompt.of(session, session.snapshot(), record).text
    place = launch.Place(
        worktree=str(placed.path),
        git_dir=str(contents.git_dir_of(placed.path)),
        branch=claimed.branch,
        slot=int(placed.env.get("FLEET_SLOT", "0")),
        env=tuple(placed.env.items()),
        claim=held.desk.describe(placed),
    )
    config = session.config_of(record.id)
    return launch.command_for(
        config, record.task, place, text + _refused_before(refusal), options.command, options.agent
    )


def _refused_before(refusal: str) -> str:
    """What an agent is told that is to put right what another one left."""
    if not refusal:
        return ""
    mark = quoting.mark_for([refusal])
    said = quoting.quote(refusal, "git-fleet", mark, most=_REFUSAL_BYTES)
    return (
        f"\n\nWhat is in this worktree was to be handed in, and that was refused. Put it right:\n\n{said}\n"
    )
