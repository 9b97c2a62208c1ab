"""Commands that tests kill: on which fleet each is run, and when it has done its work."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from git_fleet.app import approve, doctor, handin, integrate, lead, placing, plan, reverting
from git_fleet.app import claim as claiming
from git_fleet.app.session import Session
from git_fleet.core.model import PlanState, State
from git_fleet.errors import AnswerIsNo, IllegalEvent
from git_fleet.git.flocks import alone
from tests.support.clock import FakeClock
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
from tests.support.worlds import GENEROUS

_OF_ONE_RUN = re.compile(r'[0-9a-f]{40}|"nonce":"[^"]*"|[0-9]{3,}')


@dataclass
class Stage:
    """A fleet that can be put back as it was before a command, worktrees and all. `place`, in `folder`, is the
    repository that commands are given in: the only one, or one of several clones, each on a `host` of its own."""

    folder: Path
    clock: FakeClock
    work: list[bytes] = field(default_factory=list)
    place: str = "repo"
    host: str = ""
    settings: str = GENEROUS
    met: set[str] = field(default_factory=set)

    @property
    def repo(self) -> Repo:
        return Repo(self.folder / self.place)

    @property
    def files(self) -> list[bytes]:
        """What is in the tasks' worktrees here."""
        return [path.read_bytes() for path in self.repo.path.parent.glob("repo-*/**/*") if path.is_file()]

    @contextmanager
    def session(self, worker: str) -> Iterator[Session]:
        with open_fleet(self.repo, worker, self.clock, host=self.host) as session:
            yield session

    def commit(self, message: str, files: Mapping[str, str]) -> None:
        """Commit on main, where all who decide by it see it."""
        self.repo.commit(message, files)
        if 'remote = "origin"' in self.settings:
            self.repo.run_git("push", "--quiet", "origin", "main")

    def keep(self) -> None:
        """Remember this moment."""
        shutil.copytree(self.folder, self._kept, symlinks=True)

    def put_back(self) -> None:
        """Go back to it."""
        until(self._is_gone)
        shutil.copytree(self._kept, self.folder, symlinks=True)

    def _is_gone(self) -> bool:
        """Remove what is there. A git that another thread of a killed command had just started may still add to it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return not self.folder.exists()

    def is_new(self) -> bool:
        """Whether a killed command has left behind what none before it has: other refs, events, files or lock files."""
        found = outline(self.folder)
        known = found in self.met
        self.met.add(found)
        return not known

    @property
    def _kept(self) -> Path:
        return self.folder.with_name("kept")


def outline(folder: Path) -> str:
    """All refs with their events, files and lock files in a folder of repositories, but for what differs from run to
    run: ids, process numbers, objects that no ref reaches, how long a gate took."""
    paths = sorted(folder.rglob("*"))
    refs = [
        Repo(path.parent).run_git("for-each-ref", "--format=%(refname) %(contents)")
        for path in paths
        if path.name == "objects" and (path.parent / "HEAD").exists()
    ]
    files = [
        f"{_OF_ONE_RUN.sub('*', str(path.relative_to(folder)))} {_size(path)}"
        for path in paths
        if "/objects/" not in str(path)
    ]
    return "\n".join((*(_OF_ONE_RUN.sub("*", listed) for listed in refs), *files))


def _size(path: Path) -> int | None:
    """None where it says nothing (a folder, what a gate took), and where it has gone meanwhile: the git of a killed
    command takes its lock files with it as it ends."""
    try:
        return None if path.is_dir() or path.parent.name == "passes" else path.lstat().st_size
    except FileNotFoundError:
        return None


def run_claim(stage: Stage) -> None:
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


def run_done(stage: Stage) -> None:
    with stage.session("w1") as session:
        record = session.record(session.snapshot(), "a")
        if record.state.state is State.CLAIMED:
            handin.done(session, "a", handin.Handin(all_changes=True))


def run_integrate(stage: Stage, order: integrate.Order = integrate.Order()) -> None:  # noqa: B008 - frozen
    with stage.session("lead") as session:
        integrate.integrate(session, order, lambda _: None)


def _speculate(stage: Stage) -> None:
    run_integrate(stage, integrate.Order(jobs=2))


def _bisect(stage: Stage) -> None:
    run_integrate(stage, integrate.Order(batch=True))


def _revert(stage: Stage) -> None:
    with stage.session("lead") as session:
        try:
            reverting.revert(session, "a", "", lambda _: None)
        except IllegalEvent:
            run_integrate(stage)  # it is reverted: an intent may still be open


def _approve(stage: Stage) -> None:
    with stage.session("person") as session:
        approve.approve(session, "p")


def _close(stage: Stage) -> None:
    with stage.session("person") as session:
        plan.close(session, "p")


def states(stage: Stage) -> dict[str, State]:
    """Every task's."""
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
    found = states(stage)
    return set(found) == {"a", "b", "new"} and found["a"] is State.CLAIMED


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
    settings = stage.settings.replace('gates = "none"\n', "")
    stage.commit("Gate", {"fleet.toml": f'{settings}park = ["e/**"]\n{gate}', "same": "old\n"})
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
    stage.commit("Meanwhile", {"a/new": "theirs\n", "b/new": "theirs\n"})
    on_task(session, "eject", "a", reason="conflict")


def _for_approve(stage: Stage, session: Session) -> None:
    _claimed_by_one(stage, session)
    keep = [task("a", files=["same", "a/**"]), task("b", files=["same"])]
    saved(session, *keep, task("new", files=["same"]))


def _for_close(stage: Stage, session: Session) -> None:
    _for_integrate(stage, session)
    run_integrate(stage)


@dataclass(frozen=True)
class Command:
    """What is run, on which fleet, and when it has done its work."""

    run: Callable[[Stage], None]
    prepare: Callable[[Stage, Session], None]
    finished: Callable[[Stage], bool]


COMMANDS = {
    "claim": Command(run_claim, _for_claim, _has_claimed),
    "rework": Command(run_claim, _for_rework, _has_begun_the_rework),
    "done": Command(run_done, _claimed_by_one, lambda stage: states(stage)["a"] is State.PROPOSED),
    "integrate": Command(
        run_integrate, _for_integrate, lambda stage: set(states(stage).values()) == {State.INTEGRATED}
    ),
    "speculate": Command(_speculate, _for_queue, lambda stage: states(stage) == _DRAINED),
    "batch": Command(_bisect, _for_queue, lambda stage: states(stage) == _DRAINED),
    "revert": Command(_revert, _for_close, lambda stage: set(states(stage).values()) == {State.REVERTED}),
    "approve": Command(_approve, _for_approve, _has_approved),
    "close": Command(_close, _for_close, _has_closed),
}
TWO_PACKS = Command(
    run_integrate, _for_two_packs, lambda stage: set(states(stage).values()) == {State.INTEGRATED}
)


def found_by_doctor(stage: Stage) -> set[str]:
    """What is wrong although doctor has put right what it can."""
    with stage.session("person") as session:
        doctor.doctor(session, fix=True)
        return {problem.code for problem in doctor.doctor(session, fix=False).problems}


def is_over(stage: Stage) -> bool:
    """Whether an integration that was killed holds nothing any more. A child that another of its threads was just
    starting has what it had open, until it becomes another program: some milliseconds on a busy machine."""
    with suppress(BlockingIOError), alone(stage.repo.path / ".git" / lead._LOCK_FILE, wait=False):
        return True
    return False
