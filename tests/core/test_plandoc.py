"""Plans as documents: what they mean, and what is said about broken ones."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Output, Overlap, Plan, Schedule, Task
from git_fleet.core.plandoc import approval_problems, dump_plan, parse_plan
from git_fleet.errors import InvalidInput, UnknownFormat
from tests.support.examples import many


def document(*tasks: dict[str, Any], **head: Any) -> dict[str, Any]:
    return {"version": 1, "plan": "p", "task": list(tasks), **head}


def entry(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": name, "title": f"Task {name}", "files": [f"{name}.py"], **fields}


def parse(*tasks: dict[str, Any], **head: Any) -> Plan:
    return parse_plan(document(*tasks, **head), source="plan.toml")


def problems_of(*tasks: dict[str, Any], **head: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(*tasks, **head)
    return caught.value.message


def test_a_task_is_read_with_all_its_fields() -> None:
    task = parse(
        entry("z"),
        {
            "id": "42",
            "slug": "count",
            "title": "Add a count command",
            "files": ["cli.py"],
            "reads": ["tasks.py"],
            "needs": ["z"],
            "labels": ["cli"],
            "worker": "deep",
            "prompt": "Print the number.\nNothing else.",
            "accept": ["python3 cli.py count"],
            "estimate_minutes": 12.5,
            "priority": -2,
            "hold": True,
            "joint": True,
            "overlap": "watch",
            "branch": "feature/42-count",
            "worktree": "../app-42",
            "remarks": "small",
            "extra": {"github": {"number": 42, "labels": []}},
        },
    ).tasks[1]
    assert task == Task(
        id=TaskId("p", "42"),
        slug="count",
        title="Add a count command",
        files=("cli.py",),
        reads=("tasks.py",),
        needs=("z",),
        labels=("cli",),
        worker="deep",
        prompt="Print the number.\nNothing else.",
        accept=("python3 cli.py count",),
        estimate_minutes=12.5,
        priority=-2,
        hold=True,
        joint=True,
        overlap=Overlap.WATCH,
        branch="feature/42-count",
        worktree="app-42",
        remarks="small",
        extra='{"github":{"labels":[],"number":42}}',
    )


@pytest.mark.parametrize(
    "value", ["x", {"a": datetime.date(2026, 1, 1)}, {"a": [float("nan")]}, {"a": "\ud800"}], ids=str
)
def test_what_came_from_elsewhere_must_fit_into_json_and_into_a_file(value: Any) -> None:
    said = problems_of(entry(extra=value))
    assert said.startswith("plan.toml: task a: extra: ")
    assert "allowed: " in said or said.endswith("it must be UTF-8 text")


def test_what_came_from_elsewhere_is_compared_by_what_it_says() -> None:
    one, other = ({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}})
    assert parse(entry(extra=one)) == parse(entry(extra=other))
    assert parse(entry(extra={})) == parse(entry())


def test_what_is_not_said_takes_its_default() -> None:
    plan = parse({"id": "A", "title": "Fix the Parser!"})
    assert (plan.title, plan.base, plan.schedule) == ("p", "main", Schedule.READY)
    assert (plan.tasks[0].id, plan.tasks[0].slug, plan.tasks[0].files) == (
        TaskId("p", "a"),
        "fix-the-parser",
        None,
    )


def test_a_plan_id_given_from_outside_wins() -> None:
    plan = parse_plan(document(entry()), source="x", plan_id="Other", default_base="trunk")
    assert (plan.id, plan.base, plan.tasks[0].id) == ("other", "trunk", TaskId("other", "a"))


def test_another_version_is_refused_as_such() -> None:
    with pytest.raises(UnknownFormat, match="version: found 2; allowed: 1"):
        parse(version=2)


MATRIX = entry(
    "bump-{cluster}",
    title="Bump on {cluster}",
    files=["live/{cluster}/**"],
    reads=["shared/{cluster}.yaml"],
    labels=["{cluster}"],
    prompt="Only {cluster}, keep {braces} and {}",
    accept=["check --cluster {cluster}"],
    branch="bump/{cluster}",
    worktree="bump-{cluster}",
    matrix={"cluster": ["dev-1", "prod.eu"]},
)


def test_one_matrix_entry_becomes_a_task_for_each_value() -> None:
    one, two = parse(MATRIX).tasks
    assert two == Task(
        id=TaskId("p", "bump-prod.eu"),
        slug="bump-on-prod-eu",
        title="Bump on prod.eu",
        files=("live/prod.eu/**",),
        reads=("shared/prod.eu.yaml",),
        labels=("prod.eu",),
        prompt="Only prod.eu, keep {braces} and {}",
        accept=("check --cluster prod.eu",),
        branch="bump/prod.eu",
        worktree="bump-prod.eu",
        params=(("cluster", "prod.eu"),),
        group="bump-{cluster}",
    )
    assert one.id.task == "bump-dev-1"


def test_several_matrix_keys_give_every_combination() -> None:
    plan = parse(entry("{a}-{b}", files=["{b}/{a}"], matrix={"a": ["x", "y"], "b": ["1", "2"]}))
    assert [task.id.task for task in plan.tasks] == ["x-1", "x-2", "y-1", "y-2"]
    assert plan.tasks[1].params == (("a", "x"), ("b", "2"))


def test_needs_by_template_mean_the_sibling_in_a_matrix_and_all_outside() -> None:
    plan = parse(
        MATRIX,
        entry("check-{cluster}", needs=["bump-{cluster}"], matrix={"cluster": ["prod.eu"]}),
        entry("report", needs=["bump-{cluster}"]),
        entry("x-{other}", needs=["bump-{cluster}"], matrix={"other": ["1"]}),
    )
    needs = {task.id.task: task.needs for task in plan.tasks}
    assert needs["check-prod.eu"] == ("bump-prod.eu",)
    assert needs["report"] == needs["x-1"] == ("bump-dev-1", "bump-prod.eu")


def test_needs_by_template_follow_the_keys_both_entries_have() -> None:
    plan = parse(
        entry("build-{os}-{py}", matrix={"os": ["mac", "linux"], "py": ["11", "12"]}),
        entry("pack-{os}", needs=["build-{os}-{py}"], matrix={"os": ["mac", "linux"]}),
    )
    assert plan.tasks[-1].needs == ("build-linux-11", "build-linux-12")


def test_needs_by_glob_mean_every_other_task_that_matches() -> None:
    plan = parse(entry("schema-a"), entry("schema-b"), entry("schema-all", needs=["schema-*", "SCHEMA-A"]))
    assert plan.tasks[2].needs == ("schema-a", "schema-b")


def test_a_report_owns_no_files() -> None:
    plan = parse({"id": "a", "title": "Audit", "output": "report"}, entry("b", files=[], output="report"))
    assert [task.files for task in plan.tasks] == [(), ()]
    assert plan.tasks[0].output is Output.REPORT


def test_only_missing_files_keep_a_draft_from_approval() -> None:
    plan = parse(entry("a"), {"id": "b", "title": "b"}, {"id": "c", "title": "c", "output": "report"})
    assert approval_problems(plan) == [
        'p/b: files: missing; name the files it owns, or say output = "report"'
    ]
    assert approval_problems(parse()) == ["plan p has no tasks"]
    assert approval_problems(parse(entry("a"))) == []


BROKEN: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "duplicate id": ([entry("x"), entry("X", files=["y"])], ["task x: id: found 'x'", "another task has it"]),
    "no id": ([{"title": "x"}], ["task 1: id: it is missing"]),
    "a number as id": ([entry(42)], ["task 1: id: found 42", 'id = "42"']),  # type: ignore[arg-type]  # broken input
    "an id no ref can hold": ([entry("a..b")], ["task a..b: id: found 'a..b'", "'..'"]),
    "an id with a slash": ([entry("a/b")], ["id: found 'a/b'", "[a-z0-9][a-z0-9._-]*"]),
    "an id ending in .lock": ([entry("a.lock")], ["id: found 'a.lock'", ".lock"]),
    "unknown need": (
        [entry("count"), entry("b", needs=["cuont"])],
        ["task b: needs: found 'cuont'", "'count'"],
    ),
    "self need": ([entry("a", needs=["a"])], ["task a: needs: found 'a'; a task cannot need itself"]),
    "cycle": (
        [entry("a", needs=["b"]), entry("b", needs=["c"]), entry("c", needs=["a"]), entry("d", needs=["a"])],
        ["needs: a cycle:", " -> "],
    ),
    "glob for nobody": (
        [entry("a", needs=["schema-*"])],
        ["needs: found 'schema-*'; no other task's id matches"],
    ),
    "template without that value": (
        [MATRIX, entry("c-{cluster}", matrix={"cluster": ["qa"]}, needs=["bump-{cluster}"])],
        ["task c-qa: needs: found 'bump-{cluster}'; that entry has no task with cluster=qa"],
    ),
    "escaping pattern": ([entry(files=["../x"])], ["task a: files: found '../x'; a component '..'"]),
    "negated pattern": ([entry(reads=["!x"])], ["task a: reads: found '!x'; '!' would negate it"]),
    "empty files": ([entry(files=[])], ["task a: files: found []", 'output = "report"']),
    "files as text": ([entry(files="x.py")], ["task a: files: found 'x.py'; allowed: a list of texts"]),
    "report with files": ([entry(output="report")], ["files: found ['a.py']", "owns no files"]),
    "branch with dash": ([entry(branch="-x")], ["branch: found '-x'; it must not begin with '-'"]),
    "branch with dots": ([entry(branch="a..b")], ["branch: found 'a..b'", "'..'"]),
    "branch with control": ([entry(branch="a\x07b")], [r"branch: found 'a\x07b'", "control characters"]),
    "branch with placeholder": ([entry(branch="f/{id}")], ["branch: found 'f/{id}'; no value for {id}"]),
    "branch is base": ([entry(branch="main")], ["branch: found 'main'; it is the plan's base"]),
    "branch below base": ([entry(branch="main/x")], ["found 'main/x'; git cannot have it beside 'main'"]),
    "branch above another": (
        [entry("a", branch="f/x"), entry("b", branch="f")],
        ["task a: branch: found 'f/x'; git cannot have it beside 'f'"],
    ),
    "same branch": (
        [entry("a", branch="f/x"), entry("b", branch="F/x")],
        ["task b: branch: found 'F/x'; task a has it"],
    ),
    "same worktree": (
        [entry("a", worktree="../w"), entry("b", worktree="w")],
        ["task b: worktree: found 'w'; task a has it"],
    ),
    "worktree elsewhere": ([entry(worktree="../../etc")], ["worktree: found '../../etc'", "one folder name"]),
    "absolute worktree": ([entry(worktree="/tmp/x")], ["worktree: found '/tmp/x'", "one folder name"]),
    "worktree with dash": ([entry(worktree="-rf")], ["worktree: found '-rf'; it must not begin with '-'"]),
    "worktree dots": ([entry(worktree="../..")], ["worktree: found '../..'"]),
    "worktree .git": ([entry(worktree=".git")], ["worktree: found '.git'"]),
    "worktree with newline": ([entry(worktree="a\nb")], ["worktree: found 'a\\nb'", "control characters"]),
    "slug with space": ([entry(slug="a b")], ["slug: found 'a b'"]),
    "slug with slash": ([entry(slug="../x")], ["slug: found '../x'"]),
    "title of two lines": ([entry(title="a\nb")], ["title: found 'a\\nb'", "one line"]),
    "prompt with NUL": ([entry(prompt="a\0b")], ["prompt: found 'a\\x00b'", "control characters"]),
    "half a surrogate": ([entry(prompt="\ud800")], ["prompt: found", "UTF-8"]),
    "estimate of nothing": ([entry(estimate_minutes=0)], ["estimate_minutes: found 0", "a number above 0"]),
    "estimate not a number": ([entry(estimate_minutes=float("nan"))], ["estimate_minutes: found nan"]),
    "estimate without end": ([entry(estimate_minutes=1e308)], ["found 1e+308", "above 0; at most 1000000"]),
    "a truth as number": ([entry(priority=True)], ["priority: found true", "a whole number"]),
    "hold as text": ([entry(hold="yes")], ["hold: found 'yes'; allowed: true or false"]),
    "unknown overlap": (
        [entry(overlap="merge")],
        ["overlap: found 'merge'", '"serialize" or "watch" or "accept"'],
    ),
    "overlap as list": ([entry(overlap=[])], ["overlap: found []"]),
    "matrix value with blank": (
        [entry("a-{x}", matrix={"x": ["a b; rm -rf ~"]})],
        ["task a-{x}: matrix.x: found 'a b; rm -rf ~'", "[A-Za-z0-9._-]"],
    ),
    "matrix value as option": ([entry("a-{x}", matrix={"x": ["-rf"]})], ["matrix.x: found '-rf'"]),
    "matrix value as number": ([entry("a-{x}", matrix={"x": [3.10]})], ["matrix.x: found 3.1", "text"]),
    "matrix value twice": ([entry("a-{x}", matrix={"x": ["a", "a"]})], ["matrix.x", "each value once"]),
    "matrix without values": ([entry("a-{x}", matrix={"x": []})], ["matrix.x: found []"]),
    "matrix as list": ([entry("a-{x}", matrix=["x"])], ["matrix: found ['x']"]),
    "matrix not in id": ([entry("a", matrix={"x": ["1"]})], ["id: found 'a'; it must contain {x}"]),
    "matrix too large": (
        [entry("-".join(f"{{k{n}}}" for n in range(9)), matrix={f"k{n}": list("abcdef") for n in range(9)})],
        ["matrix: more than 20000 combinations"],
    ),
    "tasks not tables": ([3], ["task: entry 1: found 3"]),  # type: ignore[list-item]  # broken input
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plan_is_refused_naming_task_field_and_value(name: str) -> None:
    tasks, fragments = BROKEN[name]
    message = problems_of(*tasks)
    assert message.startswith("plan.toml: ")
    assert [fragment for fragment in fragments if fragment not in message] == []


@pytest.mark.parametrize(
    ("head", "fragment"),
    [
        ({"plan": None}, "plan.toml: plan: it is missing"),
        ({"plan": "a b"}, "plan.toml: plan: found 'a b': must match"),
        ({"base": "a b"}, "plan.toml: base: found 'a b'"),
        ({"schedule": "now"}, 'plan.toml: schedule: found \'now\'; allowed: "ready" or "waves"'),
        ({"task": {}}, "plan.toml: task: found {}"),
        ({"title": 3}, "plan.toml: title: found 3"),
    ],
)
def test_a_broken_head_is_refused_naming_field_and_value(head: dict[str, Any], fragment: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_plan({**document(entry()), **head}, source="plan.toml")
    assert fragment in caught.value.message


def test_all_problems_are_told_at_once_with_their_lines_where_known() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_plan(
            document(entry("a", branch="-x", files=[]), entry("b", hold=3), base="-b"),
            source="plan.toml",
            lines={("base",): 2, ("task", 0): 4, ("task", 0, "branch"): 7},
        )
    assert caught.value.message.splitlines() == [
        "plan.toml:2: base: found '-b'; it must not begin with '-'",
        'plan.toml:4: task a: files: found []; allowed: the files it owns, or output = "report" for a task with none',
        "plan.toml:7: task a: branch: found '-x'; it must not begin with '-'",
        "plan.toml: task b: hold: found 3; allowed: true or false",
    ]


def test_only_the_first_twenty_problems_are_shown() -> None:
    lines = problems_of(*(entry(f"t{n}", hold=1) for n in range(25))).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "… and 5 more"


def test_a_dumped_matrix_task_keeps_its_values_and_siblings() -> None:
    plan = parse(MATRIX, entry("after", needs=["bump-{cluster}"]))
    assert parse_plan(dump_plan(plan), source="again") == plan


WORD = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=12)
FILES = st.lists(st.sampled_from(["a.py", "src/**", "docs/*.md", "/x", "b/"]), min_size=1, max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(WORD, unique=True, max_size=5))
    tasks: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        maybe: dict[str, Any] = {"id": name, "title": draw(LINE)}
        optional = {
            "files": FILES,
            "reads": FILES,
            "needs": st.lists(st.sampled_from(names[:number]), max_size=2) if number else st.just([]),
            "prompt": LINE,
            "accept": st.lists(WORD, max_size=2),
            "estimate_minutes": st.floats(0.25, 500),
            "priority": st.integers(-9, 9),
            "hold": st.booleans(),
            "joint": st.booleans(),
            "overlap": st.sampled_from(list(Overlap)),
            "branch": st.just(f"f/{name}"),
            "worktree": st.just(f"../w-{name}"),
            "extra": st.dictionaries(
                LINE, st.dictionaries(LINE, st.integers() | LINE | st.lists(LINE), max_size=2)
            ),
        }
        for field, values in optional.items():
            if draw(st.booleans()):
                maybe[field] = draw(values)
        if draw(st.booleans()):
            maybe = {
                **maybe,
                "id": f"{name}-{{k}}",
                "matrix": {"k": draw(st.lists(WORD, min_size=1, unique=True))},
            }
            maybe.pop("branch", None)
            maybe.pop("worktree", None)
            maybe.pop("needs", None)
            names[number] = f"{name}-*"
        tasks.append(maybe)
    return document(*tasks, title=draw(LINE), base="trunk", schedule=draw(st.sampled_from(list(Schedule))))


@settings(max_examples=many(100))
@given(documents())
def test_parsing_what_was_dumped_gives_the_same_plan(plain: dict[str, Any]) -> None:
    plan = parse_plan(plain, source="first")
    dumped = dump_plan(plan)
    tomli_w.dumps(dumped)
    assert parse_plan(dumped, source="again") == plan


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(
    {*MATRIX, "extra", "needs", "worker", "estimate_minutes", "priority", "hold", "joint", "output", "group"}
)


def test_a_key_with_line_breaks_stays_on_the_line_of_its_problem() -> None:
    (line,) = problems_of(entry("bump", matrix={"a\nplan.toml: task b": ["1"]})).splitlines()
    assert line.startswith("plan.toml: task bump: matrix.a\\nplan.toml: task b: a key is a word")


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(st.sampled_from(["plan", "base"]), JSON)
)
def test_no_shape_of_a_document_makes_parsing_crash(fields: dict[str, Any], head: dict[str, Any]) -> None:
    tasks = {**copy.deepcopy(MATRIX), **fields}, entry("z", needs=["bump-{cluster}"])
    try:
        plan = parse_plan({**document(*tasks), **head}, source="x")
    except InvalidInput as error:
        refused = error
    else:
        assert parse_plan(dump_plan(plan), source="again") == plan
        return
    assert all(line.startswith(("x: ", "… and ")) for line in refused.message.splitlines())
