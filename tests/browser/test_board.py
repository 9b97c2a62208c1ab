"""The board in a real browser: it is opened, clicked through, and changes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from git_fleet.app.session import Session
from git_fleet.core.model import Finding
from tests.support import spaces
from tests.support.boards import Asking, answering, answering_for_all
from tests.support.browser import DESK, PHONE, Browser
from tests.support.clock import FakeClock
from tests.support.fleet import on_task, open_fleet
from tests.support.repo import Repo
from tests.support.stories import tell

LIVE = "document.querySelector('.live.on')"


@pytest.fixture
def story(repo: Repo, clock: FakeClock) -> Session:
    return tell(repo, clock, hostile=True)


@pytest.fixture
def shown(story: Session, clock: FakeClock) -> Iterator[Asking]:
    place = story.repo.common_dir.parent
    with answering(lambda: open_fleet(place, "viewer", clock, long_lived=True)) as asking:
        yield asking


def test_the_board_is_opened_clicked_through_and_changes_by_itself(
    window: Browser, shown: Asking, story: Session
) -> None:
    window.show(shown.url)
    window.until(LIVE)
    assert window.driver.current_url == f"http://127.0.0.1:{shown.port}/plan/shop", (
        "the token is in the address"
    )
    assert '<script>alert("title")</script>' in window.text("#tasks")
    window.find("a.row[href='/task/shop/pay']").click()
    window.until(f"location.pathname === '/task/shop/pay' && {LIVE}")
    window.run("window.same = true")
    assert "git fleet unblock shop/pay" in window.text()
    on_task(story, "unblock", "pay", reason="<img src=x onerror=\"document.title='owned'\">")
    window.until("document.body.textContent.includes('git fleet claim shop/pay')")
    assert window.run("return window.same"), "the page was loaded anew"
    assert "onerror=" in window.text("#p-story")
    assert window.run("return [document.title.includes('owned'), document.images.length]") == [False, 0]
    copies = window.all("button.copy")
    assert len(copies) == len(window.all("code.command")) > 0
    window.find(".bar a[aria-current]").click()
    window.until("location.pathname === '/plan/shop'")
    assert window.complaints() == []


def test_what_is_unfolded_stays_so_while_its_text_changes(
    window: Browser, shown: Asking, story: Session
) -> None:
    window.show(shown.url)
    window.show(f"http://127.0.0.1:{shown.port}/task/shop/guide")
    window.until(LIVE)
    window.find("#prompt > summary").click()
    on_task(story, "reject", "guide", reason="person", findings=(Finding("say what it costs", "person:ann"),))
    window.until("document.querySelector('#prompt').textContent.includes('say what it costs')")
    assert window.run("return document.querySelector('#prompt').open")


def test_the_board_is_shown_in_light_and_dark_and_on_a_phone(
    window: Browser, shown: Asking, tmp_path: Path
) -> None:
    window.show(shown.url)
    for path in ("/plan/shop", "/task/shop/search"):
        for width, dark in ((DESK, False), (DESK, True), (PHONE, False), (PHONE, True)):
            window.show(f"http://127.0.0.1:{shown.port}{path}", width=width, dark=dark)
            window.until(LIVE)
            assert window.run("return document.documentElement.scrollWidth") <= width, "it scrolls sideways"
            colour = window.run("return getComputedStyle(document.body).backgroundColor")
            assert (colour == "rgb(16, 19, 23)") is dark
            window.picture(tmp_path / "picture.png", whole=True)
            assert (tmp_path / "picture.png").stat().st_size > 20_000
    assert window.complaints() == []


def test_a_workspace_is_opened_walked_through_and_changes_by_itself(
    window: Browser, clock: FakeClock, tmp_path: Path
) -> None:
    space, repos = spaces.crowded(tmp_path, clock)
    with answering_for_all(space, clock) as asking:
        window.show(asking.url)
        window.until(LIVE)
        assert "half-way" in window.text("#p-changesets")
        for width, dark in ((DESK, False), (PHONE, True)):
            window.show(f"http://127.0.0.1:{asking.port}/", width=width, dark=dark)
            window.until(LIVE)
            assert window.run("return document.documentElement.scrollWidth") <= width, "it scrolls sideways"
            window.picture(tmp_path / f"front-{width}.png", whole=True)
        window.show(f"http://127.0.0.1:{asking.port}/", width=DESK)
        window.until(LIVE)
        window.run("window.same = true")
        spaces.work(repos["service"], *spaces.RENAMED["service"])
        window.until("document.querySelector('#p-changesets').textContent.includes('serve proposed')")
        assert window.run("return window.same"), "the page was loaded anew"
        window.find("a[href='/repo/service/plan/rename']").click()
        window.until(f"location.pathname === '/repo/service/plan/rename' && {LIVE}")
        window.find("a.row[href='/repo/service/task/rename/serve']").click()
        window.until(f"location.pathname === '/repo/service/task/rename/serve' && {LIVE}")
        window.find(".bar a[href='/']").click()
        window.until(f"location.pathname === '/' && {LIVE}")
        assert window.complaints() == []


def test_a_page_without_the_token_shows_nothing(window: Browser, shown: Asking) -> None:
    window.show(f"http://localhost:{shown.port}/plan/shop")
    assert window.text().strip() == "open the address that git fleet board has printed: it has a token"
    assert all("403" in said for said in window.complaints())
