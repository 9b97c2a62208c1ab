"""What `needs` entries mean: an id, a matrix entry's template, or a glob over ids (DESIGN section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.core import graph
from git_fleet.core.matrix import fill
from git_fleet.core.model import Task
from git_fleet.core.problems import nearest


class Draft(Struct, frozen=True):
    """A task whose needs are not resolved yet: `needs` as written, placeholders and all.

    `template` is its entry's id as written; `report(field, text)` hears what is wrong with the task.
    """

    task: Task
    template: str
    needs: tuple[str, ...]
    report: Callable[[str, str], None]


def resolve_needs(drafts: Sequence[Draft]) -> tuple[Task, ...]:
    """The tasks with `needs` as ids of the plan; unknown needs and cycles are reported."""
    names = _Names(drafts)
    tasks = tuple(_resolved(draft, names) for draft in drafts)
    cycle = graph.find_cycle({task.id: task.needs_ids for task in tasks})
    if cycle:
        path = " -> ".join(task_id.task for task_id in (*cycle, cycle[0]))
        first = next(draft for draft in drafts if draft.task.id == cycle[0])
        first.report("needs", f"a cycle: {path}; every task there waits for itself")
    return tasks


def _resolved(draft: Draft, names: _Names) -> Task:
    if not draft.needs:
        return draft.task
    own = draft.task.id.task
    needs: dict[str, None] = {}
    for text in draft.needs:
        ids, problem = names.find(text, draft)
        if own in ids:
            ids, problem = [], "a task cannot need itself"
        if problem:
            draft.report("needs", f"found {text!r}; {problem}")
        needs.update(dict.fromkeys(ids))
    return replace(draft.task, needs=tuple(needs))


class _Names:
    """What a need can name in one plan."""

    ids: dict[str, None]
    templates: dict[str, list[Task]]
    globs: dict[str, list[str]]

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self.ids = dict.fromkeys(draft.task.id.task for draft in drafts)
        self.templates = {}
        self.globs = {}
        for draft in drafts:
            if draft.task.params:
                self.templates.setdefault(draft.template.lower(), []).append(draft.task)

    def find(self, text: str, draft: Draft) -> tuple[list[str], str]:
        """The ids that `text` stands for, or what is wrong with it."""
        name = fill(text, draft.task.params).strip().lower()
        if name in self.ids:
            return [name], ""
        if template := self.templates.get(text.strip().lower()):
            return _of_template(template, draft.task)
        if any(char in name for char in "*?["):
            matching = [other for other in self._glob(name) if other != draft.task.id.task]
            return matching, "" if matching else "no other task's id matches it"
        return [], f"no task has this id{nearest(name, self.ids)}"

    def _glob(self, pattern: str) -> list[str]:
        if pattern not in self.globs:
            matches = re.compile(translate(pattern)).match
            self.globs[pattern] = [name for name in self.ids if matches(name)]
        return self.globs[pattern]


def _of_template(tasks: Sequence[Task], own: Task) -> tuple[list[str], str]:
    """All tasks of a matrix entry whose values agree with `own`'s where both have the key."""
    mine: Mapping[str, str] = dict(own.params)
    agreeing = [
        task.id.task for task in tasks if all(mine.get(key, value) == value for key, value in task.params)
    ]
    values = ", ".join(f"{key}={value}" for key, value in own.params)
    return agreeing, "" if agreeing else f"that entry has no task with {values}"
