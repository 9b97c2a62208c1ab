"""What was exchanged with the remote that decides, as text and as JSON."""

from __future__ import annotations

from typing import Any

from git_fleet.core.results import Settled, Synced
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line


def text(value: Synced, look: Look) -> str:
    """What came of claims made offline, what was told, what a person should know."""
    parts = [part for one in value.settled for part in _settled(one, look)]
    parts += [f"{look.paint('✓', 'green')} told {line(value.remote)}: {line(ref)}" for ref in value.told]
    parts += [f"{look.paint('note:', 'yellow')} {line(note)}" for note in value.notes]
    if value.lost:
        parts.append(
            f"{count(value.lost, 'log')} kept of events that came too late (git for-each-ref refs/fleet/lost)"
        )
    pushed = count(value.pushes, "push", "pushes") if value.pushes else "nothing was left to push"
    return "\n".join([*parts, f"in step with {line(value.remote)}: {pushed}"])


def _settled(one: Settled, look: Look) -> list[str]:
    name = look.paint(str(one.task), "bold")
    if one.won:
        return [f"{look.paint('✓', 'green')} {name}, claimed offline: it is yours"]
    told = [f"{look.paint('-', 'yellow')} {name}, claimed offline, is lost: {line(one.reason)}"]
    if one.kept:
        told.append(f"    what was done is kept at {line(one.kept)}")
    if one.worktree:
        told.append(f"    and its files stay in {line(one.worktree)}; stop there")
    return told


def document(value: Synced) -> dict[str, Any]:
    """`sync`."""
    return {
        "remote": value.remote,
        "pushes": value.pushes,
        "told": list(value.told),
        "offline": [
            {
                "task_id": str(one.task),
                "won": one.won,
                "reason": one.reason or None,
                "kept": one.kept or None,
                "worktree": one.worktree or None,
            }
            for one in value.settled
        ],
        "lost": value.lost,
        "notes": list(value.notes),
    }
