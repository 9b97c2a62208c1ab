"""Plans as tables: what the importer reads back, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.app import exporters
from git_fleet.app.documents import load_plan
from git_fleet.app.exporters import Standing
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Plan, State
from git_fleet.core.plandoc import parse_plan
from git_fleet.errors import InvalidInput
from tests.app.exporters.test_beads import LINE


def plan(*tasks: dict[str, Any], **head: Any) -> Plan:
    return parse_plan({"version": 1, "plan": "p", "task": list(tasks), **head}, source="x")


def table(found: Plan) -> str:
    return exporters.write(found, {}, "markdown").text


def read(text: str) -> Plan:
    return load_plan(text.encode(), name="p.md", format=None, plan_id=None, default_base="main")[0]


def said(found: Plan) -> list[tuple[Any, ...]]:
    """What a table has columns for."""
    return [
        (one.id, one.title, one.files, one.needs, one.branch, one.worktree, one.remarks)
        for one in found.tasks
    ]


def test_a_table_is_written_as_people_write_it() -> None:
    found = plan(
        {"id": "42", "title": "count", "files": ["cli.py", "docs/**"], "branch": "feature/42", "worktree": "app-42",
         "remarks": "new fn\nurgent"},
        {"id": "none", "title": "a | b (c)", "needs": ["42"]},
        {"id": "x", "needs": ["none"], "prompt": "Do.", "output": "report", "extra": {"a": {"b": 1}}},
        title="Three commands",
        schedule="waves",
    )  # fmt: skip
    standings = {TaskId("p", "42"): Standing(State.INTEGRATED)}
    written = exporters.write(found, standings, "markdown")
    assert (
        written.text
        == """\
# Three commands

| Issue | Branch | Worktree | Files owned | Depends on | Status |
|-------|--------|----------|-------------|------------|--------|
| #42 count | `feature/42` | `app-42` | `cli.py`, `docs/**` (new fn) (urgent) | none | integrated |
| none `a \\| b (c)` |  |  |  | #42 | draft |
| x |  |  |  | `none` | draft |
"""
    )
    assert written.left_out == ("prompt", "extra", "output", "schedule")


HOSTILE = [
    "a | b", "\\| \\", "`x` **y** [z](u)", "#1 #2", "-- (x) --", "a <br> b", "  two  spaces ", "\u202eltr\u202c", "x" * 10_000,
    "`" * 10_000, "``", "` `", "a`", "none", "\u00a0x\u00a0", "{a}", "42", "**", "--- | ---",
]  # fmt: skip


@pytest.mark.parametrize("title", HOSTILE, ids=lambda title: title[:12])
@pytest.mark.parametrize("name", ["42", "a", "none", "1.2"])
def test_a_hostile_title_is_read_back(title: str, name: str) -> None:
    found = plan({"id": name, "title": title})
    assert said(read(table(found))) == said(found)


@pytest.mark.parametrize("pattern", ["a,b", "a.py b.py", " x", "a<br>b"])
def test_a_pattern_that_a_cell_cannot_say_is_told(pattern: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"task a: files: found .*, which a Markdown table cannot say"
    ) as caught:
        table(plan({"id": "a", "files": ["ok", pattern]}))
    assert caught.value.hint == "git fleet plan export p --format toml"


def test_remarks_that_a_cell_cannot_say_are_left_out_and_named() -> None:
    written = exporters.write(plan({"id": "a", "files": ["x"], "remarks": "open ("}), {}, "markdown")
    assert written.left_out == ("remarks",)
    assert "open" not in written.text


NAME = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,5}(\.[a-z0-9])?", fullmatch=True).filter(
    lambda name: not name.endswith(".lock")
)
PATTERN = st.from_regex(r"/?[a-z|`*()#\[\]-]{1,6}(/[a-z]{1,3}|\.md)?", fullmatch=True)


@st.composite
def tables(draw: st.DrawFn) -> Plan:
    names = draw(st.lists(NAME, max_size=5, unique=True))
    tasks = []
    for number, name in enumerate(names):
        task: dict[str, Any] = {"id": name, "title": draw(LINE.filter(str.strip))}
        if number and draw(st.booleans()):
            task["needs"] = draw(st.lists(st.sampled_from(names[:number]), min_size=1, max_size=3))
        if draw(st.booleans()):
            task["files"] = draw(st.lists(PATTERN, min_size=1, max_size=3))
        if draw(st.booleans()):
            task |= {"branch": f"f/{name}", "worktree": f"w {name}", "remarks": "a remark"}
        tasks.append(task)
    try:
        return plan(*tasks, title=draw(LINE))
    except InvalidInput:  # a pattern that is none
        return plan()


@given(tables())
def test_whatever_a_table_says_is_read_back(found: Plan) -> None:
    try:
        text = table(found)
    except InvalidInput as error:
        if ": files: found" not in error.message:
            raise
        return
    assert said(read(text)) == said(found)
    assert table(read(text)).splitlines()[2:] == text.splitlines()[2:]


def test_a_format_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(InvalidInput, match="format: found 'github'; allowed: toml, markdown, beads"):
        exporters.write(plan(), {}, "github")
