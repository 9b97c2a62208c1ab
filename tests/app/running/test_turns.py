"""Tasks of a run that are watched: both are worked on, and the later one's hand-in waits for the other."""

from __future__ import annotations

from pathlib import Path

from tests.support.fleet import task
from tests.support.repo import Repo
from tests.support.runs import Crew, lines, once

_WRITES = 'echo "$T" > both.txt; git add -A; git commit -qm "by $T"'
_WAITS = 'touch "$BOX/$T.begun"; while [ ! -e "$BOX/$T.go" ]; do sleep 0.05; done'
_RESOLVES = "printf 'a\\nb\\n' > both.txt; git add -A; git commit -qm both"


def fighting(repo: Repo, tmp_path: Path, a: str, config: str = "") -> Crew:
    """Two tasks that write the same file, b as soon as it can."""
    repo.commit("a file", {"both.txt": "nobody\n"})
    crew = Crew(repo, tmp_path, config=config)
    tasks = (task(name, files=["/both.txt"], overlap="watch", priority=n) for n, name in enumerate("ba"))
    crew.plan(*tasks, agents={"a": a, "b": once(_WRITES, _RESOLVES)})
    return crew


def test_the_later_one_is_handed_in_when_the_other_is_on_main(repo: Repo, tmp_path: Path) -> None:
    crew = fighting(repo, tmp_path, f"{_WRITES}; {_WAITS}", config="lease_seconds = 12\n")
    with crew.running("--workers", "2") as process:
        crew.begun("a")
        crew.until(lambda: "hand-in waits" in crew.fleet("explain", "b"))
        crew.until(lambda: not any(name == "b" and alive(pid) for name, _, pid in crew.starts()))
        assert crew.states() == {"a": "claimed", "b": "claimed"}
        renewed = crew.fleet("log", "a").count("renew")
        crew.until(lambda: crew.fleet("log", "a").count("renew") > renewed)
        crew.go("a")
        said = lines(process)
        assert process.returncode == 0, said
    assert any("p/b is not handed in: its hand-in waits until p/a is integrated" in line for line in said)
    assert any(line.endswith("p/a: your work collides with p/b in both.txt") for line in said)
    assert [name for name, _, _ in crew.starts()].count("b") == 2
    assert crew.states() == {"a": "integrated", "b": "integrated"}
    assert repo.run_git("show", "main:both.txt") == "a\nb"
    crew.sound()


def test_where_nothing_is_integrated_nobody_waits_for_ever(repo: Repo, tmp_path: Path) -> None:
    crew = fighting(repo, tmp_path, _WRITES)
    found = crew.run("--workers", "1", "--no-integrate", code=1)
    assert crew.states() == {"a": "proposed", "b": "blocked"}
    reason = next(str(each["reason"]) for each in found["tasks"] if each["task_id"] == "p/b")
    assert reason.startswith("collides: p/b is not handed in")


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
