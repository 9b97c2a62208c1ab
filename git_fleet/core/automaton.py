r"""The language of one file pattern: parsed, turned into a regular expression, intersected.

The rules are gitignore(5), relative to the repository root, case-sensitive, and compared byte by
byte as git does (`?` is one byte, so `x??` matches `xé`). A pattern becomes a sequence of items
that match a path's components from the first to the last. An item is one component, or `MANY`:
any number of components, none included.

    foo      MANY foo MANY      no leading or inner slash: at any depth; and all that is below
    /foo     foo MANY           anchored
    foo/     MANY foo ANY MANY  a directory: only what is below it (ANY is the component `*`)
    src/**   src ANY MANY       a trailing `**` is at least one component
    a/**/b   a MANY b MANY

The rules were compared with `git check-ignore` (the tests still do). The pathspec library is not
used because it differs from git where ownership would go wrong: `a[!x]b` matches `a/b`, `foo/**/`
matches `foo/x`, `foo` matches a name that is `foo` and a newline, `**/foo` misses directories with
a newline in their name, `\` does not escape in a class, and characters are compared, not bytes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from git_fleet.core.globs import (
    ANY,
    MANY,
    Component,
    Refused,
    common_name,
    component,
    component_regex,
    literal_end,
    literal_start,
)
from git_fleet.errors import InvalidInput

_CACHE = 1 << 16
_DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)")
_SYSTEM = re.compile(r"/(home|Users|root|etc|usr|var|tmp|opt|mnt|proc|sys|dev|private|Volumes)/.")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TRAILING_SPACES = re.compile(r"(?<!\\)((?:\\\\)*) +$")


class Shape(NamedTuple):
    """What a pattern means.

    `items` always ends in MANY. `file` is the last component if it names files; `directories` are
    the file-like components that the pattern itself uses as directories (`x.py/` or `x.py/y`).
    Any matching path, with a slash added at its end, starts with `prefix`; if `file`, a matching
    file ends in `suffix`. `starts` are the literal starts of `file` and of each of `directories`
    (see `literal_start`), none if `file` is None. `exact` is the anchored path of a pattern without
    wildcards, which matches it and all that is below; `folder` the anchored path of one that matches all
    that is below it and nothing else (`src/**`, `/docs/`).
    """

    items: tuple[Component, ...]
    file: Component | None
    directories: tuple[Component, ...]
    prefix: bytes
    suffix: bytes
    starts: tuple[bytes, ...]
    exact: bytes | None
    folder: bytes | None


def normalise(text: str) -> str:
    r"""`text` without the trailing spaces git ignores too (a last space is kept as `\ `)."""
    return _TRAILING_SPACES.sub(r"\1", text) if text.endswith(" ") else text


@lru_cache(maxsize=_CACHE)
def shape(text: str) -> Shape:
    """The meaning of a normalised pattern. Raises InvalidInput, which says what is allowed."""
    try:
        _check_text(text)
        return _shape(text)
    except Refused as refused:
        raise InvalidInput(f"file pattern {text!r}: {refused}") from None


def _check_text(text: str) -> None:
    if not text:
        raise Refused("it is empty", "name a path, a directory ending in '/', or a pattern such as 'src/**'")
    if control := _CONTROL.search(text):
        raise Refused(f"control character {control.group()!r}", "match such a character with '?'")
    if text.startswith("#"):
        raise Refused("'#' starts a comment", r"for a name that begins with '#' write '\#'")
    if text.startswith("!"):
        raise Refused(
            "'!' would negate it, and ownership cannot be negated",
            r"list what is owned; for a name that begins with '!' write '\!'",
        )
    if _DRIVE.match(text) or text == "~" or text.startswith("~/"):
        raise Refused("a path outside the repository", "write it relative to the repository's root")
    if _SYSTEM.match(text):
        raise Refused(
            "it looks like an absolute path of this machine",
            f"patterns start at the repository's root: if {text[1:]!r} is meant, write that",
        )


def _shape(text: str) -> Shape:
    directory_only = text.endswith("/")
    anchored = "/" in text[:-1]
    parts = _components(text)
    last = parts[-1]
    items = parts[:-1] if anchored else [MANY, *parts[:-1]]
    items += [ANY, MANY] if last is MANY else [last]
    items += [ANY, MANY] if directory_only else [MANY]
    merged = [item for at, item in enumerate(items) if not (at and item is MANY and items[at - 1] is MANY)]
    file = last if last.file_like and not directory_only else None
    directories = tuple(part for part in (parts if directory_only else parts[:-1]) if part.file_like)
    names = [part.name for part in parts if part.name is not None]
    one_path = anchored and not directory_only and len(names) == len(parts)
    return Shape(
        items=tuple(merged),
        file=file,
        directories=directories,
        prefix=_literal_prefix(items),
        suffix=literal_end(file) if file else b"",
        starts=tuple(map(literal_start, (file, *directories))) if file else (),
        exact=b"/".join(names) if one_path else None,
        folder=_folder(merged),
    )


def _folder(items: Sequence[Component]) -> bytes | None:
    names = [item.name for item in items[:-2] if item.name is not None]
    below = items[-2:] == [ANY, MANY] and names and len(names) == len(items) - 2
    return b"/".join(names) if below else None


def _components(text: str) -> list[Component]:
    body = text.removeprefix("/").removesuffix("/")
    if not body.strip("/"):
        raise Refused("git matches nothing by it", "write '**' for the whole repository")
    try:
        parts = body.encode("utf-8", "surrogateescape").split(b"/")
    except UnicodeEncodeError:
        raise Refused("characters that no file name has", "write UTF-8 text") from None
    if b"" in parts:
        raise Refused("an empty component ('//')", "put one '/' between components")
    return [*(component(part) for part in parts[:-1]), component(parts[-1], last=True)]


def _literal_prefix(items: Iterable[Component]) -> bytes:
    prefix = b""
    for item in items:
        prefix += literal_start(item)
        if item.name is None:
            break
    return prefix


def regex(meaning: Shape) -> str:
    """An ASCII source for `re`, to be matched (`re.match`) against a path's *bytes*.

    Groups are atomic where the leftmost match is as good as any other, so no pattern can make a
    match take exponential time.
    """
    sections = [""]
    for item in meaning.items[:-1]:
        if item is MANY:
            sections.append("(?:[^/]+/)*?")
        else:
            sections[-1] += component_regex(item) + r"(?:/|\Z)"
    return sections[0] + "".join(f"(?>{section})" for section in sections[1:])


def obviously_disjoint(left: Shape, right: Shape) -> bool:
    """A cheap test: whether the literal starts, or those or the ends of two file names, exclude each other."""
    if not _one_starts_other(left.prefix, right.prefix):
        return True
    if left.file is None or right.file is None or left.directories or right.directories:
        return False
    if not (left.suffix.endswith(right.suffix) or right.suffix.endswith(left.suffix)):
        return True
    return not _one_starts_other(left.starts[0], right.starts[0])


def _one_starts_other(left: bytes, right: bytes) -> bool:
    return left.startswith(right) or right.startswith(left)


def obviously_common(left: Shape, right: Shape) -> bool:
    """A cheap test: whether one matches at any depth and the other owns all that is below its paths."""
    return (left.items[0] is MANY and right.file is None) or (right.items[0] is MANY and left.file is None)


def common_path(left: Shape, right: Shape) -> bytes | None:
    """A short path that both match, or None.

    A pattern whose last component names files is not read as a directory, unless the other pattern
    has a directory that this component matches: `*.md` and `docs/*.txt` have nothing in common,
    although git would let both match `docs/a.txt/a.md`.
    """
    ours, theirs = _items_against(left, right), _items_against(right, left)
    start, end = (0, 0), (len(ours), len(theirs))
    came_from: dict[tuple[int, int], tuple[tuple[int, int], bytes]] = {start: (start, b"")}
    queue = deque([start])
    while queue and end not in came_from:
        here = queue.popleft()
        for name, there in _steps(ours, theirs, *here):
            if there not in came_from:
                came_from[there] = (here, name)
                queue.append(there)
    if end not in came_from:
        return None
    names = []
    while end != start:
        end, name = came_from[end]
        names.append(name)
    return b"/".join(name for name in reversed(names) if name)


def _items_against(meaning: Shape, other: Shape) -> tuple[Component, ...]:
    file = meaning.file
    if file is None or any(common_name(file, directory) for directory in other.directories):
        return meaning.items
    return meaning.items[:-1]


def _steps(
    ours: tuple[Component, ...], theirs: tuple[Component, ...], i: int, j: int
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """What can be read next at place `i` of ours and `j` of theirs: a common name, or nothing (leaving a MANY)."""
    mine = ours[i] if i < len(ours) else None
    other = theirs[j] if j < len(theirs) else None
    if mine is MANY:
        yield b"", (i + 1, j)
    if other is MANY:
        yield b"", (i, j + 1)
    if mine is None or other is None:
        return
    name = common_name(ANY if mine is MANY else mine, ANY if other is MANY else other)
    if name is not None:
        yield name, (i + (mine is not MANY), j + (other is not MANY))
