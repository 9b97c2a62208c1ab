"""Main as text: what an integration did, who leads."""

from __future__ import annotations

from collections.abc import Sequence

from git_fleet.core.results import Ejected, Integration, LeadView, Reverted
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line, lines, short, some


def integration(value: Integration, look: Look, *, dry_run: bool, then: str = "") -> str:
    """What came to main, what went back and why; `then` is the command to go on with."""
    would = "would be" if dry_run else "is"
    if not (value.integrated or value.ejected or value.skipped):
        return "\n".join(["nothing is handed in", *_warnings(value.warnings, look)])
    text = []
    for one in value.integrated:
        what = short(one.commit) if one.commit else "without a commit"
        text.append(
            f"{look.paint('✓', 'green')} {look.paint(str(one.id), 'bold')} {would} integrated  {what}"
        )
    for ejected in value.ejected:
        text += _ejected(ejected, look, dry_run=dry_run)
    for skipped in value.skipped:
        text.append(f"{look.paint('-', 'dim')} {skipped.id} is left: {line(skipped.reason)}")
    moved = "would be" if dry_run else "moved"
    if value.main_before == value.main_after:
        text.append(f"{line(value.base)} stays at {short(value.main_before)}")
    else:
        runs = f", {count(value.gate_runs, 'gate')} run" if value.gate_runs else ""
        text.append(
            f"{line(value.base)} {moved} {short(value.main_before)} → {short(value.main_after)}: "
            f"{len(value.integrated)} integrated, {len(value.ejected)} back to rework{runs}"
        )
    text += _warnings(value.warnings, look)
    return "\n".join([*text, f"{look.paint('next:', 'bold')} {line(then)}"] if then else text)


def reverted(value: Reverted, look: Look, *, dry_run: bool, then: str = "") -> str:
    """What was taken back, and by which commit."""
    would = "would be" if dry_run else "is"
    moved = "would be" if dry_run else "moved"
    done = f"{look.paint('✓', 'green')} {look.paint(str(value.id), 'bold')} {would} reverted"
    text = [
        f"{done}: {short(value.commit)} takes back {short(value.reverted)}",
        f"{line(value.base)} {moved} {short(value.main_before)} → {short(value.main_after)}",
    ]
    return "\n".join([*text, f"{look.paint('next:', 'bold')} {line(then)}"] if then else text)


def _ejected(one: Ejected, look: Look, *, dry_run: bool) -> list[str]:
    would = "would go" if dry_run else "goes"
    head = f"{look.paint('✗', 'red')} {look.paint(str(one.id), 'bold')} {would} back to rework ({line(one.reason)})"
    text = [f"{head}: {some(one.paths, 8)}" if one.paths else head]
    return text + [f"    {look.paint(part, 'dim')}" for part in lines(one.detail.strip()).split("\n") if part]


def _warnings(warnings: Sequence[str], look: Look) -> list[str]:
    return [f"{look.paint('warning:', 'yellow')} {line(text)}" for text in warnings]


def lead(value: LeadView, look: Look) -> str:
    """Who leads."""
    unfinished = (
        f"\n{look.paint('note:', 'yellow')} an integration was interrupted; git fleet integrate goes on"
    )
    after = unfinished if value.intent_open else ""
    if not value.holder:
        return f"nobody leads (git fleet lead acquire){after}"
    where = f"this worktree{_by(value)}" if value.mine else line(value.worktree)
    until = f", until {value.expires_at:%Y-%m-%d %H:%M:%S} UTC" if value.expires_at else ""
    return f"{look.paint(line(value.holder), 'bold')} leads from {where}{until}{after}"


def _by(value: LeadView) -> str:
    """By what this worktree leads, where that is not a hand alone."""
    if value.run is not None:
        return f" by a run (process {value.run or 'unknown'}){' and by hand' if value.by_hand else ''}"
    return "" if value.by_hand else ", left by a run that was killed (git fleet lead release)"
