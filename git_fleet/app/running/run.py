"""`git fleet run`: everything that is looked at before the first agent is paid for, and the run itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import choosing, outputs, plan, profiles, sharing
from git_fleet.app.placing import Placed
from git_fleet.app.profiles import Ask
from git_fleet.app.running import orders, recovery
from git_fleet.app.running.conductor import Conductor
from git_fleet.app.running.desk import Desk, Options, Seat
from git_fleet.app.running.events import Asked
from git_fleet.app.running.notify import notify
from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.core import launch
from git_fleet.core.config import Config
from git_fleet.core.model import PlanState, State, Task, Usage
from git_fleet.core.progress import Report
from git_fleet.core.running import RunResult, Stop, Tally, TaskEnd
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.core.wording import count
from git_fleet.errors import AnswerIsNo, Denied, InvalidInput

_NOWHERE = launch.Place("/", "/", "branch", 0, (), "{}")


class Ready(Struct, frozen=True):
    """A run that may begin. `advice` says why so many workers where nobody asked for a number, `sources` whose
    the commands are."""

    options: Options
    base: str
    advice: str
    sources: tuple[str, ...]


def prepare(session: Session, options: Options, ask: Ask | None = None) -> Ready:
    """Check all that can be checked before an agent is started; `options.workers` 0 leaves it to the plan's check.

    Raises Denied in a task's worktree, InvalidInput where no gate is declared or no command is configured, and for a
    plan that there is not, AnswerIsNo for one that is not open.
    """
    if session.placement is not None:
        raise Denied(
            "a run starts workers, and this is a worker's worktree", hint="run it in the main worktree"
        )
    snapshot = session.snapshot()
    records = open_plan(snapshot, options.plan)
    base = session.base_of(records[0].id) if records else None
    config = session.config(base)
    session.keep_config(base or session.main)
    unended = [record for record in records if not record.state.state.ended]
    choosing.require_gates(config, unended)
    tasks = [record.task for record in unended]
    agent = options.agent or profiles.agent_for(config, tasks, options.command, session.around.env, ask)
    options = replace(options, agent=agent)
    sources = _sources(config, tasks, options)
    options, advice = _workers(session, options, config)
    return Ready(options, base or session.main, advice, sources)


def open_plan(snapshot: Snapshot, name: str) -> list[TaskRecord]:
    """The tasks of a plan that is open. Raises AnswerIsNo for one that is not, InvalidInput where there is none."""
    record = snapshot.plans.get(name)
    if record is None:
        raise InvalidInput(f"there is no plan {name}", hint="git fleet plan list")
    if record.state is PlanState.OPEN:
        return snapshot.of_plan(name)
    fixes = {PlanState.PAUSED: f"git fleet plan resume {name}", PlanState.CLOSED: "git fleet plan list"}
    raise AnswerIsNo(
        f"plan {name} is {record.state}", hint=fixes.get(record.state, f"git fleet plan approve {name}")
    )


def _sources(config: Config, tasks: Sequence[Task], options: Options) -> tuple[str, ...]:
    """Whose the commands are; each is built once, so that a wrong one is found now. Raises InvalidInput."""
    found = [
        launch.command_for(config, task, _NOWHERE, "prompt", options.command, options.agent).source
        for task in tasks
    ]
    return tuple(dict.fromkeys(found))


def _workers(session: Session, options: Options, config: Config) -> tuple[Options, str]:
    """How many workers, at most max_active; and, where nobody asked for so many, what the plan's check recommends."""
    if options.workers:
        number, most = min(options.workers, config.max_active), config.max_active
        why = f"not {options.workers}: max_active in fleet.toml is {most}" if number < options.workers else ""
        return replace(options, workers=number), why
    best = max(1, plan.check(session, options.plan).fan_out.workers)
    number = min(best, config.max_active)
    said = f", but max_active is {config.max_active}" if number < best else ""
    return replace(options, workers=number), f"plan check recommends {best}{said}"


class Run(Struct):
    """A run while it goes on: what a face shows, and how it asks for its end."""

    desk: Desk
    conductor: Conductor

    def ask_to_end(self, *, now: bool = False) -> None:
        """A signal came. From any thread, and from signal handlers: gently first, at once the second time."""
        self.conductor.events.put(Asked(now))


def run(
    session: Session,
    ready: Ready,
    report: Report,
    describe: Callable[[Placed], str],
    watch: Callable[[Run], object] = lambda _: None,
) -> RunResult:
    """Work the plan until nothing is ready or active, and say what came of it. `watch` gets the run as it begins.

    Raises Held while another run works on the plan on this machine.
    """
    options = ready.options
    folder = orders.folder_of(session, options.plan)
    with recovery.alone(folder, options.plan):
        began, before = time.monotonic(), _usage(session, options.plan)
        pushed = sharing.pushed(session.store)
        orders.forget(folder)
        outputs.sweep(session.repo.fleet_dir)
        desk = _desk(session, ready, report, describe)
        known = recovery.workers(folder, [seat.worker for seat in desk.seats])
        left = recovery.left(session, session.snapshot(), options.plan, known)
        conductor = Conductor(desk, session, ready.base)
        watch(Run(desk, conductor))
        try:
            tally = conductor.conduct(left)
        finally:
            recovery.forget(session, options.plan)
        result = replace(
            _result(session, ready, tally, time.monotonic() - began, before),
            pushes=sharing.pushed(session.store) - pushed,
        )
    said = f"the run has ended: {result.stop.text}; {count(result.commits, 'commit')} on {result.base}"
    notify(desk, session.config(ready.base).notify, f"git-fleet, plan {options.plan}: {said}", wait=True)
    return result


def _desk(session: Session, ready: Ready, report: Report, describe: Callable[[Placed], str]) -> Desk:
    options = ready.options
    around = surroundings(session.around)
    desk = Desk(
        root=session.repo.worktree or session.repo.common_dir,
        around=around,
        options=options,
        fleet=session.repo.fleet_dir,
        report=report,
        describe=describe,
    )
    name = _name(session, options)
    desk.seats = [Seat(f"{name}-{number}") for number in range(1, options.workers + 1)]
    return desk


def _name(session: Session, options: Options) -> str:
    """What the workers are called, and a number: as whoever runs them, the same each time."""
    env = session.around.env
    configured = session.repo.git().text("config", "fleet.worker", ok=(0, 1))
    return options.worker or env.get("FLEET_WORKER") or configured or env.get("USER") or "worker"


def surroundings(around: Surroundings) -> Surroundings:
    """Without what speaks for one worker: a run has many."""
    return replace(
        around, env={name: text for name, text in around.env.items() if not name.startswith("FLEET_")}
    )


def _usage(session: Session, plan_id: str) -> Usage:
    return sum((record.state.usage for record in session.snapshot().of_plan(plan_id)), Usage())


def _result(session: Session, ready: Ready, tally: Tally, seconds: float, before: Usage) -> RunResult:
    records = session.snapshot().of_plan(ready.options.plan)
    now = _usage(session, ready.options.plan)
    spent = Usage(
        now.input_tokens - before.input_tokens,
        now.output_tokens - before.output_tokens,
        round(now.cost_usd - before.cost_usd, 6),
    )
    return RunResult(
        plan=ready.options.plan,
        base=ready.base,
        stop=tally.stop or Stop("waiting", tally.nothing),
        workers=ready.options.workers,
        seconds=seconds,
        commits=tally.integrated,
        ejected=tally.ejected,
        recovered=tally.recovered,
        usage=spent,
        tasks=tuple(map(_end, records)),
        troubles=tuple(dict.fromkeys(tally.troubles)),
    )


def _end(record: TaskRecord) -> TaskEnd:
    state = record.state
    reason = f"{state.code}: {state.reason}" if state.state is State.BLOCKED else ""
    if state.state in (State.PARKED, State.REWORK):
        reason = state.reason
    return TaskEnd(record.id, record.task.title, state.state, state.attempt, reason)
