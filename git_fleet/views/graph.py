"""A plan's graph as text and as a JSON document."""

from __future__ import annotations

from git_fleet.core.ids import TaskId
from git_fleet.core.lessons import duration
from git_fleet.core.model import Overlap, PlanState, State
from git_fleet.core.picture import Node, Picture
from git_fleet.core.wording import count
from git_fleet.views.lanes import lanes, plain
from git_fleet.views.look import Look, line, some, wrapped
from git_fleet.views.machine import Document, ids
from git_fleet.views.standing import STYLES
from git_fleet.views.table import Cell, Table

GLYPHS = {
    State.PENDING: "○",
    State.CLAIMED: "◐",
    State.PROPOSED: "◇",
    State.VERIFIED: "◇",
    State.PARKED: "◇",
    State.REWORK: "◐",
    State.BLOCKED: "✗",
    State.INTEGRATED: "●",
    State.REVERTED: "✗",
    State.CANCELLED: "✗",
}
_POLICIES = {Overlap.SERIALIZE: "", Overlap.WATCH: " (watched)", Overlap.ACCEPT: " (accepted)"}


_NEIGHBOURS = (4, 2, 1)
_LEAST_TITLE = 12


def text(value: Picture, look: Look, *, unicode: bool = True) -> str:
    """The graph, a row for each task, wave by wave. `unicode` says that lines may be drawn with more than ASCII."""
    parts = [_heading(value, look)]
    if value.nodes:
        parts += ["", _rows(value, look, unicode=unicode)]
    if len(value.critical_path) > 1:
        sign = " → " if unicode else " -> "
        chain = sign.join(task.task for task in value.critical_path)
        took = duration(value.critical_minutes * 60)
        parts += ["", wrapped(f"* the critical path, {took}: {line(chain)}", look, indent=2)]
    return "\n".join(parts)


def _heading(value: Picture, look: Look) -> str:
    name = look.paint(line(value.plan), "bold")
    title = f": {line(value.title)}" if value.title != value.plan else ""
    state = "" if value.state is PlanState.OPEN else f" ({value.state})"
    numbers = f"{count(len(value.nodes), 'task')} in {count(len(value.waves), 'wave')}, {value.integrated} integrated"
    return wrapped(f"{name}{title}{state}: {numbers}", look)


def _rows(value: Picture, look: Look, *, unicode: bool) -> str:
    """A line for each task: where a terminal is narrow fewer of its neighbours are named, and titles are cut."""
    for most in _NEIGHBOURS:
        table = _table(value, most, unicode=unicode)
        room = look.width - table.width_before_last()
        if not look.width or room >= _LEAST_TITLE:
            break
    table.cut_last(max(room, _LEAST_TITLE) if look.width else 0)
    return table.render(look)


def _table(value: Picture, most: int, *, unicode: bool) -> Table:
    by_id = {node.id: node for node in value.nodes}
    order = [task for wave in value.waves for task in wave]
    before: dict[TaskId, list[TaskId]] = {}
    for edge in value.edges:
        before.setdefault(edge.after, []).append(edge.before)
    drawn = lanes(order, before, {task: GLYPHS[by_id[task].state] for task in order})
    shared = _shared(value)
    table = Table(
        ("WAVE", "", "TASK", "STATE", "NEEDS", "SHARES FILES WITH", "TITLE"), whole=frozenset({0, 1, 2})
    )
    for wave in value.waves:
        for number, task in enumerate(wave):
            node = by_id[task]
            lane = drawn.get(task, "")
            table.add(
                str(node.wave) if not number else "",
                Cell(lane if unicode else plain(lane), STYLES[node.state]),
                Cell(f"{task.task}{'*' if node.critical else ''}", "bold" if node.critical else ""),
                Cell(_state(node), STYLES[node.state]),
                some(list(node.task.needs), most),
                some(shared.get(str(task), []), most),
                node.task.title,
            )
    return table


def _state(node: Node) -> str:
    return f"{node.state}, {node.holder}" if node.holder and node.state.active else str(node.state)


def _shared(value: Picture) -> dict[str, list[str]]:
    """With whom each task shares files, and what holds for the pair where it is not taking turns."""
    found: dict[str, list[str]] = {}
    for pair in value.overlaps:
        for one, other in ((pair.a, pair.b), (pair.b, pair.a)):
            found.setdefault(str(one), []).append(other.task + _POLICIES[pair.policy])
    return found


def document(value: Picture) -> Document:
    """`graph`."""
    return {
        "plan": value.plan,
        "title": value.title,
        "base": value.base,
        "state": str(value.state),
        "tasks": [_node(node) for node in value.nodes],
        "edges": [
            {"from": str(edge.before), "to": str(edge.after), "why": str(edge.why), "critical": edge.critical}
            for edge in value.edges
        ],
        "overlaps": [
            {"a": str(pair.a), "b": str(pair.b), "policy": str(pair.policy), "patterns": list(pair.patterns)}
            for pair in value.overlaps
        ],
        "waves": [ids(wave) for wave in value.waves],
        "critical_path": ids(value.critical_path),
        "critical_minutes": value.critical_minutes,
    }


def _node(node: Node) -> Document:
    return {
        "task_id": str(node.id),
        "title": node.task.title,
        "state": str(node.state),
        "holder": node.holder or None,
        "wave": node.wave,
        "critical": node.critical,
        "estimate_minutes": node.task.estimate_minutes,
        "needs": ids(node.task.needs_ids),
    }
