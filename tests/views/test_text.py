from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Claim, Finding, Output, Proposal, State, Task, TaskState
from git_fleet.core.ready import Reason
from git_fleet.core.results import Explanation, LogLine, ReadyTask, Sibling, Story
from git_fleet.core.snapshot import TaskRecord
from git_fleet.views import text
from git_fleet.views.look import PLAIN, Look
from tests.support.clock import START
from tests.views.values import EVIL, OID, row

TASK = TaskId("app", "1")
CLAIM = Claim("w1", OID, START, START + timedelta(hours=1), 2, branch="feature/1-do-it", worktree="/w")


def record(state: State, **changes: object) -> TaskRecord:
    task = Task(TASK, "Do it", "do-it", files=("a.py",), prompt="Please.\nNow.")
    return TaskRecord(task, OID, replace(TaskState(state, claim=CLAIM), **changes))


@pytest.mark.parametrize("look", [PLAIN, Look(width=80), Look(width=200)])
def test_no_view_lets_foreign_text_steer_the_terminal(look: Look) -> None:
    claim = replace(CLAIM, holder=EVIL, branch=EVIL)
    state = TaskState(
        State.BLOCKED, claim=claim, code="x", reason=EVIL, findings=(Finding(EVIL, EVIL, EVIL),), summary=EVIL
    )
    task = Task(TASK, EVIL, "x", files=(EVIL,), reads=(EVIL,), prompt=EVIL)
    evil = TaskRecord(task, OID, state)
    proposal = Proposal(1, OID, EVIL, OID, OID, OID, EVIL)
    shown = [
        text.claimed(evil, Path(EVIL), {"FLEET_PORT_BASE": EVIL}, (EVIL,), look),
        text.acted(evil, (EVIL,), START, look),
        text.handed_in(evil, proposal, look, outside=(EVIL,), follow_ups=(EVIL,), notes=(EVIL,)),
        text.ready([ReadyTask(TASK, EVIL, 0, 0, (EVIL,))], look),
        text.explain(
            Explanation(TASK, State.PENDING, False, (Reason("x", EVIL, EVIL),), (Finding(EVIL, EVIL),)),
            START,
            look,
        ),
        text.explain(
            Explanation(TASK, State.CLAIMED, False, (), row=row("1", State.CLAIMED, holder=EVIL), base=EVIL),
            START,
            look,
        ),
        text.siblings([Sibling(TASK, State.BLOCKED, EVIL, EVIL, EVIL, EVIL)], look),
        text.log(Story((LogLine(EVIL, START, EVIL, EVIL, OID),), (EVIL,)), START, look),
        text.event_texts({EVIL: EVIL}, look),
    ]
    for view in shown:
        assert all(part.isprintable() for part in view.split("\n")), view


def test_a_worker_is_told_all_it_needs_to_begin() -> None:
    env = {"FLEET_PORT_BASE": "20000", "FLEET_PORT_COUNT": "10", "FLEET_SLOT": "3"}
    found = (Finding("tests are red:\n  E\t1\x1b[31m\n", "gate:tests"), Finding("no", "person:ann", "a.py"))
    shown = text.claimed(
        record(State.CLAIMED, findings=found), Path("/my work"), env, ("main was merged",), PLAIN
    )
    assert shown == (
        "app/1 is yours: Do it\n"
        "  files     a.py\n"
        "  worker    w1\n"
        "  branch    feature/1-do-it\n"
        "  until     2026-01-01 13:00:00 UTC (attempt 2)\n"
        "  ports     20000-20009 (slot 3)\n"
        "  worktree  /my work\n"
        "\n"
        "Please.\n"
        "Now.\n"
        "\n"
        "found wrong with the last attempt:\n"
        "  - gate:tests: tests are red:\n"
        "      E    1\\x1b[31m\n"
        "  - person:ann: a.py: no\n"
        "note: main was merged\n"
        "next: cd '/my work', commit on the branch, then: git fleet done"
    )


def test_a_claim_without_a_worktree_says_how_to_hand_in() -> None:
    shown = text.claimed(record(State.CLAIMED), None, {}, (), PLAIN)
    assert shown.endswith("next: git fleet done app/1 --commit REV --worker w1")
    shown = text.claimed(asked(output=Output.REPORT), None, {}, (), PLAIN)
    assert shown.endswith('next: git fleet done app/1 --result "…" --worker w1')


def asked(**fields: object) -> TaskRecord:
    """A claimed task that its plan says more about."""
    claimed = record(State.CLAIMED)
    return replace(claimed, task=replace(claimed.task, **fields))


def test_a_worker_is_told_how_its_work_will_be_judged() -> None:
    told = asked(accept=("pytest -q", "ruff check"), remarks="see the old one")
    shown = text.claimed(told, Path("/w"), {}, (), PLAIN)
    assert "  accept    pytest -q\n            ruff check\n  remarks   see the old one\n" in shown


def test_the_next_step_depends_on_what_is_handed_in_and_who_commits() -> None:
    shown = text.claimed(asked(output=Output.REPORT), Path("/w"), {}, (), PLAIN, lead_commits=True)
    assert shown.endswith('next: cd /w, find it out, then: git fleet done --result "…"')
    shown = text.claimed(record(State.CLAIMED), Path("/w"), {}, (), PLAIN, lead_commits=True)
    assert shown.endswith('next: cd /w, change its files, commit nothing, then: git fleet done -m "…"')


def test_a_hand_in_warns_of_paths_that_are_not_the_tasks() -> None:
    proposal = Proposal(1, OID, "w1", OID)
    shown = text.handed_in(
        record(State.PROPOSED), proposal, PLAIN, outside=("b.py",), follow_ups=(), notes=()
    )
    assert shown == (
        "app/1 is handed in: commit 1234567890, proposal 1\n"
        "warning: not its files, the scope gate will refuse them: b.py"
    )


def test_explaining_says_what_would_change_it() -> None:
    value = Explanation(
        TASK, State.PENDING, False, (Reason("hold", "it is on hold", "git fleet accept app/1"),)
    )
    assert (
        text.explain(value, START, PLAIN)
        == "app/1 is not ready:\n  - it is on hold\n    git fleet accept app/1"
    )
    assert (
        text.explain(replace(value, ready=True, reasons=()), START, PLAIN)
        == "app/1 is ready: git fleet claim app/1"
    )


@pytest.mark.parametrize(
    ("state", "how"),
    [
        (State.REVERTED, "it is reverted"),
        (State.CANCELLED, "it is cancelled"),
        (State.BLOCKED, "it is blocked (no-api): there is none"),
    ],
)
def test_a_task_that_stands_still_is_explained_by_how_it_stands(state: State, how: str) -> None:
    value = Explanation(TASK, state, False, (Reason("state", how, "git fleet reopen app/1"),))
    assert text.explain(value, START, PLAIN) == f"app/1 {how.removeprefix('it ')}\n    git fleet reopen app/1"


def test_a_long_finding_is_broken_where_the_terminal_ends_and_a_tools_lines_are_not() -> None:
    found = (Finding("nothing is said of it in " + "the manual " * 9 + "\n" + "E " * 60, "gate"),)
    shown = text.explain(Explanation(TASK, State.REWORK, True, (), found), START, Look(80)).split("\n")
    assert [len(row) <= 80 for row in shown[2:]] == [True, True, False]


def test_a_task_in_rework_is_explained_with_what_was_found() -> None:
    found = (Finding("gate tests: exit 1\nE  assert 1 == 2", "gate"), Finding("no docs", "person:ann"))
    value = Explanation(TASK, State.REWORK, True, (), found)
    wrong = (
        "found wrong with the last attempt:\n"
        "  - gate: gate tests: exit 1\n"
        "    E  assert 1 == 2\n"
        "  - person:ann: no docs"
    )
    assert (
        text.explain(value, START, PLAIN) == f"app/1 is in rework and ready: git fleet claim app/1\n{wrong}"
    )
    waits = replace(value, ready=False, reasons=(Reason("limit", "8 are claimed", ""),))
    assert (
        text.explain(waits, START, PLAIN) == f"app/1 is in rework and not ready:\n  - 8 are claimed\n{wrong}"
    )


def test_a_task_that_waits_for_a_person_says_why_and_what_to_type() -> None:
    wanted = 'parked: touches ci.yml (git fleet accept app/1, or git fleet reject app/1 --finding "…")'
    state = record(State.PARKED, reason="touches ci.yml")
    assert text.acted(state, (), START, PLAIN) == f"app/1 is {wanted}"


def test_explaining_tells_how_a_task_stands() -> None:
    claimed = row("1", State.CLAIMED, holder="w1", ahead=2, dirty=1, claimed=720, seen=40, left=1800)
    held = Reason("claimed", "w1 holds it until 12:30:00 UTC", "wait for the hand-in")
    waiting = (TaskId("app", "2"), TaskId("app", "3"))
    value = Explanation(TASK, State.CLAIMED, False, (held,), row=claimed, base="main", waiting=waiting)
    assert text.explain(value, START, PLAIN) == (
        "app/1 is claimed by w1, 12m ago (attempt 1); the last sign of life was 40s ago; "
        "2 commits, 1 uncommitted path; the lease ends in 30m\n"
        "    wait for the hand-in\n"
        "app/2, app/3 wait for it"
    )
    late = replace(
        value, row=replace(claimed, expires_at=START - timedelta(minutes=5)), reasons=(), waiting=()
    )
    assert text.explain(replace(late, ready=True), START, PLAIN).endswith(
        "; the lease ran out 5m ago\n    git fleet claim app/1 takes it over"
    )
    proposed = row("1", State.PROPOSED, holder="w1", seen=600)
    fix = Reason("state", "it is proposed", "git fleet integrate app/1")
    value = Explanation(TASK, State.PROPOSED, False, (fix,), row=proposed, base="main", waiting=waiting[:1])
    assert text.explain(value, START, PLAIN) == (
        "app/1 is proposed: w1 has handed it in (attempt 1); it has waited for 10m\n"
        "    git fleet integrate app/1\n"
        "app/2 waits for it"
    )
    ended = Reason("state", "it is integrated", "nothing to do: main has it")
    value = Explanation(TASK, State.INTEGRATED, False, (ended,), row=row("1"), base="main", landed=OID)
    assert text.explain(value, START, PLAIN) == (
        "app/1 is integrated: main has it as 123456789012\n    nothing to do: main has it"
    )
