"""A full disk and a read-only one, for real: on a small file system of their own, where one can be mounted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from git_fleet.errors import GitFailed
from git_fleet.git.drafts import Drafts
from git_fleet.git.locks import left_behind
from git_fleet.git.objects import open_objects
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.git.repository import discover
from tests.support.repo import Repo, make_repo


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Repo]:
    """A repository on a file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield make_repo(disk / "repo")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("bulk", [False, True])
def test_a_full_disk_is_said_and_leaves_nothing_half_done(small: Repo, bulk: bool) -> None:
    found = discover(small.path)
    one = small.rev("HEAD")
    filler = small.path / "filler"
    with Refs(found, persistent=bulk) as refs, open_objects(found, bulk=bulk) as objects:
        refs.transact([Update("refs/fleet/lead", ABSENT, one)])
        with suppress(OSError):
            filler.write_bytes(bytes(2_000_000))
        with pytest.raises(GitFailed, match="no space left") as caught:
            objects.write("blob", bytes(range(256)) * 100)
        assert "free some space" in caught.value.hint
        with pytest.raises(GitFailed, match="no space left"):
            refs.transact([Update(f"refs/fleet/task/p/{name}", ABSENT, one) for name in "abc"])
        assert left_behind(found) == []
        filler.unlink()
        refs.transact([Update(f"refs/fleet/task/p/{name}", ABSENT, one) for name in "abc"])
        assert len(refs.read("refs/fleet")) == 4
    small.run_git("fsck", "--strict")


def test_drafts_outlast_a_full_disk(small: Repo) -> None:
    found = discover(small.path)
    filler = small.path / "filler"
    with open_objects(found) as objects, Drafts(objects) as drafts:
        made = [drafts.write("blob", os.urandom(50_000)) for _ in range(5)]
        with suppress(OSError):
            filler.write_bytes(bytes(2_000_000))
        with pytest.raises(GitFailed, match="no space left") as caught:
            drafts.save()
        assert "free some space" in caught.value.hint
        with pytest.raises(GitFailed, match="No space left") as caught:
            drafts.git().run("cat-file", "-e", made[0])
        assert "free some space" in caught.value.hint
        filler.unlink()
        assert drafts.git().run("cat-file", "-s", made[0]).out == b"50000\n"
        assert drafts.save() == 5
        assert all(objects.exists(oid) for oid in made)
    small.run_git("fsck", "--strict")


@pytest.mark.parametrize("bulk", [False, True])
def test_a_read_only_repository_is_said_and_can_be_read(small: Repo, bulk: bool) -> None:
    found = discover(small.path)
    one = small.rev("HEAD")
    subprocess.run(["mount", "-o", "remount,ro", str(small.path.parent)], check=True)
    with Refs(found, persistent=bulk) as refs, open_objects(found, bulk=bulk) as objects:
        assert refs.get("refs/heads/main") == one
        assert objects.read_commit(one).oid == one
        with pytest.raises(GitFailed, match="Read-only file system"):
            objects.write("blob", b"x")
        with Drafts(objects) as drafts:
            drafts.write("blob", b"x")
            for try_it in (drafts.save, drafts.git().run):
                with pytest.raises(GitFailed, match="Read-only file system"):
                    try_it()
        with pytest.raises(GitFailed, match="Read-only file system") as caught:
            refs.transact([Update("refs/fleet/lead", ABSENT, one)])
        assert "writable" in caught.value.hint
