"""Pages and Markdown of a report: complete, harmless, and the same for a plan of any size."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter

import pytest

from git_fleet import resources
from git_fleet.app import reporting
from git_fleet.core.reporting import Report
from git_fleet.views import machine_report, markdown, web
from git_fleet.views.report import Page
from tests.support.clock import FakeClock
from tests.support.documents import validate
from tests.support.elements import Elements
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo
from tests.support.stories import HOSTILE_TITLE, tell


@pytest.fixture
def hostile(repo: Repo, clock: FakeClock) -> Report:
    return reporting.report(tell(repo, clock, hostile=True), None)


def page(value: Report) -> str:
    return web.report_page(value, resources.web, version="1")


def test_a_page_shows_hostile_texts_as_text_and_needs_nobody(hostile: Report) -> None:
    made = page(hostile)
    found = Elements(made)
    assert not {"script", "img", "iframe", "link", "object"} & set(found.names)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]
    assert {value[:1] for value in found.of("href")} == {"#"}
    assert '<script>alert("title")</script>' in found.text
    assert "<img src=x onerror=alert(1)>" in found.text
    assert "👩\u200d💻" in found.text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", made)
    assert "http:" not in made.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in made


def test_the_policy_of_a_page_allows_its_own_style_alone(hostile: Report) -> None:
    made = page(hostile)
    (style,) = re.findall("<style>(.*?)</style>", made, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall('Content-Security-Policy" content="([^"]*)"', made)
    assert policy.startswith(
        f"default-src &#39;none&#39;; style-src &#39;sha256-{digest}&#39;".replace("&#39;", "'")
    )


def test_every_link_of_a_page_leads_somewhere_and_no_name_is_there_twice(hostile: Report) -> None:
    found = Elements(page(hostile))
    names = Counter(found.of("id"))
    assert {name for name, times in names.items() if times > 1} == set()
    assert {href.removeprefix("#") for href in found.of("href")} <= set(names)
    assert set(found.of("aria-labelledby")) <= set(names)


def test_a_page_tells_what_happened(hostile: Report) -> None:
    text = " ".join(Elements(page(hostile)).text.split())
    for said in (
        "8 of 14",
        "Too early to tell",
        "2 pairs of tasks predicted to share files; 2 of them really changed a common one; 1 pair met that nobody had foreseen; 1 pair conflicted.",
        "unlike the others: region-jp",
        "pay is blocked (question: may an invoice be paid in two parts?)",
        "git fleet unblock shop/pay",
        "the challenge is not bound to the session",
    ):
        assert said in text, said


def test_a_plan_that_nobody_has_begun_has_a_page_too(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"))
    found = reporting.report(session, None)
    assert Page(found).timeline is None
    assert "nobody has claimed a task yet" in Elements(page(found)).text
    assert "No two tasks were to change a common file, and none did." in markdown.markdown(found)


def test_the_document_is_what_the_schemas_say(hostile: Report) -> None:
    made = {"v": 1, **machine_report.report(hostile)}
    validate(made, "report")
    for part in ("score", "review", "graph"):
        validate({"v": 1, **made[part]}, part)


def test_markdown_has_no_markup_but_ours(hostile: Report) -> None:
    made = markdown.markdown(hostile)
    assert "<script" not in made.partition("```mermaid")[0]
    rows = [line for line in made.splitlines() if line.startswith("| `mails` |")]
    assert len(rows) == 1
    assert len(rows[0]) < 400
    assert rows[0].count(" | ") == 6
    assert made.count("```") == 2
    assert (
        markdown.escaped("@ann see #7 <b> [x](y) *z* a|b")
        == "&#64;ann see &#35;7 &#60;b&#62; \\[x\\](y) \\*z\\* a&#124;b"
    )
    assert markdown.code("a`b|c") == "`aʼb｜c`"
    assert HOSTILE_TITLE not in made


def test_bars_lie_within_the_time_and_say_what_they_are(hostile: Report) -> None:
    found = Page(hostile).timeline
    assert found is not None
    assert [row.label for row in found.workers] == ["ann", "bob", "cem", "dee"]
    assert found.unclaimed == 1
    bars = [bar for row in (*found.workers, *found.tasks) for bar in row.bars]
    for bar in bars:
        x, width = float(bar.x.removesuffix("%")), float(bar.width.removesuffix("%"))
        assert 0 <= x <= 100
        assert 0 < width <= 100.01 - x
    assert "search: worked on again, 18 min" in [bar.title for bar in bars]
    assert [tick.label for tick in found.ticks] == ["0", "30 min", "1 h", "1 h 30"]
