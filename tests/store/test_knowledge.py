"""Many learn at the same moment, in one clone and in several, reachable or not: nothing of it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_fleet.app import knowledge as looking
from git_fleet.app import learning, sync
from git_fleet.app.doctor import doctor
from git_fleet.app.learning import Edit
from git_fleet.core import learnings
from git_fleet.core.learnings import Standing
from git_fleet.errors import GitFailed
from git_fleet.store import knowledge, names
from tests.support import servers
from tests.support.clock import FakeClock
from tests.support.clones import make_clones
from tests.support.fleet import approved, claimed, open_fleet, task
from tests.support.race import race, values
from tests.support.repo import Repo

REF = names.KNOWLEDGE


def texts(repo: Repo) -> list[str]:
    with open_fleet(repo) as session:
        session.store.refs.refresh()
        return sorted(one.learning.text for one in knowledge.read(session.store).known)


def states(repo: Repo) -> dict[str, Standing]:
    with open_fleet(repo) as session:
        session.store.refs.refresh()
        return {one.learning.text: one.state for one in knowledge.read(session.store).known}


def learn_one(index: int, *folders: Path) -> bool:
    with open_fleet(folders[index % len(folders)], f"w{index}") as session:
        return learning.learn(session, f"Thing {index}").told


def test_sixteen_processes_in_one_clone_lose_nothing(repo: Repo) -> None:
    assert values(race(16, learn_one, repo.path)) == [True] * 16
    assert texts(repo) == sorted(f"Thing {n}" for n in range(16))
    assert len(repo.run_git("log", "--format=%an", REF).splitlines()) == 16
    repo.run_git("fsck", "--strict", "--no-dangling")


def test_sixteen_processes_in_two_clones_lose_nothing(tmp_path: Path) -> None:
    server, clones = make_clones(tmp_path)
    for clone in clones:
        open_fleet(clone)  # it knows the server
    assert values(race(16, learn_one, *(clone.path for clone in clones))) == [True] * 16
    every = sorted(f"Thing {n}" for n in range(16))
    assert texts(clones[0]) == texts(clones[1]) == every
    assert not [ref for clone in clones for ref in clone.refs() if ref == REF]  # the server has it all
    Repo(server).run_git("fsck", "--strict", "--no-dangling")


def test_what_was_learned_while_the_server_could_not_be_reached_is_united(tmp_path: Path) -> None:
    _, (one, other) = make_clones(tmp_path)
    first, second = open_fleet(one, "w1"), open_fleet(other, "w2")
    (shared,) = learning.learn(first, "Both know it").known
    servers.cut_off(one)
    assert not learning.learn(first, "Offline").told
    assert not learning.learn(first, "Offline, too").told
    assert texts_here(one) == ["Both know it", "Offline", "Offline, too"]
    assert any(note.code == "not-pushed" and REF in note.text for note in doctor(first, fix=False).notes)
    learning.learn(second, "Meanwhile")
    learning.decide(second, retire=[shared.id])
    servers.reconnect(one)
    assert REF in sync.sync(first).told
    every = ["Both know it", "Meanwhile", "Offline", "Offline, too"]
    assert texts(one) == texts(other) == every
    assert (
        states(one)
        == states(other)
        == dict.fromkeys(every, Standing.UNAPPROVED) | {"Both know it": Standing.RETIRED}
    )
    assert REF not in one.refs()
    assert sync.sync(first).told == ()


def texts_here(repo: Repo) -> list[str]:
    with open_fleet(repo) as session:
        return sorted(one.learning.text for one in knowledge.read(session.store).known)


def test_the_next_learning_takes_along_what_waits(tmp_path: Path) -> None:
    _, (one, other) = make_clones(tmp_path)
    session = open_fleet(one, "w1")
    session.store.refs.refresh()
    servers.cut_off(one)
    learning.learn(session, "Offline")
    servers.reconnect(one)
    assert learning.learn(session, "Online").told
    assert texts(other) == ["Offline", "Online"]
    assert REF not in one.refs()


def test_decisions_made_apart_come_to_the_same_everywhere(tmp_path: Path, clock: FakeClock) -> None:
    _, (one, other) = make_clones(tmp_path)
    first, second = open_fleet(one, "w1", FakeClock()), open_fleet(other, "w2", clock)
    (known,) = learning.learn(first, "Contested").known
    servers.cut_off(one)
    learning.decide(first, approve=[known.id])
    learning.decide(first, retire=[known.id])  # it knew of the approval
    clock.advance(5 * 3600)
    learning.decide(second, edits=[Edit(known.id, "Contested, in better words")])
    servers.reconnect(one)
    sync.sync(first)
    wanted = {"Contested": Standing.RETIRED, "Contested, in better words": Standing.APPROVED}
    assert states(one) == states(other) == wanted


def test_what_is_there_stays_as_it_is_and_is_not_written_again(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    learning.learn(session, "Once")
    before = repo.rev(REF)
    clock.advance(3600)
    again = learning.learn(open_fleet(repo, "w2", clock), "Once")
    assert (again.new, again.known[0].learning.by) == (frozenset(), "w1")
    assert repo.rev(REF) == before


def test_a_broken_file_is_named_and_taken_out_and_one_of_a_newer_version_stays(repo: Repo) -> None:
    session = open_fleet(repo, "w1")
    learning.learn(session, "Well")
    name = "/".join(("ab", "c" * 62 + ".md"))
    made = {"junk": b"x", name: b"+++\nversion = 7\n+++\nFrom the future\n"}
    knowledge.add(session.store, lambda: made, actor="w1", at=session.now(), subject="mischief")
    found = doctor(session, fix=False)
    assert [(one.code, "junk" in one.text) for one in found.problems[1:]] == [("knowledge-broken", True)]
    assert [one.code for one in found.notes if one.code.startswith("knowledge")] == ["knowledge-newer"]
    assert doctor(session, fix=True).problems[1].fixed
    assert [one.code for one in doctor(session, fix=False).problems] == ["hooks-missing"]
    left = repo.run_git("ls-tree", "-r", "--name-only", REF)
    assert "junk" not in left
    assert name in left
    assert texts(repo) == ["Well"]
    assert repo.run_git("show", f"{REF}^:junk") == "x"


def test_a_broken_file_in_the_place_of_a_learning_is_said(repo: Repo) -> None:
    session = open_fleet(repo, "w1")
    path, _ = learnings.learning_file(learnings.make("Mine", by="w1", at=session.now()))
    knowledge.add(session.store, lambda: {path: b"x"}, actor="w2", at=session.now(), subject="mischief")
    with pytest.raises(GitFailed, match="has a broken file in the place of"):
        learning.learn(session, "Mine")
    doctor(session, fix=True)
    assert learning.learn(session, "Mine").new


def test_a_ref_that_is_no_commit_is_said_and_stops_no_claim(repo: Repo) -> None:
    session = open_fleet(repo, "w1")
    repo.run_git("update-ref", REF, repo.run_git("hash-object", "-w", "--stdin", stdin=b"x"))
    found = doctor(session, fix=False).problems
    assert [one.text for one in found if one.code == "format"] == [f"{REF} is a blob, not a commit"]
    approved(session, task("a"))
    assert looking.for_task(session, claimed(session, "a")) == ()
