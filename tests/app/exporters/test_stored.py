"""What is stored is TOML, whatever it came from: it says the same, and comes back byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.app.documents import load_plan
from git_fleet.core.model import Plan
from git_fleet.errors import InvalidInput
from tests.app.exporters.test_beads import JSON, KEY, LINE, TEXT
from tests.app.exporters.test_markdown import said, table, tables
from tests.app.importers.test_github import issue
from tests.app.importers.test_taskmaster import entry
from tests.core.test_plandoc import documents

ENTRIES = st.lists(
    st.tuples(LINE.filter(str.strip), TEXT, st.dictionaries(KEY, JSON, max_size=2)), min_size=1, max_size=3
)
"""Titles, texts, and fields that we know nothing of."""


def stored(text: str, name: str) -> tuple[Plan, str]:
    """The plan of a file and the TOML that is stored for it, which says the same and is left as it is."""
    plan, toml = load_plan(text.encode(), name=name, format=None, plan_id="p", default_base="main")
    again, as_it_was = load_plan(toml.encode(), name="p.toml", format=None, plan_id=None, default_base="main")
    assert again == plan
    assert as_it_was == toml
    return plan, toml


@given(documents())
def test_a_plan_in_toml_is_stored_byte_for_byte(document: dict[str, Any]) -> None:
    text = tomli_w.dumps(document)
    assert stored(text, "p.toml")[1] == text


@given(tables())
def test_a_table_is_stored_as_the_same_plan(plan: Plan) -> None:
    try:
        text = table(plan)
    except InvalidInput:  # a pattern that no cell can say
        return
    found, _ = stored(text, "p.md")
    assert said(found) == said(plan)


@given(ENTRIES)
def test_issues_of_github_are_stored_as_the_same_plan(entries: list[tuple[str, str, dict[str, Any]]]) -> None:
    issues = [
        {**more, **issue(n, f"```\n{body}\n```", title=title)}
        for n, (title, body, more) in enumerate(entries, start=1)
    ]
    plan, _ = stored(json.dumps(issues), "x.json")
    assert [task.title for task in plan.tasks] == [title.strip() for title, _, _ in entries]


@given(ENTRIES)
def test_tasks_of_task_master_are_stored_as_the_same_plan(
    entries: list[tuple[str, str, dict[str, Any]]],
) -> None:
    tasks = [
        {**more, **entry(n, title=title, details=text, metadata=more)}
        for n, (title, text, more) in enumerate(entries, start=1)
    ]
    plan, _ = stored(json.dumps({"master": {"tasks": tasks}}), "tasks.json")
    assert [task.title for task in plan.tasks] == [title for title, _, _ in entries]


@pytest.mark.parametrize(
    "text", ['"""', "a\\", "\\u0000", "'''", "\ttab", "# no comment", '[[task]]\nid = "3"', "a\r\nb\r\n\\r"]
)
def test_texts_that_look_like_toml_are_texts(text: str) -> None:
    plan, _ = stored(json.dumps([issue(1, f"{text}\nend")]), "x.json")
    assert plan.tasks[0].prompt == f"{text}\nend".strip().replace("\r\n", "\n")
