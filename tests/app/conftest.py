"""A server that is pushed to, and a stand-in for gh that knows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import gh
from tests.support.gh import StandIn
from tests.support.repo import Repo


@pytest.fixture
def server(repo: Repo, tmp_path: Path) -> Repo:
    """A bare repository, the scratch repository's only remote."""
    path = tmp_path / "server.git"
    repo.run_git("clone", "-q", "--bare", str(repo.path), str(path))
    repo.run_git("remote", "add", "origin", str(path))
    repo.run_git("fetch", "-q", "origin")
    return Repo(path)


@pytest.fixture
def forge(tmp_path: Path, server: Repo, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Its pull requests, by gh on PATH."""
    made = gh.stand_in(tmp_path / "bin", monkeypatch)
    (made.folder / "remote").write_text(str(server.path))
    return made
