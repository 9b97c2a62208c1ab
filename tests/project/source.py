"""What the tests of the project itself look at: its files, parsed."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def project_files() -> tuple[Path, ...]:
    """Every file that is part of the project, relative to its root: tracked ones and those about to be."""
    listed = subprocess.run(
        # Whoever runs the tests, the checkout may be another user's: CI mounts them so.
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = (Path(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name)
    return tuple(sorted({path for path in paths if (ROOT / path).is_file()}))


def python_texts(*folders: str) -> Iterator[tuple[Path, str]]:
    """The Python files under `folders`, relative, and what is in them."""
    for path in project_files():
        if path.suffix == ".py" and path.as_posix().startswith(tuple(f"{folder}/" for folder in folders)):
            yield path, (ROOT / path).read_text(encoding="utf-8")


def python_files(*folders: str, about: Iterable[str] = ("",)) -> Iterator[tuple[Path, ast.Module]]:
    """The same, parsed, which takes long: those alone in which one of the words `about` stands."""
    words = tuple(about)
    for path, text in python_texts(*folders):
        if any(word in text for word in words):
            yield path, ast.parse(text, str(path))


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a name with attributes, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def uses(tree: ast.AST, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Line and name wherever one of the dotted `names` is used, be it by `import a`, `from a import b` or `a as x`."""
    wanted = frozenset(names)
    alias = _aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            head, _, rest = name.partition(".")
            full = ".".join(filter(None, (alias.get(head, head), rest)))
            if full in wanted:
                yield node.lineno, full


def _aliases(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({part.asname: part.name for part in node.names if part.asname})
        elif isinstance(node, ast.ImportFrom):
            found.update({part.asname or part.name: f"{node.module}.{part.name}" for part in node.names})
    return found
