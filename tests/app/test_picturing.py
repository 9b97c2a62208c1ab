from __future__ import annotations

import pytest

from git_fleet.app import picturing, plan
from git_fleet.core.model import PlanState
from git_fleet.errors import InvalidInput
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, integrated, open_fleet, proposed, saved, task
from tests.support.repo import Repo


def test_a_graph_has_the_states_of_now_and_those_of_a_closed_plan(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"), task("b", needs=["a"]))
    claimed(session, "a")
    found = picturing.graph(session, None)
    assert [(str(node.state), node.holder) for node in found.nodes] == [("claimed", "w1"), ("pending", "")]
    proposed(session, "a")
    integrated(session, "a")
    plan.close(session, "p", force=True)
    found = picturing.graph(session, "p")
    assert (found.state, [str(node.state) for node in found.nodes]) == (
        PlanState.CLOSED,
        ["integrated", "pending"],
    )


def test_a_draft_is_drawn_by_its_newest_text(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    saved(session, task("a"), task("b", needs=["a"]))
    assert len(picturing.graph(session, None).edges) == 1
    with pytest.raises(InvalidInput, match="there is no plan other"):
        picturing.graph(session, "other")
