"""What is said of a collision, and when two looks say the same."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from git_fleet.core.collisions import (
    Collision,
    Conflicts,
    InFlight,
    Kind,
    SharedFile,
    Source,
    Unseen,
    told,
    why_it_waits,
)
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import State
from tests.support.clock import START

A, B = TaskId("p", "a"), TaskId("p", "b")


def pair(*files: tuple[str, Kind], b: TaskId | None = B, waits: TaskId | None = None) -> Collision:
    return Collision(A, b, "main", tuple(SharedFile(*file) for file in files), waits=waits)


def test_a_pair_is_of_its_worst_kind_and_names_the_files_of_that() -> None:
    found = pair(("x", Kind.SAME_PATH), ("y", Kind.TEXTUAL))
    assert (found.kind, found.paths) == (Kind.TEXTUAL, ("y",))
    assert (found.other(A), found.other(B)) == (B, A)


@pytest.mark.parametrize(
    ("collision", "task", "expected"),
    [
        (pair(("x", Kind.TEXTUAL)), A, "your work collides with p/b in x"),
        (pair(("x", Kind.SAME_PATH)), B, "p/a changes x, too; the two merge cleanly so far"),
        (
            pair(("x", Kind.TEXTUAL), waits=B),
            B,
            "your work collides with p/a in x; p/a was claimed first, so your hand-in waits for it",
        ),
        (pair(("x", Kind.TEXTUAL), waits=B), A, "your work collides with p/b in x"),
        (
            pair(("x", Kind.TEXTUAL), b=None),
            A,
            "your work conflicts with what is on main by now in x: git merge main shows where",
        ),
        (
            pair(*((name, Kind.TEXTUAL) for name in "vwxyz")),
            A,
            "your work collides with p/b in v, w, x and 2 more",
        ),
    ],
)
def test_a_worker_is_told_in_a_sentence(collision: Collision, task: TaskId, expected: str) -> None:
    assert told(collision, task) == expected


def test_only_who_waits_is_said_to() -> None:
    found = (pair(("x", Kind.TEXTUAL), waits=B), pair(("y", Kind.TEXTUAL)))
    assert why_it_waits(found, B) == "its hand-in waits until p/a is integrated: they collide in x"
    assert why_it_waits(found, A) == ""
    more = (found[0], replace(found[0], a=TaskId("p", "c")))
    assert why_it_waits(more, B) == "its hand-in waits until p/a, p/c are integrated: they collide in x"


def test_work_that_went_on_elsewhere_says_the_same() -> None:
    work = InFlight(A, State.CLAIMED, "w1", Source.WORKTREE, Oid("1" * 40), 1)
    look = Conflicts(START, (work,), (pair(("x", Kind.TEXTUAL)),), (), 1, 1)
    assert look.says_the_same(
        replace(look, work=(replace(work, commit=Oid("2" * 40), changed=7),), checked=2)
    )
    assert not look.says_the_same(replace(look, work=(replace(work, note="in the middle of a merge"),)))
    assert not look.says_the_same(replace(look, collisions=()))
    assert not look.says_the_same(replace(look, unseen=(Unseen(B, "gone"),)))
