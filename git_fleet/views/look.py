"""How text may look where it goes, and how text that others wrote is made harmless."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime

from msgspec import Struct

_CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
    "magenta": "35", "cyan": "36",
}  # fmt: skip


class Look(Struct, frozen=True):
    """`width` in columns, 0 for a pipe, where nothing is wrapped; `colour` whether ANSI colours are
    welcome."""

    width: int = 0
    colour: bool = False

    def paint(self, text: str, style: str) -> str:
        """`text` in a style (words such as "bold red"), where colours are welcome."""
        codes = [_CODES[word] for word in style.split()]
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour and codes else text


PLAIN = Look()
JOINERS = "\u200c\u200d"
"""What scripts and emoji are written with. Browsers know how; on a terminal they would shift what follows."""
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def line(text: object, *, keep: str = "") -> str:
    """Text that somebody else wrote (a title, a status, a branch) on one line, without anything that
    could steer a terminal: control characters, bidirectional overrides, lone surrogates; but for those to `keep`."""
    written = str(text)
    if written.isprintable():
        return written
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in written)


def lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(line(part.replace("\t", "    ")) for part in text.split("\n"))


def _escaped(char: str) -> str:
    """How an unprintable character is shown: a byte of a file name as \\xff, others as Python writes them."""
    code = ord(char)
    if char in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[char]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """Painted text without its styles: what takes columns of it."""
    return _STYLE.sub("", text)


def width(text: str) -> int:
    """The columns a text takes on a terminal: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def cut(text: str, columns: int) -> str:
    """The beginning of a text that has more columns than there is room for, and an ellipsis."""
    if width(text) <= columns:
        return text
    kept = text[: max(0, columns - 1)]
    while kept and width(kept) > columns - 1:
        kept = kept[:-1]
    return f"{kept.rstrip()}…" if columns > 0 else ""


def wrapped(text: str, look: Look, *, indent: int = 0) -> str:
    """A sentence broken at spaces where the terminal ends, its further lines indented; the width of styles
    is not counted. Not for what people copy: a command stays one line."""
    if not look.width:
        return text
    words = text.lstrip(" ").split(" ")
    used = len(text) - len(text.lstrip(" "))
    rows = [" " * used]
    for number, word in enumerate(words):
        columns = width(visible(word))
        if number and used + 1 + columns > look.width:
            rows.append(" " * indent + word)
            used = indent + columns
        else:
            rows[-1] += f" {word}" if number else word
            used += columns + (1 if number else 0)
    return "\n".join(row.rstrip(" ") for row in rows)


def short(oid: str | None) -> str:
    """An object id as people read it."""
    return oid[:10] if oid else "-"


def age(seconds: float) -> str:
    """A duration in its largest unit: 45s, 12m, 3h, 2d."""
    seconds = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def since(moment: datetime, now: datetime) -> str:
    """How long ago that was."""
    return f"{age((now - moment).total_seconds())} ago"


def size(count: int) -> str:
    """A number of bytes with a unit: 512 B, 3.4 MB."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def some(items: list[str] | tuple[str, ...], most: int = 3) -> str:
    """The first few of a list, made harmless, and how many more there are."""
    shown = ", ".join(line(item) for item in items[:most])
    return shown + (f" and {len(items) - most} more" if len(items) > most else "")
