from __future__ import annotations

import re

import pytest

from git_fleet.core.model import Overlap, State
from git_fleet.views import graph
from git_fleet.views.look import PLAIN, Look
from git_fleet.views.mermaid import MOST_BYTES, MOST_EDGES, escaped, mermaid
from tests.support.documents import validate
from tests.support.pictures import drawn, plan_of, task
from tests.views.values import EVIL

PLAN = (
    task("schema"),
    task("api", "schema"),
    task("auth", "schema"),
    task("ui", "api", "auth"),
    task("docs", "api", files=["docs/**"]),
    task("guide", files=["docs/**"]),
    task("cli", "api"),
    task("e2e", "ui", "cli"),
)


def test_a_line_leads_to_each_task_from_all_that_comes_before_it() -> None:
    found = graph.text(drawn(*PLAN, states={"schema": State.INTEGRATED, "guide": State.CLAIMED}), PLAIN)
    lanes = [line[6:13].rstrip() for line in found.split("\n\n")[1].splitlines()[1:]]
    assert lanes == [
        "●",
        "│ ◐",
        "├─┼─○",
        "○ │ │",
        "○─┼─┤",
        "│ ○─┤",
        "│   ○",
        "○───╯",
    ]
    assert found.startswith("p: A plan: 8 tasks in 4 waves, 1 integrated\n")
    assert found.endswith("\n* the critical path, 40 min: schema → api → ui → e2e")


def test_without_unicode_the_same_lines_are_drawn_in_ascii() -> None:
    assert graph.text(drawn(*PLAN), PLAIN, unicode=False).isascii()


def test_who_shares_files_stands_beside_a_task_and_what_holds_for_the_pair() -> None:
    shared = [task(name, files=["x"], overlap=Overlap.WATCH) for name in ("a", "b")]
    found = graph.text(drawn(*shared), PLAIN)
    assert "b (watched)" in found
    assert len(drawn(*shared).waves) == 1


def test_a_graph_nobody_could_follow_is_not_drawn() -> None:
    names = [f"n{number}" for number in range(30)]
    wide = drawn(*map(task, names), *(task(f"after-{name}", name) for name in names))
    assert "│" not in graph.text(wide, PLAIN)
    assert "│" not in graph.text(drawn(task("a"), task("b")), PLAIN)


def test_on_a_narrow_terminal_a_task_is_a_line_still() -> None:
    tasks = [
        task(f"task-{n}", files=["x"], overlap=Overlap.WATCH, title="Do " + "much " * 40) for n in range(9)
    ]
    found = graph.text(drawn(*tasks), Look(80)).split("\n\n")[1].splitlines()
    assert len(found) == 1 + len(tasks)
    assert max(map(len, found)) <= 80
    assert "task-1 (watched) and 7 more" in found[1]


def test_titles_cannot_steer_the_terminal_nor_the_drawing() -> None:
    hostile = drawn(
        task("a", title=EVIL), task("b", "a", title='"]; click t0 "javascript:alert(1)" <script>`')
    )
    found = graph.text(hostile, Look(80, colour=False))
    assert "\x1b" not in found
    made = mermaid(hostile)
    assert made.count('"') == 2 * 4
    assert not re.search("[<>`()]|javascript:", made.replace("<br/>", "").replace("-->", ""))
    assert "\u202e" not in made


def test_an_entity_stands_for_every_sign_that_means_something_to_mermaid() -> None:
    assert escaped('a"b#c;d<e') == "a#34;b#35;c#59;d#60;e"
    assert escaped("Ünïcode, 日本 🙂 - 1.5/2") == "Ünïcode, 日本 🙂 - 1.5/2"
    assert len(escaped("x" * 10_000)) == 60


def test_mermaid_gets_no_more_than_it_takes_and_says_what_is_missing() -> None:
    few = mermaid(drawn(*PLAN))
    assert few.splitlines()[0] == "flowchart LR"
    assert "t0 --> t1" in few
    assert "t5 -.-> t4" in few
    assert "%%" not in few
    many = mermaid(drawn(*plan_of(1000)))
    assert len(many) <= MOST_BYTES
    assert many.count("-->") + many.count("-.->") <= MOST_EDGES
    assert "%% left out" in many


@pytest.mark.parametrize("tasks", [(), PLAN])
def test_the_document_is_what_the_schema_says(tasks: tuple[object, ...]) -> None:
    validate({"v": 1, **graph.document(drawn(*tasks))}, "graph")  # type: ignore[arg-type]
