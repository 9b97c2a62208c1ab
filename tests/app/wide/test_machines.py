"""A workspace on two machines: git servers decide, of the workspace's own repository and of each one in it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from git_fleet.app import doctor, knowledge, lead, learning, prompt, sharing
from git_fleet.app.session import Session
from git_fleet.app.sync import sync
from git_fleet.app.wide import checking
from git_fleet.core.ids import Oid
from git_fleet.errors import Held, Unreachable
from tests.support import spaces
from tests.support.breaking import before_write, die, killed
from tests.support.clock import FakeClock
from tests.support.fleet import claimed
from tests.support.machines import Machine, make_machines
from tests.support.moments import put_back
from tests.support.repo import Repo

Machines = tuple[dict[str, Repo], Machine, Machine]
"""The servers by name, and two machines."""
STRIDE = 4
"""With 1 every push is tried, of some two dozen; it takes minutes."""


@pytest.fixture
def machines(tmp_path: Path, clock: FakeClock) -> Machines:
    return make_machines(tmp_path / "all", clock)


def test_what_one_machine_plans_the_other_sees_and_works(machines: Machines) -> None:
    servers, a, b = machines
    problems, _ = checking.check(b.space, b.around, fix=False)
    assert problems == ()
    assert (a.state(), b.state()) == ("", "")
    a.approve()
    assert (a.state(), b.state()) == ("waiting", "waiting")
    assert a.ready() == b.ready() == ["library/api"]
    a.work("library", *spaces.RENAMED["library"])
    assert b.ready() == ["service/serve"]
    with b.open("library", "w9") as session, pytest.raises(Exception, match="it is proposed"):
        claimed(session, "api")
    b.work("service", *spaces.RENAMED["service"])
    a.work("client", *spaces.RENAMED["client"])
    assert (a.state(), b.state()) == ("ready", "ready")
    before = mains(servers)
    assert b.together().state == "landed"
    for name in spaces.RENAMED:
        assert servers[name].run_git("rev-list", "--count", f"{before[name]}..main") == "1"
        assert b.repo(name).rev("main") == servers[name].rev("main")
        assert b.repo(name).status() == []
    assert (a.state(), b.state()) == ("landed", "landed")
    assert a.together().state == "landed"


def mains(servers: Mapping[str, Repo]) -> dict[str, Oid]:
    return {name: servers[name].rev("main") for name in spaces.RENAMED}


def handed_in(a: Machine, b: Machine) -> None:
    """All of the change set, from both machines."""
    a.approve()
    for machine, name in ((a, "library"), (b, "service"), (a, "client")):
        machine.work(name, *spaces.RENAMED[name])


def assert_landed(servers: Mapping[str, Repo], before: Mapping[str, Oid], *machines: Machine) -> None:
    """Once in each repository, and every machine knows; all is well where it was ended, on the first of them."""
    for name in spaces.RENAMED:
        assert servers[name].run_git("rev-list", "--count", f"{before[name]}..main") == "1"
        for machine in machines:
            with machine.open(name) as session:
                sync(session)
                found = doctor.doctor(session, fix=False).problems if machine is machines[0] else ()
            assert {each.code for each in found} <= {"hooks-missing"}
            assert machine.repo(name).rev("main") == servers[name].rev("main")
            assert machine.repo(name).status() == []
    assert {machine.state() for machine in machines} == {"landed"}


@pytest.mark.slow(seconds=40)
def test_killed_before_a_push_it_is_gone_on_with_here_and_elsewhere(
    machines: Machines, tmp_path: Path, clock: FakeClock
) -> None:
    servers, a, b = machines
    handed_in(a, b)
    before = mains(servers)
    shutil.copytree(a.folder.parent, tmp_path / "kept", symlinks=True)
    seen, waited = set(), []
    for turn in count():
        number = 1 + turn * STRIDE
        if not killed(partial(before_write, number, die, {"push"}), a.together):
            break
        moved = [name for name in spaces.RENAMED if servers[name].rev("main") != before[name]]
        assert moved == list(spaces.RENAMED)[: len(moved)], "in the order of needs"
        seen.add(state := b.state())
        assert (state == "half-way") is (0 < len(moved) < len(before)), f"{state}, though {moved} have moved"
        one, other = (b, a) if turn % 2 else (a, b)
        try:
            found = one.together()
        except Held:
            waited.append(one.host)
            clock.advance(4000)
            found = one.together()
        assert found.state == "landed", (number, found)
        assert_landed(servers, before, one, other)
        put_back(tmp_path / "kept", a.folder.parent)
    assert seen == {"ready", "begun", "half-way", "landed"}
    assert set(waited) == {"b"}


def test_a_servers_main_that_moved_in_between_is_built_upon_by_whoever_goes_on(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers, a, b = machines
    handed_in(a, b)
    before = mains(servers)
    spaces.stopped_after(monkeypatch, 1, a.together)
    assert (a.state(), b.state()) == ("half-way", "half-way")
    client = a.repo("client")
    client.commit("Meanwhile", {"other": "theirs\n"})
    client.run_git("push", "--quiet", "origin", "main")
    assert b.together().state == "landed"
    assert "other" in servers["client"].files("main")
    moved = {name: servers[name].run_git("rev-list", "--count", f"{before[name]}..main") for name in before}
    assert moved == {"library": "1", "service": "1", "client": "2"}
    assert b.repo("client").rev("main") == servers["client"].rev("main")


def test_a_lead_elsewhere_keeps_all_back(machines: Machines) -> None:
    servers, a, b = machines
    handed_in(a, b)
    before = mains(servers)
    with a.open("service") as session:
        lead.acquire(session)
    with pytest.raises(Held) as held:
        b.together()
    assert held.value.message.startswith("service: Test Person leads until ")
    assert held.value.message.endswith(f" from a:{a.folder}/service/.git")
    assert mains(servers) == before
    with b.open("library") as session:
        assert not lead.show(session).holder, "the leads taken are given back"


def test_a_server_that_cannot_be_reached_is_said_and_nothing_moves(machines: Machines) -> None:
    servers, a, b = machines
    handed_in(a, b)
    before = mains(servers)
    servers["client"].path.rename(servers["client"].path.with_name("away"))
    with pytest.raises(Unreachable) as unreachable:
        b.together()
    assert unreachable.value.message.startswith("client: ")
    servers["client"].path.with_name("away").rename(servers["client"].path)
    assert mains(servers) == before
    servers["shop"].path.rename(servers["shop"].path.with_name("away"))
    with pytest.raises(Unreachable):
        b.together()
    assert mains(servers) == before


def test_what_one_machine_learned_is_told_on_the_other(machines: Machines) -> None:
    _, a, b = machines
    a.approve(spaces.PLAN.replace('files = ["/serve.sh"]', 'files = ["/serve.sh"]\nlabels = ["api"]'))
    for name, text, labels in (
        ("library", "The client is generated", ["api"]),
        ("shop", "Dates are in UTC", []),
    ):
        with a.open(name, "w9") as session:
            learning.learn(session, text, labels=labels)
    with b.open("service") as session:
        told = prompt.prompt(session, "serve").text
    assert "of library, by w9\n| The client is generated\n" in told
    assert "of shop, by w9\n| Dates are in UTC\n" in told


def test_who_works_offline_asks_nothing_of_the_workspaces_server(machines: Machines) -> None:
    _, a, b = machines
    assert (a.state(), b.state()) == ("", "")
    with a.open("shop") as session:
        learning.learn(session, "Dates are in UTC")

    def told(session: Session) -> list[str]:
        return [each.learning.text for source in knowledge.sources(session) for each in source.known]

    with b.open("service") as session:
        sharing.go_offline(session.store)
        assert told(session) == []
    with b.open("service") as session:
        assert told(session) == ["Dates are in UTC"]


def test_a_workspace_that_is_not_shared_as_its_repositories_are_is_said(machines: Machines) -> None:
    _, a, _ = machines
    a.repo("shop").commit("Alone", {"fleet.toml": "version = 1\n"})
    problems, _ = checking.check(a.space, a.around, fix=False)
    assert [each.code for each in problems] == ["workspace-not-shared"]
    assert "library, service, client" in problems[0].text
