"""What is integrated, onto which branch and in which order (DESIGN section 10)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from git_fleet.app.session import Session
from git_fleet.core.config import Config
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Output, State
from git_fleet.core.order import integration_order
from git_fleet.core.results import Skipped
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import InvalidInput


def choose(
    snapshot: Snapshot, targets: Sequence[str], base: str = ""
) -> tuple[list[TaskRecord], list[Skipped]]:
    """The tasks that are handed in among those asked for, of plans onto `base` where that is said; those named
    one by one and not handed in. Raises InvalidInput for a name that nothing has."""
    waiting = (State.PROPOSED, State.VERIFIED)
    chosen = _named(snapshot, targets) if targets else None
    singly = [snapshot.resolve(target) for target in targets if target not in snapshot.plans]
    skipped = [
        Skipped(record.id, f"it is {record.state.state.phrase}")
        for record in singly
        if record.state.state not in waiting
    ]
    found = [
        record
        for record in snapshot.tasks.values()
        if record.state.state in waiting and (chosen is None or record.id in chosen)
    ]
    return [record for record in found if not base or _base(snapshot, record.id.plan) == base], skipped


def still(
    snapshot: Snapshot, targets: Sequence[str], among: Sequence[TaskRecord] | None = None
) -> tuple[str, ...]:
    """Those of the names that there still is a plan or a task for (`among` these)."""
    found = []
    for target in targets:
        with suppress(InvalidInput):
            task = None if among is None and target in snapshot.plans else snapshot.resolve(target).id
            if among is None or any(record.id == task for record in among):
                found.append(target)
    return tuple(found)


def _base(snapshot: Snapshot, plan: str) -> str:
    approved = snapshot.plans[plan].approved
    return approved.base if approved is not None else ""


def base_of(
    session: Session, snapshot: Snapshot, targets: Sequence[str], chosen: Sequence[TaskRecord]
) -> str:
    """The one branch all of them go onto. Raises InvalidInput where there are several."""
    wanted = {record.id.plan for record in chosen} or {name for name in targets if name in snapshot.plans}
    bases = {plan.base for name in wanted if (plan := snapshot.plans[name].approved) is not None}
    if len(bases) > 1:
        raise InvalidInput(
            f"these go onto different branches: {', '.join(sorted(bases))}",
            hint="git fleet integrate PLAN, one by one",
        )
    return next(iter(bases), session.main)


def only_base(session: Session, snapshot: Snapshot, targets: Sequence[str]) -> str:
    """The one branch that what may be handed in goes onto. Raises InvalidInput where there are several."""
    named = _named(snapshot, targets) if targets else None
    plans = {task.plan for task in snapshot.tasks if named is None or task in named}
    bases = {_base(snapshot, plan) for plan in plans}
    if len(bases) > 1:
        raise InvalidInput(
            f"these go onto different branches: {', '.join(sorted(bases))}",
            hint="git fleet integrate --watch PLAN, one for each branch",
        )
    return next(iter(bases), session.main)


def may_come(snapshot: Snapshot, targets: Sequence[str], base: str) -> bool:
    """Whether anything of what is asked for may still be handed in: some task of it has not ended."""
    named = _named(snapshot, still(snapshot, targets)) if targets else None
    return any(
        not record.state.state.ended
        for record in snapshot.tasks.values()
        if (named is None or record.id in named) and _base(snapshot, record.id.plan) == base
    )


def _named(snapshot: Snapshot, targets: Sequence[str]) -> set[TaskId]:
    """The tasks that these names are of, or whose plans they are."""
    plans = {target for target in targets if target in snapshot.plans}
    named = {snapshot.resolve(target).id for target in targets if target not in plans}
    return named | {task for task in snapshot.tasks if task.plan in plans}


def require_gates(config: Config, chosen: Sequence[TaskRecord]) -> None:
    """Raises InvalidInput when some of them would land without being checked by anything, and fleet.toml
    does not say that this is meant."""
    unchecked = [r for r in chosen if r.task.output is Output.COMMIT and not r.task.accept]
    if config.gates or config.gates_none or not unchecked:
        return
    raise InvalidInput(
        "no gate is declared, so nothing would be checked before main moves",
        hint='commit one in fleet.toml on the base branch:\n\n[[gate]]\nname = "tests"\nrun = "make test"\n\n'
        'or say there, above the first table, that nothing is to be checked: gates = "none"',
    )


def in_order(
    session: Session, snapshot: Snapshot, chosen: Sequence[TaskRecord], first: Sequence[str]
) -> list[TaskRecord]:
    """Those chosen in the order in which they are integrated; `first` are names for the front.

    Raises InvalidInput for a name that is not among them, and as `integration_order`.
    """
    index = session.index(snapshot)
    by_id = {record.id: record for record in chosen}
    front = [snapshot.resolve(name).id for name in first]
    unknown = [task_id for task_id in front if task_id not in by_id]
    if unknown:
        raise InvalidInput(
            f"--order names {', '.join(map(str, unknown))}, which {'is' if len(unknown) == 1 else 'are'} not handed in",
            hint="git fleet status",
        )
    ids = integration_order(
        [record.task for record in chosen],
        dependents=index.dependents,
        shared=lambda task_id: len(index.overlaps.of(task_id)),
        first=front,
    )
    return [by_id[task_id] for task_id in ids]
