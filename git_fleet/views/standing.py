"""How the fleet stands, as text: the few lines of `git fleet`, the table of `git fleet status`.

Each task has one line where a terminal is wide enough for that; of several layouts the widest that fits is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from git_fleet.core import inline
from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.results import PlanStatus, Status, TaskRow
from git_fleet.core.wording import count
from git_fleet.views.look import Look, age, cut, line, some, visible, width
from git_fleet.views.table import Cell, Table

STYLES = {
    State.PENDING: "dim",
    State.CLAIMED: "cyan",
    State.PROPOSED: "blue",
    State.VERIFIED: "blue bold",
    State.PARKED: "magenta",
    State.REWORK: "yellow",
    State.BLOCKED: "red bold",
    State.INTEGRATED: "green",
    State.REVERTED: "red",
    State.CANCELLED: "dim",
}
"""The colour of each state; the word is always there too."""

MOST_ROWS = 40
_BAR = 20
_ORDER = tuple(STYLES)
_REVIEWED = (State.PROPOSED, State.VERIFIED, State.PARKED)


def overview(status: Status, look: Look) -> str:
    """The fleet in a few lines and the next command: what bare `git fleet` shows."""
    text = [_headline(plan, look) for plan in status.plans if plan.state is not PlanState.CLOSED]
    for plan in status.plans:
        text += [f"  {line_}" for line_ in _attention(plan, status.at, look)]
    if not text:
        text = [_no_plan(status)]
    steps = [f"{look.paint('next:', 'bold')} {line(status.next_command)}"] if status.next_command else []
    return "\n".join([*text, *steps])


def status(value: Status, look: Look, *, everything: bool = False, most_rows: int | None = None) -> str:
    """The table of every plan that has not ended: who does what, what waits for what, what to do next. A plan has
    `most_rows` rows at most; if that is not given, 40 or as many as there are active tasks."""
    text: list[str] = []
    for plan in value.plans:
        text.append(_headline(plan, look))
        if plan.tasks:
            shown = plan.tasks if everything else _foremost(plan.tasks, most_rows)
            text += [_task_table(shown, value.at, look)]
            hidden = len(plan.tasks) - len(shown)
            text += [f"… and {hidden} more (git fleet status --all)"] if hidden else []
            text += [""]
    if not text:
        text = [_no_plan(value)]
    lead = [f"lead: {line(value.lead)}"] if value.lead else []
    return "\n".join([*text, *lead, *_sharing(value), *_review(value), *_steps(value, look)])


def _sharing(value: Status) -> list[str]:
    """Between machines: who decides, and how much this clone asks of it."""
    found = value.sharing
    if found is None:
        return []
    parts = [f"remote: {line(found.remote)}, as of {age(found.age_seconds)} ago"]
    if found.pushes:
        parts.append(f"{count(found.pushes, 'push', 'pushes')} from here within the hour")
    if found.waiting:
        parts.append(f"{count(found.waiting, 'ref')} still to be told")
    return [", ".join(parts)]


def one_line(value: Status, mine: TaskId | None = None) -> str:
    """The open plans in one short line, "" where there is none. `mine` is the task of the worktree that one is in."""
    shown = [plan for plan in value.plans if plan.state.counts]
    words = {task.id: _state_word(task, value.at) for plan in shown for task in plan.tasks}
    counts = ((plan.plan, str(plan.state), Counter(words[task.id] for task in plan.tasks)) for plan in shown)
    return inline.one_line(counts, f"{mine} {words[mine]}" if mine in words else "")


def _no_plan(value: Status) -> str:
    return f"{count(value.closed, 'plan')} closed, none is open" if value.closed else "no plan yet"


def _headline(plan: PlanStatus, look: Look) -> str:
    """`tasks-app (paused)  ████░░ 2/8 done  wave 1 of 3  3 claimed  1 blocked`."""
    done, total = progress(plan)
    full = _BAR * done // total if total else 0
    bar = look.paint("█" * full, "green") + look.paint("░" * (_BAR - full), "dim")
    shown = (
        "" if plan.state is PlanState.OPEN else f" ({plan.state}{': ' + plan.reason if plan.reason else ''})"
    )
    name = f"{look.paint(line(plan.plan), 'bold')}{line(shown)} → {line(plan.base)}"
    wave = [f"wave {plan.wave + 1} of {plan.waves}"] if plan.wave is not None and plan.waves > 1 else []
    others = [
        look.paint(f"{number} {state}", STYLES[state])
        for state in _ORDER
        if (number := dict(plan.counts).get(state)) and state is not State.INTEGRATED
    ]
    return "\n".join(_filled([name, bar, f"{done}/{total} done", *wave, *others], look))


def progress(plan: PlanStatus) -> tuple[int, int]:
    """How many tasks are integrated, of how many that are not cancelled."""
    counts = dict(plan.counts)
    return counts.get(State.INTEGRATED, 0), sum(counts.values()) - counts.get(State.CANCELLED, 0)


def _filled(parts: Iterable[str], look: Look) -> Iterator[str]:
    """The parts beside each other, in as many lines as they take."""
    row, used = "", 0
    for part in parts:
        columns = width(visible(part))
        if row and look.width and used + 2 + columns > look.width:
            yield row
            row, used = f"  {part}", 2 + columns
        else:
            row, used = (f"{row}  {part}", used + 2 + columns) if row else (part, columns)
    yield row


def _attention(plan: PlanStatus, now: datetime, look: Look) -> list[str]:
    """The tasks a person may have to look at, one line each."""
    wanted = (State.BLOCKED, State.PARKED, State.REWORK)
    rows = [task for task in plan.tasks if task.state in wanted or _overdue(task, now)]
    text = [
        f"{look.paint(str(task.id), 'bold')} {look.paint(_state_word(task, now), _style(task, now))}"
        f"{': ' + line(said) if (said := task.why or task.summary) else ''}{decide(task.id, task.state)}"
        for task in rows[:5]
    ]
    return text + ([f"… and {len(rows) - 5} more (git fleet status)"] if len(rows) > 5 else [])


def decide(task: TaskId, state: State) -> str:
    """What a person does about a task that waits for one."""
    if state is not State.PARKED:
        return ""
    return f' (git fleet accept {task}, or git fleet reject {task} --finding "…")'


def _review(value: Status) -> list[str]:
    """What is handed in and not on main yet."""
    waiting = [task for plan in value.plans for task in plan.tasks if task.state in _REVIEWED]
    if not waiting:
        return []
    numbers = ((state, sum(task.state is state for task in waiting)) for state in _REVIEWED)
    text = f"review: {', '.join(f'{number} {state}' for state, number in numbers if number)}"
    since = min(((task.seen_at, task.id) for task in waiting if task.seen_at), default=None)
    if since is not None and len(waiting) > 1:
        text += f"; {since[1]} has waited longest, {age((value.at - since[0]).total_seconds())}"
    return [f"{text} (git fleet review)"]


def _steps(value: Status, look: Look) -> list[str]:
    """The commands that are worth running next, and why where there is room for it."""
    commands = [line(step.command) for step in value.steps]
    longest = max(map(width, commands), default=0)
    text = []
    for number, (command, step) in enumerate(zip(commands, value.steps, strict=True)):
        head = look.paint("next:", "bold") if not number else "     "
        room = look.width - longest - 9 if look.width else len(step.why)
        why = cut(line(step.why), room) if step.why and room >= _LEAST_WHY else ""
        pad = " " * (longest - width(command) + 3) if why else ""
        text.append(f"{head} {command}{pad}{look.paint(why, 'dim') if why else ''}")
    return text


_LEAST_WHY = 12


# --- the table -----------------------------------------------------------------------------------


def _task_table(tasks: Sequence[TaskRow], now: datetime, look: Look) -> str:
    for layout in _LAYOUTS:
        table = Table(layout.headings, whole=frozenset({0, 1}), right=layout.right)
        for task in tasks:
            table.add(*(_COLUMNS[name](task, now) for name in layout.columns))
        room = look.width - table.width_before_last()
        if not look.width or room >= min(layout.least, table.widest_in_last()):
            table.cut_last(room if look.width else 0)
            break
    return table.render(look)


class _Layout(NamedTuple):
    """Some of the columns, and how many characters are to be left for the last one."""

    columns: tuple[str, ...]
    least: int

    @property
    def headings(self) -> tuple[str, ...]:
        """What stands above them."""
        return tuple(name.partition(",")[0] for name in self.columns)

    @property
    def right(self) -> frozenset[int]:
        """Those that are numbers."""
        return frozenset(n for n, name in enumerate(self.columns) if name in ("CLAIM", "SEEN", "DIRTY"))


def _what(task: TaskRow, _: datetime) -> Cell:
    said = task.summary if task.state.active else ""
    return Cell(task.why or said or task.title)


def _waits_or_what(task: TaskRow, now: datetime) -> Cell:
    """What it waits for, which says more than its title; by their short names, all of one plan mostly."""
    if not task.waits_for or task.state.ended or task.why:
        return _what(task, now)
    return Cell(f"waits for {some([_near(other, task) for other in task.waits_for], 2)}", "dim")


def _near(other: TaskId, task: TaskRow) -> str:
    return other.task if other.plan == task.id.plan else str(other)


def _waits(task: TaskRow, _: datetime) -> Cell:
    return Cell(some([str(other) for other in task.waits_for], 2) if not task.state.ended else "")


def _of_the_active(text: Callable[[TaskRow, datetime], str]) -> Callable[[TaskRow, datetime], Cell]:
    return lambda task, now: Cell(text(task, now) if task.state.active else "")


def _ago(moment: datetime | None, now: datetime) -> str:
    return age((now - moment).total_seconds()) if moment is not None else ""


def _ahead(task: TaskRow) -> str:
    return "" if task.ahead is None else f"+{task.ahead}"


_COLUMNS: dict[str, Callable[[TaskRow, datetime], Cell]] = {
    "TASK": lambda task, _: Cell(str(task.id), "bold" if task.state.active else ""),
    "TASK, short": lambda task, _: Cell(task.id.task, "bold" if task.state.active else ""),
    "STATE": lambda task, now: Cell(_state_word(task, now), _style(task, now)),
    "WORKER": _of_the_active(lambda task, _: task.holder),
    "CLAIM": _of_the_active(lambda task, now: _ago(task.claimed_at, now)),
    "SEEN": _of_the_active(lambda task, now: _ago(task.seen_at, now)),
    "BRANCH": _of_the_active(lambda task, _: task.branch),
    "AHEAD": _of_the_active(lambda task, _: _ahead(task)),
    "AHEAD, dirty too": _of_the_active(lambda task, _: f"{_ahead(task)}{'*' if task.dirty else ''}"),
    "DIRTY": _of_the_active(lambda task, _: str(task.dirty or "")),
    "WAITS FOR": _waits,
    "WHAT": _what,
    "WHAT, or waits": _waits_or_what,
}  # fmt: skip
"""What can stand in a row. Names that begin alike have the same heading."""

_WORK = ("STATE", "WORKER", "CLAIM", "SEEN")
_LAYOUTS = (
    _Layout(("TASK", *_WORK, "BRANCH", "AHEAD", "DIRTY", "WAITS FOR", "WHAT"), 32),
    _Layout(("TASK", *_WORK, "AHEAD", "DIRTY", "WAITS FOR", "WHAT"), 32),
    _Layout(("TASK", *_WORK, "AHEAD", "DIRTY", "WHAT, or waits"), 24),
    _Layout(("TASK, short", *_WORK, "AHEAD", "DIRTY", "WHAT, or waits"), 24),
    _Layout(("TASK, short", *_WORK, "AHEAD, dirty too", "WHAT, or waits"), 14),
    _Layout(("TASK, short", "STATE", "CLAIM", "SEEN", "WHAT, or waits"), 12),
    _Layout(("TASK, short", "STATE", "WHAT, or waits"), 8),
    _Layout(("TASK, short", "STATE"), 0),
)


def _foremost(tasks: Sequence[TaskRow], most: int | None) -> Sequence[TaskRow]:
    """Of many tasks those that are being worked on, then the next pending ones; in plan order."""
    active = [task for task in tasks if task.state.active]
    room = max(MOST_ROWS, len(active)) if most is None else most
    if len(tasks) <= room:
        return tasks
    pending = [task for task in tasks if task.state is State.PENDING]
    chosen = {task.id for task in [*active, *pending][:room]}
    return [task for task in tasks if task.id in chosen]


def _overdue(task: TaskRow, now: datetime) -> bool:
    return task.state is State.CLAIMED and task.expires_at is not None and task.expires_at <= now


def _state_word(task: TaskRow, now: datetime) -> str:
    return "expired" if _overdue(task, now) else str(task.state)


def _style(task: TaskRow, now: datetime) -> str:
    return "red" if _overdue(task, now) else STYLES[task.state]
