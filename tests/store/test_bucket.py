from __future__ import annotations

from git_fleet.core.config import Bucket
from git_fleet.store import bucket, names
from tests.support.clock import FakeClock
from tests.support.repo import Repo
from tests.support.stores import open_store

LIMITS = Bucket(capacity=2, refill_per_minute=6)


def test_without_a_limit_nothing_is_written(repo: Repo, clock: FakeClock) -> None:
    with open_store(repo) as store:
        assert bucket.take(store, None, "w1", clock()) == 0
        assert store.refs.read(names.FLEET) == {}


def test_a_full_bucket_gives_its_capacity_then_says_how_long_to_wait(repo: Repo, clock: FakeClock) -> None:
    with open_store(repo) as store:
        assert [bucket.take(store, LIMITS, "w1", clock()) for _ in range(4)] == [0, 0, 10, 10]
        clock.advance(4)
        assert bucket.take(store, LIMITS, "w2", clock()) == 6
        clock.advance(6)
        assert bucket.take(store, LIMITS, "w2", clock()) == 0
        assert bucket.take(store, LIMITS, "w2", clock()) == 10


def test_it_never_holds_more_than_its_capacity(repo: Repo, clock: FakeClock) -> None:
    with open_store(repo) as store:
        bucket.take(store, LIMITS, "w1", clock())
        clock.advance(86_400)
        assert [bucket.take(store, LIMITS, "w1", clock()) for _ in range(3)] == [0, 0, 10]


def test_a_clock_that_is_behind_takes_nothing_away(repo: Repo, clock: FakeClock) -> None:
    with open_store(repo) as store:
        early = clock()
        bucket.take(store, LIMITS, "w1", clock.advance(3600))
        assert bucket.take(store, LIMITS, "w1", early) == 0


def test_a_smaller_capacity_counts_at_once(repo: Repo, clock: FakeClock) -> None:
    with open_store(repo) as store:
        bucket.take(store, Bucket(100, 6), "w1", clock())
        assert [bucket.take(store, LIMITS, "w1", clock()) for _ in range(3)] == [0, 0, 10]
