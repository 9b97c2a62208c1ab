"""Commit messages of integrated tasks, and the trailers that tie a commit to its task.

The trailers `Fleet-Plan`, `Fleet-Task`, `Fleet-Worker` and `Fleet-Proposal` are the durable link
between main and the fleet (DESIGN section 3): a rebase keeps them, and lost intents and evidence
notes are rebuilt from them. So nobody but `message_for` may put one into a message: what workers
write is untrusted, and loses every line that begins with `Fleet-…:` and every control character.

Messages are `str` in which bytes that are not UTF-8 stand as surrogate escapes, as `os.fsdecode`
gives them; nothing is lost on the way back. Lines end at a newline and nowhere else, as in git.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from git_fleet.core.ids import Oid, TaskId, check_id, oid
from git_fleet.core.model import Proposal, Task
from git_fleet.errors import InvalidInput

PLAN = "Fleet-Plan"
TASK = "Fleet-Task"
WORKER = "Fleet-Worker"
PROPOSAL = "Fleet-Proposal"
REVERTS = "Fleet-Reverts"
CO_AUTHOR = "Co-authored-by"
SIGN_OFF = "Signed-off-by"

_TRAILER = re.compile(r"([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*)")
_OURS = re.compile(r"\s*fleet-[a-z0-9-]*[ \t]*:", re.IGNORECASE)
_SIGNED = "Signed-off-by: "
_PICKED = "(cherry picked from commit "
_SCISSORS = r"\S{0,8} ?-{4,} >8 -{4,}\s*"
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_TURNS_TEXT = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_KEPT = re.compile(rf"Work on (\S+) that was (?:staged|not committed)\n\n{TASK}: \1\n")
_FIXUPS = ("fixup! ", "squash! ", "amend! ")


class Trailer(NamedTuple):
    """One `key: value` line of a message's last paragraph; a folded value is on one line again."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}: {self.value}"


class Message(NamedTuple):
    """A message taken apart: its first paragraph on one line, the paragraphs between, the trailers."""

    subject: str
    body: str
    trailers: tuple[Trailer, ...]


class Contribution(NamedTuple):
    """What a commit of a task's branch brings to the message: `author` is `Name <email>`."""

    author: str
    message: str


class Stamp(NamedTuple):
    """What an integrated commit says about itself."""

    task: TaskId
    worker: str
    proposal: Oid


def clean(text: str) -> str:
    """`text` without what could mislead a terminal or a reader, its lines kept.

    Escape sequences, control characters other than newline and tab, and characters that turn the
    direction of writing go away. Carriage returns do too, so lines that end in CRLF end in LF.
    """
    if text.replace("\n", "").isprintable():
        return text  # as nearly always: nothing of all this is
    return "".join(map(_harmless, _ESCAPE.sub("", text)))


def one_line(text: str) -> str:
    """`text` cleaned, with every run of white space as one space."""
    return " ".join(clean(text).split())


def parse(message: str) -> Message:
    """`message` taken apart by git's own rule for what a trailer block is.

    The block is the last paragraph, never the first, and holds only trailers and their continuation
    lines; or it holds a line that git itself writes, and at least a quarter of it are trailers
    (git-interpret-trailers(1)). Lines of such a mixed block that are no trailers count as body. Unlike
    git we do not look above comments and scissors at a message's end, which `message_for` never leaves.
    """
    paragraphs = _paragraphs(message)
    if not paragraphs:
        return Message("", "", ())
    subject = " ".join(line.strip() for line in paragraphs[0])
    trailers, rest = _block(paragraphs[-1]) if len(paragraphs) > 1 else ([], paragraphs[-1])
    middle = [*paragraphs[1:-1], rest] if len(paragraphs) > 1 else []
    body = "\n\n".join("\n".join(lines) for lines in middle if lines)
    return Message(subject, body, tuple(trailers))


def build(message: Message) -> str:
    """The text of a commit message: what git reads as its trailers are exactly `message.trailers`."""
    block = "\n".join(map(str, message.trailers))
    parts = (message.subject, message.body.strip("\n"), block)
    return "\n\n".join(part for part in parts if part) + "\n"


def kept_message(task: TaskId, what: str) -> str:
    """The message of a commit in which the fleet keeps what a worker left; `what`: it was not committed."""
    return f"Work on {task} that was {what}\n\n{TASK}: {task}\n"


def is_kept(message: str) -> bool:
    """Whether the fleet made the commit with this message to keep what a worker left."""
    return bool(_KEPT.fullmatch(message))


def read_stamp(message: str) -> Stamp | None:
    """The task a commit on main was made for; None unless each Fleet trailer is there once and valid."""
    found: dict[str, list[str]] = {}
    for trailer in parse(message).trailers:
        found.setdefault(trailer.key.lower(), []).append(trailer.value)
    values = [found.get(key.lower(), []) for key in (PLAN, TASK, WORKER, PROPOSAL)]
    if any(len(value) != 1 for value in values):
        return None
    plan, task, worker, proposal = (value[0] for value in values)
    try:
        return Stamp(TaskId(check_id(plan), check_id(task)), worker, oid(proposal))
    except InvalidInput:
        return None


def revert_message(task: TaskId, subject: str, commit: Oid, reason: str, who: str) -> str:
    """The message of the commit that takes back `commit`, which `task` had become. As git's own it says
    "This reverts commit"; `reason` may be empty."""
    told = [f"This reverts commit {commit}.", clean(reason).strip()]
    trailers = [
        Trailer(PLAN, task.plan),
        Trailer(TASK, task.task),
        Trailer(WORKER, one_line(who)),
        Trailer(REVERTS, commit),
    ]
    return build(Message(f'Revert "{one_line(subject)}"', "\n\n".join(filter(None, told)), _unique(trailers)))


def read_revert(message: str) -> Oid | None:
    """The commit that a commit on main took back by `git fleet revert`; None for any other commit."""
    values = [each.value for each in parse(message).trailers if each.key.lower() == REVERTS.lower()]
    try:
        return oid(values[0]) if len(values) == 1 else None
    except InvalidInput:
        return None


def message_for(
    task: Task, proposal: Proposal, contributions: Sequence[Contribution], *, sign_off: str = ""
) -> str:
    """The message of the one commit `task` becomes (DESIGN section 10).

    `contributions` are the branch's own commits, oldest first, merges left out. The subject is that of
    `proposal.message` (`done -m`), else of the branch's only commit, else the task's title. The body is
    what the commits say; a `fixup!` commit says nothing. Their trailers stay; authors other than the
    first are named as Co-authored-by. `sign_off` (`Name <email>`), when not empty, signs off at the end.
    """
    own = _trusted(proposal.message)
    parts = [_trusted(each.message) for each in contributions if not each.message.startswith(_FIXUPS)]
    subject = own.subject or (parts[0].subject if len(parts) == 1 else "") or one_line(task.title)
    told = _told(parts, subject)
    kept = [trailer for part in (*parts, own) for trailer in part.trailers]
    trailers = [
        *kept,
        *_co_authors([each.author for each in contributions], kept),
        Trailer(PLAN, task.id.plan),
        Trailer(TASK, task.id.task),
        Trailer(WORKER, one_line(proposal.worker)),
        Trailer(PROPOSAL, proposal.oid),
    ]
    if sign_off:
        trailers.append(Trailer(SIGN_OFF, one_line(sign_off)))
    body = "\n\n".join(part for part in (own.body, told) if part)
    return build(Message(subject or str(task.id), body, _unique(trailers)))


def _trusted(message: str) -> Message:
    """A worker's message, cleaned and without trailers of ours."""
    cleaned = clean(message)
    if ">8" not in cleaned and "fleet-" not in cleaned.lower():
        return parse(cleaned)  # as nearly always: there is nothing to leave out
    lines = cleaned.split("\n")
    kept: list[str] = []
    dropping = False
    for line in lines:
        dropping = bool(_OURS.match(line)) or (dropping and line[:1] in (" ", "\t") and bool(line.strip()))
        # git looks for trailers only above a scissors line, so one in the text would hide ours.
        if not dropping and not (">8" in line and re.fullmatch(_SCISSORS, line)):
            kept.append(line)
    return parse("\n".join(kept))


def _told(parts: Sequence[Message], subject: str) -> str:
    """What the commits say beside the subject: one commit's body, or a list of what each did."""
    if len(parts) == 1:
        (only,) = parts
        first = "" if only.subject == subject else only.subject
        return "\n\n".join(text for text in (first, only.body) if text)
    blocks = [f"* {part.subject}\n\n{part.body}".rstrip("\n") for part in parts if part.subject]
    told = "".join(blocks[:1])
    for before, block in itertools.pairwise(blocks):
        told += ("\n\n" if "\n" in before + block else "\n") + block
    return told


def _co_authors(authors: Iterable[str], kept: Iterable[Trailer]) -> list[Trailer]:
    """A trailer for each author but the first, unless the commits named that address already."""
    first, *others = [*map(one_line, authors)] or [""]
    named = {_address(each.value) for each in kept if each.key.lower() == CO_AUTHOR.lower()}
    named.add(_address(first))
    found: list[Trailer] = []
    for author in others:
        if _address(author) not in named:
            named.add(_address(author))
            found.append(Trailer(CO_AUTHOR, author))
    return found


def _address(author: str) -> str:
    """What tells authors apart: the e-mail address without regard to case, else the name."""
    return (author.rpartition("<")[2].rstrip("> ") or author).casefold()


def _unique(trailers: Iterable[Trailer]) -> tuple[Trailer, ...]:
    """Each said once, in the order first said; one without a value says nothing."""
    seen: dict[tuple[str, str], Trailer] = {}
    for trailer in trailers:
        if trailer.value:
            seen.setdefault((trailer.key.lower(), trailer.value), trailer)
    return tuple(seen.values())


def _paragraphs(message: str) -> list[list[str]]:
    paragraphs: list[list[str]] = [[]]
    for line in message.split("\n"):
        if line.strip():
            paragraphs[-1].append(line.rstrip())
        elif paragraphs[-1]:
            paragraphs.append([])
    return [lines for lines in paragraphs if lines]


def _block(lines: Sequence[str]) -> tuple[list[Trailer], list[str]]:
    """The trailers of a message's last paragraph and its other lines; no trailers if it is no block."""
    if not _is_block(lines):
        return [], list(lines)
    trailers: list[Trailer] = []
    others: list[str] = []
    follows = False  # whether the line before was a trailer, which an indented line continues
    for line in lines:
        match = _TRAILER.fullmatch(line)
        follows = bool(match) or (follows and line[0] in " \t")
        if match:
            trailers.append(Trailer(match[1], match[2].strip()))
        elif follows:
            trailers[-1] = Trailer(trailers[-1].key, f"{trailers[-1].value} {line.strip()}".strip())
        else:
            others.append(line)
    return trailers, others


def _is_block(lines: Sequence[str]) -> bool:
    """git's own count: an indented line belongs to the line above it, comments count for nothing."""
    good = foreign = indented = 0
    git_made = False
    for line in reversed(lines):
        if line[0] in " \t":
            indented += 1
            continue
        if line.startswith(_PICKED) or _TRAILER.fullmatch(line):
            good += 1
            git_made = git_made or line.startswith((_SIGNED, _PICKED))
        else:
            foreign += indented + (not line.startswith("#"))
        indented = 0
    foreign += indented
    return bool(good and not foreign) or (git_made and good * 3 >= foreign)


def _harmless(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _TURNS_TEXT:
        return ""
    category = unicodedata.category(character)
    if category == "Cs":  # a byte that is not UTF-8 may stay, half of a pair cannot be encoded
        return character if "\udc80" <= character <= "\udcff" else "\ufffd"
    return "" if category in ("Cc", "Zl", "Zp") else character
