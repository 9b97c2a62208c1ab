"""Names from a plan, judged as git and file systems judge them."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_fleet.core.spelling import branch_problem, folder_problem, slug_problem

PIECES = [*"ab./-@{}~^:?*[]\\ \t\x7f", ".lock", "..", "@{", "HEAD"]
NASTY = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)


@settings(max_examples=120)
@given(NASTY)
@example("a.lock/b")
@example("a.")
@example("a./b")
@example("@")
@example("@/a")
def test_no_branch_name_is_allowed_that_git_refuses(name: str) -> None:
    git = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, check=False)
    if not branch_problem(name):
        assert git.returncode == 0
    elif git.returncode == 0:
        # git expands `@{-1}`; nothing else that it takes is refused here but these.
        assert name in ("HEAD", "@") or name.startswith("refs/") or "@{" in name


@pytest.mark.parametrize("name", ["feature/42-count", "a", "über/straße", "x@y", "a.b"])
def test_usual_branch_names_are_allowed(name: str) -> None:
    assert branch_problem(name) == ""


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\nb", "refs/heads/x", "HEAD", "x" * 201, "\ud800"])
def test_branch_names_that_mislead_are_refused(name: str) -> None:
    assert branch_problem(name)


@pytest.mark.parametrize("name", ["app-42", "über", "with space", ".hidden", "a..b"])
def test_a_folder_of_its_own_is_allowed(name: str) -> None:
    assert folder_problem(name) == ""


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".git", ".GIT", "a/b", "a\\b", "-x", "a\0", " a", "a ", "x" * 201]
)
def test_a_folder_that_leads_elsewhere_is_refused(name: str) -> None:
    assert folder_problem(name)


@pytest.mark.parametrize(("slug", "fine"), [("count", True), ("a.b_c-D1", True), ("", False), ("-a", False),
                                            ("a/b", False), ("a..b", False), ("a.lock", False), ("a.", False),
                                            ("a\n", False), ("é", False), ("x" * 101, False)])  # fmt: skip
def test_a_slug_fits_into_branch_and_folder_names(slug: str, fine: bool) -> None:
    assert (slug_problem(slug) == "") is fine
