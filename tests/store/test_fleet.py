"""A snapshot is everything at one moment: one object a task, however long its log."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from git_fleet.app.session import Session
from git_fleet.core.model import PENDING, PlanState, State
from git_fleet.git.refs import Refs
from git_fleet.store import archive, fleet, lead, names
from git_fleet.store.lead import Intent, Landing
from tests.support.fleet import (
    approved,
    claimed,
    landed_on_main,
    on_plan,
    on_task,
    open_fleet,
    proposed,
    saved,
    task,
    task_id,
)
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo) -> Iterator[Session]:
    with open_fleet(repo) as session:
        yield session


def test_an_empty_repository_has_an_empty_snapshot(session: Session) -> None:
    found = session.snapshot()
    assert (found.plans, found.tasks, found.guard, found.lead_tip) == ({}, {}, None, None)


def test_a_snapshot_holds_plans_tasks_guard_and_lead(session: Session) -> None:
    approved(session, task("b", files=["x"]), task("a", files=["x"]), plan="q")
    approved(session, task("a"), plan="p")
    claimed(session, "q/b")
    taken = lead.acquire(
        session.store,
        lead.read(session.store),
        actor="ann",
        worktree="/x",
        now=session.now(),
        expires_at=session.now(),
    )
    found = session.snapshot()
    assert list(found.plans) == ["p", "q"]
    assert [str(task_id) for task_id in found.tasks] == ["p/a", "q/b", "q/a"]  # in plan order
    assert found.tasks[task_id("q/b")].state.state is State.CLAIMED
    assert found.tasks[task_id("q/a")].state is PENDING
    assert found.guard is not None
    assert (found.lead, found.lead_tip) == (taken.state, taken.tip)


def test_tasks_of_drafts_and_of_closed_plans_are_nobodys(session: Session) -> None:
    saved(session, task("a"), plan="draft")
    approved(session, task("b"), plan="old")
    for event in ("closing", "close"):
        on_plan(session, event, "old")
    found = session.snapshot()
    assert found.tasks == {}
    assert [record.state for record in found.plans.values()] == [PlanState.DRAFT, PlanState.CLOSED]


def test_a_log_that_reappears_under_a_closed_plan_counts_for_nobody(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    for event in ("closing", "close"):
        on_plan(session, event)
    assert session.snapshot().tasks == {}
    archive.fold(session.store, "p", actor="x", at=session.now())


def test_what_only_the_incoming_revision_has_stands_apart(session: Session) -> None:
    approved(session, task("a"))
    note = saved(session, task("a", title="New"), task("b")).note
    on_plan(session, "approving", incoming=note)
    found = session.snapshot()
    assert [str(task_id) for task_id in found.tasks] == ["p/a"]
    assert found.tasks[task_id("a")].task.title == "Do a"
    assert [str(task_id) for task_id in found.incoming] == ["p/b"]


def test_a_draft_of_an_approved_plan_changes_nothing(session: Session) -> None:
    approved(session, task("a"))
    note = saved(session, task("b")).note
    found = session.snapshot()
    assert [str(task_id) for task_id in found.tasks] == ["p/a"]
    assert found.plans["p"].note == note


def test_reading_ten_times_as_much_history_reads_no_more_objects(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"), task("b"))
    for _ in range(10):
        claimed(session, "a")
        on_task(session, "release", "a")
    asked: list[str] = []
    fetch = session.store.objects._fetch

    def counting(few: Any) -> Any:
        asked.extend(few)
        return fetch(few)

    monkeypatch.setattr(session.store.objects, "_fetch", counting)
    fleet.read_snapshot(session.store, session.now())
    tips = session.store.refs.read(names.TASK_LOGS)
    assert [name for name in asked if name in tips.values()] == list(tips.values())
    logs = session.store.repo.git().text("rev-list", *tips.values()).split()
    assert len(set(asked) & set(logs)) == len(tips)


def test_plans_that_move_while_tasks_are_read_are_read_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    read = Refs.read
    moved: list[bool] = []

    def moving(refs: Refs, *prefixes: str) -> Any:
        found = read(refs, *prefixes)
        if prefixes == (names.TASK_LOGS,) and not moved:
            moved.append(True)
            on_plan(session, "pause")
        return found

    monkeypatch.setattr(Refs, "read", moving)
    assert fleet.read_snapshot(session.store, session.now()).plans["p"].state is PlanState.PAUSED


def _with_intent(session: Session, name: str, *, landed: bool) -> None:
    """An open intent for the task, as a lead leaves it who dies before or after main moved."""
    record = session.record(session.snapshot(), name)
    main = session.store.refs.get("refs/heads/main")
    assert record.tip is not None
    assert isinstance(main, str)
    commit = landed_on_main(session, name) if landed else record.tip
    landing = Landing(record.id, 1, commit, record.tip, record.tip, "")
    now = session.now()
    leading = lead.acquire(
        session.store, lead.read(session.store), actor="x", worktree="/x", now=now, expires_at=now
    )
    lead.begin(
        session.store, leading, Intent("refs/heads/main", main, commit, "", (landing,)), actor="x", now=now
    )


def test_a_task_whose_commit_is_in_main_is_integrated_before_its_event_says_so(session: Session) -> None:
    approved(session, task("a"), task("b", needs=["a"]))
    claimed(session, "a")
    proposed(session, "a")
    _with_intent(session, "a", landed=True)
    found = session.snapshot().tasks[task_id("a")].state
    assert (found.state, found.landed) == (State.INTEGRATED, session.store.refs.get("refs/heads/main"))
    assert claimed(session, "b").state.state is State.CLAIMED


def test_an_open_intent_whose_commit_is_not_in_main_changes_nothing(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    _with_intent(session, "a", landed=False)
    assert session.snapshot().tasks[task_id("a")].state.state is State.PROPOSED


@pytest.mark.parametrize("name", ["p/a", "p/b", "p/c", "p/none", "draft/x", "nowhere/a"])
def test_one_task_is_read_as_it_is_in_the_whole(session: Session, name: str) -> None:
    approved(session, task("a"), task("b"), task("c"))
    saved(session, task("x"), plan="draft")
    for landing in "ab":
        claimed(session, landing)
    proposed(session, "a")
    _with_intent(session, "a", landed=True)
    whole, wanted = session.snapshot(), task_id(name)
    one = fleet.read_task(session.store, session.now(), wanted)
    assert one.record(wanted) == whole.record(wanted)
    assert one.plans == {plan: record for plan, record in whole.plans.items() if plan == wanted.plan}
    assert (wanted.plan == "nowhere" or one.lead) == (wanted.plan == "nowhere" or whole.lead)


def test_one_task_is_read_without_looking_at_the_others(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    theirs = claimed(session, "b").tip
    asked: list[str] = []
    fetch = session.store.objects._fetch

    def counting(few: Any) -> Any:
        asked.extend(few)
        return fetch(few)

    monkeypatch.setattr(session.store.objects, "_fetch", counting)
    monkeypatch.setattr(Refs, "read", None)
    found = fleet.read_task(session.store, session.now(), task_id("p/a"))
    assert found.tasks[task_id("p/a")].state.state is State.CLAIMED
    assert theirs not in asked
    assert names.task_log(task_id("p/b")) not in asked


def test_what_is_known_does_not_pile_up(session: Session) -> None:
    known = fleet.Known()
    for round_number in range(3):
        approved(session, task("a", title=f"Round {round_number}"), task("b"))
        claimed(session, "a")
        on_task(session, "release", "a")
        for look in (fleet.read_snapshot, partial(fleet.read_task, wanted=task_id("p/a"))):
            found = look(session.store, session.now(), known=known)
            assert found.tasks[task_id("p/a")].task.title == f"Round {round_number}"
            assert (len(known.tasks), len(known.revisions)) == (2, 1)


def test_what_has_not_changed_is_not_read_again(session: Session) -> None:
    approved(session, task("a"), task("b"))
    known = fleet.Known()
    claimed(session, "b")
    before = fleet.read_snapshot(session.store, session.now(), known=known).tasks
    claimed(session, "a")
    after = fleet.read_snapshot(session.store, session.now(), known=known).tasks
    assert after[task_id("b")] is before[task_id("b")]
    assert after[task_id("a")].state.state is State.CLAIMED
