"""The board of a workspace: all repositories side by side, each with its own board, woken by what moves in any."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from git_fleet.core.workspace import Workspace
from tests.cli.conftest import Fleet
from tests.cli.test_bad_input import refused
from tests.support import spaces
from tests.support.boards import TOKEN, Asking, answering_for_all
from tests.support.clock import FakeClock
from tests.support.documents import validate
from tests.support.elements import Elements
from tests.support.fleet import integrated, open_fleet
from tests.support.repo import Repo

Shop = tuple[Workspace, Mapping[str, Repo], Asking]


@pytest.fixture
def shop(tmp_path: Path, clock: FakeClock) -> Iterator[Shop]:
    """A workspace with a change set half-way, hostile texts and a repository that is gone; and its board."""
    space, repos = spaces.crowded(tmp_path, clock)
    with answering_for_all(space, clock) as asking:
        yield space, repos, asking


def words(page: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", page).split())


def test_the_front_page_leads_to_the_board_of_each_repository(shop: Shop) -> None:
    _, repos, asking = shop
    before = {name: repo.refs() for name, repo in repos.items()}
    assert asking.get(f"/?token={TOKEN}", cookie="").headers["location"] == "/"
    for path in ("/", "/repo/web/", "/repo/web/plan/shop", "/repo/web/../", "/events"):
        assert asking.get(path, cookie="").status == 403
        assert asking.get(path, host="evil.example").status == 421
    front = asking.get("/").text
    for said in (
        "5 of 6 repositories can be read",
        "rename/api half-way",
        "8 of 14 tasks integrated",
        "cannot be read",
        "&lt;b&gt;gone is not there",
    ):
        assert said in words(front), said
    assert "git fleet integrate --changeset api goes on" in words(front)
    links = {href for href in Elements(front).of("href") if href.startswith("/repo/")}
    assert {"/repo/web/", "/repo/app/plan/shop", "/repo/client/plan/rename"} <= links
    for href in links - {"/repo/gone/"}:
        found = asking.get(href)
        assert (
            found.headers.get("location", "").startswith(href) if found.status == 303 else found.status == 200
        )
    gone = asking.get("/repo/gone/")
    assert (gone.status, "This cannot be shown" in gone.text) == (404, True)
    assert asking.get("/repo/nobody/").status == 404
    assert {name: repo.refs() for name, repo in repos.items()} == before


def test_every_link_of_a_mounted_board_stays_in_its_repository_and_its_texts_are_text(shop: Shop) -> None:
    asking = shop[2]
    for path in ("/", "/repo/web/plan/shop", "/repo/web/task/shop/search"):
        page = asking.get(path)
        found = Elements(page.text)
        assert page.status == 200
        assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert found.names["script"] == 1
        assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]
        within = {href for href in found.of("href") if href.startswith(("/plan", "/task"))}
        assert within == set(), "this would be of no repository"
    for path in ("/", "/repo/web/task/shop/pay"):
        assert '<main id="part"' in asking.get(f"{path}?part=1").text
    text = Elements(asking.get("/repo/web/task/shop/mails").text).text
    assert '<script>alert("title")</script>' in text
    assert str(shop[1]["web"].path) in text, "commands are for that folder"


def test_what_moves_in_any_repository_wakes_who_looks_at_any(shop: Shop) -> None:
    _, repos, asking = shop
    waiting = "/repo/client/task/rename/docs?part=1"
    assert "service/serve" in asking.get(waiting).text
    assert "service serve pending" in words(asking.get("/").text)
    with asking.events() as following:
        assert following() == 0
        spaces.work(repos["service"], *spaces.RENAMED["service"])
        with open_fleet(repos["service"]) as session:
            integrated(session, "serve")
        while "git fleet claim rename/docs" not in asking.get(waiting).text:
            following()
        while "library api integrated service serve integrated" not in words(asking.get("/?part=1").text):
            following()


def test_a_repository_that_comes_back_is_shown_again(shop: Shop) -> None:
    repo, asking = shop[1]["web"], shop[2]
    away = repo.path.rename(repo.path.with_name("away"))
    assert asking.get("/repo/web/plan/shop").status == 404
    away.rename(repo.path)
    assert asking.get("/repo/web/plan/shop").status == 200


def test_the_command_serves_a_workspace_from_any_folder(fleet: Fleet, tmp_path: Path) -> None:
    space, _ = spaces.make_space(tmp_path / "all", {"lib": {}, "client": {}})
    command = [sys.executable, "-m", "git_fleet", "-C", "/", "board", "--json", "--workspace", space.folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        validate(said, "board")
        asking = Asking(said["port"], said["url"].partition("token=")[2])
        assert "no plan is open" in asking.get("/").text
        assert "git fleet plan new NAME" in asking.get("/repo/lib/").text
        with asking.events() as following:
            following()
            os.kill(process.pid, signal.SIGINT)
            with pytest.raises(EOFError):
                following()
        assert process.wait(30) == 130
    refused(fleet("board", "--workspace", "/nowhere"), "names /nowhere")
