"""Values as text for people: how the fleet stands, what a task says. Pure: the face gives the width
and whether colours are welcome; nothing here is cut that a person may want to copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Finding, Output, PlanState, Proposal, State, TaskState
from git_fleet.core.results import (
    Explanation,
    PlanStatus,
    ReadyTask,
    Sibling,
    Status,
    Story,
    TaskRow,
)
from git_fleet.core.snapshot import TaskRecord
from git_fleet.views.look import Look, age, count, line, lines, since, some, wrapped
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


# --- how the fleet stands ------------------------------------------------------------------------


def overview(status: Status, look: Look) -> str:
    """The fleet in a few lines and the next command: what bare `git fleet` shows."""
    text = [_headline(plan, look) for plan in status.plans if plan.state is not PlanState.CLOSED]
    for plan in status.plans:
        text += [f"  {line_}" for line_ in _attention(plan, status.at, look)]
    if not text:
        text = [_no_plan(status)]
    return "\n".join([*text, *_next(status, look)])


def status(value: Status, look: Look, *, everything: bool = False) -> str:
    """The table of every plan that has not ended: who does what, and what waits for what."""
    text: list[str] = []
    for plan in value.plans:
        if plan.state is PlanState.CLOSED and not everything:
            continue
        text.append(_headline(plan, look))
        if plan.tasks:
            text += [_task_table(plan, value.at, look, everything=everything), ""]
    if not text:
        text = [_no_plan(value)]
    lead = [f"lead: {line(value.lead)}"] if value.lead else []
    return "\n".join([*text, *lead, *_next(value, look)])


def _no_plan(value: Status) -> str:
    return f"{count(value.closed, 'plan')} closed, none is open" if value.closed else "no plan yet"


def _next(value: Status, look: Look) -> list[str]:
    return [f"{look.paint('next:', 'bold')} {line(value.next_command)}"] if value.next_command else []


def _headline(plan: PlanStatus, look: Look) -> str:
    """`tasks-app (open)  ████░░ 2/8 done  3 claimed  1 blocked`."""
    counts = dict(plan.counts)
    total = sum(counts.values()) - counts.get(State.CANCELLED, 0)
    done = counts.get(State.INTEGRATED, 0)
    full = _BAR * done // total if total else 0
    bar = look.paint("█" * full, "green") + look.paint("░" * (_BAR - full), "dim")
    others = [
        look.paint(f"{counts[state]} {state}", STYLES[state])
        for state in _ORDER
        if counts.get(state) and state is not State.INTEGRATED
    ]
    shown = (
        "" if plan.state is PlanState.OPEN else f" ({plan.state}{': ' + plan.reason if plan.reason else ''})"
    )
    name = f"{look.paint(line(plan.plan), 'bold')}{line(shown)} → {line(plan.base)}"
    return "  ".join([name, bar, f"{done}/{total} done", *others])


def _attention(plan: PlanStatus, now: datetime, look: Look) -> list[str]:
    """The tasks a person may have to look at, one line each."""
    wanted = (State.BLOCKED, State.PARKED, State.REWORK)
    rows = [task for task in plan.tasks if task.state in wanted or _overdue(task, now)]
    text = [
        f"{look.paint(str(task.id), 'bold')} {look.paint(_state_word(task, now), _style(task, now))}"
        f"{': ' + line(said) if (said := task.why or task.summary) else ''}{_decide(task.id, task.state)}"
        for task in rows[:5]
    ]
    return text + ([f"… and {len(rows) - 5} more (git fleet status)"] if len(rows) > 5 else [])


def _decide(task: TaskId, state: State) -> str:
    """What a person does about a task that waits for one."""
    if state is not State.PARKED:
        return ""
    return f' (git fleet accept {task}, or git fleet reject {task} --finding "…")'


def _task_table(plan: PlanStatus, now: datetime, look: Look, *, everything: bool) -> str:
    shown = plan.tasks if everything or len(plan.tasks) <= MOST_ROWS else _foremost(plan.tasks)
    table = Table(
        ("TASK", "STATE", "WORKER", "LEASE", "BRANCH", "AHEAD", "WAITS FOR", "WHAT"),
        whole=frozenset({0, 1, 3, 5}),
    )
    for task in shown:
        table.add(
            Cell(str(task.id), "bold" if task.state.active else ""),
            Cell(_state_word(task, now), _style(task, now)),
            task.holder if task.state.active else "",
            _lease(task, now),
            task.branch if task.state.active else "",
            _ahead(task),
            some([str(other) for other in task.waits_for], 2) if not task.state.ended else "",
            (task.why or task.summary or task.title) if task.state.active else task.title,
        )
    hidden = len(plan.tasks) - len(shown)
    more = f"\n… and {hidden} more, pending or ended (git fleet status --all)" if hidden else ""
    return table.render(look) + more


def _foremost(tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """Of many tasks those that are being worked on, then the next pending ones; in plan order."""
    active = [task for task in tasks if task.state.active]
    pending = [task for task in tasks if task.state is State.PENDING]
    chosen = {task.id for task in [*active, *pending][: max(MOST_ROWS, len(active))]}
    return [task for task in tasks if task.id in chosen]


def _overdue(task: TaskRow, now: datetime) -> bool:
    return task.state is State.CLAIMED and task.expires_at is not None and task.expires_at <= now


def _state_word(task: TaskRow, now: datetime) -> str:
    return "expired" if _overdue(task, now) else str(task.state)


def _style(task: TaskRow, now: datetime) -> str:
    return "red" if _overdue(task, now) else STYLES[task.state]


def _lease(task: TaskRow, now: datetime) -> str:
    """How long the claim still holds; how long ago it ended."""
    if task.state is not State.CLAIMED or task.expires_at is None:
        return ""
    left = (task.expires_at - now).total_seconds()
    return f"{age(left)} left" if left > 0 else f"{age(-left)} ago"


def _ahead(task: TaskRow) -> str:
    """Commits over the base, and a star for uncommitted changes."""
    if task.ahead is None or not task.state.active:
        return ""
    return f"+{task.ahead}{'*' if task.dirty else ''}"


# --- one task, or a few --------------------------------------------------------------------------


def ready(tasks: Sequence[ReadyTask], look: Look) -> str:
    """What can be claimed now."""
    if not tasks:
        return "nothing is ready (git fleet explain TASK says why one is not)"
    table = Table(("TASK", "WAVE", "PRIORITY", "FILES", "WHAT"), right=frozenset({1, 2}))
    prioritised = any(task.priority for task in tasks)
    for task in tasks:
        priority = str(task.priority) if prioritised else ""
        table.add(Cell(str(task.id), "bold"), str(task.wave + 1), priority, some(task.files), task.title)
    return table.render(look)


def explain(value: Explanation, look: Look) -> str:
    """Why a task cannot be claimed now, and what would change it; what was found wrong with it."""
    name = look.paint(str(value.id), "bold")
    is_ = "is in rework and" if value.state is State.REWORK else "is"
    if value.ready:
        text = [f"{name} {is_} {look.paint('ready', 'green')}: git fleet claim {value.id}"]
    else:
        text = [f"{name} {is_} not ready:"]
    for reason in value.reasons:
        text.append(f"  - {line(reason.text)}")
        if reason.fix:
            text.append(f"    {look.paint(line(reason.fix), 'dim')}")
    return "\n".join([*text, *_finding_lines(value.findings, look)])


def siblings(tasks: Sequence[Sibling], look: Look) -> str:
    """What the other tasks of the plan are doing."""
    if not tasks:
        return "no task there"
    table = Table(("TASK", "STATE", "WORKER", "CODE", "WHAT"), whole=frozenset({0, 1}))
    for task in tasks:
        said = task.reason.partition("\n")[0] if task.state is State.BLOCKED and task.reason else task.summary
        table.add(str(task.id), Cell(str(task.state), STYLES[task.state]), task.holder, task.code, said)
    return table.render(look)


def log(story: Story, now: datetime, look: Look) -> str:
    """A task's story so far, oldest first, and how to see all that its gates printed."""
    if not story.events:
        return "nothing has happened to it yet"
    table = Table(("WHEN", "EVENT", "WHO", "EVENT ID", "WHAT"), whole=frozenset({0, 1, 3}))
    for event in story.events:
        table.add(since(event.at, now), event.event, event.actor, Cell(event.oid[:10], "dim"), event.summary)
    where = (f"whole log of a gate: git show {line(place)}" for place in story.gate_logs)
    return "\n".join([table.render(look), *where])


def event_texts(texts: Mapping[str, str], look: Look) -> str:
    """The texts that belong to an event, each under its name."""
    if not texts:
        return "no texts belong to it"
    parts = (f"{look.paint(line(name), 'bold')}\n{lines(body.rstrip())}" for name, body in texts.items())
    return "\n\n".join(parts)


def claimed(
    record: TaskRecord,
    where: Path | None,
    env: Mapping[str, str],
    notes: Sequence[str],
    look: Look,
    *,
    lead_commits: bool = False,
) -> str:
    """What a worker needs to begin. `lead_commits` says that committing is not its to do."""
    task, claim = record.task, record.state.claim
    text = [f"{look.paint(str(record.id), 'bold')} is yours: {line(task.title)}"]
    about = [("files", some(task.owned, 8)), ("reads", some(task.reads, 8)), ("needs", some(task.needs, 8))]
    if claim is not None:
        about += [("worker", line(claim.holder)), ("branch", line(claim.branch))]
        about += [("until", f"{claim.expires_at:%Y-%m-%d %H:%M:%S} UTC (attempt {claim.attempt})")]
    about += [("ports", _ports(env)), ("worktree", line(where) if where else "")]
    about += [("accept" if not number else "", line(each)) for number, each in enumerate(task.accept)]
    about += [("remarks", line(task.remarks))]
    text += [f"  {look.paint(f'{name:<9}', 'dim')} {value}" for name, value in about if value]
    if task.prompt.strip():
        text += ["", lines(task.prompt.strip()), ""]
    text += _finding_lines(record.state.findings, look)
    text += _notes(notes, look)
    then = _then(record, where, lead_commits=lead_commits)
    return "\n".join([*text, f"{look.paint('next:', 'bold')} {then}"])


def _then(record: TaskRecord, where: Path | None, *, lead_commits: bool) -> str:
    """What a worker does with a claim."""
    report = record.task.output is Output.REPORT
    if where is None:
        worker = record.state.claim.holder if record.state.claim else ""
        what = '--result "…"' if report else "--commit REV"
        return f"git fleet done {record.id} {what} --worker {quoted(worker)}"
    if report:
        return f'cd {quoted(str(where))}, find it out, then: git fleet done --result "…"'
    if lead_commits:
        return f'cd {quoted(str(where))}, change its files, commit nothing, then: git fleet done -m "…"'
    return f"cd {quoted(str(where))}, commit on the branch, then: git fleet done"


def quoted(text: str) -> str:
    """A word as it can be pasted into a shell."""
    import shlex

    return line(shlex.quote(text))


def _ports(env: Mapping[str, str]) -> str:
    base, number = env.get("FLEET_PORT_BASE", ""), env.get("FLEET_PORT_COUNT", "")
    if not (base.isdigit() and number.isdigit() and int(number)):
        return ""
    return f"{base}-{int(base) + int(number) - 1} (slot {line(env.get('FLEET_SLOT', ''))})"


def _finding_lines(findings: Iterable[Finding], look: Look) -> list[str]:
    text = [part for one in findings for part in _finding(one, look)]
    return [look.paint("found wrong with the last attempt:", "yellow"), *text] if text else []


def _finding(one: Finding, look: Look) -> list[str]:
    """What was found, with the lines of the tool that found it as they are."""
    first, *rest = lines(one.text.strip()).split("\n")
    where = f"{line(one.path)}: " if one.path else ""
    said = wrapped(f"  - {line(one.source)}: {where}{first}", look, indent=4)
    return [said, *(f"    {part}".rstrip() for part in rest)]


def _notes(notes: Iterable[str], look: Look) -> list[str]:
    return [f"{look.paint('note:', 'yellow')} {line(note)}" for note in notes]


def handed_in(
    record: TaskRecord,
    proposal: Proposal,
    look: Look,
    *,
    outside: Sequence[str],
    follow_ups: Sequence[str],
    notes: Sequence[str],
) -> str:
    """What became of a hand-in."""
    what = f"commit {proposal.commit[:10]}" if proposal.commit else "a report"
    text = [f"{look.paint(str(record.id), 'bold')} is handed in: {what}, proposal {proposal.number}"]
    if outside:
        text.append(
            f"{look.paint('warning:', 'yellow')} not its files, the scope gate will refuse them: {some(list(outside), 8)}"
        )
    text += [f"drafted as a follow-up: {line(task)}" for task in follow_ups]
    return "\n".join([*text, *_notes(notes, look)])


def acted(record: TaskRecord, notes: Sequence[str], now: datetime, look: Look) -> str:
    """A task after some event: its state, and what its actor should know."""
    return "\n".join([f"{look.paint(str(record.id), 'bold')} is {_standing(record.id, record.state, now, look)}",
                      *_notes(notes, look)])  # fmt: skip


def _standing(task: TaskId, state: TaskState, now: datetime, look: Look) -> str:
    word = look.paint(state.state.phrase, STYLES[state.state])
    claim = state.claim
    if state.state is State.CLAIMED and claim is not None:
        return f"{word} by {line(claim.holder)}, {age((claim.expires_at - now).total_seconds())} left"
    if state.state is State.BLOCKED:
        return f"{word} ({line(state.code)}): {line(state.reason)}; git fleet unblock {task}"
    if state.state is State.PARKED:
        return f"{word}: {line(state.reason)}{_decide(task, state.state)}"
    return word
