"""Many objects stored by one git, which is given them as a pack and computes every id anew.

Format: gitformat-pack, version 2. All objects are whole; finding deltas is `git gc`'s business.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence

from git_fleet.git.formats import Kind, Object
from git_fleet.git.process import Child, Git
from git_fleet.git.repository import ObjectFormat

_CODES: dict[Kind, int] = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_FASTEST = 1  # of zlib's levels; 0 only wraps
_CHUNK = 65_536  # bytes given to git at a time; it works while the next ones are being made


def store_pack(
    git: Git, objects: Collection[Object], object_format: ObjectFormat, *, flush: bool = True
) -> str:
    """Store the objects (at least one) as one pack where `git` keeps objects; the pack's file name, less
    its suffix. Pack and index are flushed to the disk, unless the repository's `core.fsync` says otherwise
    and `git` is not durable; without `flush` nothing is. Raises GitFailed, and nothing is stored then."""
    careless = () if flush else ("-c", "core.fsync=none")
    # Commits first, blobs last, as in git's own packs.
    ordered = sorted(objects, key=lambda each: _CODES[each.kind])
    answer = _give(git, (*careless, "index-pack", "--stdin"), ordered, object_format)
    return "pack-" + answer.removeprefix(b"pack\t").decode("ascii")


def store_loose(git: Git, objects: Sequence[Object], object_format: ObjectFormat) -> None:
    """Store the objects one by one, in this order, each in a file of its own. They are flushed to the disk
    if `git` is durable. Raises GitFailed; those before the failure are stored then."""
    _give(git, ("unpack-objects", "-q"), objects, object_format)


def loose(stored: Object) -> bytes:
    """The content of an object's own file below objects/."""
    return _deflated(b"%b %d\0%b" % (stored.kind.encode(), len(stored.data), stored.data))


def _give(
    git: Git, command: Sequence[str], objects: Collection[Object], object_format: ObjectFormat
) -> bytes:
    """Pipe the objects as a pack into a git; the first line it says."""
    child = Child(git, *command)
    try:
        for chunk in _stream(objects, object_format):
            if not child.send(chunk):
                break
        answer = child.line()
    finally:
        code = child.end()
    if code:
        raise child.error()
    return answer


def _stream(objects: Collection[Object], object_format: ObjectFormat) -> Iterator[bytes]:
    """The pack in pieces."""
    digest = hashlib.new(object_format, usedforsecurity=False)
    parts = [b"PACK", struct.pack(">II", 2, len(objects))]
    size = 0
    for each in objects:
        # A tree is ids, which do not get smaller; those of a run share most of theirs, and that is for `git gc`.
        data = _deflated(each.data, 0 if each.kind == "tree" else _FASTEST)
        parts += (_head(_CODES[each.kind], len(each.data)), data)
        size += len(data)
        if size > _CHUNK:
            chunk = b"".join(parts)
            digest.update(chunk)
            yield chunk
            parts, size = [], 0
    chunk = b"".join(parts)
    digest.update(chunk)
    yield chunk + digest.digest()


def _head(code: int, size: int) -> bytes:
    """Kind and size of an object: 4 bits of the size beside the kind, then 7 a byte, lowest first."""
    out = bytearray()
    here, rest = code << 4 | size & 15, size >> 4
    while rest:
        out.append(here | 0x80)
        here, rest = rest & 0x7F, rest >> 7
    out.append(here)
    return bytes(out)


def _deflated(data: bytes, level: int = _FASTEST) -> bytes:
    """For a small object zlib spends most of its time on clearing its tables; with smaller ones the result
    is the same."""
    small = len(data) <= 4096
    deflate = zlib.compressobj(level, zlib.DEFLATED, 12 if small else zlib.MAX_WBITS, 5 if small else 8)
    return deflate.compress(data) + deflate.flush()
