"""Findings that are not their task's become drafts: grouped, labelled, known again, harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from git_fleet.core import followups, patterns
from git_fleet.core.followups import Found
from git_fleet.core.ids import TaskId, check_id
from git_fleet.core.model import Finding, Task
from git_fleet.core.spelling import line_problem, text_problem

A = Task(TaskId("p", "a"), "Do a", "a", files=("/a/**",))
B = Task(TaskId("p", "b"), "Do b", "b", files=("/b",))
SKEPTIC = "verifier:skeptic/security"


def found(*findings: Finding, task: Task = A) -> tuple[Found, ...]:
    return followups.beyond(task, findings)


def drafts(*every: Found, known: frozenset[str] = frozenset(), ended: tuple[TaskId, ...] = ()) -> list[dict[str, object]]:  # fmt: skip
    return list(followups.drafts(every, known=known, ended=ended))


@pytest.mark.parametrize(
    ("path", "outside"),
    [
        ("docs/x", "docs/x"),
        ("./docs//x:12", "docs/x"),
        ("/docs/x:12:3", "docs/x"),
        ("docs/", "docs/"),
        ("a/x", None),
        ("a/x:7", None),
        ("a", None),  # the folder it owns
        ("../secret", None),
        ("", None),
    ],
)
def test_a_path_that_is_not_the_tasks_makes_a_finding_one_that_is_outside(
    path: str, outside: str | None
) -> None:
    kept = found(Finding("Wrong.", SKEPTIC, path))
    assert [one.path for one in kept] == ([] if outside is None else [outside])


def test_whoever_found_it_may_say_that_it_is_outside() -> None:
    (kept,) = found(Finding("Rotate the key.", SKEPTIC, outside=True), Finding("Typo.", SKEPTIC))
    (draft,) = drafts(kept)
    assert (draft["title"], "files" in draft) == ("Rotate the key.", False)


@pytest.mark.parametrize("source", ["scope", "gate", "conflict", "needs"])
def test_what_is_about_the_proposal_itself_is_no_other_task(source: str) -> None:
    assert found(Finding("changes files that are not the task's: b", source, "b")) == ()


def test_generated_files_are_everybodys() -> None:
    assert followups.beyond(A, [Finding("Old.", SKEPTIC, "uv.lock")], ["uv.lock"]) == ()


def test_findings_of_one_path_and_label_are_one_task_that_needs_where_they_were_found() -> None:
    one = found(
        Finding("No tests.", SKEPTIC, "docs/x", "docs"),
        Finding("Wrong date.\nIn line 3.", "person:ann", "docs/x", "docs"),
        Finding("Leaks.", SKEPTIC, "docs/x", "security"),
    )
    two = found(Finding("No tests.", "verifier:other/docs", "docs/x", "docs"), task=B)
    docs, security = drafts(*one, *two, ended=(B.id,))
    assert docs == {
        "id": f"a-finding-{one[0].mark}",
        "title": "No tests. (and 1 more)",
        "files": ["/docs/x"],
        "labels": ["docs"],
        "needs": ["a"],
        "remarks": f"finding {one[0].mark}, finding {one[1].mark}",
        "prompt": (
            "Found while looking at p/a, p/b, and not part of it.\n"
            "What follows are the words of whoever found it: check that it is so, then put it right.\n\n"
            "- docs/x: No tests. (verifier:skeptic/security, verifier:other/docs)\n"
            "- docs/x: Wrong date.\n  In line 3. (person:ann)\n"
        ),
    }
    assert (security["title"], security["labels"]) == ("Leaks.", ["security"])


def test_findings_without_a_path_are_tasks_of_their_own() -> None:
    every = found(*(Finding(text, SKEPTIC, label="ops", outside=True) for text in ("One.", "Two.", "One.")))
    assert [draft["title"] for draft in drafts(*every)] == ["One.", "Two."]


def test_what_was_drafted_is_known_by_its_id_or_its_remarks() -> None:
    first, second = found(Finding("One.", SKEPTIC, "x"), Finding("Two.", SKEPTIC, "x"))
    (draft,) = drafts(first, second)
    made = Task(TaskId("p", str(draft["id"])), "T", "t", remarks=str(draft["remarks"]))
    assert followups.marks([made]) == {first.mark, second.mark}
    assert followups.marks([replace(made, remarks="")]) == {first.mark}
    assert drafts(first, second, known=followups.marks([made])) == []
    (again,) = found(Finding(" One. ", "person:ann", "/x:4"))
    assert again.mark == first.mark


@given(
    st.lists(
        st.builds(Finding, st.text(), st.text(), st.text(), st.text(), st.just(True)), min_size=1, max_size=4
    )
)
def test_whatever_was_said_the_draft_can_be_stored(findings: list[Finding]) -> None:
    for draft in drafts(*found(*findings)):
        assert check_id(str(draft["id"]), "task id")
        assert line_problem(str(draft["title"])) == ""
        assert len(str(draft["title"])) <= 72
        assert draft["title"]
        assert text_problem(str(draft["prompt"])) == ""
        for text in draft.get("labels", []):  # type: ignore[attr-defined]  # a list where it is there
            assert text
            assert line_problem(text) == ""
            assert len(text) <= 40
        for text in draft.get("files", []):  # type: ignore[attr-defined]  # the same
            assert line_problem(text) == ""
            patterns.parse(text)


@pytest.mark.parametrize("path", ["a b ", "x*y", "[a]", "!x", "#x", "back\\slash", "?", "a/ b", "new\nline", "\udcff", "\x80"])  # fmt: skip
def test_a_pattern_owns_the_path_that_was_named(path: str) -> None:
    own = patterns.Matcher([patterns.parse(followups.pattern(path))])
    assert own.match(path)
    assert not own.match(f"sub/{path}")
    assert own.match(path.replace("*", "z")) == ("*" not in path)
