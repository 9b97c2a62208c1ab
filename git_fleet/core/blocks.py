"""Our part of a text that belongs to others, and whole files that are ours until somebody changes them.

A *block* is what stands between two marked lines; everything around it stays byte for byte, its line ends (CRLF)
and a missing last newline too, and taking the block out gives back what was there before. A *sealed* file ends
in a line with the digest of what is above it, so that a changed one is known without having been remembered.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Comment(NamedTuple):
    """How a language writes a comment on a line of its own."""

    opens: str
    closes: str = ""

    def line(self, text: str) -> str:
        """`text` as a comment, without a newline."""
        return f"{self.opens} {text}{f' {self.closes}' if self.closes else ''}"


MARKDOWN = Comment("<!--", "-->")
HASH = Comment("#")
SLASHES = Comment("//")

BEGIN, END = ">>> git-fleet >>>", "<<< git-fleet <<<"
_ABOUT = "written by git fleet init --agents, which renews it"
_SEAL = "git fleet init --agents wrote this file and renews it while it is unchanged; sha256:"


class Broken(ValueError):
    """The marks of a block are not one begin and one end after it, or the text is none (UTF-16, say)."""


def put(text: bytes, body: str, comment: Comment) -> bytes:
    """`text` with the block of this body: in the place of the one that is there, else at the end. Raises Broken."""
    newline = b"\r\n" if b"\r\n" in text else b"\n"
    begin, end = comment.line(f"{BEGIN} {_ABOUT}"), comment.line(END)
    block = f"{begin}\n{body.rstrip()}\n{end}".encode().replace(b"\n", newline)
    place = _place(text, comment)
    if place is not None:
        return text[: place[0]] + block + text[place[1] :]
    if not text:
        return block + newline
    if text.endswith(b"\n"):
        return text + newline + block + newline
    return text + newline * 2 + block


def take(text: bytes, comment: Comment) -> bytes:
    """`text` without the block, and without what `put` set between the two. Raises Broken."""
    place = _place(text, comment)
    if place is None:
        return text
    before, after = text[: place[0]], text[place[1] :]
    newline = b"\r\n" if b"\r\n" in text else b"\n"
    if not after and before.endswith(newline * 2):  # it was put after a text without a last newline
        return before[: -2 * len(newline)]
    after = after.removeprefix(newline)
    return (
        before.removesuffix(newline) + after
        if before.endswith((newline * 2, b"\n" + newline))
        else before + after
    )


def has(text: bytes, comment: Comment) -> bool:
    """Whether there is a block. Raises Broken."""
    return _place(text, comment) is not None


def _place(text: bytes, comment: Comment) -> tuple[int, int] | None:
    """Where the block begins and ends, its last newline not counted."""
    if b"\0" in text:
        raise Broken("it is no text in UTF-8")
    opens, closes = comment.line(BEGIN).removesuffix(comment.closes).encode(), comment.line(END).encode()
    begins, ends = (_lines(text, mark) for mark in (opens.rstrip(), closes))
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        raise Broken("the marks of git-fleet in it are not one pair")
    return begins[0], ends[0] + len(closes)


def _lines(text: bytes, mark: bytes) -> list[int]:
    """Where lines begin with `mark`."""
    found, at = [], text.find(mark)
    while at >= 0:
        if at == 0 or text[at - 1 : at] == b"\n":
            found.append(at)
        at = text.find(mark, at + 1)
    return found


def seal(text: str, comment: Comment) -> bytes:
    """A file of ours with this text."""
    return (text + comment.line(f"{_SEAL}{_digest(text.encode())}") + "\n").encode()


def is_sealed(data: bytes, comment: Comment) -> bool:
    """Whether this is what `seal` made of some text, unchanged but for its line ends."""
    above, newline, last = data.replace(b"\r\n", b"\n").rstrip(b"\n").rpartition(b"\n")
    return last == comment.line(f"{_SEAL}{_digest(above + newline)}").encode()


def was_sealed(data: bytes) -> bool:
    """Whether somebody changed what was once sealed, or it still is."""
    return _SEAL.encode() in data


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
