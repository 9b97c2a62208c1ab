from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from git_fleet.app.checkouts import REASON, Checkout, Checkouts
from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.repository import discover
from tests.support.race import until
from tests.support.repo import Repo, make_repo


@pytest.fixture
def pool(repo: Repo, tmp_path: Path) -> Checkouts:
    repo.commit("more", {"src/a.py": "a\n", ".gitignore": "*.log\n", "keep/b": "b\n"})
    (repo.path / "src/a.py").chmod(0o755)
    repo.commit("executable", {"README.md": "# more\n", "src/a.py": "b\n"})
    return Checkouts(discover(repo.path), tmp_path / "cache")


def files_of(folder: Path) -> set[str]:
    """Every file below `folder`, without git's own link."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    return found - {".git"}


def is_clean(checkout: Checkout, repo: Repo, commit: Oid) -> bool:
    here = Repo(checkout.path)
    ignored = here.run_git("status", "--porcelain", "--ignored", "--untracked-files=all")
    return (
        ignored == ""
        and here.rev("HEAD") == commit
        and files_of(checkout.path) == set(repo.files(commit))
        and checkout.changed() == ()
        and not checkout.path.is_symlink()
    )


def test_a_checkout_is_the_commit_beside_the_repository(pool: Checkouts, repo: Repo, tmp_path: Path) -> None:
    head = repo.rev("main")
    with pool.checkout(head) as found:
        assert is_clean(found, repo, head)
        assert found.path.name == "repo"
        assert found.path.parent.name == "checkout-1"
        assert found.path.is_relative_to(tmp_path / "cache")
        assert not Repo(found.path).try_git("symbolic-ref", "-q", "HEAD").stdout
        assert os.access(found.path / "src/a.py", os.X_OK)
    assert f"locked {REASON}" in repo.run_git("worktree", "list", "--porcelain")
    assert repo.status() == []


def test_a_commit_that_no_ref_names_can_be_checked_out_and_survives_gc(pool: Checkouts, repo: Repo) -> None:
    tree = repo.run_git("rev-parse", "main^{tree}")
    loose = Oid(repo.run_git("commit-tree", tree, "-p", "main", "-m", "candidate"))
    with pool.checkout(loose) as found:
        repo.run_git("gc", "--quiet", "--prune=now")
        assert Repo(found.path).rev("HEAD") == loose


def mess_up(path: Path) -> None:
    """Everything short of breaking it: edits, deletes, adds, stages, commits, ignored and nested things."""
    here = Repo(path)
    here.write("README.md", "changed\n")
    (path / "src/a.py").unlink()
    here.write("new", "x")
    here.write("build.log", "ignored")
    here.write("keep/sub/deep", "x")
    here.run_git("add", "new")
    here.run_git("rm", "--quiet", "--cached", "keep/b")
    here.run_git("init", "--quiet", "nested")
    here.write("nested/x", "x")
    (path / "dangling").symlink_to("nowhere")


def commit_something(path: Path) -> None:
    Repo(path).commit("own", {"README.md": "own\n"})
    Repo(path).run_git("switch", "--quiet", "-C", "gate-made-this")


def hide_a_change(path: Path) -> None:
    Repo(path).run_git("update-index", "--assume-unchanged", "README.md")
    (path / "README.md").write_text("hidden\n")


def make_it_sparse(path: Path) -> None:
    Repo(path).run_git("sparse-checkout", "set", "--no-cone", "/src/")


def swap_file_and_folder(path: Path) -> None:
    (path / "README.md").unlink()
    (path / "README.md").mkdir()
    (path / "README.md/x").write_text("x")
    shutil.rmtree(path / "keep")
    (path / "keep").write_text("x")


def remove_it(path: Path) -> None:
    shutil.rmtree(path)


def remove_its_link(path: Path) -> None:
    (path / ".git").unlink()


def make_it_another_repository(path: Path) -> None:
    (path / ".git").unlink()
    Repo(path).run_git("init", "--quiet")


def point_it_elsewhere(path: Path) -> None:
    common = Repo(path).run_git("rev-parse", "--path-format=absolute", "--git-common-dir")
    (path / ".git").write_text(f"gitdir: {common}\n")


def move_it_and_leave_a_link(path: Path) -> None:
    moved = path.with_name("moved")
    shutil.rmtree(moved, ignore_errors=True)
    path.rename(moved)
    path.symlink_to(moved)


def leave_a_lock(path: Path) -> None:
    Path(Repo(path).run_git("rev-parse", "--absolute-git-dir"), "index.lock").touch()


def break_its_index(path: Path) -> None:
    Path(Repo(path).run_git("rev-parse", "--absolute-git-dir"), "index").write_bytes(b"DIRC?")


def unregister_it(path: Path) -> None:
    shutil.rmtree(Repo(path).run_git("rev-parse", "--absolute-git-dir"))


def replace_it_by_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("x")


BREAKING: list[Callable[[Path], None]] = [
    mess_up, commit_something, hide_a_change, make_it_sparse, swap_file_and_folder, remove_it, remove_its_link,
    make_it_another_repository, point_it_elsewhere, move_it_and_leave_a_link, leave_a_lock, break_its_index, unregister_it, replace_it_by_a_file,
]  # fmt: skip


@pytest.mark.parametrize("harm", BREAKING, ids=lambda harm: harm.__name__)
def test_the_next_use_is_clean_whatever_a_gate_did(
    harm: Callable[[Path], None], pool: Checkouts, repo: Repo
) -> None:
    head = repo.rev("main")
    with pool.checkout(head) as found:
        place = found.path
        harm(place)
    older = repo.rev("main^")
    with pool.checkout(older) as found:
        assert found.path == place
        assert is_clean(found, repo, older)
        harm(place)
        found.reset()
        assert is_clean(found, repo, older)


def test_what_is_elsewhere_is_never_cleaned(pool: Checkouts, repo: Repo, tmp_path: Path) -> None:
    """The checkout became a link to a folder of the user, in a repository of its own."""
    mine = make_repo(tmp_path / "mine")
    mine.write("untracked", "precious")
    with pool.checkout(repo.rev("main")) as found:
        shutil.rmtree(found.path)
        found.path.symlink_to(mine.path)
    with pool.checkout(repo.rev("main")) as found:
        assert is_clean(found, repo, repo.rev("main"))
        shutil.rmtree(found.path.parent)
        found.path.parent.symlink_to(mine.path.parent)
    with pool.checkout(repo.rev("main")) as found:
        assert is_clean(found, repo, repo.rev("main"))
    assert (mine.path / "untracked").read_text() == "precious"


def test_without_its_link_the_repository_around_the_cache_is_left_alone(repo: Repo, tmp_path: Path) -> None:
    """Some people have their home folder in git."""
    around = make_repo(tmp_path / "around")
    around.write("untracked", "precious")
    pool = Checkouts(discover(repo.path), around.path / "cache")
    for _ in range(2):
        with pool.checkout(repo.rev("main")) as found:
            assert is_clean(found, repo, repo.rev("main"))
            (found.path / ".git").unlink()
    assert (around.path / "untracked").read_text() == "precious"
    assert around.rev("HEAD") == around.rev("main")


def test_a_clean_checkout_is_reset_and_not_made_again(pool: Checkouts, repo: Repo) -> None:
    with pool.checkout(repo.rev("main")) as found:
        before = found.path.joinpath("keep/b").stat()
    with pool.checkout(repo.rev("main^")) as found:
        after = found.path.joinpath("keep/b").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_two_uses_at_one_time_get_two_checkouts(pool: Checkouts, repo: Repo) -> None:
    with pool.checkout(repo.rev("main")) as one, pool.checkout(repo.rev("main^")) as two:
        assert one.path != two.path
        assert is_clean(two, repo, repo.rev("main^"))
        assert is_clean(one, repo, repo.rev("main"))
    with pool.checkout(repo.rev("main")) as again:
        assert again.path == one.path


def test_a_checkout_stays_taken_while_something_inherited_its_lock(pool: Checkouts, repo: Repo) -> None:
    """As after kill -9 of the one who ran the gate: its descriptor is gone, the gate's is not."""
    script = "import os, sys; os.write(1, b'x'); sys.stdin.read()"
    taken = pool.checkout(repo.rev("main"))
    found = taken.__enter__()
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(found.lock,),
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"x"
        os.close(os.dup(found.lock))  # closing one copy changes nothing
        with pool.checkout(repo.rev("main")) as other:
            assert other.path != found.path
        taken.__exit__(None, None, None)
        with pool.checkout(repo.rev("main")) as again:  # letting go is for all copies
            assert again.path == found.path


def test_a_checkout_stays_taken_while_a_git_works_on_it(pool: Checkouts, repo: Repo, tmp_path: Path) -> None:
    """As after kill -9 of the one who had it filled: git goes on, and would be in the way of the next."""
    flag, pipe, script = tmp_path / "flag", tmp_path / "pipe", tmp_path / "smudge"
    os.mkfifo(pipe)
    script.write_text(f"if [ -e '{flag}' ]; then rm '{flag}'; cat '{pipe}' > /dev/null; fi; exec cat\n")
    repo.run_git("config", "filter.slow.smudge", f"sh '{script}'")
    head = repo.commit("slow", {".gitattributes": "*.slow filter=slow\n", "a.slow": "1\n"})
    flag.touch()
    use = f"""
from pathlib import Path
from git_fleet.app.checkouts import Checkouts
from git_fleet.git.repository import discover
with Checkouts(discover(Path({str(repo.path)!r})), Path({str(tmp_path / "cache")!r})).checkout({head!r}):
    pass
"""
    with subprocess.Popen([sys.executable, "-c", use]) as killed:
        until(lambda: not flag.exists())
        killed.kill()
    with pool.checkout(head) as found:
        assert found.path.parent.name == "checkout-2"
        assert is_clean(found, repo, head)
    pipe.write_text("go on")

    def first_again() -> bool:
        with pool.checkout(head) as found:
            return found.path.parent.name == "checkout-1" and is_clean(found, repo, head)

    until(first_again)


def test_nobody_is_started_who_watches_the_files(pool: Checkouts, repo: Repo, tmp_path: Path) -> None:
    """It would inherit the lock, and keep it where we are killed."""
    watcher, ran = tmp_path / "watcher", tmp_path / "ran"
    watcher.write_text(f"#!/bin/sh\ntouch '{ran}'\nexit 1\n")
    watcher.chmod(0o755)
    repo.run_git("config", "core.fsmonitor", str(watcher))
    for _ in range(2):
        with pool.checkout(repo.rev("main")) as found:
            (found.path / "README.md").write_text("changed\n")
            assert found.changed() == ("README.md",)
    assert not ran.exists()


def test_changes_of_tracked_files_are_named(pool: Checkouts, repo: Repo) -> None:
    with pool.checkout(repo.rev("main")) as found:
        mess_up(found.path)
        assert set(found.changed()) == {"README.md", "keep/b", "src/a.py", "new"}
        remove_it(found.path)
        assert found.changed() == (".",)


def test_a_sparse_main_worktree_does_not_make_gates_blind(pool: Checkouts, repo: Repo) -> None:
    repo.run_git("config", "extensions.worktreeConfig", "true")
    repo.run_git("sparse-checkout", "set", "--no-cone", "/src/")
    with pool.checkout(repo.rev("main")) as found:
        assert files_of(found.path) == set(repo.files("main"))


def test_hooks_do_not_run(pool: Checkouts, repo: Repo, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    hook = repo.write(".git/hooks/post-checkout", f"#!/bin/sh\ntouch '{witness}'\n", executable=True)
    with pool.checkout(repo.rev("main")) as found:
        remove_it(found.path)
        found.reset()
    assert not witness.exists()
    assert hook.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not hold root back")
def test_write_protected_folders_are_no_hindrance(pool: Checkouts, repo: Repo) -> None:
    with pool.checkout(repo.rev("main")) as found:
        Repo(found.path).write("cache/deep/file", "x")
        for folder in ("cache/deep", "cache", "src"):
            (found.path / folder).chmod(stat.S_IRUSR | stat.S_IXUSR)
        (found.path / "keep").chmod(0)
        found.reset()
        assert is_clean(found, repo, repo.rev("main"))


def test_names_of_any_bytes_come_back(repo: Repo, tmp_path: Path) -> None:
    odd = os.fsdecode(b'caf\xe9 "\n')
    head = repo.commit("odd", {odd: "x\n", f"dir {odd}/y": "y\n"})
    with Checkouts(discover(repo.path), tmp_path / "cache").checkout(head) as found:
        (found.path / odd).write_text("changed")
        assert found.changed() == (odd,)
        found.reset()
        assert is_clean(found, repo, head)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_bare_repositories_have_checkouts_too(object_format: str, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "full", object_format=object_format)
    repo.run_git("clone", "--quiet", "--bare", ".", str(tmp_path / "tool.git"))
    bare = Repo(tmp_path / "tool.git")
    with Checkouts(discover(bare.path), tmp_path / "cache").checkout(bare.rev("main")) as found:
        assert found.path.name == "tool"
        assert is_clean(found, bare, bare.rev("main"))


def test_a_cache_folder_that_cannot_be_written_is_a_clear_error(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    pool = Checkouts(discover(repo.path), tmp_path / "cache")
    with pytest.raises(GitFailed, match="cannot write"), pool.checkout(repo.rev("main")):
        pass


def test_a_commit_that_does_not_exist_leaves_the_checkout_free(pool: Checkouts, repo: Repo) -> None:
    with pytest.raises(GitFailed), pool.checkout(Oid("1" * 40)):
        pass
    with pool.checkout(repo.rev("main")) as found:
        assert found.path.parent.name == "checkout-1"
        assert is_clean(found, repo, repo.rev("main"))


def test_all_checkouts_of_a_repository_are_taken_down(pool: Checkouts, repo: Repo, tmp_path: Path) -> None:
    other = repo.path.parent / "mine"
    repo.run_git("worktree", "add", "--quiet", "--detach", "--lock", str(other))
    head = repo.rev("main")
    with pool.checkout(head) as one, pool.checkout(head) as two:
        (one.path / "left").write_text("by a gate")
        (one.path / "src").chmod(0o500)
        elsewhere = Checkouts(discover(repo.path), tmp_path / "another cache")
        assert elsewhere.take_down() == ((), (one.path, two.path))
    assert pool.take_down(dry_run=True) == ((one.path, two.path), ())
    assert one.path.is_dir()
    assert elsewhere.take_down() == ((one.path, two.path), ())
    assert not one.path.parent.exists()
    listed = repo.run_git("worktree", "list", "--porcelain")
    assert listed.count("worktree ") == 2
    assert other.is_dir()
    with pool.checkout(head) as again:
        assert is_clean(again, repo, head)


def test_a_checkout_whose_folder_is_gone_is_taken_down_too(
    pool: Checkouts, repo: Repo, tmp_path: Path
) -> None:
    with pool.checkout(repo.rev("main")) as found:
        pass
    shutil.rmtree(tmp_path / "cache")
    assert pool.take_down() == ((found.path,), ())
    assert repo.run_git("worktree", "list", "--porcelain").count("worktree ") == 1
