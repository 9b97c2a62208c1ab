"""Random histories for tests of merging: trees that change as people change them, written by fast-import."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from git_fleet.core.ids import Oid
from tests.support.repo import Entry, Repo

Tree = dict[str, Entry]

FOLDERS = ("", "a/", "a/b/", "c/", os.fsdecode(b"caf\xe9/"))
NAMES = ("x", "y", "z z", 'q"q', "n\nl")
LINES = 12


class Step(NamedTuple):
    """One change of a tree, chosen by small numbers, so that any numbers fit any tree."""

    kind: str
    which: int
    where: int
    value: int


class Branch(NamedTuple):
    """Commits (each a list of steps) on top of an earlier point: `fork` of the commits there are by then.

    With `merges` the branch first merges the newest commit of main, as `git merge -s ours` would: the
    tree stays, the history has two parents.
    """

    fork: int
    commits: tuple[tuple[Step, ...], ...]
    merges: bool


class History(NamedTuple):
    """A first tree, main's later commits, and branches, as steps."""

    start: tuple[Step, ...]
    main: tuple[tuple[Step, ...], ...]
    branches: tuple[Branch, ...]


class Graph(NamedTuple):
    """Commits without content: each its parents, as numbers of earlier commits (any numbers fit), and a date.

    Dates go backwards as well: clocks of workers do.
    """

    commits: tuple[tuple[tuple[int, ...], int], ...]


KINDS = (
    "edit", "edit", "edit", "append", "add", "add", "delete", "rename", "move folder", "mode", "link", "binary",
)  # fmt: skip


def _histories(kinds: Sequence[str]) -> st.SearchStrategy[History]:
    steps = st.builds(Step, st.sampled_from(kinds), st.integers(0, 9), st.integers(0, 24), st.integers(0, 3))
    commits = st.lists(steps, min_size=1, max_size=3).map(tuple)
    branches = st.builds(
        Branch,
        st.integers(0, 5),
        st.lists(commits, min_size=1, max_size=2).map(tuple),
        st.sampled_from((False, False, True)),
    )
    return st.builds(
        History,
        st.lists(
            st.builds(Step, st.sampled_from(("add", "add", "binary")), *[st.integers(0, 24)] * 3),
            min_size=2,
            max_size=8,
        ).map(tuple),
        st.lists(commits, max_size=2).map(tuple),
        st.lists(branches, min_size=2, max_size=4).map(tuple),
    )


histories = _histories(KINDS)
gentle_histories = _histories(("edit", "append", "add", "mode", "link", "binary"))
"""Nothing is moved, and deleted only when something else takes its place."""

parents = st.sampled_from((0, 1, 1, 1, 1, 2)).flatmap(
    lambda count: st.tuples(*[st.one_of(st.just(-1), st.integers(0, 30))] * count)
)
graphs = st.builds(Graph, st.lists(st.tuples(parents, st.integers(1, 9)), min_size=2, max_size=16).map(tuple))


def text(seed: int) -> bytes:
    """Lines that tell files apart, so that a rename is found and edits far apart merge."""
    return b"".join(b"%d line %d of %d\n" % (number * seed, number, seed) for number in range(LINES))


def changed(tree: Tree, step: Step) -> Tree:
    """`tree` after one step; a file that takes a folder's place replaces all in it, and the other way round."""
    place = FOLDERS[step.where % len(FOLDERS)] + NAMES[step.where // len(FOLDERS)]
    if step.kind in ("add", "binary") or not tree:
        body = bytes(range(step.value, 200)) * 2 if step.kind == "binary" else text(step.which + step.value)
        return _put(tree, place, Entry("100644", body))
    path = sorted(tree)[step.which % len(tree)]
    mode, content = tree[path]
    if step.kind == "delete":
        return {name: entry for name, entry in tree.items() if name != path}
    if step.kind == "rename":
        return _put({name: entry for name, entry in tree.items() if name != path}, place, tree[path])
    if step.kind == "move folder":
        return _moved(tree, FOLDERS[1 + step.which % 4], FOLDERS[step.where % len(FOLDERS)] + "new/")
    if step.kind == "link":
        return _put(tree, path, Entry("120000", b"target %d" % step.value))
    if mode == "120000":
        return tree
    if step.kind == "mode":
        return _put(tree, path, Entry("100755" if mode == "100644" else "100644", content))
    lines = content.splitlines(keepends=True)
    if step.kind == "append":
        lines.append(b"more %d\n" % step.value)
    elif lines:
        lines[step.where % len(lines)] = b"edited %d\n" % step.value
    return _put(tree, path, Entry(mode, b"".join(lines)))


def _put(tree: Tree, path: str, entry: Entry) -> Tree:
    kept = {
        name: old
        for name, old in tree.items()
        if not name.startswith(f"{path}/") and not path.startswith(f"{name}/")
    }
    return {**kept, path: entry}


def _moved(tree: Tree, old: str, new: str) -> Tree:
    found = {name: entry for name, entry in tree.items() if name.startswith(old)}
    rest = {name: entry for name, entry in tree.items() if name not in found}
    for name, entry in found.items():
        rest = _put(rest, new + name.removeprefix(old), entry)
    return rest


def write(repo: Repo, history: History) -> tuple[Oid, list[Oid]]:
    """Stores the history: main's tip and the tips of the branches. No ref is left to rely on."""
    out = _Stream()
    tree: Tree = {"keep": Entry("100644", b"kept\n")}
    out.commit(_after(tree, history.start), [])
    for change in history.main:
        out.commit(_after(out.trees[-1], change), [len(out.trees)])
    main = len(out.trees)
    tips = []
    for branch in history.branches:
        at = 1 + branch.fork % len(out.trees)
        if branch.merges:
            out.commit(out.trees[at - 1], [at, main])
            at = len(out.trees)
        for change in branch.commits:
            out.commit(_after(out.trees[at - 1], change), [at])
            at = len(out.trees)
        tips.append(at)
    marks = out.run(repo)
    return marks[main], [marks[tip] for tip in tips]


def write_graph(repo: Repo, graph: Graph) -> list[Oid]:
    """Stores the commits of a graph, in its order."""
    out = _Stream()
    for number, (above, date) in enumerate(graph.commits):
        # -1 is the commit before, so that there are lines of several
        known = {number if parent < 0 else 1 + parent % number for parent in above} if number else set()
        out.commit({}, sorted(known, reverse=True), date=date)
    marks = out.run(repo)
    return [marks[number] for number in sorted(marks)]


def by_hand(repo: Repo, main: Oid, tips: list[Oid]) -> list[tuple[tuple[str, ...], Oid]]:
    """`git merge --squash` and `git commit` of one tip after the other: the paths in conflict of each, and the
    tree of HEAD after it."""
    repo.run_git("checkout", "--quiet", "--force", "--detach", main)
    repo.run_git("clean", "-ffdxq")
    found = []
    for tip in tips:
        conflicts: tuple[str, ...] = ()
        done = repo.try_git("merge", "--squash", "--quiet", tip)
        if done.returncode or b"CONFLICT (rename involved in collision)" in done.stdout:
            listed = repo.run_git("diff", "--name-only", "--diff-filter=U", "-z")
            # ort's name for a file whose place is taken ends in the side it comes from
            paths = {re.sub(rf"~(?:HEAD|{tip})(?:_\d+)?$", "", path) for path in listed.split("\0") if path}
            said = os.fsdecode(done.stdout)
            conflicts = tuple(sorted(paths or _undecided(said), key=os.fsencode))
            assert conflicts, said + os.fsdecode(done.stderr)
            repo.run_git("reset", "--quiet", "--hard")
            repo.run_git("clean", "-ffdxq")
        else:
            repo.try_git("commit", "--quiet", "--message", "squashed")
        found.append((conflicts, Oid(repo.run_git("rev-parse", "HEAD^{tree}"))))
    return found


_UNDECIDED = (
    r"\(rename involved in collision\): rename of (?P<one>.+?) -> (?P<more>.+?) has content conflicts",
    r"\(directory rename split\): Unclear where to rename (?P<one>.+?) to; it was renamed to multiple",
    r"\(implicit dir rename\): Existing file/dir at (?P<one>.+?) in the way of .+? there: (?P<more>.+?)\.$",
    r"\(implicit dir rename\): Cannot map more than one path to (?P<one>.+?); .+? there: (?P<more>.+?)$",
)


def _undecided(said: str) -> set[str]:
    """The paths of those conflicts that leave none unmerged: a folder was renamed by one side, and where what
    the other side put into it belongs is not clear. Git leaves that where it was, and tells of it in words."""
    found: set[str] = set()
    for pattern in _UNDECIDED:
        for match in re.finditer(f"^CONFLICT {pattern}", said, re.MULTILINE | re.DOTALL):
            named = match.groupdict()
            found.update([named["one"], *(named.get("more") or named["one"]).split(", ")])
    return found


def _after(tree: Tree, change: Sequence[Step]) -> Tree:
    for step in change:
        tree = changed(tree, step)
    return tree


class _Stream:
    """A fast-import stream; commit n has mark n and `trees[n - 1]`."""

    def __init__(self) -> None:
        self.trees: list[Tree] = []
        self._lines = [b"feature done\n"]

    def commit(self, tree: Tree, parents: Sequence[int], *, date: int = 0) -> None:
        self.trees.append(tree)
        number = len(self.trees)
        when = (number, date or number)
        head = b"commit refs/heads/drawn\nmark :%d\ncommitter A U Thor <a@b> %d +0100\n" % when
        said = b"work %d\n" % number
        self._lines += [b"reset refs/heads/drawn\n\n", head, b"data %d\n%b\n" % (len(said), said)]
        for keyword, parent in zip((b"from", b"merge"), parents, strict=False):
            self._lines.append(b"%b :%d\n" % (keyword, parent))
        self._lines.append(b"deleteall\n")
        for path, (mode, content) in tree.items():
            quoted = "".join(f"\\{byte:03o}" for byte in os.fsencode(path))
            self._lines.append(b'M %b inline "%b"\n' % (mode.encode(), quoted.encode()))
            self._lines.append(b"data %d\n%b\n" % (len(content), content))
        self._lines.append(b"\n")

    def run(self, repo: Repo) -> dict[int, Oid]:
        questions = [b"get-mark :%d\n" % (number + 1) for number in range(len(self.trees))]
        stream = b"".join([*self._lines, *questions, b"done\n"])
        answers = repo.run_git("fast-import", "--quiet", "--force", "--cat-blob-fd=1", stdin=stream)
        return {number: Oid(line) for number, line in enumerate(answers.splitlines(), 1)}
