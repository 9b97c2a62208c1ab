"""`git fleet status` for scripts, prompts and pipes, and its answers to what cannot be asked."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from git_fleet import oneline
from git_fleet.errors import FleetError
from tests.cli.conftest import Fleet
from tests.project.imports import brought_in, third_party
from tests.support.repo import Repo

PROBE = """
import sys
sys.argv = ["git-fleet", "status", "--line"]
from git_fleet.__main__ import main
try:
    main()
finally:
    print(sorted({"click", "git_fleet.cli", "git_fleet.app"} & set(sys.modules)), file=sys.stderr)
"""


def test_the_json_has_signs_of_life_waves_and_steps(approved: Fleet) -> None:
    approved.ok("claim", "42", "--worker", "ann")
    document = approved.json("status", "status")
    (plan,) = document["plans"]
    assert (plan["wave"], plan["waves"]) == (0, 2)
    claimed, free, waits = plan["tasks"]
    assert claimed["claimed_at"] <= claimed["seen_at"] <= document["at"]
    assert (free["claimed_at"], free["seen_at"], free["wave"], waits["wave"]) == (None, None, 0, 1)
    assert document["steps"][0] == {"command": "git fleet claim", "why": "there is a task to claim"}
    assert document["next"] == "git fleet claim"


def test_one_plan_can_be_asked_for_also_when_it_is_closed(approved: Fleet, repo: Repo) -> None:
    repo.write("web.toml", 'version = 1\nplan = "web"\n[[task]]\nid = "x"\ntitle = "X"\nfiles = ["web/**"]\n')
    approved.ok("plan", "import", "web.toml")
    approved.ok("plan", "approve", "web", "--yes")
    repo.path.joinpath("web.toml").unlink()
    both = [plan["plan"] for plan in approved.json("status", "status")["plans"]]
    assert both == ["app", "web"]
    (web,) = approved.json("status", "status", "WEB")["plans"]
    assert [task["task_id"] for task in web["tasks"]] == ["web/x"]
    assert "app" not in approved.ok("status", "web").split("next:")[0]
    approved.ok("cancel", "web/x")
    approved.ok("plan", "close", "web")
    assert [plan["plan"] for plan in approved.json("status", "status")["plans"]] == ["app"]
    assert [plan["plan"] for plan in approved.json("status", "status", "--all")["plans"]] == ["app", "web"]
    (web,) = approved.json("status", "status", "web")["plans"]
    assert (web["state"], web["counts"]) == ("closed", {"cancelled": 1})
    assert "cancelled" in approved.ok("status", "web")
    answer = approved("status", "wob")
    assert (answer.code, answer.err.split("\n")[0]) == (2, "git-fleet: there is no plan wob")
    assert approved("status", "web", "--workspace").code == 2


def test_porcelain_is_lines_and_with_z_they_end_with_nul(approved: Fleet) -> None:
    lines = approved.ok("status", "--porcelain").split("\n")
    assert lines[0] == "version 1"
    assert [each for each in lines if each.startswith("task ")] == [
        "task app/42",
        "task app/43",
        "task app/44",
    ]
    assert approved.ok("status", "--porcelain=1").split("\n")[0] == "version 1"
    ended = approved.ok("status", "--porcelain", "-z")
    assert [each for each in ended.split("\0") if each.startswith("task ")] == [
        "task app/42", "task app/43", "task app/44",
    ]  # fmt: skip
    assert "\n" not in ended


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--porcelain", "--line"], "--line and --porcelain: one at a time"),
        (["--porcelain", "--json"], "--porcelain and --json: one at a time"),
        (["--watch", "--porcelain"], "--watch and --porcelain: one at a time"),
        (["-z"], "-z goes with --porcelain"),
        (["--porcelain=2"], "'2' is not '1'"),
    ],
)
def test_what_does_not_go_together_is_refused(approved: Fleet, arguments: list[str], said: str) -> None:
    answer = approved("status", *arguments)
    assert answer.code == 2
    assert said in answer.out + answer.err


def test_a_pipe_gets_no_colour_and_no_line_is_cut(approved: Fleet) -> None:
    shown = approved.ok("status")
    assert "\x1b" not in shown
    assert "app/44  pending" in shown


# --- one line ------------------------------------------------------------------------------------


def line(path: Path) -> str | None:
    return oneline.line(path, datetime.now(UTC))


def test_the_line_says_the_same_the_short_and_the_long_way(approved: Fleet) -> None:
    approved.ok("claim", "42", "--worker", "ann")
    approved.ok("cancel", "43")
    assert line(approved.path) == "app 0/2, 1 claimed"
    assert approved.ok("status", "--line") == "app 0/2, 1 claimed\n"
    there = Path(approved.ok("path", "42").strip())
    assert line(there) == "app/42 claimed; app 0/2, 1 claimed"
    assert approved.ok("status", "--line", cwd=there) == "app/42 claimed; app 0/2, 1 claimed\n"
    approved.ok("plan", "pause", "app")
    assert line(approved.path) == "app (paused) 0/2, 1 claimed"
    assert approved.ok("status", "--line") == "app (paused) 0/2, 1 claimed\n"


def test_the_line_of_a_claim_that_has_run_out(approved: Fleet) -> None:
    approved.ok("claim", "42", "--worker", "ann", "--no-worktree")
    later = datetime.now(UTC).replace(year=datetime.now(UTC).year + 1)
    assert oneline.line(approved.path, later) == "app 0/3, 1 expired"


def test_where_nothing_is_planned_the_line_is_empty(fleet: Fleet) -> None:
    assert line(fleet.path) == ""
    assert fleet.ok("status", "--line") == ""


def test_a_plan_that_was_not_parsed_here_is_left_to_the_long_way(approved: Fleet, repo: Repo) -> None:
    (cached,) = (repo.path / ".git" / "fleet" / "cache").glob("plan-*.json")
    kept = cached.read_text()
    cached.unlink()
    assert line(approved.path) is None
    assert approved.ok("status", "--line") == "app 0/3\n"
    cached.write_text(kept[:100])
    assert line(approved.path) is None


def test_elsewhere_the_error_is_the_usual_one(tmp_path: Path) -> None:
    with pytest.raises(FleetError):
        line(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "git_fleet", "status", "--line"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not in a git repository" in done.stderr


def test_a_prompt_waits_for_no_library() -> None:
    assert third_party("git_fleet.oneline") == set()
    found = brought_in("git_fleet.oneline")
    assert "json" in found
    assert not {"dataclasses", "tempfile", "shutil", "git_fleet.core.model"} & found


def test_the_program_takes_the_short_way(approved: Fleet) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=approved.path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("app 0/3\n", "[]\n")


@pytest.mark.parametrize(
    "command",
    ["integrate APP --dry-run", "log App", "siblings APP", "plan add --from-findings APP -n", "run APP -n"],
)
def test_a_plan_may_be_named_in_capitals_wherever_a_task_may_be_named(approved: Fleet, command: str) -> None:
    spoken = approved(*command.split())
    assert "no task" not in spoken.err
    assert "no plan" not in spoken.err
