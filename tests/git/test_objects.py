"""Objects: both engines give what git gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git.formats import parse_signature
from git_fleet.git.objects import (
    EXECUTABLE,
    FILE,
    FOLDER,
    LINK,
    SUBMODULE,
    Change,
    Objects,
    Signature,
    TreeEntry,
    open_objects,
    parse_commit,
)
from git_fleet.git.process import Child
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.git.repository import discover
from tests.support.repo import Repo, make_repo

ADA = Signature("Ada Löve", "ada@example.invalid", 1_700_000_000, 330)

ENGINES = ["plumbing", "bulk"]


def object_id(repo: Repo, name: str) -> Oid:
    """git's own answer to what `name` names."""
    return Oid(repo.run_git("rev-parse", "--verify", name))


@pytest.fixture(params=ENGINES)
def objects(request: pytest.FixtureRequest, repo: Repo) -> Iterator[Objects]:
    with open_objects(discover(repo.path), bulk=request.param == "bulk") as objects:
        yield objects


@pytest.fixture
def both(repo: Repo) -> Iterator[tuple[Objects, Objects]]:
    found = discover(repo.path)
    with open_objects(found) as plumbing, open_objects(found, bulk=True) as bulk:
        assert type(plumbing) is not type(bulk)
        yield plumbing, bulk


def test_what_is_written_is_read_back_and_has_git_s_id(repo: Repo, objects: Objects) -> None:
    for data in (b"", b"text\n", b"\0\xff\r\n" * 1000):
        oid = objects.write("blob", data)
        assert oid == repo.run_git("hash-object", "--stdin", stdin=data)
        assert objects.read(oid) == ("blob", data)
        assert objects.exists(oid)
    assert not objects.exists(Oid("1" * 40))
    repo.run_git("fsck", "--strict")


@pytest.mark.parametrize("bulk", [False, True])
def test_durable_writing_works(repo: Repo, bulk: bool) -> None:
    with open_objects(discover(repo.path), bulk=bulk, durable=True) as objects:
        assert objects.read(objects.write("blob", b"kept")) == ("blob", b"kept")
    pygit2.settings.enable_fsync_gitdir(False)  # it holds for the process, and would slow the other tests


def test_names_are_ids_refs_or_paths_in_trees(repo: Repo, objects: Objects) -> None:
    head = repo.commit("files", {"dir/a b\t": "inner", "plain": "outer"})
    found = list(
        objects.read_many(
            ["refs/heads/main", f"{head}:dir/a b\t", f"{head}:nope", head, "1" * 40, f"{head}:"]
        )
    )
    assert [thing and (thing.kind, thing.oid) for thing in found] == [
        ("commit", head),
        ("blob", object_id(repo, "HEAD:dir/a b\t")),
        None,
        ("commit", head),
        None,
        ("tree", object_id(repo, "HEAD^{tree}")),
    ]
    assert objects.read(f"{head}:plain") == ("blob", b"outer")


def test_a_missing_object_is_an_error_when_read_alone(objects: Objects) -> None:
    with pytest.raises(GitFailed, match="1111 is missing") as caught:
        objects.read("1" * 40)
    assert caught.value.hint
    with pytest.raises(GitFailed, match="not a commit"):
        objects.read_commit("refs/heads/nope")


def test_names_that_would_break_the_protocol_are_refused(objects: Objects) -> None:
    for name in ("", "HEAD\ncontents HEAD"):
        with pytest.raises(InvalidInput):
            objects.read(name)
    with pytest.raises(InvalidInput):
        objects.read_ref("HEAD~1")


def test_reading_many_may_be_mixed_with_other_reading_and_left_early(objects: Objects) -> None:
    names = [objects.write("blob", b"%d" % number) for number in range(450)]
    seen = []
    for found in objects.read_many(iter(names)):
        assert found is not None
        assert objects.read(names[7])[1] == b"7"
        seen.append(found.data)
        if len(seen) == 300:
            break
    assert seen == [b"%d" % number for number in range(300)]
    assert objects.read(names[0])[1] == b"0"
    assert list(objects.read_many([])) == []


def test_large_objects_do_not_stop_the_pipes(objects: Objects) -> None:
    names = [objects.write("blob", bytes([number]) * 300_000) for number in range(20)]
    assert [found and len(found.data) for found in objects.read_many(names * 3)] == [300_000] * 60


def test_reading_can_be_interrupted_in_the_middle_of_a_large_answer(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_objects(discover(repo.path)) as objects:
        name = objects.write("blob", b"x" * 3_000_000)

        def interrupted(_child: Child, _size: int) -> bytes:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Child, "exactly", interrupted)
            with pytest.raises(KeyboardInterrupt):
                objects.read(name)
        assert len(objects.read(name)[1]) == 3_000_000


def test_a_ref_is_read_anew_each_time(repo: Repo, objects: Objects) -> None:
    ref = "refs/fleet/task/p/a"
    refs = Refs(discover(repo.path))
    assert objects.read_ref(ref) is None
    one, two = objects.write("blob", b"one"), objects.write("blob", b"two")
    refs.transact([Update(ref, ABSENT, one)])
    assert objects.read_ref(ref) == (one, b"one")
    repo.run_git("pack-refs", "--all")
    refs.transact([Update(ref, one, two)])
    assert objects.read_ref(ref) == (two, b"two")
    repo.run_git("pack-refs", "--all")
    assert objects.read_ref(ref) == (two, b"two")
    refs.transact([Update(ref, two, ABSENT)])
    assert objects.read_ref(ref) is None


def test_objects_of_others_are_seen_after_a_gc(repo: Repo, objects: Objects) -> None:
    assert objects.read_ref("refs/heads/main") is not None
    new = repo.commit("by another", {"x": "y"})
    assert objects.read_commit(new).message == "by another\n"
    repo.run_git("gc", "-q", "--prune=now")
    newer = repo.commit("and another", {"x": "z"})
    assert [objects.read_commit(name).oid for name in (new, newer)] == [new, newer]


def test_a_corrupt_object_is_git_s_to_explain_and_the_next_reading_works(
    repo: Repo, objects: Objects
) -> None:
    bad, good = objects.write("blob", b"bad"), objects.write("blob", b"good")
    loose = repo.path / ".git" / "objects" / bad[:2] / bad[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"nonsense")
    with pytest.raises(GitFailed, match=f"git cat-file: .*{bad}"):
        objects.read(bad)
    with pytest.raises(GitFailed, match="git cat-file"):
        list(objects.read_many([good, bad]))
    assert objects.read(good) == ("blob", b"good")


# --- trees ----------------------------------------------------------------------------------------


def test_trees_are_sorted_as_git_sorts_them(repo: Repo, objects: Objects) -> None:
    blob = objects.write("blob", b"")
    folder = objects.write_tree([TreeEntry(FILE, "x", blob)])
    entries = [
        TreeEntry(FOLDER, "a", folder),
        TreeEntry(FILE, "a.b", blob),
        TreeEntry(EXECUTABLE, "a-b", blob),
        TreeEntry(LINK, os.fsdecode(b"\xff\n"), blob),
        TreeEntry(SUBMODULE, "sub", Oid("1" * 40)),
    ]
    tree = objects.write_tree(entries)
    repo.run_git("fsck", "--strict")
    listed = repo.run_git("ls-tree", "-z", "--name-only", tree).split("\0")[:-1]
    assert [entry.name for entry in objects.read_tree(tree)] == listed
    assert set(objects.read_tree(tree)) == set(entries)
    assert objects.read_tree(objects.repo.empty_tree) == ()


def test_a_tree_refuses_what_git_would_choke_on(objects: Objects) -> None:
    blob = objects.write("blob", b"")
    for name in ("", ".", "..", ".git", ".GIT", "a/b", "a\0b"):
        with pytest.raises(InvalidInput, match="not a name"):
            objects.write_tree([TreeEntry(FILE, name, blob)])
    with pytest.raises(InvalidInput, match="two entries"):
        objects.write_tree([TreeEntry(FILE, "a", blob), TreeEntry(FOLDER, "a", objects.repo.empty_tree)])


def test_files_become_a_nested_tree(repo: Repo, objects: Objects) -> None:
    files = {"a/b/c": b"1", "a/b.txt": b"2", "top": b"3", "a-x": b"4"}
    tree = objects.write_files(files)
    assert {path: entry.content for path, entry in repo.files(tree).items()} == files
    assert objects.write_files({}) == objects.repo.empty_tree


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "a//b", "../x", "a/../b", "a/", ".git/config", "a/.GIT/b"]
)
def test_paths_that_leave_the_tree_are_refused(objects: Objects, path: str) -> None:
    with pytest.raises(InvalidInput):
        objects.write_files({path: b""})


def test_a_file_cannot_be_a_folder_too(objects: Objects) -> None:
    with pytest.raises(InvalidInput, match="two entries"):
        objects.write_files({"a": b"", "a/b": b""})


# --- commits --------------------------------------------------------------------------------------


def test_a_commit_is_what_git_reads(repo: Repo, objects: Objects) -> None:
    tree, head = object_id(repo, "HEAD^{tree}"), repo.rev("HEAD")
    bob = Signature("Bob", "", 5, -90)
    made = objects.write_commit(
        tree=tree, parents=[head], author=ADA, committer=bob, message="Title\n\nBody ü\n"
    )
    repo.run_git("fsck", "--strict")
    shown = repo.run_git("show", "-s", "--date=raw", "--format=%T|%P|%an|%ae|%ad|%cn|%ce|%cd|%B", made)
    assert shown == (
        f"{tree}|{head}|Ada Löve|ada@example.invalid|1700000000 +0530|Bob||5 -0130|Title\n\nBody ü\n"
    )
    commit = objects.read_commit(made)
    assert (commit.oid, commit.tree, commit.parents) == (made, tree, (head,))
    assert (commit.author, commit.committer, commit.message) == (ADA, bob, "Title\n\nBody ü\n")


def test_forbidden_characters_of_a_name_are_left_out(repo: Repo, objects: Objects) -> None:
    evil = Signature(" Eve <eve>\n\0author x", "e<v>e\n", 1, 0)
    made = objects.write_commit(
        tree=objects.repo.empty_tree, parents=[], author=evil, committer=ADA, message="m"
    )
    assert objects.read_commit(made).author == Signature("Eve eveauthor x", "eve", 1, 0)
    repo.run_git("fsck", "--strict")


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="<>"), max_size=9),
    st.integers(0, 2**40),
    st.integers(-14 * 60, 14 * 60),
)
def test_signatures_survive_the_round_trip(name: str, seconds: int, offset: int) -> None:
    signature = Signature(name.strip(), "a@b", seconds, offset)
    stored = signature.stored()
    assert parse_signature(stored).stored() == stored
    assert (parse_signature(stored).seconds, parse_signature(stored).offset_minutes) == (seconds, offset)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"A <a@b> 12 +0100", Signature("A", "a@b", 12, 60)),
        (b"A <a@b> 12 -0030", Signature("A", "a@b", 12, -30)),
        (b"A <a@b>", Signature("A", "a@b", 0, 0)),
        (b"A <a@b>> 12 +0000", Signature("A", "a@b", 12, 0)),
        (b"<> 12 +0000", Signature("", "", 12, 0)),
        (b"no brackets", Signature("no brackets", "", 0, 0)),
        (b"A <a@b> 99999999999999999999999999 +0000", Signature("A", "a@b", 0, 0)),
        (b"A <a@b> -5 +0000", Signature("A", "a@b", -5, 0)),
        (b"\xff\xfe <a@b> 1 +0000", Signature("\udcff\udcfe", "a@b", 1, 0)),
        (b"", Signature("", "", 0, 0)),
    ],
)
def test_odd_authors_are_read(line: bytes, expected: Signature) -> None:
    assert parse_signature(line) == expected


def test_bytes_of_an_author_and_a_message_that_are_not_utf8_are_kept(objects: Objects) -> None:
    odd = Signature(os.fsdecode(b"Andr\xe9"), "a@b", 1, 0)
    made = objects.write_commit(
        tree=objects.repo.empty_tree, parents=[], author=odd, committer=odd, message=b"caf\xe9\n"
    )
    commit = objects.read_commit(made)
    assert commit.author == odd
    again = objects.write_commit(
        tree=commit.tree, parents=[], author=commit.author, committer=commit.committer, message=commit.message
    )
    assert again == made


def test_a_commit_in_another_encoding_is_read_as_text(repo: Repo, objects: Objects) -> None:
    repo.run_git(
        *("-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "--allow-empty", "-F", "-"),
        *("--author", os.fsdecode(b"Andr\xe9 <a@b>")),
        stdin=b"caf\xe9\n",
    )
    commit = objects.read_commit("refs/heads/main")
    assert (commit.author.name, commit.message) == ("André", "café\n")


def test_signed_commits_with_folded_headers_are_read() -> None:
    data = (
        b"tree %b\nparent %b\nparent %b\nauthor A <a@b> 1 +0000\ncommitter C <c@d> 2 +0000\n"
        b"gpgsig -----BEGIN\n tree nonsense\n author nonsense\n -----END\nencoding nonsense\n\nmessage\n\nmore\n"
    ) % (b"1" * 40, b"2" * 40, b"3" * 40)
    commit = parse_commit(Oid("4" * 40), data)
    assert (commit.tree, commit.parents) == ("1" * 40, ("2" * 40, "3" * 40))
    assert (commit.author.name, commit.committer.name) == ("A", "C")
    assert commit.message == "message\n\nmore\n"
    with pytest.raises(GitFailed, match="well-formed"):
        parse_commit(Oid("4" * 40), b"not a commit")


# --- comparing and walking ------------------------------------------------------------------------

Nested = Mapping[str, "tuple[int, bytes] | Nested"]

NAMES = st.sampled_from(["a", "A", "a.b", "b", "é", " ", "\n", os.fsdecode(b"\xff")])
LEAVES = st.tuples(st.sampled_from([FILE, EXECUTABLE, LINK, SUBMODULE]), st.sampled_from([b"1", b"2"]))
TREES: st.SearchStrategy[Nested] = st.dictionaries(
    NAMES,
    st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4)),
    max_size=5,
)


def store(objects: Objects, nested: Nested) -> Oid:
    entries = []
    for name, value in nested.items():
        if isinstance(value, tuple):
            mode, data = value
            oid = Oid(data.hex() * 20) if mode == SUBMODULE else objects.write("blob", data)
            entries.append(TreeEntry(mode, name, oid))
        else:
            entries.append(TreeEntry(FOLDER, name, store(objects, value)))
    return objects.write_tree(entries)


def test_both_engines_see_the_same_changes(repo: Repo, both: tuple[Objects, Objects]) -> None:
    repo.run_git("config", "core.ignoreCase", "true")
    plumbing, bulk = both

    @settings(max_examples=60)
    @given(TREES, TREES)
    def check(old: Nested, new: Nested) -> None:
        one, other = store(bulk, old), store(bulk, new)
        assert bulk.changed_paths(one, other) == plumbing.changed_paths(one, other)

    check()


def test_changes_are_named_as_git_names_them(repo: Repo, objects: Objects) -> None:
    before = repo.commit(
        "before", {"gone": "1", "same": "2", "edited": "3", "typed": "4", "file": "5", "d/x": "6"}
    )
    for name in ("gone", "typed", "file"):
        (repo.path / name).unlink()
    (repo.path / "typed").symlink_to("same")
    repo.write("edited", "more")
    repo.write("file/inside", "7")
    (repo.path / "d" / "x").chmod(0o755)
    repo.run_git("add", "-A")
    repo.run_git("commit", "-qm", "after")
    after = repo.rev("HEAD")
    changes = objects.changed_paths(before, after)
    assert [(change.status, change.path) for change in changes] == [
        ("M", "d/x"),
        ("M", "edited"),
        ("D", "file"),
        ("A", "file/inside"),
        ("D", "gone"),
        ("T", "typed"),
    ]
    zero = objects.repo.zero
    six = object_id(repo, "HEAD:d/x")
    assert changes[0] == Change("M", "d/x", FILE, EXECUTABLE, six, six)
    assert changes[3] == Change("A", "file/inside", 0, FILE, Oid(zero), object_id(repo, "HEAD:file/inside"))
    assert objects.changed_paths(after, after) == []
    assert len(objects.changed_paths(objects.repo.empty_tree, after)) == 6


def test_both_engines_see_the_same_ancestors(both: tuple[Objects, Objects]) -> None:
    plumbing, bulk = both

    @settings(max_examples=15)
    @given(
        st.lists(
            st.tuples(st.sets(st.integers(1, 4), max_size=2), st.integers(0, 99)), min_size=2, max_size=9
        )
    )
    def check(history: list[tuple[set[int], int]]) -> None:
        commits: list[Oid] = []
        for back, seconds in history:  # times go up and down at random: clocks do
            who = Signature("A", "a@b", seconds, 0)
            parents = [commits[-step] for step in sorted(back) if step <= len(commits)]
            commits.append(
                bulk.write_commit(
                    tree=bulk.repo.empty_tree,
                    parents=parents,
                    author=who,
                    committer=who,
                    message=f"{len(commits)}",
                )
            )
        for one in commits[-3:]:
            for other in commits[:3]:
                assert bulk.is_ancestor(other, one) == plumbing.is_ancestor(other, one)
                assert bulk.is_ancestor(one, other) == plumbing.is_ancestor(one, other)

    check()


def test_ancestors_and_merge_bases(repo: Repo, objects: Objects) -> None:
    base = repo.rev("HEAD")
    tree = object_id(repo, "HEAD^{tree}")

    def child(name: str, *parents: Oid) -> Oid:
        return objects.write_commit(tree=tree, parents=parents, author=ADA, committer=ADA, message=name)

    left, right = child("left", base), child("right", base)
    cross, back = child("cross", left, right), child("back", right, left)
    alien = child("alien")
    assert objects.merge_bases(left, right) == [base]
    assert sorted(objects.merge_bases(cross, back)) == sorted([left, right])
    assert objects.merge_bases(alien, base) == []
    assert objects.is_ancestor(base, cross)
    assert objects.is_ancestor(base, base)
    assert not objects.is_ancestor(cross, base)
    assert not objects.is_ancestor(alien, cross)
    with pytest.raises(GitFailed):
        objects.is_ancestor(Oid("1" * 40), base)


# --- repositories that libgit2 cannot open --------------------------------------------------------


def sha256(folder: Path) -> Repo:
    return make_repo(folder, object_format="sha256")


def partial_clone(folder: Path) -> Repo:
    origin = make_repo(folder.with_name("origin"))
    origin.run_git("config", "uploadpack.allowFilter", "true")
    clone = ("clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{origin.path}", str(folder))
    origin.run_git(*clone)
    return Repo(folder)


@pytest.mark.parametrize("make", [sha256, partial_clone])
def test_where_libgit2_cannot_the_plumbing_does_it(tmp_path: Path, make: Callable[[Path], Repo]) -> None:
    repo = make(tmp_path / "repo")
    head = repo.rev("HEAD")
    with open_objects(discover(repo.path), bulk=True) as objects:
        assert objects.read(f"{head}:README.md") == ("blob", b"# scratch\n")
        tree = objects.write_files({"a/b": b"c", "README.md": b"# scratch\n"})
        made = objects.write_commit(tree=tree, parents=[head], author=ADA, committer=ADA, message="m\n")
        assert [change.path for change in objects.changed_paths(objects.read_commit(head).tree, tree)] == [
            "a/b"
        ]
        assert objects.is_ancestor(head, made)
        assert objects.read_tree(tree)[1].oid == object_id(repo, f"{made}:a")
    repo.run_git("fsck", "--strict")


def test_replaced_objects_are_read_as_they_are(repo: Repo, objects: Objects) -> None:
    one, two = objects.write("blob", b"one"), objects.write("blob", b"two")
    repo.run_git("replace", one, two)
    assert objects.read(one) == ("blob", b"one")


def test_linked_worktrees_share_their_objects(repo: Repo, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "linked", "topic")
    for bulk in (False, True):
        with open_objects(discover(linked.path), bulk=bulk) as objects:
            assert objects.read_ref("refs/heads/topic") == objects.read_ref("refs/heads/main")
            assert objects.exists(objects.write("blob", b"%d" % bulk))
    repo.run_git("fsck", "--strict")
