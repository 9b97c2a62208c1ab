"""Traces: what is in them, that they can be read whatever has happened, and what is left out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git import tracing
from git_fleet.git.process import Child, Git
from git_fleet.git.refs import ABSENT, Refs, Update
from git_fleet.git.repository import discover
from git_fleet.git.running import Running
from git_fleet.git.tracefile import redacted
from tests.project.imports import brought_in
from tests.support.repo import Repo

WRITER = """
import sys
from git_fleet.git import tracing
tracing.begin(sys.argv[1])
print("begun", flush=True)
for number in range(int(sys.argv[2])):
    with tracing.span("test", f"span {number}", text="x" * 200):
        pass
"""


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Path]:
    """A trace that this process writes."""
    path = tmp_path / "trace.json"
    tracing.begin(str(path))
    yield path
    tracing.end()


def events(path: Path) -> list[dict[str, Any]]:
    """All that is in a trace; a reader of the format has to bear the missing bracket."""
    text = path.read_text(encoding="ascii")
    assert text.startswith("[\n")
    found: list[dict[str, Any]] = json.loads(text.removesuffix(",\n") + "\n]")
    assert all({"ph", "pid", "tid"} <= event.keys() for event in found)
    assert all(isinstance(event["ts"], float) for event in found if event["ph"] != "M")
    return found


def spans(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Names, and the arguments of begin and end together, of what has begun within a thread and ended."""
    open_ones: dict[tuple[int, int], list[dict[str, Any]]] = {}
    found = []
    for event in events(path):
        where = (event["pid"], event["tid"])
        if event["ph"] == "B":
            open_ones.setdefault(where, []).append(event)
        elif event["ph"] == "E":
            began = open_ones[where].pop()
            assert began["ts"] <= event["ts"]
            found.append((began["name"], {**began["args"], **event.get("args", {})}))
    return found


def test_every_git_is_in_it_with_its_exit_code(repo: Repo, trace: Path) -> None:
    git = Git(repo.path)
    git.run("rev-parse", "HEAD")
    with pytest.raises(GitFailed):
        git.run("rev-parse", "--verify", "nowhere")
    good, bad = spans(trace)
    assert good == (
        "git rev-parse",
        {"argv": ["rev-parse", "HEAD"], "cwd": str(repo.path), "code": 0, "out_bytes": 41},
    )
    assert (bad[0], bad[1]["code"]) == ("git rev-parse", 128)
    assert bad[1]["error"].startswith("GitFailed: git rev-parse: Needed a single revision")


def test_a_git_that_goes_on_beside_others_has_a_beginning_and_an_end(repo: Repo, trace: Path) -> None:
    child = Child(Git(repo.path), "cat-file", "--batch-check")
    child.send(b"HEAD\n")
    child.line()
    switches = ("-c", "core.quotePath=false")
    with Running(Git(repo.path), *switches, "rev-list", "--stdin", input=b"HEAD\n") as running:
        running.answer()
    child.end()
    found = [event for event in events(trace) if event["ph"] in "be"]
    assert [(event["ph"], event["name"]) for event in found] == [
        ("b", "git cat-file"),
        ("b", "git rev-list"),
        ("e", "git rev-list"),
        ("e", "git cat-file"),
    ]
    assert found[0]["id"] == found[3]["id"] != found[1]["id"]
    assert found[3]["args"] == {"code": 0}


def test_a_transaction_says_what_it_moved_from_where_to_where(repo: Repo, trace: Path) -> None:
    head = repo.rev("HEAD")
    with Refs(discover(repo.path)) as refs:
        refs.transact([Update("refs/fleet/x", ABSENT, head)], message="try")
        with pytest.raises(Exception, match="must not exist"):
            refs.transact([Update("refs/fleet/x", ABSENT, head)])
    made, refused = [found for found in spans(trace) if found[0].startswith("transaction")]
    assert made[0] == "transaction: try"
    (moved,) = made[1]["updates"]
    assert moved.startswith("refs/fleet/x ")
    assert moved.endswith(f" {head}")
    assert refused[1]["error"].startswith("Held: ")


def test_several_processes_write_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    command = [sys.executable, "-c", WRITER, str(path), "200"]
    crew = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [each.wait(120) for each in crew] == [0] * 4
    assert len(spans(path)) == 4 * 201
    assert {event["pid"] for event in events(path)} == {each.pid for each in crew}


def test_a_trace_can_be_read_after_a_kill(tmp_path: Path) -> None:
    """And what was going on then is in it."""
    path = tmp_path / "trace.json"
    endless = [sys.executable, "-c", WRITER, str(path), "1000000"]
    with subprocess.Popen(endless, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while path.stat().st_size < 100_000:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    ended = [name for name, _ in spans(path)]
    began = [event["name"] for event in events(path) if event["ph"] == "B"]
    assert len(ended) < len(began)


def test_half_a_line_of_one_that_was_killed_is_taken_out_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    done = [sys.executable, "-c", WRITER, str(path), "1"]
    subprocess.run(done, check=True, stdout=subprocess.DEVNULL)
    before = len(events(path))
    with path.open("a") as file:
        file.write('{"name":"half')
    subprocess.run(done, check=True, stdout=subprocess.DEVNULL)
    assert len(events(path)) == 2 * before


@pytest.mark.parametrize("text", ["[", "[\n"])
def test_a_file_that_has_just_begun_is_a_trace(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    tracing.begin(str(path))
    tracing.end()
    assert events(path)


def test_a_file_that_is_no_trace_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    for text in ("dear diary", "[1]\n", '[\n{"na'[:4] + "x"):
        path.write_text(text)
        with pytest.raises(InvalidInput, match="is no trace"):
            tracing.begin(str(path))
        assert path.read_text() == text
    with pytest.raises(InvalidInput, match="cannot write the trace"):
        tracing.begin(str(tmp_path / "nowhere" / "trace.json"))


def test_one_that_cannot_be_written_is_said_once_and_stops_nobody(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(tracing.VARIABLE, str(tmp_path / "nowhere" / "trace.json"))
    for _ in range(2):
        Git(repo.path).run("rev-parse", "HEAD")
    assert capsys.readouterr().err.count("cannot write the trace") == 1


def test_the_variable_is_enough(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trace.json"
    monkeypatch.setenv(tracing.VARIABLE, str(path))
    Git(repo.path).run("rev-parse", "HEAD")
    tracing.end()
    assert spans(path)[0][0] == "git rev-parse"
    assert path.stat().st_mode & 0o077 == 0


def test_while_nothing_is_traced_nothing_is_imported() -> None:
    assert {"git_fleet.git.tracefile", "json", "atexit"} & brought_in("git_fleet.git.process") == set()


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("https://ann:pass@host/x.git", "https://***@host/x.git"),
        ("https://ghp_123@host/x.git", "https://***@host/x.git"),
        ("git@host:x.git", "git@host:x.git"),
        ("http.extraheader=AUTHORIZATION: bearer abc", "http.extraheader=*** ***"),
        ("Authorization: Basic abc==", "Authorization: ***"),
        ("https://host/x?access_token=abc&y=1", "https://host/x?access_token=***&y=1"),
        ("--password=abc", "--password=***"),
        ("MY_API_KEY=abc", "MY_API_KEY=***"),
        ("refs/heads/feature/tokens", "refs/heads/feature/tokens"),
        ("x" * 400, "x" * 300 + "… (400 characters)"),
    ],
)
def test_what_looks_like_a_secret_is_left_out(text: str, instead: str) -> None:
    assert redacted(text) == instead


def test_arguments_and_complaints_of_git_are_redacted(repo: Repo, trace: Path) -> None:
    with pytest.raises(GitFailed):
        Git(repo.path).run("fetch", "https://ann:hunter2@127.0.0.1:9/x.git")
    assert "hunter2" not in trace.read_text()
    assert "https://***@127.0.0.1:9/x.git" in trace.read_text()
