"""What was learned, as text and as JSON (schemas/knowledge.schema.json)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from git_fleet.core.learnings import Known, Learned, Standing
from git_fleet.core.recalling import SHORT_ID, Recalled
from git_fleet.core.trailers import one_line
from git_fleet.core.wording import count
from git_fleet.views import machine
from git_fleet.views.look import Look, line, lines, since, some, wrapped
from git_fleet.views.machine import Document
from git_fleet.views.table import Cell, Table

_STYLES = {Standing.UNAPPROVED: "yellow", Standing.APPROVED: "green", Standing.RETIRED: "dim"}


# --- text ----------------------------------------------------------------------------------------


def learned(value: Learned, look: Look, *, dry_run: bool = False) -> str:
    """What was told, and what all knew already."""
    if not value.known:
        return "nothing that is not known already"
    text = []
    for known in value.known:
        name = _name(known, look)
        said = wrapped(f"{line(one_line(known.learning.text))}", look, indent=4)
        if known.id in value.new:
            text.append(f"{look.paint('would learn' if dry_run else 'learned', 'green')} {name}: {said}")
        elif known.state is Standing.RETIRED:
            text.append(f"{name} was retired by {_decider(known)}, and stays so: {said}")
            text.append(f"    git fleet knowledge review --approve {known.id[:SHORT_ID]} brings it back")
        else:
            text.append(f"{name} is known already, by {line(known.learning.by)}: {said}")
    return "\n".join([*text, *_untold(value, look)])


def decided(value: Learned, look: Look) -> str:
    """What became of what a person decided about."""
    text = []
    for known in value.known:
        then = known.decision.successor if known.decision else ""
        instead = f"; {then[:SHORT_ID]} stands for it" if then else ""
        text.append(f"{_name(known, look)} is {look.paint(str(known.state), _STYLES[known.state])}{instead}")
    return "\n".join([*(text or ["nothing was decided"]), *_untold(value, look)])


def _untold(value: Learned, look: Look) -> list[str]:
    note = "the remote cannot be reached; what you told is kept here, and git fleet sync passes it on"
    return [] if value.told else [f"{look.paint('note:', 'yellow')} {note}"]


def recalled(value: Recalled, now: datetime, look: Look) -> str:
    """What was found, each with where it is from."""
    text = [one(hit.known, now, look, source=hit.source, alike=hit.alike) for hit in value.hits]
    if value.left_out:
        text.append(f"and {value.left_out} more (--limit {len(value.hits) + value.left_out} shows all)")
    return "\n".join([*(text or ["nothing that matches was learned"]), *_unreadable(value.unreadable, look)])


def one(known: Known, now: datetime, look: Look, *, source: str = "", alike: Sequence[str] = ()) -> str:
    """One learning: its words, and below them who learned it, where, about what, and what people think of it."""
    about = known.learning
    first, *rest = lines(about.text).split("\n")
    said = wrapped(f"{look.paint(str(about.kind), 'bold')}: {first}", look, indent=2)
    where = [
        known.id[:SHORT_ID],
        f"{line(about.by)}, {since(about.at, now)}",
        f"in {line(about.task)}" if about.task else "",
        f"of {line(source)}" if source else "",
        look.paint(str(known.state), _STYLES[known.state])
        + (f" by {_decider(known)}" if known.decision else ""),
        f"files {line(some(about.paths))}" if about.paths else "",
        f"labels {line(some(about.labels))}" if about.labels else "",
        f"{count(len(alike), 'other')} like it: {' '.join(each[:SHORT_ID] for each in alike)}"
        if alike
        else "",
    ]
    detail = wrapped(f"  {' · '.join(filter(None, where))}", look, indent=4)
    return "\n".join([said, *(f"  {part}".rstrip() for part in rest), detail])


def listing(known: Sequence[Known], unreadable: int, now: datetime, look: Look) -> str:
    """All learnings, one line each."""
    if not known:
        return "\n".join(["nothing was learned yet", *_unreadable(unreadable, look)])
    table = Table(("ID", "STATE", "KIND", "BY", "LEARNED", "WHAT"), whole=frozenset({0, 1}))
    for each in known:
        about, state = each.learning, each.state
        table.add(
            Cell(each.id[:SHORT_ID], "bold"),
            Cell(str(state), _STYLES[state]),
            str(about.kind),
            about.by,
            since(about.at, now),
            one_line(about.text),
        )
    waiting = sum(each.state is Standing.UNAPPROVED for each in known)
    hint = [f"{look.paint('next:', 'bold')} git fleet knowledge review"] if waiting else []
    return "\n".join([table.render(look), *_unreadable(unreadable, look), *hint])


def _unreadable(number: int, look: Look) -> list[str]:
    text = f"{count(number, 'file')} of refs/fleet/knowledge cannot be read; git fleet doctor names them"
    return [f"{look.paint('note:', 'yellow')} {text}"] if number else []


def _name(known: Known, look: Look) -> str:
    return look.paint(known.id[:SHORT_ID], "bold")


def _decider(known: Known) -> str:
    return line(known.decision.by) if known.decision else ""


# --- JSON ----------------------------------------------------------------------------------------


def learned_document(value: Learned, *, dry_run: bool = False) -> Document:
    """`learn` and `knowledge review`."""
    rows = [{**machine.learning(known), "new": known.id in value.new} for known in value.known]
    return _document(rows, told=value.told, dry_run=dry_run)


def recalled_document(value: Recalled) -> Document:
    """`recall`."""
    rows = [
        {
            **machine.learning(hit.known, source=hit.source),
            "alike": list(hit.alike),
            "score": round(hit.score, 3),
        }
        for hit in value.hits
    ]
    return _document(rows, left_out=value.left_out, unreadable=value.unreadable)


def listing_document(known: Iterable[Known], unreadable: int) -> Document:
    """`knowledge list`."""
    return _document([machine.learning(each) for each in known], unreadable=unreadable)


def _document(rows: Sequence[Mapping[str, Any]], **about: Any) -> Document:
    return {"learnings": list(rows), "left_out": 0, "unreadable": 0, "told": True, "dry_run": False, **about}
