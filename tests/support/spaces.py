"""Workspaces of real repositories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from git_fleet.app import landing as landing_of_one
from git_fleet.app import workspaces
from git_fleet.app.wide import editing, looking, plans, sides
from git_fleet.app.wide import together as landing
from git_fleet.core.workspace import FILE, ChangesetResult, Workspace
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, integrated, open_fleet, proposed, surroundings, task
from tests.support.repo import Content, Repo, make_repo
from tests.support.stories import MINUTES, tell

QUIET: Mapping[str, Content] = {"fleet.toml": 'version = 1\ngates = "none"\n'}


def make_space(folder: Path, repos: Mapping[str, Mapping[str, Content]]) -> tuple[Workspace, dict[str, Repo]]:
    """A workspace `folder/shop` of new repositories beside it, each with these files."""
    home = folder / "shop"
    editing.begin(home)
    made = {}
    for name, files in repos.items():
        made[name] = make_repo(folder / name, {**QUIET, **files})
        editing.add(workspaces.load(home), str(made[name].path), folder)
    return workspaces.load(home), made


def planned(folder: Path) -> None:
    """A workspace of lib (a, then b) and client (c, which comes first), each with an approved plan of its own."""
    _, repos = make_space(folder, {"lib": {}, "client": {}})
    approved(open_fleet(repos["lib"]), task("a", priority=1), task("b", needs=["a"]))
    approved(open_fleet(repos["client"]), task("c", priority=5, labels=["docs"]))


# --- three repositories that need each other --------------------------------------------------------

PLAN = """\
version = 1
plan = "rename"
title = "greet becomes salute"

[[task]]
id = "library/api"
files = ["/lib.sh", "/test.sh"]

[[task]]
id = "service/serve"
files = ["/serve.sh"]
needs = ["library/api"]

[[task]]
id = "client/call"
files = ["/call.sh"]
needs = ["library/api", "service/serve"]

[[task]]
id = "client/docs"
files = ["/README"]
needs = ["service/serve"]

[[changeset]]
id = "api"
tasks = ["client/call", "library/api", "service/serve"]

[[changeset.gates]]
name = "together"
run = "cd $FLEET_REPO_CLIENT && test \\"$(LIB=$FLEET_REPO_LIBRARY SERVICE=$FLEET_REPO_SERVICE sh call.sh)\\" = hello"
"""
_GATE = 'version = 1\n[[gate]]\nname = "tests"\nrun = "sh test.sh"\n'
SHOP: Mapping[str, Mapping[str, Content]] = {
    "library": {"fleet.toml": _GATE, "lib.sh": "greet() { echo hello; }\n", "test.sh": '. ./lib.sh; test "$(greet)" = hello\n'},
    "service": {"fleet.toml": _GATE, "serve.sh": '. "$LIB/lib.sh"\nserve() { greet; }\n', "test.sh": "sh -n serve.sh\n"},
    "client": {"fleet.toml": _GATE, "call.sh": '. "$LIB/lib.sh"; . "$SERVICE/serve.sh"; greet >/dev/null && serve\n', "test.sh": "sh -n call.sh\n"},
}  # fmt: skip
"""A library, a service that calls it, a client that calls both; each has tests of its own."""

RENAMED: Mapping[str, tuple[str, Mapping[str, Content]]] = {
    "library": ("api", {"lib.sh": "salute() { echo hello; }\n", "test.sh": '. ./lib.sh; test "$(salute)" = hello\n'}),
    "service": ("serve", {"serve.sh": '. "$LIB/lib.sh"\nserve() { salute; }\n'}),
    "client": ("call", {"call.sh": '. "$LIB/lib.sh"; . "$SERVICE/serve.sh"; salute >/dev/null && serve\n'}),
}  # fmt: skip
"""The work of each task of the change set."""


def renaming(folder: Path, plan: str = PLAN) -> tuple[Workspace, dict[str, Repo]]:
    """The shop with the plan approved, nothing worked yet."""
    space, repos = make_space(folder, SHOP)
    approve(space, plan)
    return space, repos


def crowded(folder: Path, clock: FakeClock) -> tuple[Workspace, dict[str, Repo]]:
    """The shop with its change set half-way, two repositories with the same hostile story (tests/support/stories.py),
    and one that is gone."""
    space, repos = renaming(folder)
    work(repos["library"], *RENAMED["library"])
    with open_fleet(repos["library"]) as session:
        integrated(session, "api")
    for name in ("web", "app"):
        repos[name] = make_repo(folder / name)
        tell(repos[name], FakeClock(), hostile=True)
        editing.add(workspaces.load(Path(space.folder)), str(repos[name].path), folder)
    clock.advance(60 * MINUTES)
    with Path(space.folder, FILE).open("a", encoding="utf-8") as file:
        file.write("\n[[repo]]\nname = 'gone'\npath = '../<b>gone'\n")
    return workspaces.load(Path(space.folder)), repos


def approve(space: Workspace, plan: str) -> None:
    """Import the text of a plan over the workspace, and approve it."""
    around = surroundings(FakeClock())
    stored = plans.import_plan(space, around, plan.encode(), "rename.toml")
    plans.approve(space, around, plans.foresee(space, around, stored.plan.id))


def work(repo: Repo, task: str, files: Mapping[str, Content]) -> None:
    """Claim a task there and hand it in, with these files."""
    with open_fleet(repo, "w1") as session:
        claimed(session, task)
        proposed(session, task, dict(files))


def work_all(repos: Mapping[str, Repo], but: str = "") -> None:
    """Hand in every task of the change set, but that of one repository."""
    for name, (job, files) in RENAMED.items():
        if name != but:
            work(repos[name], job, files)


def together(space: Workspace, name: str = "api") -> ChangesetResult:
    """`git fleet integrate --changeset`."""
    return landing.integrate(space, surroundings(FakeClock()), name, lambda _: None)


def states(space: Workspace) -> dict[str, str]:
    """How each change set stands, as `workspace status` says."""
    found = looking.overview(space, surroundings(FakeClock()), space.repos)
    assert not found.trouble
    return {each.id: each.state for each in found.changesets}


def stopped_after(monkeypatch: pytest.MonkeyPatch, moved: int, integrate: Callable[[], object]) -> None:
    """Integrate a change set, and be interrupted when so many mains have moved."""
    real, left = landing_of_one.land, [moved]

    def land(*args: object, **kwargs: object) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(sides, "land", land)
        with pytest.raises(KeyboardInterrupt):
            integrate()
