"""What people and documents get wrong: one clear answer, the right exit code, and nothing stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Fleet
from tests.cli.test_commands import commands
from tests.support.documents import validate
from tests.support.repo import Repo

TASK = 'version = 1\nplan = "app"\n[[task]]\nid = "1"\n'
OWNED = TASK + 'files = ["a/**"]\n'


@contextmanager
def unchanged(repo: Repo) -> Iterator[None]:
    """Refs, worktrees and the folders beside the repository are afterwards what they were before."""

    def seen() -> tuple[object, ...]:
        return repo.refs(), repo.run_git("worktree", "list"), sorted(repo.path.parent.iterdir())

    before = seen()
    yield
    assert seen() == before


def refused(answer: Answer, *words: str, code: int = 2) -> str:
    """The complaint of a command that was refused: each of `words` is in it, and no traceback."""
    assert (answer.code, answer.out) == (code, ""), answer
    assert answer.err.startswith("git-fleet: ")
    assert "bug" not in answer.err
    for word in words:
        assert word in answer.err
    return answer.err


def stored(fleet: Fleet, repo: Repo, text: str, name: str = "plan.toml") -> Answer:
    """What `plan import` says to a file of that text."""
    repo.write(f".git/{name}", text)
    return fleet("plan", "import", f".git/{name}")


# --- plans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('version = 1\nplan = "app\n', ["plan.toml:2: not TOML"]),
        ("version = 1\n[[task]]\n", ["plan.toml: plan: it is missing", "plan import plan.toml --plan ID"]),
        (OWNED + 'tittle = "x"\n', ["plan.toml:6: task 1: tittle: unknown key", "did you mean 'title'?", "allowed: id"]),
        (OWNED + '[[task]]\nid = "1"\nfiles = ["b"]\n', ["plan.toml:7: task 1: id: found '1'; another task has it"]),
        (OWNED + 'needs = ["1"]\n', ["needs: ", "a task cannot need itself"]),
        (
            OWNED + 'needs = ["2"]\n[[task]]\nid = "2"\nfiles = ["b"]\nneeds = ["1"]\n',
            ["task 1: needs: a cycle: 1 -> 2 -> 1"],
        ),
        (OWNED + 'needs = ["99"]\n', ["plan.toml:6: task 1: needs: found '99'; no task has this id"]),
        (TASK + 'files = ["../x"]\n', ["plan.toml:5: task 1: files: found '../x'", "from the repository's root"]),
        (TASK + 'files = ["a/../../x"]\n', ["files: found 'a/../../x'"]),
        (TASK + 'files = ["!a"]\n', ["files: found '!a'"]),
        (TASK + "files = []\n", ["plan.toml:5: task 1: files: found []", 'output = "report"']),
        (TASK + 'files = "a"\n', ["plan.toml:5: task 1: files: found 'a'; allowed: a list"]),
        (OWNED + 'output = "report"\n', ["files", 'output = "report" owns no files']),
        (OWNED + "estimate_minutes = -1\n", ["plan.toml:6: task 1: estimate_minutes: found -1"]),
        (OWNED + "estimate_minutes = 1e308\n", ["estimate_minutes: found 1e+308", "above 0; at most 1000000"]),
        (OWNED + f"priority = {2**63 - 1}\n", ["task 1: priority: found 9223372036854775807", "at most 1000000"]),
        (OWNED + 'matrix.x = ["a", "b"]\n', ["task 1: id: found '1'; it must contain {x}"]),
        ("version = 2\n" + OWNED[12:], ["plan.toml: version: found 2; allowed: 1", "a newer git-fleet"]),
        ('version = 1\nplan = "app"\ntask = 3\n', ["plan.toml:3: task: found 3"]),
        ("a" + ".a" * 5000 + " = 1\n", ["plan.toml: nested too deeply"]),
    ],
)  # fmt: skip
def test_a_broken_plan_is_refused_by_line_field_and_value(
    fleet: Fleet, repo: Repo, text: str, words: list[str]
) -> None:
    with unchanged(repo):
        said = refused(stored(fleet, repo, text), *words)
    assert "\nhint: " in said
    document = fleet.json("error", "plan", "import", ".git/plan.toml", code=2)
    assert document["error"]["message"] in said


@pytest.mark.parametrize(
    "task_id", ["", "a b", "a..b", "a.lock", "-a", "a~1", "a/b", ".a", "a.", "ä", "x" * 101]
)
def test_an_id_that_no_ref_may_have_is_refused(fleet: Fleet, repo: Repo, task_id: str) -> None:
    text = f'version = 1\nplan = "app"\n[[task]]\nid = "{task_id}"\nfiles = ["a"]\n'
    with unchanged(repo):
        refused(stored(fleet, repo, text), f"plan.toml:4: task {task_id}: id: found ")
        repo.write(".git/plan.toml", OWNED)
        refused(fleet("plan", "import", ".git/plan.toml", "--plan", task_id or " "), "plan: found ")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("branch", "-x", "must not begin with '-'"),
        ("branch", "a..b", "must not contain '..'"),
        ("branch", "a\\u001bb", "control characters"),
        ("branch", "a b", "spaces"),
        ("branch", "/a", "begin or end with '/'"),
        ("branch", "a/.b", "may begin with '.'"),
        ("branch", "refs/heads/a", "a short name such as"),
        ("branch", "main", "the plan's base"),
        ("branch", "main/x", "git cannot have it beside 'main'"),
        ("worktree", "-x", "must not begin with '-'"),
        ("worktree", "/etc", "one folder name"),
        ("worktree", "../../x", "one folder name"),
        ("worktree", "../..", "a folder's own name"),
        ("worktree", ".git", "a folder's own name"),
        ("worktree", "a\\u0007", "control characters"),
        ("slug", "../x", "letters, digits"),
        ("slug", "-x", "letters, digits"),
        ("slug", "a\\nb", "letters, digits"),
        ("slug", "a..b", "letters, digits"),
    ],
)
def test_a_hostile_name_in_a_plan_is_refused(
    fleet: Fleet, repo: Repo, field: str, value: str, words: str
) -> None:
    with unchanged(repo):
        refused(stored(fleet, repo, f'{OWNED}{field} = "{value}"\n'), f"task 1: {field}: found ", words)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("plan.json", '{"version": 1,', "plan.json:1: not JSON"),
        ("plan.json", "[]", "found []; allowed: a list of issues: gh issue list"),
        ("plan.json", "3", "found a int; allowed: an object"),
        ("plan.json", '{"version": 1, "version": 1}', "stands twice"),
        ("plan.json", "[" * 100_000, "nested too deeply"),
        ("plan.md", "# Nothing\n", "no table of issues"),
        ("plan.md", "| Issue | Files owned |\n|---|---|\n| #1 a | ../x |\n", "plan.md:1: the table lacks"),
        ("plan.toml", "", "plan: it is missing"),
    ],
)
def test_a_broken_document_of_any_format_is_refused(
    fleet: Fleet, repo: Repo, name: str, text: str, words: str
) -> None:
    with unchanged(repo):
        assert "\nhint: " in refused(stored(fleet, repo, text, name), words)


def test_a_file_that_is_no_text_is_refused(fleet: Fleet, repo: Repo) -> None:
    (repo.path / ".git" / "plan.toml").write_bytes(b"version = 1\n\xff\xfe")
    with unchanged(repo):
        refused(fleet("plan", "import", ".git/plan.toml"), "plan.toml:2: not UTF-8 text")
        refused(fleet("plan", "import", ".git"), ".git: no task files in this folder; allowed: a folder of")


def test_a_plan_for_a_branch_that_is_not_there_is_refused(fleet: Fleet, repo: Repo) -> None:
    with unchanged(repo):
        refused(
            stored(fleet, repo, OWNED.replace("[[", 'base = "trunk"\n[[')),
            "base 'trunk': there is no such branch",
        )


def test_a_task_without_files_may_be_drafted_but_not_approved(fleet: Fleet, repo: Repo) -> None:
    assert stored(fleet, repo, TASK).code == 0
    with unchanged(repo):
        said = fleet("plan", "approve", "--yes")
    assert said.code == 2
    assert "app/1: files: missing" in said.err
    assert "hint: git fleet plan edit app" in said.err


def test_a_folder_whose_parent_is_a_link_elsewhere_is_refused(
    fleet: Fleet, repo: Repo, tmp_path: Path
) -> None:
    elsewhere, trees = tmp_path / "elsewhere", tmp_path / "trees"
    elsewhere.mkdir()
    trees.mkdir()
    (trees / "1").symlink_to(elsewhere)
    repo.commit("Trees", {"fleet.toml": 'version = 1\nworktree = "../trees/{id}/{slug}"\n'})
    assert stored(fleet, repo, OWNED).code == 0
    fleet.ok("plan", "approve", "--yes")
    with unchanged(repo):
        refused(fleet("claim"), "app/1: the worktree", f"it is not inside {trees}")
    assert list(elsewhere.iterdir()) == []


# --- configuration -------------------------------------------------------------------------------


def test_a_broken_configuration_stops_what_needs_it_and_can_be_mended(approved: Fleet, repo: Repo) -> None:
    approved.ok("init")
    repo.run_git("-c", "core.hooksPath=/dev/null", "rm", "-q", "fleet.toml")
    repo.write("fleet.toml", 'version = 1\ngatess = "none"\n')
    repo.run_git("add", "fleet.toml")
    repo.run_git("-c", "core.hooksPath=/dev/null", "commit", "-qm", "Broken")
    needing = (
        ["status"],
        ["ready"],
        ["claim"],
        ["integrate"],
        ["plan", "check"],
        ["plan", "approve", "--yes"],
    )
    with unchanged(repo):
        for command in needing:
            said = refused(approved(*command), "fleet.toml:2: gatess: unknown key", "did you mean 'gates'?")
            assert "git fleet lead acquire lets you commit there" in said
    found = approved.json("doctor", "doctor", code=1)
    assert [problem["code"] for problem in found["problems"]] == ["config-invalid"]
    repo.write("fleet.toml", 'version = 1\ngates = "none"\n')
    assert repo.try_git("commit", "-qam", "Mended").returncode != 0
    approved.ok("lead", "acquire")
    repo.commit("Mended", {"fleet.toml": 'version = 1\ngates = "none"\n'})
    approved.ok("claim", "43", "--no-worktree")


# --- texts ---------------------------------------------------------------------------------------

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202eleft\u2066\r\nsecond\x00 \x9b1m " + "x" * 10_000
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def test_control_characters_in_a_plan_are_refused(fleet: Fleet, repo: Repo) -> None:
    for field in ("title", "prompt", "remarks"):
        with unchanged(repo):
            refused(
                stored(fleet, repo, OWNED + f'{field} = "a\\u001b[31m"\n'), f"{field}: found 'a\\x1b[31m'"
            )
    for field in ("labels", "accept", "reads"):
        refused(stored(fleet, repo, OWNED + f'{field} = ["a\\u0007"]\n'), "found 'a\\x07'")
    refused(stored(fleet, repo, OWNED + 'title = "a\\nb"\n'), "it must be one line")


@pytest.mark.parametrize("name", ["w\x1b[31m", "a\nb", "x" * 101, "left\u202e", "w\udcff"])
def test_a_worker_name_that_could_mislead_is_refused(approved: Fleet, repo: Repo, name: str) -> None:
    with unchanged(repo):
        said = refused(
            approved("claim", "--worker", name),
            "worker name ",
            "printable characters, at most 100",
            "\nhint: git",
        )
    assert not STEERING.search(said)
    assert len(said) < 500


def test_what_others_wrote_cannot_steer_a_terminal(fleet: Fleet, repo: Repo) -> None:
    title = "t" * 10_000 + "\\u202eevil"
    text = f'{OWNED}title = "{title}"\nprompt = "one\\n\\u202etwo"\nlabels = ["\\u2066l"]\n'
    assert stored(fleet, repo, text + '[[task]]\nid = "2"\nfiles = ["b"]\n').code == 0
    fleet.ok("plan", "approve", "--yes")
    claimed = fleet.ok("claim", "1", "--worker", "w")
    assert "\\u202etwo" in claimed
    said = [claimed]
    for command in (
        ["progress", "1", HOSTILE],
        ["block", "1", HOSTILE, "--code", "wall"],
        ["plan", "pause", "-m", HOSTILE],
        ["plan", "resume"],
        ["unblock", "1", "-m", HOSTILE],
        ["cancel", "2", "-m", HOSTILE],
        *(["status"], ["status", "--all"], [], ["log", "1"], ["log"], ["siblings", "1"], ["siblings", "2"]),
        *(["explain", "1"], ["plan", "list"], ["plan", "show"], ["plan", "check"], ["worktree", "list"], ["doctor"]),
    ):  # fmt: skip
        worker = ["--worker", "w"] if command[:1] in (["progress"], ["block"]) else []
        answer = fleet(*command, *worker)
        assert answer.code in (0, 1, 2), answer
        said += [answer.out, answer.err]
    assert STEERING.findall("".join(said)) == []
    for schema in ("status", "log"):
        fleet.json(schema, schema, *(["1"] if schema == "log" else []))


# --- the command line ----------------------------------------------------------------------------

MISTAKES: dict[tuple[str, ...], list[str]] = {
    ("mcp",): ["--config", "nope"],
    ("init",): ["--uninstall", "--config-hooks"],
    ("doctor",): ["43"],
    ("plan", "new"): ["../x"],
    ("plan", "import"): ["nowhere.toml"],
    ("plan", "check"): ["nope"],
    ("plan", "show"): ["nope"],
    ("plan", "edit"): ["nope"],
    ("plan", "draft"): [""],
    ("plan", "export"): ["nope"],
    ("plan", "sync-issues"): ["nope"],
    ("plan", "add"): ["app", "../x", "--files", "a"],
    ("plan", "approve"): ["nope", "--yes"],
    ("plan", "pause"): ["nope"],
    ("plan", "resume"): ["app"],
    ("plan", "close"): ["nope"],
    ("plan", "list"): ["--nope"],
    ("claim",): ["99"],
    ("renew",): ["43"],
    ("release",): ["43"],
    ("progress",): ["43", "hey"],
    ("done",): ["43"],
    ("withdraw",): ["43"],
    ("block",): ["43", "why", "--code", "\x1b"],
    ("unblock",): ["43"],
    ("shelve",): ["43"],
    ("cancel",): ["99"],
    ("reopen",): ["43"],
    ("accept",): ["99"],
    ("reject",): ["43", "--finding", "no"],
    ("run",): ["nope"],
    ("attach",): ["99"],
    ("kill",): ["43"],
    ("restart",): ["43"],
    ("status",): ["--nope"],
    ("ready",): ["nope"],
    ("wait",): ["nope"],
    ("explain",): ["99"],
    ("siblings",): ["99"],
    ("conflicts",): ["99"],
    ("context",): ["43", "--budget", "0"],
    ("log",): ["99"],
    ("path",): ["43"],
    ("worktree", "list"): ["nope"],
    ("prompt",): ["99"],
    ("review",): ["nope"],
    ("graph",): ["nope"],
    ("report",): ["nope"],
    ("board",): ["--port", "70000"],
    ("score",): ["nope"],
    ("snapshot",): ["43"],
    ("salvage", "list"): ["99"],
    ("salvage", "show"): ["99"],
    ("salvage", "apply"): ["99"],
    ("learn",): ["use uv", "--path", "../elsewhere"],
    ("recall",): ["--path", "!x"],
    ("knowledge", "list"): ["nope"],
    ("knowledge", "review"): ["--approve", "ffff"],
    ("verify",): ["99"],
    ("verdict",): ["43", "--upheld", "--lens", "security"],
    ("integrate",): ["99"],
    ("revert",): ["43"],
    ("pr",): ["43"],
    ("lead", "acquire"): ["nope"],
    ("lead", "release"): ["nope"],
    ("lead", "show"): ["nope"],
    ("cleanup",): ["99"],
    ("completion",): ["nope"],
    ("guard",): ["--server", "nowhere"],
    ("workspace", "init"): ["new", "--name", "../x"],
    ("workspace", "add"): ["nowhere"],
    ("workspace", "remove"): ["nope"],
    ("workspace", "list"): ["--workspace", "nowhere"],
    ("workspace", "status"): [],
    ("workspace", "ready"): ["--label", "docs"],
    ("workspace", "doctor"): ["nope"],
    ("workspace", "import"): ["nowhere.toml"],
    ("workspace", "show"): ["nope"],
    ("workspace", "approve"): ["nope", "--yes"],
    ("sync",): [],
    ("worker",): ["--plan", "nope"],
    ("jobs", "kubernetes"): ["nope", "--image", "agents:1"],
    ("jobs", "slurm"): ["nope"],
    ("jobs", "command"): ["nope"],
}
"""For each command that answers, arguments that it must refuse with the plan of conftest open."""


def test_every_command_that_answers_has_a_mistake_here() -> None:
    groups = {words[:1] for words in commands() if len(words) > 1}
    assert set(MISTAKES) == {words for words in commands() if words not in groups} - {("demo",), ("hook",)}


@pytest.mark.parametrize("words", list(MISTAKES), ids=" ".join)
def test_a_mistake_is_one_line_with_a_hint_and_changes_nothing(
    approved: Fleet, repo: Repo, words: tuple[str, ...]
) -> None:
    mistake = [*words, *MISTAKES[words]]
    with unchanged(repo):
        answer, asked = approved(*mistake), approved(*mistake, "--json")
    document = json.loads(asked.out)
    validate(document, "error")
    assert (asked.out.count("\n"), asked.err) == (1, "")
    assert document["error"]["exit_code"] == asked.code == answer.code
    assert asked.code in (1, 2, 3)
    assert answer.err.startswith("git-fleet: ")
    assert answer.err.splitlines()[1].startswith("hint: "), answer.err
    assert not STEERING.search(answer.err)
