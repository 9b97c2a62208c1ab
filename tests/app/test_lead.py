"""Leading: one worktree at a time, by a fence in its git dir."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from git_fleet.app import lead
from git_fleet.app.session import Session
from git_fleet.core.ids import Oid
from git_fleet.core.results import LeadView
from git_fleet.errors import Denied, Held, IllegalEvent, StaleClaim
from git_fleet.store import lead as log
from git_fleet.store.lead import Intent, LeadRecord
from tests.support.breaking import Halted
from tests.support.clock import FakeClock
from tests.support.fleet import approved, open_fleet, task, working_on
from tests.support.race import Done
from tests.support.repo import Repo

NOBODY = LeadView("", "", None, None, mine=False, intent_open=False)


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    with open_fleet(repo, "w1", clock) as session:
        yield session


@pytest.fixture
def other(repo: Repo, clock: FakeClock) -> Iterator[Session]:
    """A session in another worktree, of no task."""
    with open_fleet(repo.worktree(repo.path.parent / "other", "other"), "w2", clock) as session:
        yield session


def fence_file(session: Session) -> Path:
    return session.repo.git_dir / lead.FENCE_FILE


def test_nobody_leads_at_first(session: Session) -> None:
    assert lead.show(session) == NOBODY


def test_the_lead_is_bound_to_the_worktree_that_acquired_it(session: Session, other: Session) -> None:
    record = lead.acquire(session)
    assert fence_file(session).read_text() == f"{record.tip}\n"
    view = lead.show(session)
    assert (view.holder, view.worktree, view.mine) == ("Test Person", str(session.repo.git_dir), True)
    assert (view.by_hand, view.run) == (True, None)
    assert not lead.show(other).mine
    with pytest.raises(Held, match="Test Person leads until"):
        lead.acquire(other)
    with pytest.raises(Held, match="not this worktree"):
        lead.release(other)


def test_acquiring_again_renews(session: Session, clock: FakeClock) -> None:
    first = lead.acquire(session)
    clock.advance(600)
    again = lead.acquire(session)
    assert again.state.fence == first.state.fence
    assert again.state.expires_at is not None
    assert first.state.expires_at is not None
    assert (again.state.expires_at - first.state.expires_at).total_seconds() == 600


def test_a_lead_that_was_given_up_is_free(session: Session, other: Session) -> None:
    lead.acquire(session)
    lead.release(session)
    assert lead.show(session) == NOBODY
    assert not fence_file(session).exists()
    lead.release(session)  # nothing to give up is no error
    assert lead.acquire(other).state.worktree == str(other.repo.git_dir)


def test_a_lease_that_ran_out_is_taken_over_and_the_old_lead_is_none_any_more(
    session: Session, other: Session, clock: FakeClock
) -> None:
    lead.acquire(session)
    clock.advance(3600)
    lead.acquire(other)
    assert not lead.show(session).mine
    with pytest.raises(Held):
        lead.release(session)
    with pytest.raises(Held):
        lead.acquire(session)


def test_a_lease_that_ran_out_and_that_nobody_took_goes_on(session: Session, clock: FakeClock) -> None:
    first = lead.acquire(session)
    clock.advance(7200)
    assert lead.acquire(session).state.fence == first.state.fence


def test_a_lead_killed_before_it_wrote_its_fence_acquires_again(session: Session, repo: Repo) -> None:
    first = lead.acquire(session)
    fence_file(session).unlink()
    assert not lead.show(session).mine
    again = lead.acquire(session)
    assert again.state.fence != first.state.fence
    assert lead.show(session).mine
    assert repo.rev("refs/fleet/lead") == again.tip


def test_a_tasks_worktree_cannot_lead(session: Session, clock: FakeClock) -> None:
    approved(session, task("a"))
    with open_fleet(working_on(session, "a"), None, clock) as worker:
        with pytest.raises(Denied, match="cannot lead") as caught:
            lead.acquire(worker)
        assert caught.value.exit_code == 4
        assert lead.show(worker) == NOBODY


def test_the_lead_is_not_given_up_while_main_is_moving(session: Session, repo: Repo) -> None:
    record = lead.acquire(session)
    main = repo.rev("main")
    intent = Intent("refs/heads/main", main, main, "", ())
    log.begin(session.store, record, intent, actor="x", now=session.now())
    assert lead.show(session).intent_open
    with pytest.raises(IllegalEvent, match="not finished"):
        lead.release(session)


# --- leading for a while -------------------------------------------------------------------------


def test_a_lead_that_was_free_before_is_free_after(session: Session) -> None:
    with lead.leading(session):
        assert lead.show(session).mine
    assert lead.show(session) == NOBODY
    with pytest.raises(ZeroDivisionError), lead.leading(session):
        _ = 1 // 0
    assert lead.show(session) == NOBODY


def test_a_lead_that_a_killed_run_has_left_is_given_up_after_the_next(session: Session) -> None:
    lead.acquire(session, lead.RUN_FILE)
    with lead.leading(session):
        assert lead.show(session).mine
    assert lead.show(session) == NOBODY
    assert not (session.repo.git_dir / lead.RUN_FILE).exists()


def test_a_lead_that_is_acquired_by_hand_meanwhile_is_held_after(session: Session) -> None:
    with lead.leading(session):
        lead.acquire(session)
    assert lead.show(session).mine
    lead.release(session)
    assert lead.show(session) == NOBODY


def test_a_lead_that_is_being_acquired_by_hand_as_a_run_ends_is_held_after(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    def by_hand() -> None:
        with open_fleet(repo, "w1", clock) as person:
            lead.acquire(person)

    with ExitStack() as held:
        with lead.leading(session):
            person = held.enter_context(Halted(1, by_hand, of={"update-ref"}))
            assert person.stopped
        assert person.go_on() == Done(None)
    assert lead.show(session).mine
    assert fence_file(session).exists()


def _by_hand(repo: Repo, clock: FakeClock, step: Callable[[Session], object]) -> None:
    with open_fleet(repo, "w1", clock) as person:
        step(person)


def test_who_acquires_it_by_hand_as_a_run_writes_its_log_leads(
    session: Session, repo: Repo, clock: FakeClock
) -> None:
    with (
        lead.leading(session) as run,
        Halted(1, _by_hand, repo, clock, lead.acquire, of={"update-ref"}) as person,
    ):
        assert person.stopped
        run.write(lambda record: log.renew(session.store, record, actor="x", now=clock(), expires_at=clock()))
        assert person.go_on() == Done(None)
    assert lead.show(session).mine


def test_who_gives_it_up_by_hand_takes_it_from_no_run(session: Session) -> None:
    lead.acquire(session)
    with lead.leading(session) as run:
        lead.release(session)
        assert not fence_file(session).exists()
        view = lead.show(session)
        assert (view.mine, view.by_hand, view.run) == (True, False, os.getpid())
        with pytest.raises(Held, match=rf"a run leads .* \(process {os.getpid()}\), and nobody by hand"):
            lead.release(session)
        assert log.read(session.store) == run.record
    assert lead.show(session) == NOBODY


def test_of_a_hand_and_a_run_that_give_it_up_at_once_one_does(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever looks first."""
    real = lead._remove

    def remove(session: Session, file: str, fence: Oid) -> None:
        monkeypatch.setattr(lead, "_remove", real)
        if file == lead.RUN_FILE:
            _by_hand(repo, clock, lead.release)
        else:
            running.close()
        real(session, file, fence)

    for first in ("run", "hand"):
        lead.acquire(session)
        with ExitStack() as running:
            running.enter_context(lead.leading(session))
            monkeypatch.setattr(lead, "_remove", remove)
            if first == "hand":
                _by_hand(repo, clock, lead.release)
        assert lead.show(session) == NOBODY, first


def test_what_a_killed_run_has_left_is_given_up_by_hand(session: Session) -> None:
    lead.acquire(session, lead.RUN_FILE)
    view = lead.show(session)
    assert (view.mine, view.by_hand, view.run) == (True, False, None)
    lead.release(session)
    assert lead.show(session) == NOBODY


def test_what_is_acquired_anew_as_it_is_given_up_is_kept(
    session: Session, repo: Repo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = log.release

    def release(*args: Any, **kwargs: Any) -> LeadRecord:
        found = real(*args, **kwargs)
        with open_fleet(repo, "w1", clock) as person:
            lead.acquire(person)
        return found

    lead.acquire(session)
    with monkeypatch.context() as patched:
        patched.setattr(log, "release", release)
        lead.release(session)
    assert lead.show(session).mine


def test_whoever_begins_to_lead_removes_logs_of_long_ago(session: Session) -> None:
    log = session.repo.fleet_dir / "logs" / "p" / "a" / "1" / "1-tests.log"
    log.parent.mkdir(parents=True)
    log.write_text("green\n")
    os.utime(log, (1, 1))
    with lead.leading(session):
        assert not log.exists()


def test_a_lead_that_was_held_before_is_held_after(session: Session) -> None:
    lead.acquire(session)
    with lead.leading(session):
        pass
    assert lead.show(session).mine


def test_only_one_integration_runs_in_a_worktree(session: Session, repo: Repo, clock: FakeClock) -> None:
    with lead.leading(session), open_fleet(repo, "w1", clock) as again:
        second = lead.leading(again)
        with pytest.raises(Held, match="another integration is running"):
            second.__enter__()
    with lead.leading(session):
        pass


def test_a_long_integration_renews_its_lease_in_time(session: Session, clock: FakeClock) -> None:
    with lead.leading(session) as leading:
        first = leading.record
        clock.advance(1700)
        leading.keep()
        assert leading.record == first
        clock.advance(200)
        leading.keep()
        assert leading.record.state.fence == first.state.fence
        assert leading.record.state.expires_at == lead.show(session).expires_at
        assert (lead.show(session).expires_at or clock()) > (first.state.expires_at or clock())


def test_a_lead_that_slept_through_its_lease_is_told(
    session: Session, other: Session, clock: FakeClock
) -> None:
    with lead.leading(session) as leading:
        clock.advance(3600)
        taken = lead.acquire(other)
        with pytest.raises(StaleClaim, match="the lead was taken over"):
            leading.keep()
    assert log.read(session.store) == taken
