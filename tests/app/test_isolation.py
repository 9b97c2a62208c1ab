"""A worktree made ready: everything in its place, whoever dies on the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from git_fleet.app import isolation, slots
from git_fleet.app.isolation import Prepared
from git_fleet.core.config import Config
from git_fleet.errors import Held, UnknownFormat
from git_fleet.git import contents, worktrees
from git_fleet.store import worktree
from git_fleet.store.base import Store
from git_fleet.store.worktree import Placement
from tests.support.clock import START
from tests.support.dying import killed_at_every_step
from tests.support.repo import Repo
from tests.support.stores import open_store

CONFIG = Config(touch=(".skip",), env=(("DB", "app_{slot}_{task}"), ("URL", "http://x:{port}/{plan}{other}")))
PLACEMENT = Placement(
    plan="p.lan",
    task="t",
    fence="1" * 40,
    worker="w1",
    slot=0,
    branch="feature/t",
    base="main",
    mode="branch",
    files=("a/**",),
    reads=(),
    regexes=(),
    generated_regexes=(),
    output="commit",
    claimed_at="2026-01-01T12:00:00Z",
)


@pytest.fixture
def project(repo: Repo) -> Repo:
    repo.commit("rules", {".gitignore": ".env\n"})
    repo.write(".worktreeinclude", ".env\n")
    repo.write(".env", "A=1\n")
    return repo


@pytest.fixture
def store(project: Repo) -> Iterator[Store]:
    with open_store(project) as opened:
        yield opened


def prepare(store: Store, tmp_path: Path, placement: Placement = PLACEMENT, **more: Any) -> Prepared:
    start = store.repo.git().text("rev-parse", "main")
    arguments: dict[str, Any] = {
        "path": tmp_path / "work" / "t",
        "start": start,
        "config": CONFIG,
        "state_dir": tmp_path / "state",
        "cache_dir": tmp_path / "cache",
        "now": START,
        "inherited": {},
    }
    return isolation.prepare(store, placement, **(arguments | more))


def assert_in_place(project: Repo, store: Store, tmp_path: Path, made: Prepared) -> None:
    """What must hold for every finished worktree, however it came about."""
    linked = Repo(made.path)
    git_dir = contents.git_dir_of(made.path)
    assert linked.run_git("symbolic-ref", "HEAD") == "refs/heads/feature/t"
    assert contents.dirty_files(made.path, markers=[".skip"]) == []
    assert contents.ignored_files(made.path) == [".env"]
    assert (made.path / ".env").read_text() == "A=1\n"
    assert worktree.read(git_dir) == replace(PLACEMENT, slot=1) == made.placement
    tree = worktrees.find(store.repo, made.path)
    assert tree
    assert (tree.locked, tree.lock_reason) == (True, "git-fleet: p.lan/t")
    assert len(worktrees.list_worktrees(store.repo)) == 2
    assert set(project.refs()) == {"refs/heads/main", "refs/heads/feature/t"}
    assert [slot.number for slot in slots.list_slots(tmp_path / "state")] == [1]
    assert (Path(made.slot.scratch) / "tmp").is_dir()


def test_everything_is_in_its_place_and_asking_again_changes_nothing(
    project: Repo, store: Store, tmp_path: Path
) -> None:
    first = prepare(store, tmp_path)
    assert_in_place(project, store, tmp_path, first)
    assert (first.included, first.visible) == ((".env",), (".skip",))
    again = prepare(store, tmp_path)
    assert_in_place(project, store, tmp_path, again)
    assert again.env == first.env


def test_the_environment_says_who_and_where(store: Store, tmp_path: Path) -> None:
    made = prepare(store, tmp_path, inherited={"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a.b"})
    scratch = str(next((tmp_path / "cache").glob("*/scratch/1")))
    port = made.slot.port_base
    assert made.env == {
        "FLEET_PLAN": "p.lan",
        "FLEET_TASK": "t",
        "FLEET_FENCE": "1" * 40,
        "FLEET_WORKER": "w1",
        "FLEET_SLOT": "1",
        "FLEET_PORT_BASE": str(port),
        "FLEET_PORT_COUNT": "10",
        "FLEET_SCRATCH": scratch,
        "FLEET_CACHE": str(Path(scratch).parents[1] / "shared"),
        "TMPDIR": f"{scratch}/tmp",
        "COMPOSE_PROJECT_NAME": "fleet-p-lan-t-1",
        "DB": "app_1_t",
        "URL": f"http://x:{port}/p.lan{{other}}",
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_1": "rebase.autoStash",
        "GIT_CONFIG_VALUE_1": "false",
        "GIT_CONFIG_KEY_2": "merge.autoStash",
        "GIT_CONFIG_VALUE_2": "false",
    }
    nested = prepare(store, tmp_path, inherited=made.env)
    assert nested.env["GIT_CONFIG_COUNT"] == "3"
    linked = Repo(made.path)
    clean = {name: value for name, value in made.env.items() if "_0" not in name}
    assert (
        linked.run_git(
            "config", "rebase.autoStash", env={**clean, "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c"}
        )
        == "false"
    )


def test_compose_names_are_short_and_end_in_the_slot(store: Store, tmp_path: Path) -> None:
    made = prepare(store, tmp_path)
    name = isolation.compose_name(replace(PLACEMENT, plan="A" * 80), made.slot)
    assert name == "fleet-" + "a" * 55 + "-1"
    assert len(name) == 63


def test_the_configuration_cannot_speak_for_the_fleet(store: Store, tmp_path: Path) -> None:
    config = replace(CONFIG, env=(("FLEET_TASK", "other"), ("GIT_CONFIG_COUNT", "0")))
    made = prepare(store, tmp_path, config=config)
    assert made.env["FLEET_TASK"] == "t"
    assert made.env["GIT_CONFIG_COUNT"] == "2"


@pytest.mark.slow
def test_killed_at_any_step_it_is_finished_by_the_next_call(
    project: Repo, store: Store, tmp_path: Path
) -> None:
    def work() -> None:
        with open_store(project) as own:  # a git child is not for sharing across a fork
            prepare(own, tmp_path)

    deaths = 0
    for _ in killed_at_every_step(work):
        deaths += 1
        made = prepare(store, tmp_path)
        assert_in_place(project, store, tmp_path, made)
        assert not list(made.path.glob(".env.*"))
        worktrees.remove(store.repo, made.path, markers=[".skip"])
        slots.free(tmp_path / "state", common_dir=store.repo.common_dir, worktree=made.path)
        project.run_git("update-ref", "-d", "refs/heads/feature/t")
    assert deaths > 20


def test_a_claim_after_a_crash_before_another_step_goes_on_from_there(
    project: Repo, store: Store, tmp_path: Path
) -> None:
    """The same, but each death finds what the one before has left."""

    def work() -> None:
        with open_store(project) as own:
            prepare(own, tmp_path)

    assert len(list(killed_at_every_step(work))) > 10
    assert_in_place(project, store, tmp_path, prepare(store, tmp_path))


def test_rework_goes_on_in_the_same_worktree_under_a_new_fence(
    project: Repo, store: Store, tmp_path: Path
) -> None:
    made = prepare(store, tmp_path)
    done = Repo(made.path).commit("work", {"a/x": "1"})
    assert isolation.reusable(store.repo, made.path, "feature/t", [".skip"])
    again = prepare(store, tmp_path, replace(PLACEMENT, fence="2" * 40, worker="w2"))
    assert Repo(made.path).rev("HEAD") == done
    assert again.slot.number == made.slot.number
    placed = worktree.read(contents.git_dir_of(made.path))
    assert placed
    assert (placed.fence, placed.worker) == ("2" * 40, "w2")
    assert len(project.refs("refs/heads")) == 2


def test_a_worktree_at_work_is_not_reused(store: Store, tmp_path: Path) -> None:
    path = prepare(store, tmp_path).path
    linked = Repo(path)

    def usable() -> bool:
        return isolation.reusable(store.repo, path, "feature/t", [".skip"])

    assert usable()
    assert not isolation.reusable(store.repo, path, "feature/other", [".skip"])
    linked.write("new", "1")
    assert not usable()
    (path / "new").unlink()
    linked.run_git("checkout", "-q", "--detach")
    assert not usable()
    linked.run_git("checkout", "-q", "feature/t")
    linked.run_git("bisect", "start")
    assert not usable()
    linked.run_git("bisect", "reset")
    assert usable()
    shutil.rmtree(path)
    assert not usable()


def test_resuming_on_a_detached_head_keeps_it_and_another_claim_does_not_get_it(
    store: Store, tmp_path: Path
) -> None:
    path = prepare(store, tmp_path).path
    Repo(path).run_git("checkout", "-q", "--detach")
    assert prepare(store, tmp_path).path == path
    with pytest.raises(Held, match="no branch"):
        prepare(store, tmp_path, replace(PLACEMENT, fence="2" * 40))


def test_a_folder_deleted_by_hand_is_made_again_and_its_commits_are_kept(
    project: Repo, store: Store, tmp_path: Path
) -> None:
    path = prepare(store, tmp_path).path
    linked = Repo(path)
    kept = linked.commit("kept", {"a/x": "1"})
    lost = linked.commit("reset away", {"a/y": "1"})
    linked.run_git("reset", "-q", "--hard", kept)
    shutil.rmtree(path)
    prepare(store, tmp_path)
    assert linked.rev("HEAD") == kept
    assert (path / ".env").exists()
    (ref,) = project.refs("refs/fleet/salvage")
    assert lost in project.run_git("rev-list", ref).splitlines()


def test_a_broken_placement_is_written_anew_but_not_one_of_a_later_version(
    store: Store, tmp_path: Path
) -> None:
    made = prepare(store, tmp_path)
    place = contents.git_dir_of(made.path) / "fleet.json"
    place.write_text("{")
    assert prepare(store, tmp_path).placement == worktree.read(place.parent)
    place.write_text('{"v": 2}')
    with pytest.raises(UnknownFormat):
        prepare(store, tmp_path)


def test_somebody_elses_folder_is_refused_and_nothing_is_left_behind(
    project: Repo, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "work" / "t").mkdir(parents=True)
    (tmp_path / "work" / "t" / "mine").write_text("1")
    with pytest.raises(Held, match="exists already"):
        prepare(store, tmp_path)
    assert set(project.refs()) == {"refs/heads/main"}
    assert not (tmp_path / "state").exists()
    assert os.listdir(tmp_path / "work" / "t") == ["mine"]
