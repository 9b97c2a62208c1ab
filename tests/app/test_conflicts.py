"""`git fleet conflicts`: who collides with whom, in which lines, and whose hand-in waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_fleet.app import conflicts as looking
from git_fleet.app.session import Session
from git_fleet.core.collisions import Collision, Conflicts, Hunk, Kind, Source, Span
from git_fleet.core.model import Overlap
from git_fleet.git import contents
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    open_fleet,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Repo

A, B, C = task_id("a"), task_id("b"), task_id("c")
LINES = [f"{n}\n" for n in range(1, 41)]
TEXT = "".join(LINES)


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    repo.commit("a file to fight about", {"both.txt": TEXT, "other.txt": TEXT, "d/x": "x\n"})
    with open_fleet(repo, "w1", clock) as session:
        yield session


def edited(*lines: int, word: str) -> str:
    """TEXT with these lines (counted from 1) changed."""
    return "".join(f"{word}\n" if n in lines else line for n, line in enumerate(LINES, start=1))


def two(session: Session, clock: FakeClock, *, overlap: str = "watch", **fields: object) -> tuple[Repo, Repo]:
    """The worktrees of a and b, claimed in this order, which own the same file."""
    approved(
        session,
        task("a", files=["both.txt", "a/**"], overlap=overlap, **fields),
        task("b", files=["both.txt", "b/**"], overlap=overlap),
        task("c", files=["c/**"]),
    )
    first = Repo(working_on(session, "a"))
    clock.advance(1)
    return first, Repo(working_on(session, "b"))


def only(found: Conflicts) -> Collision:
    assert len(found.collisions) == 1, found.collisions
    return found.collisions[0]


# --- what is seen ----------------------------------------------------------------------------------


def test_uncommitted_work_collides_in_its_lines(session: Session, clock: FakeClock) -> None:
    one, other = two(session, clock)
    one.write("both.txt", edited(3, 20, word="ours"))
    one.write("a/new", "untracked\n")
    other.write("both.txt", edited(20, 21, 39, word="theirs"))
    before = [
        (tree.status(), (contents.git_dir_of(tree.path) / "index").read_bytes()) for tree in (one, other)
    ]
    refs = one.refs()
    found = looking.conflicts(session)
    pair = only(found)
    assert (pair.a, pair.b, pair.kind, pair.paths) == (A, B, Kind.TEXTUAL, ("both.txt",))
    assert (pair.policy, pair.waits) == (Overlap.WATCH, B)
    assert pair.files[0].hunks == (Hunk(Span(20, 1), Span(20, 2)),)
    assert [(each.id, each.source, each.changed) for each in found.work] == [
        (A, Source.WORKTREE, 2),
        (B, Source.WORKTREE, 1),
    ]
    assert (found.checked, found.merged, found.unseen) == (3, 1, ())
    assert one.refs() == refs
    assert before == [
        (tree.status(), (contents.git_dir_of(tree.path) / "index").read_bytes()) for tree in (one, other)
    ]
