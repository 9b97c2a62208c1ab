"""What was learned, looked up: for a task's prompt, for whoever asks, for whoever reviews it. Reading only (I8).

Learnings come from *sources*: this repository, others that `git config fleet.knowledge` names, as PATH names folders,
and those of the workspace that it is in. What callers have beside these they hand in as `others`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from git_fleet.app import sharing, wordsearch, workspaces
from git_fleet.app.session import Session
from git_fleet.core import learnings, recalling
from git_fleet.core.config import Config
from git_fleet.core.learnings import Knowledge, Known, Standing
from git_fleet.core.model import Task
from git_fleet.core.recalling import Hit, Recalled, Source, Wanted
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import Ambiguous, FleetError, InvalidInput
from git_fleet.git.objects import open_objects
from git_fleet.git.refs import Refs
from git_fleet.git.repository import Repository, discover
from git_fleet.store import knowledge, names
from git_fleet.store.mirror import REMOTE_FILE

SETTING = "fleet.knowledge"

_IN_A_PROMPT = 50
_ID = re.compile(r"[0-9a-f]{6,64}")
_ALL = frozenset(Standing)


# --- sources -------------------------------------------------------------------------------------


def sources(session: Session, others: Iterable[Source] = ()) -> list[Source]:
    """This repository's learnings, then those of the repositories that are configured, or in its workspace, then
    `others`."""
    try:
        own = [Source(knowledge.read(session.store).known)]
    except FleetError as error:  # nobody is kept from working by it
        session.around.warn(f"{names.KNOWLEDGE} cannot be read: {error.message}")
        own = []
    return [*own, *_elsewhere(session), *others]


def source_at(folder: Path, *, general: bool = False) -> Source:
    """The learnings of another repository, under the name of its folder; `general` as in `Source`.

    Raises InvalidInput where there is no repository, GitFailed when it cannot be read.
    """
    repo = discover(folder)
    root = repo.main_worktree() or repo.git_dir
    return Source(_known(repo), root.name.removesuffix(".git"), general)


def _known(repo: Repository) -> tuple[Known, ...]:
    refs = [names.KNOWLEDGE]
    with suppress(FileNotFoundError):  # which remote decides there
        remote = (repo.fleet_dir / REMOTE_FILE).read_text(encoding="utf-8").strip()
        refs.append(names.mirrored(remote, names.KNOWLEDGE))
    with Refs(repo) as found, open_objects(repo, bulk=False) as objects:
        return learnings.read(knowledge.files(objects, found.read(*refs).values())).known


def _elsewhere(session: Session) -> Iterator[Source]:
    """What cannot be read is said, and keeps nobody from working."""
    for place in filter(None, session.setting(SETTING).split(os.pathsep)):
        try:
            folder = session.repo.common_dir / Path(place).expanduser()
            if not folder.is_dir():
                raise InvalidInput("no such folder")
            yield source_at(folder)
        except (FleetError, OSError, RuntimeError) as error:  # of a home that nobody has
            session.around.warn(f"the learnings of {place} ({SETTING}) cannot be read: {error}")
    yield from _of_workspace(session)


def _of_workspace(session: Session) -> Iterator[Source]:
    """What the repositories of the workspace have learned, under their names there; what was learned in its own folder
    is about all of them."""
    repo, space = session.repo, None
    try:
        start = repo.main_worktree() or repo.git_dir
        configured = session.setting(workspaces.SETTING)
        named = str(Path(configured).expanduser()) if configured else ""
        folder = workspaces.find(start, session.around.env, configured=named)
        space = workspaces.load(folder) if folder is not None else None
    except (FleetError, OSError, RuntimeError) as error:
        session.around.warn(f"the learnings of its workspace cannot be read: {error}")
    if space is None:
        return
    seen = {repo.common_dir.resolve()}
    for each in (None, *space.repos):
        try:
            root = workspaces.require_root(space, each) if each is not None else Path(space.folder)
            other = discover(root)
            if other.common_dir.resolve() not in seen:
                seen.add(other.common_dir.resolve())
                if each is None:
                    _look_anew(session, other)
                yield Source(_known(other), each.name if each is not None else space.name, each is None)
        except (FleetError, OSError) as error:
            session.around.warn(
                f"the learnings of {each.name if each else space.name} cannot be read: {error}"
            )


def _look_anew(session: Session, home: Repository) -> None:
    """What others have told the workspace through its remote is for all, and hardly any command here asks for it. (Its
    repositories are asked when something is claimed there.) Who works offline asks nothing."""
    if sharing.offline(session.store) is None and (home.fleet_dir / REMOTE_FILE).exists():
        with suppress(FleetError), session.beside(home.worktree or home.git_dir, "") as there:
            sharing.refresh(there.store, there.patience, session.around.warn)


# --- for a task ----------------------------------------------------------------------------------


def for_task(session: Session, record: TaskRecord, others: Iterable[Source] = ()) -> tuple[Hit, ...]:
    """What the worker of a task is told, within the budget of the branch that it goes onto."""
    config = session.config_of(record.id)
    if config.knowledge_tokens <= 0:
        return ()
    return matching(session, sources(session, others), record.task, config)


def matching(session: Session, found: Sequence[Source], task: Task, config: Config) -> tuple[Hit, ...]:
    """The learnings of these sources that match the task's files (what it reads, too) and labels, or are about nothing
    in particular, the most important first, as many as `knowledge.tokens` lets in; nearly equal ones are one."""
    states = {Standing.APPROVED} | (set() if config.knowledge_approval else {Standing.UNAPPROVED})
    wanted = Wanted((*task.owned, *task.reads), task.labels, general=True, states=frozenset(states))
    hits = recalling.matching(found, wanted, session.now())
    return recalling.within(recalling.fold(hits, _IN_A_PROMPT)[0], config.knowledge_tokens)


# --- for who asks --------------------------------------------------------------------------------


def recall(
    session: Session,
    query: str = "",
    *,
    paths: Sequence[str] = (),
    labels: Sequence[str] = (),
    most: int = 20,
    retired: bool = False,
    others: Iterable[Source] = (),
) -> Recalled:
    """What matches any of these, or all there is when nothing is asked. A query that is the beginning of an id finds
    that learning. Raises InvalidInput for what is no pattern."""
    mine = read(session)
    found = [Source(mine.known), *_elsewhere(session), *others]
    if by_id := _by_id(found, query.strip()):
        return Recalled(by_id, 0, len(mine.broken))
    states = _ALL if retired else _ALL - {Standing.RETIRED}
    texts = {one.id: one.learning.text for source in found for one in source.known if one.state in states}
    wanted = Wanted(
        learnings.patterns_of(paths),
        tuple(labels),
        wordsearch.worth(query, texts),
        states=states,
    )
    everything = not (query.strip() or paths or labels)
    hits = recalling.matching(found, wanted, session.now(), everything=everything)
    shown, left = recalling.fold(hits, most)
    return Recalled(tuple(shown), left, len(mine.broken))


def _by_id(found: Iterable[Source], query: str) -> tuple[Hit, ...]:
    if not _ID.fullmatch(query):
        return ()
    return tuple(
        Hit(one, source.name, 0.0) for source in found for one in source.known if one.id.startswith(query)
    )


def read(session: Session) -> Knowledge:
    """All that was learned in this repository, as far as it is known here."""
    sharing.refresh(session.store, session.patience, session.around.warn)
    return knowledge.read(session.store)


def find(known: Iterable[Known], name: str) -> Known:
    """The learning whose id begins with `name`. Raises InvalidInput for none, Ambiguous for several."""
    found = [one for one in known if one.id.startswith(name.strip().lower())] if name.strip() else []
    if not found:
        raise InvalidInput(f"no learning has the id {name!r}", hint="git fleet knowledge list")
    if len(found) > 1:
        ids = ", ".join(one.id[: recalling.SHORT_ID] for one in found[:5])
        raise Ambiguous(f"several learnings have the id {name!r}: {ids}", hint="git fleet knowledge list")
    return found[0]
