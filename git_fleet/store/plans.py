"""Plans: the text in a note, the log beside it, and the machine's `open` file.

The note stands on the plan's base commit under `refs/notes/fleet/plan/<plan>`; each revision of the
text is one commit of that ref, so `git notes --ref=fleet/plan/<plan> show <base>` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from git_fleet.core import codec
from git_fleet.core.ids import Oid, is_oid
from git_fleet.core.lifecycle import Event, after_plan
from git_fleet.core.model import Plan, PlanLog
from git_fleet.core.snapshot import PlanRecord
from git_fleet.errors import IllegalEvent, UnknownFormat
from git_fleet.git import notes, whole
from git_fleet.git.flocks import alone
from git_fleet.git.objects import parse_commit
from git_fleet.git.refs import Update
from git_fleet.store import log, names
from git_fleet.store.base import Store, value


class Revision(Struct, frozen=True):
    """One stored text of a plan: the notes commit, the commit it annotates, what it says."""

    note: Oid
    base_commit: Oid
    plan: Plan


def text(store: Store, note: Oid) -> tuple[Oid, bytes]:
    """The commit a plan's note annotates, and the plan's TOML. Raises UnknownFormat.

    A plan's notes ref holds one note, so its tree has no fan-out.
    """
    entries = store.objects.read_tree(store.objects.read_commit(note).tree)
    if len(entries) != 1 or not is_oid(entries[0].name):
        raise UnknownFormat(f"plan notes {note} annotate {len(entries)} objects; expected one commit")
    return Oid(entries[0].name), store.objects.read(entries[0].oid)[1]


def revision(store: Store, plan_id: str, note: Oid) -> Revision:
    """The plan as notes commit `note` has it, from the cache where it was parsed before.

    Raises UnknownFormat or InvalidInput when the note does not hold one.
    """
    cached = store.cache.load("plan", note)
    if cached is not None:
        try:
            return Revision(note, Oid(cached["base_commit"]), codec.decode_plan(cached["plan"]))
        except (KeyError, UnknownFormat):
            pass  # a broken or older cache entry: parse again
    import tomllib

    from git_fleet.core import plandoc  # slow to import, and not needed where the cache has the plan

    base_commit, data = text(store, note)
    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:  # somebody wrote the note by hand
        raise UnknownFormat(
            f"the text of plan {plan_id} (notes {note[:12]}) is not TOML: {error}",
            hint=f"git fleet plan edit {plan_id}",
        ) from error
    plan = plandoc.parse_plan(document, source=f"plan {plan_id}", plan_id=plan_id)
    return Revision(note, base_commit, plan)


def keep(store: Store, found: Revision) -> None:
    """Put a revision into the cache (writing commands call this)."""
    store.cache.save(
        "plan", found.note, {"base_commit": found.base_commit, "plan": codec.encode_plan(found.plan)}
    )


def save_text(
    store: Store,
    plan: Plan,
    toml: str,
    *,
    expected: Oid | None,
    base_commit: Oid,
    actor: str,
    at: datetime,
    subject: str,
) -> Oid:
    """Store a new revision of the plan's text; the notes ref must still be at `expected`.

    Returns the notes commit. Raises Stale or Held when somebody else was first.
    """
    who = log.signature(Event("revision", at, actor))
    note = notes.with_note(
        store.objects, expected, base_commit, toml.encode(), author=who, message=log.one_line(subject) + "\n"
    )
    store.transact([Update(names.plan_note(plan.id), value(expected), note)])
    keep(store, Revision(note, base_commit, plan))
    return note


def append(store: Store, record: PlanRecord, event: Event) -> PlanRecord:
    """Add an event to the plan's log. Raises IllegalEvent, Stale, Held or Busy."""
    try:
        state = after_plan(record.log, event)
    except IllegalEvent as refused:
        raise IllegalEvent(f"plan {record.id}: {refused.message}", hint="git fleet plan list") from refused
    new = store.append(
        names.plan_log(record.id),
        event,
        state,
        parent=record.tip,
        subject=f"{event.name} {record.id} by {event.actor}",
    )
    return PlanRecord(record.id, state, new, record.note, record.base_commit)


def read_log(store: Store, tip: Oid) -> PlanLog:
    """The plan's state at `tip` of its log."""
    kind, data = store.objects.read(tip)
    if kind != "commit":
        raise UnknownFormat(f"plan log tip {tip} is a {kind}")
    return log.from_commit(parse_commit(tip, data)).plan_log


def refresh_open_file(store: Store, *, besides: Iterable[tuple[str, str]] = ()) -> None:
    """Rewrite `<common dir>/fleet/open` from the plan logs: one line for each plan that counts,
    `<plan> refs/heads/<base>`; no file when none does. `besides` are (plan, base) about to count:
    the file is made first, the plan counts after.

    The logs are read under the lock, so that of two processes the later one sees both plans.
    """
    folder = store.repo.fleet_dir
    folder.mkdir(exist_ok=True)
    with alone(folder / "open.lock"):
        lines = {f"{plan} {names.branch(base)}\n" for plan, base in besides}
        for ref, tip in store.refs.read(names.PLAN_LOGS).items():
            state = read_log(store, tip)
            if state.state.counts:
                plan_id = ref.removeprefix(names.PLAN_LOGS)
                for note in filter(None, (state.revision, state.incoming)):
                    found = revision(store, plan_id, note)
                    lines.add(f"{plan_id} {names.branch(found.plan.base)}\n")
                    if store.cache.load("plan", note) is None:
                        keep(store, found)  # it was approved in another clone
        _replace(folder / "open", "".join(sorted(lines)))


def _replace(path: Path, content: str) -> None:
    """Set the file's content in one step; an empty content removes the file."""
    if not content:
        path.unlink(missing_ok=True)
        return
    whole.write(path, content)
