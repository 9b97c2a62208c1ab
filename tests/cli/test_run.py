"""`git fleet run` as a person types it: what it takes, what it asks, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import validate
from tests.support.fleet import plan_toml, task
from tests.support.repo import Repo
from tests.support.runs import FLEET, Crew, lines
from tests.support.terminal import Terminal

BARE = 'version = 1\ngates = "none"\n'
AGENT = '#!/bin/sh\nmkdir -p "$FLEET_TASK" && echo "by $(basename "$0"): $2" > "$FLEET_TASK/new"\n'


@pytest.fixture
def crew(repo: Repo, tmp_path: Path) -> Iterator[Crew]:
    made = Crew(repo, tmp_path)
    yield made
    made.end_agents()


@pytest.fixture
def plan(crew: Crew) -> Path:
    """A plan of one task in a file that nobody has imported."""
    path = crew.repo.path / "p.toml"
    path.write_text(plan_toml(task("a")))
    crew.act("a", "work")
    return path


def on_terminal(crew: Crew, *args: str, columns: int = 80, rows: int = 24, **env: str) -> Terminal:
    command = [*FLEET, "run", *args]
    return Terminal(command, cwd=crew.repo.path, env=crew.env | env, columns=columns, rows=rows)


def refused(crew: Crew, *args: str, code: int) -> tuple[str, str]:
    """What it says and proposes when it refuses."""
    error = json.loads(crew.fleet("run", "--json", *args, code=code))["error"]
    assert error["exit_code"] == code
    return error["message"], error["hint"]


def by_itself(crew: Crew, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, to its end."""
    return subprocess.run(
        [*FLEET, "run", *args],
        cwd=crew.repo.path,
        env=crew.env | env,
        capture_output=True,
        text=True,
        check=False,
    )


def spoken(crew: Crew, *args: str, code: int = 0) -> str:
    """What a run says on standard error."""
    with crew.running(*args) as process:
        said = "\n".join(lines(process))
    assert process.returncode == code, said
    return said


# --- which plan ------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_file_is_imported_shown_and_asked_about(crew: Crew, plan: Path, answer: str) -> None:
    with on_terminal(crew, plan.name) as terminal:
        terminal.until("Approve plan p? [y/N]:")
        assert "p.toml is stored as plan p" in terminal.text
        assert "Commands that will run" in terminal.text
        assert re.search(r"Agents\s+sh \S+/agent.sh\s", terminal.text)
        assert crew.starts() == []
        terminal.type(f"{answer}\n")
        code = terminal.end()
    if answer == "y":
        assert code == 0
        assert "p: 1 of 1 task integrated" in terminal.text
        assert crew.states() == {"a": "integrated"}
    else:
        assert code == 1
        assert crew.starts() == []
        assert json.loads(crew.fleet("plan", "list", "--json"))["plans"][0]["state"] == "draft"


def test_where_nobody_can_be_asked_the_command_that_asks_nothing_is_named(crew: Crew, plan: Path) -> None:
    said, hint = refused(
        crew, "p.toml", "--max-cost", "2", "--no-integrate", "--", "sh", "-c", "exit 0", code=2
    )
    assert said == "approving asks a person, and this is no terminal"
    assert hint == "git fleet run --yes p.toml --max-cost 2 --no-integrate -- sh -c 'exit 0'"
    assert plan.is_file()


def test_modules_of_the_repository_are_not_taken_for_those_of_python(crew: Crew, plan: Path) -> None:
    stray = dict.fromkeys(("heapq.py", "queue.py", "random.py", "select.py"), "raise SystemExit('not me')\n")
    crew.repo.commit("modules of its own", stray)
    crew.run("--yes", plan.name)
    assert crew.states() == {"a": "integrated"}


def test_a_file_is_run_again_without_being_approved_again(crew: Crew, plan: Path) -> None:
    crew.act("a", "crash")
    crew.run("--yes", plan.name, code=1)
    crew.fleet("unblock", "a")
    crew.act("a", "work")
    assert "p.toml is plan p as it is approved" in spoken(crew, plan.name)
    assert crew.states() == {"a": "integrated"}


def test_without_a_name_it_is_the_only_open_plan(crew: Crew) -> None:
    crew.plan(task("a"))
    other = crew.repo.path / "other.toml"
    other.write_text(plan_toml(task("b"), plan="other"))
    crew.fleet("plan", "import", "other.toml")
    assert crew.run()["plan"] == "p"
    crew.fleet("plan", "close", "p")
    assert refused(crew, code=2)[1].startswith("git fleet run --yes")  # the draft is what is left


def test_a_plan_that_is_not_open_is_refused_with_the_way_on(crew: Crew) -> None:
    assert refused(crew, "nix", code=2) == ("there is no plan nix, and no such file", "git fleet plan list")
    crew.plan(task("a"))
    crew.fleet("plan", "pause", "p")
    assert refused(crew, "p", code=1) == ("plan p is paused", "git fleet plan resume p")
    crew.fleet("plan", "resume", "p")
    crew.fleet("cancel", "a")
    crew.fleet("plan", "close", "p")
    assert refused(crew, "p", code=1) == ("plan p is closed", "git fleet plan list")


def test_of_a_plan_and_a_file_of_one_name_the_plan_is_meant_and_it_says_so(crew: Crew) -> None:
    crew.plan(task("a"))
    (crew.repo.path / "p").write_text("no plan")
    assert "plan p is meant; the file of that name is ./p" in spoken(crew, "p")
    assert "p" in refused(crew, "./p", code=2)[0]


def test_a_file_that_holds_no_plan_stores_nothing(crew: Crew) -> None:
    (crew.repo.path / "notes.md").write_text("# Notes\n")
    refused(crew, "notes.md", "--yes", code=2)
    assert json.loads(crew.fleet("plan", "list", "--json"))["plans"] == []


# --- before anything is started --------------------------------------------------------------------


def test_without_gates_nobody_is_asked_and_nothing_is_started(crew: Crew, plan: Path) -> None:
    crew.repo.commit("No gates", {"fleet.toml": 'version = 1\n[worker]\nrun = ["true"]\n'})
    said, hint = refused(crew, plan.name, "--yes", code=2)
    assert said.startswith("no gate is declared")
    assert "[[gate]]" in hint
    assert json.loads(crew.fleet("plan", "list", "--json"))["plans"][0]["state"] == "draft"


def test_in_a_tasks_worktree_nothing_is_run_or_imported(crew: Crew, plan: Path) -> None:
    crew.plan(task("b"), plan="q")
    place = json.loads(crew.fleet("claim", "b", "--json"))["worktree"]
    said = crew.fleet("-C", place, "run", str(plan), "--yes", "--json", code=4)
    assert "this is a worker's worktree" in json.loads(said)["error"]["message"]
    assert [each["plan"] for each in json.loads(crew.fleet("plan", "list", "--json"))["plans"]] == ["q"]


def test_an_agent_may_run_a_plan_but_not_approve_one(crew: Crew, plan: Path) -> None:
    denied = by_itself(crew, plan.name, "--yes", CLAUDECODE="1")
    assert denied.returncode == 4
    assert "approve is a person's to do, and CLAUDECODE says that an agent is acting" in denied.stderr
    assert crew.starts() == []
    crew.fleet("plan", "approve", "p", "--yes")
    assert by_itself(crew, plan.name, CLAUDECODE="1").returncode == 0


def test_a_second_run_is_refused_and_the_first_named(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    with crew.running() as process:
        crew.begun("a")
        said, _ = refused(crew, "p", code=3)
        assert said == f"another run works on plan p (process {process.pid})"
        again = by_itself(crew, "p")
        assert again.stderr.startswith("git-fleet: another run works on plan p")
        crew.go("a")
        lines(process)
    assert process.returncode == 0


def test_a_dry_run_says_what_would_be_started_and_starts_nothing(crew: Crew, plan: Path) -> None:
    assert "--dry-run stores and approves nothing" in refused(crew, plan.name, "--dry-run", code=1)[0]
    assert json.loads(crew.fleet("plan", "list", "--json"))["plans"] == []
    crew.plan(task("a"), task("b", needs=["a"]))
    document = json.loads(
        crew.fleet("run", "--dry-run", "--workers", "2", "--json", "--", "my-agent", "{prompt}")
    )
    validate(document, "run-outlook")
    assert document["agents"] == ["my-agent '{prompt}'"]
    assert (document["left"], document["ready"]) == (["p/a", "p/b"], ["p/a"])
    said = crew.fleet("run", "-n", "--workers", "2")
    assert said.startswith("plan p onto main, 2 workers\n2 tasks left, 1 of them ready: p/a\n")
    assert "agents would be started by: sh " in said
    assert crew.starts() == []
    crew.fleet("plan", "import", "--plan", "q", plan.name)
    assert refused(crew, "q", "-n", code=1)[1] == "git fleet plan approve q --dry-run"


# --- which command ---------------------------------------------------------------------------------


@pytest.fixture
def unconfigured(crew: Crew, plan: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No command is configured; the folder for programs on PATH."""
    assert plan.is_file()
    tools = crew.folder / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    crew.repo.commit("No command", {"fleet.toml": BARE})
    return tools


def known(tools: Path, *names: str) -> None:
    for name in names:
        (tools / name).write_text(AGENT)
        (tools / name).chmod(0o755)


def test_the_one_known_agent_is_used_and_named(crew: Crew, unconfigured: Path) -> None:
    known(unconfigured, "claude")
    assert "agents are started by claude, found on this machine" in spoken(crew, "p.toml", "--yes")
    assert "by claude: " in crew.repo.run_git("show", "main:a/new")


def test_of_several_agents_a_person_chooses_before_the_plan_is_approved(
    crew: Crew, unconfigured: Path
) -> None:
    known(unconfigured, "claude", "codex")
    said, hint = refused(crew, "p.toml", "--yes", code=2)
    assert said.endswith("there are several on PATH: claude, codex")
    assert "[worker]" in hint
    with on_terminal(crew, "p.toml") as terminal:
        terminal.until("Which agent is to work? (claude, codex):")
        terminal.type("codex\n")
        terminal.until("Approve plan p?")
        assert "  codex exec --json" in terminal.text
        terminal.type("y\n")
        assert terminal.end() == 0
    assert "by codex: " in crew.repo.run_git("show", "main:a/new")


def test_without_any_agent_it_says_how_to_name_one(crew: Crew, unconfigured: Path) -> None:
    assert list(unconfigured.iterdir()) == []
    said, hint = refused(crew, "p.toml", "--yes", code=2)
    assert said.startswith("no command is configured that starts an agent, and none of claude, codex")
    assert "add -- COMMAND… to this one" in hint


def test_a_command_behind_dashes_is_taken_as_it_is(crew: Crew) -> None:
    crew.plan(task("a", prompt="Say it."))
    told = crew.box / "told"
    writes = f'mkdir -p a && echo new > a/new && printf "%s\\n" "$@" > {told}'
    said = spoken(
        crew, "--workers", "1", "--", "sh", "-c", writes, "sh", "--workers", "9", "--json", "{prompt}"
    )
    assert "1 worker\n" in said
    assert "agents are started by the command line" in said
    assert told.read_text().startswith("--workers\n9\n--json\n")
    assert "Say it." in told.read_text()


def test_a_command_without_dashes_or_dashes_without_a_command_are_refused(crew: Crew) -> None:
    said, hint = refused(crew, "p", "claude", code=2)
    assert said.endswith("a command that starts agents stands behind --")
    assert hint == "git fleet run -h"
    behind = by_itself(crew, "p", "--")
    assert (behind.returncode, "a command is missing behind --" in behind.stderr) == (2, True)


def test_a_task_has_its_own_profile_and_wrap_stands_before_every_command(repo: Repo, tmp_path: Path) -> None:
    profile = '\n[worker.deep]\nrun = ["sh", "-c", "mkdir -p b; echo deep $WRAPPED > b/new"]'
    crew = Crew(repo, tmp_path, worker=f'wrap = ["env", "WRAPPED=yes"]{profile}')
    crew.plan(
        task("a"),
        task("b", worker="deep"),
        agents={"a": "mkdir -p a; echo plain $WRAPPED > a/new"},
    )
    said = spoken(crew)
    assert "agents are started by [worker]" in said
    assert "agents are started by [worker.deep]" in said
    assert repo.run_git("show", "main:a/new") == "plain yes"
    assert repo.run_git("show", "main:b/new") == "deep yes"


def test_the_number_of_workers_is_the_checks_and_never_above_the_limit(repo: Repo, tmp_path: Path) -> None:
    crew = Crew(repo, tmp_path, config="max_active = 2")
    crew.plan(task("a"), task("b"), agents=dict.fromkeys("ab", "nothing"))
    assert "2 workers (not 7: max_active in fleet.toml is 2)" in spoken(crew, "--workers", "7", code=1)
    said = spoken(crew, code=1)
    assert "plan check recommends" in said
    assert refused(crew, "--workers", "0", code=2)[1] == "git fleet run -h"


# --- how it ends -----------------------------------------------------------------------------------


def test_json_is_one_document_and_nothing_else(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": "work", "b": "nothing"})
    done = by_itself(crew, "--json")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (1, "", 1)
    document = json.loads(done.stdout)
    validate(document, "run")
    assert {each["task_id"]: each["state"] for each in document["tasks"]} == {
        "p/a": "integrated",
        "p/b": "blocked",
    }


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_agents_at_once(crew: Crew, number: signal.Signals, code: int) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    with crew.running() as process:
        crew.begun("a")
        process.send_signal(number)
        lines(process)
        assert not crew.alive()
    assert process.returncode == code
    assert crew.states() == {"a": "rework"}


def test_a_terminal_that_is_closed_ends_the_run_and_saves_the_work(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    with on_terminal(crew) as terminal:
        crew.begun("a")
        terminal.until("at work")
        terminal.hang_up()
        assert terminal.end() == 129
    assert not crew.alive()
    assert "begun" in crew.fleet("salvage", "show", "a", "--patch")
    crew.sound()


def test_nobody_reading_does_not_end_a_run(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    with crew.start() as process:
        crew.begun("a")
        assert process.stderr is not None
        process.stderr.close()
        crew.go("a")
        assert process.stdout is not None
        assert "p: 1 of 1 task integrated" in process.stdout.read()
    assert process.returncode == 0
