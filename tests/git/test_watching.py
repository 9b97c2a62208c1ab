from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from git_fleet.git import watching
from git_fleet.git.repository import discover
from git_fleet.git.watching import RefWatch
from tests.support.repo import Repo

REFS = ("refs/fleet", "refs/heads/main")
LONG = 60.0  # seconds that no test means to wait
SOON = 20.0


class Watch(RefWatch):
    """Counts the looks. After the first one of a wait, which finds nothing, it lets another process go on."""

    looks = 0
    writer: subprocess.Popen[bytes] | None = None

    def _look(self) -> bool:
        moved = super()._look()
        self.looks += 1
        if self.writer is not None and self.writer.stdin is not None and not self.writer.stdin.closed:
            assert not moved
            self.writer.stdin.close()
        return moved


@pytest.fixture(autouse=True)
def _only_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being told, these tests would wait until the end."""
    monkeypatch.setattr(watching, "_TRUST_SECONDS", 3600.0)


@contextmanager
def watched(repo: Repo, **options: Any) -> Iterator[Watch]:
    with Watch(discover(repo.path), REFS, **options) as watch:
        yield watch


def woken(watch: Watch, repo: Repo, script: str) -> float:
    """How long `wait` took while another process, once it was asleep, ran `script` ($id is a commit)."""
    wrapped = f"cat; id=$(git rev-parse HEAD); {script}"
    with subprocess.Popen(["sh", "-e", "-c", wrapped], cwd=repo.path, stdin=subprocess.PIPE) as writer:
        watch.looks, watch.writer = 0, writer
        began = time.monotonic()
        assert watch.wait(LONG)
        return time.monotonic() - began


WRITES = {
    "a new folder": "git update-ref refs/fleet/task/new/a $id",
    "the base": "git commit --quiet --allow-empty -m Next",
    "a folder that is there": "git update-ref refs/fleet/task/p/b $id",
    "a deletion": "git update-ref -d refs/fleet/task/p/a",
    "a transaction": "printf 'create refs/fleet/x/y/z %s\\n' $id | git update-ref --stdin",
}


@pytest.mark.parametrize("script", WRITES.values(), ids=WRITES)
def test_a_write_by_another_process_ends_the_wait(repo: Repo, script: str) -> None:
    repo.run_git("update-ref", "refs/fleet/task/p/a", "HEAD")
    with watched(repo) as watch:
        assert watch.told
        assert woken(watch, repo, script) < SOON
        assert not watch.wait(0)


def test_the_first_ref_of_the_fleet_ends_the_wait(repo: Repo) -> None:
    assert not (repo.path / ".git" / "refs" / "fleet").exists()
    with watched(repo) as watch:
        assert woken(watch, repo, "git update-ref refs/fleet/plan/p $id") < SOON


def test_packed_refs_that_are_replaced_end_the_wait(repo: Repo) -> None:
    repo.run_git("update-ref", "refs/fleet/task/p/a", "HEAD")
    repo.run_git("pack-refs", "--all", "--prune")
    with watched(repo) as watch:
        assert woken(watch, repo, "git update-ref -d refs/fleet/task/p/a") < SOON


def test_folders_that_packing_has_removed_are_watched_when_they_come_back(repo: Repo) -> None:
    repo.run_git("update-ref", "refs/fleet/task/p/a", "HEAD")
    with watched(repo) as watch:
        repo.run_git("pack-refs", "--all", "--prune")
        assert not watch.wait(0)
        assert woken(watch, repo, "git update-ref refs/fleet/task/p/b $id") < SOON
        assert woken(watch, repo, "git update-ref refs/fleet/task/p/c $id") < SOON


def test_from_a_linked_worktree_the_shared_refs_are_watched(repo: Repo, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "linked", "other")
    with watched(linked) as watch:
        assert woken(watch, repo, "git update-ref refs/fleet/task/p/a $id") < SOON


def test_folders_are_watched_from_when_they_come_up(repo: Repo) -> None:
    with watched(repo) as watch:
        (repo.path / ".git" / "refs" / "fleet" / "task" / "slow").mkdir(parents=True)
        assert not watch.wait(0)
        assert woken(watch, repo, "git update-ref refs/fleet/task/slow/a $id") < SOON


def test_many_new_folders_in_a_row_are_each_noticed(repo: Repo) -> None:
    with watched(repo) as watch:
        for number in range(10):
            script = f"git update-ref refs/fleet/task/p{number}/deep/er/a $id"
            assert woken(watch, repo, script) < SOON


def test_what_happens_between_two_waits_is_not_missed(repo: Repo) -> None:
    with watched(repo) as watch:
        repo.run_git("update-ref", "refs/fleet/task/p/a", "HEAD")
        assert watch.wait(LONG)
        assert not watch.wait(0)
        repo.commit("Next")
        assert watch.wait(LONG)
        assert not watch.wait(0)


def test_a_change_during_the_last_moment_counts(repo: Repo) -> None:
    with watched(repo) as watch:
        repo.run_git("update-ref", "refs/fleet/task/p/a", "HEAD")
        assert watch.wait(0)


def test_other_refs_and_ignored_ones_wake_nobody(repo: Repo) -> None:
    with watched(repo, ignored=["refs/fleet/lead"]) as watch:
        repo.branch("feature/x")
        repo.run_git("update-ref", "refs/fleet/lead", "HEAD")
        assert not watch.wait(0)
        repo.run_git("update-ref", "refs/fleet/leader", "HEAD")
        assert watch.wait(0)


def test_being_told_of_nothing_again_and_again_costs_a_look_a_second(repo: Repo) -> None:
    loop = "for n in $(seq 30); do git update-ref refs/fleet/lead $(git commit-tree -m $n HEAD^{tree}); done"
    with watched(repo, ignored=["refs/fleet/lead"]) as watch:
        with subprocess.Popen(["sh", "-c", loop], cwd=repo.path):
            assert not watch.wait(1.5)
        assert watch.looks <= 8


def test_without_events_it_polls_once_a_second(repo: Repo) -> None:
    with watched(repo, events=False) as watch:
        assert not watch.told
        assert not watch.wait(1.5)
        assert watch.looks <= 3
        assert woken(watch, repo, "git update-ref refs/fleet/task/p/a $id") < SOON


def test_closed_it_still_waits(repo: Repo) -> None:
    watch = Watch(discover(repo.path), REFS)
    watch.close()
    watch.close()
    assert not watch.told
    assert woken(watch, repo, "git update-ref refs/fleet/task/p/a $id") < SOON


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_where_the_system_has_no_watches_left_it_polls(repo: Repo, limit: str) -> None:
    script = (
        "import sys; from pathlib import Path; from git_fleet.git.repository import discover;"
        "from git_fleet.git.watching import RefWatch;"
        "watch = RefWatch(discover(Path(sys.argv[1])), ['refs/fleet']); print(watch.told, watch.wait(0))"
    )
    none_left = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
    box = ["unshare", "--user", "--map-root-user", "sh", "-c", none_left, "sh"]
    if sys.platform != "linux" or subprocess.run([*box, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace to use up inotify in")
    command = [*box, sys.executable, "-c", script, str(repo.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("False False\n", 0), done.stderr


@pytest.mark.parametrize(
    ("path", "concerns"),
    [
        ("refs/fleet/task/p/a", True),
        ("refs/fleet", True),
        ("refs", True),
        ("refs/heads", True),
        ("refs/heads/main", True),
        ("packed-refs", True),
        ("reftable/tables.list", True),
        ("refs/fleet/task/p/a.lock", False),
        ("packed-refs.lock", False),
        ("refs/heads/mainly", False),
        ("refs/fleet/lead", False),
        ("refs/fleet/leader", True),
        ("refs/heads/feature/x", False),
        ("index", False),
        ("HEAD", False),
    ],
)
def test_what_concerns_the_refs(repo: Repo, path: str, concerns: bool) -> None:
    with watched(repo, ignored=["refs/fleet/lead"]) as watch:
        assert watch._concerns(path) is concerns
