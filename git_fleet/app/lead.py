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
from git_fleet.git import flocks
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
    run = _run(session, state.fence)  # first: one that has just ended was not killed
    return LeadView(
        state.holder,
        state.worktree,
        state.acquired_at,
        state.expires_at,
        mine=_is_mine(session, state.fence),
        intent_open=state.intent is not None,
        by_hand=_names(session, FENCE_FILE, state.fence),
        run=run,
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


def release(session: Session) -> LeadRecord:
    """Give up a lead that was acquired by hand, or that a run has left which was killed. A run that leads here, too,
    goes on leading. Raises Held when it alone does, or another worktree, IllegalEvent while main is moving, Busy."""
    return _as_it_is(lambda: _release(session, _leave_to_run))


def _release(session: Session, is_kept: Callable[[Session, Oid], bool]) -> LeadRecord:
    """Give it up unless `is_kept`, given its fence, has given up what there was to: the other of hand and run leads on.

    Each of them first takes its own file away, then looks for the other's: of two that end at once one sees that.
    """
    session.store.refs.refresh()
    record = log.read(session.store)
    fence = record.state.fence
    if fence is None:
        return record
    if not _is_mine(session, fence):
        raise Held(
            f"{record.state.holder} leads from {record.state.worktree}, not this worktree",
            hint="git fleet lead show",
        )
    if is_kept(session, fence):
        return record
    record = log.release(session.store, record, actor=session.person(), now=session.now())
    _remove(session, FENCE_FILE, fence)
    _remove(session, RUN_FILE, fence)
    return record


def _leave_to_run(session: Session, fence: Oid) -> bool:
    """Whether a run that leads here does so now without the hand that led here as well. Raises Held without one."""
    process = _run(session, fence)
    if process is None:
        return False
    if not _names(session, FENCE_FILE, fence):
        raise Held(
            f"a run leads from this worktree (process {process or 'unknown'}), and nobody by hand",
            hint="it gives the lead up when it ends, and Ctrl-C in its terminal ends it; git fleet lead show",
        )
    _remove(session, FENCE_FILE, fence)
    return _run(session, fence) is not None


def _leave_to_hand(session: Session, fence: Oid) -> bool:
    """Whether somebody leads here by hand, now without the run that ends."""
    # Who acquires it by hand writes the file, then the log: one of the two is seen, or the log has moved on.
    if not _names(session, FENCE_FILE, fence):
        return False
    _remove(session, RUN_FILE, fence)
    return _names(session, FENCE_FILE, fence)


def _run(session: Session, fence: Oid) -> int | None:
    """The process that leads from this worktree while it runs, 0 where it is not known which. None without one: what
    was killed holds no lock."""
    if not _names(session, RUN_FILE, fence):
        return None
    return flocks.holder(session.repo.git_dir / _LOCK_FILE)


def _write(session: Session, file: str, fence: Oid | None) -> None:
    (session.repo.git_dir / file).write_text(f"{fence}\n")


def _remove(session: Session, file: str, fence: Oid) -> None:
    if _names(session, file, fence):  # else somebody has acquired it anew
        (session.repo.git_dir / file).unlink(missing_ok=True)


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
            stack.enter_context(flocks.signed(session.repo.git_dir / _LOCK_FILE))
        except BlockingIOError as busy:
            raise Held("another integration is running in this worktree", hint="git fleet status") from busy
        held = Leading(session, acquire(session, RUN_FILE))
        try:
            oldlogs.sweep(session.repo.fleet_dir / oldlogs.FOLDER)
            yield held
        finally:
            with suppress(LostRace, IllegalEvent):  # taken over; or an intent is left for the next one
                try:
                    _as_it_is(lambda: _release(session, _leave_to_hand))
                except Unreachable as gone:  # which hides nothing that is done
                    session.around.warn(f"the lead is not given up: {gone.message} (git fleet lead release)")
