"""A report as Markdown, for a review or a terminal. What others wrote is no markup there, mentions nobody and links
to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from git_fleet.core.reporting import Report
from git_fleet.core.reviewing import TaskReview
from git_fleet.core.wording import count
from git_fleet.views.look import cut, line, short
from git_fleet.views.matrix import foreseen, outcome
from git_fleet.views.mermaid import mermaid
from git_fleet.views.report import Page

MOST_TASKS = 60
_MOST_PAIRS, _MOST_ADVICE = 20, 8
_SPECIAL = frozenset("\\`*_{}[]<>()#+-.!|~&@:$^=\"'")
_PLAIN = frozenset(".-_+:()'\"")
"""Of those what means something only where a line begins, or beside others that are escaped."""


def markdown(value: Report) -> str:
    """The report, without a last newline."""
    return "\n\n".join(part for part in _parts(value, Page(value)) if part)


def _parts(value: Report, page: Page) -> Iterator[str]:
    review = value.review
    yield f"# {escaped(review.title)}"
    base = f" onto {code(review.base)}" if review.base else ""
    yield f"Plan {code(review.plan)} ({review.state}){base}, {review.at:%Y-%m-%d %H:%M} UTC"
    yield f"**{escaped(value.lessons.headline, 400)}.** {escaped(review.summary, 400)}"
    yield _table(
        ("", ""), ((tile.label, f"**{escaped(tile.value)}**{_note(tile.note)}") for tile in page.tiles)
    )
    bottleneck = value.lessons.bottleneck
    yield f"Bottleneck: {escaped(bottleneck, 400)}." if bottleneck else ""
    yield from _section("What to do next", _advice(value))
    yield from _section("Shared files: predicted and actual", _meetings(value, page))
    yield from _section("Unlike their siblings", _siblings(value))
    yield from _section("Tasks", _tasks(review.tasks))
    yield from _section("Next time", ["\n".join(f"- {escaped(one, 400)}" for one in value.lessons.advice)])
    yield from _section("What comes before what", [f"```mermaid\n{mermaid(value.picture)}\n```"])


def _section(heading: str, body: Iterable[str]) -> list[str]:
    shown = [part for part in body if part]
    return [f"## {heading}", *shown] if shown else []


def _note(note: str) -> str:
    return f" ({escaped(note, 200)})" if note else ""


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    made = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *made]) if made else ""


def _advice(value: Report) -> Iterator[str]:
    yield "\n".join(
        f"- {escaped(one.text, 300)}" + "".join(f"\n  {code(command)}" for command in one.commands)
        for one in value.review.recommendations[:_MOST_ADVICE]
    )


def _meetings(value: Report, page: Page) -> Iterator[str]:
    yield escaped(page.meetings_in_a_sentence, 400)
    pairs = value.meetings.pairs
    yield _table(
        ("tasks", "the plan said", "what came of it", "where"),
        (
            (
                f"{code(pair.a.task)}, {code(pair.b.task)}",
                foreseen(pair),
                outcome(pair),
                ", ".join(code(path, 60) for path in (pair.conflicts or pair.shared)[:3]),
            )
            for pair in pairs[:_MOST_PAIRS]
        ),
    )
    yield f"… and {count(len(pairs) - _MOST_PAIRS, 'more pair')}." if len(pairs) > _MOST_PAIRS else ""


def _siblings(value: Report) -> Iterator[str]:
    yield "\n".join(
        f"- {code(one.name, 100)}: "
        + (", ".join(code(task.task) for task in one.odd[:6]) or f"{one.shapes} different ones")
        for one in value.review.divergences[:_MOST_PAIRS]
    )


def _tasks(tasks: tuple[TaskReview, ...]) -> Iterator[str]:
    yield _table(
        ("task", "state", "title", "lines", "gates", "verdicts", "commit"),
        (
            (
                code(task.id.task),
                str(task.state),
                escaped(task.record.task.title, 80),
                f"+{task.added} −{task.removed}" if task.paths else "",
                ", ".join(f"{escaped(gate.name, 30)} {gate.outcome}" for gate in task.gates[:5]),
                ", ".join(
                    f"{escaped(one.lens, 30)} {one.verdict}".strip() for one in task.opinions if one.counts
                ),
                code(short(task.landed)) if task.landed else "",
            )
            for task in tasks[:MOST_TASKS]
        ),
    )
    yield f"… and {len(tasks) - MOST_TASKS} more." if len(tasks) > MOST_TASKS else ""


def escaped(text: str, columns: int = 120) -> str:
    """A text as one line of Markdown that shows just this."""
    return "".join(_sign(char) for char in cut(line(text), columns))


def _sign(char: str) -> str:
    if char in _PLAIN or char not in _SPECIAL:
        return char
    return f"&#{ord(char)};" if char in "<>&@#|" else f"\\{char}"


def code(text: str, columns: int = 200) -> str:
    """A text as code: a word that a command or a path is. Backquotes in it become plain ones."""
    return f"`{cut(line(text), columns).replace('`', chr(0x2BC)).replace('|', chr(0xFF5C))}`"
