"""One browser for all tests of this folder; without Chromium they are skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import Browser, browser, missing


@pytest.fixture(scope="session")
def _window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if reason := missing():
        pytest.skip(reason)
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def window(_window: Browser) -> Iterator[Browser]:
    """The browser, of which nobody has heard a complaint yet; no page is left that would go on asking."""
    _window.complaints()
    yield _window
    _window.driver.get("about:blank")
