"""The tests' own tools: a helper that lies would let everything through."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import race
from tests.support.clock import START, FakeClock
from tests.support.moments import moments, put_back
from tests.support.repo import Entry, GitError, Repo, make_repo


def test_a_copied_repository_is_clean_and_has_one_commit_on_main(repo: Repo) -> None:
    assert repo.run_git("diff-files", "--name-only") == "", "and before anything refreshes the index"
    assert repo.status() == []
    assert repo.refs() == {"refs/heads/main": repo.rev("HEAD")}


def test_same_files_give_the_same_commit(tmp_path: Path) -> None:
    one, two = make_repo(tmp_path / "one", {"a": "1"}), make_repo(tmp_path / "two", {"a": "1"})
    assert one.rev("main") == two.rev("main")
    assert make_repo(tmp_path / "three", {"a": "2"}).rev("main") != one.rev("main")


def test_copies_do_not_share_what_is_written_later(tmp_path: Path) -> None:
    one, two = make_repo(tmp_path / "one"), make_repo(tmp_path / "two")
    one.commit("change", {"README.md": "other\n"})
    assert two.files()["README.md"].content == b"# scratch\n"


def test_a_repository_without_files_has_an_unborn_main(tmp_path: Path) -> None:
    empty = make_repo(tmp_path / "empty", {})
    assert empty.refs() == {}
    assert empty.run_git("symbolic-ref", "HEAD") == "refs/heads/main"


def test_sha256_repositories_have_long_ids(tmp_path: Path) -> None:
    assert len(make_repo(tmp_path / "long", object_format="sha256").rev("main")) == 64


def test_odd_names_modes_and_bytes_come_back_as_written(repo: Repo) -> None:
    odd = os.fsdecode(b'a "b"\n\xff')
    repo.write("run.sh", "#!/bin/sh\n", executable=True)
    (repo.path / "link").symlink_to("run.sh")
    repo.run_git("add", "--all")
    repo.commit("odd", {odd: b"\0\xff", "*": "star", "README.md": None})
    assert repo.files() == {
        odd: Entry("100644", b"\0\xff"),
        "*": Entry("100644", b"star"),
        "run.sh": Entry("100755", b"#!/bin/sh\n"),
        "link": Entry("120000", b"run.sh"),
    }


def test_a_commit_takes_only_the_files_it_names(repo: Repo) -> None:
    repo.write("other", "not yet")
    repo.commit("one", {"new": "1"})
    assert repo.status() == ["?? other"]


def test_a_worktree_is_on_its_own_branch_of_the_same_repository(repo: Repo, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "linked", "topic")
    made = linked.commit("there", {"x": "1"})
    assert repo.refs("refs/heads/topic") == {"refs/heads/topic": made}
    assert repo.branch("second", at="topic") == made


def test_a_failing_git_is_an_error_with_its_words(repo: Repo) -> None:
    with pytest.raises(GitError, match="not-a-command"):
        repo.run_git("not-a-command")
    with pytest.raises(GitError):
        repo.rev("no-such-branch")


def test_the_clock_moves_only_forward_and_only_when_told(clock: FakeClock) -> None:
    assert clock() == clock() == START
    assert (clock.advance(1.5) - START).total_seconds() == 1.5
    with pytest.raises(ValueError, match="behind"):
        clock.advance(-1)


def test_nothing_of_the_outside_gets_into_a_test(sealed_environment: Path, repo: Repo) -> None:
    assert Path.home() == sealed_environment
    listed = repo.run_git("config", "--list", "--show-scope", "--name-only").splitlines()
    assert {line.split("\t")[0] for line in listed} == {"global", "local"}
    assert not [name for name in os.environ if name.startswith(("FLEET_", "CLAUDE", "CODEX", "AI_"))]
    assert time.tzname[0] == "UTC"


@given(st.integers())
def test_property_tests_live_in_the_box_too(number: int) -> None:
    assert os.environ["GIT_EDITOR"] == "false", number


def test_every_moment_of_a_run_is_kept_once_an_empty_file_among_them(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()

    def work() -> None:
        (folder / "a").write_text("1")
        (folder / "b").write_text("2")
        subprocess.run(["true"], check=True)
        (folder / "a").rename(folder / "c")
        (folder / "empty").mkdir()

    found = moments(folder, tmp_path / "kept", work)
    texts = [
        {path.name: path.read_text() for path in each.copy.iterdir() if path.is_file()} for each in found
    ]
    assert texts == [
        {},
        {"a": ""},
        {"a": "1"},
        {"a": "1", "b": ""},
        {"a": "1", "b": "2"},
        {"b": "2", "c": "1"},
    ]
    put_back(found[2].copy, folder)
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_a_race_ends_when_those_who_are_left_wait_for_one_who_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "_GRACE", 0.1)

    def work(index: int) -> int:
        if index == 1:
            raise ValueError("why")
        if index == 0:
            signal.pause()
        return index

    outcomes = race.race(3, work)
    assert outcomes == [race.Died(-signal.SIGKILL), race.Raised("ValueError", "why"), race.Done(2)]
    with pytest.raises(AssertionError, match=r"2 of 3 processes failed, the first: .*why"):
        race.values(outcomes)
