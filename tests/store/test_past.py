"""What history shows is read once, kept, and never believed when it is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from git_fleet.core.coupling import MAX_COMMIT_PATHS
from git_fleet.core.ids import Oid
from git_fleet.git import past as walking
from git_fleet.store import past
from git_fleet.store.base import Store
from tests.support.fleet import open_fleet
from tests.support.repo import Repo, make_repo

ODD = ("\nb", "a\nb", 'quote"d', "ü", "\udcff", "x y")


@pytest.fixture
def store(repo: Repo) -> Store:
    return open_fleet(repo).store


def kept(store: Store) -> Path:
    return store.repo.fleet_dir / "cache" / "history-changed.json"


def recent(store: Store, repo: Repo, *, keep: bool = True) -> dict[Oid, tuple[str, ...]]:
    return past.recent(store, repo.rev("main"), keep=keep)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_each_commit_comes_with_its_paths_the_newest_first(tmp_path: Path, object_format: str) -> None:
    repo = make_repo(tmp_path / "r", {"first": "1"}, object_format=object_format)
    store = open_fleet(repo).store
    root = repo.rev("main")
    odd = repo.commit("odd", dict.fromkeys(ODD, "x"))
    empty = repo.commit("nothing")
    gone = repo.commit("gone", {"first": None, "d/e": "x"})
    found = recent(store, repo)
    assert found == {gone: ("d/e", "first"), empty: (), odd: tuple(sorted(ODD)), root: ("first",)}
    assert list(found) == [gone, empty, odd, root]
    assert recent(store, repo) == found
    assert list(recent(store, repo)) == list(found)


def test_merges_and_commits_of_very_many_paths_say_nothing(store: Store, repo: Repo) -> None:
    repo.branch("side")
    repo.commit("one", {"one": "1"})
    repo.run_git("switch", "--quiet", "side")
    side = repo.commit("side", {"side": "1"})
    repo.run_git("switch", "--quiet", "main")
    repo.run_git("merge", "--quiet", "--no-edit", "side")
    merge = repo.rev("main")
    large = repo.commit("large", {f"l/{n}": "x" for n in range(MAX_COMMIT_PATHS + 1)})
    full = repo.commit("full", {f"f/{n}": "x" for n in range(MAX_COMMIT_PATHS)})
    found = recent(store, repo)
    assert merge not in found
    assert found[side] == ("side",)
    assert (found[large], len(found[full])) == ((), MAX_COMMIT_PATHS)


def test_what_is_known_is_not_looked_at_again(store: Store, repo: Repo) -> None:
    old = repo.rev("main")
    recent(store, repo)
    kept(store).write_text(kept(store).read_text().replace(f'"{old}": [', f'"{old}": [0, '))
    before = len(recent(store, repo)[old])
    new = repo.commit("new", {"new": "1"})
    found = recent(store, repo)
    assert found[new] == ("new",)
    assert len(found[old]) == before > len(set(found[old]))


def test_another_branch_gets_its_own_commits(store: Store, repo: Repo) -> None:
    repo.commit("main only", {"m": "1"})
    repo.run_git("switch", "--quiet", "--orphan", "other")
    other = repo.commit("other", {"o": "1"})
    recent(store, repo)
    assert past.recent(store, other, keep=True) == {other: ("o",)}
    assert other not in recent(store, repo)


def test_only_so_many_commits_are_read_and_kept(repo: Repo) -> None:
    last = [repo.commit(str(n), {"f": str(n)}) for n in range(3)]
    found = walking.changed_paths(open_fleet(repo).repo.git(), last[-1], commits=2, most=30, known={})
    assert list(found) == [last[2], last[1]]


def test_who_only_reads_keeps_nothing(store: Store, repo: Repo) -> None:
    assert recent(store, repo, keep=False)
    assert not kept(store).exists()


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "[]",
        lambda text: text.replace('"v": 1', '"v": 2'),
        lambda text: text.replace('"most": 30', '"most": 31'),
        lambda text: text.replace('"paths": [', '"paths": [7, '),
        lambda text: text.replace('"paths": [', '"paths": "", "x": ['),
        lambda text: text.replace('"changed": {', '"changed": [], "x": {'),
        lambda text: text.replace("[0", "[99"),
    ],
)
def test_what_is_broken_is_read_anew(store: Store, repo: Repo, broken: Callable[[str], str]) -> None:
    found = recent(store, repo)
    text = kept(store).read_text()
    kept(store).write_text(broken(text))
    assert kept(store).read_text() != text
    assert recent(store, repo) == found
