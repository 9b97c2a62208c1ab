"""Task files of Backlog.md: one, and a folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.app.documents import load_plan
from git_fleet.app.importers import backlog, frontmatter
from git_fleet.core.model import Plan, Task
from git_fleet.errors import InvalidInput

TASK = """\
---
id: task-{n}
title: {title}
status: {status}
assignee:
  - '@ada'
created_date: '2026-11-01 10:00'
labels: [cli, "good first"]
dependencies: {needs}
priority: high
modified_files:
  - src/[a].py
ordinal: 1000
---

## Description

<!-- SECTION:DESCRIPTION:BEGIN -->
Do it.
<!-- SECTION:DESCRIPTION:END -->

## Files

- `docs/**`

## Acceptance Criteria
<!-- AC:BEGIN -->
- [ ] #1 It works
<!-- AC:END -->
"""


def task_file(n: object, needs: str = "[]", status: str = "To Do", title: str = "Do it") -> str:
    return TASK.format(n=n, needs=needs, status=status, title=title)


def folder(path: Path, files: dict[str, str]) -> Plan:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    data, name = backlog.open_folder(path)
    return load_plan(data, name=name, format=None, plan_id="p", default_base="main")[0]


def problem(path: Path, files: dict[str, str]) -> str:
    with pytest.raises(InvalidInput) as caught:
        folder(path, files)
    return caught.value.message


def by_id(plan: Plan) -> dict[str, Task]:
    return {task.id.task: task for task in plan.tasks}


def test_one_file_becomes_one_task() -> None:
    text = task_file(7).encode()
    plan, _ = load_plan(text, name="task-7 - Do it.md", format=None, plan_id="p", default_base="main")
    (task,) = plan.tasks
    assert (task.id.task, task.title, task.priority) == ("task-7", "Do it", 1)
    assert (task.files, task.labels) == (("/src/\\[a].py", "docs/**"), ("cli", "good first"))
    assert task.prompt.startswith("## Description\n\nDo it.\n\n## Files")
    assert task.prompt.endswith("## Acceptance Criteria\n- [ ] #1 It works")
    assert task.accept == ()
    assert '"assignee":["@ada"]' in task.extra
    assert '"ordinal":"1000"' in task.extra


def test_a_folder_is_read_in_the_order_of_its_numbers_and_done_tasks_are_left_out(tmp_path: Path) -> None:
    plan = folder(
        tmp_path,
        {
            "tasks/task-10 - b.md": task_file(10, "[task-2, TASK-3, 4]"),
            "tasks/task-2 - a.md": task_file("2", "\n  - task-5"),
            "tasks/task-3 - c.md": task_file(3, status="Done"),
            "completed/task-4 - d.md": task_file(4),
            "completed/task-5 - e.md": task_file(5, status="Done"),
            "tasks/task-10.1 - f.md": task_file("10.1").replace("priority: high", "parent_task_id: task-10"),
        },
    )
    assert list(by_id(plan)) == ["task-2", "task-10", "task-10.1"]
    assert by_id(plan)["task-2"].needs == ()
    assert set(by_id(plan)["task-10"].needs) == {"task-2", "task-10.1"}


def test_what_is_wrong_is_told_with_the_file_and_its_own_line(tmp_path: Path) -> None:
    said = problem(
        tmp_path,
        {
            "task-1.md": task_file(1, "[task-9]"),
            "task-2.md": task_file(2).replace("priority: high", "priority: soon"),
            "task-3.md": task_file(3).replace("- `docs/**`", "- all of it"),
            "task-4.md": task_file(4).replace("id: task-4", "id: {a: b}"),
            "task-5.md": "# nothing\n",
        },
    ).splitlines()
    assert [line.split(": found")[0].split(": no")[0].split(": it is")[0] for line in said] == [
        "task-4.md:2: id",
        "task-5.md:1",
        "task-1.md:9: task task-1: dependencies",
        "task-2.md:10: task task-2: priority",
        "task-3.md:24: task task-3",
    ]


def test_ids_that_differ_by_case_are_told_with_the_second_file(tmp_path: Path) -> None:
    said = problem(tmp_path, {"a.md": task_file(1), "b.md": task_file(1).replace("task-1", "TASK-1")})
    assert said.startswith("b.md:2: task task-1: id: found 'task-1'; another task has it")


def test_a_cycle_is_told_with_its_first_file(tmp_path: Path) -> None:
    said = problem(tmp_path, {"task-1.md": task_file(1, "[task-2]"), "task-2.md": task_file(2, "[task-1]")})
    assert said == (
        "task-1.md:9: task task-1: needs: a cycle: task-1 -> task-2 -> task-1; every task there waits for itself"
    )


def test_a_title_that_is_no_line_is_told_with_its_line(tmp_path: Path) -> None:
    said = problem(tmp_path, {"t.md": task_file(1, title=r'"a\tb\u0007"')})
    assert said.startswith("t.md:3: task task-1: title: found 'a\\tb\\x07'; it must be one line")


def test_text_that_is_not_utf8_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(task_file(1).encode())
    (tmp_path / "b.md").write_bytes(b"---\nid: task-2\ntitle: \xff\n---\n")
    data, name = backlog.open_folder(tmp_path)
    with pytest.raises(InvalidInput, match=r"^b\.md:3: not UTF-8 text"):
        load_plan(data, name=name, format=None, plan_id="p", default_base="main")


def test_a_folder_without_task_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no task files in this folder"):
        backlog.open_folder(tmp_path)


def matter(text: str) -> tuple[dict[str, Any], list[tuple[int, str]]]:
    said: list[tuple[int, str]] = []
    found = frontmatter.read(f"---\n{text}\n---\n".split("\n"), lambda line, what: said.append((line, what)))
    assert found is not None
    return found.values, said


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k: plain text # remark", "plain text"),
        ("k: a#b", "a#b"),
        ("k: 'it''s: # [x]'", "it's: # [x]"),
        (r'k: "a \"b\" \u00e9"', 'a "b" é'),
        ("k:", None),
        ("k: null", None),
        ("k: ''", ""),
        ("k: []", []),
        ("k: [a, 'b, c', \"d\"]", ["a", "b, c", "d"]),
        ("k:\n- a\n  - 'b'", ["a", "b"]),
        ("k: >-\n  a long\n  title\n\n  more", "a long title\nmore"),
        ("k: |\n  a\n   b", "a\n b\n"),
        ("k: 2026-11-01", "2026-11-01"),
    ],
)
def test_front_matter_is_read_as_it_is_written(text: str, value: object) -> None:
    assert matter(text) == ({"k": value}, [])


@pytest.mark.parametrize(
    "text",
    [
        "k: {a: b}", "k: &x y", "k: *x", "k: !!str x", "k: a: b", "k:\n  a: b", "k: x\n  y", "k: 'a", "k: 'a' b",
        "k: [a, [b]]", "k: ['a' b]", "k:\n  - ", "just words", 'k: "\\x41"', "k: @x", "k:\n- a: b",
    ],
)  # fmt: skip
def test_other_yaml_is_refused_with_its_line(text: str) -> None:
    _, said = matter(f"ok: 1\n{text}")
    assert [line for line, _ in said] == [3]
    assert "allowed: 'key: text'" in said[0][1]


def test_front_matter_that_never_ends_or_says_a_thing_twice_is_refused() -> None:
    assert matter("k: 1\nk: 2")[1] == [(3, "the key 'k' stands twice")]
    said: list[tuple[int, str]] = []
    frontmatter.read(["---", "id: x"], lambda line, what: said.append((line, what)))
    assert said == [(1, "the front matter has no end; expected a second line '---'")]


@given(st.text(st.sampled_from("ab:-'\"[]>|# \n,{&"), max_size=60))
def test_no_front_matter_makes_the_reader_crash(text: str) -> None:
    values, _ = matter(text)
    assert all(value is None or isinstance(value, str | list) for value in values.values())
