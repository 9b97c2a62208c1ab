"""Commands killed where a git server decides: whoever comes next, in the same clone or in another, goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from git_fleet.app import claim as claiming
from git_fleet.app import doctor, placing, sharing
from git_fleet.app.session import Session
from git_fleet.app.sync import sync
from git_fleet.core.model import State
from git_fleet.errors import AnswerIsNo, FleetError
from tests.support.breaking import before_write, die, killed
from tests.support.clock import FakeClock
from tests.support.clones import make_clones
from tests.support.fleet import approved, handed_in, task
from tests.support.race import until
from tests.support.repo import Repo
from tests.support.stages import (
    COMMANDS,
    Command,
    Stage,
    found_by_doctor,
    is_over,
    run_integrate,
    states,
)
from tests.support.worlds import GENEROUS, assert_logs_are_legal, assert_sound

SHARED = f'{GENEROUS}remote = "origin"\n'


@pytest.fixture
def stage(tmp_path: Path, clock: FakeClock) -> Stage:
    """The first of two clones."""
    make_clones(tmp_path / "stage", config=SHARED)
    return Stage(tmp_path / "stage", clock, place="a/repo", host="a", settings=SHARED)


def _other(stage: Stage) -> Stage:
    return replace(stage, place="b/repo", host="b")


def _server(stage: Stage) -> Repo:
    return Repo(stage.folder / "server.git")


# --- what is done offline -------------------------------------------------------------------------------


def _for_sync(stage: Stage, session: Session) -> None:
    """A claim made offline of a task that overlaps another, handed in."""
    approved(session, task("a", files=["same", "a/**"]), task("b", files=["same"]))
    sharing.go_offline(session.store)
    got = claiming.claim(session, claiming.Request(task="a"))
    assert isinstance(got, claiming.Claimed)
    placing.place(session, got.record)
    handed_in(session, "a", {"a/new": "offline\n"})
    stage.work.append(b"offline\n")


def _claim_offline(stage: Stage) -> None:
    """Claim without the server, as the command does it."""
    with stage.session("w2") as session:
        sharing.go_offline(session.store)
        try:
            claiming.resume(session, None)
        except AnswerIsNo:
            got = claiming.claim(session, claiming.Request())
            assert isinstance(got, claiming.Claimed), got
            placing.place(session, got.record)


def _sync(stage: Stage) -> None:
    with stage.session("w1") as session:
        sync(session)


def _is_settled(stage: Stage) -> bool:
    """All of it is on the server, and nothing is here alone."""
    left = stage.repo.refs("refs/fleet/task", "refs/fleet/proposal", "refs/fleet/offline", "refs/fleet/lost")
    return not left and states(_other(stage))["a"] is State.PROPOSED


ALL = {
    **COMMANDS,
    "claim offline": replace(COMMANDS["claim"], run=_claim_offline),
    "sync": Command(_sync, _for_sync, _is_settled),
}


NAMES = ("claim", "claim offline", "done", "sync", "integrate", "approve", "close")
"""What pushes in a way of its own. (Rework is a claim, a revert lands.)"""


# --- who comes from elsewhere ------------------------------------------------------------------------------


def _takes_over(stage: Stage) -> None:
    """w3 has a task afterwards, whatever became of the one who claimed before."""
    with stage.session("w3") as session:
        got = claiming.claim(session, claiming.Request())
        assert isinstance(got, claiming.Claimed), got
        path = placing.place(session, got.record).path
        assert path is not None
        assert (path / "README.md").is_file()


def _integrates_or_takes_over(stage: Stage) -> None:
    """What was handed in lands, objects and all; what was not is claimed again."""
    if states(stage)["a"] is State.PROPOSED:
        run_integrate(stage)
        assert states(stage)["a"] is State.INTEGRATED
    else:
        _takes_over(stage)


ELSEWHERE: dict[str, Callable[[Stage], None]] = {
    "claim": _takes_over,
    "done": _integrates_or_takes_over,
    "sync": _integrates_or_takes_over,
}
"""What the other clone does; any other command it gives itself."""


def _assert_in_order(stage: Stage, expected: set[str]) -> None:
    """Both clones and the server are sound, what they say is legal, and nothing a worker wrote is lost."""
    assert found_by_doctor(stage) <= expected
    for each in (stage, _other(stage)):
        with each.session("person") as session:
            sync(session)
            assert {problem.code for problem in doctor.doctor(session, fix=False).problems} <= expected
        assert each.repo.rev("main") == _server(stage).rev("main")
        assert each.repo.status() == []
        assert_sound(each.repo)
    with stage.session("person") as session:
        assert_logs_are_legal(session)
    assert _server(stage).try_git("fsck", "--full", "--no-dangling", "--strict").returncode == 0
    assert not list((_server(stage).path / "refs").rglob("*.lock"))
    _assert_kept(stage)


def _assert_kept(stage: Stage) -> None:
    """Every piece of work is in its worktree, or in a blob that a ref of the clone or of the server reaches."""
    files = stage.files
    for content in stage.work:
        blob = stage.repo.run_git("hash-object", "--stdin", stdin=content)
        places = (stage.repo, _server(stage))
        assert content in files or any(
            blob in one.run_git("rev-list", "--objects", "--all") for one in places
        )


def _set_up(stage: Stage, command: Command) -> set[str]:
    with stage.session("w1") as session:
        command.prepare(stage, session)
    _other(stage).repo.run_git("pull", "--quiet", "--ff-only")
    stage.keep()
    command.run(stage)
    assert command.finished(stage)
    expected = found_by_doctor(stage)
    _assert_in_order(stage, expected)
    stage.put_back()
    return expected


def _deaths(stage: Stage, command: Command, of: str) -> Iterator[None]:
    """What is left of the command each time that it is killed before its next git command `of`, until it is not."""
    for number in count(1):
        if not killed(partial(before_write, number, die, {of}), command.run, stage):
            assert number > 1
            return
        until(partial(is_over, stage))
        yield
        stage.put_back()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_command_killed_before_any_ref_moves_here_is_finished_by_the_next(stage: Stage, name: str) -> None:
    """Before the mirror follows a push, that is, or what is here alone does: the server knows more then."""
    command = ALL[name]
    expected = _set_up(stage, command)
    for _ in _deaths(stage, command, "update-ref"):
        command.run(stage)
        assert command.finished(stage)
        _assert_in_order(stage, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "claim offline"])
def test_a_command_killed_before_any_push_is_gone_on_with_from_another_clone(stage: Stage, name: str) -> None:
    command, other = ALL[name], _other(stage)
    expected = _set_up(stage, command)
    for _ in _deaths(stage, command, "push"):
        stage.clock.advance(4000)
        ELSEWHERE.get(name, command.run)(other)
        assert name in ELSEWHERE or command.finished(other)
        with suppress(FleetError):  # its claim has ended, say
            command.run(stage)
        _assert_in_order(stage, expected)
