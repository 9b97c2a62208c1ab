"""commit-msg: whose commit it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hooked import git_dir, refused
from tests.support.repo import Repo

OWN = "Fleet-Task: app/42"


def message(repo: Repo) -> str:
    return repo.run_git("log", "-1", "--format=%B").strip()


def editor(tmp_path: Path, script: str) -> dict[str, str]:
    """An editor that runs `script` on the message's file, `$1`."""
    file = tmp_path / "editor"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return {"GIT_EDITOR": str(file)}


@pytest.fixture(params=["shell", "Python"])
def task(task: Repo, request: pytest.FixtureRequest) -> Repo:
    """Once as shell decides alone, once with Python, which must come to the same."""
    if request.param == "Python":
        (git_dir(task) / "fleet-task").unlink()
    return task


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("change", f"change\n\n{OWN}"),
        ("fix: subject alone", f"fix: subject alone\n\n{OWN}"),
        ("change\n\nbody\n---\nmore", f"change\n\nbody\n---\nmore\n\n{OWN}"),
        (
            "change\n\nSigned-off-by: A <a@example.invalid>",
            f"change\n\nSigned-off-by: A <a@example.invalid>\n{OWN}",
        ),
        (f"change\n\n{OWN}", f"change\n\n{OWN}"),
        (f"change\n\n{OWN}\nReviewed-by: B", f"change\n\n{OWN}\nReviewed-by: B"),
        ("Fleet-Tasks are about boats", f"Fleet-Tasks are about boats\n\n{OWN}"),
        ("ändern", f"ändern\n\n{OWN}"),
    ],
)
def test_a_message_ends_up_with_the_tasks_trailer_once(task: Repo, given: str, kept: str) -> None:
    task.run_git("commit", "-q", "--allow-empty", "-m", given)
    assert message(task) == kept
    task.run_git("commit", "-q", "--allow-empty", "--amend", "--no-edit")
    assert message(task) == kept


@pytest.mark.parametrize(
    "line", ["Fleet-Task: app/43", "fleet-task:43", "Fleet-Task : other/42", "FLEET-TASK: app/42 and more"]
)
def test_another_tasks_trailer_is_refused(task: Repo, line: str) -> None:
    said = refused(task, "commit", "--allow-empty", "-m", "change", "-m", line)
    assert "the trailer of another task" in said
    assert "this is app/42" in said


def test_one_of_two_trailers_is_anothers(task: Repo) -> None:
    assert "app/43" in refused(task, "commit", "--allow-empty", "-m", "x", "-m", f"{OWN}\nFleet-Task: app/43")


@pytest.mark.parametrize("text", ["", "\n\n", "Signed-off-by: A <a@example.invalid>"])
def test_an_empty_message_stays_empty(task: Repo, text: str) -> None:
    assert "Aborting commit" in refused(task, "commit", "--allow-empty", "-m", text)


def test_leaving_the_editor_without_a_word_still_gives_up(task: Repo, tmp_path: Path) -> None:
    done = task.try_git("commit", "--allow-empty", env=editor(tmp_path, ":"))
    assert done.returncode
    assert b"Aborting commit" in done.stderr


def test_leaving_a_template_untouched_still_gives_up(task: Repo, tmp_path: Path) -> None:
    (tmp_path / "template").write_text("What:\n\nWhy:\n")
    task.run_git("config", "commit.template", str(tmp_path / "template"))
    done = task.try_git("commit", "--allow-empty", env=editor(tmp_path, ":"))
    assert done.returncode, message(task)
    task.run_git("commit", "-q", "--allow-empty", env=editor(tmp_path, 'echo because >>"$1"'))
    assert OWN in message(task)


def test_comments_and_the_shown_diff_do_not_hide_the_trailer(task: Repo, tmp_path: Path) -> None:
    task.run_git("config", "core.commentChar", ";")
    task.run_git("config", "commit.verbose", "true")
    task.write("cli.py", "Fleet-Task: app/43\n")
    task.run_git("add", "cli.py")
    words_first = 'printf "by hand\\n\\n;Fleet-Task: app/44\\n" | cat - "$1" >"$1.new"; mv "$1.new" "$1"'
    task.run_git("commit", "-q", env=editor(tmp_path, words_first))
    assert message(task) == f"by hand\n\n{OWN}"


def test_outside_a_tasks_worktree_messages_are_left_alone(main: Repo) -> None:
    main.run_git("switch", "-qc", "topic")
    main.commit("Fleet-Task: app/43")
    assert message(main) == "Fleet-Task: app/43"
