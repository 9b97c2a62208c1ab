"""What agents print as events, in runs: what it costs, what it says, how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import task
from tests.support.repo import Repo
from tests.support.runs import Crew, once

TRANSCRIPTS = Path(__file__).parents[2] / "core" / "transcripts"
WRITES = 'mkdir -p "$T" && echo new > "$T/new"'
DONE = f"{WRITES} && git add -A && git commit -qm x && git fleet done"


@pytest.fixture
def crew(repo: Repo, tmp_path: Path) -> Crew:
    return Crew(repo, tmp_path)


def prints(name: str) -> str:
    """An agent that prints a transcript of the real program."""
    return f"cat '{TRANSCRIPTS / name}.jsonl'"


def program(crew: Crew, agent: str) -> str:
    """A program of that name, which does what the task's agent is to do."""
    path = crew.box / agent
    path.write_text(f'#!/bin/sh\n. "{crew.box}/agent.sh"\n')
    path.chmod(0o755)
    return str(path)


def run(crew: Crew, agent: str, *args: str, code: int = 0) -> dict[str, Any]:
    """A run whose agents are programs of that name."""
    return crew.run("p", *args, "--", program(crew, agent), code=code)


def task_of(crew: Crew, name: str) -> dict[str, Any]:
    plans = json.loads(crew.fleet("status", "--json"))["plans"]
    found: dict[str, Any] = next(
        each for plan in plans for each in plan["tasks"] if each["task_id"] == f"p/{name}"
    )
    return found


def usage(tokens_in: int, tokens_out: int, cost: float) -> dict[str, Any]:
    return {"input_tokens": tokens_in, "output_tokens": tokens_out, "cost_usd": cost}


@pytest.mark.parametrize(
    ("agent", "used"),
    [
        ("claude", usage(3000, 84, 0.0149)),
        ("codex", usage(2000, 84, 0.0)),
        ("gemini", usage(2000, 84, 0.0)),
        ("opencode", usage(2000, 84, 0.001568)),
    ],
)
def test_what_an_agent_has_used_is_in_its_tasks_log(crew: Crew, agent: str, used: dict[str, Any]) -> None:
    crew.plan(task("a"), agents={"a": f"{WRITES}; {prints(f'{agent}-ok')}"})
    found = run(crew, agent)
    assert found["ended"] == "complete"
    assert found["usage"] == used
    assert task_of(crew, "a")["usage"] == used
    crew.sound()


def test_what_it_used_counts_though_it_handed_in_before_it_said_so(crew: Crew) -> None:
    """The sum is the last thing that it prints, and by then its claim is over."""
    crew.plan(task("a"), agents={"a": f"{DONE}; {prints('claude-ok')}"})
    assert run(crew, "claude")["ended"] == "complete"
    assert task_of(crew, "a")["usage"] == usage(3000, 84, 0.0149)
    crew.sound()


def test_what_an_agent_has_reported_itself_counts_once(crew: Crew) -> None:
    reports = "git fleet progress half --cost-usd 0.01 --input-tokens 2500"
    crew.plan(task("a"), agents={"a": f"{WRITES}; {reports}; {prints('claude-ok')}"})
    run(crew, "claude")
    assert task_of(crew, "a")["usage"] == usage(3000, 84, 0.0149)


def test_each_start_of_an_agent_is_added_up(crew: Crew) -> None:
    fails = f"{prints('claude-ok')}; exit 1"
    crew.plan(task("a"), agents={"a": once(fails, f"{WRITES}; {prints('claude-ok')}")})
    run(crew, "claude")
    assert task_of(crew, "a")["usage"] == usage(6000, 168, 0.0298)


def test_a_success_that_is_an_error_is_tried_again_and_blocked_with_what_it_said(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": f"{WRITES}; {prints('claude-dead')}; exit 0"})
    found = run(crew, "claude", code=1)
    assert len(crew.starts()) == 2
    reason = found["tasks"][0]["reason"]
    assert reason.startswith(
        "failed: it ended with exit code 0 and said that it failed: API Error: Unable to connect"
    )
    assert "{" not in reason


def test_a_rate_limit_in_the_stream_is_waited_for_though_the_exit_code_is_0(
    repo: Repo, tmp_path: Path
) -> None:
    crew = Crew(repo, tmp_path, worker="retries = 0")  # so that a failure would be its end
    crew.plan(task("a"), agents={"a": once(f"{prints('claude-limited')}; exit 0", WRITES)})
    assert run(crew, "claude")["ended"] == "complete"
    assert len(crew.starts()) == 2


def test_a_report_is_the_final_text_and_not_the_events(crew: Crew) -> None:
    crew.plan(task("a", output="report"), agents={"a": prints("codex-ok")})
    run(crew, "codex")
    log = crew.fleet("log", "a")
    assert "hello from mock" in log
    assert "agent_message" not in log


def test_an_agent_that_says_nothing_in_the_end_has_no_report(crew: Crew) -> None:
    crew.plan(task("a", output="report"), agents={"a": f"head -n 2 '{TRANSCRIPTS}/claude-ok.jsonl'"})
    found = run(crew, "claude", code=1)
    assert found["tasks"][0]["reason"].startswith("no-report:")


# --- while it works ---------------------------------------------------------------------------------------

STEP = '{"type": "step_finish", "part": {"id": "s%s", "tokens": {"input": 10, "output": 1}, "cost": %s}}'
TEXT = '{"type": "text", "part": {"text": "%s"}}'
WAITS = 'touch "$BOX/$T.begun"; while [ ! -e "$BOX/$T.go" ]; do sleep 0.05; done'


def says(*lines: str) -> str:
    return "; ".join(f"echo '{line}'" for line in lines)


@pytest.fixture
def hasty(repo: Repo, tmp_path: Path) -> Crew:
    """One whose leases are renewed every second or two."""
    return Crew(
        repo,
        tmp_path,
        worker="retries = 0\nmax_cost_usd = 2.0",
        config="lease_seconds = 4\nidle_minutes = 0.15",
    )


def test_what_it_is_at_and_has_used_is_known_within_a_renewal(hasty: Crew) -> None:
    agent = (
        f"{WRITES}; {says(TEXT % 'reading the tests', STEP % (1, 0.5))}; {WAITS}; {says(STEP % (2, 0.25))}"
    )
    hasty.plan(task("a"), agents={"a": agent})
    with hasty.running("p", "--", program(hasty, "opencode")) as process:
        hasty.begun("a")
        hasty.until(lambda: task_of(hasty, "a")["usage"]["cost_usd"])
        assert task_of(hasty, "a")["summary"] == "reading the tests"
        assert task_of(hasty, "a")["usage"] == usage(10, 1, 0.5)
        hasty.go("a")
        process.communicate(timeout=60)
    assert task_of(hasty, "a")["usage"] == usage(20, 2, 0.75)


def test_what_an_agent_says_of_itself_is_left_alone(hasty: Crew) -> None:
    own = "git fleet progress 'half way'"
    agent = f"{WRITES}; {own}; {says(TEXT % 'reading', STEP % (1, 0.5))}; {WAITS}"
    hasty.plan(task("a"), agents={"a": agent})
    with hasty.running("p", "--", program(hasty, "opencode")) as process:
        hasty.begun("a")
        hasty.until(lambda: task_of(hasty, "a")["usage"]["cost_usd"])
        assert task_of(hasty, "a")["summary"] == "half way"
        hasty.go("a")
        process.communicate(timeout=60)


def test_a_run_that_was_killed_counts_nothing_twice(hasty: Crew) -> None:
    agent = f"{WRITES}; {says(STEP % (1, 0.5))}; {WAITS}; {says(STEP % (2, 0.25))}"
    hasty.plan(task("a"), agents={"a": agent})
    process = hasty.start("p", "--", program(hasty, "opencode"))
    hasty.until(lambda: task_of(hasty, "a")["usage"]["cost_usd"])
    process.kill()
    process.communicate()
    hasty.go("a")
    found = hasty.run("p", "--", program(hasty, "opencode"))
    assert found["recovered"] == 1
    assert len(hasty.starts()) == 1
    assert task_of(hasty, "a")["usage"] == usage(20, 2, 0.75)


def test_max_cost_usd_is_judged_by_what_is_printed(hasty: Crew) -> None:
    hasty.plan(task("a"), agents={"a": f"{WRITES}; {says(STEP % (1, 2.5))}; {WAITS}"})
    found = run(hasty, "opencode", code=1)
    assert found["tasks"][0]["reason"].startswith("cost: it has cost 2.50 US dollars")
    assert found["usage"]["cost_usd"] == 2.5


def test_max_cost_of_a_run_is_judged_by_what_is_printed(hasty: Crew) -> None:
    hasty.plan(task("a"), agents={"a": f"{WRITES}; {says(STEP % (1, 1.5))}; {WAITS}"})
    found = run(hasty, "opencode", "--max-cost", "1", code=1)
    assert found["ended"] == "cost"


def test_one_that_only_tries_again_to_reach_its_model_is_ended_as_silent(hasty: Crew) -> None:
    again = '{"type": "error", "message": "Reconnecting... 1/5"}'
    hasty.plan(task("a"), agents={"a": f"{says('{}')}; while :; do {says(again)}; sleep 0.2; done"})
    found = run(hasty, "codex", code=1)
    reason = found["tasks"][0]["reason"]
    assert reason.startswith("idle: it gave no sign of life")
    last = [line for line in reason.splitlines() if line != "Terminated"]  # which its shell may still say
    assert last[-1] == "Reconnecting... 1/5"


@pytest.mark.parametrize(
    ("agent", "prints"),
    [
        ("claude", f"head -n 2 '{TRANSCRIPTS}/claude-dead.jsonl'"),
        ("codex", f"head -n 3 '{TRANSCRIPTS}/codex-dead.jsonl'"),
        ("gemini", f"cat '{TRANSCRIPTS}/gemini-limited.jsonl'"),
        ("opencode", ":"),
    ],
)
def test_one_that_hangs_because_its_model_cannot_be_reached_is_ended(
    repo: Repo, tmp_path: Path, agent: str, prints: str
) -> None:
    """As three of the four do for ever: they say no more, or nothing at all."""
    crew = Crew(repo, tmp_path, worker="retries = 0", config="idle_minutes = 0.03")
    crew.plan(task("a"), agents={"a": f"{prints}; echo $$ > '{tmp_path}/pid'; while :; do sleep 600; done"})
    found = run(crew, agent, code=1)
    assert found["tasks"][0]["reason"].startswith("idle: it gave no sign of life")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_it_used_counts_though_it_handed_in_while_no_run_was_there(hasty: Crew) -> None:
    done = "git add -A && git commit -qm x && git fleet done"
    hasty.plan(task("a"), agents={"a": f"{WRITES}; {WAITS}; {done}; {says(STEP % (1, 0.5))}"})
    command = ("p", "--", program(hasty, "opencode"))
    process = hasty.start(*command)
    hasty.begun("a")
    process.kill()
    process.communicate()
    hasty.go("a")
    hasty.until(lambda: hasty.states()["a"] == "proposed" and not hasty.alive())
    assert hasty.run(*command)["ended"] == "complete"
    assert len(hasty.starts()) == 1
    assert task_of(hasty, "a")["usage"] == usage(10, 1, 0.5)
