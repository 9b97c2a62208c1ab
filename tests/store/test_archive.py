"""The logs of a closed plan under one ref: nothing lost, whatever is folded how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.lifecycle import Event
from git_fleet.core.model import Task
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import archive, log, names, tasks
from git_fleet.store.base import Store
from tests.support.clock import START
from tests.support.repo import Repo
from tests.support.stores import open_store


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as store:
        yield store


def a_log(store: Store, name: str, plan: str = "p") -> Oid:
    task = Task(TaskId(plan, name), name, name)
    tip = tasks.append(store, tasks.reread(store, task), Event("cancel", START, "ann")).tip
    assert tip is not None
    return tip


def fold(store: Store, plan: str = "p") -> int:
    return archive.fold(store, plan, actor="ann", at=START)


def test_logs_are_folded_into_one_commit_that_keeps_them_reachable(store: Store, repo: Repo) -> None:
    tips = {f"p/{name}": a_log(store, name) for name in ("a", "b")}
    other = a_log(store, "a", "p2")
    assert fold(store) == 2
    assert store.refs.read(names.TASK_LOGS) == {"refs/fleet/task/p2/a": other}
    assert archive.read(store, "p") == tips
    for tip in tips.values():
        repo.run_git("merge-base", "--is-ancestor", tip, names.archive("p"))
    assert log.history(store.objects, tips["p/a"])[0].event.name == "cancel"


def test_a_plan_without_logs_gets_no_archive(store: Store) -> None:
    assert fold(store) == 0
    assert store.refs.read(names.FLEET) == {}
    assert archive.read(store, "p") == {}


def test_folding_again_after_a_crash_finishes(store: Store) -> None:
    tips = {name: a_log(store, name) for name in ("a", "b")}
    fold(store)
    left = Update(names.task_log(TaskId("p", "b")), ABSENT, tips["b"])
    store.refs.transact([left])  # as if it had been killed before it removed this one
    assert fold(store) == 1
    assert store.refs.read(names.TASK_LOGS) == {}
    assert archive.read(store, "p") == {f"p/{name}": tip for name, tip in tips.items()}


def test_a_log_that_reappears_counts_if_it_has_gone_on_and_is_kept_anyhow(store: Store, repo: Repo) -> None:
    first = a_log(store, "a")
    task = Task(TaskId("p", "a"), "a", "a")
    second = tasks.append(store, tasks.reread(store, task), Event("reopen", START, "ann")).tip
    assert second is not None
    store.refs.transact([Update(names.task_log(task.id), second, first)])
    fold(store)
    assert archive.read(store, "p") == {"p/a": first}
    store.refs.transact([Update(names.task_log(task.id), ABSENT, second)])  # it moved while it was folded
    fold(store)
    for tip in (a_log(store, "a"), first):  # of a clone that was away, say
        store.refs.transact([Update(names.task_log(task.id), store.refs.get(names.task_log(task.id)), tip)])
        assert fold(store) == 1
        assert archive.read(store, "p") == {"p/a": second}
        repo.run_git("merge-base", "--is-ancestor", tip, names.archive("p"))


def test_many_logs_are_gathered_in_commits_in_between(store: Store, repo: Repo) -> None:
    tip = a_log(store, "t0")
    more = [Update(names.task_log(TaskId("p", f"t{n}")), ABSENT, tip) for n in range(1, 150)]
    store.refs.transact(more)
    assert fold(store) == 150
    assert len(archive.read(store, "p")) == 150
    widest = max(len(line.split()) for line in repo.run_git("rev-list", "--parents", "--all").splitlines())
    assert widest <= 65


def test_the_tip_of_a_log_is_found_before_and_after_it_is_folded(store: Store) -> None:
    known = a_log(store, "a")
    assert archive.tip_of(store, TaskId("p", "a")) == known
    fold(store)
    assert archive.tip_of(store, TaskId("p", "a")) == known
    assert archive.tip_of(store, TaskId("p", "b")) is None
    assert archive.tip_of(store, TaskId("q", "a")) is None
