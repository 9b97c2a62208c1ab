"""Texts of pull requests: nothing in them acts, and only our part of one is ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import pulltext
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Proposal, Task, Verdict
from git_fleet.core.trailers import read_stamp

ID = TaskId("p", "a")
OID = Oid("1" * 40)


def body(title: str = "Do it", prompt: str = "", **fields: str) -> str:
    task = Task(ID, title, "slug", files=("a/**",), prompt=prompt, needs=("b",))
    proposal = Proposal(2, OID, fields.get("worker", "w1"))
    return pulltext.body(
        task, "Three commands", proposal, [Verdict("tests", "verifier:x", "upheld", 2)], ["lint"]
    )


def test_a_text_has_plan_evidence_and_trailers_that_name_the_proposal() -> None:
    assert body().split("\n\n") == [
        "<!-- git-fleet: p/a -->",
        "`p/a` of plan `Three commands`, handed in by `w1` as proposal 2.",
        "```text\nDo it\n```",
        "**Files**", "- `a/**`",
        "**Needs**", "- `b`",
        "**Evidence**", "- `gate lint: pass`\n- `tests: upheld (verifier:x)`",
        f"Fleet-Plan: p\nFleet-Task: a\nFleet-Worker: w1\nFleet-Proposal: {OID}",
    ]  # fmt: skip
    stamp = read_stamp("Do it (#1)\n\n" + body())
    assert stamp is not None
    assert (stamp.task, stamp.proposal) == (ID, OID)


@pytest.mark.parametrize(
    "text",
    ["@octo", "a@b.c", "#12", "o/r#12", "GH-7", "gh-7", "https://github.com/o/r/issues/1", "http://x/o/r/pull/2",
     "https://github.com/o/r/commit/abc", "o/r@1234567", "@\u200bocto #\u200b12"],
)  # fmt: skip
def test_nothing_that_acts_is_left(text: str) -> None:
    tamed = pulltext.tame(f"fixes {text}")
    assert tamed.replace("\u200b", "") == f"fixes {text}".replace("\u200b", "")
    assert "\u200b" in tamed
    assert pulltext.tame(tamed) == tamed


@given(st.text(alphabet="`~\n <!->@#a1|\r\u200b\u202e", max_size=60))
def test_no_text_closes_its_fence_or_makes_a_marker_of_ours(text: str) -> None:
    made = body(prompt=text, title="x")
    lines = made.split("\n")
    fences = [number for number, line in enumerate(lines) if set(line.removesuffix("text")) == {"`"}]
    fence = lines[fences[0]].removesuffix("text")
    assert [number for number in fences if len(lines[number].removesuffix("text")) >= len(fence)] == [
        fences[0],
        fences[-1],
    ]
    assert read_stamp(made) == read_stamp(body())
    assert pulltext.merged_body(made, ID, body()) == body()


def test_what_people_wrote_around_our_part_stays() -> None:
    found = f"Above\n\n{body()}\n\nBelow"
    assert pulltext.merged_body(found, ID, body(title="New")) == f"Above\n\n{body(title='New')}\n\nBelow"
    assert pulltext.merged_body("All mine", ID, body()) == "All mine"
    assert pulltext.merged_body(body()[:-60], ID, "x") == body()[:-60]  # somebody cut it


def test_titles_are_short_and_never_empty() -> None:
    def title(text: str, message: str = "") -> str:
        return pulltext.title(Task(ID, text, "s"), Proposal(1, OID, "w", message=message))

    assert title("Do it") == "Do it"
    assert title("Do it", "Done @x\n\nmore") == "Done @\u200bx"
    assert title("\x07") == "p/a"
    assert len(title("x" * 300)) == 200
