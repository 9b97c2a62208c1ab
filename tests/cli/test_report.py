from __future__ import annotations

import os
import subprocess

import pytest

from tests.cli.conftest import Fleet


def test_a_report_as_markdown_as_a_page_and_as_json(approved: Fleet) -> None:
    approved.ok("claim", "42", "--no-worktree", "--worker", "ann")
    assert approved.ok("report").startswith("# Three commands\n")
    assert approved.ok("report", "app", "--html", ".git/app.html").startswith(".git/app.html is written, ")
    page = (approved.path / ".git" / "app.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>\n")
    assert approved.ok("report", "app", "--html", "-").startswith("<!doctype html>\n")
    found = approved.json("report", "report", "app", "--html", ".git/app.html")
    assert (found["file"], found["timeline"][0]["worker"]) == (".git/app.html", "ann")
    assert [path.name for path in (approved.path / ".git").glob(".app.html*")] == []


def test_what_stands_where_the_page_is_to_go_stays_what_it_is(approved: Fleet) -> None:
    """A pipe is written into, through a link goes the file that it names."""
    pipe, page, link = (approved.path / ".git" / name for name in ("pipe", "page.html", "link.html"))
    os.mkfifo(pipe)
    page.touch()
    link.symlink_to(page)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        approved.ok("report", "app", "--html", str(pipe))
        assert reader.communicate(timeout=30)[0].startswith(b"<!doctype html>")
    approved.ok("report", "app", "--html", str(link))
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("place", "why"), [("no/such/folder/x.html", "No such file or directory"), ("/", "it is a folder")]
)
def test_a_report_that_cannot_be_written_is_one_clear_line(approved: Fleet, place: str, why: str) -> None:
    answer = approved("report", "--html", place)
    assert answer.code == 2
    assert answer.err.startswith("git-fleet: ")
    assert f"{place} cannot be written: {why}" in answer.err
