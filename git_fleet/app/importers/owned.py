"""What the text of an issue says about the files it owns, where it says it in a way that leaves no doubt.

A fenced block marked `files` or `owned`, one pattern a line; or a section of that name ("## Files", "### Files
owned", "**Owned**") with patterns in code marks, as a list or not, or in a fenced block; or one line
"Files: `a.py`, `docs/**`".
"""

from __future__ import annotations

import re

from msgspec import Struct, field

from git_fleet.app.importers import cells

NAMES = ("files", "owned", "files owned", "owned files")
RULE = f"{cells.RULES['files']}, one or more to a line"

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*([\w-]*)")
_HEADING = re.compile(r" {0,3}#{1,6}\s+(.*)$")
_STRONG = re.compile(r"\s*\*\*([^*]+)\*\*:?\s*$")
_INLINE = re.compile(
    r"\s*(?:[-*+]\s+)?(?:\*\* *)?([A-Za-z][A-Za-z ]*?)(?:\*\*:|:\*\*|:)\s+(?=\S)(.*`.*)$"
)  # no two parts in a row may take blanks: of 60,000 blanks each would be tried with each
_MARKER = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")
_NOTHING = ("_no response_", "none", "-", "n/a")


class Said(Struct):
    """The patterns a text names, those that are not understood by line (1-based), and the lines that are
    neither code nor about files."""

    files: list[str] = field(default_factory=list)
    unclear: list[tuple[int, str]] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)


def read(body: str) -> Said:
    """What the text says.

    A section ends with the next heading, and with a paragraph after its files that names none.
    """
    said = Said()
    section: _Section | None = None
    fence, taken = "", False
    text = without_comments(body.replace("\r\n", "\n"))
    for number, line in enumerate(text.split("\n"), start=1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            elif taken and line.strip() and not line.startswith("#"):
                said.files.append(line.strip())
        elif mark:
            fence, taken = mark[1], section is not None or mark[2].lower() in NAMES
        elif (title := heading(line)) is not None:
            section = _Section(len(said.files)) if title in NAMES else None
            if section is None:
                said.prose.append(line)
        elif section is not None and not section.is_over(line, said):
            marker = _MARKER.match(line)  # at the beginning alone: a file may be called `a - b.py`
            _take(line[marker.end() if marker else 0 :].strip(), number, said)
        elif (inline := _INLINE.match(line)) and _words(inline[1]) in NAMES:
            section = None
            _take(inline[2].strip(), number, said)
        else:
            section = None
            said.prose.append(line)
    said.files = list(dict.fromkeys(said.files))
    return said


class _Section(Struct):
    """A section about files: how many were known when it began, and whether the line before was empty."""

    known: int
    after_blank: bool = False

    def is_over(self, line: str, said: Said) -> bool:
        """Whether this line begins a paragraph about something else."""
        before, self.after_blank = self.after_blank, not line.strip()
        if (
            not before
            or not line.strip()
            or len(said.files) == self.known
            or "`" in line
            or _MARKER.match(line)
        ):
            return False
        return cells.files(cells.read_cell(line.strip())) is None


def without_comments(text: str) -> str:
    """The text without what stands between `<!--` and `-->`, its lines where they were."""
    kept: list[str] = []
    at = 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept += (text[at:start], "\n" * text.count("\n", start, end))
        at = end + len("-->")
    return "".join((*kept, text[at:]))


def heading(line: str) -> str | None:
    """The words of a line that is a heading, in lower case; None for any other line."""
    found = _HEADING.match(line) or _STRONG.match(line)
    return _words(found[1]) if found else None


def _words(text: str) -> str:
    return " ".join(text.replace("*", "").strip("\t :#").lower().split())


def _take(text: str, number: int, said: Said) -> None:
    if not text or text.lower() in _NOTHING:
        return
    found = cells.files(cells.read_cell(text))
    if found is None:
        said.unclear.append((number, text))
    else:
        said.files += found
