from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core.ids import Oid
from git_fleet.store import evidence, names
from git_fleet.store.base import Store, tip
from tests.support.clock import START
from tests.support.repo import Repo
from tests.support.stores import open_store


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as store:
        yield store


def add(store: Store, **notes: str) -> None:
    evidence.add(store, {Oid(oid): text for oid, text in notes.items()}, actor="ann", at=START)


def test_git_shows_the_note_on_its_commit(store: Store, repo: Repo) -> None:
    head = repo.rev("HEAD")
    add(store, **{head: "version = 1\n"})
    assert repo.run_git("notes", "--ref=fleet/evidence", "show", head) == "version = 1"
    assert evidence.read(store, head) == "version = 1\n"


def test_a_commit_without_a_note_has_none(store: Store, repo: Repo) -> None:
    assert evidence.read(store, repo.rev("HEAD")) is None


def test_many_notes_are_one_revision_and_the_same_again_none(store: Store, repo: Repo) -> None:
    notes = {repo.commit(f"c{n}"): f"n = {n}\n" for n in range(3)}
    add(store, **notes)
    before = tip(store.refs.get(names.EVIDENCE))
    add(store, **notes)
    assert tip(store.refs.get(names.EVIDENCE)) == before
    assert {oid: evidence.read(store, oid) for oid in notes} == notes


def test_somebody_elses_notes_are_kept(store: Store, repo: Repo) -> None:
    mine, theirs = repo.rev("HEAD"), repo.commit("more")
    repo.run_git("notes", "--ref=fleet/evidence", "add", "-m", "theirs", theirs)
    add(store, **{mine: "mine\n"})
    assert (evidence.read(store, mine), evidence.read(store, theirs)) == ("mine\n", "theirs\n")


def test_what_is_rebuilt_never_replaces_a_note_that_came_meanwhile(store: Store, repo: Repo) -> None:
    there, bare = repo.rev("HEAD"), repo.commit("more")
    add(store, **{there: "whole\n"})
    rebuilt = {Oid(there): "less\n", Oid(bare): "less\n"}
    evidence.add(store, rebuilt, actor="ann", at=START, where_none=True)
    assert (evidence.read(store, there), evidence.read(store, bare)) == ("whole\n", "less\n")


def test_no_note_on_nothing(store: Store) -> None:
    add(store)
    assert store.refs.read("refs/notes/") == {}


def test_the_text_is_toml_of_version_one() -> None:
    document = {"plan": "p", "gate": [{"name": "tests", "seconds": 1.5}]}
    assert tomllib.loads(evidence.text(document)) == {"version": 1, **document}


PARTS: st.SearchStrategy[Any] = (
    st.text(max_size=8) | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.just([])
)


@given(
    st.dictionaries(
        st.sampled_from(["plan", "task", "worker", "gate"]),
        PARTS | st.lists(st.dictionaries(st.just("a"), PARTS)),
    )
)
def test_the_text_is_what_tomli_w_writes(document: dict[str, Any]) -> None:
    assert evidence.text(document) == tomli_w.dumps({"version": 1, **document})
