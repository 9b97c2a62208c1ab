"""git runs the hooks several times for one commit: they start with the standard library alone."""

from __future__ import annotations

from tests.project.imports import third_party


def test_the_hook_brings_in_nothing_but_the_standard_library() -> None:
    assert third_party("git_fleet.hook") == set()


def test_the_probe_sees_what_a_module_brings_in() -> None:
    assert {"pygit2"} <= third_party("pygit2")
