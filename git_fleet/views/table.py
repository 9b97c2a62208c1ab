"""Tables: aligned columns in a pipe, laid out by rich on a terminal. Ids are never cut."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from git_fleet.views.look import Look, cut, line, width

_GAP = 2


class Cell(Struct, frozen=True):
    """A text and its style; what others wrote is made harmless here."""

    text: str
    style: str = ""


class Table(Struct):
    """Rows under headings. The columns in `whole` are shown whole (ids); `right` ones are numbers."""

    headings: tuple[str, ...]
    whole: frozenset[int] = frozenset({0})
    right: frozenset[int] = frozenset()
    rows: list[tuple[Cell, ...]] = field(default_factory=list)

    def add(self, *cells: Cell | str) -> None:
        """One row, a cell for each heading."""
        made = (cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)
        self.rows.append(tuple(Cell(line(cell.text), cell.style) for cell in made))

    def width_before_last(self) -> int:
        """The columns that all but the last take, with the gap before the last."""
        return sum(self._column(n) + _GAP for n in self._used() if n < len(self.headings) - 1)

    def widest_in_last(self) -> int:
        """What the last column would take, were nothing cut."""
        return self._column(len(self.headings) - 1)

    def cut_last(self, columns: int) -> None:
        """Cut the texts of the last column to so many; 0: to none."""
        for number, row in enumerate(self.rows if columns > 0 else ()):
            self.rows[number] = (*row[:-1], Cell(cut(row[-1].text, columns), row[-1].style))

    def render(self, look: Look) -> str:
        """The table as text without a last newline. Columns that are empty everywhere are left out."""
        used = self._used()
        if look.width and max(self._width(used), 1) > look.width:
            return self._wrapped(look, used)
        return "\n".join(self._aligned(look, used))

    def _used(self) -> list[int]:
        return [n for n in range(len(self.headings)) if any(row[n].text for row in self.rows)]

    def _width(self, used: Iterable[int]) -> int:
        return sum(self._column(n) + _GAP for n in used) - _GAP

    def _column(self, number: int) -> int:
        return max(width(text) for text in (self.headings[number], *(row[number].text for row in self.rows)))

    def _aligned(self, look: Look, used: list[int]) -> Iterable[str]:
        """Plain columns: what fits the line, or goes into a pipe where no line is too long."""
        widths = {n: self._column(n) for n in used}
        heads = tuple(Cell(heading, "dim") for heading in self.headings)
        for row in (heads, *self.rows):
            cells = []
            for n in used:
                pad = " " * (widths[n] - width(row[n].text))
                painted = look.paint(row[n].text, row[n].style)
                cells.append(pad + painted if n in self.right else painted + pad)
            yield "  ".join(cells).rstrip()

    def _wrapped(self, look: Look, used: list[int]) -> str:
        """By rich, which wraps the long columns over several lines. It is slow to import, so it comes
        only where a terminal is too narrow."""
        import io

        from rich.console import Console, JustifyMethod
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for n in used:
            justify: JustifyMethod = "right" if n in self.right else "left"
            made.add_column(self.headings[n], no_wrap=n in self.whole, overflow="fold", justify=justify)
        for row in self.rows:
            made.add_row(*(Text(row[n].text, style=row[n].style) for n in used))
        out = io.StringIO()
        needed = sum(self._column(n) if n in self.whole else 8 for n in used) + 2 * len(used)
        console = Console(
            file=out,
            width=max(look.width, needed),
            force_terminal=look.colour,
            color_system="standard" if look.colour else None,
            highlight=False,
            markup=False,
        )
        console.print(made)
        return "\n".join(text.rstrip() for text in out.getvalue().rstrip("\n").split("\n"))
