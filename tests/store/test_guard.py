from __future__ import annotations

import pytest

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import PENDING
from git_fleet.errors import Held, Stale
from git_fleet.store import guard, log, names
from git_fleet.store.base import Store
from tests.support.clock import START
from tests.support.repo import Repo
from tests.support.stores import open_store

EVENT = Event("claim", START, "ann")
A, B = TaskId("p", "a"), TaskId("p", "b")


def test_the_guard_is_a_chain_that_names_claims(repo: Repo) -> None:
    with open_store(repo) as store:
        one, two = a_claim(store), a_claim(store)
        first = guard.move(store, before=None, task=A, claim=one, event=EVENT)
        second = guard.move(store, before=first, task=B, claim=two, event=EVENT)
        assert guard.read(store, first) == (A, one)
        assert guard.read(store, second) == (B, two)
        assert (
            repo.run_git("show", "--no-patch", "--format=%P|%s", names.GUARD) == f"{first} {two}|guard: p/b"
        )
        assert repo.run_git("show", "--no-patch", "--format=%P", first) == one


def test_two_claims_computed_on_the_same_guard_cannot_both_move_it(repo: Repo) -> None:
    with open_store(repo) as store:
        first = guard.move(store, before=None, task=A, claim=a_claim(store), event=EVENT)
        with pytest.raises(Held):
            guard.move(store, before=None, task=B, claim=a_claim(store), event=EVENT)
        guard.move(store, before=first, task=B, claim=a_claim(store), event=EVENT)
        with pytest.raises(Stale):
            guard.move(store, before=first, task=A, claim=a_claim(store), event=EVENT)


def a_claim(store: Store) -> Oid:
    return log.write(store.objects, EVENT, PENDING, parent=None, subject="claim")
