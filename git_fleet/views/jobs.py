"""What is given to engines for jobs, as text and as JSON (schemas/jobs)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from git_fleet.core.jobs import Rendered
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line, lines, some, wrapped


def document(value: Rendered) -> Mapping[str, Any]:
    """`jobs`."""
    return {
        "engine": value.engine,
        "plan": value.plan,
        "name": value.name,
        "workers": value.workers,
        "submitted": value.submitted,
        "text": value.text,
        "commands": [list(words) for words in value.commands],
        "jobs": [
            {
                "id": job.id,
                "step": job.step,
                "wave": job.wave,
                "tasks": list(job.tasks),
                "after": job.after or None,
            }
            for job in value.jobs
        ],
        "notes": list(value.notes),
    }


def rendered(value: Rendered, look: Look) -> str:
    """What was rendered, alone, so that it can go into a file; of what was submitted what the engine made of it."""
    if not value.submitted:
        return value.text.rstrip("\n")
    head = (
        f"{line(value.plan)}: given to {value.engine} as {line(value.name)}, {count(value.workers, 'worker')}"
    )
    text = [look.paint(head, "bold")]
    for job in value.jobs:
        after = f" ({job.after} of the one before)" if job.after else ""
        tasks = f": {some(list(job.tasks))}" if job.tasks else ""
        text.append(
            wrapped(f"  {line(job.id) or '-'}  {job.step}, wave {job.wave}{after}{tasks}", look, indent=4)
        )
    return "\n".join([*text, *(f"  {line(note)}" for note in value.notes)])


def commands(value: Rendered) -> str:
    """How what was rendered would be handed over, for people."""
    return "\n".join(lines(shlex.join(words)) for words in value.commands)
