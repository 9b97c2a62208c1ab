"""A repository's upkeep as text: setting up, doctor, worktrees and what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from git_fleet.core.results import Cleaned, Diagnosis, InitReport, Problem, WorktreeRow
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line, lines
from git_fleet.views.standing import STYLES
from git_fleet.views.table import Cell, Table

_OF_MANY = {"worktree-left": "{} worktrees of tasks that have ended: git fleet cleanup"}
"""What is said at once where many notes of a code mean the same."""


def init(value: InitReport, look: Look, *, dry_run: bool) -> str:
    """What was set up and what to commit; on a dry run also the fleet.toml that would be written."""
    text = [f"{'would write' if dry_run else 'wrote'} fleet.toml"] if value.config else []
    text += [
        f"  gate {look.paint(line(gate.name), 'bold')}: {line(gate.run)}"
        f"{look.paint(f'  # {line(gate.reason)}', 'dim')}{'  (in a comment)' if gate.alternative else ''}"
        for gate in value.gates
    ]
    text += [line(change) for change in (*value.hooks, *value.agents)]
    if not text:
        text = ["everything is in place already"]
    text += [f"{look.paint('note:', 'yellow')} {line(note)}" for note in value.notes]
    if dry_run and value.config:
        text += ["", lines(value.config.rstrip()), ""]
    text += [f"{look.paint('next:', 'bold')} {line(command)}" for command in value.commands]
    return "\n".join(text)


def cleanup(values: Sequence[Cleaned], look: Look, *, dry_run: bool) -> str:
    """Which worktrees went, which stayed and why."""
    if not values:
        return "no worktree can go"
    return "\n".join(part for value in values for part in _cleaned(value, look, dry_run=dry_run))


def _cleaned(value: Cleaned, look: Look, *, dry_run: bool) -> list[str]:
    name = look.paint(str(value.id), "bold")
    if value.kept:
        return [f"{look.paint('-', 'yellow')} {name} keeps {line(value.path)}: {line(value.text)}"]
    gone = "would be removed" if dry_run else "is removed"
    branch = f", and its branch {line(value.branch)}" if value.branch else ""
    text = [f"{look.paint('✓', 'green')} {name}: {line(value.path)} {gone}{branch}"]
    if not value.salvage:
        return text
    shown = f"git fleet salvage show {value.id} {line(value.salvage.rpartition('/')[2])}"
    return [*text, f"    its work is kept at {line(value.salvage)} ({shown})"]


def doctor(value: Diagnosis, look: Look) -> str:
    """What is wrong, what was put right, and what to do about the rest."""
    text = [part for problem in value.problems for part in _problem(problem, look)]
    text += _notes(value.notes, look)
    left = sum(not problem.fixed for problem in value.problems)
    end = "all is well" if value.ok else f"{count(left, 'problem')} left"
    return "\n".join([*text, look.paint(end, "green" if value.ok else "red")])


def _problem(problem: Problem, look: Look) -> list[str]:
    mark = look.paint("fixed:", "green") if problem.fixed else look.paint("problem:", "red")
    text = [f"{mark} {line(problem.text)} {look.paint(f'[{problem.code}]', 'dim')}"]
    return text if problem.fixed or not problem.fix else [*text, f"    {line(problem.fix)}"]


def _notes(notes: Sequence[Problem], look: Look) -> list[str]:
    """Each note, but those that say the same of many worktrees as one line."""
    crowds = {code: found for code, found in Counter(note.code for note in notes).items() if found > 1}
    text = [
        part
        for note in notes
        if note.code not in _OF_MANY or note.code not in crowds
        for part in _note(note, look)
    ]
    for code, said in _OF_MANY.items():
        if code in crowds:
            text += _note(Problem(code, said.format(crowds[code]), ""), look)
    return text


def _note(note: Problem, look: Look) -> list[str]:
    text = [f"{look.paint('note:', 'yellow')} {line(note.text)} {look.paint(f'[{note.code}]', 'dim')}"]
    return [*text, f"    {line(note.fix)}"] if note.fix else text


def worktrees(rows: Sequence[WorktreeRow], look: Look) -> str:
    """The tasks' worktrees on this machine. A path is there to be copied, so none is broken: on a narrow terminal
    slots and branches are left out, and what is longer still runs on."""
    if not rows:
        return "no task has a worktree here"
    for headings in _WORKTREE_HEADINGS:
        table = Table(headings, right=frozenset({headings.index("SLOT")} if "SLOT" in headings else ()))
        for row in rows:
            cells = _worktree(row)
            table.add(*(cells[heading] for heading in headings))
        if not look.width or table.width_before_last() + table.widest_in_last() <= look.width:
            break
    return table.render(Look(colour=look.colour))


_WORKTREE_HEADINGS = (
    ("TASK", "STATE", "WORKER", "SLOT", "BRANCH", "CHANGES", "WORKTREE"),
    ("TASK", "STATE", "WORKER", "CHANGES", "WORKTREE"),
    ("TASK", "STATE", "WORKTREE"),
)


def _worktree(row: WorktreeRow) -> dict[str, Cell]:
    """What can be said of a worktree, by heading."""
    changes = "gone" if row.dirty is None else str(row.dirty) if row.dirty else "clean"
    return {
        "TASK": Cell(str(row.id), "bold"),
        "STATE": Cell(str(row.state), STYLES[row.state]) if row.state else Cell("unknown", "red"),
        "WORKER": Cell(row.worker),
        "SLOT": Cell(str(row.slot or "")),
        "BRANCH": Cell(row.branch),
        "CHANGES": Cell(changes),
        "WORKTREE": Cell(row.path + ("" if row.current else " (earlier attempt)")),
    }
