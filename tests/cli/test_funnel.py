"""Whatever goes wrong ends in one place: words on standard error or one JSON object, and an exit code."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from git_fleet import __version__
from git_fleet.app import status
from git_fleet.cli.main import wants_json
from tests.cli.conftest import Fleet
from tests.support.documents import validate
from tests.support.repo import Repo

SELF = [sys.executable, "-m", "git_fleet"]


def test_an_error_is_a_message_and_a_hint_on_standard_error(fleet: Fleet) -> None:
    answer = fleet("plan", "import", "nowhere.toml")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "git-fleet: cannot read nowhere.toml: No such file or directory\n"
        "hint: name a file, or - for standard input\n"
    )


def test_an_error_with_json_is_one_object_on_standard_output(fleet: Fleet) -> None:
    answer = fleet("plan", "import", "nowhere.toml", "--json")
    document = json.loads(answer.out)
    validate(document, "error")
    assert (answer.code, answer.err) == (2, "")
    assert document["error"]["code"] == "invalid"
    assert document["error"]["exit_code"] == 2


def test_a_folder_outside_a_repository_is_said_so(fleet: Fleet, tmp_path: Path) -> None:
    answer = fleet("status", cwd=tmp_path)
    assert answer.code == 2
    assert answer.err.startswith(f"git-fleet: {tmp_path} is not in a git repository\nhint: git init")


def test_a_folder_that_is_gone_by_now_is_said_so(fleet: Fleet, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {shlex.quote(str(gone))} && rmdir ../gone && exec {shlex.join(SELF)} status"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the folder that this is run in is gone" in done.stderr
    assert fleet("-C", str(fleet.path), "status").code == 0


def test_a_folder_that_does_not_exist_is_a_usage_error(fleet: Fleet) -> None:
    answer = fleet("-C", "nowhere", "status")
    assert answer.code == 2
    assert "no such folder" in answer.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["staus"], "no command 'staus'; did you mean 'status'?"),
        (["status", "--colour"], "No such option"),
        (["block", "43", "why"], "--code"),
        (["progress", "a", "b", "c"], "expected [TASK] STATUS, found 3 words"),
        (["verdict", "43", "--lens", "l", "--refuted", "--upheld"], "--upheld or --refuted, one of them"),
        (["plan"], "git fleet plan needs one of: add, approve, "),
        (["claim", "--resume", "--no-worktree"], "--resume"),
        (["plan", "check", "--workers", "0"], "--workers"),
        (["progress", "43", "--cost-usd", "nan", "red"], "'nan' is no amount"),
        (["done", "43", "--cost-usd", "inf"], "--cost-usd"),
        (["worker", "--plan", "app", "--wait-minutes", "nan"], "'nan' is no amount"),
    ],
)
def test_a_usage_error_is_one_line_and_where_the_help_is(
    fleet: Fleet, arguments: list[str], words: str
) -> None:
    answer = fleet(*arguments)
    assert answer.code == 2
    message, hint, end = answer.err.split("\n")
    assert words in message
    assert hint.startswith("hint: git fleet")
    assert hint.endswith("-h")
    assert end == ""
    asked = fleet(*arguments, "--json")
    validate(json.loads(asked.out), "error")
    assert json.loads(asked.out)["error"]["code"] == "usage"


def test_a_path_that_no_disk_takes_is_no_bug(fleet: Fleet) -> None:
    for command in (
        ["plan", "import", "x" * 300],
        ["-C", "x" * 300, "status"],
        ["report", "--html", "x" * 300],
    ):
        answer = fleet(*command)
        assert answer.code == 2, answer
        assert answer.err.startswith("git-fleet: ")
        assert "\nhint: " in answer.err


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["status", "--json"], True),
        (["--json"], True),
        (["status"], False),
        (["progress", "--", "--json"], False),
    ],
)
def test_json_is_wanted_even_when_the_rest_cannot_be_parsed(argv: list[str], wanted: bool) -> None:
    assert wants_json(argv) is wanted


def test_a_bug_ends_with_seventy_and_its_traceback_in_a_file(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr(status, "status", fail)
    answer = fleet("status")
    assert answer.code == 70
    assert "Traceback" not in answer.err
    assert "a bug in git-fleet: ZeroDivisionError: what nobody thought of" in answer.err
    place = Path(answer.err.split("kept in ")[1].split(";")[0])
    assert "ZeroDivisionError: what nobody thought of" in place.read_text(encoding="utf-8")
    assert place.is_relative_to(os.environ["XDG_CACHE_HOME"])
    validate(json.loads(fleet("status", "--json").out), "error")


def test_an_interruption_ends_with_one_hundred_and_thirty(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "status", interrupt)
    answer = fleet("status")
    assert (answer.code, answer.out, answer.err) == (130, "", "git-fleet: interrupted\n")


def test_a_reader_that_has_gone_is_no_error(approved: Fleet) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*SELF, "status"], cwd=approved.path, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
@pytest.mark.parametrize(("command", "code"), [("status", 5), ("explain nothing", 2)])
def test_an_answer_in_json_that_nobody_can_take_is_said_in_words(
    approved: Fleet, command: str, code: int
) -> None:
    with Path("/dev/full").open("wb") as full:
        arguments = [*SELF, *command.split(), "--json"]
        done = subprocess.run(arguments, cwd=approved.path, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(b"git-fleet: ")


def test_the_real_program_answers_from_any_folder_of_the_repository(approved: Fleet) -> None:
    folder = approved.path / "sub"
    folder.mkdir()
    done = subprocess.run([*SELF, "status", "--json"], cwd=folder, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    validate(json.loads(done.stdout), "status")
    assert b"\x1b" not in subprocess.run([*SELF], cwd=folder, capture_output=True, check=True).stdout


def test_a_terminal_without_unicode_gets_escapes_instead_of_a_traceback(approved: Fleet) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*SELF], cwd=approved.path, env=env, capture_output=True, check=False)
    assert done.returncode == 0
    assert rb"\u2591" in done.stdout


def test_the_version_and_help_need_no_repository(fleet: Fleet, tmp_path: Path) -> None:
    assert fleet.ok("--version", cwd=tmp_path) == f"git-fleet {__version__}\n"
    assert "Examples:" in fleet.ok("-h", cwd=tmp_path)


def test_bare_git_fleet_is_the_status_in_a_few_lines_and_the_next_command(
    approved: Fleet, repo: Repo
) -> None:
    assert approved.ok() == "app → main  ░░░░░░░░░░░░░░░░░░░░  0/3 done  3 pending\nnext: git fleet claim\n"
    assert approved.json("status")["next"] == "git fleet claim"
    empty = Fleet(repo.path.parent, lambda: (b"", b""))
    assert empty().code == 2
