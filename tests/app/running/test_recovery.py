"""What a run finds of those before it."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from git_fleet.app.running import recovery


def test_who_looks_whether_a_run_goes_on_keeps_none_from_beginning(tmp_path: Path) -> None:
    with recovery.alone(tmp_path, "p"):
        assert recovery.is_running(tmp_path)
    assert not recovery.is_running(tmp_path)
    look = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, (look,)).start()
    with recovery.alone(tmp_path, "p"):
        assert recovery.is_running(tmp_path)


def test_names_of_workers_that_are_none_count_for_nothing(tmp_path: Path) -> None:
    for broken in ("", "[]", '{"workers":5}', '{"workers":{"a":1}}', "x"):
        (tmp_path / "workers.json").write_text(broken)
        assert recovery.workers(tmp_path, ["w-1"]) == ["w-1"]
    assert recovery.workers(tmp_path, ["w-2"]) == ["w-1", "w-2"]
