"""Two machines with a workspace each, and the git servers between them: one of the workspace's own repository, one of
each repository in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from git_fleet.app import workspaces
from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import checking, editing, looking, plans
from git_fleet.app.wide import together as landing
from git_fleet.core.workspace import ChangesetResult, Workspace
from tests.support import spaces
from tests.support.clock import FakeClock
from tests.support.clones import make_clone
from tests.support.fleet import claimed, open_fleet, proposed, surroundings
from tests.support.repo import Content, Repo, make_repo

SHARED = 'version = 1\nremote = "origin"\nrefresh_seconds = 0\ngates = "none"\n'


@dataclass(frozen=True)
class Machine:
    """One of them: `host`, with all its clones below `folder`."""

    host: str
    folder: Path
    clock: FakeClock

    @property
    def around(self) -> Surroundings:
        return surroundings(self.clock, host=self.host)

    @property
    def space(self) -> Workspace:
        return workspaces.load(self.folder / "shop")

    def repo(self, name: str) -> Repo:
        return Repo(self.folder / name)

    def open(self, name: str, worker: str = "w1") -> Session:
        return open_fleet(self.repo(name), worker, self.clock, host=self.host)

    def approve(self, plan: str = spaces.PLAN) -> None:
        stored = plans.import_plan(self.space, self.around, plan.encode(), "rename.toml")
        plans.approve(self.space, self.around, plans.foresee(self.space, self.around, stored.plan.id))

    def work(self, name: str, task: str, files: Mapping[str, Content]) -> None:
        """Claim a task there and hand it in."""
        with self.open(name, f"w-{self.host}") as session:
            claimed(session, task)
            proposed(session, task, dict(files))

    def together(self, name: str = "api") -> ChangesetResult:
        """`git fleet integrate --changeset`."""
        return landing.integrate(self.space, self.around, name, lambda _: None)

    def state(self) -> str:
        """How the change set stands, as `workspace status` says here."""
        found = looking.overview(self.space, self.around, self.space.repos)
        assert not found.trouble, found.trouble
        return found.changesets[0].state if found.changesets else ""

    def ready(self) -> list[str]:
        """What can be claimed, as `workspace ready` says here."""
        offers, broken = looking.ready(self.space, self.around)
        assert not broken, broken
        return [f"{offer.repo.name}/{offer.task.id.task}" for offer in offers]


def make_machines(folder: Path, clock: FakeClock) -> tuple[dict[str, Repo], Machine, Machine]:
    """The servers by name, and two machines. The second has cloned the workspace, and had `workspace doctor --fix`
    clone the rest."""
    one = folder / "a"
    editing.begin(one / "shop")
    for name, files in spaces.SHOP.items():
        make_repo(folder / "seeds" / name, {**files, "fleet.toml": SHARED})
        server = _serve(folder, Repo(folder / "seeds" / name)).path
        make_clone(one / name, server)
        with (one / "shop" / "workspace.toml").open("a", encoding="utf-8") as file:
            file.write(f'\n[[repo]]\nname = "{name}"\npath = "../{name}"\nurl = "{server}"\n')
    shop = Repo(one / "shop")
    shop.write("fleet.toml", SHARED)
    shop.commit("Set up", {"workspace.toml": (one / "shop" / "workspace.toml").read_text()})
    shop.run_git("add", "fleet.toml")
    shop.run_git("commit", "-q", "-m", "Share")
    server = _serve(folder, shop).path
    shop.run_git("remote", "add", "origin", str(server))
    make_clone(folder / "b" / "shop", server)
    machines = (Machine("a", one, clock), Machine("b", folder / "b", clock))
    for machine in machines:
        checking.check(machine.space, machine.around, fix=True)
    return {path.stem: Repo(path) for path in (folder / "servers").iterdir()}, *machines


def _serve(folder: Path, repo: Repo) -> Repo:
    path = folder / "servers" / f"{repo.path.name}.git"
    path.parent.mkdir(exist_ok=True)
    repo.run_git("clone", "--quiet", "--bare", str(repo.path), str(path))
    return Repo(path)
