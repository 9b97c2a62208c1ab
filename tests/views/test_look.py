from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core.wording import count
from git_fleet.views.look import PLAIN, Look, age, line, lines, size, some, wrapped
from tests.views.values import EVIL

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@given(ANY_TEXT)
def test_text_of_others_is_one_printable_line(text: str) -> None:
    shown = line(text)
    assert shown.isprintable()
    shown.encode("utf-8")


@given(ANY_TEXT)
def test_printable_text_is_left_as_it_is(text: str) -> None:
    assert (line(text) == text) is text.isprintable()


@given(ANY_TEXT)
def test_text_of_several_lines_keeps_its_lines_alone(text: str) -> None:
    assert all(part.isprintable() for part in lines(text).split("\n"))
    assert lines(text).count("\n") == text.count("\n")


def test_what_could_steer_a_terminal_is_shown_as_an_escape() -> None:
    assert line(EVIL) == r"red\x1b[31m\r\n\u202eback\xff"
    assert line(os.fsdecode(b"\x80\xff")) == r"\x80\xff"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-5, "0s"), (59.9, "59s"), (60, "1m"), (7199, "1h"), (200_000, "2d")]
)
def test_an_age_is_given_in_its_largest_unit(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (5 * 10**12, "5000 GB")],
)
def test_sizes_have_a_unit(number: int, shown: str) -> None:
    assert size(number) == shown


def test_lists_say_how_much_they_leave_out() -> None:
    assert some(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert some(("a",)) == "a"
    assert (count(1, "task"), count(2, "task")) == ("1 task", "2 tasks")


def test_a_sentence_breaks_at_spaces_where_the_terminal_ends() -> None:
    narrow = Look(width=12)
    assert wrapped("  one two three four", narrow, indent=4) == "  one two\n    three\n    four"
    assert wrapped("a-word-longer-than-that and more", narrow) == "a-word-longer-than-that\nand more"
    assert wrapped("one two three four", PLAIN) == "one two three four"
    assert wrapped("一二三 四五六", narrow) == "一二三\n四五六", "wide characters take two columns"
    coloured = Look(width=12, colour=True)
    assert wrapped(f"{coloured.paint('one two', 'red bold')} six", coloured).count("\n") == 0


SENTENCES = st.lists(st.sampled_from(["a", "bc", " ", "\x1b[0m", "\x1b[31;1m"]), max_size=30).map("".join)


@given(SENTENCES, st.integers(1, 20), st.integers(0, 5))
def test_no_word_is_lost_or_broken_and_no_line_too_long_but_for_one_word(
    text: str, width: int, indent: int
) -> None:
    shown = wrapped(text, Look(width=width), indent=indent)
    assert shown.split() == text.split()
    for row in shown.split("\n"):
        columns = len(re.sub(r"\x1b\[[0-9;]*m", "", row))  # styles take no room
        assert columns <= width or " " not in row.strip()


def test_colours_appear_only_where_they_are_welcome() -> None:
    assert PLAIN.paint("x", "red bold") == "x"
    assert Look(colour=True).paint("x", "red bold") == "\x1b[31;1mx\x1b[0m"
    assert Look(colour=True).paint("x", "") == "x"
