"""The lead's log: one at a time, and no intent is ever forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import LeadState
from git_fleet.errors import Held, IllegalEvent, Stale
from git_fleet.store import lead, log
from git_fleet.store.base import Store
from git_fleet.store.lead import Intent, Landing, LeadRecord
from tests.support.clock import START
from tests.support.repo import Repo
from tests.support.stores import open_store

HOUR = timedelta(hours=1)
OID = Oid("1" * 40)
INTENT = Intent(
    "refs/heads/main", OID, OID, "/x \udcff", (Landing(TaskId("p", "a"), 1, OID, OID, OID, "version = 1\n"),)
)


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as store:
        yield store


def acquire(store: Store, worktree: str = "/one", now: datetime = START) -> LeadRecord:
    return lead.acquire(
        store, lead.read(store), actor="ann", worktree=worktree, now=now, expires_at=now + HOUR
    )


def begin(store: Store, record: LeadRecord) -> LeadRecord:
    return lead.begin(store, record, INTENT, actor="ann", now=START)


def test_nobody_leads_at_first(store: Store) -> None:
    assert lead.read(store) == LeadRecord(None, LeadState())


def test_the_acquire_event_is_the_fence_and_stays_it_through_renewals(store: Store) -> None:
    record = acquire(store)
    assert record.state == LeadState("ann", record.tip, "/one", START, START + HOUR)
    assert lead.read(store) == record
    renewed = lead.renew(store, record, actor="ann", now=START, expires_at=START + 2 * HOUR)
    assert (renewed.state.fence, renewed.state.expires_at) == (record.tip, START + 2 * HOUR)
    assert lead.read(store) == renewed


def test_another_worktree_waits_until_the_lease_has_run_out(store: Store) -> None:
    acquire(store)
    with pytest.raises(Held, match=r"ann leads until .* from /one"):
        acquire(store, "/two")
    assert acquire(store, "/two", START + HOUR).state.worktree == "/two"


def test_the_same_worktree_may_acquire_again_and_gets_a_new_fence(store: Store) -> None:
    assert acquire(store).state.fence != acquire(store).state.fence


def test_of_two_who_acquire_at_once_one_leads(store: Store) -> None:
    nobody = lead.read(store)
    acquire(store)
    with pytest.raises(Held):
        lead.acquire(store, nobody, actor="bob", worktree="/two", now=START, expires_at=START + HOUR)


def test_what_was_given_up_is_free(store: Store) -> None:
    lead.release(store, acquire(store), actor="ann", now=START)
    assert lead.read(store).state == LeadState()
    assert acquire(store, "/two").state.worktree == "/two"


def test_an_intent_is_kept_with_everything_it_needs(store: Store) -> None:
    record = begin(store, acquire(store))
    assert record == lead.read(store)
    assert record.state.intent == record.tip
    assert record.tip is not None
    assert lead.read_intent(store, record.tip) == INTENT
    document = log.read(store.objects, record.tip).document
    assert (document["ref"], document["old"], document["new"]) == ("refs/heads/main", OID, OID)


def test_while_an_intent_is_open_there_is_no_second_and_no_release(store: Store) -> None:
    record = begin(store, acquire(store))
    with pytest.raises(IllegalEvent):
        begin(store, record)
    with pytest.raises(IllegalEvent):
        lead.release(store, record, actor="ann", now=START)


def test_an_open_intent_goes_over_to_the_next_lead_who_closes_it(store: Store) -> None:
    left = begin(store, acquire(store))
    taken = acquire(store, "/two", START + HOUR)
    assert (taken.state.intent, taken.state.fence) == (left.tip, taken.tip)
    renewed = lead.renew(store, taken, actor="bob", now=START + HOUR, expires_at=START + 2 * HOUR)
    assert renewed.state.intent == left.tip
    closed = lead.close(store, renewed, "void", actor="bob", now=START + HOUR)
    assert lead.read(store) == closed
    assert (closed.state.intent, closed.state.fence) == (None, taken.tip)


def test_a_lead_that_was_taken_over_can_write_nothing_more(store: Store) -> None:
    old = acquire(store)
    acquire(store, "/two", START + HOUR)
    with pytest.raises(Stale):
        begin(store, old)
    with pytest.raises(Stale):
        lead.renew(store, old, actor="ann", now=START, expires_at=START + HOUR)
    with pytest.raises(Stale):
        lead.release(store, old, actor="ann", now=START)
    assert lead.read(store).state.worktree == "/two"
