"""What a run does about agents that do not come to an end, and about people who change things meanwhile. Nothing that
was written is lost.

The agents are in one run (`limited`), and each test looks at one of its tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.support.fleet import task
from tests.support.runs import ENDLESS, Crew, Story, once, own_environment, writes

LIMITED: Mapping[str, str] = {
    "good": "work",
    "silent": f"{writes('half')}; sleep 1000",
    "quiet": f"{writes('some')}; for n in 1 2 3 4 5 6 7 8; do sleep 0.5; echo $n >> $T/new; done",
    "endless": once(f"{writes('half')}; {ENDLESS}", 'grep -q half "$T/new" && touch "$T/more"'),
    "dear": f"{writes('half')}; git fleet progress --cost-usd 5 begun; exec sleep 1000",
    "cheap": f"{writes('all')}; git fleet progress --cost-usd 0.5 begun",
    "unset": "work",
    "missing": "work",
    "doomed": f'{writes("half")}; touch "$BOX/$T.begun"; {ENDLESS}',
}
pytestmark = pytest.mark.slow
PROFILES = """
retries = 0
max_cost_usd = 2.0
[worker.unset]
run = ["sh", "-c", "exit 0"]
setup = "echo 'no such package' >&2; exit 4"
[worker.missing]
run = ["no-such-agent", "-p", "{prompt}"]
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("limited")
    with own_environment(folder):
        crew = Crew.made(
            folder, worker=PROFILES, config="breaker = 100\nidle_minutes = 0.025\nsession_minutes = 0.1"
        )
        tasks = [task(name, worker=name if name in ("unset", "missing") else "") for name in LIMITED]
        crew.plan(*tasks, agents=LIMITED)
        with crew.running("--workers", "8", "--json") as process:
            crew.begun("doomed")
            crew.fleet("cancel", "doomed")
            out, _ = process.communicate(timeout=120)
            assert process.returncode == 1
            yield Story(crew, json.loads(out), crew.states(), crew.alive())


def test_the_others_do_not_notice(limited: Story) -> None:
    limited.assert_done("good")
    assert not limited.alive
    limited.crew.sound()


def test_an_agent_that_falls_silent_is_ended(limited: Story) -> None:
    limited.assert_blocked("silent", "idle")
    assert "no sign of life" in limited.reason("silent")
    limited.assert_kept("half of silent")


def test_one_that_prints_nothing_and_goes_on_writing_is_not(limited: Story) -> None:
    limited.assert_done("quiet")
    assert limited.on_main("quiet").endswith("\n8")


def test_an_agent_that_never_ends_is_told_and_ended_and_its_task_taken_up_again(limited: Story) -> None:
    limited.assert_done("endless", starts=2)
    assert limited.on_main("endless") == "half of endless"
    log = limited.crew.fleet("log", "endless")
    assert "session_minutes is 0.1" in log


def test_an_agent_that_costs_too_much(limited: Story) -> None:
    limited.assert_blocked("dear", "cost")
    assert "it has cost 5.00 US dollars" in limited.reason("dear")
    limited.assert_kept("half of dear")
    limited.assert_done("cheap")
    assert limited.document["usage"]["cost_usd"] == 5.5


def test_a_setup_that_fails(limited: Story) -> None:
    limited.assert_blocked("unset", "setup", starts=0)
    assert "no such package" in limited.reason("unset")


def test_a_program_that_is_missing(limited: Story) -> None:
    limited.assert_blocked("missing", "failed", starts=0)
    assert "no-such-agent" in limited.reason("missing")


def test_a_task_that_a_person_cancels_has_its_agent_ended(limited: Story) -> None:
    assert (limited.states["doomed"], limited.starts("doomed")) == ("cancelled", 1)
    limited.assert_kept("half of doomed")
