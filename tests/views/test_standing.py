from __future__ import annotations

import pytest
from msgspec.structs import replace

from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.results import Status, Step
from git_fleet.views import standing
from git_fleet.views.look import PLAIN, Look, visible, width
from tests.support.clock import START
from tests.views.values import EVIL, fleet, row


def busy() -> Status:
    """One task in most of the states."""
    return fleet(
        row("1", State.CLAIMED, holder="w1", branch="feature/1", ahead=2, dirty=3, summary="tests next",
            claimed=720, seen=40),
        row("2", State.CLAIMED, holder="w2", branch="feature/2", ahead=0, dirty=0, left=-120, claimed=4000, seen=3800),
        row("3", State.BLOCKED, holder="w3", summary="no api", claimed=100, seen=90),
        row("4", waits_for=(TaskId("app", "1"), TaskId("lib", "2"))),
        row("5", State.INTEGRATED, title="Done before"),
        row("6", State.CANCELLED, title="Not needed"),
    )  # fmt: skip


def test_the_status_is_read_in_two_seconds() -> None:
    assert standing.status(busy(), PLAIN) == (
        "app → main  ████░░░░░░░░░░░░░░░░  1/5 done  1 pending  2 claimed  1 blocked  1 cancelled\n"
        "TASK   STATE       WORKER  CLAIM  SEEN  BRANCH     AHEAD  DIRTY  WAITS FOR     WHAT\n"
        "app/1  claimed     w1        12m   40s  feature/1  +2         3                tests next\n"
        "app/2  expired     w2         1h    1h  feature/2  +0                          Do it\n"
        "app/3  blocked     w3         1m    1m                                         no api\n"
        "app/4  pending                                                   app/1, lib/2  Do it\n"
        "app/5  integrated                                                              Done before\n"
        "app/6  cancelled                                                               Not needed\n"
        "\n"
        "next: git fleet claim   there is a task to claim"
    )


def test_on_eighty_columns_each_task_has_one_line() -> None:
    first, *others = busy().plans[0].tasks
    said = replace(first, summary="tests next, then the page of the manual")
    shown = standing.status(fleet(said, *others), Look(width=80)).split("\n")
    assert shown[:6] == [
        "app → main  ████░░░░░░░░░░░░░░░░  1/5 done  1 pending  2 claimed  1 blocked",
        "  1 cancelled",
        "TASK   STATE       WORKER  CLAIM  SEEN  AHEAD  DIRTY  WHAT",
        "app/1  claimed     w1        12m   40s  +2         3  tests next, then the page…",
        "app/2  expired     w2         1h    1h  +0            Do it",
        "app/3  blocked     w3         1m    1m                no api",
    ]
    assert "app/4  pending                                        waits for 1, lib/2" in shown


@pytest.mark.parametrize("columns", [40, 50, 60, 72, 80, 100, 132, 200])
def test_no_line_is_longer_than_the_terminal_and_no_id_is_cut(columns: int) -> None:
    long = "a-rather-long-task-name"
    tasks = (
        replace(busy().plans[0].tasks[0], id=TaskId("app", long), summary="wörter " * 30 + "漢字" * 40),
        *busy().plans[0].tasks[1:],
    )
    shown = standing.status(fleet(*tasks), Look(width=columns, colour=True))
    assert long in visible(shown)
    assert max(width(visible(each)) for each in shown.split("\n")) <= columns
    assert len(shown.split("\n")) <= len(tasks) + 8  # a line each


def test_what_is_handed_in_is_counted_with_who_waits_longest() -> None:
    value = fleet(
        row("1", State.PROPOSED, seen=60), row("2", State.PROPOSED, seen=700), row("3", State.PARKED, seen=5)
    )
    shown = standing.status(value, PLAIN).split("\n")
    assert "review: 2 proposed, 1 parked; app/2 has waited longest, 11m (git fleet review)" in shown


def test_the_wave_is_said_where_there_are_several() -> None:
    value = fleet(row("1"), row("2"))
    told = replace(value, plans=(replace(value.plans[0], wave=1, waves=3),))
    assert "0/2 done  wave 2 of 3  2 pending" in standing.status(told, PLAIN)
    assert "wave" not in standing.status(value, PLAIN)


def test_steps_stand_below_each_other_with_the_reason_behind_where_it_fits() -> None:
    steps = (
        Step("git fleet integrate", "2 proposals wait"),
        Step("git fleet explain app/3", "it is blocked"),
    )
    value = replace(fleet(row("1")), steps=steps)
    wide = standing.status(value, PLAIN).split("\n")[-2:]
    assert wide == [
        "next: git fleet integrate       2 proposals wait",
        "      git fleet explain app/3   it is blocked",
    ]
    narrow = standing.status(value, Look(width=40)).split("\n")[-2:]
    assert narrow == ["next: git fleet integrate", "      git fleet explain app/3"]


def test_one_line_for_a_prompt() -> None:
    assert standing.one_line(busy()) == "app 1/5, 1 claimed, 1 expired, 1 blocked"
    assert (
        standing.one_line(busy(), TaskId("app", "1"))
        == "app/1 claimed; app 1/5, 1 claimed, 1 expired, 1 blocked"
    )
    assert standing.one_line(fleet(row("1"), state=PlanState.PAUSED)) == "app (paused) 0/1"
    assert standing.one_line(fleet(row("1"), state=PlanState.DRAFT)) == ""


@pytest.mark.parametrize("look", [PLAIN, Look(width=80), Look(width=200)])
def test_no_view_lets_foreign_text_steer_the_terminal(look: Look) -> None:
    dangerous = row("1", State.CLAIMED, title=EVIL, holder=EVIL, branch=EVIL, summary=EVIL)
    evil = replace(fleet(dangerous, reason=EVIL), lead=EVIL, steps=(Step(EVIL, EVIL),))
    views = [
        standing.status(evil, look),
        standing.overview(
            fleet(row("1", State.BLOCKED, summary=EVIL), state=PlanState.PAUSED, reason=EVIL), look
        ),
        standing.overview(fleet(replace(row("1", State.REWORK), why=EVIL)), look),
        standing.status(fleet(replace(row("1", State.REWORK), why=EVIL)), look),
    ]
    for view in views:
        assert all(part.isprintable() for part in view.split("\n")), view


def test_the_overview_names_what_a_person_has_to_look_at() -> None:
    rows = [row(str(n), State.REWORK, summary="too slow") for n in range(7)]
    shown = standing.overview(fleet(*rows, state=PlanState.PAUSED, reason="lunch"), PLAIN).split("\n")
    assert shown[0] == "app (paused: lunch) → main  ░░░░░░░░░░░░░░░░░░░░  0/7 done  7 rework"
    assert shown[1] == "  app/0 rework: too slow"
    assert shown[-2:] == ["  … and 2 more (git fleet status)", "next: git fleet claim"]


def test_of_a_large_plan_the_tasks_at_work_are_shown_and_the_rest_counted() -> None:
    rows = [row(str(n), State.CLAIMED if n == 999 else State.PENDING) for n in range(1000)]
    shown = standing.status(fleet(*rows), PLAIN)
    assert "app/999" in shown
    assert "… and 960 more (git fleet status --all)" in shown
    assert standing.status(fleet(*rows), PLAIN, everything=True).count("app/") == 1000


def test_a_plan_that_is_closed_says_so_and_no_plan_is_said() -> None:
    closed = fleet(row(), state=PlanState.CLOSED)
    assert standing.status(closed, PLAIN).startswith("app (closed)")
    assert "app" not in standing.overview(closed, PLAIN).split("\n")[0]
    empty = Status(START, (), None, "", (Step("git fleet init"),))
    assert standing.overview(empty, PLAIN) == "no plan yet\nnext: git fleet init"
    after = replace(empty, closed=2)
    assert standing.status(after, PLAIN).startswith("2 plans closed, none is open\n")


def test_the_status_says_why_a_task_came_back_instead_of_what_it_said_before() -> None:
    tasks = (
        replace(row("1", State.REWORK, summary="all done"), why="conflict in cli.py"),
        replace(row("2", State.BLOCKED, summary="half"), why="no-api: none"),
        row("3", State.REWORK, summary="released"),
    )
    shown = standing.status(fleet(*tasks), PLAIN)
    assert [line.split("  ")[-1].strip() for line in shown.split("\n")[2:5]] == [
        "conflict in cli.py",
        "no-api: none",
        "released",
    ]
    assert "app/1 rework: conflict in cli.py" in standing.overview(fleet(*tasks), PLAIN)


def test_a_task_that_waits_for_a_person_says_what_to_type() -> None:
    parked = replace(row("1", State.PARKED, summary="all done"), why="touches ci.yml")
    wanted = 'parked: touches ci.yml (git fleet accept app/1, or git fleet reject app/1 --finding "…")'
    assert f"app/1 {wanted}" in standing.overview(fleet(parked), PLAIN)


def test_where_rows_are_counted_the_foremost_are_shown() -> None:
    tasks = [row(str(n), State.CLAIMED if n in (3, 7) else State.PENDING) for n in range(9)]
    shown = standing.status(fleet(*tasks), PLAIN, most_rows=3)
    assert [text.split()[0] for text in shown.split("\n")[2:5]] == ["app/0", "app/3", "app/7"]
    assert "… and 6 more" in shown
