"""Leading: who alone moves main (DESIGN sections 3 and 8).

The lead is bound to one worktree, by the fence of its acquire event in a file of its git dir. Hooks compare the one
of a lead that was acquired by hand (`fleet-lead`) with the lead's log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from msgspec import Struct

from git_fleet.app import oldlogs
from git_fleet.app.session import Session
from git_fleet.core import lease
from git_fleet.core.config import Config
from git_fleet.core.ids import Oid
from git_fleet.core.results import LeadView
from git_fleet.errors import (
    Busy,
    Denied,
    Held,
    IllegalEvent,
    InvalidInput,
    LostRace,
    Stale,
    StaleClaim,
    Unreachable,
)
from git_fleet.git.flocks import alone
from git_fleet.store import lead as log
from git_fleet.store.lead import LeadRecord
from git_fleet.store.shared import SharedRefs

FENCE_FILE = "fleet-lead"
RUN_FILE = "fleet-leading"
"""The fence of a lead that is held while something runs, and by nobody's hand. Hooks do not know it: who commits on
main at such a moment is no more its lead than before."""
_LOCK_FILE = "fleet-integrate.lock"
_TRIES = 20


def show(session: Session) -> LeadView:
    """Who leads now."""
    if session.reading:
        session.store.refs.refresh(session.patience)
    state = log.read(session.store).state
    if state.fence is None:
        return LeadView("", "", None, None, mine=False, intent_open=state.intent is not None)
    return LeadView(
        state.holder,
        state.worktree,
        state.acquired_at,
        state.expires_at,
        mine=_is_mine(session, state.fence),
        intent_open=state.intent is not None,
    )


def acquire(session: Session, file: str = FENCE_FILE) -> LeadRecord:
    """Lead from this worktree; renews the lease when it leads already. `file` is FENCE_FILE or RUN_FILE.

    Raises Held while another worktree leads, Denied in a task's worktree (a worker never leads), Busy.
    """
    if session.placement is not None:
        raise Denied("a task's worktree cannot lead", hint="lead from the main worktree")
    return _as_it_is(lambda: _acquire(session, file))


def _as_it_is(step: Callable[[], LeadRecord]) -> LeadRecord:
    """Read the lead's log and append to it, by `step`; once more where another was faster. Raises Busy."""
    for _ in range(_TRIES):
        with suppress(Stale):
            return step()
    raise Busy("the lead's log moves again and again", hint="git fleet lead show")


def _acquire(session: Session, file: str) -> LeadRecord:
    session.store.refs.refresh()
    record = log.read(session.store)
    person, now = session.person(), session.now()
    until = lease.expiry(now, _lease_seconds(session))
    if record.state.fence is not None and _is_mine(session, record.state.fence):
        _write(session, file, record.state.fence)  # first: what ends meanwhile does not give it up any more
        return log.renew(session.store, record, actor=person, now=now, expires_at=until)
    place = _place(session)
    record = log.acquire(session.store, record, actor=person, worktree=place, now=now, expires_at=until)
    _write(session, file, record.state.fence)
    return record


def _place(session: Session) -> str:
    """The worktree that a lead is bound to. Two machines may have one at the same path."""
    place = str(session.repo.git_dir)
    return f"{session.around.host}:{place}" if isinstance(session.store.refs, SharedRefs) else place


def _lease_seconds(session: Session) -> int:
    """As configured; the default while fleet.toml is broken, since only the lead can mend it on main."""
    try:
        return session.config().lease_seconds
    except InvalidInput:
        return Config().lease_seconds


def release(session: Session, *, by_hand: bool = True) -> LeadRecord:
    """Give the lead up; without `by_hand` one that was acquired so is kept. Raises Held when another worktree leads,
    IllegalEvent while main is moving, Busy."""
    return _as_it_is(lambda: _release(session, by_hand=by_hand))


def _release(session: Session, *, by_hand: bool) -> LeadRecord:
    session.store.refs.refresh()
    record = log.read(session.store)
    fence = record.state.fence
    # Who acquires it by hand writes the file, then the log: one of the two is seen, or the log has moved on.
    if fence is None or (not by_hand and _names(session, FENCE_FILE, fence)):
        return record
    if not _is_mine(session, fence):
        raise Held(
            f"{record.state.holder} leads from {record.state.worktree}, not this worktree",
            hint="git fleet lead show",
        )
    record = log.release(session.store, record, actor=session.person(), now=session.now())
    for file in (FENCE_FILE, RUN_FILE):
        if _names(session, file, fence):  # else somebody has acquired it anew
            (session.repo.git_dir / file).unlink(missing_ok=True)
    return record


def _write(session: Session, file: str, fence: Oid | None) -> None:
    (session.repo.git_dir / file).write_text(f"{fence}\n")


def _is_mine(session: Session, fence: Oid) -> bool:
    return any(_names(session, file, fence) for file in (FENCE_FILE, RUN_FILE))


def _names(session: Session, file: str, fence: Oid) -> bool:
    with suppress(FileNotFoundError):
        return (session.repo.git_dir / file).read_text().strip() == fence
    return False


class Leading(Struct):
    """The lead while it integrates: its log as last written."""

    session: Session
    record: LeadRecord
    drafting: Session | None = None

    @property
    def work(self) -> Session:
        """The session through which main is moved; its objects may be drafts."""
        return self.drafting or self.session

    @contextmanager
    def working_as(self, session: Session) -> Iterator[None]:
        """Move main through a session (of the same actor) whose objects are drafts, while the block runs."""
        self.drafting = session
        try:
            yield
        finally:
            self.drafting = None

    def keep(self) -> None:
        """Renew the lease when half of it has gone. Raises StaleClaim when the lead was taken over."""
        state, now = self.record.state, self.session.now()
        seconds = self.session.config().lease_seconds
        if state.expires_at is None or (state.expires_at - now).total_seconds() > seconds / 2:
            return
        store, person, until = self.work.store, self.session.person(), lease.expiry(now, seconds)
        self.write(lambda record: log.renew(store, record, actor=person, now=now, expires_at=until))

    def write(self, step: Callable[[LeadRecord], LeadRecord]) -> None:
        """Append to the lead's log, by `step`; once more where only this lead's own lease was renewed
        meanwhile. Raises StaleClaim when the lead was taken over or given up."""
        for _ in range(_TRIES):
            try:
                self.record = step(self.record)
                return
            except (Stale, Held) as lost:
                now = log.read(self.session.store)
                if now.state.fence is None or now.state.fence != self.record.state.fence:
                    raise lost_lead() from lost
                self.record = now
        raise Busy("the lead's lease is renewed again and again", hint="git fleet lead show")


def lost_lead() -> StaleClaim:
    """What a lead is told that is none any more."""
    return StaleClaim("the lead was taken over; main was left as it is", hint="git fleet lead show")


@contextmanager
def leading(session: Session) -> Iterator[Leading]:
    """Lead for as long as the block runs; unless it was acquired by hand, it is free after. Old logs of gates go first.

    One block at a time in one worktree. Where the remote cannot be told any more, a warning says so, and the next block
    gives the lead up, or its lease ends. Raises Held.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(session.repo.git_dir / _LOCK_FILE, wait=False))
        except BlockingIOError as busy:
            raise Held("another integration is running in this worktree", hint="git fleet status") from busy
        held = Leading(session, acquire(session, RUN_FILE))
        try:
            oldlogs.sweep(session.repo.fleet_dir / oldlogs.FOLDER)
            yield held
        finally:
            with suppress(LostRace, IllegalEvent):  # taken over; or an intent is left for the next one
                try:
                    release(session, by_hand=False)
                except Unreachable as gone:  # which hides nothing that is done
                    session.around.warn(f"the lead is not given up: {gone.message} (git fleet lead release)")
