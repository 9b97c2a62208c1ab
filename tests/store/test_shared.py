"""The fleet's refs on a git server: the same interface, and who won is what the server says when it is asked again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from git_fleet.core.ids import Oid
from git_fleet.errors import Held, InvalidInput, Refused, Stale, Unreachable
from git_fleet.git import upstream
from git_fleet.git.refs import ABSENT, Update
from git_fleet.git.remote import Remote
from git_fleet.git.repository import discover
from git_fleet.store.shared import SharedRefs
from tests.support import servers
from tests.support.clones import make_clones
from tests.support.repo import Repo

LOG, OTHER, PLAN, GUARD = (
    "refs/fleet/task/p/a",
    "refs/fleet/task/p/b",
    "refs/fleet/plan/p",
    "refs/fleet/guard",
)
MIRRORED = "refs/fleet-remote/origin/task/p/a"


@contextmanager
def shared(clone: Repo, *, seconds: float = 60.0) -> Iterator[SharedRefs]:
    repo = discover(clone.path)
    remote = Remote(repo, "origin", seconds=seconds)
    with SharedRefs(repo, remote, bases=["refs/heads/main"]) as refs:
        refs.refresh()
        yield refs


def event(clone: Repo, text: str, parent: Oid | None = None) -> Oid:
    """A commit that no ref names yet."""
    on = ["-p", parent] if parent else []
    tree = clone.run_git("mktree")
    return Oid(clone.run_git("commit-tree", tree, *on, "-m", text))


@pytest.fixture
def world(tmp_path: Path) -> tuple[Path, Repo, Repo]:
    server, (one, other) = make_clones(tmp_path)
    return server, one, other


def test_what_one_clone_writes_another_reads(world: tuple[Path, Repo, Repo]) -> None:
    server, one, other = world
    first = event(one, "first")
    with shared(one) as mine, shared(other) as theirs:
        mine.transact([Update(LOG, ABSENT, first)])
        assert mine.get(LOG) == first
        assert theirs.get(LOG) is ABSENT  # what is read stays of one moment
        theirs.refresh()
        assert theirs.read("refs/fleet/") == mine.read("refs/fleet/") == {LOG: first}
        assert other.run_git("cat-file", "-t", first) == "commit"
        theirs.transact([Update(LOG, first, ABSENT)])
        mine.refresh()
        assert mine.read("refs/fleet/task/") == {}
    assert Repo(server).refs("refs/fleet") == {}
    assert one.refs("refs/fleet", "refs/fleet-remote") == {
        "refs/fleet-remote/origin/heads/main": one.rev("main"),
        f"refs/fleet/gone/p/a/{first[:12]}": first,  # events that the server has no more
    }


def test_of_two_clones_the_first_wins_and_nothing_of_the_others_push_is_there(
    world: tuple[Path, Repo, Repo],
) -> None:
    server, one, other = world
    first, second, third = event(one, "first"), event(other, "second"), event(other, "third")
    with shared(one) as mine, shared(other) as theirs:
        mine.transact([Update(LOG, ABSENT, first)])
        with pytest.raises(Held):
            theirs.transact([Update(OTHER, ABSENT, second), Update(LOG, ABSENT, second)])
        assert theirs.read("refs/fleet/") == {LOG: first}  # it has looked again
        mine.transact([Update(LOG, first, event(one, "more", first))])
        with pytest.raises(Stale):
            theirs.transact([Update(LOG, first, event(other, "mine", first)), Update(OTHER, ABSENT, third)])
    assert set(Repo(server).refs("refs/fleet")) == {LOG}


def test_a_ref_that_is_only_verified_must_be_as_it_was(world: tuple[Path, Repo, Repo]) -> None:
    server, one, other = world
    first, second = event(one, "first"), event(other, "second")
    with shared(one) as mine, shared(other) as theirs:
        mine.transact([Update(LOG, ABSENT, first)])
        theirs.refresh()
        theirs.transact([Update(LOG, first, first), Update(OTHER, ABSENT, second)])
        mine.refresh()
        mine.transact([Update(LOG, first, event(one, "more", first))])
        with pytest.raises(Stale):
            theirs.transact([Update(LOG, first, first), Update(OTHER, second, event(other, "x", second))])
    assert Repo(server).refs(OTHER) == {OTHER: second}


def test_a_push_whose_answer_is_lost_has_come_through(world: tuple[Path, Repo, Repo]) -> None:
    server, one, _ = world
    first = event(one, "first")
    script = servers.stand_in(one, "receivepack", servers.LOSES_THE_ANSWER)
    with shared(one) as mine:
        script.with_name(f"{script.name}.once").touch()
        mine.transact([Update(LOG, ABSENT, first)])
        assert not script.with_name(f"{script.name}.once").exists()
        assert mine.get(LOG) == first
        assert mine.pushes.total() == 1
    assert Repo(server).refs(LOG) == {LOG: first}


def test_a_server_that_does_not_want_it_is_no_lost_race(world: tuple[Path, Repo, Repo]) -> None:
    server, one, _ = world
    servers.refuse(server, "GH006: Protected branch update failed", "refs/heads/main")
    with shared(one) as mine:
        main = one.rev("main")
        with pytest.raises(Refused, match="does not let main be moved by a push: GH006: Protected") as told:
            mine.transact([Update("refs/heads/main", main, event(one, "new", main))])
        assert "pull request" in told.value.hint
        mine.transact([Update(LOG, ABSENT, event(one, "first"))])
    assert Repo(server).rev("main") == main


def test_what_people_ask_of_a_server_with_their_own_pushes_is_not_asked_with_ours(
    world: tuple[Path, Repo, Repo],
) -> None:
    server, one, _ = world
    one.run_git("config", "push.pushOption", "merge_request.create")
    Repo(server).run_git("config", "receive.advertisePushOptions", "true")
    hook = server / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\n[ "$GIT_PUSH_OPTION_COUNT" = 0 ]\n', encoding="utf-8")
    hook.chmod(0o755)
    with shared(one) as mine:
        mine.transact([Update(LOG, ABSENT, event(one, "first"))])
    assert LOG in Repo(server).refs("refs/fleet")


def test_a_lock_that_a_killed_push_has_left_there_is_no_refusal_of_the_servers(
    world: tuple[Path, Repo, Repo],
) -> None:
    server, one, _ = world
    lock = server / f"{LOG}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    with shared(one) as mine:
        first = event(one, "first")
        with pytest.raises(
            Refused, match="has a lock file in the way, of a push that goes on or was killed"
        ) as told:
            mine.transact([Update(LOG, ABSENT, first)])
        assert "whoever keeps the server removes it" in told.value.hint
        assert lock.exists()
        lock.unlink()
        mine.transact([Update(LOG, ABSENT, first)])


def test_a_remote_that_is_not_there_is_a_mistake_in_the_configuration(repo: Repo) -> None:
    with pytest.raises(InvalidInput, match="no such remote"):
        Remote(discover(repo.path), "origin")


def test_a_path_is_seen_from_the_main_worktree_as_git_does(world: tuple[Path, Repo, Repo]) -> None:
    server, one, _ = world
    one.run_git("config", "remote.origin.url", "../../server.git")
    one.run_git("worktree", "add", "--quiet", "--detach", "../elsewhere/linked")
    first = event(one, "first")
    for place in (one, Repo(one.path.parent / "elsewhere/linked"), Repo(one.path / ".git")):
        with shared(place) as mine:
            mine.transact([Update(LOG, mine.get(LOG), first)])
            first = event(one, "more", first)
    assert upstream.tips(discover(one.path), "origin", ["main"]) == {"main": one.rev("main")}
    assert LOG in Repo(server).refs("refs/fleet")


def test_cut_off_nothing_is_written_and_what_was_known_can_be_read(world: tuple[Path, Repo, Repo]) -> None:
    _, one, _ = world
    first = event(one, "first")
    with shared(one) as mine:
        mine.transact([Update(LOG, ABSENT, first)])
        servers.cut_off(one)
        with pytest.raises(Unreachable, match="nobody there"):
            mine.refresh()
        with pytest.raises(Unreachable):
            mine.transact([Update(LOG, first, event(one, "more", first))])
        mine.refresh(max_age_seconds=1e-9)
        assert mine.trouble is not None
        assert mine.get(LOG) == first


def test_a_server_that_never_answers_is_given_up(world: tuple[Path, Repo, Repo]) -> None:
    _, one, _ = world
    with shared(one, seconds=0.5) as mine:
        servers.stand_in(one, "uploadpack", servers.HANGS)
        with pytest.raises(Unreachable, match=r"no answer within 0\.5 seconds"):
            mine.refresh()


def test_reading_is_content_with_what_another_process_has_just_listed(world: tuple[Path, Repo, Repo]) -> None:
    _, one, other = world
    first = event(other, "first")
    with shared(one) as mine, shared(other) as theirs:
        theirs.transact([Update(LOG, ABSENT, first)])
        mine.refresh(max_age_seconds=1000)
        assert mine.get(LOG) is ABSENT
        with shared(one):  # which looks
            pass
        mine.refresh(max_age_seconds=1000)
        assert mine.get(LOG) == first
        theirs.transact([Update(OTHER, ABSENT, first)])
        soon = time.time() + 9000  # the clock was wrong when it was listed
        os.utime(one.path / ".git/fleet/remote", (soon, soon))
        mine.refresh(max_age_seconds=1000)
        assert mine.get(OTHER) == first


def test_what_is_decided_on_is_what_was_listed_here_not_long_ago(world: tuple[Path, Repo, Repo]) -> None:
    _, one, other = world
    first = event(other, "first")
    with shared(one) as mine, shared(other) as theirs:
        theirs.transact([Update(LOG, ABSENT, first)])
        mine.rely(1000)
        assert mine.get(LOG) is ABSENT
        assert mine.now(LOG) == first
        mine.reload()  # the mirror may be half-way between two moments
        mine.rely(1000)
        assert mine.get(LOG) == first


def test_progress_rides_along_with_the_next_push(world: tuple[Path, Repo, Repo]) -> None:
    server, one, other = world
    first = event(one, "claim")
    half, done = event(one, "progress", first), None
    with shared(one) as mine, shared(other) as theirs:
        mine.transact([Update(LOG, ABSENT, first)])
        mine.transact_soon(Update(LOG, first, half))
        assert mine.get(LOG) == half
        assert one.refs(LOG) == {LOG: half}
        with shared(one) as again:  # the next process of this clone knows it, too
            assert again.get(LOG) == half
        theirs.refresh()
        assert theirs.get(LOG) == first
        done = event(one, "done", half)
        mine.transact([Update(LOG, half, done)])
        assert mine.pushes.total() == 2
        assert one.refs(LOG) == {}
        theirs.refresh()
        assert theirs.get(LOG) == done
    assert Repo(server).refs(LOG) == {LOG: done}


def test_a_claim_is_renewed_where_others_see_it_however_much_its_siblings_push(
    world: tuple[Path, Repo, Repo],
) -> None:
    server, one, _ = world
    claims = {ref: event(one, ref) for ref in (LOG, OTHER)}
    with shared(one) as mine:
        for ref, claim in claims.items():
            mine.transact([Update(ref, ABSENT, claim)])
        long_ago(one, LOG)
        renewed = {ref: event(one, f"renew {ref}", claim) for ref, claim in claims.items()}
        for ref, claim in claims.items():
            mine.transact_soon(Update(ref, claim, renewed[ref]))
        assert mine.pushes.total() == 3
        assert mine.waiting() == {OTHER: renewed[OTHER]}
    assert Repo(server).refs("refs/fleet") == {LOG: renewed[LOG], OTHER: claims[OTHER]}


def long_ago(clone: Repo, ref: str) -> None:
    """The pushes of the ref were more than a minute ago."""
    file = clone.path / ".git/fleet/pushes"
    lines = [line.split(" ") for line in file.read_text().splitlines()]
    moved = [[str(float(at) - 61 * (ref in refs)), *refs] for at, *refs in lines]
    file.write_text("".join(" ".join(words) + "\n" for words in moved))


def test_what_the_remote_need_not_be_told_pushes_nothing_at_all(world: tuple[Path, Repo, Repo]) -> None:
    """git that is told to push nothing pushes what it is configured to: main, say."""
    server, one, _ = world
    first, main = event(one, "first"), one.rev("main")
    one.commit("Mine, and not the lead's", {"mine": "1"})
    one.run_git("update-ref", LOG, first)
    with shared(one) as mine:
        mine.tell()
        assert Repo(server).rev("main") == main
        assert mine.get(LOG) == first
        mine.transact([Update(LOG, first, ABSENT)])  # a log that the remote has folded, say
        assert Repo(server).rev("main") == main
        assert mine.get(LOG) is ABSENT
        assert mine.pushes.total() == 0
    one.run_git("update-ref", LOG, first)
    with shared(one) as mine:
        mine.transact([Update(OTHER, ABSENT, first)])
        mine.transact([Update(LOG, first, ABSENT), Update(OTHER, first, ABSENT)])
        assert mine.read("refs/fleet/task/") == {}
    assert one.refs("refs/fleet/task") == Repo(server).refs("refs/fleet") == {}


def test_what_rides_is_still_read_where_a_push_only_compares_its_log(world: tuple[Path, Repo, Repo]) -> None:
    _, one, _ = world
    first = event(one, "first")
    second = event(one, "second", first)
    with shared(one) as mine:
        mine.transact([Update(LOG, ABSENT, first)])
        mine.transact_soon(Update(LOG, first, second))
        mine.transact([Update(LOG, second, second), Update(OTHER, ABSENT, event(one, "other"))])
        assert mine.get(LOG) == second
        assert mine.waiting() == {LOG: second}


def test_progress_that_comes_too_late_is_kept_apart(world: tuple[Path, Repo, Repo]) -> None:
    _, one, other = world
    first = event(one, "claim")
    half = event(one, "progress", first)
    with shared(one) as mine, shared(other) as theirs:
        mine.transact([Update(LOG, ABSENT, first)])
        mine.transact_soon(Update(LOG, first, half))
        theirs.refresh()
        taken = event(other, "taken over", first)
        theirs.transact([Update(LOG, first, taken)])
        mine.refresh()
        assert mine.get(LOG) == taken
    assert one.refs("refs/fleet/") == {f"refs/fleet/lost/p/a/{half[:12]}": half}


def test_the_mirror_never_goes_back(world: tuple[Path, Repo, Repo]) -> None:
    _, one, _ = world
    first = event(one, "first")
    second = event(one, "second", first)
    with shared(one) as mine, shared(one) as slow:
        before = slow.mirror.kept()
        mine.transact([Update(LOG, ABSENT, first)])
        mine.transact([Update(LOG, first, second)])
        assert LOG not in before
        slow.mirror.follow([Update(LOG, ABSENT, first)])  # of a listing that was made in between
        assert one.refs(MIRRORED) == {MIRRORED: second}


def test_where_another_was_faster_with_one_the_mirror_follows_with_the_rest(
    world: tuple[Path, Repo, Repo],
) -> None:
    _, one, _ = world
    first, second = event(one, "first"), event(one, "second")
    with shared(one) as mine:
        mine.transact([Update(LOG, ABSENT, first)])
        mine.mirror.follow([Update(LOG, ABSENT, first), Update(OTHER, ABSENT, second)])
        beside = OTHER.replace("refs/fleet/", "refs/fleet-remote/origin/")
        assert one.refs(MIRRORED, beside) == {MIRRORED: first, beside: second}


AFTER_THE_FIRST = """\
git-upload-pack "$1"; code=$?
if mkdir "$0.seen" 2>/dev/null; then {change}; fi
exit $code
"""


@pytest.mark.parametrize("moved", [PLAN, GUARD])
def test_a_listing_counts_only_if_it_is_of_one_moment(world: tuple[Path, Repo, Repo], moved: str) -> None:
    """Tips that were read before the guard or after the plans' logs would let an overlapping claim slip in."""
    _, one, other = world
    tip, old = event(other, "tip"), event(other, "old")
    new = event(other, "new", old)
    other.run_git("push", "--quiet", "origin", f"{new}:refs/heads/keep")
    with shared(other) as theirs:
        theirs.transact([Update(moved, ABSENT, old), Update(LOG, ABSENT, tip)])
    change = f'git -C "$1" update-ref {moved} {new}'
    servers.stand_in(one, "uploadpack", AFTER_THE_FIRST.format(change=change))
    with shared(one) as mine:
        assert mine.read("refs/fleet/") == {moved: new, LOG: tip}


def test_a_listing_in_which_the_plans_were_read_after_the_tips_does_not_count(
    world: tuple[Path, Repo, Repo],
) -> None:
    """A server reads its refs in any order: a task may be claimed after its tip was read, and a plan that overlaps it
    be approved before the plans are."""
    server, one, other = world
    tip, plan = event(other, "tip"), event(other, "plan")
    claimed, approved = event(other, "claim", tip), event(other, "approve", plan)
    mixed = server.with_name("mixed.git")
    with shared(other) as theirs, shared(one) as mine:
        theirs.transact([Update(PLAN, ABSENT, plan), Update(LOG, ABSENT, tip)])
        mine.refresh()
        other.run_git("push", "--quiet", "origin", f"{approved}:refs/heads/keep")
        other.run_git("clone", "--quiet", "--mirror", str(server), str(mixed))
        Repo(mixed).run_git("update-ref", PLAN, approved)
        theirs.transact([Update(LOG, tip, claimed)])
        theirs.transact([Update(PLAN, plan, approved)])
        servers.stand_in(
            one, "uploadpack", f'mkdir "$0.seen" && exec git-upload-pack {mixed}\nexec git-upload-pack "$1"\n'
        )
        mine.refresh()
        assert mine.read("refs/fleet/") == {PLAN: approved, LOG: claimed}


def test_what_a_mirror_would_take_for_a_branch_is_nobodys(world: tuple[Path, Repo, Repo]) -> None:
    server, one, _ = world
    main, stray = one.rev("main"), event(one, "stray")
    for ref in ("refs/fleet/heads/main", "refs/fleet/notes/evidence"):
        one.run_git("push", "--quiet", "origin", f"{stray}:{ref}")
    with shared(one) as mine:
        assert mine.read("refs/fleet/", "refs/heads/main") == {"refs/heads/main": main}
    with shared(one) as again:
        again.reload()
        assert again.get("refs/heads/main") == main
    assert set(Repo(server).refs("refs/fleet")) == {"refs/fleet/heads/main", "refs/fleet/notes/evidence"}


def test_many_refs_are_fetched_at_once_and_proposals_only_when_wanted(world: tuple[Path, Repo, Repo]) -> None:
    _, one, other = world
    events = {f"refs/fleet/task/p/t{n}": event(other, f"t{n}") for n in range(40)}
    proposal = event(other, "proposal")
    with shared(other) as theirs:
        theirs.transact([Update(ref, ABSENT, oid) for ref, oid in events.items()])
        theirs.transact([Update("refs/fleet/proposal/p/t1/1", ABSENT, proposal)])
    with shared(one) as mine:
        assert mine.read("refs/fleet/task/") == events
        assert mine.get("refs/fleet/proposal/p/t1/1") == proposal
        assert one.try_git("cat-file", "-e", proposal).returncode != 0
        mine.want(["refs/fleet/proposal/p/t1/1"])
        assert one.try_git("cat-file", "-e", proposal).returncode == 0
