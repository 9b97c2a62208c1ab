from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.trailers import kept_message
from git_fleet.errors import GitFailed
from git_fleet.git.ancestry import History, histories
from git_fleet.git.objects import Objects, open_objects
from git_fleet.git.process import Git
from git_fleet.git.repository import discover
from tests.git.histories import Graph, graphs, write_graph
from tests.support.examples import many
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


def side(repo: Repo, base: str, message: str, *merged: str, date: int = 0) -> Oid:
    """An empty commit on top of `base`, with more parents."""
    above = [word for parent in (base, *merged) for word in ("-p", parent)]
    env = {"GIT_COMMITTER_DATE": f"{date} +0000"} if date else None
    return Oid(repo.run_git("commit-tree", *above, "-m", message, f"{base}^{{tree}}", env=env))


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


LONG_AGO = 100_000_000  # what git takes for a date, and older than any other here


@pytest.mark.parametrize("merged", [False, True])
def test_main_made_by_a_clock_far_behind_still_has_what_it_has(repo: Repo, merged: bool) -> None:
    """Git looks at five commits more than it has to, so here are more. With a merge it knows the first commit."""
    first = repo.rev("main")
    fork = at = side(repo, first, "fork")
    for number in range(8):
        at = side(repo, at, f"behind {number}", date=LONG_AGO + number)
    onto = side(repo, at, "onto", *([side(repo, first, "beside")] if merged else ()))
    one = side(repo, fork, "one")
    two = side(repo, one, "two")
    last = side(repo, onto, "last")
    merging = side(repo, two, "merge main's", side(repo, fork, "three"))
    assert fork in repo.run_git("rev-list", two, f"^{onto}").split()
    found = ask(repo, [two, fork, last, merging], onto)
    assert {oid: ([each.oid for each in history.own], history.base) for oid, history in found.items()} == {
        two: ([one, two], fork),
        fork: ([], fork),
        last: ([last], onto),
        merging: ([commit.oid for commit in found[merging].own], None),
    }
    said = sorted(commit.message for commit in found[merging].own)
    assert said == ["one\n", "three\n", "two\n"]


@pytest.mark.parametrize("places", [(0, 1, 2, 3, 4, 5), (1, 3), (4, 2), (5,), (3,)])
@pytest.mark.parametrize("beside", [False, True])
def test_main_is_not_listed_as_a_whole_when_nothing_is_odd(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, places: Sequence[int], beside: bool
) -> None:
    """As where a fleet lands several tasks in one second: all of main's commits have one date. `beside`: main has
    merged a branch that a proposal left, too."""
    line = [repo.rev("main")]
    for number in range(5):
        line.append(side(repo, line[-1], f"main {number}"))
    branch = side(repo, line[0], "branch")
    onto = side(repo, line[-1], "merge", branch) if beside else line[-1]
    tips = {side(repo, line[place], "work"): line[place] for place in places}
    if beside:
        tips[side(repo, branch, "work")] = branch
    text, asked = Git.text, []

    def asking(git: Git, *args: str, **options: Any) -> str:
        asked.append(args)
        return text(git, *args, **options)

    monkeypatch.setattr(Git, "text", asking)
    found = ask(repo, list(tips), onto)
    assert {oid: ([each.oid for each in history.own], history.base) for oid, history in found.items()} == {
        tip: ([tip], base) for tip, base in tips.items()
    }
    assert ("rev-list", onto) not in asked
    if places == (5,) and not beside:
        assert [args[0] for args in asked].count("rev-list") == 1


def test_a_missing_commit_is_an_error(repo: Repo, objects: Objects) -> None:
    with pytest.raises(GitFailed, match="1111"):
        histories(objects.repo.git(), objects, [Oid("1" * 40)], repo.rev("main"))


def assert_as_git_finds(repo: Repo, graph: Graph, picked: Sequence[int]) -> None:
    """Against git, one proposal after the other. Its `^onto` trusts dates; all that `onto` has is certain."""
    commits = write_graph(repo, graph)
    onto, *proposals = (commits[number % len(commits)] for number in picked)
    has = set(repo.run_git("rev-list", onto).split())
    for proposal, found in ask(repo, proposals, onto).items():
        only = (proposal, f"^{onto}")
        own = repo.run_git("rev-list", "--reverse", "--topo-order", "--no-merges", *only).split()
        assert [commit.oid for commit in found.own] == [oid for oid in own if oid not in has]
        bases = repo.try_git("merge-base", "--all", proposal, onto).stdout.decode().split()
        merges = set(repo.run_git("rev-list", "--merges", *only).split()) - has
        if found.base is None:
            assert len(bases) != 1 or merges
        else:
            assert bases == [found.base]


few = st.lists(st.integers(0, 30), min_size=2, max_size=5)


@given(graphs, few)
@settings(max_examples=60)
def test_own_commits_and_bases_are_those_git_finds(scratch: Repo, graph: Graph, picked: list[int]) -> None:
    assert_as_git_finds(scratch, graph, picked)


@pytest.mark.slow(seconds=25)
@given(graphs, few)
@settings(max_examples=many(1500))
def test_own_commits_and_bases_are_those_git_finds_at_length(
    scratch: Repo, graph: Graph, picked: list[int]
) -> None:
    assert_as_git_finds(scratch, graph, picked)
