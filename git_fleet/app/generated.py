"""Generated files, lock files and the like: never merged, made anew (DESIGN section 10, step 2).

Two tasks that both add a dependency both change the lock file, and git can merge neither lines nor sense of
it. So where a proposal touches files that an entry of `[[generated]]` names, the candidate takes main's
version of them, and then the entry's command runs in a checkout of the candidate. What that changes in
files of the entry becomes a part of the candidate; what it changes elsewhere does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from msgspec import Struct

from git_fleet.app import gates
from git_fleet.app.checkouts import WHOLE, Checkout
from git_fleet.app.gates import GateResult, Outcome
from git_fleet.app.session import Session
from git_fleet.core.config import Config, Gate, Generated
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.patterns import Matcher, parse
from git_fleet.core.results import Ejected
from git_fleet.errors import GitFailed, NeedsPerson
from git_fleet.git.drafts import Drafts
from git_fleet.git.formats import FOLDER, Signature, TreeEntry
from git_fleet.git.objects import Objects

TIMEOUT_SECONDS = 600.0

_NOBODY = Signature("git-fleet", "", 0)

_Edit = tuple[Sequence[str], TreeEntry | None]  # a path in parts, and what is to be there; None: nothing


class Subject(Struct, frozen=True):
    """Whose generated files are made anew: a task's n-th proposal, on top of the commit `onto`."""

    task: TaskId
    number: int
    onto: Oid


def matcher(patterns: Iterable[str]) -> Matcher:
    """Tells which paths are generated."""
    return Matcher(parse(text) for text in patterns)


def touched(entries: Iterable[Generated], paths: Sequence[str]) -> tuple[Generated, ...]:
    """The entries that one of the changed (or deleted) `paths` belongs to."""
    return tuple(entry for entry in entries if matcher(entry.paths).match_all(paths))


def main_side(objects: Objects, tree: Oid, main: Oid, generated: Matcher) -> Oid:
    """`tree` with its generated files as the tree `main` has them; those that main does not have are gone.

    A proposal so changed brings no change of generated files to main, whatever the merge base: both sides
    have the same. Where a file that is not generated stands in the way of a folder, or the other way round,
    it is left so, and the merge will find the conflict.
    """
    edits: list[_Edit] = []
    for change in objects.changed_paths(tree, main):
        if generated.match(change.path):
            *folders, name = change.path.split("/")
            entry = TreeEntry(change.new_mode, name, change.new_oid) if change.new_mode else None
            edits.append(((*folders, name), entry))
    return (_edited(objects, tree, edits) or objects.write_empty_tree()) if edits else tree


def without(objects: Objects, commit: Oid, main: Oid, generated: Matcher) -> Oid:
    """A throw-away commit on top of `commit` that has the generated files of the commit `main`: it merges
    with `main` as `commit` does, its history being the same, but for those files."""
    theirs = objects.read_commit(commit)
    tree = main_side(objects, theirs.tree, objects.read_commit(main).tree, generated)
    return _posed(objects, tree, commit)


def regenerate(
    session: Session,
    config: Config,
    drafts: Drafts,
    checkout: Checkout,
    entries: Sequence[Generated],
    subject: Subject,
    tree: Oid,
) -> Oid | Ejected:
    """`tree` with the files of `entries` made anew by their commands, one after the other, or why the task
    goes back to rework.

    Each command finds a clean checkout. Everything drafted is saved. Raises NeedsPerson when a command
    cannot be run, which says nothing about the task; GitFailed and Busy as a checkout does.
    """
    env = gates.gate_environment(session.around.env, dict(config.env))
    logs = session.repo.fleet_dir / "logs" / subject.task.plan / subject.task.task / str(subject.number)
    for number, entry in enumerate(entries, 1):
        checkout.commit = _posed(drafts, tree, subject.onto)
        drafts.save()
        checkout.reset()
        gate = Gate(f"generated {', '.join(entry.paths)}", entry.run, TIMEOUT_SECONDS)
        log = logs / f"generated-{number}.log"
        result = gates.run_gate(gate, checkout.path, env=env, log=log, pass_fds=(checkout.lock,))
        if result.outcome is not Outcome.PASS:
            return _refusal(subject.task, result)
        try:
            tree = _collected(drafts, checkout, matcher(entry.paths))
        except GitFailed as error:
            return Ejected(subject.task, "gate", (), f"{gate.name}: {error.message}")
    return tree


def _refusal(task: TaskId, result: GateResult) -> Ejected:
    if result.outcome is Outcome.ERROR:
        raise NeedsPerson(
            f"{result.name}: its command cannot be run: {result.reason}",
            hint=f"its output is in {result.log}; nothing has moved",
        )
    return Ejected(task, "gate", (), f"{result.name}: {result.reason}\n{result.tail}".rstrip())


def _collected(drafts: Drafts, checkout: Checkout, generated: Matcher) -> Oid:
    """The tree of the checkout's commit with the generated files as they stand there now.

    Ignored files are none, unless they are tracked. Raises GitFailed when the command has broken the
    checkout, or put something in the place of a file that is none.
    """
    git_dir = checkout.git_dir()
    if git_dir is None:
        raise GitFailed("its command has removed its checkout", hint="git fleet integrate")
    git = drafts.git(checkout.path, git_dir, holding=[checkout.lock])
    git.run(*WHOLE, "read-tree", checkout.commit)  # whatever the command has put into the index
    there = git.paths("ls-files", "-z")
    new = git.paths("ls-files", "-z", "--others", "--exclude-standard")
    paths = generated.match_all([path for path in (*there, *new) if not path.endswith("/")])
    if not paths:
        return drafts.read_commit(checkout.commit).tree
    names = b"".join(os.fsencode(path) + b"\0" for path in paths)
    git.run(*WHOLE, "update-index", "--add", "--remove", "-z", "--stdin", input=names)
    return Oid(git.text("write-tree"))


def _posed(objects: Objects, tree: Oid, parent: Oid) -> Oid:
    """A commit that is only there to be merged or checked out. It names nobody and no time."""
    return objects.write_commit(
        tree=tree,
        parents=[parent],
        author=_NOBODY,
        committer=_NOBODY,
        message="generated files as main has them\n",
    )


def _edited(objects: Objects, tree: Oid | None, edits: Sequence[_Edit]) -> Oid | None:
    """A folder with these edits, or None when nothing is left in it."""
    entries = {entry.name: entry for entry in objects.read_tree(tree)} if tree else {}
    below: dict[str, list[_Edit]] = {}
    for (name, *rest), entry in edits:
        if rest:
            below.setdefault(name, []).append((rest, entry))
        elif entry is None:
            entries.pop(name, None)
    for name, inner in below.items():
        old = entries.get(name)
        if old is not None and old.mode != FOLDER:
            continue
        new = _edited(objects, old.oid if old else None, inner)
        entries.pop(name, None)
        if new is not None:
            entries[name] = TreeEntry(FOLDER, name, new)
    for (name, *rest), entry in edits:
        if not rest and entry is not None and not (name in entries and entries[name].mode == FOLDER):
            entries[name] = entry
    return objects.write_tree(entries.values()) if entries else None
