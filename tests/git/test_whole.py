"""Many write one file at the same moment (git/whole.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_fleet.git import whole
from tests.support.race import race, values

TURNS = 200


def rewrite(index: int, path: Path) -> int:
    for _ in range(TURNS):
        whole.write(path, f"{index}\n" * 1000)
        found = path.read_text().splitlines()
        assert len(found) == 1000
        assert len(set(found)) == 1
    return index


def test_a_file_that_many_write_is_always_one_of_theirs_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert values(race(8, rewrite, path)) == list(range(8))
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        whole.write(tmp_path / "folder", "text")
    assert [place.name for place in tmp_path.iterdir()] == ["folder"]
