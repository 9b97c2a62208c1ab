"""A report in a real browser: nothing of what others wrote runs, everything can be reached, at every width."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from git_fleet import resources
from git_fleet.app import reporting
from git_fleet.views import web
from tests.support.browser import DESK, PAPER, PHONE, Browser
from tests.support.clock import FakeClock
from tests.support.repo import Repo
from tests.support.stories import tell


@pytest.fixture
def page(repo: Repo, clock: FakeClock, tmp_path: Path) -> str:
    """The address of a report with hostile titles and logs."""
    found = reporting.report(tell(repo, clock, hostile=True), None)
    place = tmp_path / "report.html"
    place.write_text(web.report_page(found, resources.web, version="1"), encoding="utf-8")
    return place.as_uri()


def test_a_report_is_read_clicked_through_and_shown_at_every_width(
    window: Browser, page: str, tmp_path: Path
) -> None:
    sizes = set()
    for width, dark in ((DESK, False), (DESK, True), (PHONE, False), (PHONE, True)):
        window.show(page, width=width, dark=dark)
        assert window.run("return document.documentElement.scrollWidth") <= width, "it scrolls sideways"
        colour = window.run("return getComputedStyle(document.body).backgroundColor")
        assert (colour == "rgb(16, 19, 23)") is dark, "the style is not applied"
        picture = tmp_path / f"{width}-{dark}.png"
        window.picture(picture, whole=True)
        sizes.add(picture.stat().st_size)
    assert min(sizes) > 20_000
    assert len(sizes) == 4
    assert window.complaints() == []
    assert window.run("return document.scripts.length + document.images.length") == 0
    assert '<script>alert("title")</script>' in window.text("#task-mails")
    assert "<script>alert('log')</script>" in window.text("#task-search")


def test_a_printed_report_has_all_of_its_tables_in_dark_ink(window: Browser, page: str) -> None:
    window.show(page, width=PAPER, dark=True)
    wide = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth + 1)"
    assert window.run(f"return {wide}.map((one) => one.textContent)") == []
    left = "[...document.querySelectorAll('.pairs > .panel')].map((one) => one.offsetLeft)"
    assert window.run(f"return new Set({left}).size") == 1, "they share the width of a sheet"
    bright = "getComputedStyle(document.documentElement).getPropertyValue('--claimed').trim()"
    assert window.run(f"return {bright}") == "#1f6fc2"


def test_a_report_is_read_without_a_mouse(window: Browser, page: str) -> None:
    window.show(page)
    window.find("body").send_keys(Keys.TAB)
    assert window.run("return document.activeElement.textContent") == "Skip to the tasks"
    row = window.find("#task-search > summary")
    row.send_keys(Keys.ENTER)
    assert window.find("#task-search pre").is_displayed() is False
    window.find("#task-search details > summary").send_keys(Keys.ENTER)
    assert window.find("#task-search pre").is_displayed() is True
    window.find("nav a[href='#conflicts']").click()
    window.until("scrollY > 300")
