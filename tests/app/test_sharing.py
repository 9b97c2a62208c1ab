"""The same commands where a git server decides: clones see each other's work, and are told when they cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from git_fleet import oneline
from git_fleet.app import advice, doctor, handin, install, integrate, lead, publishing, sharing, status, work
from git_fleet.app import claim as claiming
from git_fleet.app.session import Session, open_session
from git_fleet.core.model import State
from git_fleet.core.pulls import Fate
from git_fleet.errors import Held, InvalidInput, NeedsPerson, Refused, StaleClaim, Unreachable
from git_fleet.git.watching import RefWatch
from git_fleet.store import evidence, names
from git_fleet.store.shared import SharedRefs
from tests.support import gh, servers
from tests.support.clock import FakeClock
from tests.support.clones import CONFIG, make_clones
from tests.support.fleet import (
    approved,
    claimed,
    handed_in,
    on_plan,
    on_task,
    open_fleet,
    proposed,
    surroundings,
    task,
    working_on,
)
from tests.support.repo import Repo


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock) -> tuple[Repo, Session, Session]:
    """The server, and a session in each of two clones, on machines of their own."""
    server, (one, other) = make_clones(tmp_path)
    return (
        Repo(server),
        open_fleet(one, "w1", clock, host="one"),
        open_fleet(other, "w2", clock, host="other"),
    )


def states(session: Session) -> dict[str, State]:
    return {name.task: record.state.state for name, record in session.snapshot().tasks.items()}


def land(session: Session, *targets: str) -> list[str]:
    found = integrate.integrate(session, integrate.Order(targets), lambda _: None)
    return [str(each.id.task) for each in found.integrated]


def pushes(session: Session) -> int:
    assert isinstance(session.store.refs, SharedRefs)
    return session.store.refs.pushes.total()


def test_a_task_goes_through_its_life_in_two_clones(world: tuple[Repo, Session, Session]) -> None:
    server, one, other = world
    approved(one, task("a"), task("b", needs=["a"]))
    path = working_on(other, "a")
    assert states(one)["a"] is State.CLAIMED
    with pytest.raises(Held, match="w2 holds it"):
        claimed(one, "a")
    (path / "a").mkdir(exist_ok=True)
    (path / "a/draft").write_text("not committed")
    work.progress(other, "a", "half")
    assert Repo(other.repo.common_dir.parent).refs(names.SNAPSHOTS)  # and none on the server, below
    assert server.refs(names.SNAPSHOTS) == {}
    (path / "a/draft").unlink()
    before = pushes(other)
    handed_in(other, "a")
    assert pushes(other) - before == 2  # the proposal, then its event
    assert land(one) == ["a"]
    assert advice.publish(one, "main") == ""  # the server has it already
    assert states(other) == {"a": State.INTEGRATED, "b": State.PENDING}
    assert server.files("main")["a/new"].content == b"new\n"
    assert evidence.read(other.store, server.rev("main")) is not None
    assert Repo(working_on(other, "b")).rev("HEAD") == server.rev("main")
    assert Repo(path).status() == []
    assert not [ref for ref in server.refs() if ref.startswith(("refs/fleet/snapshot", "refs/fleet/salvage"))]
    standing = status.status(other).sharing
    assert standing is not None
    assert (standing.remote, standing.pushes, standing.waiting) == ("origin", pushes(other), 0)


def test_a_claim_on_what_was_just_read_is_one_push_and_meets_a_plan_that_was_paused_since(
    world: tuple[Repo, Session, Session], clock: FakeClock
) -> None:
    server, one, other = world
    approved(other, task("a"), task("b"), task("c", needs=["x"]), task("x"))
    clone = Repo(one.repo.common_dir.parent)
    with open_fleet(clone, "w1", clock, host="one", long_lived=True) as kept:
        assert isinstance(claiming.claim(kept, claiming.Request(worktree=False)), claiming.Claimed)
        before = pushes(kept)
        servers.stand_in(clone, "uploadpack", 'echo >> "$0.asked"; exec git-upload-pack "$1"\n')
        assert isinstance(claiming.claim(kept, claiming.Request(worktree=False)), claiming.Claimed)
        asked = clone.path.parent / "uploadpack-of-a.asked"
        assert (pushes(kept) - before, len(asked.read_bytes())) == (1, 1)  # whether the plan closes, after it
        on_plan(other, "pause")
        found = claiming.claim(kept, claiming.Request(worktree=False))
        assert isinstance(found, claiming.NothingReady)
        assert found.reason == "paused"
    assert len(server.refs(names.TASK_LOGS)) == 2


def test_without_a_remote_nothing_is_shared(repo: Repo, clock: FakeClock) -> None:
    repo.commit("Set up", {"fleet.toml": '# remote = "origin"\nversion = 1\n'})
    session = open_fleet(repo, "w1", clock)
    assert not isinstance(session.store.refs, SharedRefs)
    assert status.status(session).sharing is None
    assert sharing.pushed(session.store) == 0


def test_a_remote_that_there_is_not_is_said_at_once(repo: Repo) -> None:
    repo.commit("Set up", {"fleet.toml": CONFIG})
    with pytest.raises(InvalidInput, match="no such remote here") as refused:
        open_fleet(repo, "w1")
    assert refused.value.hint == "git remote add origin URL"
    server = repo.path.parent / "server.git"
    repo.run_git("clone", "--quiet", "--bare", str(repo.path), str(server))
    Repo(server).run_git("remote", "remove", "origin")
    with pytest.raises(InvalidInput, match="no such remote here") as refused:
        open_fleet(Repo(server), "w1")
    assert "if this is its server, work and look in a clone" in refused.value.hint


def test_a_broken_fleet_toml_does_not_split_the_fleet(world: tuple[Repo, Session, Session]) -> None:
    _, one, _ = world
    clone = Repo(one.repo.common_dir.parent)
    clone.commit("Break it", {"fleet.toml": "version = ["})
    clone.run_git("push", "--quiet", "origin", "main")
    assert isinstance(open_fleet(clone, "w1").store.refs, SharedRefs)


def test_what_main_says_on_the_remote_is_what_counts(world: tuple[Repo, Session, Session]) -> None:
    _, one, other = world
    Repo(one.repo.common_dir.parent).commit("Longer", {"fleet.toml": CONFIG + "lease_seconds = 7200\n"})
    assert one.config().lease_seconds == 3600
    Repo(one.repo.common_dir.parent).run_git("push", "--quiet", "origin", "main")
    other.snapshot()
    assert other.config().lease_seconds == 7200


def test_hooks_know_the_plans_and_claims_of_others(world: tuple[Repo, Session, Session]) -> None:
    _, one, other = world
    install.install(one.repo)
    approved(other, task("a"))
    path = working_on(one, "a")
    place = Repo(path)
    place.commit("Mine", {"a/new": "mine\n"})
    clone = Repo(one.repo.common_dir.parent)
    refused = clone.try_git("commit", "--allow-empty", "-m", "On main")
    assert b"only its lead moves this branch" in refused.stderr
    on_task(other, "release", "a")
    claimed(other, "a")
    one.snapshot()
    refused = place.try_git("commit", "--allow-empty", "-m", "Too late")
    assert b"was taken over by w2" in refused.stderr
    on_plan(other, "closing")
    on_plan(other, "close")
    one.snapshot()
    clone.commit("Nobody minds")


def test_hooks_learn_of_a_plan_that_another_command_was_the_first_to_see(
    world: tuple[Repo, Session, Session],
) -> None:
    _, one, other = world
    install.install(one.repo)
    approved(other, task("a"))
    one.store.refs.refresh()  # and then it dies
    clone = Repo(one.repo.common_dir.parent)
    with open_fleet(clone, "w1", host="one") as again:
        again.snapshot()
    refused = clone.try_git("commit", "--allow-empty", "-m", "On main")
    assert b"only its lead moves this branch" in refused.stderr


def test_rework_goes_on_in_another_clone_from_what_was_handed_in(
    world: tuple[Repo, Session, Session],
) -> None:
    _, one, other = world
    approved(one, task("a"))
    working_on(one, "a")
    commit = handed_in(one, "a").state.proposal
    assert commit is not None
    on_task(other, "reject", "a", reason="no")
    path = working_on(other, "a")
    assert (path / "a/new").read_text() == "new\n"
    with pytest.raises(StaleClaim):
        handin.done(one, "a", handin.Handin())


def test_gates_and_verdicts_of_one_clone_count_in_the_other(
    world: tuple[Repo, Session, Session],
) -> None:
    _, one, other = world
    approved(one, task("a", accept=["test -e a/new"]), task("b", accept=["false"]))
    for name in "ab":
        claimed(one, name)
        proposed(one, name)
    on_task(one, "accept", "a")
    assert land(other) == ["a"]
    assert states(one) == {"a": State.INTEGRATED, "b": State.REWORK}


def test_a_prompt_waits_for_no_server(world: tuple[Repo, Session, Session], clock: FakeClock) -> None:
    _, one, other = world
    clone = Repo(other.repo.common_dir.parent)
    approved(one, task("a"), task("b"))
    claimed(one, "a")
    other.snapshot()
    servers.cut_off(clone)
    assert oneline.line(clone.path, clock()) == "p 0/2, 1 claimed"
    sharing.as_known(other.store)
    assert states(other) == {"a": State.CLAIMED, "b": State.PENDING}
    servers.reconnect(clone)
    session = open_fleet(clone, "w2", clock, host="other")
    claimed(session, "b")
    assert oneline.line(clone.path, clock()) == "p 0/2, 2 claimed"
    work.progress(
        session, "b", "half"
    )  # rides along with the next push, and which is ahead is a longer story
    assert oneline.line(clone.path, clock()) is None


def test_whoever_looks_on_is_told_of_what_moves_on_the_server(world: tuple[Repo, Session, Session]) -> None:
    _, one, other = world
    approved(one, task("a"))
    look = sharing.lookout(one.store, 0.0)
    assert look is not None
    with RefWatch(one.repo, one.store.refs.places(names.FLEET)) as watch:
        claimed(other, "a")
        assert not watch.wait(0.0)
        look()
        assert watch.wait(60.0)
        servers.cut_off(Repo(one.repo.common_dir.parent))
        look()  # says nothing: whoever reads is told
        assert not watch.wait(0.0)


def test_the_server_protects_main_and_everything_stays_as_it_was(
    world: tuple[Repo, Session, Session],
) -> None:
    server, one, _ = world
    approved(one, task("a"))
    claimed(one, "a")
    proposed(one, "a")
    servers.refuse(server.path, "GH006: Protected branch", "refs/heads/main")
    main = server.rev("main")
    with pytest.raises(Refused, match="GH006") as told:
        land(one)
    assert "pull request" in told.value.hint
    assert one.snapshot().lead.intent is None
    assert server.rev("main") == main
    assert Repo(one.repo.common_dir.parent).status() == []
    (server.path / "hooks" / "pre-receive").unlink()
    assert land(one) == ["a"]


def test_a_lead_whose_main_has_gone_its_own_way_is_told(world: tuple[Repo, Session, Session]) -> None:
    server, one, _ = world
    approved(one, task("a"))
    claimed(one, "a")
    proposed(one, "a")
    Repo(one.repo.common_dir.parent).commit("Only here")
    main = server.rev("main")
    with pytest.raises(NeedsPerson, match="main here has commits that main of origin has not"):
        land(one)
    assert server.rev("main") == main


def test_a_checkout_that_lags_behind_catches_up(world: tuple[Repo, Session, Session]) -> None:
    server, one, other = world
    approved(one, task("a"), task("b"))
    for name in "ab":
        claimed(one, name)
        proposed(one, name)
    assert land(one, "a") == ["a"]
    clone = Repo(other.repo.common_dir.parent)
    assert not (clone.path / "a/new").exists()
    assert {one.code for one in doctor.doctor(other, fix=False).problems} == {"hooks-missing"}
    assert land(other, "b") == ["b"]
    assert (clone.path / "a/new").exists()
    assert clone.rev("main") == server.rev("main")
    assert clone.status() == []


def test_a_branch_that_knows_more_of_main_than_main_here_is_published(
    world: tuple[Repo, Session, Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, one, other = world
    approved(one, task("a"), task("b", needs=["a"]))
    claimed(one, "a")
    proposed(one, "a")
    assert land(one) == ["a"]
    claimed(other, "b")
    proposed(other, "b")
    gh.without(monkeypatch, tmp_path / "bin")
    found = publishing.publish(other, publishing.Wanted(), lambda _: None)
    assert [pull.fate for pull in found.pulls] == [Fate.TO_OPEN], found


def test_a_clone_that_has_never_reached_its_server_is_not_sent_to_the_status(
    tmp_path: Path, clock: FakeClock
) -> None:
    _, (one, _) = make_clones(tmp_path)
    servers.cut_off(one)
    with pytest.raises(Unreachable, match="cannot be reached") as told:
        open_fleet(one, "w1", clock)
    assert told.value.hint == "git ls-remote origin has to work here"


def test_cut_off_reading_says_how_old_it_is_and_nothing_is_decided(
    world: tuple[Repo, Session, Session], clock: FakeClock
) -> None:
    _, one, _ = world
    approved(one, task("a"))
    clone = Repo(one.repo.common_dir.parent)
    servers.cut_off(clone)
    told: list[str] = []
    around = replace(surroundings(clock), warn=told.append)
    with open_session(clone.path, around, worker="w1", reading=True) as reading:
        (clone.path / ".git/fleet/remote").touch()
        assert states(reading) == {"a": State.PENDING}
        assert told == []  # another command has just looked
        os.utime(clone.path / ".git/fleet/remote", (0, 0))
        assert states(reading) == {"a": State.PENDING}
        assert "cannot be reached" in told[0]
        assert "minutes old" in told[0]
    with pytest.raises(Unreachable, match="nobody there"):
        claiming.claim(one, claiming.Request(worktree=False))


def test_a_server_that_goes_hides_nothing_that_has_landed(world: tuple[Repo, Session, Session]) -> None:
    server, one, other = world
    away, told = server.path.with_name("away"), list[str]()
    one.around = replace(one.around, warn=told.append)
    with lead.leading(one) as held:
        server.path.rename(away)
    away.rename(server.path)
    (said,) = told
    assert said.startswith("the lead is not given up: the remote origin cannot be reached")
    with pytest.raises(Held, match="leads until"):
        lead.acquire(other)
    with lead.leading(one) as again:
        assert again.record.state.fence == held.record.state.fence
    assert lead.acquire(other).state.holder


def test_a_plan_onto_another_branch_is_followed_there(world: tuple[Repo, Session, Session]) -> None:
    server, one, other = world
    clone = Repo(one.repo.common_dir.parent)
    clone.branch("next")
    clone.run_git("push", "--quiet", "origin", "next")
    approved(one, task("a"), base="next")
    claimed(other, "a")
    proposed(other, "a")
    assert land(other) == ["a"]
    assert "a/new" in server.files("next")
    assert "a/new" not in server.files("main")
