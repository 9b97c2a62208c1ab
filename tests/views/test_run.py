"""A run as text: how it begins, what agents print, what came of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from git_fleet.core.ids import TaskId
from git_fleet.core.model import State, Usage
from git_fleet.core.results import AgentOutput
from git_fleet.core.running import RunResult, Stop, TaskEnd
from git_fleet.views import run as text
from git_fleet.views.look import PLAIN

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("workers", "why", "expected"),
    [
        (1, "", "1 worker"),
        (4, "", "4 workers"),
        (8, "not 20: max_active in fleet.toml is 8", "8 workers (not 20: max_active in fleet.toml is 8)"),
    ],
)
def test_a_run_says_how_many_workers_and_why_so_many(workers: int, why: str, expected: str) -> None:
    assert text.begins("p", "main", why, workers=workers) == f"plan p onto main, {expected}"


def test_what_was_printed_is_harmless_and_lines_written_over_show_their_end() -> None:
    assert text.printed("10%\r50%\r100%\r\n\x1b]0;title\x07\x1b[2Jok\u202e\ttab\n") == "100%\nok    tab\n"
    assert text.following("10%\r50%\r\ndone\x07") == "10%\n50%\ndone"


def test_each_output_stands_under_its_attempt() -> None:
    found = [AgentOutput(1, 1, NOW, "/l/1-1.log", "one\n\n"), AgentOutput(2, 1, NOW, "/l/2-1.log", "")]
    assert text.outputs(TaskId("p", "a"), found, NOW, PLAIN) == (
        "attempt 1, agent 1, until 0s ago  /l/1-1.log\none\n\nattempt 2, agent 1, until 0s ago  /l/2-1.log"
    )


def test_the_summary_says_what_waits_for_whom_and_what_to_do() -> None:
    ends = (
        TaskEnd(TaskId("p", "a"), "A", State.INTEGRATED, 1),
        TaskEnd(TaskId("p", "b"), "B", State.BLOCKED, 2, "failed: exit code 3\n\nlast words"),
        TaskEnd(TaskId("p", "c"), "C", State.PARKED, 1, "touches docs/**"),
        *(TaskEnd(TaskId("p", name), name, State.PENDING, 0) for name in "defgh"),
    )
    value = RunResult(
        "p",
        "main",
        Stop("waiting", "nothing is ready"),
        2,
        75.0,
        1,
        1,
        2,
        Usage(cost_usd=0.5),
        ends,
        ("the disk is full",),
    )
    first, *rest = text.run(value, PLAIN).splitlines()
    assert first == (
        "p: 1 of 8 tasks integrated; 1 commit on main by this run, 1 sent back to rework, "
        "2 recovered from an earlier run, 2 workers, 1m, 0.50 US dollars"
    )
    assert rest == [
        "✗ p/b is blocked (failed: exit code 3)",
        "    printed: git fleet log p/b --output",
        "    next: git fleet unblock p/b",
        "… p/c is parked (touches docs/**)",
        "    next: git fleet accept p/c",
        "… p/d, p/e, p/f and 2 more are pending",
        "note: the disk is full",
        "it ended because nothing is ready",
    ]


@pytest.mark.parametrize(("code", "state", "more"), [
    ("cost", State.PENDING, True), ("interrupted", State.REWORK, True), ("waiting", State.REWORK, True),
    ("waiting", State.PENDING, False), ("paused", State.REWORK, False), ("complete", State.INTEGRATED, False),
])  # fmt: skip
def test_the_summary_says_when_a_run_would_go_on(code: str, state: State, more: bool) -> None:
    ends = (TaskEnd(TaskId("p", "a"), "A", state, 1),)
    value = RunResult("p", "main", Stop(code, "of this"), 1, 1.0, 0, 0, 0, Usage(), ends)
    assert text.run(value, PLAIN).endswith("\nnext: git fleet run p goes on") is more
