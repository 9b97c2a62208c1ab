"""What workers and people have learned, as it is stored (DESIGN section 12, *Knowledge*).

Format version 1. `refs/fleet/knowledge` is a chain of commits; their tree has two kinds of files, in folders named
by the first two digits of a learning's id:

    3f/9c01….md                 a learning: a header between two lines `+++`, then the text
    3f/9c01….<16 digits>.toml   what a person decided about it: approved, or retired

    +++
    version = 1
    kind = "pitfall"
    by = "w1"
    at = "2026-11-20T18:50:05.123Z"
    task = "app/42"
    paths = ["src/api/**"]
    labels = ["api"]
    +++
    The client retries POST, so handlers must be idempotent.

The id of a learning is the SHA-256 of its kind, paths, labels and words: who learns the same again makes the same file.
A decision is named by its own content. So files are only ever added, two writers never want different content under
one name, and any two trees are united by having the files of both. Of a learning's decisions the one of the highest
`order` counts (each is one higher than all that its writer knew), of equal ones the latest, then the one whose name is
greater: that is the same everywhere, whatever came when. Learning again what is retired does not bring it back.

Values are written as JSON writes texts, numbers and lists of texts, which TOML reads as the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from git_fleet.core import codec, patterns
from git_fleet.core.quoting import harmless
from git_fleet.core.trailers import one_line
from git_fleet.errors import InvalidInput, UnknownFormat

VERSION = 1
MAX_TEXT_BYTES = 4096
MAX_NAMES = 20  # paths, labels
_MAX_NAME = 200
_FENCE = "+++\n"
_LEARNING = re.compile(r"([0-9a-f]{2})/([0-9a-f]{62})\.md")
_DECISION = re.compile(r"([0-9a-f]{2})/([0-9a-f]{62})\.([0-9a-f]{16})\.toml")
_KEPT_IN_MEMORY = 4096  # learnings that a process need not parse again

T = TypeVar("T", bound=Struct)


class Kind(StrEnum):
    """What sort of thing was learned: a trap, how things are done here, how they are."""

    PITFALL = "pitfall"
    CONVENTION = "convention"
    FACT = "fact"


class Standing(StrEnum):
    """What people think of a learning."""

    UNAPPROVED = "unapproved"
    APPROVED = "approved"
    RETIRED = "retired"


class _About(Struct, frozen=True, kw_only=True):
    """A learning but for its words, as it is in the header of its file too."""

    kind: Kind
    by: str
    at: datetime
    task: str = ""
    paths: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    edits: str = ""


class Learning(_About, frozen=True, dict=True):
    """One learning. `paths` are patterns of files and `labels` labels of tasks that it is about (neither: all of the
    repository); `task` is the full id of the task it was learned in, "" for none, `edits` the id of the learning
    whose words a person has changed to these."""

    text: str

    @cached_property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return _identity(self.text, self.kind, self.paths, self.labels)


class Decision(Struct, frozen=True):
    """What a person decided about the learning of that id. `successor` is the one that stands for it from now on."""

    learning: str
    state: Standing
    by: str
    at: datetime
    order: int
    successor: str = ""


class Known(Struct, frozen=True):
    """A learning, and the decision that counts (None: nobody has looked at it yet)."""

    learning: Learning
    decision: Decision | None = None

    @property
    def id(self) -> str:
        """The learning's id."""
        return self.learning.id

    @property
    def state(self) -> Standing:
        """What people think of it."""
        return self.decision.state if self.decision else Standing.UNAPPROVED


class Broken(Struct, frozen=True):
    """A file that is no learning and no decision; `newer`: it is of a version that this git-fleet does not know."""

    path: str
    why: str
    newer: bool = False


class Knowledge(Struct, frozen=True):
    """All that is known, oldest first, and what could not be read."""

    known: tuple[Known, ...] = ()
    broken: tuple[Broken, ...] = ()
    last_order: int = 0


class Learned(Struct, frozen=True):
    """What is known now of what was told or decided: those that are `new`, by their ids. `told`: all
    know of it (False: a server that decides could not be reached, and it waits here)."""

    known: tuple[Known, ...]
    new: frozenset[str] = frozenset()
    told: bool = True


class _Head(_About, frozen=True, forbid_unknown_fields=True):
    """A learning's header."""

    version: int


class _Decided(Struct, frozen=True, forbid_unknown_fields=True):
    """A decision as a document."""

    version: int
    state: Standing
    by: str
    at: datetime
    order: int
    successor: str = ""


# --- making --------------------------------------------------------------------------------------


def make(
    text: str,
    *,
    by: str,
    at: datetime,
    kind: Kind = Kind.FACT,
    task: str = "",
    paths: Iterable[str] = (),
    labels: Iterable[str] = (),
    edits: str = "",
) -> Learning:
    """A learning of these words, made harmless, paths and labels sorted and each once.

    Raises InvalidInput for no text or too much, for what is no pattern, for too many names.
    """
    words = harmless(text).strip()
    size = len(words.encode())
    if not words:
        raise InvalidInput("a learning needs words", hint='git fleet learn "what the next one should know"')
    if size > MAX_TEXT_BYTES:
        raise InvalidInput(
            f"a learning of {size} bytes; at most {MAX_TEXT_BYTES} are allowed",
            hint="say it in a few sentences, and keep the rest in a file of the repository",
        )
    return Learning(
        words,
        kind=kind,
        by=one_line(harmless(by)) or "someone",
        at=at,
        task=task,
        paths=_sorted("path", patterns_of(paths)),
        labels=_sorted("label", (one_line(harmless(label)) for label in labels)),
        edits=edits,
    )


def patterns_of(paths: Iterable[str]) -> tuple[str, ...]:
    """The texts of these patterns, as git reads them. Raises InvalidInput with what is allowed."""
    try:
        return tuple(patterns.parse(path).text for path in paths)
    except InvalidInput as error:
        error.hint = (
            error.hint or "a pattern is as in .gitignore, from the repository's root, such as src/api/**"
        )
        raise


def _sorted(what: str, found: Iterable[str]) -> tuple[str, ...]:
    """Each once. Raises InvalidInput."""
    texts = tuple(sorted({text for text in found if text}))
    about = ""
    for text in texts:
        if not text.isprintable():
            about = f"{what} {text[:40]!r}: printable characters are allowed, and no others"
        elif len(text) > _MAX_NAME:
            about = f"{what} {text[:40]!r}… of {len(text)} characters: at most {_MAX_NAME} are allowed"
    if len(texts) > MAX_NAMES:
        about = f"{len(texts)} {what}s: at most {MAX_NAMES} are allowed"
    if about:
        raise InvalidInput(about, hint="git fleet learn -h")
    return texts


def _identity(text: str, kind: str, paths: Sequence[str], labels: Sequence[str]) -> str:
    what = {"kind": str(kind), "labels": [*labels], "paths": [*paths], "text": " ".join(text.split())}
    return hashlib.sha256(codec.canonical(what).encode()).hexdigest()


def place(learning_id: str) -> str:
    """The path of the learning of that id."""
    return f"{learning_id[:2]}/{learning_id[2:]}.md"


# --- as files ------------------------------------------------------------------------------------


def learning_file(learning: Learning) -> tuple[str, bytes]:
    """Path and content of a learning."""
    fields = asdict(learning)
    text = fields.pop("text")
    return place(learning.id), f"{_FENCE}{_written(fields)}{_FENCE}{text}\n".encode()


def decision_file(decision: Decision) -> tuple[str, bytes]:
    """Path and content of a decision."""
    fields = asdict(decision)
    learning = fields.pop("learning")
    data = _written(fields).encode()
    stem = place(learning).removesuffix(".md")
    return f"{stem}.{_named(data)}.toml", data


def _named(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _written(fields: Mapping[str, Any]) -> str:
    whole = {"version": VERSION, **{key: value for key, value in fields.items() if value not in ("", ())}}
    return "".join(f"{key} = {_value(value)}\n" for key, value in whole.items())


def _value(value: Any) -> str:
    if isinstance(value, datetime):
        value = codec.format_time(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse(path: str, data: bytes) -> Learning | Decision:
    """What the file `path` holds. Raises UnknownFormat for a newer version, InvalidInput for anything else that is
    neither a learning nor a decision of that name."""
    try:
        if named := _LEARNING.fullmatch(path):
            return _learning(named[1] + named[2], data)
        if named := _DECISION.fullmatch(path):
            return _decision(named[1] + named[2], named[3], data)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    raise InvalidInput("its name is neither a learning's nor a decision's")


@lru_cache(maxsize=_KEPT_IN_MEMORY)
def _learning(learning_id: str, data: bytes) -> Learning:
    empty, fence, rest = data.decode().partition(_FENCE)
    head, end, text = rest.partition(_FENCE)
    if empty or not fence or not end:
        raise ValueError("it has no header between lines +++")
    fields = asdict(_typed(_table(head), _Head))
    del fields["version"]
    made = make(text, **fields)
    if made.id != learning_id:
        raise ValueError("its name is not that of its words")
    return made


def _decision(learning_id: str, name: str, data: bytes) -> Decision:
    if _named(data) != name:
        raise ValueError("its name is not that of its content")
    fields = asdict(_typed(_table(data.decode()), _Decided))
    del fields["version"]
    return Decision(learning_id, **fields)


def _table(text: str) -> dict[str, Any]:
    """TOML. What we have written is read as JSON, line by line, in a tenth of the time."""
    try:
        pairs = (line.partition(" = ") for line in text.removesuffix("\n").split("\n"))
        return {key: json.loads(value) for key, _, value in pairs}
    except ValueError:
        import tomllib

        return tomllib.loads(text)


def _typed(table: dict[str, Any], kind: type[T]) -> T:
    version = table.get("version")
    if version != VERSION:
        raise UnknownFormat(f"it is of version {version!r}, and this git-fleet knows {VERSION}")
    return msgspec.convert(table, kind)


# --- all of it -----------------------------------------------------------------------------------


def read(files: Mapping[str, bytes]) -> Knowledge:
    """What the files of a tree, path → content, say together. A file that cannot be read keeps none from counting."""
    learned: dict[str, Learning] = {}
    decided: dict[str, list[tuple[int, datetime, str, Decision]]] = {}
    broken, last = [], 0
    for path, data in files.items():
        try:
            found = parse(path, data)
        except InvalidInput as error:
            broken.append(Broken(path, error.message, isinstance(error, UnknownFormat)))
            continue
        if isinstance(found, Learning):
            learned[found.id] = found
        else:
            decided.setdefault(found.learning, []).append((found.order, found.at, path, found))
            last = max(last, found.order)
    known = [
        Known(one, max(decided[name], key=lambda each: each[:3])[3] if name in decided else None)
        for name, one in learned.items()
    ]
    known.sort(key=lambda one: (one.learning.at, one.id))
    return Knowledge(tuple(known), tuple(broken), last)
