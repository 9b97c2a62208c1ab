"""Task Master's tasks.json: tags, subtasks, both kinds of ids."""

from __future__ import annotations

import json
from typing import Any

import pytest

from git_fleet.app.documents import load_plan
from git_fleet.app.importers import taskmaster
from git_fleet.app.importers.document import Document
from git_fleet.errors import InvalidInput


def entry(number: object, **fields: Any) -> dict[str, Any]:
    return {"id": number, "title": f"Task {number}", "status": "pending", "dependencies": [], **fields}


def read(data: Any) -> Document:
    return taskmaster.read(json.dumps(data), "tasks.json")


def tasks(*entries: Any) -> dict[str, dict[str, Any]]:
    return {task["id"]: task for task in read({"master": {"tasks": entries, "metadata": {}}}).data["task"]}


def problem(data: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_plan(json.dumps(data).encode(), name="tasks.json", format=None, plan_id="p", default_base="main")
    return caught.value.message


def test_a_task_is_read_with_all_that_has_a_place() -> None:
    found = tasks(
        entry(
            "1",
            description="Do it.",
            details="Like so.",
            testStrategy="Run it.",
            acceptanceCriteria=["It runs"],
            priority="critical",
            complexity=7,
            metadata={"x": None},
            relevantFiles=[
                {"path": "./src/*.py", "description": "", "action": "modify"},
                {"path": "new.py", "action": "create"},
                {"path": "docs/api.md", "action": "reference"},
            ],
        )
    )
    assert found["1"] == {
        "id": "1",
        "title": "Task 1",
        "files": ["/src/\\*.py", "/new.py"],
        "reads": ["/docs/api.md"],
        "prompt": "Do it.\n\nLike so.\n\n## How it is tested\n\nRun it.\n\n## Acceptance criteria\n\n- It runs",
        "priority": 2,
        "extra": {
            "taskmaster": {
                "id": "1",
                "status": "pending",
                "dependencies": [],
                "priority": "critical",
                "complexity": 7,
                "relevantFiles": [
                    {"path": "./src/*.py", "description": "", "action": "modify"},
                    {"path": "new.py", "action": "create"},
                    {"path": "docs/api.md", "action": "reference"},
                ],
            },
            "taskmaster-json": '{"metadata":{"x":null}}',
        },
    }


def test_subtasks_are_tasks_their_task_waits_for() -> None:
    parts = [entry(1, dependencies=[]), entry(2, dependencies=[1, "3"]), entry(3, status="done")]
    found = tasks(
        entry(5, dependencies=["4"], subtasks=parts), entry(4), entry(6, dependencies=["5.2", 5.0 and 5])
    )
    assert {name: task.get("needs") for name, task in found.items()} == {
        "5": ["4", "5.1", "5.2"],
        "5.1": ["4"],
        "5.2": ["5.1", "4"],
        "4": None,
        "6": ["5.2", "5"],
    }


def test_what_is_done_or_cancelled_is_left_out_and_deferred_is_on_hold() -> None:
    document = read(
        {
            "tasks": [
                entry(1, status="done"),
                entry(2, status="cancelled"),
                entry(3, status="deferred", dependencies=[1]),
            ]
        }
    )
    (task,) = document.data["task"]
    assert (task["id"], task["hold"], task.get("needs")) == ("3", True, None)
    assert document.notes == ("left out, being done: 1", "left out, being given up or no work: 2")


def test_with_several_tags_ids_begin_with_their_tag() -> None:
    data = {
        "master": {"tasks": [entry(1), entry(2, dependencies=[1])]},
        "My API": {"tasks": [entry(1), entry(2, dependencies=["1"], subtasks=[entry(1)])]},
        "empty": {"tasks": []},
    }
    found = {task["id"]: task.get("needs") for task in read(data).data["task"]}
    assert found == {
        "master-1": None,
        "master-2": ["master-1"],
        "my-api-1": None,
        "my-api-2": ["my-api-1", "my-api-2.1"],
        "my-api-2.1": ["my-api-1"],
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"tasks": [3]}, "tasks.json: entry 1: found 3; allowed: a task"),
        ({"m": {"tasks": [{"title": "x"}]}}, "tasks.json: tag m, entry 1: found"),
        ({"m": {"tasks": []}, "n": 3}, "tasks.json: tag n: found 3; allowed: {\"tasks\": […]}"),
        ({"tasks": [{"id": 1}]}, "tasks.json: task 1: title: it is missing"),
        ({"tasks": [entry(1, status="odd")]}, "tasks.json: task 1: status: found 'odd'; allowed: pending"),
        ({"tasks": [entry(1, priority="odd")]}, "tasks.json: task 1: priority: found 'odd'; allowed: critical"),
        ({"tasks": [entry(1, dependencies=[9])]}, "tasks.json: task 1: dependencies: found '9', which is not in"),
        ({"tasks": [entry(1, dependencies=[1.5])]}, "tasks.json: task 1: dependencies: found 1.5; allowed: ids"),
        ({"tasks": [entry(1, dependencies="2")]}, "tasks.json: task 1: dependencies: found '2'; allowed: a list"),
        ({"tasks": [entry(1, dependencies=[2]), entry(2, status="cancelled")]}, "found '2', which is cancelled"),
        ({"tasks": [entry(1, subtasks=3)]}, "tasks.json: task 1: subtasks: found 3"),
        ({"tasks": [entry(1, subtasks=[{}])]}, "tasks.json: task 1, subtask 1: found {}"),
        ({"tasks": [entry(1, relevantFiles=[{"path": ""}])]}, "tasks.json: task 1: relevantFiles: found"),
        ({"tasks": [entry("A"), entry("a")]}, "tasks.json: task a: id: found 'a'; another task has it"),
        ({"tasks": [entry(1, dependencies=[2]), entry(2, dependencies=[1])]}, "tasks.json: task 1: needs: a cycle: 1 -> 2 -> 1"),
        ({"tasks": [entry(1, subtasks=[entry(1, dependencies=["1.1"])])]}, "task 1.1: needs: found '1.1'; a task cannot"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_task_and_field(data: Any, words: str) -> None:
    assert words in problem(data)
