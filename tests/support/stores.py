"""A store on a test's repository, its git children ended afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from git_fleet.git.objects import open_objects
from git_fleet.git.refs import Refs
from git_fleet.git.repository import discover
from git_fleet.store.base import Store
from git_fleet.store.cache import Cache
from tests.support.repo import Repo


@contextmanager
def open_store(repo: Repo) -> Iterator[Store]:
    """The store of the repository that `repo` is (a worktree of)."""
    found = discover(repo.path)
    with Refs(found) as refs, open_objects(found) as objects:
        yield Store(found, refs, objects, Cache(found.fleet_dir / "cache"))
