"""The fleet through real servers that know who pushes: by path, over smart HTTP and over SSH."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from git_fleet.app import guarding, integrate, work
from git_fleet.app.doctor import doctor, probe
from git_fleet.app.session import Session
from git_fleet.app.sync import sync
from git_fleet.core.model import State
from git_fleet.errors import AnswerIsNo
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, handed_in, open_fleet, task, task_id, working_on
from tests.support.hosts import KINDS, Host, hosted
from tests.support.race import Done, Raised, race
from tests.support.repo import Repo
from tests.support.walled import ALLOWED
from tests.support.worlds import assert_logs_are_legal


class Team:
    """A server with the wall, and a clone for each who pushes. The server knows by which way they come, not by what
    they say."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.server = Repo(host.server)
        self._folder = folder
        self._clock = FakeClock(datetime.now(UTC).replace(microsecond=0))  # the wall knows the time
        guarding.guard(host.server, plain=host.kind != "http", dry_run=False)
        (host.server / "fleet" / "allowed").write_text(ALLOWED, encoding="utf-8")

    def clone(self, name: str) -> Repo:
        """Where `name` works."""
        path = self._folder / name / "repo"
        return Repo(path) if path.exists() else self.host.clone(path, name)

    def acting(self, name: str) -> Session:
        """The next command of `name`."""
        return open_fleet(self.clone(name), name, self._clock, host=name)


@pytest.fixture(params=KINDS)
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Team]:
    with hosted(request.param, tmp_path) as host:
        yield Team(host, tmp_path)


def test_a_task_goes_its_whole_way(team: Team) -> None:
    approved(team.acting("boss"), task("a", files=["x/**"]), task("b", files=["x/y"]))
    w1 = team.acting("w1")
    working_on(w1, "a")
    with pytest.raises(AnswerIsNo, match="p/a owns files of it"):
        claimed(team.acting("w2"), "b")
    work.progress(w1, "a", "half")
    work.renew(w1, "a")
    assert sync(w1).told == ("refs/fleet/task/p/a",)
    handed_in(team.acting("w1"), "a", {"x/1": "1\n"})
    boss = team.acting("boss")
    found = integrate.integrate(boss, integrate.Order(("p",)), lambda _: None)
    assert [each.id.task for each in found.integrated] == ["a"]
    assert team.server.files("main")["x/1"].content == b"1\n"
    assert Repo(working_on(team.acting("w2"), "b")).rev("HEAD") == team.server.rev("main")
    assert not sync(team.acting("w1")).notes
    assert team.clone("w1").rev("main") == team.server.rev("main")
    events = assert_logs_are_legal(team.acting("boss"))[task_id("a")]
    names = [entry.event.name for entry in events]
    assert names == ["claim", "progress", "renew", "done", "uphold", "integrate"]
    for name in ("boss", "w1"):
        problems = {each.code for each in doctor(team.acting(name), fix=False).problems}
        assert problems <= {"hooks-missing"}
        assert [note.code for note in probe(team.acting(name), "").notes] == ["remote-tried"]
    assert not [ref for ref in team.server.refs() if "probe-" in ref]


def _claim(number: int, team: Team) -> str:
    with team.acting(f"w{number + 1}") as session:
        return str(claimed(session, "c").id)


def test_of_two_clones_one_wins_the_claim(team: Team) -> None:
    approved(team.acting("boss"), task("c"))
    for name in ("w1", "w2"):
        team.acting(name).snapshot()
    outcomes = race(2, _claim, team)
    (lost,) = [each for each in outcomes if not isinstance(each, Done)]
    assert isinstance(lost, Raised), outcomes
    assert lost.kind == "Held", lost
    winner = f"w{outcomes.index(Done('p/c')) + 1}"
    claim = team.acting("boss").snapshot().tasks[task_id("c")].state.claim
    assert claim is not None
    assert claim.holder == winner
    (events,) = assert_logs_are_legal(team.acting("boss")).values()
    assert [entry.event.name for entry in events] == ["claim"]


def _at_the_terminal(place: Repo, *words: str) -> tuple[int, str]:
    """A command as it is typed there: its exit code, and all that is shown."""
    command = [sys.executable, "-m", "git_fleet", *words]
    done = subprocess.run(command, cwd=place.path, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_server_says_why_it_refuses_and_knows_who_pushes(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(team.acting("boss"), task("c"), task("d"))
    claimed(team.acting("w1"), "c")
    monkeypatch.setenv("FLEET_PUSHER", "boss")  # which is nobody's to say, on this side of the line
    monkeypatch.setenv("REMOTE_USER", "boss")
    before = team.server.refs()
    code, said = _at_the_terminal(team.clone("stranger"), "claim", "d", "--worker", "stranger")
    assert code == 4, said
    assert (
        "the wall of origin refuses refs/fleet/task/p/d: stranger is neither lead, worker nor verifier"
        in said
    )
    assert "ask whoever keeps the server" in said
    code, said = _at_the_terminal(team.clone("w2"), "claim", "d", "--worker", "w1")
    assert code == 4, said
    assert "refs/fleet/task/p/d: w2 may not write what w1 is the author of" in said
    clone = team.clone("w1")
    clone.commit("Mine", {"mine": "1\n"})
    refused = clone.try_git("push", "--no-verify", "origin", "main")
    assert (
        b"remote: git-fleet: refused: refs/heads/main: main is the lead's alone, and w1 is none"
        in refused.stderr
    )
    assert team.server.refs() == before
    claimed(team.acting("w1"), "d")
    assert team.acting("boss").snapshot().tasks[task_id("d")].state.state is State.CLAIMED
