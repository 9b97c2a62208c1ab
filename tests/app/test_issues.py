"""Issues of integrated tasks, closed where they came from: each once, by a stand-in for gh."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app import issues
from git_fleet.app import plan as planning
from git_fleet.app.session import Session
from git_fleet.core.tracked import Fate, Synced
from git_fleet.errors import InvalidInput
from tests.support import gh
from tests.support.fleet import approved, claimed, integrated, on_task, open_fleet, proposed, task
from tests.support.gh import StandIn
from tests.support.repo import Repo

URL = "https://github.com/o/r/issues/"


def from_github(name: str, number: int, **fields: Any) -> dict[str, Any]:
    return task(name, extra={"github": {"number": number, "url": f"{URL}{number}"}}, **fields)


def done(session: Session, name: str) -> str:
    """Bring the task onto main: the commit."""
    claimed(session, name)
    proposed(session, name)
    return integrated(session, name)


def fates(found: Synced) -> list[tuple[str, str]]:
    return [(issue.reference, str(issue.fate)) for issue in found.issues]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return gh.stand_in(tmp_path / "bin", monkeypatch)


def test_only_issues_of_integrated_tasks_are_named_and_nothing_is_asked(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1), from_github("b", 2), task("c"), from_github("d", 4))
    commit = done(session, "a")
    done(session, "c")
    claimed(session, "d")
    found = issues.sync(session, "p", close=False)
    (issue,) = found.issues
    comment = f"p/a: integrated as {commit}.\n\n<!-- git-fleet: p/a -->"
    assert issue.command == ("gh", "issue", "close", f"{URL}1", "--comment", comment)
    assert (issue.fate, found.gh) == (Fate.TO_CLOSE, True)
    assert hub.calls() == []


def test_an_issue_is_closed_once_with_one_comment(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1))
    commit = done(session, "a")
    hub.issue(1)
    assert fates(issues.sync(session, "p", close=True)) == [(f"{URL}1", "closed")]
    assert fates(issues.sync(session, "p", close=True)) == [(f"{URL}1", "already_closed")]
    comment = f"p/a: integrated as {commit}.\n\n<!-- git-fleet: p/a -->"
    view = ["issue", "view", f"{URL}1", "--json", "state,stateReason,comments"]
    assert hub.calls() == [view, ["issue", "close", f"{URL}1", "--comment", comment], view]
    assert hub.now(1) == {"state": "CLOSED", "stateReason": "", "comments": [{"body": comment}]}
    assert hub.saw() == set()  # GIT_DIR of a hook would send it to another repository


def test_what_somebody_closed_is_left_alone(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1))
    done(session, "a")
    hub.issue(1, "CLOSED")
    assert fates(issues.sync(session, "p", close=True)) == [(f"{URL}1", "already_closed")]
    assert [call[1] for call in hub.calls()] == ["view"]


def test_what_somebody_opened_again_is_left_alone(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1), from_github("b", 2))
    done(session, "a")
    done(session, "b")
    hub.issue(1, "OPEN", "REOPENED", ("thanks", "x\n<!-- git-fleet: p/a -->"))
    hub.issue(2, "OPEN", "REOPENED", ("before any plan",))
    assert fates(issues.sync(session, "p", close=True)) == [(f"{URL}1", "reopened"), (f"{URL}2", "closed")]
    assert hub.now(1)["state"] == "OPEN"


def test_a_comment_whose_close_went_wrong_is_not_written_twice(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1))
    done(session, "a")
    hub.issue(1)
    (hub.folder / "half").touch()
    (issue,) = issues.sync(session, "p", close=True).issues
    assert (issue.fate, issue.detail) == (Fate.FAILED, "gone away")
    (hub.folder / "half").unlink()
    assert fates(issues.sync(session, "p", close=True)) == [(f"{URL}1", "closed")]
    assert len(hub.now(1)["comments"]) == 1
    assert hub.calls()[-1] == ["issue", "close", f"{URL}1"]


def test_a_gh_that_does_not_know_why_an_issue_is_open_closes_too(repo: Repo, hub: StandIn) -> None:
    """gh before 2.50, as in Debian 12."""
    session = open_fleet(repo)
    approved(session, from_github("a", 1), from_github("b", 2))
    done(session, "a")
    done(session, "b")
    (hub.folder / "old").touch()
    hub.issue(1)
    hub.issue(2, "OPEN", "", ("<!-- git-fleet: p/b -->",))  # opened again, or never closed: nobody can tell
    assert fates(issues.sync(session, "p", close=True)) == [(f"{URL}1", "closed"), (f"{URL}2", "reopened")]
    assert fates(issues.sync(session, "p", close=True)) == [
        (f"{URL}1", "already_closed"),
        (f"{URL}2", "reopened"),
    ]
    assert len(hub.now(1)["comments"]) == 1


def test_a_gh_that_does_not_answer_is_waited_for_once(
    repo: Repo, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1), from_github("b", 2))
    done(session, "a")
    done(session, "b")
    (hub.folder / "hangs").touch()
    monkeypatch.setattr("git_fleet.app.gh._SECONDS", 0.5)
    found = issues.sync(session, "p", close=True).issues
    assert [(one.fate, one.detail) for one in found] == [(Fate.FAILED, "gh did not end within 0.5 s")] * 2


def test_an_issue_of_several_tasks_waits_for_all_of_them(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1), from_github("b", 1))
    done(session, "a")
    assert issues.sync(session, "p", close=True).issues == ()
    done(session, "b")
    hub.issue(1)
    (issue,) = issues.sync(session, "p", close=True).issues
    assert (issue.fate, [str(one) for one in issue.tasks]) == (Fate.CLOSED, ["p/a", "p/b"])


def test_a_reverted_task_closes_nothing(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1))
    done(session, "a")
    on_task(session, "revert", "a")
    assert issues.sync(session, "p", close=True).issues == ()
    assert hub.calls() == []


def test_a_closed_plan_can_still_be_told(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1), task("b", output="report"))
    done(session, "a")
    planning.close(session, "p")
    hub.issue(1)
    assert fates(issues.sync(session, "p", close=True)) == [(f"{URL}1", "closed")]


def test_without_a_login_the_others_are_not_tried(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1), from_github("b", 2))
    done(session, "a")
    done(session, "b")
    hub.fails(4, "To get started with GitHub CLI, please run: gh auth login\n\x1b[31mx")
    found = issues.sync(session, "p", close=True).issues
    assert {(one.fate, one.detail) for one in found} == {
        (Fate.FAILED, "To get started with GitHub CLI, please run: gh auth login")
    }
    assert len(hub.calls()) == 1
    hub.fails(1, "HTTP 502")
    assert [one.detail for one in issues.sync(session, "p", close=True).issues] == ["HTTP 502", "HTTP 502"]
    assert len(hub.calls()) == 3


def test_an_answer_that_is_no_issue_is_told(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1))
    done(session, "a")
    (hub.folder / "1.json").write_text('{"state": 1, "stateReason": 2, "comments": 3}')
    (issue,) = issues.sync(session, "p", close=True).issues
    assert issue.fate is Fate.FAILED
    assert issue.detail.startswith("gh issue view did not answer with state and comments")


@pytest.mark.parametrize(
    "kept",
    [
        {"number": 1, "url": "--repo=evil/x"},
        {"number": "--web"},
        {"number": -1},
        {"url": f"{URL}1;x"},
        "text",
    ],
    ids=str,
)
def test_what_only_looks_like_an_issue_is_never_given_to_gh(repo: Repo, hub: StandIn, kept: Any) -> None:
    session = open_fleet(repo)
    approved(session, task("a", extra={"github": kept}))
    done(session, "a")
    (issue,) = issues.sync(session, "p", close=True).issues
    assert (issue.fate, issue.command) == (Fate.FAILED, ())
    assert hub.calls() == []


def test_other_trackers_are_named_with_what_to_do(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(
        session,
        task("bd-1", extra={"beads": {"id": "BD-1"}}),
        task("task-2", extra={"backlog": {"id": "TASK-2"}}),
    )
    done(session, "bd-1")
    done(session, "task-2")
    found = issues.sync(session, "p", close=True).issues
    assert [(one.tracker, one.reference, one.command, one.detail) for one in found] == [
        ("beads", "BD-1", (), "git fleet plan export p --format beads | bd import -"),
        ("backlog", "TASK-2", (), "set it to Done in Backlog.md"),
    ]
    assert hub.calls() == []


def _sync(path: Path, barrier: Any) -> None:
    with open_fleet(path) as session:
        barrier.wait()
        issues.sync(session, "p", close=True)


def test_two_at_once_comment_once(repo: Repo, hub: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, from_github("a", 1))
    done(session, "a")
    hub.issue(1)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_sync, args=(repo.path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(hub.now(1)["comments"]) == 1
    assert [call[1] for call in hub.calls()].count("close") == 1


def test_a_plan_that_is_not_there_is_told(repo: Repo) -> None:
    with pytest.raises(InvalidInput, match="there is no plan q"):
        issues.sync(open_fleet(repo), "q", close=False)
