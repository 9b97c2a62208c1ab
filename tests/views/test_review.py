from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from git_fleet.core.divergence import Divergence, Line
from git_fleet.core.ids import TaskId
from git_fleet.core.likeness import Kind
from git_fleet.core.model import Finding, PlanState, Proposal, State, Task, TaskState
from git_fleet.core.reviewing import (
    Artifact,
    ChangedPath,
    GateRun,
    Opinion,
    Recommendation,
    Review,
    TaskReview,
    Waiting,
)
from git_fleet.core.snapshot import TaskRecord
from git_fleet.views import machine_review
from git_fleet.views import review as view
from git_fleet.views.look import PLAIN, Look
from tests.support.clock import START
from tests.support.documents import validate
from tests.views.values import EVIL, OID

DEV, PROD = TaskId("bump", "bump-dev"), TaskId("bump", "bump-prod")


def reviewed(task: TaskId, state: State, did: str, *, text: str = "") -> TaskReview:
    """A task with a little of everything; `text` stands for all that others wrote."""
    proposal = Proposal(1, OID, text or "dee", OID, OID, OID)
    record = TaskRecord(
        Task(task, text or f"Do {task.task}", "x", group="bump-{cluster}", params=(("cluster", "dev"),)),
        OID,
        TaskState(state, 2, proposal=proposal, code=text, reason=text),
    )
    return TaskReview(
        record,
        did=did,
        base=OID,
        commit=OID,
        paths=(ChangedPath(text or "live/dev/values.yaml", 3, 1), ChangedPath("logo", 0, 0, binary=True)),
        gates=(GateRun(text or "tests", "pass", 1.24, cached=True), GateRun("lint", "fail")),
        opinions=(
            Opinion(text or "security", text or "verifier:bot", "upheld", START - timedelta(minutes=5), counts=False),
            Opinion("", f"person:{text or 'Ann'}", "rejected", START),
        ),
        findings=(Finding(text or "no test\nsee x", text or "person:Ann", text or "x.py", outside=True),),
        artifacts=(Artifact(text or "report.md", 3400),),
        state_since=START - timedelta(hours=3),
        why=text,
    )  # fmt: skip


def odd_one(text: str = "") -> Divergence:
    lines = (Line(False, text or "+version: 2"), Line(True, text or "+\tversion: latest"))
    name = text or "live/{cluster}/values.yaml"
    return Divergence(
        text or "bump-{cluster}", Kind.FILE, name, (PROD,), PROD, DEV, 5, 2, lines * 4, 3, (DEV,)
    )


def plan(*tasks: TaskReview, text: str = "") -> Review:
    return Review(
        plan="bump",
        title=text or "Bump the operator",
        base=text or "main",
        state=PlanState.PAUSED,
        at=START,
        summary=text or "1 of 2 tasks integrated; 1 unlike its siblings.",
        tasks=tasks,
        divergences=(odd_one(text), replace(odd_one(text), odd=(), name="CHANGES", missing=(), cut=0)),
        queue=(Waiting(PROD, State.PARKED, "person", text or "your word", START - timedelta(minutes=90)),),
        recommendations=(
            Recommendation("odd-one-out", text or "Look at it.", (text or "git fleet review bump",)),
            Recommendation("parked", text or "It is parked.", (text or "git fleet accept bump/bump-prod",)),
        ),
    )


TASKS = (reviewed(DEV, State.INTEGRATED, "Bumped\nand more"), reviewed(PROD, State.PARKED, "Bumped, too"))


def test_a_plan_is_on_one_screen() -> None:
    assert view.review(plan(*TASKS), PLAIN) == (
        "bump: Bump the operator → main (paused)\n"
        "1 of 2 tasks integrated; 1 unlike its siblings.\n"
        "\n"
        "TASK            STATE       FILES  LINES  GATES   VERDICTS  WHAT\n"
        "bump/bump-dev   integrated      2  +3 -1  ✗ lint  ✗ Ann     Bumped\n"
        "bump/bump-prod  parked          2  +3 -1  ✗ lint  ✗ Ann     ≠ Bumped, too\n"
        "\n"
        "unlike their siblings\n"
        "  bump/bump-prod, unlike 4 others of bump-{cluster}:\n"
        "    live/{cluster}/values.yaml (not in the others)\n"
        "      the others  +version: 2\n"
        "      this one    +    version: latest\n"
        "      the others  +version: 2\n"
        "      this one    +    version: latest\n"
        "      … and 7 more lines\n"
        "  the 5 of bump-{cluster} differ, and no shape has a majority:\n"
        "    CHANGES\n"
        "      bump-dev   +version: 2\n"
        "      bump-prod  +    version: latest\n"
        "      bump-dev   +version: 2\n"
        "      bump-prod  +    version: latest\n"
        "      … and 4 more lines\n"
        "\n"
        "waiting, the longest first\n"
        "  1h  bump/bump-prod waits for your word\n"
        "\n"
        "next\n"
        "  Look at it.\n"
        "    git fleet review bump\n"
        "  It is parked.\n"
        "    git fleet accept bump/bump-prod"
    )


def test_one_task_is_told_whole() -> None:
    shown = view.task(replace(plan(TASKS[1]), divergences=(odd_one(),)), PLAIN)
    assert shown.split("\n\nunlike")[0] == (
        "bump/bump-prod has been parked for 3h: Do bump-prod\n"
        "  worker    dee, attempt 2\n"
        "  result    Bumped, too\n"
        "  proposal  1, commit 1234567890\n"
        "  look      git diff 123456789012 123456789012\n"
        "  files     +3 -1     live/dev/values.yaml\n"
        "            binary    logo\n"
        "  gates     ✓ tests 1.2 s (an earlier pass on the same tree)\n"
        "            ✗ lint: fail\n"
        "  verdicts  ✓ security: upheld by verifier:bot, 5m ago, which counts no more\n"
        "            ✗ rejected by person:Ann, 0s ago\n"
        "  artifacts report.md  3.4 kB\n"
        "\n"
        "found\n"
        "  - person:Ann: x.py: no test (outside of this task)\n"
        "    see x"
    )
    assert shown.count("version: latest") == 4
    assert shown.endswith("next\n  It is parked.\n    git fleet accept bump/bump-prod")


def test_a_blocked_task_says_why_and_one_in_rework_what_was_found() -> None:
    blocked = replace(TASKS[0].record, state=TaskState(State.BLOCKED, code="quota", reason="ask ops"))
    rework = replace(TASKS[1].record, state=TaskState(State.REWORK))
    shown = view.review(plan(replace(TASKS[0], record=blocked), replace(TASKS[1], record=rework)), PLAIN)
    assert "quota: ask ops" in shown
    assert "≠ no test" in shown


def test_of_a_large_plan_those_are_shown_that_somebody_may_have_to_look_at() -> None:
    many = [reviewed(TaskId("bump", f"t{n}"), State.INTEGRATED, "x") for n in range(300)]
    many[150] = reviewed(PROD, State.INTEGRATED, "x")
    many[200] = reviewed(TaskId("bump", "t200"), State.PARKED, "x")
    shown = view.review(plan(*many), PLAIN)
    rows = [row.split()[0] for row in shown.split("\n\n")[1].splitlines()[1:]]
    assert len(rows) == view.MOST_TASKS + 1
    assert {"bump/bump-prod", "bump/t200", "bump/t0"} <= set(rows)
    assert "… and 260 more" in shown


def test_a_long_finding_is_broken_where_the_terminal_ends() -> None:
    long = replace(TASKS[1], findings=(Finding("it is not said " * 12, "person:Ann"),))
    shown = view.task(plan(long), Look(80)).split("\n")
    assert max(map(len, (row for row in shown if "it is not said" in row))) <= 80


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_is_not_overrun_by_sentences(width: int) -> None:
    long = "a sentence that goes on " * 8
    value = replace(plan(*TASKS), summary=long)
    value = replace(
        value, recommendations=(Recommendation("x", long, ()),), queue=(replace(value.queue[0], what=long),)
    )
    for text in (
        view.review(value, Look(width=width)),
        view.task(replace(value, tasks=TASKS[:1]), Look(width=width)),
    ):
        prose = [row for row in text.split("\n") if "goes on" in row or "version" in row]
        assert prose
        assert max(map(len, prose)) <= max(width, 50)


def test_on_a_terminal_each_task_has_one_line_where_that_is_possible() -> None:
    tasks = [reviewed(TaskId("bump", f"t{n}"), State.PROPOSED, "did-this-and-that-" * 5) for n in range(12)]
    rows = view.review(plan(*tasks), Look(width=80)).split("\n\n")[1].splitlines()
    assert len(rows) == 13
    assert {len(row) for row in rows[1:]} == {80}
    assert all(row.endswith("…") for row in rows[1:])


@pytest.mark.parametrize("look", [PLAIN, Look(width=50), Look(width=200, colour=True)])
def test_no_text_of_others_steers_the_terminal(look: Look) -> None:
    value = plan(*(reviewed(one, state, EVIL, text=EVIL) for one, state in ((DEV, State.BLOCKED), (PROD, State.REWORK))), text=EVIL)  # fmt: skip
    for shown in (view.review(value, look), view.task(replace(value, tasks=value.tasks[:1]), look)):
        plain = shown if not look.colour else look_away(shown)
        assert all(row.isprintable() for row in plain.split("\n")), shown


def look_away(text: str) -> str:
    """The text without our own colours, which nobody else can write: an escape of theirs is shown as text."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_the_document_is_what_its_schema_says() -> None:
    validate({"v": 1, **machine_review.review(plan(*TASKS))}, "review")
    empty = replace(plan(), base="", divergences=(), queue=(), recommendations=())
    validate({"v": 1, **machine_review.review(empty)}, "review")
    bare = TaskReview(TaskRecord(Task(DEV, "t", "t"), None, TaskState()))
    validate({"v": 1, **machine_review.review(plan(bare))}, "review")
    assert view.task(plan(bare), PLAIN).startswith("bump/bump-dev is pending: t\n")
