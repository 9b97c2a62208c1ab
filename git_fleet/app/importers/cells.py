"""The cells of a Markdown table: code marks, remarks in parentheses, links, lists of names.

Readers return None for a cell that they do not understand.
"""

from __future__ import annotations

import re
from typing import NamedTuple

RULES = {
    "files": "allowed: files in code marks, such as `cli.py`, `docs/**`, with commas, spaces or <br> between",
    "needs": "allowed: issues such as '#42, #43', or none",
}
"""What a list of files or of issues may look like, by the field it is for."""

_NOTHING = ("", "none", "-", "–", "—")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_MARKS = re.compile(r"`+")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")
_EMPHASIS = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
_REMARK = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_PLACE = re.compile(r"\0(\d+)\0")  # where the n-th piece of code stood
_SEPARATOR = re.compile(r"[\s,;]+")
_NUMBER = re.compile(r"(?<![\w/])#(\d+)\b")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATH_MARK = re.compile(r"[./*]")


class Cell(NamedTuple):
    """A cell without its remarks. In `text` the n-th piece of `code` stands as NUL, n, NUL, and a
    link as its words; `linked` says that there was one."""

    text: str
    code: list[str]
    remarks: list[str]
    linked: bool


class Issue(NamedTuple):
    """What an issue's cell says."""

    id: str
    title: str


def split_row(line: str) -> list[str]:
    r"""The cells of a table's row, `\|` being a '|' inside one; [] for a line without '|'."""
    bare = line.strip()
    parts = re.split(r"(?<!\\)\|", bare)
    if len(parts) == 1:
        return []
    if bare.startswith("|"):
        parts = parts[1:]
    if not parts[-1].strip() and len(parts) > 1:
        parts = parts[:-1]
    return [part.replace(r"\|", "|").strip() for part in parts]


def plain(cell: str) -> str:
    """A cell's text without marks: code, strong words, links and line breaks."""
    text = _EMPHASIS.sub(r"\1", _LINK.sub(r"\1", _BREAK.sub(" ", cell)))
    return " ".join(text.replace("`", "").split())


def is_nothing(cell: str) -> bool:
    """Whether a cell is empty, "none" or a dash."""
    return plain(cell).lower() in _NOTHING


def read_cell(cell: str) -> Cell:
    """The cell's code, its remarks in parentheses outside of code, and the rest."""
    marked, code = _without_code(_BREAK.sub(" , ", cell.replace("\0", " ")))
    code = [piece.strip() for piece in code]
    text, links = _LINK.subn(r"\1", marked)
    remarks = [_refilled(match[1].replace(" , ", " "), code, "`") for match in _REMARK.finditer(text)]
    text = _REMARK.sub(" ", text).strip()
    nothing = text.lower() in _NOTHING
    return Cell("" if nothing else text, code, [remark for remark in remarks if remark], links > 0)


def _without_code(text: str) -> tuple[str, list[str]]:
    """The text with a place for each piece of code, and the pieces. As in CommonMark, a run of marks is closed by
    the next one that is as long, or means nothing."""
    runs = list(_MARKS.finditer(text))
    later: dict[int, list[int]] = {}
    for number in range(len(runs) - 1, -1, -1):
        later.setdefault(len(runs[number][0]), []).append(number)
    kept: list[str] = []
    code: list[str] = []
    at = number = 0
    while number < len(runs):
        opening = runs[number]
        closing = later[len(opening[0])]
        while closing and closing[-1] <= number:
            closing.pop()
        if closing:
            end = runs[closing[-1]]
            kept += (text[at : opening.start()], f"\0{len(code)}\0")
            code.append(text[opening.end() : end.start()])
            at, number = end.end(), closing[-1]
        number += 1
    return "".join((*kept, text[at:])), code


def _refilled(text: str, code: list[str], mark: str = "") -> str:
    """`text` with its code put back, between `mark`s."""
    return " ".join(_PLACE.sub(lambda place: f"{mark}{code[int(place[1])]}{mark}", text).split())


def issue(cell: Cell) -> Issue | None:
    """`#42 count` → id 42, title "count": the number, or the first word; the rest is the title."""
    text = _EMPHASIS.sub(r"\1", _refilled(cell.text, cell.code))
    numbers = list(_NUMBER.finditer(text))
    if len(numbers) > 1:
        return None
    if numbers:
        found, rest = numbers[0][1], f"{text[: numbers[0].start()]} {text[numbers[0].end() :]}"
    else:
        found, _, rest = text.partition(" ")
        found = found.rstrip(":,")
    if not _WORD.fullmatch(found):
        return None
    title = " ".join(rest.split()).strip("-–—:., ")
    return Issue(found.lower(), title or found)


_QUOTED = re.compile(r"(\*\*)?#?([A-Za-z0-9][A-Za-z0-9._-]*)(?(1)\*\*) +\0(\d+)\0")


def quoted_issue(cell: str) -> Issue | None:
    """An id and one piece of code: a title that is taken as it is. None for any other cell."""
    marked, code = _without_code(cell.replace("\0", " "))
    found = _QUOTED.fullmatch(marked.strip())
    if found is None or len(code) != 1 or not code[0].strip():
        return None
    inner = code[0]
    spaced = (
        len(inner) > 2 and inner[0] == inner[-1] == " "
    )  # as in CommonMark, so that it may begin with a mark
    return Issue(found[2].lower(), inner[1:-1] if spaced else inner)


def names(cell: Cell) -> list[str] | None:
    """Words, in code marks or without."""
    pieces = _pieces(cell)
    return None if pieces is None else [name for name, _ in pieces]


def _pieces(cell: Cell) -> list[tuple[str, bool]] | None:
    """What stands between separators, and whether it is a piece of code; None if it is partly."""
    found: list[tuple[str, bool]] = []
    for piece in filter(None, _SEPARATOR.split(cell.text)):
        place = _PLACE.fullmatch(piece)
        if place is None and ("\0" in piece or "`" in piece):
            return None
        found.append((cell.code[int(place[1])], True) if place else (piece, False))
    return found


def references(cell: Cell) -> list[str] | None:
    """Issues by id, with or without '#'."""
    found = [name for piece in names(cell) or [""] for name in _SEPARATOR.split(piece)] if cell.text else []
    bare = [name.removeprefix("#") for name in found]
    return bare if all(bare) else None


def files(cell: Cell) -> list[str] | None:
    """Patterns in code marks; without marks only what looks like a path (it has a '.', '/' or '*').

    Several in one pair of marks are told apart by commas. One with a blank is one file, unless
    each of its words looks like a path: that could be several, so it is not understood. Nor is a
    link, which names two things.
    """
    pieces = _pieces(cell)
    if pieces is None or cell.linked:
        return None
    found: list[str] = []
    for piece, marked in pieces:
        for part in map(str.strip, piece.split(",")):
            words = part.split()
            paths = sum(_PATH_MARK.search(word) is not None for word in words)
            if not words or (not marked and not paths) or (paths > 1 and paths == len(words)):
                return None
            found.append(part)
    return found
