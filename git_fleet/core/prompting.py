"""What an agent is told about its task, as the values that a template is filled with (DESIGN section 7).

`values` gives plain texts, numbers and lists, nothing a template could act with. Whatever somebody else wrote
is in them as a quotation already (core/quoting.py), so a template of one's own cannot forget to quote. Only ids,
the names of branch and folder, and the fleet's own words stand as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from git_fleet.core import overlaps, quoting, recalling
from git_fleet.core.config import Config
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Finding, Output, State
from git_fleet.core.recalling import Hit
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.trailers import one_line

MOST_SIBLINGS = 12
_TEXT_BYTES = 40 * 1024  # all quotations together stay well below the 128 KiB that an argument may have
_FINDING_BYTES = 1536
_LIST_BYTES = 4 * 1024
_LINE = 300
_AT_WORK = (State.CLAIMED, State.PROPOSED, State.VERIFIED, State.PARKED, State.REWORK)


class Facts(Struct, frozen=True):
    """All that a prompt is made from. `siblings` are all tasks of the plan; `base` is the branch it goes
    onto. `worktree` and `branch` are empty where there is none (yet).

    `unresolved` are paths in conflict with main, which was merged in (None: no merge goes on), `said` git's own
    words on them; `gate_logs` where all is that gates printed, as `git show` takes it; `setup` what is wrong
    with the worktree's setup; `learnings` what was learned before that matters here; `sparse`: the worktree has a part
    of the files.
    """

    record: TaskRecord
    config: Config
    base: str
    siblings: Sequence[TaskRecord] = ()
    worker: str = ""
    branch: str = ""
    worktree: str = ""
    unresolved: tuple[str, ...] | None = None
    said: tuple[str, ...] = ()
    gate_logs: tuple[str, ...] = ()
    setup: str = ""
    learnings: tuple[Hit, ...] = ()
    sparse: bool = False


def values(facts: Facts) -> dict[str, Any]:
    """The variables of a prompt's template, by name. README lists them."""
    plain = {"task": _task(facts), "hand_in": _hand_in(facts)}
    mark = quoting.mark_for(_texts([plain, _quoted(facts, "")]))
    return {"mark": mark, "quoting": quoting.explained(mark), **plain, **_quoted(facts, mark)}


def _texts(value: Any) -> Iterator[str]:
    """Every text in the values of a template: the mark must be in none of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _task(facts: Facts) -> dict[str, Any]:
    """What is known for sure: the fleet's own words and checked names."""
    record, config = facts.record, facts.config
    claimed = record.state.state is State.CLAIMED
    return {
        "id": str(record.id),
        "plan": record.id.plan,
        "name": record.id.task,
        "report": record.task.output is Output.REPORT,
        "attempt": record.state.attempt + (not claimed),
        "max_attempts": config.max_attempts,
        "worker": one_line(facts.worker),
        "branch": one_line(facts.branch),
        "worktree": one_line(facts.worktree),
        "base": one_line(facts.base),
        "lead_commits": config.lead_commits,
        "session_minutes": config.session_minutes,
        "needs": [str(need) for need in record.task.needs_ids],
        "merging": facts.unresolved is not None,
        "sparse": facts.sparse,
    }


def _hand_in(facts: Facts) -> dict[str, str]:
    """The exact commands of a worker's life. In the task's worktree they need no name."""
    bare = not facts.worktree and facts.record.state.state is State.CLAIMED
    name = f" {facts.record.id}" if bare else ""
    if facts.record.task.output is Output.REPORT:
        done = f'git fleet done{name} --result "…"'
    elif facts.config.lead_commits:
        done = f'git fleet done{name} -m "…"'
    else:
        done = f"git fleet done{name}" + (" --commit REVISION" if bare else "")
    return {
        "done": done,
        "progress": f'git fleet progress{name} "…"',
        "block": f'git fleet block{name} --code CODE "…"',
        "release": f"git fleet release{name}",
        "siblings": f"git fleet siblings{name}",
        "context": f"git fleet context{name}",
        "learn": 'git fleet learn "…" --path FILES' if facts.config.knowledge_tokens else "",
    }


def _quoted(facts: Facts, mark: str) -> dict[str, Any]:
    """What others wrote, each a quotation; "" (of a list: none) where there is nothing."""
    task, state, config = facts.record.task, facts.record.state, facts.config
    plan = f"plan {task.id.plan}"
    whole = f"git fleet plan show {task.id.plan} has all of it"
    listed = partial(_listed, mark=mark)
    logged = f"git fleet log {task.id} has all of it"
    return {
        "text": quoting.quote(_words(facts), f"the task, {plan}", mark, most=_TEXT_BYTES, whole=whole),
        "params": listed([f"{key} = {value}" for key, value in task.params], plan),
        "files": listed(task.owned, f"patterns, {plan}"),
        "reads": listed(task.reads, f"patterns, {plan}"),
        "generated": listed(config.generated_paths, "patterns, fleet.toml"),
        "accept": listed(task.accept, f"commands, {plan}"),
        "gates": listed(_gates(facts), "commands, fleet.toml"),
        "reason": listed([state.reason] if state.reason and _is_again(facts) else [], "why it came back"),
        "findings": [
            quoting.quote(
                _about(found), f"finding of {found.source}", mark, most=_FINDING_BYTES, whole=logged
            )
            for found in state.findings
            if not found.outside
        ],
        "conflicts": listed(facts.unresolved or (), "paths, git"),
        "said": listed(facts.said, "git"),
        "gate_logs": listed(facts.gate_logs, "places, git"),
        "setup": listed([facts.setup] if facts.setup else [], "setup, fleet.toml"),
        "siblings": listed(_met(facts), "siblings"),
        "learnings": [recalling.quoted(hit, mark) for hit in facts.learnings],
    }


def _listed(items: Iterable[str], source: str, *, mark: str) -> str:
    """One line for each, in one quotation."""
    text = "\n".join(filter(None, (_one(item) for item in items)))
    return quoting.quote(text, source, mark, most=_LIST_BYTES)


def _one(text: str) -> str:
    line = " ".join(quoting.harmless(text).split())
    return line if len(line) <= _LINE else f"{line[:_LINE]}… ({len(line) - _LINE} characters more)"


def _words(facts: Facts) -> str:
    task = facts.record.task
    return "\n\n".join(filter(None, (_one(task.title), task.prompt.strip("\n"), task.remarks.strip("\n"))))


def _gates(facts: Facts) -> list[str]:
    """The repository's gates; of a report only its own commands run."""
    if facts.record.task.output is Output.REPORT:
        return []
    runs = ((gate.name, gate.run) for gate in facts.config.gates)
    return [f"{name}: {run if isinstance(run, str) else ' '.join(run)}" for name, run in runs]


def _about(found: Finding) -> str:
    return f"{found.path}: {found.text}" if found.path and found.path not in found.text else found.text


def _is_again(facts: Facts) -> bool:
    return facts.record.state.attempt > 0 and facts.record.state.state in (
        State.PENDING, State.CLAIMED, State.REWORK,
    )  # fmt: skip


# --- siblings ------------------------------------------------------------------------------------


def _met(facts: Facts) -> list[str]:
    """What siblings met that may matter here: those that are blocked, the most alike first, then those at work
    whose files this task relies on, or that rely on its. The rest is counted."""
    task = facts.record.task
    others = [other for other in facts.siblings if other.id != task.id]
    near = _neighbours(facts, others)
    blocked = [other for other in others if other.state.state is State.BLOCKED]
    blocked.sort(key=lambda other: (not _alike(other, facts), other.id not in near))
    working = [other for other in others if other.id in near and other.state.state in _AT_WORK]
    lines = [_blocked(other) for other in blocked[:MOST_SIBLINGS]]
    rest = Counter(other.state.code for other in blocked[MOST_SIBLINGS:])
    lines += [
        f"{number} more blocked with the code {code}" for code, number in rest.most_common(MOST_SIBLINGS)
    ]
    lines += [_working(other, near[other.id]) for other in working[:MOST_SIBLINGS]]
    return lines


def _alike(other: TaskRecord, facts: Facts) -> bool:
    return bool(other.task.group) and other.task.group == facts.record.task.group


def _neighbours(facts: Facts, others: Sequence[TaskRecord]) -> dict[TaskId, str]:
    """The siblings tied to this task by what is read, and how; by its needs too."""
    mine = facts.record.task
    generated = facts.config.generated_paths
    edges = overlaps.interfaces([mine, *(other.task for other in others)], generated) if others else []
    near = dict.fromkeys(mine.needs_ids, "you need it")
    for edge in edges:
        if edge.owner == mine.id:
            near.setdefault(edge.reader, f"reads {edge.patterns[0]}, which is yours")
        elif edge.reader == mine.id:
            near.setdefault(edge.owner, f"owns {edge.patterns[0]}, which you read")
    return near


def _blocked(other: TaskRecord) -> str:
    holder = f" (by {other.state.claim.holder})" if other.state.claim else ""
    return f"{other.id} is blocked, code {other.state.code}{holder}: {other.state.reason}"


def _working(other: TaskRecord, tie: str) -> str:
    said = f": {other.state.summary}" if other.state.summary else ""
    return f"{other.id} is {other.state.state.phrase}, {tie}{said}"
