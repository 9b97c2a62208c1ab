"""fleet.json: read back as written, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from git_fleet.errors import GitFailed, InvalidInput, UnknownFormat
from git_fleet.store import worktree
from git_fleet.store.worktree import Placement

PLACEMENT = Placement(
    plan="p",
    task="t",
    fence="1" * 40,
    worker="w1",
    slot=3,
    branch="feature/42-count",
    base="main",
    mode="branch",
    files=("cli.py",),
    reads=(),
    regexes=("^cli$",),
    generated_regexes=(),
    output="commit",
    claimed_at="2026-01-01T12:00:00Z",
)


def test_what_is_written_is_read_and_shells_find_the_branch(tmp_path: Path) -> None:
    assert worktree.read(tmp_path) is None
    worktree.write(tmp_path, PLACEMENT)
    worktree.write(tmp_path, replace(PLACEMENT, fence="2" * 40))
    assert worktree.read(tmp_path) == replace(PLACEMENT, fence="2" * 40)
    assert (tmp_path / "fleet-branch").read_text() == "refs/heads/feature/42-count\n"
    assert all((tmp_path / name).suffix in ("", ".json") for name in os.listdir(tmp_path)), (
        "nothing half-written"
    )


@given(st.lists(st.text()), st.text())
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, files: list[str], worker: str) -> None:
    folder = tmp_path_factory.mktemp("git")
    given_ = replace(PLACEMENT, files=tuple(files), worker=worker)
    worktree.write(folder, given_)
    assert worktree.read(folder) == given_


def test_unknown_versions_and_broken_files_are_refused(tmp_path: Path) -> None:
    worktree.write(tmp_path, PLACEMENT)
    place = tmp_path / "fleet.json"
    good = json.loads(place.read_text())
    place.write_text(json.dumps({**good, "v": 2}))
    with pytest.raises(UnknownFormat, match="version 2"):
        worktree.read(tmp_path)
    broken = [{**good, "slot": "3"}, {**good, "files": "cli.py"}, [], {"v": 1}, {**good, "fence": None}]
    for text in (*map(json.dumps, broken), "{", "\x80"):
        place.write_bytes(text.encode("latin-1"))
        with pytest.raises(InvalidInput, match=r"fleet\.json"):
            worktree.read(tmp_path)
    place.write_text(json.dumps({**good, "later": 1}))
    assert worktree.read(tmp_path) == PLACEMENT


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="cannot write"):
        worktree.write(tmp_path / "missing", PLACEMENT)
