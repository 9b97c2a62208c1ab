"""`git fleet conflicts` as people and scripts see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.support.repo import Repo
from tests.support.terminal import Terminal

PLAN = """\
version = 1
plan = "p"
base = "main"

[[task]]
id = "a"
title = "One"
files = ["/cli.py", "/more.py"]
overlap = "watch"

[[task]]
id = "b"
title = "Another"
files = ["/cli.py", "/more.py"]
overlap = "watch"
"""
LINES = "".join(f"line {n}\n" for n in range(1, 21))


@pytest.fixture
def fighting(fleet: Fleet, repo: Repo) -> tuple[Fleet, Repo, Repo]:
    """Two tasks whose uncommitted work collides, and the worktrees of both."""
    repo.commit("a file", {"cli.py": LINES, "more.py": LINES})
    (repo.path / ".git" / "plan.toml").write_text(PLAN, encoding="utf-8")
    fleet.ok("plan", "import", ".git/plan.toml")
    fleet.ok("plan", "approve", "--yes")
    trees = []
    for name, worker, lines in (("a", "w1", (3, 9)), ("b", "w2", (3, 4, 15))):
        fleet.ok("claim", name, "--worker", worker)
        tree = Repo(Path(fleet.ok("path", name).strip()))
        text = LINES
        for line in lines:
            text = text.replace(f"line {line}\n", f"{name}\n")
        tree.write("cli.py", text)
        tree.write("more.py", LINES.replace(f"line {2 + 15 * (name == 'b')}\n", f"{name}\n"))
        trees.append(tree)
    return fleet, trees[0], trees[1]


def test_the_table_names_both_the_file_and_the_lines(fighting: tuple[Fleet, Repo, Repo]) -> None:
    fleet, _, _ = fighting
    assert fleet.ok("conflicts").splitlines() == [
        "1 conflict (2 tasks at work, 3 pairs checked, 1 merged)",
        "",
        "TASK  AND  FILE     WHAT               LINES",
        "p/a   p/b  cli.py   conflict           3 × 3–4",
        "p/a   p/b  more.py  same file, merges",
        "",
        "p/b: its hand-in waits until p/a is integrated: they collide in cli.py",
    ]
    assert fleet("conflicts", "--strict").code == 1
    assert fleet("conflicts", "--strict", "--watch").code == 2


def test_the_document_is_what_its_schema_says(fighting: tuple[Fleet, Repo, Repo]) -> None:
    fleet, _, _ = fighting
    found = fleet.json("conflicts", "conflicts")
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"], pair["paths"], pair["kind"]) == ("p/a", "p/b", ["cli.py"], "textual")
    assert (pair["policy"], pair["waits"], pair["with_base"], found["checked"]) == ("watch", "p/b", False, 3)
    assert pair["files"][0]["hunks"] == [{"a": {"start": 3, "lines": 1}, "b": {"start": 3, "lines": 2}}]


def test_who_looks_at_a_task_is_told_that_its_hand_in_waits(fighting: tuple[Fleet, Repo, Repo]) -> None:
    fleet, _, tree = fighting
    assert "p/a was claimed first" in fleet.ok("progress", "going on", cwd=tree.path)
    assert "its hand-in waits until p/a is integrated" in fleet.ok("explain", "b")
    (plan,) = fleet.json("status", "status")["plans"]
    assert [task["waits_for"] for task in plan["tasks"]] == [[], ["p/a"]]
    refused = fleet("done", "--all", "--json", cwd=tree.path)
    assert refused.code == 4
    assert json.loads(refused.out)["error"]["code"] == "collides"


def test_nothing_to_see_is_said(fleet: Fleet) -> None:
    assert fleet.ok("conflicts") == "no work in flight\n"
    assert fleet.json("conflicts", "conflicts")["pairs"] == []


def test_hostile_names_steer_no_terminal(fighting: tuple[Fleet, Repo, Repo]) -> None:
    fleet, one, other = fighting
    name = "\x1b[2Jclear\u202e"
    one.write(name, "ours\n")
    other.write(name, "theirs\n")
    shown = fleet.ok("conflicts")
    assert "\\x1b[2Jclear\\u202e" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    told = fleet.ok("progress", "going on", cwd=other.path)
    assert not {"\x1b", "\u202e"} & set(told)


def test_watching_draws_again_when_something_has_changed(fighting: tuple[Fleet, Repo, Repo]) -> None:
    fleet, one, _ = fighting
    command = [sys.executable, "-m", "git_fleet", "conflicts", "--watch"]
    with Terminal(command, cwd=fleet.path, env=dict(os.environ), columns=100) as terminal:
        terminal.until("3 × 3–4")
        terminal.resize(columns=44, rows=5)
        terminal.until("… and")
        one.write("unrelated", "this collides with nothing\n")
        one.write("cli.py", LINES)
        terminal.until("0 conflicts")
        terminal.type("\x03")
        assert terminal.end() == 0
    drawn, _, after = terminal.shown.rpartition("\x1b[?1049l")
    assert drawn.startswith("\x1b[?1049h")  # a screen of its own: what stood there before is not lost
    assert "\x1b[3J" not in terminal.shown
    assert "0 conflicts" in Terminal.plain(after)


def test_status_merges_nothing_again_that_is_as_it_was(
    fighting: tuple[Fleet, Repo, Repo], tmp_path: Path
) -> None:
    fleet, one, _ = fighting
    trace = tmp_path / "trace"
    env = {**os.environ, "GIT_TRACE": str(trace)}
    with Terminal(
        [sys.executable, "-m", "git_fleet", "status", "--watch"], cwd=fleet.path, env=env
    ) as terminal:
        terminal.until("its hand-in waits")
        terminal.until_so(lambda: terminal.shown.count("\x1b[H") > 3, "more pictures")
        assert trace.read_text().count("built-in: git merge-tree") == 1
        one.write("cli.py", LINES)
        terminal.until_so(lambda: "its hand-in waits" not in terminal.shown.split("\x1b[H")[-1], "another")


def test_watching_in_a_pipe_gives_a_document_for_each_difference(fighting: tuple[Fleet, Repo, Repo]) -> None:
    fleet, one, _ = fighting
    command = [sys.executable, "-m", "git_fleet", "conflicts", "--watch", "--json"]
    with subprocess.Popen(command, cwd=fleet.path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        kinds = [pair["kind"] for pair in json.loads(process.stdout.readline())["pairs"]]
        one.write("cli.py", LINES)
        kinds += [pair["kind"] for pair in json.loads(process.stdout.readline())["pairs"]]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert kinds == ["textual", "same-path"]
