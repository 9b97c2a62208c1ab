from __future__ import annotations

import time

import pytest

from git_fleet.app import lead, plan, score
from git_fleet.app.score import Scored
from git_fleet.app.session import Session
from git_fleet.core import codec
from git_fleet.core.chain import Cause
from git_fleet.core.ids import Oid
from git_fleet.core.score import Worth
from git_fleet.errors import InvalidInput, UnknownFormat
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import names
from tests.support.clock import FakeClock
from tests.support.fleet import (
    approved,
    claimed,
    integrated,
    on_plan,
    open_fleet,
    proposed,
    saved,
    task,
)
from tests.support.repo import Repo


def finished(session: Session, clock: FakeClock) -> None:
    """Plan p, one worker's ten minutes for each of two tasks, one after another, the lead ten more each."""
    approved(session, task("a"), task("b", needs=["a"]))
    for name in ("a", "b"):
        claimed(session, name)
        clock.advance(600)
        proposed(session, name)
        clock.advance(300)
        lead.acquire(session)
        clock.advance(300)
        integrated(session, name)
        lead.release(session)


def by_phase(found: Scored) -> dict[str, float]:
    return {str(each.phase): each.seconds for each in found.score.phases}


def test_a_score_comes_from_the_logs_of_tasks_plan_and_lead(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    finished(session, clock)
    found = score.score(session, None)
    assert by_phase(found) == {
        "starting": 60,
        "work": 1140,
        "needs": 1200,
        "review": 600,
        "integration": 600,
    }
    assert (found.score.worth, found.score.wall_seconds) == (Worth.NO, 2400)
    assert found.score.bottleneck is not None
    assert found.score.bottleneck.cause is Cause.NEEDS
    assert found.lessons.predicted is not None


def test_a_closed_plan_has_the_score_it_had(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    finished(session, clock)
    before = score.score(session, "p")
    clock.advance(86_400)
    plan.close(session, "p")
    assert session.store.refs.read(names.TASK_LOGS) == {}
    assert score.score(session, "p") == before
    assert score.score(session, None) == before


def test_pauses_and_later_additions_are_read_from_the_plans_log(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"))
    claimed(session, "a")
    clock.advance(600)
    approved(session, task("a"), task("b"))
    on_plan(session, "pause")
    clock.advance(60)
    on_plan(session, "resume")
    clock.advance(30)
    found = by_phase(score.score(session, "p"))
    assert (found["paused"], found["worker"], found["work"] + found["starting"]) == (60, 30, 690)


def test_overlaps_that_are_accepted_are_no_turns(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    for name, overlap in (("p", "serialize"), ("q", "accept")):
        both = [task(each, files=[f"{name}/x"], overlap=overlap) for each in ("a", "b")]
        approved(session, *both, plan=name)
        claimed(session, f"{name}/a")
        clock.advance(60)
    assert "turns" in by_phase(score.score(session, "p"))
    assert "turns" not in by_phase(score.score(session, "q"))


def test_the_plan_must_be_clear_and_have_been_approved(repo: Repo) -> None:
    session = open_fleet(repo)
    with pytest.raises(InvalidInput, match="no plan has been approved"):
        score.score(session, None)
    saved(session, task("a"))
    with pytest.raises(InvalidInput, match="plan p is a draft"):
        score.score(session, "p")
    approved(session, task("a"))
    approved(session, task("a"), plan="q")
    with pytest.raises(InvalidInput, match="name the plan: there are p, q"):
        score.score(session, None)
    with pytest.raises(InvalidInput, match="there is no plan r"):
        score.score(session, "r")
    assert score.score(session, "P").score.worth is Worth.EARLY


@pytest.mark.parametrize(
    "broken",
    [
        {"event": "claim"},
        {"event": "claim", "claim": "mine"},
        {"event": "progress", "usage": 7},
        {"event": "progress", "usage": {"input_tokens": "many"}},
        {"event": "progress", "at": "2026-01-01T12:00:00"},
        {"event": "progress", "state": {"state": "asleep"}},
    ],
)
def test_a_log_that_cannot_be_reckoned_with_is_named(repo: Repo, broken: dict[str, object]) -> None:
    session = open_fleet(repo)
    approved(session, task("a"))
    document = {"v": 1, "at": "2026-01-01T12:00:00Z", "actor": "x", "nonce": "1", "state": {}, **broken}
    message = f"odd\n\n{codec.canonical(document)}\n"
    event = Oid(repo.run_git("commit-tree", session.repo.empty_tree, stdin=message.encode()))
    session.store.refs.transact([Update(f"{names.TASK_LOGS}p/gone", ABSENT, event)])
    with pytest.raises(UnknownFormat):
        score.score(session, "p")


def test_reading_writes_nothing(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    finished(session, clock)
    before = repo.refs()
    score.score(session, "p")
    assert repo.refs() == before


def test_ten_thousand_events_take_about_a_second(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock, long_lived=True)
    many = [task(str(number)) for number in range(1000)]
    approved(session, *many)
    claimed(session, "0")
    first = session.record(session.snapshot(), "0").tip
    assert first is not None
    tips = _long_logs(repo, first, logs=999, length=10)
    session.store.refs.transact(
        [Update(f"{names.TASK_LOGS}p/{number + 1}", ABSENT, tip) for number, tip in enumerate(tips)]
    )
    began = time.process_time()
    found = score.score(session, "p")
    assert time.process_time() - began < 5  # about one on an idle machine
    assert found.score.claims == 1000


def _long_logs(repo: Repo, first: Oid, *, logs: int, length: int) -> list[Oid]:
    """Logs that begin with the claim `first` and go on with progress, written by one process."""
    line = repo.run_git("log", "-1", "--format=%B", first).strip().rpartition("\n")[2]
    document = codec.parse_document(line, "test") | {"event": "progress", "status": "on"}
    stream = []
    for number in range(logs):
        for each in range(length):
            text = codec.canonical(document | {"nonce": f"{number}-{each}"}) + "\n"
            parent = f"from {first}\n" if each == 0 else ""
            stream.append(
                f"commit refs/x/{number}\ncommitter x <x> 0 +0000\ndata {len(text)}\n{text}{parent}"
            )
    repo.run_git("fast-import", "--quiet", stdin="".join(stream).encode())
    found = repo.refs("refs/x/")
    tips = [found[f"refs/x/{number}"] for number in range(logs)]
    repo.run_git("update-ref", "--stdin", stdin="".join(f"delete {ref}\n" for ref in found).encode())
    return tips
