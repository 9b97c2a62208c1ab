"""Approving: three kinds of writes that claims made meanwhile cannot slip through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from git_fleet.app import approve, plan
from git_fleet.app.session import Session
from git_fleet.core import lease
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import Claim, PlanState, State
from git_fleet.core.snapshot import PlanRecord, TaskRecord
from git_fleet.errors import AnswerIsNo, Denied, Held, InvalidInput, Stale
from git_fleet.store import log, names, plans, tasks
from git_fleet.store.base import Store
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    integrated,
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
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def states(session: Session) -> dict[str, State]:
    return {str(record.id): record.state.state for record in session.snapshot().tasks.values()}


def events(session: Session, name: str = "") -> list[str]:
    """The events of a task's log; of the plan's without a name."""
    ref = names.task_log(task_id(name)) if name else names.plan_log("p")
    tip = session.store.refs.read(ref).get(ref)
    return [entry.event.name for entry in log.history(session.store.objects, tip)]


# --- what is approved, what is refused -----------------------------------------------------------


def test_an_approved_draft_is_open_and_its_tasks_can_be_claimed(session: Session, repo: Repo) -> None:
    note = saved(session, task("a"), task("b", needs=["a"])).note
    record = approve.approve(session, "p")
    assert (record.state, record.log.revision) == (PlanState.OPEN, note)
    assert events(session) == ["approving", "approve"]
    assert states(session) == {"p/a": State.PENDING, "p/b": State.PENDING}
    assert (repo.path / ".git" / "fleet" / "open").read_text() == "p refs/heads/main\n"
    claimed(session, "a")


def test_which_tasks_overlap_is_found_out_once_and_for_the_plans_as_they_are(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    def overlapping() -> set[str]:
        with open_fleet(repo, "w2", clock) as other:
            return set(map(str, other.index(other.snapshot()).overlaps.of(task_id("a"))))

    approved(session, task("a", files=["src/"]), task("b", files=["src/b.py"]), task("c", files=["/c.py"]))
    assert overlapping() == {"p/b"}
    (kept,) = (repo.path / ".git" / "fleet" / "cache").glob("overlaps-*.json")
    document = json.loads(kept.read_bytes())
    assert [row[:4] for row in document["pairs"]] == [["p", "a", "p", "b"]]
    kept.write_text(json.dumps({**document, "pairs": []}))
    assert overlapping() == set()  # so it was not found out again
    saved(session, task("a", files=["src/"]), task("b", files=["/b.py"]), task("c", files=["src/c.py"]))
    approve.approve(session, "p")
    assert overlapping() == {"p/c"}


def test_a_plan_with_errors_is_not_approved_and_nothing_is_written(session: Session, repo: Repo) -> None:
    draft = task("a")
    del draft["files"]
    saved(session, draft, task("b"))
    before = session.store.refs.read("refs/")
    with pytest.raises(InvalidInput, match="p/a: files: missing"):
        approve.approve(session, "p")
    saved(session, plan="q")
    with pytest.raises(InvalidInput, match="no tasks"):
        approve.approve(session, "q")
    assert before.items() <= session.store.refs.read("refs/").items()
    assert not (repo.path / ".git" / "fleet" / "open").exists()


def test_a_base_that_is_gone_is_named(session: Session, repo: Repo) -> None:
    repo.branch("next")
    saved(session, task("a"), base="next")
    repo.run_git("branch", "-D", "next")
    with pytest.raises(InvalidInput, match="base 'next': there is no such branch"):
        approve.approve(session, "p")


def test_an_agent_may_not_approve(repo: Repo, clock: FakeClock) -> None:
    with open_fleet(repo, "w1", clock, env={"CLAUDECODE": "1"}) as session:
        saved(session, task("a"))
        with pytest.raises(Denied, match="CLAUDECODE") as caught:
            approve.approve(session, "p")
        assert caught.value.exit_code == 4
        assert session.snapshot().plans["p"].state is PlanState.DRAFT


def test_the_approval_is_in_the_persons_name(session: Session) -> None:
    saved(session, task("a"))
    tip = approve.approve(session, "p").tip
    assert tip is not None
    assert log.read(session.store.objects, tip).event.actor == "Test Person"


def test_an_unknown_plan_cannot_be_approved(session: Session) -> None:
    with pytest.raises(InvalidInput, match="there is no plan q"):
        approve.approve(session, "q")


@pytest.mark.parametrize(
    "again",
    [
        [task("b")],
        [task("a", files=["elsewhere"]), task("b")],
        [task("a", needs=["b"]), task("b")],
        [task("a", overlap="accept"), task("b")],
        [task("a", joint=True), task("b")],
        [task("a", output="report"), task("b")],
    ],
)
def test_an_active_task_is_neither_removed_nor_rescoped(
    session: Session, again: list[dict[str, object]]
) -> None:
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    saved(session, *again)
    with pytest.raises(InvalidInput, match=r"p/a is active and would be (removed|re-scoped)"):
        approve.approve(session, "p")
    record = session.snapshot().plans["p"]
    assert (record.state, record.approved and len(record.approved.tasks)) == (PlanState.OPEN, 2)


def test_what_a_worker_is_told_may_change_under_it(session: Session) -> None:
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    saved(session, task("a", title="Better", prompt="Do it well", priority=3, accept=["true"]), task("b"))
    approve.approve(session, "p")
    assert session.snapshot().tasks[task_id("a")].task.title == "Better"
    assert events(session, "a") == ["claim"]


def test_two_active_tasks_may_not_be_made_to_overlap(session: Session) -> None:
    approved(session, task("a", files=["x/**"], overlap="accept"), task("b", files=["x/**"]), plan="q")
    approved(session, task("a", reads=["/api.py"]), task("c", files=["/api.py"]))
    claimed(session, "p/a")
    claimed(session, "p/c")
    saved(session, task("a", reads=["/api.py"]), task("c", files=["/api.py"], joint=True))
    with pytest.raises(InvalidInput, match="re-scoped"):
        approve.approve(session, "p")
    saved(session, task("a", files=["/z"]), task("c", files=["/api.py"]), plan="r")
    claimed(session, "q/a")
    approve.approve(session, "r")  # it overlaps active ones, but is not active itself
    with pytest.raises(AnswerIsNo, match="p/c owns files of it"):
        claimed(session, "r/c")


def test_a_reader_may_not_begin_to_overlap_an_active_joint_owner(session: Session) -> None:
    approved(session, task("a"), task("c", files=["/api.py"], joint=True))
    claimed(session, "a")
    claimed(session, "c")
    saved(session, task("a", reads=["/api.py"]), task("c", files=["/api.py"], joint=True))
    with pytest.raises(InvalidInput, match="p/a and p/c are both active and would overlap"):
        approve.approve(session, "p")


# --- revised -------------------------------------------------------------------------------------


def test_revised_touches_exactly_the_tasks_whose_scope_or_overlaps_change(session: Session) -> None:
    approved(session, task("x", files=["/shared"]), task("y"), plan="q")
    same = task("same"), task("title"), task("kept"), task("gone"), task("files"), task("needs")
    approved(session, *same)
    saved(
        session,
        task("same"),
        task("title", title="Another"),
        task("kept", extra={"github": {"number": 1}}),
        task("files", files=["/shared"]),
        task("needs", needs=["same"]),
        task("new"),
    )
    approve.approve(session, "p")
    assert events(session, "files") == events(session, "needs") == ["revised"]
    assert events(session, "gone") == ["revised", "cancel"]
    assert events(session, "q/x") == ["revised"]
    untouched = ["same", "title", "kept", "new", "q/y"]
    assert [events(session, name) for name in untouched] == [[]] * 5


def test_ended_tasks_are_left_in_peace(session: Session) -> None:
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    proposed(session, "a")
    integrated(session, "a")
    saved(session, task("a", files=["elsewhere"]), task("c"))
    approve.approve(session, "p")
    assert events(session, "a")[-1] == "integrate"
    assert states(session) == {"p/a": State.INTEGRATED, "p/c": State.PENDING}


def test_approving_the_same_revision_again_changes_nothing_for_workers(session: Session) -> None:
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    approve.approve(session, "p")
    assert states(session) == {"p/a": State.CLAIMED, "p/b": State.PENDING}
    assert events(session, "a") == ["claim"]


# --- claims made meanwhile -----------------------------------------------------------------------


def after_event(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> None:
    """`act`, once, right after event `name` has been written to a plan's log."""
    append, left = plans.append, [act]

    def appending(store: Store, record: PlanRecord, event: Event) -> PlanRecord:
        found = append(store, record, event)
        if event.name == name and left:
            left.pop()()
        return found

    monkeypatch.setattr(plans, "append", appending)


def a_claim_computed_now(session: Session, name: str) -> Callable[[], object]:
    """The last step of a claim of the task: its event on the log as it is now."""
    record, now = session.record(session.snapshot(), name), session.now()
    claim = Claim("slow", None, now, lease.expiry(now, 60), record.state.attempt + 1)
    return lambda: tasks.append(session.store, record, Event("claim", now, "slow", {"claim": claim}))


def test_a_task_claimed_after_the_first_look_refuses_the_approval_which_goes_back(
    session: Session, monkeypatch: pytest.MonkeyPatch, repo: Repo
) -> None:
    before = approved(session, task("z"), task("a"), task("b"))
    saved(session, task("a", files=["elsewhere"]), task("b"))
    after_event(monkeypatch, "approving", a_claim_computed_now(session, "a"))
    with pytest.raises(InvalidInput, match="p/a"):
        approve.approve(session, "p")
    record = session.snapshot().plans["p"]
    assert (record.state, record.approved, record.incoming) == (PlanState.OPEN, before, None)
    assert "p/a" in record.log.reason
    assert states(session) == {"p/z": State.PENDING, "p/a": State.CLAIMED, "p/b": State.PENDING}
    assert (repo.path / ".git" / "fleet" / "open").read_text() == "p refs/heads/main\n"


def test_a_task_claimed_while_others_are_being_revised_refuses_and_nothing_is_cancelled(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("gone"), task("a"), task("b"))
    saved(session, task("a", files=["elsewhere"]), task("b"))
    claim = a_claim_computed_now(session, "a")
    append, left = tasks.append, [claim]

    def appending(*args: Any) -> TaskRecord:
        if left:
            left.pop()()
        return append(*args)

    monkeypatch.setattr(tasks, "append", appending)
    with pytest.raises(InvalidInput, match="p/a has just been claimed"):
        approve.approve(session, "p")
    assert states(session) == {"p/gone": State.PENDING, "p/a": State.CLAIMED, "p/b": State.PENDING}
    assert session.snapshot().plans["p"].state is PlanState.OPEN


def test_a_refused_first_approval_goes_back_to_a_draft(
    session: Session, monkeypatch: pytest.MonkeyPatch, repo: Repo
) -> None:
    repo.branch("next")
    saved(session, task("a"), base="next")
    after_event(monkeypatch, "approving", lambda: repo.run_git("branch", "-D", "next"))
    with pytest.raises(InvalidInput, match="no such branch"):
        approve.approve(session, "p")
    assert session.snapshot().plans["p"].state is PlanState.DRAFT
    assert events(session) == ["approving", "draft"]
    assert not (repo.path / ".git" / "fleet" / "open").exists()


def test_a_claim_computed_before_the_approval_is_refused_by_its_own_task(session: Session) -> None:
    approved(session, task("a"), task("b"))
    late = a_claim_computed_now(session, "a")
    saved(session, task("a", files=["/x"]), task("b", files=["/x"]))
    approve.approve(session, "p")
    with pytest.raises(Held):
        late()
    claimed(session, "b")
    assert states(session) == {"p/a": State.PENDING, "p/b": State.CLAIMED}


def test_while_approving_old_and_new_revision_both_count_and_nothing_is_ready(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a", files=["/old"]))
    approved(session, task("o", files=["/old"]), task("n", files=["/new"]), plan="q")
    saved(session, task("a", files=["/new"]), task("b"))
    seen: list[object] = []

    def look() -> None:
        snapshot = session.snapshot()
        overlaps = session.index(snapshot).overlaps
        seen.append(overlaps.of(task_id("a")))
        for name in ("a", "b"):
            with pytest.raises((AnswerIsNo, InvalidInput)):
                claimed(session, f"p/{name}")

    after_event(monkeypatch, "approving", look)
    approve.approve(session, "p")
    assert seen == [{task_id("q/o"), task_id("q/n")}]


# --- interrupted, paused -------------------------------------------------------------------------


def test_an_interrupted_approval_is_finished_by_approving_again(session: Session) -> None:
    approved(session, task("a"), task("b"))
    note = saved(session, task("a", files=["/x"]), task("c")).note
    on_plan(session, "approving", incoming=note)
    on_task(session, "revised", "a", revision=note)
    record = approve.approve(session, "p")
    assert (record.state, record.log.revision, record.incoming) == (PlanState.OPEN, note, None)
    assert states(session) == {"p/a": State.PENDING, "p/c": State.PENDING}
    assert events(session, "b") == ["revised", "cancel"]


def test_an_interrupted_approval_is_finished_whatever_was_drafted_since(session: Session) -> None:
    begun = saved(session, task("a")).note
    on_plan(session, "approving", incoming=begun)
    newer = plan.add_task(session, "p", {"id": "later", "title": "A follow-up, its files not known yet"})
    found = approve.preview(session, "p")
    assert (found.note, found.check.tasks) == (begun, 1)
    assert "interrupted" in found.warnings[1]
    assert approve.approve(session, "p", expected=begun).log.revision == begun
    assert states(session) == {"p/a": State.PENDING}
    with pytest.raises(InvalidInput, match="p/later: files: missing"):
        approve.approve(session, "p", expected=newer.note)


def test_an_interrupted_approval_that_is_refused_by_now_is_taken_back(session: Session, repo: Repo) -> None:
    repo.branch("next")
    before = approved(session, task("a"))
    on_plan(session, "approving", incoming=saved(session, task("a"), base="next").note)
    repo.run_git("branch", "-D", "next")
    with pytest.raises(InvalidInput, match="no such branch"):
        approve.approve(session, "p")
    record = session.snapshot().plans["p"]
    assert (record.state, record.approved) == (PlanState.OPEN, before)


def test_what_is_approved_is_what_was_shown(session: Session) -> None:
    saved(session, task("a", accept=["./check"]))
    shown = approve.preview(session, "p").note
    saved(session, task("a", accept=["./something-else"]))
    with pytest.raises(Stale, match="changed while you were looking"):
        approve.approve(session, "p", expected=shown)
    assert session.snapshot().plans["p"].state is PlanState.DRAFT
    again = approve.preview(session, "p").note
    assert approve.approve(session, "p", expected=again).log.revision == again


def test_of_two_approvals_at_once_the_second_sees_what_the_first_brings(session: Session) -> None:
    """`y` of p is about to own what `r` of q is about to read: r counts as overlapping then, and a claim
    of it computed before must be void."""
    approved(session, task("y", files=["/y"], joint=True), plan="p")
    approved(session, task("r"), plan="q")
    late = a_claim_computed_now(session, "q/r")
    on_plan(session, "approving", incoming=saved(session, task("y", files=["/z"], joint=True)).note)
    saved(session, task("r", reads=["/z"]), plan="q")
    approve.approve(session, "q")
    with pytest.raises(Held):
        late()
    assert events(session, "q/r") == ["revised"]


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_paused_plan_stays_paused(session: Session, interrupted: bool) -> None:
    approved(session, task("a"))
    plan.pause(session, "p", "wait")
    note = saved(session, task("a"), task("b")).note
    if interrupted:
        on_plan(session, "approving", incoming=note, paused=True)
    assert approve.approve(session, "p").state is PlanState.PAUSED
    assert plan.resume(session, "p").state is PlanState.OPEN


def test_a_refused_approval_of_a_paused_plan_leaves_it_paused(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"), task("b"))
    plan.pause(session, "p", "wait")
    saved(session, task("b"))
    after_event(monkeypatch, "approving", a_claim_computed_now(session, "a"))
    with pytest.raises(InvalidInput):
        approve.approve(session, "p")
    assert session.snapshot().plans["p"].state is PlanState.PAUSED


def test_of_two_who_approve_at_once_one_is_told(
    session: Session, monkeypatch: pytest.MonkeyPatch, repo: Repo, clock: FakeClock
) -> None:
    saved(session, task("a"))
    with open_fleet(repo, "w2", clock) as other:
        after_event(monkeypatch, "approving", lambda: approve.approve(other, "p"))
        with pytest.raises(Stale):
            approve.approve(session, "p")
    assert session.snapshot().plans["p"].state is PlanState.OPEN


# --- the preview ---------------------------------------------------------------------------------


def test_the_preview_tells_what_will_run_and_what_it_takes(session: Session, repo: Repo) -> None:
    config = '[[gate]]\nname = "t"\nrun = "make test"\n[[gate]]\nname = "l"\nrun = ["ruff", "check"]\n'
    config += '[[verifier]]\nname = "v"\nlens = "l"\nrun = ["agent", "{prompt}"]\n'
    config += '[[generated]]\npaths = ["x.lock"]\nrun = "make lock"\n'
    repo.commit("Set up", {"fleet.toml": f"version = 1\nmax_active = 2\n{config}"})
    saved(session, *(task(name, accept=["./try", f"./{name}"]) for name in "abc"))
    found = approve.preview(session, "p")
    declared = ("make test", "ruff check", "make lock", "agent {prompt}")
    assert found.commands == (*declared, "./try", "./a", "./b", "./c")
    sizes = sum(len(entry.content) for entry in repo.files().values())
    assert (found.worktrees, found.disk_bytes, found.warnings) == (2, 2 * sizes, ())
    assert found.check.tasks == 3
    assert session.snapshot().plans["p"].state is PlanState.DRAFT


def test_the_preview_warns_when_no_gate_is_declared(session: Session) -> None:
    saved(session, task("a"))
    assert approve.preview(session, "p").warnings == ("no gate is declared: integrate will refuse",)


def test_the_preview_refuses_what_approve_would(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    saved(session, task("b"))
    with pytest.raises(InvalidInput, match="removed"):
        approve.preview(session, "p")
