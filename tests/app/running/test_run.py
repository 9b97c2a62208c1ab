"""`git fleet run`: a plan worked to its end by agents."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.fleet import task
from tests.support.repo import Repo
from tests.support.runs import Crew, lines, once


@pytest.fixture
def crew(repo: Repo, tmp_path: Path) -> Crew:
    return Crew(repo, tmp_path)


def test_a_plan_is_worked_to_its_end(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), task("c", needs=["a"]), agents={"b": "commit", "c": "done"})
    found = crew.run("--workers", "2")
    assert found["ended"] == "complete"
    assert found["commits"] == 3
    assert crew.states() == dict.fromkeys("abc", "integrated")
    assert crew.repo.run_git("show", "main:a/new") == "made by crew-1"
    assert not crew.alive()
    crew.sound()


def test_what_fails_is_tried_again_and_then_blocked_with_its_last_words(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": "crash", "b": "nothing"})
    found = crew.run(code=1)
    assert found["ended"] == "waiting"
    reasons = {entry["task_id"]: entry["reason"] for entry in found["tasks"]}
    assert reasons["p/a"].startswith("failed: it ended with exit code 3")
    assert "about to fail" in reasons["p/a"]
    assert reasons["p/b"].startswith("no-changes:")
    assert [name for name, _, _ in crew.starts()].count("a") == 2


def test_what_is_red_goes_back_and_is_done_better(crew: Crew) -> None:
    better = "mkdir -p a; if [ -e a/new ]; then echo good > a/new; else echo BROKEN > a/new; fi"
    crew.plan(task("a"), agents={"a": better})
    found = crew.run()
    assert (found["commits"], found["ejected"]) == (1, 1)
    assert crew.repo.run_git("show", "main:a/new") == "good"


def test_a_report_is_what_its_agent_prints(crew: Crew) -> None:
    crew.plan(task("a", output="report"), agents={"a": "echo 'two places swallow errors'"})
    crew.run()
    assert "two places swallow errors" in crew.fleet("log", "a")


def test_ctrl_c_once_waits_and_claims_nothing_more(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": "wait", "b": "wait"})
    with crew.running("--workers", "1") as process:
        crew.until(crew.starts)
        first = crew.starts()[0][0]
        crew.begun(first)
        process.send_signal(2)
        crew.go(first)
        said = lines(process)
    assert process.returncode == 130
    assert any("no new claims" in line for line in said)
    assert crew.states() == {first: "integrated", "ab".replace(first, ""): "pending"}


def test_ctrl_c_twice_ends_the_agents_and_saves_their_work(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    with crew.running() as process:
        crew.begun("a")
        process.send_signal(2)
        crew.until(lambda: process.stderr is not None and "once more" in process.stderr.readline())
        crew.a_moment()
        process.send_signal(2)
        lines(process)
        assert not crew.alive()
    assert crew.states() == {"a": "rework"}
    assert "begun" in crew.fleet("salvage", "show", "a", "--patch")


def test_a_killed_run_is_gone_on_with_and_its_agents_are_adopted(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), agents={"a": "wait", "b": "wait"})
    with crew.running("--workers", "2") as process:
        crew.begun("a")
        crew.begun("b")
        process.kill()
        process.wait()
        crew.go("a")
        with crew.running("--workers", "2") as again:
            crew.until(lambda: crew.states()["a"] == "integrated")
            crew.go("b")
            lines(again)
    assert again.returncode == 0
    assert len(crew.starts()) == 2  # nobody was started twice
    assert crew.states() == {"a": "integrated", "b": "integrated"}
    crew.sound()


def test_an_agent_that_ended_long_before_the_run_went_on_has_done_its_task(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "wait"})
    with crew.running() as process:
        crew.begun("a")
        process.kill()
        process.wait()
        crew.go("a")
        crew.until(lambda: not crew.alive())
    record = crew.repo.path / ".git/fleet/run/p/a/agent.json"
    document = json.loads(record.read_bytes())
    document["began"] = "2020-01-01T12:00:00+00:00"
    record.write_text(json.dumps(document))
    assert crew.run()["ended"] == "complete"
    assert crew.states() == {"a": "integrated"}
    assert len(crew.starts()) == 1


def test_a_setup_that_goes_on_does_not_keep_a_run_from_ending(repo: Repo, tmp_path: Path) -> None:
    begun = tmp_path / "set-up"
    crew = Crew(repo, tmp_path, worker=f'setup = "touch {begun}; exec sleep 1000"')
    crew.plan(task("a"))
    with crew.running() as process:
        crew.until(begun.exists)
        process.terminate()
        said = lines(process)
    assert process.returncode == 128 + signal.SIGTERM
    assert any("p/a: released: the run was ended" in line for line in said)
    assert (crew.states(), crew.starts()) == ({"a": "pending"}, [])


def test_a_worktree_that_became_a_link_is_gone_and_nothing_behind_it_is_touched(
    repo: Repo, tmp_path: Path
) -> None:
    crew = Crew(repo, tmp_path)
    mine = tmp_path / "mine"
    (mine / "a").mkdir(parents=True)
    (mine / "a/new").write_text("mine\n")
    swaps = f'W=$PWD; cd "$BOX"; rm -rf "$W"; ln -s "{mine}" "$W"'
    crew.plan(task("a"), agents={"a": once(swaps, "mkdir a; echo theirs > a/new")})
    assert crew.run()["ended"] == "complete"
    assert repo.run_git("show", "main:a/new") == "theirs"
    assert sorted(path.name for path in mine.rglob("*")) == ["a", "new"]
    crew.sound()


@pytest.mark.slow
def test_an_agent_whose_hooks_are_called_is_no_silent_one(repo: Repo, tmp_path: Path) -> None:
    crew = Crew(repo, tmp_path, worker="retries = 0", config="idle_minutes = 0.03")
    signs = 'alive=$(git rev-parse --git-dir)/fleet-alive; for n in 1 2 3 4 5 6 7 8; do touch "$alive"; sleep 0.6; done'
    crew.plan(task("a"), task("b"), agents={"a": f"{signs}; mkdir a; echo new > a/new", "b": "exec sleep 60"})
    found = crew.run("--workers", "2", code=1)
    assert crew.states() == {"a": "integrated", "b": "blocked"}
    assert next(one["reason"] for one in found["tasks"] if one["task_id"] == "p/b").startswith("idle:")
