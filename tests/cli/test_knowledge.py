"""Learning, recalling and reviewing on the command line."""

from __future__ import annotations

import io
import os
import sys

import pytest

from tests.cli.conftest import Fleet
from tests.support.repo import Repo
from tests.support.terminal import Terminal


def test_a_learning_is_told_found_decided_about_and_given_to_a_claim(
    approved: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = approved.json(
        "knowledge", "learn", "Output goes to stderr", "--path", "/cli.py", "--task", "42"
    )["learnings"]
    assert (row["task_id"], row["paths"], row["by"], row["new"]) == (
        "app/42",
        ["/cli.py"],
        "Test Person",
        True,
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Docs are \xff short\x1b[31m\n")))
    approved.ok("learn", "-", "--label", "docs", "--kind", "convention")
    assert "known already, by Test Person" in approved.ok(
        "learn", "Output goes to stderr", "--path", "/cli.py"
    )
    listed = approved.json("knowledge", "knowledge", "list")["learnings"]
    assert [one["text"] for one in listed] == ["Output goes to stderr", "Docs are \\xff short"]
    (found,) = approved.json("knowledge", "recall", "outputs")["learnings"]
    assert found["id"] == row["id"]
    claim = approved.json("claim", "claim", "42", "--no-worktree")
    assert [(one["text"], one["state"]) for one in claim["learnings"]] == [
        ("Output goes to stderr", "unapproved")
    ]
    monkeypatch.setenv("GIT_EDITOR", "sed -i s/stderr/stdout/")
    done = approved.json(
        "knowledge", "knowledge", "review", "--edit", row["id"][:8], "--retire", listed[1]["id"]
    )
    assert sorted((one["text"], one["state"]) for one in done["learnings"]) == [
        ("Docs are \\xff short", "retired"), ("Output goes to stderr", "retired"), ("Output goes to stdout", "approved"),
    ]  # fmt: skip
    assert "Output goes to stdout" in approved.ok("prompt", "42")
    assert "stderr" not in approved.ok("recall", "output")
    assert "stderr" in approved.ok("recall", "output", "--all")


def test_claims_say_to_people_what_was_learned(approved: Fleet) -> None:
    approved.ok("learn", "Headings are \x1b[31msentences", "--label", "docs", "--kind", "convention")
    said = approved.ok("claim", "43", "--no-worktree")
    assert "learned here before (check it):\n  - Headings are sentences (convention " in said
    assert "learned here before" not in approved.ok("claim", "42", "--no-worktree")


def test_a_plans_log_is_looked_at_before_it_teaches(approved: Fleet) -> None:
    approved.ok("claim", "43", "--no-worktree", "--worker", "w1")
    approved.ok("block", "43", "--code", "no-style", "there is no style guide", "--worker", "w1")
    shown = approved.json("knowledge", "learn", "--from-plan", "app", "--dry-run")
    assert (shown["dry_run"], shown["learnings"][0]["text"]) == (True, "no-style: there is no style guide")
    assert "nothing was learned yet" in approved.ok("knowledge", "list")
    assert "learned " in approved.ok("learn", "--from-plan", "app")
    assert "nothing that is not known already" in approved.ok("learn", "--from-plan", "app")


def test_closing_a_plan_leaves_what_was_learned_and_what_its_log_teaches(approved: Fleet) -> None:
    approved.ok("learn", "Headings are sentences")
    approved.ok("claim", "43", "--no-worktree", "--worker", "w1")
    approved.ok("block", "43", "--code", "no-style", "there is no style guide", "--worker", "w1")
    for name in ("42", "43", "44"):
        approved.ok("cancel", name)
    approved.ok("plan", "close", "app")
    (row,) = approved.json("knowledge", "learn", "--from-plan", "app")["learnings"]
    assert (row["text"], row["task_id"]) == ("no-style: there is no style guide", "app/43")
    assert len(approved.json("knowledge", "knowledge", "list")["learnings"]) == 2
    assert approved("doctor").out.count("knowledge") == 0


def test_a_person_reviews_one_after_the_other(approved: Fleet, repo: Repo) -> None:
    for text in ("First", "Second", "Third", "Fourth"):
        approved.ok("learn", text)
    command = [sys.executable, "-m", "git_fleet", "knowledge", "review"]
    env = {**os.environ, "GIT_EDITOR": "sed -i s/Second/2nd/"}
    with Terminal(command, cwd=repo.path, env=env, columns=100) as terminal:
        for number, answer in ((1, "a"), (2, "e"), (3, "r"), (4, "q")):
            terminal.until(f"{number} of 4")
            terminal.type(f"{answer}\n")
        assert terminal.end() == 0
    states = {
        one["text"]: one["state"] for one in approved.json("knowledge", "knowledge", "list")["learnings"]
    }
    assert states == {
        "First": "approved", "Second": "retired", "2nd": "approved", "Third": "retired", "Fourth": "unapproved",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["learn"], "say what was learned, or --from-plan PLAN"),
        (["learn", "x", "--from-plan", "app"], "a text, or --from-plan"),
        (["learn", " "], "a learning needs words"),
        (["learn", "x", "--kind", "rumour"], "'rumour' is not one of 'pitfall', 'convention', 'fact'"),
        (["learn", "x", "--task", "99"], "99"),
        (["learn", "x" * 5000], "a learning of 5000 bytes; at most 4096 are allowed"),
        (["learn", "x", "--label", "y" * 300], "of 300 characters: at most 200 are allowed"),
        (["recall", "--limit", "0"], "0 is not in the range"),
        (["knowledge", "review"], "reviewing asks a person, and this is no terminal"),
        (["knowledge", "review", "--file", "-"], "--file has the words of one --edit ID"),
        (["knowledge", "list", "--state", "loved"], "'loved' is not one of"),
    ],
)
def test_what_is_asked_wrongly_is_refused(approved: Fleet, arguments: list[str], words: str) -> None:
    answer = approved(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert "hint: " in answer.err
    assert approved.json("knowledge", "knowledge", "list")["learnings"] == []


def test_an_agent_decides_nothing(approved: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    approved.ok("learn", "Trust me")
    monkeypatch.setenv("FLEET_TASK", "42")
    answer = approved("knowledge", "review", "--approve", "a")
    assert answer.code == 4
    assert "knowledge is a person's to do" in answer.err


def test_text_that_an_editor_left_and_that_is_refused_is_kept(
    approved: Fleet, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = approved.json("knowledge", "learn", "Short")["learnings"]
    repo.write(".git/long", "x" * 5000)
    monkeypatch.setenv("GIT_EDITOR", f"cp {repo.path}/.git/long")
    answer = approved("knowledge", "review", "--edit", row["id"])
    assert answer.code == 2
    assert "your text is kept in" in answer.err
    assert f"git fleet knowledge review --edit {row['id']} --file " in answer.err


def test_one_after_the_other_no_words_are_lost_either(approved: Fleet, repo: Repo) -> None:
    approved.ok("learn", "Short")
    env = {**os.environ, "GIT_EDITOR": f"cp {repo.write('.git/long', 'x' * 5000)}"}
    command = [sys.executable, "-m", "git_fleet", "knowledge", "review"]
    with Terminal(command, cwd=repo.path, env=env, columns=200) as terminal:
        terminal.until("1 of 1")
        terminal.type("e\n")
        assert terminal.end() == 2
    assert "your text is kept in" in terminal.text
