"""The door to git: what gets through, what does not, and what is said when git fails."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

import pytest

from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git.process import Child, Git, failure, git_version, last_words
from tests.support import keys
from tests.support.race import until
from tests.support.repo import Repo, make_repo


def fake_git(folder: Path, script: str) -> None:
    """A program named git that does `script`."""
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


def test_variables_of_a_surrounding_git_are_not_passed_on(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repo(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nowhere"))
    assert Git(repo.path).text("rev-parse", "--show-toplevel") == str(repo.path)


def test_identity_comes_from_configuration_not_from_the_environment(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    assert Git(repo.path).text("var", "GIT_AUTHOR_IDENT").startswith("Test Person <")


def test_a_git_variable_can_be_set_on_purpose(repo: Repo, tmp_path: Path) -> None:
    index = tmp_path / "index"
    git = Git(repo.path)
    git.run("read-tree", "HEAD", env={"GIT_INDEX_FILE": str(index)})
    assert index.exists()


def test_further_variables_are_asked_for_each_time_a_git_starts(repo: Repo) -> None:
    asked = iter(["one", "two"])
    git = Git(repo.path, env=lambda: {"GIT_AUTHOR_NAME": next(asked)})
    assert git.text("var", "GIT_AUTHOR_IDENT").startswith("one <")
    child = Child(git, "var", "GIT_AUTHOR_IDENT")
    assert child.line().startswith(b"two <")
    assert child.end() == 0


def test_hooks_run_only_when_wanted(repo: Repo) -> None:
    hook = repo.path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    Git(repo.path).run("commit", "--allow-empty", "-m", "unseen by the hook")
    with pytest.raises(GitFailed):
        Git(repo.path, hooks=True).run("commit", "--allow-empty", "-m", "refused")


def test_durable_makes_git_flush_objects_and_references(repo: Repo) -> None:
    assert Git(repo.path).text("config", "core.fsync") == "none"  # the test box's own setting
    assert Git(repo.path, durable=True).text("config", "core.fsync") == "loose-object,pack,reference"


def test_an_editor_is_never_opened(repo: Repo) -> None:
    with pytest.raises(GitFailed, match="editor"):
        Git(repo.path).run("commit", "--allow-empty")


def test_a_log_holds_what_was_asked_for_whatever_the_user_wants_to_see(repo: Repo, tmp_path: Path) -> None:
    key = keys.new_key(tmp_path, "ann")
    keys.allow(tmp_path / "allowed", key, "ann")
    keys.sign_with(repo, key)
    repo.run_git("config", "gpg.ssh.allowedSignersFile", str(tmp_path / "allowed"))
    repo.run_git("commit", "--quiet", "--allow-empty", "-S", "-m", "é")
    repo.run_git("config", "log.showSignature", "true")
    repo.run_git("config", "i18n.logOutputEncoding", "latin1")
    assert Git(repo.path).text("log", "-1", "--format=%H %s") == f"{repo.rev('HEAD')} é"


def test_status_does_not_refresh_the_index(repo: Repo) -> None:
    index = repo.path / ".git" / "index"
    os.utime(repo.path / "README.md", (1, 1))  # its cached data is stale now
    before = index.read_bytes()
    Git(repo.path).run("status")
    assert index.read_bytes() == before
    repo.run_git("status")
    assert index.read_bytes() != before


def test_names_of_any_bytes_survive(repo: Repo) -> None:
    names = ["with space", 'quote"', "new\nline", "tab\t", os.fsdecode(b"not-utf8-\xff"), "-dash", "ünï"]
    repo.commit("odd names", dict.fromkeys(names, "x"))
    listed = Git(repo.path).paths("ls-tree", "-z", "--name-only", "HEAD")
    assert sorted(listed) == sorted([*names, "README.md"])


def test_an_accepted_exit_code_is_returned(repo: Repo) -> None:
    done = Git(repo.path).run("rev-parse", "--verify", "-q", "nope", ok=(0, 1))
    assert (done.code, done.out) == (1, b"")


def test_a_failure_gives_the_last_meaningful_line(repo: Repo) -> None:
    with pytest.raises(GitFailed) as caught:
        Git(repo.path).run("cat-file", "-p", "nope")
    assert caught.value.message == "git cat-file: Not a valid object name nope"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", ""),
        ("fatal: a\nhint: try b\n\n", "a"),
        ("error: first\nfatal: second\n", "second"),
        ("something went wrong\n", "something went wrong"),
        ("error: cannot lock\nwarning: and more\n", "cannot lock"),
    ],
)
def test_the_last_meaningful_line(said: str, words: str) -> None:
    assert last_words(said) == words


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"error: unable to write file: No space left on device\nfatal: x", "no space left on the disk"),
        (b"fatal: Disk quota exceeded", "no space left on the disk"),
        (b"error: unable to create '.git/x.lock': Read-only file system\n", "the repository is read-only"),
        (b"fatal: insufficient permission: Permission denied", "the repository is read-only"),
    ],
)
def test_a_full_disk_and_a_read_only_repository_are_named(said: bytes, message: str) -> None:
    error = failure(["-c", "a=b", "hash-object"], 128, said)
    assert isinstance(error, GitFailed)
    assert error.message.startswith(f"git hash-object: {message}")
    assert "\n" not in error.message
    assert "again" in error.hint


def test_a_git_that_was_killed_is_reported_so(repo: Repo) -> None:
    git = Git(repo.path)
    with pytest.raises(GitFailed, match="ended by signal 9"):
        git.run("-c", "alias.die=!kill -9 $PPID", "die")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        Git(tmp_path / "gone").run("version")


def test_a_missing_git_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="not installed"):
        Git(tmp_path).run("version")


def test_a_git_too_old_is_said_when_something_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path / "bin", '[ "$1" = version ] && echo "git version 2.38.5" || exit 129')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(InvalidInput, match=r"git 2\.38\.5 is too old") as caught:
        Git(tmp_path).run("merge-tree", "--write-tree", "a", "b")
    assert "2.39" in caught.value.hint


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("git version 2.39.5", (2, 39, 5)),
        ("git version 2.39.3 (Apple Git-146)", (2, 39, 3)),
        ("git version 2.50.0.rc1.12.gabc", (2, 50, 0, 12)),
    ],
)
def test_versions_of_all_builds_are_understood(
    printed: str, version: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path / "bin", f'echo "{printed}"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert git_version() == version


def test_a_child_is_out_of_reach_of_the_terminal_s_interrupt(repo: Repo) -> None:
    child = Child(Git(repo.path), "cat-file", "--batch-check")
    assert os.getpgid(child.pid) != os.getpgid(0)
    assert child.end() == 0


def test_a_child_that_warns_much_does_not_stop(repo: Repo) -> None:
    repo.branch("refs/heads/main")  # refs/heads/refs/heads/main: every question warns of an ambiguous name
    child = Child(Git(repo.path), "cat-file", "--batch-check")
    for _ in range(2000):
        assert child.send(b"refs/heads/main\n")
        assert b" commit " in child.line()
    child.end()
    assert "ambiguous" in child.error().message


def test_a_dead_child_says_why(repo: Repo) -> None:
    child = Child(Git(repo.path), "cat-file", "--no-such-option")
    assert child.line() == b""
    assert child.end() == 129
    assert "no-such-option" in child.error().message


def _is_in(thread: int, name: str) -> bool:
    """Whether that thread is in a function of this name now."""
    return any(
        frame.f_code.co_name == name for frame, _ in traceback.walk_stack(sys._current_frames()[thread])
    )


def test_an_interrupted_git_takes_its_lock_files_with_it(repo: Repo, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    repo.run_git("config", "filter.hangs.clean", f"echo $$ >{fifo}; exec sleep 300")
    repo.commit("filter", {".gitattributes": "*.slow filter=hangs\n"})
    repo.write("a.slow", "1\n")
    pids: list[int] = []

    def interrupt() -> None:
        pids.append(int(fifo.read_text()))
        assert (repo.path / ".git" / "index.lock").exists()
        main = threading.main_thread().ident or 0
        until(lambda: _is_in(main, "communicate"))  # on a busy machine git may be ahead of who has started it
        signal.pthread_kill(main, signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        Git(repo.path).run("add", "a.slow")
    watcher.join()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert pids
    assert not (repo.path / ".git" / "index.lock").exists()
