"""Issues from elsewhere by commands: imported, exported, closed where they came from."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.app.importers.test_backlog import task_file
from tests.app.importers.test_beads import bead, dep, lines
from tests.app.importers.test_github import REPO, issue
from tests.cli.conftest import PLAN, Fleet
from tests.support import gh
from tests.support.fleet import claimed, integrated, open_fleet, proposed
from tests.support.repo import Repo

ISSUES = [
    issue(1, "## Files\n- `cli.py`"),
    issue(2, "Files: `docs/**`\n\nDepends on #1 and #3"),
    issue(3, state="CLOSED"),
]


@pytest.fixture
def from_github(fleet: Fleet, repo: Repo) -> Fleet:
    """With a plan of two issues of GitHub, open."""
    repo.write(".git/issues.json", json.dumps(ISSUES))
    fleet.ok("plan", "import", ".git/issues.json", "--plan", "p")
    fleet.ok("plan", "approve", "--yes")
    return fleet


def done(repo: Repo, name: str) -> None:
    with open_fleet(repo) as session:
        claimed(session, name)
        proposed(session, name, {"cli.py": "print(1)\n"})
        integrated(session, name)


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Standard input that holds this."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))


def test_issues_of_github_are_imported_as_they_are_printed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, json.dumps(ISSUES))
    made = fleet.json("plan-saved", "plan", "import", "-", "--plan", "p")
    assert (made["tasks"], made["created"]) == (2, True)
    first, second = fleet.json("plan-show", "plan", "show")["tasks"]
    assert (first["files"], second["files"], second["needs"]) == (["cli.py"], ["docs/**"], ["p/1"])
    assert first["extra"] == {"github": {"number": 1, "url": f"{REPO}1"}}
    assert fleet.ok("plan", "show").startswith("# left out, being done: 3\n")


def test_issues_without_the_name_of_a_plan_are_told_what_to_say(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, json.dumps(ISSUES))
    answer = fleet("plan", "import", "-")
    assert answer.code == 2
    assert answer.err.endswith("git fleet plan import - --plan ID\n")


def test_a_draft_may_lack_files_and_approving_it_may_not(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, json.dumps([issue(1)]))
    fleet.ok("plan", "import", "-", "--plan", "p")
    answer = fleet("plan", "approve", "--yes")
    assert answer.code == 2
    assert "p/1: files: missing" in answer.err


def test_a_folder_of_backlog_is_imported(fleet: Fleet, repo: Repo) -> None:
    for number, needs in ((1, "[]"), (2, "[task-1]")):
        repo.write(f".git/backlog/tasks/task-{number} - x.md", task_file(number, needs))
    fleet.ok("plan", "import", ".git/backlog", "--plan", "p")
    assert [task["needs"] for task in fleet.json("plan-show", "plan", "show")["tasks"]] == [[], ["p/task-1"]]
    answer = fleet("plan", "import", ".git/refs", "--plan", "q")
    assert (answer.code, "refs: no task files in this folder" in answer.err) == (2, True)


def test_a_format_may_be_named(fleet: Fleet, repo: Repo) -> None:
    repo.write(".git/x.txt", lines(bead("a")))
    fleet.ok("plan", "import", ".git/x.txt", "--format", "beads", "--plan", "p")
    answer = fleet("plan", "import", ".git/x.txt", "--format", "yaml", "--plan", "p")
    allowed = "toml, json, markdown, github, beads, backlog, taskmaster"
    assert answer.err.splitlines()[0] == f"git-fleet: format: found 'yaml'; allowed: {allowed}"


def test_a_plan_is_exported_as_a_table_that_is_imported_again(planned: Fleet, repo: Repo) -> None:
    answer = planned("plan", "export", "--format", "markdown")
    assert answer.out.splitlines()[4:] == [
        "| #42 Add a count command |  |  | `cli.py` | none | draft |",
        "| #43 Write the docs |  |  | `README.md`, `CHANGELOG.md` | none | draft |",
        "| #44 Add a clear command |  |  | `cli.py` | none | draft |",
    ]
    assert answer.err == "note: markdown has no place for: prompt, labels\n"
    repo.write(".git/again.md", answer.out)
    planned.ok("plan", "import", ".git/again.md")
    first, again = (planned.json("plan-show", "plan", "show", name) for name in ("app", "again"))
    kept = ("title", "slug", "files", "needs")
    assert [[task[key] for key in kept] for task in again["tasks"]] == [
        [task[key] for key in kept] for task in first["tasks"]
    ]
    exported = planned.json("plan-export", "plan", "export", "app", "--format", "markdown")
    assert (exported["text"], exported["toml"]) == (answer.out, PLAN)
    assert exported["left_out"] == ["prompt", "labels"]


def test_the_table_says_where_tasks_stand_after_the_plan_is_closed_too(
    from_github: Fleet, repo: Repo
) -> None:
    done(repo, "1")
    ends = ["| integrated |", "| pending |"]
    assert [line[-len(end) :] for line, end in zip(_rows(from_github), ends, strict=True)] == ends
    from_github.ok("plan", "close", "p")
    assert [line[-len(end) :] for line, end in zip(_rows(from_github), ends, strict=True)] == ends


def _rows(fleet: Fleet) -> list[str]:
    return fleet.ok("plan", "export", "p", "--format", "markdown").splitlines()[4:]


def test_beads_go_through_a_plan_and_back_with_what_became_of_them(fleet: Fleet, repo: Repo) -> None:
    own: dict[str, Any] = {"git_fleet": {"owned": ["cli.py"]}, "theirs": [None]}
    entries = [
        bead("bd-1", metadata=own, owner="ada"),
        bead("bd-2", dependencies=[dep("bd-1", created_by="ada")]),
    ]
    entries[1]["metadata"] = {"git_fleet": {"owned": ["docs/**"]}}
    repo.write(".git/issues.jsonl", lines(*entries))
    fleet.ok("plan", "import", ".git/issues.jsonl", "--plan", "p")
    assert _beads(fleet) == entries
    fleet.ok("plan", "approve", "--yes")
    done(repo, "bd-1")
    first, second = _beads(fleet)
    assert first == {**entries[0], "status": "closed", "closed_at": first["closed_at"]}
    assert second == entries[1]


def _beads(fleet: Fleet) -> list[dict[str, Any]]:
    return [json.loads(line) for line in fleet.ok("plan", "export", "p", "--format", "beads").splitlines()]


def test_a_format_that_cannot_be_written_is_refused(planned: Fleet) -> None:
    answer = planned("plan", "export", "--format", "github")
    assert (answer.code, answer.out) == (2, "")
    assert "format: found 'github'; allowed: toml, markdown, beads" in answer.err


def test_issues_are_named_and_closed_when_asked(
    from_github: Fleet, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = gh.stand_in(tmp_path / "bin", monkeypatch)
    assert "no issue of plan p is done" in from_github.ok("plan", "sync-issues")
    done(repo, "1")
    said = from_github.ok("plan", "sync-issues")
    assert f"github {REPO}1  p/1    to close" in said
    assert said.endswith("next: git fleet plan sync-issues p --apply   closes 1 issue\n")
    assert hub.calls() == []
    answer = from_github("plan", "sync-issues", "--apply")
    assert (answer.code, "failed" in answer.out, "no such issue" in answer.out) == (1, True, True)
    hub.issue(1)
    closed = from_github.json("plan-sync-issues", "plan", "sync-issues", "p", "--apply")
    assert [(one["reference"], one["state"]) for one in closed["issues"]] == [(f"{REPO}1", "closed")]
    assert "was closed already" in from_github.ok("plan", "sync-issues", "--apply")
    assert hub.now(1)["state"] == "CLOSED"


def test_without_gh_the_commands_are_printed(
    from_github: Fleet, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(repo, "1")
    gh.without(monkeypatch, tmp_path / "bin")
    for options, code in (([], 0), (["--apply"], 1)):
        answer = from_github("plan", "sync-issues", *options)
        assert answer.code == code
        before, _, commands = answer.out.partition("gh is not installed; where it is, these close them:\n")
        assert "to close" in before
        words = shlex.split(commands)
        assert words[:5] == ["gh", "issue", "close", f"{REPO}1", "--comment"]
        assert words[5].startswith("p/1: integrated as ")
        assert len(words) == 6
    document = from_github.json("plan-sync-issues", "plan", "sync-issues")
    assert (document["gh"], document["issues"][0]["state"]) == (False, "to_close")
