"""What must be true of a fleet whatever happened to it: logs replayed, claims in turns, nothing lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

from git_fleet.app.session import Session
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import after
from git_fleet.core.model import PENDING, TaskState
from git_fleet.store import guard, log, names
from git_fleet.store.log import Entry
from tests.support.repo import Repo

GENEROUS = 'version = 1\ngates = "none"\nmax_active = 1000\nmax_review = 1000\nmax_attempts = 100\n'
"""A fleet.toml whose limits do not get in the way."""


@dataclass(frozen=True)
class Held:
    """A worker held `task` for sure from `since` to `until` (nanoseconds of the machine's steady clock)."""

    task: str
    since: int
    until: int


def histories(session: Session) -> dict[TaskId, list[Entry]]:
    """Every task's log, oldest event first."""
    tips = session.store.refs.read(names.TASK_LOGS)
    return {names.task_of_log(ref): log.history(session.store.objects, oid) for ref, oid in tips.items()}


def assert_logs_are_legal(session: Session, *, same_plans: bool = True) -> dict[TaskId, list[Entry]]:
    """Every stored state is what the table makes of the one before; every claim of overlapping tasks went
    through the guard, once (unless tasks came to overlap after claims: not the `same_plans`). The histories."""
    found = histories(session)
    for task, entries in found.items():
        state, before = PENDING, None
        for entry in entries:
            state = after(state, entry.event)
            assert entry.parent == before, f"{task}: {entry.event.name} stands on another event"
            assert entry.task_state == _fenced(state, entry), (
                f"{task}: {entry.event.name} says something else"
            )
            state, before = entry.task_state, entry.oid
    if same_plans:
        _assert_guarded(session, found)
    return found


def _fenced(state: TaskState, entry: Entry) -> TaskState:
    return state.fenced(entry.oid) if entry.event.name == "claim" else state


def _assert_guarded(session: Session, found: Mapping[TaskId, list[Entry]]) -> None:
    snapshot = session.snapshot()
    overlaps = session.index(snapshot).overlaps
    chain = guarded_claims(session)
    assert len(chain) == len(set(chain)), "the guard named a claim twice"
    claims = {
        entry.oid
        for task, entries in found.items()
        if overlaps.of(task)
        for entry in entries
        if entry.event.name == "claim"
    }
    assert claims <= set(chain), "a claim of an overlapping task went past the guard"


def guarded_claims(session: Session) -> list[Oid]:
    """The claim events that the guard has named, newest first."""
    oid, found = session.snapshot().guard, []
    while oid is not None:
        found.append(guard.read(session.store, oid).claim)
        parents = session.store.objects.read_commit(oid).parents
        oid = parents[0] if len(parents) == 2 else None
    return found


def assert_taking_turns(held: Iterable[Held], overlapping: Iterable[frozenset[str]]) -> None:
    """No two holders of one task, or of tasks that overlap, at the same moment."""
    by_task: dict[str, list[Held]] = {}
    for each in held:
        by_task.setdefault(each.task, []).append(each)
    pairs = [tuple(sorted(pair)) for pair in overlapping]
    for one, other in [*pairs, *((task, task) for task in by_task)]:
        both = by_task.get(one, []) + (by_task.get(other, []) if other != one else [])
        both.sort(key=lambda each: each.since)
        for first, second in pairwise(both):
            assert first.until <= second.since, f"both at once: {first} and {second}"


def pairs_among(groups: Iterable[Iterable[str]]) -> list[frozenset[str]]:
    """Every pair within each group."""
    return [frozenset(pair) for group in groups for pair in combinations(group, 2)]


def assert_reachable(repo: Repo, *contents: bytes) -> None:
    """Each of these contents is in a blob that some ref reaches."""
    listed = repo.run_git("rev-list", "--objects", "--all").splitlines()
    kept = {line.split(" ", 1)[0] for line in listed}
    for content in contents:
        blob = repo.run_git("hash-object", "--stdin", stdin=content)
        assert blob in kept, f"lost: {content!r}"


def assert_sound(repo: Repo) -> None:
    """git finds nothing wrong, and no lock is left. What no ref reaches any more is not wrong."""
    done = repo.try_git("fsck", "--full", "--no-dangling", "--strict")
    assert done.returncode == 0, done.stderr.decode()
    assert not list((repo.path / ".git" / "refs").rglob("*.lock"))
