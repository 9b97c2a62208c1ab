"""Slots: small numbers, unique on this machine, from which a task gets its ports and its scratch folder.

Worktrees isolate a repository, not the machine: two tasks, of one repository or of two, must not open the
same port. So slots are kept per machine and user, in `<state dir>/slots/<number>`, not in a repository.
Each file is one JSON object, format version 1:

    {"v":1,"host":"…","common_dir":"…","worktree":"…","task":"p/t","port_base":20010,"port_count":10,
     "scratch":"…"}

It is written aside and then linked to its name, which works for one process alone; readers never see half
of it. A slot whose worktree's folder is gone may be given to someone else. Every change holds a flock, so
that nobody takes over the slot that somebody else has just taken over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from git_fleet.core.ids import TaskId
from git_fleet.errors import GitFailed, NeedsPerson

VERSION = 1
PORTS = range(20_000, 32_000)
"""Below what systems hand out for outgoing connections (Linux from 32768, BSD and macOS from 49152)."""

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ROOM = 1_000  # a range with fewer ports is not worth keeping away from the system's


class Slot(Struct, frozen=True):
    """A slot in use. `task` prints as plan/task; `port_base` is 0 when no ports were asked for."""

    number: int
    host: str
    common_dir: str
    worktree: str
    task: str
    port_base: int
    port_count: int
    scratch: str

    @property
    def ports(self) -> range:
        """Its block of ports."""
        return range(self.port_base, self.port_base + self.port_count)


def allocate(
    *,
    state_dir: Path,
    cache_dir: Path,
    common_dir: Path,
    worktree: Path,
    task: TaskId,
    port_count: int,
) -> Slot:
    """A slot for the task worked on in `worktree`, which must exist; the one it has if it has one.

    The slot comes with a block of `port_count` ports that no other slot has and that were free just now,
    and with an empty scratch folder that only we can read. Raises NeedsPerson when no block is free,
    GitFailed when the folders cannot be written.
    """
    folder = state_dir / "slots"
    with _writing(folder):
        slots = list_slots(state_dir)
        mine = next((slot for slot in slots if _same_place(slot, common_dir, worktree)), None)
        if mine is not None and mine.task == str(task) and mine.port_count == port_count:
            Path(mine.scratch, "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
            return mine
        for slot in slots:
            if slot is mine or _abandoned(slot):
                _give_back(folder, slot)
                slots = [other for other in slots if other is not slot]
        number = next(n for n in count(1) if not (folder / str(n)).exists())
        slot = Slot(
            number=number,
            host=os.uname().nodename,
            common_dir=str(common_dir),
            worktree=str(worktree),
            task=str(task),
            port_base=_port_block(number, port_count, slots),
            port_count=port_count,
            scratch=str(_scratch(cache_dir, common_dir, number)),
        )
        _write(folder, slot)
        return slot


def free(state_dir: Path, *, common_dir: Path, worktree: Path) -> Slot | None:
    """Give the worktree's slot back; its scratch folder is removed. The slot it was, None without one."""
    folder = state_dir / "slots"
    if not folder.is_dir():
        return None
    with _writing(folder):
        for slot in list_slots(state_dir):
            if _same_place(slot, common_dir, worktree):
                _give_back(folder, slot)
                return slot
    return None


def find(state_dir: Path, *, common_dir: Path, worktree: Path) -> Slot | None:
    """The worktree's slot, None without one."""
    slots = list_slots(state_dir)
    return next((slot for slot in slots if _same_place(slot, common_dir, worktree)), None)


def list_slots(state_dir: Path) -> list[Slot]:
    """Every slot in use on this machine, by number. A file that is no slot of ours is passed over."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for place in (state_dir / "slots").iterdir():
            slot = _read(place) if place.name.isdecimal() else None
            if slot is not None:
                found.append(slot)
    return sorted(found, key=lambda slot: slot.number)


def _read(place: Path) -> Slot | None:
    try:
        document: Any = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("v") != VERSION:
        return None
    known: dict[str, Any] = {name: document.get(name) for name in Slot.__struct_fields__ if name != "number"}
    if any(not isinstance(known[name], int if name.startswith("port_") else str) for name in known):
        return None
    return Slot(number=int(place.name), **known)


def _write(folder: Path, slot: Slot) -> None:
    import tempfile

    document = {"v": VERSION, **asdict(slot)}
    del document["number"]
    handle, name = tempfile.mkstemp(prefix="new-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(document).encode() + b"\n")
        os.link(name, folder / str(slot.number))
    finally:
        Path(name).unlink()


def _same_place(slot: Slot, common_dir: Path, worktree: Path) -> bool:
    return slot.common_dir == str(common_dir) and slot.worktree == str(worktree)


def _abandoned(slot: Slot) -> bool:
    """Whether nobody can be using it: its worktree is gone. Of another machine (a home folder on the
    network) that cannot be seen from here."""
    return slot.host == os.uname().nodename and not Path(slot.worktree).is_dir()


def _give_back(folder: Path, slot: Slot) -> None:
    """The scratch folder goes first: after a crash in between, the slot is still the old one's."""
    import shutil

    shutil.rmtree(slot.scratch, ignore_errors=True)
    (folder / str(slot.number)).unlink()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Hold the flock of all changes here. They take milliseconds, so nobody waits long."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
    except OSError as error:
        raise GitFailed(
            f"cannot keep slots in {folder}: {error.strerror}",
            hint="make that folder writable for you, or free some space; then run the command again",
        ) from error


# --- scratch folders -----------------------------------------------------------------------------


def cache_of(cache_dir: Path, common_dir: Path) -> Path:
    """Where a repository's own things are in the user's cache folder; a short name."""
    return cache_dir / hashlib.sha256(os.fsencode(common_dir)).hexdigest()[:12]


def _scratch(cache_dir: Path, common_dir: Path, number: int) -> Path:
    """A new, empty folder with `tmp` in it, private. The path stays short: sockets in it have 108 bytes.

    What cannot be cleared away (files of a container's root) is left, and another name taken.
    """
    import shutil
    import tempfile

    above = cache_of(cache_dir, common_dir) / "scratch"
    above.mkdir(parents=True, exist_ok=True)
    folder = above / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        folder = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=above))
    (folder / "tmp").mkdir(mode=0o700)
    return folder


# --- ports ---------------------------------------------------------------------------------------


def _port_block(number: int, size: int, others: Iterable[Slot]) -> int:
    """The first port of a block that no other slot has and that is free right now; 0 for size 0.

    It begins to look where the slot's number points, so that a slot usually gets the same ports again.
    """
    if size <= 0:
        return 0
    usable = port_range(_ephemeral())
    blocks = len(usable) // size
    taken = [slot.ports for slot in others]
    for step in range(blocks):
        base = usable.start + (number - 1 + step) % blocks * size
        block = range(base, base + size)
        if not any(_meet(block, other) for other in taken) and all(map(_port_is_free, block)):
            return base
    raise NeedsPerson(
        f"no block of {size} free ports between {usable.start} and {usable.stop - 1}",
        hint="git fleet cleanup gives ports back; or lower ports_per_task in fleet.toml",
    )


def _meet(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def port_range(ephemeral: range) -> range:
    """Where blocks are taken from: the usual range without the ports the system hands out itself.

    Failing that above or below those, and when they are nearly all there is, the usual range whole.
    """
    low, high = ephemeral.start, ephemeral.stop
    choices = (
        range(PORTS.start, min(PORTS.stop, low)),
        range(max(PORTS.start, high), PORTS.stop),
        range(high, 65_536),
        range(10_000, low),
    )
    return next((choice for choice in choices if len(choice) >= _ROOM), PORTS)


def _ephemeral() -> range:
    try:
        low, high = _EPHEMERAL.read_text().split()
        return range(int(low), int(high) + 1)
    except (OSError, ValueError):
        return range(49_152, 65_536)  # IANA's


def _port_is_free(port: int) -> bool:
    """Whether nobody listens there, on either loopback address."""
    import socket

    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True
