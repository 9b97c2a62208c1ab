from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import handin, places, placing, slots, work
from git_fleet.app.doctor import doctor
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.session import Session
from git_fleet.app.tidy import cleanup
from git_fleet.core.results import Cleaned
from git_fleet.errors import InvalidInput
from git_fleet.store import archive
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    handed_in,
    integrated,
    on_plan,
    on_task,
    open_fleet,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Repo, make_repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Session:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"), task("b"), task("c"))
    return session


def only(results: tuple[Cleaned, ...]) -> Cleaned:
    (result,) = results
    return result


def branches(repo: Repo) -> list[str]:
    return [name.removeprefix("refs/heads/") for name in repo.refs("refs/heads/")]


def test_the_worktree_of_an_integrated_task_goes_with_its_branch_and_slot(
    session: Session, repo: Repo
) -> None:
    path = working_on(session, "a")
    handed_in(session, "a", {"a/1": "1"})
    integrated(session, "a")
    result = only(cleanup(session))
    assert (result.id, result.kept, result.branch) == (task_id("a"), "", "feature/a-do-a")
    assert not path.exists()
    assert branches(repo) == ["main"]
    assert slots.list_slots(session.around.state_dir) == []
    assert cleanup(session) == ()


def test_the_logs_of_a_task_go_with_its_worktree_when_it_has_ended(session: Session) -> None:
    logs = session.repo.fleet_dir / "logs" / "p"
    for name in ("a", "b"):
        working_on(session, name)
        (logs / name / "1").mkdir(parents=True)
        (logs / name / "1" / "1-tests.log").write_text("green\n")
    on_task(session, "cancel", "a")
    on_task(session, "release", "b")
    cleanup(session, dry_run=True)
    assert (logs / "a").exists()
    cleanup(session)
    assert [path.name for path in logs.iterdir()] == ["b"]


def test_a_trial_only_says_what_it_would_do(session: Session) -> None:
    path = working_on(session, "a")
    on_task(session, "cancel", "a")
    assert only(cleanup(session, dry_run=True)).kept == ""
    assert path.is_dir()


def test_work_that_is_nowhere_else_is_pinned_before_its_branch_goes(session: Session, repo: Repo) -> None:
    path = working_on(session, "a")
    commit = Repo(path).commit("unfinished", {"a/1": "1"})
    on_task(session, "cancel", "a")
    result = only(cleanup(session))
    assert result.salvage == "refs/fleet/salvage/p/a/1"
    assert branches(repo) == ["main"]
    assert session.store.objects.is_ancestor(commit, repo.refs(result.salvage)[result.salvage])


def test_one_that_must_stay_does_not_stop_the_others(session: Session) -> None:
    dirty, ignored, clean = (working_on(session, name) for name in "abc")
    (dirty / "left.txt").write_text("mine")
    (ignored / ".gitignore").write_text("*.secret\n.gitignore\n")
    (ignored / "key.secret").write_text("precious")
    for name in "abc":
        on_task(session, "cancel", name)
    found = {result.id.task: (result.kept, result.paths) for result in cleanup(session)}
    assert found == {
        "a": ("dirty", ("left.txt",)),
        "b": ("ignored", (".gitignore", "key.secret")),
        "c": ("", ()),
    }
    assert (dirty.is_dir(), ignored.is_dir(), clean.exists()) == (True, True, False)


def test_what_is_worked_on_is_left_alone_and_mentioned_only_when_named(session: Session) -> None:
    path = working_on(session, "a")
    assert cleanup(session) == ()
    result = only(cleanup(session, ["p/a"]))
    assert (result.kept, result.text) == ("active", "the task is claimed")
    assert path.is_dir()


def test_the_worktree_of_a_claim_that_was_taken_over_goes(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    first = working_on(session, "a")
    kept = Repo(first).commit("half", {"a/1": "1"})
    clock.advance(4000)
    second = working_on(open_fleet(repo, "w2", clock), "a")
    result = only(cleanup(session))
    assert (result.path, result.kept) == (str(first), "")
    assert second.is_dir()
    assert session.store.objects.is_ancestor(kept, Repo(second).rev("HEAD"))


def test_a_released_worktree_goes_and_one_for_rework_stays(session: Session) -> None:
    released, rework = working_on(session, "a"), working_on(session, "b")
    on_task(session, "release", "a")
    handed_in(session, "b", {"b/1": "1"})
    on_task(session, "withdraw", "b", reason="not yet")
    assert [result.path for result in cleanup(session)] == [str(released)]
    assert rework.is_dir()


def test_a_worktree_deleted_by_hand_is_forgotten(session: Session) -> None:
    path = working_on(session, "a")
    on_task(session, "cancel", "a")
    shutil.rmtree(path)
    assert only(cleanup(session)).kept == ""
    assert places.task_places(session) == []
    assert {problem.code for problem in doctor(session, fix=False).problems} == {"hooks-missing"}


def test_worktrees_of_a_closed_plan_go_too(session: Session) -> None:
    path = working_on(session, "a")
    on_task(session, "cancel", "a")
    on_plan(session, "closing")
    on_plan(session, "close")
    archive.fold(session.store, "p", actor="ann", at=session.now())
    assert only(cleanup(session, ["a"])).kept == ""
    assert not path.exists()


def test_nobody_saws_off_the_branch_they_sit_on(session: Session) -> None:
    path = working_on(session, "a")
    on_task(session, "cancel", "a")
    inside = open_fleet(path, None)
    assert only(cleanup(inside)).kept == "here"
    assert path.is_dir()


def test_a_persons_lock_is_respected(session: Session, repo: Repo) -> None:
    path = working_on(session, "a")
    repo.run_git("worktree", "unlock", str(path))
    repo.run_git("worktree", "lock", "--reason", "looking at it", str(path))
    on_task(session, "cancel", "a")
    assert only(cleanup(session)).kept == "locked"


def test_a_name_without_a_worktree_is_refused(session: Session) -> None:
    claimed(session, "a")
    with pytest.raises(InvalidInput, match="p/a has no worktree"):
        cleanup(session, ["a"])
    with pytest.raises(InvalidInput, match="no task 'nope'"):
        cleanup(session, ["nope"])


def test_only_the_named_tasks_are_cleaned(session: Session) -> None:
    paths: dict[str, Path] = {name: working_on(session, name) for name in "ab"}
    for name in "ab":
        on_task(session, "cancel", name)
    cleanup(session, ["b"])
    assert (paths["a"].is_dir(), paths["b"].exists()) == (True, False)


def test_the_worktree_of_rework_that_was_just_claimed_stays(session: Session) -> None:
    path = working_on(session, "a")
    handed_in(session, "a", {"a/1": "1"})
    on_task(session, "reject", "a", findings=(), reason="rejected")
    found = claiming.claim(session, claiming.Request("a"))
    assert isinstance(found, claiming.Claimed)
    record = found.record
    assert record.state.claim is not None
    assert record.state.claim.worktree == str(path)
    assert cleanup(session) == ()
    assert placing.place(session, record).path == path


def test_changes_that_the_lead_has_committed_do_not_keep_a_worktree(session: Session, repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": 'version = 1\nmode = "lead-commits"\ngates = "none"\n'})
    path = working_on(session, "a")
    Repo(path).write("a/1", "1")
    handin.done(session, "a", handin.Handin())
    integrate(session, Order(), lambda _: None)
    Repo(path).write("a/2", "later")
    assert only(cleanup(session)).kept == "dirty"
    (path / "a/2").unlink()
    (result,) = cleanup(session)
    assert (result.kept, result.salvage, result.branch) == ("", "", "feature/a-do-a")
    assert not path.exists()


def test_changes_that_were_salvaged_do_not_keep_a_worktree(session: Session) -> None:
    path = working_on(session, "a")
    Repo(path).write("a/1", "1")
    work.cancel(session, "a", "enough")
    result = only(cleanup(session))
    assert (result.kept, result.salvage) == ("", "refs/fleet/salvage/p/a/1")
    assert not path.exists()


@pytest.mark.parametrize("inside", ["embedded", "submodule"])
def test_a_repository_inside_keeps_a_worktree_although_the_rest_is_saved(
    session: Session, tmp_path: Path, inside: str
) -> None:
    path = working_on(session, "a")
    tree = Repo(path)
    tree.write("a/1", "1")
    if inside == "submodule":
        make_repo(tmp_path / "other")
        tree.run_git("submodule", "--quiet", "add", str(tmp_path / "other"), "a/other")
    else:
        make_repo(path / "a/other")
    work.cancel(session, "a", "enough")
    assert only(cleanup(session)).kept == "dirty"
    assert (path / "a/other/README.md").exists()
