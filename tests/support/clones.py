"""Several clones of one repository, and the git server between them that decides (DESIGN section 11)."""

from __future__ import annotations

from pathlib import Path

from tests.support.repo import Repo, make_repo

CONFIG = 'version = 1\nremote = "origin"\ngates = "none"\nmax_active = 1000\nmax_review = 1000\n'


def make_server(path: Path, *, config: str = CONFIG) -> Path:
    """A bare repository at `path` with main, whose fleet.toml names the remote origin."""
    seed = make_repo(path.with_name(f"{path.name}-seed"))
    seed.commit("Set up", {"fleet.toml": config})
    seed.run_git("clone", "--quiet", "--bare", str(seed.path), str(path))
    Repo(path).run_git("remote", "remove", "origin")
    return path


def make_clone(path: Path, server: Path | str) -> Repo:
    """A clone of it at `path`, as a person makes one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Repo(path.parent).run_git("clone", "--quiet", str(server), str(path))
    return Repo(path)


def make_clones(folder: Path, count: int = 2, *, config: str = CONFIG) -> tuple[Path, list[Repo]]:
    """A server below `folder` and so many clones of it, `a`, `b` and so on, each in a folder of its own, so that
    worktrees can stand beside it."""
    server = make_server(folder / "server.git", config=config)
    return server, [make_clone(folder / name / "repo", server) for name in "abcdefgh"[:count]]
