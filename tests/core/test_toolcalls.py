from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import toolcalls

KEYS = st.sampled_from(
    ["tool_name", "tool_input", "file_path", "edits", "command", "paths", "cwd", "name", "x"]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["Write", "*** Begin Patch"]),
    lambda deep: st.lists(deep, max_size=3) | st.dictionaries(KEYS, deep, max_size=4),
)


@given(JSON)
def test_whatever_an_agent_sends_is_read(document: Any) -> None:
    call = toolcalls.call(document)
    assert "" not in call.paths
    assert isinstance(call.again, bool)


@given(JSON)
def test_the_file_of_an_edit_is_found_whatever_stands_beside_it(beside: Any) -> None:
    given_beside = beside if isinstance(beside, dict) else {"x": beside}
    document = {"tool_name": "Write", "tool_input": {**given_beside, "file_path": "a.py"}}
    if "view" not in str(beside):
        assert "a.py" in toolcalls.call(document).paths


@pytest.mark.parametrize(
    "tool",
    ["Write", "Edit", "MultiEdit", "NotebookEdit", "apply_patch", "write_file", "replace", "edit", "patch",
     "mcp__files__write_file", "mcp__x__edit-file", "mcp_files_write_file", "str_replace_based_edit_tool",
     "mcp__serena__replace_symbol_body", "mcp__serena__create_text_file", "mcp__serena__insert_after_symbol"],
)  # fmt: skip
def test_tools_that_write(tool: str) -> None:
    assert toolcalls.writes(tool)


@pytest.mark.parametrize(
    "tool",
    ["Read", "Bash", "Grep", "TodoWrite", "WebFetch", "read_file", "mcp__fleet__claim_task", "rewrite", ""],
)
def test_tools_that_do_not(tool: str) -> None:
    assert not toolcalls.writes(tool)


def test_a_patch_names_its_files_wherever_it_is_sent() -> None:
    patch = "*** Begin Patch\n*** Add File: a\r\n+*** Add File: text\n*** Update File: b c\n*** Move to: d\n*** End Patch"
    for given_patch in ({"input": patch}, {"patchText": patch}, {"command": ["apply_patch", patch]}):
        call = toolcalls.call({"tool_name": "apply_patch", "tool_input": given_patch})
        assert call.paths == ("a", "b c", "d")
    shell = {"command": f"cd 'sub dir'; apply_patch <<'E'\n{patch}\nE"}
    assert toolcalls.call({"tool_name": "Bash", "tool_input": shell}).paths == ("a", "b c", "d")
    assert (
        toolcalls.call({"tool_name": "Bash", "tool_input": {"command": "grep '*** Add File: a'"}}).paths == ()
    )


def test_blanks_hide_no_header_of_a_patch_and_make_none_of_what_stands_in_a_file() -> None:
    """As codex-rs/apply-patch/src/parser.rs reads it."""
    patch = (
        "*** Begin Patch\n  *** Add File: a \r\n+x\n\t*** Delete File: b\n *** Update File: c\n@@\n"
        "  *** Add File: text\n-y\n+z\n*** Delete File: d\n *** Add File: e\n+x\n*** End Patch"
    )
    call = toolcalls.call({"tool_name": "apply_patch", "tool_input": {"command": patch}})
    assert call.paths == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize("folder", ["'sub dir'", '"sub dir"', "sub"])
def test_a_patch_may_be_applied_in_a_folder(folder: str) -> None:
    command = f"cd {folder} && apply_patch <<'E'\n*** Begin Patch\n*** Add File: a\n+x\n*** End Patch\nE"
    call = toolcalls.call({"tool_name": "Bash", "tool_input": {"command": command}})
    assert call.paths == (f"{folder.strip(chr(39) + chr(34))}/a",)


@pytest.mark.parametrize(
    "text",
    ["*** Add File: a" + " " * 200_000 + "b", " " * 200_000, " *** " * 50_000, "cd '" + "x " * 100_000],
)
def test_a_patch_made_to_take_long_does_not(text: str) -> None:
    began = time.process_time()
    toolcalls.call({"tool_name": "apply_patch", "tool_input": {"command": f"{text}\n*** Begin Patch"}})
    assert time.process_time() - began < 5
