"""Values as the JSON documents that others build on (DESIGN section 12; schemas/ has one schema each).

Every function returns a document without its version, which the face puts first. Task ids are
`plan/task`, times ISO 8601 in UTC, unknown or absent is null. Fields may be added, never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from git_fleet.core.codec import format_time

if TYPE_CHECKING:
    from git_fleet.core.learnings import Known
    from git_fleet.core.model import Finding, Proposal, Usage
    from git_fleet.core.recalling import Hit
    from git_fleet.core.results import (
        Cleaned,
        Diagnosis,
        Explanation,
        InitReport,
        Integration,
        LeadView,
        Problem,
        ReadyTask,
        Reverted,
        Sibling,
        Story,
        WorktreeRow,
    )
    from git_fleet.core.snapshot import TaskRecord

Document = dict[str, Any]


def time(moment: datetime | None) -> str | None:
    """2026-11-20T18:50:05.123Z."""
    return format_time(moment) if moment else None


def ids(task_ids: Iterable[object]) -> list[str]:
    """Task ids in full."""
    return [str(task_id) for task_id in task_ids]


# --- look ----------------------------------------------------------------------------------------


def usage(value: Usage) -> Document:
    """Tokens and money."""
    return {
        "input_tokens": value.input_tokens,
        "output_tokens": value.output_tokens,
        "cost_usd": value.cost_usd,
    }


def ready(tasks: Iterable[ReadyTask]) -> Document:
    """`ready`."""
    return {
        "tasks": [
            {
                "task_id": str(task.id),
                "title": task.title,
                "wave": task.wave,
                "priority": task.priority,
                "files": list(task.files),
            }
            for task in tasks
        ]
    }


def explain(value: Explanation) -> Document:
    """`explain`."""
    reasons = [{"code": reason.code, "text": reason.text, "fix": reason.fix} for reason in value.reasons]
    return {
        "task_id": str(value.id),
        "state": str(value.state),
        "ready": value.ready,
        "reasons": reasons,
        "findings": findings(value.findings),
        "title": value.row.title if value.row else None,
        "holder": (value.row.holder if value.row else "") or None,
        "claimed_at": time(value.row.claimed_at if value.row else None),
        "seen_at": time(value.row.seen_at if value.row else None),
        "expires_at": time(value.row.expires_at if value.row else None),
        "landed": value.landed,
        "waiting": ids(value.waiting),
    }


def siblings(tasks: Iterable[Sibling]) -> Document:
    """`siblings`."""
    return {
        "tasks": [
            {
                "task_id": str(task.id),
                "status": str(task.state),
                "summary": task.summary,
                "holder": task.holder or None,
                "code": task.code or None,
                "reason": task.reason or None,
            }
            for task in tasks
        ]
    }


def log(story: Story) -> Document:
    """`log`, oldest first."""
    return {
        "events": [
            {
                "event": line.event,
                "at": time(line.at),
                "actor": line.actor,
                "summary": line.summary,
                "oid": line.oid,
            }
            for line in story.events
        ],
        "gate_logs": list(story.gate_logs),
    }


def path(where: Path) -> Document:
    """`path`."""
    return {"path": str(where)}


def prompt(task: object, text: str, template: str) -> Document:
    """`prompt`; `template` is a path in the repository, null for the built-in one."""
    return {"task_id": str(task), "prompt": text, "template": template or None}


def event_texts(oid: str, texts: Mapping[str, str]) -> Document:
    """`log --event`: the texts that belong to one event."""
    return {"oid": oid, "texts": dict(texts)}


# --- a task's life -------------------------------------------------------------------------------


def claim(
    record: TaskRecord,
    where: Path | None,
    env: Mapping[str, str],
    notes: Sequence[str],
    conflicts: Sequence[str] = (),
    learnings: Sequence[Hit] = (),
) -> Document:
    """`claim` and `claim --resume`: all that a worker needs to begin."""
    task, held = record.task, record.state.claim
    return {
        "task_id": str(record.id),
        "plan": record.id.plan,
        "parent_id": record.id.plan,
        "title": task.title,
        "prompt": task.prompt,
        "payload": dict(task.params),
        "files": list(task.owned),
        "reads": list(task.reads),
        "needs": ids(task.needs_ids),
        "output": str(task.output),
        "accept": list(task.accept),
        "attempt": held.attempt if held else record.state.attempt,
        "fence": held.fence if held else None,
        "worker": held.holder if held else None,
        "branch": (held.branch or None) if held else None,
        "worktree": str(where) if where else None,
        "expires_at": time(held.expires_at) if held else None,
        "findings": findings(record.state.findings),
        "conflicts": list(conflicts),
        "learnings": [learning(hit.known, source=hit.source) for hit in learnings],
        "env": dict(env),
        "notes": list(notes),
    }


def findings(found: Iterable[Finding]) -> list[Document]:
    """What gates, verifiers and people found."""
    return [
        {
            "text": one.text,
            "source": one.source,
            "path": one.path or None,
            "label": one.label or None,
            "outside": one.outside,
        }
        for one in found
    ]


def learning(one: Known, *, source: str = "") -> Document:
    """What was learned, where, and what a person thinks of it; `source` names another repository."""
    about, decided = one.learning, one.decision
    return {
        "id": one.id,
        "kind": str(about.kind),
        "text": about.text,
        "paths": list(about.paths),
        "labels": list(about.labels),
        "by": about.by,
        "at": time(about.at),
        "task_id": about.task or None,
        "state": str(one.state),
        "decided_by": decided.by if decided else None,
        "decided_at": time(decided.at if decided else None),
        "successor": (decided.successor if decided else "") or None,
        "edits": about.edits or None,
        "source": source or None,
    }


def nothing_ready(reason: str, text: str, retry_after_seconds: int) -> Document:
    """`claim` when there is nothing to claim."""
    return {"task_id": None, "reason": reason, "text": text, "retry_after_seconds": retry_after_seconds}


def done(
    record: TaskRecord,
    proposal: Proposal,
    *,
    outside: Sequence[str],
    follow_ups: Sequence[str],
    notes: Sequence[str],
) -> Document:
    """`done`."""
    return {
        "task_id": str(record.id),
        "proposal": proposal.oid,
        "number": proposal.number,
        "commit": proposal.commit,
        "tree": proposal.tree,
        "state": str(record.state.state),
        "outside": list(outside),
        "follow_ups": list(follow_ups),
        "notes": list(notes),
    }


def task(record: TaskRecord, notes: Sequence[str]) -> Document:
    """Every other command that changes a task: the task after it."""
    state = record.state
    held = state.claim if state.state == "claimed" else None
    return {
        "task_id": str(record.id),
        "state": str(state.state),
        "holder": held.holder if held else None,
        "expires_at": time(held.expires_at) if held else None,
        "attempt": state.attempt,
        "summary": state.summary,
        "code": state.code or None,
        "reason": state.reason or None,
        "findings": findings(state.findings),
        "notes": list(notes),
    }


# --- main and set-up -----------------------------------------------------------------------------


def integrate(value: Integration, *, dry_run: bool, then: str = "") -> Document:
    """`integrate`; `then` is the command that publishes what came to main."""
    return {
        "main_before": value.main_before,
        "main_after": value.main_after,
        "integrated": [
            {"task_id": str(one.id), "commit": one.commit, "tree": one.tree} for one in value.integrated
        ],
        "ejected": [
            {"task_id": str(one.id), "reason": one.reason, "paths": list(one.paths), "detail": one.detail}
            for one in value.ejected
        ],
        "skipped": [{"task_id": str(one.id), "reason": one.reason} for one in value.skipped],
        "gate_runs": value.gate_runs,
        "warnings": list(value.warnings),
        "dry_run": dry_run,
        "base": value.base,
        "next": then or None,
    }


def revert(value: Reverted, *, dry_run: bool, then: str = "") -> Document:
    """`revert`; `then` as for `integrate`."""
    return {
        "task_id": str(value.id),
        "reverted": value.reverted,
        "commit": value.commit,
        "main_before": value.main_before,
        "main_after": value.main_after,
        "gate_runs": value.gate_runs,
        "dry_run": dry_run,
        "base": value.base,
        "next": then or None,
    }


def lead(value: LeadView) -> Document:
    """`lead acquire`, `release` and `show`."""
    return {
        "holder": value.holder or None,
        "worktree": value.worktree or None,
        "acquired_at": time(value.acquired_at),
        "expires_at": time(value.expires_at),
        "mine": value.mine,
        "intent_open": value.intent_open,
        "by_hand": value.by_hand,
        "run": None if value.run is None else {"pid": value.run or None},
    }


def doctor(value: Diagnosis) -> Document:
    """`doctor`."""
    return {
        "ok": value.ok,
        "problems": [_problem(one) for one in value.problems],
        "notes": [_problem(one) for one in value.notes],
    }


def _problem(one: Problem) -> Document:
    return {"code": one.code, "text": one.text, "fix": one.fix, "fixed": one.fixed}


def worktree_list(rows: Iterable[WorktreeRow]) -> Document:
    """`worktree list`."""
    return {
        "worktrees": [
            {
                "task_id": str(row.id),
                "path": row.path,
                "branch": row.branch or None,
                "worker": row.worker or None,
                "slot": row.slot or None,
                "state": str(row.state) if row.state else None,
                "current": row.current,
                "dirty": row.dirty,
            }
            for row in rows
        ]
    }


def init(value: InitReport, *, dry_run: bool) -> Document:
    """`init` and `init --uninstall`."""
    return {
        "config": value.config or None,
        "gates": [
            {"name": gate.name, "run": gate.run, "reason": gate.reason, "alternative": gate.alternative}
            for gate in value.gates
        ],
        "hooks": list(value.hooks),
        "agents": list(value.agents),
        "commands": list(value.commands),
        "notes": list(value.notes),
        "dry_run": dry_run,
    }


def cleanup(values: Iterable[Cleaned], *, dry_run: bool) -> Document:
    """`cleanup`."""
    return {
        "worktrees": [
            {
                "task_id": str(one.id),
                "path": one.path,
                "removed": not one.kept and not dry_run,
                "kept": one.kept or None,
                "text": one.text or None,
                "paths": list(one.paths),
                "branch": one.branch or None,
                "salvage": one.salvage or None,
            }
            for one in values
        ],
        "dry_run": dry_run,
    }
