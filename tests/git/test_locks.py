"""Locks left behind: removed when nobody can own them, and never otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from git_fleet.errors import GitFailed
from git_fleet.git.locks import Writers, clear, left_behind, obstacles
from git_fleet.git.process import Child
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.git.repository import Repository, discover
from tests.support.race import Puppet, race, until, values
from tests.support.repo import Repo, make_repo

REF = "refs/fleet/task/p/a"

Say = Callable[[object], None]


def lock_path(repo: Repo, name: str = f"{REF}.lock") -> Path:
    return repo.path / ".git" / name


def leave(repo: Repo, name: str = f"{REF}.lock") -> Path:
    """An empty lock file, as a killed git leaves it."""
    path = lock_path(repo, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def prepared_writer(say: Say, path: Path, value: str) -> None:
    """A writer of ours in the middle of a transaction: the flock is shared, git has prepared."""
    repo = discover(path)
    writers = Writers(repo)
    writers.share()
    child = Child(repo.git(), "update-ref", "--stdin", pass_fds=(writers.fd,))
    child.send(f"start\ncreate {REF} {value}\nprepare\n".encode())
    assert [child.line(), child.line()] == [b"start: ok", b"prepare: ok"]
    keeper = os.fork()
    if not keeper:
        os.close(writers.fd)  # it only keeps git's input open, so that git does not end by itself
        signal.alarm(60)  # should the test fail before it ends us
        signal.pause()
    say((child.pid, keeper))
    signal.pause()


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextmanager
def running(*command: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A long-lived git, ended afterwards."""
    process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.communicate()


def prepare_by_hand(git: subprocess.Popen[bytes], ref: str, value: str) -> None:
    assert git.stdin is not None
    assert git.stdout is not None
    git.stdin.write(f"start\ncreate {ref} {value}\nprepare\n".encode())
    git.stdin.flush()
    assert [git.stdout.readline(), git.stdout.readline()] == [b"start: ok\n", b"prepare: ok\n"]


def test_every_kind_of_lock_of_refs_is_listed(repo: Repo, tmp_path: Path) -> None:
    repo.worktree(tmp_path / "linked", "topic")
    names = [
        "HEAD.lock",
        "packed-refs.lock",
        "packed-refs.new",
        f"{REF}.lock",
        "refs/heads/main.lock",
        "refs/notes/fleet/evidence.lock",
        "worktrees/linked/HEAD.lock",
        "worktrees/linked/refs/bisect/bad.lock",
    ]
    assert left_behind(discover(repo.path)) == []
    expected = sorted(leave(repo, name) for name in names)
    assert left_behind(discover(tmp_path / "linked")) == expected
    assert clear(discover(repo.path)) == expected
    assert left_behind(discover(repo.path)) == []


def test_nothing_left_behind_needs_nothing_written(repo: Repo) -> None:
    assert clear(discover(repo.path)) == []
    assert not (repo.path / ".git" / "fleet").exists()


def test_only_the_locks_asked_for_are_removed(repo: Repo) -> None:
    mine, other = leave(repo), leave(repo, "refs/heads/main.lock")
    assert clear(discover(repo.path), [mine]) == [mine]
    assert clear(discover(repo.path), []) == []
    assert other.exists()


def test_a_writer_of_ours_protects_its_locks_even_when_its_python_is_killed(repo: Repo) -> None:
    found = discover(repo.path)
    writer = Puppet(prepared_writer, repo.path, repo.rev("main"))
    git, keeper = writer.hear()
    lock = lock_path(repo)
    assert clear(found) == []
    writer.kill()
    assert obstacles(found) == []  # nothing but the flock speaks for it
    assert clear(found) == []
    assert lock.exists()
    end(git)
    until(lambda: clear(found) == [lock])
    with Refs(found) as refs:
        assert refs.get(REF) is ABSENT
        refs.transact([Update(REF, ABSENT, repo.rev("main"))])
    end(keeper)


def test_git_takes_its_locks_away_itself_when_only_python_is_killed(repo: Repo) -> None:
    writer = Puppet(prepared_writer, repo.path, repo.rev("main"))
    _, keeper = writer.hear()
    assert lock_path(repo).exists()
    writer.kill()
    end(keeper)
    until(lambda: not lock_path(repo).exists())
    assert repo.refs("refs/fleet") == {}


@pytest.mark.parametrize("ref", [REF, "refs/heads/topic"])
def test_any_git_that_may_write_refs_protects_the_locks(repo: Repo, tmp_path: Path, ref: str) -> None:
    linked = repo.worktree(tmp_path / "linked", "other")
    found = discover(repo.path)
    with running("git", "update-ref", "--stdin", cwd=linked.path) as git:
        prepare_by_hand(git, ref, repo.rev("main"))
        assert clear(found) == []
        assert [(obstacle.pid, obstacle.what) for obstacle in obstacles(found)] == [
            (git.pid, "git update-ref")
        ]
        git.kill()
    assert clear(found) == [lock_path(repo, f"{ref}.lock")]


def test_a_git_is_found_wherever_it_was_started(repo: Repo, tmp_path: Path) -> None:
    found = discover(repo.path)
    git_dir = str(repo.path / ".git")
    for command in (
        ["git", "-C", str(repo.path), "update-ref", "--stdin"],
        ["git", f"--git-dir={git_dir}", "update-ref", "--stdin"],
        ["git", "--git-dir", "repo/.git", "update-ref", "--stdin"],
    ):
        with running(*command, cwd=tmp_path) as git:
            prepare_by_hand(git, REF, repo.rev("main"))
            assert [obstacle.pid for obstacle in obstacles(found)] == [git.pid]


def test_a_git_told_by_its_environment_is_found(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repo.path / ".git"))
    with running("git", "update-ref", "--stdin", cwd=tmp_path) as git:
        prepare_by_hand(git, REF, repo.rev("main"))
        assert [obstacle.pid for obstacle in obstacles(discover(repo.path))] == [git.pid]


def test_a_git_that_only_reads_or_works_elsewhere_is_no_obstacle(repo: Repo, tmp_path: Path) -> None:
    other = make_repo(tmp_path / "repo-with-a-longer-name")
    lock = leave(repo)
    with running("git", "cat-file", "--batch", cwd=repo.path) as reader:
        answer(reader, b"HEAD\n")
        with running("git", "update-ref", "--stdin", cwd=other.path) as writer:
            answer(writer, b"start\n")
            assert clear(discover(repo.path)) == [lock]


def answer(git: subprocess.Popen[bytes], question: bytes) -> None:
    """Ask, and wait for an answer: it is up and running then."""
    assert git.stdin is not None
    assert git.stdout is not None
    git.stdin.write(question)
    git.stdin.flush()
    assert git.stdout.readline()


def test_an_idle_writer_of_ours_is_no_obstacle(repo: Repo) -> None:
    with Refs(discover(repo.path), persistent=True) as refs:
        refs.transact([Update("refs/fleet/lead", ABSENT, repo.rev("main"))])
        lock = leave(repo)
        assert clear(discover(repo.path)) == [lock]
        refs.transact([Update(REF, ABSENT, repo.rev("main"))])


def test_a_lock_taken_anew_meanwhile_is_not_the_one_looked_at(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = leave(repo)

    def someone_else_takes_it(found: Repository) -> list[object]:
        assert found.common_dir == repo.path / ".git"
        lock.rename(lock.with_name("kept"))  # the old file stays, so that its number is not used again
        lock.touch()
        return []

    monkeypatch.setattr("git_fleet.git.locks.obstacles", someone_else_takes_it)
    assert clear(discover(repo.path)) == []
    assert lock.exists()


def write_without_a_pause(_index: int, path: Path, stop: Path) -> int:
    repo = discover(path)
    writers = Writers(repo)
    rounds = 0
    while rounds == 0 or not stop.exists():  # one that starts late has its turn, too
        writers.share()
        repo.git().run("for-each-ref")  # about as long as a transaction
        writers.leave()
        rounds += 1
    return rounds


def test_busy_writers_cannot_keep_dead_locks_for_ever(repo: Repo, tmp_path: Path) -> None:
    lock, stop = leave(repo), tmp_path / "stop"

    def clear_among_them(index: int) -> int:
        if index:
            return write_without_a_pause(index, repo.path, stop)
        cleared = any(clear(discover(repo.path)) == [lock] for _ in range(10))
        stop.touch()
        assert cleared
        return 1

    assert all(values(race(7, clear_among_them)))


def test_age_proves_nothing(repo: Repo) -> None:
    writer = Puppet(prepared_writer, repo.path, repo.rev("main"))
    _, keeper = writer.hear()
    os.utime(lock_path(repo), (0, 0))
    assert clear(discover(repo.path)) == []
    end(keeper)
    writer.kill()


def test_a_repository_that_cannot_be_written_is_said(repo: Repo) -> None:
    leave(repo)
    (repo.path / ".git" / "fleet").write_text("in the way", encoding="utf-8")
    with pytest.raises(GitFailed, match="cannot write"):
        clear(discover(repo.path))
