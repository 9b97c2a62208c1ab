"""Which plan a run is to work: named, the only one there is, or in a file; and what is looked at before a person is
asked to approve it, so that nobody approves what cannot run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from git_fleet.app import choosing, documents, profiles
from git_fleet.app import plan as planning
from git_fleet.app.profiles import Ask
from git_fleet.app.session import Session
from git_fleet.core import launch
from git_fleet.core.config import Config
from git_fleet.core.launch import Agent
from git_fleet.core.model import Plan, PlanState, Task, TaskState
from git_fleet.core.snapshot import PlanRecord, TaskRecord
from git_fleet.errors import AnswerIsNo, Denied, InvalidInput


class Meant(Struct, frozen=True):
    """The plan that is meant. `text` is its newest one, None where no approval is wanted; `notes` are for people."""

    plan: str
    text: Plan | None = None
    notes: tuple[str, ...] = ()


def meant(session: Session, target: str | None, folder: Path, *, store: bool = True) -> Meant:
    """The plan that `target` means: a plan's id, else a file (from `folder`), which is imported (to `store`) unless the
    plan is approved exactly so; None: the only open plan, else the only one that is not closed.

    Raises Denied in a task's worktree, InvalidInput for a file that holds no plan, where there is neither, and where it
    is not clear which plan is meant.
    """
    if session.placement is not None:
        raise Denied(
            "a run starts workers, and this is a worker's worktree", hint="run it in the main worktree"
        )
    known = session.snapshot().plans
    if target is None:
        return _named(session, known[_only(session)])
    path = folder / target
    if (name := target.strip().lower()) in known and (name == target or not path.is_file()):
        also = (f"plan {name} is meant; the file of that name is ./{target}",) if path.is_file() else ()
        return _named(session, known[name], also)
    if not path.is_file():
        raise InvalidInput(f"there is no plan {target}, and no such file", hint="git fleet plan list")
    return _in_file(session, target, path, store=store)


def _only(session: Session) -> str:
    plans = session.snapshot().plans.values()
    found = [record.id for record in plans if record.state is PlanState.OPEN]
    return found[0] if len(found) == 1 else planning.only(session)


def _named(session: Session, record: PlanRecord, notes: tuple[str, ...] = ()) -> Meant:
    if record.state is PlanState.DRAFT:
        return Meant(record.id, planning.newest_of(session, record).plan, notes)
    more = planning.unapproved(session, record) if record.state is PlanState.OPEN else ""
    if more:
        notes += (f"not approved yet, so not worked: {more} (git fleet plan approve {record.id})",)
    return Meant(record.id, notes=notes)


def _in_file(session: Session, target: str, path: Path, *, store: bool) -> Meant:
    data = path.read_bytes()
    plan, _ = documents.load_plan(data, name=path.name, format=None, plan_id=None, default_base=session.main)
    record = session.snapshot().plans.get(plan.id)
    if record is not None and record.approved == plan:
        return Meant(plan.id, notes=(f"{target} is plan {plan.id} as it is approved",))
    if not store:
        raise AnswerIsNo(
            f"plan {plan.id} is not approved as {target} has it, and --dry-run stores and approves nothing",
            hint=f"git fleet plan import {target} --dry-run checks the file",
        )
    made = planning.import_plan(session, data, name=path.name, format_name=None, plan_id=None)
    return Meant(plan.id, made.plan, (f"{target} is stored as plan {plan.id}",))


def require(
    session: Session, plan: Plan, command: Sequence[str], ask: Ask | None
) -> tuple[Agent | None, tuple[str, ...]]:
    """Look, before `plan` is approved for a run, whether it could be worked: the agent for its tasks that no command
    is configured for, None when there are none of these; and the commands of all its agents, placeholders as they are.

    Raises InvalidInput without gates, and as `profiles.agent_for`.
    """
    config = session.config(plan.base)
    choosing.require_gates(config, [TaskRecord(task, None, TaskState()) for task in plan.tasks])
    if not plan.tasks:
        raise InvalidInput(f"plan {plan.id} has no tasks", hint=f"git fleet plan add {plan.id}")
    agent = profiles.agent_for(config, plan.tasks, command, session.around.env, ask)
    return agent, commands(config, plan.tasks, command, agent)


def commands(
    config: Config, tasks: Iterable[Task], given: Sequence[str], agent: Agent | None
) -> tuple[str, ...]:
    """The commands of the agents for these tasks, each once, as a shell would read them."""
    return tuple(dict.fromkeys(_command(config, task, given, agent) for task in tasks))


def _command(config: Config, task: Task, given: Sequence[str], agent: Agent | None) -> str:
    run, _ = launch.configured(config, task, given)
    if not run and agent is not None:
        run = agent.run
    prefix = launch.profile_of(config, task)[1].wrap
    shown = run if isinstance(run, str) else shlex.join(run)
    return f"{shlex.join(prefix)} {shown}" if prefix else shown
