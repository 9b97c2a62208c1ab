from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_fleet.core.ids import TaskId
from git_fleet.errors import Held
from git_fleet.git.refs import ABSENT
from git_fleet.store import gatelogs, names, proposals
from git_fleet.store.base import Store
from git_fleet.store.gatelogs import MAX_LOG_BYTES
from tests.support.clock import START
from tests.support.repo import Repo
from tests.support.stores import open_store

TASK = TaskId("p", "a")


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as store:
        yield store


def keep(store: Store, number: int, **logs: bytes) -> str:
    named = {f"{name}.log": data for name, data in logs.items()}
    return gatelogs.keep(store, TASK, number, named, actor="lead", at=START)


def kept(repo: Repo, number: int) -> dict[str, bytes | None]:
    files = repo.files(names.gate_logs(TASK, number))
    return {path: entry.content for path, entry in files.items()}


def test_each_log_is_a_file_that_git_shows(store: Store, repo: Repo) -> None:
    ref = keep(store, 1, tests=b"fine\n\xff", lint=b"")
    assert ref == "refs/fleet/proposal/p/a/1.gates"
    assert kept(repo, 1) == {"tests.log": b"fine\n\xff", "lint.log": b""}
    commit = store.objects.read_commit(ref)
    assert (commit.parents, commit.author.name) == ((), "lead")
    assert commit.message == 'gates of proposal 1 of p/a\n\n{"number":1,"task":"p/a","v":1}\n'
    assert repo.run_git("show", f"{ref}:tests.log").startswith("fine")


def test_a_proposal_gated_again_has_the_newest_logs_alone(store: Store, repo: Repo) -> None:
    keep(store, 1, tests=b"red", lint=b"fine")
    keep(store, 2, tests=b"other")
    keep(store, 1, tests=b"green")
    assert kept(repo, 1) == {"tests.log": b"green"}


def test_prepared_logs_are_objects_until_their_ref_moves_from_the_value_that_was_read(
    store: Store, repo: Repo
) -> None:
    logs = {"tests.log": b"early"}
    early = gatelogs.prepare(store.objects, TASK, 1, logs, old=ABSENT, actor="lead", at=START)
    assert store.refs.get(names.gate_logs(TASK, 1)) is ABSENT
    keep(store, 1, tests=b"meanwhile")
    with pytest.raises(Held):
        store.refs.transact([early])
    assert kept(repo, 1) == {"tests.log": b"meanwhile"}
    old = store.refs.get(early.ref)
    store.refs.transact([gatelogs.prepare(store.objects, TASK, 1, logs, old=old, actor="lead", at=START)])
    assert kept(repo, 1) == {"tests.log": b"early"}


@pytest.mark.parametrize("more", [0, 1, 9 * MAX_LOG_BYTES])
def test_a_log_too_long_keeps_both_ends_and_says_what_is_missing(more: int) -> None:
    data = b"begin" + b"x" * (MAX_LOG_BYTES + more - 8) + b"end"
    found = gatelogs.cut(data)
    assert len(found) <= MAX_LOG_BYTES
    assert found.startswith(b"beginx")
    assert found.endswith(b"xend")
    note = b"\n[git-fleet left out %d bytes here]\n"
    missing = data.count(b"x") - found.count(b"x")
    assert (note % missing in found) if more else found == data


def test_logs_are_listed_by_the_proposals_number(store: Store) -> None:
    for number in (10, 9):
        keep(store, number, tests=b"", lint=b"")
    proposals.add(store, TASK, commit=None, worker="w", result="", artifacts={"1-x.log": b""}, at=START)
    assert gatelogs.listing(store, TASK) == tuple(
        f"refs/fleet/proposal/p/a/{number}.gates:{name}.log"
        for number in (9, 10)
        for name in ("lint", "tests")
    )
    assert gatelogs.listing(store, TaskId("p", "b")) == ()


def test_logs_are_no_proposals(store: Store, repo: Repo) -> None:
    head = repo.rev("HEAD")
    proposals.add(store, TASK, commit=head, worker="w", result="", artifacts={}, at=START)
    keep(store, 1, tests=b"")
    keep(store, 7, tests=b"")
    assert proposals.numbers(store, TASK) == [1]
    assert proposals.commits(store, TASK) == {head}
    assert proposals.add(store, TASK, commit=head, worker="w", result="", artifacts={}, at=START)[0] == 2
