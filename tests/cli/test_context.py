"""What an agent reads first and what it gets to see: `git fleet context` and `claim --sparse`, through the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Fleet
from tests.support.repo import Repo


def test_what_to_read_first_is_told_and_the_same_in_json(approved: Fleet, repo: Repo) -> None:
    text = approved.ok("context", "42")
    document = approved.json("context", "context", "42", "--budget", "1")
    assert document["task_id"] == "app/42"
    assert document["budget"] == 1
    assert document["commit"] == repo.rev("main")
    assert [each["path"] for each in document["files"]] + [each["path"] for each in document["left_out"]]
    for each in (*document["files"], *document["left_out"]):
        assert each["path"] in text


def test_a_name_that_could_steer_a_terminal_is_made_harmless(approved: Fleet, repo: Repo) -> None:
    name = "cli.py/\x1b[31mevil"
    approved.ok("lead", "acquire")
    repo.run_git("rm", "-r", "--quiet", "--ignore-unmatch", "cli.py")
    repo.commit("odd", {name: "x"})
    out = approved.ok("context", "42")
    assert "evil" in out
    assert "\x1b" not in out


def test_a_claim_has_the_files_that_it_needs(approved: Fleet, repo: Repo) -> None:
    approved.ok("lead", "acquire")
    repo.commit("more", {"far/away": "x"})
    answer = approved("claim", "43", "--sparse", "--no-worktree")
    assert (answer.code, "leave out --no-worktree" in answer.err) == (2, True)
    document = approved.json("claim", "claim", "43", "--sparse", "--worker", "w")
    place = Path(document["worktree"])
    assert (place / "cli.py").exists()
    assert not (place / "far").exists()
    assert any("git sparse-checkout add FOLDER" in note for note in document["notes"])
    assert "`git sparse-checkout add FOLDER`" in approved.ok("prompt", "43")
    assert "sparse" not in approved.ok("prompt", "42")
