"""Plans and configurations as bytes: what is stored, and what is said about broken ones."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from git_fleet.app.documents import load_config, load_plan
from git_fleet.core.config import Bucket, Config, Gate, Planner, Policy, WorkerProfile
from git_fleet.core.model import Plan
from git_fleet.core.plandoc import dump_plan, parse_plan
from git_fleet.errors import InvalidInput, UnknownFormat

PLAN = """\
# Three commands, by hand
version = 1
plan = "tasks-app"
base = "trunk"

[[task]]
id = "42"
title = "Count"
files = ["cli.py"]   # only this
"""


def load(text: str | bytes, name: str = "plan.toml", **options: Any) -> tuple[Plan, str]:
    data = text.encode() if isinstance(text, str) else text
    return load_plan(data, name=name, **{"format": None, "plan_id": None, "default_base": "main", **options})


def problem(text: str | bytes, name: str = "plan.toml", **options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        load(text, name, **options)
    return caught.value.message


def test_toml_is_stored_as_it_was_written() -> None:
    plan, text = load(PLAN)
    assert text == PLAN
    assert (plan.id, plan.base, plan.tasks[0].files) == ("tasks-app", "trunk", ("cli.py",))


def test_a_missing_base_and_id_are_written_down_above_the_text() -> None:
    bare = PLAN.replace('base = "trunk"\n', "").replace('plan = "tasks-app"\n', "")
    plan, text = load(bare, plan_id="other", default_base="dev")
    assert text == 'plan = "other"\nbase = "dev"\n' + bare
    assert (plan.id, plan.base) == ("other", "dev")
    assert parse_plan(tomllib.loads(text), source="stored") == plan


def test_another_id_replaces_the_one_in_the_text() -> None:
    plan, text = load(PLAN, plan_id="other")
    assert tomllib.loads(text) == {**tomllib.loads(PLAN), "plan": "other"}
    assert plan.id == "other"


def test_the_same_id_in_other_letters_keeps_the_text() -> None:
    text = PLAN.replace("tasks-app", "Tasks-App")
    assert load(text, plan_id="tasks-app")[1] == text


def test_a_byte_order_mark_is_left_out() -> None:
    assert load(b"\xef\xbb\xbf" + PLAN.encode())[1] == PLAN


def test_json_is_stored_as_toml_that_means_the_same() -> None:
    data = {
        "version": 1,
        "plan": "p",
        "task": [{"id": "a-{k}", "matrix": {"k": ["1", "2"]}, "prompt": 'one\ntwo\r\n""" \\ é'}],
    }
    plan, text = load(json.dumps(data), "plan.json")
    assert tomllib.loads(text) == {**data, "base": "main"}
    assert parse_plan(tomllib.loads(text), source="stored") == plan
    assert [task.id.task for task in plan.tasks] == ["a-1", "a-2"]


def test_markdown_is_stored_as_toml() -> None:
    table = (
        "| Issue | Branch | Worktree | Files owned | Depends on |\n|-|-|-|-|-|\n| #1 x | | | `a.py` | - |\n"
    )
    plan, text = load(table, "docs/My Plan.md", plan_id=None)
    assert plan.id == "my-plan"
    assert parse_plan(tomllib.loads(text), source="stored") == plan
    assert load(table, "x", format="markdown", plan_id="q")[0].id == "q"


def test_what_was_dumped_passes_the_schema() -> None:
    import tomli_w

    full = PLAN + 'matrix.c = ["1"]\nbranch = "f/{c}"\nestimate_minutes = 3\nhold = true\noverlap = "watch"\n'
    plan, _ = load(full.replace('id = "42"', 'id = "42-{c}"') + '[[task]]\nid = "r"\noutput = "report"\n')
    assert load(tomli_w.dumps(dump_plan(plan)))[0] == plan


BROKEN: dict[str, tuple[str | bytes, list[str]]] = {
    "bad TOML": ('version = 1\nplan = "x\n', ["plan.toml:2: not TOML: "]),
    "not UTF-8": (b"version = 1\nplan = '\xff'\n", ["plan.toml:2: not UTF-8 text"]),
    "unknown key": (PLAN + 'titel = "x"\n', ["plan.toml:10: task 42: titel: unknown key (found 'x')", "'title'"]),
    "unknown key at the top": ("pln = 1\n" + PLAN, ["plan.toml:1: pln: unknown key (found 1)", "'plan'"]),
    "unknown table": (PLAN + "[task.foo]\n", ["plan.toml:10: task 42: foo: unknown key", "allowed: id, slug,"]),
    "wrong type": (PLAN + "hold = 3\n", ["plan.toml:10: task 42: hold: found 3; allowed: true or false"]),
    "wrong type inside": (PLAN + "reads = [3]\n", ["plan.toml:10: task 42: reads: found 3; allowed: text"]),
    "wrong word": (PLAN + 'overlap = "x"\n', ["plan.toml:10: task 42: overlap: found 'x'", '"serialize"']),
    "a date": (PLAN + "prompt = 2026-01-01\n", ["plan.toml:10: task 42: prompt: found datetime.date"]),
    "no version": (PLAN.replace("version = 1\n", ""), ["plan.toml: version: it is missing; allowed: "]),
    "no plan": (PLAN.replace('plan = "tasks-app"\n', ""), ["plan.toml: plan: it is missing"]),
    "task is a table": ("version = 1\nplan = 'p'\n[task]\nid = 'a'\n", ["plan.toml:3: task: found {", "a list"]),
    "task without id": (PLAN + "[[task]]\n", ["plan.toml:10: task 2: id: it is missing"]),
    "empty files": (PLAN.replace('["cli.py"]', "[]"), ["plan.toml:9: task 42: files: found []", "report"]),
    "escaping pattern": (PLAN.replace("cli.py", "../x"), ["plan.toml:9: task 42: files: found '../x'", "'..'"]),
    "duplicate": (PLAN + "[[task]]\nid = '42'\n", ["plan.toml:11: task 42: id: found '42'; another task has it"]),
    "cycle": (PLAN + "needs = ['b']\n[[task]]\nid = 'b'\nneeds = ['42']\n", ["needs: a cycle: ", "42", " -> "]),
    "unknown need": (PLAN + "needs = ['4']\n", ["plan.toml:10: task 42: needs: found '4'; no task has this id"]),
    "bad id": (PLAN.replace('id = "42"', 'id = "a..b"'), ["plan.toml:7: task a..b: id: found 'a..b'", "'..'"]),
    "estimate": (PLAN + "estimate_minutes = inf\n", ["plan.toml:10: task 42: estimate_minutes: found inf"]),
    "empty": ("", ["plan.toml: version: it is missing"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plan_is_told_with_file_line_field_value_and_what_is_allowed(name: str) -> None:
    text, fragments = BROKEN[name]
    message = problem(text)
    assert [fragment for fragment in fragments if fragment not in message] == []


def test_every_problem_is_told_in_the_order_of_the_lines() -> None:
    lines = problem(PLAN + 'overlap = "x"\nhold = 1\n[[task]]\nid = 3\nnedes = []\n').splitlines()
    places = [line.split(" ")[0] for line in lines]
    assert places == ["plan.toml:10:", "plan.toml:11:", "plan.toml:13:", "plan.toml:14:"]


def test_another_version_is_refused_before_its_keys_are_looked_at() -> None:
    with pytest.raises(UnknownFormat, match=r"plan\.toml: version: found 2; allowed: 1"):
        load(PLAN.replace("version = 1", "version = 2\nnovelty = 1"))
    with pytest.raises(UnknownFormat, match=r"fleet\.toml: version: found 2"):
        load_config(b"version = 2\nnovelty = 1\n", "fleet.toml")


def test_an_unknown_format_is_refused() -> None:
    assert problem("x", "x.txt").startswith("x.txt: its format cannot be told")
    assert problem(PLAN, format="yaml").startswith("format: found 'yaml'; allowed: toml, json, markdown")


CONFIG = """\
version = 1
main = "trunk"
mode = "lead-commits"
branch = "work/{id}-{slug}"
worktree = "../{repo}-{plan}-{id}"
lease_seconds = 60
protected = ["fleet.toml"]
touch = [".skip/marker"]
bucket = { capacity = 8, refill_per_minute = 30 }
policy = { verdicts = 1, require = ["security"], human = ["approve"] }
knowledge = { tokens = 10, require_approval = true }

[[gate]]
name = "tests"
run = "pytest -q"

[[gate]]
name = "lint"
run = ["ruff", "check"]
timeout_seconds = 5

[[verifier]]
name = "skeptic"
lens = "security"
run = ["claude", "{prompt}"]

[[generated]]
paths = ["uv.lock"]
run = "uv lock"

[worker]
run = ["claude", "-p", "{prompt}"]

[worker.deep]
max_cost_usd = 2

[notify]
run = ["notify-send", "{message}"]

[planner]
run = ["claude", "-p", "{prompt}"]
timeout_seconds = 60.5

[env]
DATABASE_URL = "postgresql:///app_{slot}"
"""


def config_problem(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_config(text.encode(), "fleet.toml")
    return caught.value.message


def test_a_full_configuration_is_read() -> None:
    config, document = load_config(CONFIG.encode(), "fleet.toml")
    assert document == tomllib.loads(CONFIG)
    assert (config.main, config.mode, config.lease_seconds) == ("trunk", "lead-commits", 60)
    assert config.gates == (Gate("tests", "pytest -q"), Gate("lint", ("ruff", "check"), 5))
    assert config.bucket == Bucket(8, 30)
    assert config.policy == Policy(1, ("security",), ("approve",))
    assert (config.knowledge_tokens, config.knowledge_approval) == (10, True)
    assert config.generated_paths == ("uv.lock",)
    assert config.profiles == (("deep", WorkerProfile(run=("claude", "-p", "{prompt}"), max_cost_usd=2)),)
    assert config.planner == Planner(("claude", "-p", "{prompt}"), 60.5)
    assert config.env == (("DATABASE_URL", "postgresql:///app_{slot}"),)


def test_everything_has_a_default() -> None:
    assert load_config(b"", "fleet.toml") == (Config(), {})
    assert load_config(b'gates = "none"\n', "fleet.toml")[0].gates_none


VERIFIER = '[[verifier]]\nname = "v1"\nlens = "l"\nrun = "x"\n'
BROKEN_CONFIG = {
    "lease_second = 3\n": [
        "fleet.toml:1: lease_second: unknown key (found 3); did you mean 'lease_seconds'?"
    ],
    "max_active = 0\n": ["fleet.toml:1: max_active: found 0; allowed: how many tasks"],
    'mode = "x"\n': ["fleet.toml:1: mode: found 'x'", '"branch" or "lead-commits"'],
    'gates = "all"\n': ["fleet.toml:1: gates: found 'all'", '"none"'],
    'gates = "none"\n[[gate]]\nname = "a"\nrun = "x"\n': ['fleet.toml:1: gates: found "none"'],
    '[[gate]]\nname = "a"\nrun = 3\n': ["fleet.toml:3: gate a: run: found 3; allowed: a shell command"],
    '[[gate]]\nname = "a"\nrun = []\n': ["fleet.toml:3: gate a: run: found []"],
    '[[gate]]\nname = "a"\n': ["fleet.toml:1: gate a: run: it is missing"],
    '[[gate]]\nname = "a b"\nrun = "x"\n': ["fleet.toml:2: gate a b: name: found 'a b'"],
    '[[gate]]\nname = "a"\nrun = "x"\n[[gate]]\nname = "a"\nrun = "y"\n': [
        "fleet.toml:5: gate.name: found 'a'"
    ],
    f"{VERIFIER}{VERIFIER.replace('v1', 'v2')}": [
        "fleet.toml:7: verifier.lens: found 'l'; another verifier has it"
    ],
    '[[gate]]\nname = "a"\nrun = "x\\u0000"\n': ["fleet.toml:3: gate.run: found 'x\\x00'"],
    'protected = ["!x"]\n': ["fleet.toml:1: protected: ", "'!x'"],
    '[[generated]]\npaths = ["../x"]\nrun = "y"\n': ["fleet.toml:2: generated.paths: ", "'../x'"],
    'touch = ["../x"]\n': ["fleet.toml:1: touch: found '../x'"],
    'touch = ["/x"]\n': ["fleet.toml:1: touch: found '/x'"],
    'branch = "x"\n': ["fleet.toml:1: branch: found 'x'", "{id}"],
    'branch = "-{id}"\n': ["fleet.toml:1: branch: found '-{id}'; it must not begin with '-'"],
    'worktree = "../{id}-{name}"\n': ["fleet.toml:1: worktree: found '../{id}-{name}'"],
    'main = "a b"\n': ["fleet.toml:1: main: found 'a b'"],
    '[env]\nGIT_DIR = "x"\n': ["fleet.toml:1: env: found 'GIT_DIR'", "GIT_ or FLEET_"],
    '[worker]\nrnu = "x"\n': ["fleet.toml:2: worker.rnu: found 'x'; allowed: a table"],
    '[worker.deep]\nrnu = "x"\n': ["fleet.toml:2: worker.deep.rnu: unknown key", "'run'"],
    'policy = { human = ["merge"] }\n': ["fleet.toml:1: policy.human", "found 'merge'", '"approve"'],
    '[planner]\nrun = "x"\ntimeout_seconds = 0\n': [
        "fleet.toml:3: planner.timeout_seconds: found 0; allowed: seconds, above 0"
    ],
    "lease_seconds = 99999999999\n": [
        "fleet.toml:1: lease_seconds: found 99999999999; allowed: seconds, a whole number above 0; at most 31536000"
    ],
    "refresh_seconds = 1e300\nidle_minutes = 1e300\n": [
        "fleet.toml:1: refresh_seconds: found 1e+300",
        "; at most 31536000",
        "fleet.toml:2: idle_minutes: found 1e+300",
        "; at most 525600",
    ],
    "refresh_seconds = nan\n": ["fleet.toml:1: refresh_seconds: found nan; allowed: a number"],
    "ports_per_task = 10.0\n": ["fleet.toml:1: ports_per_task: found 10.0; allowed: a whole number"],
    "[planner]\ntimeout_seconds = 60\n": ["fleet.toml:1: planner.run: it is missing"],
    '[planner]\nrun = "x"\ntimeout = 60\n': [
        "fleet.toml:3: planner.timeout: unknown key",
        "'timeout_seconds'",
    ],
    "bucket = { capacity = 3 }\n": ["fleet.toml:1: bucket.refill_per_minute: it is missing"],
    "x = \n": ["fleet.toml:1: not TOML"],
}


@pytest.mark.parametrize("text", BROKEN_CONFIG)
def test_a_broken_configuration_is_told_with_line_key_value_and_what_is_allowed(text: str) -> None:
    message = config_problem(text)
    assert [fragment for fragment in BROKEN_CONFIG[text] if fragment not in message] == []


def test_every_default_of_the_design_is_in_the_schema() -> None:
    from git_fleet import resources

    known = set(resources.schema("config")["properties"])
    renamed = {
        "gates": "gate", "gates_none": "gates", "verifiers": "verifier", "knowledge_tokens": "knowledge",
        "knowledge_approval": "knowledge", "profiles": "worker",
    }  # fmt: skip
    assert {renamed.get(name, name) for name in Config.__struct_fields__} | {"version"} == known
