"""Writing refs: exactly one winner, and the truth about what happened, however git ends."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core.ids import Oid
from git_fleet.errors import Busy, FleetError, GitFailed, Held, InvalidInput, NeedsPerson, Stale
from git_fleet.git.along import Along
from git_fleet.git.objects import open_objects
from git_fleet.git.refnames import is_ref_name
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.git.repository import discover
from tests.support.race import Done, Puppet, Raised, meanwhile, race, values
from tests.support.repo import Repo, make_repo

REF = "refs/fleet/task/p/a"


def refs_of(repo: Repo, *, persistent: bool = False) -> Refs:
    return Refs(discover(repo.path), persistent=persistent)


def make_commit(repo: Repo, name: str, *parents: str) -> Oid:
    """A commit that no other call makes."""
    options = [word for parent in parents for word in ("-p", parent)]
    return Oid(repo.run_git("commit-tree", "-m", name, *options, "HEAD^{tree}"))


@pytest.fixture(params=["one-shot", "persistent"])
def refs(request: pytest.FixtureRequest, repo: Repo) -> Iterator[Refs]:
    with refs_of(repo, persistent=request.param == "persistent") as refs:
        yield refs


def test_a_ref_is_created_moved_and_deleted(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    assert refs.get(REF) is ABSENT
    refs.transact([Update(REF, ABSENT, one)])
    assert refs.get(REF) == one
    refs.transact([Update(REF, one, two)])
    assert refs.get(REF) == two
    refs.transact([Update(REF, two, ABSENT)])
    assert refs.get(REF) is ABSENT
    assert repo.refs("refs/fleet") == {}


def test_many_refs_move_together(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    names = [f"refs/fleet/task/p/t{number}" for number in range(3000)]
    refs.transact([Update(name, ABSENT, one) for name in names])
    assert refs.read("refs/fleet/task/p") == dict.fromkeys(sorted(names), one)
    assert len(refs.read(*names)) == 3000
    refs.transact([Update(name, one, two) for name in names[:9]] + [Update(names[9], one, ABSENT)])
    assert sum(value == two for value in refs.read("refs/fleet").values()) == 9


def test_reading_takes_prefixes_and_full_names(repo: Repo, refs: Refs) -> None:
    one = make_commit(repo, "one")
    wide = "refs/fleet/task/p/\u2028line\u0085separators"
    for name in (REF, "refs/fleet/task/p2/a", "refs/fleet/guard", wide):
        refs.transact([Update(name, ABSENT, one)])
    assert list(refs.read("refs/fleet/task/p")) == [REF, wide]
    assert list(refs.read("refs/fleet/guard", "refs/fleet/task/p2/")) == [
        "refs/fleet/guard",
        "refs/fleet/task/p2/a",
    ]
    assert refs.read("refs/nothing") == {}
    assert refs.read() == {}


def test_what_must_not_exist_but_does_is_held(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs.transact([Update(REF, ABSENT, one)])
    with pytest.raises(Held, match=f"{REF}.*{one}"):
        refs.transact([Update(REF, ABSENT, two)])
    assert refs.get(REF) == one


def test_what_has_moved_is_stale(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs.transact([Update(REF, ABSENT, two)])
    for new in (make_commit(repo, "three"), ABSENT):
        with pytest.raises(Stale, match=f"{REF} was expected at {one}, but is {two}"):
            refs.transact([Update(REF, one, new)])
    with pytest.raises(Stale, match="but is absent"):
        refs.transact([Update("refs/fleet/lead", one, two)])
    assert refs.get(REF) == two


def test_someone_else_writing_the_same_value_first_is_not_our_success(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs.transact([Update(REF, ABSENT, two)])
    with pytest.raises(Stale):
        refs.transact([Update(REF, one, two)])
    with pytest.raises(Held):
        refs.transact([Update(REF, ABSENT, two)])
    with pytest.raises(Stale):
        refs.transact([Update("refs/fleet/gone", one, ABSENT)])


def test_one_wrong_value_stops_the_whole_transaction(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs.transact([Update(REF, ABSENT, one)])
    with pytest.raises(Stale, match="refs/fleet/lead"):
        refs.transact([Update(REF, one, two), Update("refs/fleet/lead", two, two)])
    with pytest.raises(Held):
        refs.transact([Update("refs/fleet/new", ABSENT, two), Update(REF, ABSENT, ABSENT)])
    assert refs.read("refs/fleet") == {REF: one}


def test_verifying_moves_nothing(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs.transact([Update(REF, ABSENT, one)])
    refs.transact([Update(REF, one, one), Update("refs/fleet/lead", ABSENT, ABSENT)])
    assert refs.read("refs/fleet") == {REF: one}
    with pytest.raises(Stale):
        refs.transact([Update(REF, two, two)])


def test_nothing_to_do_does_nothing(repo: Repo, refs: Refs) -> None:
    refs.transact([])
    assert not (repo.path / ".git" / "fleet").exists()


def test_naming_a_ref_twice_is_a_mistake_of_the_program(repo: Repo, refs: Refs) -> None:
    one = make_commit(repo, "one")
    with pytest.raises(ValueError, match="twice"):
        refs.transact([Update(REF, ABSENT, one), Update(REF, one, ABSENT)])


def test_a_name_that_git_refuses_is_invalid_input(repo: Repo, refs: Refs) -> None:
    one = make_commit(repo, "one")
    for name in ("refs/fleet/a..b", "HEAD", "refs/fleet/a\0b", "refs/fleet/x.lock"):
        with pytest.raises(InvalidInput, match="not a valid ref name"):
            refs.transact([Update(name, ABSENT, one)])


@given(st.text(st.sampled_from("a./@{~^:?*[\\ \x7f-é"), max_size=8) | st.sampled_from(["a.lock", "a.lock/b"]))
def test_ref_names_are_judged_as_git_judges_them(name: str) -> None:
    ref = f"refs/{name}"
    git_says = os.spawnlp(os.P_WAIT, "git", "git", "check-ref-format", ref) == 0
    assert is_ref_name(ref) == git_says


def test_a_ref_below_or_above_another_is_explained(repo: Repo, refs: Refs) -> None:
    one = make_commit(repo, "one")
    refs.transact([Update(REF, ABSENT, one)])
    with pytest.raises(InvalidInput, match=f"{REF}/x cannot exist beside {REF}"):
        refs.transact([Update(f"{REF}/x", ABSENT, one)])
    with pytest.raises(InvalidInput, match=f"refs/fleet/task cannot exist beside {REF}"):
        refs.transact([Update("refs/fleet/task", ABSENT, one)])


def test_a_missing_object_is_git_s_to_explain(repo: Repo, refs: Refs) -> None:
    refs.transact([Update("refs/fleet/task/p/a2", ABSENT, make_commit(repo, "beside"))])
    with pytest.raises(GitFailed, match="nonexistent object"):
        refs.transact([Update(REF, ABSENT, Oid("1" * 40))])
    assert refs.get(REF) is ABSENT


def test_many_refs_are_on_the_disk_before_the_first_one_moves(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    names = [f"refs/fleet/task/p/t{number}" for number in range(40)]
    flushed: dict[int, bytes] = {}
    fsync = os.fsync

    def seen(fd: int) -> None:
        flushed[os.fstat(fd).st_ino] = os.pread(fd, 100, 0)
        assert repo.rev(names[0]) == one
        fsync(fd)

    with Refs(discover(repo.path), durable=True) as refs:
        refs.transact([Update(name, ABSENT, one) for name in names])
        monkeypatch.setattr(os, "fsync", seen)
        refs.transact([Update(name, one, two) for name in names[:-1]] + [Update(names[-1], one, ABSENT)])
        assert refs.read("refs/fleet/task/p") == dict.fromkeys(sorted(names[:-1]), two)
    files = (repo.path / ".git" / name for name in names[:-1])
    assert flushed == {path.stat().st_ino: f"{two}\n".encode() for path in files}


def test_where_many_packed_refs_are_deleted_the_others_are_on_the_disk_before(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are all in one file, which is written anew."""
    one = make_commit(repo, "one")
    names = [f"refs/fleet/task/p/t{number}" for number in range(20)]
    flushed: list[int] = []
    fsync = os.fsync

    def seen(fd: int) -> None:
        flushed.append(os.fstat(fd).st_ino)
        assert repo.rev(names[0]) == one
        fsync(fd)

    with Refs(discover(repo.path), durable=True) as refs:
        refs.transact([Update(name, ABSENT, one) for name in names])
        repo.run_git("pack-refs", "--all")
        monkeypatch.setattr(os, "fsync", seen)
        refs.transact([Update(name, one, ABSENT) for name in names])
    assert repo.refs("refs/fleet") == {}
    assert flushed == [(repo.path / ".git" / "packed-refs").stat().st_ino]


def test_what_is_done_while_refs_move_does_not_wait_for_the_disk(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_commit(repo, "one")
    names = [f"refs/fleet/task/p/t{number}" for number in range(40)]
    met, fsync = threading.Event(), os.fsync

    def slow(fd: int) -> None:
        assert met.wait(60)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow)
    with Refs(discover(repo.path), durable=True) as refs:
        refs.transact([Update(name, ABSENT, one) for name in names], along=Along(moving=met.set))
        assert refs.read("refs/fleet/task/p") == dict.fromkeys(sorted(names), one)


def test_where_the_disk_refuses_no_ref_moves_and_none_stays_locked(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_commit(repo, "one")
    updates = [Update(f"refs/fleet/task/p/t{number}", ABSENT, one) for number in range(40)]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Refs(discover(repo.path), durable=True) as refs:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(GitFailed, match="no space left"):
                refs.transact(updates)
        assert refs.read("refs/fleet/task/p") == {}
        refs.transact(updates)


# --- something between checking and moving -------------------------------------------------------


def test_what_is_done_between_sees_every_lock_and_nothing_moved(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs.transact([Update(REF, ABSENT, one)])

    def between() -> None:
        assert refs.get(REF) == one
        with refs_of(repo) as others:
            others.transact([Update("refs/heads/other", ABSENT, one)])
            with pytest.raises(Busy):
                others.transact([Update(REF, one, two)])

    refs.transact([Update(REF, one, two)], along=Along(locked=between))
    assert (refs.get(REF), refs.get("refs/heads/other")) == (two, one)


def test_nothing_moves_when_what_is_done_between_fails(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")

    def between() -> None:
        raise Stale("another ref had moved")

    with pytest.raises(Stale, match="another ref"):
        refs.transact([Update(REF, ABSENT, one)], along=Along(locked=between))
    assert repo.refs("refs/fleet") == {}
    refs.transact([Update(REF, ABSENT, two)])
    assert refs.get(REF) == two


def test_nothing_is_done_between_for_one_who_has_lost(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs.transact([Update(REF, ABSENT, one)])
    done: list[str] = []
    with pytest.raises(Stale):
        refs.transact([Update(REF, two, one)], along=Along(locked=lambda: done.append("between")))
    assert done == []


def test_git_locks_while_something_else_is_done_and_moves_refs_while_another(repo: Repo, refs: Refs) -> None:
    one, seen = make_commit(repo, "one"), list[object]()

    def look(step: str) -> None:
        seen.append((step, refs.get("refs/fleet/lead")))

    along = Along(
        asked=lambda: look("asked"), locked=lambda: look("locked"), moving=lambda: seen.append("moving")
    )
    refs.transact([Update(REF, ABSENT, one)], along=along)
    assert seen == [("asked", ABSENT), ("locked", ABSENT), "moving"]
    assert refs.get(REF) == one


def test_nothing_moves_when_what_is_done_while_git_locks_fails(repo: Repo, refs: Refs) -> None:
    one, done = make_commit(repo, "one"), []

    def asked() -> None:
        raise NeedsPerson("the worktree is in the way")

    with pytest.raises(NeedsPerson):
        refs.transact(
            [Update(REF, ABSENT, one)], along=Along(asked=asked, moving=lambda: done.append("moving"))
        )
    assert (repo.refs("refs/fleet"), done) == ({}, [])
    assert not list((repo.path / ".git" / "refs").rglob("*.lock"))


# --- a git that is kept --------------------------------------------------------------------------


def test_the_kept_git_works_on_after_a_refusal(repo: Repo) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    with refs_of(repo, persistent=True) as refs:
        refs.transact([Update(REF, ABSENT, one)])
        with pytest.raises(Held):
            refs.transact([Update(REF, ABSENT, two)])
        refs.transact([Update(REF, one, two)])
        assert refs.get(REF) == two


def test_the_kept_git_is_kept(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = wrap_git(tmp_path, monkeypatch, 'open(sys.argv[0] + ".log", "a").write("x")')
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    with refs_of(repo, persistent=True) as refs:
        refs.transact([Update(REF, ABSENT, one)])
        for _ in range(5):
            refs.transact([Update(REF, one, two)])
            refs.transact([Update(REF, two, one)])
    assert starts.with_name("git.log").read_text() == "x"


def test_the_reflog_of_main_says_why(repo: Repo, refs: Refs) -> None:
    old, new = repo.rev("main"), make_commit(repo, "next", "HEAD")
    refs.transact([Update("refs/heads/main", old, new)], message="integrate p/a")
    assert repo.run_git("reflog", "-1", "--format=%gs", "main") == "integrate p/a"
    refs.transact([Update("refs/heads/main", new, old)], message="and back")
    assert repo.run_git("reflog", "-1", "--format=%gs", "main") == "and back"


def test_an_alias_of_a_branch_is_not_overwritten(repo: Repo, refs: Refs) -> None:
    repo.run_git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    old, new = repo.rev("main"), make_commit(repo, "next", "HEAD")
    with pytest.raises(NeedsPerson, match="refs/heads/alias is a symbolic ref to refs/heads/main"):
        refs.transact([Update("refs/heads/alias", old, new)])
    assert repo.rev("main") == old


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_both_object_formats_work_bare_and_from_linked_worktrees(tmp_path: Path, object_format: str) -> None:
    repo = make_repo(tmp_path / "r", object_format=object_format)
    linked = repo.worktree(tmp_path / "linked", "topic")
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs_of(linked).transact([Update(REF, ABSENT, one), Update("refs/fleet/x", ABSENT, ABSENT)])
    refs_of(repo).transact([Update(REF, one, two)])
    assert refs_of(linked).get(REF) == two == repo.rev(REF)
    repo.run_git("clone", "-q", "--mirror", ".", str(tmp_path / "bare.git"))
    bare = Repo(tmp_path / "bare.git")
    refs_of(bare).transact([Update(REF, two, ABSENT)])
    assert refs_of(bare).get(REF) is ABSENT


def test_packed_refs_are_moved_and_deleted_too(repo: Repo, refs: Refs) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    refs.transact([Update(REF, ABSENT, one), Update("refs/fleet/b", ABSENT, one)])
    repo.run_git("pack-refs", "--all")
    refs.transact([Update(REF, one, two), Update("refs/fleet/b", one, ABSENT)])
    repo.run_git("pack-refs", "--all")
    assert repo.refs("refs/fleet") == {REF: two}


# --- races ----------------------------------------------------------------------------------------


def create(index: int, path: Path, names: list[str], commits: list[Oid]) -> list[str]:
    """Try to create every ref; the names of those won."""
    won = []
    with Refs(discover(path), persistent=index % 2 == 0) as refs:
        for name in names:
            try:
                refs.transact([Update(name, ABSENT, commits[index])])
            except Held:
                continue
            won.append(name)
    return won


def test_every_ref_has_exactly_one_creator(repo: Repo, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "linked", "topic")
    commits = [make_commit(repo, f"by {index}") for index in range(8)]
    names = [f"refs/fleet/task/p/t{number}" for number in range(40)]
    with meanwhile(repo.run_git, "pack-refs", "--all"):
        won = values(race(8, create, linked.path, names, commits))
    assert sorted(name for some in won for name in some) == sorted(names)
    expected = {name: commits[index] for index, some in enumerate(won) for name in some}
    assert repo.refs("refs/fleet/task") == expected


def swap(index: int, path: Path, times: int) -> int:
    """Append commits to one log by compare and swap; how often another was first."""
    lost = 0
    repo = Repo(path)
    with Refs(discover(path), persistent=True) as refs:
        for step in range(times):
            while True:
                old = refs.get(REF)
                parents = [] if old is ABSENT else [old]
                new = make_commit(repo, f"{index} {step} {lost}", *parents)
                try:
                    refs.transact([Update(REF, old, new)])
                    break
                except (Stale, Held):
                    lost += 1
    return lost


def test_no_swap_is_lost_while_refs_are_packed(repo: Repo) -> None:
    with meanwhile(repo.run_git, "pack-refs", "--all"):
        values(race(6, swap, repo.path, 8))
    assert repo.run_git("rev-list", "--count", REF) == "48"


def test_a_kept_git_does_not_take_an_old_packed_refs_for_the_present_one(repo: Repo) -> None:
    one, two, three = (make_commit(repo, name) for name in ("one", "two", "three"))
    repo.run_git("update-ref", REF, one)
    with refs_of(repo, persistent=True) as refs, open_objects(discover(repo.path)) as objects:
        for _ in range(25):
            repo.run_git("update-ref", REF, one)
            repo.run_git("pack-refs", "--all")
            refs.transact([Update(REF, one, one)])  # now it has packed-refs in memory
            assert objects.read_ref(REF) == (one, repo_data(repo, one))
            for value in (three, two):  # twice: the file system may give the old file's inode again
                repo.run_git("update-ref", REF, value)
                repo.run_git("pack-refs", "--all")
            assert objects.read_ref(REF) == (two, repo_data(repo, two))
            with pytest.raises(Stale):
                refs.transact([Update(REF, one, three)])


def repo_data(repo: Repo, name: str) -> bytes:
    return repo.try_git("cat-file", "commit", name).stdout


def create_and_delete(index: int, path: Path, one: Oid) -> None:
    with Refs(discover(path), persistent=True) as refs:
        for number in range(30):
            ref = f"refs/fleet/gone/{index}/{number}"
            refs.transact([Update(ref, ABSENT, one)])
            refs.transact([Update(ref, one, ABSENT)])


def test_deleted_refs_stay_deleted_while_refs_are_packed(repo: Repo) -> None:
    one = make_commit(repo, "one")
    with meanwhile(repo.run_git, "pack-refs", "--all"):
        values(race(4, create_and_delete, repo.path, one))
    assert repo.refs("refs/fleet") == {}


# --- git dies -------------------------------------------------------------------------------------


def wrap_git(folder: Path, monkeypatch: pytest.MonkeyPatch, at_update: str, at_commit: str = "") -> Path:
    """Put a git before the real one that runs `at_update` when refs are to be written, and `at_commit`
    (with `real`, the real process, which is prepared) when it is told to commit.
    """
    program = folder / "bin" / "git"
    program.parent.mkdir()
    program.write_text(
        f"""#!{sys.executable} -S
import os, subprocess, sys
git = {shutil.which("git")!r}
if "update-ref" not in sys.argv:
    os.execv(git, [git, *sys.argv[1:]])
{at_update}
if not {at_commit!r} or os.path.exists(sys.argv[0] + ".broken"):
    os.execv(git, [git, *sys.argv[1:]])
real = subprocess.Popen([git, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
read = b""
while not read.endswith(b"prepare\\0"):
    read += os.read(0, 1 << 16)
real.stdin.write(read)
real.stdin.flush()
os.write(1, real.stdout.readline() + real.stdout.readline())
os.read(0, 7)
open(sys.argv[0] + ".broken", "w").close()
def finish():
    real.communicate(b"commit\\0")
def kill():
    real.kill()
    real.wait()
def rename(ref):
    os.rename(".git/" * os.path.isdir(".git") + ref + ".lock", ref)
{at_commit}
sys.exit(1)
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


Breaker = Callable[[str], None]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Breaker:
    """The first git that is told to commit runs this Python text instead, and ends with an error."""
    return lambda at_commit: void(wrap_git(tmp_path, monkeypatch, "", at_commit))


def void(_: object) -> None:
    """A callback's answer that nobody wants."""


def test_a_git_that_dies_after_it_moved_the_refs_has_succeeded(
    repo: Repo, refs: Refs, broken: Breaker
) -> None:
    one = make_commit(repo, "one")
    broken("finish()")
    refs.transact([Update(REF, ABSENT, one), Update("refs/fleet/b", ABSENT, one)])
    assert repo.refs("refs/fleet") == {REF: one, "refs/fleet/b": one}


def test_success_is_seen_though_another_has_moved_the_ref_on_since(
    repo: Repo, refs: Refs, broken: Breaker
) -> None:
    one = make_commit(repo, "one")
    two = make_commit(repo, "two", one)
    broken(f"finish(); subprocess.run([git, 'update-ref', {REF!r}, {two!r}])")
    refs.transact([Update(REF, ABSENT, one)])
    assert refs.get(REF) == two


def test_a_git_killed_before_it_moved_anything_is_replaced_and_its_locks_cleared(
    repo: Repo, refs: Refs, broken: Breaker
) -> None:
    one = make_commit(repo, "one")
    broken("kill()")
    refs.transact([Update(REF, ABSENT, one)])
    assert refs.get(REF) == one
    assert not list((repo.path / ".git" / "refs").rglob("*.lock"))


def test_what_is_done_between_is_done_once_though_the_git_is_replaced(
    repo: Repo, refs: Refs, broken: Breaker
) -> None:
    one, done = make_commit(repo, "one"), []
    broken("kill()")
    refs.transact([Update(REF, ABSENT, one)], along=Along(locked=lambda: done.append("between")))
    assert (refs.get(REF), done) == (one, ["between"])


def test_who_is_interrupted_twice_goes_on_with_another_git(repo: Repo, broken: Breaker) -> None:
    """The second time while the git ends that the first one gave up."""
    one = make_commit(repo, "one")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    broken(f"os.kill(os.getppid(), {signal.SIGUSR1:d}); real.communicate()")
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with refs_of(repo, persistent=True) as refs:
            with pytest.raises(KeyboardInterrupt):
                refs.transact([Update(REF, ABSENT, one)], along=Along(locked=interrupt))
            refs.transact([Update(REF, ABSENT, one)])
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert repo.refs("refs/fleet") == {REF: one}


def test_a_git_that_let_go_of_its_locks_before_they_were_on_the_disk_is_replaced(repo: Repo) -> None:
    """As one does that is told to end, SIGTERM, while main moves."""
    one = make_commit(repo, "one")
    names = [f"refs/fleet/task/p/t{number:02}" for number in range(20)]

    def let_go() -> None:
        for lock in (repo.path / ".git" / "refs").rglob("*.lock"):
            lock.unlink()

    with Refs(discover(repo.path), durable=True) as refs:
        refs.transact([Update(name, ABSENT, one) for name in names], along=Along(locked=let_go))
    assert repo.refs("refs/fleet") == dict.fromkeys(names, one)


def test_a_git_killed_between_two_refs_is_reported_with_both(repo: Repo, refs: Refs, broken: Breaker) -> None:
    one = make_commit(repo, "one")
    broken("kill(); rename('refs/fleet/a')")
    with pytest.raises(GitFailed, match="moved refs/fleet/a; not moved, or not known: refs/fleet/b"):
        refs.transact([Update("refs/fleet/a", ABSENT, one), Update("refs/fleet/b", ABSENT, one)])
    assert repo.refs("refs/fleet") == {"refs/fleet/a": one}


def test_what_cannot_be_known_is_said_and_not_guessed(repo: Repo, refs: Refs, broken: Breaker) -> None:
    one, alien = make_commit(repo, "one"), make_commit(repo, "not built on one")
    broken(f"finish(); subprocess.run([git, 'update-ref', {REF!r}, {alien!r}])")
    with pytest.raises(GitFailed, match=f"not known: {REF}"):
        refs.transact([Update(REF, ABSENT, one)])


# --- locks in the way -----------------------------------------------------------------------------


def hold(say: Callable[[object], None], path: Path, ref: str, value: str) -> None:
    """A foreign git that has prepared a transaction and does not go on."""
    import signal
    import subprocess

    holder = subprocess.Popen(
        ["git", "update-ref", "--stdin"], cwd=path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write(f"start\ncreate {ref} {value}\nprepare\n".encode())
    holder.stdin.flush()
    say([holder.stdout.readline(), holder.stdout.readline()])
    signal.pause()


def test_a_lock_that_somebody_owns_is_busy_and_stays(repo: Repo, refs: Refs) -> None:
    one = make_commit(repo, "one")
    other = Puppet(hold, repo.path, REF, one)
    assert other.hear() == [b"start: ok\n", b"prepare: ok\n"]
    lock = repo.path / ".git" / f"{REF}.lock"
    with pytest.raises(Busy, match=str(lock)) as caught:
        refs.transact([Update(REF, ABSENT, one)])
    assert "doctor" in caught.value.hint
    assert lock.exists()
    assert refs.get(REF) is ABSENT
    other.kill()


@pytest.mark.parametrize(
    "lock", [f"{REF}.lock", "packed-refs.lock", "packed-refs.new", "HEAD.lock", "refs/heads/main.lock"]
)
def test_a_lock_that_nobody_owns_is_cleared_on_the_way(repo: Repo, lock: str) -> None:
    one = make_commit(repo, "next", "HEAD")
    refs = refs_of(repo)
    refs.transact([Update(REF, ABSENT, one)])
    repo.run_git("pack-refs", "--all")  # so that deleting rewrites packed-refs
    path = repo.path / ".git" / lock
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    refs.transact([Update("refs/heads/main", repo.rev("main"), one), Update(REF, one, ABSENT)])
    assert not path.exists()
    assert repo.rev("main") == one


def test_a_repository_that_cannot_be_written_is_said(repo: Repo, refs: Refs) -> None:
    (repo.path / ".git" / "fleet").write_text("in the way", encoding="utf-8")
    with pytest.raises(GitFailed, match="cannot write") as caught:
        refs.transact([Update(REF, ABSENT, make_commit(repo, "one"))])
    assert caught.value.hint


def test_deleting_the_local_folder_does_not_disturb_a_kept_git(repo: Repo) -> None:
    one, two = make_commit(repo, "one"), make_commit(repo, "two")
    with refs_of(repo, persistent=True) as refs:
        refs.transact([Update(REF, ABSENT, one)])
        shutil.rmtree(repo.path / ".git" / "fleet")
        refs.transact([Update(REF, one, two)])
    assert (repo.path / ".git" / "fleet" / "writers").exists()


def attempt(_index: int, path: Path, ref: str, one: Oid) -> str:
    try:
        refs_of(Repo(path)).transact([Update(ref, ABSENT, one)])
    except FleetError as error:
        return error.code
    return "done"


def test_contenders_behind_a_dead_lock_still_have_one_winner(repo: Repo) -> None:
    one = make_commit(repo, "one")
    lock = repo.path / ".git" / f"{REF}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    outcomes = race(8, attempt, repo.path, REF, one)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Raised)]
    ends = sorted(outcome.value for outcome in outcomes if isinstance(outcome, Done))
    assert ends == ["done", *["held"] * 7]
