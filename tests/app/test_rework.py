"""Rework: what its worker finds and is told, and that the same trouble does not come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import handin, history, install, status, verdicts, work
from git_fleet.app.handin import Handin
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.placing import Placed
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.model import Finding, Ruling, State, TaskState
from git_fleet.core.results import Integration
from git_fleet.errors import Denied, IllegalEvent, NeedsPerson
from git_fleet.store import gatelogs
from tests.support.clock import FakeClock
from tests.support.fleet import accepted, approved, handed_in, on_task, open_fleet, task, task_id, working_on
from tests.support.repo import Repo
from tests.support.worlds import assert_reachable

NO_GATES = 'version = 1\ngates = "none"\n'
LEAD_COMMITS = f'{NO_GATES}mode = "lead-commits"\n'
TOGETHER = (task("a", files=["/same", "/a"]), task("b", files=["/same", "/b"], overlap="accept"))


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    repo.commit("Set up", {"fleet.toml": NO_GATES, "same": "old\n"})
    with open_fleet(repo, "w1", clock) as session:
        yield session


def again(session: Session, name: str = "a", *, worktree: bool = True) -> Placed:
    """The task claimed once more, as the command does it."""
    got = claiming.claim(session, claiming.Request(task=name, worktree=worktree))
    assert isinstance(got, claiming.Claimed), got
    return claiming.place(session, got)


def here(placed: Placed) -> Repo:
    assert placed.path is not None
    return Repo(placed.path)


def run(session: Session) -> Integration:
    return integrate(session, Order(), lambda _: None)


def state(session: Session, name: str = "a") -> TaskState:
    return session.record(session.snapshot(), name).state


def proposed_commit(session: Session, name: str = "a") -> Oid:
    proposal = state(session, name).proposal
    assert proposal is not None
    assert proposal.commit is not None
    return proposal.commit


def in_conflict(session: Session) -> Path:
    """Task a is handed in, b has landed and changed the same file, so a is ejected: a's worktree."""
    approved(session, *(dict(each, overlap="accept") for each in TOGETHER))
    path = working_on(session, "a")
    working_on(session, "b")
    handed_in(session, "b", {"same": "theirs\n", "b": "1\n"})
    assert len(run(session).integrated) == 1
    handed_in(session, "a", {"same": "mine\n", "a": "1\n"})
    (ejected,) = run(session).ejected
    assert (ejected.reason, ejected.paths) == ("conflict", ("same",))
    return path


def parents(repo: Repo, commit: str) -> list[str]:
    return repo.run_git("show", "--no-patch", "--format=%P", commit).split()


# --- findings ------------------------------------------------------------------------------------


def refute(session: Session) -> None:
    with open_fleet(Path(session.repo.common_dir).parent, "ann") as person:
        verdicts.give(person, "a", Ruling.REFUTED, "security", ("it leaks",))


def reject(session: Session) -> None:
    work.reject(session, "a", ("it leaks",))


def eject(session: Session) -> None:
    on_task(session, "eject", "a", reason="gate", findings=(Finding("it leaks", "gate", "a"),))


@pytest.mark.parametrize("back", [refute, reject, eject])
def test_whoever_takes_it_up_again_gets_what_was_found_and_finds_it_later_too(
    session: Session, clock: FakeClock, back: object
) -> None:
    approved(session, TOGETHER[0])
    working_on(session, "a")
    handed_in(session, "a", {"a": "1\n"})
    assert callable(back)
    back(session)
    placed = again(session)
    assert [found.text for found in placed.record.state.findings] == ["it leaks"]
    with open_fleet(here(placed).path, None, clock) as later:
        assert claiming.resume(later, None).record.state.findings == placed.record.state.findings
        assert status.explain(later, None).findings == placed.record.state.findings
        assert any("it leaks" in event.summary for event in history.history(later, None).events)
    here(placed).commit("Better", {"a": "2\n"})
    handin.done(session, "a", Handin())
    assert (state(session).findings, state(session).verdicts) == ((), ())
    proposal = state(session).proposal
    assert proposal is not None
    assert proposal.number == 2


def test_old_verdicts_do_not_count_for_the_next_proposal(session: Session, repo: Repo) -> None:
    repo.commit("Ask", {"fleet.toml": f"{NO_GATES}policy = {{ verdicts = 1 }}\n"})
    approved(session, TOGETHER[0])
    working_on(session, "a")
    handed_in(session, "a", {"a": "1\n"})
    with open_fleet(repo, "ann") as person:
        verdicts.give(person, "a", Ruling.UPHELD, "security", ())
        assert state(session).state is State.VERIFIED
        work.reject(person, "a", ("no",))
    here(again(session)).commit("Better", {"a": "2\n"})
    handin.done(session, "a", Handin())
    (skipped,) = run(session).skipped
    assert (state(session).state, skipped.reason[:20]) == (State.PROPOSED, "it waits for verdict")


def test_where_all_is_that_a_gate_printed_is_said_if_it_is_kept(session: Session, repo: Repo) -> None:
    approved(session, TOGETHER[0])
    working_on(session, "a")
    handed_in(session, "a", {"a": "1\n"})
    gatelogs.keep(session.store, task_id("a"), 1, {"1-tests.log": b"all"}, actor="lead", at=session.now())
    eject(session)
    told = again(session).notes
    assert told == ("whole log of a gate: git show refs/fleet/proposal/p/a/1.gates:1-tests.log",)
    assert repo.run_git("show", told[0].rpartition(" ")[2]) == "all"


# --- conflicts -----------------------------------------------------------------------------------


def test_a_conflict_with_main_is_resolved_once(session: Session, repo: Repo) -> None:
    path = in_conflict(session)
    placed = again(session)
    assert (placed.path, placed.conflicts) == (path, ("same",))
    begun, said, then = placed.notes
    assert begun == "main was merged into the branch; resolve the conflicts in same"
    assert said == "CONFLICT (content): Merge conflict in same"
    assert then.startswith("edit them; git add (git rm for one that is to go) says")
    assert then.endswith("then git commit --no-edit and git fleet done")
    tree = here(placed)
    assert "<<<<<<< " in (path / "same").read_text()
    assert (path / "b").read_text() == "1\n"  # what does not conflict is merged
    for words in (Handin(), Handin(all_changes=True)):
        with pytest.raises(Denied, match="conflicts are not resolved in same"):
            handin.done(session, "a", words)
    tree.write("same", "both\n")
    tree.run_git("add", "same")
    with pytest.raises(Denied, match="not concluded"):
        handin.done(session, "a", Handin())
    tree.run_git("commit", "-q", "--no-edit")
    made = handin.done(session, "a", Handin())
    assert (made.proposal.number, made.proposal.base, made.outside) == (2, repo.rev("main"), ())
    found = run(session)
    assert [each.id.task for each in found.integrated] == ["a"]
    assert repo.files("main")["same"].content == b"both\n"
    assert len(parents(repo, "main")) == 1


def test_a_conflict_that_is_resolved_as_the_work_was_is_resolved_too(session: Session, repo: Repo) -> None:
    """Nothing differs from HEAD then, so that git status is silent."""
    approved(session, *(dict(each, overlap="accept") for each in TOGETHER))
    working_on(session, "a")
    working_on(session, "b")
    handed_in(session, "b", {"same": "theirs\n"})
    run(session)
    handed_in(session, "a", {"same": "mine\n"})
    run(session)
    tree = here(again(session))
    tree.write("same", "mine\n")
    tree.run_git("add", "same")
    assert tree.status() == []
    with pytest.raises(Denied, match="not concluded"):
        handin.done(session, "a", Handin())
    made = handin.done(session, "a", Handin(all_changes=True))
    assert len(parents(repo, made.proposal.commit or "")) == 2
    assert [each.id.task for each in run(session).integrated] == ["a"]
    assert repo.files("main")["same"].content == b"mine\n"


def test_a_conflict_that_is_committed_with_its_markers_is_refused(session: Session) -> None:
    in_conflict(session)
    tree = here(again(session))
    tree.run_git("commit", "-qam", "As it is")
    with pytest.raises(Denied, match="the markers of a conflict are in same"):
        handin.done(session, "a", Handin())
    tree.commit("Resolve", {"same": "both\n"})
    handin.done(session, "a", Handin())


def test_in_lead_commits_mode_files_alone_resolve_a_conflict(session: Session, repo: Repo) -> None:
    repo.commit("Mode", {"fleet.toml": LEAD_COMMITS})
    install.install(session.repo)
    approved(session, *(dict(each, overlap="accept") for each in TOGETHER))
    trees = {name: Repo(working_on(session, name)) for name in "ab"}
    for name, text in (("b", "theirs\n"), ("a", "mine\n")):
        trees[name].write("same", text)
        handin.done(session, name, Handin(message=f"Do {name}"))
        run(session)
    assert state(session).conflict
    placed = again(session)
    assert placed.conflicts == ("same",)
    assert placed.notes[-1].endswith('then git fleet done -m "…"')
    here(placed).write("same", "both\n")
    first = handin.done(session, "a", Handin(message="Do a")).proposal.commit
    assert parents(repo, first or "")[1] == repo.rev("main")
    reject(session)  # and the merge stays one in the attempt after that
    third = again(session)
    assert (third.conflicts, (here(third).path / "same").read_text()) == ((), "both\n")
    here(third).write("a", "1\n")
    handin.done(session, "a", Handin(message="Do a"))
    assert [each.id.task for each in run(session).integrated] == ["a"]
    assert repo.files("main")["same"].content == b"both\n"


def test_without_a_worktree_the_commands_are_told(session: Session, repo: Repo) -> None:
    in_conflict(session)
    placed = again(session, worktree=False)
    assert placed.path is None
    mine, merge = placed.notes
    assert mine == f"the work so far: git switch --create BRANCH {proposed_commit(session)}"
    assert merge == "main has moved on since: git merge main, edit what is in conflict, git add, git commit"
    aside = repo.worktree(repo.path.parent / "aside", "mine", proposed_commit(session))
    assert aside.try_git("merge", "-q", "main").returncode == 1
    aside.write("same", "both\n")
    aside.run_git("commit", "-qam", "Resolve")
    handin.done(session, "a", Handin(commit="mine"))
    assert [each.id.task for each in run(session).integrated] == ["a"]


def test_another_worker_finds_the_conflict_in_the_same_worktree(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    path = in_conflict(session)
    with open_fleet(repo, "w2", clock) as other:
        assert again(other).path == path
    merged = Repo(path).run_git("rev-parse", "MERGE_HEAD")
    assert merged == repo.rev("main")


def test_another_clone_finds_the_conflict_too(
    session: Session, repo: Repo, clock: FakeClock, tmp_path: Path
) -> None:
    in_conflict(session)
    repo.run_git("clone", "-q", str(repo.path), str(tmp_path / "far"))
    far = Repo(tmp_path / "far")
    far.run_git("fetch", "-q", "origin", "refs/fleet/*:refs/fleet/*", "refs/notes/*:refs/notes/*")
    with open_fleet(far, "w2", clock, host="elsewhere") as other:
        placed = again(other)
    assert placed.conflicts == ("same",)
    assert here(placed).rev("HEAD") == proposed_commit(session)
    assert (here(placed).path / "b").exists()


def test_main_as_it_was_when_the_task_was_claimed_is_merged(session: Session, repo: Repo) -> None:
    in_conflict(session)
    got = claiming.claim(session, claiming.Request(task="a"))
    assert isinstance(got, claiming.Claimed)
    then = repo.rev("main")
    repo.commit("Meanwhile", {"same": "newer\n"})
    tree = here(claiming.place(session, got))
    assert tree.run_git("rev-parse", "MERGE_HEAD") == then
    tree.commit("Resolve", {"same": "both\n"})
    handin.done(session, "a", Handin())
    assert [each.reason for each in run(session).ejected] == ["conflict"]
    tree = here(again(session))
    assert tree.run_git("rev-parse", "MERGE_HEAD") == repo.rev("main")
    tree.commit("Resolve", {"same": "all\n"})
    handin.done(session, "a", Handin())
    assert [each.id.task for each in run(session).integrated] == ["a"]


def test_a_file_in_the_way_keeps_the_claim_and_says_how_to_go_on(session: Session, repo: Repo) -> None:
    path = in_conflict(session)
    (repo.path / ".git" / "info").mkdir(exist_ok=True)
    (repo.path / ".git" / "info" / "exclude").write_text("/b\n")
    Repo(path).write("b", "precious\n")
    with pytest.raises(NeedsPerson, match="in the way of the merge: b"):
        again(session)
    assert (path / "b").read_text() == "precious\n"
    (path / "b").unlink()
    assert claiming.resume(session, "a").conflicts == ("same",)


def test_once_begun_the_merge_is_the_workers(session: Session) -> None:
    in_conflict(session)
    tree = here(again(session))
    tree.run_git("merge", "--abort")
    placed = claiming.resume(session, "a")
    assert (placed.conflicts, placed.notes) == ((), ())
    assert tree.status() == []


# --- an attempt that ends amid the merge ---------------------------------------------------------


@pytest.mark.parametrize("end", ["release", "expire"])
def test_a_conflict_that_was_half_resolved_is_marked_anew_and_the_attempt_is_kept(
    session: Session, repo: Repo, clock: FakeClock, end: str
) -> None:
    in_conflict(session)
    tree = here(again(session))
    tree.write("a", "further\n")
    if end == "release":
        work.release(session, "a")
    else:
        clock.advance(7200)
    with open_fleet(repo, "w2", clock) as other:
        placed = again(other)
    assert placed.path != tree.path
    assert placed.conflicts == ("same",)
    assert (here(placed).path / "same").read_text().count("<<<<<<< ") == 1
    assert_reachable(repo, b"further\n")


@pytest.mark.parametrize("end", ["release", "expire"])
def test_a_conflict_that_was_resolved_and_not_committed_stays_resolved(
    session: Session, repo: Repo, clock: FakeClock, end: str
) -> None:
    in_conflict(session)
    tree = here(again(session))
    tree.write("same", "both\n")
    if end == "release":
        work.release(session, "a")
    else:
        clock.advance(7200)
    with open_fleet(repo, "w2", clock) as other:
        placed = again(other)
        assert (placed.conflicts, (here(placed).path / "same").read_text()) == ((), "both\n")
        handin.done(other, "a", Handin())
    assert [each.id.task for each in run(session).integrated] == ["a"]


# --- gates ---------------------------------------------------------------------------------------


def test_after_a_gate_said_no_the_worker_sees_what_the_gate_saw(session: Session, repo: Repo) -> None:
    """What failed is neither in the work nor in main, only in both together."""
    gate = "! { test -e a && test -e b; }"
    repo.commit("Gate", {"fleet.toml": f'version = 1\n[[gate]]\nname = "g"\nrun = "{gate}"\n'})
    approved(session, task("a", files=["/a", "/a2"]), task("b", files=["/b"]))
    path = working_on(session, "a")
    working_on(session, "b")
    handed_in(session, "b", {"b": "1\n"})
    assert len(run(session).integrated) == 1
    handed_in(session, "a", {"a": "1\n"})
    assert [each.reason for each in run(session).ejected] == ["gate"]
    placed = again(session)
    assert placed.notes[0] == "main was merged into the branch"
    assert (placed.path, (path / "b").exists(), Repo(path).status()) == (path, True, [])
    assert placed.record.state.findings[0].source == "gate"
    Repo(path).run_git("mv", "a", "a2")
    Repo(path).run_git("commit", "-qm", "Rename")
    handin.done(session, "a", Handin())
    assert [each.id.task for each in run(session).integrated] == ["a"]
    assert set(repo.files("main")) >= {"a2", "b"}


# --- parked --------------------------------------------------------------------------------------


@pytest.fixture
def parked(session: Session, repo: Repo) -> Session:
    """Task a is handed in and waits for a person."""
    repo.commit("Park", {"fleet.toml": f'{NO_GATES}park = ["/a"]\n'})
    approved(session, TOGETHER[0])
    working_on(session, "a")
    handed_in(session, "a", {"a": "1\n"})
    run(session)
    assert state(session).state is State.PARKED
    return session


def test_a_parked_task_says_why_and_who_looks_is_told_the_next_command(parked: Session) -> None:
    found = status.status(parked)
    (row,) = found.plans[0].tasks
    assert "touches a" in row.why
    assert found.next_command == "git fleet accept p/a"


def test_accepting_a_parked_task_lets_that_proposal_land(parked: Session) -> None:
    found = accepted(parked, "a", "looked at it").state
    assert (found.state, found.unparked, found.reason) == (State.VERIFIED, 1, "")
    assert [each.id.task for each in run(parked).integrated] == ["a"]


def test_rejecting_a_parked_task_sends_it_back_and_its_next_proposal_is_parked_again(
    parked: Session,
) -> None:
    work.reject(parked, "a", ("not like this",))
    placed = again(parked)
    assert [found.text for found in placed.record.state.findings] == ["not like this"]
    here(placed).commit("Better", {"a": "2\n"})
    handin.done(parked, "a", Handin())
    run(parked)
    assert state(parked).state is State.PARKED


def test_a_person_speaks_of_the_parked_proposal_that_was_looked_at(parked: Session, repo: Repo) -> None:
    with pytest.raises(IllegalEvent):
        work.withdraw(parked, "a", "")
    with (
        open_fleet(repo, "agent", env={"FLEET_TASK": "a"}) as agent,
        pytest.raises(Denied),
    ):
        work.accept(agent, "a", "")
