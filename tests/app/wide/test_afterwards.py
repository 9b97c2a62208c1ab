"""What is said and done of a change set once plans are closed, tasks reverted, or the plan has changed since."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_fleet.app import plan, reverting, work
from git_fleet.app.wide import sides
from git_fleet.core.workspace import Workspace
from tests.support import spaces
from tests.support.clock import FakeClock
from tests.support.fleet import claimed, integrated, open_fleet, proposed, surroundings
from tests.support.repo import Repo


def landed(folder: Path) -> tuple[Workspace, dict[str, Repo]]:
    space, repos = spaces.renaming(folder)
    spaces.work_all(repos)
    assert spaces.together(space).state == "landed"
    return space, repos


def test_a_plan_that_is_closed_where_all_has_landed_takes_nothing_back(tmp_path: Path) -> None:
    space, repos = landed(tmp_path)
    with open_fleet(repos["service"]) as session:
        plan.close(session, "rename")
    assert spaces.states(space) == {"api": "landed"}
    assert spaces.together(space).state == "landed"
    with open_fleet(repos["client"], "w2") as session:
        claimed(session, "docs")  # it needs service/serve, which main has


def test_what_was_reverted_everywhere_has_not_landed(tmp_path: Path) -> None:
    space, repos = landed(tmp_path)
    for name, (task, _) in spaces.RENAMED.items():
        with open_fleet(repos[name]) as session:
            reverting.revert(session, task, "not yet", lambda _: None)
    assert spaces.states(space) == {"api": "waiting"}
    with open_fleet(repos["library"]) as session:
        plan.close(session, "rename")
    assert spaces.states(space) == {"api": "waiting"}


def test_where_a_part_was_closed_after_it_had_landed_the_rest_goes_on(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    with open_fleet(repos["library"]) as session:
        integrated(session, "api")
        plan.close(session, "rename")
    assert spaces.states(space) == {"api": "half-way"}
    assert spaces.together(space).state == "landed"


def begun(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the change set when its intent is written, before anything moves."""

    def land(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sides, "land", land)
        with pytest.raises(KeyboardInterrupt):
            spaces.together(space)


def test_gates_that_were_added_since_it_was_begun_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    begun(space, monkeypatch)
    spaces.approve(space, spaces.PLAN + '\n[[changeset.gates]]\nname = "more"\nrun = "false"\n')
    found = spaces.together(space)
    assert (found.state, "gate more" in found.why) == ("refused", True)


def test_what_it_needs_of_others_and_was_reverted_since_keeps_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = spaces.PLAN.replace(
        'tasks = ["client/call", "library/api", ', 'repos = ["client"]\ntasks = ["client/call", '
    )
    space, repos = spaces.renaming(tmp_path, text[: text.index("run = ")] + 'run = "true"\n')
    spaces.work(repos["library"], *spaces.RENAMED["library"])
    with open_fleet(repos["library"]) as session:
        integrated(session, "api")
    spaces.work_all(repos, but="library")
    begun(space, monkeypatch)
    with open_fleet(repos["library"]) as session:
        reverting.revert(session, "api", "not yet", lambda _: None)
    found = spaces.together(space)
    assert (found.state, "it needs library/api" in found.why) == ("waiting", True)


def test_what_was_refused_is_ready_again_once_it_was_worked_on_anew(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos, but="client")
    spaces.work(repos["client"], "call", {"call.sh": "exit 1\n"})
    assert spaces.together(space).state == "refused"
    clock = FakeClock()
    clock.advance(60)
    with open_fleet(repos["client"], clock=clock) as session:
        work.reject(session, "call", ("it calls nothing",))
        assert spaces.states(space) == {"api": "waiting"}
        claimed(session, "call")
        proposed(session, "call", dict(spaces.RENAMED["client"][1]))
    assert spaces.states(space) == {"api": "ready"}  # so `run --workspace` lands it


def test_gates_find_no_repository_that_was_not_checked_out_for_them(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    from git_fleet.app.wide import gathering

    head = {name: repo.rev("main") for name, repo in repos.items()}
    around = surroundings(FakeClock())
    with open_fleet(repos["client"]) as client, open_fleet(repos["library"]) as library:
        both = {"client": (client.repo, head["client"]), "library": (library.repo, head["library"])}
        for wanted in (both, {"client": both["client"]}):
            with gathering.gathered(space, around, wanted) as found:
                found.reset()
                assert set(os.listdir(found.folder)) == set(wanted)
