"""A plan as issues of beads, one a line, for `bd import`.

An issue that came from beads goes back as it came, with what has changed: its status, and below
`metadata.git_fleet` whatever its task says by now that it does not say itself. A task from elsewhere becomes an
issue in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from git_fleet.app.exporters.written import NOT_ALONE, Standing, Written
from git_fleet.app.importers import beads, extra
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Plan, Schedule, State, Task
from git_fleet.core.plandoc import VERSION, dump_plan, parse_plan
from git_fleet.core.problems import Problems, show
from git_fleet.core.spelling import encoding_problem
from git_fleet.errors import InvalidInput

Record = dict[str, Any]

_ATTRIBUTES = {"matrix": "params"}
_LISTS = ("reads", "labels", "accept")
_DEFAULTS: Record = {"estimate_minutes": 10.0, "priority": 0, "hold": False, "joint": False, "output": "commit",
                     "overlap": "serialize"}  # fmt: skip
_WORKED_ON = (State.CLAIMED, State.PROPOSED, State.VERIFIED, State.PARKED, State.REWORK)


def write(plan: Plan, standings: Mapping[TaskId, Standing]) -> Written:
    """One line for each task. Raises InvalidInput for an `extra.beads` that is none."""
    records = [_came(task) for task in plan.tasks]
    fresh = _read_again(plan, records)
    tables = dump_plan(plan)["task"]
    for task, table, again, record in zip(plan.tasks, tables, fresh.tasks, records, strict=True):
        _say(record, task, {key: _value(table, key) for key in _changed(task, again)})
    _say_needs(plan, records)
    for task, record in zip(plan.tasks, records, strict=True):
        _say_standing(record, standings.get(task.id))
    lines = map(_line, records)
    left_out = ["schedule"] if plan.schedule is not Schedule.READY else []
    if any(task.extra and json.loads(task.extra).keys() - {"beads", "beads-json"} for task in plan.tasks):
        left_out.append("extra")
    left_out += [name for name in NOT_ALONE if any(getattr(task, name) for task in plan.tasks)]
    return Written("".join(f"{line}\n" for line in lines), tuple(left_out))


def _line(record: Record) -> str:
    """As JSON; in ASCII where it holds half of a surrogate pair, which only JSON can say."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(record, separators=(",", ":")) if encoding_problem(text) else text


def _came(task: Task) -> Record:
    """The issue as it came from beads, with what its task says for it; a new one for a task from elsewhere."""
    kept = extra.unpack("beads", task.extra)
    record: Record = {"id": task.id.task, "title": task.title}
    sections = any((kept or {}).get(key) for key in beads.SECTIONS)
    if task.prompt and not sections:
        record["description"] = task.prompt
    if task.labels:
        record["labels"] = list(task.labels)
    if kept is not None:
        record |= kept
        if str(record["id"]).strip().lower() != task.id.task:  # renamed in the plan
            record["id"] = task.id.task
        return record
    record |= {"status": "open", "issue_type": "task"}
    first = 2 - task.priority
    record["priority"] = first if 0 <= first <= 4 else 2
    if task.estimate_minutes != 10 and task.estimate_minutes.is_integer():
        record["estimated_minutes"] = int(task.estimate_minutes)
    return record


def _read_again(plan: Plan, records: list[Record]) -> Plan:
    """The plan that an import of these issues would give, needs left aside."""
    problems = Problems(f"plan {plan.id}: extra.beads")
    tables = [beads.table_of(beads.fields_of(record, 0, problems)) for record in records]
    problems.raise_if_any(hint=f"git fleet plan edit {plan.id}")
    document = {"version": VERSION, "plan": plan.id, "base": plan.base, "task": tables}
    return parse_plan(document, source=problems.source)


def _changed(task: Task, again: Task) -> list[str]:
    """The keys that an issue would not say as its task has them."""
    keys = {key: _ATTRIBUTES.get(key, key) for key in ("title", *beads.OWN_KEYS)} | {"owned": "files"}
    return [key for key, name in keys.items() if getattr(task, name) != getattr(again, name)]


def _value(table: Record, key: str) -> Any:
    default = _DEFAULTS.get(key, [] if key in _LISTS else "")
    return table.get("files" if key == "owned" else key, default)


def _say(record: Record, task: Task, fields: Record) -> None:
    """Put fields below `metadata.git_fleet`."""
    if task.output == "report":
        fields.pop("owned", None)
    if not fields:
        return
    metadata = record.get("metadata") or {}
    ours = metadata.get("git_fleet", {}) if isinstance(metadata, Mapping) else None
    if not isinstance(ours, Mapping):
        raise InvalidInput(
            f"{task.id}: extra.beads.metadata: found {show(metadata)}; allowed: a table, to hold {', '.join(fields)}",
            hint=f"git fleet plan edit {task.id.plan}",
        )
    record["metadata"] = {**metadata, "git_fleet": {**ours, **fields}}


def _say_needs(plan: Plan, records: list[Record]) -> None:
    """Dependencies that block are the task's needs; all others stay as they are."""
    problems = Problems(f"plan {plan.id}: extra.beads")
    names = {task.id.task: str(record["id"]) for task, record in zip(plan.tasks, records, strict=True)}
    for task, record in zip(plan.tasks, records, strict=True):
        given = record.get("dependencies")
        if isinstance(given, list):
            record["dependencies"] = [each for each in given if _stays(each, task, names)]
    issues = [beads.Issue(0, record, beads.fields_of(record, 0, problems)) for record in records]
    waits = beads.waiting(issues)
    problems.raise_if_any(hint=f"git fleet plan edit {plan.id}")
    for task, record in zip(plan.tasks, records, strict=True):
        more = [
            {"issue_id": record["id"], "depends_on_id": names[need], "type": "blocks"}
            for need in task.needs
            if need not in waits[task.id.task]
        ]
        if more:
            record["dependencies"] = [*(record.get("dependencies") or []), *more]


def _stays(dependency: Any, task: Task, names: Mapping[str, str]) -> bool:
    """Whether a dependency is not one that the plan has taken away."""
    if not isinstance(dependency, Mapping) or dependency.get("type", "blocks") not in beads.BLOCKING:
        return True
    target = str(dependency.get("depends_on_id")).strip().lower()
    return target in task.needs or target not in names


def _say_standing(record: Record, standing: Standing | None) -> None:
    """What the fleet knows better: that it is done, being worked on, or blocked."""
    if standing is None:
        return
    if standing.state is State.INTEGRATED:
        record["status"] = "closed"
        if standing.since is not None and "closed_at" not in record:
            record["closed_at"] = standing.since.isoformat(timespec="seconds").replace("+00:00", "Z")
    elif standing.state in _WORKED_ON:
        record["status"] = "in_progress"
    elif standing.state is State.BLOCKED:
        record["status"] = "blocked"
