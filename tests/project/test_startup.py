"""A one-shot command may take 100 ms before it begins to work: nothing slow is imported at module level."""

from __future__ import annotations

import importlib.util

import pytest

from tests.project.imports import brought_in, third_party

SLOW = {
    "asyncio", "concurrent.futures", "ctypes", "difflib", "jsonschema", "logging", "platformdirs",
    "psutil", "pygit2", "random", "rich", "secrets", "shutil", "socket", "tempfile", "tomli_w", "tomllib",
}  # fmt: skip
"""1 to 45 ms each. Who needs one of them imports it where it is needed."""

APART = {
    "git_fleet.app.status": {
        "app.claim", "app.history", "app.install", "app.isolation", "app.salvage", "app.slots", "core.answers",
        "core.check", "core.plandoc", "core.trailers", "git.drafts", "git.merging", "git.moves", "git.replay",
    },
    "git_fleet.app.integrate": {
        "app.bisection", "app.claim", "app.documents", "app.isolation", "app.placing", "app.salvage", "app.slots",
        "app.verify", "core.answers", "core.check", "core.plandoc", "core.prompting", "git.merging", "git.watching",
    },
    "git_fleet.app.lead": {"app.gating", "app.placing", "git.contents", "git.drafts", "git.moves"},
}  # fmt: skip
"""What a use case does without, where nothing unusual comes up: each module is 0.3 to 3 ms."""


def test_the_command_line_starts_with_little() -> None:
    assert third_party("git_fleet.cli.main") - {"typing_extensions"} == {"click", "msgspec"}  # msgspec's own


@pytest.mark.parametrize("use_case", APART)
def test_a_use_case_brings_in_nothing_slow(use_case: str) -> None:
    assert SLOW & brought_in(use_case) == set()


@pytest.mark.parametrize("use_case", APART)
def test_a_use_case_brings_in_nothing_that_belongs_to_others(use_case: str) -> None:
    others = {f"git_fleet.{name}" for name in APART[use_case]}
    assert others & brought_in(use_case) == set()
    for name in others:
        assert importlib.util.find_spec(name), f"{name} has another name now"
