"""`git fleet prompt`, and setup and teardown, through the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Fleet
from tests.support.repo import Repo


def test_a_prompt_is_shown_and_is_the_same_in_json(approved: Fleet) -> None:
    text = approved.ok("prompt", "42")
    assert text.startswith("You work on task app/42.")
    assert "\n| Print the number of pending tasks.\n" in text
    document = approved.json("prompt", "prompt", "42")
    assert (document["task_id"], document["prompt"], document["template"]) == ("app/42", text, None)


def test_in_its_worktree_a_task_need_not_be_named(approved: Fleet) -> None:
    place = Path(approved.json("claim", "claim", "43")["worktree"])
    assert f"Your worktree is {place}" in approved.ok("prompt", cwd=place)
    answer = approved("prompt")
    assert (answer.code, "not a task's worktree" in answer.err) == (2, True)


def test_a_template_of_ones_own_is_named_in_json_and_its_faults_are_one_line(
    approved: Fleet, repo: Repo
) -> None:
    config = 'version = 1\ngates = "none"\n[worker]\nprompt = "p.md"\n'
    for text in ("{{ task.id }}", "one\n{{ tsk }}"):
        for name, content in (("fleet.toml", config), ("p.md", text)):
            repo.write(name, content)
        repo.run_git("add", "fleet.toml", "p.md")
        repo.run_git("-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message", "Template")
        answer = approved("prompt", "42", "--json")
        if text == "{{ task.id }}":
            assert '"prompt":"app/42\\n","template":"p.md"' in answer.out
    assert answer.code == 2
    assert "p.md:2: 'tsk' is undefined" in answer.out
    assert "Traceback" not in answer.err


def test_a_failed_setup_and_a_failed_teardown_are_told_and_no_teardown_goes_on(
    fleet: Fleet, repo: Repo
) -> None:
    config = 'version = 1\ngates = "none"\n[worker]\nsetup = "echo no disk; exit 3"\nteardown = "exit 4"\n'
    repo.commit("Configure", {"fleet.toml": config})
    (repo.path / ".git" / "p.toml").write_text(
        'version = 1\nplan = "p"\nbase = "main"\ntitle = "P"\n[[task]]\nid = "a"\ntitle = "A"\nfiles = ["a"]\n'
    )
    fleet.ok("plan", "import", ".git/p.toml")
    assert {"echo no disk; exit 3", "exit 4"} <= set(
        fleet.json("plan-preview", "plan", "approve", "-n")["commands"]
    )
    fleet.ok("plan", "approve", "--yes")
    answer = fleet("claim", "a")
    assert answer.code == 0
    assert "setup failed: exit code 3: no disk; its log: " in answer.out + answer.err
    (note,) = fleet.json("claim", "claim", "--resume", "--worker", _holder(fleet))["notes"]
    assert note.startswith("setup failed: exit code 3: no disk")
    fleet.ok("cancel", "a")
    kept = fleet("cleanup", "a")
    assert (kept.code, "teardown failed: exit code 4; its log: " in kept.out) == (1, True)
    assert fleet.json("cleanup", "cleanup", "--no-teardown", "a")["worktrees"][0]["removed"]


def _holder(fleet: Fleet) -> str:
    holder: str = fleet.json("status", "status")["plans"][0]["tasks"][0]["holder"]
    return holder
