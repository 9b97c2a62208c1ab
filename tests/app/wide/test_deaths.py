"""An integration of a change set that dies anywhere: run again it ends whole, and until then nobody hides it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from git_fleet.app import doctor
from git_fleet.store import names
from tests.app.wide.test_together import mains, one_commit_each, well
from tests.support import spaces
from tests.support.dying import killed_at_every_step
from tests.support.fleet import open_fleet
from tests.support.moments import Moment, fingerprint, moments, put_back
from tests.support.stages import outline
from tests.support.worlds import assert_sound

STRIDE = 131
"""Of the kills of a real process: the locks of its gits go with it, their work may go on after it."""
_BEGUN = f"shop/.git/{names.changeset_log('rename', 'api')}"


class World:
    """A change set that is ready in three repositories, their caches beside them, so that all of it can be put back."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.kept = tmp_path / "all", tmp_path / "kept"
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.folder / "cache"))
        shop = {
            name: {**files, **(spaces.QUIET if name != "library" else {})}
            for name, files in spaces.SHOP.items()
        }  # one gate of a repository's own is asked as three are, in a third of the steps
        self.space, self.repos = spaces.make_space(self.folder, shop)
        spaces.approve(self.space, spaces.PLAN)
        spaces.work_all(self.repos)
        self.before = mains(self.repos)
        self._told: dict[str, str] = {}
        self._met: set[str] = set()

    def moments(self) -> list[Moment]:
        """What an integration that nobody disturbs leaves on its way."""
        return moments(self.folder, self.kept, lambda: spaces.together(self.space))

    def state(self) -> str:
        """As `workspace status` says; asked once for the same refs."""
        refs = fingerprint(self.folder, named="/refs/")
        if refs not in self._told:
            self._told[refs] = spaces.states(self.space)["api"]
        return self._told[refs]

    def moved(self) -> list[str]:
        return [name for name, repo in self.repos.items() if repo.rev("main") != self.before[name]]

    def assert_seen(self) -> str:
        """As it is left now, people see how far it has come: the state."""
        state, moved = self.state(), self.moved()
        assert moved == list(self.repos)[: len(moved)], "in the order of needs"
        allowed = {0: {"ready", "begun"}, len(self.repos): {"half-way", "landed"}}
        assert state in allowed.get(len(moved), {"half-way"}), f"{state}, though {moved} have moved"
        return state

    def assert_ends_whole(self) -> None:
        """The same command run again brings all of it in, each commit once, and leaves nothing undone."""
        found = spaces.together(self.space)
        assert found.state == "landed", found
        assert one_commit_each(self.repos, self.before)
        for repo in self.repos.values():
            assert repo.try_git("fsck", "--connectivity-only", "--no-dangling").returncode == 0
        ended = outline(self.folder)
        if ended not in self._met:  # else it was found to be well before
            self._met.add(ended)
            assert spaces.states(self.space) == {"api": "landed"}
            assert self._mended(), "doctor finds something"

    def _mended(self) -> bool:
        """Nothing is wrong, once doctor has removed the locks of gits that are dead."""
        for repo in self.repos.values():
            if list((repo.path / ".git" / "refs").rglob("*.lock")):
                with open_fleet(repo) as session:
                    doctor.doctor(session, fix=True)
            assert_sound(repo)
        return well(self.repos)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize("begun", [False, True], ids=["before the intent", "from the intent on"])
def test_dead_before_any_step_it_is_seen_and_run_again_it_ends_whole(world: World, *, begun: bool) -> None:
    seen = set()
    found = [each for each in world.moments() if (each.copy / _BEGUN).exists() is begun]
    for moment in found:
        put_back(moment.copy, world.folder)
        try:
            seen.add(world.assert_seen())
            world.assert_ends_whole()
        except Exception as error:
            error.add_note(f"dead before: {moment.coming}")
            raise
    assert len(found) > 30
    assert seen == ({"begun", "half-way", "landed"} if begun else {"ready"})


@pytest.mark.slow(seconds=40)
def test_a_process_killed_on_its_way_is_gone_on_with(world: World) -> None:
    shutil.copytree(world.folder, world.kept, symlinks=True)
    deaths = 0
    for _ in killed_at_every_step(lambda: spaces.together(world.space), stride=STRIDE):
        deaths += 1
        world.assert_seen()
        world.assert_ends_whole()
        put_back(world.kept, world.folder)
    assert deaths > 2
