from __future__ import annotations

import os

from git_fleet.core.scope import outside

PATHS = ["cli.py", "sub/cli.py", "docs/a.md", "uv.lock", "fleet.toml", ".ci/run"]


def test_a_task_may_change_what_its_patterns_match() -> None:
    assert outside(PATHS, ["cli.py", "docs/"]) == ("uv.lock", "fleet.toml", ".ci/run")


def test_a_task_that_owns_nothing_may_change_nothing() -> None:
    assert outside(PATHS, []) == tuple(PATHS)


def test_generated_files_are_everybodys() -> None:
    assert outside(PATHS, ["cli.py", "docs/**"], generated=["*.lock"]) == ("fleet.toml", ".ci/run")


def test_a_protected_file_needs_an_owner_even_when_generated() -> None:
    protected = ["fleet.toml", ".ci/**"]
    shared = ["uv.lock", ".ci/run"]
    assert outside(PATHS, ["cli.py", "docs/"], generated=shared, protected=protected) == (
        "fleet.toml",
        ".ci/run",
    )
    assert outside(PATHS, ["cli.py", "docs/", ".ci/"], generated=shared, protected=protected) == (
        "fleet.toml",
    )


def test_a_broad_pattern_owns_what_is_protected() -> None:
    assert outside(PATHS, ["**"], protected=["fleet.toml"]) == ()


def test_names_of_any_bytes_are_judged() -> None:
    odd = [os.fsdecode(b'src/caf\xe9 \n"x".py'), "other/a\nb"]
    assert outside(odd, ["src/**"]) == ("other/a\nb",)
