"""Repositories, disks and workers in a bad way: a clear answer, nothing half-done, and on it goes afterwards."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import PLAN, Answer, Fleet
from tests.cli.test_bad_input import refused, unchanged
from tests.support.clock import FakeClock
from tests.support.fleet import open_fleet, working_on
from tests.support.repo import Repo, make_repo
from tests.support.worlds import assert_reachable, assert_sound


def working(fleet: Fleet, task: str, who: str = "w1") -> Repo:
    """Claim a task with its worktree, and be there."""
    return Repo(Path(fleet.json("claim", "claim", task, "--worker", who)["worktree"]))


def handed_in(fleet: Fleet, task: str, files: dict[str, str]) -> Repo:
    """Claim a task, commit these files there, and hand in."""
    tree = working(fleet, task)
    tree.commit(f"Work on {task}", files)
    fleet.ok("done", cwd=tree.path)
    return tree


def states(fleet: Fleet) -> dict[str, str]:
    """Every task's state."""
    plans = fleet.json("status", "status")["plans"]
    return {task["task_id"]: task["state"] for plan in plans for task in plan["tasks"]}


# --- where it stands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [[], ["status"], ["claim"], ["done"], ["integrate"], ["init"], ["doctor"]]
)
def test_outside_a_repository_every_command_says_so(fleet: Fleet, tmp_path: Path, command: list[str]) -> None:
    said = refused(fleet(*command, cwd=tmp_path), f"{tmp_path} is not in a git repository")
    assert said.endswith("hint: git init\n")
    fleet.json("error", *command, cwd=tmp_path, code=2)


def test_a_bare_repository_holds_a_fleet_too(approved: Fleet, repo: Repo, tmp_path: Path) -> None:
    bare = Repo(tmp_path / "bare.git")
    repo.run_git("clone", "--quiet", "--bare", str(repo.path), str(bare.path))
    (bare.path / "plan.toml").write_text(PLAN)
    approved.ok("plan", "import", "plan.toml", cwd=bare.path)
    approved.ok("plan", "approve", "--yes", cwd=bare.path)
    claimed = approved.json("claim", "claim", "43", "--worker", "w", cwd=bare.path)
    tree = Repo(Path(claimed["worktree"]))
    assert tree.path.parent == tmp_path
    tree.commit("Docs", {"CHANGELOG.md": "new\n"})
    approved.ok("done", cwd=tree.path)
    approved.ok("integrate", cwd=bare.path)
    assert "CHANGELOG.md" in bare.files("main")
    said = refused(approved("init", cwd=bare.path), "is a bare repository: there is no work tree to set up")
    assert "git worktree add" in said


@pytest.mark.parametrize(
    "command",
    [["claim"], ["plan", "new", "x"], ["plan", "import", ".git/plan.toml"], ["integrate"], ["init"]],
)  # fmt: skip
def test_an_unborn_main_is_told_to_get_its_first_commit(
    fleet: Fleet, tmp_path: Path, command: list[str]
) -> None:
    empty = make_repo(tmp_path / "empty", {})
    empty.write(".git/plan.toml", PLAN)
    said = refused(fleet(*command, cwd=empty.path), "there is no branch main with a commit yet")
    assert "git commit --allow-empty" in said
    assert empty.refs() == {}


@pytest.mark.parametrize(
    "command", [[], ["status"], ["ready"], ["plan", "list"], ["lead", "show"], ["cleanup"]]
)
def test_an_unborn_main_can_be_looked_at(fleet: Fleet, tmp_path: Path, command: list[str]) -> None:
    assert fleet(*command, cwd=make_repo(tmp_path / "empty", {}).path).code == 0


def test_a_main_worktree_with_a_detached_head_is_left_alone(approved: Fleet, repo: Repo) -> None:
    here = repo.rev("HEAD")
    repo.run_git("switch", "--quiet", "--detach")
    handed_in(approved, "42", {"cli.py": "print(42)\n"})
    approved.ok("integrate")
    assert repo.rev("HEAD") == here
    assert repo.rev("main^") == here
    assert repo.status() == []


def test_a_shallow_clone_works_and_names_its_edge(approved: Fleet, repo: Repo, tmp_path: Path) -> None:
    old = repo.rev("HEAD")
    repo.commit("Later", {"later": "1\n"})
    repo.branch("aside", old)
    shallow = Repo(tmp_path / "shallow")
    repo.run_git("clone", "--quiet", "--depth=1", f"file://{repo.path}", str(shallow.path))
    shallow.write(".git/plan.toml", PLAN)
    for command in (["plan", "import", ".git/plan.toml"], ["plan", "approve", "--yes"]):
        approved.ok(*command, cwd=shallow.path)
    claimed = approved.json("claim", "claim", "42", "--worker", "w", cwd=shallow.path)
    shallow.run_git("fetch", "--quiet", "--depth=1", "origin", "aside")
    aside = approved("done", "42", "--commit", "FETCH_HEAD", "--worker", "w", cwd=shallow.path)
    assert "(this is a shallow clone)" in refused(aside, "has no history in common", "git fetch --unshallow")
    Repo(Path(claimed["worktree"])).commit("Count", {"cli.py": "print(42)\n"})
    approved.ok("done", cwd=Path(claimed["worktree"]))
    approved.ok("integrate", cwd=shallow.path)
    assert shallow.run_git("log", "-1", "--format=%s", "main") == "Count"
    assert "[shallow]" in approved("doctor", cwd=shallow.path).out


# --- worktrees and branches ----------------------------------------------------------------------


def test_a_worktree_deleted_by_hand_is_made_again_with_its_commits(approved: Fleet, repo: Repo) -> None:
    approved.ok("init")
    tree = working(approved, "42")
    commit = tree.commit("Count", {"cli.py": "print(42)\n"})
    tree.run_git("switch", "--quiet", "--detach")
    beside = tree.commit("Beside the branch", {"cli.py": "print(43)\n"})
    shutil.rmtree(tree.path)
    with unchanged(repo):
        assert "gone" in approved.ok("worktree", "list")
        resume = "git fleet claim --resume"
        assert resume in refused(approved("path", "42"), code=1)
        assert resume in refused(approved("done", "42", "--worker", "w1"), "was deleted")
        assert approved.ok("cleanup") == "no worktree can go\n"
        found = approved.json("doctor", "doctor", code=1)["problems"]
        assert [problem["code"] for problem in found] == ["worktree-gone", "slot"]
    said = approved.ok("claim", "--resume", "--worker", "w1")
    assert "its commits are kept at refs/fleet/salvage/app/42/1" in said
    assert tree.rev("HEAD") == commit
    assert repo.try_git("merge-base", "--is-ancestor", beside, "refs/fleet/salvage/app/42/1").returncode == 0
    approved.ok("done", cwd=tree.path)
    shutil.rmtree(tree.path)
    approved.ok("integrate")
    approved.ok("cleanup")
    assert approved.ok("doctor") == "all is well\n"
    assert len(repo.run_git("worktree", "list").splitlines()) == 1


def test_a_branch_or_folder_of_that_name_is_gone_around(approved: Fleet, repo: Repo, tmp_path: Path) -> None:
    mine = repo.branch("feature/42-add-a-count-command")
    repo.worktree(tmp_path / "elsewhere", "feature/43-write-the-docs")
    (tmp_path / "repo-44-add-a-clear-command").write_text("mine")
    for task in ("42", "43"):
        claimed = approved.json("claim", "claim", task, "--worker", "w")
        assert claimed["branch"].startswith(f"feature/app-{task}-")
        assert Path(claimed["worktree"]).name.startswith(f"app-repo-{task}-")
    approved.ok("cancel", "42")
    assert working(approved, "44").path.name == "app-repo-44-add-a-clear-command"
    assert repo.rev("feature/42-add-a-count-command") == mine
    assert (tmp_path / "repo-44-add-a-clear-command").read_text() == "mine"


def test_a_worktree_that_cannot_be_made_leaves_a_claim_that_can_be_finished(
    approved: Fleet, repo: Repo
) -> None:
    """The claim is decided by then; what is missing is named, and the same worker goes on."""
    folder = repo.path / ".git" / "worktrees"
    folder.write_text("in the way")
    failed = approved("claim", "43", "--worker", "w")
    assert failed.code == 5
    assert failed.err.startswith("git-fleet: app/43 is claimed, but its worktree cannot be made: ")
    assert "git fleet claim --resume app/43 --worker w" in failed.err
    assert "refs/heads/feature/43-write-the-docs" not in repo.refs()
    again = approved("claim", "43", "--worker", "w")
    assert again.code == 3
    assert "hint: git fleet claim --resume app/43 --worker w\n" in again.err
    folder.unlink()
    approved.ok("claim", "--resume", "--worker", "w")
    approved.ok("path", "43")


def test_a_worktree_that_was_switched_away_can_be_resumed_and_handed_in_from_the_branch(
    approved: Fleet,
) -> None:
    tree = working(approved, "43")
    on_branch = tree.commit("Docs", {"CHANGELOG.md": "one\n"})
    tree.run_git("switch", "--quiet", "--detach", "HEAD~1")
    tree.commit("Elsewhere", {"CHANGELOG.md": "two\n"})
    approved.ok("claim", "--resume", cwd=tree.path)
    said = refused(
        approved("done", cwd=tree.path), "does not contain the task's branch feature/43-write-the-docs"
    )
    assert "hint: git switch" in said
    tree.run_git("switch", "--quiet", "--detach", on_branch)
    ahead = tree.commit("And more", {"README.md": "more\n"})
    assert approved.json("done", "done", cwd=tree.path)["commit"] == ahead


# --- main ----------------------------------------------------------------------------------------


def _edited(repo: Repo) -> str:
    repo.write("fleet.toml", "mine\n")
    return "uncommitted changes: fleet.toml"


def _staged(repo: Repo) -> str:
    repo.write("staged", "mine\n")
    repo.run_git("add", "staged")
    return "uncommitted changes: staged"


def _merging(repo: Repo) -> str:
    repo.write(".git/MERGE_HEAD", f"{repo.rev('HEAD')}\n")
    return "in the middle of a merge"


def _untracked(repo: Repo) -> str:
    repo.write("CHANGELOG.md", "mine\n")
    return "files that git does not track are in the way: CHANGELOG.md"


def _ignored(repo: Repo) -> str:
    repo.write(".git/info/exclude", "CHANGELOG.md\n")
    return _untracked(repo)


@pytest.mark.parametrize("spoil", [_edited, _staged, _merging, _untracked, _ignored])
def test_main_in_use_stops_before_anything_moves(
    approved: Fleet, repo: Repo, spoil: Callable[[Repo], str]
) -> None:
    approved.ok("init")
    handed_in(approved, "43", {"CHANGELOG.md": "theirs\n"})
    words = spoil(repo)
    before, contents = repo.refs("refs/heads"), repo.status()
    answer = approved("integrate")
    assert answer.code == 5
    assert f"git-fleet: {repo.path}" in answer.err
    assert words in answer.err
    assert answer.err.splitlines()[-1].startswith("hint: ")
    approved.json("error", "integrate", code=5)
    assert (repo.refs("refs/heads"), repo.status()) == (before, contents)
    assert approved.json("lead", "lead", "show")["holder"] is None
    assert states(approved)["app/43"] == "proposed"  # said before any gate ran
    for mine in ("staged", "CHANGELOG.md"):
        if (repo.path / mine).exists():
            assert (repo.path / mine).read_text() == "mine\n"
    (repo.path / ".git" / "MERGE_HEAD").unlink(missing_ok=True)
    repo.run_git("reset", "--quiet", "--hard")
    repo.run_git("clean", "--quiet", "--force", "-x")
    approved.ok("integrate")
    assert (repo.path / "CHANGELOG.md").read_text() == "theirs\n"
    assert repo.status() == []


def test_a_file_of_ones_own_that_nothing_touches_is_no_hindrance(approved: Fleet, repo: Repo) -> None:
    handed_in(approved, "43", {"CHANGELOG.md": "theirs\n"})
    repo.write("notes", "mine\n")
    approved.ok("integrate")
    assert (repo.path / "notes").read_text() == "mine\n"


# --- workers -------------------------------------------------------------------------------------


@pytest.fixture
def zombie(approved: Fleet, repo: Repo) -> Repo:
    """A worktree of w1, whose lease ran out long ago with work in it, and whose task w2 has taken over."""
    approved.ok("init")
    tree = Repo(working_on(open_fleet(repo, "w1", FakeClock()), "42"))
    tree.commit("Half", {"cli.py": "half()\n"})
    tree.write("cli.py", "not committed\n")
    tree.write("notes", "not tracked\n")
    claimed = approved.json("claim", "claim", "42", "--worker", "w2")
    assert (claimed["attempt"], claimed["branch"]) == (2, "feature/42-add-a-count-command-a2")
    assert (Path(claimed["worktree"]) / "notes").read_text() == "not tracked\n"
    return tree


@pytest.mark.parametrize(
    "command",
    [
        *(["progress", "hi"], ["renew"], ["done"], ["done", "--all"], ["release"]),
        *(["block", "--code", "x", "y"], ["withdraw"], ["claim", "--resume"]),
    ],
    ids=" ".join,
)
def test_a_zombie_is_told_who_has_its_task_and_where_its_work_is(
    approved: Fleet, repo: Repo, zombie: Repo, command: list[str]
) -> None:
    before = repo.refs()
    for answer in (
        approved(*command, cwd=zombie.path),
        approved(*command[:1], "42", *command[1:], "--worker", "w1"),
    ):
        said = refused(answer, "app/42 was taken over by w2 at 20", code=3)
        assert (
            "your work is kept at refs/fleet/salvage/app/42/1\nhint: stop here; git fleet log app/42" in said
        )
    document = approved.json("error", *command, cwd=zombie.path, code=3)
    assert document["error"]["code"] == "stale-claim"
    assert repo.refs() == before


def test_a_zombie_cannot_commit_and_loses_nothing(approved: Fleet, repo: Repo, zombie: Repo) -> None:
    committed = zombie.try_git("commit", "-qam", "More")
    assert committed.returncode != 0
    assert b"app/42 was taken over by w2" in committed.stderr
    assert b"what you wrote stays here" in committed.stderr
    assert_reachable(repo, b"half()\n", b"not committed\n", b"not tracked\n")
    looked = [
        approved(*command, cwd=zombie.path).code
        for command in (["status"], ["siblings"], ["log"], ["path", "42"])
    ]
    assert looked == [0, 0, 0, 0]
    zombie.write("notes", "written since\n")
    assert f"keeps {zombie.path}: it has uncommitted changes" in approved.ok("cleanup")
    assert (zombie.path / "notes").read_text() == "written since\n"
    zombie.write("notes", "not tracked\n")
    assert f"{zombie.path} is removed" in approved.ok("cleanup")  # all of it is salvaged
    assert_reachable(repo, b"half()\n", b"not committed\n", b"not tracked\n")


def test_a_person_who_cancels_is_no_take_over(approved: Fleet, repo: Repo) -> None:
    tree = working(approved, "42")
    tree.commit("Half", {"cli.py": "half()\n"})
    approved.ok("cancel", "42")
    for command in (["done"], ["progress", "hi"], ["release"], ["claim", "--resume"]):
        said = refused(
            approved(*command, cwd=tree.path), "app/42 is cancelled, and your claim of it has ended", code=3
        )
        assert "your work is kept at refs/fleet/salvage/app/42/1" in said
    assert_reachable(repo, b"half()\n")


def test_a_worker_that_gave_its_task_back_is_not_its_holder(approved: Fleet) -> None:
    tree = working(approved, "43")
    approved.ok("release", cwd=tree.path)
    for command in (["done"], ["renew"], ["claim", "--resume"]):
        refused(
            approved(*command, cwd=tree.path), "app/43 is pending, and your claim of it has ended", code=3
        )
    said = refused(approved("renew", "43", "--worker", "w9"), "nobody has claimed app/43")
    assert "hint: git fleet claim app/43" in said


def test_cleanup_names_the_ignored_files_that_it_leaves(approved: Fleet, repo: Repo) -> None:
    repo.write(".git/info/exclude", "*.db\n__pycache__/\n")
    tree = handed_in(approved, "43", {"CHANGELOG.md": "new\n"})
    tree.write("precious.db", "rows")
    tree.write("__pycache__/x.pyc", "cache")
    approved.ok("integrate")
    for command in (["cleanup"], ["cleanup", "43"]):
        answer = approved(*command)
        assert answer.code == len(command) - 1
        assert "precious.db" in answer.out
        assert "pyc" not in answer.out
    assert (tree.path / "precious.db").read_text() == "rows"
    (tree.path / "precious.db").unlink()
    approved.ok("cleanup", "43")
    assert not tree.path.exists()


# --- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 3 MB for a repository, its worktrees, state and caches."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    monkeypatch.setenv("XDG_STATE_HOME", str(disk / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk / "cache"))
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, pages: int) -> Path:
    """Leave that many pages of 4 kB free: the file that takes the rest."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            file.truncate(max(0, file.tell() - 4096 * pages))
    return filler


def on_disk(disk: Path, capture: Callable[[], tuple[bytes, bytes]]) -> tuple[Fleet, Repo]:
    """A repository there, with hooks, gates and a plan to import."""
    gate = 'version = 1\n[[gate]]\nname = "test"\nrun = "test -f cli.py"\n'
    repo = make_repo(
        disk / "repo", {"cli.py": "print()\n" * 2000, "README.md": "r" * 9000, "fleet.toml": gate}
    )
    repo.write(".git/plan.toml", PLAN)
    fleet = Fleet(repo.path, capture)
    fleet.ok("init")
    return fleet, repo


def until_it_fits(fleet: Fleet, repo: Repo, disk: Path, *command: str) -> Iterator[Answer]:
    """Run the command with no room at all, then with one page more each time, until it succeeds; each failure."""
    for pages in range(60):
        filler = fill(disk, pages)
        main = repo.rev("main")
        answer = fleet(*command)
        filler.unlink()
        if answer.code == 0:
            return
        last = answer.err.split("git-fleet: ")[-1]
        if "--resume" in last:
            command = ("claim", "--resume", "--worker", "w")
        else:
            assert answer.code == 5, answer
            assert "disk" in last or "No space" in last
            assert "free some space" in last
            assert "bug" not in answer.err
        assert repo.rev("main") == main or command[0] == "integrate"
        assert "Traceback" not in answer.err
        yield answer
    raise AssertionError(f"{command} does not even work with {pages} pages")


def test_a_full_disk_is_said_at_every_step_and_nothing_is_lost(
    small: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    fleet, repo = on_disk(small, capsysbinary.readouterr)

    def steps(*command: str) -> int:
        return len(list(until_it_fits(fleet, repo, small, *command)))

    assert steps("plan", "import", ".git/plan.toml") > 1
    assert steps("plan", "approve", "--yes") > 1
    assert steps("claim", "42", "--worker", "w") > 3
    assert steps("progress", "42", "half way", "--worker", "w") > 1
    tree = Repo(Path(fleet.json("path", "path", "42")["path"]))
    tree.write("cli.py", "print(42)\n" * 2000)
    assert steps("done", "42", "--all", "--worker", "w") > 2
    assert repo.rev("main") == repo.rev("HEAD")
    assert steps("integrate") > 3
    assert repo.files("main")["cli.py"].content == b"print(42)\n" * 2000
    assert repo.run_git("log", "--format=%s", "main").splitlines()[1:] == ["Start"]
    assert repo.status() == []
    fill(small, 0)
    fleet("cleanup")
    (small / "filler").unlink()
    fleet.ok("cleanup")
    assert not tree.path.exists()
    assert fleet.ok("doctor") == "all is well\n"
    assert_sound(repo)


def test_a_read_only_repository_can_be_read_and_says_why_not_more(
    small: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    fleet, repo = on_disk(small, capsysbinary.readouterr)
    fleet.ok("plan", "import", ".git/plan.toml")
    fleet.ok("plan", "approve", "--yes")
    tree = working(fleet, "42")
    tree.commit("Count", {"cli.py": "print(42)\n"})
    handed_in(fleet, "43", {"CHANGELOG.md": "new\n"})
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    before = repo.refs()
    for command in (
        ["claim", "--worker", "w2", "44"], ["progress", "42", "hi", "--worker", "w1"], ["done", "42", "--worker", "w1"],
        ["release", "42", "--worker", "w1"], ["claim", "--resume", "--worker", "w1"], ["integrate"],
        ["plan", "import", ".git/plan.toml"], ["plan", "approve", "--yes"], ["plan", "pause"], ["cancel", "44"],
        ["lead", "acquire"], ["init", "--uninstall"],
    ):  # fmt: skip
        answer = fleet(*command)
        assert answer.code == (1 if "44" in command and "claim" in command else 5), answer
        assert "Read-only file system" in answer.err or answer.code == 1
        assert answer.err.splitlines()[-1].startswith("hint: ")
        assert "bug" not in answer.err
    for command in (
        [],
        ["status"],
        ["ready"],
        ["integrate", "-n"],
        ["plan", "check"],
        ["log", "43"],
        ["worktree", "list"],
        ["doctor"],
    ):
        assert fleet(*command).code == 0
    assert repo.refs() == before
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    fleet.ok("done", "42", "--worker", "w1")
    assert len(fleet.json("integrate", "integrate")["integrated"]) == 2
