"""A plan's newest text in other formats, with where its tasks stand by now."""

from __future__ import annotations

from msgspec import Struct

from git_fleet.app import exporters
from git_fleet.app import plan as planning
from git_fleet.app.session import Session
from git_fleet.core.model import PlanState, State
from git_fleet.core.snapshot import PlanRecord, Snapshot, TaskRecord
from git_fleet.errors import InvalidInput
from git_fleet.store import archive, log, plans, tasks


class Exported(Struct, frozen=True):
    """`toml` is the text as it is stored, `text` the same in the format that was asked for; `left_out` are
    fields that this format has no place for."""

    toml: str
    format: str
    text: str
    left_out: tuple[str, ...] = ()


def export(session: Session, plan_id: str, format_name: str = "toml") -> Exported:
    """The plan in a format of `exporters.FORMATS`. Raises InvalidInput."""
    if format_name not in exporters.FORMATS:
        raise InvalidInput(
            f"format: found {format_name!r}; allowed: {', '.join(exporters.FORMATS)}",
            hint="git fleet plan export, without --format, is the plan as it is stored",
        )
    _, toml = planning.text_of(session, plan_id)
    if format_name == "toml":
        return Exported(toml, format_name, toml)
    snapshot = session.snapshot()
    record = snapshot.plan(plan_id)
    found = planning.newest_of(session, record)
    standings = {each.id: _standing(session, each) for each in records(session, snapshot, record)}
    written = exporters.write(found.plan, standings, format_name)
    return Exported(toml, format_name, written.text, written.left_out)


def records(session: Session, snapshot: Snapshot, record: PlanRecord) -> list[TaskRecord]:
    """The tasks of the plan's approved text; those of a closed plan as its archive has them."""
    if record.state is not PlanState.CLOSED:
        return snapshot.of_plan(record.id)
    if record.log.revision is None:
        return []
    tips = archive.tips(session.store, record.id)
    return [
        TaskRecord(task, tips.get(task.id), tasks.state_at(session.store, tips.get(task.id)))
        for task in plans.revision(session.store, record.id, record.log.revision).plan.tasks
    ]


def _standing(session: Session, record: TaskRecord) -> exporters.Standing:
    """The time is read only where it is written."""
    if record.state.state is not State.INTEGRATED or record.tip is None:
        return exporters.Standing(record.state.state)
    return exporters.Standing(State.INTEGRATED, log.read(session.store.objects, record.tip).event.at)
