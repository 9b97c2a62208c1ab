"""`plan add --from-findings`: what was found outside of a task survives the task, and is drafted once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from git_fleet.app import followups, plan, work
from git_fleet.app.session import Session
from git_fleet.core.model import Finding, Verdict
from git_fleet.errors import Ambiguous, InvalidInput
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
)
from tests.support.repo import Repo
from tests.support.verifiers import configured, handed, lead, only, run, says

SKEPTIC = "verifier:skeptic/security"
OUTSIDE = (
    Finding("No tests.", SKEPTIC, "docs/x:12", "docs"),
    Finding("Rotate the key.", SKEPTIC, label="ops", outside=True),
)


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def upheld(session: Session, name: str, *findings: Finding) -> None:
    """The task handed in, and upheld with these findings."""
    claimed(session, name)
    proposed(session, name)
    verdict = Verdict("security", "verifier:skeptic", "upheld", 1)
    on_task(session, "verdict", name, verdict=verdict, findings=findings)


def test_findings_outside_of_a_task_are_drafted_and_routed_by_their_label(session: Session) -> None:
    approved(session, task("a"), task("b"))
    upheld(session, "a", *OUTSIDE, Finding("Typo.", SKEPTIC, "a/new"))
    made = followups.from_findings(session, ("a",))
    docs, ops = made.tasks
    assert (docs.title, docs.files, docs.labels, docs.needs) == ("No tests.", ("/docs/x",), ("docs",), ("a",))
    assert (ops.title, ops.files, ops.labels, ops.needs) == ("Rotate the key.", None, ("ops",), ("a",))
    assert "p/a" in docs.prompt
    assert plan.newest(session, session.snapshot(), "p").plan == made.plan
    assert [str(name) for name in session.snapshot().tasks] == ["p/a", "p/b"]  # until it is approved
    (problem,) = plan.check(session, "p").problems
    assert "files" in problem  # of what names no path a person says what it is about


def test_the_same_finding_is_drafted_once_whoever_finds_it_again(session: Session) -> None:
    approved(session, task("a"), task("b"))
    upheld(session, "a", *OUTSIDE)
    first = followups.from_findings(session, ())
    assert len(first.tasks) == 2
    second = followups.from_findings(session, ())
    assert (second.tasks, second.note) == ((), first.note)
    upheld(session, "b", *OUTSIDE, Finding("Another.", SKEPTIC, "docs/x", "docs"))
    (third,) = followups.from_findings(session, ("p",)).tasks
    assert (third.title, third.files, third.needs) == ("Another.", ("/docs/x",), ("b",))


def test_a_finding_is_not_lost_when_its_task_is_reworked_and_lands(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    on_task(session, "reject", "a", reason="rejected", findings=(Finding("Bad.", "person:ann"), *OUTSIDE))
    claimed(session, "a")
    proposed(session, "a")
    integrated(session, "a")
    docs, ops = followups.from_findings(session, ("a",)).tasks
    assert (docs.title, docs.needs, ops.needs) == ("No tests.", (), ())  # it is on main already


def test_an_ejection_is_no_follow_up(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    on_task(session, "eject", "a", reason="scope", findings=(Finding("not the task's: b", "scope", "b"),))
    assert followups.from_findings(session, ()).tasks == ()


def test_a_dry_run_stores_nothing(session: Session) -> None:
    approved(session, task("a"))
    upheld(session, "a", *OUTSIDE)
    before = session.store.refs.read("refs/")
    would = followups.from_findings(session, (), dry_run=True)
    assert (would.note, [each.title for each in would.tasks]) == (None, ["No tests.", "Rotate the key."])
    assert session.store.refs.read("refs/") == before


def test_a_task_that_the_newest_text_has_not_any_more_is_not_needed(session: Session) -> None:
    approved(session, task("a"), task("b"))
    upheld(session, "a", *OUTSIDE)
    saved(session, task("b"))
    docs, _ = followups.from_findings(session, ("a",)).tasks
    assert docs.needs == ()


def test_a_plan_that_is_edited_at_this_moment_loses_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    upheld(session, "a", *OUTSIDE)
    store, edits = plan.save_text, [task("other")]

    def slowly(*args: Any) -> plan.Imported:
        while edits:
            saved(session, task("a"), edits.pop())
        return store(*args)

    monkeypatch.setattr(plan, "save_text", slowly)
    made = followups.from_findings(session, ())
    assert [each.id.task for each in made.plan.tasks][:2] == ["a", "other"]
    assert len(made.tasks) == 2


def test_names_of_several_plans_and_unknown_ones_are_refused(session: Session) -> None:
    approved(session, task("a"))
    approved(session, task("a", files=["/z"]), plan="q")
    with pytest.raises(InvalidInput, match="name the plan"):
        followups.from_findings(session, ())
    with pytest.raises(InvalidInput, match="several plans: p, q"):
        followups.from_findings(session, ("p", "q/a"))
    with pytest.raises(Ambiguous):
        followups.from_findings(session, ("a",))
    with pytest.raises(InvalidInput):
        followups.from_findings(session, ("nowhere",))


def test_a_closed_plan_gets_no_drafts(session: Session) -> None:
    approved(session, task("a"))
    upheld(session, "a", *OUTSIDE)
    work.cancel(session, "a", "")
    on_plan(session, "closing")
    on_plan(session, "close")
    with pytest.raises(InvalidInput, match="closed"):
        followups.from_findings(session, ("p",))


def test_what_a_verifier_prints_becomes_a_task(repo: Repo) -> None:
    said = (
        '{"verdict":"upheld","findings":[{"text":"The README still says 2.","path":"README.md",'
        '"label":"docs","outside":true}]}'
    )
    configured(repo, {"security": says(said)}, verdicts=1)
    with lead(repo) as session:
        approved(session, task("a"))
        handed(repo)
        assert only(run(session)).id.task == "a"
        (draft,) = followups.from_findings(session, ()).tasks
    assert (draft.title, draft.files, draft.labels) == (
        "The README still says 2.",
        ("/README.md",),
        ("docs",),
    )
    assert "verifier:v-security/security" in draft.prompt
