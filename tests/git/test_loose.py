"""Objects as files of their own: what git finds, and who else may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_fleet.errors import GitFailed
from git_fleet.git.formats import Object, object_id
from git_fleet.git.loose import store
from git_fleet.git.objects import open_objects
from git_fleet.git.repository import discover
from tests.support.repo import Repo, make_repo

DATA = b"some text\n" * 50


def blob(object_format: str = "sha1", data: bytes = DATA) -> Object:
    return Object(object_id("blob", data, object_format), "blob", data)


def folder(repo: Repo) -> Path:
    return repo.path / ".git" / "objects"


def place(repo: Repo, each: Object) -> Path:
    return folder(repo) / each.oid[:2] / each.oid[2:]


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_git_has_what_is_stored(tmp_path: Path, object_format: str) -> None:
    repo = make_repo(tmp_path / "repo", object_format=object_format)
    each = blob(object_format)
    store(folder(repo), each, durable=True)
    assert repo.run_git("hash-object", "--stdin", stdin=DATA) == each.oid
    assert repo.run_git("cat-file", "blob", each.oid) + "\n" == DATA.decode()
    repo.run_git("fsck", "--strict")


def test_it_looks_as_git_would_have_written_it(repo: Repo) -> None:
    theirs = repo.run_git("hash-object", "-w", "--stdin", stdin=b"git's\n")
    each = blob()
    store(folder(repo), each, durable=False)
    ours, gits = place(repo, each), folder(repo) / theirs[:2] / theirs[2:]
    assert ours.stat().st_mode == gits.stat().st_mode
    assert ours.parent.stat().st_mode == gits.parent.stat().st_mode
    assert os.listdir(ours.parent) == [ours.name]


@pytest.mark.parametrize("bulk", [False, True])
def test_a_shared_repository_stays_shared_whatever_the_umask(repo: Repo, bulk: bool) -> None:
    repo.run_git("init", "--shared=group")
    each = blob()
    before = os.umask(0o077)
    try:
        theirs = repo.run_git("hash-object", "-w", "--stdin", stdin=b"git's\n")
        with open_objects(discover(repo.path), bulk=bulk) as objects:
            objects.write("blob", DATA)
    finally:
        os.umask(before)
    ours, gits = place(repo, each), folder(repo) / theirs[:2] / theirs[2:]
    assert ours.stat().st_mode == gits.stat().st_mode
    assert ours.parent.stat().st_mode == gits.parent.stat().st_mode


def test_one_that_is_known_counts_as_new(repo: Repo) -> None:
    each = blob()
    store(folder(repo), each, durable=False)
    os.utime(place(repo, each), (1, 1))
    store(folder(repo), each, durable=False)
    assert place(repo, each).stat().st_mtime > 1_000_000_000


def test_where_it_cannot_be_stored_git_says_why(repo: Repo) -> None:
    each = blob()
    place(repo, each).parent.write_bytes(b"in the way")
    with pytest.raises(NotADirectoryError):
        store(folder(repo), each, durable=False)
    assert place(repo, each).parent.read_bytes() == b"in the way"
    with open_objects(discover(repo.path)) as objects, pytest.raises(GitFailed):
        objects.write("blob", DATA)


def test_objects_are_written_without_a_git(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_objects(discover(repo.path), durable=True) as objects:
        monkeypatch.setenv("PATH", "/nowhere")
        oid = objects.write("blob", DATA)
    monkeypatch.undo()
    assert repo.run_git("cat-file", "-t", oid) == "blob"
