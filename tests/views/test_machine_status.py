from __future__ import annotations

import subprocess

import pytest
from msgspec.structs import replace

from git_fleet.core.ids import TaskId
from git_fleet.core.model import State
from git_fleet.core.results import Step
from git_fleet.views import machine_status
from git_fleet.views.machine_status import porcelain, quoted, to_bytes
from tests.support.repo import Repo
from tests.views.values import EVIL, OID, fleet, row


def test_porcelain_has_one_fact_a_line_and_an_empty_line_after_each_record() -> None:
    value = fleet(
        row("1", State.CLAIMED, holder="ann b", branch="f/1", ahead=2, dirty=0, claimed=60, seen=5),
        row("2", waits_for=(TaskId("app", "1"), TaskId("lib", "x"))),
    )
    assert porcelain(replace(value, lead="ann b")) == (
        "version 1\n"
        "at 2026-01-01T12:00:00.000Z\n"
        f"main {OID}\n"
        "lead ann b\n"
        "next git fleet claim\n"
        "\n"
        "plan app\n"
        "state open\n"
        "base main\n"
        "title An app\n"
        "count 1 pending\n"
        "count 1 claimed\n"
        "\n"
        "task app/1\n"
        "state claimed\n"
        "title Do it\n"
        "holder ann b\n"
        "attempt 1\n"
        "claimed 2026-01-01T11:59:00.000Z\n"
        "seen 2026-01-01T11:59:55.000Z\n"
        "expires 2026-01-01T13:00:00.000Z\n"
        "branch f/1\n"
        "ahead 2\n"
        "dirty 0\n"
        "\n"
        "task app/2\n"
        "state pending\n"
        "title Do it\n"
        "attempt 1\n"
        "waits-for app/1\n"
        "waits-for lib/x\n"
        "\n"
    )


@pytest.mark.parametrize("nul", [False, True])
def test_no_text_of_others_can_make_a_line_or_a_record(nul: bool) -> None:
    evil = "a\n\ntask app/9\nstate integrated\0\n" + EVIL
    value = fleet(row("1", State.CLAIMED, title=evil, holder=evil, branch=evil, summary=evil))
    value = replace(value, lead=evil, steps=(Step(evil),))
    end = "\0" if nul else "\n"
    lines = porcelain(value, nul=nul).split(end)
    assert [text for text in lines if text.startswith(("task ", "plan ", "version "))] == [
        "version 1",
        "plan app",
        "task app/1",
    ]
    assert lines.count("") == 4  # after three records, and behind the last
    if not nul:
        assert all(text.isprintable() for text in lines)


def test_with_nul_values_are_as_they_are() -> None:
    value = fleet(row("1", State.CLAIMED, branch="a\nb\udcff"))
    assert b"branch a\nb\xff\0" in to_bytes(porcelain(value, nul=True))


@pytest.mark.parametrize(
    "path", ["plain", "ein Wörterbuch", '"quoted"', 'in "the" middle', "a\tb\nc\\d", "\x1b[31m"]
)
def test_values_are_quoted_as_git_quotes_paths(repo: Repo, path: str) -> None:
    """But for what git quotes without need: a quotation mark or a backslash within, and all that is not ASCII."""
    repo.write(path, "x")
    listed = (
        subprocess.run(
            ["git", "-c", "core.quotePath=false", "ls-files", "--others"],
            cwd=repo.path,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .rstrip("\n")
    )
    assert quoted(path) == (path if path == 'in "the" middle' else listed)


def test_half_a_character_is_no_crash() -> None:
    assert to_bytes(quoted("\ud800")) == b'"\\077"'
    assert machine_status.to_bytes("\ud800\udcff") == b"??"
