"""Gates and generated files that a repository suggests by what is in it.

Only files at the root are read. A gate runs in a clean checkout, where nothing is installed that is not in
the repository: what needs packages of its own installs them first.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from git_fleet.core.config import Generated
from git_fleet.core.results import FoundGate


class _Candidate(NamedTuple):
    """A gate: what it checks, of which part of the repository ("" for all of it), and the kinds of checks
    that it most likely brings with it."""

    kind: str
    area: str
    run: str
    reason: str
    brings: tuple[str, ...] = ()


_NO_TEST = "no test specified"  # npm's own placeholder, which always fails
_SCRIPTS = {"lint": "lint", "typecheck": "types", "test": "tests", "build": "build"}
_TARGET = re.compile(rb"^([A-Za-z0-9_.-]+)[ \t]*:(?!=)", re.MULTILINE)

_MANAGERS = (
    ("pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm run"),
    ("yarn.lock", "yarn install --immutable", "yarn run"),
    ("package-lock.json", "npm ci", "npm run"),
    ("", "npm install", "npm run"),
)
"""Lock file, what installs exactly what it says, what runs a script."""

_GENERATED = {
    "uv.lock": "uv lock",
    "poetry.lock": "poetry lock",
    "Pipfile.lock": "pipenv lock",
    "package-lock.json": "npm install --package-lock-only",
    "pnpm-lock.yaml": "pnpm install --lockfile-only",
    "yarn.lock": "yarn install",
    "Cargo.lock": "cargo update --workspace",
    "go.sum": "go mod tidy",
}


def gates(root: Path) -> tuple[FoundGate, ...]:
    """The gates found, the ones to use first. What a Makefile calls them is the project's own word."""
    found: list[FoundGate] = []
    checked: set[tuple[str, str]] = set()
    for look in (_make, _pre_commit, _python, _node, _go, _rust):
        for each in look(root):
            known = (each.kind, "") in checked
            checked |= {(each.kind, each.area), *((kind, "") for kind in each.brings)}
            used = {gate.name for gate in found}
            name = each.kind if each.kind not in used else f"{each.kind}-{each.area or 'all'}"
            found.append(FoundGate(name, each.run, each.reason, alternative=known))
    return tuple(sorted(found, key=lambda gate: gate.alternative))


def generated(root: Path) -> tuple[Generated, ...]:
    """Lock files that a command makes anew."""
    return tuple(Generated((name,), run) for name, run in _GENERATED.items() if (root / name).is_file())


def _make(root: Path) -> Iterator[_Candidate]:
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if (root / name).is_file()), "")
    targets = {found.decode() for found in _TARGET.findall(_read(root / name))} if name else set()
    meant = (("check", "lint", ("types", "pre-commit")), ("lint", "lint", ()), ("test", "tests", ()))
    for target, kind, brings in meant:
        if target in targets:
            yield _Candidate(kind, "", f"make {target}", f"{name} has a target {target}", brings)


def _pre_commit(root: Path) -> Iterator[_Candidate]:
    name = ".pre-commit-config.yaml"
    if (root / name).is_file():
        yield _Candidate("pre-commit", "", "pre-commit run --all-files", f"there is a {name}")


def _python(root: Path) -> Iterator[_Candidate]:
    document = _toml(root / "pyproject.toml")
    tools = document.get("tool", {})
    runner = _python_runner(root)
    found = {
        "lint": ("ruff", "ruff check .", ("ruff.toml", ".ruff.toml"), ()),
        "types": ("mypy", _mypy(tools), ("mypy.ini", ".mypy.ini"), ()),
        "tests": ("pytest", "pytest -q", ("pytest.ini",), ("setup.cfg", "tox.ini")),
    }
    for name, (tool, run, own, shared) in found.items():
        reason = _python_reason(root, tools, tool, own, shared)
        if reason:
            yield _Candidate(name, "python", runner + run, reason)


def _python_reason(
    root: Path, tools: Mapping[str, Any], tool: str, own: tuple[str, ...], shared: tuple[str, ...]
) -> str:
    """Which file configures the tool; "" when none does."""
    if tool in tools:
        return f"pyproject.toml configures {tool}"
    for name in own:
        if (root / name).is_file():
            return f"there is a {name}"
    for name in shared:
        if f"{tool}]".encode() in _read(root / name):
            return f"{name} configures {tool}"
    return ""


def _mypy(tools: Mapping[str, Any]) -> str:
    """mypy knows its files where they are configured; else it has to be told."""
    settings = tools.get("mypy", {})
    return "mypy" if {"files", "packages", "modules"} & set(settings) else "mypy ."


def _python_runner(root: Path) -> str:
    if (root / "uv.lock").is_file():
        return "uv run "
    return "poetry run " if (root / "poetry.lock").is_file() else ""


def _node(root: Path) -> Iterator[_Candidate]:
    try:
        document = json.loads(_read(root / "package.json") or b"{}")
        scripts = document.get("scripts", {})
        wanted = {
            name: kind for name, kind in _SCRIPTS.items() if _NO_TEST not in scripts.get(name, _NO_TEST)
        }
    except (ValueError, AttributeError, TypeError):
        return  # not ours to say that it is broken
    lock, install, run = next(entry for entry in _MANAGERS if not entry[0] or (root / entry[0]).is_file())
    if lock == "yarn.lock" and not (root / ".yarnrc.yml").is_file():
        install = "yarn install --frozen-lockfile"  # yarn 1
    for name, kind in wanted.items():
        yield _Candidate(kind, "node", f"{install} && {run} {name}", f"package.json has a script {name}")


def _go(root: Path) -> Iterator[_Candidate]:
    if (root / "go.mod").is_file():
        yield _Candidate("lint", "go", "go vet ./...", "there is a go.mod")
        yield _Candidate("tests", "go", "go test ./...", "there is a go.mod")


def _rust(root: Path) -> Iterator[_Candidate]:
    if (root / "Cargo.toml").is_file():
        yield _Candidate("tests", "rust", "cargo test", "there is a Cargo.toml")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path).decode())
    except ValueError:  # not TOML, or not UTF-8: whoever uses it will say so
        return {}
