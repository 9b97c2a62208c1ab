"""A repository's files on a page."""

from __future__ import annotations

from git_fleet.core.outline import outline, size

FILES = {
    "README.md": 1200,
    "src/a.py": 10,
    "src/b.py": 2048,
    "src/deep/c.py": 5,
    "vendor/one.js": 3_000_000,
    "vendor/two.js": 1,
    "vendor/three.js": 1,
}


def test_all_of_a_small_tree_is_shown() -> None:
    assert outline(FILES, 10_000).splitlines() == [
        "README.md  1.2 kB",
        "src/  (3 files, 2.1 kB)",
        "src/a.py  10 B",
        "src/b.py  2.0 kB",
        "src/deep/  (1 file, 5 B)",
        "src/deep/c.py  5 B",
        "vendor/  (3 files, 3.0 MB)",
        "vendor/one.js  3.0 MB",
        "vendor/three.js  1 B",
        "vendor/two.js  1 B",
    ]


def test_what_does_not_fit_stays_folded() -> None:
    files = {**{f"gen/{n}.py": 10 for n in range(500)}, "src/main.py": 20}
    assert outline(files, 200).splitlines() == [
        "gen/  (500 files, 5.0 kB)",
        "src/  (1 file, 20 B)",
        "src/main.py  20 B",
    ]


def test_no_tree_is_longer_than_it_may_be() -> None:
    files = {f"{'d' * (n % 7)}/{n % 13}/{n}.txt": n for n in range(3000)} | {f"top{n}": 1 for n in range(900)}
    for most in (500, 5_000, 50_000):
        text = outline(files, most)
        assert len(text) <= most + len("… and 9999 more")
        assert text.splitlines()


def test_where_not_even_the_root_fits_the_rest_is_counted() -> None:
    assert outline({f"f{n}": 1 for n in range(100)}, 20).splitlines() == [
        "f0  1 B",
        "f1  1 B",
        "… and 98 more",
    ]


def test_nothing_is_nothing() -> None:
    assert outline({}, 100) == ""


def test_sizes_in_few_characters() -> None:
    assert [size(count) for count in (0, 999, 1000, 12_345, 3_400_000, 5 * 10**12)] == [
        "0 B", "999 B", "1.0 kB", "12 kB", "3.4 MB", "5000 GB",
    ]  # fmt: skip
