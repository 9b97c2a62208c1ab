"""A run whose circumstances change under it: limits reached, plans paused, a base branch that moves, people needed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.fleet import task
from tests.support.repo import Repo
from tests.support.runs import ENDLESS, Crew, lines, once, writes
from tests.support.worlds import assert_reachable

pytestmark = pytest.mark.slow


def crew_of(repo: Repo, folder: Path, config: str = "", worker: str = "retries = 0") -> Crew:
    """With a `[notify]` that leaves a line for each message."""
    told = f"""\n[notify]\nrun = ["sh", "-c", 'echo "$1" >> "{folder}/told"', "sh", "{{message}}"]\n"""
    return Crew(repo, folder, worker=worker + told, config=config)


def told(crew: Crew) -> list[str]:
    """What a person was notified of."""
    path = crew.folder / "told"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("words", ["exit 75", "echo 'HTTP 429: rate limit exceeded'; exit 1"])
def test_an_agent_that_is_told_to_come_later_slows_all_down(repo: Repo, tmp_path: Path, words: str) -> None:
    crew = crew_of(repo, tmp_path, config="bucket = { capacity = 5, refill_per_minute = 600 }")
    limited = once(f"{writes('half')}; {words}", 'grep -q half "$T/new" && date +%s%N > "$BOX/again"')
    fails = 'while [ ! -e "$BOX/a.once" ]; do sleep 0.02; done; mkdir $T; date +%s%N > "$BOX/first"; echo x > $T/new'
    crew.plan(
        task("a"),
        task("b"),
        task("c", needs=["b"]),
        agents={"a": limited, "b": fails, "c": 'date +%s%N > "$BOX/other"; ' + writes("all")},
    )
    with crew.running("--workers", "2") as process:
        said = lines(process)
    assert process.returncode == 0
    assert any("it was told to come later" in line for line in said)
    assert [name for name, _, _ in crew.starts()].count("a") == 2
    first, again, other = (int((crew.box / name).read_text()) for name in ("first", "again", "other"))
    assert again - first > 4e9  # nothing was started meanwhile, the others' neither
    assert other - first > 4e9
    assert crew.repo.run_git("show", "main:a/new") == "half of a"


def test_max_cost_ends_the_run(repo: Repo, tmp_path: Path) -> None:
    crew = crew_of(repo, tmp_path)
    spends = f"{writes('half')}; git fleet progress --cost-usd 3 begun; {ENDLESS}"
    crew.plan(task("a"), task("b"), agents={"a": spends, "b": f"{writes('half')}; {ENDLESS}"})
    found = crew.run("--workers", "2", "--max-cost", "2.5", code=1)
    assert found["ended"] == "cost"
    assert crew.states() == {"a": "rework", "b": "rework"}
    assert_reachable(repo, b"half of a\n", b"half of b\n")
    assert not crew.alive()
    assert any("it has cost 3.00 US dollars" in line for line in told(crew))
    crew.sound()


def test_max_minutes_ends_the_run(repo: Repo, tmp_path: Path) -> None:
    crew = crew_of(repo, tmp_path)
    crew.plan(task("a"), agents={"a": f"{writes('half')}; {ENDLESS}"})
    found = crew.run("--max-minutes", "0.05", code=1)
    assert found["ended"] == "time"
    assert crew.states() == {"a": "rework"}
    assert_reachable(repo, b"half of a\n")
    assert not crew.alive()


def test_a_plan_that_is_paused_meanwhile_is_claimed_from_no_more(repo: Repo, tmp_path: Path) -> None:
    crew = crew_of(repo, tmp_path)
    crew.plan(task("a"), task("b", needs=["a"]), agents={"a": "wait"})
    with crew.running("--json") as process:
        crew.begun("a")
        crew.fleet("plan", "pause", "p")
        crew.go("a")
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 1
    assert json.loads(out)["ended"] == "paused"
    assert crew.states() in ({"a": "integrated", "b": "pending"}, {"a": "proposed", "b": "pending"})
    assert [name for name, _, _ in crew.starts()] == ["a"]
    assert any("paused" in line for line in told(crew))
    crew.fleet("plan", "resume", "p")
    assert crew.run()["ended"] == "complete"


def test_three_equal_codes_pause_the_plan_and_a_person_is_told(repo: Repo, tmp_path: Path) -> None:
    crew = crew_of(repo, tmp_path)
    names = ["a", "b", "c", "d", "e"]
    crew.plan(*(task(name) for name in names), agents=dict.fromkeys(names, "block"))
    found = crew.run("--workers", "1", code=1)
    assert found["ended"] == "paused"
    assert sorted(crew.states().values()) == ["blocked"] * 3 + ["pending"] * 2
    assert any("3 tasks are blocked with the code missing-api" in line for line in told(crew))


def test_what_waits_for_a_person_ends_the_run_and_they_are_told(repo: Repo, tmp_path: Path) -> None:
    crew = crew_of(repo, tmp_path, config='park = ["a/**"]')
    crew.plan(task("a"), task("b", hold=True), task("c"))
    found = crew.run("--workers", "2", code=1)
    assert found["ended"] == "waiting"
    assert crew.states() == {"a": "parked", "b": "pending", "c": "integrated"}
    assert any("the run has ended: nothing is ready" in line for line in told(crew))
    assert any("p/a" in line and "accept" in line for line in told(crew)), told(crew)
    crew.fleet("accept", "a")
    crew.fleet("accept", "b")
    assert crew.run()["ended"] == "complete"


def test_a_base_branch_that_moves_meanwhile(repo: Repo, tmp_path: Path) -> None:
    crew = crew_of(repo, tmp_path)
    crew.plan(task("a"), task("b"), agents={"a": "wait"})
    with crew.running("--workers", "2") as process:
        crew.begun("a")
        crew.until(lambda: crew.states()["b"] == "integrated")
        repo.run_git("-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "by hand")
        crew.go("a")
        lines(process)
    assert process.returncode == 0
    assert crew.states() == {"a": "integrated", "b": "integrated"}
    assert "by hand" in repo.run_git("log", "--format=%s", "main")


def test_a_main_worktree_in_use_is_said_once_and_the_agents_go_on(repo: Repo, tmp_path: Path) -> None:
    crew = crew_of(repo, tmp_path)
    crew.plan(task("a"), task("b"))
    repo.write("a/new", "mine")
    found = crew.run("--workers", "1", code=1)
    assert (repo.path / "a/new").read_text() == "mine"
    assert found["ended"] == "waiting"
    assert len(found["troubles"]) == 1, found["troubles"]
    assert any("integrate" in line for line in told(crew))
    assert crew.states()["a"] in ("proposed", "verified")
    (repo.path / "a/new").unlink()
    assert crew.run()["ended"] == "complete"


def test_a_signal_that_ends_programs_ends_the_agents_and_saves_their_work(repo: Repo, tmp_path: Path) -> None:
    crew = crew_of(repo, tmp_path)
    crew.plan(task("a"), agents={"a": f'{writes("half")}; trap "" TERM HUP; touch "$BOX/a.begun"; {ENDLESS}'})
    with crew.running() as process:
        crew.begun("a")
        process.send_signal(signal.SIGTERM)
        lines(process)
        assert not crew.alive()
    assert process.returncode == 128 + signal.SIGTERM
    assert crew.states() == {"a": "rework"}
    assert_reachable(repo, b"half of a\n")
