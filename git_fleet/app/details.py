"""What a look at the fleet adds to what is stored: the worktrees on this machine, signs of life, waves.

Kept by who looks again and again (`git fleet status --watch`), so that what has not changed is not read again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from git_fleet.app import includes
from git_fleet.app.session import Session
from git_fleet.core import graph
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Claim, Plan, State
from git_fleet.core.ready import Index
from git_fleet.core.snapshot import Snapshot, TaskRecord
from git_fleet.errors import FleetError
from git_fleet.git import contents, worktrees
from git_fleet.store import log, names, worktree

AT_WORK = frozenset(
    {State.CLAIMED, State.REWORK, State.BLOCKED, State.PROPOSED, State.VERIFIED, State.PARKED}
)
"""States in which a task has a worker, or had one whose work is still in question."""

_SHARE = 20
_LEAST_SECONDS = 2.0
"""Uncommitted paths are counted again after so long, and so seldom that it takes one part in `_SHARE` of the
time at most: counting reads whole work trees."""

_OUTPUT = "output"
"""Below the fleet's folder, where agents' output is kept, if any ever was (app/outputs.py)."""


class Details:
    """Commits ahead, uncommitted paths and the last signs of life of the tasks that are worked on."""

    def __init__(self) -> None:
        self._trees: dict[TaskId, worktrees.Worktree] = {}
        self._bases: dict[TaskId, Oid | None] = {}
        self._ahead: dict[tuple[Oid | None, Oid | None], int] = {}  # by head and base: it cannot change
        self._dirty: dict[TaskId, int | None] = {}
        self._counted_at = self._cost = 0.0
        self._told: dict[Oid, datetime] = {}  # when an event was, by its id
        self._fleet_dir = Path()
        self._git_dirs: dict[TaskId, Path | None] = {}

    def read(self, session: Session, snapshot: Snapshot, config: Config) -> None:
        """What is new since the last reading. Uncommitted paths are counted where there was no count, and all
        of them where it is time to."""
        self._fleet_dir = session.repo.fleet_dir
        working = [record for record in snapshot.tasks.values() if record.state.state in AT_WORK]
        self._read_events(session, working)
        here = dict(_here(working, session.around.host))
        if not here:
            self._trees = {}
            return
        on_record = {str(tree.path): tree for tree in worktrees.list_worktrees(session.repo)}
        before, self._trees = (
            self._trees,
            {t: on_record[path] for t, path in here.items() if path in on_record},
        )
        self._git_dirs = {
            task: worktrees.git_dir_for(session.repo, tree.path) for task, tree in self._trees.items()
        }
        self._count_ahead(session, snapshot)
        same = {
            task for task, tree in self._trees.items() if task in self._dirty and before.get(task) == tree
        }
        if time.monotonic() - self._counted_at >= max(_LEAST_SECONDS, _SHARE * self._cost):
            same = set()
        self._count_dirty([task for task in self._trees if task not in same], config, again=not same)

    def changes(self, task: TaskId) -> tuple[int | None, int | None]:
        """Commits over the base and uncommitted paths; None for what cannot be known here."""
        tree = self._trees.get(task)
        if tree is None:
            return None, None
        ahead = self._ahead.get((tree.head, self._bases.get(task)))
        return ahead, self._dirty.get(task)

    def seen(self, record: TaskRecord) -> datetime | None:
        """When whoever works on the task was heard of last: by an event of its log, a commit in its worktree, a
        hook of its agent, something its agent printed. Of a task that nobody works on, its last event."""
        told = self._told.get(record.tip) if record.tip is not None else None
        claim = record.state.claim
        if told is None or claim is None or record.state.state is not State.CLAIMED:
            return told
        moments = (datetime.fromtimestamp(at, UTC) for at in self._signs(record.id, claim))
        return max((told, *moments))

    def _signs(self, task: TaskId, claim: Claim) -> Iterator[float]:
        """Signs of life outside of the log, in Unix seconds. Those from before the claim are older than its event."""
        git_dir = self._git_dirs.get(task)
        if git_dir is not None:
            sign = worktree.last_sign(git_dir)
            if sign is not None:
                yield sign.at
            with suppress(OSError):
                yield (git_dir / "logs" / "HEAD").stat().st_mtime
        printed = self._fleet_dir / _OUTPUT / task.plan / task.task
        with suppress(OSError):
            for path in printed.iterdir():
                if path.name.startswith(f"{claim.attempt}-"):
                    yield path.stat().st_mtime

    def _read_events(self, session: Session, working: Iterable[TaskRecord]) -> None:
        tips = [record.tip for record in working if record.tip is not None]
        unknown = [tip for tip in tips if tip not in self._told]
        self._told = {tip: self._told[tip] for tip in tips if tip in self._told}
        for tip, found in zip(unknown, session.store.objects.read_many(unknown), strict=True):
            if found is not None:
                self._told[tip] = log.parse(tip, found.data).event.at

    def _count_ahead(self, session: Session, snapshot: Snapshot) -> None:
        """How many commits the head of each worktree has that its plan's base has not. One git a base."""
        tips: dict[str, Oid | None] = {}
        asked: dict[Oid, set[Oid]] = {}
        known, self._ahead = self._ahead, {}
        for task, tree in self._trees.items():
            plan = snapshot.plans[task.plan].approved
            if plan is None or tree.head is None:
                continue
            if plan.base not in tips:
                found = session.store.objects.read_ref(names.branch(plan.base))
                tips[plan.base] = found[0] if found else None
            base = self._bases[task] = tips[plan.base]
            key = (tree.head, base)
            if key in known:
                self._ahead[key] = known[key]
            elif base is not None:
                asked.setdefault(base, set()).add(tree.head)
        for base, heads in asked.items():
            lines = "".join(f"{head}\n" for head in sorted(heads)) + f"^{base}\n"
            listed = session.repo.git().text("rev-list", "--parents", "--stdin", input=lines.encode())
            parents = {row[0]: row[1:] for row in (line.split() for line in listed.splitlines())}
            self._ahead |= {(head, base): _reachable(head, parents) for head in heads}

    def _count_dirty(self, tasks: list[TaskId], config: Config, *, again: bool) -> None:
        markers = includes.check_markers(config.touch)
        began = time.monotonic()
        self._dirty = {task: self._dirty[task] for task in self._trees if task in self._dirty}
        self._dirty |= {task: count_dirty(self._trees[task].path, markers) for task in tasks}
        if again:
            self._counted_at = time.monotonic()
            self._cost = self._counted_at - began


def _here(working: Iterable[TaskRecord], host: str) -> Iterator[tuple[TaskId, str]]:
    """The tasks whose worktree is on this machine, and where it is."""
    for record in working:
        claim = record.state.claim
        if claim is not None and claim.worktree and claim.host == host:
            yield record.id, claim.worktree


def _reachable(head: Oid, parents: Mapping[str, list[str]]) -> int:
    seen: set[str] = set()
    rest: list[str] = [head]
    while rest:
        commit = rest.pop()
        if commit in parents and commit not in seen:
            seen.add(commit)
            rest += parents[commit]
    return len(seen)


def count_dirty(path: Path, markers: Iterable[str]) -> int | None:
    """How many paths are not committed there; None when the folder is gone or git cannot read it."""
    if not path.is_dir():
        return None
    try:
        return len(contents.dirty_files(path, markers=markers))
    except FleetError:
        return None


def waves(plan: Plan, index: Index) -> dict[TaskId, int]:
    """The wave of each task of the plan, counted from 0."""
    pairs = [(task.id, other) for task in plan.tasks for other in index.overlaps.of(task.id)]
    return {task: number for number, tasks in enumerate(graph.waves(plan.tasks, pairs)) for task in tasks}
