"""Taking one task's commit back: one commit, the same gates, the same intent."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from git_fleet.app import foreign, landing, lead, settling, work
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.reverting import revert
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.model import State
from git_fleet.core.results import Reverted
from git_fleet.core.trailers import read_revert, read_stamp
from git_fleet.errors import AnswerIsNo, IllegalEvent, InvalidInput, NeedsPerson
from git_fleet.store import archive, evidence
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, on_plan, open_fleet, proposed, task
from tests.support.repo import Repo
from tests.support.worlds import assert_sound

NO_GATES = 'version = 1\ngates = "none"\n'


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    """A fleet in which `a` and then `b` have landed."""
    repo.commit("Set up", {"fleet.toml": NO_GATES})
    with open_fleet(repo, "w1", clock) as session:
        approved(session, task("a"), task("b", needs=["a"]), task("c", needs=["a"]))
        for name in ("a", "b"):
            claimed(session, name)
            proposed(session, name)
            integrate(session, Order(), lambda _: None)
        yield session


def taken_back(session: Session, name: str = "a", reason: str = "", **fields: Any) -> Reverted:
    return revert(session, name, reason, lambda _: None, **fields)


def state_of(session: Session, name: str) -> State:
    return session.record(session.snapshot(), name).state.state


def test_one_commit_takes_exactly_the_task_back(session: Session, repo: Repo) -> None:
    landed = session.record(session.snapshot(), "a").state.landed
    before = repo.rev("main")
    found = taken_back(session, reason="it breaks the import")
    assert (found.reverted, found.main_before, found.commit) == (landed, before, repo.rev("main"))
    assert repo.rev("main~") == before
    assert "a/new" not in repo.files("main")
    assert "b/new" in repo.files("main")
    message = repo.run_git("show", "-s", "--format=%B", "main")
    assert message.startswith(
        f'Revert "Work on p/a"\n\nThis reverts commit {landed}.\n\nit breaks the import\n'
    )
    assert (read_revert(message), read_stamp(message)) == (landed, None)
    assert state_of(session, "a") is State.REVERTED
    note = tomllib.loads(evidence.read(session.store, Oid(repo.rev("main"))) or "")
    assert (note["task"], note["reverts"]) == ("a", landed)
    assert repo.status() == []
    assert not (repo.path / "a/new").exists()
    assert_sound(repo)


def test_a_revert_is_no_commit_that_nobody_made(session: Session) -> None:
    taken_back(session)
    assert foreign.commits(session, session.snapshot(), "main") == ()


def test_what_was_reverted_can_be_done_again(session: Session, repo: Repo) -> None:
    taken_back(session)
    work.reopen(session, "a")
    claimed(session, "a")
    proposed(session, "a", {"a/again": "again\n"})
    assert [each.id.task for each in integrate(session, Order(), lambda _: None).integrated] == ["a"]
    assert {"a/again", "a/new"} & set(repo.files("main")) == {"a/again"}


def test_what_needs_a_reverted_task_waits(session: Session) -> None:
    claimed(session, "c")
    proposed(session, "c")
    told: list[str] = []
    revert(session, "a", "", told.append)
    assert any("p/b needs p/a" in line for line in told)
    (left,) = integrate(session, Order(), lambda _: None).skipped
    assert "it needs p/a first" in left.reason


def test_a_red_gate_keeps_the_task_on_main(session: Session, repo: Repo) -> None:
    repo.commit("Gate", {"fleet.toml": 'version = 1\n[[gate]]\nname = "g"\nrun = "test -e a/new"\n'})
    before = repo.rev("main")
    with pytest.raises(AnswerIsNo, match="gate g"):
        taken_back(session)
    assert (repo.rev("main"), state_of(session, "a")) == (before, State.INTEGRATED)
    assert lead.show(session).holder == ""


def test_what_was_built_on_it_needs_a_person(session: Session, repo: Repo) -> None:
    repo.commit("By hand", {"a/new": "other\n"})
    before = repo.refs()
    with pytest.raises(NeedsPerson, match="a/new"):
        taken_back(session, dry_run=True)
    assert repo.refs() == before


def test_only_what_is_on_main_can_be_reverted(session: Session) -> None:
    with pytest.raises(IllegalEvent, match="c is pending"):
        taken_back(session, "c")
    taken_back(session)
    with pytest.raises(IllegalEvent, match="reverted"):
        taken_back(session)


@pytest.mark.parametrize("folded", [False, True])
def test_of_a_task_whose_plan_is_closed_the_commit_is_named_that_git_can_take_back(
    session: Session, repo: Repo, folded: bool
) -> None:
    landed = session.record(session.snapshot(), "a").state.landed
    on_plan(session, "closing")
    on_plan(session, "close")
    if folded:
        archive.fold(session.store, "p", actor="ann", at=session.now())
    with pytest.raises(IllegalEvent, match="p/a is no task of an open plan any more") as refused:
        taken_back(session, "p/a")
    told, _, _ = refused.value.hint.partition(",")
    repo.run_git(*told.split()[1:], "--no-edit")
    assert "a/new" not in repo.files("main")
    assert f"This reverts commit {landed}." in repo.run_git("show", "-s", "--format=%B", "main")
    for unknown in ("p/c", "p/x", "x"):
        with pytest.raises(InvalidInput, match="no task"):
            taken_back(session, unknown)


def test_a_dry_run_moves_nothing(session: Session, repo: Repo) -> None:
    refs = repo.refs()
    found = taken_back(session, dry_run=True)
    assert found.main_after != found.main_before
    assert repo.refs() == refs


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(("module", "step"), [(landing, "_is_there"), (settling, "close")])
def test_an_interrupted_revert_is_completed_by_the_next_integration(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    def dying(*_: object, **__: object) -> str:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(module, step, dying)  # reached only once main has moved
        patched.setattr(lead, "release", dying)
        with pytest.raises(Killed):
            taken_back(session)
    assert state_of(session, "a") is State.REVERTED
    integrate(session, Order(), lambda _: None)
    assert state_of(session, "a") is State.REVERTED
    assert not lead.show(session).intent_open
    assert repo.status() == []
    assert_sound(repo)


# --- generated files ------------------------------------------------------------------------------

LOCKED = """\
version = 1
[[generated]]
paths = ["/lock"]
run = "cat deps/* >lock; test -e lock"
[[gate]]
name = "locked"
run = "cat deps/* | cmp - lock"
"""


@pytest.fixture
def locked(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    """A fleet in which `a`, `b` and `c` have landed, each with a line of the lock file."""
    repo.commit("Set up", {"fleet.toml": LOCKED, "lock": ""})
    with open_fleet(repo, "w1", clock) as session:
        approved(session, *(task(name, files=[f"/deps/{name}"]) for name in "abc"))
        for name in "abc":
            claimed(session, name)
            proposed(session, name, {f"deps/{name}": f"{name}\n", "lock": f"{name}\n"})
        assert len(integrate(session, Order(), lambda _: None).integrated) == 3
        yield session


def test_generated_files_are_made_anew_from_what_is_left(locked: Session, repo: Repo) -> None:
    found = taken_back(locked, "b")
    assert (repo.path / "lock").read_text() == "a\nc\n"
    changed = repo.run_git("diff", "--name-only", f"{found.commit}~", found.commit).split()
    assert changed == ["deps/b", "lock"]
    assert state_of(locked, "b") is State.REVERTED
    assert repo.status() == []


def test_without_what_generated_files_need_nothing_is_taken_back(locked: Session, repo: Repo) -> None:
    config = LOCKED.replace("cat deps/* >lock; test -e lock", "test -e deps/b && cat deps/* >lock")
    repo.commit("b is needed", {"fleet.toml": config})
    before = repo.rev("main")
    with pytest.raises(AnswerIsNo, match="without p/b generated files cannot be made"):
        taken_back(locked, "b")
    assert (repo.rev("main"), state_of(locked, "b")) == (before, State.INTEGRATED)


def test_a_task_that_changed_generated_files_alone_is_taken_back_as_text(
    session: Session, repo: Repo
) -> None:
    landed = session.record(session.snapshot(), "a").state.landed
    generated = NO_GATES + '[[generated]]\npaths = ["/a/new"]\nrun = "false"\n'
    repo.commit("What a made is generated", {"fleet.toml": generated})
    assert taken_back(session).reverted == landed
    assert "a/new" not in repo.files("main")
