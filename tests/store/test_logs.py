"""Many logs read at once: whole, oldest first, from where they are."""

from __future__ import annotations

from datetime import timedelta

import pytest

from git_fleet.core.ids import Oid, TaskId
from git_fleet.errors import UnknownFormat
from git_fleet.store import archive, log, logs
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, on_task, open_fleet, task
from tests.support.repo import Repo


def names(entries: list[log.Entry]) -> list[str]:
    return [entry.event.name for entry in entries]


def test_logs_of_different_lengths_are_read_to_their_beginnings(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, clock=clock)
    approved(session, task("a"), task("b"), task("c"))
    claimed(session, "a")
    for _ in range(3):
        clock.advance(60)
        on_task(session, "progress", "a", status="on it")
    on_task(session, "cancel", "b", reason="no")
    tips = [record.tip for record in session.snapshot().of_plan("p") if record.tip]
    found = logs.histories(session.store.objects, tips)
    assert [names(found[tip]) for tip in tips] == [["claim", *["progress"] * 3], ["cancel"]]
    assert found[tips[0]] == log.history(session.store.objects, tips[0])
    late = logs.histories(session.store.objects, tips[:1], back_to=clock() - timedelta(seconds=30))
    assert names(late[tips[0]]) == ["progress"] * 2
    assert {str(name): names(entries) for name, entries in logs.task_logs(session.store, "p", closed=False).items()} == {
        "p/a": ["claim", *["progress"] * 3],
        "p/b": ["cancel"],
    }  # fmt: skip


def test_a_closed_plans_logs_are_those_of_its_archive(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, clock=clock)
    approved(session, task("a"), task("b"))
    on_task(session, "cancel", "a", reason="no")
    found = logs.task_logs(session.store, "p", closed=True)
    assert list(found) == [TaskId("p", "a")], "closing was cut short before they were folded"
    archive.fold(session.store, "p", actor="ann", at=clock())
    on_task(session, "cancel", "b", reason="too late")
    found = logs.task_logs(session.store, "p", closed=True)
    assert {name: names(entries) for name, entries in found.items()} == {TaskId("p", "a"): ["cancel"]}


def test_what_is_no_log_is_refused(repo: Repo) -> None:
    session = open_fleet(repo)
    for tip in (Oid("1" * 40), repo.rev("HEAD")):
        with pytest.raises(UnknownFormat):
            logs.histories(session.store.objects, [tip])
