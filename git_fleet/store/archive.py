"""Folding the logs of a closed plan, so that old refs do not pile up.

`refs/fleet/archive/<plan>` is a commit that has every log's tip among its ancestors; its tree's file
`logs.json` (format version 1) says which tip was which log's: `{"v":1,"logs":{"plan/task":oid}}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from git_fleet.core import codec
from git_fleet.core.ids import Oid, TaskId, parse_task_id
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import State
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import log, names, tasks
from git_fleet.store.base import Store, tip, value

_FILE = "logs.json"
_PARENTS = 64
_AT_ONCE = 500


def fold(store: Store, plan_id: str, *, actor: str, at: datetime) -> int:
    """Put every task log of the closed plan under its archive ref, then remove the logs' refs.

    Done again after a crash, or when a log reappeared, it adds what is left to what is there: a log that has gone on
    counts as it is now, any other that reappears counts for nobody (DESIGN section 3) and is kept. How many logs were
    folded. Raises Stale when a log moved meanwhile.
    """
    prefix = f"{names.TASK_LOGS}{plan_id}/"
    found = store.refs.read(prefix)
    if not found:
        return 0
    before = tip(store.refs.get(names.archive(plan_id)))
    known = read(store, plan_id) if before else {}
    logs = dict(known)
    for ref, oid in found.items():
        task = str(names.task_of_log(ref))
        there = known.get(task, oid)
        if there == oid or store.objects.is_ancestor(there, oid):
            logs[task] = oid
    new = _write(store, plan_id, before, logs, list(found.values()), Event("archive", at, actor))
    store.transact([Update(names.archive(plan_id), value(before), new)])
    rest = [Update(ref, oid, ABSENT) for ref, oid in found.items()]
    while rest:
        store.transact(rest[:_AT_ONCE])
        rest = rest[_AT_ONCE:]
    return len(found)


def _write(
    store: Store, plan_id: str, before: Oid | None, logs: dict[str, Oid], tips: Sequence[Oid], event: Event
) -> Oid:
    """The archive commit; so many tips that a commit with them all would be unwieldy are gathered
    in commits in between."""
    who = log.signature(event)
    document = codec.canonical({"v": codec.VERSION, "logs": logs}).encode()

    def commit(parents: Sequence[Oid], tree: Oid) -> Oid:
        return store.objects.write_commit(
            tree=tree, parents=parents, author=who, committer=who, message=f"archive of plan {plan_id}\n"
        )

    level = list(tips)
    while len(level) > _PARENTS:
        groups = [level[start : start + _PARENTS] for start in range(0, len(level), _PARENTS)]
        level = [commit(group, store.objects.write_empty_tree()) for group in groups]
    return commit([*filter(None, [before]), *level], store.objects.write_files({_FILE: document}))


def tips(store: Store, plan_id: str) -> dict[TaskId, Oid]:
    """The tips of a closed plan's logs: those of its archive alone, since a log that reappears counts for nobody (DESIGN
    section 3). Where there is no archive yet, they are being folded, or that was cut short: as they are then."""
    found = {parse_task_id(task): oid for task, oid in read(store, plan_id).items()}
    if found:
        return found
    return {
        names.task_of_log(ref): oid for ref, oid in store.refs.read(f"{names.TASK_LOGS}{plan_id}/").items()
    }


def tip_of(store: Store, task: TaskId) -> Oid | None:
    """The tip of a task's log, folded or not; None for a task without any."""
    return tip(store.refs.get(names.task_log(task))) or read(store, task.plan).get(str(task))


def ended(store: Store, task: TaskId) -> State | None:
    """The state that a task of a closed plan has ended in; None for one that has no log."""
    at = tip_of(store, task)
    return tasks.state_at(store, at).state if at else None


def read(store: Store, plan_id: str) -> dict[str, Oid]:
    """The tips of the folded logs, by `plan/task`; empty without an archive."""
    found = next(store.objects.read_many([f"{names.archive(plan_id)}:{_FILE}"]))
    if found is None:
        return {}
    document = codec.parse_document(found.data, names.archive(plan_id))
    return {task: Oid(oid) for task, oid in document["logs"].items()}
