"""Compare-and-swap of one ref by many processes, while packed-refs is replaced again and again."""

from __future__ import annotations

from collections import Counter

import pytest

from git_fleet.core.ids import Oid
from git_fleet.errors import LostRace
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.git.repository import discover
from tests.support.race import meanwhile, race, values
from tests.support.repo import Repo

REF = "refs/fleet/contested"


def _blobs(repo: Repo, count: int, of: int) -> list[Oid]:
    listed = b"".join(b"%d %d\n" % (of, number) for number in range(count))
    paths = [repo.write(f"blobs/{of}/{number}", line) for number, line in enumerate(listed.splitlines())]
    names = "\n".join(str(path) for path in paths).encode()
    return [Oid(line) for line in repo.run_git("hash-object", "-w", "--stdin-paths", stdin=names).split()]


def _swap(number: int, repo: Repo, persistent: bool, news: list[list[Oid]]) -> list[str]:
    """Move the ref to one value after the other; the old values of the swaps that were confirmed."""
    won = []
    with Refs(discover(repo.path), persistent=persistent) as refs:
        for new in news[number]:
            old = refs.get(REF)
            try:
                refs.transact([Update(REF, old, new)])
            except LostRace:
                continue
            won.append(str(old))
    return won


def _pack(repo: Repo) -> None:
    repo.try_git("pack-refs", "--all")  # of two at the same moment one gives up


def _assert_no_swap_is_lost(repo: Repo, persistent: bool, rounds: int) -> None:
    news = [_blobs(repo, rounds, of) for of in range(6)]
    with meanwhile(_pack, repo), meanwhile(_pack, repo):
        won = Counter(old for each in values(race(6, _swap, repo, persistent, news)) for old in each)
    assert won[str(ABSENT)] == 1
    assert [old for old, times in won.items() if times > 1] == []


@pytest.mark.parametrize("persistent", [False, True])
def test_no_swap_is_lost_beside_pack_refs(repo: Repo, persistent: bool) -> None:
    _assert_no_swap_is_lost(repo, persistent, rounds=25)


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
def test_no_swap_is_lost_in_a_long_race(repo: Repo, persistent: bool) -> None:
    _assert_no_swap_is_lost(repo, persistent, rounds=120)
