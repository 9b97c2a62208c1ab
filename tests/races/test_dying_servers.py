"""Servers that die in the middle of pushes, and lines that lose or double them: no transition is lost, none is made
twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import handin, integrate, placing
from git_fleet.app.doctor import doctor
from git_fleet.app.session import Session
from git_fleet.core.model import State
from git_fleet.errors import FleetError
from tests.support import servers
from tests.support.clock import FakeClock
from tests.support.fleet import approved, open_fleet, task, task_id
from tests.support.hosts import Host, hosted, is_web
from tests.support.repo import Repo
from tests.support.worlds import assert_logs_are_legal, assert_sound

TASKS = ("a", "b")  # which own the same file: a claim is two pushes, the guard's and the log's
DEATHS = 20  # more than all of it takes
PATIENCE = 30


class Script:
    """Somebody who says everything twice, and again until it is so, whatever the answer is; and who keeps the server."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.clone = host.clone(folder / "w1" / "repo", "w1")
        self.failed: list[FleetError] = []
        self._clock = FakeClock(datetime.now(UTC))
        approved(self.here, *(task(name, files=["same"]) for name in TASKS))

    @property
    def here(self) -> Session:
        """The next command."""
        return open_fleet(self.clone, "w1", self._clock, host="one")

    def _is(self, name: str, state: State) -> bool:
        """Whether the server has the task so, and nothing is left half done: what main has counts as integrated
        before its events are there."""
        snapshot = self.here.snapshot()
        return snapshot.tasks[task_id(name)].state.state is state and snapshot.lead.intent is None

    def insist(self, step: Callable[[], object], name: str, state: State) -> None:
        """Twice, and until the task is so."""
        for said in range(PATIENCE):
            try:
                step()
            except FleetError as error:
                self.failed.append(error)
            if not self.host.is_up:
                self.host.kill()  # what is left of it
                self.host.start()
            servers.clear_locks(self.host.server)
            if said and self._is(name, state):
                return
        raise AssertionError(f"{name} never gets {state}: {self.failed[-1]}")

    def work_through(self) -> None:
        """Each task from its claim onto main."""
        for name in TASKS:
            self.insist(partial(self._claim, name), name, State.CLAIMED)
            claim = self.here.snapshot().tasks[task_id(name)].state.claim
            assert claim is not None
            Repo(Path(claim.worktree)).commit(f"Work on {name}", {"same": name})
            self.insist(partial(self._hand_in, name), name, State.PROPOSED)
            self.insist(self._integrate, name, State.INTEGRATED)

    def _claim(self, name: str) -> None:
        """Or go on with what was claimed before, as the hint of a refusal says."""
        session = self.here
        try:
            got = claiming.claim(session, claiming.Request(task=name))
        except FleetError:
            claiming.resume(session, name)
        else:
            assert isinstance(got, claiming.Claimed)
            placing.place(session, got.record)

    def _hand_in(self, name: str) -> None:
        handin.done(self.here, name, handin.Handin())

    def _integrate(self) -> None:
        integrate.integrate(self.here, integrate.Order(("p",)), lambda _: None)

    def assert_each_once(self) -> None:
        """Every transition is there, once, and nothing is wrong."""
        session = self.here
        session.snapshot()
        logs = assert_logs_are_legal(session)
        for name in TASKS:
            events = [entry.event.name for entry in logs[task_id(name)]]
            assert events == ["claim", "done", "uphold", "integrate"]
        subjects = Repo(self.host.server).run_git("log", "--format=%s", "main").split("\n")
        assert subjects[:-2] == ["Work on b", "Work on a"]
        found = doctor(self.here, fix=False)
        assert {each.code for each in found.problems} <= {"hooks-missing"}, found
        assert_sound(self.clone)
        assert Repo(self.host.server).try_git("fsck", "--no-dangling").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("moment", servers.MOMENTS)
def test_a_push_whose_other_side_is_killed(tmp_path: Path, moment: str) -> None:
    """Every other push meets this. Nobody but git-receive-pack dies, so what came of it can be asked at once."""
    with hosted("path", tmp_path) as host:
        script = Script(host, tmp_path)
        servers.die_at(host.server, *(moment, "lives") * DEATHS)
        script.work_through()
        assert set(servers.deaths(host.server)) == {moment}
        script.assert_each_once()


def test_a_server_that_is_killed_in_every_third_push(tmp_path: Path) -> None:
    with hosted("http", tmp_path) as host:
        script = Script(host, tmp_path)
        turns = [word for moment in servers.MOMENTS for word in (moment, "lives", "lives")]
        servers.die_at(host.server, *turns * DEATHS)
        script.work_through()
        assert set(servers.deaths(host.server)) == set(servers.MOMENTS)
        assert {type(error).__name__ for error in script.failed} >= {"Unreachable"}
        script.assert_each_once()


@pytest.mark.parametrize("line", ["lost", "twice"])
def test_every_answer_is_lost_or_every_push_comes_twice(tmp_path: Path, line: str) -> None:
    with hosted("http", tmp_path) as host:
        script = Script(host, tmp_path)
        is_web(host).lines_are(line)
        script.work_through()
        assert not [error for error in script.failed if error.exit_code not in (1, 2, 3)]
        script.assert_each_once()
