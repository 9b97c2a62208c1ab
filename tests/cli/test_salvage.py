"""Saved work at the command line: snapshot, and salvage list, show, apply."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Fleet
from tests.support.repo import Repo


def in_hand(fleet: Fleet) -> Repo:
    """The worktree of task 42, with something in it that is not committed."""
    fleet.ok("claim", "42", "--worker", "ann")
    tree = Repo(Path(fleet.ok("path", "42").strip()))
    tree.write("cli.py", "print(1)\n")
    return tree


def test_a_task_given_back_is_found_shown_and_taken_up_again(approved: Fleet, repo: Repo) -> None:
    tree = in_hand(approved)
    first = approved.json("snapshot", "snapshot", cwd=tree.path)
    assert (first["written"], first["snapshot"]["files"], first["left_out"]) == (True, 1, [])
    assert "nothing has changed since" in approved.ok("snapshot", "42")
    said = approved.ok("release", cwd=tree.path)
    assert "(git fleet salvage show app/42 1)" in said
    listed = approved.json("salvage-list", "salvage", "list")["kept"]
    assert {(one["kind"], one["number"], one["worker"]) for one in listed} == {
        ("salvage", 1, "ann"), ("snapshot", None, "ann"),
    }  # fmt: skip
    assert "app/42  snapshot" in approved.ok("salvage", "list", "42")
    shown = approved.json("salvage-show", "salvage", "show", "42", "1", "--patch")
    assert "+print(1)" in shown["patch"]
    assert "1 file changed:\n  cli.py  +1 -1" in approved.ok("salvage", "show", "42")
    done = approved.json("salvage-apply", "salvage", "apply", "42", "1")
    assert (done["paths"], done["conflicts"], done["new_branch"]) == (["cli.py"], [], None)
    assert repo.status() == ["M  cli.py"]
    assert approved("salvage", "apply", "42", "1").code == 5  # over what is there now
    assert approved.json("salvage-apply", "salvage", "apply", "42", "--branch", "b")["new_branch"] == "b"


def test_a_conflict_ends_with_five_and_the_paths(approved: Fleet, repo: Repo) -> None:
    tree = in_hand(approved)
    approved.ok("release", cwd=tree.path)
    repo.run_git("switch", "--quiet", "--create", "other")
    repo.commit("Else", {"cli.py": "print(2)\n"})
    answer = approved("salvage", "apply", "42", "1")
    assert answer.code == 5
    assert "conflict: cli.py" in answer.out
    assert "<<<<<<<" in (repo.path / "cli.py").read_text()


def test_nothing_kept_is_said_and_no_error(approved: Fleet) -> None:
    assert approved.ok("salvage", "list") == "nothing is kept\n"
    assert approved.json("salvage-list", "salvage", "list") == {"v": 1, "kept": []}
    assert approved("salvage", "show", "42").code == 1
    assert approved("salvage", "show", "nope").code == 2
    assert approved("snapshot", "42").code == 1
