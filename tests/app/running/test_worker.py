"""One worker: alone, twice under one name, and in a clone of its own."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app import carrying, claim, clones, learning, work
from git_fleet.store import kept, names
from tests.support import servers
from tests.support.clones import make_clone
from tests.support.documents import validate
from tests.support.fleet import open_fleet, task, working_on
from tests.support.repo import Repo
from tests.support.runs import FLEET, Crew, lines

SHARED = 'remote = "origin"\nmax_active = 100\nmax_review = 100\nrefresh_seconds = 0'


def worker(crew: Crew, *args: str, code: int = 0, cwd: Path | None = None) -> dict[str, Any]:
    """The document of a worker that comes to its end by itself."""
    done = subprocess.run(
        [*FLEET, "worker", "--json", "--plan", "p", "--wait-minutes", "0", *args],
        cwd=cwd or crew.repo.path, env=crew.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    validate(found, "worker")
    return found


def starting(crew: Crew, *args: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FLEET, "worker", "--plan", "p", "--wait-minutes", "0", *args],
        cwd=cwd or crew.repo.path, env=crew.env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def hows(found: dict[str, Any]) -> dict[str, str]:
    return {each["task_id"]: each["how"] for each in found["tasks"]}


@pytest.fixture
def crew(tmp_path: Path) -> Crew:
    return Crew.made(tmp_path)


@pytest.fixture
def shared(tmp_path: Path) -> tuple[Crew, Path]:
    """A crew whose claims a bare repository decides about."""
    crew = Crew.made(tmp_path)
    server = tmp_path / "server.git"
    crew.repo.run_git("clone", "--quiet", "--bare", str(crew.repo.path), str(server))
    Repo(server).run_git("config", "uploadpack.allowFilter", "true")
    crew.repo.run_git("remote", "add", "origin", str(server))
    text = (crew.repo.path / "fleet.toml").read_text().replace("version = 1", f"version = 1\n{SHARED}")
    crew.repo.commit("Share it", {"fleet.toml": text})
    crew.repo.run_git("push", "--quiet", "origin", "main")
    return crew, server


def test_a_worker_works_what_is_ready_and_stops_at_proposals(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), task("c", needs=["a"]), agents={"b": "block"})
    found = worker(crew, "--worker", "w")
    assert (hows(found), found["ended"]) == ({"p/a": "handed in", "p/b": "blocked"}, "waiting")
    assert crew.states() == {"a": "proposed", "b": "blocked", "c": "pending"}
    assert worker(crew, "--task", "a")["ended"] == "complete"
    assert worker(crew, "--task", "c", code=1)["ended"] == "nothing"


def test_a_run_says_how_much_it_pushed_and_its_commands_with_it(shared: tuple[Crew, Path]) -> None:
    crew, server = shared
    seen = server.parent / "seen"
    (server / "hooks/pre-receive").write_text(f"#!/bin/sh\necho >> {seen}\n")
    (server / "hooks/pre-receive").chmod(0o755)
    crew.plan(task("a"), task("b"), agents={"b": "done"})
    before = seen.stat().st_size
    found = crew.run("--workers", "2")
    received = seen.stat().st_size - before
    assert crew.states() == dict.fromkeys("ab", "integrated")
    assert received <= found["pushes"] <= received + 2  # git itself does not send what has lost already
    assert f", {found['pushes'] + 3} pushes from here within the hour" in crew.fleet(
        "status"
    )  # 3 for the plan


def test_a_script_for_any_engine_is_a_worker_when_it_is_run(crew: Crew) -> None:
    crew.plan(task("a"), task("b"))
    options = ("--workers", "2", "--name", "crew", "--wait-minutes", "0")
    crew.fleet("jobs", "command", "p", *options, "--", "sh", "{script}", "{index}")
    assert crew.states() == {"a": "proposed", "b": "proposed"}
    assert {name for _, name, _ in crew.starts()} == {
        "crew-0"
    }  # the second had nothing left to do, and says so


def test_one_that_waits_goes_on_when_others_have_brought_to_main_what_it_needs(crew: Crew) -> None:
    crew.plan(task("a"), task("c", needs=["a"]))
    process = starting(crew, "--wait-minutes", "3")
    crew.until(lambda: crew.states()["a"] == "proposed")
    crew.fleet("integrate")
    crew.until(lambda: crew.states()["c"] == "proposed", seconds=30)
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 143, err


def test_one_that_is_ended_gives_its_task_back_with_its_work(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    process = starting(crew, "--worker", "w")
    crew.begun("a")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, crew.states()) == (143, {"a": "rework"})
    crew.act("a", 'cat "$T/new" > "$BOX/found"; ' + "echo more >> $T/new")
    assert hows(worker(crew, "--worker", "w")) == {"p/a": "handed in"}
    assert (crew.box / "found").read_text() == "begun\n"


def test_the_second_ctrl_c_ends_its_agent(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    process = starting(crew, "--worker", "w")
    crew.begun("a")

    def is_over() -> bool:
        process.send_signal(signal.SIGINT)
        crew.a_moment()  # on a busy machine the second may be taken for an echo all the same
        return not crew.alive()

    crew.until(is_over)
    process.communicate(timeout=60)
    assert (process.returncode, crew.states()) == (130, {"a": "rework"})


def test_neither_a_run_nor_another_of_its_name_takes_its_agent(crew: Crew) -> None:
    """Not while it is at work: it would be ended, or handed in by two."""
    crew.plan(task("a"), task("b"), agents={"a": "wait", "b": "wait"})
    process = starting(crew, "--worker", "w", "--task", "a")
    crew.begun("a")
    with crew.running("--workers", "1") as run:
        crew.begun("b")
        for name, said in (
            ("w", f"another worker w works on plan p (process {process.pid})"),
            ("crew-1", "a run works on plan p on this machine, and has a worker crew-1"),
        ):
            refused = starting(crew, "--worker", name)
            err = refused.communicate(timeout=60)[1]
            assert (refused.returncode, said in err) == (3, True), err
        crew.go("a")
        process.communicate(timeout=60)
        crew.go("b")
        heard = lines(run)
    assert (process.returncode, run.returncode) == (0, 0), heard
    assert not any("goes on" in each for each in heard), heard
    assert {(name, who) for name, who, _ in crew.starts()} == {("a", "w"), ("b", "crew-1")}


def test_one_started_again_under_its_name_takes_its_own_claim_over_with_a_new_fence(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"b": "wait"})
    process = starting(crew, "--worker", "w", "--task", "b")
    crew.begun("b")
    with open_fleet(crew.repo) as session:
        before = session.snapshot().resolve("p/b").state.claim
    process.kill()
    process.communicate()
    crew.act("b", 'cat "$T/new" > "$BOX/found"; echo more >> "$T/new"')
    assert list(hows(worker(crew, "--worker", "w", "--most", "1"))) == ["p/b"]
    with open_fleet(crew.repo) as session:
        now = session.snapshot().resolve("p/b").state
    assert before is not None
    assert now.claim is not None
    assert now.claim.fence != before.fence
    assert now.proposal is not None
    assert (crew.box / "found").read_text() == "begun\n"
    assert crew.alive() == []


@pytest.mark.parametrize(
    "how", [(), ("--filter", "blob:none"), ("--depth", "1")], ids=["whole", "partial", "shallow"]
)
def test_a_clone_is_worked_in_and_gone(
    shared: tuple[Crew, Path], tmp_path: Path, how: tuple[str, ...]
) -> None:
    crew, server = shared
    crew.plan(task("a"), task("b"))
    place = tmp_path / "place"
    place.mkdir()
    found = worker(crew, "--remote", str(server), "--directory", str(place), *how, cwd=tmp_path)
    assert found["pushes"] >= 3
    assert hows(found) == {"p/a": "handed in", "p/b": "handed in"}
    assert (list(place.iterdir()), crew.states()) == ([], {"a": "proposed", "b": "proposed"})
    crew.fleet("integrate")
    assert crew.states() == {"a": "integrated", "b": "integrated"}


def test_what_one_clone_saved_another_goes_on_from(shared: tuple[Crew, Path], tmp_path: Path) -> None:
    crew, server = shared
    crew.plan(task("a"), agents={"a": "wait"})
    process = starting(crew, "--worker", "w", "--remote", str(server), "--directory", str(tmp_path))
    crew.begun("a")
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 143, err
    assert list(tmp_path.glob("git-fleet-*")) == []
    crew.act("a", 'cat "$T/new" > "$BOX/found"; echo more >> "$T/new"')
    found = worker(
        crew, "--worker", "v", "--remote", str(server), "--depth", "1", "--directory", str(tmp_path)
    )
    assert hows(found) == {"p/a": "handed in"}
    assert (crew.box / "found").read_text() == "begun\n"


def test_a_claim_by_hand_goes_on_from_what_a_clone_saved_that_is_gone(
    shared: tuple[Crew, Path], tmp_path: Path
) -> None:
    crew, server = shared
    crew.plan(task("a"), agents={"a": "wait"})
    process = starting(crew, "--worker", "w", "--remote", str(server), "--directory", str(tmp_path))
    crew.begun("a")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    with open_fleet(make_clone(tmp_path / "one" / "repo", server), "v", host="one") as session:
        assert (working_on(session, "a") / "a" / "new").read_text() == "begun\n"


def test_a_shallow_clone_takes_up_what_was_begun_before_its_history_begins(
    shared: tuple[Crew, Path], tmp_path: Path
) -> None:
    crew, server = shared
    crew.plan(task("a"), task("b"), task("c"), agents={"a": "red"})
    worker(crew)
    crew.fleet("integrate", code=1)
    assert crew.states() == {"a": "rework", "b": "integrated", "c": "integrated"}
    crew.act("a", '[ -e b/new ] && echo whole > "$T/new"')
    found = worker(crew, "--remote", str(server), "--depth", "1", "--directory", str(tmp_path))
    assert hows(found) == {"p/a": "handed in"}
    crew.fleet("integrate")
    assert crew.repo.run_git("show", "main:a/new").strip() == "whole"


def test_a_machine_that_went_away_leaves_what_was_carried(shared: tuple[Crew, Path], tmp_path: Path) -> None:
    crew, server = shared
    crew.plan(task("a"), agents={"a": "wait"})
    one = make_clone(tmp_path / "one" / "repo", server)
    with open_fleet(one, "w-0", host="gone") as session:
        made = claim.claim(session, claim.Request())
        assert isinstance(made, claim.Claimed)
        placed = claim.place(session, made)
        assert placed.path is not None
        (placed.path / "a").mkdir()
        (placed.path / "a" / "new").write_text("carried\n")
    crew.fleet("-C", str(placed.path), "snapshot")
    with open_fleet(one, "w-0", host="gone") as session:
        assert carrying.carry(session, "p") == ("refs/fleet/salvage/p/a/1",)
        assert carrying.carry(session, "p") == ("refs/fleet/salvage/p/a/1",)[:0]
    (one.path.parent / "repo").rename(tmp_path / "lost")
    crew.act("a", 'cat "$T/new" > "$BOX/found"; echo more >> "$T/new"')
    found = worker(crew, "--worker", "w-0", "--remote", str(server), "--directory", str(tmp_path))
    assert hows(found) == {"p/a": "handed in"}
    assert (crew.box / "found").read_text() == "carried\n"


def test_events_that_were_to_ride_along_are_told_before_a_clone_goes(
    shared: tuple[Crew, Path], tmp_path: Path
) -> None:
    crew, server = shared
    crew.plan(task("a"))
    with open_fleet(make_clone(tmp_path / "one" / "repo", server), "w") as session:
        assert isinstance(claim.claim(session, claim.Request(worktree=False)), claim.Claimed)
        record = work.progress(session, "p/a", "half way").record
        there = ("rev-parse", "refs/fleet/task/p/a")
        assert Repo(server).run_git(*there).strip() != record.tip
        carrying.tell(session)
        assert Repo(server).run_git(*there).strip() == record.tip
        assert session.repo.git().text("for-each-ref", "refs/fleet/task/") == ""


def test_two_clones_carry_beside_each_other(shared: tuple[Crew, Path], tmp_path: Path) -> None:
    crew, server = shared
    crew.plan(task("a"))
    for name in ("one", "two"):
        clone = make_clone(tmp_path / name / "repo", server)
        with open_fleet(clone, name) as session:
            record = session.snapshot().resolve("p/a")
            start = session.store.objects.write_commit(
                tree=session.store.objects.write_empty_tree(),
                parents=(),
                author=_who(name), committer=_who(name), message=name,
            )  # fmt: skip
            oid = kept.write(
                session.store,
                record.id,
                subject=name,
                start=start,
                origin=kept.Origin(),
                actor=name,
                at=session.now(),
            )
            clone.run_git("update-ref", "refs/fleet/salvage/p/a/1", oid)
            carrying.carry(session, "p")
    listed = Repo(server).run_git(
        "for-each-ref", "--format=%(refname) %(contents:subject)", "refs/fleet/salvage/"
    )
    assert listed.splitlines() == ["refs/fleet/salvage/p/a/1 one", "refs/fleet/salvage/p/a/2 two"]


def test_a_clone_with_something_that_is_nowhere_else_stays(shared: tuple[Crew, Path], tmp_path: Path) -> None:
    crew, server = shared
    refuse = "case $1 in refs/fleet/salvage/*) echo no >&2; exit 1;; esac\n"
    hook = server / "hooks" / "update"
    hook.write_text(f"#!/bin/sh\n{refuse}")
    hook.chmod(0o755)
    crew.plan(task("a"), agents={"a": "crash"})
    found = worker(crew, "--remote", str(server), "--directory", str(tmp_path), code=1)
    assert (found["left"], hows(found)) == (None, {"p/a": "blocked"})  # it wrote nothing
    crew.fleet("unblock", "a")
    crew.act("a", 'mkdir -p "$T"; echo half > "$T/new"; exit 3')
    found = worker(crew, "--remote", str(server), "--directory", str(tmp_path), code=5)
    halves = [path.read_text() for path in Path(str(found["left"])).glob("repo-*/a/new")]
    assert halves == ["half\n"]


@pytest.mark.parametrize("where", ["stash", "beside", "checkout"])
def test_what_an_agent_put_elsewhere_in_its_clone_keeps_that(
    shared: tuple[Crew, Path], tmp_path: Path, where: str
) -> None:
    """Past the hooks: a stash, a worktree of its own, the checkout that nobody works in."""
    crew, server = shared
    crew.plan(task("a"))
    around = open_fleet(crew.repo, "w").around
    with clones.cloned(clones.Wanted(str(server), tmp_path), "p", around, "w", print) as clone:
        own = Repo(working_on(clone.session, "a"))
        past_hooks = ("-c", "core.hooksPath=/dev/null")
        if where == "beside":
            own.run_git(*past_hooks, "worktree", "add", "--quiet", "--detach", str(clone.folder / where))
        place = {"stash": own.path, "beside": clone.folder / where, "checkout": clone.folder / "repo"}[where]
        (place / "new").write_text("1\n")
        if where == "stash":
            own.run_git(*past_hooks, "stash", "--quiet", "--include-untracked")
    named = f"commit {own.rev('refs/stash')[:12]}" if where == "stash" else str(place / "new")
    assert clone.left == f"{named} is nowhere else"
    assert clone.folder.exists()


def test_a_clone_of_a_repository_that_no_remote_decides_about_is_refused(crew: Crew, tmp_path: Path) -> None:
    crew.plan(task("a"))
    done = subprocess.run(
        [*FLEET, "worker", "--plan", "p", "--remote", str(crew.repo.path), "--directory", str(tmp_path)],
        cwd=tmp_path, env=crew.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "names no remote" in done.stderr) == (2, True), done.stderr
    assert list(tmp_path.glob("git-fleet-*")) == []


def _who(name: str) -> Any:
    from git_fleet.core.lifecycle import Event
    from git_fleet.store import log
    from tests.support.clock import START

    return log.signature(Event("salvage", START, name))


def test_what_was_learned_out_of_reach_is_told_before_a_clone_goes(
    shared: tuple[Crew, Path], tmp_path: Path
) -> None:
    crew, server = shared
    crew.plan(task("a"))
    clone = make_clone(tmp_path / "one" / "repo", server)
    with open_fleet(clone, "w") as session:
        session.store.refs.refresh()
        servers.cut_off(clone)
        assert not learning.learn(session, "Nobody knows").told
        servers.reconnect(clone)
        remote = carrying.remote_of(session)
        assert remote is not None
        servers.refuse(server, "not now", names.KNOWLEDGE)
        assert "not now" in clones._only_here(session, remote, "p")
        (server / "hooks" / "pre-receive").unlink()
        assert clones._only_here(session, remote, "p") == ""
    assert "Nobody knows" in Repo(server).run_git("log", "-p", names.KNOWLEDGE)
