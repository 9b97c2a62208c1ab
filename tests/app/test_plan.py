"""A plan from its first import to its close; storing a text never changes what runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from git_fleet.app import approve, handin, plan, score, showing, work
from git_fleet.app import claim as claiming
from git_fleet.app.acting import act
from git_fleet.app.session import Session
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import PlanState, State
from git_fleet.errors import IllegalEvent, InvalidInput, LostRace
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.store import archive, log, names, plans
from tests.support.clock import FakeClock
from tests.support.fleet import (
    Table,
    approved,
    claimed,
    integrated,
    on_plan,
    on_task,
    open_fleet,
    plan_toml,
    proposed,
    saved,
    task,
    task_id,
)
from tests.support.race import race, values
from tests.support.repo import Repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


def imported(session: Session, *tasks: Table, plan_id: str = "p", **fields: str) -> plan.Imported:
    text = plan_toml(*tasks, plan=plan_id, **fields)
    return plan.import_plan(session, text.encode(), name="plan.toml", format_name=None, plan_id=None)


# --- importing and editing -----------------------------------------------------------------------


def test_an_import_makes_a_draft_that_nobody_can_claim_from(session: Session) -> None:
    found = imported(session, task("a"), task("b"))
    assert found.created
    assert [entry.id.task for entry in found.plan.tasks] == ["a", "b"]
    (row,) = plan.list_plans(session)
    assert (row.plan, row.state, row.base, row.tasks) == ("p", PlanState.DRAFT, "main", 2)
    assert session.snapshot().tasks == {}


@pytest.mark.parametrize(
    "text",
    [
        "no toml",
        "version = 1\n",  # no id, and the file's name gives none for TOML
        plan_toml({"id": "a", "files": ["../x"]}),
        plan_toml({"id": "a", "files": []}),
        plan_toml({"id": "a..b", "files": ["x"]}),
        plan_toml({"id": "a", "files": ["x"], "colour": "red"}),
        plan_toml(task("a"), task("A")),
        plan_toml(task("a", needs=["b"]), task("b", needs=["a"])),
        plan_toml(task("a", needs=["z"])),
        plan_toml(task("a", branch="-x")),
        plan_toml(task("a"), base="nowhere"),
    ],
)
def test_nothing_is_stored_of_bad_input(session: Session, text: str) -> None:
    with pytest.raises(InvalidInput):
        plan.import_plan(session, text.encode(), name="plan.toml", format_name=None, plan_id=None)
    assert session.store.refs.read(names.FLEET, "refs/notes/") == {}


def test_importing_again_makes_a_revision_and_changes_nothing_that_runs(session: Session) -> None:
    approved(session, task("a"))
    again = imported(session, task("a", files=["other/**"]), task("b"))
    assert not again.created
    record = session.snapshot().plans["p"]
    assert (record.state, record.note) == (PlanState.OPEN, again.note)
    (only,) = session.snapshot().tasks.values()
    assert only.task.owned == ("a/**",)
    assert "other/**" in plan.text_of(session, "p")[1]


def test_a_later_revision_onto_an_unknown_branch_is_refused_as_the_first_is(session: Session) -> None:
    before = imported(session, task("a"))
    with pytest.raises(InvalidInput, match="base 'nowhere': there is no such branch"):
        imported(session, task("a"), base="nowhere")
    toml = plan.text_of(session, "p")[1].replace('"main"', '"nowhere"')
    with pytest.raises(InvalidInput, match="no such branch"):
        plan.save_text(session, "p", toml, before.note)
    assert session.snapshot().plans["p"].note == before.note


def test_an_import_under_another_id(session: Session) -> None:
    text = plan_toml(task("a")).encode()
    found = plan.import_plan(session, text, name="plan.toml", format_name=None, plan_id="Second")
    assert found.plan.id == "second"
    assert plan.only(session) == "second"


def test_of_two_edits_of_the_same_text_the_later_one_is_told(session: Session) -> None:
    imported(session, task("a"))
    note, toml = plan.text_of(session, "p")
    plan.save_text(session, "p", toml.replace("Do a", "Do it"), note)
    with pytest.raises(LostRace, match="plan p was changed by somebody else"):
        plan.save_text(session, "p", toml.replace("Do a", "Do this"), note)
    assert "Do it" in plan.text_of(session, "p")[1]


def test_tasks_that_are_added_at_the_same_moment_are_all_there(session: Session, repo: Repo) -> None:
    imported(session, task("a"))
    values(race(4, _add, repo))
    (row,) = plan.list_plans(session)
    assert row.tasks == 5


def _add(index: int, repo: Repo) -> None:
    with open_fleet(repo) as session:
        plan.add_task(session, "p", task(f"n{index}"))


def test_comments_survive_an_added_task(session: Session) -> None:
    text = plan_toml(task("a")) + "# keep me\n"
    plan.import_plan(session, text.encode(), name="x.toml", format_name=None, plan_id=None)
    added = plan.add_task(session, "p", {"id": "b", "title": "More", "files": ["b"], "needs": ["a"]})
    assert [entry.id.task for entry in added.plan.tasks] == ["a", "b"]
    assert "# keep me" in plan.text_of(session, "p")[1]


def test_a_task_is_added_to_a_plan_that_came_as_json(session: Session) -> None:
    document = {"version": 1, "plan": "p", "task": [{"id": "a", "files": ["a"]}]}
    text = json.dumps(document).encode()
    plan.import_plan(session, text, name="p.json", format_name=None, plan_id=None)
    added = plan.add_task(session, "p", {"id": "b", "files": ["b"]})
    assert [entry.id.task for entry in added.plan.tasks] == ["a", "b"]


def test_a_task_is_added_to_a_plan_whose_tasks_are_an_inline_list(session: Session) -> None:
    text = b'version = 1\nplan = "p"\ntask = [{id = "a", files = ["a"]}]\n'
    plan.import_plan(session, text, name="p.toml", format_name=None, plan_id=None)
    added = plan.add_task(session, "p", {"id": "b", "files": ["b"]})
    assert [entry.id.task for entry in added.plan.tasks] == ["a", "b"]


def test_a_task_that_makes_no_sense_is_not_added(session: Session) -> None:
    imported(session, task("a"))
    before = plan.text_of(session, "p")
    with pytest.raises(InvalidInput):
        plan.add_task(session, "p", {"id": "a", "files": ["b"]})
    assert plan.text_of(session, "p") == before


@pytest.mark.parametrize("title", ["caf\udce9", "half a pair: \ud800"])
def test_a_title_that_is_no_text_is_refused(session: Session, title: str) -> None:
    imported(session, task("a"))
    with pytest.raises(InvalidInput, match="UTF-8"):
        plan.add_task(session, "p", {"id": "b", "title": title, "files": ["b"]})


def test_the_template_is_a_plan(session: Session) -> None:
    text = plan.template(session, "Tasks-App").encode()
    found = plan.import_plan(session, text, name="x.toml", format_name=None, plan_id=None)
    assert (found.plan.id, found.plan.base, len(found.plan.tasks)) == ("tasks-app", "main", 1)


def test_only_says_which_plan_is_meant_or_asks(session: Session) -> None:
    with pytest.raises(InvalidInput, match="there is no plan yet"):
        plan.only(session)
    approved(session, task("a"), plan="old")
    plan.close(session, "old")
    saved(session, task("a"), plan="p")
    assert plan.only(session) == "p"
    saved(session, task("a"), plan="q")
    with pytest.raises(InvalidInput, match="there are p, q"):
        plan.only(session)


@pytest.mark.parametrize("name", ["nope", "../x"])
def test_an_unknown_plan_is_named(session: Session, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        plan.text_of(session, name)
    with pytest.raises(InvalidInput, match=name):
        plan.pause(session, name)
    with pytest.raises(InvalidInput, match=name):
        plan.check(session, name)


def test_check_looks_at_the_newest_text_and_the_base_branch(session: Session, repo: Repo) -> None:
    repo.commit("More", {"a/one": "1", "\udcff": "2"})
    imported(session, task("a"), task("b", files=["a/one"]))
    found = plan.check(session, "p")
    assert [(pair.a.task, pair.b.task) for pair in found.overlaps] == [("a", "b")]
    repo.branch("next")
    imported(session, task("a"), base="next")
    repo.run_git("branch", "-D", "next")
    with pytest.raises(InvalidInput, match="no such branch"):
        plan.check(session, "p")


# --- pausing and closing -------------------------------------------------------------------------


def test_a_paused_plan_gives_nothing_away_and_what_is_claimed_goes_on(session: Session) -> None:
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    assert plan.pause(session, "p", "wait for Ann").log.reason == "wait for Ann"
    nothing = claiming.claim(session, claiming.Request())
    assert isinstance(nothing, claiming.NothingReady)
    assert nothing.reason == "paused"
    assert work.progress(session, "a", "still at it").record.state.summary == "still at it"
    assert plan.resume(session, "p").state is PlanState.OPEN
    claimed(session, "b")


def test_a_draft_cannot_be_paused(session: Session) -> None:
    saved(session, task("a"))
    for end in (plan.pause, plan.resume):
        with pytest.raises(IllegalEvent, match="while the plan is draft"):
            end(session, "p")


def test_a_draft_that_nobody_wants_is_closed_by_force_and_never_names_itself_again(session: Session) -> None:
    saved(session, task("a"))
    with pytest.raises(IllegalEvent, match="plan p is a draft that nobody has approved") as refused:
        plan.close(session, "p")
    assert refused.value.hint == "git fleet plan approve p, or git fleet plan close p --force"
    assert session.snapshot().plans["p"].state is PlanState.DRAFT
    assert plan.close(session, "p", force=True).state is PlanState.CLOSED
    with pytest.raises(InvalidInput, match="every plan is closed"):
        plan.only(session)
    (row,) = plan.list_plans(session)
    assert (row.state, row.tasks) == (PlanState.CLOSED, 1)
    with pytest.raises(InvalidInput, match="was closed as a draft"):
        score.score(session, "p")
    assert showing.plan(session, "p", showing.Colliding()).report is None


def test_nothing_but_approving_again_is_possible_while_a_plan_is_being_approved(session: Session) -> None:
    approved(session, task("a"))
    on_plan(session, "approving", incoming=saved(session, task("a"), task("b")).note)
    for end in (plan.pause, plan.resume, plan.close):
        with pytest.raises(IllegalEvent, match="while the plan is approving"):
            end(session, "p")
    assert approve.approve(session, "p").state is PlanState.OPEN


@pytest.mark.parametrize("paused", [False, True])
def test_a_plan_with_an_active_task_is_not_closed_and_goes_on_as_it_was(
    session: Session, paused: bool
) -> None:
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    if paused:
        plan.pause(session, "p")
    with pytest.raises(IllegalEvent, match=r"cannot be closed: p/a is claimed$"):
        plan.close(session, "p")
    assert session.snapshot().plans["p"].state is (PlanState.PAUSED if paused else PlanState.OPEN)


def test_a_paused_plan_stays_paused_when_an_interrupted_close_is_refused(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    plan.pause(session, "p")
    on_plan(session, "closing", paused=True)  # and there it was killed
    with pytest.raises(IllegalEvent, match="cannot be closed"):
        plan.close(session, "p")
    assert session.snapshot().plans["p"].state is PlanState.PAUSED


def test_a_plan_is_not_closed_over_drafts_that_nobody_has_approved_unless_forced(session: Session) -> None:
    approved(session, task("a"))
    on_task(session, "cancel", "a")
    saved(session, task("a"), {"id": "later", "title": "Left alone"})
    with pytest.raises(IllegalEvent, match="closing it drops that: p/later") as refused:
        plan.close(session, "p")
    assert refused.value.hint == "git fleet plan approve p, or git fleet plan close p --force"
    assert session.snapshot().plans["p"].state is PlanState.OPEN
    assert plan.close(session, "p", force=True).state is PlanState.CLOSED


def test_a_closed_plans_logs_are_folded_and_its_id_is_never_used_again(session: Session, repo: Repo) -> None:
    approved(session, task("a"), task("b"))
    claimed(session, "a")
    proposed(session, "a")
    integrated(session, "a")
    tip = session.store.refs.get(names.task_log(task_id("a")))
    local = session.repo.fleet_dir / "logs" / "p" / "a"
    local.mkdir(parents=True)
    (local / "1-tests.log").write_text("green\n")
    assert plan.close(session, "p").state is PlanState.CLOSED
    assert not local.parent.exists()
    assert session.store.refs.read(names.TASK_LOGS) == {}
    assert archive.read(session.store, "p") == {"p/a": tip}
    assert not (repo.path / ".git" / "fleet" / "open").exists()
    with pytest.raises(InvalidInput, match="never used again"):
        imported(session, task("a"))
    with pytest.raises(InvalidInput, match="never used again"):
        approve.approve(session, "p")
    with pytest.raises(IllegalEvent):
        plan.resume(session, "p")


def test_where_every_plan_is_closed_one_has_to_be_named(session: Session) -> None:
    with pytest.raises(InvalidInput, match="there is no plan yet"):
        plan.only(session)
    approved(session, task("a"))
    assert plan.only(session) == "p"
    on_task(session, "cancel", "a")
    plan.close(session, "p")
    with pytest.raises(InvalidInput, match="every plan is closed"):
        plan.only(session)


def test_closing_again_finishes_a_close_that_was_killed(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    on_task(session, "cancel", "a")
    tip = session.store.refs.get(names.task_log(task_id("a")))
    for event in ("closing", "close"):
        record = session.snapshot().plans["p"]
        plans.append(session.store, record, Event(event, session.now(), "x"))
    assert plan.close(session, "p").state is PlanState.CLOSED
    assert session.store.refs.read(names.TASK_LOGS) == {}
    assert archive.read(session.store, "p") == {"p/a": tip}
    assert not (repo.path / ".git" / "fleet" / "open").exists()
    events = [each.event.name for each in plan_events(session)]
    assert events[-2:] == ["closing", "close"]


def test_a_claim_given_back_while_the_logs_are_folded_is_folded_too(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, task("a"))
    on_task(session, "cancel", "a")
    record = session.record(session.snapshot(), "a")
    transact, left = Refs.transact, [1]
    seen = []

    def transacting(refs: Refs, updates: Sequence[Update], **words: Any) -> None:
        if left and updates[0].ref == names.archive("p"):
            left.pop()
            seen.append((repo.path / ".git" / "fleet" / "open").exists())
            act(session, record, "reopen", lambda _: {})
        transact(refs, updates, **words)

    monkeypatch.setattr(Refs, "transact", transacting)
    assert plan.close(session, "p").state is PlanState.CLOSED
    assert session.store.refs.read(names.TASK_LOGS) == {}
    (tip,) = archive.read(session.store, "p").values()
    assert log.read(session.store.objects, tip).event.name == "reopen"
    assert seen == [False]  # hooks are at peace before the logs are folded


def plan_events(session: Session) -> list[log.Entry]:
    tip = session.store.refs.read(names.plan_log("p"))[names.plan_log("p")]
    return log.history(session.store.objects, tip)


def test_a_task_of_a_closed_plan_is_gone_for_its_worker_too(session: Session) -> None:
    approved(session, task("a"))
    claim = claimed(session, "a")
    on_task(session, "cancel", "a")
    plan.close(session, "p")
    assert claim.tip is not None
    session.store.refs.transact([Update(names.task_log(task_id("a")), ABSENT, claim.tip)])
    with pytest.raises(InvalidInput, match="no task"):
        handin.done(session, "p/a", handin.Handin(commit="main"))
    assert State.CLAIMED not in [record.state.state for record in session.snapshot().tasks.values()]
