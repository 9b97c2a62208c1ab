"""Adding and removing worktrees: wholly or not at all, whoever is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from git_fleet.errors import Busy, GitFailed, Held, InvalidInput, NeedsPerson
from git_fleet.git import contents, torn, worktrees
from git_fleet.git.repository import Repository, discover
from tests.support.race import race, values
from tests.support.repo import Repo, make_repo

TOPIC = "refs/heads/feature/topic"
REASON = "git-fleet: p/t"
ODD = os.fsdecode(b'w "x"\n\xff')


@pytest.fixture
def at(repo: Repo) -> Repository:
    return discover(repo.path)


def state(repo: Repo) -> tuple[object, ...]:
    """Everything that a failed add might leave behind."""
    records = repo.path / ".git" / "worktrees"
    beside = [name for name in os.listdir(repo.path.parent) if not name.endswith(".log")]
    return repo.refs(), sorted(beside), sorted(os.listdir(records)) if records.exists() else []


def test_a_new_worktree_is_locked_on_its_new_branch_and_configuration_untouched(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    config = (repo.path / ".git" / "config").read_bytes()
    worktrees.ensure(at, tmp_path / ODD, branch=TOPIC, start=repo.rev("main"), reason=REASON)
    tree = worktrees.find(at, tmp_path / ODD)
    assert tree == (tmp_path / ODD, repo.rev("main"), TOPIC, True, REASON, False, False, False)
    assert (repo.path / ".git" / "config").read_bytes() == config
    assert Repo(tmp_path / ODD).status() == []
    assert [tree.path for tree in worktrees.list_worktrees(at)] == [repo.path, tmp_path / ODD]
    assert worktrees.git_dir_for(at, tmp_path / ODD) == discover(tmp_path / ODD).git_dir


def test_worktrees_of_bare_sha256_and_unborn_repositories_are_listed(tmp_path: Path) -> None:
    long = make_repo(tmp_path / "long", object_format="sha256")
    long.run_git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    bare = discover(tmp_path / "bare")
    worktrees.ensure(bare, tmp_path / "w", branch=TOPIC, start=long.rev("main"), reason=REASON)
    listed = worktrees.list_worktrees(bare)
    assert [(tree.bare, tree.branch) for tree in listed] == [(True, None), (False, TOPIC)]
    make_repo(tmp_path / "fresh", {})
    (only,) = worktrees.list_worktrees(discover(tmp_path / "fresh"))
    assert (only.head, only.branch) == (None, "refs/heads/main")


def test_what_is_taken_is_refused_and_nothing_is_left_behind(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    main = repo.rev("main")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    repo.branch("feature/topic")
    before = state(repo)
    for path, branch in (("full", "x"), ("link", "x"), ("new", "main")):
        with pytest.raises(Held):
            worktrees.ensure(at, tmp_path / path, branch=f"refs/heads/{branch}", start=main, reason=REASON)
    with pytest.raises(InvalidInput, match="cannot exist beside"):
        worktrees.ensure(at, tmp_path / "new", branch="refs/heads/feature", start=main, reason=REASON)
    assert state(repo) == before


def test_an_add_that_fails_in_the_middle_is_undone(repo: Repo, at: Repository, tmp_path: Path) -> None:
    repo.commit("attributes", {".gitattributes": "*.enc filter=broken\n", "a.enc": "1", "b": "2"})
    repo.run_git("config", "filter.broken.smudge", "false")
    repo.run_git("config", "filter.broken.required", "true")
    before = state(repo)
    with pytest.raises(GitFailed):
        worktrees.ensure(at, tmp_path / "new", branch=TOPIC, start=repo.rev("main"), reason=REASON)
    assert state(repo) == before


def test_an_existing_branch_can_have_a_worktree_again_but_not_two(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    tip = repo.branch("feature/topic")
    ensure = partial(worktrees.ensure, at, branch=TOPIC, start=tip, reason=REASON)
    assert ensure(tmp_path / "one")
    with pytest.raises(Held, match="checked out in"):
        ensure(tmp_path / "two")
    assert repo.refs(TOPIC) == {TOPIC: tip}
    assert worktrees.occupied(at, TOPIC) == (tmp_path / "one",)
    assert worktrees.occupied(at, "refs/heads/main") == (repo.path,)
    assert worktrees.occupied(at, "refs/heads/other") == ()


def test_a_tag_of_the_same_name_does_not_lead_astray(repo: Repo, at: Repository, tmp_path: Path) -> None:
    first = repo.rev("main")
    repo.run_git("tag", "feature/topic")
    second = repo.commit("second")
    worktrees.ensure(at, tmp_path / "one", branch=TOPIC, start=second, reason=REASON)
    tree = worktrees.find(at, tmp_path / "one")
    assert tree
    assert (tree.branch, tree.head) == (TOPIC, second)
    assert first != second


def test_a_branch_being_rebased_or_bisected_is_occupied(repo: Repo, at: Repository, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "one", "topic")
    linked.commit("theirs", {"README.md": "theirs\n"})
    repo.commit("ours", {"README.md": "ours\n"})
    assert linked.try_git("rebase", "main").returncode == 1
    assert worktrees.occupied(at, "refs/heads/topic") == (linked.path,)
    linked.run_git("rebase", "--abort")
    linked.run_git("bisect", "start")
    linked.run_git("checkout", "-q", "--detach")
    assert worktrees.occupied(at, "refs/heads/topic") == (linked.path,)


def test_a_branch_that_was_forced_into_a_second_worktree_is_in_both(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    repo.run_git("worktree", "add", "-q", "-f", str(tmp_path / "second"), "main")
    assert worktrees.occupied(at, "refs/heads/main") == (repo.path, tmp_path / "second")


def test_forty_adds_from_eight_processes_all_succeed(repo: Repo, at: Repository, tmp_path: Path) -> None:
    start = repo.rev("main")

    def add_five(index: int) -> None:
        for number in range(5):
            name = f"w{index}-{number}"
            worktrees.ensure(at, tmp_path / name, branch=f"refs/heads/{name}", start=start, reason=REASON)

    values(race(8, add_five))
    assert len(worktrees.list_worktrees(at)) == 41
    assert len(repo.refs("refs/heads")) == 41


def test_one_of_many_who_want_the_same_branch_gets_it(repo: Repo, at: Repository, tmp_path: Path) -> None:
    start = repo.rev("main")

    def add_one(index: int) -> int:
        try:
            worktrees.ensure(at, tmp_path / f"w{index}", branch=TOPIC, start=start, reason=REASON)
        except Held:
            return 0
        return 1

    assert sum(values(race(6, add_one))) == 1
    assert len(worktrees.list_worktrees(at)) == 2


def test_waiting_for_others_has_an_end(at: Repository) -> None:
    with worktrees.one_at_a_time(at), pytest.raises(Busy), worktrees.one_at_a_time(at, 0.05):
        pytest.fail("two at a time")


def test_a_file_in_place_of_the_fleets_folder_is_said(repo: Repo, at: Repository, tmp_path: Path) -> None:
    (repo.path / ".git" / "fleet").write_text("")
    with pytest.raises(GitFailed, match="cannot write"):
        worktrees.ensure(at, tmp_path / "one", branch=TOPIC, start=repo.rev("main"), reason=REASON)


# --- killed on the way ---------------------------------------------------------------------------

KILLER = """\
import os, signal, sys
data = sys.stdin.buffer.read()
top = int(os.environ["KILL_BELOW"])
pid = os.getpid()
chain = []
while pid != top:
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    pid = int(fields[1])
    chain.append(pid)
chain = chain[-2::-1]  # from the top, so that nobody sees a child die and tidies up
for victim in chain[:1] if "GATE" in os.environ else chain:
    os.kill(victim, signal.SIGKILL)
if "GATE" in os.environ:
    open(os.environ["GATE"]).read()
    sys.stdout.buffer.write(data)
"""


def slow_tree(repo: Repo, tmp_path: Path) -> None:
    """A repository whose checkout kills itself, and all its parents up to this process, half-way."""
    script = tmp_path / "killer.log"
    script.write_text(KILLER)
    repo.commit(
        "files", {".gitattributes": "*.enc filter=kill\n", "a": "first\n", "m.enc": "middle\n", "z": "last\n"}
    )
    repo.run_git("config", "filter.kill.smudge", f'"{sys.executable}" "{script}"')


def killed_ensure(at: Repository, repo: Repo, path: Path, **more: str) -> None:
    """Run `ensure` in a process that is killed, with its git, in the middle of the checkout.

    With GATE (a named pipe) git survives, and goes on when the pipe is written.
    """
    code = (
        "import sys; from pathlib import Path; from git_fleet.git import worktrees;"
        "from git_fleet.git.repository import discover;"
        "worktrees.ensure(discover(Path(sys.argv[1])), Path(sys.argv[2]), branch=sys.argv[3],"
        " start=sys.argv[4], reason=sys.argv[5])"
    )
    args = [str(repo.path), str(path), TOPIC, repo.rev("main"), REASON]
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        env={**os.environ, "KILL_BELOW": str(os.getpid()), **more},
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    git_dir = worktrees.git_dir_for(at, path)
    assert git_dir
    assert not (git_dir / "index").exists()
    assert (git_dir / "index.lock").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its parents in /proc")
def test_a_killed_add_is_finished_by_the_next_call(repo: Repo, at: Repository, tmp_path: Path) -> None:
    slow_tree(repo, tmp_path)
    path = tmp_path / "new"
    killed_ensure(at, repo, path)
    assert (path / "a").exists()
    assert not (path / "z").exists()
    repo.run_git("config", "filter.kill.smudge", "cat")
    ensure = partial(worktrees.ensure, at, branch=TOPIC, start=repo.rev("main"), reason=REASON)
    assert ensure(path)
    assert Repo(path).status() == []
    assert not ensure(path)
    assert len(worktrees.list_worktrees(at)) == 2
    repo.run_git("fsck", "--strict")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its parents in /proc")
def test_a_half_made_worktree_with_somebodys_file_is_left_alone(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    slow_tree(repo, tmp_path)
    path = tmp_path / "new"
    killed_ensure(at, repo, path)
    repo.run_git("config", "filter.kill.smudge", "cat")
    for name, text in (("notes", "mine"), ("a", "first\nand mine\n")):
        (path / name).write_text(text)
        with pytest.raises(NeedsPerson, match=name):
            worktrees.ensure(at, path, branch=TOPIC, start=repo.rev("main"), reason=REASON)
        assert (path / name).read_text() == text
        (path / name).unlink()
    with pytest.raises(Held, match="somebody else"):
        worktrees.ensure(at, path, branch=TOPIC, start=repo.rev("main"), reason="another's")
    (path / "a").write_text("fir")  # cut short, as a kill leaves it
    worktrees.remove(at, path)
    assert not path.exists()
    assert worktrees.find(at, path) is None


@pytest.mark.parametrize("stage", ["locked", "gitdir", "link", "folder"])
def test_an_add_killed_at_its_very_beginning_is_started_over(
    repo: Repo, at: Repository, tmp_path: Path, stage: str
) -> None:
    """The first files git writes, in its order; what is given is the last one that was written."""
    path, record = tmp_path / "new", repo.path / ".git" / "worktrees" / "new"
    repo.branch("feature/topic")
    record.mkdir(parents=True)
    (record / "locked").write_text(REASON)
    if stage != "locked":
        (record / "gitdir").write_text(f"{path}/.git\n")
    if stage in ("link", "folder"):
        path.mkdir()
    if stage == "link":
        (path / ".git").write_text(f"gitdir: {record}\n")
        (record / "HEAD").write_text("0" * 40 + "\n")
    assert worktrees.ensure(at, path, branch=TOPIC, start=repo.rev("main"), reason=REASON)
    assert Repo(path).status() == []
    assert len(os.listdir(record.parent)) == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its parents in /proc")
def test_a_git_that_survives_its_killed_parent_keeps_the_next_one_waiting(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    slow_tree(repo, tmp_path)
    path, gate = tmp_path / "new", tmp_path / "gate.log"
    os.mkfifo(gate)
    killed_ensure(at, repo, path, GATE=str(gate))
    with pytest.raises(Busy), worktrees.one_at_a_time(at, 0.05):
        pytest.fail("git is still writing there")
    gate.write_text("go on")
    assert not worktrees.ensure(at, path, branch=TOPIC, start=repo.rev("main"), reason=REASON)
    assert Repo(path).status() == []


def test_ensure_keeps_a_branch_that_went_on_and_refuses_a_foreign_one(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    start = repo.rev("main")
    linked = repo.worktree(tmp_path / "old", "feature/topic")
    made = linked.commit("work", {"a": "1"})
    ensure = partial(worktrees.ensure, at, branch=TOPIC, start=start, reason=REASON)
    with pytest.raises(Held, match="checked out"):
        ensure(tmp_path / "new")
    linked.run_git("checkout", "-q", "--detach")
    with pytest.raises(Held, match="no branch"):
        ensure(linked.path)
    assert ensure(tmp_path / "new")
    assert Repo(tmp_path / "new").rev("HEAD") == made
    later = repo.commit("later")
    repo.branch("behind", start)
    with pytest.raises(Held, match="does not contain"):
        worktrees.ensure(at, tmp_path / "third", branch="refs/heads/behind", start=later, reason=REASON)


def test_ensure_does_not_keep_what_was_made_for_another_reason(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    ensure = partial(worktrees.ensure, at, tmp_path / "new", branch=TOPIC, start=repo.rev("main"))
    ensure(reason=REASON)
    with pytest.raises(Held, match="somebody else's worktree"):
        ensure(reason="another's")
    assert not ensure(reason=REASON)
    repo.run_git("worktree", "unlock", str(tmp_path / "new"))
    assert not ensure(reason=REASON)


def test_ensure_makes_a_worktree_again_whose_folder_was_deleted(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    path = tmp_path / "new"
    ensure = partial(worktrees.ensure, at, branch=TOPIC, start=repo.rev("main"), reason=REASON)
    ensure(path)
    made = Repo(path).commit("work", {"a": "1"})
    subprocess.run(["rm", "-r", str(path)], check=True)
    assert ensure(path)
    assert Repo(path).rev("HEAD") == made


# --- taking away ---------------------------------------------------------------------------------


def test_removing_refuses_changes_and_then_changes_nothing(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    path = tmp_path / "new"
    worktrees.ensure(at, path, branch=TOPIC, start=repo.rev("main"), reason=REASON)
    (path / "new file").write_text("1")
    before = worktrees.list_worktrees(at)
    with pytest.raises(NeedsPerson, match="'new file'"):
        worktrees.remove(at, path)
    assert worktrees.list_worktrees(at) == before
    (path / "new file").unlink()
    (path / ".skip").touch()
    worktrees.remove(at, path, markers=[".skip", "README.md"])
    assert not path.exists()
    assert TOPIC in repo.refs()


def test_a_worktree_that_git_refuses_to_remove_stays_locked(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    inner = make_repo(tmp_path / "inner")
    repo.run_git("submodule", "--quiet", "add", str(inner.path), "sub")
    repo.run_git("commit", "-qm", "submodule")
    path = tmp_path / "new"
    worktrees.ensure(at, path, branch=TOPIC, start=repo.rev("main"), reason=REASON)
    Repo(path).run_git("submodule", "--quiet", "update", "--init")
    with pytest.raises(GitFailed, match="submodule"):
        worktrees.remove(at, path)
    tree = worktrees.find(at, path)
    assert tree
    assert (tree.locked, tree.lock_reason) == (True, REASON)


def test_only_linked_worktrees_can_be_removed(repo: Repo, at: Repository, tmp_path: Path) -> None:
    for path in (repo.path, tmp_path):
        with pytest.raises(InvalidInput, match="not a linked worktree"):
            worktrees.remove(at, path)


def test_forgetting_takes_one_deleted_worktree_off_the_record(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        worktrees.ensure(
            at, tmp_path / name, branch=f"refs/heads/{name}", start=repo.rev("main"), reason=REASON
        )
    subprocess.run(["rm", "-r", str(tmp_path / "one"), str(tmp_path / "two")], check=True)
    worktrees.forget(at, tmp_path / "one")
    assert [tree.path.name for tree in worktrees.list_worktrees(at)] == ["repo", "three", "two"]
    with pytest.raises(NeedsPerson):
        worktrees.forget(at, tmp_path / "three")


def test_a_beginning_is_told_from_a_change(repo: Repo, at: Repository) -> None:
    head = repo.commit("files", {"text": "one\ntwo\n"})
    for content, expected in ((b"", True), (b"one\nt", True), (b"one\ntwo\n", True), (b"two\n", False)):
        repo.write("text", content)
        assert torn.is_beginning(at.git_dir, repo.path, head, "text") is expected
    (repo.path / "text").unlink()
    assert torn.is_beginning(at.git_dir, repo.path, head, "text")
    (repo.path / "text").symlink_to("one")
    assert not torn.is_beginning(at.git_dir, repo.path, head, "text")


def test_the_place_of_a_worktree_is_found_whatever_stands_for_its_path(
    repo: Repo, at: Repository, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "side").symlink_to("real")
    tree = repo.worktree(tmp_path / "side" / "one", "one")
    repo.worktree(tmp_path / "side" / "two", "two")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "one")
    wanted = Path(tree.run_git("rev-parse", "--path-format=absolute", "--git-dir"))
    for path in (tree.path, tmp_path / "real" / "one", tmp_path / "link"):
        assert worktrees.git_dir_for(at, path) == contents.git_dir_of(path) == wanted
    (tmp_path / "real" / "one").rename(tmp_path / "moved")
    (tmp_path / "real" / "one").symlink_to(tmp_path / "moved")  # what is on record is a link now
    assert worktrees.git_dir_for(at, tmp_path / "moved") == wanted
    assert worktrees.git_dir_for(at, tmp_path / "real") is None
    assert contents.git_dir_of(repo.path) == repo.path / ".git"
    (tree.path / "below").mkdir()
    assert contents.git_dir_of(tree.path / "below") == wanted
    (tmp_path / "moved" / ".git").write_text("gitdir: ../repo/.git/worktrees/one\n")  # as git ≥ 2.48 may
    assert contents.git_dir_of(tmp_path / "moved") == wanted
    with pytest.raises(GitFailed):
        contents.git_dir_of(tmp_path)
