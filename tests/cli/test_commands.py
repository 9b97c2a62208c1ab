"""The table of commands: each is there, has help, and costs only what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from git_fleet.cli.main import SECTIONS, cli
from git_fleet.core.lifecycle import COMMANDS
from tests.cli.conftest import Fleet
from tests.support.repo import Repo

PROBE = """
import json, sys
from git_fleet.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""
NEVER = {
    "pygit2",
    "rich",
    "jsonschema",
    "psutil",
    "platformdirs",
    "pathspec",
    "asyncio",
    "logging",
}


def commands() -> Iterator[tuple[str, ...]]:
    """Every command by its words, those of groups too."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        found = cli.get_command(context, name)
        yield (name,)
        if isinstance(found, click.Group):
            yield from ((name, below) for below in found.list_commands(context))


def find(words: tuple[str, ...]) -> click.Command:
    found: click.Command = cli
    for word in words:
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(found), word)
        assert below is not None, words
        found = below
    return found


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_help_that_says_what_it_does(fleet: Fleet, words: tuple[str, ...]) -> None:
    short, long = (fleet.ok(*words, option) for option in ("-h", "--help"))
    assert short == long
    assert short.startswith(f"Usage: git fleet {' '.join(words)}")
    assert find(words).get_short_help_str(100)[-3:] not in ("", "...")
    assert all(len(line) <= 100 for line in short.splitlines())


@pytest.mark.parametrize("words", [(), *commands()], ids=lambda words: " ".join(words) or "git fleet")
def test_every_command_has_examples_that_call_it(fleet: Fleet, words: tuple[str, ...]) -> None:
    if find(words).hidden:
        return
    _, found, shown = fleet.ok(*words, "-h").partition("  Examples:\n")
    called = [text for text in shown.splitlines() if f"git fleet {' '.join(words)}".rstrip() in text]
    assert found
    assert called
    said = [text for text in shown.splitlines() if "  " in text.strip() or text.startswith(" " * 6)]
    assert all(len(text) <= 80 for text in said), "a remark is cut by a terminal"


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        f"{' '.join(words)} {option.opts[0]}"
        for words in commands()
        for option in find(words).params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


def test_the_help_page_lists_every_command_once(fleet: Fleet) -> None:
    shown = [line.split()[0] for line in fleet.ok("-h").splitlines() if line.startswith("  ")]
    for part in SECTIONS.values():
        for name in (name for names in part.values() for name in names):
            assert shown.count(name) == (0 if find((name,)).hidden else 1), name
    assert "hook" not in shown


@pytest.mark.parametrize("words", [(), ("plan",), ("lead",), ("worktree",), ("knowledge",)], ids=" ".join)
def test_no_command_is_described_by_half_a_sentence(fleet: Fleet, words: tuple[str, ...]) -> None:
    usage, *rest = fleet.ok(*words, "-h").splitlines()
    assert usage.startswith("Usage:")
    assert [line for line in rest if line.endswith("...")] == []


def test_what_a_refusal_calls_possible_is_a_command(fleet: Fleet) -> None:
    for name in COMMANDS:
        assert fleet(name, "-h").code == 0, name


@pytest.mark.parametrize(
    "arguments",
    [
        ["claim", "--no-worktree", "--json"],
        ["status", "--json"],
        ["ready", "--json"],
        ["lead", "show"],
        ["integrate", "--json"],
        [],
    ],
)
def test_a_one_shot_command_imports_nothing_slow(approved: Fleet, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], cwd=approved.path, capture_output=True, check=False
    )
    code, modules = json.loads(done.stderr)
    assert code == 0
    assert NEVER & set(modules) == set()


def test_a_changed_configuration_is_validated_by_the_first_claim_alone(approved: Fleet, repo: Repo) -> None:
    repo.commit("Config", {"fleet.toml": 'version = 1\ngates = "none"\nmax_active = 3\n'})
    loaded = []
    for _ in range(2):
        command = ["claim", "--no-worktree", "--json"]
        done = subprocess.run(
            [sys.executable, "-c", PROBE, *command], cwd=approved.path, capture_output=True, check=False
        )
        code, modules = json.loads(done.stderr)
        assert code == 0
        loaded.append({"jsonschema", "tomllib", "tomli_w"} & set(modules))
    assert loaded == [{"jsonschema", "tomllib", "tomli_w"}, set()]


def test_importing_one_command_does_not_import_the_others(fleet: Fleet) -> None:
    probe = PROBE.replace('name.partition(".")[0]', "name")
    done = subprocess.run(
        [sys.executable, "-c", probe, "lead", "show"], cwd=fleet.path, capture_output=True, check=False
    )
    _, modules = json.loads(done.stderr)
    loaded = {name for name in modules if name.startswith("git_fleet.cli.")}
    assert loaded == {f"git_fleet.cli.{name}" for name in ("main", "call", "interrupts", "lead")}
