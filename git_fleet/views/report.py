"""A report as the values that its pages and its Markdown show: sentences, tiles, rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.lessons import duration
from git_fleet.core.meetings import Meeting
from git_fleet.core.model import Finding, State, Usage
from git_fleet.core.reporting import GateLog, Report
from git_fleet.core.reviewing import TaskReview
from git_fleet.core.score import Worth
from git_fleet.core.wording import count
from git_fleet.views import matrix as triangle
from git_fleet.views.layout import Drawing, layout
from git_fleet.views.score import CAUSES, PHASES
from git_fleet.views.timeline import Timeline, percent, timeline

MOST_MEETINGS = 60
MOST_FILES = 40
"""Of one task, and rows of a table: what is more is counted."""

_GOOD = frozenset({"upheld", "accepted", "pass"})
_BAD = frozenset({"refuted", "rejected", "fail", "error"})
_ORDER = (
    State.INTEGRATED, State.VERIFIED, State.PROPOSED, State.PARKED, State.CLAIMED, State.REWORK, State.BLOCKED,
    State.REVERTED, State.PENDING, State.CANCELLED,
)  # fmt: skip


class Tile(NamedTuple):
    """A number in large, what it is, and what goes with it."""

    value: str
    label: str
    note: str = ""
    tone: str = ""


class Part(NamedTuple):
    """A part of a whole: a word for its colour, its name, its value in words, its share from 0 to 1, whose it is."""

    kind: str
    name: str
    value: str
    share: float
    of: tuple[TaskId, ...] = ()

    @property
    def width(self) -> str:
        """The share as a width."""
        return percent(100 * self.share)


class Slice(NamedTuple):
    """A part of a bar that is the whole."""

    state: State
    number: int
    x: str
    width: str


class Page(Struct, frozen=True, dict=True):
    """A report, ready to be shown. `prefix` is what its anchors begin with, where a page has several."""

    report: Report
    prefix: str = ""

    @cached_property
    def timeline(self) -> Timeline | None:
        """The bars."""
        return timeline(self.report.score)

    @cached_property
    def drawing(self) -> Drawing:
        """The graph."""
        return layout(self.report.picture)

    @cached_property
    def matrix(self) -> triangle.Matrix | None:
        """Who shares files with whom."""
        order = {node.id: number for number, node in enumerate(self.report.picture.nodes)}
        return triangle.matrix(self.report.meetings, order)

    @property
    def worth(self) -> str:
        """The colour of the answer."""
        return {Worth.YES: "good", Worth.NO: "bad", Worth.EARLY: "some"}[self.report.score.worth]

    @property
    def tiles(self) -> list[Tile]:
        """The headline numbers."""
        return list(_tiles(self.report))

    @property
    def states(self) -> list[Slice]:
        """How many tasks are in each state, as a bar."""
        return slices(Counter(task.state for task in self.report.review.tasks))

    def anchor(self, task: TaskId) -> str:
        """Where the page tells of a task."""
        return f"#{self.prefix}task-{task.task}"

    @property
    def sections(self) -> list[tuple[str, str]]:
        """What the page has, by anchor."""
        review = self.report.review
        found = [
            ("next", "Next", bool(review.recommendations or review.queue)),
            ("time", "Time", bool(self.phases)),
            ("timeline", "Timeline", self.timeline is not None),
            ("graph", "Graph", bool(self.report.picture.nodes)),
            ("conflicts", "Shared files", True),
            ("siblings", "Siblings", bool(review.divergences)),
            ("tasks", "Tasks", True),
            ("advice", "Next time", bool(self.report.lessons.advice)),
        ]
        return [(self.prefix + anchor, name) for anchor, name, there in found if there]

    @property
    def phases(self) -> list[Part]:
        """Where the time of the tasks went, the longest first."""
        score = self.report.score
        total = sum(each.seconds for each in score.phases) or 1.0
        longest = sorted(score.phases, key=lambda each: -each.seconds)
        return [
            Part(each.phase, PHASES[each.phase][0], duration(each.seconds), each.seconds / total)
            for each in longest
        ]

    @property
    def causes(self) -> list[Part]:
        """Why it took as long as it did, the most first."""
        return [
            Part(each.cause, CAUSES[each.cause][0], duration(each.seconds), each.share, each.tasks)
            for each in self.report.score.shares
        ]

    @property
    def shown_meetings(self) -> list[Meeting]:
        """The pairs that a table has room for, the worst first."""
        return list(self.report.meetings.pairs[:MOST_MEETINGS])

    @property
    def meetings_in_a_sentence(self) -> str:
        """What was predicted, and what came of it."""
        return meetings_in_a_sentence(self.report)

    @property
    def ids(self) -> str:
        """How wide a column of task ids is, as a class."""
        longest = max((len(task.id.task) for task in self.report.review.tasks), default=0)
        return "ids-s" if longest <= 7 else "ids-m" if longest <= 15 else "ids-l"

    def log(self, task: TaskId, gate: str) -> GateLog | None:
        """What a gate printed."""
        return next((log for log in self.report.logs.get(task, ()) if log.gate == gate), None)

    def odd(self, task: TaskId) -> bool:
        """Whether it is unlike its siblings."""
        return task in self._odd

    @cached_property
    def _odd(self) -> frozenset[TaskId]:
        return frozenset(task for one in self.report.review.divergences for task in one.odd)


def slices(counts: Mapping[State, int]) -> list[Slice]:
    """How many tasks are in each state, as a bar."""
    total, at, found = max(1, sum(counts.values())), 0, []
    for state in _ORDER:
        if number := counts.get(state, 0):
            found.append(Slice(state, number, percent(100 * at / total), percent(100 * number / total)))
            at += number
    return found


def tone(word: str) -> str:
    """The colour of an outcome or a verdict."""
    return "good" if word in _GOOD else "bad" if word in _BAD else "some"


def refused(task: TaskReview) -> list[tuple[int, Finding]]:
    """What was found wrong with earlier proposals, each once, by the proposal's number."""
    found = ((one.proposal, finding) for one in task.refusals for finding in one.findings)
    return [pair for pair in dict.fromkeys(found) if pair[1] not in task.findings]


def gates_tone(task: TaskReview) -> str:
    """The worst of a task's gates, in a word; "" where none ran."""
    outcomes = {gate.outcome for gate in task.gates}
    return "" if not outcomes else "good" if outcomes == {"pass"} else "bad"


def meetings_in_a_sentence(report: Report) -> str:
    """What was predicted of shared files, and what came of it."""
    found = report.meetings
    if not found.pairs and not found.unexplained:
        return "No two tasks were to change a common file, and none did."
    parts = [f"{count(found.predicted, 'pair')} of tasks predicted to share files"]
    if found.predicted == 1:
        parts.append("they really changed a common one" if found.met else "they did not meet")
    elif found.predicted:
        parts.append(f"{found.met} of them really changed a common one")
    parts.append(
        f"{count(found.unforeseen, 'pair')} met that nobody had foreseen" if found.unforeseen else ""
    )
    conflicts = found.conflicted
    parts.append(f"{count(conflicts, 'pair')} conflicted" if conflicts else "no conflict among them")
    if found.unexplained:
        parts.append(f"{count(len(found.unexplained), 'conflict')} with changes from elsewhere")
    return "; ".join(part for part in parts if part) + "."


def _tiles(report: Report) -> Iterator[Tile]:
    score, review = report.score, report.review
    counted = [task for task in review.tasks if task.state is not State.CANCELLED]
    done = sum(task.state is State.INTEGRATED for task in counted)
    yield Tile(
        f"{done} of {len(counted)}",
        "tasks integrated",
        _others(report),
        "good" if done == len(counted) else "",
    )
    yield Tile(
        duration(score.wall_seconds) if score.claims else "–",
        "from first claim to last landing" if score.finished else "since the first claim",
    )
    predicted = report.lessons.predicted
    said = f"plan check predicted {predicted.speedup:.1f}" if predicted else ""
    if score.bound.with_workers is not None:
        said += f"{'; ' if said else ''}at most {score.bound.with_workers:.1f} was possible"
    yield Tile(f"{score.speedup:.1f} ×" if score.speedup else "–", "as fast as one worker", said)
    workers = f"{count(score.claims, 'claim')} by {count(len(score.hands), 'worker')}"
    yield Tile(duration(score.agent_seconds) if score.claims else "–", "of agent time", workers)
    why = ", ".join(f"{each.times} × {each.reason}" for each in score.setbacks[:3])
    yield Tile(str(report.reworked), "sent back", why, "some" if report.reworked else "")
    files = {path.path for task in review.tasks if task.landed for path in task.paths}
    yield Tile(
        f"+{report.added:,} −{report.removed:,}",
        "lines on the base branch",
        f"in {count(len(files), 'file')}",
    )
    if score.usage != Usage():
        used = score.usage
        yield Tile(
            f"${used.cost_usd:,.2f}", "cost", f"{used.input_tokens:,} tokens in, {used.output_tokens:,} out"
        )


def _others(report: Report) -> str:
    states = dict(report.score.states)
    shown = (
        State.BLOCKED,
        State.REWORK,
        State.PARKED,
        State.PROPOSED,
        State.VERIFIED,
        State.CLAIMED,
        State.PENDING,
    )
    return ", ".join(
        f"{states[state]} {state.phrase.removeprefix('in ')}" for state in shown if states.get(state)
    )
