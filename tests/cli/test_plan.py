"""Plans by commands: written in an editor, added to, shown, exported, approved by a person."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from git_fleet.core.model import Finding
from tests.cli.conftest import PLAN, Fleet
from tests.support.fleet import claimed, on_task, open_fleet, proposed
from tests.support.repo import Repo


def editor(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """An editor that runs `code` on its file, `path`."""
    script = f"import pathlib, sys; path = pathlib.Path(sys.argv[1]); {code}"
    monkeypatch.setenv("GIT_EDITOR", shlex.join([sys.executable, "-c", script]))


def test_a_new_plan_is_written_in_the_editor(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(monkeypatch, "path.write_text(path.read_text().replace('src/**', 'cli.py'))")
    made = fleet.json("plan-saved", "plan", "new", "first")
    assert (made["plan"], made["tasks"], made["created"]) == ("first", 1, True)
    shown = fleet.json("plan-show", "plan", "show")
    assert shown["tasks"][0]["files"] == ["cli.py"]
    assert shown["approved"] is False


def test_a_template_left_as_it_is_stores_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_EDITOR", "true")
    assert fleet("plan", "new", "first").code == 1
    assert fleet.json("plan-list", "plan", "list")["plans"] == []


def test_a_plan_that_is_there_is_not_begun_anew(planned: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(monkeypatch, "raise SystemExit('it was opened')")
    answer = planned("plan", "new", "APP")
    assert (answer.code, answer.err.splitlines()[1]) == (2, "hint: git fleet plan edit app, or another name")


def test_a_text_that_cannot_be_stored_is_kept(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(monkeypatch, "path.write_text(path.read_text() + 'colour = 1\\n')")
    answer = fleet("plan", "new", "first")
    assert answer.code == 2
    kept = Path(answer.err.split("kept in ")[1].split(";")[0])
    assert "colour = 1" in kept.read_text(encoding="utf-8")


def test_an_editor_may_take_the_file_away_or_leave_more_beside_it(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(monkeypatch, "path.unlink()")
    gone = fleet("plan", "new", "app")
    assert (gone.code, "left no text" in gone.err) == (2, True)
    editor(monkeypatch, "path.write_text(path.read_text() + '# more\\n'); (path.parent / '.d').mkdir()")
    assert fleet("plan", "new", "app").code == 0


def test_a_plan_with_carriage_returns_that_is_left_as_it_is_is_no_new_revision(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fleet.path / "plan.toml").write_bytes(PLAN.replace("\n", "\r\n").encode())
    assert fleet("plan", "import", "plan.toml").code == 0
    monkeypatch.setenv("GIT_EDITOR", "true")
    assert "left as it is" in fleet("plan", "edit", "app").err


def test_an_editor_that_fails_stores_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_EDITOR", "false")
    answer = fleet("plan", "new", "first")
    assert answer.code == 2
    assert "ended with 1" in answer.err
    monkeypatch.setenv("GIT_EDITOR", "no-such-editor")
    assert "cannot be started" in fleet("plan", "new", "first").err


def test_an_edited_plan_is_the_next_revision(planned: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(monkeypatch, "path.write_text(path.read_text().replace('count', 'sum'))")
    assert planned.json("plan-saved", "plan", "edit")["created"] is False
    assert 'title = "Add a sum command"' in planned.ok("plan", "show")


def test_a_task_is_added_with_all_that_was_said(planned: Fleet) -> None:
    planned.json(
        "plan-saved", "plan", "add", "app", "--id", "45", "--title", "Add undo", "--files", "undo.py",
        "--needs", "42", "--label", "cli", "--accept", "true", "--priority", "2", "--hold",
    )  # fmt: skip
    task = planned.json("plan-show", "plan", "show")["tasks"][-1]
    assert task["task_id"] == "app/45"
    assert (task["files"], task["needs"], task["labels"]) == (["undo.py"], ["app/42"], ["cli"])
    assert (task["accept"], task["priority"], task["hold"]) == (["true"], 2, True)


def test_a_report_is_added_without_files(planned: Fleet) -> None:
    planned.ok("plan", "add", "app", "--id", "46", "--title", "Audit", "--report")
    assert planned.json("plan-show", "plan", "show")["tasks"][-1]["output"] == "report"


def test_a_plan_is_exported_byte_for_byte(planned: Fleet) -> None:
    assert planned.ok("plan", "export") == PLAN
    assert planned.json("plan-export", "plan", "export")["toml"] == PLAN


def test_a_plan_may_come_from_standard_input(
    fleet: Fleet, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = repo.write(".git/plan", PLAN)
    with source.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert fleet.json("plan-saved", "plan", "import", "-", "--plan", "other")["plan"] == "other"


def test_a_rehearsed_import_stores_nothing(fleet: Fleet, repo: Repo) -> None:
    repo.write(".git/plan.toml", PLAN)
    made = fleet.json("plan-saved", "plan", "import", ".git/plan.toml", "--dry-run")
    assert (made["tasks"], made["revision"], made["created"]) == (3, None, True)
    assert fleet.ok("plan", "import", ".git/plan.toml", "-n") == "plan app can be stored: 3 tasks onto main\n"
    assert fleet.json("plan-list", "plan", "list")["plans"] == []


def test_strict_checking_ends_with_one_when_tasks_collide(planned: Fleet) -> None:
    assert planned("plan", "check").code == 0
    assert planned("plan", "check", "--strict").code == 1


def test_approving_is_never_asked_off_a_terminal(planned: Fleet) -> None:
    answer = planned("plan", "approve")
    assert answer.code == 2
    assert answer.err.endswith("hint: git fleet plan approve app --yes\n")
    assert planned.json("plan-list", "plan", "list")["plans"][0]["state"] == "draft"


@pytest.mark.parametrize(
    ("said", "code", "state"), [("y\n", 0, "open"), ("n\n", 1, "draft"), ("\n", 1, "draft")]
)
def test_a_person_on_a_terminal_is_shown_what_will_run_and_asked(
    planned: Fleet, said: str, code: int, state: str
) -> None:
    master, terminal = pty.openpty()
    os.write(master, said.encode())
    done = subprocess.run(
        [sys.executable, "-m", "git_fleet", "plan", "approve"],
        cwd=planned.path,
        stdin=terminal,
        stderr=terminal,
        stdout=subprocess.PIPE,
        check=False,
    )
    os.close(terminal)
    shown = b""
    while b"Approve plan app?" not in shown:
        shown += os.read(master, 4096)
    os.close(master)
    assert b"Commands that will run" in shown
    assert done.returncode == code
    assert planned.json("plan-list", "plan", "list")["plans"][0]["state"] == state


def test_what_was_changed_while_the_question_stood_is_not_approved(planned: Fleet) -> None:
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "git_fleet", "plan", "approve"],
        cwd=planned.path,
        stdin=terminal,
        stderr=terminal,
    ) as asking:
        os.close(terminal)
        shown = b""
        while b"Approve plan app?" not in shown:
            shown += os.read(master, 4096)
        planned.ok("plan", "add", "app", "--id", "99", "--title", "Another", "--files", "x")
        os.write(master, b"y\n")
        while b"changed while you were looking" not in shown:
            shown += os.read(master, 4096)
        assert asking.wait() == 3
    os.close(master)
    assert planned.json("plan-list", "plan", "list")["plans"][0]["state"] == "draft"


def test_what_was_found_outside_of_a_task_is_drafted_from_the_command_line(
    approved: Fleet, repo: Repo
) -> None:
    found = (Finding("\x1b[31mRed.", "verifier:v/docs", "docs/x", "docs"), Finding("Why?", "v", outside=True))
    with open_fleet(repo) as session:
        name = str(next(iter(session.snapshot().tasks)))
        claimed(session, name)
        proposed(session, name)
        on_task(session, "reject", name, reason="rejected", findings=found)
    add = ("plan", "add", "--from-findings")
    would = approved.json("plan-saved", *add, "--dry-run")
    assert (would["revision"], [each["title"] for each in would["drafted"]]) == (None, ["Red.", "Why?"])
    text = approved.ok(*add)
    assert "docs/x" in text
    assert "git fleet plan approve app" in text
    again = approved.json("plan-saved", *add, name)
    assert (again["drafted"], again["tasks"]) == ([], would["tasks"])
    assert "not drafted yet" in approved.ok(*add)
    assert approved(*add, "--title", "T").code == 2
    assert approved("plan", "add", "app").code == 2


def test_one_task_is_added_and_a_dry_run_adds_none(planned: Fleet) -> None:
    add = ("plan", "add", "app", "--id", "99", "--title", "Another", "--files", "x")
    would = planned.json("plan-saved", *add, "--dry-run")
    before = planned.json("plan-show", "plan", "show")["revision"]
    assert (would["revision"], planned.json("plan-saved", *add)["tasks"]) == (None, would["tasks"])
    assert planned.json("plan-show", "plan", "show")["revision"] != before


def test_an_agent_may_not_approve(planned: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    assert planned.json("error", "plan", "approve", "--yes", code=4)["error"]["code"] == "denied"


def test_a_plan_is_named_in_any_case(planned: Fleet) -> None:
    assert planned.json("plan-show", "plan", "show", "APP")["plan"] == "app"
    assert "| " in planned.ok("plan", "export", "APP", "--format", "markdown")
    planned.ok("plan", "approve", "APP", "--yes")
    assert [each["state"] for each in planned.json("plan-list", "plan", "list")["plans"]] == ["open"]
    assert planned.ok("plan", "pause", "App").startswith("plan app is paused")


def test_a_closed_plan_is_neither_shown_for_approval_nor_opened_in_the_editor(
    approved: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved.ok("plan", "close", "app")
    editor(monkeypatch, "raise SystemExit('it was opened')")
    for command in (["approve"], ["approve", "--yes"], ["approve", "-n"], ["edit"]):
        answer = approved("plan", *command, "app")
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == (
            "git-fleet: plan app is closed, and its id is never used again\n"
            "hint: git fleet plan import FILE --plan ID\n"
        )


def test_a_plan_is_paused_resumed_and_closed(approved: Fleet) -> None:
    paused = approved.json("plan-state", "plan", "pause", "-m", "lunch")
    assert (paused["state"], paused["reason"]) == ("paused", "lunch")
    assert approved.json("claim", "claim", code=1)["reason"] == "paused"
    assert approved.json("plan-state", "plan", "resume")["state"] == "open"
    assert approved.json("plan-state", "plan", "close", "app")["state"] == "closed"
    assert [plan["state"] for plan in approved.json("plan-list", "plan", "list")["plans"]] == ["closed"]


def planner_says(repo: Repo, answer: str) -> None:
    """The planner that is configured prints this."""
    run = shlex.quote(f"printf %s {shlex.quote(answer)}")
    repo.commit(
        "Planner",
        {
            "fleet.toml": f"version = 1\ngates = 'none'\n[planner]\nrun = ['sh', '-c', {json.dumps(shlex.split(run)[0])}]\n"
        },
    )


def test_a_description_is_drafted_by_the_planner(
    fleet: Fleet, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner_says(repo, PLAN)
    made = fleet.json("plan-draft", "plan", "draft", "Three commands", "--plan", "mine")
    assert (made["plan"], made["tasks"], made["check"]["problems"]) == ("mine", 3, [])
    answer = fleet("plan", "draft", "Three commands")
    assert (answer.code, answer.err) == (0, "asks the planner\nchecks its answer\n")
    assert "plan app is stored as a draft: 3 tasks" in answer.out
    assert "app/42" in answer.out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"From a file")))
    assert fleet("plan", "draft", "-").code == 0


def test_no_work_for_several_is_an_answer(fleet: Fleet, repo: Repo) -> None:
    planner_says(repo, '{"fan_out": false, "reason": "one line"}')
    assert fleet.json("plan-draft", "plan", "draft", "x", code=1)["reason"] == "one line"
    assert fleet("plan", "draft", "x").out == "this is no work for several: one line\nnothing is stored\n"
    assert fleet.json("plan-list", "plan", "list")["plans"] == []


def test_without_a_planner_it_is_said_how_to_have_one(fleet: Fleet) -> None:
    answer = fleet("plan", "draft", "x")
    assert answer.code == 2
    assert "no planner is configured" in answer.err
    assert "[planner]" in answer.err
