"""Commands killed before each of their writes: the same command finishes, doctor is content, nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from git_fleet.app import approve, doctor, handin, integrate, lead, placing, plan, reverting
from git_fleet.app import claim as claiming
from git_fleet.app.session import Session
from git_fleet.core.model import PlanState, State
from git_fleet.errors import AnswerIsNo, IllegalEvent
from git_fleet.git.locks import alone
from git_fleet.git.packs import Storing
from tests.support.breaking import before_write, cut, die, killed, when_prepared
from tests.support.clock import FakeClock
from tests.support.dying import killed_at_every_step
from tests.support.fleet import (
    approved,
    claimed,
    handed_in,
    on_task,
    open_fleet,
    proposed,
    saved,
    task,
)
from tests.support.race import until
from tests.support.repo import Repo
from tests.support.worlds import GENEROUS, assert_logs_are_legal, assert_reachable, assert_sound


@dataclass
class Stage:
    """A fleet that can be put back as it was before a command, worktrees and all."""

    folder: Path
    clock: FakeClock
    work: list[bytes] = field(default_factory=list)

    @property
    def repo(self) -> Repo:
        return Repo(self.folder / "repo")

    @contextmanager
    def session(self, worker: str) -> Iterator[Session]:
        with open_fleet(self.repo, worker, self.clock) as session:
            yield session

    def keep(self) -> None:
        """Remember this moment."""
        shutil.copytree(self.folder, self._kept, symlinks=True)

    def put_back(self) -> None:
        """Go back to it."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder, symlinks=True)

    @property
    def _kept(self) -> Path:
        return self.folder.with_name("kept")


def _claim(stage: Stage) -> None:
    """Claim a task with its worktree, as the command does it: first what is held already."""
    with stage.session("w2") as session:
        try:
            claiming.resume(session, None)
        except AnswerIsNo:
            got = claiming.claim(session, claiming.Request())
            if isinstance(got, claiming.Claimed):
                placing.place(session, got.record)
            else:
                claiming.resume(session, None)  # it has helped a claim of ours


def _done(stage: Stage) -> None:
    with stage.session("w1") as session:
        record = session.record(session.snapshot(), "a")
        if record.state.state is State.CLAIMED:
            handin.done(session, "a", handin.Handin(all_changes=True))


def _integrate(stage: Stage, order: integrate.Order = integrate.Order()) -> None:  # noqa: B008 - frozen
    with stage.session("lead") as session:
        integrate.integrate(session, order, lambda _: None)


def _speculate(stage: Stage) -> None:
    _integrate(stage, integrate.Order(jobs=2))


def _bisect(stage: Stage) -> None:
    _integrate(stage, integrate.Order(batch=True))


def _revert(stage: Stage) -> None:
    with stage.session("lead") as session:
        try:
            reverting.revert(session, "a", "", lambda _: None)
        except IllegalEvent:
            _integrate(stage)  # it is reverted: an intent may still be open


def _approve(stage: Stage) -> None:
    with stage.session("person") as session:
        approve.approve(session, "p")


def _close(stage: Stage) -> None:
    with stage.session("person") as session:
        plan.close(session, "p")


def _states(stage: Stage) -> dict[str, State]:
    with stage.session("person") as session:
        return {task.task: record.state.state for task, record in session.snapshot().tasks.items()}


def _has_claimed(stage: Stage) -> bool:
    with stage.session("w2") as session:
        records = session.snapshot().tasks.values()
        mine = [r.state.claim for r in records if r.state.claim and r.state.claim.holder == "w2"]
    return len(mine) == 1 and (Path(mine[0].worktree) / "README.md").is_file()


def _has_begun_the_rework(stage: Stage) -> bool:
    """w2 has the task, and main is merged into its work, in conflict."""
    with stage.session("w2") as session:
        claim = session.record(session.snapshot(), "a").state.claim
    if claim is None or claim.holder != "w2":
        return False
    place = Repo(Path(claim.worktree))
    merging = place.try_git("rev-parse", "MERGE_HEAD").stdout.decode().strip() == stage.repo.rev("main")
    return merging and place.status() == ["AA a/new", "A  b/new"]


def _has_approved(stage: Stage) -> bool:
    states = _states(stage)
    return set(states) == {"a", "b", "new"} and states["a"] is State.CLAIMED


def _has_closed(stage: Stage) -> bool:
    with stage.session("person") as session:
        return session.snapshot().plans["p"].state is PlanState.CLOSED and not session.store.refs.read(
            "refs/fleet/task/p"
        )


def _claimed_by_one(stage: Stage, session: Session) -> None:
    approved(session, task("a", files=["same", "a/**"]), task("b", files=["same"]), task("gone"))
    record = claimed(session, "a", worktree=True)
    assert record.state.claim is not None
    place = Repo(Path(record.state.claim.worktree))
    place.commit("Some work", {"a/one": "committed\n"})
    place.write("a/two", "not committed\n")
    stage.work += [b"committed\n", b"not committed\n"]


def _for_claim(_: Stage, session: Session) -> None:
    approved(session, task("a", files=["same"]), task("b", files=["same"]))


def _for_integrate(stage: Stage, session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a", worktree=True)
    handed_in(session, "a")
    stage.work.append(b"new\n")


def _for_queue(stage: Stage, session: Session) -> None:
    """Two that land, one that is red, one that conflicts, one that a person has to look at."""
    gate = '[[gate]]\nname = "g"\nrun = "! ls */red"\n'
    settings = GENEROUS.replace('gates = "none"\n', "")
    stage.repo.commit("Gate", {"fleet.toml": f'{settings}park = ["e/**"]\n{gate}', "same": "old\n"})
    both = {"files": ["/same", "a/**", "c/**"], "overlap": "accept"}
    approved(session, task("a", **both), task("b"), task("c", **both), task("d"), task("e"))
    for name, files in {
        "a": {"same": "of a\n"},
        "b": {"b/red": "red\n"},
        "c": {"same": "of c\n"},
        "d": {"d/new": "of d\n"},
        "e": {"e/new": "of e\n"},
    }.items():
        claimed(session, name)
        proposed(session, name, files)
    stage.work += [b"of a\n", b"red\n", b"of c\n", b"of d\n", b"of e\n"]


_DRAINED = {
    "a": State.INTEGRATED,
    "b": State.REWORK,
    "c": State.REWORK,
    "d": State.INTEGRATED,
    "e": State.PARKED,
}


def _for_two_packs(stage: Stage, session: Session) -> None:
    """So many objects that git stores them while the rest of the landing is being made."""
    names = [f"t{number}" for number in range(8)]
    approved(session, *map(task, names))
    for name in names:
        claimed(session, name)
        proposed(session, name, {f"{name}/{'deep/' * 30}new": f"of {name}\n"})
        stage.work.append(b"of %b\n" % name.encode())


def _for_rework(stage: Stage, session: Session) -> None:
    _for_integrate(stage, session)
    stage.repo.commit("Meanwhile", {"a/new": "theirs\n", "b/new": "theirs\n"})
    on_task(session, "eject", "a", reason="conflict")


def _for_approve(stage: Stage, session: Session) -> None:
    _claimed_by_one(stage, session)
    keep = [task("a", files=["same", "a/**"]), task("b", files=["same"])]
    saved(session, *keep, task("new", files=["same"]))


def _for_close(stage: Stage, session: Session) -> None:
    _for_integrate(stage, session)
    _integrate(stage)


@dataclass(frozen=True)
class Command:
    """What is run, on which fleet, and when it has done its work."""

    run: Callable[[Stage], None]
    prepare: Callable[[Stage, Session], None]
    finished: Callable[[Stage], bool]


COMMANDS = {
    "claim": Command(_claim, _for_claim, _has_claimed),
    "rework": Command(_claim, _for_rework, _has_begun_the_rework),
    "done": Command(_done, _claimed_by_one, lambda stage: _states(stage)["a"] is State.PROPOSED),
    "integrate": Command(
        _integrate, _for_integrate, lambda stage: set(_states(stage).values()) == {State.INTEGRATED}
    ),
    "speculate": Command(_speculate, _for_queue, lambda stage: _states(stage) == _DRAINED),
    "batch": Command(_bisect, _for_queue, lambda stage: _states(stage) == _DRAINED),
    "revert": Command(_revert, _for_close, lambda stage: set(_states(stage).values()) == {State.REVERTED}),
    "approve": Command(_approve, _for_approve, _has_approved),
    "close": Command(_close, _for_close, _has_closed),
}


def _but(*slow: str) -> list[object]:
    """All commands, these among the slow tests."""
    return [pytest.param(name, marks=pytest.mark.slow if name in slow else ()) for name in COMMANDS]


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
    expected = _found_by_doctor(stage)
    stage.put_back()
    return expected


def _found_by_doctor(stage: Stage) -> set[str]:
    """What is wrong although doctor has put right what it can."""
    with stage.session("person") as session:
        doctor.doctor(session, fix=True)
        return {problem.code for problem in doctor.doctor(session, fix=False).problems}


def _is_over(stage: Stage) -> bool:
    """Whether an integration that was killed holds nothing any more. A child that another of its threads was just
    starting has what it had open, until it becomes another program: some milliseconds on a busy machine."""
    with suppress(BlockingIOError), alone(stage.repo.path / ".git" / lead._LOCK_FILE, wait=False):
        return True
    return False


def _assert_mended(stage: Stage, command: Command, expected: set[str]) -> None:
    """The same command run again finishes, and everything is in order."""
    until(partial(_is_over, stage))
    command.run(stage)
    assert command.finished(stage)
    assert _found_by_doctor(stage) <= expected
    with stage.session("person") as session:
        assert_logs_are_legal(session)
    places = [path.read_bytes() for path in stage.folder.glob("repo-*/**/*") if path.is_file()]
    kept = [content for content in stage.work if content not in places]
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
            break
        _assert_mended(stage, command, expected)
        stage.put_back()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
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


@pytest.mark.slow
def test_a_landing_of_two_packs_killed_between_them_or_anywhere_is_finished_by_the_next(stage: Stage) -> None:
    command = Command(
        _integrate, _for_two_packs, lambda stage: set(_states(stage).values()) == {State.INTEGRATED}
    )
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
