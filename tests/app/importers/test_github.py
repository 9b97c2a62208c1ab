"""GitHub issues as `gh` prints them, an older one and a newer one, and the texts that people write into them."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.app.documents import load_plan
from git_fleet.app.importers import extra, github, owned
from git_fleet.app.importers.document import Document
from git_fleet.errors import InvalidInput

REPO = "https://github.com/o/r/issues/"


def issue(number: int, body: str | None = "", **fields: Any) -> dict[str, Any]:
    """An issue as gh 2.23 gives it."""
    plain = {"number": number, "title": f"Issue {number}", "body": body, "labels": [], "state": "OPEN"}
    return {**plain, "url": f"{REPO}{number}", **fields}


def read(*issues: Any) -> Document:
    return github.read(json.dumps(issues), "issues.json")


def tasks(*issues: Any) -> dict[str, dict[str, Any]]:
    return {task["id"]: task for task in read(*issues).data["task"]}


def problem(*issues: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(*issues)
    return caught.value.message


def needs(body: str, **fields: Any) -> list[str]:
    """What issue 1 with this text waits for, beside issues 2, 3 and 4, of which 4 is closed."""
    others = (issue(2), issue(3), issue(4, state="CLOSED"))
    found: list[str] = tasks(issue(1, body, **fields), *others)["1"].get("needs", [])
    return found


def test_an_issue_becomes_a_task_with_its_text_labels_and_address() -> None:
    label = {"id": "L_1", "name": "good first issue", "description": "", "color": "fff"}
    found = tasks(issue(7, "Do it.\r\nNow.\r\n", labels=[label]))
    assert found == {
        "7": {
            "id": "7",
            "title": "Issue 7",
            "labels": ["good first issue"],
            "prompt": "Do it.\nNow.",
            "extra": {"github": {"number": 7, "url": f"{REPO}7"}},
        }
    }


def other(number: int, state: str = "OPEN", *, repo: str = REPO) -> dict[str, Any]:
    """An issue as others refer to it."""
    return {"number": number, "title": f"Issue {number}", "url": f"{repo}{number}", "state": state}


def newer(number: int, **fields: Any) -> dict[str, Any]:
    """An issue as gh of autumn 2026 gives it when asked for all that it knows but comments."""
    nobody: dict[str, Any] = {"nodes": [], "totalCount": 0}
    return issue(number) | {
        "assignees": [{"id": "MDQ6VXNlcjE=", "login": "ada", "name": "Ada L.", "databaseId": 1}],
        "author": {"id": "MDQ6VXNlcjI=", "is_bot": False, "login": "bo", "name": ""},
        "blockedBy": nobody, "blocking": nobody, "closed": False, "closedAt": None,
        "closedByPullRequestsReferences": [], "createdAt": "2026-09-01T08:00:00Z", "id": f"I_kwDO{number}",
        "isPinned": False,
        "issueType": {"id": "IT_1", "name": "Bug", "description": "It is broken", "color": "RED"},
        "labels": [{"id": "LA_1", "name": "parser", "description": "", "color": "ededed"}],
        "milestone": {"number": 2, "title": "v2", "description": "", "dueOn": None},
        "parent": None, "projectItems": [], "reactionGroups": [], "stateReason": "", "subIssues": nobody,
        "subIssuesSummary": {"total": 0, "completed": 0, "percentCompleted": 0},
        "updatedAt": "2026-10-01T08:00:00Z",
    } | fields  # fmt: skip


def several(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"nodes": list(nodes), "totalCount": len(nodes)}


def test_all_that_a_newer_gh_knows_is_understood_and_what_a_task_does_not_say_is_kept() -> None:
    part = newer(2, parent=other(1), blockedBy=several(other(3), other(8, "CLOSED")))
    epic = newer(1, subIssues=several(other(2), other(9, "CLOSED")), blocking=several(other(5)))
    elsewhere = newer(3, blockedBy=several(other(1, repo="https://github.com/x/y/issues/")))
    found = tasks(epic, part, elsewhere)
    assert {name: task.get("needs") for name, task in found.items()} == {"1": ["2"], "2": ["3"], "3": None}
    assert found["3"]["remarks"] == "waits for https://github.com/x/y/issues/1, of another repository"
    mapped = ("title", "body", "labels", "state")
    for entry in (epic, part, elsewhere):
        kept = extra.unpack("github", json.dumps(found[str(entry["number"])]["extra"]))
        assert kept == {k: v for k, v in entry.items() if k not in mapped and v is not None}
    text = json.dumps([epic, part, elsewhere])
    plan, _ = load_plan(text.encode(), name="x.json", format=None, plan_id="p", default_base="main")
    kept = extra.unpack("github", next(task.extra for task in plan.tasks if task.id.task == "2"))
    assert kept is not None
    assert (kept["issueType"], kept["isPinned"]) == (part["issueType"], False)
    assert kept["milestone"] == part["milestone"]


def test_closed_issues_become_no_tasks_and_are_named() -> None:
    document = read(issue(1), issue(2, state="CLOSED"), issue(3, state="closed"))
    assert [task["id"] for task in document.data["task"]] == ["1"]
    assert document.notes == ("left out, being done: 2, 3",)


def test_answers_of_the_rest_interface_are_read_without_pull_requests() -> None:
    plain = {
        "number": 1,
        "title": "x",
        "body": None,
        "state": "open",
        "labels": ["a"],
        "html_url": f"{REPO}1",
    }
    found = tasks(
        {**plain, "url": "https://api.github.com/repos/o/r/issues/1"}, {**plain, "pull_request": {}}
    )
    assert found["1"]["extra"] == {"github": {"number": 1, "url": f"{REPO}1"}}
    assert found["1"]["labels"] == ["a"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("Depends on #2", ["2"]),
        ("depends on #3, #2 and #4.", ["3", "2"]),
        ("- **Blocked by:** #2", ["2"]),
        ("This is blocked by o/r#2 & https://github.com/o/r/issues/3", ["2", "3"]),
        ("- [ ] #2\n- [x] #3\n- [ ] read #3", ["2", "3"]),
        ("## Files\n- `a`\n\nDepends on #2", ["2"]),
        ("No longer depends on #2, not blocked by #3", []),
        ("> Depends on #2", []),
        ("`depends on #2`", []),
        ("```\ndepends on #2\n```", []),
        ("<!-- Depends on #2 -->", []),
        ("Depends on #4", []),
        ("see #2", []),
        ("### Depends on\n\n#2\n\n### Else\n\n#3", ["2"]),
        ("**Blocked by:**\n- #2 the parser\n- O/R#3\n## Files\n`a`\n\nsee #3", ["2", "3"]),
        ("## Dependencies\n_No response_", []),
        ("Depends on #2x", []),
    ],
)
def test_what_an_issue_waits_for_is_said_in_its_text(body: str, found: list[str]) -> None:
    assert needs(body) == found


@pytest.mark.parametrize(
    "nodes", [lambda nodes: nodes, lambda nodes: {"nodes": nodes, "totalCount": len(nodes)}]
)
def test_what_an_issue_waits_for_is_said_by_a_newer_gh(nodes: Any) -> None:
    blockers = nodes([{"number": 2, "state": "OPEN", "url": f"{REPO}2"}, {"number": 9, "state": "CLOSED"}])
    assert needs("", blockedBy=blockers, blocking=nodes([]), subIssues=nodes([{"number": 3}])) == ["2", "3"]


def test_a_parent_waits_for_its_sub_issues() -> None:
    assert tasks(issue(1), issue(2, parent={"number": 1, "title": "x"}))["1"]["needs"] == ["2"]
    assert "needs" not in tasks(issue(2, parent={"number": 1}))["2"]


def test_other_words_about_waiting_are_remembered() -> None:
    found = tasks(issue(1, "It depends on the parser, see #2.\nIt depends on luck."), issue(2))
    assert "needs" not in found["1"]
    assert found["1"]["remarks"] == "not understood: It depends on the parser, see #2."


def test_issues_of_other_repositories_are_remembered() -> None:
    found = tasks(
        issue(
            1,
            "Depends on other/lib#2 and #2",
            blockedBy=[{"number": 3, "url": "https://github.com/x/y/issues/3"}],
        ),
        issue(2),
    )
    assert found["1"]["needs"] == ["2"]
    assert found["1"]["remarks"].splitlines() == [
        "waits for other/lib#2, of another repository",
        "waits for https://github.com/x/y/issues/3, of another repository",
    ]


@pytest.mark.parametrize(
    ("body", "files"),
    [
        (
            "## Files\n- `src/a.py` (new)\n* `docs/**`, `x`\n\n## Why\n`not/this.py`",
            ["src/a.py", "docs/**", "x"],
        ),
        ("### Files owned ###\n\nsrc/a.py, src/b.py", ["src/a.py", "src/b.py"]),
        ("**Owned files:**\n1. `a`\n2) `b`", ["a", "b"]),
        ("## Owned\n```\na b.txt\n# no\n\nsrc/**\n```\nend", None),
        ("## Owned\n```\na b.txt\n# no\n\nsrc/**\n```\n", ["a b.txt", "src/**"]),
        ("text\n~~~files\nsrc/a.py\n~~~\n", ["src/a.py"]),
        ("Files: `a.py` and more", None),
        ("Files: `a.py`, `b.py`", ["a.py", "b.py"]),
        ("Files: see the attachment", []),
        ("```python\nfiles\n```\n`x.py`", []),
        ("### Files\n\n_No response_\n\n### Owned\n\n<!-- one\na line -->\n- [ ] `a`", ["a"]),
        ("## Files\nall of the parser", None),
        ("## Files\n- `a`\nall of it", None),
        ("## Files\n- `a`\n\n- all of it", None),
        ("## Files\n- `a`\n\nb/c.py\n\nAll of it.\n`x` and more", ["a", "b/c.py"]),
        ("## Files\n\nThese:\n\n- `a`", None),
        ("## Files\n- `a - b.py`\n- `c 1. d`, `x`", ["a - b.py", "c 1. d", "x"]),
        ("- ** Files:** `a.py`", ["a.py"]),
    ],
)
def test_the_files_an_issue_owns_are_said_in_its_text(body: str, files: list[str] | None) -> None:
    if files is None:
        assert problem(issue(1, body)).startswith("issues.json: issue 1: body: line ")
    else:
        assert tasks(issue(1, body))["1"].get("files", []) == files


def test_a_line_about_files_that_is_not_understood_is_named() -> None:
    said = problem(issue(1, "Why\n\n## Files\n- `a.py`\n- all tests\n"))
    assert said.startswith(
        "issues.json: issue 1: body: line 5: found 'all tests'; allowed: files in code marks"
    )


@pytest.mark.parametrize(
    ("issues", "words"),
    [
        ([3], "issues.json: entry 1: found 3; allowed: an issue"),
        ([{"title": "x"}], "issues.json: entry 1: number: found None; allowed: an issue's number"),
        ([issue(1), {"number": True}], "issues.json: entry 2: number: found true"),
        ([{"number": 1}], "issues.json: issue 1: title: it is missing; gh issue list"),
        ([issue(1), issue(1)], "issues.json: issue 1: number: found 1; another entry has it"),
        ([issue(1, state="MERGED")], "issues.json: issue 1: state: found 'MERGED'; allowed: OPEN or CLOSED"),
        ([issue(1, labels="x")], "issues.json: issue 1: labels: found 'x'; allowed: a list"),
        ([issue(1, labels=[{"id": 3}])], "issues.json: issue 1: labels: found None"),
        ([issue(1, url="--repo=x/y")], "issues.json: issue 1: url: found '--repo=x/y'; allowed: the address"),
        ([issue(1, url=f"{REPO}2")], "issues.json: issue 1: url: found"),
        ([issue(1, "Depends on o/r#2", url=None)], "issue 1: url: it is missing, and it alone tells whose o/r#2 is"),
        ([issue(1, blockedBy=3)], "issues.json: issue 1: blockedBy: found 3; allowed: a list of issues"),
        ([issue(1, blockedBy=["x"])], "issues.json: issue 1: blockedBy: found 'x'"),
        ([issue(1, subIssues={"nodes": [], "totalCount": 3})], "issue 1: subIssues: found 0 of 3 issues"),
        ([issue(1, "Depends on #12"), issue(11)], "issue 1: depends on: found '12', which is not in the file; did you"),
        ([issue(1, "Depends on #9")], "closed ones count as done: gh issue list --state all"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_issue_and_field(issues: list[Any], words: str) -> None:
    assert words in problem(*issues)


def test_a_cycle_is_told_by_the_issues_in_it() -> None:
    text = json.dumps([issue(1, "Depends on #2"), issue(2, "Depends on #3"), issue(3, "Blocked by #1")])
    with pytest.raises(InvalidInput, match=r"issues\.json: task 1: needs: a cycle: 1 -> 2 -> 3 -> 1"):
        load_plan(text.encode(), name="issues.json", format=None, plan_id="p", default_base="main")


HOSTILE = ["a | b", "`x` **y** [z](u)", "\u202eltr", "x" * 10_000, "#1 #2", "-- (x)", "{cluster}", "é\u0301"]


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_titles_are_kept_as_they_are(title: str) -> None:
    text = json.dumps([issue(1, title=title)])
    plan, toml = load_plan(text.encode(), name="x.json", format=None, plan_id="p", default_base="main")
    assert plan.tasks[0].title == title
    assert tomllib.loads(toml)["task"][0]["title"] == title


@pytest.mark.parametrize("title", ["a\nb", "a\x1b[31m", "a\x00", "a\u2028b", "a\ud800"])
def test_titles_that_are_no_line_are_refused(title: str) -> None:
    text = json.dumps([issue(1, title=title)])
    with pytest.raises(InvalidInput, match=r"x\.json: task 1: title: found '"):
        load_plan(text.encode(), name="x.json", format=None, plan_id="p", default_base="main")


def test_what_was_left_out_stands_in_the_text_that_is_stored() -> None:
    text = json.dumps([issue(1), issue(2, state="CLOSED")])
    _, toml = load_plan(text.encode(), name="x.json", format="github", plan_id="p", default_base="main")
    assert toml.startswith("# left out, being done: 2\nversion = 1\n")


@given(st.text(st.sampled_from("#`*[]()<>!-~ \nfilesFILES:/.1dependson"), max_size=80))
def test_no_text_of_an_issue_makes_the_reader_crash(body: str) -> None:
    said = owned.read(body)
    assert all(line >= 1 for line, _ in said.unclear)
    try:
        read(issue(1, body))
    except InvalidInput:
        return


@contextmanager
def cheaply() -> Iterator[None]:
    """Fails when it takes more of the processor than reading a text once or twice does: what is tried again from
    every place takes 20 s and more."""
    began = time.process_time()
    yield
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "`" * 60_000,
        "`" * 60_000 + "a",
        "<!--" * 15_000,
        "# a" + " " * 60_000 + "b",
        "**a " * 15_000,
        "(" * 60_000,
        " " * 60_000 + "x",
        "Files:" + "\t" * 60_000 + "x",
        "- x" + " " * 60_000 + "`",
    ],
    ids=lambda text: text[:6],
)
def test_a_text_made_to_take_long_does_not(text: str) -> None:
    with cheaply():
        assert owned.read(f"## Why\n{text}").files == []
        owned.read(f"## Files\n{text}")


@pytest.mark.parametrize(
    "text",
    ["depends on " * 6_000, "a-" * 60_000, "#3 and " * 9_000, "blocked by #3" + " and" * 15_000],
    ids=lambda text: text[:6],
)
def test_references_made_to_take_long_do_not(text: str) -> None:
    with cheaply():
        assert "2" in needs(f"{text}\n\nDepends on #2\n## Depends on\n{text}")
