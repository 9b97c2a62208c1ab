from __future__ import annotations

import pytest
from msgspec.structs import replace

from git_fleet.core.check import PlanCheck, check_plan
from git_fleet.core.config import Config, Gate
from git_fleet.core.coupling import Coupling
from git_fleet.core.doubts import Doubt
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Overlap, Plan, PlanLog, PlanState, Task
from git_fleet.core.results import PlanRow
from git_fleet.core.snapshot import PlanRecord
from git_fleet.views import machine_plans, plans
from git_fleet.views.look import PLAIN, Look
from tests.support.documents import validate
from tests.views.values import EVIL, OID

CONFIG = Config(gates=(Gate("tests", "make test"),))


def task(name: str, *files: str, **changes: object) -> Task:
    given = {"title": f"Do {name}", "accept": ("true",), "files": files, **changes}
    return Task(TaskId("app", name), slug=name, **given)  # type: ignore[arg-type]  # any field


def checked(*tasks: Task, tracked: tuple[str, ...] = ("cli.py", "docs/a.md", "lib.py")) -> PlanCheck:
    return check_plan(Plan("app", "An app", "main", tasks), tracked=tracked, config=CONFIG)


def test_a_check_is_read_from_the_collisions_to_the_verdict() -> None:
    value = checked(
        task("1", "cli.py"),
        task("2", "cli.py", "/docs/*.md"),
        task("3", "lib.py"),
        task("4", "new.py", reads=("lib.py",)),
    )
    assert plans.check(value, PLAIN) == (
        "app: 4 tasks, 1 collision, 2 waves, 1 doubt\n"
        "\n"
        "Collisions\n"
        "  TASK   AND    BOTH OWN  WHAT WILL HAPPEN\n"
        "  app/1  app/2  cli.py    they take turns\n"
        "\n"
        "Interfaces\n"
        "  CHANGES  READS  PATHS   WHAT WILL HAPPEN\n"
        "  app/3    app/4  lib.py  app/3 is integrated first\n"
        "\n"
        "Doubts\n"
        "  ? app/4: new.py: no tracked file matches it\n"
        "      nothing, if it is to be new\n"
        "\n"
        "Waves (tasks of one can run together)\n"
        "   1  app/1  app/3  app/4\n"
        "   2  app/2\n"
        "\n"
        "Verdict: PARALLEL – 3 workers make it 2.0 times as fast; the limit is the critical path (20 min)\n"
        "  40 min one after another, 20 min with 3 workers (×2); more than 3 workers are no help\n"
        "  critical path 20 min: app/1 → app/2\n"
        "  from 4 tasks of 40 min in all, 0.5 min to start a worker, 5 min to review a task"
    )


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Overlap.SERIALIZE, "take turns"),
        (Overlap.WATCH, "a real collision"),
        (Overlap.ACCEPT, "at integration"),
    ],
)
def test_a_collision_says_what_will_happen(policy: Overlap, words: str) -> None:
    value = checked(task("1", "cli.py", overlap=policy), task("2", "cli.py", overlap=policy))
    assert words in plans.check(value, PLAIN)


def test_a_collision_of_tasks_in_order_is_none() -> None:
    shown = plans.check(checked(task("1", "cli.py"), task("2", "cli.py", needs=("1",))), PLAIN)
    assert "app/1  app/2  cli.py    in order: needs\n" in shown
    assert "2 tasks, 0 collisions" in shown


def test_names_that_collide_only_by_their_depth_are_shown_with_what_to_write() -> None:
    value = checked(task("1", "a"), task("2", "b"), task("3", "x", needs=("1", "2")))
    assert (
        "  app/1  app/2  a/b       they take turns\n"
        "  app/1  app/3  a/x       in order: needs\n"
        "  app/2  app/3  b/x       in order: needs\n"
        "  a bare name is owned in every folder; if only the root's is meant, write /a/, /b/\n"
    ) in plans.check(value, PLAIN)


def test_hidden_coupling_says_in_how_many_commits() -> None:
    """The share is of those that changed either, of which there are more."""
    value = checked(task("1", "a"), task("2", "b"))
    found = Coupling(TaskId("app", "1"), TaskId("app", "2"), ("a/x", "b/y"), 0.75, 3)
    assert "app/1  a/x   b/y           app/2    3 commits (75%)\n" in plans.check(
        replace(value, coupling=(found,)), PLAIN
    )


def test_many_doubts_of_a_kind_are_one_line() -> None:
    few = checked(*(task(str(n), f"new{n}.py") for n in range(3)))
    assert plans.check(few, PLAIN).count("no tracked file matches it") == 3
    value = checked(*(task(str(n), f"new{n}.py") for n in range(60)))
    doubts = (
        "\nDoubts\n"
        "  ? 60 × no-match (app/0, app/1, app/2 and 57 more), such as: new0.py: no tracked file matches it\n"
        "  --json has them all\n"
    )
    assert doubts in plans.check(value, PLAIN)
    assert doubts in plans.preview(value, PLAIN, commands=(), worktrees=1, disk_bytes=1, warnings=())
    assert len(machine_plans.check(value)["doubts"]) == 60


def test_a_plan_that_is_not_worth_it_is_told_plainly() -> None:
    assert "Verdict: SERIAL – run it serially" in plans.check(checked(task("1", "cli.py")), PLAIN)


def test_problems_stand_out_with_what_refuses_them() -> None:
    shown = plans.check(checked(task("1", files=None)), PLAIN)
    assert "1 problem" in shown
    assert "Problems (approving refuses them)\n  ✗ " in shown


@pytest.mark.parametrize("look", [PLAIN, Look(width=60)])
def test_no_text_of_a_plan_steers_the_terminal(look: Look) -> None:
    value = checked(task("1", "*"), task("2", "*", title=EVIL, prompt=f"`{EVIL}`"), tracked=(EVIL,))
    doubt = Doubt("shared", TaskId("app", "1"), EVIL, EVIL)
    value = replace(value, doubts=(doubt,), problems=(EVIL,))
    record = PlanRecord("app", PlanLog(PlanState.PAUSED, OID, None, EVIL), OID)
    shown = [
        plans.check(value, look),
        plans.preview(value, look, commands=(EVIL,), worktrees=1, disk_bytes=1, warnings=(EVIL,)),
        plans.state(record, look),
        plans.listing([PlanRow("app", EVIL, EVIL, PlanState.OPEN, 1)], look),
        plans.source(EVIL),
    ]
    for view in shown:
        assert all(part.isprintable() for part in view.split("\n")), view


def test_a_wide_plan_is_cut_where_it_says_so() -> None:
    value = checked(*(task(str(n), "cli.py") for n in range(20)))
    shown = plans.check(value, PLAIN)
    assert "190 collisions" in shown
    assert "… and 160 more (--json has them all)" in shown
    assert shown.count("they take turns") == 30
    assert len(machine_plans.check(value)["overlaps"]) == 190


def test_every_document_of_a_plan_is_what_its_schema_says() -> None:
    value = checked(task("1", "cli.py"), task("2", "cli.py", "x.py"), task("3"))
    about = {"commands": ("make test",), "worktrees": 2, "disk_bytes": 100, "warnings": ("no gate",)}
    validate({"v": 1, **machine_plans.check(value)}, "plan-check")
    validate({"v": 1, **machine_plans.preview(value, **about)}, "plan-preview")  # type: ignore[arg-type]  # a dict of them
    draft = Plan("app", "An app", "main", (Task(TaskId("app", "1"), "x", "x"),))
    validate({"v": 1, **machine_plans.show(draft, state="draft", revision=OID, approved=False)}, "plan-show")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.5 min"), (40, "40 min"), (119.6, "120 min"), (120, "2 h"), (200, "3 h 20 min")],
)
def test_minutes_are_given_as_people_say_them(value: float, shown: str) -> None:
    assert plans.minutes(value) == shown
