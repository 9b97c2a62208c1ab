"""The formats of git's objects, pure: bytes of trees, commits and raw diffs, and the values they stand for.

Paths are decoded with os.fsdecode and texts with surrogateescape, so every byte survives the round trip.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, cast, get_args

from msgspec import Struct

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed, InvalidInput

Kind = Literal["blob", "tree", "commit", "tag"]
Status = Literal["A", "D", "M", "T"]

FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000


_DATE = re.compile(rb"> *(-?\d{1,18}) *([+-]?)(\d{1,2}?)(\d{2})?\s*$")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f<>]")


class Object(NamedTuple):
    """One object as it is stored, without its header."""

    oid: Oid
    kind: Kind
    data: bytes


def object_id(kind: Kind, data: bytes, object_format: str) -> Oid:
    """The id that git gives this object in a repository of that format (`sha1`, `sha256`)."""
    stored = b"%b %d\0%b" % (_KINDS[kind], len(data), data)
    return Oid(_HASHES[object_format](stored, usedforsecurity=False).hexdigest())


_KINDS = {kind: kind.encode() for kind in get_args(Kind)}
_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}


class TreeEntry(NamedTuple):
    """One name in a tree. `name` is decoded like a path (os.fsdecode), so any byte survives."""

    mode: int
    name: str
    oid: Oid


class Change(NamedTuple):
    """One path that differs between two trees; modes are 0 and ids all zeros where it is absent.

    `status`: A added, D deleted, M content or permission, T type (file, link, submodule).
    """

    status: Status
    path: str
    old_mode: int
    new_mode: int
    old_oid: Oid
    new_oid: Oid


class Signature(Struct, frozen=True):
    """Who and when: Unix `seconds`, and minutes east of UTC. Bytes that are not UTF-8 survive in `name`."""

    name: str
    email: str
    seconds: int
    offset_minutes: int = 0

    def stored(self) -> bytes:
        """As it stands in a commit; `<`, `>` and control characters, which git forbids there, are left out."""
        return _stored(self)


class Commit(Struct, frozen=True):
    """A commit, parsed. `message` is everything after the headers, decoded by its `encoding` header."""

    oid: Oid
    tree: Oid
    parents: tuple[Oid, ...]
    author: Signature
    committer: Signature
    message: str


@lru_cache(maxsize=64)  # many commits in a row are by the same few, within one second
def _stored(who: Signature) -> bytes:
    sign = "-" if who.offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(who.offset_minutes), 60)
    name, email = (_FORBIDDEN.sub("", word).strip() for word in (who.name, who.email))
    return _encode(f"{name} <{email}> {who.seconds} {sign}{hours:02}{minutes:02}")


def parse_commit(oid: Oid, data: bytes) -> Commit:
    """A commit from its stored form; odd authors are taken as they are. Raises GitFailed if it has no tree."""
    head, _, message = data.partition(b"\n\n")
    fields: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")  # a folded line (of a signature) has an empty key
        fields.setdefault(key, []).append(value)
    if b"tree" not in fields:
        raise GitFailed(f"{oid} is not a well-formed commit", hint="git fsck")
    charset = fields.get(b"encoding", [b"utf-8"])[0]
    return Commit(
        oid=oid,
        tree=Oid(fields[b"tree"][0].decode("ascii")),
        parents=tuple(Oid(parent.decode("ascii")) for parent in fields.get(b"parent", [])),
        author=parse_signature(fields.get(b"author", [b""])[0], charset),
        committer=parse_signature(fields.get(b"committer", [b""])[0], charset),
        message=_decode(message, charset),
    )


def format_commit(
    tree: Oid, parents: Sequence[Oid], author: Signature, committer: Signature, message: str | bytes
) -> bytes:
    """The stored form of a commit; the message stands in it as it is."""
    above = "".join([f"tree {tree}\n", *(f"parent {parent}\n" for parent in parents)]).encode()
    text = message if isinstance(message, bytes) else _encode(message)
    return b"%bauthor %b\ncommitter %b\n\n%b" % (above, author.stored(), committer.stored(), text)


def parse_signature(line: bytes, charset: bytes = b"utf-8") -> Signature:
    """`name <email> seconds +hhmm`. What is missing or mad gives an empty text or 0, as in git."""
    name, _, rest = line.partition(b"<")
    email = rest.partition(b">")[0]
    date = _DATE.search(rest)
    seconds, sign, hours, minutes = date.groups() if date else (b"0", b"+", b"0", b"0")
    offset = int(hours) * 60 + int(minutes)
    return Signature(
        name=_decode(name.strip(), charset),
        email=_decode(email.strip(), charset),
        seconds=int(seconds),
        offset_minutes=-offset if sign == b"-" else offset,
    )


def parse_tree(data: bytes, oid_size: int) -> Iterator[TreeEntry]:
    """The entries of a stored tree whose ids have `oid_size` bytes."""
    at = 0
    while at < len(data):
        space = data.index(b" ", at)
        end = data.index(b"\0", space)
        oid = data[end + 1 : end + 1 + oid_size].hex()
        mode = canonical_mode(int(data[at:space], 8))
        yield TreeEntry(mode, os.fsdecode(data[space + 1 : end]), Oid(oid))
        at = end + 1 + oid_size


def canonical_mode(mode: int) -> int:
    """A mode as git shows and writes it: very old trees hold others (100664)."""
    if mode & 0o170000 == 0o100000:
        return EXECUTABLE if mode & 0o100 else FILE
    return mode


def format_tree(entries: Iterable[TreeEntry]) -> bytes:
    """The stored form of a tree. Raises InvalidInput for a name no tree may hold, or two of one name."""
    listed = sorted(entries, key=_sort_key)
    if len({checked_name(entry.name) for entry in listed}) != len(listed):
        raise InvalidInput("a tree cannot hold two entries of one name")
    return b"".join(
        b"%o %b\0%b" % (entry.mode, os.fsencode(entry.name), bytes.fromhex(entry.oid)) for entry in listed
    )


def parse_change(meta: str, path: str) -> Change:
    """One change of `diff-tree --raw -z`: its fields (`:100644 100644 <id> <id> M`) and its path."""
    old_mode, new_mode, old, new, status = meta.removeprefix(":").split(" ")
    return Change(cast(Status, status), path, int(old_mode, 8), int(new_mode, 8), Oid(old), Oid(new))


def in_order(changes: Iterable[Change]) -> list[Change]:
    """Sorted by the bytes of their paths, as git lists them."""
    return sorted(changes, key=lambda change: os.fsencode(change.path))


def status_of(old_mode: int, new_mode: int) -> Status:
    """How git calls the change between two modes; 0 is an absent path."""
    if not old_mode:
        return "A"
    if not new_mode:
        return "D"
    return "M" if old_mode & 0o170000 == new_mode & 0o170000 else "T"


def _sort_key(entry: TreeEntry) -> bytes:
    """git sorts a folder as if its name ended in a slash."""
    return os.fsencode(entry.name) + (b"/" if entry.mode == FOLDER else b"")


def checked_name(name: str) -> str:
    """The name of an entry, as it is. Raises InvalidInput when no tree may hold it."""
    if name.lower() in {"", ".", "..", ".git"} or "/" in name or "\0" in name:
        raise InvalidInput(f"not a name that a tree may hold: {name!r}")
    return name


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes, charset: bytes) -> str:
    try:
        if charset != b"utf-8" and codecs.lookup(charset.decode("ascii", "replace")).name != "utf-8":
            return data.decode(charset.decode("ascii"))
    except (LookupError, UnicodeError):
        pass  # an unknown or wrong `encoding` header: keep the bytes
    return data.decode("utf-8", "surrogateescape")
