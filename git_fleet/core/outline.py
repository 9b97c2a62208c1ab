"""A repository's tracked files on a page: large folders folded until all of it fits (DESIGN section 12)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

_UNITS = ("B", "kB", "MB", "GB")


class _Folder(Struct):
    """A folder by its path (with a slash at its end; "" for the root); `size` and `count` are of all in it."""

    path: str
    folders: dict[str, _Folder] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    size: int = 0
    count: int = 0

    def line(self) -> str:
        """The folder as one line."""
        return f"{self.path}  ({self.count} {'file' if self.count == 1 else 'files'}, {size(self.size)})"

    def lines(self) -> list[str]:
        """What is directly in it, a line each."""
        inside = [self.folders[name].line() for name in sorted(self.folders)]
        return [*inside, *(f"{self.path}{name}  {size(self.files[name])}" for name in sorted(self.files))]


def size(count: int) -> str:
    """Bytes in few characters: 812 B, 1.4 kB."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 10 else f"{value:.1f} {_UNITS[unit]}"


def outline(files: Mapping[str, int], most: int) -> str:
    """The files (path → bytes) as lines of at most `most` characters together.

    Folders are opened level by level, the smallest first, for as long as what is in them fits; a folder that
    stays closed is one line with what it holds. Where not even the root fits, the rest is counted.
    """
    root = _tree(files)
    lines = root.lines()
    room = most - sum(len(line) + 1 for line in lines)
    opened: set[str] = {""}
    level = list(root.folders.values())
    while level:
        below: list[_Folder] = []
        for folder in sorted(level, key=lambda one: (one.count, one.path)):
            cost = sum(len(line) + 1 for line in folder.lines())
            if cost <= room:
                room -= cost
                opened.add(folder.path)
                below += folder.folders.values()
        level = below
    return "\n".join(_fitting(list(_shown(root, opened)), most))


def _tree(files: Mapping[str, int]) -> _Folder:
    root = _Folder("")
    for path, length in files.items():
        *parents, name = path.split("/")
        here = root
        here.size, here.count = here.size + length, here.count + 1
        for part in parents:
            here = here.folders.setdefault(part, _Folder(f"{here.path}{part}/"))
            here.size, here.count = here.size + length, here.count + 1
        here.files[name] = length
    return root


def _shown(root: _Folder, opened: set[str]) -> list[str]:
    """The lines of opened folders, each under its own."""
    lines: list[str] = []
    left = [root]
    while left:
        folder = left.pop()
        if folder.path:
            lines.append(folder.line())
        if folder.path in opened:
            lines += (f"{folder.path}{name}  {size(length)}" for name, length in sorted(folder.files.items()))
            left += (folder.folders[name] for name in sorted(folder.folders, reverse=True))
    return lines


def _fitting(lines: list[str], most: int) -> list[str]:
    room = most
    for number, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return [*lines[:number], f"… and {len(lines) - number} more"]
    return lines
