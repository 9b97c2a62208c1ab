"""What does not belong into the project's files, and calls that belong to one place only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.project.source import ROOT, dotted, project_files, python_files, uses

# Each has a bracket somewhere, so that this file does not contain what it looks for.
UNWANTED = {
    "a package registry's host name": re.compile(
        r"(?:pypi|pythonhosted|npmjs|golang)[.]org|npmjs[.]com|crates[.]io|(?:docker|ghcr|gcr|quay)[.]io"
    ),
    # `/home/me` is nobody's: an example may say it.
    "a path of one machine": re.compile(
        r"(?<![\w.*}])/(?:work|root|(?:home|Users)/(?!me/)\w+)/\w|/opt[/](?:wheels|pypi)"
    ),
    "unfinished work": re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX|[H]ACK)\b"),
}
NOT_OURS = {"LICENSE"}
FAILING = re.compile(
    r"pytest[.](?:raises|fail)|(?:.*[.])?_?(?:assert|must)_\w+|(?:.*[.])?(?:refused|validate)"
)
"""What may stand in a test for an `assert`: each of these fails where something is not as it should be."""


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_contains(what: str) -> None:
    assert list(_lines_with(UNWANTED[what])) == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a package registry's host name", "https://files.pythonhosted_org/x".replace("_", ".")),
        ("a path of one machine", 'cd "_root/x"'.replace("_", "/")),
        ("unfinished work", "# TO_DO: later".replace("_", "")),
    ],
)
def test_the_search_finds_what_it_looks_for(what: str, line: str) -> None:
    assert UNWANTED[what].search(line)


def test_tests_neither_sleep_nor_mock() -> None:
    """A test waits for a condition; the one loop that does so lives in tests/support."""
    found = [
        f"{path}:{line}: {name}"
        for path, tree in python_files("tests", about=("sleep", "mock"))
        if path.parts[1] != "support"
        for line, name in uses(tree, {"time.sleep", "unittest.mock", "asyncio.sleep"})
    ]
    found += [
        str(path)
        for path, tree in python_files("tests", about=("mock",))
        if "unittest.mock" in _imports(tree)
    ]
    assert found == []


def test_every_test_shows_what_it_proves() -> None:
    """By `assert`, by pytest, or by a helper whose name says that it fails: a reader need not open that one."""
    found = [
        f"{path}:{node.lineno}: {node.name}"
        for path, tree in python_files("tests", about=("def test_",))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if not _proves(node)
    ]
    assert found == []


def test_nothing_is_left_unimplemented() -> None:
    found = [
        f"{path}:{line}"
        for path, tree in python_files("git_fleet", about=("NotImplemented",))
        for line, _ in uses(tree, {"NotImplementedError", "NotImplemented"})
    ]
    assert found == []


def test_git_is_started_at_one_place() -> None:
    """One door: git/process.py, with its scrubbed environment. Elsewhere nobody writes ["git", …].

    The demo is a play about users and agents: there git is started as they would start it.
    """
    play = ("git_fleet/cli/demo.py", "git_fleet/cli/demo_worker.py")
    found = [
        f"{path}:{node.lineno}"
        for path, tree in python_files("git_fleet", about=('"git"', "'git'"))
        if path.as_posix() not in ("git_fleet/git/process.py", *play)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _starts_git(node)
    ]
    assert found == []


def test_only_faces_and_the_door_to_git_look_at_the_environment() -> None:
    """Clock, actor, environment and terminal are handed in (STYLE, principle 7)."""
    found = [
        f"{path}:{line}: {name}"
        for path, tree in python_files(
            "git_fleet/core",
            "git_fleet/store",
            "git_fleet/views",
            "git_fleet/app",
            about=("environ", "getenv", "home"),
        )
        for line, name in uses(tree, {"os.environ", "os.environb", "os.getenv", "pathlib.Path.home"})
    ]
    assert found == []


def test_the_core_has_no_clock_and_opens_nothing() -> None:
    clock = {"datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"}
    found = [
        f"{path}:{line}: {name}"
        for path, tree in python_files("git_fleet/core", "git_fleet/views")
        for line, name in uses(tree, clock | {"open", "print", "input", "os.open", "os.listdir", "os.stat"})
    ]
    assert found == []


def test_uses_sees_through_import_forms() -> None:
    tree = ast.parse(
        "import time as t\nfrom time import sleep as nap\nimport time\nt.sleep\nnap\ntime.sleep\ntime.time"
    )
    assert sorted(line for line, _ in uses(tree, {"time.sleep"})) == [4, 5, 6]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("assert x", True),
        ("with pytest.raises(E): f()", True),
        ("wall.must_take('a')", True),
        ("_assert_sound(repo)", True),
        ("for each in found: validate(each)", True),
        ("check(repo)", False),
        ("repo.commit('assert_', {})", False),
        ("done = refused", False),
    ],
)
def test_a_test_that_shows_nothing_is_seen(line: str, shown: bool) -> None:
    assert _proves(ast.parse(line)) == shown


@pytest.mark.parametrize(
    "call", ['subprocess.run(["git", "x"])', 'os.execvp("git", [])', 's.Popen(("git",))']
)
def test_a_second_door_to_git_is_seen(call: str) -> None:
    (expression,) = ast.parse(call).body
    assert isinstance(expression, ast.Expr)
    assert isinstance(expression.value, ast.Call)
    assert _starts_git(expression.value)


def _lines_with(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in project_files():
        if path.as_posix() in NOT_OURS:
            continue
        data = (ROOT / path).read_bytes()
        if b"\0" in data:
            continue  # a picture has no lines
        text = data.decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{path}:{number}: {line.strip()[:100]}"


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(part.name for part in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{part.name}" for part in node.names)})
    return found


def _proves(tree: ast.AST) -> bool:
    """Whether something in it fails where something is not as it should be."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and FAILING.fullmatch(dotted(node.func)) is not None)
        for node in ast.walk(tree)
    )


def _starts_git(node: ast.Call) -> bool:
    """Whether "git" is the program: head of a list handed to whatever starts it, or named to os.exec and its kin."""
    first = node.args[0] if node.args else None
    if isinstance(first, ast.List | ast.Tuple) and first.elts:
        first = first.elts[0]
    elif not dotted(node.func).startswith("os."):
        return False
    return isinstance(first, ast.Constant) and first.value == "git"


def test_what_came_with_a_task_from_elsewhere_decides_nothing() -> None:
    """Only those look at `Task.extra` that keep it, show it, or write it back where it came from."""
    looking = {
        path.as_posix()
        for path, tree in python_files("git_fleet", about=(".extra",))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "extra"
    }
    assert looking == {
        "git_fleet/core/plandoc.py",
        "git_fleet/views/machine_plans.py",
        "git_fleet/app/exporters/beads.py",
        "git_fleet/app/issues.py",
    }
