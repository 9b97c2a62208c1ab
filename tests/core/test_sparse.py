"""What a sparse worktree is to hold; which paths that are, git says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from git_fleet.core.sparse import Sparse, sparse
from tests.support.repo import Repo

TREE = (
    "README.md",
    "cli.py",
    ".claude/settings.json",
    "src/__init__.py",
    "src/api/__init__.py",
    "src/api/x.py",
    "src/api/y.py",
    "src/api/deep/z.py",
    "src/db/q.py",
    "docs/a.md",
    "docs/more/b.md",
    "odd[1]/f",
    "odd[1]/g",
    "odd1/h",
)
ALWAYS = {"README.md", "cli.py", ".claude/settings.json", "first"}


def held(repo: Repo, texts: Sequence[str], tracked: Iterable[str] = TREE) -> set[str]:
    """The paths that git has in a work tree after these lines, beside those that are always there."""
    repo.commit("files", dict.fromkeys(tracked, "x"))
    made = sparse(texts, repo.files())
    assert made is not None
    mode = "--cone" if made.cone else "--no-cone"
    repo.run_git(
        "sparse-checkout", "set", mode, "--stdin", stdin="".join(f"{x}\n" for x in made.lines).encode()
    )
    there = {path for path in repo.files() if (repo.path / path).exists()}
    assert ALWAYS & {*repo.files()} <= there
    return there - ALWAYS


@pytest.mark.parametrize(
    ("texts", "more"),
    [
        (["src/api/**"], {"src/__init__.py", "src/api/__init__.py", "src/api/x.py", "src/api/y.py", "src/api/deep/z.py"}),
        (["/docs/"], {"docs/a.md", "docs/more/b.md"}),
        (["/cli.py"], set()),
        (["src/api/x.py"], {"src/__init__.py", "src/api/__init__.py", "src/api/x.py", "src/api/y.py"}),
        (["src/api/*.py", "/docs/more/"],
         {"src/__init__.py", "src/api/__init__.py", "src/api/x.py", "src/api/y.py", "docs/a.md", "docs/more/b.md"}),
        (["*.md"], {"docs/a.md", "docs/more/b.md"}),
        (["q.py"], {"src/__init__.py", "src/db/q.py"}),
        (["src/db/new.py"], {"src/__init__.py", "src/db/q.py"}),
        (["nowhere/yet.py"], set()),
        (["odd\\[1\\]/f"], {"odd[1]/f", "odd[1]/g"}),
        (["/odd\\[1\\]/"], {"odd[1]/f", "odd[1]/g"}),
        (["src/**", "src/api/x.py"],
         {path for path in TREE if path.startswith("src/")}),
    ],
)  # fmt: skip
def test_it_holds_the_files_and_those_beside_them(repo: Repo, texts: list[str], more: set[str]) -> None:
    assert held(repo, texts) == more


@pytest.mark.parametrize(
    ("texts", "cone"),
    [
        (["src/**", "/docs/", "/cli.py"], True),
        (["/new-folder-or-file"], False),
        (["src/api/x.py"], False),
        (["*.py"], False),
        (["docs"], False),
    ],
)
def test_folders_go_in_cone_mode(texts: list[str], cone: bool) -> None:
    made = sparse(texts, TREE)
    assert made is not None
    assert made.cone is cone


def test_of_very_many_folders_those_that_are_named_come_along() -> None:
    tracked = [f"d{n}/f.py" for n in range(400)]
    assert sparse(["*.py", "d1/x"], tracked) == Sparse(
        False, ("/*", "!/*/", "/d1/*", "!/d1/*/", "*.py", "d1/x")
    )


def test_a_task_without_patterns_gets_everything() -> None:
    assert sparse([], TREE) is None
