"""Completion: what can stand at the end of a line, and that bash, zsh and fish show it, git's own completion too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from git_fleet import resources
from git_fleet.cli.completion import answer
from git_fleet.cli.main import cli
from tests.cli.conftest import Fleet
from tests.support.repo import Repo
from tests.support.terminal import Terminal

GITS_OWN = Path("/usr/share/bash-completion/completions/git")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **more}


def offered(fleet: Fleet, *words: str) -> list[str]:
    """The words that can stand at the end of these, the last one unfinished."""
    lines = answer(cli, ["-C", str(fleet.path), *words]).splitlines()
    return [row.split("\t")[1] for row in lines if row.startswith("plain\t")]


def test_commands_and_options_are_offered(approved: Fleet) -> None:
    assert offered(approved, "sta") == ["status"]
    assert {"claim", "plan", "completion"} <= set(offered(approved, ""))
    assert "hook" not in offered(approved, "")
    assert offered(approved, "plan", "ap") == ["approve"]
    assert offered(approved, "status", "--por") == ["--porcelain"]
    assert offered(approved, "completion", "") == ["bash", "zsh", "fish"]


def test_tasks_are_offered_those_that_have_ended_last(approved: Fleet) -> None:
    approved.ok("cancel", "42")
    assert offered(approved, "explain", "") == ["43", "44", "42"]
    assert offered(approved, "explain", "4") == ["43", "44", "42"]
    assert offered(approved, "explain", "app/") == ["app/43", "app/44", "app/42"]
    assert offered(approved, "log", "a") == ["app"]
    assert offered(approved, "score", "") == ["app"]
    assert offered(approved, "cleanup", "43", "4") == ["44", "42"]


def test_learnings_are_offered_by_their_ids(approved: Fleet) -> None:
    approved.ok("learn", "Headings are\n\tsentences")
    (known,) = approved.json("knowledge", "knowledge", "list")["learnings"]
    assert offered(approved, "knowledge", "review", "--retire", known["id"][:2]) == [known["id"][:12]]
    assert answer(cli, ["-C", str(approved.path), "knowledge", "review", "--edit", ""]).count("\n") == 1


def test_each_says_what_it_is(approved: Fleet) -> None:
    assert answer(cli, ["-C", str(approved.path), "explain", "43"]) == "plain\t43\tpending: Write the docs\n"
    assert answer(cli, ["-C", str(approved.path), "score", ""]) == "plain\tapp\topen: Three commands\n"
    assert answer(cli, ["-C", str(approved.path), "plan", "import", "x"]).startswith("file\t")


def test_a_title_cannot_add_a_line(planned: Fleet, repo: Repo) -> None:
    evil = "plain\\tevil\\n\\u001b[31m"
    plan = f'version = 1\nplan = "evil"\ntitle = "t"\n[[task]]\nid = "x"\ntitle = "a\\tb {evil}"\nfiles = ["z"]\n'
    (repo.path / ".git" / "evil.toml").write_text(plan)
    if planned("plan", "import", ".git/evil.toml").code == 0:
        planned.ok("plan", "approve", "evil", "--yes")
    lines = answer(cli, ["-C", str(planned.path), "explain", ""]).splitlines()
    assert all(row.count("\t") == 2 and row.replace("\t", "").isprintable() for row in lines)


def test_where_nothing_can_be_read_nothing_is_offered(fleet: Fleet, tmp_path: Path) -> None:
    assert offered(fleet, "explain", "") == []
    assert answer(cli, ["-C", str(tmp_path), "explain", ""]) == ""
    assert answer(cli, ["-C", str(tmp_path / "none"), "explain", ""]) == ""
    assert answer(cli, ["nonsense", "x"]) == ""


def test_the_script_is_that_of_the_shell(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert fleet.ok("completion", shell).rstrip() == resources.completion(shell).rstrip()
    monkeypatch.setenv("SHELL", "/bin/zsh")
    assert fleet.ok("completion").startswith("#compdef git-fleet")
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    refused = fleet("completion")
    assert (refused.code, "git fleet completion bash|zsh|fish" in refused.err) == (2, True)


def in_bash(fleet: Fleet, script: str) -> list[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", f'{resources.completion("bash")}\n{script}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'],
        cwd=fleet.path, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@needs("bash")
def test_bash_completes_git_fleet_by_itself(approved: Fleet) -> None:
    typed = "COMP_WORDS=(git-fleet explain 4) COMP_CWORD=2; _git_fleet_alone"
    assert in_bash(approved, typed) == ["42", "43", "44"]
    typed = "COMP_WORDS=(git-fleet explain '') COMP_CWORD=2; _git_fleet_alone"
    assert in_bash(approved, typed) == ["42", "43", "44"]


@needs("bash")
@pytest.mark.skipif(not GITS_OWN.exists(), reason="git's completion for bash is not installed")
@pytest.mark.parametrize(("typed", "offered"), [
    ("git fleet explain 4", ["42", "43", "44"]),
    ("git fleet explai", ["explain"]),
    ("git -C . fleet plan pau", ["pause"]),
])  # fmt: skip
def test_gits_own_completion_of_bash_asks_us(approved: Fleet, typed: str, offered: list[str]) -> None:
    words = typed.split()
    script = (
        f"source {GITS_OWN}\nCOMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}\n"
        f"COMP_LINE='{typed}' COMP_POINT={len(typed)}\n__git_wrap__git_main git"
    )
    assert in_bash(approved, script) == offered


@needs("fish")
@pytest.mark.parametrize("typed", ["git-fleet explain 4", "git fleet explain 4"])
def test_fish_completes_with_what_each_is(approved: Fleet, tmp_path: Path, typed: str) -> None:
    folder = tmp_path / "config" / "fish" / "conf.d"
    folder.mkdir(parents=True)
    (folder / "git-fleet.fish").write_text(resources.completion("fish"))
    done = subprocess.run(
        ["fish", "-c", f"complete -C '{typed}'"],
        cwd=approved.path,
        env=environment(XDG_CONFIG_HOME=str(tmp_path / "config"), HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "42\tpending: Add a count command",
        "43\tpending: Write the docs",
        "44\tpending: Add a clear command",
    ]


@needs("zsh")
@pytest.mark.parametrize("typed", ["git-fleet", "git fleet"])
def test_zsh_completes_on_a_terminal(approved: Fleet, tmp_path: Path, typed: str) -> None:
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "_git-fleet").write_text(resources.completion("zsh"))
    rc = tmp_path / ".zshrc"
    rc.write_text(
        f"fpath=({functions} $fpath)\nautoload -U compinit\ncompinit -u -d {tmp_path}/dump\nPS1='ready> '\n"
    )
    env = environment(ZDOTDIR=str(tmp_path), HOME=str(tmp_path), TERM="dumb")
    with Terminal(["zsh", "-i"], cwd=approved.path, env=env) as terminal:
        terminal.until("ready> ")
        terminal.type(f"{typed} explain 4\t")
        terminal.until("43  -- pending: Write the docs")
        terminal.type("3\t\x15exit\n")
        assert terminal.end() == 0
    shown = terminal.text.partition(f"{typed} explain 4")[2]
    for offered in ("42  -- pending: Add a count command", "44  -- pending: Add a clear command"):
        assert offered in shown
