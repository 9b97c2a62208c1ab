"""What follows from verdicts, held against every way in which the answers still to come could turn out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from git_fleet.core.config import Config, Policy, Verifier
from git_fleet.core.ids import Oid
from git_fleet.core.model import Proposal, State, TaskState, Verdict
from git_fleet.core.verdicts import Decision, counting, decide, lenses_of, missing, needed, why_not

PROPOSAL = Proposal(2, Oid("ab" * 20), "w1", Oid("cd" * 20))
NAMES = st.sampled_from(["correctness", "security", "taste", "docs"])
WORDS = st.sampled_from(["upheld", "refuted", "inconclusive"])


def verdict(lens: str, word: str, number: int = 2, oid: Oid | None = PROPOSAL.oid) -> Verdict:
    return Verdict(lens, "verifier:v", word, number, oid)


def config(*lenses: str, verdicts: int = 0, require: tuple[str, ...] = ()) -> Config:
    verifiers = tuple(Verifier(f"v-{lens}", lens, ("true",)) for lens in lenses)
    return Config(verifiers=verifiers, policy=Policy(verdicts, require))


def proposed(*verdicts: Verdict, state: State = State.PROPOSED) -> TaskState:
    return TaskState(state, proposal=PROPOSAL, verdicts=verdicts)


def accepted(answers: Mapping[str, bool], policy: Policy) -> bool:
    """Whether a proposal stands when everybody has been heard."""
    enough = sum(answers.values()) >= needed(policy)
    return enough and all(answers[lens] for lens in policy.require)


@given(
    st.dictionaries(NAMES, WORDS), st.integers(0, 5), st.lists(NAMES, unique=True), st.lists(NAMES, unique=True)
)  # fmt: skip
def test_a_decision_is_what_every_possible_end_agrees_on(
    said: dict[str, str], verdicts: int, require: list[str], lenses: list[str]
) -> None:
    policy = Policy(verdicts, tuple(require))
    found = decide([verdict(lens, word) for lens, word in said.items()], policy, lenses)
    upheld = {lens: word == "upheld" for lens, word in said.items()}
    open_lenses = [lens for lens in {*lenses, *require} if lens not in said]
    known = len({*lenses, *require, *said})
    if needed(policy):
        people = [f"person {n}" for n in range(needed(policy) - known)]
        ends = [
            accepted(upheld | dict(zip([*open_lenses, *people], end, strict=True)), policy)
            for end in product([True, False], repeat=len(open_lenses) + len(people))
        ]
        wanted = Decision.REFUTE if not any(ends) else Decision.WAIT
        if not (open_lenses or people):
            wanted = Decision.UPHOLD if ends == [True] else Decision.REFUTE
    elif not all(upheld.values()):
        wanted = Decision.REFUTE
    else:
        wanted = Decision.UPHOLD if said and not open_lenses else Decision.WAIT
    assert found is wanted


def test_a_required_lens_refutes_however_many_uphold() -> None:
    policy = Policy(1, ("security",))
    answers = [verdict("correctness", "upheld"), verdict("security", "inconclusive")]
    assert decide(answers, policy, ["correctness", "security", "taste"]) is Decision.REFUTE


def test_enough_lenses_outvote_one_that_is_not_required() -> None:
    answers = [verdict("correctness", "upheld"), verdict("taste", "refuted")]
    assert decide(answers, Policy(1), ["correctness", "taste"]) is Decision.UPHOLD
    assert decide(answers, Policy(2), ["correctness", "taste"]) is Decision.REFUTE


def test_a_policy_that_asks_for_more_lenses_than_there_are_waits_for_people() -> None:
    one = [verdict("correctness", "upheld")]
    assert decide(one, Policy(2), ["correctness"]) is Decision.WAIT
    assert decide([*one, verdict("taste", "upheld")], Policy(2), ["correctness"]) is Decision.UPHOLD


def test_a_verdict_on_another_proposal_counts_for_nothing() -> None:
    old, elsewhere = verdict("security", "upheld", number=1), verdict("taste", "upheld", oid=Oid("0" * 40))
    stored_before_they_were_bound = verdict("docs", "upheld", oid=None)
    state = proposed(old, elsewhere, stored_before_they_were_bound)
    assert counting(state) == (stored_before_they_were_bound,)
    assert missing(state, config("security", "docs")) == ("security",)
    assert counting(TaskState()) == ()


def test_the_lenses_are_those_of_the_verifiers_then_those_a_person_must_answer_for() -> None:
    assert lenses_of(config("b", "a", require=("legal", "a"))) == ("b", "a", "legal")


def test_why_a_proposal_may_not_land() -> None:
    wanted = config("correctness", "security", verdicts=2)
    good, bad = verdict("correctness", "upheld"), verdict("security", "refuted")
    assert why_not(proposed(), wanted) == "it waits for verdicts (correctness, security)"
    assert why_not(proposed(good), wanted) == "it waits for verdicts (security)"
    assert (
        why_not(proposed(good, bad), wanted) == "it is not upheld (security); git fleet verify takes it back"
    )
    both = proposed(good, verdict("security", "upheld"))
    assert why_not(both, wanted) == "it is upheld, which git fleet verify has yet to record"
    more = config("correctness", verdicts=2)
    assert why_not(proposed(good), more) == "it waits for verdicts (a person's)"
    assert why_not(proposed(good, bad, state=State.VERIFIED), wanted) == ""


def test_without_a_policy_only_a_refutation_keeps_a_proposal_from_landing() -> None:
    asked = config("correctness", "security")
    assert why_not(proposed(), asked) == ""
    assert why_not(proposed(verdict("correctness", "upheld")), asked) == ""
    assert why_not(proposed(verdict("correctness", "inconclusive")), asked).startswith("it is not upheld")
