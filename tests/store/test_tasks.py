from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_fleet.core.ids import TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import PENDING, State, Task
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import Held, IllegalEvent, Stale
from git_fleet.store import log, names, tasks
from git_fleet.store.base import Store
from tests.support.clock import START
from tests.support.repo import Repo
from tests.support.stores import open_store

TASK = Task(TaskId("p", "a"), "A", "a")
CANCEL = Event("cancel", START, "ann", {"reason": "no need"})
REOPEN = Event("reopen", START, "ann")


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as store:
        yield store


def test_a_task_without_a_log_is_pending(store: Store) -> None:
    assert tasks.reread(store, TASK) == TaskRecord(TASK, None, PENDING)
    assert tasks.state_at(store, None) == PENDING


def test_what_was_appended_is_read_again(store: Store) -> None:
    record = tasks.append(store, tasks.reread(store, TASK), CANCEL, {"note": b"why"})
    assert tasks.reread(store, TASK) == record
    assert record.tip is not None
    assert tasks.state_at(store, record.tip) == record.state
    assert log.texts(store.objects, log.read(store.objects, record.tip)) == {"note": b"why"}
    again = tasks.append(store, record, REOPEN)
    assert again.tip is not None
    assert [e.event.name for e in log.history(store.objects, again.tip)] == ["cancel", "reopen"]


def test_only_one_of_two_who_read_the_same_state_gets_through(store: Store) -> None:
    nothing = tasks.reread(store, TASK)
    first = tasks.append(store, nothing, CANCEL)
    with pytest.raises(Held):
        tasks.append(store, nothing, CANCEL)
    tasks.append(store, first, REOPEN)
    with pytest.raises(Stale):
        tasks.append(store, first, REOPEN)


def test_an_event_that_the_table_refuses_changes_nothing(store: Store) -> None:
    with pytest.raises(IllegalEvent, match="reopen is not possible while the task is pending"):
        tasks.append(store, tasks.reread(store, TASK), REOPEN)
    assert store.refs.read(names.FLEET) == {}


def test_a_task_is_not_mistaken_for_one_whose_id_begins_like_its_own(store: Store) -> None:
    longer = Task(TaskId("p", "a-2"), "A", "a")
    tasks.append(store, tasks.reread(store, longer), CANCEL)
    assert tasks.reread(store, TASK).state.state is State.PENDING
    assert names.task_of_log(names.task_log(longer.id)) == longer.id
