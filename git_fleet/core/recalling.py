"""Which learnings matter for something, the most important first (DESIGN section 12, *Knowledge*).

Files count most: a learning about `src/api/client.py` says more than one about `src/**`. Then labels, then words, then
what a person has approved, then age. Of learnings that say nearly the same the first one stands for all.

All of it is pure: where the learnings come from, this repository or others, is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.core import patterns, quoting
from git_fleet.core.learnings import Known, Standing
from git_fleet.core.patterns import OverlapIndex

CHARACTERS_A_TOKEN = 4
SHORT_ID = 12

_CUT_BYTES = 600  # of one learning in a prompt
_ANY_MARK = "0" * 16  # as long as every mark
_PATH, _LABEL, _WORDS, _APPROVED, _NEW = 4.0, 2.0, 2.0, 0.5, 0.5
_HALF_AS_NEW = timedelta(days=90)
_ALIKE = 0.7
_WORD = re.compile(r"\w+(?:['’]\w+)?")
_TURNS_AROUND = frozenset(
    {
        "no",
        "not",
        "never",
        "none",
        "nor",
        "without",
        "cannot",
        "don't",
        "doesn't",
        "won't",
        "can't",
        "mustn't",
        "shouldn't",
        "isn't",
        "aren't",
        "always",
        "only",
        "except",
        "unless",
        "before",
        "after",
    }
)
"""Words that make the opposite of what is otherwise the same: learnings that differ in one are not alike."""


class Source(Struct, frozen=True):
    """The learnings of one repository; `name` says whose, "" for the one that is worked in. `general`: what names
    neither files nor labels holds here, too."""

    known: tuple[Known, ...]
    name: str = ""
    general: bool = True


class Wanted(Struct, frozen=True):
    """What learnings are looked for: those about these files (patterns), labels, or words, which come as the worth
    (0 to 1) that each learning has by them, by id. `general`: those about nothing in particular, too."""

    paths: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    worth: Mapping[str, float] = {}
    general: bool = False
    states: frozenset[Standing] = frozenset({Standing.UNAPPROVED, Standing.APPROVED})


class Hit(Struct, frozen=True):
    """A learning that matters, from the repository `source`, and how much. `alike` are the ids of others that say
    nearly the same."""

    known: Known
    source: str
    score: float
    alike: tuple[str, ...] = ()


class Recalled(Struct, frozen=True):
    """What was found, the most important first; how many more there are, and how many files cannot be read."""

    hits: tuple[Hit, ...]
    left_out: int
    unreadable: int


def matching(
    sources: Iterable[Source], wanted: Wanted, now: datetime, *, everything: bool = False
) -> list[Hit]:
    """What matters of all sources (`everything`: whatever it is about), the most important first. What two of them
    have is of the first, and so is what was decided about it: what is retired here is not told from elsewhere."""
    found: dict[str, Hit] = {}
    decided: set[str] = set()
    for source in sources:
        usable = [one for one in source.known if one.state in wanted.states and one.id not in decided]
        decided |= {one.id for one in source.known if one.decision is not None}
        about = _by_paths(usable, wanted.paths)
        for one in usable:
            if one.id in found:
                continue
            score = _score(one, about.get(one.id, 0.0), wanted)
            anywhere = wanted.general and source.general and not one.learning.paths + one.learning.labels
            if score or anywhere or everything:
                found[one.id] = Hit(one, source.name, score + _standing(one, now))
    return sorted(
        found.values(), key=lambda hit: (-hit.score, -hit.known.learning.at.timestamp(), hit.known.id)
    )


def _by_paths(known: Iterable[Known], wanted: Sequence[str]) -> dict[str, float]:
    """The worth of those that share a path with what is wanted."""
    if not wanted:
        return {}
    index: OverlapIndex[None] = OverlapIndex()
    index.add(None, map(patterns.parse, wanted))
    found: dict[str, float] = {}
    for one in known:
        pairs = (index.reasons([patterns.parse(path)]).get(None) for path in one.learning.paths)
        found[one.id] = max((_exactness(pair[1].text) for pair in pairs if pair), default=0.0)
    return found


def _exactness(pattern: str) -> float:
    """From ¼, for a pattern that begins with a wildcard, towards 1: by how many folders and names it says."""
    plain = 0
    for part in pattern.strip("/").split("/"):
        if re.search(r"[*?\[\\]", part):
            break
        plain += 1
    return float(1 - 0.75 * 0.5**plain)


def _score(one: Known, path: float, wanted: Wanted) -> float:
    asked = {label.casefold() for label in wanted.labels}
    shared = asked & {label.casefold() for label in one.learning.labels}
    label = len(shared) / len(asked) if asked else 0.0
    return _PATH * path + _LABEL * label + _WORDS * wanted.worth.get(one.id, 0.0)


def _standing(one: Known, now: datetime) -> float:
    age = max(timedelta(), now - one.learning.at)
    return _NEW * float(0.5 ** (age / _HALF_AS_NEW)) + _APPROVED * (one.state is Standing.APPROVED)


# --- nearly the same -----------------------------------------------------------------------------


def fold(hits: Iterable[Hit], most: int) -> tuple[list[Hit], int]:
    """The first `most` of what is left when each stands for those after it that say nearly the same; and how many are
    left out, some of which may say the same."""
    kept: list[Hit] = []
    seen: list[frozenset[str]] = []
    left = 0
    for hit in hits:
        parts = shingles(hit.known.learning.text)
        same = next((at for at, other in enumerate(seen) if are_alike(parts, other)), None)
        if same is not None:
            kept[same] = replace(kept[same], alike=(*kept[same].alike, hit.known.id))
        elif len(kept) < most:
            kept.append(hit)
            seen.append(parts)
        else:
            left += 1
    return kept, left


def shingles(text: str) -> frozenset[str]:
    """The words of a text, whatever their case and the signs around them, and every two that follow each other."""
    words = _WORD.findall(text.casefold().replace("’", "'"))
    return frozenset([*words, *map(" ".join, pairwise(words))])


def are_alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether they share 7 of 10, and differ in no number and in no word that turns a sense around."""
    if len(one & other) < _ALIKE * len(one | other):
        return False
    return not any(
        word in _TURNS_AROUND or any(map(str.isdigit, word)) for word in one ^ other if " " not in word
    )


# --- in a prompt ---------------------------------------------------------------------------------


def within(hits: Iterable[Hit], tokens: int) -> tuple[Hit, ...]:
    """Those that fit into a prompt's budget as `quoted` shows them, the most important first. One that does not fit
    makes room for a shorter one after it."""
    room, chosen = tokens * CHARACTERS_A_TOKEN, []
    for hit in hits:
        size = len(quoted(hit, _ANY_MARK)) + 1
        if size <= room:
            chosen.append(hit)
            room -= size
    return tuple(chosen)


def quoted(hit: Hit, mark: str) -> str:
    """A learning as a quotation that says whose it is; a long one is cut, and says so."""
    one = hit.known
    whole = f"git fleet recall {one.id[:SHORT_ID]} has all of it"
    return quoting.quote(one.learning.text, origin(hit), mark, most=_CUT_BYTES, whole=whole)


def said(hit: Hit) -> str:
    """All that a quotation of it can say: a prompt's mark must not be in it."""
    return f"{origin(hit)} {hit.known.learning.text}"


def origin(hit: Hit) -> str:
    """Where a learning is from, in one line of at most some 120 characters."""
    one = hit.known.learning
    state = "approved" if hit.known.state is Standing.APPROVED else "not approved"
    parts = [
        f"{one.kind} {hit.known.id[:SHORT_ID]}",
        f"{one.at:%Y-%m-%d}",
        state,
        f"of {hit.source[:20]}" if hit.source else "",
        f"by {one.by[:24]}",
        f"in {one.task[:40]}" if one.task else "",
    ]
    return ", ".join(filter(None, parts))
