from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed
from git_fleet.git.ancestry import histories as own_histories
from git_fleet.git.drafts import Drafts
from git_fleet.git.formats import Change, Kind, Signature, status_of
from git_fleet.git.objects import EXECUTABLE, FILE, LINK, SUBMODULE, Objects, open_objects
from git_fleet.git.replay import merge
from git_fleet.git.repository import discover
from git_fleet.git.splice import Comparing, Footprint, Splicer
from tests.git.histories import History, by_hand, gentle_histories, histories, write
from tests.support.examples import many
from tests.support.repo import Repo, make_repo

WHO = Signature("Lead", "lead@example.invalid", 1_700_000_000)
ZERO = Oid("0" * 40)
ONE, TWO = Oid("1" * 40), Oid("2" * 40)


@pytest.fixture
def objects(repo: Repo) -> Iterator[Objects]:
    with open_objects(discover(repo.path)) as opened:
        yield opened


def put(path: str, oid: Oid, mode: int = FILE, old_mode: int = 0) -> Change:
    return Change(status_of(old_mode, mode), path, old_mode, mode, ZERO, oid)


def gone(path: str) -> Change:
    return Change("D", path, FILE, 0, ONE, ZERO)


def blob(repo: Repo, content: bytes = b"new\n") -> Oid:
    return Oid(repo.run_git("hash-object", "-w", "--stdin", stdin=content))


def with_index(repo: Repo, tree: str, changes: list[Change]) -> Oid:
    """What git makes of the same changes, by way of an index of its own."""
    env = {"GIT_INDEX_FILE": str(repo.path / ".git/other-index")}
    repo.run_git("read-tree", tree, env=env)
    lines = [
        b"%o %b\t%b\0" % (each.new_mode, each.new_oid.encode(), os.fsencode(each.path)) for each in changes
    ]
    repo.run_git("update-index", "-z", "--index-info", stdin=b"".join(lines), env=env)
    return Oid(repo.run_git("write-tree", "--missing-ok", env=env))


def tree_of(repo: Repo, name: str) -> Oid:
    return Oid(repo.run_git("rev-parse", f"{name}^{{tree}}"))


# --- what one side has changed --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "meets"),
    [
        ("a/b", True),  # the same
        ("a/b/c", True),  # a folder where the other has a file
        ("a", True),  # a file where the other has a folder
        ("a/bc", False),
        ("a/b ", False),
        ("a/c", False),
        ("ab", False),
        ("b", False),
    ],
)
def test_sides_meet_at_equal_paths_and_where_a_file_is_a_folder(path: str, meets: bool) -> None:
    side = Footprint([put("a/b", ONE), put("x/y/z", ONE)])
    assert side.meets([put("other", ONE), put(path, TWO)]) is meets
    assert side.allows([put("other", ONE), put(path, TWO)]) is not meets


def test_whoever_deletes_is_merged() -> None:
    """Although the paths are disjoint: the folder may have moved, with what the other side adds to it."""
    side = Footprint([put("a", ONE)])
    assert (side.deletes, side.meets([gone("b")])) == (False, False)
    assert not side.allows([put("c", ONE), gone("b")])
    side.add([gone("d")])
    assert not side.allows([put("c", ONE)])
    assert Footprint([put("a", ONE), gone("d"), put("e", ONE)]).deletes


# --- the changes of many pairs --------------------------------------------------------------------


def compared(repo: Repo, pairs: Sequence[tuple[Oid, Oid]]) -> list[tuple[Change, ...]]:
    """What differs between each of these pairs of commits."""
    trees = [(tree_of(repo, old), tree_of(repo, new)) for old, new in pairs]
    with Comparing(discover(repo.path).git(), trees) as comparing:
        return comparing.changes()


def test_changes_of_many_pairs_are_those_of_each(repo: Repo, objects: Objects) -> None:
    odd = os.fsdecode(b'a/\xe9 \n:100644 "')
    one = repo.commit("one", {odd: "1\n", "b": "1\n"})
    two = repo.commit("two", {odd: "2\n", "c/d": "1\n", "b": None})
    start = repo.rev("main~2")
    pairs = [(one, two), (two, two), (start, two), (two, one), (two, start), (one, one)]
    found = compared(repo, pairs)
    assert found == [tuple(objects.changed_paths(*pair)) for pair in pairs]
    assert [len(changes) for changes in found] == [3, 0, 2, 3, 2, 0]
    assert compared(repo, []) == []


def test_a_missing_side_is_an_error(repo: Repo, objects: Objects) -> None:
    for lost in (Oid("1" * 40), blob(repo)):
        pair = (tree_of(repo, "main"), lost)
        with Comparing(objects.repo.git(), [pair]) as comparing, pytest.raises(GitFailed):
            comparing.changes()


def test_a_comparison_that_is_not_wanted_any_more_is_ended(repo: Repo, objects: Objects) -> None:
    main = tree_of(repo, "main")
    before = psutil.Process().children()
    with Comparing(objects.repo.git(), [(main, main)] * 100_000), Comparing(objects.repo.git(), []):
        (started,) = set(psutil.Process().children()) - set(before)
    assert not started.is_running()


def test_a_submodule_cannot_ask_to_be_ignored(repo: Repo, objects: Objects) -> None:
    start = repo.commit("one", {".gitmodules": '[submodule "s"]\n\tpath = s\n\turl = x\n\tignore = all\n'})
    trees = [with_index(repo, start, [put("s", oid, SUBMODULE)]) for oid in (ONE, TWO)]
    expected = Change("M", "s", SUBMODULE, SUBMODULE, ONE, TWO)
    with Comparing(objects.repo.git(), [(trees[0], trees[1])]) as comparing:
        assert comparing.changes() == [(expected,)]
    assert objects.changed_paths(*trees) == [expected]


# --- putting them in ------------------------------------------------------------------------------


NAMES = ["a", "a.b", "a0", "a b", "A", "\n", os.fsdecode(b"\xe9"), "b"]
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
modes = st.sampled_from([FILE, EXECUTABLE, LINK, SUBMODULE])
contents = st.sampled_from([ONE, TWO])
entries = st.dictionaries(paths, st.tuples(modes, contents), max_size=12)


def fitting(files: dict[str, tuple[int, Oid]], beside: Footprint) -> list[Change]:
    """Those files that can stand beside each other and beside others."""
    found = []
    for path, (mode, oid) in files.items():
        change = put(path, oid, mode)
        if not beside.meets([change]):
            found.append(change)
            beside.add([change])
    return found


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """One repository for all examples, which leave only objects behind."""
    repo = make_repo(tmp_path_factory.mktemp("splices") / "repo")
    repo.run_git("config", "core.fsync", "none")
    return repo


@given(entries, st.lists(entries, min_size=1, max_size=3), st.data())
@settings(max_examples=40)
def test_a_spliced_tree_is_the_one_an_index_gives(
    scratch: Repo,
    start: dict[str, tuple[int, Oid]],
    rounds: list[dict[str, tuple[int, Oid]]],
    data: st.DataObject,
) -> None:
    known = Footprint()
    present = fitting(start, known)
    expected = with_index(scratch, discover(scratch.path).empty_tree, present)
    with open_objects(discover(scratch.path)) as objects, Drafts(objects) as drafts:
        splicer = Splicer(drafts)
        tree = expected
        for each in rounds:
            changes = fitting(each, known)
            again = data.draw(st.lists(st.sampled_from(present), unique=True)) if present else []
            changes += [put(old.path, TWO, EXECUTABLE, old.new_mode) for old in again]
            present += changes
            if data.draw(st.booleans()):
                splicer.foresee(tree, changes)
            tree = splicer.splice(tree, changes)
            expected = with_index(scratch, expected, changes)
            assert tree == expected
        drafts.save()
    scratch.run_git("fsck", "--strict")


def test_only_the_folders_above_a_change_are_written(repo: Repo, objects: Objects) -> None:
    repo.commit("files", {"a/b/c": "1\n", "a/d/e": "1\n", "f/g": "1\n"})
    tree = tree_of(repo, "main")
    new = blob(repo)
    with Drafts(objects) as drafts:
        splicer = Splicer(drafts)
        assert splicer.splice(tree, []) == tree
        made = splicer.splice(tree, [put("a/b/c", new, FILE, FILE), put("a/b/x", new)])
        assert drafts.save() == 3
        assert [change.path for change in drafts.changed_paths(tree, made)] == ["a/b/c", "a/b/x"]


class _Asked(Objects):
    """It keeps what was read by itself."""

    alone: tuple[str, ...] = ()

    def read(self, name: str) -> tuple[Kind, bytes]:
        self.alone += (name,)
        return super().read(name)


def test_folders_that_were_foreseen_are_not_asked_for_again(repo: Repo) -> None:
    repo.commit("files", {"a/b/c": "1\n", "a/d/e": "1\n", "f/g": "1\n", "h": "1\n"})
    tree, new = tree_of(repo, "main"), blob(repo)
    changes = [put("a/b/c", new, FILE, FILE), put("a/d/new/x", new), put("f/y", new)]
    with _Asked(discover(repo.path)) as objects:
        expected = Splicer(objects).splice(tree, changes)
        assert len(objects.alone) == 5  # all but the folder that is new
        splicer = Splicer(objects)
        splicer.foresee(tree, [*changes, put("h/never", new)])
        assert splicer.splice(tree, changes) == expected
        assert len(objects.alone) == 5
        splicer.foresee(Oid("1" * 40), changes)  # that it is missing is said when it is wanted
        with pytest.raises(GitFailed, match="not a well-formed tree"):
            splicer.foresee(new, changes)


def test_a_splicer_goes_back_to_an_earlier_tree(repo: Repo, objects: Objects) -> None:
    """As when one in the middle of a stack is ejected."""
    tree = tree_of(repo, "main")
    new = blob(repo)
    with Drafts(objects) as drafts:
        splicer = Splicer(drafts)
        one = splicer.splice(tree, [put("a/1", new)])
        two = splicer.splice(one, [put("a/2", new)])
        assert splicer.splice(one, [put("a/2", new)]) == two
        assert splicer.splice(tree, [put("a/2", new), put("a/1", new)]) == two
        assert splicer.splice(tree, [put("b/1", new), put("a/1", new)]) == Splicer(drafts).splice(
            one, [put("b/1", new)]
        )


def test_what_has_to_be_merged_is_never_spliced_into_a_broken_tree(repo: Repo, objects: Objects) -> None:
    repo.commit("files", {"a/b": "1\n", "c": "1\n"})
    tree = tree_of(repo, "main")
    for wrong in (put("a", ONE), put("c/d", ONE), gone("c")):
        with pytest.raises(AssertionError):
            Splicer(objects).splice(tree, [wrong])
    with pytest.raises(AssertionError):
        Splicer(objects).splice(tree, [put("new", ONE), put("new/x", ONE)])


def test_modes_of_old_become_those_git_writes(repo: Repo, objects: Objects) -> None:
    inner = bytes.fromhex(blob(repo))
    raw = b"100664 a\0%b100775 b\0%b" % (inner, inner)
    old = Oid(repo.run_git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=raw))
    change = put("c", blob(repo))
    assert Splicer(objects).splice(old, [change]) == with_index(repo, old, [change])


def test_a_tree_that_is_missing_or_none_is_an_error(repo: Repo, objects: Objects) -> None:
    broken = Oid(
        repo.run_git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=b"100644 a\0b")
    )
    for wrong in (ONE, repo.rev("main"), blob(repo), broken):
        with pytest.raises(GitFailed):
            Splicer(objects).splice(wrong, [put("a", ONE)])


def test_sha256_trees_are_spliced_too(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", object_format="sha256")
    change = put("a/b", blob(repo))
    with open_objects(discover(repo.path)) as objects:
        assert Splicer(objects).splice(tree_of(repo, "main"), [change]) == with_index(repo, "main", [change])


# --- differential: splice, ort, and `git merge --squash` one after another ------------------------


def assert_agree(repo: Repo, history: History) -> int:
    """How many proposals of this history may be spliced; each is, and the others are merged."""
    main, tips = write(repo, history)
    expected = by_hand(repo, main, tips)
    known = discover(repo.path)
    spliced = 0
    with open_objects(known) as objects, Drafts(objects) as drafts:
        git, splicer = drafts.git(), Splicer(drafts)
        found = own_histories(git, drafts, tips, main)
        above, onto, tree = Footprint(), main, drafts.read_commit(main).tree
        for tip, (conflicts, squashed) in zip(tips, expected, strict=True):
            merged = merge(git, onto, tip)
            assert (merged.conflicts, merged.tree or tree) == (conflicts, squashed)
            base = found[tip].base
            if base is not None:
                brought, since = compared(repo, [(base, tip), (base, main)])
                if Footprint(since).allows(brought) and above.allows(brought):
                    assert splicer.splice(tree, brought) == squashed
                    spliced += 1
            above.add(drafts.changed_paths(tree, squashed))
            tree = squashed
            onto = drafts.write_commit(tree=tree, parents=[onto], author=WHO, committer=WHO, message="x\n")
    return spliced


@settings(max_examples=20)
@given(histories)
def test_splicing_merging_and_squashing_agree(scratch: Repo, history: History) -> None:
    assert_agree(scratch, history)


def test_splicing_merging_and_squashing_agree_where_little_is_deleted(scratch: Repo) -> None:
    spliced = 0

    @settings(max_examples=30)
    @given(gentle_histories)
    def compare(history: History) -> None:
        nonlocal spliced
        spliced += assert_agree(scratch, history)

    compare()
    assert spliced > 5


@pytest.mark.slow
@settings(max_examples=many(300))
@given(st.one_of(histories, gentle_histories))
def test_splicing_merging_and_squashing_agree_at_length(scratch: Repo, history: History) -> None:
    assert_agree(scratch, history)
