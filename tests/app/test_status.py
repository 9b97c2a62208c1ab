from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_fleet.app import places, status
from git_fleet.app.session import Session
from git_fleet.core.model import Finding, PlanState, State
from git_fleet.core.results import TaskRow
from git_fleet.errors import Ambiguous, AnswerIsNo, InvalidInput
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
    working_on,
)
from tests.support.repo import Repo, make_repo


def rows(session: Session) -> dict[str, TaskRow]:
    return {row.id.task: row for plan in status.status(session).plans for row in plan.tasks}


def test_a_repository_without_a_commit_has_a_status(tmp_path: Path) -> None:
    found = status.status(open_fleet(make_repo(tmp_path / "empty", {})))
    assert (found.plans, found.main, found.lead) == ((), None, "")
    assert found.next_command.startswith("git commit")


def test_status_counts_the_tasks_of_each_plan(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b"), task("c"), title="Three")
    claimed(session, "b")
    (plan,) = status.status(session).plans
    assert (plan.plan, plan.title, plan.base, plan.state) == ("p", "Three", "main", PlanState.OPEN)
    assert plan.counts == ((State.PENDING, 2), (State.CLAIMED, 1))
    assert [row.id.task for row in plan.tasks] == ["a", "b", "c"]


def test_status_says_main_and_who_leads(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    assert status.status(session).main == repo.rev("main")


def test_a_claimed_task_names_its_holder_until_it_is_released(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "ann", clock)
    approved(session, task("a"))
    claimed(session, "a")
    row = rows(session)["a"]
    assert (row.holder, row.attempt) == ("ann", 1)
    assert row.expires_at is not None
    assert row.expires_at > clock()
    on_task(session, "release", "a")
    assert (rows(session)["a"].holder, rows(session)["a"].expires_at) == ("", None)


def test_a_waiting_task_names_what_it_waits_for(repo: Repo) -> None:
    session = open_fleet(repo)
    tasks = [task("a", files=["x/**"]), task("b", files=["x/y"]), task("c", needs=["a"]), task("d")]
    approved(session, *tasks)
    claimed(session, "a")
    waits = {name: row.waits_for for name, row in rows(session).items()}
    assert waits == {"a": (), "b": (task_id("a"),), "c": (task_id("a"),), "d": ()}
    proposed(session, "a", {"x/y": "1"})
    integrated(session, "a")
    assert [row.waits_for for row in rows(session).values()] == [()] * 4


def test_details_count_commits_and_uncommitted_paths_of_worktrees_here(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b"), task("c"))
    for name in ("a", "b"):
        claimed(session, name, worktree=True)
    work = Repo(Path(rows(session)["a"].worktree))
    work.commit("one", {"a/1": "1"})
    work.commit("two", {"a/2": "2"})
    work.write("a/3", "3")
    repo.commit("main goes on", {"elsewhere": "x"})
    found = {name: (row.ahead, row.dirty) for name, row in rows(session).items()}
    assert found == {"a": (2, 1), "b": (0, 0), "c": (None, None)}
    bare = {
        row.id.task: row.ahead for plan in status.status(session, details=False).plans for row in plan.tasks
    }
    assert bare == {"a": None, "b": None, "c": None}


def test_a_worktree_deleted_by_hand_has_no_details(repo: Repo, tmp_path: Path) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    path = working_on(session, "a")
    path.rename(tmp_path / "gone")
    row = rows(session)["a"]
    assert (row.ahead, row.dirty) == (0, None)


def test_a_draft_shows_its_tasks_and_a_closed_plan_is_left_out(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), plan="old")
    on_plan(session, "closing", "old")
    on_plan(session, "close", "old")
    saved(session, task("a"), task("b"), plan="new")
    (plan,) = status.status(session).plans
    assert (plan.plan, plan.state, len(plan.tasks)) == ("new", PlanState.DRAFT, 2)


def test_tasks_of_a_revision_being_approved_are_shown(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    record = saved(session, task("a"), task("b"))
    on_plan(session, "approving", incoming=record.note)
    assert list(rows(session)) == ["a", "b"]


def test_reading_changes_nothing_in_the_repository(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b"))
    claimed(session, "a", worktree=True)
    before = {path: path.stat().st_mtime_ns for path in sorted((repo.path / ".git").rglob("*"))}
    reader = open_fleet(repo, "reader")
    status.status(reader)
    status.ready(reader)
    status.explain(reader, "a")
    status.siblings(reader, "a")
    status.list_worktrees(reader)
    assert {path: path.stat().st_mtime_ns for path in sorted((repo.path / ".git").rglob("*"))} == before


def test_ready_tasks_come_by_priority_with_their_wave(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b", priority=5), task("c", needs=["a"]), task("d", files=["a/x"]))
    found = status.ready(session)
    assert [(each.id.task, each.wave, each.priority) for each in found] == [
        ("b", 0, 5),
        ("a", 0, 0),
        ("d", 1, 0),
    ]
    assert status.ready(open_fleet(make_repo(repo.path.parent / "other"))) == ()


def test_explain_gives_every_reason_and_none_for_a_ready_task(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a", files=["x/**"]), task("b", files=["x/y"], needs=["a"], hold=True))
    assert status.explain(session, "a").ready
    claimed(session, "a")
    found = status.explain(session, "p/b")
    assert not found.ready
    assert [reason.code for reason in found.reasons] == ["hold", "needs", "overlap"]
    assert [reason.code for reason in status.explain(session, "a").reasons] == ["claimed"]


def test_explain_tells_who_is_at_it_and_who_waits(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "ann", clock)
    approved(session, task("a", files=["x/**"]), task("b", needs=["a"]), task("c", files=["x/y"]), task("d"))
    Repo(working_on(session, "a")).commit("Work", {"x/1": "1"})
    found = status.explain(session, "a")
    assert found.row is not None
    assert (found.row.holder, found.row.ahead, found.row.dirty, found.base) == ("ann", 1, 0, "main")
    assert found.row.claimed_at == clock()
    assert found.waiting == (task_id("b"), task_id("c"))
    proposed(session, "a", {"x/y": "1"})
    commit = integrated(session, "a")
    found = status.explain(session, "a")
    assert (found.landed, found.waiting) == (commit, ())
    claimed(session, "c")  # which has files of it
    assert [reason.code for reason in status.explain(session, "a").reasons] == ["state"]


def test_signs_of_life_are_events_commits_hooks_and_what_agents_print(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "ann", clock)
    approved(session, task("a"), task("b"))
    path = working_on(session, "a")
    git_dir = Path(Repo(path).run_git("rev-parse", "--absolute-git-dir"))
    old = clock().timestamp() - 10
    printed = repo.path / ".git" / "fleet" / "output" / "p" / "a" / "1-1.log"
    printed.parent.mkdir(parents=True)
    signs = [git_dir / "logs" / "HEAD", git_dir / "fleet-alive", printed]
    for sign in signs:
        sign.touch()
        os.utime(sign, (old, old))

    def seen() -> float:
        found = rows(session)["a"].seen_at
        assert found is not None
        return found.timestamp()

    assert seen() == clock().timestamp()  # the claim itself
    for number, sign in enumerate(signs, 1):
        os.utime(sign, (clock().timestamp() + number, clock().timestamp() + number))
        assert seen() == clock().timestamp() + number
    os.utime(printed, (old, old))
    printed.with_name("2-1.log").touch()  # of another attempt, now
    assert seen() == clock().timestamp() + 2
    assert rows(session)["b"].seen_at is None
    on_task(session, "release", "a")
    assert rows(session)["a"].seen_at is None


def test_waves_are_counted_over_the_whole_plan(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b", needs=["a"]), task("c", files=["b/x"]), task("d"))
    (plan,) = status.status(session).plans
    assert [(row.id.task, row.wave) for row in plan.tasks] == [("a", 0), ("b", 1), ("c", 0), ("d", 0)]
    assert (plan.wave, plan.waves) == (0, 2)
    for name in ("a", "c", "d"):
        claimed(session, name)
        proposed(session, name)
        integrated(session, name)
    (plan,) = status.status(session).plans
    assert (plan.wave, plan.waves) == (1, 2)


def test_explain_names_a_limit_that_is_reached(repo: Repo) -> None:
    repo.commit("limit", {"fleet.toml": "version = 1\nmax_active = 1\n"})
    session = open_fleet(repo)
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    (reason,) = status.explain(session, "b").reasons
    assert (reason.code, reason.text) == ("limit", "1 task is claimed, max_active is 1")


def test_nothing_is_ready_where_a_limit_keeps_every_claim_out(repo: Repo) -> None:
    repo.commit("limit", {"fleet.toml": 'version = 1\nmax_active = 1\ngates = "none"\n'})
    session = open_fleet(repo)
    approved(session, task("a"), task("b"))
    assert "git fleet claim" in [step.command for step in status.status(session).steps]
    claimed(session, "a")
    assert status.ready(session) == ()
    assert "git fleet claim" not in [step.command for step in status.status(session).steps]


def test_a_short_name_that_fits_two_plans_is_refused(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), plan="p")
    approved(session, task("a", files=["z"]), plan="q")
    with pytest.raises(Ambiguous, match="p/a, q/a"):
        status.explain(session, "a")
    with pytest.raises(InvalidInput, match="no task 'zz'"):
        status.explain(session, "zz")


def test_siblings_are_the_other_tasks_of_the_plan(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b"), task("c"))
    approved(session, task("z"), plan="q")
    claimed(session, "b")
    on_task(session, "block", "b", code="no-key", reason="the key is missing")
    found = {each.id.task: each for each in status.siblings(session, "a")}
    assert sorted(found) == ["b", "c"]
    assert (found["b"].holder, found["b"].code, found["b"].reason) == ("w1", "no-key", "the key is missing")
    assert found["c"].holder == ""
    assert [each.id.task for each in status.siblings(session, "q")] == ["z"]


def test_in_a_worktree_the_task_need_not_be_named(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b"))
    path = working_on(session, "a")
    inside = open_fleet(path, None)
    assert status.explain(inside, None).id == task_id("a")
    assert [each.id.task for each in status.siblings(inside, None)] == ["b"]
    with pytest.raises(InvalidInput, match="not a task's worktree"):
        status.siblings(session, None)


def test_path_says_where_a_task_is_worked_on_or_why_not(repo: Repo, tmp_path: Path) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b"), task("c"))
    path = working_on(session, "a")
    assert places.path_of(session, "a") == path
    with pytest.raises(AnswerIsNo, match="no worktree"):
        places.path_of(session, "b")
    with pytest.raises(AnswerIsNo, match="on elsewhere"):
        _claim_on_another_machine(repo, "c", session)
    path.rename(tmp_path / "moved")
    with pytest.raises(AnswerIsNo, match="is gone") as gone:
        places.path_of(session, "a")
    assert gone.value.hint.startswith("git fleet claim --resume p/a --worker w1")
    on_task(session, "block", "a", code="stuck")
    with pytest.raises(AnswerIsNo, match="is gone") as gone:
        places.path_of(session, "a")
    assert gone.value.hint.startswith("git fleet explain p/a")


def test_of_a_claim_without_a_worktree_path_names_what_is_possible_then(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    with pytest.raises(AnswerIsNo) as none:
        places.path_of(session, "a")
    assert none.value.hint.startswith("git fleet claim p/a")
    claimed(session, "a")
    with pytest.raises(AnswerIsNo, match="no worktree") as none:
        places.path_of(session, "a")
    assert none.value.hint.startswith("git fleet done p/a --commit REV --worker w1")
    proposed(session, "a")
    with pytest.raises(AnswerIsNo, match="no worktree") as none:
        places.path_of(session, "a")
    assert none.value.hint.startswith("git fleet explain p/a")


def _claim_on_another_machine(repo: Repo, name: str, session: Session) -> None:
    claimed(open_fleet(repo, "far", host="elsewhere"), name, worktree=True)
    places.path_of(session, name)


def test_the_worktrees_of_earlier_claims_are_listed_as_such(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"))
    first = working_on(session, "a")
    (first / "a").mkdir()
    (first / "a" / "half").write_text("work")
    clock.advance(4000)
    claimed(open_fleet(repo, "w2", clock), "a", worktree=True)
    found = status.list_worktrees(session)
    assert [(row.worker, row.current, row.dirty, row.state) for row in found] == [
        ("w1", False, 1, State.CLAIMED),
        ("w2", True, 0, State.CLAIMED),
    ]
    assert found[0].path == str(first)
    assert found[0].branch == "feature/a-do-a"


def test_the_number_of_processes_does_not_grow_with_the_tasks(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_fleet(repo)
    approved(session, *(task(f"t{number}") for number in range(60)))
    for number in range(5):
        claimed(session, f"t{number}")
    session.store.objects.close()
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    (plan,) = status.status(session).plans
    assert len(plan.tasks) == 60
    assert 3 < trace.read_text().count("trace: built-in") < 12


def test_a_task_that_came_back_says_why_and_what_was_found(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"), task("b", needs=["a"]), task("c"))
    claimed(session, "a")
    proposed(session, "a")
    found = (Finding("gate tests: exit 1\nE  assert", "gate"), Finding("more", "gate"))
    on_task(session, "eject", "a", reason="gate", findings=found)
    assert rows(session)["a"].why == "gate tests: exit 1"
    explained = status.explain(session, "a")
    assert (explained.ready, explained.findings) == (True, found)
    assert "it needs p/a, which is in rework" in status.explain(session, "b").reasons[0].text
    claimed(session, "a")
    assert (rows(session)["a"].why, status.explain(session, "a").findings) == ("", found)  # its worker's
    on_task(session, "block", "a", code="no-api", reason="there is none")
    assert rows(session)["a"].why == "no-api: there is none"
    assert status.explain(session, "a").findings == found


def test_a_person_s_finding_has_its_reason_before_it(repo: Repo) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    on_task(session, "reject", "a", reason="rejected", findings=(Finding("no docs", "person:ann"),))
    assert rows(session)["a"].why == "rejected: no docs"
