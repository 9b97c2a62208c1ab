"""What predicted the conflicts of past merges, on a history whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import predict
from benchmarks.predict import Score, replay, scores
from git_fleet.git.repository import discover
from tests.support.repo import Repo

LINES = "".join(f"{n}\n" for n in range(40))


def merged(repo: Repo, ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    """A merge of two such sides, its tree that of the first one: what is asked is what git would say."""
    base = repo.rev("main")
    one = repo.commit("ours", dict(ours))
    repo.run_git("switch", "--quiet", "--detach", base)
    other = repo.commit("theirs", dict(theirs))
    merge = repo.run_git("commit-tree", f"{one}^{{tree}}", "-p", one, "-p", other, "-m", "Merge")
    repo.run_git("switch", "--quiet", "main")
    repo.run_git("reset", "--hard", "--quiet", merge)


@pytest.fixture
def history(repo: Repo) -> Repo:
    repo.commit("begin", {"f": LINES, "g": LINES, "h": LINES, "q": LINES})
    for number in range(4):
        repo.commit("together", {"x": f"{number}\n", "y": f"{number}\n"})
    merged(repo, {"f": f"a{LINES}"}, {"f": f"b{LINES}"})  # the same line: common file, conflict
    merged(repo, {"g": f"a\n{LINES}"}, {"g": f"{LINES}b\n"})  # far apart: common file, none
    merged(repo, {"h": "a\n"}, {"q": "b\n"})  # nothing in common, none
    merged(repo, {"x": "a\n"}, {"y": "b\n"})  # coupled, none
    merged(repo, {"d": "a\n"}, {"d/e": "b\n"})  # a file in the place of a folder: conflict, no common path
    merged(repo, {"x": "c\n"}, {"x": "d\n", "y": "d\n"})  # common file, coupled, conflict
    return repo


def test_recall_and_precision_are_those_of_the_history(history: Repo) -> None:
    found = scores(replay(discover(history.path)))
    assert found == [
        Score("a common file", merges=6, conflicts=3, predicted=3, right=2),
        Score("coupling", merges=6, conflicts=3, predicted=2, right=1),
        Score("either", merges=6, conflicts=3, predicted=4, right=2),
    ]
    assert [(one.recall, one.precision) for one in found] == [(2 / 3, 2 / 3), (1 / 3, 1 / 2), (2 / 3, 1 / 2)]


def test_only_what_was_known_before_predicts(repo: Repo) -> None:
    repo.commit("begin", {"x": "0\n", "y": "0\n"})
    merged(repo, {"x": "a\n"}, {"y": "b\n"})
    for number in range(4):
        repo.commit("together", {"x": f"{number}\n", "y": f"{number}\n"})
    merged(repo, {"x": "c\n"}, {"y": "d\n"})
    assert [merge.coupled for merge in replay(discover(repo.path))] == [True, False]
    assert len(replay(discover(repo.path), most=1)) == 1


def test_the_repository_stays_as_it_is(history: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(history.path.rglob("*"))
    assert predict.main([str(history.path)]) == 0
    assert set(history.path.rglob("*")) == before
    assert "6 merges, 3 with a conflict" in capsys.readouterr().out
    assert predict.main([str(history.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][1] == {
        "by": "coupling", "predicted": 2, "right": 1, "recall": 1 / 3, "precision": 0.5,
    }  # fmt: skip


def test_without_merges_there_is_nothing_to_say(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([str(repo.path)]) == 0
    assert "0 merges, 0 with a conflict" in capsys.readouterr().out


@pytest.mark.parametrize("where", ["no repository", "no commit"])
def test_what_cannot_be_asked_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    if where == "no commit":
        Repo(tmp_path).run_git("init", "--quiet")
    assert predict.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("predict: ")
    assert said.count("\n") == 1
