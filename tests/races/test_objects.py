"""Objects written while `git gc` removes the folders it has emptied."""

from __future__ import annotations

from contextlib import suppress

import pytest

from git_fleet.git.objects import open_objects
from git_fleet.git.repository import discover
from tests.support.race import meanwhile, race, values
from tests.support.repo import Repo


def _write_many(number: int, repo: Repo, bulk: bool) -> int:
    with open_objects(discover(repo.path), bulk=bulk) as objects:
        return len({objects.write("blob", b"%d %d" % (number, each)) for each in range(60)})


def _remove_empty_folders(repo: Repo) -> None:
    for folder in (repo.path / ".git" / "objects").glob("??"):
        with suppress(OSError):  # it holds something, or has just gone
            folder.rmdir()


@pytest.mark.parametrize("bulk", [False, True])
def test_objects_are_stored_while_their_folders_go(repo: Repo, bulk: bool) -> None:
    with meanwhile(_remove_empty_folders, repo):
        assert values(race(4, _write_many, repo, bulk)) == [60] * 4
