"""One pull request per task, opened by a stand-in for gh on branches that are really pushed."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app.publishing import Wanted, publish
from git_fleet.app.session import Session
from git_fleet.core.pulls import Fate, Published
from git_fleet.errors import InvalidInput
from tests.support import gh
from tests.support.fleet import approved, claimed, commit_on, on_task, open_fleet, proposed, task
from tests.support.gh import StandIn
from tests.support.repo import Repo

URL = "https://github.com/o/r/pull/"


def handed_in(repo: Repo, *names: str, **fields: Any) -> Session:
    session = open_fleet(repo)
    approved(session, *(task(name, **fields) for name in names))
    for name in names:
        claimed(session, name)
        proposed(session, name)
    return session


def fates(found: Published) -> list[str]:
    return [str(pull.fate) for pull in found.pulls]


def go(session: Session, *targets: str, **wanted: Any) -> Published:
    return publish(session, Wanted(targets, **wanted), lambda _: None)


def verbs(forge: StandIn) -> list[str]:
    return [" ".join(call[:2]) if call[0] == "pr" else "api" for call in forge.calls()]


def test_each_task_gets_a_branch_a_request_and_links_and_nothing_twice(
    repo: Repo, server: Repo, forge: StandIn
) -> None:
    session = handed_in(repo, "a", "b")
    assert fates(go(session)) == ["opened", "opened"]
    one, two = forge.pulls()
    proposal = session.record(session.snapshot(), "a").state.proposal
    assert proposal is not None
    assert server.rev(one["headRefName"]) == proposal.commit
    assert (one["headRefName"], one["baseRefName"], one["title"]) == ("fleet/p/a", "main", "Do a")
    assert one["body"].startswith("<!-- git-fleet: p/a -->\n")
    assert one["body"].endswith(
        f"Fleet-Plan: p\nFleet-Task: a\nFleet-Worker: w1\nFleet-Proposal: {proposal.oid}"
    )
    assert [comment["body"] for comment in one["comments"]] == [
        f"<!-- git-fleet siblings: p/a -->\nOf the same plan, `p`:\n\n- `p/b` {URL}2"
    ]
    assert len(two["comments"]) == 1
    before = len(forge.calls())
    assert fates(go(session)) == ["current", "current"]
    assert set(verbs(forge)[before:]) == {"pr list", "pr view"}


def test_after_rework_and_a_new_sibling_branch_text_and_the_one_comment_are_changed(
    repo: Repo, server: Repo, forge: StandIn
) -> None:
    session = handed_in(repo, "a", "b")
    go(session, "a")
    assert forge.pulls()[0]["comments"] == []  # nobody to link to
    forge.change(
        1, body="Mine above.\n\n" + forge.pulls()[0]["body"].replace("\n", "\r\n") + "\n\nMine below."
    )
    on_task(session, "reject", "a", reason="no", findings=())
    claimed(session, "a")
    proposed(session, "a", {"a/new": "other\n"})  # not on top of the first: as a worker that amends
    assert fates(go(session)) == ["updated", "opened"]
    one = forge.pulls()[0]
    proposal = session.record(session.snapshot(), "a").state.proposal
    assert proposal is not None
    assert server.rev("fleet/p/a") == proposal.commit
    assert one["body"].startswith("Mine above.\n\n<!-- git-fleet: p/a -->\n")
    assert one["body"].endswith(f"Fleet-Proposal: {proposal.oid}\n\nMine below.")
    assert len(one["comments"]) == 1
    forge.change(1, comments=[{**one["comments"][0], "body": "<!-- git-fleet siblings: p/a -->\nold"}])
    assert fates(go(session)) == ["updated", "current"]
    assert f"{URL}2" in forge.pulls()[0]["comments"][0]["body"]


def test_a_strangers_marker_is_not_taken_for_our_comment(repo: Repo, forge: StandIn) -> None:
    session = handed_in(repo, "a", "b")
    go(session, "a")
    forged = {
        "url": f"{URL}1#issuecomment-7",
        "body": "<!-- git-fleet siblings: p/a -->",
        "authorAssociation": "NONE",
    }
    forge.change(1, comments=[forged])
    go(session)
    assert len(forge.pulls()[0]["comments"]) == 2


def test_hostile_titles_are_options_of_nothing_and_mention_nobody(repo: Repo, forge: StandIn) -> None:
    session = open_fleet(repo)
    prompt = "````\n@team fixes #7 and https://github.com/o/r/issues/8\n--> `@x`"
    approved(session, task("a", title="--web @everyone closes #1 $(touch x)", prompt=prompt))
    claimed(session, "a")
    proposed(session, "a")
    assert fates(go(session)) == ["opened"]
    (one,) = forge.pulls()
    assert one["title"] == "--web @\u200beveryone closes #\u200b1 $(touch x)"
    for acting in ("@team", "@x", "#7", "issues/8"):
        assert acting not in one["body"]
    assert "\n`````text\n" in one["body"]  # longer than the fence in the text
    assert all(not word.startswith("--web") for call in forge.calls() for word in call)


@pytest.mark.usefixtures("forge")
def test_what_others_pushed_is_not_overwritten(repo: Repo, server: Repo) -> None:
    session = handed_in(repo, "a", "b")
    theirs = commit_on(session, repo.rev("main"), {"a/x": "theirs"})
    repo.run_git("push", "-q", "origin", f"{theirs}:refs/heads/fleet/p/a")
    found = go(session)
    assert fates(found) == ["failed", "opened"]
    assert found.pulls[0].detail.startswith(
        f"origin has {theirs[:12]} on fleet/p/a, which is not of this task's"
    )
    assert server.rev("fleet/p/a") == theirs


@pytest.mark.usefixtures("forge")
def test_a_branch_of_everybodys_is_not_moved_forward(repo: Repo, server: Repo) -> None:
    """Whoever names it in a plan."""
    session = open_fleet(repo)
    approved(session, task("a", branch="develop"), task("b", branch="feature/b"))
    repo.run_git("push", "-q", "origin", "main:refs/heads/develop")
    for name in "ab":
        claimed(session, name, worktree=True)
        proposed(session, name)
    own = commit_on(session, repo.rev("main"), {"b/new": "new\n"}, "Work on p/b\n")
    repo.run_git("push", "-q", "origin", f"{own}:refs/heads/feature/b")  # as its worker may
    assert fates(go(session)) == ["failed", "opened"]
    assert server.rev("develop") == repo.rev("main")


def test_a_workers_own_fleet_trailers_are_not_published(repo: Repo, server: Repo, forge: StandIn) -> None:
    session = handed_in(repo, "a")
    other = session.record(session.snapshot(), "a").state.proposal
    assert other is not None
    on_task(session, "reject", "a", reason="no", findings=())
    claimed(session, "a")
    text = f"x\n\nFleet-Plan: p\nFleet-Task: b\nFleet-Worker: w\nFleet-Proposal: {other.oid}\n"
    on_task(
        session, "done", "a", proposal=_again(other, commit_on(session, repo.rev("main"), {"a/z": "z"}, text))
    )
    (pull,) = go(session).pulls
    assert (pull.fate, "Fleet trailers" in pull.detail) == (Fate.FAILED, True)
    assert (forge.pulls(), server.refs("refs/heads/fleet/")) == ([], {})


def _again(proposal: Any, commit: Any) -> Any:
    from msgspec.structs import replace

    return replace(proposal, number=2, commit=commit)


def test_a_dry_run_pushes_and_opens_nothing(repo: Repo, server: Repo, forge: StandIn) -> None:
    session = handed_in(repo, "a")
    (pull,) = go(session, dry_run=True).pulls
    assert (pull.fate, pull.pushed) == (Fate.TO_OPEN, True)
    assert (forge.pulls(), server.refs("refs/heads/fleet/")) == ([], {})


def test_closed_and_merged_ones_are_said_and_not_opened_again(
    repo: Repo, server: Repo, forge: StandIn
) -> None:
    session = handed_in(repo, "a", "b")
    go(session)
    forge.change(1, state="CLOSED")
    forge.change(2, state="MERGED")
    server.run_git("update-ref", "-d", "refs/heads/fleet/p/b")  # as the forge may after a merge
    found = go(session)
    assert fates(found) == ["closed", "merged"]
    assert found.pulls[0].detail == f"closed unmerged: gh pr reopen {URL}1, or git fleet reject p/a -m WHY"
    assert (len(forge.pulls()), "refs/heads/fleet/p/b" in server.refs()) == (2, False)


@pytest.mark.parametrize(
    ("code", "said", "then"),
    [
        (4, "To get started with GitHub CLI, please run:  gh auth login", "gh auth login"),
        (1, "HTTP 403: You have exceeded a secondary rate limit (https://api)", "gh api rate_limit"),
    ],
    ids=["login", "limit"],
)
def test_what_stops_everything_is_said_once_with_the_next_command(
    repo: Repo, forge: StandIn, code: int, said: str, then: str
) -> None:
    session = handed_in(repo, "a", "b")
    forge.fails(code, said)
    found = go(session)
    assert {(it.fate, it.detail) for it in found.pulls} == {(Fate.FAILED, said)}
    assert (found.then, len(forge.calls())) == (then, 1)
    (forge.folder / "fails").unlink()
    assert fates(go(session)) == ["opened", "opened"]


def test_a_gh_that_hangs_is_left_after_a_while(
    repo: Repo, forge: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = handed_in(repo, "a", "b")
    (forge.folder / "hangs").touch()
    monkeypatch.setattr("git_fleet.app.gh._SECONDS", 0.3)
    found = go(session)
    assert ([it.detail for it in found.pulls], found.then) == (
        ["gh did not end within 0.3 s"] * 2,
        "gh auth status",
    )


def test_an_old_gh_that_does_not_know_every_field_will_do(repo: Repo, forge: StandIn) -> None:
    session = handed_in(repo, "a")
    (forge.folder / "old").touch()
    assert [*fates(go(session)), *fates(go(session))] == ["opened", "current"]


def test_without_gh_the_branches_are_pushed(
    repo: Repo, server: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = handed_in(repo, "a")
    gh.without(monkeypatch, tmp_path / "bare-bin")
    session = open_fleet(repo)
    found = go(session)
    assert (found.gh, fates(found), found.pulls[0].pushed) == (False, ["to_open"], True)
    assert server.rev("fleet/p/a") == found.pulls[0].commit


def test_another_attempt_goes_on_in_the_same_request(repo: Repo, forge: StandIn) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    claimed(session, "a", worktree=True)
    proposed(session, "a")
    go(session)
    branch = forge.pulls()[0]["headRefName"]
    assert branch.startswith("feature/a-")
    on_task(session, "reject", "a", reason="no", findings=())
    claimed(session, "a")  # without a worktree, hence without that branch
    proposed(session, "a", {"a/new": "better\n"})
    assert fates(go(session)) == ["updated"]
    assert [it["headRefName"] for it in forge.pulls()] == [branch]


def _publish(path: Path) -> None:
    with open_fleet(path) as session:
        go(session)


def test_killed_at_any_step_and_run_again_it_has_opened_and_commented_once(
    repo: Repo, server: Repo, forge: StandIn
) -> None:
    handed_in(repo, "a", "b")
    context = multiprocessing.get_context("fork")
    killed = 0
    for number in range(1, 40):
        for path in (forge.folder / "calls", forge.folder / "pulls.json"):
            path.unlink(missing_ok=True)
        for ref in server.refs("refs/heads/fleet/"):
            server.run_git("update-ref", "-d", ref)
        (forge.folder / "dies").write_text(f"{number} after")
        process = context.Process(target=_publish, args=(repo.path,))
        process.start()
        process.join()
        (forge.folder / "dies").unlink()
        if process.exitcode == 0:
            break
        killed += 1
        _publish(repo.path)
        assert [len(it["comments"]) for it in forge.pulls()] == [1, 1], number
    assert killed >= 8


def _at_once(path: Path, barrier: Any) -> None:
    barrier.wait()
    _publish(path)


@pytest.mark.parametrize("opened", [False, True])
def test_several_at_once_open_and_comment_once(repo: Repo, forge: StandIn, opened: bool) -> None:
    session = handed_in(repo, "a", "b")
    if opened:
        go(session)
        for number in (1, 2):
            forge.change(number, comments=[])
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_at_once, args=(repo.path, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [len(it["comments"]) for it in forge.pulls()] == [1, 1]
    assert [process.exitcode for process in processes] == [0] * 4


def test_without_a_remote_or_for_a_task_that_waits_for_nothing_it_is_refused(repo: Repo) -> None:
    session = handed_in(repo, "a")
    with pytest.raises(InvalidInput, match="there is no remote"):
        go(session)
    on_task(session, "cancel", "a")
    with pytest.raises(InvalidInput, match="p/a is cancelled, and nothing of it waits"):
        go(session, "a")
