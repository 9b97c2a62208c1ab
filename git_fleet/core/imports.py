"""Which tracked Python files import which others, by what `ast` reads in them. Nothing is executed.

A module is looked for as Python would: in the folders the importing file is in, up to the root, then in any folder that
is no package itself (`src`, a project of several), the nearest one first. Imports that are computed are not seen.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import takewhile

SUFFIX = ".py"
MAX_BYTES = 1_000_000
_INIT = "__init__"
_STATEMENT = re.compile(rb"^[ \t]*(?:from|import)\b(?:\\\r?\n|[^\n(])*(?:\([^)]*)?", re.MULTILINE)
_NAME = re.compile(rb"[\w\x80-\xff]+")


class Modules:
    """The Python files of a tree, looked up by the names that imports have."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._named: dict[str, list[str]] = {}
        self._paths = {path for path in paths if path.endswith(SUFFIX)}
        for path in sorted(self._paths):
            self._named.setdefault(stem(path), []).append(path)

    def imported(self, path: str, source: bytes) -> frozenset[str]:
        """The files that the Python file `path` imports, itself left out; none where it cannot be parsed."""
        found = (self._find(path, *names) for names in _imports(path, source))
        return frozenset(each for each in found if each) - {path}

    def _find(self, path: str, module: tuple[str, ...], name: str, folder: str | None) -> str | None:
        """`from module import name` may mean a module below it, else the module itself."""
        inner = self._file((*module, name), path, folder) if name else None
        return inner or (self._file(module, path, folder) if module or folder else None)

    def _file(self, module: tuple[str, ...], path: str, folder: str | None) -> str | None:
        """`folder`: that one alone, for a relative import."""
        joined = "/".join(module)
        if folder is not None:
            place = "/".join(part for part in (folder, joined) if part)
            ways = (f"{place}{SUFFIX}", f"{place}/{_INIT}{SUFFIX}".removeprefix("/"))
            return next((way for way in ways if way in self._paths), None)
        found = [
            (each, root)
            for each in self._named.get(module[-1], ())
            if (root := _root(each, joined)) is not None and self._may_be_root(root, path, len(module))
        ]
        return max(found, key=lambda one: _nearness(one[1], path))[0] if found else None

    def _may_be_root(self, root: str, path: str, parts: int) -> bool:
        """A bare name is looked for above the importing file and in folders at the top only: elsewhere many a file
        is named like a module of the standard library."""
        above = not root or path.startswith(f"{root}/")
        package = bool(root) and f"{root}/{_INIT}{SUFFIX}" in self._paths
        return above or (not package and (parts > 1 or "/" not in root))


def stem(path: str) -> str:
    """The last part of a module's name: the file's, of a package the folder's."""
    folder, _, name = path.rpartition("/")
    bare = name.removesuffix(SUFFIX)
    return folder.rpartition("/")[2] if bare == _INIT else bare


def may_import(source: bytes, stems: frozenset[bytes]) -> bool:
    """Whether one of the names stands in an import that begins a line: far faster than parsing all of it."""
    return any(not stems.isdisjoint(_NAME.findall(each)) for each in _STATEMENT.findall(source))


def _root(path: str, joined: str) -> str | None:
    """The folder in which `path` is the module of that name; None if it is not."""
    for end in (f"{joined}{SUFFIX}", f"{joined}/{_INIT}{SUFFIX}"):
        if path == end:
            return ""
        if path.endswith(f"/{end}"):
            return path[: -len(end) - 1]
    return None


def _nearness(root: str, path: str) -> tuple[int, int]:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(root.split("/"), path.split("/"), strict=False))
    return len([*same]), -len(root)


def _imports(path: str, source: bytes) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
    """Module, name and, of a relative import, its folder; of `import a.b` the name is "" and the folder None."""
    if len(source) > MAX_BYTES:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its string escapes
            parsed = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split(".")), "", None
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            folder = _above(path, node.level) if node.level else None
            if node.level and folder is None:
                continue
            for alias in node.names:
                yield module, "" if alias.name == "*" else alias.name, folder


def _above(path: str, level: int) -> str | None:
    """The folder so many levels up; None where that would be outside of the repository."""
    parts = path.split("/")[:-1]
    return "/".join(parts[: len(parts) - level + 1]) if level - 1 <= len(parts) else None
