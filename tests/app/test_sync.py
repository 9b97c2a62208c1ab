"""Claims made while the server could not be reached, and how they are settled: who pushes first has won."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from git_fleet.app import claim as claiming
from git_fleet.app import doctor, handin, integrate, placing, sharing, work
from git_fleet.app.decided import found_out
from git_fleet.app.session import Session
from git_fleet.app.sync import sync
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import State
from git_fleet.errors import Held, InvalidInput, Refused, StaleClaim, Unreachable
from git_fleet.git.refs import Update
from git_fleet.store import names, plans, proposals
from git_fleet.store.shared import SharedRefs
from tests.support import servers
from tests.support.breaking import before_write, die, killed
from tests.support.clock import FakeClock
from tests.support.clones import make_clones
from tests.support.fleet import (
    approved,
    claimed,
    commit_on,
    handed_in,
    on_task,
    open_fleet,
    proposed,
    task,
    task_id,
    working_on,
)
from tests.support.repo import Repo
from tests.support.worlds import assert_logs_are_legal, assert_reachable

LOG = names.task_log(task_id("c"))


class World:
    """Two clones; the first can be cut off."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.server, (self.one, self.two) = make_clones(folder)
        self.clock = clock
        self.there = open_fleet(self.two, "w2", clock, host="two")

    @property
    def here(self) -> Session:
        """The next command in the first clone."""
        return open_fleet(self.one, "w1", self.clock, host="one")

    def claim_offline(self, name: str) -> Path:
        """Claim it with its worktree, without the server."""
        session = self.here
        sharing.go_offline(session.store)
        got = claiming.claim(session, claiming.Request(task=name))
        assert isinstance(got, claiming.Claimed)
        path = placing.place(session, got.record).path
        assert path is not None
        return path


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock) -> World:
    world = World(tmp_path, clock)
    approved(world.there, task("a", files=["same", "a/**"]), task("b", files=["same", "b/**"]), task("c"))
    world.here.snapshot()
    return world


LETS_TWO_PUSHES_THROUGH = 'mkdir "$0.one" 2>/dev/null || touch "$0.down"\nexec git-receive-pack "$1"\n'
LETS_ONE_PUSH_THROUGH = '[ ! -e "$0.down" ] || exit 1\ntouch "$0.down"\nexec git-receive-pack "$1"\n'


def goes_away(clone: Repo, receiving: str) -> None:
    """The server takes pushes of the clone by the script `receiving`, and says nothing more once that has made its
    file `down`."""
    pushed = servers.stand_in(clone, "receivepack", receiving)
    asked = f"[ ! -e '{pushed}.down' ] || exit 1\nexec git-upload-pack \"$1\"\n"
    servers.stand_in(clone, "uploadpack", asked)


@pytest.mark.parametrize("helped", [True, False])
def test_a_claim_that_was_decided_as_the_server_went_away_is_given_to_its_worker(
    world: World, helped: bool
) -> None:
    session, anything = world.here, claiming.Request(worktree=False)
    before = session.snapshot()
    goes_away(world.one, LETS_ONE_PUSH_THROUGH)
    with pytest.raises(Unreachable, match="whether p/a was claimed is not known") as refused:
        claiming.claim(session, claiming.Request("a", worktree=False))
    assert refused.value.hint.startswith(f"git fleet claim --resume p/a --worker {session.actor} ")
    assert found_out(session, before, None, ()) is None  # what is known here may be older for a while
    servers.reconnect(world.one)
    if helped:
        assert isinstance(claiming.claim(world.there, anything), claiming.NothingReady)
        assert world.there.snapshot().tasks[task_id("a")].state.state is State.CLAIMED  # as the guard said
    got = claiming.claim(session, anything)
    assert isinstance(got, claiming.Claimed)
    (event,) = assert_logs_are_legal(session)[task_id("a")]
    assert (got.record.id, got.record.state.claim and got.record.state.claim.fence) == (
        task_id("a"),
        event.oid,
    )
    assert isinstance(claiming.claim(session, anything), claiming.NothingReady)  # it is told once


def test_a_claim_whose_plan_could_not_be_looked_at_again_is_given_to_its_worker(world: World) -> None:
    session, anything = world.here, claiming.Request(worktree=False)
    before = session.snapshot()
    goes_away(world.one, LETS_TWO_PUSHES_THROUGH)  # the guard's and the log's
    with pytest.raises(Unreachable, match="whether p/c was claimed is not known"):
        claiming.claim(session, claiming.Request("c", worktree=False))
    servers.reconnect(world.one)
    there = world.there.snapshot()
    assert there.tasks[task_id("c")].state.state is State.CLAIMED
    plan = plans.append(world.there.store, there.plans["p"], Event("closing", world.clock(), "ann"))
    assert found_out(session, session.snapshot(), None, ()) is None  # whether it counts is being decided
    plans.append(world.there.store, plan, Event("reopen-plan", world.clock(), "ann"))
    got = claiming.claim(session, anything)
    assert isinstance(got, claiming.Claimed)
    assert got.record.id == task_id("c")
    assert found_out(session, before, None, ()) is None  # it is told once


def test_a_claim_that_was_not_decided_as_the_server_went_away_is_made_anew(world: World) -> None:
    session = world.here
    goes_away(world.one, 'touch "$0.down"; exit 1\n')
    with pytest.raises(Unreachable):
        claiming.claim(session, claiming.Request("a", worktree=False))
    servers.reconnect(world.one)
    claimed(world.there, "a")
    assert isinstance(claiming.claim(session, claiming.Request(worktree=False)), claiming.NothingReady)
    assert session.untold == {}


def test_cut_off_a_claim_is_refused_and_offline_it_is_taken_worked_on_and_settled(world: World) -> None:
    servers.cut_off(world.one)
    with pytest.raises(Unreachable):
        claimed(world.here, "c")
    path = world.claim_offline("c")
    work.progress(world.here, "c", "half")
    session = world.here
    handed_in(session, "c")
    assert session.snapshot().tasks[task_id("c")].state.state is State.PROPOSED
    assert world.there.snapshot().tasks[task_id("c")].state.state is State.PENDING
    with pytest.raises(Unreachable):
        sync(world.here)
    servers.reconnect(world.one)
    codes = [note.code for note in doctor.doctor(world.here, fix=False).notes]
    assert {"offline-claim", "not-pushed"} <= set(codes)
    found = sync(world.here)
    assert [(str(one.task), one.won) for one in found.settled] == [("p/c", True)]
    record = world.there.snapshot().tasks[task_id("c")]
    assert (record.state.state, record.state.summary) == (State.PROPOSED, "half")
    events = assert_logs_are_legal(world.there)[task_id("c")]
    assert [entry.event.name for entry in events] == ["claim", "progress", "done"]
    assert events[0].event.fields["offline"] is True
    assert world.one.refs("refs/fleet/task", "refs/fleet/proposal", "refs/fleet/offline") == {}
    assert (path / "c/new").exists()
    again = sync(world.here)
    assert (again.pushes, again.settled, again.told) == (0, (), ())


def test_of_an_offline_claim_of_an_overlapping_task_the_guard_is_asked(world: World) -> None:
    world.claim_offline("a")
    assert [one.won for one in sync(world.here).settled] == [True]
    assert_logs_are_legal(world.there)  # it went through the guard
    with pytest.raises(Exception, match="p/a owns files of it"):
        claimed(world.there, "b")


@pytest.mark.parametrize(("taken", "why"), [("a", "w2 was first"), ("b", "p/b owns files of it")])
def test_who_pushed_first_has_won_and_the_losers_work_is_kept(world: World, taken: str, why: str) -> None:
    path = world.claim_offline("a")
    Repo(path).commit("Mine", {"a/mine": "committed\n"})
    Repo(path).write("a/more", "not committed\n")
    claimed(world.there, taken)
    (lost,) = sync(world.here).settled
    assert not lost.won
    assert why in lost.reason or "somebody else was first" in lost.reason
    assert lost.kept
    assert lost.worktree == str(path)
    assert_reachable(world.one, b"committed\n", b"not committed\n")
    assert (path / "a/more").exists()
    inside = open_fleet(path, None, world.clock, host="one")
    with pytest.raises(StaleClaim, match="your work is"):
        handin.done(inside, None, handin.Handin(all_changes=True))
    assert world.one.refs("refs/fleet/task", "refs/fleet/offline") == {}
    assert len(world.one.refs("refs/fleet/lost")) == 1
    assert "remote-went-back" not in _codes(world.here)  # it never had it
    assert assert_logs_are_legal(world.there).keys() == {task_id(taken)}


def test_an_offline_claim_that_was_cut_short_is_made_by_the_next(world: World) -> None:
    def claim_it() -> None:
        world.claim_offline("c")

    servers.cut_off(world.one)
    assert killed(partial(before_write, 3, die), claim_it)  # the mark is there, and the log is not
    assert world.one.refs("refs/fleet/offline", "refs/fleet/task").keys() == {names.offline(task_id("c"))}
    world.claim_offline("c")
    work.release(world.here, "c")
    with pytest.raises(Unreachable, match="claiming p/c again needs the remote"):
        world.claim_offline("c")
    servers.reconnect(world.one)
    assert [one.won for one in sync(world.here).settled] == [True]
    assert world.there.snapshot().tasks[task_id("c")].state.state is State.PENDING
    events = assert_logs_are_legal(world.there)[task_id("c")]
    assert [entry.event.name for entry in events] == ["claim", "release"]


def test_after_an_offline_claim_that_was_never_made_the_server_is_asked(world: World) -> None:
    def claim_it() -> None:
        world.claim_offline("c")

    assert killed(partial(before_write, 3, die), claim_it)
    claimed(world.here, "c")
    assert world.there.snapshot().tasks[task_id("c")].state.state is State.CLAIMED
    assert [one.won for one in sync(world.here).settled] == [False]
    assert world.there.snapshot().tasks[task_id("c")].state.state is State.CLAIMED


def test_what_an_offline_claim_has_lost_is_the_servers_before_it_is_settled(world: World) -> None:
    world.claim_offline("b")
    claimed(world.there, "b")
    proposed(world.there, "b")
    world.here.snapshot()
    work.reject(world.here, "b", ("no",))
    assert world.there.snapshot().tasks[task_id("b")].state.state is State.REWORK
    assert [one.won for one in sync(world.here).settled] == [False]


def test_what_was_claimed_offline_does_not_land_before_it_is_settled(world: World) -> None:
    world.claim_offline("c")
    handed_in(world.here, "c")
    main = Repo(world.server).rev("main")
    found = integrate.integrate(world.here, integrate.Order(), lambda _: None)
    assert [(str(one.id), one.reason) for one in found.skipped] == [
        ("p/c", "it was claimed offline, and git fleet sync has not settled it")
    ]
    assert (found.integrated, Repo(world.server).rev("main")) == ((), main)
    session = world.here
    log = session.snapshot().tasks[task_id("c")].tip
    assert log is not None
    moves = [Update("refs/heads/main", main, commit_on(session, main, {"x": "x"})), Update(LOG, log, log)]
    with pytest.raises(Refused, match="p/c was claimed offline"):  # whatever else may want to move main by it
        session.store.transact(moves)
    assert Repo(world.server).rev("main") == main
    sync(world.here)
    found = integrate.integrate(world.here, integrate.Order(), lambda _: None)
    assert [str(one.id) for one in found.integrated] == ["p/c"]


def test_what_a_loser_handed_in_is_kept_too(world: World) -> None:
    world.claim_offline("c")
    handed_in(world.here, "c", {"c/mine": "mine\n"})
    on_task(world.there, "cancel", "c")
    (lost,) = sync(world.here).settled
    assert not lost.won
    assert_reachable(world.one, b"mine\n")
    assert world.one.refs("refs/fleet/proposal") == {}
    assert Repo(world.server).refs("refs/fleet/proposal") == {}


def test_what_was_handed_in_offline_under_a_number_that_is_taken_is_not_told(world: World) -> None:
    claimed(world.there, "c")
    proposals.add(  # and then they died
        world.there.store,
        task_id("c"),
        commit=commit_on(world.there, world.two.rev("main"), {"c/theirs": "theirs\n"}),
        worker="w2",
        result="",
        artifacts={},
        at=world.clock(),
    )
    work.release(world.there, "c")
    world.here.snapshot()
    servers.cut_off(world.one)
    world.claim_offline("c")
    handed_in(world.here, "c", {"c/mine": "mine\n"})
    servers.reconnect(world.one)
    (lost,) = sync(world.here).settled
    assert (lost.won, lost.reason) == (False, "there is another proposal 1 of it")
    assert_reachable(world.one, b"mine\n")
    assert world.there.snapshot().tasks[task_id("c")].state.state is State.PENDING
    assert world.one.refs("refs/fleet/task", "refs/fleet/proposal", "refs/fleet/offline") == {}


def test_what_another_clone_has_saved_and_not_carried_stays_there(world: World) -> None:
    path = working_on(world.there, "c")
    Repo(path).commit("Theirs", {"c/theirs": "theirs\n"})
    work.release(world.there, "c")
    assert world.there.snapshot().tasks[task_id("c")].state.salvaged is not None
    mine = working_on(world.here, "c")
    assert Repo(mine).rev("HEAD") == world.one.rev("main")
    assert_reachable(world.two, b"theirs\n")


def test_offline_nothing_is_gone_on_with_that_the_server_alone_has(world: World) -> None:
    claimed(world.there, "c")
    proposed(world.there, "c")
    on_task(world.there, "reject", "c", reason="no")
    world.here.snapshot()
    with pytest.raises(Unreachable, match="going on with p/c needs the remote"):
        world.claim_offline("c")
    assert world.one.refs("refs/fleet/offline", "refs/fleet/task") == {}


def test_a_sync_that_was_cut_short_is_finished_by_the_next(world: World) -> None:
    world.claim_offline("a")
    servers.stand_in(world.one, "receivepack", servers.UNREACHABLE)
    with pytest.raises(Refused):  # it can be asked, but takes nothing
        sync(world.here)
    assert world.one.refs("refs/fleet/offline")
    servers.reconnect_side(world.one, "receivepack")
    assert [one.won for one in sync(world.here).settled] == [True]


def test_progress_that_waits_is_told_and_the_checkout_of_main_follows(world: World) -> None:
    session = world.here
    working_on(session, "c")
    work.progress(session, "c", "half")
    assert isinstance(session.store.refs, SharedRefs)
    assert session.store.refs.waiting()
    world.two.commit("Upstream", {"new": "new\n"})
    world.two.run_git("push", "--quiet", "origin", "main")
    found = sync(world.here)
    assert found.told == (names.task_log(task_id("c")),)
    assert world.there.snapshot().tasks[task_id("c")].state.summary == "half"
    assert (world.one.path / "new").exists()
    assert world.one.status() == []


def test_without_a_remote_there_is_nothing_to_sync(repo: Repo, clock: FakeClock) -> None:
    with pytest.raises(InvalidInput, match="names no remote"):
        sync(open_fleet(repo, "w1", clock))
    with pytest.raises(InvalidInput, match="no remote decides"):
        sharing.go_offline(open_fleet(repo, "w1", clock).store)


# --- doctor --------------------------------------------------------------------------------------


def _codes(session: Session) -> set[str]:
    found = doctor.doctor(session, fix=False)
    return {one.code for one in (*found.problems, *found.notes)} - {"hooks-missing"}


@pytest.mark.parametrize("ref", ["refs/fleet/plan/p", "refs/fleet/task/plan/p"])
def test_doctor_finds_a_server_that_was_brought_back_from_a_backup(world: World, ref: str) -> None:
    approved(world.there, task("p"), plan="plan")
    claimed(world.here, "plan/p")
    assert "remote-went-back" not in _codes(world.here)
    server = Repo(world.server)
    at = server.refs(ref)
    server.run_git("update-ref", "-d", ref)
    found = {one.code: one for one in doctor.doctor(world.here, fix=False).problems}
    told = found["remote-went-back"]
    assert told.text.startswith(f"{ref} of origin lacks ")
    world.one.run_git(*told.fix.split(" brings", maxsplit=1)[0].split()[1:])
    assert server.refs(ref) == at
    assert "remote-went-back" not in _codes(world.here)


def test_doctor_names_what_the_server_refused_and_locks_that_were_left_there(world: World) -> None:
    servers.refuse(world.server, "no such refs here", "refs/fleet/task/*")
    with pytest.raises(Exception, match="no such refs here"):
        claimed(world.here, "c")
    lock = world.server / "refs/fleet/plan/p.lock"
    lock.touch()
    assert {"remote-refused", "remote-lock"} <= _codes(world.here)
    lock.unlink()
    (world.server / "hooks/pre-receive").unlink()
    with pytest.raises(Held, match="w1 holds it"):  # it has finished the claim that the guard names
        claimed(world.here, "c")
    assert not {"remote-refused", "remote-lock"} & _codes(world.here)


def test_doctor_says_so_when_the_server_cannot_be_reached(world: World) -> None:
    world.claim_offline("c")
    asked = servers.stand_in(world.one, "uploadpack", 'echo >>"$0.asked"; exit 1\n')
    assert {"remote-unreachable", "offline-claim"} <= _codes(world.here)
    assert asked.with_name(f"{asked.name}.asked").read_text() == "\n"  # each time could last for minutes


def _probed(world: World) -> list[str]:
    found = doctor.probe(world.here, "")
    assert not [ref for ref in Repo(world.server).refs() if "probe" in ref]
    return [one.code for one in (*found.problems, *found.notes)]


def test_a_plain_git_server_can_decide(world: World) -> None:
    assert _probed(world) == ["remote-tried"]


def test_what_a_server_lacks_is_found_out_on_refs_of_its_own(world: World) -> None:
    Repo(world.server).run_git("config", "receive.advertiseAtomic", "false")
    assert _probed(world)[0] == "remote-refs"
    Repo(world.server).run_git("config", "--unset", "receive.advertiseAtomic")
    servers.refuse(world.server, "no notes", "refs/notes/*")
    assert _probed(world) == ["remote-refs"]
    (world.server / "hooks/pre-receive").unlink()
    servers.cut_off(world.one)
    assert _probed(world) == ["remote-unreachable"]


def test_that_the_server_is_away_is_said_once(world: World) -> None:
    servers.cut_off(world.one)
    world.claim_offline("c")
    told: list[str] = []

    def here() -> Session:
        session = world.here
        session.around = replace(session.around, warn=told.append)
        return session

    with here() as session:
        work.progress(session, "p/c", "going on")
    (said,) = told
    assert "cannot be reached" in said
    with pytest.raises(Unreachable, match="cannot be reached"), here() as session:
        integrate.integrate(session, integrate.Order(), told.append)
    assert told == [said]
