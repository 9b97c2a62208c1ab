"""The pictures of README, made anew: `make pictures`. Needs Chromium (tests/support/browser.py)."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from git_fleet import __version__, resources
from git_fleet.app import reporting
from git_fleet.views import web
from tests.support.boards import answering
from tests.support.browser import Browser, browser, missing
from tests.support.clock import FakeClock
from tests.support.fleet import open_fleet
from tests.support.repo import make_repo
from tests.support.stories import MINUTES, tell

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
WIDE, HIGH = 1120, 760


def main() -> None:
    """Report and board of one story, in light and dark."""
    if reason := missing():
        sys.exit(reason)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        (home / ".gitconfig").write_text("[user]\n\tname = Lead\n\temail = lead@example.org\n")
        os.environ |= {"HOME": scratch, "XDG_STATE_HOME": f"{home}/state", "XDG_CACHE_HOME": f"{home}/cache"}
        with browser(home / "chromium") as window:
            _take(window, home)


def _take(window: Browser, home: Path) -> None:
    clock = FakeClock(datetime.now(UTC) - timedelta(minutes=MINUTES))
    repo = make_repo(home / "shop")
    session = tell(repo, clock)
    page = home / "report.html"
    page.write_text(web.report_page(reporting.report(session, None), resources.web, version=__version__))
    with answering(lambda: open_fleet(repo, "viewer", clock, long_lived=True)) as asking:
        for dark in (False, True):
            name = "dark" if dark else "light"
            window.show(page.as_uri(), width=WIDE, height=HIGH, dark=dark)
            window.run("document.querySelector('#timeline').scrollIntoView()")
            window.picture(FOLDER / f"report-{name}.png")
            window.show(asking.url, width=WIDE, height=HIGH, dark=dark)
            window.until("document.querySelector('.live.on') && document.querySelector('#said').textContent")
            window.picture(FOLDER / f"board-{name}.png")


if __name__ == "__main__":
    main()
