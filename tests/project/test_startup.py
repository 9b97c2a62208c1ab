"""A one-shot command may take 100 ms before it begins to work: nothing slow is imported at module level."""

from __future__ import annotations

from tests.project.imports import third_party


def test_the_command_line_starts_with_click_alone() -> None:
    assert third_party("git_fleet.cli.main") == {"click"}
