"""What the board asks for. Reading only; what is long is cut, since a browser has to show it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from git_fleet.app import conflicts, history, inspecting, outputs, picturing, prompt, reporting, review
from git_fleet.app import plan as planning
from git_fleet.app import status as looking
from git_fleet.app.comparing import Known
from git_fleet.app.session import Session
from git_fleet.core.collisions import Collision
from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import PlanState, State
from git_fleet.core.ready import Reason
from git_fleet.core.reporting import GateLog
from git_fleet.core.results import PlanRow
from git_fleet.core.showing import Detail, Output, Patch, Shown
from git_fleet.core.snapshot import TaskRecord
from git_fleet.errors import FleetError, InvalidInput
from git_fleet.git import diffs
from git_fleet.store import kept, log, names
from git_fleet.store.base import tip

PATCH_BYTES, LOG_BYTES, OUTPUT_BYTES = 256 * 1024, 64 * 1024, 64 * 1024
_MOST_OUTPUTS, _MOST_EVENTS = 4, 200


class Colliding:
    """Work in flight that collides, looked at when the first page of a moment asks for it, and once for all of them."""

    def __init__(self) -> None:
        self._known = Known()
        self._found: tuple[Collision, ...] | None = None

    def moved(self) -> None:
        """What was seen is of a moment that is over."""
        self._found = None

    def seen(self, session: Session) -> tuple[Collision, ...]:
        """All collisions. What hinders looking into work hinders no look at the tasks: then there are none."""
        if self._found is None:
            try:
                self._found = conflicts.conflicts(session, known=self._known).collisions
            except (FleetError, OSError):
                self._found = ()
        return self._found


def first(session: Session) -> str | None:
    """The plan to begin with: the first that is not closed, else the last; None when there is none."""
    rows = planning.list_plans(session)
    going = [row.plan for row in rows if row.state is not PlanState.CLOSED]
    return going[0] if going else rows[-1].plan if rows else None


def plan(session: Session, name: str, colliding: Colliding) -> Shown:
    """One plan as it stands. Raises InvalidInput when there is none of that name."""
    rows = planning.list_plans(session)
    row = _row(rows, name)
    if session.snapshot().plan(row.plan).log.revision is None:
        return Shown(session.now(), rows, row.plan, row.title, picturing.graph(session, name))
    found = reporting.report(session, name)
    mine = tuple(
        each
        for each in colliding.seen(session)
        if any(one and one.plan == row.plan for one in (each.a, each.b))
    )
    return Shown(found.review.at, rows, row.plan, row.title, found.picture, found, mine)


def _row(rows: tuple[PlanRow, ...], name: str) -> PlanRow:
    found = next((row for row in rows if row.plan == name), None)
    if found is None:
        raise InvalidInput(f"there is no plan {name}", hint="git fleet plan list")
    return found


def task(session: Session, wanted: TaskId, colliding: Colliding) -> Detail:
    """One task with all there is to it. Raises InvalidInput when there is none of that name."""
    rows = planning.list_plans(session)
    _row(rows, wanted.plan)
    found = review.review(session, wanted.plan, wanted.task)
    one = found.tasks[0]
    told, no_prompt = _prompt(session, wanted)
    return Detail(
        at=found.at,
        plans=rows,
        task=one,
        base=found.base,
        reasons=_reasons(session, wanted),
        collisions=tuple(each for each in colliding.seen(session) if wanted in (each.a, each.b)),
        events=history.history(session, str(wanted)).events[-_MOST_EVENTS:] if one.record.tip else (),
        logs=_logs(session, one.record),
        outputs=_outputs(session, wanted),
        patch=_patch(session, one.record),
        prompt=told,
        no_prompt=no_prompt,
    )


def _prompt(session: Session, wanted: TaskId) -> tuple[str, str]:
    try:
        return prompt.prompt(session, str(wanted)).text, ""
    except FleetError as error:  # a template that is broken, a plan that is closed
        return "", error.message


def _reasons(session: Session, wanted: TaskId) -> tuple[Reason, ...]:
    try:
        return looking.explain(session, str(wanted)).reasons
    except FleetError:  # of a closed plan nothing is left to say
        return ()


def _logs(session: Session, record: TaskRecord) -> tuple[GateLog, ...]:
    if record.tip is None or record.state.proposal is None:
        return ()
    entries = log.history(session.store.objects, record.tip)
    blobs = inspecting.newest_gate_logs(session, [record], {record.id: entries}).get(record.id, {})
    read = zip(blobs, session.store.objects.read_many(blobs.values()), strict=True)
    return tuple(reporting.end_of(gate, blob.data if blob else b"", LOG_BYTES) for gate, blob in read)


def _outputs(session: Session, wanted: TaskId) -> tuple[Output, ...]:
    """What its last agents printed, the newest first."""
    found = []
    for path in outputs.output(session.repo.fleet_dir, wanted)[: -_MOST_OUTPUTS - 1 : -1]:
        written = outputs.last_written(path)
        if written is not None:  # else it has gone just now
            attempt, _, number = path.stem.partition("-")
            text = "".join(outputs.read(path))
            end = text[-OUTPUT_BYTES:]
            at = datetime.fromtimestamp(written, UTC)
            found.append(Output(int(attempt), int(number), at, end, len(text) - len(end)))
    return tuple(found)


def _patch(session: Session, record: TaskRecord) -> Patch | None:
    """What it has changed: as last saved while it is worked on, else as it was handed in. None for nothing."""
    for of, old, new in _ends(session, record):
        if old is not None and new is not None and (data := diffs.patch(session.repo.git(), old, new)):
            text = data[:PATCH_BYTES].decode("utf-8", "replace")
            return Patch(of, text, max(0, len(data) - PATCH_BYTES))
    return None


def _ends(session: Session, record: TaskRecord) -> Iterator[tuple[str, Oid | None, Oid | None]]:
    """Between what its changes lie, the best first."""
    state, claim = record.state, record.state.claim
    if state.state is State.CLAIMED and claim is not None:
        saved = kept.snapshot(session.store, record.id, fence=claim.fence)
        yield "as last saved", claim.base, saved.oid if saved else None
        branch = session.store.refs.get(names.branch(claim.branch)) if claim.branch else None
        yield "as committed on its branch", claim.base, tip(branch) if branch else None
    if state.proposal is not None:
        yield f"of proposal {state.proposal.number}", state.proposal.base, state.proposal.commit
