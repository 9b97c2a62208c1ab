"""A change set lands in every repository or in none; interrupted anywhere, it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from git_fleet.app import doctor, reverting, work
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.wide import plans
from git_fleet.core.ids import Oid
from git_fleet.core.model import State
from git_fleet.core.workspace import Workspace
from git_fleet.errors import Held, InvalidInput, NeedsPerson
from git_fleet.store import names, wide
from tests.support import spaces
from tests.support.clock import FakeClock
from tests.support.dying import killed_at_every_step
from tests.support.fleet import claimed, open_fleet, proposed, surroundings
from tests.support.repo import Repo

Repos = Mapping[str, Repo]


def mains(repos: Repos) -> dict[str, Oid]:
    return {name: repo.rev("main") for name, repo in repos.items()}


def one_commit_each(repos: Repos, before: Mapping[str, Oid]) -> bool:
    return all(
        repo.run_git("rev-list", "--count", f"{before[name]}..main") == "1" and repo.status() == []
        for name, repo in repos.items()
    )


def well(repos: Repos) -> bool:
    """Nothing is wrong in any repository but what these tests leave out: hooks."""
    codes = set()
    for repo in repos.values():
        with open_fleet(repo) as session:
            codes |= {problem.code for problem in doctor.doctor(session, fix=False).problems}
    return codes <= {"hooks-missing"}


def intent_of(space: Workspace) -> wide.WideIntent | None:
    with plans.home(space, surroundings(FakeClock())) as session:
        record = wide.read_changeset(session.store, "rename", "api")
        return wide.read_intent(session.store, record.log.intent) if record.log.intent else None


# --- what the gate between them sees -----------------------------------------------------------------


def test_the_whole_change_lands_in_all_three(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    assert spaces.states(space) == {"api": "waiting"}
    spaces.work_all(repos)
    assert spaces.states(space) == {"api": "ready"}
    before = mains(repos)
    found = spaces.together(space)
    assert (found.state, {(part.repo, part.outcome) for part in found.parts}) == (
        "landed",
        {(name, "integrated") for name in repos},
    )
    assert one_commit_each(repos, before)
    assert well(repos)
    assert spaces.states(space) == {"api": "landed"}
    again = mains(repos)
    assert spaces.together(space).state == "landed"
    assert mains(repos) == again


def test_a_wrong_half_is_caught_although_its_own_tests_pass(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos, but="client")
    spaces.work(repos["client"], "call", {"call.sh": spaces.SHOP["client"]["call.sh"] + "# same\n"})  # type: ignore[operator]
    before = mains(repos)
    found = spaces.together(space)
    assert (found.state, found.why) == ("refused", "gate together: exit code 1")
    assert "greet: not found" in found.log
    assert mains(repos) == before
    assert spaces.states(space) == {"api": "refused"}
    with open_fleet(repos["client"]) as session:
        work.reject(session, "call", ("it calls greet",))
        claimed(session, "call")
        proposed(session, "call", dict(spaces.RENAMED["client"][1]))
    assert spaces.together(space).state == "landed"
    assert one_commit_each(repos, before)


def test_a_red_gate_sends_back_whom_the_plan_names_with_what_was_found(tmp_path: Path) -> None:
    text = spaces.PLAN.replace('id = "api"\n', 'id = "api"\nrework = ["client/call"]\n')
    space, repos = spaces.renaming(tmp_path, text)
    spaces.work_all(repos, but="client")
    spaces.work(repos["client"], "call", {"call.sh": spaces.SHOP["client"]["call.sh"] + "# same\n"})  # type: ignore[operator]
    before = mains(repos)
    found = spaces.together(space)
    assert (found.state, [(part.repo, part.outcome) for part in found.parts]) == (
        "refused",
        [("client", "ejected")],
    )
    assert mains(repos) == before
    assert spaces.states(space) == {"api": "waiting"}
    with open_fleet(repos["client"]) as session:
        state = session.snapshot().resolve("call").state
        assert state.state is State.REWORK
        assert state.findings[0].text.startswith("change set rename/api: gate together: exit code 1\n")
        assert "greet: not found" in state.findings[0].text
        claimed(session, "call")
        proposed(session, "call", dict(spaces.RENAMED["client"][1]))
    for name in ("library", "service"):
        with open_fleet(repos[name]) as session:
            assert {each.state.state for each in session.snapshot().tasks.values()} == {State.PROPOSED}
    assert spaces.together(space).state == "landed"
    assert one_commit_each(repos, before)


def test_a_half_that_nobody_planned_is_caught_by_its_main(tmp_path: Path) -> None:
    """The client is in no task of the change set, and its main still calls the old name."""
    text = spaces.PLAN.replace('"client/call", ', "")
    space, repos = spaces.renaming(tmp_path, text)
    spaces.work_all(repos, but="client")
    before = mains(repos)
    found = spaces.together(space)
    assert (found.state, "call.sh: 1: greet: not found" in found.log) == ("refused", True)
    assert mains(repos) == before
    with open_fleet(repos["client"]) as session, pytest.raises(Exception, match="service/serve"):
        claimed(session, "call")


def test_what_is_not_handed_in_keeps_all_back_and_so_does_a_conflict(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos, but="client")
    before = mains(repos)
    found = spaces.together(space)
    assert (found.state, "client: rename/call it is pending" in found.why) == ("waiting", True)
    spaces.work(repos["client"], *spaces.RENAMED["client"])
    repos["service"].commit("Meanwhile", {"serve.sh": "something else\n"})
    before = mains(repos)
    found = spaces.together(space)
    assert (found.state, [part.repo for part in found.parts if part.outcome == "ejected"]) == (
        "waiting",
        ["service"],
    )
    assert mains(repos) == before
    with open_fleet(repos["service"]) as session:
        assert session.snapshot().resolve("serve").state.conflict


def test_a_repository_alone_leaves_its_task_to_the_change_set(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    before = mains(repos)
    with open_fleet(repos["library"]) as session:
        found = integrate(session, Order(), lambda _: None)
    assert [skipped.reason for skipped in found.skipped] == [
        "it lands with change set api: in the workspace, git fleet integrate --changeset api"
    ]
    assert mains(repos) == before
    assert spaces.states(space) == {"api": "ready"}


# --- needs that cross repositories -------------------------------------------------------------------


def test_a_need_elsewhere_blocks_a_plain_claim_until_it_is_there(tmp_path: Path) -> None:
    _, repos = spaces.renaming(tmp_path)
    with open_fleet(repos["client"], "w2") as session:
        with pytest.raises(Exception, match="needs library/api of another repository, which is pending"):
            claimed(session, "call")
        spaces.work_all(repos, but="client")
        claimed(session, "call")  # handed in is enough within a change set
        with pytest.raises(Exception, match="needs service/serve of another repository, which is proposed"):
            claimed(session, "docs")  # and not outside of it


def test_what_is_needed_and_landed_lets_go(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    spaces.together(space)
    with open_fleet(repos["client"], "w2") as session:
        assert str(claimed(session, "docs").state.state) == "claimed"


def test_what_cannot_be_read_counts_as_not_done(tmp_path: Path) -> None:
    _, repos = spaces.renaming(tmp_path)
    with open_fleet(repos["client"], "w2") as session:
        said = "is not there"
        shutil.move(repos["library"].path, tmp_path / "away")
        with pytest.raises(Exception, match=said):
            claimed(session, "call")
        repos["client"].run_git("config", "--unset", "fleet.workspace")
        with pytest.raises(Exception, match="is in no workspace"):
            claimed(session, "call")


# --- the moment between two mains --------------------------------------------------------------------


def interrupted(space: Workspace, repos: Repos, monkeypatch: pytest.MonkeyPatch, moved: int) -> None:
    """Stop the change set after so many mains have moved."""
    spaces.stopped_after(monkeypatch, moved, lambda: spaces.together(space))
    assert sum("salute" in str(repo.files("main")) for repo in repos.values()) == moved


def test_when_one_main_moved_in_between_what_is_left_is_built_and_gated_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    before = mains(repos)
    interrupted(space, repos, monkeypatch, 1)
    assert spaces.states(space) == {"api": "half-way"}
    old = intent_of(space)
    assert old is not None
    repos["client"].commit("Meanwhile", {"other": "theirs\n"})
    lib = repos["library"].rev("main")
    assert spaces.together(space).state == "landed"
    assert repos["library"].rev("main") == lib
    assert "other" in repos["client"].files("main")
    assert repos["client"].run_git("rev-list", "--count", f"{before['client']}..main") == "2"
    assert well(repos)


def test_what_moved_in_between_and_breaks_it_leaves_it_half_way_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    interrupted(space, repos, monkeypatch, 1)
    repos["client"].commit("Meanwhile", {"call.sh": "exit 1\n"})
    client = repos["client"].rev("main")
    found = spaces.together(space)
    assert (found.state, "client" in found.why) == ("half-way", True)
    assert (repos["client"].rev("main"), spaces.states(space)) == (client, {"api": "half-way"})
    with open_fleet(repos["client"]) as session:
        claimed(session, "call")
        proposed(session, "call", dict(spaces.RENAMED["client"][1]))
    assert spaces.together(space).state == "landed"


def test_what_is_half_way_can_be_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    interrupted(space, repos, monkeypatch, 1)
    with open_fleet(repos["library"]) as session:
        reverting.revert(session, "api", "it is half-way", lambda _: None)
    assert "greet" in str(repos["library"].files("main")["lib.sh"].content)
    assert spaces.states(space) == {"api": "begun"} or spaces.states(space) == {"api": "waiting"}
    assert spaces.together(space).state == "waiting"


def test_somebody_elses_lead_keeps_all_back(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    other = repos["service"].worktree(tmp_path / "other", "side")
    before = mains(repos)
    from git_fleet.app import lead

    with open_fleet(other) as session:
        lead.acquire(session)
        with pytest.raises(Held) as held:
            spaces.together(space)
        assert held.value.message.startswith("service: Test Person leads")
        lead.release(session)
    assert mains(repos) == before
    with open_fleet(repos["library"]) as session:
        assert not lead.show(session).holder, "the leads taken are given back"


def test_a_repository_that_cannot_be_checked_out_stops_it_unless_it_is_left_out(tmp_path: Path) -> None:
    space, repos = spaces.renaming(tmp_path)
    spaces.work_all(repos)
    gone = tmp_path / "shop" / "workspace.toml"
    gone.write_text(gone.read_text() + '\n[[repo]]\nname = "far"\npath = "../far"\n')
    from git_fleet.app import workspaces

    space = workspaces.load(tmp_path / "shop")
    with pytest.raises(NeedsPerson, match="far cannot be checked out beside the others"):
        spaces.together(space)
    text = spaces.PLAN.replace('id = "api"\ntasks', 'id = "api"\nrepos = ["client"]\ntasks')
    spaces.approve(space, text)
    assert spaces.together(space).state == "landed"


# --- plans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('id = "library/api"', 'id = "lib/api"'), "no repository 'lib'; did you mean 'library'?"),
        (('id = "library/api"', 'id = "api"'), "it must be repo/task"),
        (('needs = ["service/serve"]', 'needs = ["service/sing"]'), "no task has this id; did you mean 'service/serve'?"),
        (('needs = ["service/serve"]', 'needs = ["serve"]'), "found 'serve'; it must be repo/task"),
        (('tasks = ["client/call"', 'tasks = ["client/cal"'), "changeset api: tasks: found 'client/cal'"),
        (('id = "api"\n', 'id = "api"\nrework = ["client/docs"]\n'), "the change set has no such task"),
        (('id = "api"\n', 'id = "api"\nrepos = ["x"]\n'), "the workspace has no such repository"),
        (('files = ["/serve.sh"]\n', 'files = ["/serve.sh"]\nstate = 1\n'), "state: unknown key"),
        (('files = ["/lib.sh", "/test.sh"]', 'files = ["/lib.sh"]\nneeds = ["client/docs"]'), "a cycle: "),
        (('tasks = ["client/call"', 'tasks = ["client/docs", "client/call"'), ""),
        (('files = ["/README"]\nneeds = ["service/serve"]', 'files = ["/call.sh"]'), ""),
        (('[[changeset.gates]]\nname = "together"', '[[changeset.gates]]\nname = "../x"'), "name: found '../x'"),
    ],
)  # fmt: skip
def test_a_broken_plan_over_repositories_is_refused(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    space, _ = spaces.make_space(tmp_path, spaces.SHOP)
    text = spaces.PLAN.replace(*change, 1)
    assert text != spaces.PLAN
    around = surroundings(FakeClock())
    if words:
        with pytest.raises(InvalidInput) as refused:
            plans.import_plan(space, around, text.encode(), "rename.toml")
        assert words in refused.value.message
        assert Repo(tmp_path / "shop").refs() == {}
    else:
        plans.import_plan(space, around, text.encode(), "rename.toml")


def test_tasks_that_take_turns_cannot_land_together(tmp_path: Path) -> None:
    space, _ = spaces.make_space(tmp_path, spaces.SHOP)
    text = spaces.PLAN.replace('["/README"]', '["/call.sh"]').replace(
        '["client/call"', '["client/docs", "client/call"'
    )
    with pytest.raises(InvalidInput, match="take turns, so they cannot land together"):
        plans.parse(space, surroundings(FakeClock()), text.encode(), "rename.toml")


def test_a_plan_of_the_repositorys_own_is_not_replaced(tmp_path: Path) -> None:
    space, repos = spaces.make_space(tmp_path, spaces.SHOP)
    from tests.support.fleet import approved, task

    approved(open_fleet(repos["service"]), task("a"), plan="rename")
    before = {name: repo.refs() for name, repo in repos.items()}
    with pytest.raises(InvalidInput, match="service has a plan rename of its own"):
        spaces.approve(space, spaces.PLAN)
    assert {name: repo.refs() for name, repo in repos.items()} == before


def test_an_approval_that_is_killed_is_approved_again(tmp_path: Path) -> None:
    space, repos = spaces.make_space(tmp_path, spaces.SHOP)
    around = surroundings(FakeClock())
    plans.import_plan(space, around, spaces.PLAN.encode(), "rename.toml")
    deaths = 0

    def approve() -> None:
        plans.approve(space, around, plans.foresee(space, around, "rename"))

    for _ in killed_at_every_step(approve, stride=29):
        deaths += 1
    approve()
    assert deaths > 2
    for repo in repos.values():
        with open_fleet(repo) as session:
            assert session.snapshot().plans["rename"].state == "open"
            assert session.store.refs.read(names.PLAN_NOTES)
    with plans.home(space, around) as session:
        assert wide.read(session.store, "rename").log.state == "open"
