"""The board answers those who may look, shows what there is as text, and wakes them when something moves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from git_fleet.admission import HOST
from git_fleet.app import plan, showing, work
from git_fleet.app.session import Session
from git_fleet.app.showing import Colliding
from git_fleet.board import server
from git_fleet.core.ids import TaskId
from git_fleet.errors import InvalidInput
from git_fleet.views import board as pages
from tests.cli.conftest import Fleet
from tests.support.boards import ONCE, TOKEN, Asking, answering
from tests.support.clock import FakeClock
from tests.support.documents import validate
from tests.support.fleet import approved, claimed, on_task, open_fleet, saved, task, working_on
from tests.support.repo import Repo
from tests.support.stories import tell


@pytest.fixture
def story(repo: Repo, clock: FakeClock) -> Session:
    return tell(repo, clock, hostile=True)


@pytest.fixture
def empty(repo: Repo, clock: FakeClock) -> Iterator[Asking]:
    """The board of a repository without a plan."""
    with answering(lambda: open_fleet(repo, "viewer", clock, long_lived=True)) as asking:
        yield asking


@pytest.fixture
def shown(story: Session, clock: FakeClock) -> Iterator[Asking]:
    """The board of the story."""
    place = story.repo.common_dir.parent
    with answering(lambda: open_fleet(place, "viewer", clock, long_lived=True)) as asking:
        yield asking


def test_only_who_knows_the_token_may_look_and_it_leaves_the_address_bar(empty: Asking) -> None:
    first = empty.get(f"/?token={TOKEN}", cookie="")
    assert (first.status, first.headers["location"]) == (303, "/")
    assert first.headers["set-cookie"] == f"{empty.cookie}; HttpOnly; Path=/; SameSite=strict"
    assert empty.get("/").status == 200
    for path, cookie in (
        ("/", ""),
        ("/?token=another", ""),
        ("/?token=%ff%00", ""),
        ("/", f"fleet-board-{empty.port}=another"),
        ("/", f"fleet-board-1={TOKEN}"),
        (f"/plan/p?token={TOKEN}", ""),
        ("/events", ""),
        ("/static/board.js", ""),
    ):
        refused = empty.get(path, cookie=cookie)
        assert (refused.status, refused.text[:16]) == (403, "open the address"), path


def test_the_token_of_a_browser_that_is_started_counts_once(empty: Asking) -> None:
    assert empty.get(f"/plan/p?token={ONCE}", cookie="").status == 403
    first, again = (empty.get(f"/?token={ONCE}", cookie="") for _ in range(2))
    assert (first.status, again.status) == (303, 403)
    assert first.headers["set-cookie"].startswith(f"{empty.cookie};")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": "127.0.0.1:1"}, 421),
        ({"host": ""}, 400),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
    ],
)
def test_a_request_by_another_name_or_from_another_site_is_refused(
    empty: Asking, headers: dict[str, str], status: int
) -> None:
    assert empty.get("/", **headers).status == status


def test_loopback_has_three_names(empty: Asking) -> None:
    for name in ("127.0.0.1", "localhost", "[::1]"):
        host = f"{name}:{empty.port}"
        assert empty.get("/", host=host, origin=f"http://{host}").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_done_there(empty: Asking, method: str) -> None:
    assert empty.get("/", method).status == 405


def test_every_answer_has_the_policy_that_allows_our_script_alone(shown: Asking) -> None:
    for path, cookie in (
        ("/", ""),
        ("/plan/shop", shown.cookie),
        ("/nothing", shown.cookie),
        ("/static/board.js", shown.cookie),
    ):
        found = shown.get(path, cookie=cookie)
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cache-control"] == "no-store"


def test_pages_show_hostile_texts_as_text(shown: Asking) -> None:
    assert shown.get("/").headers["location"] == "/plan/shop"
    for path, said in (
        ("/plan/shop", "&lt;script&gt;alert(&#34;title&#34;)"),
        ("/task/shop/mails", "&lt;script&gt;alert(&#34;title&#34;)"),
        ("/task/shop/search", "&lt;script&gt;alert(&#39;log&#39;)"),
    ):
        page = shown.get(path)
        assert page.status == 200
        assert said in page.text
        assert re.findall("<script[^>]*>", page.text) == ['<script src="/static/board.js" defer>']
        assert not re.search(r" on\w+=| style=|[\u202a-\u202e\x1b]", re.sub(r">[^<]*<", "><", page.text))
        part = shown.get(f"{path}?part=1").text
        assert '<main id="part"' in part
        assert "<script" not in part


def test_a_task_has_its_log_prompt_diff_and_what_can_be_done(shown: Asking) -> None:
    page = shown.get("/task/shop/pay").text
    assert "git fleet unblock shop/pay" in page
    assert "may an invoice be paid in two parts?" in page
    page = shown.get("/task/shop/cart").text
    for said in (
        '<span class="add">+class Cart: ...</span>',
        "tests/test_cart.py ....",
        "attempt 1, until",
        "git fleet revert shop/cart",
        "Cart that survives a reload",
    ):
        assert said in page, said


def test_what_is_not_there_is_said_in_words(shown: Asking) -> None:
    for path, said in (
        ("/plan/other", "there is no plan other"),
        ("/task/shop/other", "plan shop has no task"),
        ("/task/other/x", "there is no plan other"),
        ("/task/shop/%3Cb%3E%0A..", "plan shop has no task"),
    ):
        found = shown.get(path)
        assert (found.status, said in found.text) == (404, True), found.text
        assert "Traceback" not in found.text


def test_a_repository_without_a_plan_says_how_to_begin_and_a_draft_how_to_go_on(
    empty: Asking, repo: Repo, clock: FakeClock
) -> None:
    assert "git fleet plan new NAME" in empty.get("/").text
    with empty.events() as following:
        following()
        saved(open_fleet(repo, "w1", clock), task("a", title="Begin"), task("b", needs=["a"]))
        following()
    page = empty.get("/plan/p").text
    assert "git fleet plan approve p" in page
    assert "Begin" in page


def test_whoever_looks_is_woken_when_something_moves(story: Session, shown: Asking) -> None:
    with ExitStack() as opened:
        viewers = [opened.enter_context(shown.events()) for _ in range(10)]
        assert {following() for following in viewers} == {0}
        assert "in two parts?" in shown.get("/task/shop/pay?part=1").text
        on_task(story, "unblock", "pay")
        assert all(following() > 0 for following in viewers)
    assert "git fleet claim shop/pay" in shown.get("/task/shop/pay?part=1").text


def test_looking_writes_nothing(shown: Asking, repo: Repo) -> None:
    before = repo.run_git("for-each-ref"), repo.status()
    for path in ("/", "/plan/shop", "/task/shop/search", "/task/shop/checkout", "/static/board.css"):
        shown.get(path)
    assert (repo.run_git("for-each-ref"), repo.status()) == before


def test_a_task_that_is_worked_on_shows_what_was_saved_last(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"))
    record = claimed(session, "a", worktree=True)
    assert record.state.claim is not None
    worked = Repo(session.repo.common_dir.parent.parent / record.state.claim.worktree)
    worked.commit("Half of it", {"a/half": "half\n"})
    found = showing.task(session, TaskId("p", "a"), Colliding())
    assert found.patch is not None
    assert (found.patch.of, "+half" in found.patch.text) == ("as committed on its branch", True)
    assert "Do a" in found.prompt
    with pytest.raises(InvalidInput):
        showing.task(session, TaskId("p", "b"), Colliding())


def test_a_task_that_has_changed_nothing_yet_shows_no_empty_diff(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"))
    claimed(session, "a", worktree=True)
    assert showing.task(session, TaskId("p", "a"), Colliding()).patch is None


def test_work_that_collides_is_shown_as_it_was_when_something_last_moved(
    empty: Asking, repo: Repo, clock: FakeClock
) -> None:
    session = open_fleet(repo, "w1", clock)
    with empty.events() as following:
        following()
        name = "<b>both"
        approved(
            session,
            task("a", files=[f"/{name}"], overlap="watch"),
            task("b", files=[f"/{name}"], overlap="watch"),
            task("c"),
        )
        one = Repo(working_on(session, "a"))
        clock.advance(1)
        other = Repo(working_on(session, "b"))
        one.write(name, "ours\n")
        other.write(name, "theirs\n")
        work.renew(session, "a")
        while "p-collisions" not in (page := empty.get("/plan/p?part=1").text):
            following()
    shown = re.sub(
        r"\s+", " ", re.sub("<[^>]*>", " ", page.partition("p-collisions")[2].partition("p-tasks")[0])
    )
    assert "a b &lt;b&gt;both conflict: add/add; the hand-in of b waits 1 × 1" in shown
    waiting = empty.get("/task/p/b?part=1").text
    assert "Why it cannot be handed in now" in waiting
    assert "p-collisions" in waiting
    assert "p-collisions" not in empty.get("/task/p/c?part=1").text
    seen = Colliding()
    assert seen.seen(session)
    other.write(name, "ours\n")  # which no ref tells of: nothing is looked at for that
    assert seen.seen(session)
    seen.moved()
    assert not seen.seen(session)
    with empty.events() as following:
        following()
        work.renew(session, "b")
        while "p-collisions" in empty.get("/plan/p?part=1").text:
            following()
    assert "p-collisions" not in empty.get("/task/p/a?part=1").text


def test_a_closed_plan_can_still_be_looked_at(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"))
    claimed(session, "a")
    on_task(session, "cancel", "a", reason="no need")
    plan.close(session, "p")
    assert showing.first(session) == "p"
    assert showing.plan(session, "p", Colliding()).report is not None
    found = showing.task(session, TaskId("p", "a"), Colliding())
    assert [event.event for event in found.events] == ["claim", "cancel"]
    assert (found.prompt, bool(found.no_prompt)) == ("", True)
    assert [act.command for act in pages.acts(found)] == [
        "git fleet log p/a --output",
        "git fleet review p --task a",
    ]


def test_a_task_is_to_be_claimed_only_once_it_can_be(repo: Repo, clock: FakeClock) -> None:
    session = open_fleet(repo, "w1", clock)
    approved(session, task("a"), task("b", needs=["a"]))
    claims = [
        next(act.command for act in pages.acts(showing.task(session, TaskId("p", name), Colliding())))
        for name in ("a", "b")
    ]
    assert claims == ["git fleet claim p/a", "git fleet review p --task b"]


def test_what_could_not_be_shown_is_tried_anew(shown: Asking, repo: Repo) -> None:
    assert shown.get("/").status == 303
    away = repo.path.rename(repo.path.with_name("away"))
    assert shown.get("/plan/shop").status == 404
    away.rename(repo.path)
    assert shown.get("/plan/shop").status == 200


# --- the command ---------------------------------------------------------------------------------


def test_the_command_prints_its_address_and_ends_at_once_when_interrupted(
    approved: Fleet, tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "$1" >"$0.told"\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "git_fleet", "-C", str(approved.path), "board", "--json", "--open"]
    pipe, env = subprocess.PIPE, {**os.environ, "BROWSER": f"{browser} %s"}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        validate(said, "board")
        assert urlsplit(said["url"]).port == said["port"]
        asking = Asking(said["port"], said["url"].partition("token=")[2])
        assert asking.get("/plan/app").status == 200
        told = urlsplit((tmp_path / "browser.told").read_text().strip())
        assert told.port == said["port"]
        assert asking.token not in told.query  # everybody may read how a browser was started
        assert asking.get(f"/?{told.query}", cookie="").headers["set-cookie"].startswith(asking.cookie)
        with asking.events() as following:
            assert following() == 0
            os.kill(process.pid, signal.SIGINT)
            with pytest.raises(EOFError):
                following()
            _, complaints = process.communicate(timeout=30)
    assert process.returncode == 130
    assert complaints == "git-fleet: interrupted\n"


def test_a_board_that_is_told_to_end_before_it_has_begun_ends(repo: Repo) -> None:
    with socket.create_server((HOST, 0)) as listening:
        told = server(lambda: open_fleet(repo, "w1"), listening.getsockname()[1], "token")
        told.should_exit = True
        running = threading.Thread(target=told.run, kwargs={"sockets": [listening]}, daemon=True)
        running.start()
        running.join(20)
        assert not running.is_alive()


def test_without_the_web_server_it_says_what_to_install(
    approved: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in ("live", "board", "wideboard"):
        monkeypatch.delitem(sys.modules, f"git_fleet.{name}", raising=False)
        monkeypatch.delattr(f"git_fleet.{name}", raising=False)
    answer = approved("board")
    assert answer.code == 2
    assert "uvicorn is not installed" in answer.err
    assert "pip install 'git-fleet[board]'" in answer.err


def test_a_port_that_is_taken_is_one_clear_line(approved: Fleet, empty: Asking) -> None:
    answer = approved("board", "--port", str(empty.port))
    assert answer.code == 2
    assert f"cannot listen on 127.0.0.1:{empty.port}" in answer.err
