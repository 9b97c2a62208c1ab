"""Pull requests of tasks, as text and as JSON."""

from __future__ import annotations

from typing import Any

from git_fleet.core.pulls import KIND, Check, Fate, Outcome, Published, Pull
from git_fleet.views.look import Look, line, short
from git_fleet.views.table import Cell, Table

_FATES = {
    Fate.TO_OPEN: ("to open", "yellow"),
    Fate.OPENED: ("opened", "green"),
    Fate.UPDATED: ("updated", "green"),
    Fate.CURRENT: ("as it is to be", "dim"),
    Fate.OPEN: ("open", ""),
    Fate.REWORK: ("back to rework", "red"),
    Fate.TO_RECORD: ("merged: to record", "yellow"),
    Fate.RECORDED: ("integrated", "green"),
    Fate.MERGED: ("merged, not recorded", "yellow"),
    Fate.CLOSED: ("closed unmerged", "yellow"),
    Fate.ABSENT: ("none", "dim"),
    Fate.FAILED: ("failed", "red"),
}
_ORDER = (Outcome.FAIL, Outcome.ERROR, Outcome.PENDING, Outcome.PASS)
_LEFT = (Fate.TO_OPEN, Fate.FAILED, Fate.CLOSED, Fate.REWORK)


def published(value: Published, look: Look, *, dry_run: bool) -> str:
    """What became of each, and what is left to do."""
    if not value.pulls:
        return "nothing is handed in that a pull request could be for"
    table = Table(("TASK", "PULL REQUEST", "STATE", "DETAIL"), whole=frozenset({0, 1}))
    for pull in value.pulls:
        where = pull.url or f"{pull.branch} onto {pull.base}"
        table.add(
            Cell(str(pull.task), "bold"), where, Cell(*_FATES[pull.fate]), _detail(pull, dry_run=dry_run)
        )
    parts = [table.render(look)]
    if value.before and value.after:
        moved = "would go" if dry_run else "moved"
        parts.append(f"{line(value.pulls[0].base)} {moved} {short(value.before)} → {short(value.after)}")
    if not value.gh:
        parts.append(
            "gh is not installed: open them by hand, each from its branch (--json has titles and texts), or install gh"
            " and say git fleet pr again"
        )
    then = value.then or _then(value, dry_run=dry_run)
    if then:
        parts.append(f"{look.paint('next:', 'bold')} {line(then)}")
    return "\n\n".join(parts)


def _detail(pull: Pull, *, dry_run: bool) -> str:
    pushed = ("would be pushed" if dry_run else "pushed") if pull.pushed else ""
    landed = f"as {short(pull.landed)}, known by its {pull.how}" if pull.landed else ""
    return "; ".join(part for part in (pushed, landed, pull.detail, _checks(pull.checks)) if part)


def _checks(checks: tuple[Check, ...]) -> str:
    """`1 fail (tests), 2 pass`: names only of those that did not pass."""
    parts = []
    for outcome in _ORDER:
        found = [check.name for check in checks if check.outcome is outcome]
        named = f" ({', '.join(found[:3])})" if outcome is not Outcome.PASS and found else ""
        parts += [f"{len(found)} {outcome}{named}"] if found else []
    return ", ".join(parts)


def _then(value: Published, *, dry_run: bool) -> str:
    fates = {pull.fate for pull in value.pulls}
    if dry_run and (Fate.TO_OPEN in fates or any(pull.pushed for pull in value.pulls)):
        return "git fleet pr"
    if dry_run and Fate.TO_RECORD in fates:
        return "git fleet pr --sync"
    red = [pull for pull in value.pulls if any(check.outcome is Outcome.FAIL for check in pull.checks)]
    if Fate.OPEN in fates and any(pull.fate is Fate.OPEN for pull in red):
        return "git fleet pr --sync --rework   sends those with red checks back to rework"
    return "git fleet pr --sync" if fates & {Fate.OPENED, Fate.UPDATED, Fate.CURRENT} else ""


def is_left(value: Published, *, dry_run: bool) -> bool:
    """Whether something was asked for that has not come about."""
    if dry_run:
        return any(pull.fate is Fate.FAILED for pull in value.pulls)
    return any(pull.fate in _LEFT or (pull.fate is Fate.MERGED and not pull.landed) for pull in value.pulls)


def document(value: Published, *, dry_run: bool) -> dict[str, Any]:
    """`pr`."""
    return {
        "dry_run": dry_run,
        "gh": value.gh,
        "remote": value.remote,
        "main_before": value.before,
        "main_after": value.after,
        "next": value.then or None,
        "pulls": [_pull(pull) for pull in value.pulls],
    }


def _pull(pull: Pull) -> dict[str, Any]:
    return {
        "task_id": str(pull.task),
        "branch": pull.branch,
        "base": pull.base,
        "commit": pull.commit,
        "state": str(pull.fate),
        "url": pull.url or None,
        "title": pull.title or None,
        "body": pull.body or None,
        "pushed": pull.pushed,
        "landed": pull.landed,
        "recognised_by": pull.how or None,
        "detail": pull.detail or None,
        "gates": [
            {"kind": KIND, "name": it.name, "outcome": str(it.outcome), "url": it.url or None}
            for it in pull.checks
        ],
    }
