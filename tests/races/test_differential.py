"""What integrating makes of random histories is what `git merge --squash`, one after another, makes of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from git_fleet.app import handin, integrate
from git_fleet.core.ids import Oid
from git_fleet.errors import InvalidInput
from tests.git.histories import History, by_hand, histories, write
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, open_fleet, task
from tests.support.repo import Repo, make_repo
from tests.support.worlds import GENEROUS, assert_logs_are_legal

NO_CHECK = [HealthCheck.function_scoped_fixture]  # the environment is sealed once for all examples


def _main_with_config(repo: Repo, history: History) -> tuple[Oid, list[Oid]]:
    """The history's main, checked out, with a fleet.toml on top; the tips of its branches."""
    main, tips = write(repo, history)
    repo.run_git("checkout", "--quiet", "--force", "-B", "main", main)
    return repo.commit("Set up", {"fleet.toml": GENEROUS}), tips


def _assert_as_by_hand(history: History) -> None:
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        repo = make_repo(Path(folder) / "repo")
        main, tips = _main_with_config(repo, history)
        names = [f"t{number}" for number in range(len(tips))]
        with open_fleet(repo, "w1", FakeClock()) as session:
            approved(session, *(task(name, files=["**"], overlap="accept") for name in names))
            used = [(name, tip) for name, tip in zip(names, tips, strict=True) if _hand_in(repo, name, tip)]
            order = integrate.Order(first=tuple(name for name, _ in used))
            done = integrate.integrate(session, order, lambda _: None)
            assert_logs_are_legal(session)
        conflicts = {each.id.task: each.paths for each in done.ejected}
        assert {each.reason for each in done.ejected} <= {"conflict"}
        assert repo.rev("main") == done.main_after
        assert repo.status() == []
        tree = repo.run_git("rev-parse", "main^{tree}")
        expected = by_hand(repo, main, [tip for _, tip in used])
        assert [conflicts.get(name, ()) for name, _ in used] == [paths for paths, _ in expected]
        assert tree == (expected[-1][1] if expected else repo.run_git("rev-parse", f"{main}^{{tree}}"))


def _hand_in(repo: Repo, name: str, tip: Oid) -> bool:
    """Claim and hand the commit in; False when it changes nothing, which nobody may hand in."""
    with open_fleet(repo, "w1", FakeClock()) as session:
        claimed(session, name)
        try:
            handin.done(session, name, handin.Handin(commit=tip))
        except InvalidInput as refused:
            if "nothing is changed" not in refused.message:
                raise
            return False
    return True


@given(history=histories)
@settings(max_examples=5, suppress_health_check=NO_CHECK)
def test_integrating_equals_squashing_by_hand(history: History) -> None:
    _assert_as_by_hand(history)


@pytest.mark.slow
@given(history=histories)
@settings(max_examples=25, suppress_health_check=NO_CHECK)
def test_integrating_equals_squashing_on_many_histories(history: History) -> None:
    _assert_as_by_hand(history)
