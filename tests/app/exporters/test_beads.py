"""Issues of beads through a plan and back, and tasks from elsewhere as issues."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from git_fleet.app import exporters
from git_fleet.app.documents import load_plan
from git_fleet.app.exporters import Standing
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Plan, State, Task
from git_fleet.core.plandoc import dump_plan, parse_plan
from git_fleet.errors import InvalidInput
from tests.app.importers.test_beads import bead, dep, lines, load
from tests.core.test_plandoc import documents
from tests.support.examples import many


def written(plan: Plan, **standings: Standing) -> list[dict[str, Any]]:
    """The issues by now."""
    found = exporters.write(plan, {TaskId("p", name): one for name, one in standings.items()}, "beads")
    text = found.text.encode().decode()  # it can be written to a file
    return [json.loads(line) for line in text.split("\n")[:-1]]


def edited(plan: Plan, name: str, **fields: Any) -> Plan:
    """The plan with a task changed, as its owner would change the text."""
    document = dump_plan(plan)
    for table in document["task"]:
        if table["id"] == name:
            table |= {key: value for key, value in fields.items() if value is not None}
            for key in (key for key, value in fields.items() if value is None):
                table.pop(key, None)
    return parse_plan(document, source="edited")


FULL = bead(
    "bd-A1",
    description="Do it.\r\nNow.",
    design="So.",
    acceptance_criteria="It works",
    labels=[],
    estimated_minutes=0,
    owner=None,
    pinned=False,
    score=1.0,
    big=2**70,
    dependencies=[
        dep("bd-b2", created_at="2026-01-01T00:00:00Z"),
        dep("bd-c", "related"),
        dep("bd-gone", "related"),
    ],
    comments=[{"id": 1, "text": "a\u2028b"}, {"half": "\ud83d", "\udc00": 1}],
    metadata={"git_fleet": {"owned": ["a.py", "docs/**"], "later": {"x": 1}}, "x": [None, {"y": []}]},
)


def test_an_issue_comes_back_as_it_was() -> None:
    entries = [FULL, bead("bd-b2", status="in_progress"), {"id": "bd-c", "title": "only this"}]
    assert written(load(*entries)) == entries


def test_what_changed_in_the_plan_is_said_below_metadata() -> None:
    plan = load(FULL, bead("bd-b2"), bead("bd-c"))
    plan = edited(
        plan, "bd-a1", files=["b.py"], prompt="Else.", accept=["true"], hold=True, needs=["bd-c"], priority=1
    )
    first, *_ = written(plan)
    assert first["metadata"] == {
        "git_fleet": {
            "owned": ["b.py"],
            "later": {"x": 1},
            "prompt": "Else.",
            "accept": ["true"],
            "hold": True,
            "priority": 1,
        },
        "x": [None, {"y": []}],
    }
    assert first["description"] == FULL["description"]
    assert first["dependencies"] == [
        *FULL["dependencies"][1:],
        {"issue_id": "bd-A1", "depends_on_id": "bd-c", "type": "blocks"},
    ]


def test_a_changed_title_is_the_issues_title_and_files_can_be_taken_away() -> None:
    plan = edited(
        load(bead("a", metadata={"git_fleet": {"owned": ["x"]}})), "a", title="New", files=None, slug=None
    )
    (record,) = written(plan)
    assert record["title"] == "New"
    assert "metadata" not in record


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.PENDING, "deferred"),
        (State.CLAIMED, "in_progress"),
        (State.REWORK, "in_progress"),
        (State.BLOCKED, "blocked"),
        (State.INTEGRATED, "closed"),
        (State.REVERTED, "deferred"),
    ],
)
def test_the_status_says_where_the_task_stands(state: State, status: str) -> None:
    plan = load(bead("a", status="deferred"))
    (record,) = written(plan, a=Standing(state, datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)))
    assert record["status"] == status
    assert record.get("closed_at") == ("2026-02-03T04:05:06Z" if status == "closed" else None)


def test_a_task_from_elsewhere_becomes_an_issue_with_all_that_it_says() -> None:
    plan = parse_plan(
        {"version": 1, "plan": "p", "task": [
            {"id": "a", "title": "A", "files": ["a/**"], "reads": ["b"], "prompt": "Do.", "priority": 2, "labels": ["x"],
             "estimate_minutes": 30, "branch": "f/a", "extra": {"github": {"number": 3}}},
            {"id": "b", "title": "B", "needs": ["a"], "priority": 9, "output": "report"},
        ]},
        source="x",
    )  # fmt: skip
    assert exporters.write(plan, {}, "beads").left_out == ("extra",)
    assert written(plan) == [
        {
            "id": "a", "title": "A", "description": "Do.", "labels": ["x"], "status": "open", "issue_type": "task",
            "priority": 0, "estimated_minutes": 30,
            "metadata": {"git_fleet": {"reads": ["b"], "branch": "f/a", "owned": ["a/**"]}},
        },
        {
            "id": "b", "title": "B", "status": "open", "issue_type": "task", "priority": 2,
            "metadata": {"git_fleet": {"priority": 9, "output": "report"}},
            "dependencies": [{"issue_id": "b", "depends_on_id": "a", "type": "blocks"}],
        },
    ]  # fmt: skip


def test_metadata_that_cannot_hold_more_is_told() -> None:
    plan = edited(load(bead("a", metadata="text")), "a", files=["x"])
    with pytest.raises(
        InvalidInput, match=r"p/a: extra\.beads\.metadata: found 'text'; allowed: a table, to hold owned"
    ):
        written(plan)


def test_an_extra_that_somebody_broke_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"extra\.beads: found something else than a table"):
        written(edited(load(bead("a")), "a", extra={"beads": 3}))
    with pytest.raises(InvalidInput, match=r"extra\.beads-json: not JSON"):
        written(edited(load(bead("a")), "a", extra={"beads": {}, "beads-json": "{"}))
    with pytest.raises(InvalidInput, match=r"plan p: extra\.beads: issue a: priority: found 9"):
        written(edited(load(bead("a")), "a", extra={"beads": {"priority": 9}}))


# --- whatever it is ----------------------------------------------------------------------------------

LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=12)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("\t\n"), max_size=12)
NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,5}(\.[0-9])?", fullmatch=True)
KEY = LINE.map("~{}".format)  # the name of no field that we know: hypothesis finds those in the source
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.just("half \ud800 of a pair"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=6,
)
KINDS = ("blocks", "waits-for", "conditional-blocks", "parent-child", "related", "something-new")


@st.composite
def issues(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(NAME, min_size=1, max_size=5, unique_by=str.lower))
    made = []
    for number, name in enumerate(names):
        optional: dict[str, st.SearchStrategy[Any]] = {
            "description": TEXT,
            "design": TEXT,
            "notes": st.none() | TEXT,
            "labels": st.lists(LINE.filter(str.strip), max_size=2),
            "priority": st.integers(0, 4),
            "estimated_minutes": st.integers(0, 500),
            "status": st.sampled_from(["open", "in_progress", "blocked", "deferred", "hooked", "their own"]),
            "metadata": JSON,
            "dependencies": st.lists(
                st.builds(
                    lambda target, kind, more: {**more, "depends_on_id": target, "type": kind},
                    st.sampled_from(names[:number]),
                    st.sampled_from(KINDS),
                    st.dictionaries(KEY, JSON, max_size=1),
                ),
                max_size=2,
            )
            if number
            else st.just([]),
        }
        fields = {key: draw(values) for key, values in optional.items() if draw(st.booleans())}
        if draw(st.booleans()):
            fields["metadata"] = {
                "git_fleet": {"owned": [f"{name}.py"], **draw(st.dictionaries(KEY, JSON, max_size=1))}
            }
        made.append(
            {**draw(st.dictionaries(KEY, JSON, max_size=2)), "id": name, "title": draw(LINE), **fields}
        )
    return made


def exactly(value: Any) -> str:
    """As text, in which 1, 1.0 and true are not the same."""
    return json.dumps(value, sort_keys=True)


@settings(max_examples=many(100))
@given(issues())
def test_whatever_an_issue_holds_comes_back(entries: list[dict[str, Any]]) -> None:
    try:
        plan = load(*entries)
    except InvalidInput as error:  # a parent that waits for a part that waits for it
        assume("a cycle" not in error.message and "cannot need itself" not in error.message)
        raise
    stored = load_plan(
        lines(*entries).encode(), name="x.jsonl", format=None, plan_id="p", default_base="main"
    )[1]
    again = load_plan(stored.encode(), name="x.toml", format=None, plan_id=None, default_base="main")[0]
    assert again == plan
    assert [exactly(record) for record in written(again)] == [exactly(entry) for entry in entries]


@settings(max_examples=many(100))
@given(documents())
def test_whatever_a_plan_says_comes_back_from_its_issues(document: dict[str, Any]) -> None:
    plan = parse_plan(document, source="x")
    again = load(*written(plan))
    assert list(map(bare, again.tasks)) == list(map(bare, plan.tasks))


def bare(task: Task) -> Task:
    return replace(task, extra="")


@pytest.mark.parametrize("form", ["beads", "markdown"])
def test_what_a_task_needs_in_other_repositories_is_left_out_and_named(form: str) -> None:
    table = {"id": "a", "files": ["a"], "needs_elsewhere": ["api/b"], "changeset": "both"}
    document = {"version": 1, "plan": "p", "workspace": "shop", "task": [table]}
    found = exporters.write(parse_plan(document, source="test"), {}, form)
    assert found.left_out == ("needs_elsewhere", "changeset")
