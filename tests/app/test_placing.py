"""Where each claim is worked on, what it starts from, and that nothing of the one before is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import handin, placing, work
from git_fleet.app.session import Session
from git_fleet.core.model import Claim, State
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import AnswerIsNo, Held, InvalidInput, StaleClaim
from git_fleet.store import names
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    handed_in,
    landed_on_main,
    on_task,
    open_fleet,
    proposed,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Repo
from tests.support.worlds import assert_reachable


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def the_claim(session: Session, name: str) -> Claim:
    claim = session.record(session.snapshot(), name).state.claim
    assert claim is not None
    return claim


def content(path: Path, name: str) -> str:
    return (path / name).read_text()


# --- the first claim -----------------------------------------------------------------------------


def test_a_claim_makes_a_branch_and_a_worktree_beside_the_main_one(session: Session, repo: Repo) -> None:
    approved(session, task("a", slug="count", reads=["README.md"]))
    path = working_on(session, "a")
    assert path == repo.path.parent / "repo-a-count"
    tree = Repo(path)
    assert tree.run_git("symbolic-ref", "--short", "HEAD") == "feature/a-count"
    assert tree.rev("HEAD") == repo.rev("main")
    assert tree.status() == []
    known = json.loads((Path(tree.run_git("rev-parse", "--absolute-git-dir")) / "fleet.json").read_text())
    assert {key: known[key] for key in ("plan", "task", "worker", "branch", "base", "mode", "output")} == {
        "plan": "p",
        "task": "a",
        "worker": "w1",
        "branch": "feature/a-count",
        "base": "main",
        "mode": "branch",
        "output": "commit",
    }
    assert (known["files"], known["reads"]) == (["a/**"], ["README.md"])
    assert known["fence"] == the_claim(session, "a").fence


def test_names_that_the_plan_gives_are_used(session: Session, repo: Repo) -> None:
    approved(session, task("a", branch="topic/mine", worktree="my-place"))
    assert working_on(session, "a") == repo.path.parent / "my-place"
    assert the_claim(session, "a").branch == "topic/mine"


def test_a_worker_gets_its_environment(session: Session) -> None:
    approved(session, task("a"))
    placed = placing.place(session, claim_of(session, "a"))
    assert placed.env["FLEET_TASK"] == "a"
    assert placed.env["FLEET_FENCE"] == the_claim(session, "a").fence
    assert Path(placed.env["FLEET_SCRATCH"]).is_dir()


def claim_of(session: Session, name: str, *, worktree: bool = True) -> TaskRecord:
    found = claiming.claim(session, claiming.Request(task=name, worktree=worktree))
    assert isinstance(found, claiming.Claimed)
    return found.record


def test_a_claim_without_a_worktree_still_says_who_and_what(session: Session) -> None:
    approved(session, task("a"))
    record = claim_of(session, "a", worktree=False)
    placed = placing.place(session, record)
    assert placed.path is None
    assert placed.env == {
        "FLEET_PLAN": "p",
        "FLEET_TASK": "a",
        "FLEET_FENCE": record.tip,
        "FLEET_WORKER": "w1",
    }


def test_the_work_starts_from_the_plans_own_base(session: Session, repo: Repo) -> None:
    repo.branch("maint")
    repo.commit("main goes on")
    approved(session, task("a"), base="maint")
    path = working_on(session, "a")
    assert Repo(path).rev("HEAD") == repo.rev("maint") != repo.rev("main")


def test_a_base_that_is_gone_is_named_and_nothing_is_claimed(session: Session, repo: Repo) -> None:
    repo.branch("maint")
    approved(session, task("a"), base="maint")
    repo.run_git("branch", "-D", "maint")
    with pytest.raises(InvalidInput, match="there is no such branch"):
        claimed(session, "a", worktree=True)
    assert session.store.refs.read(names.TASK_LOGS) == {}


def test_a_name_that_another_plan_has_gets_the_plans_id_even_before_it_is_made(session: Session) -> None:
    approved(session, task("a", slug="do"))
    approved(session, task("a", slug="do", files=["/q"]), plan="q")
    claim_of(session, "p/a")  # and its process died before it made anything
    second = claim_of(session, "q/a").state.claim
    assert second is not None
    assert second.branch == "feature/q-a-do"
    assert the_claim(session, "p/a").branch == "feature/a-do"


def test_the_names_of_an_ended_task_are_free_when_nothing_of_it_is_left(session: Session) -> None:
    approved(session, task("a", slug="do"))
    approved(session, task("a", slug="do", files=["/q"]), plan="q")
    claim_of(session, "p/a")
    work.cancel(session, "p/a", "not wanted")
    second = claim_of(session, "q/a").state.claim
    assert second is not None
    assert second.branch == "feature/a-do"


def test_the_marker_files_are_told_when_git_shows_them(session: Session, repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": 'version = 1\ntouch = [".skip-watcher"]\n'})
    approved(session, task("a"))
    record = claim_of(session, "a")
    placed = placing.place(session, record)
    assert placed.path is not None
    assert placed.notes == (".skip-watcher is not ignored by git and shows as untracked",)
    assert placing.rescue(session, record) == placing.Rescued()


# --- resume --------------------------------------------------------------------------------------


def test_resume_makes_the_worktree_that_a_crash_prevented(session: Session) -> None:
    approved(session, task("a"))
    claim_of(session, "a")
    path = Path(the_claim(session, "a").worktree)
    assert not path.exists()
    assert placing.resume(session, None).path == path
    assert Repo(path).status() == []


def test_resume_finds_what_i_hold_wherever_i_am_and_changes_nothing(
    session: Session, clock: FakeClock
) -> None:
    approved(session, task("a"), task("b"))
    path = working_on(session, "a")
    (path / "new").write_text("work")
    tip = session.record(session.snapshot(), "a").tip
    for again in (session, open_fleet(path, None, clock)):
        placed = placing.resume(again, None)
        assert (placed.path, placed.record.tip) == (path, tip)
    assert content(path, "new") == "work"


def test_resume_of_one_who_holds_nothing_or_several_asks(session: Session) -> None:
    approved(session, task("a"), task("b"))
    with pytest.raises(AnswerIsNo, match="w1 holds no task"):
        placing.resume(session, None)
    for name in "ab":
        claim_of(session, name)
    with pytest.raises(AnswerIsNo, match="w1 holds p/a, p/b"):
        placing.resume(session, None)
    assert placing.resume(session, "b").record.id == task_id("b")


def test_resume_of_what_is_handed_in_or_another_holds_says_so(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    with pytest.raises(AnswerIsNo, match="handed in already"):
        placing.resume(session, "a")
    on_task(session, "withdraw", "a")
    with open_fleet(repo, "w2", clock) as other:
        claim_of(other, "a", worktree=False)
    with pytest.raises(StaleClaim, match="taken over by w2"):
        placing.resume(session, "a")


def test_resume_of_what_one_never_held_says_whose_it_is(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"), task("b"))
    claim_of(session, "a", worktree=False)
    with open_fleet(repo, "w2", clock) as other:
        with pytest.raises(Held, match="p/a is w1's, and you are w2"):
            placing.resume(other, "a")
        with pytest.raises(InvalidInput, match="nobody has claimed p/b"):
            placing.resume(other, "b")


def test_a_worktree_whose_folder_was_deleted_is_made_again_with_its_commits(session: Session) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    commit = Repo(path).commit("work", {"a/x": "1"})
    shutil.rmtree(path)
    assert placing.resume(session, None).path == path
    assert Repo(path).rev("HEAD") == commit


# --- take-over -----------------------------------------------------------------------------------


def test_a_take_over_goes_on_in_a_new_worktree_from_the_salvaged_work(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a", slug="do"))
    old = working_on(session, "a")
    Repo(old).commit("first", {"a/one": "1"})
    Repo(old).write("a/two", "untracked")
    clock.advance(7200)
    with open_fleet(repo, "w2", clock) as other:
        found = claiming.claim(other, claiming.Request())
        assert isinstance(found, claiming.Claimed)
        assert found.salvaged_from == "refs/fleet/salvage/p/a/1"
        new = placing.place(other, found.record).path
    assert new == repo.path.parent / "repo-a-do-a2"
    assert the_claim(session, "a").branch == "feature/a-do-a2"
    assert (content(new, "a/one"), content(new, "a/two")) == ("1", "untracked")
    assert Repo(old).status() == ["?? a/two"]  # never written, only fenced


def test_what_a_zombie_writes_after_it_was_taken_over_is_kept_where_it_is(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    old = working_on(session, "a")
    clock.advance(7200)
    with open_fleet(repo, "w2", clock) as other:
        claim_of(other, "a", worktree=False)
    late = Repo(old).commit("late", {"a/late": "1"})
    with open_fleet(old, None, clock) as zombie, pytest.raises(StaleClaim):
        handin.done(zombie, None, handin.Handin())
    assert Repo(old).rev("HEAD") == late


def test_from_another_machine_nothing_can_be_salvaged_and_work_starts_anew(
    session: Session, repo: Repo, clock: FakeClock, tmp_path: Path
) -> None:
    approved(session, task("a"))
    Repo(working_on(session, "a")).commit("first", {"a/one": "1"})
    clock.advance(7200)
    repo.run_git("clone", "--quiet", str(repo.path), str(tmp_path / "far"))
    there = Repo(tmp_path / "far")
    there.run_git("fetch", "--quiet", "origin", "refs/fleet/*:refs/fleet/*", "refs/notes/*:refs/notes/*")
    with open_fleet(there, "w2", clock, host="elsewhere") as other:
        found = claim_of(other, "a", worktree=True)
    assert found.state.claim is not None
    assert found.state.claim.start == repo.rev("main")
    assert found.state.salvages == 0


def test_a_machine_that_has_another_name_by_now_still_has_the_work(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    made = Repo(working_on(session, "a")).commit("first", {"a/one": "1"})
    clock.advance(7200)
    with open_fleet(repo, "w2", clock, host="renamed") as other:
        found = claim_of(other, "a", worktree=True)
    assert found.state.salvaged == made


# --- release, shelve, cancel ---------------------------------------------------------------------


def test_what_was_released_half_done_is_where_the_next_claim_starts(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    Repo(working_on(session, "a")).write("a/half", "done")
    acted = work.release(session, "a")
    assert acted.record.state.state is State.REWORK
    assert acted.notes == ("the work is kept at refs/fleet/salvage/p/a/1 (git fleet salvage show p/a 1)",)
    with open_fleet(repo, "w2", clock) as other:
        assert content(working_on(other, "a"), "a/half") == "done"


def test_released_work_is_not_forgotten_when_its_worktree_was_tidied_by_hand(session: Session) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    Repo(path).write("a/half", "done")
    work.release(session, "a")
    Repo(path).run_git("clean", "-fdq")
    again = working_on(session, "a")
    assert again != path
    assert content(again, "a/half") == "done"


def test_a_task_released_untouched_is_pending_again(session: Session) -> None:
    approved(session, task("a"))
    working_on(session, "a")
    acted = work.release(session, "a")
    assert (acted.record.state.state, acted.notes) == (State.PENDING, ())


@pytest.mark.parametrize("end", ["shelve", "cancel"])
def test_work_put_away_is_kept(session: Session, repo: Repo, end: str) -> None:
    approved(session, task("a"))
    Repo(working_on(session, "a")).write("a/half", "precious")
    if end == "cancel":
        acted = work.cancel(session, "a", "enough")
    else:
        work.block(session, "a", "missing-api", "no API")
        acted = work.shelve(session, "a")
    assert acted.notes == ("the work is kept at refs/fleet/salvage/p/a/1 (git fleet salvage show p/a 1)",)
    assert_reachable(repo, b"precious")


def test_a_shelved_task_starts_from_its_work_with_main_merged_in(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    Repo(working_on(session, "a")).write("a/half", "done")
    work.block(session, "a", "missing-api", "no API")
    work.shelve(session, "a")
    repo.commit("main goes on", {"elsewhere": "new"})
    path = working_on(session, "a")
    assert (content(path, "a/half"), content(path, "elsewhere")) == ("done", "new")
    assert Repo(path).status() == []


# --- rework --------------------------------------------------------------------------------------


def test_rework_goes_on_in_the_same_worktree(session: Session) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    handed_in(session, "a", {"a/x": "1"})
    work.reject(session, "a", ("not good",))
    assert working_on(session, "a") == path
    assert the_claim(session, "a").attempt == 2
    assert content(path, "a/x") == "1"
    assert [found.text for found in session.record(session.snapshot(), "a").state.findings] == ["not good"]


def test_rework_gets_a_new_worktree_when_the_old_one_is_dirty(session: Session, repo: Repo) -> None:
    approved(session, task("a", slug="do"))
    path = working_on(session, "a")
    handed_in(session, "a", {"a/x": "1"})
    Repo(path).write("a/later", "2")
    work.reject(session, "a", ("not good",))
    again = working_on(session, "a")
    assert again == repo.path.parent / "repo-a-do-a2"
    assert (content(again, "a/x"), content(again, "a/later")) == ("1", "2")


def test_rework_gets_a_new_worktree_while_a_process_works_in_the_old_one(session: Session) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    handed_in(session, "a", {"a/x": "1"})
    work.reject(session, "a", ("not good",))
    wait = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", wait], cwd=path, stdin=subprocess.PIPE) as busy:
        again = working_on(session, "a")
        busy.communicate()
    assert again != path
    assert content(again, "a/x") == "1"


def test_rework_on_another_machine_starts_from_the_proposal(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a"))
    working_on(session, "a")
    proposal = handed_in(session, "a", {"a/x": "1"}).state.proposal
    work.reject(session, "a", ("not good",))
    with open_fleet(repo, "w2", clock, host="elsewhere") as other:
        claim = claim_of(other, "a").state.claim
    assert claim is not None
    assert proposal is not None
    assert (claim.start, claim.branch[-3:]) == (proposal.commit, "-a2")


def test_after_a_conflict_main_is_merged_in_and_the_conflict_is_marked(session: Session, repo: Repo) -> None:
    repo.commit("Set up", {"a/x": "old\n"})
    approved(session, task("a", files=["/a/x"]), task("b", files=["/a/x"], overlap="accept"))
    path = working_on(session, "a")
    handed_in(session, "a", {"a/x": "mine\n"})
    repo.commit("meanwhile", {"a/x": "theirs\n", "elsewhere": "new"})
    on_task(session, "eject", "a", reason="conflict")
    placed = placing.place(session, claim_of(session, "a"))
    assert placed.path == path
    assert placed.conflicts == ("a/x",)
    assert placed.notes[0] == "main was merged into the branch; resolve the conflicts in a/x"
    assert "<<<<<<< " in content(path, "a/x")
    assert content(path, "elsewhere") == "new"
    assert placing.resume(session, "a") == placed  # whoever comes later is told the same
    Repo(path).write("a/x", "both\n")
    Repo(path).run_git("commit", "--quiet", "--all", "--no-edit")
    proposal = handin.done(session, "a", handin.Handin()).proposal
    assert proposal.base == repo.rev("main")
    landed_on_main(session, "a")
    assert repo.files("main")["a/x"].content == b"both\n"


@pytest.mark.parametrize(("reason", "merged"), [("gate", True), ("scope", False)])
def test_after_a_gate_said_no_the_worker_sees_what_the_gate_saw(
    session: Session, repo: Repo, reason: str, merged: bool
) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    handed_in(session, "a", {"a/x": "1"})
    repo.commit("meanwhile", {"elsewhere": "new"})
    on_task(session, "eject", "a", reason=reason)
    placed = placing.place(session, claim_of(session, "a"))
    assert (path / "elsewhere").exists() == merged
    assert placed.notes == (("main was merged into the branch",) if merged else ())
    assert Repo(path).status() == []
