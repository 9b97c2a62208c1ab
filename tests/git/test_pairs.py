"""Many pairs merged by one git: the verdicts are those of `git merge-tree` for each, and no pair is left out that
would not have merged cleanly."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations

import pytest

from git_fleet.core.collisions import Hunk, Span
from git_fleet.core.ids import Oid
from git_fleet.git import pairs
from git_fleet.git.drafts import Drafts
from git_fleet.git.formats import Change
from git_fleet.git.objects import Objects, open_objects
from git_fleet.git.pairs import Conflict, merge_all, with_something_in_common
from git_fleet.git.repository import discover
from tests.support.repo import Repo

Files = dict[str, str]


@pytest.fixture
def objects(repo: Repo) -> Iterator[Objects]:
    with open_objects(discover(repo.path), bulk=False) as objects:
        yield objects


def committed(repo: Repo, files: Files, *parents: Oid) -> Oid:
    """A commit of exactly these files; no worktree is touched."""
    index = repo.path / ".git" / "test-index"
    env = {"GIT_INDEX_FILE": str(index)}
    lines = []
    for path, content in files.items():
        mode, data = ("120000", content[1:]) if content.startswith("@") else ("100644", content)
        lines.append(f"{mode} {repo.run_git('hash-object', '-w', '--stdin', stdin=data.encode())}\t{path}")
    repo.run_git("read-tree", "--empty", env=env)
    repo.run_git("update-index", "--index-info", stdin="\n".join(lines).encode(), env=env)
    tree = repo.run_git("write-tree", env=env)
    index.unlink()
    above = [word for parent in parents for word in ("-p", parent)]
    return Oid(repo.run_git("commit-tree", tree, *above, "-m", "x"))


def oracle(repo: Repo, ours: Oid, theirs: Oid) -> set[str]:
    """The paths that conflict, as one `git merge-tree` says it."""
    done = repo.try_git("merge-tree", "--write-tree", "-z", "--name-only", "--messages", ours, theirs)
    assert done.returncode in (0, 1), done.stderr
    if done.returncode == 0:
        return set()
    fields = done.stdout.split(b"\0")
    unmerged = {field.decode() for field in fields[1 : fields.index(b"", 1)]}
    plain = {path.removesuffix(f"~{oid}") for path in unmerged for oid in (ours, theirs) if oid in path}
    plain |= {path for path in unmerged if ours not in path and theirs not in path}
    return plain or {"(a conflict without a path)"}


def changed(objects: Objects, old: Oid, new: Oid) -> list[Change]:
    trees = [objects.read_commit(oid).tree for oid in (old, new)]
    return objects.changed_paths(*trees)


def text(chance: random.Random, lines: list[str]) -> str:
    for _ in range(chance.randrange(1, 3)):
        lines[chance.randrange(len(lines))] = f"{chance.random()}"
    return "\n".join(lines) + "\n"


def possible(files: Files) -> Files:
    """Without the files that stand where a folder is to be."""
    return {
        name: text for name, text in files.items() if not any(other.startswith(f"{name}/") for other in files)
    }


def variant(chance: random.Random, files: Files) -> Files:
    """What a worker may have made of these files: edits, new files, renamed files and folders, the one in the
    place of the other."""
    now = dict(files)
    for _ in range(chance.randrange(1, 4)):
        path = chance.choice(sorted(now))
        folder = path.rpartition("/")[0]
        match chance.randrange(8):
            case 0 | 1 | 2:
                if not now[path].startswith("@"):
                    now[path] = text(chance, now[path].splitlines())
            case 3:
                now[f"{folder}/new{chance.randrange(3)}".lstrip("/")] = f"{chance.random()}\n"
            case 4:
                del now[path]
            case 5:
                now[f"{chance.choice('abcd')}/moved{chance.randrange(3)}"] = now.pop(path)
            case 6 if folder:
                target = chance.choice(["a", "b", "e", "f/g"])
                inside = [name for name in now if name.startswith(f"{folder}/")]
                for name in inside:
                    now[f"{target}/{name.removeprefix(folder + '/')}"] = now.pop(name)
            case _:
                top = path.partition("/")[0]
                for name in [name for name in now if name.startswith(f"{top}/") or name == top]:
                    del now[name]
                now[top] = chance.choice(["@elsewhere", "a file now\n"])
        now = possible(now) or files
    return now


@pytest.mark.parametrize("seed", range(12))
def test_the_verdicts_are_those_of_one_merge_tree_each(repo: Repo, objects: Objects, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"{folder}/{n}" for folder in ("a", "b", "b/c", "d") for n in range(3)] + ["top"]
    files = {name: "\n".join(f"{name} {line}" for line in range(12)) + "\n" for name in names}
    base = committed(repo, files)
    sides = [committed(repo, variant(chance, files), base) for _ in range(9)]
    common = with_something_in_common([changed(objects, base, side) for side in sides])
    found = dict(
        zip(common, merge_all(objects.repo.git(), [(sides[a], sides[b]) for a, b in common]), strict=True)
    )
    for a, b in combinations(range(len(sides)), 2):
        told = {each.path for each in found.get((a, b), ())}
        expected = oracle(repo, sides[a], sides[b])
        if expected == {"(a conflict without a path)"}:
            assert told
        else:
            assert told == expected, (a, b)


def test_a_new_file_where_another_has_a_new_folder(repo: Repo, objects: Objects) -> None:
    base = committed(repo, {"f": "text\n"})
    sides = [committed(repo, {"f": "text\n", name: "new\n"}, base) for name in ("n", "n/x", "n/y", "other/n")]
    common = with_something_in_common([changed(objects, base, side) for side in sides])
    assert common == [(0, 1), (0, 2)]
    (verdict, _) = merge_all(objects.repo.git(), [(sides[a], sides[b]) for a, b in common])
    assert [(each.path, each.what) for each in verdict] == [("n", "file/directory")]


def test_most_pairs_are_not_merged_at_all(repo: Repo, objects: Objects) -> None:
    base = committed(repo, {f"{n}/f": "text\n" for n in range(20)})
    files = {f"{n}/f": "text\n" for n in range(20)}
    sides = [committed(repo, {**files, f"{n}/f": "changed\n", f"{n}/g": "new\n"}, base) for n in range(20)]
    assert with_something_in_common([changed(objects, base, side) for side in sides]) == []


def test_unrelated_histories_do_not_end_the_batch(repo: Repo, objects: Objects) -> None:
    one, other = committed(repo, {"x": "1\n"}), committed(repo, {"x": "2\n"})
    third = committed(repo, {"x": "1\n", "y": "y\n"}, one)
    found = merge_all(objects.repo.git(), [(one, other), (one, third)])
    assert [[each.path for each in verdict] for verdict in found] == [["x"], []]


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        ({"f": "ours\n"}, {"f": "theirs\n"}, "content"),
        ({}, {"f": "theirs\n"}, "modify/delete"),
        ({"f": "\0ours"}, {"f": "\0theirs"}, "binary"),
        ({"f": "@there"}, {"f": "theirs\n"}, "distinct modes"),
    ],
)
def test_a_conflict_has_gits_word(
    repo: Repo, objects: Objects, ours: Files, theirs: Files, what: str
) -> None:
    base = committed(repo, {"f": "base\n", "g": "g\n"})
    rest = {"g": "g\n"}
    sides = committed(repo, {**ours, **rest}, base), committed(repo, {**theirs, **rest}, base)
    (verdict,) = merge_all(objects.repo.git(), [sides])
    assert {each.what for each in verdict} == {what}


def test_a_name_that_only_git_would_think_of_survives(repo: Repo, objects: Objects) -> None:
    name = "tab\tnew\nline \udce9~x"
    base = committed(repo, {"g": "g\n"})
    sides = []
    for word in ("ours", "theirs"):
        repo.run_git("read-tree", base)
        blob = repo.run_git("hash-object", "-w", "--stdin", stdin=word.encode())
        entry = b"100644 " + blob.encode() + b"\t" + name.encode("utf-8", "surrogateescape") + b"\0"
        repo.run_git("update-index", "-z", "--index-info", stdin=entry)
        tree = repo.run_git("write-tree")
        sides.append(Oid(repo.run_git("commit-tree", tree, "-p", base, "-m", "x")))
    (verdict,) = merge_all(objects.repo.git(), [(sides[0], sides[1])])
    assert [each.path for each in verdict] == [name]


# --- hunks -----------------------------------------------------------------------------------------


def hunks(objects: Objects, repo: Repo, base: str, ours: str, theirs: str) -> tuple[Hunk, ...]:
    blobs = [
        Oid(repo.run_git("hash-object", "-w", "--stdin", stdin=data.encode()))
        for data in (base, ours, theirs)
    ]
    with closing(Drafts(objects)) as drafts:
        (found,) = pairs.hunks(drafts, [Conflict("f", "content", (blobs[0], blobs[1], blobs[2]))])
    return found


TEN = [f"{n}\n" for n in range(1, 11)]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({3: "x\n"}, {3: "y\n"}, [((3, 1), (3, 1))]),
        ({3: "x\n"}, {4: "y\n"}, [((3, 1), (4, 1))]),  # side by side
        ({3: "x\n"}, {9: "y\n"}, []),
        ({3: "x\nx\n", 9: "x\n"}, {3: "y\n", 9: "y\ny\n"}, [((3, 2), (3, 1)), ((10, 1), (9, 2))]),
        ({5: "5\nmore\n"}, {5: "5\nother\n"}, [((6, 1), (6, 1))]),
        ({4: ""}, {4: "y\n"}, [((3, 0), (4, 1))]),
        ({2: "x\n", 4: "x\n"}, {2: "y\n", 3: "y\n", 4: "y\n"}, [((2, 3), (2, 3))]),
    ],
)
def test_hunks_are_the_lines_that_both_have_changed(
    objects: Objects,
    repo: Repo,
    ours: dict[int, str],
    theirs: dict[int, str],
    expected: list[tuple[tuple[int, int], tuple[int, int]]],
) -> None:
    sides = ["".join(side.get(n, line) for n, line in enumerate(TEN, 1)) for side in (ours, theirs)]
    found = hunks(objects, repo, "".join(TEN), *sides)
    assert found == tuple(Hunk(Span(*a), Span(*b)) for a, b in expected)


def test_lines_that_look_like_gits_own_are_lines(objects: Objects, repo: Repo) -> None:
    base = "a\nb\nc\n"
    ours = "a\n@@ -1 +1 @@\ndiff --git 7 7\nc\n"
    assert hunks(objects, repo, base, ours, "a\ny\nc\n") == (Hunk(Span(2, 2), Span(2, 1)),)


def test_what_is_not_text_has_no_hunks(objects: Objects, repo: Repo) -> None:
    assert hunks(objects, repo, "\0base", "\0ours", "\0theirs") == ()
    with closing(Drafts(objects)) as drafts:
        assert pairs.hunks(drafts, [Conflict("f", "modify/delete")]) == [()]
