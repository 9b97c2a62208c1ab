"""Many logs at once, for whoever tells what has happened in a whole plan."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from git_fleet.core.ids import Oid, TaskId
from git_fleet.errors import UnknownFormat
from git_fleet.git.objects import Objects
from git_fleet.store import archive, log, names
from git_fleet.store.base import Store
from git_fleet.store.log import Entry


def histories(
    objects: Objects, tips: Iterable[Oid], *, back_to: datetime | None = None
) -> dict[Oid, list[Entry]]:
    """The logs that end at `tips`, oldest event first: one generation of events after the other, so that
    git is asked few questions however many logs there are. Not further than just before `back_to`.

    Raises UnknownFormat for what is no log.
    """
    found: dict[Oid, list[Entry]] = {tip: [] for tip in tips}
    front = {tip: tip for tip in found}
    while front:
        asked, front = front, {}
        answers = objects.read_many(asked.values())
        for (tip, oid), stored in zip(asked.items(), answers, strict=True):
            if stored is None or stored.kind != "commit":
                raise UnknownFormat(f"event {oid} is missing", hint="git fleet doctor")
            entry = log.parse(oid, stored.data)
            found[tip].append(entry)
            if entry.parent is not None and (back_to is None or entry.event.at >= back_to):
                front[tip] = entry.parent
    for entries in found.values():
        entries.reverse()
    return found


def task_logs(store: Store, plan: str, *, closed: bool) -> dict[TaskId, list[Entry]]:
    """Every log of the plan's tasks; those of a closed plan as `archive.tips` has them."""
    tips = archive.tips(store, plan)
    if not closed:
        tips |= {
            names.task_of_log(ref): oid for ref, oid in store.refs.read(f"{names.TASK_LOGS}{plan}/").items()
        }
    entries = histories(store.objects, tips.values())
    return {task: entries[oid] for task, oid in tips.items()}
