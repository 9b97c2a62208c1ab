"""What came of one worker, as text and as JSON (schemas/worker)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from git_fleet.core.running import Worked
from git_fleet.core.wording import count
from git_fleet.views.look import Look, age, line, wrapped

_MARKS = {"handed in": ("✓", "green"), "blocked": ("✗", "red")}


def document(value: Worked) -> Mapping[str, Any]:
    """`worker`."""
    return {
        "plan": value.plan,
        "worker": value.worker,
        "ended": value.stop.code,
        "reason": value.stop.text,
        "seconds": round(value.seconds, 3),
        "pushes": value.pushes,
        "tasks": [
            {"task_id": str(task.task), "how": task.how, "reason": task.text or None} for task in value.tasks
        ],
        "left": value.left or None,
    }


def worked(value: Worked, look: Look) -> str:
    """The summary of one worker."""
    done = sum(task.how == "handed in" for task in value.tasks)
    head = f"{line(value.worker)}: {count(len(value.tasks), 'task')} of {line(value.plan)}, {done} handed in"
    pushed = f", {count(value.pushes, 'push', 'pushes')}" if value.pushes else ""
    text = [f"{look.paint(head, 'bold green' if done else 'bold yellow')}, {age(value.seconds)}{pushed}"]
    for task in value.tasks:
        mark, style = _MARKS.get(task.how, ("…", "yellow"))
        why = f" ({line(task.text.splitlines()[0])})" if task.text else ""
        text.append(wrapped(f"{look.paint(mark, style)} {task.task} {task.how}{why}", look, indent=4))
    text.append(wrapped(f"it ended because {line(value.stop.text)}", look, indent=2))
    if value.left:
        text.append(f"{look.paint('note:', 'yellow')} its clone is in {line(value.left)}")
    return "\n".join(text)
