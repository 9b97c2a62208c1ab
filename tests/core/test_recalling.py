"""Which learnings matter, in which order, and how many of them fit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from git_fleet.core import learnings, recalling
from git_fleet.core.learnings import Decision, Known, Standing
from git_fleet.core.recalling import Source, Wanted

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def known(text: str, *paths: str, state: Standing | None = None, days: int = 0, **about: object) -> Known:
    at = NOW - timedelta(days=days)
    made = learnings.make(text, **{"by": "w1", "at": at, "paths": paths, **about})  # type: ignore[arg-type]
    return Known(made, Decision(made.id, state, "Ann", at, 1) if state else None)


def texts(wanted: Wanted, *found: Known, general: bool = True) -> list[str]:
    hits = recalling.matching([Source(found, general=general)], wanted, NOW)
    return [hit.known.learning.text for hit in hits]


def test_files_count_more_the_more_exactly_they_are_named_then_labels_then_age() -> None:
    found = [
        known("old", labels=["api"], days=400),
        known("everywhere", "**"),
        known("folder", "src/**"),
        known("new", labels=["API"]),
        known("file", "src/api/client.py"),
        known("general"),
        known("elsewhere", "docs/**", "/*.md", labels=["docs"]),
        known("approved", labels=["api"], state=Standing.APPROVED, days=30),
    ]
    wanted = Wanted(("src/api/**",), ("api",), general=True)
    assert texts(wanted, *found) == [
        "file", "folder", "approved", "new", "old", "everywhere", "general",
    ]  # fmt: skip
    assert "general" not in texts(wanted, *found, general=False)


def test_what_is_retired_or_not_asked_for_is_not_found() -> None:
    found = [
        known("gone", "a", state=Standing.RETIRED),
        known("new", "a"),
        known("so", "a", state=Standing.APPROVED),
    ]
    assert texts(Wanted(("a",)), *found) == ["so", "new"]
    assert texts(Wanted(("a",), states=frozenset({Standing.APPROVED})), *found) == ["so"]


LONG = "The client in the api folder retries every POST request, so a handler has to be idempotent"


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (
            "the client in the API folder retries every POST request - so a handler has to be idempotent!",
            True,
        ),
        (LONG.replace("every", "each"), True),
        (LONG.replace("every POST", "no POST"), False),
        (LONG.replace("has to be", "has not to be"), False),
        (LONG.replace("every", "3"), False),
        ("A handler must be idempotent because of retries", False),
    ],
)
def test_nearly_the_same_words_are_folded_unless_they_may_mean_the_opposite(other: str, alike: bool) -> None:
    hits = recalling.matching([Source((known(LONG, "a"), known(other, "b")))], Wanted(("a", "b")), NOW)
    folded, _ = recalling.fold(hits, 10)
    assert len(folded) == (1 if alike else 2)
    assert sum(len(hit.alike) for hit in folded) == (1 if alike else 0)


def test_what_two_repositories_have_is_shown_once_as_ones_own() -> None:
    same = known("Same", "a")
    hits = recalling.matching(
        [Source((same,)), Source((same, known("Other", "a")), "lib")], Wanted(("a",)), NOW
    )
    assert sorted((hit.known.learning.text, hit.source) for hit in hits) == [("Other", "lib"), ("Same", "")]


@pytest.mark.parametrize("tokens", [0, 30, 100, 250, 800])
def test_what_is_quoted_fits_the_budget_and_none_is_left_out_that_would_fit(tokens: int) -> None:
    found = [known(f"{'word ' * size}{number}", "a") for number, size in enumerate((10, 400, 3, 90, 1, 60))]
    hits = recalling.matching([Source(tuple(found))], Wanted(("a",)), NOW)
    chosen = recalling.within(hits, tokens)
    mark = "f" * 16
    size = sum(len(recalling.quoted(hit, mark)) + 1 for hit in chosen)
    assert size <= tokens * 4
    left = [hit for hit in hits if hit not in chosen]
    assert all(size + len(recalling.quoted(hit, mark)) + 1 > tokens * 4 for hit in left)
    for hit in chosen:
        assert len(recalling.quoted(hit, mark).encode()) < 1000
        assert len(recalling.origin(hit)) <= 120


def test_what_is_retired_here_is_not_told_from_elsewhere() -> None:
    here, there = known("Same", "a", state=Standing.RETIRED), known("Same", "a", state=Standing.APPROVED)
    assert recalling.matching([Source((here,)), Source((there,), "lib")], Wanted(("a",)), NOW) == []
    undecided = recalling.matching([Source((known("Same", "a"),)), Source((there,), "lib")],
                                   Wanted(("a",), states=frozenset({Standing.APPROVED})), NOW)  # fmt: skip
    assert [hit.source for hit in undecided] == ["lib"]
