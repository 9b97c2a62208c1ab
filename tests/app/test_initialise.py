from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from git_fleet.app import documents, suggestions
from git_fleet.app.checkouts import Checkouts
from git_fleet.app.doctor import doctor
from git_fleet.app.initialise import config_text, initialise, uninstall
from git_fleet.core.results import FoundGate
from git_fleet.errors import InvalidInput
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo, make_repo


def gates(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """What is proposed for these files; an alternative has a `#` in front of its command."""
    for name, content in files.items():
        (folder / name).write_text(content)
    return {gate.name: ("# " if gate.alternative else "") + gate.run for gate in suggestions.gates(folder)}


PYPROJECT = "[tool.pytest.ini_options]\n[tool.ruff]\n[tool.mypy]\nfiles = ['src']\n"
SCRIPTS = {"scripts": {"test": "vitest", "lint": "eslint", "build": "vite build", "start": "vite"}}


def test_python_tools_are_gates_where_they_are_configured(tmp_path: Path) -> None:
    found = gates(tmp_path, {"pyproject.toml": PYPROJECT})
    assert found == {"lint": "ruff check .", "types": "mypy", "tests": "pytest -q"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pytest.ini": "[pytest]\n"}, {"tests": "pytest -q"}),
        ({"setup.cfg": "[tool:pytest]\n"}, {"tests": "pytest -q"}),
        ({"setup.cfg": "[metadata]\n"}, {}),
        ({"mypy.ini": "[mypy]\n"}, {"types": "mypy ."}),
        ({"pyproject.toml": "[tool.ruff]\n", "uv.lock": ""}, {"lint": "uv run ruff check ."}),
        ({"pyproject.toml": "[tool.ruff]\n", "poetry.lock": ""}, {"lint": "poetry run ruff check ."}),
        ({"pyproject.toml": "not [ toml"}, {}),
        ({"go.mod": ""}, {"lint": "go vet ./...", "tests": "go test ./..."}),
        ({"Cargo.toml": ""}, {"tests": "cargo test"}),
        ({".pre-commit-config.yaml": ""}, {"pre-commit": "pre-commit run --all-files"}),
        ({"Makefile": "test: all\n\techo\nCHECK := 1\n"}, {"tests": "make test"}),
        ({"package.json": "{broken"}, {}),
        ({"package.json": '["a list"]'}, {}),
        ({"README.md": "nothing"}, {}),
    ],
)
def test_what_a_file_suggests(tmp_path: Path, files: dict[str, str], expected: dict[str, str]) -> None:
    assert gates(tmp_path, files) == expected


@pytest.mark.parametrize(
    ("lock", "install", "run"),
    [
        ("package-lock.json", "npm ci", "npm run"),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm run"),
        ("yarn.lock", "yarn install --frozen-lockfile", "yarn run"),
        ("other", "npm install", "npm run"),
    ],
)
def test_node_scripts_install_first_with_the_manager_of_the_lock_file(
    tmp_path: Path, lock: str, install: str, run: str
) -> None:
    found = gates(tmp_path, {"package.json": json.dumps(SCRIPTS), lock: ""})
    assert found == {
        "lint": f"{install} && {run} lint",
        "tests": f"{install} && {run} test",
        "build": f"{install} && {run} build",
    }


def test_npms_placeholder_is_no_test(tmp_path: Path) -> None:
    script = 'echo "Error: no test specified" && exit 1'
    assert gates(tmp_path, {"package.json": json.dumps({"scripts": {"test": script}})}) == {}


def test_the_projects_own_words_come_first_and_the_rest_are_alternatives(tmp_path: Path) -> None:
    files = {"Makefile": "check:\n\ntest:\n", "pyproject.toml": PYPROJECT, ".pre-commit-config.yaml": ""}
    assert gates(tmp_path, files) == {
        "lint": "make check",
        "tests": "make test",
        "pre-commit": "# pre-commit run --all-files",
        "lint-python": "# ruff check .",
        "types": "# mypy",
        "tests-python": "# pytest -q",
    }


def test_two_languages_are_both_checked(tmp_path: Path) -> None:
    found = gates(tmp_path, {"pyproject.toml": "[tool.pytest]\n", "go.mod": "", "Cargo.toml": ""})
    assert found == {
        "tests": "pytest -q",
        "lint": "go vet ./...",
        "tests-go": "go test ./...",
        "tests-rust": "cargo test",
    }


def test_every_proposal_is_a_valid_configuration(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").touch()
    found = (FoundGate("tests", 'say "hi" \\ there', "x"), FoundGate("more", "m", "y", alternative=True))
    for some in ((), found):
        text = config_text("héad/✓🚀", some, suggestions.generated(tmp_path))
        config, _ = documents.load_config(text.encode(), "fleet.toml")
        assert config.main == "héad/✓🚀"
        assert [gate.run for gate in config.gates] == [gate.run for gate in some if not gate.alternative]


def test_what_stands_in_comments_is_valid_when_taken_in(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").touch()
    alternative = FoundGate("more", "make more", "y", alternative=True)
    text = config_text("main", (alternative,), suggestions.generated(tmp_path))
    opened = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if line.startswith("# [[") or "=" in line
    )
    document = tomllib.loads(opened)
    assert document["gate"] == [{"name": "more", "run": "make more"}]
    assert document["generated"] == [{"paths": ["uv.lock"], "run": "uv lock"}]
    config, _ = documents.load_config(opened.encode(), "fleet.toml")
    assert config.lease_seconds == 3600


def test_init_writes_a_proposal_installs_hooks_and_says_what_to_commit(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r", {"Makefile": "test:\n\ttrue\n"})
    report = initialise(open_fleet(repo))
    assert (repo.path / "fleet.toml").read_text() == report.config
    assert [gate.run for gate in report.gates] == ["make test"]
    assert len(report.hooks) == 4
    (command,) = report.commands
    assert command == "git add fleet.toml && git commit -m 'Set up git-fleet' -- fleet.toml"
    repo.run_git("add", "fleet.toml")
    repo.run_git("commit", "-q", "-m", "Set up git-fleet", "--", "fleet.toml")
    session = open_fleet(repo)
    assert session.config().gates[0].run == "make test"
    assert doctor(session, fix=False).problems == ()


def test_init_again_changes_nothing(repo: Repo) -> None:
    initialise(open_fleet(repo))
    (repo.path / "fleet.toml").write_text("version = 1\n")
    again = initialise(open_fleet(repo))
    assert (again.config, again.gates, again.hooks) == ("", (), ())
    assert (repo.path / "fleet.toml").read_text() == "version = 1\n"
    assert len(again.commands) == 1  # it is still not committed
    repo.commit("set up", {"fleet.toml": "version = 1\n"})
    assert initialise(open_fleet(repo)).commands == ()


def test_a_configuration_that_only_main_has_is_not_written_again(repo: Repo) -> None:
    repo.commit("set up", {"fleet.toml": "version = 1\n"})
    repo.run_git("switch", "-q", "-c", "topic")
    repo.commit("without", {"fleet.toml": None})
    report = initialise(open_fleet(repo))
    assert report.config == ""
    assert not (repo.path / "fleet.toml").exists()
    assert "you are on topic" in report.notes[0]


def test_a_trial_writes_nothing(repo: Repo) -> None:
    report = initialise(open_fleet(repo), dry_run=True)
    assert "version = 1" in report.config
    assert len(report.hooks) == 4
    assert not (repo.path / "fleet.toml").exists()
    assert list((repo.path / ".git").glob("hooks/*")) == []


def test_without_any_gate_it_says_so(repo: Repo) -> None:
    report = initialise(open_fleet(repo))
    assert any("no gate was found" in note for note in report.notes)
    assert "# [[gate]]" in report.config


def test_uninstall_takes_the_hooks_out_and_leaves_the_rest(repo: Repo) -> None:
    hook = repo.path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n")
    hook.chmod(0o755)
    initialise(open_fleet(repo))
    session = open_fleet(repo)
    approved(session, task("a"))
    with Checkouts(session.repo, session.around.cache_dir).checkout(repo.rev("main")) as checkout:
        pass
    rehearsed = uninstall(session, dry_run=True)
    assert len(rehearsed.hooks) == 4
    assert f"the checkout for gates {checkout.path} would go" in rehearsed.notes
    assert checkout.path.is_dir()
    report = uninstall(session)
    assert f"the checkout for gates {checkout.path} is removed" in report.notes
    assert not checkout.path.exists()
    assert [path.name for path in hook.parent.iterdir()] == ["pre-commit"]
    assert hook.read_text() == "#!/bin/sh\nexit 0\n"
    assert (repo.path / "fleet.toml").exists()
    assert any("a plan is open" in note for note in report.notes)


# --- where it cannot be done ---------------------------------------------------------------------


def test_a_bare_repository_has_nothing_to_set_up(repo: Repo, tmp_path: Path) -> None:
    repo.run_git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    with pytest.raises(InvalidInput, match="bare repository") as refused:
        initialise(open_fleet(tmp_path / "bare"))
    assert "worktree add" in refused.value.hint


def test_a_worktree_of_a_bare_repository_can_be_set_up(repo: Repo, tmp_path: Path) -> None:
    repo.run_git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    Repo(tmp_path / "bare").run_git("worktree", "add", "-q", str(tmp_path / "work"), "main")
    assert initialise(open_fleet(tmp_path / "work")).config
    assert (tmp_path / "work" / "fleet.toml").exists()


def test_before_the_first_commit_it_asks_for_one(tmp_path: Path) -> None:
    session = open_fleet(make_repo(tmp_path / "empty", {}))
    with pytest.raises(InvalidInput, match="no branch main") as refused:
        initialise(session)
    assert "first commit" in refused.value.hint
    assert not (tmp_path / "empty" / "fleet.toml").exists()


def test_a_linked_worktree_points_to_the_main_one(repo: Repo, tmp_path: Path) -> None:
    linked = repo.worktree(tmp_path / "linked", "topic")
    with pytest.raises(InvalidInput, match="linked worktree") as refused:
        initialise(open_fleet(linked))
    assert refused.value.hint == f"cd {repo.path} && git fleet init"


def test_a_detached_head_and_a_shallow_clone_are_noted(repo: Repo, tmp_path: Path) -> None:
    repo.commit("two")
    repo.run_git("clone", "-q", "--depth=1", f"file://{repo.path}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow")
    shallow.run_git("switch", "-q", "--detach")
    notes = " ".join(initialise(open_fleet(shallow)).notes)
    assert "HEAD is detached" in notes
    assert "git fetch --unshallow" in notes


def test_hooks_that_cannot_be_installed_leave_no_half_a_set_up(repo: Repo) -> None:
    repo.run_git("config", "core.hooksPath", "/dev/null")
    with pytest.raises(InvalidInput, match="runs no hooks"):
        initialise(open_fleet(repo))
    assert not (repo.path / "fleet.toml").exists()
