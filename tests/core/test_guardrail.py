"""What the hooks decide, without a repository."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import guardrail, patterns
from git_fleet.core.guardrail import Move, Place
from git_fleet.errors import UnknownFormat

A, B, ZERO = "a" * 40, "b" * 40, "0" * 40
TASK = Place(own="refs/heads/feature/42", guarded={"refs/heads/main"})
ELSEWHERE = Place(own="", guarded={"refs/heads/main"})


@pytest.mark.parametrize(
    ("ref", "in_task", "elsewhere"),
    [
        ("refs/heads/main", "base", "base"),
        ("refs/heads/feature/42", "", ""),
        ("refs/heads/feature/42-b", "branch", ""),
        ("refs/heads/maintenance", "branch", ""),
        ("refs/fleet/guard", "fleet", "fleet"),
        ("refs/notes/fleet/evidence", "fleet", "fleet"),
        ("refs/notes/commits", "", ""),
        ("refs/fleet-remote/origin/guard", "fleet", "fleet"),
        ("refs/stash", "stash", ""),
        ("refs/tags/v1", "", ""),
        ("refs/remotes/origin/main", "", ""),
        ("HEAD", "", ""),
        ("ORIG_HEAD", "", ""),
    ],
)
def test_each_ref_falls_under_one_rule(ref: str, in_task: str, elsewhere: str) -> None:
    assert guardrail.whose(Move(A, B, ref), TASK) == in_task
    assert guardrail.whose(Move(A, B, ref), ELSEWHERE) == elsewhere


def test_a_tasks_own_branch_is_its_own_but_to_delete() -> None:
    assert guardrail.whose(Move(A, ZERO, TASK.own), TASK) == "own"


def test_lines_of_a_transaction_and_of_a_push_are_read() -> None:
    assert guardrail.transaction_moves(f"{A} {B} refs/heads/x\n{ZERO} ref:refs/heads/y HEAD\n") == [
        Move(A, B, "refs/heads/x"),
        Move(ZERO, "ref:refs/heads/y", "HEAD"),
    ]
    assert guardrail.pushed_moves(f"HEAD@{{1 day ago}} {A} refs/heads/x {ZERO}\n") == [
        Move(ZERO, A, "refs/heads/x")
    ]
    assert guardrail.transaction_moves("\n") == guardrail.pushed_moves("\n") == []


def test_a_push_publishes_what_the_branch_is_here_and_nothing_else() -> None:
    here = {"refs/heads/main": "1" * 40}
    assert guardrail.publishes(Move("0" * 40, "1" * 40, "refs/heads/main"), here)
    for new, ref in (
        ("2" * 40, "refs/heads/main"),
        ("0" * 40, "refs/heads/main"),
        ("1" * 40, "refs/heads/x"),
    ):
        assert not guardrail.publishes(Move("0" * 40, new, ref), here)


def test_packed_refs_are_read_without_header_and_peeled_values() -> None:
    text = f"# pack-refs with: peeled fully-peeled sorted \n{A} refs/heads/x\n{B} refs/tags/t\n^{A}\n"
    assert guardrail.packed(text) == {(A, "refs/heads/x"), (B, "refs/tags/t")}


PATTERN = st.sampled_from(["a", "/a", "a/", "*.c", "a/**", "**/b", "a/*/c", "[ab].c", "b?"])
PATH = st.lists(st.sampled_from(["a", "b", "c", "a.c", "b.c", "bb"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(PATTERN, max_size=3), st.lists(PATTERN, max_size=2), st.lists(PATH, max_size=6))
def test_outside_is_what_neither_list_matches(
    owned: list[str], generated: list[str], paths: list[str]
) -> None:
    both = [patterns.regexes(map(patterns.parse, texts)) for texts in (owned, generated)]
    matcher = patterns.Matcher(map(patterns.parse, owned + generated))
    found = guardrail.outside([path.encode() for path in paths], *both)
    assert found == [path.encode() for path in paths if not matcher.match(path)]


def test_the_fence_is_the_tip_itself_or_what_its_state_says() -> None:
    claimed = {"event": "claim", "state": {"claim": {"fence": None}}}
    later = {"event": "progress", "state": {"claim": {"fence": A}}}
    assert guardrail.claim_fence(B, claimed) == B
    assert guardrail.claim_fence(B, later) == A
    assert guardrail.claim_fence(B, {"event": "revised", "state": {}}) == ""
    assert guardrail.lead_fence(B, {"event": "acquire", "state": {"fence": None}}) == B
    assert guardrail.lead_fence(B, {"event": "intent", "state": {"fence": A}}) == A
    assert guardrail.lead_fence(B, {"event": "release", "state": {"fence": None}}) == ""
    assert guardrail.lead_fence("", {}) == ""


@pytest.mark.parametrize("message", ["", "subject", "subject\n\nnot json\n", "subject\n\n[1]\n"])
def test_what_is_no_event_is_an_empty_one(message: str) -> None:
    assert guardrail.event(message) == {}


def test_an_event_is_the_last_line_of_its_message() -> None:
    assert guardrail.event('claim\n\n{"v":1,"event":"claim"}\n') == {"v": 1, "event": "claim"}


def test_a_ticket_of_another_version_is_refused() -> None:
    with pytest.raises(UnknownFormat, match="version 2"):
        guardrail.ticket({"v": 2})


@given(st.text())
def test_whatever_is_shown_steers_no_terminal(text: str) -> None:
    shown = guardrail.printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize(
    ("body", "template", "empty"),
    [
        ("", "", True),
        (" \n\n", "", True),
        ("Signed-off-by: A <a@b>\n", "", True),
        ("text\n", "", False),
        ("What:\n\nWhy:\n", "What:\nWhy:\n", True),
        ("What:\nthis\nWhy:\n", "What:\nWhy:\n", False),
        ("What:\nWhy:\nbecause\n", "What:\nWhy:\n", False),
    ],
)
def test_git_and_we_agree_on_what_is_empty(body: str, template: str, empty: bool) -> None:
    assert guardrail.is_empty(body.split("\n"), template) is empty


@pytest.mark.parametrize(
    ("paths", "command"),
    [
        (["a b", "é"], "git restore --staged -- 'a b' 'é'"),
        (["it's"], """git restore --staged -- 'it'"'"'s'"""),
        (["a*", "b"], "git --literal-pathspecs restore --staged -- 'a*' b"),
        (["o\udcff\x1b[31m'\n"], r"git --literal-pathspecs restore --staged -- $'o\377\033[31m\047\012'"),
    ],
)
def test_the_command_that_unstages_can_be_pasted(paths: list[str], command: str) -> None:
    assert guardrail.unstage_command(paths) == command
