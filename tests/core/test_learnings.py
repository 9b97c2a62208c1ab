"""Learnings as files: what is written is read again, any two trees unite, whatever came when."""

from __future__ import annotations

import itertools
import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core import learnings
from git_fleet.core.learnings import Decision, Kind, Learning, Standing
from git_fleet.errors import InvalidInput, UnknownFormat

AT = datetime(2026, 11, 20, 18, 50, 5, 123000, UTC)
WORDS = st.text(st.one_of(st.characters(), st.sampled_from('+\n"\\\x7f\u2028\r\x1b\ud800')), max_size=60)


def learned(text: str = "Retry is not safe", **about: object) -> Learning:
    return learnings.make(text, **{"by": "w1", "at": AT, **about})  # type: ignore[arg-type]


@given(WORDS, WORDS, st.lists(WORDS, max_size=3))
def test_what_is_written_is_read_again_and_is_toml(text: str, by: str, labels: list[str]) -> None:
    try:
        made = learned(text, by=by, labels=labels, paths=["src/**"], kind=Kind.PITFALL, task="p/a")
    except InvalidInput:
        return  # no words, or a label that cannot be one
    path, data = learnings.learning_file(made)
    assert learnings.parse(path, data) == made
    _, head, body = data.decode().split("+++\n", 2)
    table = tomllib.loads(head)
    assert (table["version"], table["kind"], table["paths"]) == (1, "pitfall", ["src/**"])
    assert table.get("labels", []) == list(made.labels)
    assert body == made.text + "\n"


def test_the_same_words_learned_twice_are_one() -> None:
    one = learned("Use  uv,\nnot pip", labels=["b", "a"], paths=["x/**", "y"])
    again = learned("Use uv, not pip", labels=["a", "b", "a"], paths=["y", "x/**"], by="w2", task="p/b")
    assert learnings.learning_file(one)[0] == learnings.learning_file(again)[0]
    assert one.id != learned("Use uv, not pip", labels=["a"], paths=["y", "x/**"]).id
    assert one.id != learned("Use uv, not pip!", labels=["a", "b"], paths=["y", "x/**"]).id


def test_the_decision_that_knew_of_the_others_counts_and_then_the_latest() -> None:
    one = learned()
    decisions = [
        Decision(one.id, Standing.APPROVED, "Ann", AT + timedelta(hours=9), 1),
        Decision(one.id, Standing.RETIRED, "Ben", AT + timedelta(hours=1), 2),
        Decision(one.id, Standing.APPROVED, "Cem", AT + timedelta(hours=2), 2),
    ]
    files = dict([learnings.learning_file(one), *map(learnings.decision_file, decisions)])
    assert len(files) == 4
    for order in itertools.permutations(files.items()):
        found = learnings.read(dict(order))
        assert [(known.state, known.decision) for known in found.known] == [("approved", decisions[2])]
        assert found.last_order == 2


def test_learning_again_what_is_retired_does_not_bring_it_back() -> None:
    one = learned()
    retired = learnings.decision_file(Decision(one.id, Standing.RETIRED, "Ann", AT, 1))
    later = learnings.learning_file(learned(at=AT + timedelta(days=1), by="w9"))
    (known,) = learnings.read(dict([retired, later])).known
    assert known.state is Standing.RETIRED


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b"Retry", b"Repeat", InvalidInput),
        (b"version = 1", b"version = 2", UnknownFormat),
        (b'by = "w1"\n', b"", InvalidInput),
        (b'by = "w1"\n', b'by = "w1"\nmore = 1\n', InvalidInput),
        (b'kind = "fact"', b"kind = [", InvalidInput),
        (b"+++\n", b"", InvalidInput),
        (b"Retry", b"\xff", InvalidInput),
    ],
)
def test_a_broken_file_keeps_no_other_from_counting(old: bytes, new: bytes, kind: type[InvalidInput]) -> None:
    path, whole = learnings.learning_file(learned())
    data = whole.replace(old, new)
    with pytest.raises(InvalidInput) as error:
        learnings.parse(path, data)
    assert type(error.value) is kind
    other = learnings.learning_file(learned("Another"))
    found = learnings.read({path: data, other[0]: other[1], f"{path}x": whole, "README": whole})
    assert [known.learning.text for known in found.known] == ["Another"]
    assert [(one.path, one.newer) for one in found.broken] == [
        (path, kind is UnknownFormat), (f"{path}x", False), ("README", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"text": " \n\u200b"}, "needs words"),
        ({"text": "ä" * 2049}, "a learning of 4098 bytes; at most 4096"),
        ({"paths": ["../x"]}, "'../x'"),
        ({"paths": ["!x"]}, "'!x'"),
        ({"labels": [str(n) for n in range(21)]}, "21 labels: at most 20 are allowed"),
        ({"labels": ["x" * 201]}, "of 201 characters: at most 200 are allowed"),
    ],
)
def test_what_is_no_learning_is_refused_with_what_is_allowed(about: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        learned(**about)  # type: ignore[arg-type]
    assert words in error.value.message
