"""The whole way in a SHA-256 repository, by commands alone; and in both kinds, files with difficult names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.support.repo import Entry, Repo, make_repo
from tests.support.worlds import assert_sound

CONFIG = """\
version = 1

[[gate]]
name = "compiles"
run = ["python3", "-m", "py_compile", "cli.py"]
"""
PLAN = """\
version = 1
plan = "app"

[[task]]
id = "names"
files = ["odd/**"]

[[task]]
id = "cli"
files = ["/cli.py"]
accept = ["test -s cli.py"]
"""
ODD = (b"sp ace", b"new\nline", b"tab\t", b"quo\"te's", b"by\xff\xfete", b"back\\slash", b"-dash", b"*glob?[x]",
       b":colon", b"esc\x1b[31m", "é".encode(), "\u202ertl".encode(), b"d ir\xff/deep")  # fmt: skip


Place = Callable[[str], Fleet]


@pytest.fixture
def at(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Place:
    """A repository of an object format, with hooks and the plan above open."""

    def make(object_format: str) -> Fleet:
        files = {"cli.py": "print()\n", "fleet.toml": CONFIG}
        repo = make_repo(tmp_path / "repo", files, object_format=object_format)
        repo.write(".git/plan.toml", PLAN)
        fleet = Fleet(repo.path, capsysbinary.readouterr)
        fleet.ok("init")
        fleet.json("plan-saved", "plan", "import", ".git/plan.toml")
        fleet.json("plan-check", "plan", "check")
        fleet.json("plan-state", "plan", "approve", "--yes")
        return fleet

    return make


def test_a_sha256_repository_goes_the_whole_way(at: Place) -> None:
    fleet = at("sha256")
    repo = Repo(fleet.path)
    claimed = fleet.json("claim", "claim", "cli", "--worker", "w")
    assert len(claimed["fence"]) == 64
    tree = Repo(Path(claimed["worktree"]))
    tree.write("stray", "not the task's\n")
    tree.run_git("add", "stray")
    assert b"outside the files of app/cli" in tree.try_git("commit", "-qm", "Stray").stderr
    tree.run_git("rm", "-q", "--cached", "stray")
    (tree.path / "stray").unlink()
    tree.commit("Count", {"cli.py": "print(42)\n"})
    assert "Fleet-Task: app/cli" in tree.run_git("log", "-1", "--format=%B")
    fleet.json("task", "progress", "nearly", cwd=tree.path)
    assert fleet.json("done", "done", "--follow-up", "Tidy", cwd=tree.path)["follow_ups"] == [
        "app/cli-follow-up-1"
    ]
    fleet.json("task", "reject", "cli", "--finding", "say why")
    assert fleet.json("claim", "claim", "cli", "--worker", "w")["worktree"] == str(tree.path)
    tree.commit("Say why", {"cli.py": "print(42)  # the answer\n"})
    fleet.ok("done", "-m", "Count", cwd=tree.path)
    assert repo.try_git("commit", "--allow-empty", "-qm", "Not the lead's").returncode != 0
    landed = fleet.json("integrate", "integrate")
    assert landed["gate_runs"] == 2
    (one,) = landed["integrated"]
    assert repo.rev("main") == one["commit"]
    assert len(one["commit"]) == 64
    assert 'worker = "w"' in repo.run_git("log", "-1", "--format=%N", "--show-notes=fleet/evidence", "main")
    assert [event["event"] for event in fleet.json("log", "log", "cli")["events"]][-3:] == [
        "done",
        "uphold",
        "integrate",
    ]
    assert fleet.json("status", "status")["plans"][0]["counts"] == {"integrated": 1, "pending": 1}
    fleet.ok("cleanup")
    assert fleet.ok("doctor") == "all is well\n"
    assert_sound(repo)


@pytest.mark.parametrize("mode", ["branch", "lead-commits"])
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_difficult_names_modes_and_links_reach_main_unchanged(
    at: Place, object_format: str, mode: str
) -> None:
    fleet = at(object_format)
    repo = Repo(fleet.path)
    if mode != "branch":
        fleet.ok("lead", "acquire")
        repo.commit("Mode", {"fleet.toml": f'{CONFIG[:12]}mode = "{mode}"\n{CONFIG[12:]}'})
    tree = Repo(Path(fleet.json("claim", "claim", "names", "--worker", "w")["worktree"]))
    wanted = made(tree)
    fleet.ok("done", *(["--all"] if mode == "branch" else []), "-m", "Odd names", cwd=tree.path)
    assert [one["task_id"] for one in fleet.json("integrate", "integrate")["integrated"]] == ["app/names"]
    landed = {path: entry for path, entry in repo.files("main").items() if path.startswith("odd/")}
    assert landed == wanted
    assert repo.status() == []
    assert os.fspath((repo.path / "odd" / "li nk").readlink()) == "by\udcff\udcfete"
    assert os.access(repo.path / "odd" / "sp ace", os.X_OK)
    assert not os.access(repo.path / "odd" / "tab\t", os.X_OK)


def made(tree: Repo) -> dict[str, Entry]:
    """Files and links below `odd/`, as they must be in main's tree."""
    found = {}
    for name in ODD:
        path, content = f"odd/{os.fsdecode(name)}", b"content of " + name
        tree.write(path, content, executable=b" " in name)
        found[path] = Entry("100755" if b" " in name else "100644", content)
    for link, target in (("li nk", b"by\xff\xfete"), ("dangling", b"/no\nwhere")):
        (tree.path / "odd" / link).symlink_to(os.fsdecode(target))
        found[f"odd/{link}"] = Entry("120000", target)
    return found


def test_difficult_names_are_named_when_they_are_refused(at: Place) -> None:
    fleet = at("sha1")
    tree = Repo(Path(fleet.json("claim", "claim", "cli", "--worker", "w")["worktree"]))
    for name in ODD:
        tree.write(os.fsdecode(name), "not the task's\n")
    refused = fleet("done", "--all", cwd=tree.path)
    assert refused.code == 4
    assert "\x1b" not in refused.err
    assert len(refused.err.splitlines()) == 2
    tree.run_git("add", "--all")
    said = os.fsdecode(tree.try_git("commit", "-qm", "Stray").stderr)
    assert f"{len(ODD)} staged paths are outside the files of app/cli" in said
    assert "\x1b" not in said
    tree.run_git("commit", "--no-verify", "-qm", "Stray")
    warned = fleet.ok("done", cwd=tree.path)
    assert "\x1b" not in warned
    document = fleet.json("integrate", "integrate", code=1)
    (ejected,) = document["ejected"]
    assert ejected["reason"] == "scope"
    assert {path.encode("utf-8", "surrogateescape") for path in ejected["paths"]} == set(ODD)
