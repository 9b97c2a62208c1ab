from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.drafts import Drafts
from git_fleet.git.objects import (
    EXECUTABLE,
    FILE,
    FOLDER,
    Object,
    Objects,
    Signature,
    TreeEntry,
    open_objects,
)
from git_fleet.git.packs import store_pack
from git_fleet.git.replay import merge
from git_fleet.git.repository import Repository, discover
from tests.support.dying import killed_at_every_step
from tests.support.repo import Repo, make_repo

WHO = Signature("Ädä", "ada@example.invalid", 1_700_000_000, 60)


@pytest.fixture
def known(repo: Repo) -> Repository:
    return discover(repo.path)


@pytest.fixture(params=[False, True], ids=["plumbing", "bulk"])
def objects(request: pytest.FixtureRequest, known: Repository) -> Iterator[Objects]:
    with open_objects(known, bulk=request.param) as opened:
        yield opened


@pytest.fixture
def drafts(objects: Objects) -> Iterator[Drafts]:
    with Drafts(objects) as made:
        yield made


def has(repo: Repo, oid: Oid) -> bool:
    """Whether a git of its own finds the object."""
    return repo.try_git("cat-file", "-e", oid).returncode == 0


def stored(repo: Repo) -> list[str]:
    """Every file of the object database."""
    return sorted(str(path.relative_to(repo.path)) for path in (repo.path / ".git/objects").rglob("*"))


def blobs(drafts: Drafts, count: int) -> list[Oid]:
    return [drafts.write("blob", b"blob %d\n" % number) for number in range(count)]


def commit(drafts: Drafts, *parents: Oid, **files: str) -> Oid:
    tree = drafts.write_files({name.replace("__", "/"): text.encode() for name, text in files.items()})
    return drafts.write_commit(tree=tree, parents=parents, author=WHO, committer=WHO, message="draft\n")


def test_a_draft_is_read_at_once_and_stored_by_save(repo: Repo, objects: Objects, drafts: Drafts) -> None:
    made = commit(drafts, repo.rev("main"), a="1\n", b__c="2\n")
    assert drafts.read(made)[0] == "commit"
    tree = drafts.read_commit(made).tree
    assert [entry.name for entry in drafts.read_tree(tree)] == ["a", "b"]
    assert drafts.exists(made)
    assert not objects.exists(made)
    assert not has(repo, made)
    assert drafts.save() == 5
    assert has(repo, made)
    assert objects.read(made)[0] == "commit"
    assert objects.read(f"{made}:b/c") == drafts.read(f"{made}:b/c") == ("blob", b"2\n")
    assert drafts.save() == 0
    repo.run_git("fsck", "--strict")


def test_a_save_is_one_pack_and_nothing_is_left_beside_it(repo: Repo, drafts: Drafts) -> None:
    before = stored(repo)
    blobs(drafts, 300)
    assert drafts.save() == 300
    new = set(stored(repo)) - set(before)
    assert {Path(path).suffix for path in new} <= {".pack", ".idx", ".rev"}
    assert len([path for path in new if path.endswith(".pack")]) == 1


def test_a_small_save_makes_no_pack(repo: Repo, drafts: Drafts) -> None:
    few = blobs(drafts, 10)
    assert not any(has(repo, oid) for oid in few)
    assert drafts.save() == 10
    assert not list((repo.path / ".git/objects/pack").iterdir())
    assert all(has(repo, oid) for oid in few)


def test_much_is_stored_while_more_is_made(repo: Repo, drafts: Drafts) -> None:
    made = commit(drafts, repo.rev("main"), a="1\n")
    first = blobs(drafts, 300)
    drafts.begin_saving()
    drafts.begin_saving()  # it has begun
    assert [drafts.read(oid)[1] for oid in first] == [b"blob %d\n" % number for number in range(300)]
    later = commit(drafts, made, a="2\n")
    assert blobs(drafts, 300) == first
    assert drafts.is_ancestor(made, later)
    assert drafts.save() == 306
    assert drafts.save() == 0
    assert all(has(repo, oid) for oid in (first[0], first[-1], made, later))
    repo.run_git("fsck", "--strict")


def test_little_waits_for_save(repo: Repo, drafts: Drafts) -> None:
    before = stored(repo)
    blobs(drafts, 100)
    drafts.begin_saving()
    assert stored(repo) == before
    assert drafts.save() == 100


def test_drafts_that_cannot_be_stored_are_kept(repo: Repo, drafts: Drafts) -> None:
    pack = repo.path / ".git/objects/pack"
    first = blobs(drafts, 300)
    pack.rmdir()
    pack.write_text("in the way\n")
    drafts.begin_saving()
    with pytest.raises(GitFailed):
        drafts.save()
    pack.unlink()
    assert drafts.save() == 300
    assert has(repo, first[0])


def test_what_is_given_up_while_it_is_stored_ends_before_us(repo: Repo, objects: Objects) -> None:
    with Drafts(objects) as drafts:
        blobs(drafts, 3000)
        drafts.begin_saving()
    assert not list((repo.path / ".git/objects/pack").glob("tmp_*"))
    repo.run_git("fsck", "--strict")


def test_a_draft_written_again_costs_nothing_and_is_saved_once(drafts: Drafts) -> None:
    assert blobs(drafts, 5) == blobs(drafts, 5)
    assert drafts.write_empty_tree() == drafts.write_empty_tree() == drafts.repo.empty_tree
    assert drafts.save() == 6


def test_what_was_saved_is_saved_again_after_git_has_pruned_it(repo: Repo, drafts: Drafts) -> None:
    """Such as a candidate that was ejected, and comes back unchanged."""
    first = blobs(drafts, 5)
    drafts.save()
    repo.run_git("gc", "--quiet", "--prune=now")
    assert not has(repo, first[0])
    assert blobs(drafts, 5) == first
    drafts.save()
    assert all(has(repo, oid) for oid in first)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_ids_and_contents_are_gits_own(tmp_path: Path, object_format: str) -> None:
    repo = make_repo(tmp_path / "repo", object_format=object_format)
    # Sizes at which the head of a pack's entry, or the way of deflating, changes.
    sizes = [0, 1, 15, 16, 2047, 2048, 4096, 4097, 262_143, 262_144, 1_000_000]
    contents = [os.urandom(size) for size in sizes] + [b"same" * size for size in sizes]
    with open_objects(discover(repo.path)) as objects, Drafts(objects) as drafts:
        written = [drafts.write("blob", content) for content in contents]
        big = {f"{number:04}": b"x" for number in range(3000)}  # more than a block of zlib's holds
        assert len(drafts.read(drafts.write_files(big))[1]) > 65_535
        tip = commit(drafts, repo.rev("main"), a="1\n", b__c="2\n")
        tag = drafts.write(
            "tag", f"object {tip}\ntype commit\ntag x\ntagger {WHO.stored().decode()}\n\nx\n".encode()
        )
        drafts.save()
        assert [objects.read(oid) for oid in written] == [("blob", content) for content in contents]
    for oid, content in zip(written, contents, strict=True):
        assert oid == repo.run_git("hash-object", "--stdin", stdin=content)
    repo.run_git("update-ref", "refs/tags/x", tag)
    repo.run_git("fsck", "--strict")


def test_names_below_a_draft_are_found(drafts: Drafts) -> None:
    made = commit(drafts, a="1\n", b__c="2\n")
    tree = drafts.read_commit(made).tree
    names = [
        f"{made}:",
        f"{tree}:a",
        f"{made}:b/c",
        f"{made}:b",
        f"{made}:a/x",
        f"{made}:no",
        "refs/heads/no",
    ]
    found = [each and each.kind for each in drafts.read_many([*names, "refs/heads/main", "1" * 40])]
    assert found == ["tree", "blob", "blob", "tree", None, None, None, "commit", None]
    with pytest.raises(GitFailed, match="is missing"):
        drafts.read(f"{drafts.write('blob', b'x')}:y")


def test_history_that_is_partly_drafts_is_told_as_git_tells_it(repo: Repo, drafts: Drafts) -> None:
    main = repo.rev("main")
    fork = commit(drafts, main, a="1\n")
    one = commit(drafts, fork, a="2\n")
    other = commit(drafts, fork, a="1\n", b="1\n")
    assert drafts.merge_bases(one, other) == [fork]
    assert drafts.merge_bases(one, main) == [main]
    assert drafts.is_ancestor(main, one)
    assert not drafts.is_ancestor(one, main)
    assert not drafts.is_ancestor(one, other)
    found = [(change.status, change.path) for change in drafts.changed_paths(main, other)]
    assert found == [("D", "README.md"), ("A", "a"), ("A", "b")]
    asked = [(main, one), (one, other), (fork, main)]
    before = [drafts.changed_paths(*pair) for pair in asked]
    drafts.save()
    assert drafts.merge_bases(one, other) == [fork]
    assert drafts.is_ancestor(fork, one)
    with open_objects(drafts.repo) as plain:
        assert [plain.changed_paths(*pair) for pair in asked] == before


# --- git among the drafts ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 500])
def test_git_sees_the_drafts_there_are_when_it_starts(drafts: Drafts, count: int) -> None:
    git = drafts.git()
    for oid in blobs(drafts, count):
        assert oid
    assert git.run("cat-file", "blob", blobs(drafts, count)[-1]).out == b"blob %d\n" % (count - 1)
    later = drafts.write("blob", b"later\n")
    assert git.run("cat-file", "blob", later).out == b"later\n"


def test_git_merges_drafts_and_what_it_makes_are_drafts(repo: Repo, drafts: Drafts) -> None:
    text = "".join(f"line {number}\n" for number in range(9))
    base = commit(drafts, repo.rev("main"), text=text)
    before = stored(repo)
    one = commit(drafts, base, text=text.replace("line 1\n", "one\n"))
    two = commit(drafts, base, text=text.replace("line 7\n", "two\n"))
    merged = merge(drafts.git(), one, two)
    assert merged.tree is not None
    assert drafts.read(f"{merged.tree}:text")[1].decode() == text.replace("line 1\n", "one\n").replace(
        "line 7\n", "two\n"
    )
    top = drafts.write_commit(tree=merged.tree, parents=[one], author=WHO, committer=WHO, message="x\n")
    assert merge(drafts.git(repo.path), top, two).tree == merged.tree
    assert drafts.is_ancestor(one, top)
    assert stored(repo) == before
    drafts.save()
    assert repo.run_git("cat-file", "-p", f"{top}:text").splitlines()[7] == "two"
    repo.run_git("fsck", "--strict")


def test_commits_that_git_makes_are_known_before_they_are_taken_in(repo: Repo, drafts: Drafts) -> None:
    main = repo.rev("main")
    made = Oid(drafts.git().text("commit-tree", "-p", main, "-m", "x", f"{main}^{{tree}}"))
    assert drafts.exists(made)
    assert drafts.read_commit(made).parents == (main,)
    assert drafts.is_ancestor(main, made)
    assert drafts.merge_bases(made, main) == [main]
    assert drafts.changed_paths(main, made) == []
    assert (drafts.adopt(), drafts.adopt()) == (1, 0)
    assert drafts.save() == 1
    assert has(repo, made)


def test_a_pack_that_git_writes_there_is_taken_in_too(repo: Repo, drafts: Drafts) -> None:
    blobs(drafts, 100)
    foreign = [Object(Oid(""), "blob", data) for data in (b"x\n", b"y\n")]
    store_pack(drafts.git(), foreign, "sha1")
    assert drafts.adopt() == 2
    assert drafts.save() == 102
    assert has(repo, Oid(repo.run_git("hash-object", "--stdin", stdin=b"x\n")))


def test_no_ref_can_be_written_while_objects_are_drafts(repo: Repo, drafts: Drafts) -> None:
    made = commit(drafts, repo.rev("main"), a="1\n")
    with pytest.raises(GitFailed, match="quarantine"):
        drafts.git().run("update-ref", "refs/heads/new", made)
    assert set(repo.refs()) == {"refs/heads/main"}


def test_drafts_that_are_given_up_leave_nothing(repo: Repo, objects: Objects) -> None:
    before = stored(repo)
    with Drafts(objects) as drafts:
        commit(drafts, repo.rev("main"), a="1\n")
        blobs(drafts, 100)
        drafts.git().run("hash-object", "-w", "--stdin", input=b"x\n")
    assert stored(repo) == before
    assert not list((repo.path / ".git/fleet/drafts").iterdir())
    assert objects.exists(repo.rev("main"))


def test_git_finds_the_repository_under_any_name(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / os.fsdecode(b'odd:"name"\\ \xe9'))
    with open_objects(discover(repo.path)) as objects, Drafts(objects) as drafts:
        drafts.write("blob", b"x\n")
        found = drafts.git().run("cat-file", "blob", "main:README.md").out
    assert found == b"# scratch\n"


# --- others, and bad luck -------------------------------------------------------------------------


def test_drafts_of_two_processes_stay_apart(objects: Objects) -> None:
    with Drafts(objects) as one, Drafts(objects) as two:
        first, second = one.write("blob", b"one\n"), two.write("blob", b"two\n")
        assert one.git().run("cat-file", "blob", first).out == b"one\n"
        assert two.git().run("cat-file", "blob", second).out == b"two\n"
        assert one.git().run("cat-file", "-e", second, ok=(0, 1)).code == 1
        assert one.git().run("cat-file", "blob", first).out == b"one\n"


def test_gc_between_save_and_ref_takes_nothing(repo: Repo, drafts: Drafts) -> None:
    made = commit(drafts, repo.rev("main"), a="1\n", b__c="2\n")
    drafts.save()
    repo.run_git("gc", "--quiet")
    repo.run_git("update-ref", "refs/heads/new", made)
    repo.run_git("gc", "--quiet")
    assert drafts.read(f"{made}:b/c") == ("blob", b"2\n")
    repo.run_git("fsck", "--strict")


def test_a_run_killed_anywhere_is_tidied_up_by_the_next(repo: Repo, known: Repository) -> None:
    main = repo.rev("main")
    home = repo.path / ".git/fleet/drafts"

    def work() -> None:
        with open_objects(known) as objects, Drafts(objects) as drafts:
            made = commit(drafts, main, a="1\n", b__c="2\n")
            drafts.git().run("cat-file", "-e", made)
            blobs(drafts, 100)
            drafts.git().run("hash-object", "-w", "--stdin", input=b"by git\n")
            drafts.save()

    seen = set()
    for _ in killed_at_every_step(work):
        seen.add(len(list(home.iterdir())) if home.exists() else 0)
        repo.run_git("fsck", "--strict")
        with open_objects(known) as objects, Drafts(objects) as drafts:
            drafts.git().run("cat-file", "-e", main)
            assert len(list(home.iterdir())) == 2  # ours, and its lock
        assert not list(home.iterdir())
    assert seen >= {1, 2}  # a lock alone, and both


def test_trees_of_every_kind_of_entry_are_kept_as_they_are(repo: Repo, drafts: Drafts) -> None:
    blob = drafts.write("blob", b"x\n")
    below = drafts.write_tree([TreeEntry(FILE, os.fsdecode(b"\xe9"), blob)])
    entries = [TreeEntry(FILE, "a.b", blob), TreeEntry(FOLDER, "a", below), TreeEntry(EXECUTABLE, "a0", blob)]
    tree = drafts.write_tree(entries)
    drafts.save()
    listed = repo.run_git("ls-tree", "-r", "-z", "--name-only", tree).split("\0")[:-1]
    assert listed == ["a.b", os.fsdecode(b"a/\xe9"), "a0"]
