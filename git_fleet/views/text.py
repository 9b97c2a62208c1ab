"""Values as text for people: what a task says, one or a few. Pure: the face gives the width
and whether colours are welcome; nothing here is cut that a person may want to copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Finding, Output, Proposal, State, TaskState
from git_fleet.core.recalling import Hit, origin
from git_fleet.core.results import (
    Explanation,
    ReadyTask,
    Sibling,
    Story,
)
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.trailers import one_line
from git_fleet.core.wording import count
from git_fleet.views.look import Look, age, line, lines, since, some, wrapped
from git_fleet.views.standing import STYLES, decide
from git_fleet.views.table import Cell, Table


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


def explain(value: Explanation, now: datetime, look: Look) -> str:
    """How a task stands, why it cannot be claimed now, and what would change it; what was found wrong with it; who
    waits for it."""
    name = look.paint(str(value.id), "bold")
    is_ = "is in rework and" if value.state is State.REWORK else "is"
    story = _story(value, now)
    if value.ready and value.state is not State.CLAIMED:
        text = [f"{name} {is_} {look.paint('ready', 'green')}: git fleet claim {value.id}"]
    elif story:
        word = look.paint(value.state.phrase, STYLES[value.state])
        text = [wrapped(f"{name} is {word}{story}", look, indent=2)]
    elif value.state in (State.PENDING, State.REWORK):
        text = [f"{name} {is_} not ready:"]
    else:
        how = next(
            (reason.text.removeprefix("it ") for reason in value.reasons if reason.code == "state"), ""
        )
        text = [wrapped(f"{name} {line(how or f'is {value.state.phrase}')}", look, indent=2)]
    if value.ready and value.state is State.CLAIMED:
        text.append(f"    git fleet claim {value.id} takes it over")
    for reason in value.reasons:
        if reason.text and reason.code not in ("state", "claimed"):  # these are in the first line
            text.append(wrapped(f"  - {line(reason.text)}", look, indent=4))
        if reason.fix:
            text.append(f"    {look.paint(line(reason.fix), 'dim')}")
    text += _finding_lines(value.findings, look)
    if value.waiting:
        verb = "waits" if len(value.waiting) == 1 else "wait"
        text.append(
            wrapped(f"{some([str(task) for task in value.waiting], 5)} {verb} for it", look, indent=2)
        )
    return "\n".join(text)


def _story(value: Explanation, now: datetime) -> str:
    """What goes on after "it is claimed" and the like: who is at it, and what came of that."""
    row = value.row
    if value.state is State.INTEGRATED:
        return f": {line(value.base)} has it as {value.landed[:12]}" if value.landed else ""
    if row is None or value.state not in (State.CLAIMED, State.PROPOSED, State.VERIFIED):
        return ""
    if value.state is not State.CLAIMED:
        waits = f"; it has waited for {age((now - row.seen_at).total_seconds())}" if row.seen_at else ""
        return f": {line(row.holder)} has handed it in (attempt {row.attempt}){waits}"
    parts = [f" by {line(row.holder)}"]
    if row.claimed_at is not None:
        parts.append(f", {age((now - row.claimed_at).total_seconds())} ago (attempt {row.attempt})")
    if row.seen_at is not None:
        parts.append(f"; the last sign of life was {since(row.seen_at, now)}")
    if row.ahead is not None:
        parts.append(f"; {count(row.ahead, 'commit')}, {count(row.dirty or 0, 'uncommitted path')}")
    if row.expires_at is not None:
        left = (row.expires_at - now).total_seconds()
        parts.append(
            f"; the lease {'ends in ' if left > 0 else 'ran out '}{age(abs(left))}{'' if left > 0 else ' ago'}"
        )
    return "".join(parts)


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
    learnings: Sequence[Hit] = (),
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
    text += [look.paint("learned here before (check it):", "yellow")] if learnings else []
    text += [
        wrapped(f"  - {line(one_line(hit.known.learning.text))} ({line(origin(hit))})", look, indent=4)
        for hit in learnings
    ]
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
        return f"{word}: {line(state.reason)}{decide(task, state.state)}"
    return word
