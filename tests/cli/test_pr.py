"""Pull requests by commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.support import gh
from tests.support.fleet import claimed, open_fleet, proposed
from tests.support.repo import Repo

URL = "https://github.com/o/r/pull/1"


@pytest.fixture
def handed_in(planned: Fleet, repo: Repo, tmp_path: Path) -> Fleet:
    """With a task of the plan handed in, and a remote."""
    planned.ok("plan", "approve", "--yes")
    repo.run_git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "server.git"))
    repo.run_git("remote", "add", "origin", str(tmp_path / "server.git"))
    with open_fleet(repo) as session:
        claimed(session, "42")
        proposed(session, "42", {"cli.py": "print(1)\n"})
    return planned


def test_from_the_dry_run_to_the_record_by_commands(
    handed_in: Fleet, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = gh.stand_in(tmp_path / "bin", monkeypatch)
    (hub.folder / "remote").write_text(str(tmp_path / "server.git"))
    said = handed_in.ok("pr", "-n")
    assert "to open  would be pushed" in said
    assert said.endswith("next: git fleet pr\n")
    (pull,) = handed_in.json("pr", "pr", "42")["pulls"]
    assert (pull["state"], pull["url"], pull["title"]) == ("opened", URL, "Add a count command")
    assert f"app/42  {URL}  as it is to be" in handed_in.ok("pr")
    red = {"__typename": "StatusContext", "context": "lint", "state": "FAILURE"}
    hub.change(1, statusCheckRollup=[red])
    said = handed_in.ok("pr", "--sync")
    assert "open   1 fail (lint)" in said
    assert "next: git fleet pr --sync --rework" in said
    there = Repo(tmp_path / "server.git")
    there.run_git("update-ref", "refs/heads/main", there.rev(pull["branch"]))
    hub.change(1, state="MERGED", mergeCommit={"oid": str(there.rev("main"))})
    found = handed_in.json("pr", "pr", "--sync")
    assert (found["pulls"][0]["state"], found["pulls"][0]["recognised_by"]) == ("recorded", "commit")
    assert found["pulls"][0]["gates"] == [{"kind": "forge", "name": "lint", "outcome": "fail", "url": None}]
    assert (found["main_after"], repo.rev("main")) == (there.rev("main"),) * 2
    assert f"merged as {URL}" in handed_in.ok("log", "42")
    codes = {problem["code"] for problem in handed_in.json("doctor", "doctor", code=1)["problems"]}
    assert codes == {"hooks-missing"}  # which are not installed here; nothing else


def test_without_gh_the_branch_is_pushed_and_the_rest_said(
    handed_in: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gh.without(monkeypatch, tmp_path / "bin")
    answer = handed_in("pr")
    assert (answer.code, "gh is not installed" in answer.out) == (1, True)
    assert "pushed" in answer.out
    answer = handed_in("pr", "--sync")
    assert (answer.code, answer.err.splitlines()[0]) == (
        2,
        "git-fleet: gh is not installed, and it alone can say",
    )


def test_options_that_do_not_go_together_are_refused(handed_in: Fleet) -> None:
    assert handed_in("pr", "--rework").code == 2
    assert handed_in("pr", "--sync", "--draft").code == 2
