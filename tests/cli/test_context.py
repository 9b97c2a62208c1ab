"""`git fleet context` through the command line."""

from __future__ import annotations

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
