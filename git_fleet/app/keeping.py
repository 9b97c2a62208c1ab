"""Kept work, salvages and snapshots, as its owners look at it and take it up again. Nothing of it is deleted here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from git_fleet.app import includes, snapshots
from git_fleet.app.session import Session
from git_fleet.core import spelling, trailers
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.keeping import SNAPSHOT, Applied, KeptCommit, KeptShown, KeptWork, SnapshotTaken
from git_fleet.core.reviewing import ChangedPath
from git_fleet.errors import Ambiguous, AnswerIsNo, Denied, Held, InvalidInput, NeedsPerson
from git_fleet.git import ancestry, contents, diffs, merging, worktrees
from git_fleet.git.ancestry import History
from git_fleet.git.formats import Commit, parse_commit
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import kept, names
from git_fleet.store.base import tip
from git_fleet.store.kept import Kept

PATCH_BYTES = 1024 * 1024
"""More of a diff is not shown; git shows it all."""


def listing(session: Session, name: str | None = None) -> tuple[KeptWork, ...]:
    """All kept work (of one task), by task, oldest first. Tasks of closed plans are found by their full id.

    Raises InvalidInput for an unknown task.
    """
    found = _all(session)
    if name is not None:
        task = _meant(session, found, name)
        found = [one for one in found if one.task == task]
    return tuple(work for work, _ in _looked_at(session, found))


def show(session: Session, name: str, which: str | None = None, *, patch: bool = False) -> KeptShown:
    """One salvage (`which` is its number), or the snapshot of a task; by default what was saved last.

    Raises InvalidInput for an unknown task or number, AnswerIsNo when nothing is kept of it.
    """
    one = _choose(session, name, which)
    ((work, paths),) = _looked_at(session, [one])
    onto = _onto(session, one.task)
    listed = session.repo.git().text(
        "rev-list", "--reverse", "--topo-order", one.start, *([f"^{onto}"] if onto else [])
    )
    commits = _commits(session, [Oid(line) for line in listed.split()])
    diff = _patch(session, work) if patch else b""
    return KeptShown(
        work,
        commits,
        paths,
        _commits(session, one.rest),
        diff[:PATCH_BYTES].decode("utf-8", "replace") if patch else None,
        len(diff) > PATCH_BYTES,
    )


def apply(session: Session, name: str, which: str | None = None, *, branch: str = "") -> Applied:
    """Take kept work up again: as staged changes of the worktree we stand in, or as the new branch `branch`.

    A conflict is left in the worktree as `git merge` leaves it. Raises, with nothing changed, NeedsPerson
    for a worktree with changes or files in the way, AnswerIsNo when it has everything already, Held for a
    branch that exists, Denied for one in a task's worktree; else as `show`.
    """
    one = _choose(session, name, which)
    ((work, _),) = _looked_at(session, [one])
    if branch:
        _make_branch(session, work, branch)
        return Applied(work, branch=branch)
    here = session.repo.worktree
    if here is None:
        raise InvalidInput(
            "there is no worktree here to apply it to",
            hint=f"git fleet salvage apply {work.id} {work.name} --branch NAME",
        )
    markers = includes.check_markers(session.config().touch)
    dirty = contents.dirty_files(here, markers=markers)
    going_on = contents.unfinished(contents.git_dir_of(here))
    if dirty or going_on:
        what = f"has uncommitted changes: {contents.listing(dirty)}" if dirty else f"is amid a {going_on}"
        raise NeedsPerson(
            f"{here} {what}; nothing was changed",
            hint=f"commit them first, or git fleet salvage apply {work.id} {work.name} --branch NAME",
        )
    with worktrees.one_at_a_time(session.repo) as lock:
        squashed = merging.squash(session.repo, here, work.start, lock=lock)
    if squashed is None:
        raise AnswerIsNo(f"what is checked out in {here} contains all of it", hint=f"git log {work.start}")
    return Applied(work, paths=squashed.paths, conflicts=squashed.conflicts)


def take_snapshot(session: Session, name: str | None) -> SnapshotTaken:
    """Save the worktree of a task now. Raises as `snapshots.take`."""
    record = session.record(session.snapshot(), name)
    taken = snapshots.take(session, record)
    looked = _looked_at(session, [taken.kept]) if taken.kept else []
    work = looked[0][0] if looked else None
    return SnapshotTaken(record.id, work, taken.written, taken.left_out)


# --- finding ----------------------------------------------------------------------------------------


def _all(session: Session) -> list[Kept]:
    found = [*kept.salvages(session.store), *kept.snapshots(session.store)]
    # Times are whole seconds: of one second, the salvage holds what the snapshot does.
    return sorted(found, key=lambda one: (one.task, one.at, one.number))


def _meant(session: Session, found: Sequence[Kept], name: str) -> TaskId:
    """The task that `name` means: one with kept work, else one of the plans."""
    wanted = name.strip().lower().lstrip("#")
    fitting = sorted({one.task for one in found if wanted in (str(one.task), one.task.task)})
    if len(fitting) > 1:
        raise Ambiguous(
            f"task {name!r} fits several: {', '.join(map(str, fitting))}", hint="name it plan/task"
        )
    return fitting[0] if fitting else session.snapshot().resolve(name).id


def _choose(session: Session, name: str, which: str | None) -> Kept:
    every = _all(session)
    task = _meant(session, every, name)
    found = [one for one in every if one.task == task]
    if not found:
        raise AnswerIsNo(f"nothing is kept of {task}", hint="git fleet salvage list")
    if which is None:
        return found[-1]
    number = kept.SNAPSHOT if which == SNAPSHOT else int(which) if which.isdecimal() else None
    one = next((one for one in found if one.number == number), None)
    if one is None:
        there = ", ".join(str(one.number) if one.number else SNAPSHOT for one in found)
        raise InvalidInput(
            f"{task} has no kept work {which!r}; there is: {there}", hint=f"git fleet salvage list {task}"
        )
    return one


# --- looking ----------------------------------------------------------------------------------------


def _onto(session: Session, task: TaskId) -> Oid | None:
    """The tip of the branch that the task goes onto."""
    return tip(session.store.refs.get(names.branch(session.base_of(task) or session.main)))


def _looked_at(session: Session, found: Sequence[Kept]) -> list[tuple[KeptWork, tuple[ChangedPath, ...]]]:
    """What each brings to the branch it goes onto; the processes are few, however many there are."""
    onto = {task: _onto(session, task) for task in dict.fromkeys(one.task for one in found)}
    brought = {oid: _histories(session, found, onto, oid) for oid in set(onto.values()) if oid}
    bases: dict[Oid, Oid | None] = {}
    for one in found:
        target = onto[one.task]
        base = brought[target][one.start].base if target else None
        if base is None and target:  # its history branches
            base = next(iter(session.store.objects.merge_bases(one.start, target)), None)
        bases[one.oid] = base
    commits = _read(session, [oid for one in found for oid in (one.start, bases[one.oid]) if oid])
    empty = session.repo.empty_tree
    pairs = {
        one.oid: (commits[base].tree if (base := bases[one.oid]) else empty, commits[one.start].tree)
        for one in found
    }
    changed = diffs.read(session.repo.git(), list(pairs.values()))
    made = []
    for one in found:
        files = changed[pairs[one.oid]]
        paths = tuple(ChangedPath(file.path, file.added, file.removed, file.binary) for file in files)
        target = onto[one.task]
        own = brought[target][one.start].own if target else ()
        loose = trailers.is_kept(commits[one.start].message) and one.start != bases[one.oid]
        made.append((_work(one, bases[one.oid], len(own), loose, len(paths)), paths))
    return made


def _histories(
    session: Session, found: Sequence[Kept], onto: Mapping[TaskId, Oid | None], target: Oid
) -> dict[Oid, History]:
    starts = dict.fromkeys(one.start for one in found if onto[one.task] == target)
    return ancestry.histories(session.repo.git(), session.store.objects, list(starts), target)


def _work(one: Kept, base: Oid | None, commits: int, uncommitted: bool, files: int) -> KeptWork:
    return KeptWork(
        id=one.task,
        number=one.number,
        ref=one.ref,
        start=one.start,
        base=base,
        worker=one.worker,
        at=one.at,
        worktree=one.origin.worktree,
        branch=one.origin.branch,
        commits=commits,
        uncommitted=uncommitted,
        files=files,
    )


def _read(session: Session, oids: Iterable[Oid]) -> dict[Oid, Commit]:
    wanted = list(dict.fromkeys(oids))
    stored = session.store.objects.read_many(wanted)
    return {
        oid: parse_commit(oid, each.data)
        for oid, each in zip(wanted, stored, strict=True)
        if each is not None
    }


def _commits(session: Session, oids: Sequence[Oid]) -> tuple[KeptCommit, ...]:
    """As they are shown; their words are a worker's."""
    return tuple(
        KeptCommit(
            oid,
            trailers.parse(commit.message).subject,
            commit.author.name,
            datetime.fromtimestamp(commit.author.seconds, UTC),
            trailers.is_kept(commit.message),
        )
        for oid, commit in _read(session, oids).items()
    )


def _patch(session: Session, work: KeptWork) -> bytes:
    """The diff of all of it, as git prints it without the user's settings."""
    switches = ("-p", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    old = work.base or session.repo.empty_tree
    return session.repo.git().run("diff-tree", *switches, old, work.start).out


def _make_branch(session: Session, work: KeptWork, branch: str) -> None:
    problem = spelling.branch_problem(branch)
    if problem:
        raise InvalidInput(f"branch {branch!r}: {problem}", hint="--branch look-at-it")
    if session.placement is not None:
        raise Denied(
            f"the branch {branch}: this worktree is for one branch, {session.placement.branch}",
            hint=f"git fleet salvage apply {work.id} {work.name} takes it up here; or go to your main worktree",
        )
    try:
        session.store.transact([Update(names.branch(branch), ABSENT, work.start)], message=f"from {work.ref}")
    except Held as held:
        raise Held(f"there is a branch {branch} already", hint="--branch with another name") from held
