"""Each thing that can be wrong is made wrong once, is found, and is repaired where that is safe."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from git_fleet.app import install, lead, places, slots
from git_fleet.app.doctor import doctor
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import PENDING, State, TaskState
from git_fleet.core.results import Problem
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import evidence, guard, log, names, tasks
from git_fleet.store import lead as lead_log
from git_fleet.store.lead import Intent, Landing
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    handed_in,
    integrated,
    landed_on_main,
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


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Session:
    """A fleet with hooks and an open plan of two overlapping tasks and a third."""
    session = open_fleet(repo, "w1", clock)
    install.install(session.repo)
    approved(session, task("a", files=["x/**"]), task("b", files=["x/y"]), task("c"))
    return session


def codes(found: tuple[Problem, ...]) -> list[str]:
    return [problem.code for problem in found]


def ill(session: Session, code: str) -> Problem:
    """The one problem there is, of that code; looking has changed nothing."""
    before = session.store.refs.read("refs/")
    found = doctor(session, fix=False)
    assert codes(found.problems) == [code]
    assert not found.ok
    assert session.store.refs.read("refs/") == before
    return found.problems[0]


def healed(session: Session, code: str) -> None:
    """--fix repairs it and says so; afterwards nothing is wrong."""
    found = doctor(session, fix=True)
    assert [(problem.code, problem.fixed) for problem in found.problems] == [(code, True)]
    assert found.ok
    assert doctor(session, fix=False).problems == ()


def incurable(session: Session, code: str) -> None:
    found = doctor(session, fix=True)
    assert [(problem.code, problem.fixed) for problem in found.problems] == [(code, False)]
    assert not found.ok


def test_a_fleet_at_work_is_healthy_and_so_is_one_that_has_finished(session: Session) -> None:
    claimed(session, "a")
    proposed(session, "a", {"x/1": "1"})
    on_task(session, "reject", "a", reason="rejected")
    claimed(session, "a", worktree=True)
    handed_in(session, "a", {"x/2": "2"})
    commit = integrated(session, "a")
    evidence.add(session.store, {commit: "version = 1\n"}, actor="ann", at=session.now())
    working_on(session, "c")
    found = doctor(session, fix=False)
    assert (found.ok, found.problems) == (True, ())
    assert codes(found.notes) == ["worktree-left"]


def test_a_repository_without_a_fleet_lacks_nothing_but_the_hooks(tmp_path: Path) -> None:
    found = doctor(open_fleet(make_repo(tmp_path / "fresh")), fix=False)
    assert set(codes(found.problems)) == {"hooks-missing"}
    assert "git fleet init" in found.problems[0].fix


def test_a_repository_without_a_commit_is_told_to_make_one(tmp_path: Path) -> None:
    session = open_fleet(make_repo(tmp_path / "empty", {}))
    install.install(session.repo)
    assert "first commit" in ill(session, "check-failed").fix


def test_doctor_works_in_a_sha256_repository(tmp_path: Path) -> None:
    session = open_fleet(make_repo(tmp_path / "long", object_format="sha256"))
    install.install(session.repo)
    approved(session, task("a"))
    claimed(session, "a")
    assert doctor(session, fix=True).problems == ()


# --- setup ---------------------------------------------------------------------------------------


def test_hooks_that_were_pushed_aside_are_found(session: Session, repo: Repo) -> None:
    (repo.path / ".git" / "hooks" / "pre-commit").unlink()
    assert "pre-commit" in ill(session, "hooks-missing").text


def test_in_a_bare_repository_it_does_not_ask_for_what_init_refuses(tmp_path: Path, repo: Repo) -> None:
    repo.run_git("clone", "--quiet", "--bare", ".", str(tmp_path / "team.git"))
    problem = ill(open_fleet(Repo(tmp_path / "team.git")), "hooks-missing")
    assert problem.fix.startswith("git worktree add ../main main, and git fleet init there; ")
    assert "git fleet guard --server ." in problem.fix


def test_an_invalid_configuration_is_found(tmp_path: Path) -> None:
    broken = make_repo(tmp_path / "broken", {"fleet.toml": "version = 1\nmax_activ = 3\n"})
    session = open_fleet(broken)
    install.install(session.repo)
    assert "max_activ" in ill(session, "config-invalid").text


def test_a_configuration_that_is_not_committed_does_not_count(session: Session, repo: Repo) -> None:
    repo.write("fleet.toml", "version = 1\n")
    assert "git add fleet.toml" in ill(session, "config-uncommitted").fix


def test_a_shallow_clone_is_worth_a_note(repo: Repo, tmp_path: Path) -> None:
    repo.commit("two")
    shallow = Repo(tmp_path / "shallow")
    repo.run_git("clone", "-q", "--depth=1", f"file://{repo.path}", str(shallow.path))
    found = doctor(open_fleet(shallow), fix=False)
    assert ("shallow", "git fetch --unshallow") in [(note.code, note.fix) for note in found.notes]


# --- logs ----------------------------------------------------------------------------------------


def forge(session: Session, name: str, event: str, change: Callable[[TaskState], TaskState]) -> Oid:
    """Append an event whose state is not what the table says."""
    record = session.record(session.snapshot(), name)
    written = Event(event, session.now(), "mallory")
    return session.store.append(
        names.task_log(record.id), written, change(record.state), parent=record.tip, subject="forged"
    )


def test_a_state_that_does_not_follow_from_its_events_is_found(session: Session) -> None:
    claimed(session, "c")
    forge(session, "c", "renew", lambda state: replace(state, attempt=7))
    assert "does not follow" in ill(session, "log").text
    incurable(session, "log")


def test_a_state_that_was_tampered_with_is_found_field_by_field(session: Session) -> None:
    on_task(session, "cancel", "c")
    forge(session, "c", "reopen", lambda _: replace(PENDING, attempt=3))
    assert "another attempt than follows" in ill(session, "log").text


def test_an_event_that_the_table_does_not_allow_is_found(session: Session) -> None:
    forge(session, "c", "uphold", lambda state: replace(state, state=State.VERIFIED))
    assert "uphold is not possible while the task is pending" in ill(session, "log").text


def test_a_log_of_another_format_version_is_refused_with_its_version_and_what_to_do(
    session: Session, repo: Repo
) -> None:
    commit = repo.run_git("commit-tree", repo.run_git("write-tree"), "-m", 'claim\n\n{"v":2,"event":"claim"}')
    session.store.refs.transact([Update("refs/fleet/task/p/c", ABSENT, Oid(commit))])
    found = doctor(session, fix=True)
    assert not found.ok
    assert "format version 2" in found.problems[0].text
    assert found.problems[0].fix.startswith("a newer git-fleet wrote it: install that one")


def test_a_damaged_lead_log_guard_and_plan_log_are_found(session: Session, repo: Repo) -> None:
    junk = Oid(repo.run_git("commit-tree", repo.run_git("write-tree"), "-m", "junk"))
    refs = ("refs/fleet/lead", "refs/fleet/guard", "refs/fleet/bucket", "refs/fleet/plan/q")
    session.store.refs.transact([Update(ref, ABSENT, junk) for ref in refs])
    found = doctor(session, fix=False)
    named = " ".join(problem.text for problem in found.problems)
    assert set(codes(found.problems)) == {"format"}
    assert all(word in named for word in ("lead", "refs/fleet/guard", "refs/fleet/bucket", "log of q"))


# --- claims --------------------------------------------------------------------------------------


def test_a_claim_that_stopped_after_the_guard_is_finished(session: Session) -> None:
    snapshot = session.snapshot()
    record = snapshot.resolve("a")
    claimed(open_fleet(session.repo.common_dir.parent, "w2"), "a")
    now = session.snapshot()
    tip, moved = now.resolve("a").tip, now.guard
    assert tip is not None
    assert moved is not None
    session.store.refs.transact([Update(names.task_log(record.id), tip, ABSENT)])
    ill(session, "claim-unfinished")
    healed(session, "claim-unfinished")
    assert session.snapshot().resolve("a").tip == tip


def test_a_void_claim_in_the_guard_is_fine(session: Session) -> None:
    record = session.snapshot().resolve("a")
    event = Event("claim", session.now(), "late")
    claimed(session, "a")
    lost = log.write(session.store.objects, event, record.state, parent=None, subject="lost")
    before = session.snapshot().guard
    guard.move(session.store, before=before, task=record.id, claim=lost, event=event)
    assert doctor(session, fix=True).problems == ()


def test_overlapping_tasks_that_are_active_together_are_found(session: Session) -> None:
    claimed(session, "a")
    record = session.snapshot().resolve("b")
    state = session.snapshot().resolve("a").state
    assert state.claim is not None
    stolen = replace(state.claim, fence=None)
    event = Event("claim", session.now(), "cheat", {"claim": stolen})
    tasks.append(session.store, record, event)
    assert "p/a and p/b" in ill(session, "overlap").text
    incurable(session, "overlap")


def test_a_plan_left_between_two_states_names_the_command_that_finishes_it(session: Session) -> None:
    record = saved(session, task("a"), task("b"), task("c"), task("d"))
    on_plan(session, "approving", incoming=record.note)
    assert ill(session, "approval-unfinished").fix == "git fleet plan approve p finishes it"
    on_plan(session, "approve", revision=record.note)
    on_plan(session, "closing")
    assert ill(session, "closing-unfinished").fix == "git fleet plan close p finishes it"


def test_task_logs_of_a_closed_plan_go_to_its_archive(session: Session) -> None:
    claimed(session, "c")
    on_task(session, "cancel", "c")
    on_plan(session, "closing")
    on_plan(session, "close")
    tip = session.store.refs.get(names.task_log(task_id("c")))
    ill(session, "closed-plan")
    healed(session, "closed-plan")
    assert session.store.refs.read("refs/fleet/task/") == {}
    assert isinstance(tip, str)
    assert session.store.objects.is_ancestor(
        tip, session.store.refs.read("refs/fleet/archive/")["refs/fleet/archive/p"]
    )


def test_an_expired_claim_is_a_note(session: Session, clock: FakeClock) -> None:
    claimed(session, "c")
    clock.advance(4000)
    found = doctor(session, fix=False)
    assert found.ok
    assert codes(found.notes) == ["expired"]


# --- main ----------------------------------------------------------------------------------------


def interrupted(session: Session, *, moved: bool) -> Oid:
    """An integration of `c` that stopped after its intent, or after main moved."""
    claimed(session, "c")
    proposed(session, "c")
    record = on_task(session, "accept", "c")
    old = session.store.refs.get("refs/heads/main")
    assert isinstance(old, str)
    commit = landed_on_main(session, "c")
    assert record.tip is not None
    fields = {"commit": commit, "number": 1}
    event = Event("integrate", session.now(), "ann", fields)
    state = replace(record.state, state=State.INTEGRATED, landed=commit)
    prepared = log.write(session.store.objects, event, state, parent=record.tip, subject="integrate")
    landing = Landing(record.id, 1, commit, record.tip, prepared, "version = 1\n")
    if not moved:
        session.store.refs.transact([Update("refs/heads/main", commit, old)])
    held = lead.acquire(session)
    intent = Intent("refs/heads/main", old, commit, "", (landing,))
    lead_log.begin(session.store, held, intent, actor="ann", now=session.now())
    return commit


def test_an_interrupted_integration_is_completed_when_main_has_moved(session: Session) -> None:
    commit = interrupted(session, moved=True)
    ill(session, "intent-open")
    healed(session, "intent-open")
    assert session.snapshot().resolve("c").state.landed == commit
    assert evidence.read(session.store, commit) == "version = 1\n"


def test_an_interrupted_integration_is_voided_when_main_has_not_moved(session: Session, repo: Repo) -> None:
    interrupted(session, moved=False)
    repo.run_git("reset", "-q", "--hard")
    healed(session, "intent-open")
    assert session.snapshot().resolve("c").state.state is State.VERIFIED


def test_a_task_whose_commit_was_taken_off_main_is_found(session: Session, repo: Repo) -> None:
    claimed(session, "c")
    proposed(session, "c")
    before = repo.rev("main")
    commit = integrated(session, "c")
    session.store.refs.transact([Update("refs/heads/main", commit, before)])
    assert "p/c" in ill(session, "not-integrated").text
    incurable(session, "not-integrated")


def test_a_commit_that_was_rebased_is_known_by_its_trailers_and_gets_its_note(
    session: Session, repo: Repo
) -> None:
    claimed(session, "c")
    proposed(session, "c")
    before = repo.rev("main")
    commit = integrated(session, "c")
    tree = repo.run_git("rev-parse", f"{commit}^{{tree}}")
    message = repo.run_git("log", "-1", "--format=%B", commit)
    again = Oid(repo.run_git("commit-tree", tree, "-p", before, "-F", "-", stdin=b"x " + message.encode()))
    session.store.refs.transact([Update("refs/heads/main", commit, again)])
    ill(session, "evidence")
    healed(session, "evidence")
    note = evidence.read(session.store, again)
    assert note is not None
    assert 'task = "c"' in note
    assert "rebuilt = true" in note


def test_a_missing_evidence_note_says_which_gates_had_passed(session: Session) -> None:
    claimed(session, "c")
    proposed(session, "c")
    record = session.snapshot().resolve("c")
    texts = {"1-tests.log": b"ok", "2-lint.log": b"ok"}
    event = Event("uphold", session.now(), "ann", {"by": "gates", "number": 1})
    tasks.append(session.store, record, event, texts)
    commit = landed_on_main(session, "c")
    on_task(session, "integrate", "c", commit=commit)
    healed(session, "evidence")
    note = evidence.read(session.store, commit)
    assert note is not None
    assert note.count('outcome = "pass"') == 2
    assert 'name = "lint"' in note


def test_a_landing_whose_intent_was_lost_is_recorded_from_the_trailers(session: Session) -> None:
    claimed(session, "c")
    proposed(session, "c")
    commit = landed_on_main(session, "c")
    ill(session, "landing-unrecorded")
    found = doctor(session, fix=True)
    assert found.ok
    assert session.snapshot().resolve("c").state.landed == commit
    assert doctor(session, fix=True).ok
    assert doctor(session, fix=False).problems == ()


def test_a_task_that_was_reverted_and_reopened_is_not_integrated_again(session: Session) -> None:
    claimed(session, "c")
    proposed(session, "c")
    integrated(session, "c")
    on_task(session, "revert", "c")
    on_task(session, "reopen", "c")
    assert doctor(session, fix=True).problems == ()
    assert session.snapshot().resolve("c").state.state is State.PENDING


def test_a_proposal_ref_that_vanished_comes_back(session: Session) -> None:
    claimed(session, "c")
    record = proposed(session, "c")
    assert record.state.proposal is not None
    ref = names.proposal(record.id, 1)
    session.store.refs.transact([Update(ref, record.state.proposal.oid, ABSENT)])
    ill(session, "proposal")
    healed(session, "proposal")
    assert session.store.refs.get(ref) == record.state.proposal.oid


def test_a_commit_by_hand_on_main_is_a_note(session: Session, repo: Repo) -> None:
    main = repo.rev("main")
    commit = Oid(repo.run_git("commit-tree", "main^{tree}", "-p", main, "-m", "by hand"))
    session.store.refs.transact([Update("refs/heads/main", main, commit)])
    found = doctor(session, fix=False)
    assert found.ok
    assert [(note.code, commit[:12] in note.text) for note in found.notes] == [("foreign-commit", True)]


# --- this machine --------------------------------------------------------------------------------


def test_a_lock_that_a_killed_git_left_is_removed(session: Session, repo: Repo) -> None:
    lock = repo.path / ".git" / "refs" / "fleet" / "task" / "p" / "c.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")
    assert str(lock) in ill(session, "lock").text
    healed(session, "lock")
    assert not lock.exists()


@pytest.mark.parametrize(
    "content", [None, "", "p refs/heads/other\n", "p refs/heads/main\nq refs/heads/main\n"]
)
def test_the_open_file_is_written_anew(session: Session, content: str | None) -> None:
    place = session.repo.fleet_dir / "open"
    if content is None:
        place.unlink()
    else:
        place.write_text(content)
    ill(session, "open-file")
    healed(session, "open-file")
    assert place.read_text() == "p refs/heads/main\n"


def test_a_worktree_deleted_by_hand_can_be_made_again_by_its_worker(session: Session) -> None:
    path = working_on(session, "c")
    shutil.rmtree(path)
    found = doctor(session, fix=True)
    assert set(codes(found.problems)) == {"worktree-gone", "slot"}
    gone = next(problem for problem in found.problems if problem.code == "worktree-gone")
    assert not gone.fixed
    assert "claim --resume --worker w1" in gone.fix


def test_a_deleted_worktree_of_an_ended_task_is_forgotten_and_its_commits_are_kept(session: Session) -> None:
    path = working_on(session, "c")
    commit = Repo(path).commit("worth keeping", {"c/1": "1"})
    Repo(path).run_git("switch", "-q", "--detach")
    on_task(session, "cancel", "c")
    shutil.rmtree(path)
    found = doctor(session, fix=True)
    assert ("worktree-gone", True) in [(problem.code, problem.fixed) for problem in found.problems]
    assert doctor(session, fix=False).problems == ()
    assert places.task_places(session) == []
    kept = session.store.refs.read("refs/fleet/salvage/")
    assert [session.store.objects.is_ancestor(commit, oid) for oid in kept.values()] == [True]


def test_a_half_made_worktree_that_nobody_needs_is_taken_down(session: Session) -> None:
    path = working_on(session, "c")
    (place,) = places.task_places(session)
    (place.git_dir / "index").unlink()
    assert codes(doctor(session, fix=False).notes) == ["worktree-unfinished"]
    on_task(session, "cancel", "c")
    ill(session, "worktree-unfinished")
    doctor(session, fix=True)
    assert not path.exists()
    assert doctor(session, fix=False).problems == ()


def test_a_worktree_that_cannot_read_its_task_names_the_command_that_writes_it(session: Session) -> None:
    working_on(session, "c")
    (place,) = places.task_places(session)
    (place.git_dir / "fleet.json").write_text("{")
    assert "claim --resume" in ill(session, "worktree-unreadable").fix
    (place.git_dir / "fleet.json").unlink()
    assert codes(doctor(session, fix=False).notes) == ["worktree-unfinished"]


def test_a_claim_whose_worktree_was_never_made_is_a_note(session: Session) -> None:
    from git_fleet.app.claim import Request, claim

    claim(session, Request(task="c"))
    found = doctor(session, fix=False)
    assert (found.ok, codes(found.notes)) == (True, ["worktree-missing"])
    now = session.snapshot().resolve("c").state.claim
    assert now is not None
    Path(now.worktree).mkdir()  # another clone on this machine has made it
    assert doctor(session, fix=False).notes == ()


def test_a_slot_of_a_worktree_that_is_gone_is_given_back(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "was-here"
    folder.mkdir()
    around = session.around
    slots.allocate(
        state_dir=around.state_dir,
        cache_dir=around.cache_dir,
        common_dir=session.repo.common_dir,
        worktree=folder,
        task=task_id("c"),
        port_count=0,
    )
    assert doctor(session, fix=False).problems == ()
    folder.rmdir()
    ill(session, "slot")
    healed(session, "slot")
    assert slots.list_slots(around.state_dir) == []


def test_a_repository_that_cannot_be_written_is_examined_all_the_same(session: Session, repo: Repo) -> None:
    """Looking needs no lock, no cache, no log: what it would write shows up as a change."""
    claimed(session, "c")
    before = {path: path.stat().st_mtime_ns for path in sorted((repo.path / ".git").rglob("*"))}
    assert doctor(session, fix=False).ok
    assert {path: path.stat().st_mtime_ns for path in sorted((repo.path / ".git").rglob("*"))} == before


def test_a_repair_that_fails_is_told_and_the_others_go_on(session: Session, repo: Repo) -> None:
    commit = interrupted(session, moved=True)
    far = repo.worktree(repo.path.parent / "far", "far")
    (session.repo.fleet_dir / "open").unlink()
    found = doctor(open_fleet(far, "w9", FakeClock()), fix=True)
    told = {problem.code: problem for problem in found.problems}
    assert not told["intent-open"].fixed
    assert "could not be repaired" in told["intent-open"].text
    assert told["open-file"].fixed
    assert not found.ok
    assert commit
