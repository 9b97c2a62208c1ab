"""Tables of issues in documents that people wrote for themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.app.importers.markdown import HEADER, read
from git_fleet.errors import InvalidInput

DASHES = "|---|---|---|---|---|---|"

DOCUMENT = """\
# The tasks app

Three commands | one day. See `plan.md`.

| Issue | Branch | Worktree | Files owned | Depends on | Status |
|-------|--------|----------|-------------|------------|--------|
| #42 count | `feature/42-count` | `tasks-app-42-count` | `cli.py` (dispatch + new fn) | none | queued |
| #43 docs  | `feature/43-docs`  | `tasks-app-43-docs`  | `README.md`, `CHANGELOG.md` | none | queued |
|#44 clear|feature/44-clear|../tasks-app-44-clear|`cli.py` (dispatch + new fn)|#42|queued|

Afterwards we celebrate.
"""


def rows(*lines: str) -> list[dict[str, Any]]:
    text = "\n".join([HEADER, DASHES, *lines])
    tasks: list[dict[str, Any]] = read(text, "plan.md").data["task"]
    return tasks


def row(**cells: str) -> dict[str, Any]:
    usual = {"issue": "#1 x", "branch": "", "worktree": "", "files": "", "needs": "", "status": ""}
    (task,) = rows("| " + " | ".join({**usual, **cells}.values()) + " |")
    return task


def problem(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(text, "plan.md")
    return caught.value.message


def row_problem(**cells: str) -> str:
    usual = {"issue": "#1 x", "branch": "", "worktree": "", "files": "", "needs": "", "status": ""}
    return problem("\n".join([HEADER, DASHES, "| " + " | ".join({**usual, **cells}.values()) + " |"]))


def test_a_table_is_found_between_prose() -> None:
    document = read(DOCUMENT, "docs/Tasks-App.md")
    assert document.data == {
        "version": 1,
        "plan": "tasks-app",
        "title": "The tasks app",
        "task": [
            {
                "id": "42",
                "title": "count",
                "slug": "count",
                "branch": "feature/42-count",
                "worktree": "tasks-app-42-count",
                "files": ["cli.py"],
                "remarks": "dispatch + new fn",
            },
            {
                "id": "43",
                "title": "docs",
                "slug": "docs",
                "branch": "feature/43-docs",
                "worktree": "tasks-app-43-docs",
                "files": ["README.md", "CHANGELOG.md"],
            },
            {
                "id": "44",
                "title": "clear",
                "slug": "clear",
                "branch": "feature/44-clear",
                "worktree": "../tasks-app-44-clear",
                "files": ["cli.py"],
                "needs": ["42"],
                "remarks": "dispatch + new fn",
            },
        ],
    }
    assert document.lines == {("task", 0): 7, ("task", 1): 8, ("task", 2): 9}


def test_columns_stand_in_any_order_and_case_without_outer_pipes_and_with_crlf() -> None:
    text = "depends  ON|`Files Owned`|**Issue**|worktree|branch\r\n:--|--:|-|-|-\r\n-|`a.py`|#7|w|b\r\n"
    assert read(text, "x.md").data["task"] == [
        {"id": "7", "title": "7", "slug": "7", "branch": "b", "worktree": "w", "files": ["a.py"]}
    ]


@pytest.mark.parametrize(
    ("cell", "task_id", "title"),
    [
        ("#42 count", "42", "count"),
        ("42 count things", "42", "count things"),
        ("#42: count", "42", "count"),
        ("#42-count", "42", "count"),
        ("count #42", "42", "count"),
        ("PROJ-7 fix it", "proj-7", "fix it"),
        ("[#42](https://example.invalid/42) count", "42", "count"),
        ("[#42 count](https://example.invalid/42)", "42", "count"),
        ("**#42** `count`", "42", "count"),
        ("docs", "docs", "docs"),
        ("#42 – the *.py files", "42", "the *.py files"),
    ],
)
def test_the_id_is_the_number_or_the_first_word(cell: str, task_id: str, title: str) -> None:
    task = row(issue=cell)
    assert (task["id"], task["title"]) == (task_id, title)


@pytest.mark.parametrize("cell", ["none", "None", "-", "–", "—", "", "none (yet)"])
def test_nothing_is_said_in_several_ways(cell: str) -> None:
    task = row(branch=cell, worktree=cell, files=cell, needs=cell)
    assert task.keys() - {"remarks"} == {"id", "title", "slug"}


@pytest.mark.parametrize(
    ("cell", "files"),
    [
        ("`a.py`, `b.py`", ["a.py", "b.py"]),
        ("`a.py` `b.py`", ["a.py", "b.py"]),
        ("`a.py`<br>`b.py`<BR/>`c`", ["a.py", "b.py", "c"]),
        ("`a.py`,`src/**`", ["a.py", "src/**"]),
        ("`a.py, b.py`", ["a.py", "b.py"]),
        ("`my file.txt`", ["my file.txt"]),
        ("a.py, src/**,docs/**", ["a.py", "src/**", "docs/**"]),
        ("__init__.py tests/__main__.py", ["__init__.py", "tests/__main__.py"]),
        ("`app/(group)/page.tsx` (routes)", ["app/(group)/page.tsx"]),
        (r"`a\|b.txt`", ["a|b.txt"]),
        ("`Makefile`", ["Makefile"]),
        ("``a`b``", ["a`b"]),
    ],
)
def test_files_are_told_apart(cell: str, files: list[str]) -> None:
    assert row(files=cell)["files"] == files


@pytest.mark.parametrize(
    "cell",
    [
        "`a.py` plus tests",
        "Makefile",
        "all of it",
        "`a.py b.py`",
        "`a.py`x",
        "[a.py](src/a.py)",
        "`a.py` and `b.py`",
        "`a.py",
    ],
)
def test_files_that_cannot_be_told_are_an_error_with_the_line(cell: str) -> None:
    message = row_problem(files=cell)
    assert message.startswith(f"plan.md:3: task 1: files owned: found {cell!r}; allowed: files in code marks")


@pytest.mark.parametrize(
    ("cell", "needs"),
    [("#2, #3", ["2", "3"]), ("2 3", ["2", "3"]), ("`#2`<br>a-b", ["2", "a-b"]), ("#2 (soon)", ["2"]),
     ("[#2](https://example.invalid/2)", ["2"]), ("`#2, #3`", ["2", "3"]), ("schema-*", ["schema-*"])],
)  # fmt: skip
def test_needs_are_ids_with_or_without_a_hash(cell: str, needs: list[str]) -> None:
    assert row(needs=cell)["needs"] == needs


def test_remarks_of_all_cells_and_other_columns_are_kept() -> None:
    text = f"{HEADER} Owner |\n{DASHES}---|\n| #1 x (urgent) | | | `a.py` (only `main()`) | | | Ada |\n"
    assert read(text, "x.md").data["task"][0]["remarks"] == "urgent\nonly `main()`\nowner: Ada"


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"issue": ""}, "plan.md:3: issue: found ''; allowed: a number or a word"),
        ({"issue": "#1 and #2"}, "plan.md:3: issue: found '#1 and #2'"),
        ({"issue": "§ x"}, "plan.md:3: issue: found '§ x'"),
        ({"branch": "a b"}, "plan.md:3: task 1: branch: found 'a b'; allowed: one name, or none"),
        ({"worktree": "`w`x"}, "plan.md:3: task 1: worktree: found '`w`x'"),
        ({"needs": "#"}, "plan.md:3: task 1: depends on: found '#'; allowed: issues"),
        ({"files": "`a|b`"}, "plan.md:3: found 7 cells under 6 columns; write \\| for a '|'"),
    ],
)
def test_a_cell_that_cannot_be_understood_is_an_error(cells: dict[str, str], words: str) -> None:
    assert words in row_problem(**cells)


def test_all_broken_rows_are_told_at_once() -> None:
    text = "\n".join([HEADER, DASHES, "| #1 | a b | | | | |", "| |", "| #3 | | | `x.py | | |"])
    assert [line.split(" ")[0] for line in problem(text).splitlines()] == [
        "plan.md:3:",
        "plan.md:4:",
        "plan.md:5:",
    ]


def test_other_tables_are_skipped_and_several_right_ones_joined() -> None:
    other = "| Name | Files owned |\n|---|---|\n| x | y |\n\n"
    again = f"\n\n{HEADER}\n{DASHES}\n| #9 nine | | | `nine.py` | #42 | |\n"
    tasks = read(other + DOCUMENT + again, "x.md").data["task"]
    assert [task["id"] for task in tasks] == ["42", "43", "44", "9"]


def test_a_table_in_a_code_block_counts_only_without_one_outside() -> None:
    fenced = f"```\n# not a title\n{HEADER}\n{DASHES}\n| #1 one | | | `one.py` | | |\n```\n"
    document = read(fenced, "x.md")
    assert [task["id"] for task in document.data["task"]] == ["1"]
    assert "title" not in document.data
    assert [task["id"] for task in read(fenced + DOCUMENT, "x.md").data["task"]] == ["42", "43", "44"]


def test_a_longer_fence_is_not_ended_by_a_shorter_one() -> None:
    fenced = f"````\n```\n{HEADER}\n{DASHES}\n| #1 one | | | `one.py` | | |\n\n```\n````\n"
    assert [task["id"] for task in read(fenced + DOCUMENT, "x.md").data["task"]] == ["42", "43", "44"]


def test_a_document_without_a_table_is_told_the_header() -> None:
    assert (
        problem("# Nothing\n\n---\n\na | b\n")
        == f"plan.md: no table of issues; expected one with the header {HEADER}"
    )


def test_a_table_that_lacks_a_column_is_told_which() -> None:
    text = "x\n\n| Issue | Branch | Files owned | Depends on |\n|-|-|-|-|\n| #1 | | | |\n"
    assert problem(text) == f"plan.md:3: the table lacks 'worktree'; allowed: {HEADER}"


def test_a_file_without_a_name_gives_no_plan_id() -> None:
    assert "plan" not in read(DOCUMENT, "-").data


@given(st.text(st.sampled_from("|-:`#()[]*\\ \n\0a1."), max_size=60))
def test_no_row_makes_the_reader_crash(text: str) -> None:
    try:
        document = read(f"{HEADER}\n{DASHES}\n{text}", "plan.md")
    except InvalidInput:
        return
    assert all(isinstance(task["id"], str) for task in document.data["task"])
