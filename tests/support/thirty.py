"""Thirty proposals that wait for the queue: twenty land, six are red, four conflict; which, is a matter of the seed.

Four files are changed by three tasks each: the *first* and the *neighbour* at different places, which merges,
and the *late* one where the first did, which conflicts once the first is on main. The other eighteen tasks
have files of their own: changed, added, made executable, renamed, deleted. Red ones say so in a file. No task
needs another, so the order is that of the plan, and every mode of the queue must come to the same end.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.model import Proposal
from git_fleet.store import proposals
from tests.support.fleet import approved, claimed, on_task, task
from tests.support.repo import Repo

TASKS, RED, SHARED = 30, 6, 4
LINES = 40
CHECK = """\
git rev-parse 'HEAD^{tree}' >>"$1"
! grep -rlw red --include='*.txt' .
"""


@dataclass(frozen=True)
class Thirty:
    """The tasks (short names) in plan order; who must not land, and why; `runs` is where each run of the gate
    leaves a line: the tree it looked at."""

    tasks: tuple[str, ...]
    red: frozenset[str]
    conflicting: frozenset[str]
    runs: Path

    @property
    def landing(self) -> tuple[str, ...]:
        """Who lands, in the order of landing."""
        return tuple(name for name in self.tasks if name not in self.red | self.conflicting)

    def gated(self) -> list[str]:
        """The tree of each run of the gate so far, oldest first."""
        return self.runs.read_text().split() if self.runs.exists() else []


@dataclass(frozen=True)
class _Change:
    """What a task does: a line of `git fast-import` for each path, and the paths it owns."""

    name: str
    edits: tuple[str, ...]
    files: tuple[str, ...]
    shared: bool = False


def thirty(repo: Repo, session: Session, seed: int) -> Thirty:
    """Hand in thirty proposals in a fresh repository, their gate declared on main: for the same seed the same
    changes. Takes a second or two; who needs them often copies the repository (all copies share `runs`)."""
    runs = repo.path.with_name(f"{repo.path.name}-gate-runs")
    repo.commit("Set up", {**_files(), "check.sh": CHECK, "fleet.toml": _config(runs)})
    made, red, conflicting = _changes(random.Random(seed))
    tips = _commits(repo, made)
    tables = [
        task(
            each.name,
            files=[f"/{path}" for path in each.files],
            overlap="accept" if each.shared else "serialize",
        )
        for each in made
    ]
    approved(session, *tables)
    base = repo.rev("main")
    for each in made:
        _hand_in(session, each.name, tips[each.name], base)
    return Thirty(tuple(each.name for each in made), red, conflicting, runs)


def passes(repo: Repo, commit: str, folder: Path) -> bool:
    """Whether the gate passes on the commit, checked out in `folder`, which must not exist and is removed."""
    repo.run_git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        return (
            subprocess.run(
                ["sh", "check.sh", "/dev/null"], cwd=folder, stdout=subprocess.DEVNULL, check=False
            ).returncode
            == 0
        )
    finally:
        repo.run_git("worktree", "remove", "--force", str(folder))


def _config(runs: Path) -> str:
    return (
        f"version = 1\nmax_active = {TASKS}\nmax_review = {TASKS}\n\n"
        f'[[gate]]\nname = "check"\nrun = ["sh", "check.sh", {str(runs)!r}]\n'
    )


def _files() -> dict[str, str]:
    """Four files for three tasks each, and one for each of the others."""
    return {path: _text() for path in (*map(_shared_path, range(SHARED)), *map(_own_path, range(TASKS)))}


def _shared_path(number: int) -> str:
    return f"shared/s{number}.txt"


def _own_path(number: int) -> str:
    return f"src/m{number % 5}/f{number}.txt"


def _text(**said: str) -> str:
    """The text of a file, with some lines (`at_5="…"`) as a task wants them."""
    return "".join(said.get(f"at_{n}", f"line {n}") + "\n" for n in range(LINES))


def _changes(chance: random.Random) -> tuple[list[_Change], frozenset[str], frozenset[str]]:
    """All changes in plan order, the names of the red and of the conflicting ones."""
    names_ = [f"t{number:02}" for number in range(TASKS)]
    order = chance.sample(names_, TASKS)  # roles go round at random, and plan order is that of the names
    trios = [sorted(order[3 * n : 3 * n + 3]) for n in range(SHARED)]
    roles = [
        (first, *chance.sample(rest, 2)) for first, *rest in trios
    ]  # the first stands before the late one
    conflicting = frozenset(late for _, late, _ in roles)
    firsts = {first for first, _, _ in roles}
    red = frozenset(chance.sample(sorted({*names_} - conflicting - firsts), RED))
    made = [change for number, role in enumerate(roles) for change in _trio(number, role, red)]
    kinds = ("edit", "add", "run", "rename", "delete", "edit")
    made += [
        _alone(number, name, kinds[number % len(kinds)], red)
        for number, name in enumerate(order[3 * SHARED :])
    ]
    return sorted(made, key=lambda each: each.name), red, conflicting


def _trio(number: int, role: tuple[str, ...], red: frozenset[str]) -> Iterator[_Change]:
    """The three tasks of one shared file: the first, the late one, the neighbour."""
    path = _shared_path(number)
    for name, line in zip(role, (5, 5, LINES - 5), strict=True):
        said = f"{name} was here" + (", red" if name in red else "")
        yield _Change(name, (_edit(path, _text(**{f"at_{line}": said})),), (path,), shared=True)


def _alone(number: int, name: str, kind: str, red: frozenset[str]) -> _Change:
    """A task with files of its own; `kind` is what it does to the one that is there."""
    path, more = _own_path(number), f"src/new/{name}.txt"
    said = _text(at_7=f"{name} was here")
    edits = {
        "edit": (_edit(path, said),),
        "add": (_edit(path, said), _edit(more, f"{name} adds\n")),
        "run": (_edit(path, said, mode="100755"),),
        "rename": (f"R {path} {more}\n",),
        "delete": (f"D {path}\n",),
    }[kind]
    if name in red:
        edits = (*edits, _edit(more, f"{name} is red\n"))
    return _Change(name, edits, (path, more))


def _edit(path: str, text: str, *, mode: str = "100644") -> str:
    return f"M {mode} inline {path}\ndata {len(text)}\n{text}\n"


def _commits(repo: Repo, made: list[_Change]) -> Mapping[str, Oid]:
    """A branch of one commit for each change, from main, in one go: task name → commit."""
    base, stream = repo.rev("main"), ""
    for number, each in enumerate(made):
        who = f"Worker {number % 4} <w{number % 4}@example.invalid> {1_800_000_000 + number} +0100"
        said = f"Work on {each.name}\n"
        stream += (
            f"commit refs/heads/work/{each.name}\nauthor {who}\ncommitter {who}\ndata {len(said)}\n{said}"
        )
        stream += f"from {base}\n" + "".join(each.edits)
    repo.run_git("fast-import", "--quiet", stdin=stream.encode())
    return {each.name: repo.rev(f"work/{each.name}") for each in made}


def _hand_in(session: Session, name: str, commit: Oid, base: Oid) -> None:
    """Claim and hand in: what `claim --no-worktree` and `done --commit` store."""
    record, store = claimed(session, name), session.store
    number, oid = proposals.add(
        store, record.id, commit=commit, worker=session.actor, result="", artifacts={}, at=session.now()
    )
    tree = store.objects.read_commit(commit).tree
    on_task(session, "done", name, proposal=Proposal(number, oid, session.actor, commit, tree, base))
