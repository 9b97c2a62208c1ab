from __future__ import annotations

from pathlib import Path

from git_fleet.core.ids import Oid
from git_fleet.store.cache import Cache

ONE, TWO = Oid("1" * 40), Oid("2" * 40)


def test_what_was_saved_is_loaded_by_kind_and_object(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new" / "cache")
    assert cache.load("plan", ONE) is None
    cache.save("plan", ONE, {"a": [1, "ü\udcff"]})
    assert cache.load("plan", ONE) == {"a": [1, "ü\udcff"]}
    assert cache.load("plan", TWO) is None
    assert cache.load("config", ONE) is None


def test_a_broken_entry_counts_as_none_and_is_replaced(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for broken in (b"", b"\xff", b"[1]", b'{"a":'):
        (tmp_path / f"plan-{ONE}.json").write_bytes(broken)
        assert cache.load("plan", ONE) is None
    cache.save("plan", ONE, {"a": 1})
    assert cache.load("plan", ONE) == {"a": 1}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    cache = Cache(tmp_path / "cache")
    cache.save("plan", ONE, {"a": 1})
    assert cache.load("plan", ONE) is None


def test_nothing_is_left_beside_the_entry(tmp_path: Path) -> None:
    Cache(tmp_path).save("plan", ONE, {})
    assert [place.name for place in tmp_path.iterdir()] == [f"plan-{ONE}.json"]
