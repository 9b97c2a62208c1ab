"""The sandbox of README, with real agents in it. Skipped where bubblewrap cannot make namespaces."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.source import ROOT
from tests.support.fleet import task
from tests.support.runs import ACTS, Crew, lines, own_environment

PROBE = ("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "true")
TRIES = """
for place in "$(git rev-parse --git-common-dir)/hooks/x" "$(git rev-parse --git-common-dir)/config" ../beside "$HOME/x" /tmp/x
do if echo x 2>/dev/null >> "$place"; then echo "wrote $place"; else echo refused; fi; done
echo scratch > "$FLEET_SCRATCH/x" && echo temporary > "$(mktemp)" && echo "could write its own"
"""
WORKS = 'mkdir -p "$T" && echo new > "$T/new" && git add -A && git commit -qm x && echo committed'
ASIDE = (
    'echo outside > outside; git add -A; git commit -qm x || echo "the hook refused"; git rm -qf outside; '
)
DONE = f'{ASIDE}{WORKS} && git fleet progress half && echo more >> "$T/new" && git fleet progress more && git commit -qam y && git fleet done'


def can_sandbox() -> bool:
    if shutil.which("bwrap") is None:
        return False
    return subprocess.run(PROBE, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_sandbox(), reason="bubblewrap cannot make namespaces here")


def wrap() -> str:
    """The line of fleet.toml that README shows."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = (
        text
        for text in re.findall(r"^```toml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        if "bwrap" in text
    )
    assert len(tomllib.loads(block)["worker"]["wrap"]) == 4
    return str(block.removeprefix("[worker]\n"))


@pytest.fixture
def crew() -> Iterator[Crew]:
    """One in a folder of its own: other tests may work below /dev, and the sandbox has another /dev."""
    if ROOT.is_relative_to("/dev"):
        pytest.skip("its agents see another /dev")
    with tempfile.TemporaryDirectory(prefix="git-fleet-sandbox-") as name, own_environment(Path(name)):
        signs = Path(name, "box")  # where agents of tests leave signs
        line = wrap().replace('"$@"', f'--bind "{signs}" "{signs}" "$@"')
        made = Crew.made(Path(name), worker=f"retries = 0\n{line}")
        yield made
        made.end_agents()


def test_agents_in_it_commit_are_refused_by_hooks_and_hand_in(crew: Crew) -> None:
    crew.plan(task("a"), task("b"), task("c"), agents={"a": WORKS + TRIES, "b": DONE})
    crew.run("--workers", "2")
    assert crew.states() == dict.fromkeys("abc", "integrated")
    said = crew.fleet("log", "a", "--output")
    assert "committed" in said
    assert "wrote" not in said
    assert said.count("refused") == 5
    assert "could write its own" in said
    assert "the hook refused" in crew.fleet("log", "b", "--output")
    assert not crew.alive()
    crew.sound()


def test_an_agent_in_it_is_ended_with_all_it_started(crew: Crew) -> None:
    crew.plan(task("a"), agents={"a": "sleep 100 & " + ACTS["wait"]})
    with crew.running() as process:
        crew.begun("a")
        crew.fleet("kill", "a")
        assert not crew.alive()
        lines(process)
    assert crew.states() == {"a": "rework"}
    assert "begun" in crew.fleet("salvage", "show", "a", "--patch")
