from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from git_fleet.views.look import PLAIN, Look, width
from git_fleet.views.table import Cell, Table
from tests.views.values import EVIL


def table(*rows: tuple[Cell | str, ...]) -> Table:
    made = Table(("TASK", "N", "WHAT"), right=frozenset({1}))
    for row in rows:
        made.add(*row)
    return made


def test_columns_line_up_and_numbers_stand_to_the_right() -> None:
    shown = table(("app/1", "2", "short"), ("app/100", "30", "日本 wide")).render(PLAIN)
    assert shown == "TASK      N  WHAT\napp/1     2  short\napp/100  30  日本 wide"


def test_a_column_that_is_empty_everywhere_is_left_out() -> None:
    assert table(("app/1", "", "x")).render(PLAIN) == "TASK   WHAT\napp/1  x"


def test_a_pipe_gets_one_line_a_row_however_long() -> None:
    assert table(("app/1", "1", "word " * 100)).render(PLAIN).count("\n") == 1


def test_a_narrow_terminal_wraps_long_texts_and_never_cuts_an_id() -> None:
    name = "app/" + "very-long-" * 5 + "id"
    shown = table((name, "1", "many words " * 10)).render(Look(width=50))
    assert name in shown
    assert shown.count("many") == 10
    assert "…" not in shown


@settings(max_examples=50)
@given(
    st.lists(st.tuples(*[st.text("abc-", min_size=1, max_size=60)] * 3), min_size=1, max_size=3),
    st.integers(1, 200),
)
def test_ids_stay_whole_on_a_terminal_of_any_width(rows: list[tuple[str, str, str]], columns: int) -> None:
    made = Table(("A", "B", "C"), whole=frozenset({0, 2}))
    for row in rows:
        made.add(*row)
    shown = made.render(Look(width=columns)).split("\n")
    for first, _, last in rows:
        assert any(line.startswith(first) and line.endswith(last) for line in shown)


def test_cells_cannot_break_out_of_their_row() -> None:
    for look in (PLAIN, Look(width=40)):
        shown = table(("app/1", "1", EVIL * 3)).render(look)
        assert "\x1b" not in shown
        assert "\r" not in shown


def test_colour_does_not_move_columns() -> None:
    rows = (("app/1", "1", "x"), ("app/22", "2", Cell("y", "red")))
    painted = table(*rows).render(Look(colour=True))
    assert painted.replace("\x1b[31m", "").replace("\x1b[2m", "").replace("\x1b[0m", "") == table(
        *rows
    ).render(PLAIN)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4), st.integers(40, 120))
def test_every_line_fits_the_terminal_when_the_ids_do(texts: list[str], columns: int) -> None:
    made = table(*((f"app/{n}", str(n), text) for n, text in enumerate(texts)))
    assert all(width(row) <= columns for row in made.render(Look(width=columns)).split("\n"))
