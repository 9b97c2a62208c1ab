from __future__ import annotations

import pytest

from git_fleet.app import plan, reporting, review, score
from git_fleet.app.session import Session
from git_fleet.core.ids import TaskId
from git_fleet.core.model import PlanState
from git_fleet.errors import InvalidInput
from git_fleet.store import gatelogs
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, integrated, open_fleet, proposed, saved, task
from tests.support.repo import Repo
from tests.support.stories import tell


@pytest.fixture
def story(repo: Repo, clock: FakeClock) -> Session:
    return tell(repo, clock)


def test_a_report_says_what_review_and_score_say(story: Session) -> None:
    found = reporting.report(story, None)
    assert found.review == review.review(story, "shop")
    assert found.score == score.score(story, "shop").score


def test_a_report_puts_predictions_beside_what_came_of_them(story: Session) -> None:
    found = reporting.report(story, "shop").meetings
    told = {
        (pair.a.task, pair.b.task): (pair.predicted is not None, pair.shared, pair.conflicts)
        for pair in found.pairs
    }
    assert told == {
        ("search", "theme"): (True, (), ("web/style.css",)),
        ("mails", "guide"): (False, ("README.md",), ()),
        ("routes", "cart"): (True, ("src/routes.py",), ()),
    }


def test_a_report_has_the_logs_of_the_latest_gates_whether_kept_or_in_an_event(story: Session) -> None:
    logs = reporting.report(story, "shop").logs
    assert [log.gate for log in logs[TaskId("shop", "cart")]] == ["tests", "lint"]
    assert "1 failed" in logs[TaskId("shop", "search")][0].text
    assert TaskId("shop", "mails") not in logs


def test_of_a_long_log_the_end_is_kept_and_how_much_is_missing(repo: Repo, clock: FakeClock) -> None:
    logs = reporting.report(tell(repo, clock, hostile=True), "shop").logs
    (log,) = logs[TaskId("shop", "search")]
    assert log.text.endswith("onerror=alert(1)>\n")
    assert log.left_out == 0
    assert reporting.end_of("g", b"a\nbb\nccc\n", 6).left_out == 5
    assert reporting.end_of("g", b"one long line\nx\n", 9).text == "g line\nx\n"


def test_all_logs_together_have_so_much_room_and_no_more(repo: Repo, clock: FakeClock) -> None:
    found = reporting.report(tell(repo, clock, hostile=True), "shop", 8000).logs
    assert sum(len(log.text.encode()) for logs in found.values() for log in logs) <= 8000
    (red,) = found[TaskId("shop", "search")]
    assert red.left_out > 0


def test_a_closed_plan_has_the_report_it_had(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"), task("b", needs=["a"]))
    for name in ("a", "b"):
        claimed(session, name)
        clock.advance(600)
        proposed(session, name, {"a/x": f"{name}\n", f"{name}/y": "y\n"})
        gatelogs.keep(session.store, TaskId("p", name), 1, {"1-tests.log": b"ok"}, actor="lead", at=clock())
        integrated(session, name)
    before = reporting.report(session, "p")
    plan.close(session, "p")
    after = reporting.report(session, "p")
    assert after.review.state is PlanState.CLOSED
    assert after.logs == before.logs != {}
    assert after.meetings == before.meetings
    assert after.meetings.unforeseen == 1
    assert [task.paths for task in after.review.tasks] == [task.paths for task in before.review.tasks]
    assert (after.score, after.picture.nodes) == (before.score, before.picture.nodes)


def test_a_draft_has_no_report_and_an_unknown_plan_neither(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    saved(session, task("a"))
    for name, said in (("p", "plan p is a draft"), ("q", "there is no plan q")):
        with pytest.raises(InvalidInput, match=said):
            reporting.report(session, name)
