"""Telling formats apart, and what TOML and JSON say when they are broken."""

from __future__ import annotations

import pytest

from git_fleet.app import importers
from git_fleet.app.importers import json, toml
from git_fleet.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("plan.toml", "", "toml"),
        ("PLAN.JSON", "", "json"),
        ("notes.md", "", "markdown"),
        ("notes.markdown", "", "markdown"),
        ("-", ' \n{"version": 1}', "json"),
        ("-", "# x\nversion = 1\n", "toml"),
        ("x.txt", "[[task]]\nid = 'a'\n", "toml"),
        ("x.txt", "# Plan\n\n| Issue | Branch |\n|---|:-:|\n", "markdown"),
        ("x.txt", "Issue | Branch\n---|---\n", "markdown"),
        ("plan.md", "[a link](x)\n", "markdown"),
        ("task-1.md", "---\nstatus: x\nid: task-1\n---\n", "backlog"),
        ("plan.md", "---\ntitle: x\n---\nid: 1\n", "markdown"),
        ("issues.jsonl", "", "beads"),
        ("-", '{"id": "a", "title": "x"}\n{"id": "b", "title": "y"}\n', "beads"),
        ("-", '{"_type": "memory"}\n{"id": "b", "title": "y"}\n', "beads"),
        ("-", '{"id": "a", "title": "x"}', "beads"),
        ("-", '[{"number": 1}]', "github"),
        ("issues.json", "[]", "github"),
        ("x.json", '{"number": 1, "title": "x"}', "github"),
        ("tasks.json", '{"master": {"tasks": []}}', "taskmaster"),
        ("tasks.json", '{"tasks": []}', "taskmaster"),
        ("x.json", '{"plan": "p", "tasks": []}', "json"),
        ("x.json", "{", "json"),
        ("-", "[task]\n", "toml"),
    ],
)
def test_the_suffix_or_the_text_tells_the_format(name: str, text: str, expected: str) -> None:
    assert importers.detect_format(name, text) == expected


def test_a_text_of_no_known_format_is_refused() -> None:
    with pytest.raises(InvalidInput, match="x: its format cannot be told; allowed: toml, json, markdown"):
        importers.detect_format("x", "hello")
    with pytest.raises(InvalidInput, match="format: found 'yaml'; allowed: toml"):
        importers.read("", name="x", format_name="yaml")


TOML = '''\
version = 1
"plan" = "p"

[[task]]
id = "a"
prompt = """
id = "no key"
[[task]]
"""
files = [
  "x.py",
]

[[task]]  # second
id = "b-{c}"
matrix.c = ["1"]
[task.other]
z = 1
'''


def test_toml_keys_know_their_lines() -> None:
    assert toml.read(TOML, "x").lines == {
        ("version",): 1,
        ("task", 0): 4,
        ("task", 0, "id"): 5,
        ("task", 0, "prompt"): 6,
        ("task", 0, "files"): 10,
        ("task", 1): 14,
        ("task", 1, "id"): 15,
        ("task", 1, "matrix"): 16,
        ("task", 1, "matrix", "c"): 16,
        ("task", 1, "other"): 17,
        ("task", 1, "other", "z"): 18,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a = 1\nb = "x\n', "x:2: not TOML: Illegal character '\\n', in column 7"),
        ("a = 1\na = 2\n", "x:2: not TOML: Cannot overwrite a value, in column 6"),
        ("a = ", "x: not TOML: Invalid value (at end of document)"),
        ("a = " + "[" * 20_000, "x: nested too deeply"),
        ("a = " + "9" * 5_000, "x: not TOML: Exceeds the limit"),
    ],
)
def test_broken_toml_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        toml.read(text, "x")
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"a": }', "x:2: not JSON: Expecting value, in column 6"),
        ('{"a": 1, "a": 2}', "x: not JSON: the key 'a' stands twice in one object"),
        ('{"a": 1e999}', "x: not JSON: the number 1e999 is too large"),
        ('{"a": NaN}', "x: not JSON: NaN is no number of JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "x: not JSON: Exceeds the limit"),
        ("[" * 200_000, "x: nested too deeply"),
        ("[]", "x: found a list; allowed: an object"),
    ],
)
def test_broken_json_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        json.read(text, "x")
    assert caught.value.message.startswith(message)
