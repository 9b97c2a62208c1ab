"""What the hooks decide, apart from how they learn it: pure functions over what git handed them.

The hooks are a guard-rail (DESIGN section 8), run on every commit and several times for each. So this
module, unlike its neighbours, imports `re`, `json`, `shlex` and the errors alone and shares no types with them.

A base moves by its lead alone, wherever a hook sees it: by a commit, in a ref transaction, on a remote by a
push. Two things only follow what its lead did, and pass: a fast-forward to the remote-tracking branch, and,
outside a task's worktree, a push of exactly what the branch is here (`publishes`). A task's worktree pushes
its own branch and nothing else.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from git_fleet.errors import Denied, UnknownFormat

FORMAT = 1
FLEET_REFS = ("refs/fleet/", "refs/notes/fleet/", "refs/fleet-remote/")
STASH = "refs/stash"
BRANCHES = "refs/heads/"
TRAILER = "Fleet-Task"

_SHOWN = 8
_TRAILER_LINE = re.compile(r"fleet-task\s*:\s*(.*?)\s*$", re.IGNORECASE)
_SCISSORS = "------------------------ >8 ------------------------"
_SIGN_OFF = "Signed-off-by: "


class Ticket(NamedTuple):
    """What a task's worktree knows of itself: its `fleet.json`, as far as hooks need it.

    `id` is `plan/task`, `branch` and `base` are full ref names; `owned` and `generated` are regexes.
    """

    id: str
    fence: str
    branch: str
    base: str
    lead_commits: bool
    owned: list[str]
    generated: list[str]


class Move(NamedTuple):
    """One line of a ref transaction or of a push: a ref, its stated old and its new value.

    An all-zero value is "none" (`new`: a deletion) or, for `old`, "not stated".
    """

    old: str
    new: str
    ref: str

    @property
    def deletes(self) -> bool:
        """Whether the ref would be gone."""
        return not self.new.strip("0")

    @property
    def states_old(self) -> bool:
        """Whether git was told the old value, and has checked it."""
        return bool(self.old.strip("0"))


class Place(NamedTuple):
    """Where a hook runs: the task's own branch ("" outside a task's worktree), the bases of the
    plans that count. All are full ref names."""

    own: str
    guarded: Collection[str]


def ticket(document: Any) -> Ticket:
    """The ticket in a parsed `fleet.json`. Raises UnknownFormat; KeyError or TypeError if it is broken."""
    if document["v"] != FORMAT:
        raise UnknownFormat(f"fleet.json has format version {document['v']}", hint="git fleet doctor")
    return Ticket(
        id=f"{document['plan']}/{document['task']}",
        fence=document["fence"],
        branch=BRANCHES + document["branch"],
        base=BRANCHES + document["base"],
        lead_commits=document["mode"] == "lead-commits",
        owned=list(document["regexes"]),
        generated=list(document["generated_regexes"]),
    )


def transaction_moves(lines: str) -> list[Move]:
    """What `reference-transaction` reads: `OLD NEW REF` in each line."""
    return [Move(*line.split(" ", 2)) for line in lines.split("\n") if line.count(" ") >= 2]


def pushed_moves(lines: str) -> list[Move]:
    """What `pre-push` reads: `LOCAL-REF LOCAL-OID REMOTE-REF REMOTE-OID`; the first may hold spaces."""
    found = [line.rsplit(" ", 3) for line in lines.split("\n") if line.count(" ") >= 3]
    return [Move(old, new, ref) for _, new, ref, old in found]


def publishes(move: Move, here: Mapping[str, str]) -> bool:
    """Whether a push gives a branch of the remote the value that the branch of that name has `here` (full
    ref name → object id). A deletion, or any other value, does not."""
    return here.get(move.ref) == move.new


def whose(move: Move, place: Place) -> str:
    """Whose rule a moving ref falls under: "fleet", "base", "stash", "own" or "branch"; "" for none.

    Tags, remote-tracking refs and pseudo-refs are nobody's. HEAD is not looked at: git lists the
    branch it stands for beside it.
    """
    ref = move.ref
    if ref.startswith(FLEET_REFS):
        return "fleet"
    if ref in place.guarded:
        return "base"
    if not place.own:
        return ""
    if ref == place.own:
        return "own" if move.deletes else ""
    if ref == STASH:
        return "stash"
    return "branch" if ref.startswith(BRANCHES) else ""


def deed(move: Move) -> str:
    """What a move does to its ref, for a message."""
    return "deleting" if move.deletes else "moving"


def refusal(move: Move, whose: str, own: str) -> Denied:
    """The error for a move that nobody may make by hand, a base's apart; `own` is the task's branch, short."""
    if whose == "fleet":
        return Denied(
            f"{deed(move)} {move.ref} by hand: git-fleet keeps its state there", hint="git fleet doctor"
        )
    if whose == "stash":
        return Denied(
            "the stash: all worktrees share it, and others would find your work in theirs",
            hint=f"git commit, on {own}: nobody else uses this branch",
        )
    short = move.ref.removeprefix(BRANCHES)
    return Denied(
        f"{deed(move)} {short}: this worktree is for one branch, {own}, which stays until the task ends",
        hint=f"git switch {shlex.quote(own)}",
    )


def packed(packed_refs: str) -> set[tuple[str, str]]:
    """The (value, ref) pairs of a packed-refs file."""
    pairs = (line.split(" ", 1) for line in packed_refs.split("\n") if line[:1] not in ("", "#", "^"))
    return {(pair[0], pair[1]) for pair in pairs if len(pair) == 2}


def outside(paths: Iterable[bytes], *regexes: Iterable[str]) -> list[bytes]:
    """Those of `paths` that none of the `regexes` (sources of core/patterns.py) matches."""
    sources = [source for group in regexes for source in group]
    expression = re.compile(("|".join(sources) or "(?!)").encode())
    return [path for path in paths if not expression.match(path)]


def event(message: str) -> dict[str, Any]:
    """The event in an event commit's message; empty when there is none."""
    last = message.rstrip("\n").rpartition("\n")[2]
    try:
        found = json.loads(last)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def log_places(ref: str, remote: str) -> list[str]:
    """Where a log below refs/fleet/ is found, the first that is there: with a remote that decides, what is here alone
    stands before what is known of it (store/names.py)."""
    return [ref, f"refs/fleet-remote/{remote}/{ref.removeprefix('refs/fleet/')}"] if remote else [ref]


def first_event(answers: str) -> tuple[str, dict[str, Any]]:
    """The id and the event of the first commit in what `git cat-file --batch` says; two empty values for none."""
    while answers:
        head, _, answers = answers.partition("\n")
        words = head.split(" ")
        if len(words) == 3:
            size = int(words[2])
            content = answers.encode("utf-8", "surrogateescape")[:size].decode("utf-8", "surrogateescape")
            return words[0], event(content)
    return "", {}


def claim_fence(oid: str, tip: dict[str, Any]) -> str:
    """The fence of a task's latest claim, given its log's tip and that commit's id; "" for none."""
    return _fence(oid, tip, "claim", (tip.get("state") or {}).get("claim") or {})


def lead_fence(oid: str, tip: dict[str, Any]) -> str:
    """The current lead's fence, given the tip of the lead's log; "" when nobody leads."""
    return _fence(oid, tip, "acquire", tip.get("state") or {})


def open_intent(oid: str, tip: dict[str, Any]) -> str:
    """The event that holds the lead's open intent, given the tip of the lead's log; "" when none is open."""
    return oid if tip.get("event") == "intent" else str((tip.get("state") or {}).get("intent") or "")


def _fence(oid: str, tip: dict[str, Any], first: str, lease: dict[str, Any]) -> str:
    """An event cannot hold its own id: while the first event of a lease is the tip, the tip is the fence."""
    return oid if tip.get("event") == first else str(lease.get("fence") or "")


def message_body(message: str, comment: str) -> list[str]:
    """The lines of a commit message that git will keep: no comments, nothing below the scissors.

    `comment` is what begins a comment; "" where there are none, because no editor was used.
    """
    kept: list[str] = []
    for line in message.split("\n"):
        if comment and line.startswith(comment):
            if line[len(comment) :].strip() == _SCISSORS:
                break
        else:
            kept.append(line)
    return kept


def is_empty(body: Iterable[str], template: str = "") -> bool:
    """Whether git will call the message empty, and abort: nothing but sign-offs after the template.

    A trailer added to such a message would make a commit of one that its author gave up.
    """
    text = [line.rstrip() for line in body if line.strip()]
    known = [line.rstrip() for line in template.split("\n") if line.strip()]
    if known and text[: len(known)] == known:
        text = text[len(known) :]
    return all(line.startswith(_SIGN_OFF) for line in text)


def named_tasks(body: Iterable[str]) -> list[str]:
    """The tasks that `Fleet-Task:` lines of a message name, in whatever case."""
    return [found[1] for line in body if (found := _TRAILER_LINE.match(line))]


def printable(text: str) -> str:
    """`text` on one line, without what could steer a terminal: paths and names come from workers."""
    return "".join(char if char.isprintable() else "?" for char in text)


def quoted(path: str) -> str:
    """A path in quotes, its odd characters escaped; a byte that is no UTF-8 as \\xff, as it is in the path."""
    return re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", repr(path))


def unstage_command(paths: Sequence[str]) -> str:
    """The command that takes these out of the index, as it can be pasted."""
    literal = " --literal-pathspecs" if any(set(path) & set("*?[:\\") for path in paths) else ""
    return f"git{literal} restore --staged -- {' '.join(map(_word, paths))}"


def strayed(ticket: Ticket, paths: list[str]) -> Denied:
    """The refusal of staged paths that are not the task's; how to take them out again."""
    shown = "".join(f"\n{quoted(path)}" for path in paths[:_SHOWN])
    more = f"\n… and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    what = "path is" if len(paths) == 1 else "paths are"
    return Denied(
        f"a commit: {len(paths)} staged {what} outside the files of {ticket.id}:{shown}{more}",
        hint=unstage_command(paths[:_SHOWN])
        + f"\nif the task cannot do without: git fleet block {ticket.id} --code scope",
    )


def _word(path: str) -> str:
    """A path quoted for a shell; `$'…'` where it holds what must not reach a terminal as it is."""
    if path.isprintable():
        return shlex.quote(path)
    shown = (
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}"
        for byte in path.encode("utf-8", "surrogateescape")
    )
    return f"$'{''.join(shown)}'"
