"""Who acts, where, by which configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import documents
from git_fleet.app.session import Session
from git_fleet.app.surroundings import AGENT_VARIABLES
from git_fleet.core.config import Config
from git_fleet.errors import Ambiguous, Denied, InvalidInput, StaleClaim
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    open_fleet,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Repo, make_repo


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


# --- who -----------------------------------------------------------------------------------------


def test_the_actor_is_said_or_in_the_environment_or_configured_or_made_up(repo: Repo) -> None:
    repo.run_git("config", "fleet.worker", "configured")
    assert open_fleet(repo, "said", env={"FLEET_WORKER": "variable"}).actor == "said"
    assert open_fleet(repo, None, env={"FLEET_WORKER": "variable"}).actor == "variable"
    assert open_fleet(repo, None).actor == "configured"
    repo.run_git("config", "--unset", "fleet.worker")
    one, other = open_fleet(repo, None, env={"USER": "ann"}), open_fleet(repo, None, env={"USER": "ann"})
    assert one.actor.startswith("ann-")
    assert one.actor != other.actor


def test_a_tasks_worktree_knows_its_worker_and_task(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    repo.run_git("config", "fleet.worker", "configured")
    inside = open_fleet(path, None)
    assert (inside.actor, inside.here()) == ("w1", task_id("a"))
    assert inside.record(inside.snapshot(), None).id == task_id("a")
    with pytest.raises(InvalidInput, match="not a task's worktree"):
        session.here()


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "x" * 101])
def test_a_name_that_could_mislead_is_refused(repo: Repo, name: str) -> None:
    with pytest.raises(InvalidInput, match="worker name"):
        open_fleet(repo, name)


def test_outside_of_a_repository_there_is_no_session(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not in a git repository"):
        open_fleet(tmp_path)


@pytest.mark.parametrize("sign", AGENT_VARIABLES)
def test_what_is_a_persons_is_refused_to_agents(repo: Repo, sign: str) -> None:
    session = open_fleet(repo, env={sign: "1"})
    for verb in ("approve", "accept", "reject", "verdict", "knowledge"):
        with pytest.raises(Denied, match=sign):
            session.require_person(verb)
    session.require_person("claim")


def test_the_policy_says_what_is_a_persons(repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": 'version = 1\npolicy = { human = ["approve"] }\n'})
    session = open_fleet(repo, env={"FLEET_TASK": "a"})
    session.require_person("accept")
    with pytest.raises(Denied):
        session.require_person("approve")


def test_worktree_and_environment_must_name_the_same_claim(session: Session, clock: FakeClock) -> None:
    approved(session, task("a"))
    path = working_on(session, "a")
    mine = {"FLEET_PLAN": "p", "FLEET_TASK": "a"}
    fence = session.snapshot().tasks[task_id("a")].tip
    assert fence is not None
    inside = open_fleet(path, None, clock, env={**mine, "FLEET_FENCE": fence})
    assert inside.fence(task_id("a")) == fence
    assert inside.fence(task_id("b")) is None
    assert (
        open_fleet(session.repo.common_dir, env={**mine, "FLEET_FENCE": fence}).fence(task_id("a")) == fence
    )
    with pytest.raises(StaleClaim, match="different claims"):
        open_fleet(path, None, clock, env={**mine, "FLEET_FENCE": "0" * 40}).fence(task_id("a"))


# --- the default base ----------------------------------------------------------------------------


def test_main_is_main_or_master_or_the_branch_that_is_there(repo: Repo) -> None:
    repo.branch("topic")
    assert open_fleet(repo).main == "main"
    repo.run_git("branch", "-m", "main", "master")
    assert open_fleet(repo).main == "master"
    repo.run_git("branch", "-m", "master", "trunk")
    assert open_fleet(repo).main == "trunk"


def test_git_config_names_the_default_base(repo: Repo) -> None:
    repo.branch("develop")
    repo.run_git("config", "fleet.main", "develop")
    assert open_fleet(repo).main == "develop"
    repo.run_git("config", "fleet.main", "gone")
    with pytest.raises(InvalidInput, match="no branch gone"):
        _ = open_fleet(repo).main


def test_fleet_toml_names_the_default_base_once_the_branch_is_there(repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": 'version = 1\nmain = "develop"\n'})
    assert open_fleet(repo).main == "main"
    repo.branch("develop")
    assert open_fleet(repo).main == "develop"


def test_an_unborn_branch_is_no_base(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no branch main with a commit yet"):
        _ = open_fleet(make_repo(tmp_path / "empty", {})).main


# --- configuration -------------------------------------------------------------------------------


def test_without_a_fleet_toml_everything_has_its_default(session: Session) -> None:
    assert session.config() == Config()


def test_only_what_is_committed_on_the_base_counts(session: Session, repo: Repo) -> None:
    repo.write("fleet.toml", "version = 1\nmax_active = 3\n")
    assert session.config().max_active == 8
    repo.commit("Set up", {"fleet.toml": "version = 1\nmax_active = 3\n"})
    session.snapshot()
    assert session.config().max_active == 3
    repo.branch("next")
    repo.commit("Change", {"fleet.toml": "version = 1\nmax_active = 4\n"})
    assert session.config().max_active == 3  # of the same reading as the fleet
    session.snapshot()
    assert (session.config().max_active, session.config("next").max_active) == (4, 3)


def test_a_broken_fleet_toml_is_named(session: Session, repo: Repo) -> None:
    repo.commit("Break it", {"fleet.toml": "version = 1\nmax_actve = 3\n"})
    with pytest.raises(InvalidInput, match=r"fleet\.toml.*max_actve"):
        session.config()


def test_a_configuration_that_was_kept_needs_no_validator_and_says_the_same(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '﻿version = 1\n[[gate]]\nname = "t"\nrun = ["a", "b"]\n[env]\nX = "{slot}"\n'  # a byte order mark
    repo.commit("Set up", {"fleet.toml": text})
    parsed = session.config()
    session.keep_config("main")
    (kept,) = (session.repo.fleet_dir / "cache").glob("config-*")
    assert json.loads(kept.read_bytes())["env"] == {"X": "{slot}"}

    def refused(*_: object) -> None:
        raise AssertionError("it was validated again")

    monkeypatch.setattr(documents, "load_config", refused)
    assert open_fleet(repo).config() == parsed


def test_reading_a_configuration_writes_nothing(session: Session, repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": "version = 1\n"})
    session.config()
    assert not session.repo.fleet_dir.exists()


# --- long-lived ----------------------------------------------------------------------------------


def test_a_long_lived_session_notices_in_time_what_others_claimed(repo: Repo, clock: FakeClock) -> None:
    repo.commit("Set up", {"fleet.toml": "version = 1\nmax_active = 2\n"})
    with open_fleet(repo, "w1", clock) as one, open_fleet(repo, "w2", clock, long_lived=True) as long:
        approved(one, *(task(name) for name in "abcd"))
        claimed(long, "a")
        claimed(one, "b")
        clock.advance(6)
        nothing = claiming.claim(long, claiming.Request(worktree=False))
        assert isinstance(nothing, claiming.NothingReady)
        assert nothing.reason == "limit"


# --- one task alone ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "read"), [("p/a", 1), ("#P/A ", 1), ("a", 3), ("q/c", 1), ("p/", 3), ("x/y/z", 3)]
)
def test_a_name_in_full_has_its_task_read_alone(session: Session, name: str, read: int) -> None:
    approved(session, task("a"), task("b"))
    approved(session, task("c"), plan="q")
    found = session.snapshot_of(name)
    assert len(found.tasks) == read
    with suppress(InvalidInput):
        assert session.record(found, name) == session.record(session.snapshot(), name)
    assert session.base_of(task_id("q/c")) == "main"


def test_a_short_name_may_still_mean_several(session: Session) -> None:
    for plan in "pq":
        approved(session, task("a"), plan=plan)
    with pytest.raises(Ambiguous):
        session.record(session.snapshot_of("a"), "a")
    assert session.record(session.snapshot_of("q/a"), "q/a").id == task_id("q/a")


def test_a_worktree_has_its_own_task_read_alone(session: Session) -> None:
    approved(session, task("a"), task("b"))
    inside = open_fleet(working_on(session, "a"), None)
    assert list(inside.snapshot_of(None).tasks) == [task_id("a")]
    assert len(session.snapshot_of(None).tasks) == 2
