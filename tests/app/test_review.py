from __future__ import annotations

from collections.abc import Mapping

import pytest

from git_fleet.app import acting, followups
from git_fleet.app.integrate import Order, integrate
from git_fleet.app.review import review
from git_fleet.app.session import Session
from git_fleet.app.verify import Asked, verify
from git_fleet.core.divergence import Line
from git_fleet.core.model import Finding, PlanState, Proposal, State, Verdict
from git_fleet.core.reviewing import ChangedPath, GateRun, Review, TaskReview
from git_fleet.errors import InvalidInput
from git_fleet.git.process import Git
from git_fleet.git.refs import ABSENT, Update
from git_fleet.store import archive, gatelogs, names, proposals
from tests.support.clock import START, FakeClock
from tests.support.fleet import (
    accepted,
    approved,
    claimed,
    integrated,
    on_plan,
    on_task,
    open_fleet,
    proposed,
    saved,
    task,
    task_id,
)
from tests.support.repo import Repo
from tests.support.verifiers import handed

CLUSTERS = ("dev", "prod-eu", "prod-us", "qa", "stage")
VALUES = "name: {0}\nversion: {1}\nat: 2026-01-0{2}\n"


@pytest.fixture
def session(repo: Repo, clock: FakeClock) -> Session:
    repo.commit(
        "Files",
        {"fleet.toml": 'version = 1\ngates = "none"\nmax_active = 20\nmax_review = 20\nmax_attempts = 9\n'}
        | {f"live/{cluster}": f"name: {cluster}\nversion: 1\n" for cluster in CLUSTERS},
    )
    return open_fleet(repo, clock=clock)


def matrix(**fields: object) -> dict[str, object]:
    """One entry for all clusters."""
    files = ["live/{cluster}"]
    return task("bump-{cluster}", files=files, **{"matrix": {"cluster": list(CLUSTERS)}, **fields})


def bumped(session: Session, versions: Mapping[str, str] | None = None) -> None:
    """Every cluster's task handed in; `versions` are those that are not 2."""
    for number, cluster in enumerate(CLUSTERS, 1):
        claimed(session, f"bump-{cluster}")
        text = VALUES.format(cluster, (versions or {}).get(cluster, "2"), number)
        proposed(session, f"bump-{cluster}", {f"live/{cluster}": text})


def one(found: Review, name: str) -> TaskReview:
    return next(each for each in found.tasks if each.id == task_id(name))


def codes(found: Review) -> list[str]:
    return [each.code for each in found.recommendations]


def test_the_odd_one_of_five_siblings_is_named_with_what_differs(session: Session) -> None:
    approved(session, matrix(), task("other"))
    bumped(session, {"qa": "latest"})
    found = review(session, "p")
    (odd,) = found.divergences
    assert (odd.odd, odd.group, odd.name) == (
        (task_id("bump-qa"),),
        "bump-{cluster}",
        "live/{cluster}",
    )
    assert odd.difference == (Line(False, "+version: 2"), Line(True, "+version: latest"))
    assert codes(found) == ["odd-one-out", "integrate"]
    assert found.recommendations[0].commands == ("git fleet review p --task bump-qa",)
    assert found.summary == "0 of 6 tasks integrated; 5 to integrate; 1 unlike its siblings."


def test_siblings_that_are_alike_are_not_mentioned(session: Session) -> None:
    approved(session, matrix())
    bumped(session)
    found = review(session, None)
    assert found.divergences == ()
    assert codes(found) == ["integrate"]


def test_what_went_back_is_not_compared(session: Session) -> None:
    approved(session, matrix())
    bumped(session, {"qa": "latest"})
    on_task(session, "reject", "bump-qa", findings=(Finding("not pinned", "person:Ann"),), reason="rejected")
    assert review(session, "p").divergences == ()


def test_a_task_tells_what_changed_and_who_did_it(session: Session, clock: FakeClock) -> None:
    approved(session, task("a", files=["**"]))
    claimed(session, "a")
    clock.advance(60)
    proposed(session, "a", {"live/dev": "name: dev\nversion: 2\nmore\n", "new \udcff": "x\n", "bin": b"\0"})
    found = one(review(session, "p"), "a")
    assert found.paths == (
        ChangedPath("bin", 0, 0, binary=True),
        ChangedPath("live/dev", 2, 1),
        ChangedPath("new \udcff", 1, 0),
    )
    assert (found.added, found.removed, found.cut) == (3, 1, False)
    assert (found.state, found.state_since) == (State.PROPOSED, clock())
    assert found.commit is not None
    assert found.record.state.proposal is not None
    assert found.record.state.proposal.worker == "w1"


def test_a_report_tells_its_result_and_its_artifacts(session: Session) -> None:
    approved(session, task("audit", output="report"), task("b"))
    record = claimed(session, "audit")
    number, oid = proposals.add(
        session.store,
        record.id,
        commit=None,
        worker="w1",
        result="Three places.\nMore.",
        artifacts={"report.md": b"found it\n", "data/raw.bin": b"\0" * 5000},
        at=session.now(),
    )
    on_task(session, "done", "audit", proposal=Proposal(number, oid, "w1"), summary="short")
    found = one(review(session, "p"), "audit")
    assert found.did == "Three places.\nMore."
    assert [(each.name, each.size) for each in found.artifacts] == [("data/raw.bin", 5000), ("report.md", 9)]
    assert (found.commit, found.paths) == (None, ())
    assert (one(review(session, "p"), "b").did, one(review(session, "p"), "b").state) == ("", State.PENDING)


def test_verdicts_of_the_latest_proposal_are_told_and_old_ones_are_not(
    session: Session, clock: FakeClock
) -> None:
    def verdict(lens: str, said: str, number: int) -> None:
        clock.advance(1)
        answer = Verdict(lens, "verifier:bot", said, number)
        found = () if said == "upheld" else (Finding("race in x.py:3", "verifier:bot/correctness"),)
        on_task(session, "verdict", "a", verdict=answer, findings=found)

    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    verdict("correctness", "refuted", 1)
    on_task(session, "refute", "a", findings=(Finding("race in x.py:3", "verifier:bot/correctness"),))
    claimed(session, "a")
    proposed(session, "a", {"a/new": "other\n"})
    assert one(review(session, "p"), "a").opinions == ()
    assert one(review(session, "p"), "a").findings == ()
    verdict("correctness", "inconclusive", 2)
    verdict("security", "upheld", 2)
    verdict("correctness", "upheld", 2)
    found = one(review(session, "p"), "a")
    assert [(each.lens, each.verdict, each.counts) for each in found.opinions] == [
        ("correctness", "inconclusive", False),
        ("security", "upheld", True),
        ("correctness", "upheld", True),
    ]
    assert found.opinions[0].at == START.replace(second=2)
    assert [each.text for each in found.findings] == ["race in x.py:3"]
    accepted(session, "a", "fine")
    assert one(review(session, "p"), "a").opinions[-1].verdict == "accepted"
    on_task(session, "reverify", "a", reason="main moved")
    assert not any(each.counts for each in one(review(session, "p"), "a").opinions if each.lens)


def test_the_same_finding_on_two_proposals_says_that_the_prompt_is_unclear(session: Session) -> None:
    approved(session, task("a"), task("b"))
    for name, texts in (("a", ("x.py:3: no test", "x.py:40: No test")), ("b", ("no test", "no doc"))):
        for number, text in enumerate(texts):
            claimed(session, name)
            proposed(session, name, {f"{name}/new": f"{number}\n"})
            on_task(
                session, "refute", name, findings=(Finding(text, "verifier:bot/tests"),), reason="refuted"
            )
    found = review(session, "p")
    assert codes(found) == ["unclear", "rework"]
    assert found.recommendations[0].text.startswith("p/a was sent back twice")
    assert found.recommendations[0].commands == ("git fleet plan edit p",)


def test_a_conflict_twice_says_nothing_of_the_prompt(session: Session) -> None:
    approved(session, task("a"))
    for _ in range(2):
        claimed(session, "a")
        proposed(session, "a")
        on_task(session, "eject", "a", findings=(Finding("a/new", "conflict"),), reason="conflict")
    assert codes(review(session, "p")) == ["rework"]


def test_findings_outside_of_a_task_are_offered_as_tasks(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    aside = Finding("README is out of date", "verifier:bot/docs", "README.md", outside=True)
    answer = Verdict("docs", "verifier:bot", "upheld", 1)
    on_task(session, "verdict", "a", verdict=answer, findings=(aside,))
    found = review(session, "p")
    assert "outside" in codes(found)
    assert ("git fleet plan add --from-findings p",) in [each.commands for each in found.recommendations]
    drafted = followups.from_findings(session, ["p"]).tasks[0].id
    integrated(session, "a")
    after = review(session, "p")
    assert codes(after) == ["unapproved"]  # neither drafted again, nor closed over the draft
    assert str(drafted) in after.recommendations[0].text
    assert after.recommendations[0].commands[-1] == "git fleet plan approve p"


def test_what_a_worker_left_alone_and_no_task_was_drafted_for_is_offered(session: Session) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    aside = Finding("Rename the flag", "worker:w1", outside=True)
    proposed(session, "a", findings=(aside,))
    on_task(session, "reject", "a", reason="rejected", findings=(Finding("Bad.", "person:ann"),))
    claimed(session, "a")
    proposed(session, "a")  # by another worker, who has not seen it
    found = review(session, "p")
    (offered,) = [each for each in found.recommendations if each.code == "outside"]
    assert offered.text.startswith("1 finding outside of its task")
    followups.from_findings(session, ["p"])
    assert "outside" not in codes(review(session, "p"))


def test_the_queue_has_what_waits_for_somebody_the_longest_first(session: Session, clock: FakeClock) -> None:
    approved(session, *(task(name) for name in "abcdef"), task("held", hold=True))
    for name in "abcde":
        claimed(session, name)
    for name in "edcb":
        clock.advance(60)
        proposed(session, name)
    clock.advance(60)
    on_task(session, "accept", "d", number=1)
    on_task(session, "accept", "c", number=1)
    clock.advance(60)
    on_task(session, "park", "c", reason="touches docs/a")
    on_task(session, "block", "a", code="no-quota", reason="ask ops")
    on_task(session, "verdict", "b", verdict=Verdict("docs", "verifier:bot", "upheld", 1))
    on_task(session, "reject", "e", findings=(Finding("no", "person:Ann"),))
    clock.advance(60)
    waiting = review(session, "p").queue
    assert [
        (each.id.task, each.code, each.what, (clock() - each.since).total_seconds()) for each in waiting
    ] == [
        ("held", "person", "your word: it is on hold", 420),
        ("b", "integrate", "the lead to integrate it", 180),
        ("d", "integrate", "the lead to integrate it", 120),
        ("a", "person", "help: no-quota: ask ops", 60),
        ("c", "person", "your word: it touches docs/a", 60),
    ]
    assert codes(review(session, "p")) == ["parked", "integrate", "blocked", "hold", "rework"]


def test_proposals_wait_for_verdicts_where_the_policy_asks_for_them(repo: Repo, clock: FakeClock) -> None:
    repo.commit(
        "Config",
        {"fleet.toml": 'version = 1\ngates = "none"\n[policy]\nverdicts = 1\nrequire = ["security"]\n'},
    )
    session = open_fleet(repo, clock=clock)
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    found = review(session, "p")
    assert [(each.code, each.what) for each in found.queue] == [("person", "your verdict: security")]
    assert found.recommendations[0].commands == ("git fleet verdict p/a --lens security --upheld",)


def test_verifiers_that_are_to_be_asked_come_before_a_persons_verdict(repo: Repo, clock: FakeClock) -> None:
    verifier = '[[verifier]]\nname = "v"\nlens = "l"\nrun = ["true"]\n'
    policy = 'policy = { require = ["security"] }\n'
    repo.commit("Config", {"fleet.toml": f'version = 1\ngates = "none"\n{policy}{verifier}'})
    session = open_fleet(repo, clock=clock)
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    found = review(session, "p")
    assert [(each.code, each.what) for each in found.queue] == [("verdict", "verdicts: l, security")]
    assert found.recommendations[0].commands == ("git fleet verify p/a",)


def test_gates_are_told_from_the_log_and_from_the_evidence(repo: Repo, clock: FakeClock) -> None:
    config = 'version = 1\nmax_review = 9\n[[gate]]\nname = "free"\nrun = "true"\n[[gate]]\nname = "pinned"\nrun = "! grep -rn latest live"\n'
    files = {f"live/{cluster}": f"name: {cluster}\nversion: 1\n" for cluster in CLUSTERS}
    repo.commit("Files", {"fleet.toml": config, **files})
    session = open_fleet(repo, clock=clock)
    approved(session, matrix())
    bumped(session, {"qa": "latest"})
    integrate(session, Order(), lambda _: None)
    found = review(session, "p")
    assert [(gate.name, gate.outcome) for gate in one(found, "bump-qa").gates] == [
        ("free", "pass"),
        ("pinned", "fail"),
    ]
    landed = one(found, "bump-dev")
    assert [(gate.name, gate.outcome) for gate in landed.gates] == [("free", "pass"), ("pinned", "pass")]
    assert landed.gates[0].seconds is not None
    assert landed.landed is not None
    assert codes(found) == ["rework"]
    assert found.summary == "4 of 5 tasks integrated; 1 in rework."


def test_gates_of_what_is_parked_and_of_what_is_verified_are_told(repo: Repo, clock: FakeClock) -> None:
    verifier = '[[verifier]]\nname = "v"\nlens = "l"\nrun = ["echo", \'{"verdict":"upheld"}\']\n'
    config = 'version = 1\npark = ["b/**"]\n[[gate]]\nname = "tests"\nrun = "true"\n'
    repo.commit("Config", {"fleet.toml": config + verifier})
    session = open_fleet(repo, "lead", clock)
    approved(session, task("a"), task("b"))
    for name in "ab":
        handed(repo, name)
    verify(session, Asked(), lambda _: None)
    integrate(session, Order(("b",)), lambda _: None)
    found = review(session, "p")
    assert [(each.state, each.gates) for each in found.tasks] == [
        (State.VERIFIED, (GateRun("tests", "pass"),)),
        (State.PARKED, (GateRun("tests", "pass"),)),
    ]


def test_gates_of_a_run_that_was_killed_say_nothing(session: Session, clock: FakeClock) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    on_task(session, "verdict", "a", verdict=Verdict("l", "verifier:v", "upheld", 1))
    clock.advance(60)
    gatelogs.keep(session.store, task_id("a"), 1, {"1-tests.log": b"no"}, actor="lead", at=clock())
    assert one(review(session, "p"), "a").gates == ()


def test_a_note_in_other_words_says_nothing_of_gates(session: Session, repo: Repo) -> None:
    approved(session, task("a"))
    claimed(session, "a")
    proposed(session, "a")
    commit = integrated(session, "a")
    repo.run_git("notes", "--ref=fleet/evidence", "add", "-m", "looks = good to me", commit)
    assert one(review(session, "p"), "a").gates == ()
    repo.run_git(
        "notes",
        "--ref=fleet/evidence",
        "add",
        "-f",
        "-m",
        'gate = [3, {name = "x", seconds = "long"}]',
        commit,
    )
    assert one(review(session, "p"), "a").gates == (GateRun("x", "", None),)


def test_whole_logs_of_gates_beside_the_proposals_are_compared(session: Session) -> None:
    approved(session, matrix())
    bumped(session)
    for cluster in CLUSTERS:
        passed = 3 if cluster == "stage" else 4
        text = f"{cluster} ok\n{passed} passed in 0.{passed}1s\n".encode()
        name = task_id(f"bump-{cluster}")
        gatelogs.keep(session.store, name, 1, {"1-tests.log": text}, actor="Ann", at=session.now())
    (odd,) = review(session, "p").divergences
    assert (odd.kind, odd.name, odd.odd) == ("gate", "tests", (task_id("bump-stage"),))
    assert [line.text for line in odd.difference] == ["4 passed in <duration>", "3 passed in <duration>"]


def test_what_gates_printed_on_an_earlier_proposal_is_not_compared(session: Session) -> None:
    approved(session, matrix())
    bumped(session)
    for cluster in CLUSTERS:
        record = session.record(session.snapshot(), f"bump-{cluster}")
        event, text = ("eject", b"broken\n") if cluster == "qa" else ("uphold", b"fine\n")
        acting.act(session, record, event, lambda _: {"reason": "gate"}, texts={"1-tests.log": text})
    claimed(session, "bump-qa")
    proposed(session, "bump-qa", {"live/qa": VALUES.format("qa", "2", "9")})
    found = review(session, "p")
    assert found.divergences == ()
    assert one(found, "bump-qa").gates == ()


def test_one_task_is_told_with_its_differences_alone(session: Session) -> None:
    approved(session, matrix(), task("other"))
    bumped(session, {"qa": "latest"})
    found = review(session, None, "bump-qa")
    assert [each.id for each in found.tasks] == [task_id("bump-qa")]
    assert [each.odd for each in found.divergences] == [(task_id("bump-qa"),)]
    assert [each.id for each in found.queue] == [task_id("bump-qa")]
    assert review(session, "p", "P/Other").divergences == ()
    with pytest.raises(InvalidInput):
        review(session, "p", "nobody")


def test_a_closed_plan_is_told_from_its_archive(session: Session) -> None:
    approved(session, task("a"), task("b"), title="Two")
    claimed(session, "a")
    proposed(session, "a")
    commit = integrated(session, "a")
    on_task(session, "cancel", "b", reason="no")
    assert codes(review(session, "p")) == ["close"]
    for event in ("closing", "close"):
        on_plan(session, event)
    archive.fold(session.store, "p", actor="ann", at=session.now())
    again = archive.read(session.store, "p")["p/a"]
    session.store.refs.transact([Update(names.task_log(task_id("b")), ABSENT, again)])  # counts for nobody
    found = review(session, "p")
    assert (found.state, found.title, found.base) == (PlanState.CLOSED, "Two", "main")
    assert [(each.state, each.landed) for each in found.tasks] == [
        (State.INTEGRATED, commit),
        (State.CANCELLED, None),
    ]
    assert found.recommendations == ()


def test_a_draft_has_nothing_to_review_and_an_unknown_plan_is_none(session: Session) -> None:
    saved(session, task("a"))
    found = review(session, "p")
    assert (found.state, found.tasks, found.base) == (PlanState.DRAFT, (), "")
    with pytest.raises(InvalidInput, match="no plan"):
        review(session, "q")


def test_a_review_starts_few_processes_and_writes_nothing(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(session, matrix(), *(task(f"t{number}") for number in range(8)))
    bumped(session, {"qa": "latest"})
    for number in range(8):
        claimed(session, f"t{number}")
        proposed(session, f"t{number}")
    before = repo.refs()
    started: list[object] = []
    for name in ("run", "spawn"):
        plain = getattr(Git, name)

        def counted(*args: object, plain: object = plain, **options: object) -> object:
            started.append(args[1:])
            assert callable(plain)
            return plain(*args, **options)

        monkeypatch.setattr(Git, name, counted)
    assert len(review(session, "p").tasks) == 13
    monkeypatch.undo()
    assert len(started) < 15, started
    assert repo.refs() == before
