"""A run as text: how it begins, what came of it, what its agents printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from git_fleet.core.ids import TaskId
from git_fleet.core.model import State
from git_fleet.core.results import AgentOutput
from git_fleet.core.running import Outlook, RunResult, TaskEnd
from git_fleet.core.trailers import clean
from git_fleet.core.wording import count
from git_fleet.core.workspace import WideOutlook
from git_fleet.views.look import Look, age, line, lines, since, some, wrapped

_MARKS = {State.INTEGRATED: ("✓", "green"), State.BLOCKED: ("✗", "red"), State.CANCELLED: ("-", "dim")}
_NEXT = {
    State.BLOCKED: "git fleet unblock {id}",
    State.PARKED: "git fleet accept {id}",
    State.PROPOSED: "git fleet verify {id}, or git fleet integrate {id}",
    State.VERIFIED: "git fleet integrate {id}",
}
_CUT_SHORT = ("interrupted", "time", "cost")  # what is left could have gone on


def begins(plan: str, base: str, advice: str, *, workers: int) -> str:
    """What is about to be done, by how many workers, and why so many, where that needs saying."""
    why = f" ({advice})" if advice else ""
    return f"plan {line(plan)} onto {line(base)}, {count(workers, 'worker')}{why}"


def outlook(value: Outlook, look: Look) -> str:
    """What a run would do."""
    left = f"{count(len(value.left), 'task')} left, {len(value.ready)} of them ready"
    first = f": {some([str(task) for task in value.ready])}" if value.ready else ""
    commands = (f"agents would be started by: {line(command)}" for command in value.agents)
    return "\n".join(
        [wrapped(value.begins, look, indent=2), wrapped(f"{left}{first}", look, indent=2), *commands]
    )


def wide_outlook(value: WideOutlook, look: Look) -> str:
    """What a run over a workspace would do."""
    left = sum(each.value.left for each in value.repos if each.value)
    names = [f"{each.repo.name}: {each.task.id}" for each in value.offers]
    first = f": {some(names)}" if names else ""
    commands = dict.fromkeys(command for each in value.repos if each.value for command in each.value.agents)
    said = [
        f"workspace {line(value.workspace)}, {count(value.workers, 'worker')}",
        f"{count(left, 'task')} left, {len(names)} of them ready{first}",
    ]
    broken = [
        f"{each.repo.name} would not be worked: {line(each.error.message)}"
        for each in value.repos
        if each.error
    ]
    return "\n".join(
        [
            *(wrapped(each, look, indent=2) for each in (*said, *broken)),
            *(f"agents would be started by: {line(command)}" for command in commands),
        ]
    )


def printed(text: str) -> str:
    """What an agent printed, made harmless. Of a line that was written over and over its last form is left."""
    rows = (row.rstrip("\r").rpartition("\r")[2] for row in text.split("\n"))
    return lines(clean("\n".join(rows)))


def following(text: str) -> str:
    """A piece of what an agent prints right now, made harmless; each return of the carriage begins a line."""
    return lines(clean(text.replace("\r\n", "\n").replace("\r", "\n")))


def outputs(task: TaskId, found: Sequence[AgentOutput], now: datetime, look: Look) -> str:
    """All that the agents of a task printed, the oldest first."""
    if not found:
        return f"no agent has printed anything for {task} on this machine, or its logs are gone"
    parts = []
    for each in found:
        head = f"attempt {each.attempt}, agent {each.number}, until {since(each.at, now)}  {line(each.path)}"
        parts.append(f"{look.paint(head, 'bold')}\n{printed(each.text).rstrip()}".rstrip())
    return "\n\n".join(parts)


def run(value: RunResult, look: Look) -> str:
    """The summary: what landed, what did not and why, how long it took and what it cost."""
    text = [_headline(value, look)]
    for task in value.tasks:
        if task.state not in (State.INTEGRATED, State.PENDING):
            text += _task(task, look)
    pending = [str(task.task) for task in value.tasks if task.state is State.PENDING]
    if pending:
        verb = "is" if len(pending) == 1 else "are"
        text.append(f"{look.paint('…', 'yellow')} {some(pending)} {verb} {State.PENDING.phrase}")
    text += [f"{look.paint('note:', 'yellow')} {line(trouble)}" for trouble in value.troubles]
    text.append(wrapped(f"it ended because {line(value.stop.text)}", look, indent=2))
    rework = any(task.state is State.REWORK for task in value.tasks)
    if value.stop.code in _CUT_SHORT or (rework and value.stop.code == "waiting"):
        text.append(f"{look.paint('next:', 'bold')} git fleet run {value.plan} goes on")
    return "\n".join(text)


def _headline(value: RunResult, look: Look) -> str:
    states = Counter(task.state for task in value.tasks)
    landed = f"{states[State.INTEGRATED]} of {count(len(value.tasks), 'task')} integrated"
    parts = [f"{count(value.commits, 'commit')} on {line(value.base)} by this run"]
    if value.ejected:
        parts.append(f"{value.ejected} sent back to rework")
    if value.recovered:
        parts.append(f"{value.recovered} recovered from an earlier run")
    parts.append(f"{count(value.workers, 'worker')}, {age(value.seconds)}")
    if value.pushes:
        parts.append(count(value.pushes, "push", "pushes"))
    if value.usage.cost_usd:
        parts.append(f"{value.usage.cost_usd:.2f} US dollars")
    style = "bold green" if value.complete else "bold yellow"
    return wrapped(f"{look.paint(f'{value.plan}: {landed}', style)}; {', '.join(parts)}", look, indent=2)


def _task(task: TaskEnd, look: Look) -> list[str]:
    mark, style = _MARKS.get(task.state, ("…", "yellow"))
    head = f"{look.paint(mark, style)} {look.paint(str(task.task), 'bold')} is {task.state.phrase}"
    reason = task.reason.strip().splitlines()
    text = [wrapped(f"{head} ({line(reason[0])})", look, indent=4) if reason else head]
    if task.state is State.BLOCKED:
        text.append(f"    {look.paint('printed:', 'bold')} git fleet log {task.task} --output")
    step = _NEXT.get(task.state)
    return [*text, f"    {look.paint('next:', 'bold')} {step.format(id=task.task)}"] if step else text
