"""Imports are found as Python would find them, in files that nobody runs."""

from __future__ import annotations

import pytest

from git_fleet.core.imports import Modules, may_import

TREE = (
    "top.py",
    "app/__init__.py",
    "app/core.py",
    "app/json.py",
    "app/deep/__init__.py",
    "app/deep/one.py",
    "app/deep/two.py",
    "src/lib/__init__.py",
    "src/lib/core.py",
    "src/single.py",
    "services/a/pkg/__init__.py",
    "services/a/pkg/core.py",
    "services/b/pkg/__init__.py",
    "services/b/pkg/core.py",
    "services/b/run.py",
    "notes/random.py",
    "notes/deep/random.py",
)


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("app/core.py", "import top", {"top.py"}),
        ("top.py", "import app.core as c, app.deep", {"app/core.py", "app/deep/__init__.py"}),
        ("top.py", "from app import core, VERSION", {"app/core.py", "app/__init__.py"}),
        ("top.py", "from app.deep.one import thing", {"app/deep/one.py"}),
        ("top.py", "from app.deep import *", {"app/deep/__init__.py"}),
        ("app/deep/one.py", "from . import two", {"app/deep/two.py"}),
        ("app/deep/one.py", "from .two import x", {"app/deep/two.py"}),
        ("app/deep/one.py", "from .. import core", {"app/core.py"}),
        ("app/deep/one.py", "from ..core import x", {"app/core.py"}),
        ("app/core.py", "from . import json", {"app/json.py"}),
        ("app/core.py", "from .. import top", {"top.py"}),
        ("app/deep/one.py", "from ..... import x", set()),
        ("top.py", "from lib.core import x", {"src/lib/core.py"}),
        ("top.py", "import single", {"src/single.py"}),
        ("services/b/run.py", "from pkg.core import x", {"services/b/pkg/core.py"}),
        ("services/a/pkg/__init__.py", "import pkg.core", {"services/a/pkg/core.py"}),
        ("top.py", "import random, json", {"notes/random.py"}),
        ("top.py", "def f():\n    import app.json", {"app/json.py"}),
        ("top.py", "import top", set()),
        ("top.py", "import nowhere.at_all", set()),
        ("top.py", "not python at all", set()),
        ("top.py", "x = '\\d'\nimport app.json", {"app/json.py"}),
        ("top.py", "(" * 5000, set()),
        ("top.py", "import app.json\0", set()),
    ],
)
def test_what_a_file_imports(path: str, source: str, found: set[str]) -> None:
    assert Modules(TREE).imported(path, source.encode()) == found


def test_a_file_that_is_no_text_imports_nothing() -> None:
    assert Modules(TREE).imported("top.py", b"\xff\xfeimport app") == frozenset()


@pytest.mark.parametrize(
    ("source", "may"),
    [
        ("import a.core", True),
        ("if x:\n    from core import y", True),
        ("from a import (\n    b,\n    core,\n)", True),
        ("from a import b, \\\n    core", True),
        ("from . import core as c", True),
        ("core = 1\nimport a", False),
        ("import encore", False),
        ("from a import (b)\ncore()", False),
    ],
)
def test_only_imports_are_looked_through_before_a_file_is_parsed(source: str, may: bool) -> None:
    assert may_import(source.encode(), frozenset({b"core"})) is may
