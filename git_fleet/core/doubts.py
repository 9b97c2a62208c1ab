"""What is worth a second look before a plan is approved. Doubts forbid nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from msgspec import Struct

from git_fleet.core import patterns
from git_fleet.core.automaton import shape
from git_fleet.core.config import Config
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Output, Plan, Task
from git_fleet.core.overlaps import Owned
from git_fleet.core.ownership import Ownership, Tree
from git_fleet.core.patterns import OverlapIndex, Pattern

MANY_OWNERS = 3
_REMEDIES = (
    "give it to one task; or put the tasks in sequence (needs); "
    "or agree on an interface first, in a task of its own that the others need"
)
_NAMED_FILE = re.compile(r"[\w@+.-]+(?:/[\w@+.-]+)*")
_MAX_COMPARED = 200  # paths, and patterns: difflib takes some 10 µs for each of their pairs


class Doubt(Struct, frozen=True):
    """A stable code, the task it is about (None: the plan), a plain sentence, and what to do."""

    code: str
    task_id: TaskId | None
    text: str
    fix: str


def doubts(plan: Plan, config: Config, tree: Tree, ownership: Ownership) -> Iterator[Doubt]:
    """Every doubt about a plan, those about the whole plan first."""
    yield from _gates(plan, config)
    yield from _shared(plan, tree, ownership)
    yield from _unmatched(plan, tree)
    yield from _at_any_depth(plan, config, tree)
    guarded = [patterns.parse(text) for text in config.protected]
    for task in plan.tasks:
        yield from _protected(task, guarded, tree)
        yield from _named_in_prompt(task, tree, ownership)


def _gates(plan: Plan, config: Config) -> Iterator[Doubt]:
    if not config.gates and not config.gates_none:
        yield Doubt(
            "no-gate",
            None,
            "no gate is configured: nothing is checked before main moves, and integrate refuses",
            'add a [[gate]] to fleet.toml, or say gates = "none" there',
        )
    without = [task.id for task in plan.tasks if not task.accept and task.output is Output.COMMIT]
    fix = 'say how to see that it works: accept = ["…"]'
    if len(without) == len(plan.tasks) > 1:
        yield Doubt("no-accept", None, "no task has an accept command of its own", fix)
    else:
        for task_id in without:
            yield Doubt("no-accept", task_id, "it has no accept command of its own", fix)


def _shared(plan: Plan, tree: Tree, ownership: Ownership) -> Iterator[Doubt]:
    """Files that many tasks own, one doubt for each set of owners."""
    groups: dict[tuple[TaskId, ...], list[str]] = {}
    for path, ids in sorted(ownership.owners.items()):
        if len(ids) >= MANY_OWNERS:
            groups.setdefault(tuple(ids), []).append(path)
    by_pattern: dict[str, list[TaskId]] = {}
    for task in plan.tasks:
        for text in dict.fromkeys(task.owned):
            by_pattern.setdefault(text, []).append(task.id)
    for text, ids in by_pattern.items():
        if len(ids) >= MANY_OWNERS and not tree.matches(patterns.parse(text)):
            groups.setdefault(tuple(ids), []).append(text)
    for owners, paths in groups.items():
        are = "is" if len(paths) == 1 else "are"
        text = f"{_some(paths)} {are} owned by {len(owners)} tasks: {_some(owners)}"
        yield Doubt("shared", None, text, _REMEDIES)


def _unmatched(plan: Plan, tree: Tree) -> Iterator[Doubt]:
    """Patterns that match nothing yet; a new file is fine, a slip of the pen is not."""
    parsed = (
        (task, text, patterns.parse(text)) for task in plan.tasks for text in (*task.owned, *task.reads)
    )
    unmatched = ((task, text, pattern) for task, text, pattern in parsed if not tree.matches(pattern))
    for number, (task, text, pattern) in enumerate(unmatched):
        literal = patterns.literal_path(pattern)
        nearest = _nearest(literal or text.strip("/"), tree) if number < _MAX_COMPARED else ""
        kind = "it would be a new file" if literal and text in task.owned else "no tracked file matches it"
        like = f"; the nearest path is {nearest}" if nearest else ""
        fix = f"write {nearest} if that is meant, else nothing" if nearest else "nothing, if it is to be new"
        yield Doubt("no-match", task.id, f"{text}: {kind}{like}", fix)


def _nearest(text: str, tree: Tree) -> str:
    """The tracked path most like `text`: of the same name, else in the same folder; else a folder."""
    folder, _, name = text.rpartition("/")
    if same := tree.by_name.get(name, ())[:_MAX_COMPARED]:
        return get_close_matches(text, same, n=1, cutoff=0.0)[0]
    here = {path.rpartition("/")[2]: path for path in tree.below(folder, _MAX_COMPARED)}
    if close := get_close_matches(name, here, n=1, cutoff=0.75):
        return here[close[0]]
    if here or not folder:
        return ""
    close = get_close_matches(folder, tree.folders[:_MAX_COMPARED], n=1)
    return f"{close[0]}/" if close else ""


def _at_any_depth(plan: Plan, config: Config, tree: Tree) -> Iterator[Doubt]:
    """Names written for the root that also own others of that name, or overlap tasks only by that."""
    owned = Owned(config.generated_paths)
    files = {task.id: owned.patterns(task) for task in plan.tasks}
    index: OverlapIndex[TaskId] = OverlapIndex()
    for task_id, own in files.items():
        index.add(task_id, own)
    for task_id, own in files.items():
        rooted = {pattern: root for pattern in own if (root := _at_root(pattern, tree))}
        if not rooted:
            continue
        anyway = {task_id, *index.overlapping(rooted.get(pattern, pattern) for pattern in own)}
        for pattern, root in rooted.items():
            others = sorted(tree.matches(pattern) - tree.matches(root))
            tasks = [other for other in index.overlapping([pattern]) if other not in anyway]
            if others or tasks:
                also = f", {_some(others)} too" if others else ""
                only = f"; only by that it overlaps {_some(tasks)}" if tasks else ""
                text = f"{pattern.text}: it owns that name in every folder{also}{only}"
                yield Doubt("any-depth", task_id, text, f"write {root.text} if only the root's is meant")


def _at_root(pattern: Pattern, tree: Tree) -> Pattern | None:
    """A bare name (`cli.py`, `src`, `src/`) as the one tracked at the root (`/cli.py`, `/src/`), if there is one."""
    bare = pattern.text.removesuffix("/")
    name = None if "/" in bare else shape(pattern.text).items[1].name
    if name is None:
        return None
    path = os.fsdecode(name)
    if path in tree.paths:
        return patterns.parse(f"/{bare}") if bare == pattern.text else None
    return patterns.parse(f"/{bare}/") if tree.below(path, 1) else None


def _protected(task: Task, guarded: Sequence[Pattern], tree: Tree) -> Iterator[Doubt]:
    for text in task.owned:
        pattern = patterns.parse(text)
        hit = next((other.text for other in guarded if _reaches(pattern, other, tree)), "")
        if hit:
            yield Doubt(
                "protected",
                task.id,
                f"{text}: it may change protected files ({hit}), such as gates and hooks",
                "narrow the pattern, unless that is what the task is for",
            )


def _reaches(pattern: Pattern, guarded: Pattern, tree: Tree) -> bool:
    """Whether it is likely: a tracked file, the same pattern, or two anchored ones that meet. That
    `cli.py`, at any depth, could be `.github/cli.py` some day is no doubt."""
    anchored = bool(shape(pattern.text).prefix and shape(guarded.text).prefix)
    if pattern == guarded or (anchored and patterns.overlap(pattern, guarded)):
        return True
    return not tree.matches(pattern).isdisjoint(tree.matches(guarded))


def _named_in_prompt(task: Task, tree: Tree, ownership: Ownership) -> Iterator[Doubt]:
    """Files that a prompt names and that nobody may change."""
    if not task.prompt:
        return
    named = dict.fromkeys(_tracked_file(word, tree) for word in _NAMED_FILE.findall(task.prompt))
    reads = tree.owned(task.reads)
    for path in named:
        if path and path not in reads and not ownership.of(path):
            yield Doubt(
                "unowned",
                task.id,
                f"its prompt names {path}, which no task owns",
                "add it to files; or to reads, if it is only to be looked at",
            )


def _tracked_file(word: str, tree: Tree) -> str:
    """The one tracked file that a word of a prompt names, else ""."""
    bare = word.strip(".").removeprefix("./")
    if not bare or not ("/" in bare or "." in bare or bare[0].isupper()):
        return ""  # `run` may be a file's name, but in a sentence it is a verb
    candidates = tree.by_name.get(bare.rpartition("/")[2], ())
    fitting = [path for path in candidates if path == bare or path.endswith(f"/{bare}")]
    return bare if bare in fitting else fitting[0] if len(fitting) == 1 else ""


def _some(things: Iterable[TaskId] | Sequence[str], limit: int = 5) -> str:
    words = [str(thing) for thing in things]
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more
