"""What the captures show: a plan of eight tasks in the middle of its life, an hour after it was approved."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from git_fleet.app import work
from git_fleet.app.session import Session
from git_fleet.core.model import Finding
from tests.support.clock import FakeClock
from tests.support.fleet import approved, handed_in, integrated, on_task, open_fleet, task, working_on
from tests.support.repo import Repo, make_repo

CONFIG = """\
version = 1

[[gate]]
name = "tests"
run = "true"
"""

FILES = {
    "fleet.toml": CONFIG,
    "README.md": "# shop\n",
    "shop/cart.py": "ITEMS = []\n\n\ndef total():\n    return sum(ITEMS)\n",
    "shop/api.py": "ROUTES = {}\n",
    "shop/search.py": "def search(text):\n    return []\n",
    "shop/mail.py": "def send(to, text):\n    pass\n",
    "docs/api.md": "# The interface\n",
    "tests/test_cart.py": "def test_nothing():\n    pass\n",
}

TASKS = (
    task("cart", title="Round prices half to even", files=["shop/cart.py"], estimate_minutes=15),
    task("search", title="Search by several words", files=["shop/search.py"], estimate_minutes=30),
    task("mail", title="Send mail in the background", files=["shop/mail.py"], estimate_minutes=20),
    task("api", title="Routes for the cart", files=["shop/api.py"], needs=["cart"], estimate_minutes=25),
    task(
        "coupons", title="Coupons in the cart", files=["shop/cart.py", "shop/coupons.py"], estimate_minutes=25
    ),
    task("docs", title="Describe the routes", files=["docs/**"], reads=["shop/api.py"], needs=["api"]),
    task(
        "speed", title="Index the catalogue", files=["shop/index.py"], needs=["search"], estimate_minutes=20
    ),
    task("audit", title="Where do we swallow errors?", output="report", estimate_minutes=10),
)


def environment(folder: Path) -> dict[str, str]:
    """What the scene is played in: a home of its own, and nothing of an agent."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    config = home / "gitconfig"
    config.write_text("[user]\n\tname = Ann\n\temail = ann@example.invalid\n[init]\n\tdefaultBranch = main\n")
    agents = dict.fromkeys(("CLAUDECODE", "AI_AGENT", "CODEX_SANDBOX", "GEMINI_CLI", "OPENCODE"), "")
    return {
        **agents,
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CONFIG_NOSYSTEM": "1",
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
    }


def play(folder: Path) -> Path:
    """Make the repository below `folder`, and bring its tasks to where the captures find them: its path."""
    repo = make_repo(folder / "shop", FILES)
    clock = FakeClock(datetime.now(UTC) - timedelta(minutes=62))
    lead = open_fleet(repo, "ann", clock)
    approved(lead, *TASKS, plan="shop", title="The shop, second release")
    crew = {name: open_fleet(repo, name, clock) for name in ("ada", "bob", "cleo", "dan")}
    _first_half(lead, crew, clock)
    _second_half(lead, crew, clock)
    for session in (lead, *crew.values()):
        session.store.refs.close()
        session.store.objects.close()
    _age(repo.path)
    return repo.path


def _first_half(lead: Session, crew: dict[str, Session], clock: FakeClock) -> None:
    working_on(crew["ada"], "cart")
    working_on(crew["bob"], "search")
    handed_in(
        crew["ada"],
        "cart",
        {"shop/cart.py": FILES["shop/cart.py"].replace("sum(ITEMS)", "round(sum(ITEMS), 2)")},
    )
    clock.advance(8 * 60)
    integrated(lead, "cart")
    clock.advance(5 * 60)
    working_on(crew["cleo"], "mail")
    on_task(crew["cleo"], "block", "mail", code="no-queue", reason="there is no queue to send it with")
    clock.advance(4 * 60)


def _second_half(lead: Session, crew: dict[str, Session], clock: FakeClock) -> None:
    handed_in(crew["bob"], "search", {"shop/search.py": "def search(*words):\n    return []\n"})
    found = (Finding("gate tests: exit 1: search('') finds everything", "gate"),)
    on_task(lead, "eject", "search", reason="gate", findings=found)
    clock.advance(9 * 60)
    api = Repo(working_on(crew["ada"], "api"))
    api.commit("Routes for the cart", {"shop/api.py": "ROUTES = {'/cart': 'total'}\n"})
    api.write("shop/api.py", "ROUTES = {'/cart': 'total', '/cart/items': 'items'}\n")
    clock.advance(3 * 60)
    working_on(crew["dan"], "audit")
    clock.advance(2 * 60)
    work.progress(crew["ada"], "api", "two routes of four, tests next")
    working_on(crew["bob"], "coupons")
    handed_in(crew["bob"], "coupons", {"shop/coupons.py": "COUPONS = {}\n"})
    api.write("shop/coupons.py", "COUPONS = {'SUMMER': 10}\n")  # not its file, and another's by now


def _age(repo: Path) -> None:
    """Files made just now would be signs of life."""
    then = datetime.now(UTC).timestamp() - 95
    for place in (*(repo / ".git").rglob("fleet-alive"), *(repo / ".git" / "worktrees").rglob("logs/HEAD")):
        os.utime(place, (then, then))
