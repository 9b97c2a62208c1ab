"""Which tasks may not be active together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import graph, patterns
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Output, Overlap, Task
from git_fleet.core.overlaps import Overlaps, Pair, pairs

A, B, C = (TaskId("p", name) for name in "abc")


def task(name: str, *files: str, plan: str = "p", **fields: Any) -> Task:
    return Task(TaskId(plan, name), name, name, files=files, **fields)


def test_two_owners_of_one_file_are_a_pair_in_plan_order() -> None:
    assert pairs([task("b", "cli.py"), task("a", "docs/b.md", "cli.py")]) == [
        Pair(B, A, Overlap.SERIALIZE, ("cli.py", "cli.py"))
    ]


def test_a_folder_and_a_file_that_does_not_exist_yet_overlap() -> None:
    overlaps = Overlaps([task("a", "src/**"), task("b", "src/new.py"), task("c", "docs/*.txt")], [])
    assert overlaps.of(A) == {B}
    assert overlaps.of(B) == {A}
    assert overlaps.of(C) == frozenset()


@pytest.mark.parametrize(
    ("one", "other", "policy"),
    [
        (Overlap.SERIALIZE, Overlap.ACCEPT, Overlap.SERIALIZE),
        (Overlap.WATCH, Overlap.ACCEPT, Overlap.WATCH),
        (Overlap.ACCEPT, Overlap.ACCEPT, Overlap.ACCEPT),
        (Overlap.WATCH, Overlap.SERIALIZE, Overlap.SERIALIZE),
    ],
)
def test_the_stricter_policy_holds_for_a_pair(one: Overlap, other: Overlap, policy: Overlap) -> None:
    tasks = [task("a", "x.py", overlap=one), task("b", "x.py", overlap=other)]
    assert [pair.policy for pair in pairs(tasks)] == [policy]
    overlaps = Overlaps(tasks, [])
    assert (overlaps.of(A) == {B}) is (policy is Overlap.SERIALIZE)
    assert (overlaps.watched(A) == {B}) is (policy is Overlap.WATCH)


def test_reading_is_no_overlap_unless_the_owner_is_joint() -> None:
    reader = task("b", "cli.py", reads=("api.py",))
    assert pairs([task("a", "api.py"), reader]) == []
    assert pairs([task("a", "api.py", joint=True), reader]) == [
        Pair(A, B, Overlap.SERIALIZE, ("api.py", "api.py"))
    ]


def test_a_joint_owner_locks_out_earlier_readers_and_reports_that_read() -> None:
    tasks = [
        task("a", output=Output.REPORT, reads=("api/**",)),
        task("b", "api/x.py", joint=True, reads=("api/**",)),
    ]
    assert pairs(tasks) == [Pair(A, B, Overlap.SERIALIZE, ("api/**", "api/x.py"))]


def test_joint_is_stricter_than_an_accepted_overlap() -> None:
    tasks = [
        task("a", "api.py", overlap=Overlap.ACCEPT, joint=True),
        task("b", "api.py", overlap=Overlap.ACCEPT, reads=("api.py",)),
    ]
    assert [pair.policy for pair in pairs(tasks)] == [Overlap.SERIALIZE]


@pytest.mark.parametrize("pattern", ["uv.lock", "/uv.lock", "sub/uv.lock"])
def test_generated_files_are_nobodys(pattern: str) -> None:
    tasks = [task("a", pattern, "a.py"), task("b", pattern, "b.py")]
    assert Overlaps(tasks, ["uv.lock"]).of(A) == frozenset()
    assert Overlaps(tasks, []).of(A) == {B}


def test_a_pattern_that_is_more_than_generated_files_still_counts() -> None:
    tasks = [task("a", "*.lock"), task("b", "other.lock")]
    assert Overlaps(tasks, ["uv.lock"]).of(A) == {B}


def test_a_report_owns_nothing() -> None:
    assert pairs([task("a", "x.py"), task("b", "x.py", output=Output.REPORT)]) == []


def test_two_revisions_of_a_task_both_count_and_are_no_pair() -> None:
    old, new, other = task("a", "old.py"), task("a", "new.py"), task("b", "old.py")
    newer = task("c", "new.py", plan="q")
    overlaps = Overlaps([old, other, new, other, newer], [])
    assert overlaps.of(A) == {B, newer.id}
    assert overlaps.of(B) == {A}
    assert len(pairs([old, other, new, other, newer])) == 2


def test_a_task_of_another_plan_overlaps_too() -> None:
    theirs = task("a", "cli.py", plan="q")
    assert Overlaps([task("a", "cli.py"), theirs], []).of(A) == {theirs.id}


def test_a_watched_revision_does_not_soften_a_serialized_one() -> None:
    watch = task("a", "x.py", overlap=Overlap.WATCH)
    overlaps = Overlaps([watch, task("a", "x.py"), task("b", "x.py", overlap=Overlap.WATCH)], [])
    assert overlaps.of(A) == {B}
    assert overlaps.watched(A) == frozenset()


PATTERNS = ["a/**", "a/x.py", "*.py", "b/", "b/[a-c].txt", "**/x.py", "b/a.txt", "/x.py", "c"]


@st.composite
def random_tasks(draw: st.DrawFn) -> list[Task]:
    tasks: list[Task] = []
    for number in range(draw(st.integers(0, 7))):
        files = draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3))
        needs = (
            draw(st.lists(st.sampled_from([str(n) for n in range(number)]), unique=True)) if number else []
        )
        policy = draw(st.sampled_from([Overlap.SERIALIZE, Overlap.SERIALIZE, Overlap.WATCH]))
        tasks.append(task(str(number), *files, needs=tuple(needs), overlap=policy))
    return draw(st.permutations(tasks))


@given(random_tasks())
def test_no_two_serialized_tasks_share_a_wave(tasks: list[Task]) -> None:
    serial = [(pair.a, pair.b) for pair in pairs(tasks) if pair.policy is Overlap.SERIALIZE]
    waves = graph.waves(tasks, serial)
    by_id = {one.id: one for one in tasks}
    for wave in waves:
        for a in wave:
            for b in wave:
                if a < b and Overlap.SERIALIZE in (by_id[a].overlap, by_id[b].overlap):
                    assert not _overlap(by_id[a], by_id[b])


@given(random_tasks())
def test_the_index_finds_what_comparing_everybody_finds(tasks: list[Task]) -> None:
    found = {(pair.a, pair.b) for pair in pairs(tasks)}
    expected = {(a.id, b.id) for n, a in enumerate(tasks) for b in tasks[n + 1 :] if _overlap(a, b)}
    assert found == expected


def _overlap(a: Task, b: Task) -> bool:
    return any(
        patterns.overlap(patterns.parse(one), patterns.parse(other)) for one in a.owned for other in b.owned
    )
