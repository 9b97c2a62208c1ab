"""Notes: git reads what we write, we read what git writes, and none is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.core.ids import Oid
from git_fleet.errors import Held, Stale
from git_fleet.git.notes import read_note, read_notes, with_note, with_notes
from git_fleet.git.objects import FILE, FOLDER, Objects, Signature, TreeEntry, open_objects
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.git.repository import discover
from tests.support.race import meanwhile, race, values
from tests.support.repo import Repo, make_repo

LEAD = Signature("Lead", "lead@example.invalid", 1_700_000_000, 0)
REF = "refs/notes/fleet/evidence"


@pytest.fixture
def objects(repo: Repo) -> Iterator[Objects]:
    with open_objects(discover(repo.path), bulk=True) as objects:
        yield objects


def targets(objects: Objects, count: int) -> list[Oid]:
    """Objects to put notes on, their ids evenly spread."""
    return [objects.write("blob", b"target %d" % number) for number in range(count)]


def point(repo: Repo, notes: Oid) -> None:
    repo.run_git("update-ref", REF, notes)


def git_notes(repo: Repo) -> dict[str, str]:
    """All notes, as git lists and shows them: target → text."""
    lines = repo.run_git("notes", "--ref", REF, "list").splitlines()
    return {
        target: repo.run_git("cat-file", "blob", blob) for blob, target in (line.split() for line in lines)
    }


def paths(repo: Repo) -> list[str]:
    return repo.run_git("ls-tree", "-r", "--name-only", REF).splitlines()


def note(objects: Objects, notes: Oid | None, target: Oid, text: str) -> Oid:
    return with_note(objects, notes, target, text.encode(), author=LEAD, message="note")


def test_git_shows_the_note_that_was_written(repo: Repo, objects: Objects) -> None:
    head = repo.rev("HEAD")
    first = note(objects, None, head, "one\n")
    point(repo, first)
    assert repo.run_git("notes", "--ref", REF, "show", head) == "one"
    assert (
        repo.run_git("log", "-1", "--format=%an %ad|%B", "--date=raw", REF) == "Lead 1700000000 +0000|note\n"
    )
    assert read_note(objects, first, head) == b"one\n"
    second = note(objects, first, head, "two\n")
    point(repo, second)
    assert git_notes(repo) == {head: "two"}
    assert objects.read_commit(second).parents == (first,)
    assert read_note(objects, first, head) == b"one\n"
    repo.run_git("fsck", "--strict")


def test_no_note_is_none(repo: Repo, objects: Objects) -> None:
    head = repo.rev("HEAD")
    assert read_note(objects, None, head) is None
    notes = note(objects, None, head, "x\n")
    assert read_note(objects, notes, Oid("1" * 40)) is None
    assert read_note(objects, notes, Oid(head[:2] + "1" * 38)) is None


def test_an_empty_note_is_a_mistake_of_the_program(repo: Repo, objects: Objects) -> None:
    with pytest.raises(ValueError, match="empty"):
        note(objects, None, repo.rev("HEAD"), "")
    with pytest.raises(ValueError, match="no notes"):
        with_notes(objects, None, {}, author=LEAD, message="none")


@pytest.mark.parametrize("count", [1, 64, 65, 400])
def test_git_reads_any_number_of_notes(repo: Repo, objects: Objects, count: int) -> None:
    notes: Oid | None = None
    expected = {target: f"note {target}" for target in targets(objects, count)}
    for target, text in expected.items():
        notes = note(objects, notes, target, f"{text}\n")
    assert notes is not None
    point(repo, notes)
    assert git_notes(repo) == expected
    assert len(paths(repo)) == count
    assert {path.count("/") for path in paths(repo)} == {0 if count <= 64 else 1}
    assert all(read_note(objects, notes, target) == f"{text}\n".encode() for target, text in expected.items())


def test_many_notes_at_once_are_the_same_as_one_after_another(repo: Repo, objects: Objects) -> None:
    some = targets(objects, 100)
    at_once = with_notes(objects, None, dict.fromkeys(some, b"x\n"), author=LEAD, message="all")
    one_by_one: Oid | None = None
    for target in some:
        one_by_one = note(objects, one_by_one, target, "x\n")
    assert one_by_one is not None
    assert objects.read_commit(at_once).tree == objects.read_commit(one_by_one).tree
    point(repo, at_once)
    assert len(git_notes(repo)) == 100


def test_git_and_we_may_write_in_turn(repo: Repo, objects: Objects) -> None:
    expected: dict[str, str] = {}
    for number, target in enumerate(targets(objects, 150)):
        if number % 3:
            current = repo.refs(REF).get(REF)
            point(repo, note(objects, current, target, f"ours {number}\n"))
        else:
            repo.run_git("notes", "--ref", REF, "add", "-m", f"theirs {number}", target)
        expected[target] = f"{'ours' if number % 3 else 'theirs'} {number}"
    assert git_notes(repo) == expected
    assert len(paths(repo)) == 150
    last = repo.refs(REF)[REF]
    read = {target: read_note(objects, last, Oid(target)) for target in expected}
    assert read == {target: f"{text}\n".encode() for target, text in expected.items()}


def test_deeper_fan_out_is_read_and_written(repo: Repo, objects: Objects) -> None:
    head = repo.rev("HEAD")
    old = objects.write("blob", b"deep\n")
    deep = objects.write_files({f"{head[:2]}/{head[2:4]}/{head[4:]}": b"deep\n"})
    notes = objects.write_commit(tree=deep, parents=[], author=LEAD, committer=LEAD, message="deep")
    assert read_note(objects, notes, head) == b"deep\n"
    near = Oid(head[:4] + "0" * 36)
    both = note(objects, note(objects, notes, head, "new\n"), near, "near\n")
    point(repo, both)
    assert git_notes(repo) == {head: "new", near: "near"}
    assert sorted(paths(repo)) == sorted(
        [f"{head[:2]}/{head[2:4]}/{head[4:]}", f"{head[:2]}/{head[2:4]}/{near[4:]}"]
    )
    assert objects.exists(old)


def test_two_spellings_are_joined_when_read_and_both_replaced_when_written(
    repo: Repo, objects: Objects
) -> None:
    head = repo.rev("HEAD")
    tree = objects.write_files({head: b"flat\n", f"{head[:2]}/{head[2:]}": b"fan\n"})
    notes = objects.write_commit(tree=tree, parents=[], author=LEAD, committer=LEAD, message="both")
    point(repo, notes)
    shown = repo.run_git("notes", "--ref", REF, "show", head)
    assert read_note(objects, notes, head) == f"{shown}\n".encode()
    assert {"flat", "fan"} <= set(shown.split())
    point(repo, note(objects, notes, head, "one\n"))
    assert git_notes(repo) == {head: "one"}
    assert len(paths(repo)) == 1


def test_what_is_no_note_stays(repo: Repo, objects: Objects) -> None:
    head = repo.rev("HEAD")
    blob = objects.write("blob", b"x")
    odd = objects.write_tree(
        [
            TreeEntry(FILE, "README", blob),
            TreeEntry(FILE, "ab", blob),
            TreeEntry(FOLDER, "0" * 40, objects.write_files({"in": b""})),
            TreeEntry(FOLDER, "zz", objects.write_files({os.fsdecode(b"\xff"): b""})),
        ]
    )
    notes = objects.write_commit(tree=odd, parents=[], author=LEAD, committer=LEAD, message="odd")
    after = note(objects, notes, head, "x\n")
    assert set(objects.read_tree(after)) >= set(objects.read_tree(odd))
    point(repo, after)
    assert git_notes(repo) == {head: "x"}


@pytest.mark.parametrize("bulk", [False, True])
def test_sha256_notes_are_git_s_too(tmp_path: Path, bulk: bool) -> None:
    repo = make_repo(tmp_path / "long", object_format="sha256")
    with open_objects(discover(repo.path), bulk=bulk) as objects:
        some = targets(objects, 66)
        notes = with_notes(objects, None, dict.fromkeys(some, b"x\n"), author=LEAD, message="m")
        point(repo, notes)
        assert git_notes(repo) == dict.fromkeys(some, "x")
        assert read_note(objects, notes, some[3]) == b"x\n"


def annotate(index: int, path: Path, times: int) -> None:
    """Add notes by compare and swap, each on its own target."""
    repo = discover(path)
    with open_objects(repo, bulk=True) as objects, Refs(repo, persistent=True) as refs:
        for number in range(times):
            target = objects.write("blob", f"{index}/{number}".encode())
            while True:
                old = objects.read_ref(REF)
                current = None if old is None else old[0]
                new = note(objects, current, target, f"{index}/{number}\n")
                try:
                    refs.transact([Update(REF, ABSENT if current is None else current, new)])
                    break
                except (Stale, Held):
                    continue


def test_no_note_is_lost_when_sixteen_processes_write(repo: Repo) -> None:
    with meanwhile(repo.run_git, "pack-refs", "--all"):
        values(race(16, annotate, repo.path, 6))
    texts = git_notes(repo).values()
    assert sorted(texts) == sorted(f"{index}/{number}" for index in range(16) for number in range(6))
    assert repo.run_git("rev-list", "--count", REF) == "96"
    repo.run_git("fsck", "--strict")


def test_many_notes_are_read_at_once_as_one_by_one(objects: Objects) -> None:
    some = targets(objects, 150)
    notes = with_notes(objects, None, {each: each.encode() for each in some}, author=LEAD, message="x")
    assert read_notes(objects, notes, [*some[::3], Oid("f" * 40)]) == {
        each: each.encode() for each in some[::3]
    }
    assert read_notes(objects, None, some) == {}
