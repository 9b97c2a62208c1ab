"""A git that works while we go on, and what becomes of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from git_fleet.git.repository import discover
from git_fleet.git.running import Running
from tests.support.race import until
from tests.support.repo import Repo


def test_what_a_git_has_started_keeps_nobody_waiting_who_ends_it(repo: Repo, tmp_path: Path) -> None:
    begun, pipe, script = tmp_path / "begun", tmp_path / "pipe", tmp_path / "driver"
    os.mkfifo(pipe)
    script.write_text(f"touch '{begun}'; cat '{pipe}'\n")
    repo.run_git("config", "merge.slow.driver", f"sh '{script}'")
    repo.commit("both", {".gitattributes": "*.slow merge=slow\n", "a.slow": "1\n"})
    for side in ("one", "two"):
        repo.run_git("checkout", "-q", "-B", side, "main")
        repo.commit(side, {"a.slow": f"{side}\n"})
    question = f"{repo.rev('one')} {repo.rev('two')}\n".encode()
    git = discover(repo.path).git(repo.path)
    running = Running(git, "merge-tree", "--write-tree", "-z", "--stdin", input=question)
    until(begun.exists)
    ending = threading.Thread(target=running.close)
    ending.start()
    ending.join(20)
    waits = ending.is_alive()
    pipe.write_text("go on")
    ending.join()
    assert not waits


def test_what_a_git_has_started_can_ask_at_the_terminal(repo: Repo) -> None:
    """As ssh does for a passphrase. In a group of its own it would be stopped, and we would wait for ever."""
    repo.run_git("config", "alias.group", "!ps -o pgid= -p $$")
    with Running(discover(repo.path).git(), "group", input=b"") as running:
        assert int(running.answer()) == os.getpgrp()
