from __future__ import annotations

import pytest

from git_fleet.app import history, work
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Finding, Verdict
from git_fleet.errors import InvalidInput
from git_fleet.store import archive, gatelogs
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    integrated,
    on_plan,
    on_task,
    open_fleet,
    proposed,
    task,
    working_on,
)
from tests.support.repo import Repo


def test_a_task_that_nobody_touched_has_no_history(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    assert history.history(session, "a").events == ()
    with pytest.raises(InvalidInput, match="no task 'b'"):
        history.history(session, "b")


def test_each_event_says_in_a_few_words_what_it_was(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"))
    claimed(session, "a")
    clock.advance(60)
    work.progress(session, "a", "half way")
    record = proposed(session, "a")
    found = (Finding("wrong colour", "person:ann", "a/new"),)
    on_task(session, "verdict", "a", verdict=Verdict("taste", "ann", "upheld", 1))
    on_task(session, "reject", "a", findings=found, reason="rejected")
    claimed(session, "a")
    on_task(session, "block", "a", code="no-key", reason="the key is missing")
    lines = history.history(session, "a").events
    proposal = record.state.proposal
    assert proposal is not None
    assert [(line.event, line.summary) for line in lines] == [
        ("claim", "attempt 1, until 2026-01-01 13:00:00 UTC"),
        ("progress", "half way"),
        ("done", f"proposal 1, commit {str(proposal.commit)[:12]}"),
        ("verdict", "upheld by ann (taste), proposal 1"),
        ("reject", "rejected: a/new: wrong colour"),
        ("claim", "attempt 2, until 2026-01-01 13:01:00 UTC"),
        ("block", "no-key: the key is missing"),
    ]
    assert (lines[0].actor, lines[1].at) == ("w1", clock())
    assert [line.oid for line in lines][-1] == session.snapshot().resolve("a").tip


def test_an_integration_names_the_commit(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    commit = integrated(session, "a")
    assert history.history(session, "a").events[-1].summary == f"commit {commit[:12]}"


def test_what_workers_wrote_cannot_move_the_terminal(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    work.progress(session, "a", "fine\x1b[2J\nreally\u202e")
    assert history.history(session, "a").events[-1].summary == "fine really"


def test_a_plan_has_a_history_too(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    on_plan(session, "pause", reason="lunch")
    lines = history.history(session, "p").events
    assert [line.event for line in lines] == ["approving", "approve", "pause"]
    assert lines[-1].summary == "lunch"


def test_the_history_of_a_closed_plan_is_found_by_full_ids(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    on_task(session, "cancel", "a", reason="no longer wanted")
    on_plan(session, "closing")
    on_plan(session, "close")
    kept = gatelogs.keep(
        session.store, TaskId("p", "a"), 1, {"1-g.log": b"red"}, actor="ann", at=session.now()
    )
    archive.fold(session.store, "p", actor="ann", at=session.now())
    found = history.history(session, "p/a")
    assert [line.event for line in found.events] == ["claim", "cancel"]
    assert found.gate_logs == (f"{kept}:1-g.log",)
    assert repo.run_git("show", *found.gate_logs) == "red"


def test_in_a_worktree_it_is_that_tasks_history(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b"))
    inside = open_fleet(working_on(session, "a"), None)
    assert [line.event for line in history.history(inside, None).events] == ["claim"]


def test_texts_of_an_event_are_what_was_kept_with_it(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    work.progress(session, "a", "going", log_chunk=b"line 1\nline \xff\n")
    event = history.history(session, "a").events[-1].oid
    assert history.texts(session, event) == {"log": "line 1\nline \ufffd\n"}
