"""A plan's graph as Mermaid, which forges draw in Markdown. Titles are others' text: no sign of theirs is left that
means something there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from git_fleet.core.model import State
from git_fleet.core.picture import Edge, Picture, Why
from git_fleet.views.look import cut, line

MOST_EDGES = 480
"""Mermaid refuses a drawing of more than 500 unless it is told otherwise."""
MOST_BYTES = 48_000
"""And a text of more than 50,000 characters."""

_COLUMNS = 60
_STYLES = {
    State.PENDING: "fill:#f6f8fa,stroke:#8c959f,color:#24292f",
    State.CLAIMED: "fill:#ddf4ff,stroke:#0969da,color:#0a3069",
    State.PROPOSED: "fill:#e7e5fb,stroke:#6250c4,color:#2b2166",
    State.VERIFIED: "fill:#e7e5fb,stroke:#6250c4,color:#2b2166",
    State.PARKED: "fill:#fbe9f6,stroke:#bf3989,color:#611347",
    State.REWORK: "fill:#fff3d6,stroke:#9a6700,color:#4d2d00",
    State.BLOCKED: "fill:#ffe3e0,stroke:#cf222e,color:#660018",
    State.INTEGRATED: "fill:#dcf5e3,stroke:#1a7f37,color:#003d16",
    State.REVERTED: "fill:#ffe3e0,stroke:#cf222e,color:#660018",
    State.CANCELLED: "fill:#f6f8fa,stroke:#d0d7de,color:#6e7781",
}


def mermaid(value: Picture) -> str:
    """The graph as a flowchart, without a last newline. Where it would be too much for Mermaid the turns are left
    out, then titles, and a comment says so."""
    whole = _drawn(value, value.edges, titles=True)
    if len(value.edges) <= MOST_EDGES and len(whole) <= MOST_BYTES:
        return whole
    needs = [edge for edge in value.edges if edge.why is Why.NEEDS][:MOST_EDGES]
    left_out = len(value.edges) - len(needs)
    said = f"%% left out, since Mermaid takes no more: titles, and {left_out} of {len(value.edges)} edges"
    return f"{_drawn(value, needs, titles=False)}\n  {said}"


def _drawn(value: Picture, edges: Iterable[Edge], *, titles: bool) -> str:
    return "\n".join(["flowchart LR", *_lines(value, list(edges), titles=titles)])


def _lines(value: Picture, edges: list[Edge], *, titles: bool) -> Iterator[str]:
    names = {node.id: f"t{number}" for number, node in enumerate(value.nodes)}
    by_id = {node.id: node for node in value.nodes}
    for number, wave in enumerate(value.waves, start=1):
        yield f'  subgraph w{number}["wave {number}"]'
        for task in wave:
            node = by_id[task]
            label = escaped(task.task) + (f"<br/>{escaped(node.task.title)}" if titles else "")
            yield f'    {names[task]}["{label}"]:::{node.state}'
        yield "  end"
    for edge in edges:
        arrow = "-->" if edge.why is Why.NEEDS else "-.->"
        yield f"  {names[edge.before]} {arrow} {names[edge.after]}"
    yield from (f"  classDef {state} {_STYLES[state]}" for state in sorted({n.state for n in value.nodes}))
    critical = ",".join(str(number) for number, edge in enumerate(edges) if edge.critical)
    if critical:
        yield f"  linkStyle {critical} stroke-width:3px"


def escaped(text: str) -> str:
    """One line of a label: what is not a letter, a digit, a space or a plain sign as an entity of Mermaid's."""
    return "".join(
        char if char.isalnum() or char in " .,-_/+" or ord(char) > 0x2000 else f"#{ord(char)};"
        for char in cut(line(text), _COLUMNS)
    )
