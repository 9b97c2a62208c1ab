"""`git fleet workspace`, and `--workspace` of the reading commands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from git_fleet.app.workspaces import parse
from tests.cli.conftest import Fleet
from tests.cli.test_bad_input import refused
from tests.project.source import ROOT
from tests.support import spaces
from tests.support.documents import validate
from tests.support.race import until
from tests.support.repo import Repo, make_repo

READING = ("status", "ready", "conflicts", "report")


def lib(space: Fleet) -> Repo:
    return Repo(space.path.parent / "lib")


def refs_everywhere(space: Fleet) -> list[object]:
    return [Repo(space.path.parent / name).refs() for name in ("lib", "client", "shop")]


# --- workspace.toml ------------------------------------------------------------------------------


def test_a_workspace_begins_in_no_file_and_in_no_bare_repository(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file\n")
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "team.git"], check=True)
    for place, word in (
        ("taken", "a file is in its way"),
        ("taken/below", "a file is in its way"),
        ("team.git", "has no work tree"),
        ("team.git/ws", "has no work tree"),
    ):
        answer = fleet("workspace", "init", str(tmp_path / place))
        assert (answer.code, answer.out) == (2, "")
        assert word in answer.err
        assert "\nhint: " in answer.err
    assert (tmp_path / "taken").read_text() == "a file\n"
    assert not (tmp_path / "team.git" / "ws").exists()


def test_a_workspace_begins_grows_and_shrinks_and_what_people_wrote_stays(
    fleet: Fleet, tmp_path: Path
) -> None:
    make_repo(tmp_path / "api")
    made = fleet.json("workspace-list", "workspace", "init", "../ws", "--name", "shop", cwd=fleet.path)
    home = Path(made["folder"])
    assert (made["workspace"], made["repos"], (home / ".git").is_dir()) == ("shop", [], True)
    file = home / "workspace.toml"
    file.write_text(file.read_text() + "\n# ours first\n[[repo]] # the app\nname = 'app'\npath = '../repo'\n")
    where = str(tmp_path / "api")
    added = fleet.json(
        "workspace-list", "workspace", "add", where, "--label", "go", "--main", "main", cwd=home
    )
    assert added["repos"][1] == {
        "repo": "api",
        "path": "../api",
        "url": None,
        "main": "main",
        "labels": ["go"],
    }
    fleet.ok("workspace", "remove", "app", cwd=home)
    assert [
        each["repo"] for each in fleet.json("workspace-list", "workspace", "list", cwd=home)["repos"]
    ] == ["api"]
    fleet.ok("workspace", "remove", "api", cwd=home)
    assert "# ours first" in file.read_text()
    assert Repo(tmp_path / "api").try_git("config", "fleet.workspace").returncode == 1, (
        "it was told, and untold"
    )


def test_an_address_is_cloned_below_the_chosen_folder(fleet: Fleet, repo: Repo, tmp_path: Path) -> None:
    fleet.ok("workspace", "init", "../ws")
    home = tmp_path / "ws"
    url = repo.path.as_uri()
    fleet.ok("workspace", "add", url, "--name", "one", "--into", "clones", cwd=home)
    assert Repo(home / "clones" / "one").rev("main") == repo.rev("main")
    shutil.rmtree(home / "clones")
    found = fleet.json("workspace-doctor", "workspace", "doctor", cwd=home, code=1)
    assert [problem["code"] for problem in found["problems"]] == ["repo-missing"]
    found = fleet.json("workspace-doctor", "workspace", "doctor", "--fix", cwd=home, code=1)
    assert [problem["fixed"] for problem in found["problems"]] == [True]
    assert Repo(home / "clones" / "one").rev("main") == repo.rev("main")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'x", ["workspace.toml: not TOML"]),
        ("version = 1\n", ["name: it is missing"]),
        ("version = 2\nname = 'x'\n", ["version: found 2"]),
        ("name = 'a b'\n", ["workspace.toml:1: name: found 'a b'"]),
        ("name = 'x'\nrepos = 1\n", ["workspace.toml:2: repos: unknown key", "did you mean 'repo'?"]),
        ("name = 'x'\n[[repo]]\nname = '../y'\npath = 'y'\n", ["workspace.toml:3: repo ../y: name: found '../y'"]),
        ("name = 'x'\n[[repo]]\nname = 'y'\n", ["repo y: path: it is missing, and so is url"]),
        ("name = 'x'\n[[repo]]\nname = 'y'\nurl = '--upload-pack=x'\n", ["url: found", "begin with '-'"]),
        ("name = 'x'\n[[repo]]\nname = 'y'\nurl = 'ext::sh -c x'\n", ["url: found", "names a program"]),
        ("name = 'x'\n[[repo]]\nname = 'y'\npath = 'y'\nmain = 'a b'\n", ["main: found 'a b'"]),
        (
            "name = 'x'\n[[repo]]\nname = 'a-b'\npath = 'y'\n[[repo]]\nname = 'a.b'\npath = 'z'\n",
            ["repo a.b: name: found 'a.b'; another repository is 'a-b'", "FLEET_REPO_A_B"],
        ),
    ],
)  # fmt: skip
def test_a_broken_workspace_is_refused_by_line_field_and_value(
    space: Fleet, text: str, words: list[str]
) -> None:
    (space.path / "workspace.toml").write_text(text, encoding="utf-8")
    for command in (["workspace", "list"], ["status", "--workspace"]):
        refused(space(*command), *words)


def test_what_cannot_be_added_leaves_the_file_as_it_is(space: Fleet, tmp_path: Path) -> None:
    before = (space.path / "workspace.toml").read_bytes()
    (tmp_path / "plain").mkdir()
    for where, words in {
        "../lib": "another repository is 'lib'",
        "nowhere": "nowhere is not there",
        str(tmp_path / "plain"): "is not the root of a git repository",
        "ext::sh -c 'touch x'": "names a program",
    }.items():
        refused(space("workspace", "add", where), words)
    refused(space("workspace", "add", "--", "-x/y"), "must not begin with '-'")
    refused(space("workspace", "remove", "nobody"), "has no repository 'nobody'; there are: lib, client")
    refused(space("workspace", "init", "."), "is there already")
    assert (space.path / "workspace.toml").read_bytes() == before


def test_it_is_found_by_option_variable_setting_and_from_below(
    space: Fleet, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    (space.path / "deep").mkdir()
    for cwd in (space.path / "deep", lib(space).path):
        assert "client" in space.ok("workspace", "list", cwd=cwd)
    refused(space("workspace", "list", cwd=repo.path), "is in no workspace", "--workspace DIR")
    assert "client" in space.ok("workspace", "list", "--workspace", str(space.path), cwd=repo.path)
    monkeypatch.setenv("FLEET_WORKSPACE", str(space.path))
    assert "client" in space.ok("workspace", "list", cwd=repo.path)
    monkeypatch.setenv("FLEET_WORKSPACE", "/nowhere")
    refused(space("workspace", "list", cwd=repo.path), "FLEET_WORKSPACE names /nowhere")


# --- looking -------------------------------------------------------------------------------------


def test_what_is_ready_anywhere_stands_by_importance(space: Fleet) -> None:
    before = refs_everywhere(space)
    space.json("workspace-status", "workspace", "status")
    space("workspace", "doctor")
    found = space.json("workspace-ready", "workspace", "ready")
    assert [(each["repo"], each["task_id"]) for each in found["tasks"]] == [("client", "p/c"), ("lib", "p/a")]
    found = space.json("workspace-ready", "workspace", "ready", "--label", "docs")
    assert [each["task_id"] for each in found["tasks"]] == ["p/c"]
    assert refs_everywhere(space) == before


@pytest.mark.parametrize("command", READING)
def test_a_reading_command_asks_every_repository_and_writes_nothing(space: Fleet, command: str) -> None:
    before = refs_everywhere(space)
    alone = [space.json(command, command, cwd=space.path.parent / name) for name in ("lib", "client")]
    found = space.json("across", command, "--workspace")
    assert [each["repo"] for each in found["repos"]] == ["lib", "client"]
    for each, own in zip(found["repos"], alone, strict=True):
        answer = each["answer"]["reports"][0] if command == "report" else each["answer"]
        assert set(answer) == set(own) - {"v"}
        assert answer.get("tasks") == own.get("tasks") or command == "report"
    assert refs_everywhere(space) == before


def test_a_repository_that_is_broken_or_gone_says_so_and_hides_nobody(space: Fleet) -> None:
    inner = space.path / "inner"
    inner.mkdir()
    with (space.path / "workspace.toml").open("a") as file:
        file.write(
            "\n[[repo]]\nname = 'inner'\npath = 'inner'\n\n[[repo]]\nname = 'gone'\npath = '../gone'\n"
        )
    head = lib(space).path / ".git" / "refs" / "fleet" / "plan" / "p"
    head.write_text("0123456789012345678901234567890123456789\n")
    found = space.json("workspace-status", "workspace", "status", code=1)
    told = {each["repo"]: each["error"] and each["error"]["message"] for each in found["repos"]}
    assert (told["client"], "is not there" in told["gone"]) == (None, True)
    assert "is not the root of a git repository" in told["inner"], "and not the repository around it"
    assert told["lib"]
    ready = space.json("workspace-ready", "workspace", "ready", code=1)
    assert [each["task_id"] for each in ready["tasks"]] == ["p/c"]
    assert {each["repo"] for each in ready["errors"]} == {"lib", "inner", "gone"}
    for command in READING:
        answer = space(command, "--workspace")
        assert (answer.code, answer.out.count("cannot be read:")) == (1, 3)


def test_options_that_do_not_go_with_all_repositories_are_refused(space: Fleet) -> None:
    refused(space("status", "--workspace", ".", "--line"), "--workspace goes without --line")
    refused(space("conflicts", "--workspace", ".", "--strict"), "goes without tasks and options")
    refused(space("report", "p", "--workspace", "."), "goes without PLAN")


def test_one_file_reports_all_repositories_and_what_is_broken_in_its_place(space: Fleet) -> None:
    before = refs_everywhere(space)
    assert space.ok("report", "--workspace", "--html", "all.html").startswith("all.html is written, ")
    assert (space.path / "all.html").read_text(encoding="utf-8").startswith("<!doctype html>\n")
    lib(space).path.rename(space.path / "away")
    found = space.json("across", "report", "--workspace", ".", "--html", "all.html", code=1)
    assert (found["file"], [each["repo"] for each in found["repos"] if each["error"]]) == (
        "all.html",
        ["lib"],
    )
    assert "lib is not there" in (space.path / "all.html").read_text(encoding="utf-8")
    (space.path / "away").rename(lib(space).path)
    assert refs_everywhere(space) == before


# --- working -------------------------------------------------------------------------------------

AGENT = """\
case "$FLEET_TASK" in
api) sed -i s/greet/salute/ lib.sh test.sh ;;
serve) sed -i s/greet/salute/ serve.sh ;;
call) sed -i s/greet/salute/ call.sh ;;
*) echo "It is salute." >README ;;
esac
echo "$FLEET_WORKER $FLEET_TASK" >>"$1"
"""


@pytest.fixture
def shop(fleet: Fleet, tmp_path: Path) -> Fleet:
    """The workspace whose plan renames an API in three repositories; the agent is beside it."""
    spaces.renaming(tmp_path / "all")
    (tmp_path / "agent.sh").write_text(AGENT, encoding="utf-8")
    return Fleet(tmp_path / "all" / "shop", fleet._capture)


def test_workers_own_no_repository_and_a_run_ends_with_everything_on_every_main(
    shop: Fleet, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    run = ("run", "--workspace", ".", "--workers", "2", "--worker", "w")
    answer = shop(*run, "--json", "--", "sh", str(tmp_path / "agent.sh"), str(diary))
    assert answer.code == 0, answer
    found = json.loads(answer.out)
    validate(found, "workspace-run")
    assert (found["stop"]["code"], found["left"]) == ("complete", 0)
    assert {(each["repo"], each["task_id"]) for each in found["integrated"]} == {
        ("library", "rename/api"),
        ("service", "rename/serve"),
        ("client", "rename/call"),
        ("client", "rename/docs"),
    }
    worked = [line.split() for line in diary.read_text().splitlines()]
    assert [task for _, task in worked] == ["api", "serve", "call", "docs"], (
        "each after what it needs elsewhere"
    )
    assert {worker for worker, _ in worked} <= {"w-1", "w-2"}
    status = shop.json("workspace-status", "workspace", "status")
    assert [each["state"] for each in status["changesets"]] == ["landed"]


SLOW_AGENT = """\
if [ "$FLEET_TASK" = api ] && [ ! -e "$2" ]; then
    sed -i s/greet/salute/ lib.sh
    echo begun >"$2"
    exec sleep 600
fi
exec sh "$3" "$1"
"""


def test_a_run_that_is_killed_is_run_again_and_ends_whole(shop: Fleet, tmp_path: Path) -> None:
    slow, diary, begun = (tmp_path / name for name in ("slow.sh", "diary", "begun"))
    slow.write_text(SLOW_AGENT, encoding="utf-8")
    run = [
        "run",
        "--workspace",
        ".",
        "--worker",
        "w",
        "--",
        "sh",
        *map(str, (slow, diary, begun, tmp_path / "agent.sh")),
    ]
    process = subprocess.Popen([sys.executable, "-m", "git_fleet", *run], cwd=shop.path)
    until(begun.exists)
    process.kill()
    process.wait()
    answer = shop(*run)
    assert (answer.code, "4 tasks integrated, 0 left" in answer.out) == (0, True), answer
    library = Repo(shop.path.parent / "library")
    assert library.refs("refs/fleet/salvage/"), "what the killed agent had done is kept"


def test_the_most_important_task_is_taken_wherever_it_is(space: Fleet, tmp_path: Path) -> None:
    (tmp_path / "agent.sh").write_text(
        'echo "$FLEET_TASK" >>"$1"; mkdir -p "$FLEET_TASK"; echo x >"$FLEET_TASK/x"\n'
    )
    diary = tmp_path / "diary"
    space.ok("run", "--workspace", ".", "--", "sh", str(tmp_path / "agent.sh"), str(diary))
    assert diary.read_text().split() == ["c", "a", "b"]


def test_only_what_has_the_label_is_worked(space: Fleet, tmp_path: Path) -> None:
    (tmp_path / "agent.sh").write_text('mkdir -p "$FLEET_TASK"; echo x >"$FLEET_TASK/x"\n')
    answer = space("run", "--workspace", ".", "--label", "docs", "--", "sh", str(tmp_path / "agent.sh"))
    assert (answer.code, "2 left" in answer.out, "1 task integrated" in answer.out) == (1, True, True)


def test_a_change_set_by_the_command_line(shop: Fleet, tmp_path: Path) -> None:
    repos = {name: Repo(tmp_path / "all" / name) for name in spaces.SHOP}
    found = shop.json("changeset", "integrate", "--changeset", "api", code=1)
    assert (found["state"], {part["outcome"] for part in found["tasks"]}) == ("waiting", {"skipped"})
    spaces.work_all(repos)
    assert "rename/api: ready" in shop.ok("workspace", "status", cwd=repos["client"].path)
    said = shop("explain", "call", cwd=repos["client"].path).out
    assert "git fleet integrate --changeset api, in the workspace" in said
    found = shop.json("changeset", "integrate", "--changeset", "rename/api")
    assert {part["task_id"]: bool(part["commit"]) for part in found["tasks"]} == {
        "rename/api": True,
        "rename/serve": True,
        "rename/call": True,
    }
    shown = shop.json("workspace-show", "workspace", "show", "rename")
    assert shown["changesets"][0]["order"] == ["library", "service", "client"]
    assert "[[changeset]]" in shop.ok("workspace", "show", "rename")


def test_why_a_task_waits_for_another_repository_is_said(shop: Fleet, tmp_path: Path) -> None:
    client = tmp_path / "all" / "client"
    found = shop.json("explain", "explain", "docs", cwd=client)
    assert ("elsewhere", "it needs service/serve of another repository, which is pending") in [
        (each["code"], each["text"]) for each in found["reasons"]
    ]
    assert "needs service/serve, which is pending" in shop.ok("status", cwd=client)
    shutil.move(tmp_path / "all" / "service", tmp_path / "away")
    assert "which is not known: " in shop("explain", "docs", cwd=client).out


def test_a_plan_is_shown_with_what_ties_it_to_other_repositories(shop: Fleet, tmp_path: Path) -> None:
    shown = shop.json("plan-show", "plan", "show", cwd=tmp_path / "all" / "client")["tasks"]
    ties = {each["task_id"]: (each["needs_elsewhere"], each["changeset"]) for each in shown}
    assert ties["rename/docs"] == (["service/serve"], None)
    assert ties["rename/call"][1] == "api"


def test_what_does_not_go_with_a_change_set_or_a_workspace_is_refused(shop: Fleet) -> None:
    refused(shop("integrate", "--changeset", "api", "--batch"), "is integrated as a whole")
    refused(shop("integrate", "--workspace", "."), "--workspace goes with --changeset ID")
    refused(shop("integrate", "--changeset", "nope"), "there are: rename/api")
    refused(shop("run", "--label", "x"), "--label goes with --workspace")


# --- README --------------------------------------------------------------------------------------


def test_readme_is_tried_word_for_word(fleet: Fleet, tmp_path: Path) -> None:
    """In a folder with the two repositories that it speaks of."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.partition("\n## Many repositories\n")[2].partition("\n## ")[0]
    written, plan = re.findall(r"^```toml\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    first, second = re.findall(r"^```sh\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    parse(written.encode(), tmp_path)
    here = tmp_path / "here"
    for name in ("api", "web"):
        make_repo(here / name, {**spaces.QUIET, "greet.sh": "", "page.sh": ""})

    def said(command: str, cwd: Path) -> str:
        words, _, other = command.partition(" || ")
        answer = fleet(*words.removeprefix("git fleet ").split(), cwd=cwd)
        assert (answer.code != 0) is bool(other), (command, answer)
        return answer.out

    for command in first.splitlines():
        said(command, here)
    (here / "shop" / "rename.toml").write_text(plan, encoding="utf-8")
    there, *commands = second.splitlines()
    assert there == "cd shop"
    shown = [said(command, here / "shop") for command in commands]
    assert "rename/rename" in shown[2]
    assert "rename/salute: waiting" in shown[-1]
