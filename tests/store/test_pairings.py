from __future__ import annotations

import json
from pathlib import Path

from git_fleet.core.ids import TaskId
from git_fleet.core.model import Overlap
from git_fleet.core.overlaps import Pair
from git_fleet.store.cache import Cache
from git_fleet.store.pairings import remembering

PLANS = (("*.lock",), ("p", "1" * 40, None))
ONE = Pair(TaskId("p", "a"), TaskId("q", "b"), Overlap.WATCH, ("src/", "/src/ü\udcff"))


def never() -> list[Pair]:
    raise AssertionError("this was known")


def test_pairs_are_found_once_for_the_same_plans_and_anew_for_others(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert remembering(cache, PLANS, keep=True)(lambda: [ONE]) == [ONE]
    assert remembering(cache, PLANS, keep=True)(never) == [ONE]
    others = (PLANS[0], ("p", "1" * 40, "2" * 40))
    assert remembering(cache, others, keep=True)(list) == []
    assert remembering(cache, others, keep=True)(never) == []
    assert len(list(tmp_path.iterdir())) == 1  # what was of the plans before is of no use any more


def test_who_only_reads_keeps_nothing(tmp_path: Path) -> None:
    assert remembering(Cache(tmp_path), PLANS, keep=False)(lambda: [ONE]) == [ONE]
    assert not list(tmp_path.iterdir())


def test_what_is_broken_is_found_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    remembering(cache, PLANS, keep=True)(lambda: [ONE])
    (file,) = tmp_path.iterdir()
    whole = json.loads(file.read_bytes())
    no_name = [["p"], "a", "q", "b", "watch", "x", "y"]
    for rows in ([["p"]], [["p", "a", "q", "b", "never", "x", "y"]], [no_name], None, 7, {"a": 1}):
        file.write_text(json.dumps({**whole, "pairs": rows}))
        assert remembering(cache, PLANS, keep=True)(lambda: [ONE]) == [ONE]
        assert remembering(cache, PLANS, keep=True)(never) == [ONE]
    file.write_text("[" * 100_000)
    assert remembering(cache, PLANS, keep=True)(lambda: [ONE]) == [ONE]


def test_more_than_anybody_would_read_is_not_kept(tmp_path: Path) -> None:
    many = [ONE] * 50_001
    assert remembering(Cache(tmp_path), PLANS, keep=True)(lambda: many) == many
    assert not list(tmp_path.iterdir())
