"""What is shipped, and that it is found again, from a wheel and from an editable install."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from git_fleet import __version__, resources
from tests.project.source import ROOT, project_files

# Without site (-S) the environment the tests run in cannot stand in for the installation under test.
_PROBE = """
import json, site, sys
site.addsitedir(sys.argv[1])
from git_fleet import resources
print(json.dumps({
    "module": resources.__file__,
    "hooks": str(resources.hooks_dir()),
    "schemas": {name: resources.schema(name) for name in resources.schema_names()},
    "prompt": resources.template("prompt"),
    "minder": str(resources.minder()),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built with what is installed already: no network."""
    folder = tmp_path_factory.mktemp("dist")
    _python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_modules_hooks_schemas_and_the_licence(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {path.as_posix() for path in project_files() if path.parts[0] == "git_fleet"}
    expected |= {f"git_fleet/_{path}" for path in project_files() if path.parts[0] in {"hooks", "schemas"}}
    about = f"git_fleet-{__version__}.dist-info"
    assert {name for name in inside if name.startswith("git_fleet/")} == expected
    assert f"{about}/licenses/LICENSE" in inside
    assert {name.split("/")[0] for name in inside} <= {"git_fleet", about, f"git_fleet-{__version__}.data"}


def test_the_wheel_gives_git_its_subcommand(wheel: Path) -> None:
    scripts = configparser.ConfigParser()
    archive = zipfile.ZipFile(wheel)
    scripts.read_string(archive.read(f"git_fleet-{__version__}.dist-info/entry_points.txt").decode())
    assert dict(scripts["console_scripts"]) == {
        "git-fleet": "git_fleet.__main__:main",
        "git-fleet-hook": "git_fleet.hook:entry",
    }


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_an_installation_finds_its_hooks_and_schemas(kind: str, wheel: Path, tmp_path: Path) -> None:
    what = [str(wheel)] if kind == "wheel" else ["--no-build-isolation", "--editable", str(ROOT)]
    _python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(tmp_path), *what)
    found: dict[str, Any] = json.loads(_python("-I", "-S", "-c", _PROBE, str(tmp_path)))
    home = ROOT if kind == "editable" else tmp_path
    assert Path(found["module"]).is_relative_to(home)
    assert Path(found["hooks"]).is_relative_to(home)
    assert found["schemas"] == {name: resources.schema(name) for name in resources.schema_names()}
    assert Path(found["minder"]).read_bytes() == resources.minder().read_bytes()
    assert found["prompt"] == resources.template("prompt")
    ours = [path for path in resources.hooks_dir().iterdir() if path.is_file()]
    assert ours
    for hook in ours:
        copy = Path(found["hooks"]) / hook.name
        assert copy.read_bytes() == hook.read_bytes()
        assert os.access(copy, os.X_OK) == os.access(hook, os.X_OK)


@pytest.fixture(scope="module")
def prefix(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed as a user would, but for what it needs."""
    place = tmp_path_factory.mktemp("prefix")
    where = ["--ignore-installed", "--prefix", str(place)]  # else pip takes the one under test away
    _python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", *where, str(wheel))
    return place


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_git_finds_the_manual_page_of_what_is_installed(prefix: Path) -> None:
    """By the folder beside that of the program, where man looks for whatever is on PATH."""
    (page,) = prefix.rglob("share/man/man1/git-fleet.1")
    path = f"{page.parents[3] / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "MANPAGER": "cat", "GIT_PAGER": "cat"}
    done = subprocess.run(["git", "help", "fleet"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "GIT-FLEET(1)" in done.stdout.replace("\b", "")
    assert "many workers on one repository" in " ".join(done.stdout.split())


def test_completions_are_where_shells_look_for_them(prefix: Path) -> None:
    for place, shell in (
        ("share/bash-completion/completions/git-fleet", "bash"),
        ("share/zsh/site-functions/_git-fleet", "zsh"),
        ("share/fish/vendor_conf.d/git-fleet.fish", "fish"),
    ):
        (found,) = prefix.rglob(place)
        assert found.read_text() == resources.completion(shell)


def test_every_schema_can_be_read_and_is_one() -> None:
    from jsonschema import Draft202012Validator

    assert resources.schema_names()
    for name in resources.schema_names():
        Draft202012Validator.check_schema(resources.schema(name))


def _python(*args: str) -> str:
    """Runs this interpreter away from the checkout, so that only what is installed can be found."""
    done = subprocess.run([sys.executable, *args], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
