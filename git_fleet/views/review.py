"""A review as text: the plan on one screen, or one task with all there is to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from git_fleet.core.divergence import Divergence
from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.reviewing import GateRun, Opinion, Recommendation, Review, TaskReview, Waiting
from git_fleet.core.wording import count
from git_fleet.views.look import Look, age, cut, line, lines, short, since, size, some, width, wrapped
from git_fleet.views.standing import STYLES
from git_fleet.views.table import Cell, Table

MOST_TASKS = 40
_MOST_QUEUE = 8
_MOST_ADVICE = 8
_MOST_PARTS = 3
_MOST_LINES = 4
_MOST_PATHS = 30
_WHAT, _LEAST_WHAT = 60, 20  # characters of what a task did in the table
_SHOWN_ABOVE = frozenset({"odd-one-out", "siblings-differ"})  # by the view of one task
_GOOD = frozenset({"upheld", "accepted", "pass"})


def review(value: Review, look: Look) -> str:
    """The whole plan, shortly."""
    name = look.paint(line(value.plan), "bold")
    state = "" if value.state is PlanState.OPEN else f" ({value.state})"
    title = f": {line(value.title)}" if value.title != value.plan else ""
    base = f" → {line(value.base)}" if value.base else ""
    parts = [wrapped(f"{name}{title}{base}{state}", look), wrapped(line(value.summary), look)]
    if value.tasks:
        parts += ["", _task_table(value, look)]
    parts += _section("unlike their siblings", _unlike(value.divergences, look, whole=False), look)
    parts += _section("waiting, the longest first", _queue(value.queue, value.at, look), look)
    parts += _section("next", _advice(value.recommendations, look), look)
    return "\n".join(parts)


def _section(heading: str, body: Iterable[str], look: Look) -> list[str]:
    shown = list(body)
    return ["", look.paint(heading, "bold"), *shown] if shown else []


# --- the tasks ---------------------------------------------------------------------------------------


def _task_table(value: Review, look: Look) -> str:
    odd = {task for one in value.divergences for task in one.odd}
    shown = _foremost(value.tasks, odd)
    table = Table(("TASK", "STATE", "FILES", "LINES", "GATES", "VERDICTS", "WHAT"), right=frozenset({2}))
    rows = [_row(task) for task in shown]
    room = _room(table.headings, rows, look)
    for task, row in zip(shown, rows, strict=True):
        what = _what(task, room - 2 if task.id in odd else room)
        table.add(*row, Cell(f"≠ {what}", "yellow") if task.id in odd else what)
    hidden = len(value.tasks) - len(shown)
    return table.render(look) + (f"\n… and {hidden} more (git fleet review --json has all)" if hidden else "")


def _row(task: TaskReview) -> list[Cell]:
    return [
        Cell(str(task.id), "bold" if task.state.active else ""),
        Cell(str(task.state), STYLES[task.state]),
        Cell(str(len(task.paths)) if task.paths else ""),
        Cell(f"+{task.added} -{task.removed}" if task.paths else ""),
        _gates_cell(task.gates),
        _opinions_cell(task.opinions),
    ]


def _room(headings: Sequence[str], rows: Sequence[Sequence[Cell]], look: Look) -> int:
    """How many characters are left for what a task did, so that each has one line where that is possible."""
    if not look.width:
        return _WHAT
    columns = zip(*([cell.text for cell in row] for row in rows), strict=True)
    used = [
        max(map(width, (heading, *texts))) + 2
        for heading, texts in zip(headings, columns, strict=False)
        if any(texts)
    ]
    return max(_LEAST_WHAT, min(_WHAT, look.width - sum(used)))


def _foremost(tasks: Sequence[TaskReview], odd: set[TaskId]) -> list[TaskReview]:
    """Of many tasks those that somebody may have to look at, then others; in plan order."""
    if len(tasks) <= MOST_TASKS:
        return list(tasks)
    ranked = sorted(tasks, key=lambda task: (task.id not in odd, not task.state.active, task.state.ended))
    chosen = {task.id for task in ranked[:MOST_TASKS]}
    return [task for task in tasks if task.id in chosen]


def _what(task: TaskReview, room: int) -> str:
    """What it did, or why it stands still, on one line of so many characters."""
    state = task.record.state
    said = task.did
    if task.state is State.BLOCKED:
        said = f"{state.code}: {state.reason}" if state.code and state.reason else state.reason or state.code
    elif task.state is State.REWORK:
        said = task.findings[-1].text if task.findings else task.why
    plain = " ".join((said or task.record.task.title).strip().partition("\n")[0].split())
    return cut(plain, room)


def _mark(good: bool) -> str:
    return "✓" if good else "✗"


def _gates_cell(gates: Sequence[GateRun]) -> Cell:
    bad = [gate for gate in gates if gate.outcome not in _GOOD]
    if bad:
        return Cell(f"✗ {bad[0].name}", "red")
    if len(gates) > 2:
        return Cell(f"✓ {len(gates)}", "green")
    return Cell(f"✓ {', '.join(gate.name for gate in gates)}", "green") if gates else Cell("")


def _opinions_cell(opinions: Sequence[Opinion]) -> Cell:
    counting = [one for one in opinions if one.counts]
    if not counting:
        return Cell("")
    text = " ".join(f"{_mark(one.verdict in _GOOD)} {one.lens or _short_name(one)}" for one in counting)
    bad = any(one.verdict not in _GOOD for one in counting)
    return Cell(text, "red" if bad else "green")


def _short_name(one: Opinion) -> str:
    return one.verifier.rpartition(":")[2]


# --- divergence --------------------------------------------------------------------------------------


def _unlike(found: Sequence[Divergence], look: Look, *, whole: bool) -> Iterator[str]:
    """Each odd one with the parts in which it differs; where nobody is odd, the siblings that differ."""
    for (group, odd), some_of in groupby(found, key=lambda one: (one.group, one.odd)):
        parts = list(some_of)
        first = parts[0]
        if odd:
            names = some([str(task) for task in odd], 5)
            others = f"{count(first.siblings - len(odd), 'other')} of {line(group)}"
            yield f"  {look.paint(names, 'yellow')}, unlike {others}:"
        else:
            yield f"  the {first.siblings} of {line(group)} differ, and no shape has a majority:"
        for one in parts if whole else parts[:_MOST_PARTS]:
            yield from _part(one, look, whole=whole)
        if not whole and len(parts) > _MOST_PARTS:
            yield f"    … and {count(len(parts) - _MOST_PARTS, 'more part')}"


def _part(one: Divergence, look: Look, *, whole: bool) -> Iterator[str]:
    mine, theirs = ("this one", "the others") if one.odd else (one.one.task, one.other.task)
    name = f"{one.kind} {one.name}" if one.kind != "file" else one.name
    lacking = [side for task, side in ((one.one, mine), (one.other, theirs)) if task in one.missing]
    note = f" (not in {line(lacking[0])})" if lacking else ""
    yield f"    {line(name)}{note}"
    shown = one.difference if whole else one.difference[:_MOST_LINES]
    label = max(len(mine), len(theirs))
    for each in shown:
        side = mine if each.odd else theirs
        text = line(each.text.replace("\t", "    "))
        if look.width:
            text = cut(text, max(20, look.width - label - 10))
        yield f"      {look.paint(line(side).ljust(label), 'dim')}  {look.paint(text, 'yellow' if each.odd else '')}"
    more = one.cut + len(one.difference) - len(shown)
    if more:
        yield f"      … and {count(more, 'more line')}"


# --- what waits, and what to do ----------------------------------------------------------------------


def _queue(waiting: Sequence[Waiting], now: datetime, look: Look) -> Iterator[str]:
    shown = waiting[:_MOST_QUEUE]
    wide = max((len(age((now - one.since).total_seconds())) for one in shown), default=0)
    for one in shown:
        long = age((now - one.since).total_seconds()).rjust(wide)
        text = f"  {long}  {look.paint(str(one.id), 'bold')} waits for {line(one.what)}"
        yield wrapped(text, look, indent=wide + 4)
    if len(waiting) > len(shown):
        yield f"  … and {len(waiting) - len(shown)} more"


def _advice(found: Sequence[Recommendation], look: Look) -> Iterator[str]:
    for one in found[:_MOST_ADVICE]:
        yield wrapped(f"  {line(one.text)}", look, indent=2)
        yield from (f"    {look.paint(line(command), 'cyan')}" for command in one.commands)
    if len(found) > _MOST_ADVICE:
        yield f"  … and {len(found) - _MOST_ADVICE} more"


# --- one task ----------------------------------------------------------------------------------------


def task(value: Review, look: Look) -> str:
    """One task, with all there is to it."""
    (one,) = value.tasks
    state = look.paint(one.state.phrase, STYLES[one.state])
    long = age((value.at - one.state_since).total_seconds()) if one.state_since else ""
    stands = f"has been {state} for {long}" if long else f"is {state}"
    parts = [wrapped(f"{look.paint(str(one.id), 'bold')} {stands}: {line(one.record.task.title)}", look)]
    rows = [(name, text) for name, text in _about(one, value.at, look) if text]
    for number, (name, text) in enumerate(rows):
        label = name if not number or rows[number - 1][0] != name else ""
        parts.append(f"  {look.paint(f'{label:<9}', 'dim')} {text}")
    if one.cut:
        parts.append(f"  {'':<9} (its changes are long: only their beginning is compared)")
    parts += _section("found", _found(one, look), look)
    parts += _section("unlike its siblings", _unlike(value.divergences, look, whole=True), look)
    parts += _section("waiting", _queue(value.queue, value.at, look), look)
    advice = [each for each in value.recommendations if each.code not in _SHOWN_ABOVE]
    parts += _section("next", _advice(advice, look), look)
    return "\n".join(parts)


def _about(one: TaskReview, now: datetime, look: Look) -> Iterator[tuple[str, str]]:
    state, proposal = one.record.state, one.record.state.proposal
    worker = proposal.worker if proposal else state.claim.holder if state.claim else ""
    yield "worker", f"{line(worker)}, attempt {state.attempt}" if worker else ""
    yield from (("result", part) for part in lines(one.did.strip()).split("\n"))
    yield "proposal", f"{proposal.number}, commit {short(one.commit)}" if proposal and one.commit else ""
    yield "look", f"git diff {one.base[:12]} {one.commit[:12]}" if one.base and one.commit else ""
    yield "landed", f"git show {one.landed[:12]}" if one.landed else ""
    for path in one.paths[:_MOST_PATHS]:
        changed = "binary" if path.binary else f"+{path.added} -{path.removed}"
        yield "files", f"{changed:<9} {line(path.path)}"
    more = len(one.paths) - _MOST_PATHS
    yield "files", f"… and {more} more" if more > 0 else ""
    yield from (("gates", _gate(gate, look)) for gate in one.gates)
    yield from (("verdicts", _opinion(each, now, look)) for each in one.opinions)
    yield from (("artifacts", f"{line(each.name)}  {size(each.size)}") for each in one.artifacts)


def _gate(gate: GateRun, look: Look) -> str:
    good = gate.outcome in _GOOD
    took = f" {gate.seconds:.1f} s" if gate.seconds is not None else ""
    how = " (an earlier pass on the same tree)" if gate.cached else ""
    word = "" if good else f": {line(gate.outcome)}"
    return f"{look.paint(_mark(good), 'green' if good else 'red')} {line(gate.name)}{word}{took}{how}"


def _opinion(one: Opinion, now: datetime, look: Look) -> str:
    good = one.verdict in _GOOD
    mark = look.paint(_mark(good), ("green" if good else "red") if one.counts else "dim")
    lens = f"{line(one.lens)}: " if one.lens else ""
    old = "" if one.counts else ", which counts no more"
    return f"{mark} {lens}{line(one.verdict)} by {line(one.verifier)}, {since(one.at, now)}{old}"


def _found(one: TaskReview, look: Look) -> Iterator[str]:
    for finding in one.findings:
        first, *rest = lines(finding.text.strip()).split("\n")
        where = f"{line(finding.path)}: " if finding.path else ""
        outside = " (outside of this task)" if finding.outside else ""
        yield wrapped(f"  - {line(finding.source)}: {where}{first}{outside}", look, indent=4)
        yield from (f"    {part}".rstrip() for part in rest)
