"""What a person is told to do next."""

from __future__ import annotations

from msgspec.structs import replace

from git_fleet.core.config import Config
from git_fleet.core.divergence import Divergence
from git_fleet.core.model import Finding, PlanState, State
from git_fleet.core.recommending import recommendations
from git_fleet.core.reviewing import Opinion, Recommendation, Refused, TaskReview, queue
from tests.core.test_reviewing import OID, reviewed, unlike
from tests.support.clock import START


def advised(*tasks: TaskReview, found: tuple[Divergence, ...] = ()) -> tuple[Recommendation, ...]:
    waiting = queue(tasks, Config(), START)
    return recommendations("p", PlanState.OPEN, tasks, found, waiting)


def test_an_odd_one_is_named_once_with_all_its_parts() -> None:
    (found, _) = advised(
        reviewed("a", State.PROPOSED), found=tuple(unlike("a", name=name) for name in ("w", "x", "y", "z"))
    )
    assert found.text == "p/a differs from 4 siblings in w, x, y, …: look before integrating."


def test_an_odd_one_that_has_landed_is_shown_where_it_is() -> None:
    (found, _) = advised(reviewed("a", State.INTEGRATED, landed=OID), found=(unlike("a"),))
    assert found.commands == (f"git show {OID[:12]}",)
    assert "already" in found.text


def test_tasks_that_met_the_same_wall_are_one_recommendation() -> None:
    blocked = [reviewed(name, State.BLOCKED, code="quota", reason="ask ops\n\n429") for name in "ac"]
    other = reviewed("b", State.BLOCKED, code="api", reason="")
    assert [each.text for each in advised(*blocked, other)] == [
        "p/b is blocked (api).",
        "p/a, p/c are blocked (quota: ask ops).",
    ]


def test_a_finding_that_came_back_counts_by_proposals_not_by_verdicts() -> None:
    def refused(*numbers: int) -> TaskReview:
        findings = tuple(Refused(n, (Finding(f"line {n}: no test", "bot"),)) for n in numbers)
        return replace(reviewed("a", State.CLAIMED), refusals=findings)

    assert advised(refused(1, 1)) == ()
    assert [each.code for each in advised(refused(1, 2))] == ["unclear"]


def test_a_plan_whose_tasks_have_ended_can_be_closed_once() -> None:
    ended = reviewed("a", State.INTEGRATED), reviewed("b", State.CANCELLED)
    assert [each.commands for each in advised(*ended)] == [("git fleet plan close p",)]
    assert recommendations("p", PlanState.CLOSED, ended, (), ()) == ()
    assert recommendations("p", PlanState.OPEN, (), (), ()) == ()


def test_what_some_refute_and_others_let_through_is_shown_with_what_they_found() -> None:
    found = (Finding("It leaks.", "verifier:v/security"), Finding("Fine.", "verifier:w/docs"))
    opinions = tuple(
        Opinion(lens, verifier, verdict, START, counts)
        for lens, verifier, verdict, counts in (
            ("docs", "verifier:w", "upheld", True),
            ("security", "verifier:v", "refuted", True),
            ("style", "verifier:x", "refuted", False),
        )
    )
    task = replace(reviewed("a", State.VERIFIED), findings=found, opinions=opinions)
    outvoted, integrate = advised(task)
    assert (outvoted.code, outvoted.text) == ("outvoted", "p/a is not upheld by all (security): It leaks.")
    assert outvoted.commands == ("git fleet review p --task a",)
    assert integrate.code == "integrate"
    assert advised(replace(task, record=reviewed("a", State.INTEGRATED).record))[0].code == "close"
