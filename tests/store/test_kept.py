"""Kept work as it is stored: salvages that stay, snapshots that are replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from git_fleet.core.ids import Oid, TaskId
from git_fleet.errors import UnknownFormat
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import kept, names
from git_fleet.store.base import Store
from git_fleet.store.kept import Origin
from tests.support.clock import START
from tests.support.repo import Repo
from tests.support.stores import open_store

TASK, OTHER = TaskId("p", "t"), TaskId("p2", "t")
ORIGIN = Origin("/srv/caf\udce9", "feature/t", "ab" * 20)


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as opened:
        yield opened


def store_at(store: Store, ref: str, task: TaskId = TASK, **more: Sequence[Oid]) -> Oid:
    start = store.objects.read_ref("refs/heads/main")
    assert start is not None
    made = kept.write(
        store, task, subject="Kept", start=start[0], origin=ORIGIN, actor="w <1>", at=START, **more
    )
    store.transact([Update(ref, ABSENT, made)])
    return made


def commits(repo: Repo, count: int) -> tuple[Oid, ...]:
    return tuple(repo.commit(f"{number}") for number in range(count))


def test_what_is_written_is_read(store: Store, repo: Repo) -> None:
    one, two, three = commits(repo, 3)
    oid = store_at(store, names.snapshot(TASK), others=[one], earlier=[two, three])
    found = kept.snapshot(store, TASK)
    assert found is not None
    assert (found.oid, found.start, found.others, found.earlier) == (oid, three, (one,), (two, three))
    assert (found.task, found.number, found.worker, found.at) == (TASK, kept.SNAPSHOT, "w 1", START)
    assert (found.origin, found.rest) == (ORIGIN, (one, two, three))
    assert repo.files(oid) == repo.files(three)
    assert kept.snapshot(store, TASK, fence="cd" * 20) is None
    assert kept.snapshot(store, OTHER) is None


def test_so_many_commits_are_gathered_and_the_earlier_ones_stay_apart(store: Store, repo: Repo) -> None:
    many = commits(repo, 3 * kept.MAX_PARENTS)
    oid = store_at(store, names.snapshot(TASK), others=many, earlier=many[:2])
    found = kept.snapshot(store, TASK)
    assert found is not None
    assert found.earlier == many[:2]
    assert len(store.objects.read_commit(oid).parents) <= kept.MAX_PARENTS
    assert set(many) <= set(repo.run_git("rev-list", oid).split())


def test_lists_are_in_the_order_of_tasks_and_numbers(store: Store) -> None:
    for task, number in ((OTHER, 1), (TASK, 10), (TASK, 9)):
        store_at(store, names.salvage(task, number), task)
    store_at(store, names.snapshot(OTHER), OTHER)
    every = [(one.task, one.number) for one in kept.salvages(store)]
    assert every == [(TASK, 9), (TASK, 10), (OTHER, 1)]
    assert [one.number for one in kept.salvages(store, TASK)] == [9, 10]
    assert [one.task for one in kept.snapshots(store)] == [OTHER]
    assert kept.snapshots(store, "p") == []


def test_what_is_no_kept_work_is_refused(store: Store, repo: Repo) -> None:
    store_at(store, names.salvage(TASK, 1), OTHER)
    with pytest.raises(UnknownFormat):
        kept.salvages(store)
    store.transact([Update(names.snapshot(TASK), ABSENT, repo.rev("HEAD"))])
    with pytest.raises(UnknownFormat):
        kept.snapshot(store, TASK)
