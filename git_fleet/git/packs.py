"""Many objects stored by one git, which is given them as a pack and computes every id anew.

Format: gitformat-pack, version 2. All objects are whole; finding deltas is `git gc`'s business.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from git_fleet.git.formats import Kind, Object
from git_fleet.git.process import Child, Git
from git_fleet.git.repository import ObjectFormat

_CODES: dict[Kind, int] = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_FASTEST = 1  # of zlib's levels; 0 only wraps
_SMALL = 4096  # bytes
_BLOCK = 0xFFFF  # bytes that one block of it holds
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


class Storing:
    """Objects that a git stores as one pack, flushed as by `store_pack`, while we go on.

    It gets the pack in one piece from a thread that does nothing else: one that had to come back for more would wait
    for its turn each time.
    """

    def __init__(self, git: Git, objects: Collection[Object], object_format: ObjectFormat) -> None:
        ordered = sorted(objects, key=lambda each: _CODES[each.kind])
        stream = b"".join(_stream(ordered, object_format))
        self._child = Child(git, "index-pack", "--stdin")
        self._feeding = threading.Thread(target=self._feed, args=[stream], name="pack")
        self._feeding.start()

    def _feed(self, stream: bytes) -> None:
        if self._child.send(stream):
            self._child.line()

    def finish(self) -> None:
        """Wait until they are stored. Raises GitFailed, and nothing is stored then."""
        self._feeding.join()
        if self._child.end():
            raise self._child.error()


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
        # A tree is ids, which do not get smaller, and so is half of a commit or an event. Those of a run share most
        # of theirs, which is for `git gc` to find. Deflating them took longer than all else about a pack.
        wraps = each.kind == "tree" or len(each.data) <= _SMALL
        data = _wrapped(each.data) if wraps else _deflated(each.data)
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


@lru_cache(maxsize=4096)  # sizes come again and again
def _head(code: int, size: int) -> bytes:
    """Kind and size of an object: 4 bits of the size beside the kind, then 7 a byte, lowest first."""
    out = bytearray()
    here, rest = code << 4 | size & 15, size >> 4
    while rest:
        out.append(here | 0x80)
        here, rest = rest & 0x7F, rest >> 7
    out.append(here)
    return bytes(out)


def _wrapped(data: bytes) -> bytes:
    """As zlib's level 0, which only wraps: one block, where it can hold everything."""
    size = len(data)
    if size > _BLOCK:
        return zlib.compress(data, 0)
    head = b"\x78\x01\x01" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
    return b"%b%b%b" % (head, data, zlib.adler32(data).to_bytes(4, "big"))


def _deflated(data: bytes) -> bytes:
    """For a small object zlib spends most of its time on clearing its tables; with smaller ones the result
    is the same."""
    small = len(data) <= _SMALL
    deflate = zlib.compressobj(_FASTEST, zlib.DEFLATED, 12 if small else zlib.MAX_WBITS, 5 if small else 8)
    return deflate.compress(data) + deflate.flush()
