"""One page over all repositories of a workspace: complete, harmless, and every link leads somewhere."""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path

import pytest

from git_fleet import resources
from git_fleet.app import reporting
from git_fleet.app.wide import telling
from git_fleet.views import wideweb
from tests.support import spaces
from tests.support.clock import FakeClock
from tests.support.elements import Elements
from tests.support.fleet import surroundings


@pytest.fixture
def made(tmp_path: Path, clock: FakeClock) -> str:
    """The page of a workspace with a change set half-way, hostile texts, and a repository that is gone."""
    space, _ = spaces.crowded(tmp_path, clock)
    overview, told = telling.reports(space, surroundings(clock))
    return wideweb.report_page(overview, told, resources.web, version="1")


def test_a_page_over_a_workspace_tells_of_every_repository_and_change_set(made: str) -> None:
    found = Elements(made)
    text = " ".join(html.unescape(re.sub("<[^>]*>", " ", made)).split())
    for said in (
        "5 of 6 repositories can be read",
        "0 of 1 change sets landed 1 half-way",
        "rename/api half-way",
        "integrate --changeset api goes on",
        "8 of 14 tasks integrated",
        "1 of 1 task integrated",
        "<b>gone is not there",
        "Plan rename (open) in client onto main",
    ):
        assert said in text, said
    names = Counter(found.of("id"))
    assert {name for name, times in names.items() if times > 1} == set(), (
        "two repositories have the same plan"
    )
    assert {"web/shop/task-pay", "app/shop/task-pay", "repo-gone", "client/rename"} <= set(names)
    assert {href.removeprefix("#") for href in found.of("href")} <= set(names)
    assert set(found.of("aria-labelledby")) <= set(names)
    assert not {"script", "img", "iframe", "link", "object"} & set(found.names)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]
    assert '<script>alert("title")</script>' in found.text
    assert made.count("Content-Security-Policy") == made.count("<style>") == 1


def test_what_gates_printed_is_shared_between_the_repositories(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, _ = spaces.crowded(tmp_path, clock)
    monkeypatch.setattr(reporting, "LOG_BYTES", 6 * 8000)
    _, told = telling.reports(space, surroundings(clock))
    by_plan = {
        (answer.repo.name, found.review.plan): sum(
            len(log.text) for logs in found.logs.values() for log in logs
        )
        for answer in told
        for found in answer.value or ()
    }
    assert 4000 < by_plan["web", "shop"] <= 8000
    assert sum(by_plan.values()) <= 6 * 8000
