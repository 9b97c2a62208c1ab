"""Signed events: git takes them for what they are, and where they are asked for others do not count."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from git_fleet.app.doctor import doctor
from git_fleet.app.integrate import Order, integrate
from git_fleet.errors import FleetError, GitFailed, InvalidInput
from git_fleet.git.signatures import signers, split
from git_fleet.store import log, names
from tests.support.clock import FakeClock
from tests.support.fleet import approved, claimed, on_task, open_fleet, proposed, task, task_id
from tests.support.keys import allow, new_key, sign_with
from tests.support.repo import Repo, make_repo

LOG = "refs/fleet/task/p/a"


@pytest.fixture
def keys(tmp_path: Path, repo: Repo) -> dict[str, Path]:
    """Keys of w1, w2 and of the person; theirs count for their own names."""
    made = {name: new_key(tmp_path, name) for name in ("w1", "w2", "person")}
    allowed = tmp_path / "allowed_signers"
    for name, acts in (("w1", "w1"), ("w2", "w2"), ("person", "Test Person,boss")):
        allow(allowed, made[name], acts)
    repo.run_git("config", "gpg.ssh.allowedSignersFile", str(allowed))
    return made


@pytest.fixture
def strict(repo: Repo, keys: dict[str, Path], clock: FakeClock) -> Repo:
    """A plan of one task, claimed by w1; fleet.toml asks for signatures."""
    assert keys
    repo.commit("Configure", {"fleet.toml": 'version = 1\ngates = "none"\npolicy = { signed = true }\n'})
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"))
    claimed(session, "a")
    return repo


def hand_in(repo: Repo, clock: FakeClock, worker: str, key: Path | None) -> None:
    """What `worker` made is handed in, and signed with the key."""
    sign_with(repo, key)
    proposed(open_fleet(repo, worker, clock), "a")


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_git_itself_verifies_what_is_signed(tmp_path: Path, clock: FakeClock, object_format: str) -> None:
    repo = make_repo(tmp_path / "repo", object_format=object_format)
    key = new_key(tmp_path, "w1")
    allow(tmp_path / "allowed", key, "w1")
    repo.run_git("config", "gpg.ssh.allowedSignersFile", str(tmp_path / "allowed"))
    approved(open_fleet(repo, "w1", clock), task("a"))
    assert repo.try_git("verify-commit", "refs/fleet/plan/p").returncode != 0
    sign_with(repo, key)
    session = open_fleet(repo, "w1", clock)
    claimed(session, "a")
    said = repo.try_git("verify-commit", LOG).stderr
    assert b'Good "git" signature for w1' in said
    data = session.store.objects.read(LOG)[1]
    who = signers(session.repo)
    assert who is not None
    assert who.doubt(data, "w1", clock()) == ""
    assert "not with a key of w2" in who.doubt(data, "w2", clock())
    assert "not with a key of w1" in who.doubt(data.replace(b'"attempt":1', b'"attempt":2'), "w1", clock())
    assert who.doubt(split(data, object_format)[0], "w1", clock()) == "is not signed"


def test_an_unsigned_hand_in_does_not_count_and_is_named(strict: Repo, clock: FakeClock) -> None:
    hand_in(strict, clock, "w1", None)
    done = integrate(open_fleet(strict, "boss", clock), Order(), print)
    assert not done.integrated
    assert [(each.id, each.reason) for each in done.skipped] == [
        (task_id("a"), f"event {strict.rev(LOG)[:12]} (done by w1) is not signed, and does not count")
    ]


def test_a_hand_in_signed_by_another_does_not_count(
    strict: Repo, clock: FakeClock, keys: dict[str, Path]
) -> None:
    hand_in(strict, clock, "w1", keys["w2"])
    (skipped,) = integrate(open_fleet(strict, "boss", clock), Order(), print).skipped
    assert "is signed, but not with a key of w1" in skipped.reason


def test_who_speaks_for_another_does_not_count(strict: Repo, clock: FakeClock, keys: dict[str, Path]) -> None:
    """Signed by its author, who says that it is the work of somebody else."""
    hand_in(strict, clock, "w2", keys["w2"])
    session = open_fleet(strict, "w1", clock)
    entry = log.read(session.store.objects, strict.rev(LOG))
    on_task(session, "withdraw", "a")
    claimed(session, "a")
    sign_with(strict, keys["w2"])
    proposal = replace(entry.event.fields["proposal"], worker="w1")
    on_task(open_fleet(strict, "w2", clock), "done", "a", proposal=proposal)
    (skipped,) = integrate(open_fleet(strict, "boss", clock), Order(), print).skipped
    assert "(done by w2) speaks for w1, and does not count" in skipped.reason


def test_what_is_signed_by_its_author_lands(strict: Repo, clock: FakeClock, keys: dict[str, Path]) -> None:
    hand_in(strict, clock, "w1", keys["w1"])
    sign_with(strict, keys["person"])
    boss = open_fleet(strict, "boss", clock)
    (landed,) = integrate(boss, Order(), print).integrated
    assert strict.rev("main") == landed.commit
    events = log.history(boss.store.objects, strict.rev(LOG))
    signed = [strict.try_git("verify-commit", entry.oid).returncode == 0 for entry in events]
    assert dict(zip([entry.event.name for entry in events], signed, strict=True)) == {
        "claim": False, "done": True, "uphold": True, "integrate": True,
    }  # fmt: skip


def test_asking_for_signatures_needs_somebody_whose_keys_count(strict: Repo, clock: FakeClock) -> None:
    hand_in(strict, clock, "w1", None)
    strict.run_git("config", "gpg.ssh.allowedSignersFile", "nowhere")
    with pytest.raises(InvalidInput, match=r"names .*nowhere, which is not there"):
        integrate(open_fleet(strict, "boss", clock), Order(), print)
    strict.run_git("config", "--unset", "gpg.ssh.allowedSignersFile")
    with pytest.raises(InvalidInput, match="nothing here says whose keys count"):
        integrate(open_fleet(strict, "boss", clock), Order(), print)


@pytest.mark.parametrize(
    ("setting", "value", "error", "words"),
    [
        ("gpg.format", "openpgp", InvalidInput, "SSH keys alone"),
        ("user.signingkey", "", InvalidInput, "no key is named"),
        ("user.signingkey", "/nowhere/key", GitFailed, "could not be signed with /nowhere/key"),
        ("gpg.ssh.program", "/nowhere/keygen", InvalidInput, "cannot be started"),
    ],
)
def test_nothing_goes_out_unsigned_where_signing_fails(
    strict: Repo,
    clock: FakeClock,
    keys: dict[str, Path],
    setting: str,
    value: str,
    error: type[FleetError],
    words: str,
) -> None:
    before = strict.refs(names.TASK_LOGS)
    sign_with(strict, keys["w1"])
    strict.run_git("config", setting, value)
    with pytest.raises(error, match=words):
        proposed(open_fleet(strict, "w1", clock), "a")
    assert strict.refs(names.TASK_LOGS) == before


def test_doctor_names_what_is_forged_and_what_is_bare(
    strict: Repo, clock: FakeClock, keys: dict[str, Path]
) -> None:
    hand_in(strict, clock, "w1", keys["w2"])
    session = open_fleet(strict, "boss", clock)
    assert "signature" not in str(doctor(session, fix=False).problems)
    found = doctor(session, fix=False, signatures=True)
    said = {problem.code: problem.text for problem in found.problems if problem.code.startswith("signature")}
    assert f"event {strict.rev(LOG)[:12]} (done by w1) is signed, but not with" in said["signature-forged"]
    assert set(said) == {"signature-forged", "signature-missing"}
    strict.commit("Lax", {"fleet.toml": "version = 1\n"})
    lax = doctor(session, fix=False, signatures=True)
    assert "signature-missing" in [note.code for note in lax.notes]
    assert "signature-forged" in [problem.code for problem in lax.problems]


def test_what_was_signed_for_another_task_does_not_count(
    strict: Repo, clock: FakeClock, keys: dict[str, Path]
) -> None:
    """A log copied whole: every signature in it is good, and its signer never said that of this task."""
    hand_in(strict, clock, "w1", keys["w1"])
    approved(open_fleet(strict, "w1", clock), task("b", files=["a/**"]), plan="q")
    strict.run_git("update-ref", "refs/fleet/task/q/b", LOG)
    strict.run_git("update-ref", "refs/fleet/proposal/q/b/1", "refs/fleet/proposal/p/a/1")
    sign_with(strict, keys["person"])
    done = integrate(open_fleet(strict, "boss", clock), Order(("q",)), print)
    assert not done.integrated
    (skipped,) = done.skipped
    assert "(done by w1) was written for another task, and does not count" in skipped.reason
