"""What commits changed, line by line, of many at once: one git for all of them, and memory for some.

Only the changed lines are kept, without the lines around them and without where they stand. A file larger
than BIG_FILE is taken for binary, as git calls it; of a long diff the beginning is kept and its lines are
counted to the end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, field

from git_fleet.core.ids import Oid
from git_fleet.git.process import Child, Git

BIG_FILE = "1m"
FILE_BYTES = 128 * 1024
PAIR_BYTES = 512 * 1024
ALL_BYTES = 64 * 1024 * 1024

_COMMAND = (
    "-c", "core.quotePath=false", "-c", f"core.bigFileThreshold={BIG_FILE}", "diff-tree", "--stdin", "-r", "-p",
    "--unified=0", "--no-renames", "--no-prefix", "--no-color", "--no-ext-diff", "--no-textconv",
)  # fmt: skip
_AT_ONCE = 200  # their names fit into a pipe, so git and we cannot wait for each other
_END = b"end"  # a line that is no object name comes back as it is, after all answers
_PAIR = re.compile(rb"[0-9a-f]{40,64} [0-9a-f]{40,64}")
_FILE = b"diff --git "
_MODES = (b"new file mode ", b"deleted file mode ", b"old mode ", b"new mode ")
_ESCAPE = re.compile(rb"\\([abtnvfr\"\\]|[0-7]{3})")
_ESCAPED = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))


class FileDiff(NamedTuple):
    """What changed in one file: how many lines came and went (0 in a binary one), and these lines, each
    with its sign, after remarks of git on its mode. `cut`: there are more."""

    path: str
    added: int
    removed: int
    binary: bool
    text: str
    cut: bool


Pair = tuple[Oid, Oid]


def patch(git: Git, old: Oid, new: Oid) -> bytes:
    """What changed from the one tree or commit to the other, as `git diff` prints it, whatever is configured."""
    options = (
        "-r",
        "-p",
        "-M",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--src-prefix=a/",
        "--dst-prefix=b/",
    )
    return git.run("diff-tree", *options, old, new).out


def read(git: Git, pairs: Sequence[Pair]) -> dict[Pair, tuple[FileDiff, ...]]:
    """What changed from the one tree to the other (no commits: git takes these for parents), by pair, in
    the order of paths. Raises GitFailed for a missing tree."""
    reading = _Reading()
    wanted = list(dict.fromkeys(pairs))
    child = Child(git, *_COMMAND) if wanted else None
    try:
        while child is not None and wanted:
            now, wanted = wanted[:_AT_ONCE], wanted[_AT_ONCE:]
            names = "".join(f"{old} {new}\n" for old, new in now).encode()
            child.send(names + _END + b"\n")
            while (line := child.line()) != _END:
                if not line:  # git writes no empty line here: it is gone
                    child.end()
                    raise child.error()
                reading.take(line)
            if complaint := child.complaint():  # it leaves a pair out, and goes on
                raise complaint
    finally:
        if child is not None:
            child.end()
    return {pair: tuple(file.done() for file in reading.found.get(pair, ())) for pair in pairs}


class _File(Struct):
    """A file's changes while they are read."""

    path: str
    added: int = 0
    removed: int = 0
    binary: bool = False
    in_hunks: bool = False
    cut: bool = False
    size: int = 0
    lines: list[bytes] = field(default_factory=list)

    def done(self) -> FileDiff:
        text = os.fsdecode(b"\n".join(self.lines))
        return FileDiff(self.path, self.added, self.removed, self.binary, text, self.cut)


class _Reading:
    """Takes git's answer line by line, and keeps what there is room for."""

    def __init__(self) -> None:
        self.found: dict[Pair, list[_File]] = {}
        self._files: list[_File] = []
        self._pair_bytes = 0
        self._all_bytes = 0

    def take(self, line: bytes) -> None:
        """One line. In a hunk each begins with a sign, so nothing in a file can look like a heading."""
        if _PAIR.fullmatch(line):
            old, new = line.decode("ascii").split(" ")
            self._files = self.found.setdefault((Oid(old), Oid(new)), [])
            self._pair_bytes = 0
        elif line.startswith(_FILE):
            self._begin(_path(line.removeprefix(_FILE)))
        else:
            self._take_of(self._files[-1], line)

    def _begin(self, path: str) -> None:
        """A file that became a link, or the like, comes twice in a row, and is one."""
        if self._files and self._files[-1].path == path:
            self._files[-1].in_hunks = False
        else:
            self._files.append(_File(path))

    def _take_of(self, file: _File, line: bytes) -> None:
        if line.startswith(b"@@ "):
            file.in_hunks = True
        elif file.in_hunks and line.startswith((b"+", b"-")):
            file.added += line.startswith(b"+")
            file.removed += line.startswith(b"-")
            self._keep(file, line)
        elif not file.in_hunks and line.startswith(_MODES):
            self._keep(file, line)
        elif not file.in_hunks and line.startswith(b"Binary files "):
            file.binary = True

    def _keep(self, file: _File, line: bytes) -> None:
        size = len(line) + 1
        room = min(FILE_BYTES - file.size, PAIR_BYTES - self._pair_bytes, ALL_BYTES - self._all_bytes)
        if file.cut or size > room:
            file.cut = True
            return
        file.lines.append(line)
        file.size += size
        self._pair_bytes += size
        self._all_bytes += size


def _path(names: bytes) -> str:
    """The path in a heading: it stands there twice, since nothing is renamed and there is no prefix."""
    name = names[: len(names) // 2]
    if name.startswith(b'"'):
        name = _ESCAPE.sub(_unescaped, name[1:-1])
    return os.fsdecode(name)


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8) if len(code) == 3 else _ESCAPED[code[0]]])
