from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import blocks
from git_fleet.core.blocks import HASH, MARKDOWN, Broken

TEXTS = st.lists(st.sampled_from([b"a", b"# b", b"", b"  c  ", b"caf\xc3\xa9", b"\xff"]), max_size=6)


@given(TEXTS, st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_taking_a_block_out_gives_back_what_was_there(lines: list[bytes], newline: bytes, ends: bool) -> None:
    text = newline.join(lines) + (newline if ends else b"")
    once = blocks.put(text, "one\ntwo\n", MARKDOWN)
    assert once.startswith(text)
    assert blocks.take(once, MARKDOWN) == text
    assert blocks.put(once, "one\ntwo\n", MARKDOWN) == once
    renewed = blocks.put(once, "other", MARKDOWN)
    assert blocks.take(renewed, MARKDOWN) == text
    assert b"two" not in renewed
    if newline == b"\r\n" and newline in text:
        assert renewed.count(b"\n") == renewed.count(b"\r\n")


@pytest.mark.parametrize("text", [b"a", b"a\n", b"a\r\nb"])
def test_a_file_ends_as_it_ended(text: bytes) -> None:
    made = blocks.put(text, "ours", HASH)
    assert made.endswith(b"\n") == text.endswith(b"\n")


def test_what_others_write_around_a_block_stays() -> None:
    made = blocks.put(b"# Title\n", "ours", MARKDOWN)
    changed = made.replace(b"# Title", b"# Other title") + b"\nmore\n"
    assert blocks.put(changed, "ours, newer", MARKDOWN) == changed.replace(b"ours", b"ours, newer")
    assert blocks.take(changed, MARKDOWN) == b"# Other title\n\nmore\n"


@pytest.mark.parametrize(
    "text",
    [
        b"<!-- >>> git-fleet >>> -->\nno end\n",
        b"<!-- <<< git-fleet <<< -->\n",
        b"<!-- <<< git-fleet <<< -->\n<!-- >>> git-fleet >>> x -->\n",
        blocks.put(b"", "a", MARKDOWN) * 2,
        "# Title\n".encode("utf-16"),
    ],
)
def test_broken_marks_are_nobodys_to_mend(text: bytes) -> None:
    with pytest.raises(Broken):
        blocks.put(text, "x", MARKDOWN)
    with pytest.raises(Broken):
        blocks.take(text, MARKDOWN)


def test_marks_inside_a_line_are_text() -> None:
    text = b"see `<!-- >>> git-fleet >>> -->`\n"
    assert not blocks.has(text, MARKDOWN)
    assert blocks.take(blocks.put(text, "x", MARKDOWN), MARKDOWN) == text


def test_a_seal_knows_its_text_and_no_other() -> None:
    made = blocks.seal("one\ntwo\n", MARKDOWN)
    assert blocks.is_sealed(made, MARKDOWN)
    assert blocks.is_sealed(made.replace(b"\n", b"\r\n"), MARKDOWN)
    assert blocks.is_sealed(blocks.seal("of another version\n", MARKDOWN), MARKDOWN)
    for changed in (made.replace(b"two", b"three"), made + b"more\n", b"one\ntwo\n", b""):
        assert not blocks.is_sealed(changed, MARKDOWN)
