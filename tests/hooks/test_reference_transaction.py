"""reference-transaction: who moves which ref, by whatever command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hooked import (
    QUIET,
    common_dir,
    hooks_of,
    install_hooks,
    lead,
    open_plan,
    refused,
    task_worktree,
)
from tests.support.repo import Repo, make_repo

# --- main


@pytest.fixture
def ahead(main: Repo) -> Repo:
    """The main worktree on a branch of its own, `topic`, one commit ahead of main."""
    main.run_git("switch", "-qc", "topic")
    main.commit("ahead", {"README.md": "new\n"})
    return main


@pytest.mark.parametrize(
    "args",
    [
        ["update-ref", "refs/heads/main", "topic"],
        ["update-ref", "-d", "refs/heads/main"],
        ["branch", "-f", "main", "topic"],
        ["branch", "-D", "main"],
        ["branch", "-m", "main", "old-main"],
        ["fetch", ".", "topic:main"],
        ["push", "--no-verify", ".", "topic:main"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_main_is_not_moved_from_elsewhere(ahead: Repo, args: list[str], packed: bool) -> None:
    if packed:
        ahead.run_git("pack-refs", "--all")
    before = ahead.rev("main")
    said = refused(ahead, *args)
    assert "main: plan app is open, and only its lead moves this branch" in said
    assert "git fleet lead acquire" in said
    assert ahead.rev("main") == before


@pytest.mark.parametrize("both", [False, True], ids=["loose or packed", "loose and packed"])
def test_main_is_not_deleted_by_its_old_value_either(ahead: Repo, both: bool) -> None:
    """What pack-refs says while it prunes looks the same, but for the lock."""
    ahead.run_git("pack-refs", "--all")
    if both:
        ahead.run_git(*QUIET, "update-ref", "refs/heads/main", "topic")
        ahead.run_git(*QUIET, "update-ref", "refs/heads/main", "topic~")
        assert (common_dir(ahead) / "refs" / "heads" / "main").exists()
    assert "deleting main" in refused(ahead, "update-ref", "-d", "refs/heads/main", ahead.rev("main"))
    assert ahead.rev("main")


@pytest.mark.parametrize(
    "args",
    [
        ["commit", "--allow-empty", "--no-verify", "-m", "sneaked"],
        ["reset", "--hard", "topic"],
        ["merge", "--ff-only", "topic"],
        ["merge", "--no-verify", "--no-ff", "--no-edit", "topic"],
        ["cherry-pick", "topic"],
        ["rebase", "topic"],
        ["update-ref", "HEAD", "topic"],
    ],
    ids=" ".join,
)
def test_main_is_not_moved_where_it_is_checked_out(ahead: Repo, args: list[str]) -> None:
    ahead.run_git("switch", "-q", "main")
    before = ahead.rev("main")
    assert "only its lead" in refused(ahead, *args)
    assert ahead.rev("main") == before


def test_the_lead_moves_main(ahead: Repo) -> None:
    lead(ahead)
    ahead.run_git("update-ref", "refs/heads/main", "topic")
    ahead.run_git("switch", "-q", "main")
    ahead.run_git("commit", "-q", "--allow-empty", "-m", "by the lead")
    assert ahead.rev("main~") == ahead.rev("topic")


def test_everything_else_is_free_in_the_main_worktree(ahead: Repo) -> None:
    before = ahead.refs()
    ahead.run_git("branch", "another")
    ahead.run_git("tag", "v1")
    ahead.run_git("notes", "add", "-m", "a remark")
    ahead.write("README.md", "put aside\n")
    ahead.run_git("stash")
    made = {"refs/heads/another", "refs/tags/v1", "refs/notes/commits", "refs/stash"}
    assert set(ahead.refs()) == {*before, *made}
    ahead.run_git("stash", "pop")
    assert ahead.status() == [" M README.md"]
    ahead.run_git("reset", "-q", "--hard")
    ahead.run_git("switch", "-q", "main")
    ahead.run_git("switch", "-q", "topic")
    ahead.run_git("notes", "remove")
    ahead.run_git("update-ref", "-d", "refs/notes/commits")
    ahead.run_git("tag", "-d", "v1")
    ahead.run_git("branch", "-D", "another")
    ahead.run_git("update-ref", "refs/heads/main", ahead.rev("main"))
    assert ahead.refs() == before


def test_nothing_is_enforced_without_an_open_plan(ahead: Repo) -> None:
    (common_dir(ahead) / "fleet" / "open").unlink()
    ahead.run_git("branch", "-f", "main", "topic")
    ahead.run_git("update-ref", "refs/fleet/x", "topic")
    assert ahead.rev("main") == ahead.rev("refs/fleet/x") == ahead.rev("topic")


# --- what the remote has


@pytest.fixture
def cloned(tmp_path: Path) -> tuple[Repo, Repo]:
    """(A repository, its clone on main with a plan open); the first is one commit ahead."""
    origin = make_repo(tmp_path / "origin")
    origin.run_git("clone", "-q", str(origin.path), str(tmp_path / "clone"))
    clone = Repo(tmp_path / "clone")
    origin.commit("upstream", {"README.md": "upstream\n"})
    install_hooks(clone)
    open_plan(clone)
    return origin, clone


def test_main_follows_its_remote_tracking_branch(cloned: tuple[Repo, Repo]) -> None:
    origin, clone = cloned
    clone.run_git("pull", "-q", "--ff-only")
    assert clone.rev("main") == origin.rev("main")


def test_many_remote_branches_at_once_are_fetched(cloned: tuple[Repo, Repo]) -> None:
    origin, clone = cloned
    value = origin.rev("main")
    origin.run_git(
        "update-ref",
        "--stdin",
        stdin="".join(f"create refs/heads/b{n} {value}\n" for n in range(600)).encode(),
    )
    clone.run_git("fetch", "-q", "--atomic")
    assert len(clone.refs("refs/remotes/origin")) >= 600


def test_main_goes_no_further_than_its_remote_tracking_branch(cloned: tuple[Repo, Repo]) -> None:
    _, clone = cloned
    clone.run_git("fetch", "-q")
    clone.run_git("switch", "-qc", "topic", "origin/main")
    clone.commit("beyond", {"README.md": "beyond\n"})
    assert "only its lead" in refused(clone, "branch", "-f", "main", "topic")
    clone.run_git("fetch", "-q", ".", "origin/main:main")
    assert clone.rev("main") == clone.rev("origin/main") == clone.rev("topic~")


def test_main_is_not_thrown_back_to_its_remote_tracking_branch(cloned: tuple[Repo, Repo]) -> None:
    _, clone = cloned
    clone.run_git(*QUIET, "commit", "-q", "--allow-empty", "-m", "landed")
    clone.run_git("fetch", "-q")
    assert "only its lead" in refused(clone, "reset", "--hard", "origin/main")


# --- the fleet's own refs


def test_the_fleets_refs_are_not_written_by_hand(main: Repo, task: Repo) -> None:
    for repo in (main, task):
        assert "by hand" in refused(repo, "update-ref", "refs/fleet/task/app/42", "HEAD")
        assert "by hand" in refused(repo, "update-ref", "-d", "refs/fleet/task/app/42")
        assert "by hand" in refused(repo, "update-ref", "refs/fleet/new", "HEAD")
        assert "by hand" in refused(repo, "notes", "--ref=fleet/evidence", "add", "-m", "passed")
    lead(main)
    assert "by hand" in refused(main, "update-ref", "-d", "refs/fleet/lead")


# --- a task's worktree


def test_a_task_works_on_its_branch_as_it_likes(main: Repo, task: Repo, tmp_path: Path) -> None:
    first = task.commit("one", {"cli.py": "one\n"})
    task.commit("two", {"cli.py": "two\n"})
    task.run_git("commit", "-q", "--amend", "-m", "two, again")
    task.run_git("reset", "-q", "--hard", first)
    task.run_git("tag", "mark")
    task.run_git("switch", "-q", "--detach")
    task.run_git("switch", "-q", "feature/42")
    main.write("README.md", "landed\n")
    main.run_git(*QUIET, "commit", "-qam", "landed")
    task.run_git("rebase", "-q", "main")
    assert task.rev("HEAD~") == main.rev("main")
    task.run_git("bisect", "start")
    task.run_git("bisect", "reset")
    task.run_git("clone", "-q", "--bare", ".", str(tmp_path / "copy"))
    task.run_git("fetch", "-q", str(tmp_path / "copy"), "+refs/heads/*:refs/remotes/copy/*")


def test_a_rebase_that_stops_and_goes_on_passes(main: Repo, task: Repo) -> None:
    task.commit("mine", {"cli.py": "1\n2\nmine\n"})
    main.write("cli.py", "1\n2\ntheirs\n")
    main.run_git(*QUIET, "commit", "-qam", "landed")
    assert task.try_git("rebase", "main").returncode
    task.write("cli.py", "1\n2\nboth\n")
    task.run_git("add", "cli.py")
    task.run_git("-c", "core.editor=true", "rebase", "--continue", env={"GIT_EDITOR": "true"})
    assert task.run_git("log", "-1", "--format=%(trailers)").startswith("Fleet-Task: app/42")


@pytest.mark.parametrize(
    "args",
    [
        ["branch", "another"],
        ["switch", "-c", "another"],
        ["checkout", "--orphan", "another"],
        ["branch", "-f", "topic", "HEAD"],
        ["branch", "-D", "topic"],
        ["branch", "-m", "feature/42", "mine"],
        ["update-ref", "-d", "refs/heads/feature/42"],
        ["worktree", "add", "-b", "another", "../another"],
        ["update-ref", "refs/heads/topic", "HEAD"],
    ],
    ids=" ".join,
)
def test_a_task_moves_no_other_branch_and_keeps_its_own(main: Repo, task: Repo, args: list[str]) -> None:
    main.branch("topic")
    task.commit("mine", {"cli.py": "mine\n"})
    before = main.refs("refs/heads")
    if "--orphan" in args:  # git moves only HEAD; the branch would be made by the commit
        task.run_git(*args)
        args = ["commit", "-qnm", "root"]
    said = refused(task, *args)
    assert "this worktree is for one branch, feature/42" in said
    assert "git switch feature/42" in said
    assert main.refs("refs/heads") == before


@pytest.mark.parametrize(
    "args", [["update-ref", "refs/heads/main", "HEAD"], ["branch", "-D", "main"]], ids=" ".join
)
def test_a_task_does_not_move_main(main: Repo, task: Repo, args: list[str]) -> None:
    main.run_git("switch", "-q", "--detach")
    task.commit("mine", {"cli.py": "mine\n"})
    assert "git fleet done" in refused(task, *args)


def test_the_stash_is_closed_to_tasks_and_the_work_stays(main: Repo, task: Repo) -> None:
    task.write("cli.py", "half done\n")
    assert "the stash: all worktrees share it" in refused(task, "stash")
    assert (task.path / "cli.py").read_text() == "half done\n"
    assert task.status() == [" M cli.py"]
    task.run_git("restore", "cli.py")
    main.write("README.md", "the other's\n")
    main.run_git("stash")
    assert "the stash" in refused(task, "stash", "drop")
    assert main.refs("refs/stash")


def test_two_tasks_do_not_touch_each_others_branches(main: Repo, task: Repo, tmp_path: Path) -> None:
    other = task_worktree(main, tmp_path / "other", task="app/43", files=["README.md"])
    theirs = other.commit("theirs", {"README.md": "theirs\n"})
    said = refused(task, "update-ref", "refs/heads/feature/43", "HEAD")
    assert "this worktree is for one branch, feature/42" in said
    assert main.rev("feature/43") == theirs


# --- housekeeping


@pytest.mark.parametrize("where", ["main", "task"])
@pytest.mark.parametrize(
    "args", [["pack-refs", "--all"], ["gc", "-q"], ["gc", "-q", "--prune=now"]], ids=" ".join
)
def test_refs_are_packed_as_ever(main: Repo, task: Repo, where: str, args: list[str]) -> None:
    main.write("README.md", "put aside\n")
    main.run_git("stash")
    main.branch("topic")
    for round_ in ("packed", "packed again after a change"):
        task.commit(round_, {"cli.py": round_})
        main.run_git(*QUIET, "update-ref", "refs/heads/main", "feature/42")
        before = main.refs()
        (main if where == "main" else task).run_git(*args)
        assert main.refs() == before
        assert not [path for path in (common_dir(main) / "refs").rglob("*") if path.is_file()]


def test_more_refs_than_shell_reads_are_packed_too(main: Repo, task: Repo) -> None:
    value = main.rev("main")
    names = [f"refs/{kind}/{n}" for kind in ("fleet/task/many", "heads/b", "tags") for n in range(200)]
    listed = "".join(f"create {name} {value}\n" for name in names)
    main.run_git(*QUIET, "update-ref", "--stdin", stdin=listed.encode())
    before = main.refs()
    task.run_git("pack-refs", "--all", "--no-prune")
    assert main.refs() == before
    assert set(names) <= {
        line.split(" ")[-1] for line in (common_dir(main) / "packed-refs").read_text().splitlines()
    }


def test_a_deletion_that_holds_the_lock_of_packed_refs_is_real(main: Repo) -> None:
    """As later versions of git say it: without the line `0 0` that comes first in older ones."""
    main.run_git("pack-refs", "--all")
    hook = hooks_of(main) / "reference-transaction"
    run = ["-c", f"alias.x=!'{hook}'", "x", "prepared"]
    line = f"{main.rev('main')} {'0' * 40} refs/heads/main\n".encode()
    assert main.try_git(*run, stdin=line).returncode == 0
    (common_dir(main) / "packed-refs.lock").touch()
    assert b"deleting main" in main.try_git(*run, stdin=line).stderr


@pytest.mark.parametrize("state", ["preparing", "committed", "aborted", "to come"])
def test_states_other_than_prepared_are_not_judged(main: Repo, state: str) -> None:
    lines = f"{'0' * 40} {'1' * 40} refs/heads/main\n{'0' * 40} {'1' * 40} HEAD\n".encode()
    hook = hooks_of(main) / "reference-transaction"
    run = ["-c", f"alias.x=!'{hook}'", "x"]
    assert b"only its lead" in main.try_git(*run, "prepared", stdin=lines).stderr
    done = main.try_git(*run, state, stdin=lines)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_symbolic_ref_in_mains_place_is_refused(main: Repo) -> None:
    """Later versions of git say `ref:NAME` where a value would stand."""
    hook = hooks_of(main) / "reference-transaction"
    run = ["-c", f"alias.x=!'{hook}'", "x", "prepared"]
    assert main.try_git(*run, stdin=f"{'0' * 40} ref:refs/heads/x HEAD\n".encode()).returncode == 0
    assert main.try_git(*run, stdin=f"{'0' * 40} ref:refs/heads/x refs/heads/main\n".encode()).returncode


def test_repositories_with_long_ids_are_guarded_alike(tmp_path: Path) -> None:
    main = make_repo(tmp_path / "repo", {"README.md": "1", "cli.py": "1"}, object_format="sha256")
    install_hooks(main)
    open_plan(main)
    task = task_worktree(main, tmp_path / "task")
    task.commit("mine", {"cli.py": "2"})
    before = main.rev("main")
    assert "git fleet done" in refused(task, "update-ref", "refs/heads/main", "HEAD")
    assert "only its lead" in refused(main, "commit", "-n", "--allow-empty", "-m", "sneaked")
    main.run_git("pack-refs", "--all")
    assert main.rev("main") == before
    lead(main)
    main.run_git("commit", "-q", "--allow-empty", "-m", "by the lead")
    assert main.rev("main~") == before
