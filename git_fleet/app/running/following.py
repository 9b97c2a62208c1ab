"""Watching one agent until it has ended: what it shows of life, and what is done about it."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec.structs import replace

from git_fleet.app import snapshots
from git_fleet.app.agents import Agent
from git_fleet.app.running.account import Account
from git_fleet.app.running.holding import Holding, Over
from git_fleet.core.supervision import Advice, Life, Limits, Step, advise
from git_fleet.git import worktrees
from git_fleet.store import worktree

GRACE_SECONDS = 10.0
"""An agent that is told to end has so long to do so."""

_LINGERS_SECONDS = 60.0  # one that has handed in by itself may still say goodbye
ENDING = Advice(Step.END, code="ending", reason="the run was ended")
ORDERED = Advice(Step.END, code="order", reason="a person had it ended")


def follow(held: Holding, agent: Agent, account: Account, limits: Limits) -> Advice | None:
    """Wait for the end of the agent: None, or why it was made to end. Keeps the lease meanwhile.

    An order is not left to the command that gave it, which may have died right after. Raises Over when its claim has
    ended; then the agent has ended, too.
    """
    age = max(0.0, (held.session.now() - agent.began).total_seconds())
    life, signed = Life.beginning(time.monotonic(), age=age), _signed(held)
    while agent.exit() is None:  # one that is found at work may have ended long ago
        if agent.order() is not None:
            return made_to_end(held, agent, ORDERED)
        last = _signed(held)
        if account.look() or last != signed:
            signed, life = last, life.seen(time.monotonic())
        life = _heard(held, agent, account, life)
        found = advise(life, limits, time.monotonic(), held.lease_left())
        match found.step:
            case Step.WAIT:
                if agent.wait(found.seconds, wake=held.seat.bell.fileno()) is not None:
                    return None
                held.seat.bell.clear()
                if held.desk.ending.is_set():
                    return made_to_end(held, agent, ENDING)
            case Step.RENEW:
                held.renew(account)
                life = replace(life, renewed=time.monotonic())
            case Step.LOOK:
                changed = snapshots.written(held.session, held.record)
                life = replace(life, looked=time.monotonic())
                life = life.seen(time.monotonic()) if changed else life
            case Step.TELL:
                held.say("its session is over: it will be ended unless it hands in soon")
                life = replace(life, told=True)
            case Step.END:
                return made_to_end(held, agent, found)
    return None


def _signed(held: Holding) -> float | None:
    """When the agent's own hooks were called last in its worktree (Unix seconds); None where they never were."""
    claim = held.record.state.claim
    path = Path(claim.worktree) if claim is not None and claim.worktree else None
    git_dir = worktrees.git_dir_for(held.session.repo, path) if path is not None else None
    found = worktree.last_sign(git_dir) if git_dir is not None else None
    return found.at if found is not None else None


def made_to_end(held: Holding, agent: Agent, why: Advice) -> Advice:
    """End it, and all that it has started."""
    held.seat.now("ending")
    agent.end(GRACE_SECONDS)
    return why


def _goodbye(held: Holding, agent: Agent) -> None:
    """The claim has ended. An agent that ended it may say goodbye; nobody waits for one that works for nobody."""
    held.seat.now("saying goodbye")
    until = time.monotonic() + _LINGERS_SECONDS
    while held.was_let_go() and not held.desk.ending.is_set() and (left := until - time.monotonic()) > 0:
        if agent.wait(left, wake=held.seat.bell.fileno()) is not None:
            break
        held.seat.bell.clear()
    if agent.exit() is None:
        agent.end(GRACE_SECONDS)
    agent.sweep()


def _heard(held: Holding, agent: Agent, account: Account, life: Life) -> Life:
    """With what its task's log tells: words of its own are a sign of life. What it has cost is what the log says, and
    what is owed to it."""
    before = held.record.tip
    if not held.is_ours():
        _goodbye(held, agent)
        raise Over
    if held.record.tip != before:
        life = life.seen(time.monotonic())
    state = held.record.state
    held.seat.owed = account.owed(state).cost_usd
    held.seat.words = account.hearing.words
    return replace(life, cost_usd=state.usage.cost_usd + held.seat.owed)
