"""Handing in: everything the worker did is in the proposal, or it is told what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import followups, handin, history, install, placing, plan, work
from git_fleet.app.handin import HandedIn, Handin
from git_fleet.app.session import Session
from git_fleet.core.model import State, Usage
from git_fleet.errors import AnswerIsNo, Denied, FleetError, Held, InvalidInput
from git_fleet.store import names, proposals
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    on_task,
    open_fleet,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def a_worktree(session: Session, **fields: object) -> Repo:
    """The worktree of task `a`, claimed."""
    approved(session, task("a", **fields))
    return Repo(working_on(session, "a"))


def done(session: Session, **words: object) -> HandedIn:
    return handin.done(session, "a", Handin(**words))  # type: ignore[arg-type]  # as each test says


def refused(session: Session, **words: object) -> FleetError:
    """Why the hand-in is refused; it has stored nothing."""
    before = session.store.refs.read(names.FLEET)
    with pytest.raises(FleetError) as caught:
        done(session, **words)
    assert session.store.refs.read(names.FLEET) == before
    return caught.value


def test_a_hand_in_makes_a_proposal_that_keeps_the_commit(session: Session, repo: Repo) -> None:
    tree = a_worktree(session)
    commit = tree.commit("Work", {"a/x": "1"})
    found = done(session, message="Do it", result="all well", usage=Usage(1, 2, 0.5))
    proposal = found.proposal
    assert (proposal.number, proposal.commit, proposal.worker) == (1, commit, "w1")
    assert (proposal.base, proposal.message) == (repo.rev("main"), "Do it")
    assert session.store.refs.get(names.proposal(task_id("a"), 1)) == proposal.oid
    assert proposals.result(session.store, proposal.oid) == "all well"
    state = found.record.state
    assert (state.state, state.proposal, state.summary) == (State.PROPOSED, proposal, "all well")
    assert state.usage == Usage(1, 2, 0.5)
    assert (found.outside, found.follow_ups, found.notes) == ((), (), ())


def test_inside_its_worktree_a_hand_in_needs_no_arguments(session: Session, clock: FakeClock) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    with open_fleet(tree.path, None, clock) as inside:
        assert handin.done(inside, None, Handin()).record.state.state is State.PROPOSED


# --- branch mode ---------------------------------------------------------------------------------


def test_uncommitted_changes_are_refused_and_named(session: Session) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    tree.write("a/new file", "2")
    tree.write("README.md", "changed")
    error = refused(session)
    assert isinstance(error, Denied)
    assert "README.md, 'a/new file'" in error.message
    assert "--all" in error.hint


def test_all_commits_what_is_the_tasks_own(session: Session) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1", "a/gone": "1", "a/staged-gone": "1"})
    for name in ("a/new file", "a/\udcff", "a/-n", "a/:(top)x"):
        tree.write(name, "2")
    tree.write("a/x", "3")
    (tree.path / "a/gone").unlink()
    tree.run_git("rm", "--quiet", "a/staged-gone")
    tree.run_git("config", "i18n.commitEncoding", "latin1")  # which the message is not in
    found = done(session, all_changes=True, message="All of it, même")
    assert tree.status() == []
    tree.run_git("config", "--unset", "i18n.commitEncoding")
    assert tree.run_git("log", "-1", "--format=%s") == "All of it, même"
    assert found.proposal.commit == tree.rev("HEAD")
    mine = {path for path in tree.files() if path.startswith("a/")}
    assert mine == {"a/x", "a/new file", "a/\udcff", "a/-n", "a/:(top)x"}


def test_a_message_loses_what_no_commit_can_hold(session: Session) -> None:
    tree = a_worktree(session)
    tree.write("a/x", "1")
    found = done(session, all_changes=True, message="\x1b[31mRed\0 half \ud800, caf\udce9")
    assert tree.run_git("log", "-1", "--format=%s").startswith("Red half \ufffd, caf")
    assert found.proposal.message == "Red half \ufffd, caf\udce9"


def test_all_leaves_what_git_ignores(session: Session, repo: Repo) -> None:
    repo.commit("Ignore", {".gitignore": "*.log\n"})
    tree = a_worktree(session)
    tree.write("a/x.log", "noise")
    tree.write("a/x", "1")
    done(session, all_changes=True)
    assert set(tree.files()) == {".gitignore", "README.md", "a/x"}


def test_all_names_what_is_not_the_tasks_and_never_commits_it(session: Session) -> None:
    tree = a_worktree(session)
    tree.write("a/x", "1")
    tree.write("b/y", "1")
    tree.write("README.md", "staged")
    tree.run_git("add", "README.md")
    error = refused(session, all_changes=True)
    assert "changed, but not p/a's: README.md, b/y" in error.message
    assert tree.files()["README.md"].content != b"staged"
    assert sorted(tree.status()) == ["?? b/y", "M  README.md"]
    assert "a/x" in tree.files()


def test_all_does_not_take_a_repository_inside_for_work(session: Session) -> None:
    tree = a_worktree(session)
    tree.write("a/inner/file", "1")
    inner = Repo(tree.path / "a/inner")
    inner.run_git("init", "--quiet")
    inner.commit("Inside", {"file": "2"})
    assert "a/inner/" in refused(session, all_changes=True).message


def _in_conflict(session: Session, repo: Repo) -> Repo:
    """The worktree of a, in the middle of the merge of a main that has changed the same file."""
    repo.commit("Set up", {"a/x": "old\n", "other": "old\n"})
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "mine\n"})
    done(session)
    repo.commit("Meanwhile", {"a/x": "theirs\n", "other": "new\n", "more": "new\n"})
    on_task(session, "eject", "a", reason="conflict")
    claimed(session, "a", worktree=True)
    assert tree.status()
    return tree


def test_all_concludes_a_merge_whose_conflicts_are_resolved(session: Session, repo: Repo) -> None:
    tree = _in_conflict(session, repo)
    assert "conflicts are not resolved in a/x" in refused(session, all_changes=True).message
    tree.write("a/x", "both\n")
    found = done(session, all_changes=True)
    assert len(tree.run_git("show", "--no-patch", "--format=%P", "HEAD").split()) == 2
    assert (found.proposal.base, found.outside) == (repo.rev("main"), ())


def test_all_concludes_a_merge_that_left_the_tasks_files_as_main_has_them(
    session: Session, repo: Repo
) -> None:
    tree = _in_conflict(session, repo)
    tree.write("a/x", "theirs\n")
    found = done(session, all_changes=True)
    assert found.proposal.tree == repo.run_git("rev-parse", "main^{tree}")
    assert found.notes == ("the base has all of it already: nothing is changed in what was handed in",)
    assert tree.status() == []


def test_a_merge_is_not_concluded_with_changes_that_are_not_the_tasks(session: Session, repo: Repo) -> None:
    tree = _in_conflict(session, repo)
    tree.write("a/x", "both\n")
    tree.write("other", "smuggled\n")
    tree.write("untracked", "smuggled\n")
    head = tree.rev("HEAD")
    assert "not p/a's: other, untracked" in refused(session, all_changes=True).message
    assert tree.rev("HEAD") == head


def test_marker_files_are_no_changes(session: Session, repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": 'version = 1\ntouch = [".skip-watcher"]\n'})
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    assert tree.status() == ["?? .skip-watcher"]
    done(session)


def test_a_detached_head_that_contains_the_branch_is_handed_in(session: Session) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    tree.run_git("checkout", "--quiet", "--detach")
    more = tree.commit("More", {"a/y": "1"})
    assert done(session).proposal.commit == more


def test_a_head_that_leaves_work_on_the_branch_behind_is_refused(session: Session) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    for switch in (("--detach", "HEAD~"), ("-b", "elsewhere", "main")):
        tree.run_git("checkout", "--quiet", *switch)
        assert "does not contain the task's branch feature/a-do-a" in refused(session).message


def test_another_branch_that_contains_the_tasks_is_handed_in(session: Session) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    tree.run_git("checkout", "--quiet", "-b", "renamed")
    more = tree.commit("More", {"a/y": "1"})
    assert done(session).proposal.commit == more


def test_a_hand_in_that_changes_nothing_is_refused(session: Session) -> None:
    tree = a_worktree(session)
    for _ in range(2):
        error = refused(session)
        assert "nothing is changed" in error.message
        assert "git fleet release" in error.hint
        tree.commit("Work", {"a/x": "1"})
        tree.run_git("revert", "--no-edit", "HEAD")


def test_rework_that_drops_what_was_handed_in_is_refused(session: Session) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    done(session)
    work.reject(session, "a", ("wrong",))
    claimed(session, "a", worktree=True)
    tree.run_git("reset", "--quiet", "--hard", "main")
    assert isinstance(refused(session), InvalidInput)


def test_paths_outside_of_the_tasks_files_are_named_at_once(session: Session, repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": 'version = 1\n[[generated]]\npaths = ["x.lock"]\nrun = "true"\n'})
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1", "b/y\udcff": "1", "x.lock": "1", "fleet.toml": "version = 1\n"})
    assert done(session).outside == ("b/y\udcff", "fleet.toml")


# --- lead-commits mode ---------------------------------------------------------------------------


@pytest.fixture
def lead_commits(session: Session, repo: Repo) -> Repo:
    """The worktree of a task whose worker only writes files."""
    repo.commit("Set up", {"fleet.toml": 'version = 1\nmode = "lead-commits"\n', "old": "1"})
    install.install(session.repo)
    return a_worktree(session)


def test_the_work_tree_becomes_the_proposal_and_the_index_is_not_touched(
    session: Session, lead_commits: Repo
) -> None:
    tree = lead_commits
    tree.write("a/new", "2", executable=True)
    tree.write("a/\udcff", "\udcff".encode("utf-8", "surrogateescape"))
    (tree.path / "a/link").symlink_to("nowhere")
    before, status = tree.rev("HEAD"), tree.status()
    found = done(session, message="Do it")
    assert (tree.rev("HEAD"), tree.status()) == (before, status)
    commit = found.proposal.commit
    assert commit is not None
    files = tree.files(commit)
    assert files["a/new"].mode == "100755"
    assert files["a/link"] == ("120000", b"nowhere")
    assert found.outside == ()
    shown = tree.run_git("show", "--no-patch", "--format=%an|%s|%P", commit)
    assert shown == f"w1|Do it|{before}"


def test_where_no_hook_looks_what_is_outside_the_tasks_files_is_refused(
    session: Session, lead_commits: Repo
) -> None:
    lead_commits.write("a/new", "1")
    lead_commits.write("b/new", "1")
    (lead_commits.path / "old").unlink()
    error = refused(session)
    assert isinstance(error, Denied)
    assert "changed, but not p/a's: b/new, old" in error.message
    assert "git fleet block p/a --code scope" in error.hint
    (lead_commits.path / "b/new").unlink()
    lead_commits.write("old", "1")
    assert done(session).outside == ()


def test_an_untouched_work_tree_hands_in_what_the_branch_has(session: Session, lead_commits: Repo) -> None:
    lead_commits.run_git("-c", "core.hooksPath=/dev/null", "commit", "--allow-empty", "-qm", "Nothing")
    lead_commits.write("a/x", "1")
    lead_commits.run_git("add", "a/x")
    lead_commits.run_git("-c", "core.hooksPath=/dev/null", "commit", "-qm", "By hand")
    assert done(session).proposal.commit == lead_commits.rev("HEAD")


def test_a_merge_in_the_work_tree_stays_one_in_the_proposal(
    session: Session, lead_commits: Repo, repo: Repo
) -> None:
    tree = lead_commits
    tree.write("a/x", "mine\n")
    done(session)
    repo.run_git("-c", "core.hooksPath=/dev/null", "commit", "--allow-empty", "-qm", "Meanwhile")
    repo.write("a/x", "theirs\n")
    repo.run_git("add", "a/x")
    repo.run_git("-c", "core.hooksPath=/dev/null", "commit", "-qm", "Meanwhile")
    on_task(session, "eject", "a", reason="conflict")
    tree = Repo(working_on(session, "a"))
    assert "conflicts are not resolved in a/x" in refused(session).message
    tree.write("a/x", "both\n")
    commit = done(session).proposal.commit
    parents = tree.run_git("show", "--no-patch", "--format=%P", commit or "").split()
    assert parents == [tree.rev("HEAD"), repo.rev("main")]
    assert (tree.path / ".git").is_file()
    assert tree.run_git("rev-parse", "MERGE_HEAD") == repo.rev("main")


# --- other ways to hand in -----------------------------------------------------------------------


def test_without_a_worktree_a_commit_is_named(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    repo.run_git("checkout", "--quiet", "-b", "mine")
    commit = repo.commit("Work", {"a/x": "1"})
    assert "names no commit" in refused(session, commit="nowhere").message
    assert "names no commit" in refused(session, commit="--all").message
    assert done(session, commit="mine").proposal.commit == commit


def test_a_worktree_deleted_by_hand_is_named_with_the_ways_on(session: Session, tmp_path: Path) -> None:
    tree = a_worktree(session)
    commit = tree.commit("Work", {"a/x": "1"})
    tree.path.rename(tmp_path / "gone")
    error = refused(session)
    assert "was deleted" in error.message
    assert "git fleet done --commit feature/a-do-a" in error.hint
    assert done(session, commit="feature/a-do-a").proposal.commit == commit


def test_a_history_that_has_nothing_in_common_is_refused(session: Session, repo: Repo) -> None:
    tree = a_worktree(session)
    empty = tree.run_git("mktree")
    orphan = tree.run_git("commit-tree", empty, "-m", "Another beginning")
    assert "no history in common" in refused(session, commit=orphan).message
    (repo.path / ".git" / "shallow").write_text(f"{repo.rev('main')}\n")
    with open_fleet(repo, "w1") as again:
        error = refused(again, commit=orphan)
    assert "shallow" in error.message
    assert error.hint == "git fetch --unshallow"


def test_a_message_that_is_no_message_but_a_book_is_refused(session: Session) -> None:
    a_worktree(session).commit("Work", {"a/x": "1"})
    assert "too long" in refused(session, message="試" * 30_000).message
    made = done(session, message="試" * 20_000).proposal
    assert len(made.message) < 400
    assert proposals.whole(session.store, made).message == "試" * 20_000


# --- reports and artifacts -----------------------------------------------------------------------


def test_a_report_needs_a_result_or_an_artifact(session: Session) -> None:
    tree = a_worktree(session, output="report")
    assert "needs a result or an artifact" in refused(session).message
    tree.write("report.md", "fine")
    found = done(session, artifacts=("report.md",))
    assert (found.proposal.commit, found.proposal.tree) == (None, None)
    assert tree.files(found.proposal.oid)["report.md"].content == b"fine"


def test_artifacts_come_from_the_worktree_or_the_scratch_folder(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    approved(session, task("a", output="report"))
    found = claiming.claim(session, claiming.Request())
    assert isinstance(found, claiming.Claimed)
    placed = placing.place(session, found.record)
    scratch = Path(placed.env["FLEET_SCRATCH"])
    assert placed.path is not None
    (scratch / "out").mkdir()
    (scratch / "out" / "log").write_bytes(b"\xff")
    Repo(placed.path).write("deep/\udcff", "1")
    with open_fleet(placed.path, None, clock, env=placed.env) as inside:
        words = Handin(artifacts=(str(scratch / "out/log"), "deep/\udcff"))
        proposal = handin.done(inside, None, words).proposal
    files = {path: entry.content for path, entry in repo.files(proposal.oid).items()}
    assert files == {"out/log": b"\xff", "deep/\udcff": b"1"}


def test_artifacts_that_are_no_files_of_the_worktree_are_refused(session: Session, repo: Repo) -> None:
    tree = a_worktree(session, output="report")
    secret = repo.path.parent / "secret"
    secret.write_text("x")
    (tree.path / "link").symlink_to(secret)
    for path in ("../secret", str(secret), "link", "nowhere", ".", ".git"):
        assert isinstance(refused(session, artifacts=(path,)), InvalidInput), path


def test_artifacts_have_a_limit(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = a_worktree(session, output="report")
    monkeypatch.setattr(handin, "MAX_ARTIFACT_BYTES", 1 << 20)
    tree.write("big", b"x" * ((1 << 20) + 1))
    assert "more than 1 MiB" in refused(session, artifacts=("big",)).message


# --- who may, and when ---------------------------------------------------------------------------


def test_only_the_holder_hands_in(session: Session, repo: Repo, clock: FakeClock) -> None:
    a_worktree(session).commit("Work", {"a/x": "1"})
    with open_fleet(repo, "w2", clock) as other:
        assert isinstance(refused(other), Held)


def test_what_is_handed_in_is_not_handed_in_again(session: Session) -> None:
    a_worktree(session).commit("Work", {"a/x": "1"})
    done(session)
    error = refused(session)
    assert isinstance(error, AnswerIsNo)
    assert "handed in already and proposed" in error.message
    assert error.hint == "git fleet withdraw p/a takes it back"
    work.withdraw(session, "a", "")
    assert "p/a is in rework" in refused(session).message


def test_what_was_never_claimed_or_was_cancelled_cannot_be_handed_in(session: Session) -> None:
    approved(session, task("a"))
    assert "nobody has claimed p/a" in refused(session).message
    claimed(session, "a")
    work.cancel(session, "a", "enough")
    error = refused(session)
    assert error.exit_code == 3
    assert "p/a is cancelled" in error.message


def test_a_proposal_that_no_event_names_is_skipped_by_the_next(session: Session) -> None:
    tree = a_worktree(session)
    commit = tree.commit("Work", {"a/x": "1"})
    proposals.add(
        session.store, task_id("a"), commit=commit, worker="w1", result="", artifacts={}, at=session.now()
    )  # and there it was killed
    assert done(session).proposal.number == 2


def test_the_findings_of_the_last_round_are_gone_with_a_new_proposal(session: Session) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    done(session)
    work.reject(session, "a", ("no",))
    claimed(session, "a", worktree=True)
    tree.commit("Better", {"a/x": "2"})
    found = done(session)
    assert (found.proposal.number, found.record.state.findings) == (2, ())


# --- follow-ups ----------------------------------------------------------------------------------


def test_what_a_worker_noticed_becomes_a_draft_task_each(session: Session) -> None:
    a_worktree(session).commit("Work", {"a/x": "1"})
    found = done(session, follow_ups=("Rename the flag", "Test the rest"))
    assert found.follow_ups == ("p/a-follow-up-1", "p/a-follow-up-2")
    assert [str(name) for name in session.snapshot().tasks] == ["p/a"]  # drafts until they are approved
    newest = plan.newest(session, session.snapshot(), "p").plan
    assert [(entry.id.task, entry.title) for entry in newest.tasks[1:]] == [
        ("a-follow-up-1", "Rename the flag"),
        ("a-follow-up-2", "Test the rest"),
    ]
    assert newest.tasks[1].files is None
    assert followups.from_findings(session, ()).tasks == ()  # each of them is drafted


def test_a_follow_up_that_is_said_again_after_rework_is_drafted_once(session: Session) -> None:
    tree = a_worktree(session)
    tree.commit("Work", {"a/x": "1"})
    assert done(session, follow_ups=("Rename the flag",)).follow_ups == ("p/a-follow-up-1",)
    work.reject(session, "a", ("no",))
    claimed(session, "a", worktree=True)
    tree.commit("Better", {"a/x": "2"})
    found = done(session, follow_ups=("Rename the flag", "Test the rest"))
    assert (found.follow_ups, found.notes) == (("p/a-follow-up-2",), ())


@pytest.mark.parametrize("title", ["", "two\nlines", "\x1b[31mred"])
def test_a_follow_up_that_is_no_title_is_refused_before_anything_is_handed_in(
    session: Session, title: str
) -> None:
    a_worktree(session).commit("Work", {"a/x": "1"})
    assert "follow-up" in refused(session, follow_ups=("Fine", title)).message


def test_a_follow_up_may_be_long_and_so_may_the_tasks_id(session: Session) -> None:
    name = "a" * 100
    approved(session, task(name, files=["a/**"]))
    Repo(working_on(session, name)).commit("Work", {"a/x": "1"})
    found = handin.done(session, name, Handin(follow_ups=("word " * 100,)))
    assert (found.notes, found.follow_ups) == ((), (f"p/{'a' * 80}-follow-up-1",))
    title = plan.newest(session, session.snapshot(), "p").plan.tasks[1].title
    assert (len(title), title[-1]) == (200, "…")


def test_a_hand_in_stands_whatever_becomes_of_its_follow_ups(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_worktree(session).commit("Work", {"a/x": "1"})

    def refuse(*_: object) -> None:
        raise InvalidInput("the plan's text is broken")

    with monkeypatch.context() as refusing:
        refusing.setattr(plan, "add_task_once", refuse)
        found = done(session, follow_ups=("Rename the flag",))
    assert found.record.state.state is State.PROPOSED
    (note,) = found.notes
    assert note.startswith(
        "the follow-up 'Rename the flag' is in the log of p/a, but not drafted: the plan's"
    )
    assert note.endswith(" text is broken (git fleet plan add --from-findings p/a drafts it)")
    assert history.history(session, "a").events[-1].summary.endswith("; left alone: Rename the flag")
    (draft,) = followups.from_findings(session, ("a",)).tasks
    assert (draft.title, draft.needs) == ("Rename the flag", ("a",))
