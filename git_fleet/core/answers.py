"""What a verifier printed, read as a verdict (DESIGN section 9; schemas/verdict.schema.json).

A verifier is a script, or an agent whose program wraps what it says in an envelope of its own. So the
verdict is looked for: the JSON object with a text under `verdict`, in the whole output, in its lines, in
prose and fenced code, and again inside the texts of JSON. Output is untrusted. However it is made up, the
work is bounded: whole documents and long lines are each parsed once, and of other text only the last
places where an object may begin are tried, each for a fixed length.

Whatever is unclear is `inconclusive`, which counts as refuted, with one line that says why.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from git_fleet.core.dialects import failure_of
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Finding, Ruling
from git_fleet.core.problems import found, show
from git_fleet.core.trailers import clean, one_line

MAX_FINDINGS = 50
MAX_FINDING_CHARACTERS = 2000

_KEY = "verdict"
_START = re.compile(r'\{\s*"')
_PIECE_CHARACTERS = 1 << 16  # a verdict amid other text has at most so many
_PIECES = 2000
_DEPTH = 4  # of texts that hold JSON whose texts hold JSON …
_HTML = re.compile(r"[\s\ufeff]*<(?:!doctype|html|head|body|\?xml)\b", re.IGNORECASE)
_SAID = 80  # characters of what a program says of itself
_HEX = re.compile(r"[0-9a-f]{7,64}")


class Question(Struct, frozen=True):
    """What a verifier was asked about, under all the names by which its answer may speak of it.

    `proposal` is the proposal's own commit; a report has no `commit` and no `tree`. `source` is whose the
    findings are (model.Verdict.source). `token` is a random word that only this question holds.
    """

    task: TaskId
    lens: str
    verifier: str
    number: int
    proposal: Oid
    commit: Oid | None = None
    tree: Oid | None = None
    source: str = ""
    token: str = ""


class Answer(Struct, frozen=True):
    """A verdict as read. `why` says in one line why nothing clear was said, "" when it was."""

    ruling: Ruling
    findings: tuple[Finding, ...] = ()
    summary: str = ""
    why: str = ""


def inconclusive(asked: Question, why: str) -> Answer:
    """No clear answer, which counts as refuted; `why` becomes its one finding."""
    said = one_line(why)
    text = f"no verdict, which counts as refuted: {said}"
    return Answer(Ruling.INCONCLUSIVE, (Finding(text, asked.source),), why=said)


def read_answer(output: str, asked: Question) -> Answer:
    """The verdict in what a verifier printed. Never raises: what is unclear is inconclusive.

    Some of what looks like a verdict may be the worker's: quoted from the proposal, or printed by its code
    when that was run. The worker knows its own commit, so a name proves nothing; the question's token does,
    as long as the verifier keeps it to itself. So the last verdict counts, those with the token before all
    others, and they must say the same. And nothing at all may speak against an uphold: where the worker's
    code got hold of the token, the verifier's own refutation is the one without.
    """
    if _HTML.match(output):
        return inconclusive(asked, "it printed HTML")
    looking = _Looking()
    said = list(_search(output, looking, _DEPTH))
    if looking.failed:
        return inconclusive(asked, f"its program says that it failed: {show(looking.failed)}")
    if not said:
        return inconclusive(asked, _nothing(output))
    own = [one for one in said if asked.token and one.get("token") == asked.token] or said
    for one in own:
        if problem := _mismatch(one, asked):
            return inconclusive(asked, problem)
    if disagreement := _disagreement(own) or (own[-1][_KEY] == Ruling.UPHELD and _disagreement(said)):
        return inconclusive(asked, disagreement)
    problem = next(problems(own[-1]), "")
    return inconclusive(asked, f"its verdict is malformed: {problem}") if problem else _read(own[-1], asked)


def _disagreement(said: Sequence[Mapping[str, Any]]) -> str:
    words = sorted({one[_KEY] for one in said})
    return f"it says both {' and '.join(show(word) for word in words[:3])}" if len(words) > 1 else ""


def _nothing(output: str) -> str:
    if not output.strip():
        return "it printed nothing"
    return f"no verdict is in what it printed, which ends {show(one_line(output.rstrip()[-120:]))}"


# --- looking for it ------------------------------------------------------------------------------


def candidates(output: str) -> Iterator[Mapping[str, Any]]:
    """Every JSON object with a text under `verdict` that was found in `output`, in the order printed."""
    yield from _search(output, _Looking(), _DEPTH)


class _Looking(Struct):
    """How many pieces of text may still be tried in vain, over all of one output, and what an envelope says
    of a failure."""

    pieces: int = _PIECES
    failed: str = ""


def _search(text: str, looking: _Looking, depth: int) -> Iterator[Mapping[str, Any]]:
    for value in _documents(text, looking):
        yield from _within(value, looking, depth)


def _documents(text: str, looking: _Looking) -> Iterator[Any]:
    """The JSON values in a text, in order: it is one, or has long lines that are, or pieces of it are."""
    if _KEY not in text:
        return
    whole = _load(text)
    if whole is not None:
        yield whole
        return
    loose: list[str] = []
    for line in text.split("\n"):
        value = _load(line) if len(line) >= _PIECE_CHARACTERS else None
        if value is None:
            loose.append(line)
            continue
        yield from _pieces("\n".join(loose), looking)
        loose.clear()
        yield value
    yield from _pieces("\n".join(loose), looking)


def _load(text: str) -> Any:
    """The object, list or text that a text is as JSON; None when it is none."""
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _pieces(text: str, looking: _Looking) -> Iterator[Any]:
    """The objects that stand in other text: each is tried from where it may begin."""
    if _KEY not in text:
        return
    decoder = json.JSONDecoder()
    end = 0
    for start in deque((match.start() for match in _START.finditer(text)), maxlen=looking.pieces):
        if start < end:
            continue
        try:
            value, length = decoder.raw_decode(text[start : start + _PIECE_CHARACTERS])
        except (ValueError, RecursionError):
            looking.pieces -= 1
            continue
        end = start + length
        yield value


def _within(value: Any, looking: _Looking, depth: int) -> Iterator[Mapping[str, Any]]:
    """The candidates in a JSON value, those in its texts included; in order, without recursing into it."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            looking.failed = looking.failed or failure_of(one)[:_SAID]
            if isinstance(one.get(_KEY), str):
                yield one
            else:
                left.extend(reversed(one.values()))
        elif isinstance(one, list):
            left.extend(reversed(one))
        elif isinstance(one, str) and depth and "{" in one:
            yield from _search(one, looking, depth - 1)


# --- whether it answers what was asked -----------------------------------------------------------


def _mismatch(one: Mapping[str, Any], asked: Question) -> str:
    """In which way it answers for something or somebody else, or ""."""
    allowed: dict[str, Sequence[str | None]] = {
        "task": (str(asked.task), asked.task.task),
        "proposal": (str(asked.number), asked.proposal, asked.commit),
        "commit": (asked.commit, asked.proposal),
        "tree": (asked.tree,),
        "lens": (asked.lens,),
        "verifier": (asked.verifier, f"verifier:{asked.verifier}"),
    }
    for key, names in allowed.items():
        said = one.get(key)
        if said not in (None, "") and not _is(said, names):
            wanted = next((name for name in names if name), "a report, which has none")
            return f"it answers for {key} {show(said)}, and was asked about {wanted}"
    if one.get("token") not in (None, "", asked.token):
        return "it gives a token that is not this question's"
    return ""


def _is(said: Any, names: Sequence[str | None]) -> bool:
    """Whether what an answer says is one of these names; an object id may be shortened."""
    word = str(int(said)) if _is_whole(said) else str(said).strip().casefold()
    for name in filter(None, names):
        if word == name.casefold() or (_HEX.fullmatch(word) and len(name) >= 40 and name.startswith(word)):
            return True
    return False


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    )


# --- whether it is well-formed -------------------------------------------------------------------

_TEXTS = ("task", "commit", "tree", "lens", "verifier", "summary", "token")


def problems(document: Mapping[str, Any]) -> Iterator[str]:
    """What schemas/verdict.schema.json finds wrong with a verdict, in a few words each."""
    if "v" in document and not (_is_whole(document["v"]) and document["v"] == 1):
        yield f"v: {found(document['v'], '1')}"
    if document.get(_KEY) not in tuple(Ruling):
        yield f"verdict: {found(document.get(_KEY), ' or '.join(Ruling))}"
    for key in _TEXTS:
        if not isinstance(document.get(key), str | None):
            yield f"{key}: {found(document[key], 'text')}"
    proposal = document.get("proposal")
    if not (isinstance(proposal, str | None) or _is_whole(proposal)):
        yield f"proposal: {found(proposal, 'a number or an object id')}"
    findings = document.get("findings")
    if isinstance(findings, list):
        for number, one in enumerate(findings, 1):
            yield from (f"finding {number}: {problem}" for problem in _finding_problems(one))
    elif findings is not None:
        yield f"findings: {found(findings, 'a list')}"


def _finding_problems(one: Any) -> Iterator[str]:
    if isinstance(one, str):
        return
    if not isinstance(one, dict):
        yield found(one, 'text, or an object with "text"')
        return
    if not isinstance(one.get("text"), str):
        yield f"text: {found(one.get('text'), 'text')}"
    for key in ("path", "label"):
        if not isinstance(one.get(key), str | None):
            yield f"{key}: {found(one[key], 'text')}"
    if not isinstance(one.get("outside"), bool | None):
        yield f"outside: {found(one['outside'], 'true or false')}"


def _read(one: Mapping[str, Any], asked: Question) -> Answer:
    """The verdict that a well-formed document is."""
    ruling = Ruling(one[_KEY])
    read = (_finding(each, asked.source) for each in (one.get("findings") or ())[:MAX_FINDINGS])
    findings = tuple(each for each in read if each.text)
    summary = _text(one.get("summary") or "")
    if ruling is not Ruling.UPHELD and not findings:
        word = "it refutes without saying why" if ruling is Ruling.REFUTED else "it could not tell"
        findings = (Finding(summary or word, asked.source),)
    return Answer(ruling, findings, summary)


def _finding(one: Any, source: str) -> Finding:
    if isinstance(one, str):
        return Finding(_text(one), source)
    path, label = (one_line((one.get(key) or "")[:MAX_FINDING_CHARACTERS]) for key in ("path", "label"))
    return Finding(_text(one["text"]), source, path, label, outside=bool(one.get("outside")))


def _text(said: str) -> str:
    """Harmless, and not too long; a cut is marked."""
    short = said if len(said) <= MAX_FINDING_CHARACTERS else said[: MAX_FINDING_CHARACTERS - 1] + "…"
    return clean(short).strip()
