"""Candidates: what main would become, task by task, one on top of the other (DESIGN section 10, step 1).

A proposal whose changes meet nothing that main got since is spliced into the tree below; every other goes
through git's own merge. A candidate is inside its task's scope, or goes back to rework. Nothing here moves
a ref, and until `Drafts.save` nothing is even written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from git_fleet.app import generated
from git_fleet.app.checkouts import Checkout, Checkouts
from git_fleet.app.configs import CONFIG_FILE
from git_fleet.app.session import Session
from git_fleet.core import patterns
from git_fleet.core.config import Config, Gate, Generated
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Proposal, Task
from git_fleet.core.results import Ejected
from git_fleet.core.scope import outside
from git_fleet.core.snapshot import TaskRecord
from git_fleet.core.trailers import Contribution, message_for
from git_fleet.errors import InvalidInput
from git_fleet.git import ancestry, contents, replay
from git_fleet.git.ancestry import History, Walk
from git_fleet.git.drafts import Drafts
from git_fleet.git.formats import Change, Signature, parse_signature
from git_fleet.git.process import Git
from git_fleet.git.splice import Comparing, Footprint, Splicer
from git_fleet.store import proposals

_ATTRIBUTES = ".gitattributes"


class Layer(Struct, frozen=True):
    """One task on top of the commit `onto`. `commit` is None for a report and where nothing is left to
    commit. `parks` are the paths that a person has to look at first: what is above does not contain it.
    `reconfigures` says that fleet.toml changes, `gates` which gates are new in it.
    """

    record: TaskRecord
    proposal: Proposal
    onto: Oid
    commit: Oid | None
    tree: Oid
    parks: tuple[str, ...] = ()
    reconfigures: bool = False
    gates: tuple[Gate, ...] = ()

    @property
    def lands(self) -> bool:
        """Whether main would move by it."""
        return self.commit is not None and not self.parks

    @property
    def at(self) -> Oid:
        """The commit that its gates look at."""
        return self.commit or self.onto


class _Source(Struct, frozen=True):
    """What is known of a proposal before it is replayed: its own commits, and what it changes since the one
    commit where it left main; `changes` is None where there is no such commit, and git has to find out."""

    proposal: Proposal
    history: History
    changes: tuple[Change, ...] | None


class _Expected(Struct, frozen=True):
    """What is being read: whose proposals, what main lacks of them, the bases among that nobody has compared with
    main before, and what git is asked, first on each proposal that has a base, then on these bases."""

    proposals: Mapping[TaskId, Proposal]
    walk: Walk
    since: Sequence[Oid]
    comparing: Comparing


class _Level(Struct, frozen=True):
    """A commit of the stack. `attributes` is the commit whose `.gitattributes` are still the same here."""

    commit: Oid
    tree: Oid
    attributes: Oid
    changes: tuple[Change, ...] = ()


class Stack:
    """Layers on top of `main`. Use it as a context manager: it holds a checkout while it has to merge.

    `session` reads and writes its objects through `drafts`.
    """

    def __init__(self, session: Session, drafts: Drafts, pool: Checkouts, config: Config, main: Oid) -> None:
        self._session, self._drafts, self._pool, self._config = session, drafts, pool, config
        self._splicer = Splicer(drafts)
        self._git = drafts.git()
        self._held = ExitStack()
        self._checkout: Checkout | None = None
        self._park = _matcher((*config.park, f"/{CONFIG_FILE}"))
        self._generated = _matcher(config.generated_paths)
        self._floor = _Level(main, drafts.read_commit(main).tree, main)
        self._levels: list[_Level] = []
        self._sources: dict[TaskId, _Source] = {}
        self._since: dict[Oid, Footprint] = {}
        self._expected: _Expected | None = None
        self._above = Footprint()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
        if self._expected is not None:
            self._expected.comparing.close()

    @cached_property
    def _settings(self) -> replay.CommitSettings:
        return replay.commit_settings(self._session.repo.git())

    @cached_property
    def _lead(self) -> Signature:
        return parse_signature(self._session.repo.git().run("var", "GIT_COMMITTER_IDENT").out.strip())

    @property
    def top(self) -> Oid:
        """The commit that the next layer would stand on."""
        return self._top.commit

    @property
    def _top(self) -> _Level:
        return self._levels[-1] if self._levels else self._floor

    def cut(self, top: Oid) -> None:
        """Take away everything above the commit `top`."""
        while self._levels and self._levels[-1].commit != top:
            self._levels.pop()
        self._above = Footprint()
        for level in self._levels:
            self._above.add(level.changes)

    def expect(self, records: Iterable[TaskRecord]) -> None:
        """Begin to read what these tasks handed in: git finds out what it changes while we go on."""
        if self._expected is not None:
            return
        found = {
            record.id: proposals.whole(self._session.store, record.state.proposal)
            for record in records
            if record.state.proposal is not None and not self._knows(record)
        }
        if not found:
            return
        git, main = self._session.repo.git(), self._floor.commit
        commits = [proposal.commit for proposal in found.values() if proposal.commit is not None]
        walk = ancestry.walk(git, commits, main)
        since = [
            base
            for base in dict.fromkeys(base for _, base in walk.lines.values())
            if base is not None and base not in self._since
        ]
        trees = self._trees(walk, since)
        pairs = [(trees[base], trees[oid]) for oid, (_, base) in walk.lines.items() if base is not None]
        pairs += [(trees[base], self._floor.tree) for base in since]
        self._expected = _Expected(found, walk, since, Comparing(git, pairs))

    def _trees(self, walk: Walk, since: Iterable[Oid]) -> dict[Oid, Oid]:
        """The trees of the proposals that have a base, and of the bases."""
        based = [(oid, base) for oid, (_, base) in walk.lines.items() if base is not None]
        wanted = dict.fromkeys([*since, *(oid for pair in based for oid in pair)])
        return {oid: walk.trees.get(oid) or self._drafts.read_commit(oid).tree for oid in wanted}

    def learn(self, records: Iterable[TaskRecord]) -> None:
        """Read what these tasks handed in, all at once: three processes, however many they are."""
        self._take()
        self.expect(records)
        self._take()

    def _take(self) -> None:
        """Take in what is expected."""
        expected, self._expected = self._expected, None
        if expected is None:
            return
        with expected.comparing as comparing:
            _ = self._settings, self._lead  # asked while git compares
            histories = expected.walk.histories(self._drafts)
            changed = iter(comparing.changes())
        changes = {oid: next(changed) for oid, history in histories.items() if history.base is not None}
        for base in expected.since:
            self._since[base] = Footprint(next(changed))
        for task_id, proposal in expected.proposals.items():
            history = histories[proposal.commit] if proposal.commit is not None else History((), None)
            known = changes.get(proposal.commit) if proposal.commit is not None else ()
            self._sources[task_id] = _Source(proposal, history, known)
        self._splicer.foresee(self._top.tree, (change for each in changes.values() for change in each))

    def _knows(self, record: TaskRecord) -> bool:
        known, proposal = self._sources.get(record.id), record.state.proposal
        return known is not None and proposal is not None and known.proposal.oid == proposal.oid

    def lay(self, record: TaskRecord) -> Layer | Ejected:
        """The task on top of the stack, or why it goes back to rework from here.

        Raises GitFailed, also when the commit has to be signed and cannot be, and NeedsPerson when generated
        files cannot be made.
        """
        if not self._knows(record):
            self.learn([record])
        source, below = self._sources[record.id], self._top
        if source.proposal.commit is None:
            return Layer(record, source.proposal, below.commit, None, below.tree)
        try:
            made = self._tree(record.task, source, source.proposal.commit, below)
        except InvalidInput as error:
            return Ejected(record.id, "conflict", (), error.message)
        if isinstance(made, Ejected):
            return made
        tree, changes = made
        if tree == below.tree:
            return Layer(record, source.proposal, below.commit, None, tree)
        paths = [change.path for change in changes]
        beyond = self._outside(record.task, paths)
        if beyond:
            detail = f"changes files that are not the task's: {contents.listing(beyond)}"
            return Ejected(record.id, "scope", beyond, detail)
        commit = self._commit(record.task, source, source.proposal.commit, below, tree)
        reconfigures = CONFIG_FILE in paths
        gates = self._new_gates(record.task, commit) if reconfigures else ()
        if isinstance(gates, Ejected):
            return gates
        parks = tuple(self._park.match_all(paths)) if self._needs_person(record) else ()
        if not parks:
            own = any(path.rpartition("/")[2] == _ATTRIBUTES for path in paths)
            self._levels.append(_Level(commit, tree, commit if own else below.attributes, changes))
            self._above.add(changes)
        return Layer(record, source.proposal, below.commit, commit, tree, parks, reconfigures, gates)

    def _new_gates(self, task: Task, commit: Oid) -> tuple[Gate, ...] | Ejected:
        """The gates that this commit's fleet.toml adds, or why it cannot be main's."""
        try:
            config = self._session.config_in(commit)
        except InvalidInput as error:
            return Ejected(task.id, "gate", (CONFIG_FILE,), error.message)
        return tuple(gate for gate in config.gates if gate not in self._config.gates)

    def _needs_person(self, record: TaskRecord) -> bool:
        proposal = record.state.proposal
        return proposal is not None and record.state.unparked != proposal.number

    def _outside(self, task: Task, paths: Sequence[str]) -> tuple[str, ...]:
        config = self._config
        return outside(paths, task.owned, generated=config.generated_paths, protected=config.protected)

    # --- the tree --------------------------------------------------------------------------------

    def _tree(
        self, task: Task, source: _Source, commit: Oid, below: _Level
    ) -> tuple[Oid, tuple[Change, ...]] | Ejected:
        """The tree below with the proposal in it, and what that changes in it."""
        entries = self._touched(source, commit, below)
        if entries:
            return self._regenerated(task, source, commit, below, entries)
        merged = self._merged(source, commit, below)
        return _conflict(task, merged) if isinstance(merged, replay.Merge) else merged

    def _merged(
        self, source: _Source, commit: Oid, below: _Level
    ) -> tuple[Oid, tuple[Change, ...]] | replay.Merge:
        if source.changes is not None and self._may_splice(source.history.base, source.changes):
            return self._splicer.splice(below.tree, source.changes), source.changes
        merged = replay.merge(self._merging(below), below.commit, commit)
        if merged.tree is None:
            return merged
        return merged.tree, tuple(self._drafts.changed_paths(below.tree, merged.tree))

    def _may_splice(self, base: Oid | None, changes: tuple[Change, ...]) -> bool:
        since = self._since.get(base) if base is not None else None
        return since is not None and since.allows(changes) and self._above.allows(changes)

    def _merging(self, below: _Level) -> Git:
        """git in a clean checkout with the attributes of the commit below: a merge obeys those of its work tree."""
        if self._checkout is None:
            self._drafts.save()
            self._checkout = self._held.enter_context(self._pool.checkout(below.attributes))
        elif self._checkout.commit != below.attributes:
            self._drafts.save()
            self._checkout.commit = below.attributes
            self._checkout.reset()
        return self._drafts.git(self._checkout.path, holding=[self._checkout.lock])

    # --- generated files -------------------------------------------------------------------------

    def _touched(self, source: _Source, commit: Oid, below: _Level) -> tuple[Generated, ...]:
        """The entries of generated files that the proposal touches."""
        if not self._config.generated:
            return ()
        changes = source.changes
        if changes is None:
            changes = tuple(self._drafts.changed_paths(self._merge_base(below.commit, commit), commit))
        return generated.touched(self._config.generated, [change.path for change in changes])

    def _merge_base(self, one: Oid, other: Oid) -> Oid:
        """One of the commits both have; the empty tree where there is none. Good enough for what a proposal touches."""
        self._drafts.save()
        found = self._session.store.objects.merge_bases(one, other)
        return found[0] if found else self._session.repo.empty_tree

    def _regenerated(
        self,
        task: Task,
        source: _Source,
        commit: Oid,
        below: _Level,
        entries: Sequence[Generated],
    ) -> tuple[Oid, tuple[Change, ...]] | Ejected:
        """The tree with main's generated files in it, then made anew by their commands."""
        drafts, git = self._drafts, self._merging(below)
        plain = generated.without(drafts, commit, below.commit, self._generated)
        merged = replay.merge(git, below.commit, plain)
        if merged.tree is None:
            return _conflict(task, merged)
        if self._checkout is None:
            raise AssertionError("a merge holds a checkout")
        subject = generated.Subject(task.id, source.proposal.number, below.commit)
        made = generated.regenerate(
            self._session, self._config, drafts, self._checkout, entries, subject, merged.tree
        )
        return made if isinstance(made, Ejected) else (made, tuple(drafts.changed_paths(below.tree, made)))

    # --- the commit ------------------------------------------------------------------------------

    def _commit(self, task: Task, source: _Source, commit: Oid, below: _Level, tree: Oid) -> Oid:
        own = source.history.own
        author = own[0].author if own else self._drafts.read_commit(commit).author
        parts = [Contribution(_address(each.author), each.message) for each in own]
        sign_off = _address(self._lead) if self._settings.sign_off else ""
        return replay.commit_tree(
            self._git,
            self._drafts,
            tree=tree,
            onto=below.commit,
            message=message_for(task, source.proposal, parts, sign_off=sign_off),
            author=author,
            committer=replace(self._lead, seconds=int(self._session.now().timestamp())),
            sign=self._settings.sign,
        )


def _conflict(task: Task, merged: replay.Merge) -> Ejected:
    detail = f"conflicts with main in {contents.listing(merged.conflicts)}"
    return Ejected(task.id, "conflict", merged.conflicts, detail)


def _address(who: Signature) -> str:
    return f"{who.name} <{who.email}>"


def _matcher(texts: Iterable[str]) -> patterns.Matcher:
    return patterns.Matcher(patterns.parse(text) for text in texts)
