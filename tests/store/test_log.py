"""What an event looks like in git, and what is refused as none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from git_fleet.core import codec
from git_fleet.core.ids import Oid
from git_fleet.core.lifecycle import Event, after
from git_fleet.core.model import PENDING, Finding, PlanLog, PlanState, State, TaskState
from git_fleet.errors import UnknownFormat
from git_fleet.git.objects import FILE, TreeEntry
from git_fleet.store import log
from git_fleet.store.base import Store
from tests.support.clock import START
from tests.support.race import race, values
from tests.support.repo import Repo
from tests.support.stores import open_store


@pytest.fixture
def store(repo: Repo) -> Iterator[Store]:
    with open_store(repo) as store:
        yield store


def written(store: Store, event: Event, state: TaskState, **fields: Any) -> Oid:
    values = {"parent": None, "subject": f"{event.name} p/a by {event.actor}", **fields}
    return log.write(store.objects, event, state, **values)


def cancelling(reason: str, actor: str = "ann") -> tuple[Event, TaskState]:
    event = Event("cancel", START, actor, {"reason": reason})
    return event, after(PENDING, event)


def test_the_same_event_is_another_object_each_time_in_forked_processes_too(store: Store) -> None:
    def write(*_: int) -> list[Oid]:
        return [written(store, *cancelling("gone")) for _ in range(20)]

    every = [*write(), *(oid for made in values(race(4, write)) for oid in made), *write()]
    assert len(set(every)) == len(every) == 120


def test_an_event_is_a_commit_that_git_shows(store: Store, repo: Repo) -> None:
    oid = written(store, *cancelling("no need"))
    shown = repo.run_git("show", "--format=%an <%ae> %ai%n%s%n%b", oid)
    who, subject, line = shown.rstrip("\n").split("\n")
    assert who == "ann <ann@fleet.invalid> 2026-01-01 12:00:00 +0000"
    assert subject == "cancel p/a by ann"
    document = json.loads(line)
    assert document.pop("nonce")
    assert document == {
        "v": 1,
        "event": "cancel",
        "at": "2026-01-01T12:00:00.000Z",
        "actor": "ann",
        "reason": "no need",
        "state": {"state": "cancelled", "reason": "no need"},
    }
    assert line == codec.canonical(json.loads(line))


def test_what_is_read_is_what_was_written(store: Store) -> None:
    event, state = cancelling("überflüssig\n\udcff")
    first = written(store, event, state)
    second = written(store, event, state, parent=first, texts={"log": b"\x00\xff"})
    entry = log.read(store.objects, second)
    assert (entry.event, entry.task_state, entry.parent) == (event, state, first)
    assert log.texts(store.objects, entry) == {"log": b"\x00\xff"}
    assert [each.oid for each in log.history(store.objects, second)] == [first, second]
    assert log.history(store.objects, None) == []


def test_two_equal_events_are_two_objects(store: Store) -> None:
    assert written(store, *cancelling("same")) != written(store, *cancelling("same"))


def test_a_plans_state_is_read_back(store: Store) -> None:
    state = PlanLog(PlanState.PAUSED, Oid("a" * 40), None, "wait")
    oid = log.write(store.objects, Event("pause", START, "x"), state, parent=None, subject="pause")
    assert log.read(store.objects, oid).plan_log == state


def test_a_subject_is_one_line_whatever_is_in_a_name(store: Store, repo: Repo) -> None:
    oid = written(store, *cancelling("x", "a\x1b[31m" + "b" * 200), subject="one\ntwo\x1b[31m " + "x" * 200)
    subject = repo.run_git("show", "--no-patch", "--format=%s", oid)
    assert subject.startswith("one two [31m xxx")
    assert len(subject) == 100


def test_an_actor_of_odd_characters_has_an_address_all_the_same(store: Store, repo: Repo) -> None:
    oid = written(store, *cancelling("x", "Zoë <root@host>\\"))
    assert repo.run_git("show", "--no-patch", "--format=%ae", oid) == "Zo-root-host@fleet.invalid"
    assert log.read(store.objects, oid).event.actor == "Zoë <root@host>\\"


def test_an_event_without_texts_passes_gits_own_check(store: Store, repo: Repo) -> None:
    oid = written(store, *cancelling("x"))
    repo.run_git("update-ref", "refs/fleet/x", oid)
    assert repo.run_git("fsck", "--strict", "--no-dangling") == ""


def test_long_texts_lose_their_beginning_and_say_so() -> None:
    half = log.MAX_TEXT_BYTES // 2
    cut = log.cut_texts({"a": b"short", "b": b"x" * log.MAX_TEXT_BYTES + b"end"})
    assert cut["a"] == b"short"
    assert cut["b"].startswith(b"[32771 bytes cut here]\nxxx")
    assert cut["b"].endswith(b"xend")
    assert len(cut["b"]) == half


def test_texts_that_fit_are_kept_whole() -> None:
    texts = {"a": b"x" * (log.MAX_TEXT_BYTES - 1), "b": b"y"}
    assert log.cut_texts(texts) == texts


@pytest.mark.parametrize(
    "line",
    ["", "no json", "[]", "{}", '{"v":1}', '{"v":1,"event":"x","at":"yesterday","actor":"a","state":{}}'],
)
def test_a_commit_that_is_no_event_is_refused(store: Store, line: str) -> None:
    with pytest.raises(UnknownFormat):
        log.read(store.objects, commit(store, line))


def test_an_event_of_another_version_is_refused_and_doctor_named(store: Store) -> None:
    oid = commit(store, '{"v":2,"state":{}}')
    for reading in (log.read, lambda objects, name: log.task_state(name, objects.read(name)[1])):
        with pytest.raises(UnknownFormat, match="version 2; this program knows 1") as caught:
            reading(store.objects, oid)
        assert caught.value.hint == "git fleet doctor"


def test_a_state_with_a_field_of_the_future_is_refused(store: Store) -> None:
    oid = commit(store, '{"v":1,"event":"x","at":"2026-01-01T12:00:00Z","actor":"a","state":{"mood":"x"}}')
    with pytest.raises(UnknownFormat, match="mood"):
        _ = log.read(store.objects, oid).task_state


def test_an_event_without_its_state_is_named(store: Store) -> None:
    oid = commit(store, '{"v":1,"event":"x","at":"2026-01-01T12:00:00Z","actor":"a"}')
    entry = log.read(store.objects, oid)
    for name in ("task_state", "plan_log", "lead_state", "changeset_log"):
        with pytest.raises(UnknownFormat, match=f"{oid[:12]} is not understood"):
            getattr(entry, name)


def commit(store: Store, line: str) -> Oid:
    who = log.signature(Event("x", START, "a"))
    tree = store.objects.write_tree(())
    return store.objects.write_commit(
        tree=tree, parents=(), author=who, committer=who, message=f"subject\n\n{line}\n"
    )


def test_blobs_are_attached_whole(store: Store) -> None:
    blob = store.objects.write("blob", b"x" * (log.MAX_TEXT_BYTES * 2))
    entry = log.read(store.objects, written(store, *cancelling("x"), attached={"big": blob}))
    assert store.objects.read_tree(entry.tree) == (TreeEntry(FILE, "big", blob),)


@pytest.mark.parametrize("text", ["x", "試", "\udcff", "\U0001f600"])
def test_no_text_is_too_long_for_a_state(store: Store, text: str) -> None:
    found = tuple(Finding(text * 5000, source=text * 5000, path=text * 5000) for _ in range(30))
    event = Event("cancel", START, "ann", {"reason": text * 5000, "findings": found})
    state = after(PENDING, event)
    blocked = Event("eject", START, "ann", {"reason": text * 5000, "findings": found})
    ejected = after(TaskState(State.PROPOSED, summary=state.reason), blocked)
    assert ejected.findings
    oid = written(store, blocked, ejected)
    assert log.read(store.objects, oid).task_state == ejected
