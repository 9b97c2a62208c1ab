from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git.formats import Signature
from git_fleet.git.objects import Objects, open_objects
from git_fleet.git.process import Git
from git_fleet.git.replay import CommitSettings, Merge, commit_settings, commit_tree, merge, merge_from
from git_fleet.git.repository import discover
from tests.git.histories import History, by_hand, histories, write
from tests.support.examples import many
from tests.support.repo import Content, Repo, make_repo

AUTHOR = Signature("Ädä", "ada@example.invalid", 1_000_000_000, -210)
LEAD = Signature("Lead", "lead@example.invalid", 1_700_000_000, 60)
TEXT = "".join(f"line {number}\n" for number in range(12))


class Bench:
    """A repository with the two things that replaying takes."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        known = discover(repo.path)
        self.git: Git = known.git()
        self.objects: Objects = open_objects(known)

    def side(self, base: str, message: str, files: Mapping[str, Content | None]) -> Oid:
        """A commit on top of `base`, with HEAD left detached there."""
        self.repo.run_git("checkout", "--quiet", "--detach", base)
        return self.repo.commit(message, files)

    def replay(self, onto: Oid, proposal: Oid, *, sign: bool = False, message: str = "work\n") -> Oid:
        """The one commit that brings the proposal to `onto`; they must merge."""
        merged = merge(self.git, onto, proposal)
        assert merged.tree is not None, merged
        return commit_tree(
            self.git,
            self.objects,
            tree=merged.tree,
            onto=onto,
            message=message,
            author=AUTHOR,
            committer=LEAD,
            sign=sign,
        )


@pytest.fixture
def bench(repo: Repo) -> Iterator[Bench]:
    made = Bench(repo)
    repo.commit("text", {"text": TEXT})
    yield made
    made.objects.close()


def test_a_proposal_becomes_one_commit_with_its_author_and_the_leads_name(bench: Bench) -> None:
    base = bench.repo.rev("main")
    bench.side("main", "one", {"a": "1\n"})
    proposal = bench.side("HEAD", "two", {"a": "2\n", "b": "3\n"})
    onto = bench.side("main", "other", {"text": TEXT + "more\n"})
    found = bench.replay(onto, proposal, message="Süb\n\nbody\n")
    assert bench.repo.run_git("log", "--format=%P|%an|%ae|%ad|%cn|%cd|%B", "--date=raw", "-1", found) == (
        f"{onto}|Ädä|ada@example.invalid|1000000000 -0330|Lead|1700000000 +0100|Süb\n\nbody\n"
    )
    assert {path: entry.content for path, entry in bench.repo.files(found).items()} == {
        "README.md": b"# scratch\n",
        "text": (TEXT + "more\n").encode(),
        "a": b"2\n",
        "b": b"3\n",
    }
    assert bench.repo.rev("main") == base


def test_a_proposal_that_has_landed_before_leaves_the_tree_as_it_is(bench: Bench) -> None:
    proposal = bench.side("main", "one", {"a": "1\n"})
    onto = bench.side("main", "the same", {"a": "1\n"})
    assert merge(bench.git, onto, proposal) == Merge(bench.objects.read_commit(onto).tree)


def test_a_conflict_names_its_paths_and_gives_no_tree(bench: Bench) -> None:
    odd = os.fsdecode(b'caf\xe9 \n"')
    start = bench.side("main", "start", {odd: "1\n", "gone": TEXT})
    proposal = bench.side(start, "one", {odd: "2\n", "gone": None})
    onto = bench.side(start, "other", {odd: "3\n", "gone": TEXT + "more\n"})
    found = merge(bench.git, onto, proposal)
    assert (found.tree, found.conflicts) == (None, (odd, "gone"))
    assert "CONFLICT (modify/delete): gone deleted in theirs and modified in ours." in found.said


def test_a_conflict_that_leaves_no_path_unmerged_names_paths_too(bench: Bench) -> None:
    """A folder was split evenly in two, and the other side adds a file to it."""
    texts = {name: "".join(f"{name} {number}\n" for number in range(20)) for name in "abcd"}
    start = bench.side("main", "start", {f"old/{name}": text for name, text in texts.items()})
    new = {f"{'one' if name < 'c' else 'two'}/{name}": text for name, text in texts.items()}
    onto = bench.side(start, "split", {**{f"old/{name}": None for name in texts}, **new})
    proposal = bench.side(start, "add", {"old/new": "x\n"})
    found = merge(bench.git, onto, proposal)
    assert found.tree is None
    assert found.conflicts == ("old",)
    assert "directory rename split" in found.said


def test_unrelated_histories_are_refused_with_the_next_step(bench: Bench) -> None:
    tree = bench.repo.run_git("rev-parse", "main^{tree}")
    orphan = Oid(bench.repo.run_git("commit-tree", tree, "-m", "x"))
    with pytest.raises(InvalidInput, match="no common history") as refused:
        merge(bench.git, bench.repo.rev("main"), orphan)
    assert "start the task's branch from" in refused.value.hint


def test_a_submodule_moved_to_two_places_is_a_conflict(bench: Bench, tmp_path: Path) -> None:
    """git prints advice on it right behind its list, which is none of the list."""
    inner = make_repo(tmp_path / "inner")
    commits = [inner.rev("HEAD")]
    for word in ("ours", "theirs"):
        inner.run_git("checkout", "--quiet", "--detach", commits[0])
        commits.append(inner.commit(word, {"f": word}))
    inner.run_git("checkout", "--quiet", "--detach", commits[0])
    bench.repo.run_git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "sub"
    )
    Repo(bench.repo.path / "sub").run_git("fetch", "--quiet", str(inner.path), *commits)
    sides = []
    bench.repo.commit("base")
    base = bench.repo.rev("HEAD")
    for commit in commits[1:]:
        bench.repo.run_git("checkout", "--quiet", "--detach", base)
        bench.repo.run_git("update-index", "--cacheinfo", f"160000,{commit},sub")
        sides.append(bench.repo.commit("moved"))
    found = merge(Git(bench.repo.path), sides[0], sides[1])
    assert (found.tree, found.conflicts) == (None, ("sub",))
    assert found.said.endswith("CONFLICT (submodule): Merge conflict in sub")


def test_a_missing_commit_is_not_a_conflict(bench: Bench) -> None:
    with pytest.raises(GitFailed, match="merge-tree"):
        merge(bench.git, bench.repo.rev("main"), Oid("1" * 40))


def test_several_merge_bases_are_no_hindrance(bench: Bench) -> None:
    one = bench.side("main", "one", {"one": "1\n"})
    two = bench.side("main", "two", {"two": "2\n"})
    bench.repo.run_git("merge", "--quiet", "--no-edit", one)
    ours = bench.repo.commit("more", {"ours": "3\n"})
    bench.repo.run_git("checkout", "--quiet", "--detach", one)
    bench.repo.run_git("merge", "--quiet", "--no-edit", two)
    theirs = bench.repo.commit("text", {"text": TEXT + "more\n"})
    assert len(bench.objects.merge_bases(ours, theirs)) == 2
    found = bench.replay(ours, theirs)
    assert set(bench.repo.files(found)) == {"README.md", "text", "one", "two", "ours"}


def test_an_imposed_base_takes_one_commit_out_again(bench: Bench) -> None:
    bad = bench.side("main", "bad", {"text": TEXT.replace("line 3", "bad"), "bad": "x\n"})
    main = bench.side(bad, "good", {"text": TEXT.replace("line 3", "bad").replace("line 9", "good")})
    found = merge_from(bench.git, bench.objects, base=bad, ours=main, theirs=bench.repo.rev("main"))
    assert found.tree is not None
    files = bench.repo.files(found.tree)
    assert set(files) == {"README.md", "text"}
    assert files["text"].content == TEXT.replace("line 9", "good").encode()


def test_an_imposed_base_finds_conflicts_and_repeats_itself_exactly(bench: Bench) -> None:
    bad = bench.side("main", "bad", {"text": TEXT.replace("line 3", "bad")})
    main = bench.side(bad, "worse", {"text": TEXT.replace("line 3", "worse")})
    ask = {"base": bad, "ours": main, "theirs": bench.repo.rev("main")}
    found = merge_from(bench.git, bench.objects, **ask)
    assert (found.tree, found.conflicts) == (None, ("text",))
    before = bench.repo.run_git("count-objects")
    assert merge_from(bench.git, bench.objects, **ask) == found
    assert bench.repo.run_git("count-objects") == before


def test_attributes_count_when_git_runs_in_a_checkout_of_the_base(bench: Bench) -> None:
    start = bench.side("main", "union", {"sub/.gitattributes": "log merge=union\n", "sub/log": "1\n"})
    proposal = bench.side(start, "one", {"sub/log": "1\ntheirs\n"})
    onto = bench.side(start, "two", {"sub/log": "1\nours\n"})
    there = Git(bench.repo.path)
    found = merge(there, onto, proposal)
    assert found.tree is not None
    assert bench.repo.files(found.tree)["sub/log"].content == b"1\nours\ntheirs\n"


def test_settings_are_gits_own(bench: Bench) -> None:
    assert commit_settings(bench.git) == CommitSettings(sign=False, sign_off=False)
    bench.repo.run_git("config", "commit.gpgSign", "yes")
    bench.repo.run_git("config", "format.signOff", "1")
    assert commit_settings(bench.git) == CommitSettings(sign=True, sign_off=True)


def test_a_signed_commit_keeps_author_and_message(bench: Bench, tmp_path: Path) -> None:
    key = tmp_path / "key"
    Repo(tmp_path).run_git("-c", f"alias.k=!ssh-keygen -q -t ed25519 -N '' -f '{key}'", "k")
    for name, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(key),
        "i18n.commitEncoding": "ISO-8859-1",
    }.items():
        bench.repo.run_git("config", name, value)
    proposal = bench.side("main", "one", {"a": "1\n"})
    main = bench.repo.rev("main")
    found = bench.replay(main, proposal, sign=True, message="Süb\n\nbody\n")
    plain = bench.replay(main, proposal, message="Süb\n\nbody\n")
    raw = bench.repo.run_git("cat-file", "commit", found)
    head, _, tail = raw.partition("\ngpgsig -----BEGIN SSH SIGNATURE-----")
    unsigned = bench.repo.run_git("cat-file", "commit", plain)
    assert head == unsigned.partition("\n\n")[0]
    assert tail.partition("\n\n")[2] == unsigned.partition("\n\n")[2]


def test_a_commit_that_cannot_be_signed_is_an_error(bench: Bench) -> None:
    bench.repo.run_git("config", "gpg.program", "false")
    proposal = bench.side("main", "one", {"a": "1\n"})
    with pytest.raises(GitFailed, match="commit-tree"):
        bench.replay(bench.repo.rev("main"), proposal, sign=True)


def test_sha256_repositories_are_replayed_too(tmp_path: Path) -> None:
    bench = Bench(make_repo(tmp_path / "repo", object_format="sha256"))
    proposal = bench.side("main", "one", {"a": "1\n"})
    onto = bench.side("main", "two", {"b": "1\n"})
    found = bench.replay(onto, proposal)
    bench.objects.close()
    assert len(found) == 64
    assert set(bench.repo.files(found)) == {"README.md", "a", "b"}


# --- differential: against `git merge --squash` and `git commit`, one after another --------------


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One repository for all examples, which leave only objects behind."""
    made = Bench(make_repo(tmp_path_factory.mktemp("replay") / "repo"))
    yield made
    made.objects.close()


@settings(max_examples=30)
@given(history=histories)
def test_replaying_gives_the_trees_and_conflicts_of_squashing_by_hand(
    scratch: Bench, history: History
) -> None:
    _assert_as_by_hand(scratch, history)


FOLDER = {"old/1": TEXT, "old/2": TEXT * 2, "older/1": TEXT * 3, "older/2": TEXT * 4}
TO_ONE = {"new/1": TEXT, "new/2": TEXT * 2}


@pytest.mark.parametrize(
    ("theirs", "ours", "conflicts"),
    [
        ({"old/3\n": "x\n"}, {"new/1": TEXT, "newer/2": TEXT * 2}, ("old",)),
        ({"old/3\n": "x\n", "new/3\n": "y\n"}, TO_ONE, ("new/3\n", "old/3\n")),
        (
            {"old/3": "x\n", "older/3": "y\n"},
            {**TO_ONE, "new/4": TEXT * 3, "new/5": TEXT * 4, "older/1": None, "older/2": None},
            ("new/3", "old/3", "older/3"),
        ),
    ],
    ids=["renamed to two places", "a file where it would go", "two for one place"],
)
def test_a_conflict_about_a_renamed_folder_alone_is_one_by_hand_too(
    bench: Bench,
    theirs: Mapping[str, Content],
    ours: Mapping[str, Content | None],
    conflicts: tuple[str, ...],
) -> None:
    start = bench.side("main", "start", FOLDER)
    onto = bench.side(start, "rename", {"old/1": None, "old/2": None, **ours})
    proposal = bench.side(start, "add", theirs)
    assert merge(bench.git, onto, proposal).conflicts == conflicts
    assert by_hand(bench.repo, onto, [proposal]) == [(conflicts, bench.objects.read_commit(onto).tree)]


def test_markers_that_git_stages_as_clean_are_a_conflict(bench: Bench) -> None:
    """Both sides have added the same file; for ours, which has deleted one like it, that was a move, and theirs has
    changed the one that is moved."""
    first, rest = TEXT.split("\n", 1)
    start = bench.side("main", "start", {"a/b/x": TEXT})
    onto = bench.side(start, "move", {"a/b/x": None, "a/x": f"ours\n{rest}"})
    proposal = bench.side(start, "edit", {"a/b/x": f"theirs, not {first}\n{rest}", "a/x": f"ours\n{rest}"})
    found = merge(bench.git, onto, proposal)
    assert (found.tree, found.conflicts) == (None, ("a/b/x", "a/x"))
    assert "rename involved in collision" in found.said
    unmoved = bench.objects.read_commit(onto).tree
    assert by_hand(bench.repo, onto, [proposal]) == [(found.conflicts, unmoved)]


@pytest.mark.slow
@settings(max_examples=many(500))
@given(history=histories)
def test_replaying_equals_squashing_on_many_histories(scratch: Bench, history: History) -> None:
    _assert_as_by_hand(scratch, history)


def _assert_as_by_hand(bench: Bench, history: History) -> None:
    main, tips = write(bench.repo, history)
    onto, found = main, []
    for tip in tips:
        merged = merge(bench.git, onto, tip)
        if merged.tree not in (None, bench.objects.read_commit(onto).tree):
            onto = bench.replay(onto, tip)
        found.append((merged.conflicts, bench.objects.read_commit(onto).tree))
    assert found == by_hand(bench.repo, main, tips)
