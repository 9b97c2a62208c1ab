"""From a plan to main, by commands alone; every JSON document on the way is what its schema says."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.support.repo import Repo


def test_from_a_plan_to_one_commit_per_task_on_main(planned: Fleet, repo: Repo) -> None:
    fleet = planned
    checked = fleet.json("plan-check", "plan", "check")
    assert [(pair["a"], pair["b"], pair["paths"]) for pair in checked["overlaps"]] == [
        ("app/42", "app/44", ["cli.py"])
    ]
    assert fleet.json("plan-preview", "plan", "approve", "--dry-run")["worktrees"] == 3
    assert fleet.json("plan-state", "plan", "approve", "--yes")["state"] == "open"
    assert [task["task_id"] for task in fleet.json("ready", "ready")["tasks"]] == [
        "app/42",
        "app/43",
        "app/44",
    ]

    claimed = fleet.json("claim", "claim", "42", "--worker", "w1")
    assert claimed["files"] == ["cli.py"]
    assert claimed["env"]["FLEET_FENCE"] == claimed["fence"]
    waiting = fleet.json("explain", "explain", "44")
    assert [reason["code"] for reason in waiting["reasons"]] == ["overlap"]

    tree = Repo(Path(claimed["worktree"]))
    fleet.json("task", "progress", "half way", "--input-tokens", "5", cwd=tree.path)
    commit = tree.commit("Count", {"cli.py": "print(42)\n"})
    handed_in = fleet.json("done", "done", "--follow-up", "Tidy up", cwd=tree.path)
    assert (handed_in["commit"], handed_in["state"]) == (commit, "proposed")
    assert handed_in["follow_ups"] == ["app/42-follow-up-1"]

    before = repo.rev("main")
    rehearsed = fleet.json("integrate", "integrate", "--dry-run")
    assert repo.rev("main") == before == rehearsed["main_before"]
    landed = fleet.json("integrate", "integrate")
    assert [one["task_id"] for one in landed["integrated"]] == ["app/42"]
    assert repo.rev("main") == landed["main_after"] == landed["integrated"][0]["commit"]
    assert repo.run_git("log", "-1", "--format=%s", "main") == "Count"

    (plan,) = fleet.json("status", "status")["plans"]
    assert plan["counts"] == {"integrated": 1, "pending": 2}
    events = [event["event"] for event in fleet.json("log", "log", "42")["events"]]
    assert events == ["claim", "progress", "done", "uphold", "integrate"]


def test_a_conflict_ends_with_exit_code_one_and_names_the_paths(approved: Fleet, repo: Repo) -> None:
    claimed = approved.json("claim", "claim", "42", "--worker", "w1")
    Repo(Path(claimed["worktree"])).commit("Mine", {"cli.py": "print('mine')\n"})
    approved.ok("done", cwd=Path(claimed["worktree"]))
    repo.commit("Theirs", {"cli.py": "print('theirs')\n"})
    document = approved.json("integrate", "integrate", code=1)
    assert [(one["reason"], one["paths"]) for one in document["ejected"]] == [("conflict", ["cli.py"])]
    again = approved.json("claim", "claim", "42", "--worker", "w1")
    assert (again["attempt"], again["conflicts"]) == (2, ["cli.py"])
    (found,) = again["findings"]
    assert (found["source"], found["path"]) == ("conflict", "cli.py")
    tree = Path(again["worktree"])
    text = approved.ok("claim", "--resume", cwd=tree)
    assert "conflicts with main in cli.py" in text
    assert "note: edit them; git add" in text
    assert "conflicts with main in cli.py" in approved.ok("explain", cwd=tree)
    assert approved("done", cwd=tree).code == 4
    Repo(tree).commit("Both", {"cli.py": "print('both')\n"})
    assert approved.json("done", "done", cwd=tree)["number"] == 2
    assert approved.json("integrate", "integrate")["integrated"]


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        ([["renew", "43"]], "claimed"),
        ([["release", "43"]], "pending"),
        ([["block", "43", "no api", "--code", "missing-api"]], "blocked"),
        ([["block", "43", "no api", "--code", "missing-api"], ["unblock", "43"]], "rework"),
        ([["block", "43", "no api", "--code", "missing-api"], ["shelve", "43"]], "pending"),
        ([["cancel", "43", "-m", "not needed"]], "cancelled"),
        ([["cancel", "43"], ["reopen", "43"]], "pending"),
    ],
)
def test_a_tasks_life_by_commands(approved: Fleet, commands: list[list[str]], state: str) -> None:
    approved.ok("claim", "43", "--no-worktree", "--worker", "w1")
    for command in commands:
        document = approved.json("task", *command, "--worker", "w1")
    assert document["task_id"] == "app/43"
    assert document["state"] == state


def test_a_person_sends_a_proposal_back_and_takes_the_next(approved: Fleet) -> None:
    for verdict, state in (
        (["reject", "43", "--finding", "too short"], "rework"),
        (["accept", "43"], "verified"),
    ):
        claimed = approved.json("claim", "claim", "43", "--worker", "w1")
        tree = Path(claimed["worktree"])
        Repo(tree).commit("Docs", {"CHANGELOG.md": f"{state}\n"})
        approved.ok("done", cwd=tree)
        assert approved.json("task", *verdict)["state"] == state
    assert [finding["text"] for finding in claimed["findings"]] == ["too short"]
    assert approved.json("task", "withdraw", cwd=tree)["state"] == "rework"


def test_nothing_to_claim_is_an_answer_with_exit_code_one(approved: Fleet) -> None:
    approved.ok("claim", "--no-worktree", "--label", "docs", "--worker", "w1")
    document = approved.json("claim", "claim", "--label", "docs", code=1)
    assert document["task_id"] is None
    assert document["reason"] == "waiting"
    answer = approved("claim", "--label", "docs")
    assert (answer.code, answer.err) == (1, "")
    assert answer.out.startswith("nothing to claim (waiting): ")


def test_a_task_held_by_another_is_exit_code_three(approved: Fleet) -> None:
    approved.ok("claim", "43", "--no-worktree", "--worker", "w1")
    assert approved.json("error", "claim", "43", "--worker", "w2", code=3)["error"]["code"] == "held"


def test_resume_finds_the_task_i_hold(approved: Fleet) -> None:
    first = approved.json("claim", "claim", "43", "--worker", "w1")
    again = approved.json("claim", "claim", "--resume", "--worker", "w1")
    assert (again["fence"], again["worktree"]) == (first["fence"], first["worktree"])
    assert approved("claim", "--resume", "--worker", "w2").code == 1


def test_siblings_path_and_worktrees_know_the_claim(approved: Fleet) -> None:
    claimed = approved.json("claim", "claim", "43", "--worker", "w1")
    others = approved.json("siblings", "siblings", cwd=Path(claimed["worktree"]))["tasks"]
    assert [task["task_id"] for task in others] == ["app/42", "app/44"]
    assert len(approved.json("siblings", "siblings", "app")["tasks"]) == 3
    assert approved.json("path", "path", "43")["path"] == claimed["worktree"]
    assert approved.ok("path", "43") == claimed["worktree"] + "\n"
    (row,) = approved.json("worktree-list", "worktree", "list")["worktrees"]
    assert (row["task_id"], row["path"], row["dirty"]) == ("app/43", claimed["worktree"], 0)


def test_a_path_that_is_not_utf_8_is_printed_byte_for_byte(approved: Fleet, repo: Repo) -> None:
    folder = repo.path.parent / os.fsdecode(b"n\xefve")
    folder.mkdir()
    moved = repo.path.rename(folder / "repo")
    claimed = approved.json("claim", "claim", "43", "--worker", "w1", cwd=moved)
    assert claimed["worktree"].startswith(str(folder))
    assert approved.ok("path", "43", cwd=moved) == claimed["worktree"] + "\n"
    assert "n\\xefve" in approved.ok("worktree", "list", cwd=moved)


def test_the_lead_is_taken_shown_and_given_up(approved: Fleet) -> None:
    assert approved.json("lead", "lead", "show")["holder"] is None
    assert approved.json("lead", "lead", "acquire")["mine"] is True
    assert approved.json("lead", "lead", "release")["holder"] is None


def test_the_texts_of_an_event_are_shown_by_the_start_of_its_id(approved: Fleet, repo: Repo) -> None:
    approved.ok("claim", "43", "--no-worktree", "--worker", "w1")
    repo.write(".git/out.txt", "red: 3 tests\n")
    approved.ok("progress", "43", "tests next", "--log", ".git/out.txt", "--worker", "w1")
    event = approved.json("log", "log", "43")["events"][-1]["oid"]
    assert approved.json("log-event", "log", "43", "--event", event[:10])["texts"] == {
        "log": "red: 3 tests\n"
    }
    assert approved("log", "43", "--event", "f" * 40).code == 2


def test_a_report_may_come_from_standard_input(
    fleet: Fleet, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = 'version = 1\nplan = "audit"\n[[task]]\nid = "a"\ntitle = "Look"\noutput = "report"\n'
    repo.write(".git/audit.toml", plan)
    fleet.ok("plan", "import", ".git/audit.toml")
    fleet.ok("plan", "approve", "--yes")
    fleet.ok("claim", "--no-worktree", "--worker", "w1")
    source = repo.write(".git/result", "no leak found")
    with source.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        document = fleet.json("done", "done", "a", "--result", "-", "--worker", "w1")
    assert document["commit"] is None
    assert "no leak found" in fleet.ok("log", "a")


def test_where_the_lead_commits_a_worker_is_not_told_to(approved: Fleet, repo: Repo) -> None:
    assert "commit on the branch" in approved.ok("claim", "43")
    repo.commit("Mode", {"fleet.toml": 'version = 1\ngates = "none"\nmode = "lead-commits"\n'})
    assert "commit nothing" in approved.ok("claim", "42")


def handed_in(fleet: Fleet, task: str, files: dict[str, str]) -> None:
    """Claim, commit and hand in."""
    where = Path(fleet.json("claim", "claim", task, "--worker", "w1")["worktree"])
    Repo(where).commit("Work", files)
    fleet.ok("done", cwd=where)


def test_what_was_integrated_is_published_by_the_command_that_integrate_names(
    approved: Fleet, repo: Repo, tmp_path: Path
) -> None:
    approved.ok("init")
    handed_in(approved, "42", {"cli.py": "print(42)\n"})
    assert "next:" not in approved.ok("integrate")
    hub = tmp_path / "the hub.git"
    repo.run_git("clone", "-q", "--bare", ".", str(hub))
    repo.run_git("remote", "add", "hub", str(hub))
    handed_in(approved, "43", {"README.md": "# The docs\n"})
    assert approved.json("integrate", "integrate", "-n")["next"] is None
    assert approved.ok("integrate").endswith("\nnext: git push hub main\n")
    repo.run_git("push", "hub", "main")
    assert Repo(hub).rev("main") == repo.rev("main")


def test_a_branch_is_published_where_it_is_pushed_to(approved: Fleet, repo: Repo) -> None:
    for name in ("fork", "origin"):
        repo.run_git("remote", "add", name, "/nowhere")
    handed_in(approved, "42", {"cli.py": "print(42)\n"})
    assert approved.json("integrate", "integrate")["next"] == "git push origin main"
    repo.run_git("config", "branch.main.pushRemote", "fork")
    handed_in(approved, "43", {"README.md": "# The docs\n"})
    assert approved.json("integrate", "integrate")["next"] == "git push fork main"


def test_without_a_gate_the_hint_is_toml_that_can_be_pasted(approved: Fleet, repo: Repo) -> None:
    repo.commit("No gate", {"fleet.toml": "version = 1\n"})
    handed_in(approved, "42", {"cli.py": "print(42)\n"})
    said = approved("integrate").err
    table = said[said.index("[[gate]]") :].partition("\n\n")[0]
    assert tomllib.loads(table) == {"gate": [{"name": "tests", "run": "make test"}]}


def test_the_progress_of_an_integration_names_the_gates(approved: Fleet, repo: Repo) -> None:
    repo.commit("Gate", {"fleet.toml": 'version = 1\ngate = [{ name = "lint", run = "true" }]\n'})
    handed_in(approved, "42", {"cli.py": "print(42)\n"})
    answer = approved("integrate")
    assert "app/42: gates: lint\n" in answer.err
    assert "warning: main has 1 commit that no integration made" in answer.out


def test_a_queue_that_watches_answers_for_each_round_and_a_task_is_taken_back(
    approved: Fleet, repo: Repo
) -> None:
    for name in ("43", "44"):
        approved.ok("cancel", name)
    handed_in(approved, "42", {"cli.py": "print(42)\n"})
    (landed,) = approved.ok("integrate", "--watch", "--jobs", "2", "--json").splitlines()
    assert [one["task_id"] for one in json.loads(landed)["integrated"]] == ["app/42"]
    rehearsed = approved.json("revert", "revert", "42", "-n")
    assert repo.rev("main") == rehearsed["main_before"] != rehearsed["main_after"]
    answer = approved.ok("revert", "42", "-m", "not now")
    assert answer.startswith("✓ app/42 is reverted: ")
    assert repo.run_git("show", "-s", "--format=%s", "main") == 'Revert "Work"'
    assert approved.json("error", "revert", "42", code=3)["error"]["hint"] == "git fleet log app/42"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--batch", "--jobs", "2"), "--batch gates one candidate at a time: leave --jobs out"),
        (
            ("--watch", "--dry-run"),
            "--watch brings things to main, --dry-run does not: leave one of them out",
        ),
        (("--jobs", "0"), "Invalid value for '--jobs': 0 is not in the range 1<=x<=64."),
    ],
)
def test_options_of_the_queue_that_contradict_each_other_are_refused(
    approved: Fleet, repo: Repo, options: tuple[str, ...], why: str
) -> None:
    handed_in(approved, "42", {"cli.py": "print(42)\n"})
    before = repo.refs()
    assert approved.json("error", "integrate", *options, code=2)["error"]["message"] == why
    assert repo.refs() == before
