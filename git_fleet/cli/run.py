"""`run`, `attach`, `kill`, `restart`: a plan worked by agents, and one branch of that work."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import click

from git_fleet.cli.across import workspace_option
from git_fleet.cli.call import Amount, Call, command, dry_run_option, examples, say
from git_fleet.cli.interrupts import Echoes, silence, terminals
from git_fleet.cli.named import PLAN_OR_FILE, TASK
from git_fleet.errors import AnswerIsNo, InvalidInput
from git_fleet.views.look import lines
from git_fleet.views.run import following

if TYPE_CHECKING:
    from git_fleet.app.opening import Meant
    from git_fleet.app.placing import Placed
    from git_fleet.app.running.desk import Options
    from git_fleet.app.running.orders import Obeyed
    from git_fleet.app.running.run import Ready, Run
    from git_fleet.app.running.worker import Worker
    from git_fleet.app.session import Session
    from git_fleet.app.wide.running import Run as WideRun
    from git_fleet.cli.live import Screen
    from git_fleet.core.launch import Agent

PROGRAM = (sys.executable, "-P", "-m", "git_fleet")  # -P: no module of the folder it is run in
"""How this program is started by itself."""
_MOST_WORKERS, _MOST_JOBS = 256, 64
COMMAND, OPTIONS = "git_fleet.command", "git_fleet.options"


class RunCommand(click.Command):
    """Takes what stands behind `--` off the line before click reads it: click counts it as arguments, so a command
    without a plan before it would be the plan."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, of what stands before `--`."""
        own, dashes, behind = _split(args)
        if dashes and not behind:
            raise click.UsageError("a command is missing behind --", ctx)
        ctx.meta[COMMAND], ctx.meta[OPTIONS] = tuple(behind), tuple(own)
        try:
            return super().parse_args(ctx, own)
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            said = f"{error.message}; a command that starts agents stands behind --"
            raise click.UsageError(said, ctx) from error


def _split(args: list[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in args:
        return args, False, []
    at = args.index("--")
    return args[:at], True, args[at + 1 :]


@click.command(
    cls=RunCommand,
    options_metavar="[OPTIONS]",
    epilog=examples(
        "git fleet run                        the one plan there is, with the agent fleet.toml names",
        "git fleet run issues.md --workers 4  import, check, ask, and work it with four agents",
        "git fleet run tasks-app -- claude -p '{prompt}'   with this command",
        "git fleet run tasks-app --no-integrate   stop at proposals",
        "git fleet run --workspace --workers 4   what is most important in any repository of the workspace",
        "git fleet run tasks-app --tmux       each agent in a pane; git fleet attach TASK",
    ),
)
@click.argument("target", type=PLAN_OR_FILE, required=False, metavar="[PLAN|FILE] [-- COMMAND…]")
@click.option("--workers", type=click.IntRange(1, _MOST_WORKERS), metavar="N", help="So many agents at once.")
@click.option("--no-verify", is_flag=True, help="Ask no verifiers.")
@click.option("--no-integrate", is_flag=True, help="Stop at proposals; main stays as it is.")
@click.option(
    "--jobs", type=click.IntRange(1, _MOST_JOBS), default=1, metavar="N", help="Gate N candidates at once."
)
@click.option(
    "--max-cost",
    type=Amount(min=0, min_open=True),
    metavar="USD",
    help="End when the agents have reported so many US dollars.",
)
@click.option(
    "--max-minutes",
    type=Amount(min=0, min_open=True),
    metavar="N",
    help="End after so many minutes.",
)
@click.option("--tmux", is_flag=True, help="Each agent in a tmux pane of its own.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether a plan is to be approved.")
@workspace_option("All open plans of all repositories, the most important task first")
@click.option(
    "--label", "labels", multiple=True, metavar="LABEL", help="With --workspace: only with this label."
)
@dry_run_option
@command
def run(
    call: Call,
    target: str | None,
    workers: int | None,
    no_verify: bool,
    no_integrate: bool,
    jobs: int,
    max_cost: float | None,
    max_minutes: float | None,
    tmux: bool,
    yes: bool,
    workspace: str | None,
    labels: tuple[str, ...],
    dry_run: bool,
) -> int:
    """Work a plan with agents until nothing is left to do: claim, start, hand in, verify, integrate.

    FILE is imported, checked, and approved when you say so. Ctrl-C once claims nothing more and waits; twice ends the
    agents, saves their work and gives their tasks back. Killed, run it again: agents that live are followed further.
    """
    from git_fleet.app.running.desk import Options

    given: tuple[str, ...] = click.get_current_context().meta[COMMAND]
    if workspace is not None:
        if target or tmux or yes:
            raise click.UsageError(
                "--workspace works every open plan as it is approved: without PLAN or FILE, --yes and --tmux"
            )
        from git_fleet.app.wide.running import Wanted
        from git_fleet.cli.widerun import everywhere

        wanted = Wanted(
            workers or 1,
            PROGRAM,
            call.worker or os.environ.get("FLEET_WORKER") or os.environ.get("USER") or "worker",
            given,
            labels=labels,
            verify=not no_verify,
            integrate=not no_integrate,
            jobs=jobs,
            max_cost_usd=max_cost or 0.0,
            max_seconds=(max_minutes or 0.0) * 60,
        )
        return everywhere(call, workspace, wanted, dry_run=dry_run)
    if labels:
        raise click.UsageError("--label goes with --workspace")
    with call.session(long_lived=True, bulk=False) as session:
        plan, agent = _plan(call, session, target, given, yes=yes, dry_run=dry_run)
        options = Options(
            plan=plan,
            workers=workers or 0,
            program=PROGRAM,
            verify=not no_verify,
            integrate=not no_integrate,
            command=given,
            agent=agent,
            jobs=jobs,
            max_cost_usd=max_cost or 0.0,
            max_seconds=(max_minutes or 0.0) * 60,
            tmux=tmux,
            worker=call.worker or "",
        )
        return _foretell(call, session, options) if dry_run else _run(call, session, options)


def _plan(
    call: Call, session: Session, target: str | None, given: Sequence[str], *, yes: bool, dry_run: bool
) -> tuple[str, Agent | None]:
    """The plan that is meant, open: a file is imported, and what is not approved is shown and approved. And the agent
    that was chosen for it, if that was asked already. A dry run refuses what would have to be approved."""
    from git_fleet.app import opening
    from git_fleet.cli.approving import approve

    found: Meant = opening.meant(session, target, call.directory, store=not dry_run)
    for note in () if call.as_json else found.notes:
        say(lines(note))
    if found.text is None:
        return found.plan, None
    if dry_run:
        raise AnswerIsNo(
            f"plan {found.plan} is not approved, and --dry-run approves nothing",
            hint=f"git fleet plan approve {found.plan} --dry-run",
        )
    agent, commands = opening.require(session, found.text, given, _ask if _can_ask(call) else None)
    approve(call, session, found.plan, yes=yes, again=_again(given), agents=commands)
    return found.plan, agent


def _again(given: Sequence[str]) -> str:
    """The same command for where nobody can be asked, with all its limits."""
    own = [word for word in click.get_current_context().meta[OPTIONS] if word != "--json"]
    return f"git fleet run --yes {shlex.join([*own, *(['--', *given] if given else [])])}".rstrip()


def _foretell(call: Call, session: Session, options: Options) -> int:
    """What the run would begin with."""
    from git_fleet.app import opening, status
    from git_fleet.app.running import run as running
    from git_fleet.core.running import Outlook
    from git_fleet.views import machine_run
    from git_fleet.views import run as text

    ready = running.prepare(session, options, _ask if _can_ask(call) else None)
    left = [each for each in session.snapshot().of_plan(options.plan) if not each.state.state.ended]
    tasks = [each.task for each in left]
    found = Outlook(
        options.plan,
        ready.base,
        ready.options.workers,
        _begins(ready, options),
        opening.commands(session.config(ready.base), tasks, options.command, ready.options.agent),
        tuple(each.id for each in left),
        tuple(each.id for each in status.ready(session) if each.id.plan == options.plan),
    )
    call.show(lambda: machine_run.outlook(found), lambda how: text.outlook(found, how))
    return 0


def _begins(ready: Ready, options: Options) -> str:
    from git_fleet.views import run as text

    return text.begins(options.plan, ready.base, ready.advice, workers=ready.options.workers)


def _run(call: Call, session: Session, options: Options) -> int:
    from git_fleet.app.running import run as running
    from git_fleet.cli.live import live
    from git_fleet.views import machine_run
    from git_fleet.views import run as text

    ready = running.prepare(session, options, _ask if _can_ask(call) else None)
    records = session.snapshot().of_plan(options.plan)
    with live(call, options.plan, records) as screen, ExitOn(screen) as ending:

        def watch(run: Run) -> None:  # not before no other run is known to be at it
            ending.run = run
            screen.say(_begins(ready, options))
            for source in ready.sources:
                screen.say(f"agents are started by {source}")
            screen.watch(run)

        found = running.run(session, ready, screen.say, as_claimed, watch)
    call.show(lambda: machine_run.run(found), lambda how: text.run(found, how))
    if ending.ended_by:
        return 128 + ending.ended_by
    return 0 if found.complete else 1


def as_claimed(placed: Placed) -> str:
    """A claim as an agent finds it in the file FLEET_CLAIM: what `git fleet claim --json` prints."""
    from git_fleet.views import machine

    document = machine.claim(placed.record, placed.path, placed.env, placed.notes, placed.conflicts)
    return json.dumps({"v": 1, **document})


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

    def __init__(self, screen: Screen) -> None:
        self.run: Run | Worker | WideRun | None = None
        self.ended_by = 0
        self._screen = screen
        self._terminals = terminals()
        self._echoes = Echoes()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self.run is None:  # it has not begun
            self._before[number](number, frame)
            return
        if self._echoes.has(number):
            return
        if number == signal.SIGHUP:
            silence(self._terminals)
        now = number != signal.SIGINT or self.ended_by != 0
        self.ended_by = self.ended_by or number
        self._screen.asked += 2 if now else 1
        self.run.ask_to_end(now=now)


@click.command(epilog=examples("git fleet attach 42"))
@click.argument("task", type=TASK)
@command
def attach(call: Call, task: str) -> int:
    """Watch the agent of a task: its pane, where it has one, else what it prints.

    A pane needs a terminal, and is left with Ctrl-B D.
    """
    from git_fleet.app.running import orders

    if call.as_json:
        raise InvalidInput(
            "attach shows text as it comes, and has no JSON", hint=f"git fleet log {task} --output --json"
        )
    with call.session() as session:
        agent = orders.agent_of(session, task)
    if agent.mode == "pane" and sys.stdin.isatty() and sys.stdout.isatty():
        from git_fleet.app import panes

        argv = panes.attach_command(agent)
        os.execvp(argv[0], argv)  # noqa: S606 - the terminal is tmux's from now on
    for text in orders.follow(agent):
        sys.stdout.write(following(text))  # it may hold anything: an agent prints what it has read
        sys.stdout.flush()
    say(f"{agent.task}: {orders.ended(agent)}")
    return 0


@click.command(epilog=examples("git fleet kill 42"))
@click.argument("task", type=TASK)
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
@click.argument("task", type=TASK)
@click.option(
    "--fresh", is_flag=True, help="In a worktree as the claim found it; what was done is saved first."
)
@command
def restart(call: Call, task: str, fresh: bool) -> None:
    """Start the agent of a task again; the others do not notice. One that was killed, or is blocked, is claimed again."""
    from git_fleet.app.running import orders

    with call.session() as session:
        _show(call, session, orders.restart(session, task, fresh=fresh))


def _show(call: Call, session: Session, obeyed: Obeyed) -> None:
    from git_fleet.views import machine, text

    call.show(
        lambda: machine.task(obeyed.record, (obeyed.text,)),
        lambda how: text.acted(obeyed.record, (obeyed.text,), session.now(), how),
    )
