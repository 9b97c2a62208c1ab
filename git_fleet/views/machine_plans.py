"""Plans as JSON documents, beside views/machine.py and by the same rules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from git_fleet.views.machine import Document, ids

if TYPE_CHECKING:
    from git_fleet.core.check import PlanCheck
    from git_fleet.core.coupling import Coupling
    from git_fleet.core.model import Plan, Task
    from git_fleet.core.results import PlanRow
    from git_fleet.core.schedule import FanOut
    from git_fleet.core.snapshot import PlanRecord


def listing(rows: Iterable[PlanRow]) -> Document:
    """`plan list`."""
    return {
        "plans": [
            {
                "plan": row.plan,
                "title": row.title,
                "base": row.base,
                "state": str(row.state),
                "tasks": row.tasks,
            }
            for row in rows
        ]
    }


def saved(plan: Plan, revision: str | None, *, created: bool) -> Document:
    """`plan import`, `new`, `edit` and `add`: the revision that was stored (None on a dry run)."""
    return {
        "plan": plan.id,
        "title": plan.title,
        "base": plan.base,
        "tasks": len(plan.tasks),
        "revision": revision,
        "created": created,
    }


def drafted(plan: Plan, revision: str | None, tasks: Iterable[Task]) -> Document:
    """`plan add --from-findings`: the same, and the tasks that were drafted."""
    return {
        **saved(plan, revision, created=False),
        "drafted": [
            {
                "task_id": str(task.id),
                "title": task.title,
                "files": list(task.owned),
                "labels": list(task.labels),
                "needs": ids(task.needs_ids),
            }
            for task in tasks
        ],
    }


def draft(
    plan: Plan | None, revision: str | None, found: PlanCheck | None, serial: str, *, created: bool
) -> Document:
    """`plan draft`: what was stored, and its check; or, with `plan` null, why the work is none for several."""
    if plan is None or found is None:
        return {"plan": None, "reason": serial}
    return {**saved(plan, revision, created=created), "reason": None, "check": check(found)}


def state(record: PlanRecord) -> Document:
    """`plan approve`, `pause`, `resume` and `close`: where the plan is now."""
    return {
        "plan": record.id,
        "state": str(record.state),
        "revision": record.log.revision,
        "reason": record.log.reason or None,
    }


def show(plan: Plan, *, state: str, revision: str, approved: bool) -> Document:
    """`plan show`: the newest revision, matrix expanded; `approved` says that it is the one in force."""
    return {
        "plan": plan.id,
        "title": plan.title,
        "base": plan.base,
        "schedule": str(plan.schedule),
        "state": state,
        "revision": revision,
        "approved": approved,
        "tasks": [_planned(task) for task in plan.tasks],
    }


def _planned(task: Task) -> Document:
    return {
        "task_id": str(task.id),
        "title": task.title,
        "slug": task.slug,
        "files": None if task.files is None else list(task.files),
        "reads": list(task.reads),
        "needs": ids(task.needs_ids),
        "needs_elsewhere": list(task.needs_elsewhere),
        "follows_elsewhere": list(task.follows_elsewhere),
        "changeset": task.changeset or None,
        "labels": list(task.labels),
        "worker": task.worker or None,
        "prompt": task.prompt,
        "accept": list(task.accept),
        "estimate_minutes": task.estimate_minutes,
        "priority": task.priority,
        "hold": task.hold,
        "joint": task.joint,
        "output": str(task.output),
        "overlap": str(task.overlap),
        "branch": task.branch or None,
        "worktree": task.worktree or None,
        "remarks": task.remarks,
        "payload": dict(task.params),
        "group": task.group or None,
        "extra": json.loads(task.extra) if task.extra else {},
    }


def check(value: PlanCheck) -> Document:
    """`plan check`."""
    return {
        "plan": value.plan,
        "tasks": value.tasks,
        "overlaps": [
            {
                "a": str(one.a),
                "b": str(one.b),
                "paths": list(one.paths),
                "count": one.count,
                "policy": str(one.policy),
                "ordered": one.ordered,
                "rooted": list(one.rooted),
            }
            for one in value.overlaps
        ],
        "interfaces": [
            {"owner": str(one.owner), "reader": str(one.reader), "paths": list(one.paths), "count": one.count}
            for one in value.interfaces
        ],
        "coupling": [_coupling(one) for one in value.coupling],
        "doubts": [
            {
                "code": one.code,
                "task_id": str(one.task_id) if one.task_id else None,
                "text": one.text,
                "fix": one.fix,
            }
            for one in value.doubts
        ],
        "waves": [ids(wave) for wave in value.waves],
        "critical_path": ids(value.critical_path),
        "fan_out": _fan_out(value.fan_out),
        "problems": list(value.problems),
    }


def _coupling(one: Coupling) -> Document:
    return {
        "a": str(one.a),
        "b": str(one.b),
        "paths": list(one.paths),
        "share": round(one.share, 3),
        "support": one.support,
    }


def _fan_out(value: FanOut) -> Document:
    inputs = value.inputs
    return {
        "verdict": str(value.verdict),
        "workers": value.workers,
        "useful_workers": value.useful_workers,
        "speedup": value.speedup,
        "sequential_minutes": value.sequential_minutes,
        "parallel_minutes": value.parallel_minutes,
        "inputs": {
            "tasks": inputs.tasks,
            "minutes": inputs.minutes,
            "critical_path_minutes": inputs.critical_path_minutes,
            "spawn_minutes": inputs.spawn_minutes,
            "review_minutes": inputs.review_minutes,
        },
        "reason": value.reason,
    }


def preview(
    value: PlanCheck, *, commands: Sequence[str], worktrees: int, disk_bytes: int, warnings: Sequence[str]
) -> Document:
    """`plan approve --dry-run`."""
    return {
        "plan": value.plan,
        "check": check(value),
        "commands": list(commands),
        "worktrees": worktrees,
        "disk_bytes": disk_bytes,
        "warnings": list(warnings),
    }
