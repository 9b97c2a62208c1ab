"""An object as a file of its own, as git writes it, without a git for each.

Most commands that change something write one event: starting `git hash-object` for it took longer than all
else about it. Format: gitformat-loose; a file that is not whole yet has the name that `git gc` tidies away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from pathlib import Path

from git_fleet.git.formats import Object
from git_fleet.git.packs import loose


def store(objects: Path, each: Object, *, durable: bool) -> None:
    """Store it in the folder `objects`; a known one counts as new for `git gc`.

    `durable` has it on the disk before it has its name. Raises OSError: the folder of a full disk, of somebody
    else, or that `git gc` has removed just now; nothing is stored then.
    """
    place = objects / each.oid[:2] / each.oid[2:]
    try:
        os.utime(place)
    except FileNotFoundError:
        _write(place, loose(each), durable=durable)


def is_shared(common_dir: Path) -> bool:
    """Whether others are to have more of the repository's files than the umask lets them (core.sharedRepository, which
    git reads in this file alone): git knows what, so it is to write them."""
    with contextlib.suppress(OSError):
        return b"sharedrepository" in (common_dir / "config").read_bytes().lower()
    return True


def _write(place: Path, data: bytes, *, durable: bool) -> None:
    place.parent.mkdir(exist_ok=True)
    part = place.parent / f"tmp_obj_{os.urandom(6).hex()}"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                _sync(fd)
        part.rename(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _sync(fd: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # out of the disk's own cache, too
    else:
        os.fsync(fd)
