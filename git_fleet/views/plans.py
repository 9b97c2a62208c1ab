"""Plans as text: what `plan check` says before anyone starts, what approving means, which plans there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from git_fleet.core.check import PlanCheck
from git_fleet.core.doubts import Doubt
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Overlap, Plan, PlanState, Task
from git_fleet.core.results import PlanRow
from git_fleet.core.schedule import FanOut, Shape
from git_fleet.core.snapshot import PlanRecord
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line, lines, short, size, some, wrapped
from git_fleet.views.table import Cell, Table

_WILL = {
    Overlap.SERIALIZE: ("they take turns", "yellow"),
    Overlap.WATCH: ("both run; the later one waits at a real collision", "cyan"),
    Overlap.ACCEPT: ("both run; a conflict is met at integration", "dim"),
}
_IN_ORDER = ("in order: needs", "dim")
_STATES = {
    PlanState.DRAFT: "dim",
    PlanState.APPROVING: "yellow",
    PlanState.OPEN: "green",
    PlanState.PAUSED: "yellow",
    PlanState.CLOSING: "yellow",
    PlanState.CLOSED: "dim",
}
_MOST = 30
_FEW = 3


def check(value: PlanCheck, look: Look) -> str:
    """Everything `plan check` found, the verdict last, where the eye ends."""
    parts = [
        _summary(value, look),
        *_overlaps(value, look),
        *_interfaces(value, look),
        *_coupling(value, look),
        *_doubts(value, look),
        *_problems(value, look),
        *_waves(value, look),
        _verdict(value.fan_out, value.critical_path, look),
    ]
    return "\n\n".join(parts)


def _summary(value: PlanCheck, look: Look) -> str:
    found = [
        count(value.tasks, "task"),
        count(len(value.collisions), "collision"),
        count(len(value.waves), "wave"),
    ]
    if value.doubts:
        found.append(count(len(value.doubts), "doubt"))
    if value.problems:
        found.append(look.paint(count(len(value.problems), "problem"), "red bold"))
    return f"{look.paint(line(value.plan), 'bold')}: {', '.join(found)}"


def _section(title: str, body: Iterable[str], look: Look) -> list[str]:
    """A heading and indented text under it; nothing where there is nothing to say."""
    text = [f"  {part}" for block in body for part in block.split("\n")]
    return ["\n".join([look.paint(title, "bold"), *text])] if text else []


def _inside(look: Look) -> Look:
    """The look of what is indented by two columns."""
    return Look(max(look.width - 2, 1) if look.width else 0, look.colour)


def _table(table: Table, hidden: int, look: Look) -> list[str]:
    if not table.rows:
        return []
    return [
        table.render(_inside(look)),
        *([f"… and {hidden} more (--json has them all)"] if hidden > 0 else []),
    ]


def _overlaps(value: PlanCheck, look: Look) -> list[str]:
    table = Table(("TASK", "AND", "BOTH OWN", "WHAT WILL HAPPEN"), whole=frozenset({0, 1}))
    for found in value.overlaps[:_MOST]:
        will = _IN_ORDER if found.ordered else _WILL[found.policy]
        table.add(str(found.a), str(found.b), _paths(found.paths, found.count), Cell(*will))
    body = _table(table, len(value.overlaps) - _MOST, look)
    parted = (found.rooted for found in value.overlaps[:_MOST] if not found.ordered)
    rooted = list(dict.fromkeys(text for texts in parted for text in texts))
    if rooted:
        told = f"a bare name is owned in every folder; if only the root's is meant, write {some(rooted, 8)}"
        body.append(wrapped(told, _inside(look)))
    return _section("Collisions", body, look)


def _paths(paths: Sequence[str], total: int) -> str:
    shown = ", ".join(line(path) for path in paths[:3])
    return f"{shown} and {total - 3} more" if total > 3 else shown


def _interfaces(value: PlanCheck, look: Look) -> list[str]:
    table = Table(("CHANGES", "READS", "PATHS", "WHAT WILL HAPPEN"), whole=frozenset({0, 1}))
    for edge in value.interfaces[:_MOST]:
        owner, reader = str(edge.owner), str(edge.reader)
        table.add(owner, reader, _paths(edge.paths, edge.count), f"{owner} is integrated first")
    return _section("Interfaces", _table(table, len(value.interfaces) - _MOST, look), look)


def _coupling(value: PlanCheck, look: Look) -> list[str]:
    table = Table(("TASK", "FILE", "CHANGES WITH", "OF TASK", "HOW OFTEN"), whole=frozenset({0, 3}))
    for found in value.coupling[:_MOST]:
        often = f"{count(found.support, 'commit')} ({found.share:.0%})"
        table.add(str(found.a), *found.paths, str(found.b), often)
    title = "Hidden coupling (files that history shows changing together, split between two tasks)"
    return _section(title, _table(table, len(value.coupling) - _MOST, look), look)


def _doubts(value: PlanCheck, look: Look) -> list[str]:
    """Doubt by doubt where there are a few of a kind; of many of a kind the tasks and the first one."""
    kinds: dict[str, list[Doubt]] = {}
    for doubt in value.doubts:
        kinds.setdefault(doubt.code, []).append(doubt)
    text = []
    for found in kinds.values():
        many = len(found) > _FEW
        text += _many_doubts(found, look) if many else [part for one in found for part in _doubt(one, look)]
    if any(len(found) > _FEW for found in kinds.values()):
        text.append(look.paint("--json has them all", "dim"))
    return _section("Doubts", text, look)


def _doubt(doubt: Doubt, look: Look) -> list[str]:
    whose = f"{look.paint(str(doubt.task_id), 'bold')}: " if doubt.task_id else ""
    text = [wrapped(f"{look.paint('?', 'yellow')} {whose}{line(doubt.text)}", _inside(look), indent=2)]
    fix = wrapped(f"    {line(doubt.fix)}", _inside(look), indent=4)
    return [*text, look.paint(fix, "dim")] if doubt.fix else text


def _many_doubts(found: Sequence[Doubt], look: Look) -> list[str]:
    """Doubts of one kind: how many, whose, and the first as an example."""
    tasks = tuple(dict.fromkeys(str(doubt.task_id) for doubt in found if doubt.task_id))
    whose = f" ({some(tasks, _FEW)})" if tasks else ""
    head = look.paint(f"{len(found)} × {found[0].code}", "bold")
    told = f"{look.paint('?', 'yellow')} {head}{whose}, such as: {line(found[0].text)}"
    return [wrapped(told, _inside(look), indent=2)]


def _problems(value: PlanCheck, look: Look) -> list[str]:
    mark = look.paint("✗", "red")
    text = [wrapped(f"{mark} {line(problem)}", _inside(look), indent=2) for problem in value.problems]
    return _section("Problems (approving refuses them)", text, look)


def _waves(value: PlanCheck, look: Look) -> list[str]:
    waves = enumerate(value.waves, 1)
    text = [wrapped(f"{number:>2}  {_wave(tasks)}", _inside(look), indent=4) for number, tasks in waves]
    return _section("Waves (tasks of one can run together)", text, look)


def _wave(tasks: Sequence[TaskId]) -> str:
    shown = "  ".join(map(str, tasks[:12]))
    return f"{shown}  and {len(tasks) - 12} more" if len(tasks) > 12 else shown


def _verdict(value: FanOut, path: Sequence[TaskId], look: Look) -> str:
    parallel = value.verdict is Shape.PARALLEL
    word = look.paint("PARALLEL", "green bold") if parallel else look.paint("SERIAL", "yellow bold")
    inputs = value.inputs
    text = [f"{look.paint('Verdict:', 'bold')} {word} – {line(value.reason)}"]
    text.append(
        f"  {minutes(value.sequential_minutes)} one after another, "
        f"{minutes(value.parallel_minutes)} with {count(value.workers, 'worker')} (×{value.speedup:g}); "
        f"more than {count(value.useful_workers, 'worker')} {'is' if value.useful_workers == 1 else 'are'} no help"
    )
    if path:
        text.append(
            f"  critical path {minutes(inputs.critical_path_minutes)}: {' → '.join(map(str, path[:12]))}"
            f"{' → …' if len(path) > 12 else ''}"
        )
    text.append(
        f"  from {count(inputs.tasks, 'task')} of {minutes(inputs.minutes)} in all, {minutes(inputs.spawn_minutes)} "
        f"to start a worker, {minutes(inputs.review_minutes)} to review a task"
    )
    return "\n".join(wrapped(part, look, indent=4) for part in text)


def minutes(value: float) -> str:
    """`0.5 min`, `40 min`, `3 h 20 min`."""
    if value < 120:
        return f"{value:.0f} min" if value >= 10 or value == int(value) else f"{value:.1f} min"
    hours, rest = divmod(round(value), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def preview(
    value: PlanCheck,
    look: Look,
    *,
    commands: Sequence[str],
    worktrees: int,
    disk_bytes: int,
    warnings: Sequence[str],
) -> str:
    """What approving means: collisions, commands, worktrees, disk."""
    parts = [_summary(value, look), *_overlaps(value, look), *_doubts(value, look), *_problems(value, look)]
    # A command is one line each and quoted as written: a person approves what will run.
    shown = [lines(command) for command in commands]
    parts += _section("Commands that will run", shown or ["none"], look)
    at_once = f"{count(worktrees, 'worktree')} at once, {size(disk_bytes)} of disk"
    parts += _section("Space", [at_once], look)
    parts += (
        ["\n".join(f"{look.paint('warning:', 'yellow')} {line(text)}" for text in warnings)]
        if warnings
        else []
    )
    return "\n\n".join(parts)


def readable(plan: Plan, look: Look) -> str:
    """A text that would be stored."""
    return f"plan {look.paint(line(plan.id), 'bold')} can be stored: {count(len(plan.tasks), 'task')} onto {line(plan.base)}"


def saved(plan: Plan, look: Look, *, created: bool) -> str:
    """A revision that was stored, and what comes next."""
    what = "is stored as a draft" if created else "has a new revision, which counts once it is approved"
    name = look.paint(line(plan.id), "bold")
    return (
        f"plan {name} {what}: {count(len(plan.tasks), 'task')} onto {line(plan.base)}\n"
        f"{look.paint('next:', 'bold')} git fleet plan check {line(plan.id)}, then git fleet plan approve {line(plan.id)}"
    )


def draft(plan: Plan | None, found: PlanCheck | None, serial: str, look: Look, *, created: bool) -> str:
    """What a planner made of a description: its check and the draft, or why the work is none for several."""
    if plan is None or found is None:
        text = f"{look.paint('this is no work for several:', 'bold')} {line(serial)}"
        return f"{wrapped(text, look)}\nnothing is stored"
    return f"{check(found, look)}\n\n{saved(plan, look, created=created)}"


def drafted(plan: Plan, tasks: Sequence[Task], look: Look, *, dry_run: bool) -> str:
    """The tasks drafted from findings, and what comes next."""
    if not tasks:
        return f"plan {line(plan.id)}: nothing was found outside of its task that is not drafted yet"
    table = Table(("TASK", "FILES", "LABEL", "NEEDS", "WHAT"), whole=frozenset({0}))
    for task in tasks:
        labels, needs = some(task.labels), some(task.needs)
        table.add(Cell(str(task.id), "bold"), some(task.owned) or "none yet", labels, needs, task.title)
    if dry_run:
        return f"{table.render(look)}\nnothing is stored"
    return f"{table.render(look)}\n{saved(plan, look, created=False)}"


def state(record: PlanRecord, look: Look) -> str:
    """Where a plan is now."""
    word = look.paint(str(record.state), _STATES[record.state])
    why = f": {line(record.log.reason)}" if record.log.reason else ""
    at = f" (revision {short(record.log.revision)})" if record.log.revision else ""
    after = f"\n{look.paint('next:', 'bold')} git fleet claim" if record.state is PlanState.OPEN else ""
    return f"plan {look.paint(line(record.id), 'bold')} is {word}{why}{at}{after}"


def listing(rows: Sequence[PlanRow], look: Look) -> str:
    """Every plan there is."""
    if not rows:
        return "no plan yet (git fleet plan import FILE, or git fleet plan new NAME)"
    table = Table(("PLAN", "STATE", "ONTO", "TASKS", "WHAT"), whole=frozenset({0, 1}), right=frozenset({3}))
    for row in rows:
        state_ = Cell(str(row.state), _STATES[row.state])
        table.add(Cell(row.plan, "bold"), state_, row.base, str(row.tasks), row.title)
    return table.render(look)


def source(text: str) -> str:
    """A plan's text for a terminal."""
    return lines(text.rstrip("\n"))
