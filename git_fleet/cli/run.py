"""`run`, `attach`, `kill`, `restart`: a plan worked by agents, and one branch of that work."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from git_fleet.cli.call import Call, command, examples, say
from git_fleet.views.look import lines

if TYPE_CHECKING:
    from git_fleet.app.running.run import Ready, Run
    from git_fleet.app.session import Session
    from git_fleet.core.launch import Agent

_PROGRAM = (sys.executable, "-m", "git_fleet")
_MOST_WORKERS, _MOST_JOBS = 256, 64


@click.command(
    context_settings={"allow_interspersed_args": True},
    epilog=examples(
        "git fleet run                        the one plan there is, with the agent fleet.toml names",
        "git fleet run issues.md --workers 4  import, check, ask, and work it with four agents",
        "git fleet run tasks-app -- claude -p '{prompt}'   with this command",
        "git fleet run tasks-app --no-integrate   stop at proposals",
        "git fleet run tasks-app --tmux       each agent in a pane; git fleet attach TASK",
    ),
)
@click.argument("target", required=False, metavar="[PLAN|FILE]")
@click.argument("agent", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
@click.option("--workers", type=click.IntRange(1, _MOST_WORKERS), metavar="N", help="So many agents at once.")
@click.option("--no-verify", is_flag=True, help="Ask no verifiers.")
@click.option("--no-integrate", is_flag=True, help="Stop at proposals; main stays as it is.")
@click.option(
    "--jobs", type=click.IntRange(1, _MOST_JOBS), default=1, metavar="N", help="Gate N candidates at once."
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="End when the agents have reported so many US dollars.",
)
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="End after so many minutes.",
)
@click.option("--tmux", is_flag=True, help="Each agent in a tmux pane of its own.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether a plan is to be approved.")
@command
def run(
    call: Call,
    target: str | None,
    agent: tuple[str, ...],
    workers: int | None,
    no_verify: bool,
    no_integrate: bool,
    jobs: int,
    max_cost: float | None,
    max_minutes: float | None,
    tmux: bool,
    yes: bool,
) -> int:
    """Work a plan with agents: claim, start, follow, hand in, verify, integrate, until nothing is left to do.

    FILE is imported, checked, and approved when you say so. Ctrl-C once claims nothing more and waits; twice ends the
    agents, saves their work and gives their tasks back. Killed, run it again: agents that live are followed further.
    """
    from git_fleet.app.running.desk import Options

    with call.session(long_lived=True, bulk=False) as session:
        plan = _plan(call, session, target, yes=yes)
        options = Options(
            plan=plan,
            workers=workers or 0,
            program=_PROGRAM,
            verify=not no_verify,
            integrate=not no_integrate,
            command=agent,
            jobs=jobs,
            max_cost_usd=max_cost or 0.0,
            max_seconds=(max_minutes or 0.0) * 60,
            tmux=tmux,
            worker=call.worker or "",
        )
        return _run(call, session, options)


def _plan(call: Call, session: Session, target: str | None, *, yes: bool) -> str:
    """The plan that is meant, open: a file is imported, and what is not approved is shown and approved."""
    from git_fleet.app import plan as planning
    from git_fleet.cli.approving import approve

    snapshot = session.snapshot()
    path = call.directory / target if target else None
    if target and path is not None and target not in snapshot.plans and path.is_file():
        made = planning.import_plan(
            session, path.read_bytes(), name=path.name, format_name=None, plan_id=None
        )
        if not call.as_json:
            say(f"plan {made.plan.id}: {len(made.plan.tasks)} tasks, from {target}")
        plan = made.plan.id
        approve(call, session, plan, yes=yes)
        return plan
    plan = target or planning.only(session)
    record = snapshot.plans.get(plan)
    if record is not None and record.approved is None:
        approve(call, session, plan, yes=yes)
    return plan


def _run(call: Call, session: Session, options: Any) -> int:
    from git_fleet.app.running import run as running
    from git_fleet.cli.live import live
    from git_fleet.views import machine, machine_run
    from git_fleet.views import run as text

    ready = running.prepare(session, options, _ask if _can_ask(call) else None)
    with live(call, ready.options.plan) as screen:
        if not call.as_json:
            _announce(ready, screen.say)
        with ExitOn() as ending:

            def watch(run: Run) -> None:
                ending.run = run
                screen.watch(run.desk)

            def describe(placed: Any) -> str:
                import json

                document = machine.claim(
                    placed.record, placed.path, placed.env, placed.notes, placed.conflicts
                )
                return json.dumps({"v": 1, **document})

            found = running.run(session, ready, screen.say, describe, watch)
    call.show(lambda: machine_run.run(found), lambda how: text.run(found, how))
    if ending.ended_by:
        return 128 + ending.ended_by
    return 0 if found.complete else 1


def _announce(ready: Ready, tell: Any) -> None:
    tell(f"plan {ready.options.plan} onto {ready.base}, {ready.advice}")
    for source in ready.sources:
        tell(f"agents are started by {source}")


def _can_ask(call: Call) -> bool:
    from git_fleet.cli.editor import on_terminal

    return on_terminal(call)


def _ask(agents: Sequence[Agent]) -> Agent:
    names = [agent.name for agent in agents]
    chosen = click.prompt("Which agent is to work?", type=click.Choice(names), err=True)
    return next(agent for agent in agents if agent.name == chosen)


class ExitOn:
    """Signals while a run goes on: Ctrl-C asks it to come to its end, the second one to end its agents; SIGTERM and
    SIGHUP are as good as both."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.ended_by = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> ExitOn:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _arrived(self, number: int, _: FrameType | None) -> None:
        if self.run is None:
            raise KeyboardInterrupt
        self.ended_by = self.ended_by or number
        self.run.ask_to_end(now=number != signal.SIGINT)


@click.command(epilog=examples("git fleet attach 42"))
@click.argument("task")
@command
def attach(call: Call, task: str) -> int:
    """Watch the agent of a task: its pane where it has one (detach with Ctrl-B D), else what it prints."""
    from git_fleet.app.running import orders

    with call.session() as session:
        agent = orders.agent_of(session, task)
    if agent.mode == "pane":
        from git_fleet.app import panes

        argv = panes.attach_command(agent)
        os.execvp(argv[0], argv)  # noqa: S606 - the terminal is tmux's from now on
    for text in orders.follow(agent):
        sys.stdout.write(lines(text))  # it may hold anything: an agent prints what it has read
        sys.stdout.flush()
    return 0


@click.command(epilog=examples("git fleet kill 42"))
@click.argument("task")
@command
def kill(call: Call, task: str) -> None:
    """End the agent of a task, save its work, give the task back. The others do not notice.

    The run does not claim it again, until git fleet restart TASK.
    """
    from git_fleet.app.running import orders

    with call.session() as session:
        _show(call, session, orders.kill(session, task))


@click.command(
    epilog=examples("git fleet restart 42", "git fleet restart 42 --fresh   from where its claim began")
)
@click.argument("task")
@click.option(
    "--fresh", is_flag=True, help="In a worktree as the claim found it; what was done is saved first."
)
@command
def restart(call: Call, task: str, fresh: bool) -> None:
    """Start the agent of a task again; the others do not notice. One that was killed, or is blocked, is claimed again."""
    from git_fleet.app.running import orders

    with call.session() as session:
        _show(call, session, orders.restart(session, task, fresh=fresh))


def _show(call: Call, session: Session, obeyed: Any) -> None:
    from git_fleet.views import machine, text

    call.show(
        lambda: machine.task(obeyed.record, (obeyed.text,)),
        lambda how: text.acted(obeyed.record, (obeyed.text,), session.now(), how),
    )
