"""A plan in the middle of its life, with a little of everything that a report or the board has to show.

Three hours of a shop that is being rebuilt: four workers, a conflict, a red gate, a question, siblings of which one
is odd, and tasks that met in a file though the plan did not say so.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from git_fleet.app import acting, lead
from git_fleet.app.session import Session
from git_fleet.core.model import Finding, Usage, Verdict
from git_fleet.store import gatelogs
from tests.support.clock import START, FakeClock
from tests.support.fleet import (
    Table,
    approved,
    claimed,
    integrated,
    on_task,
    open_fleet,
    proposed,
    task,
)
from tests.support.repo import Repo, make_repo

HOSTILE_TITLE = '</title><script>alert("title")</script> \u202eevil\u202c 👩‍💻 \'"& שלום ' + "long " * 2000
HOSTILE_LOG = (
    "<script>alert('log')</script>\n\x1b[31mred\x1b[0m \u202ebackwards\n"
    + "x" * 10_000
    + "\n</pre><img src=x onerror=alert(1)>\n"
)

MINUTES = 118
"""How long the story goes."""

_ROUTES = "".join(f"route('/{name}')\n" for name in ("home", "cart", "search", "login"))
_LOG = "".join(f"tests/test_{name}.py {'.' * 40} ok\n" for name in ("cart", "login", "routes", "search"))
_RED = (
    "tests/test_search.py ..F.\n\n>       assert found == ['tea']\nE       AssertionError: assert ['tea', 'tee'] == ['tea']\n\n"
    "1 failed, 41 passed in 3.21s\n"
)

TASKS: tuple[Table, ...] = (
    task("schema", title="One schema for orders and carts", files=["db/**"], estimate_minutes=20),
    task("routes", title="Routes of the new shop", files=["src/routes.py"], needs=["schema"], estimate_minutes=15),
    task("login", title="Log in with a passkey", files=["src/login/**"], needs=["schema"], estimate_minutes=25),
    task("cart", title="Cart that survives a reload", files=["src/cart/**", "src/routes.py"], needs=["schema"],
         estimate_minutes=25),
    task("search", title="Search with typing mistakes", files=["src/search/**", "web/style.css"], needs=["routes"],
         estimate_minutes=30, overlap="accept"),
    task("theme", title="Dark theme", files=["web/**"], estimate_minutes=15, overlap="accept"),
    task("mails", title="Mails in plain words", files=["mails/**"], estimate_minutes=15),
    task("guide", title="A guide for people who sell", files=["docs/**"], estimate_minutes=20),
    task("pay", title="Pay by invoice", files=["src/pay/**"], needs=["cart"], estimate_minutes=30),
    task("checkout", title="Checkout on one page", files=["src/checkout/**"], needs=["cart", "login", "pay"],
         estimate_minutes=40),
    task("region-{land}", title="Prices for {land}", files=["prices/{land}.toml"], estimate_minutes=5,
         matrix={"land": ["de", "fr", "it", "jp"]}),
)  # fmt: skip


@dataclass
class _Teller:
    """Events at their minutes, by several workers on one clock."""

    session: Session
    clock: FakeClock
    minute: float = 0

    def at(self, minute: float) -> _Teller:
        self.clock.advance(60 * (minute - self.minute))
        self.minute = minute
        return self

    def claim(self, worker: str, name: str) -> None:
        claimed(replace(self.session, actor=worker), name)

    def done(self, worker: str, name: str, files: Mapping[str, str]) -> None:
        who = replace(self.session, actor=worker)
        on_task(who, "usage", name, usage=Usage(41_000 + 900 * len(name), 5200, 0.31))
        proposed(who, name, files)

    def gates(self, name: str, **logs: str) -> None:
        record = self.session.record(self.session.snapshot(), name)
        assert record.state.proposal is not None
        data = {f"{n}-{gate}.log": text.encode() for n, (gate, text) in enumerate(logs.items(), start=1)}
        gatelogs.keep(
            self.session.store,
            record.id,
            record.state.proposal.number,
            data,
            actor="lead",
            at=self.session.now(),
        )

    def verdict(self, name: str, said: str, *findings: Finding) -> None:
        proposal = self.session.record(self.session.snapshot(), name).state.proposal
        assert proposal is not None
        verdict = Verdict("security", "verifier:skeptic", said, proposal.number, proposal.commit)
        on_task(self.session, "verdict", name, verdict=verdict, findings=findings)

    def land(self, *names: str) -> None:
        for name in names:
            self.gates(name, tests=_LOG, lint="checked 57 files, no findings\n")
            self.verdict(name, "upheld")
            integrated(self.session, name)

    def eject(self, name: str, reason: str, paths: tuple[str, ...], text: str, **logs: str) -> None:
        found = (Finding(text, f"gate:{reason}" if reason == "gate" else reason, paths[0] if paths else ""),)
        record = self.session.record(self.session.snapshot(), name)
        fields = {"reason": reason, "findings": found, "paths": list(paths)}
        texts = {f"1-{gate}.log": log.encode()[-4000:] for gate, log in logs.items()}
        acting.act(self.session, record, "eject", lambda _: fields, texts=texts)


def tell(repo: Repo, clock: FakeClock, *, hostile: bool = False) -> Session:
    """The story as it was played in a repository that has just been made, copied where the clock is at its start; `hostile`
    gives some titles and logs that attack whoever shows them."""
    if clock() != START:
        return _play(repo, clock, hostile=hostile)
    shutil.copytree(_played(hostile=hostile), repo.path, symlinks=True, dirs_exist_ok=True)
    repo.run_git("update-index", "-q", "--refresh")
    clock.advance(60 * MINUTES)
    return open_fleet(repo, "lead", clock)


@functools.cache
def _played(*, hostile: bool) -> Path:
    """The story played once, to be copied: it has hundreds of writes."""
    folder = Path(tempfile.mkdtemp(prefix="git-fleet-story-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _play(make_repo(folder / "repo"), FakeClock(), hostile=hostile):
        return folder / "repo"


def _play(repo: Repo, clock: FakeClock, *, hostile: bool) -> Session:
    repo.commit("A shop", {"src/routes.py": _ROUTES, "web/style.css": "body {}\n", "README.md": "# Shop\n"})
    session = open_fleet(repo, "lead", clock)
    approved(session, *_tasks(hostile=hostile), plan="shop", title="Rebuild the shop")
    story = _Teller(session, clock)
    _first_hour(story)
    _second_hour(story)
    _third_hour(story, red=HOSTILE_LOG if hostile else _RED)
    return session


def _tasks(*, hostile: bool) -> list[Table]:
    return [{**each, "title": HOSTILE_TITLE} if hostile and each["id"] == "mails" else each for each in TASKS]


def _led(story: _Teller, begin: float, act: Callable[[_Teller], Any], end: float) -> None:
    """What a lead does, with the lease that it has meanwhile."""
    lead.acquire(story.at(begin).session)
    act(story)
    lead.release(story.at(end).session)


def _first_hour(story: _Teller) -> None:
    story.at(0).claim("ann", "schema")
    story.claim("bob", "theme")
    story.claim("cem", "mails")
    story.at(1).claim("dee", "region-de")
    for minute, land, following in ((6, "de", "fr"), (10, "fr", "it"), (13, "it", "jp")):
        prices = f"land = '{land}'\nrounding = 'commercial'\n"
        story.at(minute).done("dee", f"region-{land}", {f"prices/{land}.toml": prices})
        story.claim("dee", f"region-{following}")
    story.at(14).done(
        "bob", "theme", {"web/style.css": "body { color: black }\n", "web/dark.css": "body {}\n" * 40}
    )
    story.at(15).claim("bob", "guide")
    story.at(17).done(
        "cem", "mails", {"mails/hello.txt": "Hello!\n" * 12, "README.md": "# Shop\n\nMails: see mails/\n"}
    )
    story.at(19).done("dee", "region-jp", {"prices/jp.toml": "land = 'jp'\nrounding = 'none'\n"})
    story.at(22).done("ann", "schema", {"db/orders.sql": "create table orders ();\n" * 30})
    _led(story, 24, lambda it: it.land("region-de", "region-fr", "region-it", "schema", "theme"), 28)


def _second_hour(story: _Teller) -> None:
    story.at(29).claim("ann", "routes")
    story.claim("cem", "login")
    story.at(41).done("ann", "routes", {"src/routes.py": _ROUTES + "route('/pay')\n"})
    _led(story, 43, lambda it: it.land("routes"), 46)
    story.at(47).claim("ann", "cart")
    story.claim("dee", "search")
    story.at(58).done("cem", "login", {"src/login/passkey.py": "def login(): ...\n" * 25})
    story.at(60).verdict(
        "login",
        "refuted",
        Finding(
            "the challenge is not bound to the session", "verifier:skeptic/security", "src/login/passkey.py"
        ),
    )
    on_task(
        story.session, "refute", "login", reason="verdict",
        findings=(Finding("the challenge is not bound to the session", "verifier:skeptic/security", "src/login/passkey.py"),),
    )  # fmt: skip
    story.at(64).claim("cem", "login")
    story.at(74).done(
        "ann",
        "cart",
        {
            "src/cart/cart.py": "class Cart: ...\n" * 60,
            "src/routes.py": _ROUTES + "route('/pay')\nroute('/cart/keep')\n",
        },
    )
    story.at(79).done("cem", "login", {"src/login/passkey.py": "def login(session): ...\n" * 28})


def _third_hour(story: _Teller, *, red: str) -> None:
    story.at(80).done(
        "bob", "guide", {"docs/guide.md": "Sell things.\n" * 50, "README.md": "# Shop\n\nGuide: see docs/\n"}
    )
    story.at(83).done(
        "dee",
        "search",
        {"src/search/find.py": "def find(): ...\n" * 35, "web/style.css": "body { margin: 0 }\n"},
    )

    def land(it: _Teller) -> None:
        it.land("cart")
        it.eject("search", "conflict", ("web/style.css",), "conflicts with main in web/style.css")
        it.at(88).land("login")

    _led(story, 85, land, 90)
    story.at(91).claim("dee", "search")
    story.at(92).claim("ann", "pay")
    story.at(109).done("dee", "search", {"src/search/find.py": "def find(): ...\n" * 42})
    story.at(111).gates("search", tests=red)
    story.eject("search", "gate", (), "gate tests failed: 1 failed, 41 passed", tests=red)
    on_task(
        replace(story.session, actor="ann"),
        "block",
        "pay",
        code="question",
        reason="may an invoice be paid in two parts?",
    )
    story.at(116).claim("dee", "search")
    on_task(replace(story.session, actor="dee"), "progress", "search", status="41 of 42 tests pass")
    story.at(MINUTES)
