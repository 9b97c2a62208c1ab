"""Patterns of owned files: against git as the oracle, and against each other."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from git_fleet.core.automaton import shape
from git_fleet.core.patterns import (
    Matcher,
    OverlapIndex,
    Pattern,
    compile_regexes,
    literal_path,
    overlap,
    parse,
    regexes,
    witness,
)
from git_fleet.errors import InvalidInput
from tests.support.examples import many

Case = tuple[str, Sequence[str]]


def git_matches(home: Path, cases: Sequence[Case]) -> list[list[str]]:
    """For each (pattern, paths) the paths that git says the pattern matches, by one git process.

    Each pattern gets a directory with a .gitignore of its own, which git reads relative to itself.
    """
    repo = home / "oracle"
    if not repo.exists():
        subprocess.run(["git", "init", "-q", repo], check=True)
    asked: list[bytes] = []
    for number, (pattern, paths) in enumerate(cases):
        (repo / str(number)).mkdir(exist_ok=True)
        (repo / str(number) / ".gitignore").write_bytes(os.fsencode(pattern) + b"\n")
        asked += [os.fsencode(f"{number}/{path}") for path in paths]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=repo,
        input=b"".join(path + b"\0" for path in asked),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found = {os.fsdecode(path) for path in done.stdout.split(b"\0")}
    return [
        [path for path in paths if f"{number}/{path}" in found] for number, (_, paths) in enumerate(cases)
    ]


def accepted(text: str) -> bool:
    try:
        return bool(parse(text))
    except InvalidInput:
        return False


def named_as_file(pattern: Pattern, path: str) -> bool:
    """Whether a directory above `path` is what this pattern takes for a file's name."""
    above = [path[:at] for at, char in enumerate(path) if char == "/"]
    return shape(pattern.text).file is not None and bool(Matcher([pattern]).match_all(above))


def shared_as_files(left: Pattern, right: Pattern, tree: Sequence[str]) -> list[str]:
    """The paths both match, without those that need a file's name to be a directory's."""
    both = Matcher([right]).match_all(Matcher([left]).match_all(tree))
    return [path for path in both if not (named_as_file(left, path) or named_as_file(right, path))]


ATOMS = ["a", "b", ".", ".b", "*", "?", "[ab]", "[!a]", "[^b.]", "[a-c]", "\\*", "\\?", "é", "*", "**"]
components = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3).map("".join) | st.just("**")
well_formed = st.builds(
    lambda lead, parts, end: lead + "/".join(parts) + end,
    st.sampled_from(["", "", "/"]),
    st.lists(components, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)
anything = st.text("ab/*?[]!^-\\. é#", min_size=1, max_size=8)
# Pairs of these are often disjoint; two that match at any depth hardly ever are.
anchored = st.lists(
    st.lists(st.sampled_from(ATOMS[:-2]), min_size=2, max_size=3).map("".join), min_size=1, max_size=3
).map(lambda parts: "/" + "/".join(parts))
texts = well_formed | anything


def some(source: st.SearchStrategy[str], most: int) -> st.SearchStrategy[list[Pattern]]:
    """Up to `most` patterns: those of the texts drawn that are not refused."""
    return st.lists(source, min_size=most // 2, max_size=most).map(
        lambda drawn: [parse(text) for text in drawn if accepted(text)]
    )


names = st.text("ab.*?[\\-é\n\udcff", min_size=1, max_size=3).map(
    lambda name: {".": "a", "..": "b"}.get(name, name)
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
SHORT_PATHS = [
    path
    for length in range(1, 7)
    for path in map("".join, itertools.product("ab./", repeat=length))
    if all(part not in ("", ".", "..") for part in path.split("/"))
]

git_settings = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


# What is accepted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("# notes", r"write '\#'"),
        ("!src/a.py", "cannot be negated"),
        ("/", "write '**'"),
        ("//", "write '**'"),
        ("src//a.py", "'//'"),
        ("//src", "'//'"),
        ("src//", "'//'"),
        ("../other/a.py", "'..'"),
        ("src/../a.py", "'..'"),
        ("src/..", "'..'"),
        (r"src/\.\./a.py", "'..'"),
        ("./src", "'.'"),
        ("src/./a.py", "'.'"),
        ("/home/me/project/src", "if 'home/me/project/src' is meant"),
        ("/etc/passwd", "absolute"),
        ("~/project", "outside the repository"),
        ("C:\\project", "outside the repository"),
        ("c:/project", "outside the repository"),
        ("src/a\nb.py", "control character"),
        ("src/a\0", "control character"),
        ("src/a\t", "control character"),
        ("src\\", "nothing after it"),
        ("src\\/a.py", "nothing after it"),
        ("src/[ab", "without its ']'"),
        ("src/[a/b]", "without its ']'"),
        ("src/[]", "without its ']'"),
        ("src/[a\\]", "without its ']'"),
        ("[[:alpha:]]", "POSIX"),
        ("[z-a]", "backward range 'z-a'"),
        ("[é]", "beyond ASCII"),
        ("foo**/bar", "write '*'"),
        ("a\ud800", "no file name"),
    ],
)
def test_what_cannot_own_files_is_refused_and_the_message_says_what_can(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text)
    assert repr(text.strip(" ")) in refused.value.message
    assert why in refused.value.message
    assert "; " in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        r"\#a",
        r"\!a",
        "a#",
        "a!b",
        "/etc/",
        "/tmp",
        "home/me",
        "~a",
        "a**b",
        "foo**",
        "**foo/bar",
        "[]]",
        "a b",
        r"\\a",
    ],
)
def test_what_only_resembles_something_refused_is_accepted(text: str) -> None:
    assert parse(text) == Pattern(text)


def test_trailing_spaces_are_dropped_as_git_drops_them_unless_escaped() -> None:
    assert parse("a/b  ") == parse("a/b")
    assert parse("a\\ ").text == "a\\ "
    assert parse("a\\   ").text == "a\\ "
    assert parse("a\\\\ ").text == "a\\\\"
    assert Matcher([parse("a\\ ")]).match_all(["a", "a "]) == ["a "]


def test_only_an_anchored_path_without_wildcards_is_literal() -> None:
    assert literal_path(parse("src/a.py")) == "src/a.py"
    assert literal_path(parse("/cli.py")) == "cli.py"
    assert literal_path(parse(r"src/\[id\]/é.tsx")) == "src/[id]/é.tsx"
    for text in ["cli.py", "docs/", "/docs/", "src/*.py", "src/**", "src/[ab].py"]:
        assert literal_path(parse(text)) is None


# Matching paths

MANUAL = [
    ("hello.*", ["hello.txt", "a/hello.java"], ["hello"]),
    ("/hello.*", ["hello.txt", "hello.c"], ["a/hello.java"]),
    ("foo/", ["foo/x", "a/foo/x"], ["foo", "a/foo"]),
    ("doc/frotz/", ["doc/frotz/x"], ["doc/frotz", "a/doc/frotz/x"]),
    ("foo/*", ["foo/a", "foo/a/b"], ["foo", "x/foo/a"]),
    ("foo/**", ["foo/a", "foo/a/b"], ["foo", "x/foo/a"]),
    ("foo/**/", ["foo/a/b"], ["foo", "foo/a"]),
    ("**/foo/bar", ["foo/bar", "a/b/foo/bar"], ["foo/x/bar"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/x\ny/b"], ["a/xb", "b"]),
    ("a**b", ["ab", "axb", "x/axb"], ["a/b"]),
    ("**", ["a", "a/b"], []),
    ("**/", ["a/b"], ["a"]),
    ("***/foo", ["foo", "a/b/foo"], ["afoo"]),
    ("foo", ["foo", "foo/x", "a/foo/x"], ["foo\n", "foox", "Foo"]),
    ("a[!x]b", ["ayb"], ["a/b", "axb", "aéb"]),
    ("x??", ["xab", "xé"], ["xa", "x/a"]),
    ("[]a]x", ["]x", "ax"], ["bx"]),
    ("[!]a]x", ["bx"], ["]x", "ax"]),
    (r"[a\]-c]x", ["ax", "]x", "^x", "cx"], ["-x", "\\x"]),
    (r"[a\-c]x", ["-x", "cx"], ["bx", "\\x"]),
    ("[a-c-e]x", ["bx", "-x", "ex"], ["dx"]),
    (r"\*.c", ["*.c"], ["a.c"]),
    (" a", [" a"], ["a"]),
    ("docs/é.md", ["docs/é.md"], ["docs/e.md"]),
    ("*.bin", ["\udcff.bin"], ["\udcff"]),
]


@pytest.mark.parametrize(("text", "owned", "other"), MANUAL)
def test_paths_match_as_gitignore_says(text: str, owned: list[str], other: list[str], tmp_path: Path) -> None:
    assert Matcher([parse(text)]).match_all([*owned, *other]) == owned
    assert git_matches(tmp_path, [(text, [*owned, *other])]) == [owned]


@git_settings
@given(some(texts, 30), st.lists(paths, min_size=10, max_size=20, unique=True))
def test_git_agrees_on_every_path(tmp_path: Path, asked: list[Pattern], tree: list[str]) -> None:
    ours = [Matcher([pattern]).match_all(tree) for pattern in asked]
    assert ours == git_matches(tmp_path, [(pattern.text, tree) for pattern in asked])


@given(some(texts, 6), st.lists(paths, max_size=10))
def test_regular_expressions_alone_match_what_the_matcher_matches(
    owned: list[Pattern], tree: list[str]
) -> None:
    sources = regexes(owned)
    assert all(source.isascii() for source in sources)
    found = [path for path in tree if any(re.match(source.encode(), os.fsencode(path)) for source in sources)]
    assert found == Matcher(owned).match_all(tree)
    assert found == [path for path in tree if compile_regexes(sources).match(os.fsencode(path))]


def test_no_patterns_own_nothing() -> None:
    assert regexes([]) == []
    assert Matcher([]).match_all(["a", "a/b"]) == []


def test_matching_takes_no_exponential_time() -> None:
    stars = Matcher([parse("*a" * 20 + "b"), parse("**/a/" * 12 + "b")])
    started = time.process_time()
    assert not stars.match("a" * 250)
    assert not stars.match("a/" * 150 + "a")
    assert witness(parse("*a" * 20 + "b"), parse("*b" * 20 + "a*")) is not None
    assert time.process_time() - started < 5


# Patterns against each other


@pytest.mark.parametrize(
    ("left", "right", "example"),
    [
        ("src/**", "src/new.py", "src/new.py"),
        ("src/**", "src/", "src/a"),
        ("docs/", "docs/a/b.txt", "docs/a/b.txt"),
        ("foo", "x/y/foo/bar.py", "x/y/foo/bar.py"),
        ("cli.py", "sub/cli.py", "sub/cli.py"),
        ("src/*", "src/a/b", "src/a/b"),
        ("src/*", "*.py", "src/a.py"),
        ("**/test_*.py", "src/*_util.py", "src/test_util.py"),
        ("a/**/b", "a/*/c/b/d", "a/b/c/b/d"),
        ("a/**/b", "a/c/*", "a/c/b"),
        ("[ab]x", "[bc]x", "bx"),
        ("[!a]", "[!b]", "c"),
        ("/a?", "/é", None),
        ("/??", "/é", "é"),
        ("src", "tests", "src/tests"),
        (".github", ".github/workflows/ci.yml", ".github/workflows/ci.yml"),
        ("*.txt", "notes.txt/", "notes.txt/a"),
        ("*.txt", "notes.txt/a", "notes.txt/a"),
        ("*.js", "next.js/a.ts", "next.js/a.ts"),
        ("Makefile", "src/", "src/Makefile"),
        ("conf.d", "*.conf", "conf.d/a.conf"),
        ("v1.2", "*.conf", "v1.2/a.conf"),
        ("*.md", "docs/*.txt", None),
        ("*.md", "*.txt", None),
        ("cli.py", "main.py", None),
        ("Makefile", "README", None),
        ("Makefile", "pyproject.toml", None),
        ("src/a.py", "src/a.pyi", None),
        ("src/a", "src/ab", None),
        ("/src", "tests/src", None),
        ("/cli.py", "sub/cli.py", None),
        ("foo/**", "/foo", "foo/a"),
        ("foo/**/", "foo/*.py", None),
        ("src/[a-c]", "src/[x-z]", None),
        ("/[ab]x", "/[cd]x", None),
        ("/[.a]", "/[.b]", None),
        ("/[.a][.a]", "/[.b][.b]", None),
        ("/[.]?", "/??", ".a"),
        ("src/A.py", "src/a.py", None),
    ],
)
def test_overlaps_people_meet(left: str, right: str, example: str | None, tmp_path: Path) -> None:
    one, other = parse(left), parse(right)
    assert witness(one, other) == example
    assert overlap(one, other) == overlap(other, one) == (example is not None)
    if example is not None:
        assert git_matches(tmp_path, [(left, [example]), (right, [example])]) == [[example], [example]]


@git_settings
@given(some(texts, 12))
def test_every_witness_is_matched_by_both_as_git_says(tmp_path: Path, several: list[Pattern]) -> None:
    cases: list[Case] = []
    for left, right in itertools.combinations(several, 2):
        example = witness(left, right)
        assert overlap(left, right) == overlap(right, left) == (example is not None)
        assert example == witness(right, left)
        if example is not None:
            cases += [(left.text, [example]), (right.text, [example])]
    assert git_matches(tmp_path, cases) == [paths for _, paths in cases]


@settings(max_examples=many(200))
@given(some(texts | anchored, 12), st.lists(paths, min_size=5, max_size=20))
def test_patterns_that_match_one_path_overlap(several: list[Pattern], tree: list[str]) -> None:
    for left, right in itertools.combinations(several, 2):
        if not overlap(left, right):
            assert shared_as_files(left, right, tree) == []


@settings(max_examples=many(100))
@given(some(anchored, 8))
def test_patterns_that_do_not_overlap_share_no_short_path(several: list[Pattern]) -> None:
    for left, right in itertools.combinations(several, 2):
        if not overlap(left, right):
            assert shared_as_files(left, right, SHORT_PATHS) == []


# Many owners

# What plans hold, from few names so that many pairs meet: the index treats each kind in its own way.
file_names = st.sampled_from(
    ["a.py", "b.py", "ab.py", "a.pyi", "Makefile", "*.py", "a*.py", "?.py", "*.[ch]", "[ab].py"]
)
directory_names = st.sampled_from(["a", "b", "ab", "a*", "*", "**", "?", "a.d"])
written = st.builds(
    lambda lead, above, last: lead + "/".join([*above, last]),
    st.sampled_from(["", "", "/"]),
    st.lists(directory_names | st.just("a.py"), max_size=2),
    file_names | file_names | directory_names | st.sampled_from(["**", "a/", "a.py/"]),
)


def overlapping_pairs(owned: Sequence[Sequence[Pattern]]) -> list[tuple[int, int, tuple[Pattern, Pattern]]]:
    """All (i, j, (pattern of i, pattern of j)) with i < j that overlap by the index, sorted."""
    index: OverlapIndex[int] = OverlapIndex()
    pairs = []
    for number, patterns in enumerate(owned):
        pairs += [(earlier, number, reason) for earlier, reason in index.reasons(patterns).items()]
        index.add(number, patterns)
    return sorted(pairs)


@settings(max_examples=many(400))
@example([[parse("src/a.py")], [parse("**/a.py/b.py")]])
@example([[parse("a.py")], [parse("src/a.py/b.py")]])
@given(st.lists(some(texts | written | written, 4) | some(file_names, 2), max_size=8))
def test_the_index_finds_the_pairs_that_comparing_all_finds(owned: list[list[Pattern]]) -> None:
    found = overlapping_pairs(owned)
    expected = [
        (i, j)
        for i, j in itertools.combinations(range(len(owned)), 2)
        if any(overlap(left, right) for left in owned[i] for right in owned[j])
    ]
    assert [(i, j) for i, j, _ in found] == expected
    for i, j, (left, right) in found:
        assert left in owned[i]
        assert right in owned[j]
        assert overlap(left, right)


def test_an_index_answers_who_overlaps_while_it_grows() -> None:
    index: OverlapIndex[str] = OverlapIndex()
    index.add("tree", [parse("src/**")])
    index.add("docs", [parse("docs/"), parse("*.md")])
    assert index.overlapping([parse("src/b/a.py")]) == ["tree"]
    index.add("anywhere", [parse("a.py")])
    index.add("module", [parse("src/b/")])
    assert index.overlapping([parse("src/b/a.py")]) == ["tree", "anywhere", "module"]
    assert index.overlapping([parse("src/*")]) == ["tree", "docs", "anywhere", "module"]
    assert index.overlapping([parse("docs/a.txt")]) == ["docs"]
    assert index.overlapping([]) == []
    index.add("tree", [parse("docs/a.txt")])
    assert index.overlapping([parse("docs/a.txt")]) == ["tree", "docs"]


def test_ten_thousand_owners_are_not_compared_in_pairs() -> None:
    owners = [[parse(f"src/m{n:05}/**"), parse(f"tests/test_m{n:05}*.py")] for n in range(10_000)]
    owners.append([parse("src/m0500?/new.py"), parse("tests/test_m05000.py")])
    started = time.process_time()
    found = overlapping_pairs(owners)
    assert time.process_time() - started < 5  # all pairs would take minutes
    assert [(i, j) for i, j, _ in found] == [(n, 10_000) for n in range(5000, 5010)]


def test_ten_thousand_names_at_any_depth_are_not_compared_in_pairs() -> None:
    owners = [[parse(f"m{n}.py"), parse(f"src/m{n}/__init__.py")] for n in range(10_000)]
    owners.append([parse("m500*.py"), parse("docs/m7.py"), parse("src/m8/__*.py")])
    started = time.process_time()
    found = overlapping_pairs(owners)
    assert time.process_time() - started < 5  # about 0.2 s alone; all pairs would take minutes
    assert [(i, j) for i, j, _ in found] == [(n, 10_000) for n in (7, 8, 500, *range(5000, 5010))]
