"""Which tracked files patterns and tasks own."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.core.ownership import Ownership, Tree
from git_fleet.core.patterns import Matcher, parse

names = st.sampled_from(["a", "b", "ab", "a.py", "\udcff", "*.x"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
texts = st.builds(
    lambda lead, parts, end: lead + "/".join(parts) + end,
    st.sampled_from(["", "", "/"]),
    st.lists(names | st.sampled_from(["*", "**", "a*", "[ab]", r"\*.x"]), min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@example({"a/b", "a", "b/a/c", "ab"}, ["a"])
@given(st.sets(paths, max_size=12), st.lists(texts, max_size=6))
def test_a_tree_gives_what_the_matcher_finds_among_all_paths(tracked: set[str], asked: list[str]) -> None:
    tree = Tree(tracked)
    for text in asked:
        assert tree.matches(parse(text)) == frozenset(Matcher([parse(text)]).match_all(tracked))
    assert tree.owned(asked) == frozenset(Matcher(map(parse, asked)).match_all(tracked))


def test_owners_are_told_in_plan_order_and_generated_files_are_nobodys() -> None:
    a, b = TaskId("p", "a"), TaskId("p", "b")
    tasks = [Task(b, "b", "b", files=("x/",)), Task(a, "a", "a", files=("x/y", "uv.lock"))]
    ownership = Ownership(Tree(["x/y", "x/z", "uv.lock"]), tasks, ["uv.lock"])
    assert ownership.files == {b: {"x/y", "x/z"}, a: {"x/y"}}
    assert ownership.of("x/y") == [b, a]
    assert ownership.of("uv.lock") == ()
