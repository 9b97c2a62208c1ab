"""Slots: unique on the machine, over repositories, processes and crashes."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from git_fleet.app import slots
from git_fleet.app.slots import Slot
from git_fleet.core.ids import TaskId
from git_fleet.errors import GitFailed
from tests.support.race import race, values


class Machine:
    """One machine's state and cache folders, and repositories with worktrees on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state, self.cache = root / "state", root / "cache"

    def take(self, name: str, *, repo: str = "repo", ports: int = 10) -> Slot:
        worktree = self.root / repo / name
        worktree.mkdir(parents=True, exist_ok=True)
        return slots.allocate(
            state_dir=self.state,
            cache_dir=self.cache,
            common_dir=self.root / repo / ".git",
            worktree=worktree,
            task=TaskId("p", name),
            port_count=ports,
        )

    def give(self, name: str, *, repo: str = "repo") -> Slot | None:
        return slots.free(self.state, common_dir=self.root / repo / ".git", worktree=self.root / repo / name)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_slots_of_two_repositories_differ_in_number_ports_and_scratch(machine: Machine) -> None:
    one, two, other = machine.take("a"), machine.take("b"), machine.take("a", repo="other")
    assert [slot.number for slot in (one, two, other)] == [1, 2, 3]
    assert len({slot.scratch for slot in (one, two, other)}) == 3
    ports = [port for slot in (one, two, other) for port in slot.ports]
    assert len(set(ports)) == 30
    assert slots.list_slots(machine.state) == [one, two, other]


def test_asking_again_gives_the_same_slot(machine: Machine) -> None:
    first = machine.take("a")
    Path(first.scratch, "tmp").rmdir()
    assert machine.take("a") == first
    assert Path(first.scratch, "tmp").is_dir()
    machine.take("b")
    changed = machine.take("a", ports=30)
    assert changed.port_count == 30
    assert len(slots.list_slots(machine.state)) == 2


def test_blocks_of_different_sizes_do_not_meet(machine: Machine) -> None:
    taken = [machine.take(f"t{size}", ports=size) for size in (7, 100, 1, 33, 10)]
    ports = [port for slot in taken for port in slot.ports]
    assert len(ports) == len(set(ports))
    assert machine.take("none", ports=0).port_base == 0


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")])
def test_a_block_with_a_port_in_use_is_passed_over(machine: Machine, family: int, host: str) -> None:
    machine.take("first")
    usable = slots.port_range(slots._ephemeral())
    with socket.socket(family, socket.SOCK_STREAM) as server:
        try:
            server.bind((host, usable.start + 15))
        except OSError:
            pytest.skip("this machine has no such address, or the port is in use")
        server.listen()
        assert usable.start + 15 not in machine.take("second").ports


def test_the_scratch_folder_is_private_and_empty_each_time(machine: Machine) -> None:
    slot = machine.take("a")
    scratch = Path(slot.scratch)
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
    (scratch / "left").write_text("over")
    assert machine.give("a") == slot
    assert not scratch.exists()
    assert machine.give("a") is None
    scratch.mkdir()
    (scratch / "left").write_text("by a crash")
    assert os.listdir(machine.take("b").scratch) == ["tmp"]


def test_the_slot_of_a_deleted_worktree_is_given_to_the_next(machine: Machine) -> None:
    first, second = machine.take("a"), machine.take("b")
    (machine.root / "repo" / "a").rmdir()
    assert machine.take("c").number == first.number
    assert [slot.task for slot in slots.list_slots(machine.state)] == ["p/c", second.task]


def test_another_machines_slots_and_unreadable_files_are_let_be(machine: Machine) -> None:
    machine.take("a")
    place = machine.state / "slots" / "1"
    document = json.loads(place.read_text()) | {"host": "elsewhere", "worktree": "/not/here"}
    place.write_text(json.dumps(document))
    (machine.state / "slots" / "2").write_text("{")
    (machine.state / "slots" / "3").write_text(json.dumps({**document, "v": 2}))
    assert machine.take("b").number == 4
    assert [slot.host for slot in slots.list_slots(machine.state)] == ["elsewhere", socket.gethostname()]


def test_sixteen_processes_get_sixteen_slots_while_dead_ones_are_reclaimed(machine: Machine) -> None:
    for number in range(5):
        machine.take(f"dead{number}")
        (machine.root / "repo" / f"dead{number}").rmdir()

    def take_three(index: int) -> list[Slot]:
        return [machine.take(f"{index}-{turn}", repo=f"r{index % 3}") for turn in range(3)]

    taken = [slot for mine in values(race(16, take_three)) for slot in mine]
    assert sorted(slot.number for slot in taken) == list(range(1, 49))
    ports = [port for slot in taken for port in slot.ports]
    assert len(ports) == len(set(ports)) == 480
    assert [slot.number for slot in slots.list_slots(machine.state)] == list(range(1, 49))


@pytest.mark.parametrize(
    ("ephemeral", "expected"),
    [
        (range(32_768, 61_000), range(20_000, 32_000)),
        (range(49_152, 65_536), range(20_000, 32_000)),
        (range(25_000, 61_000), range(20_000, 25_000)),
        (range(10_000, 28_000), range(28_000, 32_000)),
        (range(15_000, 61_000), range(61_000, 65_536)),
        (range(15_000, 65_536), range(10_000, 15_000)),
        (range(1_024, 65_536), range(20_000, 32_000)),
    ],
)
def test_ports_keep_away_from_those_the_system_hands_out(ephemeral: range, expected: range) -> None:
    assert slots.port_range(ephemeral) == expected


def test_folders_that_cannot_be_written_are_said(machine: Machine) -> None:
    machine.state.write_text("a file")
    with pytest.raises(GitFailed, match="cannot keep slots"):
        machine.take("a")
