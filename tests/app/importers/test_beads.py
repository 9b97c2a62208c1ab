"""Issues of beads, one a line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from git_fleet.app.documents import load_plan
from git_fleet.app.importers import beads
from git_fleet.app.importers.document import Document
from git_fleet.core.model import Plan
from git_fleet.errors import InvalidInput


def bead(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": name,
        "title": f"Issue {name}",
        "status": "open",
        "priority": 2,
        "issue_type": "task",
        **fields,
    }


def dep(target: str, kind: str = "blocks", **fields: Any) -> dict[str, Any]:
    return {"issue_id": "x", "depends_on_id": target, "type": kind, **fields}


def lines(*entries: Any) -> str:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


def read(*entries: Any) -> Document:
    return beads.read(lines(*entries), "issues.jsonl")


def tasks(*entries: Any) -> dict[str, dict[str, Any]]:
    return {task["id"]: task for task in read(*entries).data["task"]}


def load(*entries: Any) -> Plan:
    text = lines(*entries).encode()
    return load_plan(text, name="issues.jsonl", format=None, plan_id="p", default_base="main")[0]


def problem(*entries: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        load(*entries)
    return caught.value.message


def test_an_issue_becomes_a_task_and_what_has_no_place_is_kept() -> None:
    entry = bead(
        "bd-A1",
        description="Do it.",
        design="So.",
        labels=["cli"],
        priority=0,
        estimated_minutes=30,
        owner="ada",
        metadata={"git_fleet": {"owned": ["a.py"], "accept": ["true"], "later": 1}, "other": [1, {"x": 2}]},
    )
    (task,) = load(entry).tasks
    assert (task.id.task, task.title, task.files) == ("bd-a1", "Issue bd-A1", ("a.py",))
    assert (task.labels, task.accept, task.priority, task.estimate_minutes) == (("cli",), ("true",), 2, 30)
    assert task.prompt == "Do it.\n\n## Design\n\nSo."
    assert json.loads(task.extra)["beads"] == {
        "id": "bd-A1",
        "status": "open",
        "priority": 0,
        "issue_type": "task",
        "description": "Do it.",
        "design": "So.",
        "estimated_minutes": 30,
        "owner": "ada",
        "metadata": {"git_fleet": {"later": 1}, "other": [1, {"x": 2}]},
    }


def test_what_toml_cannot_say_is_kept_as_json() -> None:
    extra = json.loads(load(bead("a", metadata={"x": [None]}, closed_at=None)).tasks[0].extra)
    assert json.loads(extra["beads-json"]) == {"metadata": {"x": [None]}, "closed_at": None}
    assert "metadata" not in extra["beads"]


def test_blocking_dependencies_are_needs_and_others_are_links() -> None:
    kinds = ("blocks", "conditional-blocks", "waits-for", "related", "discovered-from", "duplicates")
    others = [bead(f"t-{kind}") for kind in kinds]
    found = tasks(bead("a", dependencies=[dep(f"T-{kind}", kind) for kind in kinds]), *others)
    assert found["a"]["needs"] == ["t-blocks", "t-conditional-blocks", "t-waits-for"]


def test_a_parent_waits_for_its_parts_and_they_for_what_it_waits_for() -> None:
    found = tasks(
        bead("epic", issue_type="epic", dependencies=[dep("first"), dep("epic.1")]),
        bead("epic.1", dependencies=[dep("epic", "parent-child")]),
        bead("epic.2", dependencies=[dep("epic", "parent-child"), dep("gone", "parent-child")]),
        bead("first"),
    )
    assert found["epic"]["needs"] == ["first", "epic.1"]
    assert found["epic.1"]["needs"] == ["first"]
    assert "needs" not in found["epic.2"]  # an issue has one parent, the last that is said
    again = tasks(
        bead("epic", dependencies=[dep("first"), dep("epic.1")]),
        bead("epic.1", dependencies=[dep("epic", "parent-child")]),
        bead("epic.2", dependencies=[dep("epic", "parent-child")]),
        bead("first"),
    )
    assert again["epic"]["needs"] == ["first", "epic.1", "epic.2"]
    assert again["epic.2"]["needs"] == ["first"]


def test_what_is_closed_is_done_and_what_is_deferred_is_on_hold() -> None:
    document = read(
        bead("a", dependencies=[dep("b"), dep("c")]),
        bead("b", status="closed"),
        bead("c", status="tombstone"),
        bead("d", status="deferred"),
        bead("e", status="pinned"),
        {"_type": "memory", "key": "x"},
    )
    assert [(task["id"], task.get("needs"), task.get("hold")) for task in document.data["task"]] == [
        ("a", None, None),
        ("d", None, True),
    ]
    assert document.notes == ("left out, being done: b, c", "left out, being given up or no work: e")


def test_lines_that_are_empty_do_not_count_and_the_others_keep_their_numbers() -> None:
    assert beads.read(f"\r\n\n{lines(bead('a'))}", "x").lines == {("task", 0): 3}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([bead("a"), 3], "issues.jsonl:2: found 3; allowed: an issue"),
        ([{"title": "x"}], "issues.jsonl:1: id: it is missing"),
        ([{"id": "a"}], "issues.jsonl:1: issue a: title: it is missing"),
        ([bead("a"), bead("a..b")], "issues.jsonl:2: task a..b: id: found 'a..b'"),
        ([bead("bd-a"), bead("BD-A")], "issues.jsonl:2: task bd-a: id: found 'bd-a'; another task has it (case"),
        ([bead("a", priority=7)], "issues.jsonl:1: issue a: priority: found 7; allowed: 0 (first) to 4"),
        ([bead("a", estimated_minutes="x")], "issues.jsonl:1: issue a: estimated_minutes: found 'x'"),
        ([bead("a", dependencies=3)], "issues.jsonl:1: issue a: dependencies: found 3; allowed: a list"),
        ([bead("a", dependencies=[3])], "issues.jsonl:1: issue a: dependencies: found 3"),
        ([bead("a", dependencies=[dep("b")])], "issues.jsonl:1: issue a: dependencies: found 'b', which is not in"),
        ([bead("a", dependencies=[dep("b")]), bead("b", status="pinned")], "found 'b', which is pinned"),
        ([bead("a", dependencies=[dep("b")]), bead("b", dependencies=[dep("A")])], "issues.jsonl:1: task a: needs: a cycle: a -> b -> a"),
        ([bead("a", metadata={"git_fleet": {"owned": ["../x"]}})], "issues.jsonl:1: task a: files: found '../x'"),
        ([bead("a", metadata={"git_fleet": {"owned": []}})], "issues.jsonl:1: task a: files: found []"),
        ([bead("a", metadata={"git_fleet": {"owned": "x"}})], "issues.jsonl:1: task a: files: found 'x'"),
        ([bead("a", title="x\ny")], "issues.jsonl:1: task a: title: found 'x\\ny'; it must be one line"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_the_line(entries: list[Any], words: str) -> None:
    assert words in problem(*entries)


def test_a_broken_line_is_told_with_its_number() -> None:
    with pytest.raises(InvalidInput) as caught:
        beads.read('{"id": "a", "title": "x"}\n{"id": }\n{"a": 1e999}\n{"a": 1, "a": 2}\n', "x: y.jsonl")
    assert [line.partition(" not JSON")[0] for line in caught.value.message.splitlines()] == [
        "x: y.jsonl:2:",
        "x: y.jsonl:3:",
        "x: y.jsonl:4:",
    ]
