"""What agents printed is found again, whole or with what is missing said, and goes when it is old."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from git_fleet.app import outputs
from git_fleet.core.ids import TaskId

TASK = TaskId("p", "a")
DAY = 24 * 3600.0


def a_log(root: Path, name: str, *, age: float = 0.0, size: int = 1, task: TaskId = TASK) -> Path:
    log = outputs.folder_of(root, task) / name
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"x" * size)
    written = time.time() - age
    os.utime(log, (written, written))
    return log


def left(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_logs_of_a_task_are_listed_the_oldest_first(tmp_path: Path) -> None:
    for name in ("2-1.log", "1-10.log", "1-9.log", "1-9.log.500", "10-1.log.7", "other", "1-x.log"):
        a_log(tmp_path, name)
    assert [log.name for log in outputs.output(tmp_path, TASK)] == [
        "1-9.log",
        "1-10.log",
        "2-1.log",
        "10-1.log",
    ]
    assert outputs.log_of(tmp_path, TASK, 1, 9) in outputs.output(tmp_path, TASK)
    assert outputs.output(tmp_path, TaskId("p", "b")) == []


def test_a_log_that_is_gone_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "1-1.log"
    assert ("".join(outputs.read(log)), outputs.tail(log, 5), outputs.last_written(log)) == ("", "", None)


def test_gaps_are_said_wherever_they_are(tmp_path: Path) -> None:
    log = a_log(tmp_path, "1-1.log", size=3)
    log.with_name("1-1.log.3").write_bytes("né".encode()[:2])
    log.with_name("1-1.log.5").write_bytes("né".encode()[2:] + b"b")
    log.with_name("1-1.log.10").write_bytes(b"end")
    log.with_name("1-1.log.20").write_bytes(b"")
    said = "\n[git-fleet left out {} bytes here]\n"
    assert "".join(outputs.read(log)) == f"xxxnéb{said.format(3)}end{said.format(7)}"
    assert outputs.tail(log, 5) == "xxxnébend"


def test_a_log_is_read_as_it_grows_each_line_once(tmp_path: Path) -> None:
    log = tmp_path / "1-1.log"
    reader = outputs.Reader(log)
    assert reader.lines() == ([], False)
    log.write_bytes(b"one\ntw")
    assert reader.lines() == (["one"], True)
    assert reader.lines() == ([], False)
    with log.open("ab") as file:
        file.write("o\nd\u00e9j\u00e0 v".encode())
    assert reader.lines() == (["two"], True)
    (tmp_path / f"1-1.log.{log.stat().st_size}").write_bytes(b"u\n\xff\nend")  # it goes on in a piece
    assert reader.lines() == (["d\u00e9j\u00e0 vu", "\ufffd"], True)
    assert reader.lines(over=True) == (["end"], False)
    assert reader.lines(over=True) == ([], False)


def test_what_is_missing_in_a_log_is_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "1-1.log"
    log.write_bytes(b"one\nhalf")
    reader = outputs.Reader(log)
    assert reader.lines() == (["one"], True)
    (tmp_path / "1-1.log.500").write_bytes(b"of it\nlast\n")
    assert reader.lines() == (["of it", "last"], True)


def test_a_line_without_end_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "1-1.log"
    log.write_bytes(b"x" * (outputs.LINE_BYTES + 1))
    reader = outputs.Reader(log)
    assert reader.lines() == ([], True)
    with log.open("ab") as file:
        file.write(b"x" * 100_000 + b"\nnext\n")
    assert reader.lines() == (["next"], True)


def test_a_log_that_is_no_file_or_larger_than_any_is_not_read_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "1-1.log"
    os.mkfifo(log)
    reader = outputs.Reader(log)
    assert reader.lines() == ([], False)
    log.unlink()
    with log.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    (tmp_path / f"1-1.log.{10**30}").write_bytes(b"from nowhere")
    (tmp_path / f"1-1.log.{10**30 + 1}").symlink_to("/dev/zero")
    assert "last" in reader.lines()[0]
    assert reader.lines() == ([], False)


def test_the_tail_goes_over_pieces_and_is_short(tmp_path: Path) -> None:
    log = a_log(tmp_path, "1-1.log", size=100_000)
    log.with_name("1-1.log.100000").write_bytes(b"\nlast\n")
    assert outputs.tail(log, 1) == "last"
    assert len(outputs.tail(log, 5)) <= outputs.TAIL_BYTES


def test_old_logs_go_with_their_pieces_and_folders(tmp_path: Path) -> None:
    a_log(tmp_path, "1-1.log", age=31 * DAY)
    a_log(tmp_path, "1-1.log.5", age=31 * DAY)
    a_log(tmp_path, "1-2.log", age=31 * DAY)
    a_log(tmp_path, "1-2.log.5", age=29 * DAY)
    a_log(tmp_path, "1-1.log", age=31 * DAY, task=TaskId("q", "b"))
    outputs.sweep(tmp_path)
    assert left(tmp_path) == ["output/p/a/1-2.log", "output/p/a/1-2.log.5"]
    assert not (tmp_path / "output" / "q").exists()
    outputs.sweep(tmp_path / "elsewhere")


def test_of_too_much_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_KEPT_BYTES", 250)
    for number, age in ((1, 3), (2, 2), (3, 1)):
        a_log(tmp_path, f"{number}-1.log", age=age * DAY, size=60)
        a_log(tmp_path, f"{number}-1.log.60", age=age * DAY, size=60)
    outputs.sweep(tmp_path)
    assert left(tmp_path) == [f"output/p/a/{n}-1.log{piece}" for n in (2, 3) for piece in ("", ".60")]


def test_a_log_that_is_being_written_stays_whole(tmp_path: Path) -> None:
    log = a_log(tmp_path, "1-1.log", age=40 * DAY)
    a_log(tmp_path, "1-1.log.5", age=40 * DAY)
    with log.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        outputs.sweep(tmp_path)
        assert len(left(tmp_path)) == 2
    outputs.sweep(tmp_path)
    assert left(tmp_path) == []


def test_nothing_goes_behind_a_link(tmp_path: Path) -> None:
    old = a_log(tmp_path / "mine", "1-1.log", age=40 * DAY)
    (tmp_path / "output").symlink_to(tmp_path / "mine")
    outputs.sweep(tmp_path)
    assert old.exists()
