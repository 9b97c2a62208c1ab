"""A sealed box around every test: nothing of the machine's user, git set-up or agents gets in."""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests.support.clock import START, FakeClock
from tests.support.repo import Repo, make_repo

# A shared machine can stall any example, so none has a deadline. CI draws the same examples each time;
# at a desk each run looks somewhere new.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# What a test may see of the outside; everything else is dropped. A list of what is allowed cannot miss the
# next agent's variable, nor git's own (GIT_DIR and the like, when tests run from a hook).
KEPT = {"PATH", "TMPDIR", "VIRTUAL_ENV", "CI", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
KEPT_PREFIXES = (
    "PIP_",
    "PYTEST_",
    "COVERAGE_",
)  # pip's for tests that install: how this machine reaches packages

GITCONFIG = """\
[user]
	name = Test Person
	email = person@example.invalid
[init]
	defaultBranch = main
[core]
	fsync = none
	fsyncMethod = writeout-only
[gc]
	auto = 0
[maintenance]
	auto = false
[commit]
	gpgSign = false
[advice]
	detachedHead = false
[protocol "file"]
	allow = always
"""


_ROOMY = 6 << 30
"""Bytes: a run of all tests leaves a quarter of that behind."""


def pytest_configure(config: pytest.Config) -> None:
    """On a machine for CI, which is thrown away, tests work in memory where there is plenty: a fifth of their time
    is files made and removed. `--basetemp` and PYTEST_DEBUG_TEMPROOT say otherwise."""
    memory = Path("/dev/shm")
    if not os.environ.get("CI") or config.option.basetemp or "PYTEST_DEBUG_TEMPROOT" in os.environ:
        return
    if memory.is_dir() and min(shutil.disk_usage(memory).free, psutil.virtual_memory().available) > _ROOMY:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(memory)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is there once all tests are read stays: looking through it for garbage, again and again, would take a fifth
    of their time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m slow` reads only what has slow tests: for two workers to read the rest takes as long as ten of them."""
    if config.option.markexpr != "slow" or collection_path.suffix != ".py":
        return None
    return "mark.slow" not in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: one that began last would run alone at the end."""
    items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> float:
    """What its mark says that it takes, roughly; nothing said: not long."""
    return max((float(mark.kwargs.get("seconds", 0)) for mark in item.iter_markers("slow")), default=0.0)


def sealed(home: Path) -> dict[str, str]:
    """The whole environment of a test whose home is `home`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in KEPT or name.upper().startswith(KEPT_PREFIXES)
    }
    date = f"{int(START.timestamp())} +0000"
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_RUNTIME_DIR": str(home / ".run"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_AUTHOR_NAME": "Test Person",
        "GIT_AUTHOR_EMAIL": "person@example.invalid",
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": "Test Person",
        "GIT_COMMITTER_EMAIL": "person@example.invalid",
        "GIT_COMMITTER_DATE": date,
        "GIT_EDITOR": "false",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }


@pytest.fixture(autouse=True)
def sealed_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces the environment, for this process and all it starts. Gives the test's home."""
    home = tmp_path_factory.mktemp("home")
    (home / ".run").mkdir(mode=0o700)
    # git-fleet's own git drops GIT_*, identity and dates included: the file has to say who it is, too.
    (home / ".gitconfig").write_text(GITCONFIG, encoding="utf-8")
    inside = sealed(home)
    for name in set(os.environ) - set(inside) - {"PYTEST_CURRENT_TEST"}:
        monkeypatch.delenv(name)
    for name, value in inside.items():
        monkeypatch.setenv(name, value)
    time.tzset()  # TZ of a running process changes only so
    return home


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with one commit on main, in a folder of its own so that worktrees can stand beside it."""
    return make_repo(tmp_path / "repo")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
