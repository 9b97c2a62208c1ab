from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from git_fleet.app import passes
from git_fleet.app.passes import Pass, Passes, environment_digest
from git_fleet.core.config import Gate
from git_fleet.core.ids import Oid
from git_fleet.git.repository import discover
from tests.support.repo import Repo

TREE = Oid("a" * 40)
OTHER = Oid("b" * 40)
TESTS = Gate("tests", "make test")
ENV = {"PATH": "/bin", "HOME": "/h"}


def entry(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_a_pass_is_found_by_tree_command_and_environment(tmp_path: Path) -> None:
    Passes(tmp_path / "new" / "folder").keep(TREE, TESTS, ENV, 1.5)
    known = Passes(tmp_path / "new" / "folder")
    assert known.find(TREE, TESTS, ENV) == Pass(1.5)
    assert known.find(TREE, Gate("other name", "make test", timeout_seconds=5), dict(ENV)) == Pass(1.5)
    assert known.find(OTHER, TESTS, ENV) is None
    assert known.find(TREE, Gate("tests", "make tests"), ENV) is None
    assert known.find(TREE, Gate("tests", ("make test",)), ENV) is None
    assert known.find(TREE, TESTS, ENV | {"TERM": "dumb"}) is None


def test_the_worktrees_of_a_repository_share_its_passes(repo: Repo, tmp_path: Path) -> None:
    other = repo.worktree(tmp_path / "other", "side")
    Passes.of(discover(repo.path)).keep(TREE, TESTS, ENV, 1.5)
    assert Passes.of(discover(other.path)).find(TREE, TESTS, ENV) == Pass(1.5)
    assert Passes.of(discover(other.path), fresh=True).find(TREE, TESTS, ENV) is None
    assert not other.status()


def test_a_pass_that_is_taken_back_is_not_found(tmp_path: Path) -> None:
    known = Passes(tmp_path)
    known.forget(TREE, TESTS, ENV)
    known.keep(TREE, TESTS, ENV, 1.5)
    known.forget(TREE, TESTS, ENV)
    assert known.find(TREE, TESTS, ENV) is None


def test_a_fresh_look_believes_nothing_and_keeps_what_it_sees(tmp_path: Path) -> None:
    fresh = Passes(tmp_path, fresh=True)
    fresh.keep(TREE, TESTS, ENV, 1.5)
    assert fresh.find(TREE, TESTS, ENV) is None
    assert Passes(tmp_path).find(TREE, TESTS, ENV) == Pass(1.5)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{",
        b"[" * 200_000,
        b'{"v":1}',
        b'{"v":2,"tree":"TREE","command":"make test","environment":"ENV","seconds":1}',
        b'{"v":1,"tree":"OTHER","command":"make test","environment":"ENV","seconds":1}',
        b'{"v":1,"tree":"TREE","command":"make","environment":"ENV","seconds":1}',
        b'{"v":1,"tree":"TREE","command":"make test","environment":"ENV","seconds":"1"}',
        b'{"v":1,"tree":"TREE","command":"make test","environment":"ENV"}',
    ],
)
def test_what_is_not_the_pass_it_is_named_for_counts_for_nothing(content: bytes, tmp_path: Path) -> None:
    Passes(tmp_path).keep(TREE, TESTS, ENV, 1.5)
    for name, value in {b"TREE": TREE, b"OTHER": OTHER, b"ENV": environment_digest(ENV)}.items():
        content = content.replace(name, value.encode())
    entry(tmp_path).write_bytes(content)
    assert Passes(tmp_path).find(TREE, TESTS, ENV) is None
    Passes(tmp_path).keep(TREE, TESTS, ENV, 2.5)
    assert Passes(tmp_path).find(TREE, TESTS, ENV) == Pass(2.5)


def test_an_entry_says_in_plain_json_what_passed(tmp_path: Path) -> None:
    Passes(tmp_path).keep(TREE, Gate("tests", ("make", "test")), ENV, 1.23456)
    assert json.loads(entry(tmp_path).read_bytes()) == {
        "v": 1,
        "tree": TREE,
        "command": ["make", "test"],
        "environment": environment_digest(ENV),
        "seconds": 1.235,
    }


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    known = Passes(tmp_path / "file" / "passes")
    known.keep(TREE, TESTS, ENV, 1.5)
    known.forget(TREE, TESTS, ENV)
    assert known.find(TREE, TESTS, ENV) is None


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "MOST", 8)
    known = Passes(tmp_path)
    gates = [Gate("g", f"run {number}") for number in range(9)]
    (tmp_path / "new-left").touch()
    os.utime(tmp_path / "new-left", ns=(0, 0))
    for number, gate in enumerate(gates):
        before = set(tmp_path.iterdir())
        known.keep(TREE, gate, ENV, number)
        for new in set(tmp_path.iterdir()) - before:
            os.utime(new, ns=(number + 1, number + 1))
    found = [number for number, gate in enumerate(gates) if known.find(TREE, gate, ENV)]
    assert found == [2, 3, 4, 5, 6, 7, 8]
    assert not (tmp_path / "new-left").exists()


def test_several_may_keep_the_same_passes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While old ones go, too."""
    monkeypatch.setattr(passes, "MOST", 20)
    gates = [Gate("g", f"run {number}") for number in range(40)]

    def keep(_: int) -> list[Pass | None]:
        known = Passes(tmp_path)
        found = []
        for gate in gates:
            known.keep(TREE, gate, ENV, 1.0)
            found.append(known.find(TREE, gate, ENV))
        return found

    with ThreadPoolExecutor(4) as pool:
        answers = {answer for found in pool.map(keep, range(4)) for answer in found}
    assert answers <= {Pass(1.0), None}
    assert len(list(tmp_path.iterdir())) <= 20
    assert not list(tmp_path.glob("new-*"))


def test_environments_are_told_apart_but_for_the_mark_of_a_run() -> None:
    one = environment_digest({"A": "1", "B": "2"})
    assert one == environment_digest({"B": "2", "A": "1", "FLEET_GATE": "x"})
    assert len({one, environment_digest({"A": "1", "B": "3"}), environment_digest({"A": "1"})}) == 3
    assert environment_digest({"A": "1\0B=2"}) != ""
