"""The command line, run in this process and through its funnel, on a real repository."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from git_fleet.cli.main import run
from tests.support import spaces
from tests.support.documents import validate
from tests.support.repo import Repo

PLAN = """\
version = 1
plan = "app"
title = "Three commands"
base = "main"

[[task]]
id = "42"
title = "Add a count command"
files = ["cli.py"]
prompt = "Print the number of pending tasks."

[[task]]
id = "43"
title = "Write the docs"
files = ["README.md", "CHANGELOG.md"]
labels = ["docs"]

[[task]]
id = "44"
title = "Add a clear command"
files = ["cli.py"]
"""


@dataclass(frozen=True)
class Answer:
    """What a command said: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


class Fleet:
    """`git fleet` in one folder. Calling it gives the answer, whatever it is."""

    def __init__(self, path: Path, capture: Callable[[], tuple[bytes, bytes]]) -> None:
        self.path = path
        self._capture = capture

    def __call__(self, *args: str, cwd: Path | None = None) -> Answer:
        self._capture()
        code = run(["-C", str(cwd or self.path), *args])
        out, err = self._capture()
        return Answer(code, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape"))

    def ok(self, *args: str, cwd: Path | None = None) -> str:
        """Standard output of a command that must succeed."""
        answer = self(*args, cwd=cwd)
        assert answer.code == 0, answer
        return answer.out

    def json(self, schema: str, *args: str, cwd: Path | None = None, code: int = 0) -> dict[str, Any]:
        """The JSON document a command prints, which must be what the schema says, on one line."""
        answer = self(*args, "--json", cwd=cwd)
        assert answer.code == code, answer
        assert answer.out.startswith('{"v":1,')
        assert answer.out.count("\n") == 1
        document: dict[str, Any] = json.loads(answer.out)
        validate(document, schema)
        return document


@pytest.fixture
def fleet(
    repo: Repo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> Fleet:
    """In a repository with one file to own and no plan yet; no gates, and it says so."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # texts that are kept for their writer
    repo.commit("Files", {"cli.py": "print()\n", "fleet.toml": 'version = 1\ngates = "none"\n'})
    return Fleet(repo.path, capsysbinary.readouterr)


@pytest.fixture
def planned(fleet: Fleet, repo: Repo) -> Fleet:
    """With the plan above stored as a draft."""
    (repo.path / ".git" / "plan.toml").write_text(PLAN, encoding="utf-8")
    fleet.ok("plan", "import", ".git/plan.toml")
    return fleet


@pytest.fixture
def approved(planned: Fleet) -> Fleet:
    """With the plan above open."""
    planned.ok("plan", "approve", "--yes")
    return planned


@pytest.fixture
def space(fleet: Fleet, tmp_path: Path) -> Fleet:
    """A workspace `shop` of lib and client, with a plan each; what is called works in its folder."""
    spaces.planned(tmp_path / "all")
    return Fleet(tmp_path / "all" / "shop", fleet._capture)
