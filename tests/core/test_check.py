"""What plan check says, one finding at a time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from git_fleet.core.check import Interface, OverlapFound, PlanCheck, check_plan
from git_fleet.core.config import Config, Gate, Generated
from git_fleet.core.coupling import Coupling
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Output, Overlap, Plan, Task
from git_fleet.core.schedule import Shape

A, B, C, D = (TaskId("p", name) for name in "abcd")
TRACKED = ["cli.py", "src/app.py", "src/api.py", "docs/guide.md", "README.md", "Makefile", ".ci/run"]
QUIET = Config(gates_none=True, protected=())


def task(name: str, *files: str, **fields: Any) -> Task:
    return Task(TaskId("p", name), name, name, files=files, **{"accept": ("true",), **fields})


def check(*tasks: Task, config: Config = QUIET, tracked: list[str] = TRACKED, **options: Any) -> PlanCheck:
    return check_plan(Plan("p", "p", "main", tasks), tracked=tracked, config=config, **options)


def doubts(*tasks: Task, code: str, **options: Any) -> list[tuple[TaskId | None, str]]:
    return [(doubt.task_id, doubt.text) for doubt in check(*tasks, **options).doubts if doubt.code == code]


def test_a_quiet_plan_has_nothing_to_tell() -> None:
    answer = check(task("a", "cli.py"), task("b", "src/app.py"))
    assert (answer.plan, answer.tasks) == ("p", 2)
    assert not any((answer.overlaps, answer.interfaces, answer.coupling, answer.doubts, answer.problems))
    assert answer.waves == ((A, B),)


def test_an_overlap_names_the_tracked_files_that_both_own() -> None:
    answer = check(task("a", "src/**", "cli.py"), task("b", "/src/*.py", overlap=Overlap.WATCH))
    found = OverlapFound(A, B, ("src/api.py", "src/app.py"), Overlap.SERIALIZE, 2)
    assert answer.overlaps == answer.collisions == (found,)
    assert answer.waves == ((A,), (B,))


def test_an_overlap_without_a_tracked_file_gives_an_example() -> None:
    (found,) = check(task("a", "src/**"), task("b", "src/new.py")).overlaps
    assert (found.paths, found.count) == (("src/new.py",), 1)


def test_an_overlap_of_tasks_that_need_each_other_is_in_order_already() -> None:
    answer = check(
        task("a", "cli.py"), task("b", "README.md", needs=("a",)), task("c", "cli.py", needs=("b",))
    )
    assert [(found.a, found.b, found.ordered) for found in answer.overlaps] == [(A, C, True)]
    assert answer.collisions == ()


@pytest.mark.parametrize(
    ("one", "other", "rooted"),
    [
        ("a", "b", ("/a/", "/b/")),
        ("a/", "b", ("/a/", "/b/")),
        ("new.py", "a", ("/new.py", "/a/")),
        ("new.py", "lib/**", ("/new.py",)),
        ("/a/", "b", ("/b/",)),
        ("a", "a", ()),
        ("*.txt", "lib/", ()),
        ("lib/", "lib/**", ()),
        ("[ab]", "lib/**", ()),
    ],
)
def test_names_that_meet_only_by_their_depth_are_told_as_the_roots(
    one: str, other: str, rooted: tuple[str, ...]
) -> None:
    (found,) = check(task("a", one), task("b", other)).overlaps
    assert found.rooted == rooted


def test_names_that_meet_in_a_tracked_file_are_not_told_as_the_roots() -> None:
    (found,) = check(task("a", "a"), task("b", "b"), tracked=["a/b/c"]).overlaps
    assert (found.paths, found.rooted) == (("a/b/c",), ())


def test_watched_and_accepted_overlaps_are_told_and_do_not_make_waves() -> None:
    answer = check(*(task(name, "cli.py", overlap=Overlap.WATCH) for name in "ab"))
    assert [found.policy for found in answer.overlaps] == [Overlap.WATCH]
    assert answer.collisions == ()
    assert answer.waves == ((A, B),)


def test_generated_files_are_no_overlap_nor_among_the_paths() -> None:
    config = Config(gates_none=True, protected=(), generated=(Generated(("README.md",), "make"),))
    answer = check(task("a", "README.md", "cli.py"), task("b", "README.md", "/cli.py"), config=config)
    assert [found.paths for found in answer.overlaps] == [("cli.py",)]


def test_an_interface_is_an_owner_and_who_reads_its_files() -> None:
    answer = check(task("a", "cli.py", reads=("src/**",)), task("b", "src/app.py", "src/new.py"))
    assert answer.interfaces == (Interface(B, A, ("src/app.py",), 1),)


def test_the_critical_path_counts_overlaps_too() -> None:
    answer = check(
        task("a", "cli.py", estimate_minutes=20),
        task("b", "cli.py", estimate_minutes=30),
        task("c", "src/app.py", estimate_minutes=40),
    )
    assert answer.critical_path == (A, B)
    assert answer.fan_out.inputs.critical_path_minutes == 50


def test_the_verdict_uses_the_configured_costs_and_the_given_workers() -> None:
    config = Config(gates_none=True, protected=(), spawn_seconds=60, review_minutes=2)
    tasks = [task(str(n), f"{n}.py", estimate_minutes=10) for n in range(8)]
    answer = check(*tasks, config=config, workers=2).fan_out
    assert (answer.verdict, answer.workers, answer.parallel_minutes) == (Shape.PARALLEL, 2, 44)
    assert (answer.inputs.spawn_minutes, answer.inputs.review_minutes) == (1, 2)
    assert check(task("a", "x")).fan_out.verdict is Shape.SERIAL


def test_files_that_change_together_and_are_split_between_tasks_are_told() -> None:
    both, one = frozenset({"src/app.py", "docs/guide.md"}), frozenset({"src/app.py"})
    history = [both, both, both, one, frozenset({"cli.py", "src/app.py"})]
    answer = check(task("a", "docs/**"), task("b", "src/**"), task("c", "cli.py"), history=history)
    assert answer.coupling == (Coupling(A, B, ("docs/guide.md", "src/app.py"), 0.75, 3),)


@pytest.mark.parametrize(
    ("commits", "files_of_b"),
    [(2, "src/**"), (9, "nothing.py"), (9, "docs/**"), (9, "")],
)
def test_rare_unowned_or_undivided_couplings_are_not_told(commits: int, files_of_b: str) -> None:
    history = [frozenset({"src/app.py", "docs/guide.md"})] * commits
    tasks = [task("a", "docs/**"), task("b", files_of_b)] if files_of_b else [task("a", "docs/**", "src/**")]
    assert check(*tasks, history=history).coupling == ()


def test_sweeping_commits_say_nothing_about_two_files() -> None:
    sweep = frozenset({"src/app.py", "docs/guide.md", *(f"x{n}" for n in range(40))})
    assert check(task("a", "docs/**"), task("b", "src/**"), history=[sweep] * 9).coupling == ()


def test_a_file_that_a_prompt_names_and_nobody_owns_is_doubted() -> None:
    prompt = "Change app.py and `docs/guide.md`; see ./cli.py, README.md. Do not run Makefile/x or e.g. api."
    assert doubts(task("a", "cli.py", prompt=prompt, reads=("README.md",)), code="unowned") == [
        (A, "its prompt names src/app.py, which no task owns"),
        (A, "its prompt names docs/guide.md, which no task owns"),
    ]


def test_a_name_that_fits_two_files_is_no_named_file() -> None:
    tracked = ["a/x.py", "b/x.py", "run", "Makefile"]
    prompt = "run x.py with the Makefile"
    assert doubts(task("a", "y.py", prompt=prompt), code="unowned", tracked=tracked) == [
        (A, "its prompt names Makefile, which no task owns")
    ]


def test_a_file_of_three_tasks_is_doubted_once_with_three_remedies() -> None:
    tasks = [task(name, "cli.py", "new.py") for name in "abc"]
    (found,) = [doubt for doubt in check(*tasks).doubts if doubt.code == "shared"]
    assert (found.task_id, found.text) == (None, "cli.py, new.py are owned by 3 tasks: p/a, p/b, p/c")
    assert all(word in found.fix for word in ("one task", "sequence", "interface"))
    assert doubts(*tasks[:2], code="shared") == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("/new.txt", "/new.txt: it would be a new file"),
        ("scr/app.py", "scr/app.py: it would be a new file; the nearest path is src/app.py"),
        ("src/ap.py", "src/ap.py: it would be a new file; the nearest path is src/app.py"),
        ("srcs/**", "srcs/**: no tracked file matches it; the nearest path is src/"),
        ("REDME.md", "REDME.md: no tracked file matches it; the nearest path is README.md"),
        ("src/*.ts", "src/*.ts: no tracked file matches it"),
    ],
)
def test_a_pattern_without_a_tracked_file_is_noted_with_the_nearest_path(pattern: str, text: str) -> None:
    assert doubts(task("a", pattern), code="no-match") == [(A, text)]


def test_reads_that_match_nothing_are_noted_too() -> None:
    assert doubts(task("a", "cli.py", reads=("/gone.py",)), code="no-match") == [
        (A, "/gone.py: no tracked file matches it")
    ]


@pytest.mark.parametrize(
    ("pattern", "text", "write"),
    [
        ("cli.py", "cli.py: it owns that name in every folder, src/cli.py, x/cli.py too", "/cli.py"),
        ("docs", "docs: it owns that name in every folder, src/docs/b.md too", "/docs/"),
        ("docs/", "docs/: it owns that name in every folder, src/docs/b.md too", "/docs/"),
        ("run", "run: it owns that name in every folder, x/run/a too", "/run"),
        (r"\#a", r"\#a: it owns that name in every folder, x/#a too", r"/\#a"),
    ],
)
def test_a_bare_name_that_owns_more_than_the_one_at_the_root_is_doubted(
    pattern: str, text: str, write: str
) -> None:
    tracked = [
        "cli.py",
        "x/cli.py",
        "src/cli.py",
        "docs/a.md",
        "src/docs/b.md",
        "run",
        "x/run/a",
        "#a",
        "x/#a",
    ]
    (found,) = check(task("a", pattern), tracked=tracked).doubts
    assert (found.code, found.task_id, found.text) == ("any-depth", A, text)
    assert found.fix == f"write {write} if only the root's is meant"
    assert doubts(task("a", write), code="any-depth", tracked=tracked) == []


def test_a_bare_name_that_overlaps_a_task_only_by_its_depth_is_doubted() -> None:
    tasks = [
        task("a", "cli.py", "README.md"),
        task("b", "src/**"),
        task("c", "/cli.py", "docs/"),
        task("d", "src/y.py"),
    ]
    every = "it owns that name in every folder; only by that it overlaps"
    assert doubts(*tasks, code="any-depth") == [
        (A, f"cli.py: {every} p/b"),
        (A, f"README.md: {every} p/b"),
        (C, f"docs/: {every} p/b"),
    ]


@pytest.mark.parametrize(
    "pattern", ["new.py", "app.py", "new", "/cli.py", "**/cli.py", "*.md", "cli.py/", "src/app.py"]
)
def test_a_name_that_is_not_at_the_root_or_says_where_it_is_is_not_doubted(pattern: str) -> None:
    tracked = [*TRACKED, "x/cli.py", "x/guide.md"]
    assert doubts(task("a", pattern), task("b", "src/**"), code="any-depth", tracked=tracked) == []


def test_a_bare_name_that_is_generated_is_not_doubted() -> None:
    config = Config(gates_none=True, protected=(), generated=(Generated(("cli.py",), "make"),))
    assert doubts(task("a", "cli.py"), task("b", "src/**"), code="any-depth", config=config) == []


def test_missing_accept_commands_and_gates_are_doubted() -> None:
    bare = [task("a", "cli.py", accept=()), task("b", "src/app.py", accept=())]
    assert doubts(*bare, code="no-accept") == [(None, "no task has an accept command of its own")]
    assert doubts(bare[0], task("b", "x"), code="no-accept") == [(A, "it has no accept command of its own")]
    assert doubts(task("a", accept=(), output=Output.REPORT), code="no-accept") == []
    assert len(doubts(task("a", "cli.py"), code="no-gate", config=Config())) == 1
    assert doubts(task("a", "cli.py"), code="no-gate", config=Config(gates=(Gate("t", "x"),))) == []


def test_a_pattern_that_reaches_protected_files_is_doubted() -> None:
    tasks = [
        task("a", ".ci/**"),
        task("b", "cli.py"),
        task("c", "r*n"),
        task("d", "/.github/x", "fleet.toml"),
    ]
    assert doubts(*tasks, code="protected", config=Config()) == [
        (A, ".ci/**: it may change protected files (.ci/**), such as gates and hooks"),
        (C, "r*n: it may change protected files (.ci/**), such as gates and hooks"),
        (D, "/.github/x: it may change protected files (.github/**), such as gates and hooks"),
        (D, "fleet.toml: it may change protected files (fleet.toml), such as gates and hooks"),
    ]


def test_a_draft_without_files_has_a_problem() -> None:
    answer = check(Task(A, "a", "a"), task("b", "cli.py"))
    assert answer.problems == ('p/a: files: missing; name the files it owns, or say output = "report"',)


def test_names_that_are_not_utf8_survive() -> None:
    odd = "caf\udce9/a b\n.txt"
    answer = check(task("a", "**/*.txt"), task("b", "caf*/**"), tracked=[odd])
    assert answer.overlaps[0].paths == (odd,)


def test_ten_thousand_tasks_are_checked_in_seconds() -> None:
    tracked = [f"src/m{n}/{name}.py" for n in range(10_000) for name in "ab"]
    tasks = [
        task(str(n), f"src/m{n}/**", needs=(str(n - 1),) if n % 10 else (), accept=()) for n in range(10_000)
    ]
    began = time.process_time()
    answer = check(*tasks, tracked=tracked, history=[frozenset(tracked[n : n + 2]) for n in range(2_000)])
    assert len(answer.waves) == 10
    assert time.process_time() - began < 15  # about 1.5 s alone: the machine is shared
