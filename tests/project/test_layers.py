"""The layers are law: import-linter's contracts (pyproject.toml) hold, and notice when they do not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.source import ROOT


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the git_fleet that stands in `folder`, with the contracts there."""
    tool = Path(sys.executable).parent / "lint-imports"
    command = [str(tool), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_contract_is_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("core/ids.py", "import git_fleet.git.process", "faces > views, app > store > git > core"),
        ("core/ids.py", "import git_fleet.core.model", "core, read from the bottom up"),
        ("core/newcomer.py", "", "core, read from the bottom up"),
        ("core/ids.py", "def now():\n    import time", "core is pure"),
        ("views/__init__.py", "import git_fleet.store", "views know core alone"),
        ("app/__init__.py", "import click", "click lives in cli"),
        ("store/__init__.py", "import pygit2", "pygit2 lives in git"),
        ("hook.py", "import rich", "hooks know the standard library"),
        ("agenthook.py", "import rich", "hooks know the standard library"),
        ("agenthook.py", "import git_fleet.hook", "faces > views, app > store > git > core"),
        ("minder.py", "import git_fleet.errors", "the minder knows nothing of ours"),
    ],
)
def test_a_breach_is_noticed(tmp_path: Path, module: str, line: str, broken: str) -> None:
    shutil.copytree(ROOT / "git_fleet", tmp_path / "git_fleet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "git_fleet" / module).open("a", encoding="utf-8") as target:
        target.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert [row for row in done.stdout.splitlines() if row.startswith(broken) and row.endswith("BROKEN")], (
        done.stdout
    )
