from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from git_fleet.core.ids import Oid, TaskId
from git_fleet.errors import InvalidInput
from git_fleet.store import names, proposals
from git_fleet.store.base import Store
from tests.support.clock import START
from tests.support.repo import Repo
from tests.support.stores import open_store

TASK = TaskId("p", "a")


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as store:
        yield store


def add(store: Store, commit: Oid | None, task: TaskId = TASK, **fields: Any) -> tuple[int, Oid]:
    values = {"worker": "w1", "result": "", "artifacts": {}, "at": START, **fields}
    return proposals.add(store, task, commit=commit, **values)


def test_a_proposal_keeps_the_work_and_holds_the_artifacts(store: Store, repo: Repo) -> None:
    head = repo.rev("HEAD")
    artifacts = {"out/report.md": b"fine\n", "\udcff": b"\x00"}
    number, oid = add(store, head, result="all\nwell", artifacts=artifacts)
    assert (number, store.refs.get(names.proposal(TASK, 1))) == (1, oid)
    assert store.objects.read_commit(oid).parents == (head,)
    assert {path: entry.content for path, entry in repo.files(oid).items()} == artifacts
    assert proposals.result(store, oid) == "all\nwell"


def test_a_report_has_no_parent(store: Store) -> None:
    _, oid = add(store, None, result="nothing found")
    assert store.objects.read_commit(oid).parents == ()


def test_numbers_go_on_and_are_the_tasks_own(store: Store, repo: Repo) -> None:
    numbers = [add(store, repo.rev("HEAD"))[0] for _ in range(11)]
    assert numbers == list(range(1, 12))
    assert proposals.numbers(store, TASK) == numbers
    assert add(store, None, TaskId("p", "a-1"))[0] == 1


def test_the_workers_commits_of_all_proposals_are_known(store: Store, repo: Repo) -> None:
    first = repo.rev("HEAD")
    second = repo.commit("more")
    for commit in (first, second, None):
        add(store, commit)
    assert proposals.commits(store, TASK) == {first, second}


@pytest.mark.parametrize("path", ["../x", ".git/config", "a//b", "/x"])
def test_an_artifact_that_leaves_the_tree_is_refused_and_nothing_is_stored(store: Store, path: str) -> None:
    with pytest.raises(InvalidInput):
        add(store, None, artifacts={path: b"x"})
    assert store.refs.read(names.FLEET) == {}
