"""One component of a file pattern: its tokens, its regular expression, and what two have in common.

The rules are those of git's wildmatch.c, over bytes. POSIX classes and classes beyond ASCII are
refused.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

STAR = 0  # the token `*`; every other token is the set of bytes it matches, bit n for byte n
_SLASH, _DOT = 1 << ord("/"), 1 << ord(".")
_ANY_BYTE = (1 << 256) - 1 & ~1 & ~_SLASH
_READABLE = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-+=,@%~^!#$&;: .()[]{}"
_BYTES_BY_TASTE = bytes(dict.fromkeys(_READABLE + bytes(range(32, 256)) + bytes(range(1, 32))))
_LETTERS = sum(1 << byte for byte in range(256) if chr(byte).isalpha() and byte < 128)
_LETTERS_DIGITS = _LETTERS | sum(1 << byte for byte in b"0123456789")
_CACHE = 1 << 16
_BYTE_TOKENS = tuple(1 << byte for byte in range(256))
_SPECIAL = re.compile(rb"[*?\[\\]")

_FILE_NAMES = frozenset(
    b"Makefile GNUmakefile makefile Dockerfile Containerfile Jenkinsfile Vagrantfile Procfile Gemfile "
    b"Rakefile Brewfile Justfile justfile LICENSE LICENCE COPYING NOTICE README CHANGELOG CHANGES "
    b"AUTHORS CONTRIBUTORS CODEOWNERS VERSION .gitignore .gitattributes .gitmodules .mailmap "
    b".editorconfig .dockerignore .npmrc .env .envrc".split()
)
_DIRECTORY_SUFFIXES = frozenset(b"d app bundle framework git lproj xcassets xcodeproj xcworkspace".split())


class Component(NamedTuple):
    """One component of a pattern: its tokens, its name if it has no wildcard, whether it names files.

    `file_like`: the name is well known (`Makefile`) or ends in an extension (`*.py`), so that
    nobody means a directory by it. `.github`, `v1.2`, `conf.d` and `*` are not file-like.
    """

    tokens: tuple[int, ...]
    name: bytes | None
    file_like: bool


MANY = Component((), None, False)
ANY = Component((STAR,), None, False)


class Refused(Exception):
    """Why a pattern cannot be used: what was found, and what is allowed."""

    def __init__(self, found: str, allowed: str) -> None:
        super().__init__(f"{found}; {allowed}")


@lru_cache(maxsize=_CACHE)
def component(raw: bytes, *, last: bool = False) -> Component:
    """The component written as `raw`; `MANY` for `**`. Raises Refused.

    `last`: nothing follows it in its pattern.
    """
    if len(raw) > 1 and not raw.strip(b"*"):
        return MANY
    if not _SPECIAL.search(raw):
        return _component([_BYTE_TOKENS[byte] for byte in raw], raw)
    tokens = _tokens(raw)
    # Many versions of git let `foo**/bar` match `foobar` and `foox/y/bar`; newer ones read `foo*/bar`.
    if not last and tokens[-2:] == [STAR, STAR]:
        raise Refused("'**' beside other characters, which git versions read differently", "write '*'")
    tokens = [token for at, token in enumerate(tokens) if token != STAR or tokens[at - 1 : at] != [STAR]]
    return _component(tokens, bytes(map(_only_byte, tokens)) if all(map(_is_single, tokens)) else None)


def _component(tokens: list[int], name: bytes | None) -> Component:
    if name in (b".", b".."):
        raise Refused(f"a component {name.decode()!r}", "write the path from the repository's root")
    return Component(tuple(tokens), name, _is_file_like(tokens, name))


def _tokens(raw: bytes) -> list[int]:
    tokens: list[int] = []
    at = 0
    while at < len(raw):
        char = raw[at : at + 1]
        if char == b"[":
            token, at = _char_class(raw, at + 1)
            tokens.append(token)
            continue
        if char == b"\\":
            at += 1
            if at == len(raw):
                raise Refused(
                    "a '\\' with nothing after it", r"write '\\' for a backslash, '/' between names"
                )
            tokens.append(1 << raw[at])
        else:
            tokens.append({b"*": STAR, b"?": _ANY_BYTE}.get(char, 1 << raw[at]))
        at += 1
    return tokens


def _char_class(raw: bytes, at: int) -> tuple[int, int]:
    """The token of a class whose `[` is before `at`, and the place after its `]` (git's wildmatch.c)."""
    negated = raw[at : at + 1] in (b"!", b"^")
    at += negated
    start, members = at, 0
    while at == start or raw[at : at + 1] != b"]":
        if raw[at : at + 2] == b"[:":
            raise Refused("a POSIX class ('[:')", "write the characters out, such as [a-z]")
        low, at = _class_byte(raw, at)
        high = low
        if raw[at : at + 1] == b"-" and raw[at + 1 : at + 2] not in (b"", b"]"):
            high, at = _class_byte(raw, at + 1)
        if high < low:
            raise Refused(f"the backward range '{chr(low)}-{chr(high)}'", "write the smaller character first")
        members |= (1 << high + 1) - (1 << low)
    return (_ANY_BYTE & ~members if negated else _ANY_BYTE & members), at + 1


def _class_byte(raw: bytes, at: int) -> tuple[int, int]:
    at += raw[at : at + 1] == b"\\"
    if at >= len(raw):
        raise Refused(
            "a class '[' without its ']'", r"close it before the next '/'; for a bracket write '\['"
        )
    if raw[at] > 127:
        raise Refused(
            "a class with a character beyond ASCII (git compares bytes)",
            "write '*' or one pattern for each name",
        )
    return raw[at], at + 1


def _is_single(token: int) -> bool:
    return token.bit_count() == 1


def _only_byte(token: int) -> int:
    return token.bit_length() - 1


def _is_file_like(tokens: list[int], name: bytes | None) -> bool:
    if name is not None:
        stem, _, extension = name.rpartition(b".")
        return name in _FILE_NAMES or (stem != b"" and _is_extension(extension))
    dots = [at for at, token in enumerate(tokens) if token == _DOT]
    last = tokens[dots[-1] + 1 :] if dots and dots[-1] > 0 else []
    if all(map(_is_single, last)):
        return _is_extension(bytes(map(_only_byte, last)))
    in_extensions = all(token and not token & ~_LETTERS_DIGITS for token in last)
    return in_extensions and any(not token & ~_LETTERS for token in last)


def _is_extension(text: bytes) -> bool:
    return text.isalnum() and not text.isdigit() and text not in _DIRECTORY_SUFFIXES


def literal_end(part: Component) -> bytes:
    """The literal bytes that every name it matches ends in."""
    return part.name if part.name is not None else _literals(reversed(part.tokens))[::-1]


def literal_start(part: Component) -> bytes:
    """The literal bytes that every name it matches, with a slash added at its end, starts with."""
    return part.name + b"/" if part.name is not None else _literals(part.tokens)


def _literals(tokens: Iterable[int]) -> bytes:
    return bytes(map(_only_byte, takewhile(_is_single, tokens)))


def component_regex(part: Component) -> str:
    """A source for `re` that matches the component's names (as bytes) and never a slash."""
    if part == ANY:
        return "[^/]+"
    runs = [""]
    for token in part.tokens:
        if token == STAR:
            runs.append("")
        else:
            runs[-1] += _token_regex(token)
    if len(runs) == 1:
        return runs[0]
    return runs[0] + "".join(f"(?>[^/]*?{run})" for run in runs[1:-1]) + "[^/]*" + runs[-1]


def _token_regex(token: int) -> str:
    if token == _ANY_BYTE:
        return "[^/]"
    if _is_single(token):
        return _byte_regex(_only_byte(token))
    return "[" + "".join(_ranges(token)) + "]"


def _byte_regex(byte: int) -> str:
    return re.escape(chr(byte)) if 32 < byte < 127 else f"\\x{byte:02x}"


def _ranges(token: int) -> Iterator[str]:
    """The bytes of a set as the ranges of a regular expression's class."""
    low = None
    for byte in range(257):
        inside = bool(token >> byte & 1)
        if inside and low is None:
            low = byte
        elif not inside and low is not None:
            yield f"\\x{low:02x}-\\x{byte - 1:02x}"
            low = None


def common_name(left: Component, right: Component) -> bytes | None:
    """A short file name that both components match, never '.' or '..', or None."""
    if left.name is not None and right.name is not None:
        return left.name if left.name == right.name else None
    if ANY in (left, right) and (name := left.name or right.name):
        return name
    return _common_name(left, right)


@lru_cache(maxsize=_CACHE)
def _common_name(left: Component, right: Component) -> bytes | None:
    name = _shortest_name(left.tokens, right.tokens)
    if name is not None and name.startswith(b"."):
        # `.py` would do for `*.py`, but people expect `a.py`.
        longer = b"a" + name
        sources = [component_regex(part).encode() for part in (left, right)]
        if all(re.fullmatch(source, longer) for source in sources):
            return longer
    return name


def _shortest_name(left: tuple[int, ...], right: tuple[int, ...]) -> bytes | None:
    """Breadth first over (place in left, place in right, dots read).

    Dots read: 0, 1 or 2 while the name is nothing but dots (then it may not end), 3 once it is
    more than that.
    """
    seen = {(0, 0, 0)}
    queue = deque([((0, 0, 0), b"")])
    while queue:
        (i, j, dots), name = queue.popleft()
        if dots == 3 and i == len(left) and j == len(right):
            return name
        for there, longer in _name_steps(left, right, (i, j, dots), name):
            if there not in seen:
                seen.add(there)
                # Leaving a star reads nothing: it comes before everything longer.
                (queue.appendleft if longer == name else queue.append)((there, longer))
    return None


def _name_steps(
    left: tuple[int, ...], right: tuple[int, ...], place: tuple[int, int, int], name: bytes
) -> Iterator[tuple[tuple[int, int, int], bytes]]:
    i, j, dots = place
    mine = left[i] if i < len(left) else None
    other = right[j] if j < len(right) else None
    if mine == STAR:
        yield (i + 1, j, dots), name
    if other == STAR:
        yield (i, j + 1, dots), name
    if mine is None or other is None:
        return
    both = (mine or _ANY_BYTE) & (other or _ANY_BYTE)
    after = i + (mine != STAR), j + (other != STAR)
    if dots == 3 and both:
        yield (*after, 3), name + _pick(both)
    elif both:
        if both & ~_DOT:
            yield (*after, 3), name + _pick(both & ~_DOT)
        if both & _DOT:
            yield (*after, dots + 1), name + b"."


def _pick(token: int) -> bytes:
    """The most readable byte of a set that is not empty."""
    return next(bytes((byte,)) for byte in _BYTES_BY_TASTE if token >> byte & 1)
