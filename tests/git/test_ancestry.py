from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.trailers import kept_message
from git_fleet.errors import GitFailed
from git_fleet.git.ancestry import History, histories
from git_fleet.git.objects import Objects, open_objects
from git_fleet.git.repository import discover
from tests.git.histories import Graph, graphs, write_graph
from tests.support.repo import Repo, make_repo


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """One repository for all examples, which leave only objects behind."""
    repo = make_repo(tmp_path_factory.mktemp("histories") / "repo")
    repo.run_git("config", "core.fsync", "none")
    return repo


@pytest.fixture
def objects(repo: Repo) -> Iterator[Objects]:
    with open_objects(discover(repo.path)) as opened:
        yield opened


def ask(repo: Repo, proposals: Sequence[Oid], onto: Oid) -> dict[Oid, History]:
    known = discover(repo.path)
    with open_objects(known) as objects:
        return histories(known.git(), objects, proposals, onto)


def side(repo: Repo, base: str, message: str, *merged: str) -> Oid:
    """An empty commit on top of `base`, with more parents."""
    above = [word for parent in (base, *merged) for word in ("-p", parent)]
    return Oid(repo.run_git("commit-tree", *above, "-m", message, f"{base}^{{tree}}"))


def test_each_proposal_has_its_own_commits_and_the_place_where_it_left_main(repo: Repo) -> None:
    first = repo.rev("main")
    one = side(repo, first, "one")
    two = side(repo, one, "two")
    onto = side(repo, first, "onto")
    other = side(repo, onto, "other")
    found = ask(repo, [two, one, other, first, two], onto)
    assert {oid: ([each.oid for each in history.own], history.base) for oid, history in found.items()} == {
        two: ([one, two], first),
        one: ([one], first),
        other: ([other], onto),
        first: ([], first),
    }
    assert ask(repo, [], onto) == {}


def test_who_has_merged_main_has_no_base_that_is_certain(repo: Repo) -> None:
    first = repo.rev("main")
    one = side(repo, first, "one")
    onto = side(repo, first, "onto")
    merged = side(repo, one, "merge main", onto)
    last = side(repo, merged, "last")
    found = ask(repo, [last], onto)[last]
    assert ([commit.message for commit in found.own], found.base) == (["one\n", "last\n"], None)


def test_unrelated_histories_have_no_base(repo: Repo) -> None:
    orphan = Oid(repo.run_git("commit-tree", "main^{tree}", "-m", "x"))
    found = ask(repo, [orphan], repo.rev("main"))[orphan]
    assert ([commit.oid for commit in found.own], found.base) == ([orphan], None)


def test_what_the_fleet_kept_is_nobodys_own_and_does_not_hide_the_base(repo: Repo) -> None:
    first = repo.rev("main")
    kept = side(repo, first, kept_message(TaskId("p", "a"), "not committed"))
    last = side(repo, kept, "Work on p/a that was not committed\n\nand what I say of it")
    found = ask(repo, [last], first)[last]
    assert ([commit.oid for commit in found.own], found.base) == ([last], first)


def test_a_missing_commit_is_an_error(repo: Repo, objects: Objects) -> None:
    with pytest.raises(GitFailed, match="1111"):
        histories(objects.repo.git(), objects, [Oid("1" * 40)], repo.rev("main"))


def check(repo: Repo, graph: Graph, picked: Sequence[int]) -> None:
    """Against git, one proposal after the other."""
    commits = write_graph(repo, graph)
    onto, *proposals = (commits[number % len(commits)] for number in picked)
    for proposal, found in ask(repo, proposals, onto).items():
        only = (proposal, f"^{onto}")
        own = repo.run_git("rev-list", "--reverse", "--topo-order", "--no-merges", *only).split()
        assert [commit.oid for commit in found.own] == own
        bases = repo.try_git("merge-base", "--all", proposal, onto).stdout.decode().split()
        merges = repo.run_git("rev-list", "--merges", *only)
        if found.base is None:
            assert len(bases) != 1 or merges
        else:
            assert bases == [found.base]


few = st.lists(st.integers(0, 30), min_size=2, max_size=5)


@given(graphs, few)
@settings(max_examples=60)
def test_own_commits_and_bases_are_those_git_finds(scratch: Repo, graph: Graph, picked: list[int]) -> None:
    check(scratch, graph, picked)


@pytest.mark.slow
@given(graphs, few)
@settings(max_examples=1500)
def test_own_commits_and_bases_are_those_git_finds_at_length(
    scratch: Repo, graph: Graph, picked: list[int]
) -> None:
    check(scratch, graph, picked)
