"""Commands killed before each of their writes: the same command finishes, doctor is content, nothing is lost."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

import pytest

from git_fleet.git.packs import Storing
from tests.support.breaking import before_write, cut, die, killed, when_prepared
from tests.support.clock import FakeClock
from tests.support.dying import killed_at_every_step
from tests.support.race import until
from tests.support.repo import Repo
from tests.support.stages import COMMANDS, TWO_PACKS, Command, Stage, found_by_doctor, is_over
from tests.support.worlds import GENEROUS, assert_logs_are_legal, assert_reachable, assert_sound

_LONG = ("speculate", "batch")


def _but(*slow: str) -> list[object]:
    """All commands, these among the slow tests."""
    return [pytest.param(name, marks=_slow(name) if name in slow else ()) for name in COMMANDS]


def _slow(name: str) -> pytest.MarkDecorator:
    return pytest.mark.slow(seconds=40 if name in _LONG else 10)


@pytest.fixture
def stage(tmp_path: Path, repo: Repo, clock: FakeClock) -> Stage:
    repo.commit("Set up", {"fleet.toml": GENEROUS})
    folder = tmp_path / "stage"
    folder.mkdir()
    repo.path.rename(folder / "repo")
    return Stage(folder, clock)


def _set_up(stage: Stage, command: Command) -> set[str]:
    """The fleet before the command; what doctor says after it when nobody is killed (that no hooks are installed)."""
    with stage.session("w1") as session:
        command.prepare(stage, session)
    stage.keep()
    command.run(stage)
    assert command.finished(stage)
    expected = found_by_doctor(stage)
    stage.put_back()
    return expected


def _assert_mended(stage: Stage, command: Command, expected: set[str]) -> None:
    """The same command run again finishes, and everything is in order."""
    until(partial(is_over, stage))
    if not stage.is_new():
        return  # it was put in order from exactly there before
    command.run(stage)
    assert command.finished(stage)
    assert found_by_doctor(stage) <= expected
    with stage.session("person") as session:
        assert_logs_are_legal(session)
    kept = [content for content in stage.work if content not in stage.files]
    assert_reachable(stage.repo, *kept)
    assert_sound(stage.repo)
    assert stage.repo.status() == []


@pytest.mark.parametrize("name", _but("integrate", "speculate", "batch", "revert"))
def test_a_command_killed_before_any_write_is_finished_by_the_next(stage: Stage, name: str) -> None:
    command = COMMANDS[name]
    expected = _set_up(stage, command)
    for number in count(1):
        if not killed(partial(before_write, number, die), command.run, stage):
            assert number > 2
            break
        _assert_mended(stage, command, expected)
        stage.put_back()


@pytest.mark.parametrize(
    "name", _but("rework", "integrate", "speculate", "batch", "revert", "approve", "close")
)
def test_a_command_whose_git_is_killed_with_its_locks_is_finished_by_the_next(
    stage: Stage, name: str
) -> None:
    command = COMMANDS[name]
    expected = _set_up(stage, command)
    for number in count(1):
        if not killed(partial(when_prepared, number, cut), command.run, stage):
            assert number > 1
            break
        _assert_mended(stage, command, expected)
        stage.put_back()


@pytest.mark.parametrize("name", _but(*COMMANDS))
def test_a_command_killed_at_any_step_is_finished_by_the_next(stage: Stage, name: str) -> None:
    command = COMMANDS[name]
    expected = _set_up(stage, command)
    for _ in killed_at_every_step(lambda: command.run(stage), stride=7):
        _assert_mended(stage, command, expected)
        stage.put_back()


def _die_between_packs() -> None:
    """From now on, for this process: die when what was begun to be stored is stored, and the rest is not."""
    finish = Storing.finish

    def finished(storing: Storing) -> None:
        finish(storing)
        die()

    Storing.finish = finished  # type: ignore[method-assign,assignment]  # this process ends with it


@pytest.mark.slow(seconds=40)
def test_a_landing_of_two_packs_killed_between_them_or_anywhere_is_finished_by_the_next(stage: Stage) -> None:
    command = TWO_PACKS
    expected = _set_up(stage, command)
    before, packs = stage.repo.rev("main"), stage.folder / "repo/.git/objects/pack"
    assert not list(packs.glob("*.pack"))
    assert killed(_die_between_packs, command.run, stage)
    assert len(list(packs.glob("*.pack"))) == 1
    assert stage.repo.rev("main") == before
    _assert_mended(stage, command, expected)
    stage.put_back()
    for _ in killed_at_every_step(lambda: command.run(stage), stride=2):
        _assert_mended(stage, command, expected)
        stage.put_back()
