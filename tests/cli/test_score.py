from __future__ import annotations

import io

import pytest

from git_fleet.cli.call import speaks_unicode
from tests.cli.conftest import Fleet


def test_the_score_of_a_plan_at_work(approved: Fleet) -> None:
    assert approved.ok("score") == "app: Too early to tell: nobody has claimed a task yet\n"
    approved.ok("claim", "42", "--no-worktree", "--worker", "ann")
    found = approved.json("score", "score", "app")
    assert (found["worth"], found["claims"], found["bottleneck"]["tasks"]) == ("early", 1, ["app/42"])
    assert [hand["worker"] for hand in found["hands"]] == ["ann"]
    assert "Bottleneck: " in approved.ok("score")


def test_a_plan_that_is_not_there_is_refused_in_json_too(approved: Fleet) -> None:
    found = approved.json("error", "score", "other", code=2)
    assert found["error"]["message"] == "there is no plan other"


@pytest.mark.parametrize(("encoding", "says"), [("utf-8", True), ("UTF8", True), ("ascii", False)])
def test_bars_are_drawn_with_what_the_terminal_can_show(encoding: str, says: bool) -> None:
    assert speaks_unicode(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) is says
