"""What agents' own hooks are told: edits refused before they happen, stops pointed out, everything else let pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from git_fleet.core.ids import oid
from git_fleet.store.worktree import last_sign
from tests.support.agents import claude, codex, gemini, install_shim, stopping, tell
from tests.support.hooked import append, claim, common_dir, git_dir, lead, progress, task_worktree
from tests.support.repo import Repo, make_repo

REFUSED = 2


@pytest.fixture(autouse=True)
def shim(main: Repo) -> Path:
    return install_shim(main)


def patch(*headers: str) -> str:
    return "\n".join(["*** Begin Patch", *(f"*** {header}\n+x" for header in headers), "*** End Patch"])


EDITS = {
    "Claude's Write": lambda cwd, path: claude("Write", cwd, file_path=path, content="x"),
    "Claude's Edit": lambda cwd, path: claude("Edit", cwd, file_path=path, old_string="a", new_string="b"),
    "Claude's MultiEdit": lambda cwd, path: claude("MultiEdit", cwd, file_path=path, edits=[{"old_string": "a"}]),
    "Claude's NotebookEdit": lambda cwd, path: claude("NotebookEdit", cwd, notebook_path=path, new_source="x"),
    "a server's write_file": lambda cwd, path: claude("mcp__files__write_file", cwd, path=path, content="x"),
    "a server's edit of several": lambda cwd, path: claude("mcp__files__edit_file", cwd, edits=[{"path": path}]),
    "Codex's patch": lambda cwd, path: codex(cwd, patch(f"Add File: {path}")),
    "Codex's patch tool": lambda cwd, path: codex(cwd, patch(f"Update File: {path}"), tool="apply_patch"),
    "Gemini's write_file": lambda cwd, path: gemini("write_file", cwd, file_path=path, content="x"),
    "Gemini's replace": lambda cwd, path: gemini("replace", cwd, file_path=path, old_string="a"),
    "OpenCode's edit": lambda cwd, path: claude("edit", cwd, filePath=path, oldString="a"),
    "OpenCode's patch": lambda cwd, path: claude("patch", cwd, patchText=patch(f"Delete File: {path}")),
}  # fmt: skip


@pytest.mark.parametrize("tool", EDITS)
def test_an_edit_passes_for_the_tasks_files_and_no_others(task: Repo, tool: str) -> None:
    for path in ("cli.py", str(task.path / "cli.py"), "lock.txt"):
        assert tell(task, "pre-tool-use", EDITS[tool](task.path, path)) == (0, "", ""), path
    for path in ("README.md", str(task.path / "README.md"), "new/other.py"):
        answer = tell(task, "pre-tool-use", EDITS[tool](task.path, path))
        assert (answer.code, answer.out) == (REFUSED, ""), path
        assert "not among the files of app/42 (cli.py)" in answer.err
        assert "next: if the task cannot do without: git fleet block app/42 --code scope" in answer.err


@pytest.mark.parametrize("event", ["PreToolUse", "BeforeTool", "pre-tool-use"])
def test_the_command_line_knows_the_event_by_every_name(task: Repo, event: str) -> None:
    document = json.dumps(claude("Write", task.path, file_path="README.md")).encode()
    command = [sys.executable, "-c", "from git_fleet.hook import entry; entry()", "agent", event]
    done = subprocess.run(command, cwd=task.path, input=document, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (REFUSED, b"")
    assert b"'README.md'" in done.stderr


def test_relative_paths_start_where_the_agent_says_it_is(main: Repo, tmp_path: Path) -> None:
    task = task_worktree(main, tmp_path / "task", files=["/cli.py"])
    (task.path / "docs").mkdir()
    inside = task.path / "docs"
    assert tell(task, "pre-tool-use", claude("Write", inside, file_path="../cli.py")).code == 0
    assert tell(task, "pre-tool-use", claude("Write", inside, file_path="cli.py")).code == REFUSED
    moved = codex(task.path, "")
    moved["tool_input"]["command"] = f"cd docs && apply_patch <<'EOF'\n{patch('Add File: cli.py')}\nEOF"
    assert tell(task, "pre-tool-use", moved).code == REFUSED
    moved["tool_input"] = {
        "cmd": f"apply_patch <<'EOF'\n{patch('Add File: ../cli.py')}\nEOF",
        "workdir": "docs",
    }
    assert tell(task, "pre-tool-use", moved).code == 0


def test_of_several_files_one_that_is_not_the_tasks_refuses_all(task: Repo) -> None:
    both = patch("Update File: cli.py", "Move to: README.md")
    answer = tell(task, "pre-tool-use", codex(task.path, both))
    assert answer.code == REFUSED
    assert "'README.md'" in answer.err
    assert "'cli.py'" not in answer.err


@pytest.mark.parametrize(
    ("link", "to", "path"),
    [
        ("docs", "../repo", "docs/cli.py"),  # a folder of the main worktree
        ("cli.py", "../repo/README.md", "cli.py"),  # an owned name for another's file
        ("cli.py", "README.md", "cli.py"),
        ("docs", "../repo", "docs/../README.md"),  # some tools take `..` away before they follow the link
        ("docs", "../repo/.git", "docs/hooks/pre-commit"),
    ],
)
def test_links_and_dots_lead_nowhere_else(main: Repo, task: Repo, link: str, to: str, path: str) -> None:
    assert main.path.name == "repo"
    (task.path / link).unlink(missing_ok=True)
    (task.path / link).symlink_to(to)
    assert tell(task, "pre-tool-use", claude("Write", task.path, file_path=path)).code == REFUSED


@pytest.mark.parametrize(
    "path", [".git", ".git/config", ".GIT/config", "./cli.py/../README.md", "CLI.py", "cli.py ", "", "."]
)
def test_other_spellings_are_not_the_tasks_files(task: Repo, path: str) -> None:
    absolute = f"{task.path}/{path}"
    assert tell(task, "pre-tool-use", claude("Write", task.path, file_path=absolute)).code == REFUSED


def test_who_owns_everything_does_not_own_gits_folder(main: Repo, tmp_path: Path) -> None:
    everything = task_worktree(main, tmp_path / "all", files=["**"])
    assert tell(everything, "pre-tool-use", claude("Write", everything.path, file_path=".github/x")).code == 0
    for path in (".git", ".git/config", ".GIT/config"):
        answer = tell(everything, "pre-tool-use", claude("Write", everything.path, file_path=path))
        assert answer.code == REFUSED, path
        assert "git's own folder" in answer.err


def test_gits_own_folder_is_not_edited_while_a_plan_is_open(main: Repo, task: Repo) -> None:
    for place in (git_dir(task) / "fleet.json", common_dir(main) / "hooks" / "pre-commit"):
        for where in (main, task):
            answer = tell(where, "pre-tool-use", claude("Write", where.path, file_path=str(place)))
            assert answer.code == REFUSED
            assert "git's own folder" in answer.err


def test_another_worktree_is_not_edited_from_a_tasks(main: Repo, task: Repo, tmp_path: Path) -> None:
    other = task_worktree(main, tmp_path / "other", task="app/43", files=["README.md"])
    for place in (main.path / "cli.py", other.path / "README.md"):
        answer = tell(task, "pre-tool-use", claude("Write", task.path, file_path=str(place)))
        assert answer.code == REFUSED
        assert "another worktree; this one is for app/42" in answer.err
    # also after a `cd`, where the agent says in which folder its session began
    there = claude("Write", other.path, file_path="README.md")
    began = {"CLAUDE_PROJECT_DIR": str(task.path)}
    assert tell(task, "pre-tool-use", there, at=other.path, env=began).code == REFUSED
    assert tell(task, "pre-tool-use", there, at=other.path).code == 0


def test_the_main_worktree_is_not_edited_while_a_plan_is_open(main: Repo) -> None:
    answer = tell(main, "pre-tool-use", claude("Write", main.path, file_path="new.txt"))
    assert answer.code == REFUSED
    assert "that is the main worktree, and plan app is open" in answer.err
    assert "git fleet claim" in answer.err
    lead(main)
    assert tell(main, "pre-tool-use", claude("Write", main.path, file_path="new.txt")).code == 0
    (common_dir(main) / "fleet" / "open").unlink()
    (git_dir(main) / "fleet-lead").unlink()
    assert tell(main, "pre-tool-use", claude("Write", main.path, file_path="new.txt")).code == 0


def test_a_linked_worktree_of_the_base_counts_as_the_main_one(main: Repo, tmp_path: Path) -> None:
    main.run_git("switch", "-qc", "aside")
    main.run_git("worktree", "add", "-q", "../base", "main")
    main.run_git("worktree", "add", "-q", "-b", "topic", "../topic", "aside")
    base, topic = tmp_path / "base", tmp_path / "topic"
    assert tell(main, "pre-tool-use", claude("Write", base, file_path="x"), at=base).code == REFUSED
    assert tell(main, "pre-tool-use", claude("Write", topic, file_path="x"), at=topic).code == 0


def test_a_session_in_the_main_worktree_may_work_on_its_task_by_absolute_paths(
    main: Repo, task: Repo
) -> None:
    mine, other = str(task.path / "cli.py"), str(task.path / "README.md")
    assert tell(main, "pre-tool-use", claude("Write", main.path, file_path=mine)).code == 0
    assert (git_dir(task) / "fleet-alive").read_text() == "pre-tool-use\n"
    assert tell(main, "pre-tool-use", claude("Write", main.path, file_path=other)).code == REFUSED


def test_what_lies_outside_the_repository_and_what_git_ignores_is_nobodys(
    main: Repo, task: Repo, tmp_path: Path
) -> None:
    (common_dir(main) / "info" / "exclude").write_text("scratch/\n")
    for path in (str(tmp_path / "notes.md"), "scratch/notes.md", "~/notes.md"):
        assert tell(task, "pre-tool-use", claude("Write", task.path, file_path=path)).code == 0, path
    assert (
        tell(main, "pre-tool-use", claude("Write", main.path, file_path="scratch/notes.md")).code == REFUSED
    )
    task.run_git("add", "-f", str(task.write("scratch/kept.md", "tracked")))
    assert tell(task, "pre-tool-use", claude("Write", task.path, file_path="scratch/kept.md")).code == REFUSED


def test_a_folder_by_another_name_is_the_same_folder(task: Repo, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(task.path)
    alias = tmp_path / "alias"
    for cwd, path in ((alias, "cli.py"), (task.path, str(alias / "cli.py"))):
        assert tell(task, "pre-tool-use", claude("Write", cwd, file_path=path), at=alias).code == 0
    for cwd, path in ((alias, "README.md"), (task.path, str(alias / "README.md"))):
        assert tell(task, "pre-tool-use", claude("Write", cwd, file_path=path), at=alias).code == REFUSED


def test_a_nested_repository_belongs_to_the_worktree_around_it(task: Repo) -> None:
    inner = make_repo(task.path / "vendor" / "lib")
    assert (
        tell(task, "pre-tool-use", claude("Write", task.path, file_path=str(inner.path / "x.c"))).code
        == REFUSED
    )


def test_a_worktree_inside_the_main_one_is_judged_by_itself(main: Repo) -> None:
    nested = task_worktree(main, main.path / ".claude" / "worktrees" / "43", task="app/43", files=["a.py"])
    assert tell(nested, "pre-tool-use", claude("Write", nested.path, file_path="a.py")).code == 0
    assert tell(nested, "pre-tool-use", claude("Write", nested.path, file_path="b.py")).code == REFUSED


def test_a_claim_that_has_ended_is_said_at_the_next_edit(main: Repo, task: Repo) -> None:
    edit = claude("Write", task.path, file_path="cli.py")
    for _ in range(2):
        assert tell(task, "pre-tool-use", edit).code == 0
    fence = json.loads((git_dir(task) / "fleet.json").read_text())["fence"]
    progress(main, oid(fence))  # the claim goes on
    assert tell(task, "pre-tool-use", edit).code == 0
    main.run_git("pack-refs", "--all")
    assert tell(task, "pre-tool-use", edit).code == 0
    progress(main, claim(main, holder="w2"))
    answer = tell(task, "pre-tool-use", edit)
    assert answer.code == REFUSED
    assert (
        "the claim of app/42 that this worktree was made for has ended; what you wrote stays here"
        in answer.err
    )


def test_git_is_asked_about_the_claim_only_when_its_log_has_moved(
    main: Repo, task: Repo, tmp_path: Path
) -> None:
    edit = claude("Write", task.path, file_path="cli.py")
    assert tell(task, "pre-tool-use", edit).code == 0
    tools = tmp_path / "tools"
    tools.mkdir()
    wire = tools / "git"
    wire.write_text('#!/bin/sh\necho "$@" >>"$0.log"\nexit 1\n')
    wire.chmod(0o755)
    path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    assert tell(task, "pre-tool-use", edit, env=path).code == 0
    assert not (tools / "git.log").exists()
    claim(main, holder="w2")
    tell(task, "pre-tool-use", edit, env=path)
    assert "cat-file" in (tools / "git.log").read_text()


def test_after_the_hand_in_the_way_back_is_named(main: Repo, task: Repo) -> None:
    append(main, "refs/fleet/task/app/42", "done", {"state": "proposed", "claim": None})
    answer = tell(task, "pre-tool-use", claude("Write", task.path, file_path="cli.py"))
    assert answer.code == REFUSED
    assert "app/42 is handed in" in answer.err
    assert "git fleet withdraw app/42" in answer.err


def test_tools_that_write_nothing_pass(task: Repo) -> None:
    for document in (
        claude("Read", task.path, file_path="README.md"),
        claude("Bash", task.path, command="cat README.md"),
        claude("str_replace_based_edit_tool", task.path, command="view", path="README.md"),
        claude("Write", task.path),
        gemini("run_shell_command", task.path, command="ls"),
    ):
        assert tell(task, "pre-tool-use", document) == (0, "", "")


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe\x00", b"[" * 100_000, b"{}", b"NaN",
        {"tool_name": 7, "tool_input": []},
        {"tool_name": "Write", "tool_input": {"file_path": ["README.md", 3, None]}, "cwd": 5, "session_id": {}},
        {"tool_name": "Write", "tool_input": {"file_path": "a\0b"}},
        {"tool_name": "Write", "tool_input": {"file_path": "\ud800"}},
        {"tool_name": "Write", "tool_input": {"file_path": "/nowhere" + "/x" * 5_000}},
    ],
)  # fmt: skip
def test_what_cannot_be_understood_passes_silently(tmp_path: Path, task: Repo, document: Any) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for event in ("pre-tool-use", "post-tool-use", "session-end", "unheard-of"):
        assert tell(task, event, document, at=elsewhere) == (0, "", "")


def test_a_bad_path_does_not_hide_the_one_beside_it(task: Repo) -> None:
    for bad in ("a\0b", "\ud800", "x" * 5_000):
        document = claude("mcp__files__write_file", task.path, paths=[bad, "README.md"])
        assert tell(task, "pre-tool-use", document).code == REFUSED


def test_a_session_that_went_elsewhere_is_still_of_its_repository(
    main: Repo, task: Repo, tmp_path: Path
) -> None:
    other = make_repo(tmp_path / "unrelated")
    empty = tmp_path / "empty"
    empty.mkdir()
    for began in (task, main):
        for folder in (other.path, empty):
            edit = claude("Write", folder, file_path=str(main.path / "README.md"))
            env = {"CLAUDE_PROJECT_DIR": str(began.path)}
            assert tell(main, "pre-tool-use", edit, at=folder, env=env).code == REFUSED
            here = claude("Write", folder, file_path="x")
            assert tell(main, "pre-tool-use", here, at=folder, env=env).code == 0
            assert tell(main, "stop", stopping(folder), at=folder, env=env).code == 0


def test_where_git_fails_what_is_not_the_tasks_stays_refused(task: Repo, tmp_path: Path) -> None:
    broken = tmp_path / "git"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert tell(task, "pre-tool-use", codex(task.path, patch("Add File: cli.py")), env=path).code == 0
    both = patch("Add File: README.md", "Add File: cli.py")
    assert tell(task, "pre-tool-use", codex(task.path, both), env=path).code == REFUSED


def test_a_message_cannot_steer_a_terminal(task: Repo) -> None:
    answer = tell(task, "pre-tool-use", claude("Write\x1b[2J", task.path, file_path="a\x1b]0;x\x07\nb\u202e"))
    assert answer == (0, "", "")  # no tool of that name writes
    answer = tell(
        task, "pre-tool-use", claude("mcp__\x1b[2J__write_file", task.path, file_path="a\x1b]0;\x07\nb\u202e")
    )
    assert answer.code == REFUSED
    assert all(char == "\n" or (char.isascii() and char.isprintable()) for char in answer.err)


def test_ten_megabytes_are_judged_like_ten_bytes(task: Repo) -> None:
    big = "x" * 10_000_000
    assert tell(task, "pre-tool-use", claude("Write", task.path, file_path="cli.py", content=big)).code == 0
    assert (
        tell(task, "pre-tool-use", claude("Write", task.path, file_path="README.md", content=big)).code
        == REFUSED
    )
    assert tell(task, "post-tool-use", claude("Write", task.path, content=big)) == (0, "", "")
    many = patch(*(f"Add File: made/{number}" for number in range(3_000)))
    assert "too many to look at" in tell(task, "pre-tool-use", codex(task.path, many)).err


@pytest.mark.parametrize(
    "change",
    [
        None, [], {"v": 2}, {"regexes": ["("]}, {"regexes": 5}, {"regexes": [5]}, {"task": None},
        {"files": 5}, {"fence": None}, {"generated_regexes": {}},
    ],
    ids=str,
)  # fmt: skip
def test_broken_state_lets_pass_in_silence(task: Repo, change: Any) -> None:
    place = git_dir(task) / "fleet.json"
    known = json.loads(place.read_text())
    place.write_text("{" if change is None else json.dumps({**known, **change} if change else change))
    known_by_its_files = change in ({"fence": None}, {"generated_regexes": {}}, {"task": None})
    answer = tell(task, "pre-tool-use", claude("Write", task.path, file_path="README.md"))
    assert answer.code == (REFUSED if known_by_its_files else 0)
    assert answer.err == "" or answer.err.startswith("git-fleet: refused: ")
    assert "Traceback" not in tell(task, "stop", stopping(task.path)).err


@pytest.mark.parametrize(
    "line",
    ["", "[]", '{"v": 1}', '{"v": 1, "event": "x", "state": "text"}', '{"v": 1, "state": {"claim": 5}}'],
)
def test_a_log_that_cannot_be_read_says_nothing_that_is_no_refusal(main: Repo, task: Repo, line: str) -> None:
    for ref in ("refs/fleet/task/app/42", "refs/fleet/lead"):
        tree = main.run_git("hash-object", "-w", "-t", "tree", "--stdin")
        commit = main.run_git("commit-tree", tree, "-m", "x", *(["-m", line] if line else []))
        main.run_git("-c", "core.hooksPath=/dev/null", "update-ref", ref, commit)
    (git_dir(main) / "fleet-lead").write_text("f" * 40 + "\n")
    for where, path in ((task, "cli.py"), (task, "README.md"), (main, "README.md")):
        answer = tell(where, "pre-tool-use", claude("Write", where.path, file_path=path))
        assert answer.code == REFUSED if answer.err else answer.code == 0
        assert answer.err == "" or answer.err.startswith("git-fleet: refused: ")
    assert tell(task, "stop", stopping(task.path)) == (0, "", "")


def test_a_program_that_is_gone_lets_pass(task: Repo, shim: Path) -> None:
    text = shim.read_text().splitlines(keepends=True)
    shim.write_text(
        "".join("python=/nowhere/python\n" if line.startswith("python=") else line for line in text)
    )
    assert tell(task, "pre-tool-use", claude("Write", task.path, file_path="README.md")) == (0, "", "")


# --- stopping ------------------------------------------------------------------------------------


def test_stopping_with_the_task_in_hand_is_pointed_out_once(task: Repo) -> None:
    answer = tell(task, "stop", stopping(task.path))
    assert answer.code == REFUSED
    assert "app/42 is not handed in" in answer.err
    assert "git fleet done" in answer.err
    assert tell(task, "stop", stopping(task.path, again=True)) == (0, "", "")
    # nor at the next turn of the same session, in which a person may be asked something
    assert tell(task, "stop", stopping(task.path)) == (0, "", "")
    assert tell(task, "stop", stopping(task.path, session="another")).code == REFUSED


def test_a_stop_that_follows_a_refusal_is_never_refused(task: Repo) -> None:
    assert tell(task, "stop", stopping(task.path, again=True)) == (0, "", "")


@pytest.mark.parametrize(
    ("event", "state"),
    [("done", "proposed"), ("block", "blocked"), ("release", "pending"), ("cancel", "cancelled")],
)
def test_who_has_handed_in_or_given_back_may_stop(main: Repo, task: Repo, event: str, state: str) -> None:
    append(main, "refs/fleet/task/app/42", event, {"state": state, "claim": None})
    assert tell(task, "stop", stopping(task.path)) == (0, "", "")


def test_who_has_no_task_may_stop(main: Repo, task: Repo) -> None:
    assert tell(main, "stop", stopping(main.path)) == (0, "", "")
    claim(main, holder="w2")  # it was taken over: its new holder has to hand in
    assert tell(task, "stop", stopping(task.path)) == (0, "", "")
    (common_dir(main) / "fleet" / "open").unlink()
    assert tell(task, "stop", stopping(task.path, session="x")) == (0, "", "")


# --- signs of life -------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["pre-tool-use", "post-tool-use", "stop", "session-start", "session-end"])
def test_every_call_in_a_tasks_worktree_is_a_sign_of_life_and_moves_no_ref(task: Repo, event: str) -> None:
    refs = task.run_git("for-each-ref")
    alive = git_dir(task) / "fleet-alive"
    alive.write_text("")
    os.utime(alive, (1, 1))
    (task.path / "deep" / "folder").mkdir(parents=True)
    tell(task, event, claude("Read", task.path), at=task.path / "deep" / "folder")
    sign = last_sign(git_dir(task))
    assert sign == (alive.stat().st_mtime, event)
    assert sign.at > 1
    assert task.run_git("for-each-ref") == refs
    assert task.status() == []


def test_without_a_call_there_is_no_sign(task: Repo) -> None:
    assert last_sign(git_dir(task)) is None


def test_nothing_is_written_outside_a_tasks_worktree(main: Repo, task: Repo) -> None:
    for event in ("pre-tool-use", "post-tool-use", "stop", "session-start"):
        tell(main, event, claude("Read", main.path))
    assert not (git_dir(main) / "fleet-alive").exists()
    (common_dir(main) / "fleet" / "open").unlink()
    tell(task, "post-tool-use", claude("Read", task.path))
    assert not (git_dir(task) / "fleet-alive").exists()


def test_a_session_is_told_where_it_is(main: Repo, task: Repo) -> None:
    said = tell(task, "session-start", {"source": "startup"})
    assert said.code == 0
    assert "for task app/42" in said.out
    assert "a plan is open, so nothing is edited in this worktree" in tell(main, "session-start", {}).out
    (common_dir(main) / "fleet" / "open").unlink()
    assert tell(main, "session-start", {}) == tell(task, "session-start", {}) == (0, "", "")


def test_shell_alone_decides_what_is_neither_edit_nor_stop(
    main: Repo, task: Repo, shim: Path, tmp_path: Path
) -> None:
    wire = tmp_path / "python-was-started"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch "{wire}"\n')
    python.chmod(0o755)
    text = shim.read_text().splitlines(keepends=True)
    shim.write_text("".join(f"python='{python}'\n" if line.startswith("python=") else line for line in text))
    for event in ("post-tool-use", "session-start", "session-end", "unheard-of"):
        tell(task, event, claude("Read", task.path))
    tell(main, "stop", stopping(main.path))
    assert not wire.exists()
    tell(task, "stop", stopping(task.path))
    assert wire.exists()
    wire.unlink()
    (common_dir(main) / "fleet" / "open").unlink()
    for where in (main, task):
        tell(where, "pre-tool-use", claude("Write", where.path, file_path="README.md"))
        tell(where, "stop", stopping(where.path))
    assert not wire.exists()
