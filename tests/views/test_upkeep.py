from __future__ import annotations

import pytest
from msgspec.structs import replace

from git_fleet.core.ids import TaskId
from git_fleet.core.model import State
from git_fleet.core.results import Cleaned, Diagnosis, FoundGate, InitReport, Problem, WorktreeRow
from git_fleet.views import machine, upkeep
from git_fleet.views.look import PLAIN, Look
from tests.support.documents import validate
from tests.views.values import EVIL

ONE, TWO = TaskId("app", "1"), TaskId("app", "2")
REPORT = InitReport(
    config="version = 1\n",
    gates=(
        FoundGate("tests", "make test", "Makefile"),
        FoundGate("pytest", "pytest", "pyproject.toml", True),
    ),
    hooks=("pre-commit: installed (.git/hooks/pre-commit)",),
    commands=("git add fleet.toml && git commit -m 'Set up git-fleet' -- fleet.toml",),
    notes=("you are on topic",),
)
CLEANED = (
    Cleaned(ONE, "/w/1", branch="feature/1", salvage="refs/fleet/salvage/app/1/1"),
    Cleaned(TWO, "/w/2", "dirty", "it has uncommitted changes: a.py", ("a.py",)),
)


def test_doctor_says_what_is_left_and_what_to_do() -> None:
    value = Diagnosis(
        False,
        (
            Problem("hooks-missing", "hooks are not installed", "git fleet init"),
            Problem("lock", "a lock", "", True),
        ),
        (Problem("shallow", "this is a shallow clone", ""),),
    )
    assert upkeep.doctor(value, PLAIN) == (
        "problem: hooks are not installed [hooks-missing]\n"
        "    git fleet init\n"
        "fixed: a lock [lock]\n"
        "note: this is a shallow clone [shallow]\n"
        "1 problem left"
    )
    assert upkeep.doctor(Diagnosis(True, ()), PLAIN) == "all is well"


def test_doctor_counts_worktrees_that_can_go_instead_of_listing_them() -> None:
    left = tuple(Problem("worktree-left", f"the worktree /w/{n}", "git fleet cleanup") for n in range(9))
    other = Problem("shallow", "this is a shallow clone", "")
    assert upkeep.doctor(Diagnosis(True, (), (*left[:5], other, *left[5:])), PLAIN) == (
        "note: this is a shallow clone [shallow]\n"
        "note: 9 worktrees of tasks that have ended: git fleet cleanup [worktree-left]\n"
        "all is well"
    )
    assert "note: the worktree /w/0 [worktree-left]" in upkeep.doctor(Diagnosis(True, (), left[:1]), PLAIN)


def test_setting_up_says_what_was_found_and_what_to_commit() -> None:
    assert upkeep.init(REPORT, PLAIN, dry_run=False) == (
        "wrote fleet.toml\n"
        "  gate tests: make test  # Makefile\n"
        "  gate pytest: pytest  # pyproject.toml  (in a comment)\n"
        "pre-commit: installed (.git/hooks/pre-commit)\n"
        "note: you are on topic\n"
        "next: git add fleet.toml && git commit -m 'Set up git-fleet' -- fleet.toml"
    )
    assert "\nversion = 1\n" in upkeep.init(REPORT, PLAIN, dry_run=True)
    again = InitReport("", (), (), (), ())
    assert upkeep.init(again, PLAIN, dry_run=False) == "everything is in place already"


def test_cleaning_up_says_what_went_and_where_its_work_is() -> None:
    assert upkeep.cleanup(CLEANED, PLAIN, dry_run=False) == (
        "✓ app/1: /w/1 is removed, and its branch feature/1\n"
        "    its work is kept at refs/fleet/salvage/app/1/1 (git fleet salvage show app/1 1)\n"
        "- app/2 keeps /w/2: it has uncommitted changes: a.py"
    )
    assert "would be removed" in upkeep.cleanup(CLEANED, PLAIN, dry_run=True)
    assert upkeep.cleanup((), PLAIN, dry_run=False) == "no worktree can go"


def test_worktrees_are_listed_with_what_is_in_them() -> None:
    rows = [
        WorktreeRow(ONE, "/w/1", "feature/1", "w1", 3, State.CLAIMED, True, 2),
        WorktreeRow(TWO, "/w/2", "", "", 0, None, False, None),
    ]
    assert upkeep.worktrees(rows, PLAIN) == (
        "TASK   STATE    WORKER  SLOT  BRANCH     CHANGES  WORKTREE\n"
        "app/1  claimed  w1         3  feature/1  2        /w/1\n"
        "app/2  unknown                           gone     /w/2 (earlier attempt)"
    )
    assert upkeep.worktrees(rows[:1], Look(width=45)) == (
        "TASK   STATE    WORKER  CHANGES  WORKTREE\napp/1  claimed  w1      2        /w/1"
    )
    far = replace(rows[0], path="/a/path/that/somebody/wants/to/copy")
    assert upkeep.worktrees([far], Look(width=20)).endswith(
        "app/1  claimed  /a/path/that/somebody/wants/to/copy"
    )
    validate({"v": 1, **machine.worktree_list(rows)}, "worktree-list")


@pytest.mark.parametrize("look", [PLAIN, Look(width=60)])
def test_no_text_of_others_steers_the_terminal(look: Look) -> None:
    problem = Problem("x", EVIL, EVIL)
    report = InitReport(EVIL, (FoundGate(EVIL, EVIL, EVIL),), (EVIL,), (EVIL,), (EVIL,))
    shown = [
        upkeep.doctor(Diagnosis(False, (problem,), (problem,)), look),
        upkeep.worktrees([WorktreeRow(ONE, EVIL, EVIL, EVIL, 1, State.CLAIMED, True, 0)], look),
        upkeep.init(report, look, dry_run=True),
        upkeep.cleanup(
            [Cleaned(ONE, EVIL, branch=EVIL, salvage=EVIL), Cleaned(TWO, EVIL, "x", EVIL)],
            look,
            dry_run=False,
        ),
    ]
    for view in shown:
        assert all(part.isprintable() for part in view.split("\n")), view


def test_every_document_is_what_its_schema_says() -> None:
    problem = Problem("x", "y", "z")
    validate({"v": 1, **machine.doctor(Diagnosis(False, (problem,), (problem,)))}, "doctor")
    validate({"v": 1, **machine.init(REPORT, dry_run=False)}, "init")
    validate({"v": 1, **machine.cleanup(CLEANED, dry_run=True)}, "cleanup")
