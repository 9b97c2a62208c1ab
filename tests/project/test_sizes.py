"""Functions that fit on a screen, modules that fit in a head (STYLE: 70 and 400 lines)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.project.source import python_files, python_texts

FUNCTION_LINES = 70
MODULE_LINES = 400


def long_functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and length of each function over the limit, from `def` to its last line."""
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield node.name, length


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All that may hold a `def`, outer ones first. Expressions, most of a tree, never do."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield node
            yield from statements(node)


def test_no_function_is_longer_than_seventy_lines() -> None:
    found = {
        f"{path}:{name}": length
        for path, tree in python_files("git_fleet", "tests", "benchmarks")
        for name, length in long_functions(tree)
    }
    assert found == {}


def test_no_module_of_the_package_is_longer_than_four_hundred_lines() -> None:
    lengths = {str(path): len(text.splitlines()) for path, text in python_texts("git_fleet")}
    assert lengths, "found no modules at all"
    assert {path: length for path, length in lengths.items() if length > MODULE_LINES} == {}


def test_a_long_function_is_seen_inside_a_class_too() -> None:
    body = "        pass\n"
    fits = ast.parse("class A:\n    def b(self):\n" + body * (FUNCTION_LINES - 1))
    too_long = ast.parse("class A:\n    async def b(self):\n" + body * FUNCTION_LINES)
    assert list(long_functions(fits)) == []
    assert list(long_functions(too_long)) == [("b", FUNCTION_LINES + 1)]
