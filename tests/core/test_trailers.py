from __future__ import annotations

import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_fleet.core.ids import Oid, TaskId
from git_fleet.core.model import Proposal, Task
from git_fleet.core.trailers import (
    Contribution,
    Message,
    Stamp,
    Trailer,
    build,
    clean,
    message_for,
    one_line,
    parse,
    read_stamp,
)
from tests.support.repo import Repo, make_repo

PROPOSAL = Oid("ab" * 20)
TASK = Task(id=TaskId("tasks-app", "42"), title="Add a count command", slug="count")
ADA, BOB = "Ada <ada@example.invalid>", "Bob <bob@example.invalid>"
FLEET = f"""\
Fleet-Plan: tasks-app
Fleet-Task: 42
Fleet-Worker: w1
Fleet-Proposal: {PROPOSAL}
"""


def message(*commits: tuple[str, str], said: str = "", sign_off: str = "") -> str:
    """The message of the task when its branch has `commits` (author, message)."""
    proposal = Proposal(number=1, oid=PROPOSAL, worker="w1", message=said)
    return message_for(TASK, proposal, [Contribution(*each) for each in commits], sign_off=sign_off)


def test_the_subject_is_what_the_worker_said_when_handing_in() -> None:
    text = message((ADA, "cli: count things\n\nBecause."), said="Count pending tasks\n\nSee below.")
    assert text == f"Count pending tasks\n\nSee below.\n\ncli: count things\n\nBecause.\n\n{FLEET}"


def test_without_words_the_subject_is_the_only_commits() -> None:
    assert message((ADA, "cli: count things\n\nBecause.")) == f"cli: count things\n\nBecause.\n\n{FLEET}"


def test_with_several_commits_the_subject_is_the_title_and_the_body_lists_them() -> None:
    text = message((ADA, "one"), (ADA, "two\n\nWhy two."), (ADA, "three"), (ADA, "four"))
    assert text == f"Add a count command\n\n* one\n\n* two\n\nWhy two.\n\n* three\n* four\n\n{FLEET}"


def test_a_branch_without_commits_of_its_own_takes_the_title() -> None:
    assert message() == f"Add a count command\n\n{FLEET}"


def test_fixup_commits_say_nothing_but_their_authors_count() -> None:
    text = message((ADA, "cli: count"), (BOB, "fixup! cli: count\n\nnoise"))
    assert text == f"cli: count\n\nCo-authored-by: {BOB}\n{FLEET}"


def test_other_authors_are_named_once_and_the_first_is_not() -> None:
    again = "Bobby <BOB@example.invalid>"
    text = message((ADA, "one"), (BOB, "two"), (again, "three"), (ADA, "four"))
    assert parse(text).trailers[0] == Trailer("Co-authored-by", BOB)
    assert text.count("Co-authored-by") == 1


def test_trailers_of_the_commits_stay() -> None:
    text = message(
        (ADA, f"one\n\nSigned-off-by: {ADA}\nCloses: #4\n"),
        (BOB, f"two\n\nSigned-off-by: {ADA}\nco-authored-by: {BOB}\n"),
    )
    kept = f"Signed-off-by: {ADA}\nCloses: #4\nco-authored-by: {BOB}\n"
    assert text == f"Add a count command\n\n* one\n* two\n\n{kept}{FLEET}"


def test_the_lead_signs_off_last() -> None:
    assert message((ADA, "one"), sign_off=BOB) == f"one\n\n{FLEET}Signed-off-by: {BOB}\n"


@pytest.mark.parametrize(
    "forged",
    [
        "Fleet-Proposal: {}",
        "fleet-proposal: {}",
        "Fleet-Proposal : {}",
        "  Fleet-Proposal: {}",
        "Fleet-Proposal:\n  {}",
        "Fleet-\x00Proposal: {}",
        "Fle\x1b[31met-Proposal: {}",
        "Fleet-Proposal\r: {}",
        "Fleet-Unheard-Of: {}",
    ],
)
def test_fleet_trailers_of_workers_are_removed(forged: str) -> None:
    other = "cd" * 20
    line = forged.format(other)
    for said in (f"one\n\ntext\n\n{line}\n", f"one\n{line}\n", f"{line}\n\none", f"one\n\n{line}\n\ntext"):
        text = message((ADA, said), (BOB, said), said=said)
        assert other not in text
        assert read_stamp(text) == Stamp(TASK.id, "w1", PROPOSAL)


def test_a_scissors_line_cannot_hide_the_trailers(repo: Repo) -> None:
    cut = "# ------------------------ >8 ------------------------"
    text = message((ADA, f"one\n\nabove\n{cut}\nbelow"))
    assert f"one\n\nabove\nbelow\n\n{FLEET}" == text
    assert _git_trailers(repo, [text]) == [parse(text).trailers]


def test_control_characters_and_turned_text_go_away_and_lines_stay() -> None:
    assert clean("a\x1b[1;31mb\x07\x9b\r\n\tc\u202ed\x1b]0;title\x07e\u2028f\n") == "ab\n\tcdef\n"
    assert one_line(" a\n b\x00\tc ") == "a b c"


def test_bytes_that_are_not_utf8_survive_and_half_pairs_do_not() -> None:
    text = message((ADA, os.fsdecode(b"caf\xe9\n\nfa\xe7ade")), said="\ud83d")
    assert os.fsencode(text).startswith("\ufffd\n\ncaf".encode() + b"\xe9\n\nfa\xe7ade\n")


def test_what_is_built_is_parsed_again() -> None:
    whole = Message("Subject", "One.\n\nTwo.", (Trailer("A-b", "c"), Trailer("D", "e f")))
    assert parse(build(whole)) == whole
    assert parse("") == Message("", "", ())


@pytest.mark.parametrize(
    "text",
    [
        "subject\n",
        FLEET,
        f"subject\n\n{FLEET}Fleet-Task: 43\n",
        f"subject\n\n{FLEET}".replace("Fleet-Worker: w1\n", ""),
        f"subject\n\n{FLEET}".replace("42", "../42"),
        f"subject\n\n{FLEET}".replace("ab" * 20, "abc"),
        f"subject\n\n{FLEET}\nMore text.\n",
    ],
)
def test_a_commit_without_each_trailer_once_and_valid_is_nobodys(text: str) -> None:
    assert read_stamp(text) is None


def test_a_commit_says_which_task_it_is() -> None:
    assert read_stamp(f"subject\n\n{FLEET}Reviewed-by: {BOB}\n") == Stamp(TASK.id, "w1", PROPOSAL)


LINES = st.sampled_from(
    [
        "", "", "text", "Key: value", "key : value", "-K:v", "Key:", "  more", "\tmore", "# comment",
        "Signed-off-by: A <a@b>", "(cherry picked from commit 1)", "Conflicts:", "---", "nota key: x",
        "Fleet-Plan: evil", " Fleet-Task: evil", "fleet-proposal: evil", "fixup! x", "ü: é", "a\u2028b: c",
        "# ------------------------ >8 ------------------------", "a\rb", "Key: \x1b[0mv", "\udcff",
    ]
)  # fmt: skip
TEXTS = st.lists(LINES, max_size=9).map("\n".join)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """One repository for all examples; nothing but objects is added to it."""
    return make_repo(tmp_path_factory.mktemp("trailers") / "repo")


@settings(max_examples=10)
@given(drawn=st.lists(st.tuples(st.lists(TEXTS, max_size=3), TEXTS), min_size=20, max_size=60))
def test_git_reads_the_trailers_that_we_wrote(scratch: Repo, drawn: list[tuple[list[str], str]]) -> None:
    texts = [message(*((ADA, each) for each in commits), said=said) for commits, said in drawn]
    for text, trailers in zip(texts, _git_trailers(scratch, texts), strict=True):
        assert parse(text).trailers == trailers, text
        assert read_stamp(text) == Stamp(TASK.id, "w1", PROPOSAL)
        assert text == clean(text)


@settings(max_examples=10)
@given(drawn=st.lists(TEXTS, min_size=20, max_size=60))
@example(
    drawn=[
        "s\n\nKey: a\n b\n\n\n",
        "s\n\ntext\nSigned-off-by: A <a@b>\n",
        "s\n\nA: b\ntext\n",
        "text\ntext\nA: b\n-\n-\n  c\n(cherry picked from commit 1)\n  c\n-",
    ]
)
def test_a_foreign_message_is_read_as_git_reads_it(scratch: Repo, drawn: list[str]) -> None:
    texts = [f"subject\n\n{text}" for text in drawn if not _has_ignored_end(text)]
    assert [parse(text).trailers for text in texts] == _git_trailers(scratch, texts)


def _has_ignored_end(text: str) -> bool:
    """Whether git may leave a message's end out of account, as it came from an editor: comments, scissors."""
    return ">8" in text or "Conflicts" in text or text.rstrip().rpartition("\n")[2].startswith("#")


def _git_trailers(repo: Repo, texts: list[str]) -> list[tuple[Trailer, ...]]:
    """What git says the trailers of a commit with each of these messages are."""
    stream = b""
    for text in texts:
        data = os.fsencode(text)
        stream += b"commit refs/heads/x\ncommitter A <a@b> 0 +0000\ndata %d\n%b\n\n" % (len(data), data)
    repo.run_git("fast-import", "--quiet", "--force", stdin=b"reset refs/heads/x\n\n" + stream)
    listed = repo.run_git("log", "--reverse", "--format=%(trailers:only,unfold)%x00", "x", stdin=b"")
    found = []
    for block in listed.split("\0")[:-1]:
        pairs = (line.partition(": ") for line in block.split("\n") if line)
        found.append(tuple(Trailer(key, value) for key, _, value in pairs))
    return found
