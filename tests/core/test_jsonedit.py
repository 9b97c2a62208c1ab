from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import jsonedit
from git_fleet.core.jsonedit import NotJson

VALUE = {"command": "git-fleet", "args": ["mcp"]}
KEYS = st.sampled_from(["a", "b", "mcpServers", "fleet", 'q"}'])
PLAIN = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x", 'a"b', "{", "é"])
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(PLAIN, lambda deep: st.lists(deep, max_size=2) | st.dictionaries(KEYS, deep, max_size=2)),
)
INDENTS = st.sampled_from([None, 2, 4, "\t", 0])


@given(DOCUMENTS, INDENTS, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_was_put_in_comes_out_and_nothing_else_changes(
    document: dict[str, Any], indent: Any, newline: str, ends: bool
) -> None:
    document.pop("mcpServers", None)
    text = json.dumps(document, indent=indent, ensure_ascii=False).replace("\n", newline) + newline * ends
    made = jsonedit.put(text, ["mcpServers", "fleet"], VALUE)
    assert json.loads(made) == {**document, "mcpServers": {"fleet": VALUE}}
    assert jsonedit.put(made, ["mcpServers", "fleet"], VALUE) == made
    assert jsonedit.remove(made, ["mcpServers", "fleet"]) == (text if document else text.replace(" ", ""))
    if newline in text.strip():
        assert made.count("\n") == made.count(newline)


def in_the_way(document: Any, path: list[str]) -> bool:
    """Whether something on the path is there and no object."""
    for key in path:
        if key not in document:
            return False
        document = document[key]
        if not isinstance(document, dict):
            return True
    return False


@given(DOCUMENTS, INDENTS, st.lists(KEYS, min_size=1, max_size=3))
def test_any_member_can_be_set_and_removed(document: dict[str, Any], indent: Any, path: list[str]) -> None:
    text = json.dumps(document, indent=indent)
    try:
        made = jsonedit.put(text, path, VALUE)
    except NotJson:
        assert in_the_way(document, path[:-1])
        return
    expected = json.loads(text)
    below = expected
    for key in path[:-1]:
        below = below.setdefault(key, {})
    below[path[-1]] = VALUE
    assert json.loads(made) == expected
    assert jsonedit.get(json.loads(jsonedit.remove(made, path)), path) is None


def test_a_new_member_looks_like_its_neighbours() -> None:
    text = '{\n    "mcpServers": {\n        "db": {"command": "db"}\n    },\n    "x": [1,2]\n}\n'
    assert jsonedit.put(text, ["mcpServers", "fleet"], VALUE) == (
        '{\n    "mcpServers": {\n        "db": {"command": "db"},\n        "fleet": {\n'
        '            "command": "git-fleet",\n            "args": ["mcp"]\n        }\n    },\n    "x": [1,2]\n}\n'
    )
    assert jsonedit.put('{"x": 1}', ["y"], [2]) == '{"x": 1, "y": [2]}'


def test_lists_grow_at_their_end_and_lose_single_entries() -> None:
    text = '{\n  "Stop": [\n    {"hooks": [1]}\n  ]\n}\n'
    made = jsonedit.put(text, ["Stop", 1], {"hooks": [2]})
    assert made == '{\n  "Stop": [\n    {"hooks": [1]},\n    {\n      "hooks": [2]\n    }\n  ]\n}\n'
    assert jsonedit.remove(made, ["Stop", 1]) == text
    assert json.loads(jsonedit.remove(made, ["Stop", 0])) == {"Stop": [{"hooks": [2]}]}
    assert jsonedit.remove(text, ["Stop", 0, "hooks", 0]) == "{}\n"
    assert jsonedit.put('{"a": []}', ["a", 0], 1) == '{"a": [\n  1\n]}'


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    text = '{"a": 1, "a": {"b": 1}}'
    assert jsonedit.put(text, ["a", "b"], 2) == '{"a": 1, "a": {"b": 2}}'


@pytest.mark.parametrize(
    "text", ['{"a": 1, // why\n}', '{"a": 1,}', "[]", "7", "{", "\ufeff{}", "/* x */ {}", "[" * 100_000]
)
def test_what_is_not_plain_json_is_not_touched(text: str) -> None:
    with pytest.raises(NotJson):
        jsonedit.put(text, ["b"], 1)
    with pytest.raises(NotJson):
        jsonedit.remove(text, ["a"])


def test_a_value_in_the_way_is_not_replaced() -> None:
    with pytest.raises(NotJson, match="mcpServers is not an object"):
        jsonedit.put('{"mcpServers": []}', ["mcpServers", "fleet"], VALUE)
    with pytest.raises(NotJson, match=r"hooks.Stop is not a list"):
        jsonedit.put('{"hooks": {"Stop": {}}}', ["hooks", "Stop", 0], VALUE)
