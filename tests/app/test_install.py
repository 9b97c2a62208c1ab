"""Installing the hooks beside those of others, and leaving everything as it was found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from git_fleet.app import hookfiles, install
from git_fleet.app.hookfiles import HOOKS
from git_fleet.app.install import Action
from git_fleet.errors import GitFailed, InvalidInput, NeedsPerson
from git_fleet.git.process import git_version
from git_fleet.git.repository import Repository, discover
from tests.support.hooked import git_dir, hooks_of, open_plan, refused
from tests.support.repo import Repo

FOREIGN = '#!/bin/sh\necho "$(basename "$0") $*" >>"$LOG"\ncat >>"$LOG"\n'


class File(NamedTuple):
    mode: int
    content: bytes | str


def folder_as_is(folder: Path) -> dict[str, File]:
    """Every file of a folder: name, mode, bytes (of a link: where it points)."""
    return {
        path.name: File(
            path.lstat().st_mode, str(path.readlink()) if path.is_symlink() else path.read_bytes()
        )
        for path in sorted(folder.iterdir())
    }


def at(repo: Repo) -> Repository:
    return discover(repo.path)


@pytest.fixture
def hooks(repo: Repo) -> Path:
    folder = hooks_of(repo)
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where FOREIGN hooks write what they were told."""
    file = tmp_path / "log"
    file.touch()
    monkeypatch.setenv("LOG", str(file))
    return file


def put(path: Path, text: str = FOREIGN, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def codes(repo: Repo) -> list[str]:
    return [problem.code for problem in install.inspect(at(repo))]


# --- a folder of git's own


def test_hooks_are_installed_once_and_found_in_order(repo: Repo, hooks: Path) -> None:
    assert codes(repo) == ["hooks-missing"]
    planned = install.plan_install(at(repo))
    assert folder_as_is(hooks) == {}
    done = install.install(at(repo))
    assert done == planned
    assert [step.action for step in done.steps] == [Action.INSTALL] * 4
    assert sorted(folder_as_is(hooks)) == sorted(HOOKS)
    assert all(os.access(hooks / hook, os.X_OK) for hook in HOOKS)
    before = folder_as_is(hooks)
    assert not install.install(at(repo)).changed
    assert folder_as_is(hooks) == before
    assert codes(repo) == []


def test_a_missing_hooks_folder_is_made(repo: Repo, hooks: Path) -> None:
    hooks.rmdir()
    install.install(at(repo))
    install.uninstall(at(repo))
    assert folder_as_is(hooks) == {}


def test_installing_from_a_linked_worktree_serves_all(repo: Repo, hooks: Path, tmp_path: Path) -> None:
    install.install(at(repo.worktree(tmp_path / "linked", "topic")))
    assert sorted(folder_as_is(hooks)) == sorted(HOOKS)


def test_uninstalling_puts_everything_back_byte_for_byte(repo: Repo, hooks: Path, tmp_path: Path) -> None:
    put(hooks / "pre-commit", "#!/bin/sh\r\nexit 0", 0o700)
    put(hooks / "commit-msg", "not even executable\n", 0o640)
    put(tmp_path / "elsewhere" / "hook")
    (hooks / "pre-push").symlink_to("../../../elsewhere/hook")
    put(hooks / "post-commit")
    before = folder_as_is(hooks)
    install.install(at(repo))
    assert (hooks / "pre-push.pre-fleet").is_symlink()
    assert codes(repo) == []
    install.uninstall(at(repo))
    assert folder_as_is(hooks) == before
    assert not install.uninstall(at(repo)).changed


def test_hooks_that_were_there_are_run_with_arguments_and_input(repo: Repo, hooks: Path, log: Path) -> None:
    for hook in HOOKS:
        put(hooks / hook)
    install.install(at(repo))
    open_plan(repo, base="other")
    made = repo.commit("change", {"x": "1"})
    repo.run_git("clone", "-q", "--bare", ".", "../hub.git")
    log.write_text("")
    repo.run_git("push", "-q", "../hub.git", "HEAD:topic", "HEAD:second")
    repo.run_git("commit", "-q", "--amend", "-m", "again")
    told = log.read_text()
    assert "pre-push.pre-fleet ../hub.git ../hub.git\n" in told
    assert f"HEAD {made} refs/heads/topic {'0' * 40}\nHEAD {made} refs/heads/second {'0' * 40}\n" in told
    assert "pre-commit.pre-fleet \n" in told
    assert "commit-msg.pre-fleet .git/COMMIT_EDITMSG\n" in told
    assert f"reference-transaction.pre-fleet prepared\n{made} {repo.rev('HEAD')} HEAD\n" in told
    assert "reference-transaction.pre-fleet committed\n" in told


def test_ours_is_asked_although_another_has_read_the_input(repo: Repo, hooks: Path, log: Path) -> None:
    put(hooks / "reference-transaction")
    put(hooks / "pre-push")
    install.install(at(repo))
    open_plan(repo)
    repo.run_git("switch", "-qc", "topic")
    repo.commit("ahead", {"x": "1"})
    assert "only its lead" in refused(repo, "update-ref", "-d", "refs/heads/main")
    assert "a push to main" in refused(repo, "push", ".", "topic:other", "topic:main")
    assert log.read_text()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_chained_hook_can_still_refuse(repo: Repo, hooks: Path, hook: str) -> None:
    put(hooks / hook, "#!/bin/sh\necho no such thing >&2\nexit 7\n")
    install.install(at(repo))
    args = ["push", ".", "HEAD:other"] if hook == "pre-push" else ["commit", "--allow-empty", "-m", "x"]
    assert "no such thing" in refused(repo, *args)


@pytest.mark.parametrize("stopped", ["with a second name", "with the name alone"])
def test_an_installation_stopped_half_way_loses_no_hook(
    repo: Repo, hooks: Path, log: Path, stopped: str
) -> None:
    """Between giving the old hook its second name and replacing the first (or, without links, renaming)."""
    hook = put(hooks / "pre-commit")
    before = folder_as_is(hooks)

    def stop() -> None:
        (hooks / "pre-commit.fleet-new").write_bytes(hookfiles.shim("pre-commit"))
        if stopped == "with a second name":
            os.link(hook, hooks / "pre-commit.pre-fleet")
        else:
            hook.rename(hooks / "pre-commit.pre-fleet")

    stop()
    install.uninstall(at(repo))
    assert folder_as_is(hooks) == before
    stop()
    install.install(at(repo))
    repo.commit("runs it", {"x": "1"})
    assert "pre-commit.pre-fleet" in log.read_text()
    install.uninstall(at(repo))
    assert folder_as_is(hooks) == before


def test_two_foreign_hooks_in_one_place_are_for_a_person(repo: Repo, hooks: Path) -> None:
    put(hooks / "pre-commit")
    put(hooks / "pre-commit.pre-fleet", "#!/bin/sh\n")
    before = folder_as_is(hooks)
    with pytest.raises(NeedsPerson, match="both hooks of others"):
        install.install(at(repo))
    assert codes(repo) == ["hooks-conflict"]
    install.uninstall(at(repo))
    assert folder_as_is(hooks) == before


def test_shims_of_another_place_are_outdated(repo: Repo, hooks: Path) -> None:
    install.install(at(repo))
    shim = hooks / "pre-push"
    shim.write_text(shim.read_text().replace("package='", "package='/old"))
    (hooks / "commit-msg").chmod(0o644)
    assert [problem.text for problem in install.inspect(at(repo))] == [
        "hooks of another version or place of git-fleet: commit-msg, pre-push"
    ]
    install.install(at(repo))
    assert codes(repo) == []


def test_paths_with_quotes_and_spaces_are_written_into_shims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/it's a/$(path)/python")
    assert b"python='/it'\\''s a/$(path)/python'\n" in hookfiles.shim("pre-push")


def test_a_folder_that_cannot_be_written_is_a_clear_error(repo: Repo, hooks: Path) -> None:
    hooks.rmdir()
    hooks.write_text("a file where the folder should be")
    with pytest.raises(GitFailed, match="cannot change"):
        install.install(at(repo))


# --- other tools


def test_lefthook_putting_itself_in_our_place_is_seen(repo: Repo, hooks: Path) -> None:
    install.install(at(repo))
    (hooks / "pre-commit").rename(hooks / "pre-commit.old")
    put(hooks / "pre-commit", "#!/bin/sh\ncall_lefthook run\n")
    assert sorted(codes(repo)) == ["hooks-displaced", "hooks-missing"]
    install.install(at(repo))
    assert codes(repo) == []
    assert not (hooks / "pre-commit.old").exists()
    install.uninstall(at(repo))
    assert list(folder_as_is(hooks)) == ["pre-commit"]


def test_what_lefthook_displaced_gets_its_own_hook_back(repo: Repo, hooks: Path) -> None:
    put(hooks / "pre-commit")
    original = folder_as_is(hooks)["pre-commit"]
    install.install(at(repo))
    (hooks / "pre-commit").rename(hooks / "pre-commit.old")
    put(hooks / "pre-commit", "#!/bin/sh\ncall_lefthook run\n")
    install.uninstall(at(repo))
    assert folder_as_is(hooks)["pre-commit.old"] == original
    assert not (hooks / "pre-commit.pre-fleet").exists()


def set_hooks_path(repo: Repo, value: str, scope: str = "--local") -> None:
    repo.run_git("config", scope, "core.hooksPath", value)


def test_a_hooks_path_outside_the_repository_is_used_and_named(repo: Repo, tmp_path: Path) -> None:
    shared = tmp_path / "my hooks"
    put(shared / "pre-commit")
    set_hooks_path(repo, str(shared), "--global")
    before = folder_as_is(shared)
    report = install.install(at(repo))
    assert report.folder == shared
    assert "serves other repositories too" in report.notes[0]
    open_plan(repo)
    assert "only its lead" in refused(repo, "update-ref", "-d", "refs/heads/main")
    install.uninstall(at(repo))
    assert folder_as_is(shared) == before


def test_hooks_that_are_turned_off_are_said_to_be(repo: Repo) -> None:
    set_hooks_path(repo, "/dev/null")
    with pytest.raises(InvalidInput, match="runs no hooks") as caught:
        install.install(at(repo))
    assert caught.value.hint == "git config --unset core.hooksPath"
    assert codes(repo) == ["hooks-conflict"]
    install.uninstall(at(repo))


def by_setting(repo: Repo) -> None:
    set_hooks_path(repo, ".githooks")


def by_link(repo: Repo) -> None:
    hooks_of(repo).rmdir()
    hooks_of(repo).symlink_to("../.githooks")


@pytest.mark.parametrize("arrange", [by_setting, by_link])
def test_hooks_of_the_work_tree_get_lines_to_commit(
    repo: Repo, hooks: Path, log: Path, tmp_path: Path, arrange: Callable[[Repo], None]
) -> None:
    assert hooks.is_dir()
    scripts = repo.path / ".githooks"
    for hook in ("pre-commit", "pre-push", "reference-transaction"):
        put(scripts / hook)
    arrange(repo)
    repo.commit("our hooks", {f".githooks/{path.name}": path.read_bytes() for path in scripts.iterdir()})
    before = folder_as_is(scripts)
    report = install.install(at(repo))
    assert [path.name for path in report.to_commit] == list(HOOKS)
    assert not install.install(at(repo)).changed
    assert codes(repo) == []
    assert str(tmp_path) not in "".join(path.read_text() for path in scripts.iterdir())
    repo.run_git("add", "--all")
    repo.run_git("commit", "-qm", "call git-fleet")
    open_plan(repo)
    linked = repo.worktree(tmp_path / "linked", "topic")
    log.write_text("")
    linked.commit("elsewhere", {"x": "1"})
    assert f"{linked.rev('HEAD')} refs/heads/topic" in log.read_text(), "the scripts still get their input"
    for place in (repo, linked):
        assert "only its lead" in refused(place, "update-ref", "refs/heads/main", "topic")
    assert "only its lead" in refused(linked, "push", ".", "topic:main")
    install.uninstall(at(repo))
    assert folder_as_is(scripts) == before


def test_a_script_that_is_no_shell_script_is_left_alone_and_named(repo: Repo) -> None:
    script = put(repo.path / ".githooks" / "pre-commit", "#!/usr/bin/env node\n")
    set_hooks_path(repo, ".githooks")
    report = install.install(at(repo))
    assert script.read_text() == "#!/usr/bin/env node\n"
    assert "pre-commit is no shell script" in report.notes[0]


def husky(repo: Repo) -> None:
    """What husky 9 leaves behind: `h` runs the file of the same name one folder up."""
    generated = repo.path / ".husky" / "_"
    put(generated / ".gitignore", "*", 0o644)
    put(
        generated / "h",
        '#!/usr/bin/env sh\nn=$(basename "$0")\ns=$(dirname "$(dirname "$0")")/$n\n'
        '[ ! -f "$s" ] && exit 0\nsh -e "$s" "$@"\nc=$?\nexit $c\n',
        0o644,
    )
    for hook in ("pre-commit", "commit-msg", "pre-push"):
        put(generated / hook, '#!/usr/bin/env sh\n. "$(dirname "$0")/h"')
    put(repo.path / ".husky" / "pre-commit", 'echo "husky ran" >>"$LOG"\n', 0o644)
    set_hooks_path(repo, ".husky/_")


def test_husky_goes_on_and_so_do_we(repo: Repo, log: Path, tmp_path: Path) -> None:
    husky(repo)
    generated, written = folder_as_is(repo.path / ".husky" / "_"), repo.path / ".husky" / "pre-commit"
    repo.run_git("switch", "-qc", "aside")
    report = install.install(at(repo))
    assert sorted(path.name for path in report.to_commit) == ["commit-msg", "pre-commit", "pre-push"]
    assert "list it in .worktreeinclude" in report.notes[0]
    open_plan(repo)
    repo.commit("elsewhere", {"x": "1"})
    assert log.read_text() == "husky ran\n"
    assert "only its lead" in refused(repo, "update-ref", "refs/heads/main", "aside")
    assert "only its lead" in refused(repo, "push", ".", "aside:main")
    repo.worktree(tmp_path / "linked", "topic")
    assert codes(repo) == ["hooks-absent"]
    install.uninstall(at(repo))
    assert folder_as_is(repo.path / ".husky" / "_") == generated
    assert written.read_text() == 'echo "husky ran" >>"$LOG"\n'
    assert [path.name for path in (repo.path / ".husky").iterdir() if path.is_file()] == ["pre-commit"]


# --- hooks by configuration


@pytest.mark.skipif(git_version()[:2] >= install.CONFIG_HOOKS_SINCE, reason="this git has them")
def test_hooks_by_configuration_need_a_new_git(repo: Repo) -> None:
    with pytest.raises(InvalidInput, match=r"came with 2\.54"):
        install.install(at(repo), config_hooks=True)
    assert repo.run_git("config", "--list", "--name-only").count("hook.") == 0


@pytest.mark.skipif(git_version()[:2] < install.CONFIG_HOOKS_SINCE, reason="this git has none")
def test_hooks_by_configuration_run_whatever_the_hooks_path_says(repo: Repo) -> None:
    install.install(at(repo))
    install.install(at(repo), config_hooks=True)
    assert not install.install(at(repo)).changed
    set_hooks_path(repo, "/dev/null")
    open_plan(repo)
    assert "only its lead" in refused(repo, "update-ref", "-d", "refs/heads/main")
    install.uninstall(at(repo))
    assert "[hook " not in (git_dir(repo) / "config").read_text()


def test_what_is_configured_is_taken_out_by_an_older_git_too(repo: Repo) -> None:
    repo.run_git("config", "hook.git-fleet-pre-push.command", "/where/it/was")
    install.uninstall(at(repo))
    assert "[hook " not in (git_dir(repo) / "config").read_text()
