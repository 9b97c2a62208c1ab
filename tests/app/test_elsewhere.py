"""What was merged by pull request on a real server, and what is recorded of it here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from git_fleet.app import lead
from git_fleet.app.elsewhere import Asked, sync
from git_fleet.app.publishing import Wanted, publish
from git_fleet.app.reverting import revert
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.model import State, TaskState
from git_fleet.core.pulls import Published
from git_fleet.errors import Held, InvalidInput
from git_fleet.store import evidence, log
from tests.app.test_publishing import fates
from tests.support import gh
from tests.support.breaking import before_write, die, killed
from tests.support.clones import CONFIG, make_clone
from tests.support.dying import killed_at_every_step
from tests.support.fleet import (
    approved,
    claimed,
    commit_on,
    on_task,
    open_fleet,
    proposed,
    state_as_text,
    task,
    working_on,
)
from tests.support.gh import StandIn
from tests.support.repo import Repo


@pytest.fixture
def there(server: Repo, tmp_path: Path) -> Repo:
    """A clone on which is done what a forge does."""
    server.run_git("clone", "-q", str(server.path), str(tmp_path / "there"))
    return Repo(tmp_path / "there")


@pytest.fixture
def session(repo: Repo, forge: StandIn) -> Session:
    """Two tasks handed in and published."""
    assert forge.pulls() == []
    session = open_fleet(repo)
    approved(session, task("a"), task("b"))
    for name in "ab":
        claimed(session, name)
        proposed(session, name)
    publish(session, Wanted(), lambda _: None)
    return session


def merged(there: Repo) -> None:
    there.run_git("merge", "-q", "--no-ff", "-m", "Merge pull request", "origin/fleet/p/a")


def squashed(there: Repo) -> None:
    there.run_git("merge", "-q", "--squash", "origin/fleet/p/a")
    there.run_git("commit", "-q", "-m", "Do a (#1)")


def rebased(there: Repo) -> None:
    there.run_git("cherry-pick", "main..origin/fleet/p/a")


def with_trailers(there: Repo) -> None:
    """Squashed, with the request's text as its message, and changed by hand on the way."""
    there.run_git("merge", "-q", "--squash", "origin/fleet/p/a")
    there.write("a/new", "by hand\n")
    there.run_git("commit", "-q", "-a", "-F", str(there.path / ".git" / "body"))


def at_the_forge(there: Repo, forge: StandIn, how: Callable[[Repo], None], **fields: Any) -> Oid:
    """Somebody else's commit, then the merge: the commit the forge names."""
    there.run_git("fetch", "-q")
    (there.path / ".git" / "body").write_text("Do a\n\n" + forge.pulls()[0]["body"])
    there.commit("Somebody else", {"else": "x\n"})
    how(there)
    there.run_git("push", "-q", "origin", "main")
    commit = there.rev("HEAD")
    forge.change(1, **{"state": "MERGED", "mergeCommit": {"oid": commit}, **fields})
    return commit


def look(session: Session, *targets: str, **asked: Any) -> Published:
    return sync(session, Asked(targets, **asked), lambda _: None)


def state(session: Session, name: str) -> TaskState:
    return session.record(session.snapshot(), name).state


@pytest.mark.parametrize(
    ("how", "known"),
    [(merged, "commit"), (squashed, "tree"), (rebased, "tree"), (with_trailers, "trailers")],
    ids=["merge", "squash", "rebase", "trailers"],
)
def test_what_was_merged_there_is_integrated_here(
    repo: Repo,
    session: Session,
    there: Repo,
    forge: StandIn,
    how: Callable[[Repo], None],
    known: str,
) -> None:
    checks = [{"__typename": "CheckRun", "name": "test", "status": "COMPLETED", "conclusion": "SUCCESS"}]
    commit = at_the_forge(there, forge, how, statusCheckRollup=checks)
    before = repo.rev("main")
    planned = look(session, dry_run=True)
    assert (fates(planned), repo.rev("main"), state(session, "a").state) == (
        ["to_record", "open"],
        before,
        State.PROPOSED,
    )
    found = look(session)
    assert (fates(found), found.pulls[0].how) == (["recorded", "open"], known)
    assert (found.before, found.after, repo.rev("main")) == (before, commit, commit)
    assert (state(session, "a").state, state(session, "a").landed) == (State.INTEGRATED, commit)
    assert (repo.status(), lead.show(session).intent_open) == ([], False)
    record = session.record(session.snapshot(), "a")
    assert record.tip is not None
    assert log.read(session.store.objects, record.tip).event.fields["via"] == "forge"
    note = evidence.read(session.store, commit) or ""
    assert 'via = "forge"' in note
    assert 'kind = "forge"' in note
    again = state_as_text(session)
    assert fates(look(session)) == ["open"]
    assert state_as_text(session) == again


def test_where_that_server_decides_main_here_follows(
    repo: Repo, server: Repo, tmp_path: Path, forge: StandIn
) -> None:
    repo.commit("Share it", {"fleet.toml": CONFIG})
    repo.run_git("push", "-q", "origin", "main")
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    publish(session, Wanted(), lambda _: None)
    commit = at_the_forge(make_clone(tmp_path / "there", server.path), forge, squashed)
    assert fates(look(session)) == ["recorded"]
    assert (state(session, "a").state, state(session, "a").landed) == (State.INTEGRATED, commit)
    assert (repo.rev("main"), repo.status(), server.rev("main")) == (commit, [], commit)
    assert evidence.read(session.store, commit) is not None


def forwarded(there: Repo) -> None:
    there.run_git("reset", "-q", "--hard", "HEAD^")  # nobody else's commit then
    there.run_git("merge", "-q", "--ff-only", "origin/fleet/p/a")


@pytest.mark.parametrize("how", [merged, squashed, rebased, forwarded], ids=lambda how: how.__name__)
def test_several_commits_are_one_task_and_are_taken_back_whole(
    repo: Repo, there: Repo, forge: StandIn, session: Session, how: Callable[[Repo], None]
) -> None:
    first = state(session, "a").proposal
    assert first is not None
    assert first.commit is not None
    on_task(session, "reject", "a", reason="no", findings=())
    claimed(session, "a")
    top = commit_on(session, commit_on(session, first.commit, {"a/2": "2\n"}), {"a/3": "3\n"})
    on_task(session, "done", "a", proposal=replace(first, number=2, commit=top))
    publish(session, Wanted(), lambda _: None)
    commit = at_the_forge(there, forge, how)
    before = set(repo.files("main")) | ({"else"} if how is not forwarded else set())
    assert fates(look(session)) == ["recorded", "open"]
    assert state(session, "a").landed == commit
    assert set(repo.files("main")) == before | {"a/new", "a/2", "a/3"}
    repo.commit("No gates", {"fleet.toml": 'version = 1\ngates = "none"\n'})
    revert(session, "a", "", lambda _: None)
    assert set(repo.files("main")) == before | {"fleet.toml"}


def test_main_that_has_it_already_gets_the_event_alone(
    repo: Repo,
    session: Session,
    there: Repo,
    forge: StandIn,
) -> None:
    commit = at_the_forge(there, forge, squashed)
    repo.run_git("pull", "-q", "--ff-only", "origin", "main")
    repo.commit("And one of ours", {"ours": "x"})
    here = repo.rev("main")
    found = look(session)
    assert (fates(found), found.before, repo.rev("main")) == (["recorded", "open"], None, here)
    assert (state(session, "a").landed, evidence.read(session.store, commit) is None) == (commit, False)


def test_a_word_alone_integrates_nothing(repo: Repo, session: Session, there: Repo, forge: StandIn) -> None:
    """The forge says merged, and main has no such commit, or one that holds something else."""
    before = repo.rev("main")
    forge.change(1, state="MERGED", mergeCommit={"oid": "1" * 40})
    (first, _) = look(session).pulls
    assert (str(first.fate), "has no such commit" in first.detail) == ("merged", True)

    def other(there: Repo) -> None:
        there.commit("Do a (#1)", {"a/new": "something else\n"})

    commit = at_the_forge(there, forge, other)
    (first, _) = look(session).pulls
    assert first.detail.startswith(f"merged as {commit[:12]}, which is not proposal 1")
    assert (state(session, "a").state, repo.rev("main")) == (State.PROPOSED, before)


def test_what_was_pushed_on_top_of_the_proposal_counts_with_it(
    session: Session,
    there: Repo,
    forge: StandIn,
) -> None:
    there.run_git("fetch", "-q")
    there.run_git("checkout", "-q", "-b", "more", "origin/fleet/p/a")
    more = there.commit("A reviewer's word", {"a/new": "better\n"})
    there.run_git("push", "-q", "origin", "HEAD:refs/heads/fleet/p/a", "HEAD:refs/pull/1/head")
    there.run_git("checkout", "-q", "main")
    at_the_forge(there, forge, squashed, headRefOid=more)
    assert fates(look(session)) == ["recorded", "open"]


def test_a_merge_that_was_taken_back_there_is_not_recorded(
    session: Session, there: Repo, forge: StandIn
) -> None:
    commit = at_the_forge(there, forge, squashed)
    there.run_git("revert", "--no-edit", "HEAD")
    there.run_git("push", "-q", "origin", "main")
    (first, _) = look(session).pulls
    assert first.detail == f"merged as {commit[:12]}, and taken back by {there.rev('HEAD')[:12]}"
    assert state(session, "a").state is State.PROPOSED


def test_mains_that_have_gone_apart_are_left_as_they_are(
    repo: Repo,
    session: Session,
    there: Repo,
    forge: StandIn,
) -> None:
    at_the_forge(there, forge, squashed)
    here = repo.commit("Ours alone", {"ours": "x"})
    (first, _) = look(session).pulls
    assert (str(first.fate), "have gone apart" in first.detail) == ("merged", True)
    assert (repo.rev("main"), state(session, "a").state) == (here, State.PROPOSED)


def test_only_the_lead_records(
    session: Session, there: Repo, forge: StandIn, repo: Repo, tmp_path: Path
) -> None:
    at_the_forge(there, forge, squashed)
    second = repo.worktree(tmp_path / "second", "second")
    with open_fleet(second, "other") as other:
        lead.acquire(other)
    before = state_as_text(session)
    with pytest.raises(Held, match="leads until"):
        look(session)
    assert state_as_text(session) == before


def test_checks_are_gates_and_a_red_one_sends_back_only_when_asked(session: Session, forge: StandIn) -> None:
    forge.change(
        1,
        statusCheckRollup=[
            {"__typename": "CheckRun", "name": "t", "workflowName": "ci", "status": "COMPLETED",
             "conclusion": "FAILURE", "startedAt": "2026-01-01T00:00:00Z", "detailsUrl": "https://ci/1"},
            {"__typename": "StatusContext", "context": "lint", "state": "PENDING"},
        ],
    )  # fmt: skip
    (first, second) = look(session).pulls
    assert [(it.name, str(it.outcome)) for it in first.checks] == [("ci / t", "fail"), ("lint", "pending")]
    assert (state(session, "a").state, second.checks) == (State.PROPOSED, ())
    assert fates(look(session, rework=True)) == ["rework", "open"]
    (finding,) = state(session, "a").findings
    assert (state(session, "a").state, finding.text, finding.source) == (
        State.REWORK, "ci / t failed: https://ci/1", "forge: ci / t",
    )  # fmt: skip


def test_checks_of_another_commit_send_nothing_back(session: Session, there: Repo, forge: StandIn) -> None:
    there.run_git("fetch", "-q")
    there.run_git("checkout", "-q", "-b", "more", "origin/fleet/p/a")
    there.commit("More", {"a/new": "more\n"})
    there.run_git("push", "-q", "origin", "HEAD:refs/heads/fleet/p/a")
    red = {"__typename": "StatusContext", "context": "lint", "state": "FAILURE"}
    forge.change(1, statusCheckRollup=[red])
    (first, _) = look(session, rework=True).pulls
    assert (str(first.fate), first.detail.startswith("it is at ")) == ("open", True)


def test_a_worker_at_its_task_again_keeps_what_it_wrote(
    repo: Repo,
    session: Session,
    there: Repo,
    forge: StandIn,
) -> None:
    on_task(session, "reject", "a", reason="no", findings=())
    place = working_on(session, "a")
    (place / "a").mkdir(exist_ok=True)
    (place / "a" / "draft").write_text("not committed\n")
    at_the_forge(there, forge, merged)
    assert fates(look(session)) == ["recorded", "open"]
    assert (state(session, "a").state, state(session, "a").salvages) == (State.INTEGRATED, 1)
    assert "a/draft" in repo.files("refs/fleet/salvage/p/a/1")


def _sync(path: Path) -> None:
    with open_fleet(path) as session:
        look(session)


@pytest.mark.parametrize("has_it", [False, True], ids=["main moves", "main has it"])
def test_killed_at_any_step_it_is_gone_on_with(
    session: Session, there: Repo, forge: StandIn, repo: Repo, has_it: bool
) -> None:
    commit = at_the_forge(there, forge, merged)
    if has_it:
        repo.run_git("pull", "-q", "--ff-only", "origin", "main")
    deaths = 0
    for _ in killed_at_every_step(lambda: _sync(repo.path), stride=2):
        deaths += 1
        if state(session, "a").state is State.INTEGRATED:
            assert repo.rev("main") == commit
    assert deaths >= 5
    assert fates(look(session)) == ["open"]
    assert (state(session, "a").landed, repo.rev("main"), repo.status()) == (commit, commit, [])
    assert evidence.read(session.store, commit) is not None
    assert lead.show(session).intent_open is False


@pytest.mark.slow
def test_killed_before_any_write_where_that_server_decides_it_is_gone_on_with(
    repo: Repo, server: Repo, tmp_path: Path, forge: StandIn
) -> None:
    repo.commit("Share it", {"fleet.toml": CONFIG})
    repo.run_git("push", "-q", "origin", "main")
    with open_fleet(repo) as session:
        approved(session, task("a"))
        claimed(session, "a")
        proposed(session, "a")
        publish(session, Wanted(), lambda _: None)
    commit = at_the_forge(make_clone(tmp_path / "there", server.path), forge, squashed)
    pushes = 0
    while killed(partial(before_write, pushes + 1, die, {"push"}), _sync, repo.path):
        pushes += 1
        assert (server.rev("main"), repo.status()) == (commit, [])
    with open_fleet(repo) as session:
        assert (state(session, "a").state, state(session, "a").landed) == (State.INTEGRATED, commit)
        assert evidence.read(session.store, commit) is not None
        assert not lead.show(session).intent_open
    assert pushes >= 2
    assert (repo.rev("main"), repo.status()) == (commit, [])


@pytest.mark.usefixtures("session")
def test_without_gh_it_says_so(tmp_path: Path, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    gh.without(monkeypatch, tmp_path / "bare-bin")
    with pytest.raises(InvalidInput, match="gh is not installed"):
        look(open_fleet(repo))
