"""Plans in notes, their logs, and the file that tells the hooks that one is open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import PlanState
from git_fleet.errors import Held, IllegalEvent, Stale, UnknownFormat
from git_fleet.store import names, plans
from tests.support.fleet import approved, on_plan, open_fleet, plan_toml, saved, task
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo) -> Iterator[Session]:
    with open_fleet(repo) as session:
        yield session


def open_file(repo: Repo) -> str | None:
    place = repo.path / ".git" / "fleet" / "open"
    return place.read_text() if place.exists() else None


def test_git_notes_shows_the_plan_and_its_history(session: Session, repo: Repo) -> None:
    base = repo.rev("main")
    saved(session, task("a"), title="One")
    repo.commit("main goes on")
    saved(session, task("a"), title="Two")
    shown = repo.run_git("notes", "--ref=fleet/plan/p", "show", base)
    assert shown + "\n" == plan_toml(task("a"), title="Two")
    assert repo.run_git("log", "--format=%s", names.plan_note("p")) == "plan p\nplan p"


def test_a_revision_is_what_its_notes_commit_says_cached_or_not(session: Session) -> None:
    first = saved(session, task("a")).note
    saved(session, task("b"))
    assert first is not None
    found = plans.revision(session.store, "p", first)
    for entry in (session.repo.fleet_dir / "cache").iterdir():
        entry.write_text("{}")
    assert plans.revision(session.store, "p", first) == found
    assert [entry.id.task for entry in found.plan.tasks] == ["a"]


def test_of_two_who_edit_the_same_text_one_is_told(session: Session) -> None:
    old = saved(session, task("a")).note
    note = saved(session, task("b")).note
    found = plans.revision(session.store, "p", note or Oid(""))
    for expected, error in ((None, Held), (old, Stale)):
        with pytest.raises(error):
            plans.save_text(
                session.store,
                found.plan,
                "version = 1",
                expected=expected,
                base_commit=found.base_commit,
                actor="x",
                at=session.now(),
                subject="x",
            )
    assert session.snapshot().plans["p"].note == note


def test_a_note_that_was_broken_by_hand_is_named(session: Session, repo: Repo) -> None:
    saved(session, task("a"))
    for text in ("no toml", "\udcff"):
        add = ("notes", "--ref=fleet/plan/p", "add", "-f", "-F", "-", "main")
        repo.run_git("-c", "core.hooksPath=/dev/null", *add, stdin=text.encode("utf-8", "surrogateescape"))
        with pytest.raises(UnknownFormat, match="plan p"):
            plans.revision(session.store, "p", repo.rev(names.plan_note("p")))


def test_a_notes_ref_with_other_notes_is_refused(session: Session, repo: Repo) -> None:
    saved(session, task("a"))
    other = repo.commit("more")
    repo.run_git("notes", "--ref=fleet/plan/p", "add", "-m", "x", other)
    with pytest.raises(UnknownFormat, match="annotate 2 objects"):
        plans.text(session.store, repo.rev(names.plan_note("p")))


def test_the_log_follows_the_table_and_refuses_the_rest(session: Session) -> None:
    approved(session, task("a"))
    assert on_plan(session, "pause", reason="wait").log.reason == "wait"
    with pytest.raises(IllegalEvent, match="pause is not possible while the plan is paused"):
        on_plan(session, "pause")
    assert on_plan(session, "resume").state is PlanState.OPEN


def test_a_log_that_moved_meanwhile_is_not_written_over(session: Session) -> None:
    approved(session, task("a"))
    before = session.snapshot().plans["p"]
    on_plan(session, "pause")
    with pytest.raises(Stale):
        plans.append(session.store, before, Event("pause", session.now(), "x"))


def test_the_open_file_names_each_plan_that_counts_and_its_branch(session: Session, repo: Repo) -> None:
    assert open_file(repo) is None
    repo.branch("maint/1")
    saved(session, task("a"), plan="draft")
    approved(session, task("a"), plan="p")
    approved(session, task("b"), plan="q", base="maint/1")
    assert open_file(repo) == "p refs/heads/main\nq refs/heads/maint/1\n"
    on_plan(session, "pause", "p")
    on_plan(session, "closing", "q")
    assert open_file(repo) == "p refs/heads/main\nq refs/heads/maint/1\n"
    on_plan(session, "close", "q")
    assert open_file(repo) == "p refs/heads/main\n"
    on_plan(session, "closing", "p")
    on_plan(session, "close", "p")
    assert open_file(repo) is None


def test_the_open_file_names_both_bases_while_another_is_being_approved(session: Session, repo: Repo) -> None:
    repo.branch("next")
    approved(session, task("a"))
    record = saved(session, task("a"), base="next")
    on_plan(session, "approving", incoming=record.note)
    assert open_file(repo) == "p refs/heads/main\np refs/heads/next\n"


def test_a_plan_about_to_count_is_named_before_it_does(session: Session, repo: Repo) -> None:
    plans.refresh_open_file(session.store, besides=[("p", "main")])
    assert open_file(repo) == "p refs/heads/main\n"
    plans.refresh_open_file(session.store)
    assert open_file(repo) is None


def test_nothing_of_a_plan_is_in_the_work_tree(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    assert repo.status() == []
