"""The wall of a server, by real pushes: what each may do, and what is refused with the reason on the terminal."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from git_fleet.app import carrying, guarding, hookfiles, integrate, learning, work
from git_fleet.app.doctor import doctor, probe
from git_fleet.app.session import Session
from git_fleet.core import learnings
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import Verdict
from git_fleet.errors import Refused
from git_fleet.store import gatelogs, guard, knowledge, lead
from tests.support.fleet import (
    accepted,
    approved,
    claimed,
    handed_in,
    landed_on_main,
    on_task,
    open_fleet,
    proposed,
    task,
    task_id,
    working_on,
)
from tests.support.keys import allow, new_key, sign_with
from tests.support.repo import Repo
from tests.support.walled import Deciding, Walled, walled

TASK = "refs/fleet/task/p/"
GUARD = "refs/fleet/guard"


@pytest.fixture(params=[True, False], ids=["rules", "contents"])
def wall(repo: Repo, tmp_path: Path, request: pytest.FixtureRequest) -> Walled:
    """Either strength refuses all of this."""
    return walled(repo, tmp_path, plain=request.param)


def pushed_in(wall: Walled, name: str, worker: str) -> None:
    """That task claimed and handed in by the worker, and pushed by it."""
    session = wall.as_worker(worker)
    claimed(session, name)
    proposed(session, name)
    log = TASK + name
    wall.must_take(worker, f"{log}:{log}", "refs/fleet/proposal/*:refs/fleet/proposal/*")


def forged(wall: Walled, name: str, change: dict[str, str]) -> str:
    """The last event of the task's log, its text changed: a commit that only looks like an event."""
    raw = wall.clone.run_git("cat-file", "commit", f"{TASK}{name}")
    for old, new in change.items():
        assert old in raw
        raw = raw.replace(old, new)
    return wall.clone.run_git("hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.encode() + b"\n")


def test_a_task_goes_its_whole_way_through_the_wall(wall: Walled) -> None:
    w1, boss = wall.as_worker("w1"), wall.as_worker("boss")
    claimed(w1, "a", worktree=True)
    wall.must_take("w1", GUARD)
    wall.must_take("w1", f"{TASK}a")
    on_task(w1, "progress", "a", status="half")
    wall.must_take("w1", f"{TASK}a")
    claim = w1.record(w1.snapshot(), "a").state.claim
    assert claim is not None
    wall.must_take("w1", f"HEAD:refs/heads/{claim.branch}")
    proposed(w1, "a", {"x/1": "1"})
    wall.must_take("w1", "refs/fleet/proposal/p/a/1")
    wall.must_take("w1", f"{TASK}a")
    accepted(boss, "a")
    wall.must_take("boss", f"{TASK}a")
    commit = landed_on_main(boss, "a")
    wall.must_take("boss", "main")
    on_task(boss, "integrate", "a", commit=commit)
    wall.must_take("boss", f"{TASK}a")
    assert Repo(wall.server).refs(f"{TASK}a") == wall.clone.refs(f"{TASK}a")


def test_main_is_the_leads_and_goes_forward(wall: Walled) -> None:
    first = wall.clone.rev("main")
    wall.clone.commit("Mine", {"new": "1\n"})
    wall.must_refuse("main is the lead's alone, and w1 is none", "w1", "main")
    wall.must_refuse("main is the lead's alone, and stranger is none", "stranger", "main")
    wall.must_refuse("a base is never deleted", "boss", ":main")
    orphan = wall.clone.run_git("commit-tree", "-m", "other", f"{first}^{{tree}}")
    wall.must_refuse("it only goes forward", "boss", f"+{orphan}:refs/heads/main")


def test_another_tasks_log_and_branch_are_another_ones(wall: Walled) -> None:
    w1, w2 = wall.as_worker("w1"), wall.as_worker("w2")
    claimed(w1, "c", worktree=True)
    wall.must_take("w1", f"{TASK}c")
    claim = w1.record(w1.snapshot(), "c").state.claim
    assert claim is not None
    wall.must_refuse("it is the branch of a task that w1 holds", "w2", f"HEAD:refs/heads/{claim.branch}")
    wall.must_refuse("w2 holds no task with this branch", "w2", "HEAD:refs/heads/elsewhere")
    wall.must_take("stranger", "HEAD:refs/heads/elsewhere")
    on_task(w2, "progress", "c", status="mine now")
    wall.must_refuse("it is claimed, and not held by w2", "w2", f"{TASK}c")
    wall.must_refuse("w1 may not write what w2 is the author of", "w1", f"{TASK}c")
    claimed(w2, "d")
    wall.must_refuse("w1 may not write what w2 is the author of", "w1", f"{TASK}d")
    wall.must_refuse("stranger is neither lead, worker nor verifier", "stranger", f"{TASK}d")
    wall.must_refuse("skeptic may not write", "skeptic", f"{TASK}d")


def test_a_claim_that_lives_is_not_taken_over_and_one_that_ran_out_is(wall: Walled) -> None:
    claimed(wall.as_worker("w1", hours=-2), "c")
    wall.must_take("w1", f"{TASK}c")
    claimed(wall.as_worker("w2"), "c")
    wall.must_take("w2", f"{TASK}c")
    claimed(wall.as_worker("w1", hours=2), "c")  # by its own clock, which lies
    wall.must_refuse("it is claimed, and not held by w1", "w1", f"{TASK}c")


def test_anothers_log_takes_the_event_that_the_guard_names(wall: Walled) -> None:
    claimed(wall.as_worker("w1"), "a")
    wall.must_refuse("w2 may not write", "w2", f"{TASK}a")
    wall.must_refuse("w2 may not write", "w2", GUARD)
    wall.must_take("w1", GUARD)
    wall.must_take("w2", f"{TASK}a")


def test_a_log_is_never_rewritten_nor_deleted_but_by_the_lead(wall: Walled) -> None:
    w1 = wall.as_worker("w1")
    claimed(w1, "c")
    on_task(w1, "progress", "c", status="half")
    wall.must_take("w1", f"{TASK}c")
    older = f"{wall.clone.rev(f'{TASK}c')}^"
    wall.must_refuse("it only goes forward", "w1", f"+{older}:{TASK}c")
    wall.must_refuse("it only goes forward", "boss", f"+{older}:{TASK}c")
    wall.must_refuse("deleting what the fleet has stored is the lead's alone", "w1", f":{TASK}c")
    wall.must_take("boss", f":{TASK}c")


def test_a_verdict_is_a_verifiers_and_never_on_ones_own_proposal(wall: Walled) -> None:
    for name, worker in (("c", "w1"), ("d", "both")):
        pushed_in(wall, name, worker)
    before = wall.clone.refs(TASK)
    for name, verifier, pusher, why in (
        ("c", "w1", "w1", "verdict is a verifier's, and w1 is none"),
        ("d", "both", "both", "both may not give a verdict on a proposal of its own"),
        ("d", "verifier:both", "both", "both may not give a verdict on a proposal of its own"),
    ):
        session = wall.as_worker(verifier)
        verdict = Verdict("security", verifier, "upheld", 1)
        on_task(session, "verdict", name, verdict=verdict)
        wall.must_refuse(why, pusher, f"{TASK}{name}")
        wall.clone.run_git("update-ref", f"{TASK}{name}", before[f"{TASK}{name}"])
    verdict = Verdict("security", "verifier:skeptic", "upheld", 1)
    on_task(wall.as_worker("verifier:skeptic"), "verdict", "c", verdict=verdict)
    wall.must_take("skeptic", f"{TASK}c")


def test_a_guard_names_a_claim_of_ones_own(wall: Walled) -> None:
    claimed(wall.as_worker("w1"), "a")
    theirs = wall.clone.rev(GUARD)
    env = {"GIT_AUTHOR_NAME": "w2"}
    mine = wall.clone.run_git("commit-tree", "-m", "x", f"{theirs}^{{tree}}", "-p", f"{theirs}^", env=env)
    wall.must_refuse("w2 may not write what w1 is the author of", "w2", f"{mine}:{GUARD}")


def test_what_reads_two_ways_is_no_event(wall: Walled) -> None:
    """A worker accepts its own proposal by an event that sh would take for another one."""
    pushed_in(wall, "c", "w1")
    on_task(wall.as_worker("w1"), "accept", "c")
    wall.must_refuse("accept is the lead's or a person's", "w1", f"{TASK}c")
    last, accept = ',"v":1}', '"event":"accept"'
    hidden = {last: ',"v":1,"zz":{"event":"withdraw"}}'}
    for change in (
        hidden,
        {accept: '"event" :"accept"', **hidden},
        {accept: '"\\u0065vent":"accept"', **hidden},
        {accept: '"event":"withdraw","event":"accept"'},
        {accept: '"event":"withdraw"', last: ',"v":1,"zz":{"state":"rework"}}'},
        {accept: '"event":"release"', '"state":"verified"': '"state":"\\u0076erified"'},
        {accept: '"event":"withdraw"', '"worker":"w1"': '"worker":"w\\u0031"'},
    ):
        wall.must_refuse("not written as git-fleet writes them", "w1", f"{forged(wall, 'c', change)}:{TASK}c")
    own = forged(wall, "c", {accept: '"event":"withdraw"'})
    wall.must_refuse("withdraw does not make a task verified", "w1", f"{own}:{TASK}c")


def test_what_has_to_be_escaped_in_an_event_is_no_reason_to_refuse_it(wall: Walled) -> None:
    w1 = wall.as_worker("w1")
    for name in ("c", "d"):
        claimed(w1, name)
    on_task(w1, "progress", "c", status='"event": "é" \\u0061 \t/\x7f \\')
    own = forged(wall, "d", {'"attempt":1,"exp': '"attempt":1,"branch":"caf\\u00e9","exp'})
    wall.must_take("w1", f"{TASK}c", f"{own}:{TASK}d")


def test_the_guard_lets_nothing_by_but_a_claim(wall: Walled) -> None:
    """What it names goes into a log as it is: so that is looked at when the guard is moved."""
    pushed_in(wall, "c", "w1")
    w1 = wall.as_worker("w1")
    record = w1.record(w1.snapshot(), "c")
    on_task(w1, "accept", "c")
    named = Oid(wall.clone.rev(f"{TASK}c"))
    for event in ("accept", "withdraw"):
        guard.move(w1.store, before=None, task=record.id, claim=named, event=Event(event, w1.now(), "w1", {}))
        why = "accept is the lead's" if event == "accept" else "it names no claim, but withdraw"
        wall.must_refuse(why, "w1", GUARD, f"{TASK}c")
        wall.clone.run_git("update-ref", "-d", GUARD)
        wall.clone.run_git("update-ref", f"{TASK}c", f"{TASK}c^")
        on_task(w1, "withdraw", "c")
        named = Oid(wall.clone.rev(f"{TASK}c"))


def test_a_guard_speaks_for_the_log_that_it_names(wall: Walled) -> None:
    claimed(wall.as_worker("w1"), "a")
    wall.must_take("w1", GUARD)
    wall.must_refuse("w2 may not write what w1 is the author of", "w2", f"{TASK}a:{TASK}d")


def test_another_name_of_a_base_is_no_way_to_it(wall: Walled) -> None:
    Repo(wall.server).run_git("symbolic-ref", "refs/heads/master", "refs/heads/main")
    wall.clone.commit("Mine", {"new": "1\n"})
    wall.must_refuse("it is another name of refs/heads/main", "stranger", "main:refs/heads/master")
    for ref in ("refs/heads/MAIN", "refs/Heads/main", "refs/Fleet/guard", "refs/notes/Fleet/evidence"):
        wall.must_refuse("by its capitals is the lead's alone", "stranger", f"main:{ref}")
    wall.must_take("stranger", "main:refs/heads/Else", "main:refs/notes/Commits")


def test_a_name_above_the_fleets_notes_is_not_a_strangers(wall: Walled) -> None:
    for ref in Repo(wall.server).refs("refs/notes/"):
        Repo(wall.server).run_git("update-ref", "-d", ref)
    wall.must_refuse("stranger is neither lead, worker nor verifier", "stranger", "main:refs/notes/fleet")


@pytest.mark.parametrize(
    "line", ["base main\r", "base refs/heads/main", "base old main", "base main # trunk"]
)
def test_however_a_base_is_written_it_is_guarded(wall: Walled, line: str) -> None:
    allowed = wall.server / "fleet" / "allowed"
    allowed.write_bytes(allowed.read_bytes().replace(b"base main", line.encode()))
    wall.clone.commit("Mine", {"new": "1\n"})
    wall.must_refuse("main is the lead's alone, and stranger is none", "stranger", "main")


def test_what_allowed_says_in_a_remark_allows_nothing(wall: Walled) -> None:
    allowed = wall.server / "fleet" / "allowed"
    text = allowed.read_text()
    claimed(wall.as_worker("w2"), "c")
    allowed.write_text(text.replace("worker w1", "worker w1  # not w2").replace("\n", "\r\n"))
    wall.must_refuse("w1 may not write what w2 is the author of", "w1", f"{TASK}c")
    for line, why in (("base", "says base and names nothing"), ("base ma*", "a pattern where a base")):
        allowed.write_text(text.replace("base main", line))
        wall.must_refuse(why, "w2", f"{TASK}c")
    allowed.write_text(text.replace("\n", "\r\n"))
    wall.must_take("w2", f"{TASK}c")


def test_a_claim_that_git_will_refuse_gives_no_right(wall: Walled) -> None:
    """A push need not be atomic, and says itself what it takes for the old value of a ref."""
    claimed(wall.as_worker("w1"), "c")
    wall.must_take("w1", f"{TASK}c")
    wall.clone.run_git("update-ref", "-d", f"{TASK}c")
    claimed(wall.as_worker("w2"), "c")
    mine = wall.clone.rev(f"{TASK}c")
    work = wall.clone.run_git("commit-tree", "-m", "x", "main^{tree}", env={"GIT_AUTHOR_NAME": "w2"})
    zero, proposal = "0" * len(mine), "refs/fleet/proposal/p/c/1"
    lines = [f"{zero} {mine} {TASK}c\0report-status\n", f"{zero} {work} {proposal}\n"]
    asked = "".join(f"{len(line) + 4:04x}{line}" for line in lines) + "0000"
    objects = wall.clone.try_git(
        "pack-objects", "-q", "--revs", "--stdout", stdin=f"{mine}\n{work}\n".encode()
    )
    done = wall.clone.try_git(
        "receive-pack", str(wall.server), stdin=asked.encode() + objects.stdout, env={"FLEET_PUSHER": "w2"}
    )
    assert b"p/c is not held by w2" in done.stderr
    assert not Repo(wall.server).refs("refs/fleet/proposal/")


def test_only_the_holder_gives_a_branch_its_name(wall: Walled) -> None:
    """A claim says its branch itself: one that names another's gives no right to it."""
    w1 = wall.as_worker("w1")
    claimed(w1, "c", worktree=True)
    wall.must_take("w1", f"{TASK}c")
    claim = w1.record(w1.snapshot(), "c").state.claim
    assert claim is not None
    wall.clone.commit("Next", {"new": "1\n"})
    claimed(wall.as_worker("w2"), "d")
    own = forged(wall, "d", {'"claim":{': f'"claim":{{"branch":"{claim.branch}",'})
    wall.must_take("w2", f"{own}:{TASK}d")
    wall.must_refuse("it is the branch of a task that w1 holds", "w2", f"HEAD:refs/heads/{claim.branch}")


def test_what_is_no_commit_or_has_an_odd_name_is_nothing_of_the_fleet(wall: Walled) -> None:
    blob = wall.clone.run_git("rev-parse", "main:README.md")
    for ref in (f"{TASK}z", GUARD, "refs/fleet/salvage/p/c/1"):
        wall.must_refuse("it would not be a commit", "w1", f"{blob}:{ref}")
    claimed(wall.as_worker("w1"), "c")
    odd = ("p/c/d", "p/C", "p/\udcff", "p/a+b")
    for ref in (
        "refs/fleet/task/q",
        "refs/fleet/salvage/p",
        "refs/fleet/new",
        *(f"{TASK[:-2]}{each}" for each in odd),
    ):
        wall.must_refuse("a ref of this name is the lead's alone", "w1", f"{TASK}c:{ref}")


def test_replaced_objects_deceive_nobody(wall: Walled) -> None:
    claimed(wall.as_worker("w1"), "c")
    theirs = wall.clone.rev(f"{TASK}c")
    fake = wall.clone.run_git("commit-tree", "-m", "x", "main^{tree}", env={"GIT_AUTHOR_NAME": "w2"})
    wall.must_take("stranger", f"{fake}:refs/replace/{theirs}")
    wall.must_refuse("w2 may not write what w1 is the author of", "w2", f"{TASK}c")


def test_a_key_is_a_name_where_the_server_says_so(wall: Walled, tmp_path: Path) -> None:
    """As sshd runs `command=` of authorized_keys: nothing of the pusher's environment gets there but the command."""
    claimed(wall.as_worker("w1"), "c")
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\nfor SSH_ORIGINAL_COMMAND; do :; done\n"
        'exec env -i PATH="$PATH" SSH_ORIGINAL_COMMAND="$SSH_ORIGINAL_COMMAND" '
        """sh -c 'FLEET_PUSHER=w2 git-shell -c "$SSH_ORIGINAL_COMMAND"'\n"""
    )
    ssh.chmod(0o755)
    env = {"GIT_SSH": str(ssh), "GIT_SSH_VARIANT": "simple", "FLEET_PUSHER": "w1"}
    done = wall.clone.try_git("push", "-q", f"git@host:{wall.server}", f"{TASK}c", env=env)
    assert b"w2 may not write what w1 is the author of" in done.stderr


def test_plans_notes_and_the_lead_are_the_leads(wall: Walled) -> None:
    tip = Oid(wall.clone.run_git("commit-tree", "-m", "x", "main^{tree}"))
    for ref, why in (
        ("refs/notes/fleet/evidence", "it is the lead's alone"),
        ("refs/fleet/lead", "it is the lead's alone"),
        ("refs/fleet/plan/q", "a plan is the lead's alone"),
        ("refs/fleet/archive/p", "it is the lead's alone"),
        ("refs/tags/v1", "this is the lead's alone"),
    ):
        wall.must_refuse(why, "w1", f"{tip}:{ref}")


def test_what_was_handed_in_stays_as_it_is(wall: Walled) -> None:
    pushed_in(wall, "c", "w1")
    wall.must_refuse("stays as it is", "w1", "+main:refs/fleet/proposal/p/c/1")
    wall.must_refuse("stays as it is", "boss", "+main:refs/fleet/proposal/p/c/1")
    proposal = wall.clone.rev("refs/fleet/proposal/p/c/1")
    wall.must_refuse("p/d is not held by w1", "w1", f"{proposal}:refs/fleet/proposal/p/d/1")


def test_one_thing_refused_refuses_the_push(wall: Walled) -> None:
    claimed(wall.as_worker("w1"), "c")
    wall.clone.commit("Mine", {"new": "1\n"})
    wall.must_refuse("main is the lead's", "w1", f"{TASK}c", "main")


def test_a_name_that_could_be_a_pattern_is_nobodys(wall: Walled) -> None:
    claimed(wall.as_worker("w1"), "c")
    wall.must_refuse("cannot be a name", "*", f"{TASK}c")
    wall.must_refuse("cannot be a name", "w1 boss", f"{TASK}c")


# --- what is pushed, where git-fleet is installed


@pytest.fixture
def strict(repo: Repo, tmp_path: Path) -> Walled:
    """With the contents looked at."""
    return walled(repo, tmp_path, plain=False)


def test_a_commit_on_main_needs_the_trailers_of_a_verified_proposal(strict: Walled) -> None:
    pushed_in(strict, "c", "w1")
    boss = strict.as_worker("boss")
    strict.clone.commit("By hand", {"new": "1\n"})
    strict.must_refuse("carries no trailers of a verified proposal", "boss", "main")
    strict.clone.run_git("reset", "--quiet", "--hard", "HEAD^")
    landed_on_main(boss, "c")
    strict.must_refuse("is of p/c, which is proposed, not verified", "boss", "main")
    accepted(boss, "c")
    strict.must_take("boss", f"{TASK}c", "main")


def intends(session: Session, name: str, commit: Oid) -> None:
    """The lead's log, with an intent by which that task is to become the commit."""
    now, store = session.now(), session.store
    record = session.record(session.snapshot(), name)
    assert record.tip is not None
    landing = lead.Landing(record.id, 1, commit, record.tip, record.tip, "")
    intent = lead.Intent(
        "refs/heads/main", Repo(session.repo.common_dir).rev("main^"), commit, "", (landing,)
    )
    until = now + timedelta(hours=1)
    led = lead.acquire(store, lead.read(store), actor="boss", worktree="x", now=now, expires_at=until)
    lead.begin(store, led, intent, actor="boss", now=now)


@pytest.mark.parametrize("policy", ["", "policy = { verdicts = 1 }\n"])
def test_where_gates_alone_uphold_the_leads_intent_comes_before_main(strict: Walled, policy: str) -> None:
    """The event that says so follows main, as in app/landing.py. Where verdicts are asked for it takes these."""
    boss = strict.as_worker("boss")
    config = strict.clone.commit("Configure", {"fleet.toml": f"version = 1\n{policy}"})
    Repo(strict.server).run_git("fetch", "--quiet", str(strict.clone.path), "main")
    Repo(strict.server).run_git("update-ref", "refs/heads/main", config)
    for name in ("c", "d"):
        pushed_in(strict, name, "w1")
    intends(boss, "d", landed_on_main(boss, "c"))
    strict.must_refuse("is of p/c, which is proposed, not verified", "boss", "main", "refs/fleet/lead")
    strict.clone.run_git("update-ref", "-d", "refs/fleet/lead")
    intends(boss, "c", strict.clone.rev("main"))
    if policy:
        strict.must_refuse("it waits for verdicts", "boss", "refs/fleet/lead", "main")
        strict.clone.run_git("update-ref", "-d", "refs/fleet/lead")
        on_task(boss, "uphold", "c", by="gates", number=1)
        strict.must_refuse("upholds without the verdicts that are asked for", "boss", f"{TASK}c")
    else:
        strict.must_take("boss", "refs/fleet/lead")
        strict.must_take("boss", "main")


def test_trailers_that_name_another_proposal_are_seen_through(strict: Walled) -> None:
    pushed_in(strict, "c", "w1")
    boss = strict.as_worker("boss")
    accepted(boss, "c")
    strict.must_take("boss", f"{TASK}c")
    landed_on_main(boss, "c")
    message = strict.clone.run_git("log", "-1", "--format=%B", "main")
    proposal = strict.clone.rev("refs/fleet/proposal/p/c/1")
    for old, new in ((proposal, "1" * 40), ("Fleet-Worker: w1", "Fleet-Worker: w2")):
        forged = strict.clone.run_git(
            "commit-tree", "main^{tree}", "-p", "main^", "-m", message.replace(old, new)
        )
        strict.must_refuse("which it is not", "boss", f"{forged}:refs/heads/main")


def test_an_event_that_does_not_follow_is_refused(strict: Walled) -> None:
    session = strict.as_worker("w1")
    claimed(session, "c")
    strict.must_take("w1", f"{TASK}c")
    on_task(session, "progress", "c", status="half")
    for change, why in (
        (
            {'"state":{"attempt":1': '"state":{"attempt":2'},
            "has another attempt than follows from the events",
        ),
        ({'"event":"progress"': '"event":"usage"'}, "does not follow from the one before"),
        ({'"v":1': '"v":7'}, "version"),
        ({'"v":1': f'"v":1,"zz":{"[" * 5000}{"]" * 5000}'}, "is not a document of git-fleet"),
        ({'"actor":"w1"': '"actor":"boss"'}, "says that it is by boss, and its commit is by w1"),
        ({'"fence":"': '"fence":"0'}, "does not follow from the one before"),
    ):
        strict.must_refuse(why, "w1", f"{forged(strict, 'c', change)}:{TASK}c")
    strict.must_take("w1", f"{TASK}c")


def test_attempts_are_used_up_only_when_they_are(strict: Walled) -> None:
    pushed_in(strict, "c", "w1")
    on_task(strict.as_worker("boss"), "reject", "c", reason="rejected")
    strict.must_take("boss", f"{TASK}c")
    on_task(strict.as_worker("w2"), "block", "c", code="attempts", reason="tired")
    strict.must_refuse("says that attempts are used up, and they are not", "w2", f"{TASK}c")


def test_a_verdict_under_another_name_is_still_on_ones_own_proposal(strict: Walled) -> None:
    pushed_in(strict, "c", "w1")
    allowed = strict.server / "fleet" / "allowed"
    allowed.write_text(allowed.read_text() + "verifier other verifier:*\n")
    on_task(
        strict.as_worker("verifier:w1"),
        "verdict",
        "c",
        verdict=Verdict("security", "verifier:w1", "upheld", 1),
    )
    strict.must_refuse("is a verdict of verifier:w1 on its own proposal", "other", f"{TASK}c")


def test_an_event_from_a_time_to_come_is_refused(strict: Walled) -> None:
    claimed(strict.as_worker("w1", hours=1), "c")
    strict.must_refuse("is of a time to come", "w1", f"{TASK}c")


def test_a_hand_in_needs_its_proposal_there(strict: Walled) -> None:
    session = strict.as_worker("w1")
    claimed(session, "c")
    proposed(session, "c")
    strict.must_refuse("names proposal 1, which is not here", "w1", f"{TASK}c")
    strict.must_take("w1", "refs/fleet/proposal/p/c/1", f"{TASK}c")


def test_a_conclusion_follows_from_the_verdicts_or_is_the_leads(strict: Walled) -> None:
    pushed_in(strict, "c", "w1")
    skeptic = strict.as_worker("verifier:skeptic")
    before = strict.clone.rev(f"{TASK}c")
    for by, why in (
        ("gates", "which only a lead may do"),
        ("nobody", "which only a lead may do"),
        ("security", "does not follow from the verdicts"),
    ):
        on_task(skeptic, "uphold", "c", by=by, number=1)
        strict.must_refuse(why, "skeptic", f"{TASK}c")
        if by == "security":
            strict.must_refuse(why, "boss", f"{TASK}c")
        strict.clone.run_git("update-ref", f"{TASK}c", before)
    verdict = Verdict("security", "verifier:skeptic", "upheld", 1)
    on_task(skeptic, "verdict", "c", verdict=verdict)
    on_task(skeptic, "uphold", "c", by="security", number=1)
    strict.must_take("skeptic", f"{TASK}c")


def test_integrated_is_only_what_main_has(strict: Walled) -> None:
    pushed_in(strict, "c", "w1")
    boss = strict.as_worker("boss")
    accepted(boss, "c")
    commit = landed_on_main(boss, "c")
    on_task(boss, "integrate", "c", commit=commit)
    strict.must_refuse("which no base has", "boss", f"{TASK}c")
    before = strict.clone.rev(f"{TASK}c^")
    for via, goes in (("hand", False), ("forge", True)):  # as a pull request merges: without our trailers
        strict.clone.run_git("update-ref", f"{TASK}c", before)
        on_task(boss, "integrate", "c", commit=strict.clone.rev("main^"), via=via)
        if not goes:
            strict.must_refuse("which was not made for its latest proposal", "boss", f"{TASK}c")
    strict.must_take("boss", "main", f"{TASK}c")


# --- where this server decides between clones


@pytest.fixture(params=[True, False], ids=["rules", "contents"])
def deciding(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Deciding:
    """Either strength."""
    return Deciding(tmp_path, monkeypatch, plain=request.param)


def test_clones_share_a_fleet_through_the_wall(deciding: Deciding) -> None:
    approved(deciding.acting("boss"), task("a", files=["x/**"]), task("b", files=["x/y"]), task("c"))
    w1 = deciding.acting("w1")
    path = working_on(w1, "a")
    (path / "x").mkdir()
    (path / "x/1").write_text("half\n")
    work.progress(w1, "a", "half")
    assert carrying.carry(w1, "p") == ("refs/fleet/salvage/p/a/1",)
    assert carrying.tell(w1) == ("refs/fleet/task/p/a",)
    handed_in(w1, "a", {"x/1": "1\n"})
    w2 = deciding.acting("w2", "b")
    claimed(w2, "c")
    on_task(w2, "release", "c")
    skeptic = deciding.acting("skeptic", "b")
    skeptic.snapshot()
    for printed in (b"once", b"again"):
        gatelogs.keep(skeptic.store, task_id("a"), 1, {"lint": printed}, actor="skeptic", at=skeptic.now())
    boss = deciding.acting("boss")
    found = integrate.integrate(boss, integrate.Order(("p",)), lambda _: None)
    assert [each.id.task for each in found.integrated] == ["a"]
    w2 = deciding.acting("w2", "b")
    working_on(w2, "b")
    assert "x/1" in Repo(deciding.server).files("main")
    for name in ("w2", "skeptic", "boss"):
        tried = probe(deciding.acting(name), "")
        assert tried.ok, tried
    assert not [ref for ref in Repo(deciding.server).refs() if "probe-" in ref]


def test_what_the_wall_refuses_is_told_with_its_reason_and_its_next_step(deciding: Deciding) -> None:
    approved(deciding.acting("boss"), task("c"), task("d"))
    session = deciding.acting("w1")
    deciding.pushes_as("stranger")
    with pytest.raises(
        Refused, match=r"^the wall of origin refuses refs/fleet/task/p/c: stranger is"
    ) as told:
        claimed(session, "c")
    assert told.value.hint.startswith("ask whoever keeps the server")
    found = doctor(session, fix=False)
    note = next(note for note in found.notes if note.code == "remote-refused")
    assert "stranger is neither lead" in note.text
    assert "git-fleet: refused" not in note.text
    assert note.fix == told.value.hint
    tried = probe(session, "")
    assert [problem.fix for problem in tried.problems] == [told.value.hint]
    deciding.pushes_as("w1")
    claimed(session, "c")
    proposed(session, "c")
    with pytest.raises(Refused, match=r"^the wall of origin refuses refs/fleet/lead: it is the lead's alone"):
        integrate.integrate(session, integrate.Order(("p",)), lambda _: None)


# --- in and out


def test_it_goes_in_beside_the_hook_that_is_there_and_out_again(repo: Repo, tmp_path: Path) -> None:
    server = tmp_path / "hub.git"
    repo.run_git("clone", "--quiet", "--bare", ".", str(server))
    theirs = server / "hooks" / "pre-receive"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("#!/bin/sh\ncat >>seen\n")
    theirs.chmod(0o755)
    rehearsed = guarding.guard(server, plain=True, dry_run=True)
    assert "cat >>seen" in theirs.read_text()
    done = guarding.guard(server, plain=True, dry_run=False)
    assert (done.changes, done.strength) == (rehearsed.changes, "rules")
    assert "nobody may push anything of the fleet yet" in done.notes[0]
    assert not guarding.guard(server, plain=True, dry_run=False).changes
    wall = Walled(server, repo, datetime.now(UTC))
    (server / "fleet" / "allowed").write_text("base main\nlead boss\n")
    new = repo.commit("Next", {"new": "1\n"})
    wall.must_refuse("main is the lead's", "w1", "main")
    wall.must_take("boss", "main")
    assert (server / "seen").read_text().split() == [repo.rev("main^"), new, "refs/heads/main"]
    session = open_fleet(server, "boss")
    assert "wall" in [note.code for note in doctor(session, fix=False).notes]
    theirs.write_bytes(theirs.read_bytes() + b"# older\n")
    assert [problem.code for problem in doctor(session, fix=False).problems] == ["wall-outdated"]
    guarding.take_out(server, dry_run=False)
    assert "cat >>seen" in theirs.read_text()
    assert (server / "fleet" / "allowed").exists()
    wall.must_take("w1", "main:refs/heads/other")


def test_without_its_python_it_lets_nothing_of_the_fleet_through(strict: Walled) -> None:
    hook = strict.server / "hooks" / "pre-receive"
    hook.write_text(hook.read_text().replace("/git_fleet/wall.py", "/git_fleet/gone.py"))
    claimed(strict.as_worker("w1"), "c")
    strict.must_refuse("is not installed any more", "w1", f"{TASK}c")
    strict.must_take("stranger", "main:refs/heads/other")


def test_every_shell_can_read_it(tmp_path: Path) -> None:
    installed = tmp_path / "pre-receive"
    for plain in (True, False):
        installed.write_bytes(hookfiles.shim(hookfiles.WALL, plain=plain))
        for shell in filter(None, map(shutil.which, ("sh", "dash", "bash", "ksh"))):
            assert subprocess.run([shell, "-n", installed], check=False).returncode == 0


def test_where_signatures_are_asked_for_a_forged_or_bare_event_is_refused(
    strict: Walled, tmp_path: Path
) -> None:
    strict.clone.commit("Configure", {"fleet.toml": "version = 1\npolicy = { signed = true }\n"})
    config = strict.clone.run_git("rev-parse", "main")
    Repo(strict.server).run_git("fetch", "--quiet", str(strict.clone.path), "main")
    Repo(strict.server).run_git("update-ref", "refs/heads/main", config)
    w1, w2 = (new_key(tmp_path, name) for name in ("w1", "w2"))
    bare = strict.as_worker("w1")
    claimed(bare, "c")
    strict.must_refuse("the server has no fleet/allowed_signers", "w1", f"{TASK}c")
    for key, name in ((w1, "w1"), (w2, "w2")):
        allow(strict.server / "fleet" / "allowed_signers", key, name)
    strict.must_refuse("(claim) is not signed", "w1", f"{TASK}c")
    for key, goes in ((w2, False), (w1, True)):
        strict.clone.run_git("update-ref", "-d", f"{TASK}c")
        sign_with(strict.clone, key)
        claimed(strict.as_worker("w1"), "c")
        if goes:
            strict.must_take("w1", f"{TASK}c")
        else:
            strict.must_refuse("is signed, but not with a key of w1", "w1", f"{TASK}c")


KNOWLEDGE = "refs/fleet/knowledge"


def test_workers_add_learnings_and_the_lead_decides_about_them(wall: Walled) -> None:
    (known,) = learning.learn(wall.as_worker("w1"), "Retry is not safe", paths=["x/**"]).known
    wall.must_take("w1", KNOWLEDGE)
    learning.learn(wall.as_worker("verifier:skeptic"), "Verifiers learn, too")
    wall.must_take("skeptic", KNOWLEDGE)
    learning.learn(wall.as_worker("w2"), "And w2")
    wall.must_refuse("w1 may not write what w2 is the author of", "w1", KNOWLEDGE)
    wall.must_refuse("stranger is neither lead, worker nor verifier", "stranger", KNOWLEDGE)
    wall.must_take("w2", KNOWLEDGE)
    wall.must_refuse("it only goes forward", "w1", f"{KNOWLEDGE}~1:{KNOWLEDGE}", "--force")
    wall.must_refuse("deleting what the fleet has stored is the lead's", "w1", f":{KNOWLEDGE}")
    wall.clone.run_git("config", "user.name", "w1")
    learning.decide(wall.as_worker("w1"), approve=[known.id])
    wall.must_refuse(
        "approving, retiring and taking out what was learned is the lead's alone", "w1", KNOWLEDGE
    )
    wall.must_take("boss", KNOWLEDGE)


def test_a_worker_takes_no_learning_out_and_changes_none(wall: Walled) -> None:
    boss, w1 = wall.as_worker("boss"), wall.as_worker("w1")
    (known,) = learning.learn(boss, "Retry is not safe").known
    wall.must_take("boss", KNOWLEDGE)
    path = learnings.place(known.id)
    tip = wall.clone.rev(KNOWLEDGE)
    knowledge.drop(w1.store, [path], actor="w1", at=w1.now())
    wall.must_refuse("taking out what was learned is the lead's alone", "w1", KNOWLEDGE)
    wall.clone.run_git("update-ref", KNOWLEDGE, tip)
    folder, name = path.split("/")
    changed = wall.clone.run_git("cat-file", "blob", f"{tip}:{path}").replace("boss", "w1") + "\n"
    blob = wall.clone.run_git("hash-object", "-w", "--stdin", stdin=changed.encode())
    below = wall.clone.run_git("mktree", stdin=f"100644 blob {blob}\t{name}\n".encode())
    tree = wall.clone.run_git("mktree", stdin=f"040000 tree {below}\t{folder}\n".encode())
    who = {"GIT_AUTHOR_NAME": "w1", "GIT_COMMITTER_NAME": "w1"}
    made = wall.clone.run_git("commit-tree", tree, "-p", tip, "-m", "Mine", env=who)
    wall.must_refuse("taking out what was learned is the lead's alone", "w1", f"{made}:{KNOWLEDGE}")


def test_what_is_no_learning_or_in_the_name_of_another_is_refused(strict: Walled) -> None:
    w1 = strict.as_worker("w1")

    def added(path: str, data: bytes) -> None:
        knowledge.add(w1.store, lambda: {path: data}, actor="w1", at=w1.now(), subject="learn")

    added(f"ab/{'c' * 62}.md", b"no header\n")
    strict.must_refuse("is neither a learning nor a decision: it has no header", "w1", KNOWLEDGE)
    strict.clone.run_git("update-ref", "-d", KNOWLEDGE)
    for by, at, why in (
        ("boss", w1.now(), "says that it is by boss"),
        ("w1", w1.now() + timedelta(hours=1), "time to come"),
    ):
        made = learnings.make("Believe me", by=by, at=at)
        added(*learnings.learning_file(made))
        strict.must_refuse(why, "w1", KNOWLEDGE)
        strict.clone.run_git("update-ref", "-d", KNOWLEDGE)


def test_clones_learn_through_the_wall(deciding: Deciding) -> None:
    w1 = deciding.acting("w1", "a")
    (known,) = learning.learn(w1, "Retry is not safe").known
    w2 = deciding.acting("w2", "b")
    assert learning.learn(w2, "Use uv").told
    w2.store.refs.refresh()
    assert {one.learning.by for one in knowledge.read(w2.store).known} == {"w1", "w2"}
    with pytest.raises(Refused, match=r"the wall of origin refuses .*: approving, retiring and taking out"):
        learning.decide(w2, retire=[known.id])
    boss = deciding.acting("boss", "a")
    (retired,) = learning.decide(boss, retire=[known.id]).known
    assert retired.state == "retired"
