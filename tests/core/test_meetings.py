from __future__ import annotations

from datetime import timedelta

from git_fleet.core.ids import TaskId
from git_fleet.core.meetings import CROWD, Crowd, Meetings, Refit, meetings
from git_fleet.core.model import Overlap
from git_fleet.core.overlaps import Pair
from tests.support.clock import START


def one(name: str) -> TaskId:
    return TaskId("p", name)


ORDER = [one(name) for name in "abcd"]
PREDICTED = Pair(one("a"), one("b"), Overlap.SERIALIZE, ("x", "x"))


def found(**paths: str) -> Meetings:
    changed = {one(name): text.split() for name, text in paths.items()}
    return meetings(ORDER, [PREDICTED], changed, {}, [])


def test_a_prediction_that_came_true_one_that_did_not_and_a_meeting_nobody_foresaw() -> None:
    true = found(a="x y", b="x", c="z", d="z")
    assert [(pair.a.task, pair.b.task, pair.predicted, pair.shared) for pair in true.pairs] == [
        ("c", "d", None, ("z",)),
        ("a", "b", PREDICTED, ("x",)),
    ]
    assert (true.predicted, true.met, true.unforeseen, true.conflicted) == (1, 1, 1, 0)
    apart = found(a="y", b="x")
    assert (apart.predicted, apart.met, apart.unforeseen) == (1, 0, 0)


def test_a_conflict_is_with_whoever_had_brought_the_file_to_main_by_then() -> None:
    changed = {one("a"): ["x"], one("c"): ["x", "y"], one("d"): ["x"]}
    landed = {one("a"): START, one("c"): START + timedelta(hours=1), one("d"): START}
    refit = Refit(one("b"), START + timedelta(minutes=5), ("x", "other"))
    seen = meetings(ORDER, [PREDICTED], changed, landed, [refit])
    assert {(pair.a.task, pair.b.task) for pair in seen.pairs if pair.conflicts} == {("a", "b"), ("b", "d")}
    assert seen.pairs[0].conflicts == ("x",)
    assert (seen.conflicted, seen.unexplained, seen.met) == (2, (), 1)


def test_a_conflict_with_changes_of_no_task_is_told_by_itself() -> None:
    refit = Refit(one("b"), START, ("x",))
    assert meetings(ORDER, [], {}, {}, [refit]).unexplained == (refit,)


def test_a_file_that_everybody_changes_is_no_meeting_of_two() -> None:
    order = [one(f"t{number}") for number in range(CROWD + 1)]
    predicted = Pair(order[0], order[1], Overlap.ACCEPT, ("log", "log"))
    seen = meetings(order, [predicted], {each: ["log"] for each in order}, {}, [])
    assert seen.crowds == (Crowd("log", CROWD + 1),)
    assert [(pair.a, pair.b, pair.shared) for pair in seen.pairs] == [(order[0], order[1], ("log",))]
