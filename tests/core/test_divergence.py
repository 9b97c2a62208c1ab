from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_fleet.core.divergence import SHOWN_LINES, Divergence, Line, Part, Work, divergences
from git_fleet.core.ids import TaskId
from git_fleet.core.likeness import Kind, same_text
from git_fleet.core.matrix import Params, fill
from tests.support.examples import many

FILE = "live/{cluster}/values.yaml"
DIFF = """\
-  version: 1.9.0
+  version: 2.1.0
+  labels: [{cluster}, "cluster-{cluster}"]
+  log: /dev/null
"""


def work(values: Params | str, *parts: Part) -> Work:
    """A sibling; one word is the value of `cluster`."""
    params = (("cluster", values),) if isinstance(values, str) else values
    name = "-".join(value for _, value in params)
    return Work(TaskId("p", f"bump-{name}"), params, parts)


def changed(values: Params | str, text: str = DIFF, name: str = FILE, kind: Kind = Kind.FILE) -> Work:
    """A sibling with one part, made from templates."""
    params = (("cluster", values),) if isinstance(values, str) else values
    return work(params, Part(kind, fill(name, params), fill(text, params)))


def compared(*works: Work) -> tuple[Divergence, ...]:
    return divergences("bump-{cluster}", works)


def named(*clusters: str) -> tuple[TaskId, ...]:
    return tuple(TaskId("p", f"bump-{cluster}") for cluster in clusters)


def test_siblings_that_differ_by_their_parameter_alone_are_alike() -> None:
    assert compared(*(changed(cluster) for cluster in ("dev", "prod-eu", "prod-us", "stage"))) == ()


def test_the_odd_one_is_named_with_the_lines_in_which_it_differs() -> None:
    works = [changed(cluster) for cluster in ("dev", "prod", "stage", "test")]
    works[2] = changed("stage", DIFF.replace("version: 2.1.0", "version: latest"))
    (found,) = compared(*works)
    assert (found.kind, found.name) == (Kind.FILE, "live/{cluster}/values.yaml")
    assert (found.odd, found.one, found.other) == (named("stage"), *named("stage", "dev"))
    assert (found.siblings, found.shapes, found.missing) == (4, 2, ())
    assert found.difference == (Line(False, "+  version: 2.1.0"), Line(True, "+  version: latest"))


def test_two_odd_ones_of_different_shapes_are_named_one_by_one() -> None:
    works = [changed(cluster) for cluster in "abcde"]
    works[1], works[3] = changed("b", "+x\n"), changed("d", "+y\n")
    assert [found.odd for found in compared(*works)] == [named("b"), named("d")]


def test_of_two_siblings_neither_is_the_odd_one() -> None:
    (found,) = compared(changed("dev"), changed("prod", "+other\n"))
    assert (found.odd, found.shapes, found.siblings) == ((), 2, 2)
    assert {found.one, found.other} == set(named("dev", "prod"))


def test_without_a_majority_nobody_is_odd() -> None:
    (found,) = compared(*(changed(cluster, f"+word{cluster}x\n") for cluster in ("abc", "def", "ghi", "jkl")))
    assert (found.odd, found.shapes) == ((), 4)


def test_a_file_that_only_one_changes_or_leaves_alone_is_named() -> None:
    works = [changed(cluster) for cluster in ("dev", "prod", "stage")]
    extra = Part(Kind.FILE, "Makefile", "+all:\n")
    works[0] = work("dev", *works[0].parts, extra)
    works[1] = work("prod")
    more, less = compared(*works)
    assert (more.name, more.odd, more.missing) == ("Makefile", named("dev"), named("prod", "stage"))
    assert more.difference == (Line(True, "+all:"),)
    assert (less.name, less.odd, less.missing) == (FILE, named("prod"), named("prod"))
    assert not any(line.odd for line in less.difference)


@pytest.mark.parametrize(
    "spelling", ["{0}-{1}", "{0}_{1}", "{0}.{1}", "{0}{1}", "{0} {1}"], ids=lambda text: text.format("a", "b")
)
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_a_value_in_another_spelling_is_still_the_parameter(spelling: str, case: object) -> None:
    assert callable(case)
    works = [
        changed(f"{one}-{two}", f"+set {case(spelling.format(one, two))} here\n")
        for one, two in (("prod", "eu"), ("dev", "us"), ("stage", "asia"))
    ]
    assert compared(*works) == ()


def test_a_value_inside_a_name_counts_and_one_inside_a_longer_word_does_not() -> None:
    text = "+getProdUrl(PROD_URL, {cluster}_url) # product\n"
    works = [
        changed(c, text.replace("Prod", c.title()).replace("PROD", c.upper())) for c in ("prod", "dev", "qa")
    ]
    assert compared(*works) == ()
    works[1] = changed("dev", "+getDevUrl(DEV_URL, dev_url) # devuct\n")
    (found,) = compared(*works)
    assert found.odd == named("dev")


def test_a_word_that_happens_to_be_somebodys_value_is_no_divergence() -> None:
    text = "+cat /dev/null >{cluster}.log\n"
    assert compared(*(changed(cluster, text) for cluster in ("dev", "prod", "stage"))) == ()
    text = "+- dev\n+- prod\n+- stage\n+me: {cluster}\n"
    assert compared(*(changed(cluster, text) for cluster in ("dev", "prod", "stage"))) == ()
    numbers = [
        work((("n", str(n)),), Part(Kind.FILE, f"shard{n}", f"+10 of 12: {n}\n")) for n in range(1, 13)
    ]
    assert compared(*numbers) == ()


def test_a_file_of_all_siblings_may_have_a_value_in_its_name() -> None:
    assert compared(*(changed(cluster, "+x\n", "dev/README") for cluster in ("dev", "prod", "stage"))) == ()


def test_a_value_copied_from_a_sibling_is_found() -> None:
    for wrong in ("dev", "stage"):
        works = [changed("dev"), changed("prod", DIFF.replace('"cluster-{cluster}"', f'"cluster-{wrong}"'))]
        works += [changed("stage")]
        (found,) = compared(*works)
        assert found.odd == named("prod")
        assert [line.odd for line in found.difference] == [False, True]
        assert f"cluster-{wrong}" in found.difference[1].text


def test_a_value_copied_from_a_sibling_is_shown_beside_other_differences() -> None:
    clusters = ("dev", "stage", "prod-eu", "prod-us", "qa")
    works = [changed(cluster) for cluster in clusters]
    works[2] = changed(
        "prod-eu", DIFF.replace("2.1.0", "2.0.9").replace('"cluster-{cluster}"', '"cluster-dev"')
    )
    (found,) = compared(*works)
    assert found.odd == named("prod-eu")
    assert [line.text for line in found.difference if line.odd] == [
        "+  version: 2.0.9",
        '+  labels: [{cluster}, "cluster-dev"]',
    ]


def test_a_value_copied_within_a_matrix_of_two_parameters_is_found() -> None:
    pairs = [(("env", env), ("region", region)) for env in ("dev", "prod") for region in ("eu", "us", "asia")]
    works = [changed(params, "+{env} in {region}\n", "{env}/{region}") for params in pairs]
    assert compared(*works) == ()
    works[4] = changed(pairs[4], "+dev in {region}\n", "{env}/{region}")
    (found,) = compared(*works)
    assert found.odd == (works[4].task,)


def test_parameters_of_one_value_are_told_apart_where_it_can_be_told() -> None:
    pairs = [(("a", a), ("b", b)) for a in ("eu", "us") for b in ("eu", "us")]
    assert compared(*(changed(params, "+{a} then {b}\n", "x") for params in pairs)) == ()


def test_moments_ids_and_temporary_paths_are_not_compared() -> None:
    def text(day: int, digest: str, name: str) -> str:
        return (
            f"+at 2026-11-{day}T10:00:00Z in /tmp/{name}/file\n"
            f"+id {digest} uuid 0b1c2d3e-aaaa-bbbb-cccc-0000000000{day}\n"
        )

    works = [changed("dev", text(20, "3f2a9c8", "x1")), changed("prod", text(21, "aa00bb11cc", "y"))]
    assert compared(*works, changed("qa", text(22, "0dd0dd0", "z9"))) == ()


def test_small_numbers_are_compared_in_changes_and_durations_are_not_in_logs() -> None:
    works = [
        changed("dev", "+replicas: 3\n"),
        changed("prod", "+replicas: 3\n"),
        changed("qa", "+replicas: 5\n"),
    ]
    assert [found.odd for found in compared(*works)] == [named("qa")]
    logs = [
        changed(cluster, text, "tests", Kind.GATE)
        for cluster, text in (
            ("dev", "a ok\n{cluster} ok\n4 passed in 0.31s (pid 4711, localhost:40010)\n"),
            ("prod", "{cluster} ok\na ok\n4 passed in 12.2s (pid 99, localhost:40020)\n"),
            ("qa", "\x1b[32ma ok\x1b[0m\n{cluster} ok\n3 passed in 1.0s (pid 1, localhost:40030)\n"),
        )
    ]
    (found,) = compared(*logs)
    assert found.odd == named("qa")
    assert [line.text for line in found.difference] == [
        f"{n} passed in <duration> (pid <pid>, localhost:<port>)" for n in (4, 3)
    ]


def test_a_gate_that_has_not_run_for_all_is_compared_among_the_others() -> None:
    works = [changed(cluster, "ok\n", "tests", Kind.GATE) for cluster in ("dev", "prod")]
    assert compared(*works, work("qa")) == ()


def test_logs_that_list_what_landed_before_are_alike() -> None:
    def log(cluster: str, *landed: str) -> Work:
        return changed(
            cluster, "".join(f"live/{one}:\n" for one in landed) + "{cluster} ok\n", "ls", Kind.GATE
        )

    every = ("dev", "prod", "qa")
    assert compared(*(log(cluster, *every) for cluster in every)) == ()
    assert compared(*(log(cluster, *every[: number + 1]) for number, cluster in enumerate(every))) == ()
    works = [log(cluster, *every, *(() if cluster != "qa" else ("nowhere",))) for cluster in every]
    assert [found.odd for found in compared(*works)] == [named("qa")]


def test_a_value_that_looks_like_an_id_is_a_value() -> None:
    works = [changed(cluster) for cluster in ("deadbeef01", "2026-11-20", "prod")]
    assert compared(*works) == ()


@pytest.mark.parametrize("kind", Kind)
def test_how_much_there_was_room_for_is_no_divergence(kind: Kind) -> None:
    def piece(cluster: str, lines: int, *, cut: bool = True, odd: str = "") -> Work:
        text = [f"+{chr(97 + n // 26)}{chr(97 + n % 26)} {cluster}{odd}" for n in range(400)]
        kept = text[-lines:] if kind is Kind.GATE else text[:lines]
        return work(cluster, Part(kind, "x", "\n".join(kept), cut))

    works = [piece("dev", 300), piece("production", 280), piece("qa", 310), piece("t", 400, cut=False)]
    assert compared(*works) == ()
    (found,) = compared(*works, piece("stage", 290, odd="!"))
    assert found.odd == named("stage")


def test_a_long_difference_is_cut_and_says_so() -> None:
    works = [
        changed("dev"),
        changed("prod"),
        changed("qa", "".join(f"+line{chr(97 + n)}\n" for n in range(26))),
    ]
    (found,) = compared(*works)
    assert len(found.difference) == SHOWN_LINES
    assert found.cut == 26 + 4 - SHOWN_LINES


def test_fifty_siblings_with_large_changes_are_compared_quickly() -> None:
    body = "".join(f"+  key{n}: {{cluster}} /dev/null from dev1 to dev2\n" for n in range(3000))
    works = [changed(f"dev{n}", body) for n in range(50)]
    works[31] = changed("dev31", body.replace("key2000: {cluster}", "key2000: dev7"))
    began = time.process_time()
    (found,) = compared(*works)
    assert time.process_time() - began < 20
    assert found.odd == named("dev31")
    assert found.difference[-1].text.startswith("+  key2000: dev7 ")


def test_siblings_that_all_differ_are_compared_quickly() -> None:
    works = [changed(f"c{n}", "".join(f"+{n * k} a\n+x\n" for k in range(3000))) for n in range(50)]
    began = time.process_time()
    (found,) = compared(*works)
    assert time.process_time() - began < 20
    assert (found.odd, found.shapes) == ((), 50)


def test_one_alone_and_hostile_texts_are_no_trouble() -> None:
    assert compared(changed("dev")) == ()
    works = [changed(c, "+\0\ue100 \ue000 {cluster} \udcff\n+" + "a" * 5000) for c in ("x", "y", "z.")]
    assert compared(*works) == ()


def test_findings_that_differ_in_line_numbers_say_the_same() -> None:
    assert same_text("x.py:12: No test covers this", "x.py:30: no test  covers this")
    assert not same_text("no test covers this", "no test covers that")


# --- properties --------------------------------------------------------------------------------------

WORDS = st.from_regex(r"[a-z]{2,6}", fullmatch=True)
VALUES = st.from_regex(r"[a-z]{2,6}(-[a-z]{2,5}|-?[0-9]{1,2})?", fullmatch=True)
PIECES = st.one_of(WORDS, st.sampled_from(["{k}", "{m}", "/", ": ", "_", " = ", "[", '"', "2026-01-02", "7"]))
LINES = st.lists(PIECES, min_size=1, max_size=8).map("".join)
TEMPLATES = st.lists(st.tuples(st.sampled_from("+-"), LINES).map("".join), min_size=1, max_size=8)


@st.composite
def families(draw: st.DrawFn, least: int) -> list[Params]:
    """The parameters of some siblings: one matrix of one or two keys."""
    first = draw(st.lists(VALUES, min_size=least, max_size=6, unique=True))
    second = draw(st.lists(VALUES, min_size=1, max_size=2, unique=True))
    return [(("k", k), ("m", m)) for k in first for m in second]


def instance(params: Params, template: list[str]) -> Work:
    """What the template gives with these values; values stand apart from other letters and digits."""
    spaced = [line.replace("{", " {").replace("}", "} ") for line in template]
    return changed(params, "\n".join(spaced) + "\n", "a/{k}/{m}")


@settings(max_examples=many(150), deadline=None)
@given(families(least=2), TEMPLATES)
def test_renaming_the_values_never_makes_a_divergence(family: list[Params], template: list[str]) -> None:
    assert compared(*(instance(params, template) for params in family)) == ()


@settings(max_examples=many(150), deadline=None)
@given(families(least=3), TEMPLATES, st.data())
def test_what_one_did_differently_is_always_found_and_only_it_is_named(
    family: list[Params], template: list[str], data: st.DataObject
) -> None:
    works = [instance(params, template) for params in family]
    odd = data.draw(st.integers(0, len(works) - 1))
    at = data.draw(st.integers(0, len(template) - 1))
    planted = [*template[:at], "+PLANTED", *template[at + data.draw(st.integers(0, 1)) :]]
    works[odd] = instance(family[odd], planted)
    found = compared(*works)
    assert [one.odd for one in found] == [(works[odd].task,)]
    assert any(line.odd and "PLANTED" in line.text for line in found[0].difference)
