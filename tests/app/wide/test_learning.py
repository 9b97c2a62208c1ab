"""What was learned in one repository of a workspace reaches the tasks of the others that it is about."""

from __future__ import annotations

import shutil
from pathlib import Path

from git_fleet.app import learning, prompt
from git_fleet.app.session import Session
from tests.support.fleet import approved, open_fleet, task
from tests.support.repo import Repo
from tests.support.spaces import QUIET, make_space


def _told(session: Session, name: str) -> str:
    return prompt.prompt(session, name).text.partition("# What was learned here before")[2]


def test_a_learning_of_one_repository_is_told_in_another_where_it_matters(tmp_path: Path) -> None:
    space, repos = make_space(tmp_path, dict.fromkeys(("library", "client", "gone"), QUIET))
    with open_fleet(repos["library"], "w9") as there:
        learning.learn(there, "The client is generated", labels=["api"])
        learning.learn(there, "Only true over there")
    with open_fleet(Repo(Path(space.folder)), "w9") as home:
        learning.learn(home, "Dates are in UTC everywhere")
    shutil.rmtree(repos["gone"].path)
    with open_fleet(repos["client"], "w1") as session:
        approved(session, task("call", labels=["api"]), task("docs"))
        call, docs = _told(session, "call"), _told(session, "docs")
    assert "of library, by w9\n| The client is generated\n" in call
    assert "of shop, by w9\n| Dates are in UTC everywhere\n" in call
    assert "generated" not in docs
    assert "UTC" in docs
    assert "over there" not in call + docs
