"""README, ARCHITECTURE and the manual page say what is true: held to the command line, the package and real runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from msgspec.structs import replace

from git_fleet import errors
from git_fleet.app.documents import load_config, load_plan
from git_fleet.cli.main import cli
from git_fleet.core.adapters import AGENTS
from git_fleet.core.config import Config, Planner
from git_fleet.core.model import Plan
from tests.project.source import ROOT, project_files
from tests.support.repo import Repo, make_repo

README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
MANUAL = ROOT / "share" / "man" / "man1" / "git-fleet.1"
WALK = "Five minutes on your own repository"
TOP = "Top."
GROUPS = frozenset({"lead", "plan", "salvage", "worktree"})

AGENT = """\
#!/bin/sh
printf '%s' "$1" >../told
echo "$FLEET_TASK" >"$SPOIL/named"
echo done >one.txt
git add one.txt
git commit --quiet --message "Write one"
"""

PLAN = """\
version = 1
plan = "p"
title = "A plan"

[[task]]
id = "one"
title = "The first"
files = ["/one.txt"]
prompt = "Write it."
"""


def commands() -> dict[str, click.Command]:
    """Every command that can be run, by its words; of groups those below."""
    return dict(_below(cli, ""))


def _below(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from _below(found, f"{before}{name} ")
        else:
            yield f"{before}{name}", found


def section(heading: str) -> str:
    """The part of README below a heading."""
    _, _, rest = README.partition(f"\n## {heading}\n")
    assert rest, f"README has no section {heading!r}"
    return rest.partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def modules() -> dict[str, set[str]]:
    """Module names by the package of git_fleet they are in, sub-packages counted to it."""
    found: dict[str, set[str]] = {}
    for path in project_files():
        if path.parts[0] == "git_fleet" and path.suffix == ".py" and path != Path("git_fleet/__init__.py"):
            names = [*path.parts[2:-1], path.stem]
            package = path.parts[1] if len(path.parts) > 2 else TOP
            found.setdefault(package, set()).update(set(names) - {"__init__"})
    return found


def named_modules() -> dict[str, tuple[set[str], set[str]]]:
    """By package, the names ARCHITECTURE.md has in backquotes, and those of them it explains."""
    listed = ARCHITECTURE.partition("\n## Modules\n")[2].partition("\n## ")[0]
    parts = re.split(r"^\*\*([\w.]+)\*\*", listed, flags=re.MULTILINE)[1:]
    return {
        package: (
            set(re.findall(r"`(\w+)`", text)),
            {
                name
                for names in re.findall(r"((?:`\w+`, )*`\w+`):", text)
                for name in re.findall(r"\w+", names)
            },
        )
        for package, text in zip(parts[::2], parts[1::2], strict=True)
    }


def plain(text: str) -> str:
    return re.sub(r"\\f[BIR]", "", text)


def test_readmes_table_has_every_command_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z -]+)` \|", section("Commands"), re.MULTILINE)
    assert sorted(rows) == sorted(["git fleet", *commands()])


def test_the_manual_page_has_every_command_and_no_other() -> None:
    page = (
        MANUAL.read_text(encoding="utf-8")
        .partition("\n.SH SETTING UP\n")[2]
        .partition("\n.SH EXIT STATUS")[0]
    )
    entries = re.findall(r"^\.TP\n\\fB([a-z -]+)\\fR", page.replace("\\-", "-"), re.MULTILINE)
    assert sorted(entries) == sorted(commands())


@pytest.mark.parametrize("name", commands())
def test_the_manual_page_has_every_option_of(name: str) -> None:
    common = {"--json", "--worker", "--trace", "-h", "--help"}
    command = commands()[name]
    wanted = {opt for param in command.params if isinstance(param, click.Option) for opt in param.opts}
    page = MANUAL.read_text(encoding="utf-8").replace("\\-", "-")
    entry = page.partition(f".TP\n\\fB{name}\\fR")[2].partition("\n.TP\n")[0].partition("\n.SH ")[0]
    assert wanted - common <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", plain(entry)))


def test_every_command_that_is_shown_to_anybody_has_the_options_that_it_is_shown_with() -> None:
    """In hints, pages, templates and examples as in the documents: people and agents copy them."""
    known = commands()
    options = {
        name: {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
        for name, command in known.items()
    }
    wrong = []
    for path in project_files():
        if path.parts[0] not in ("git_fleet", "share", "README.md"):
            continue
        text = (ROOT / path).read_text(encoding="utf-8", errors="replace")
        for shown, first, second, rest in re.findall(r"(git fleet ([a-z]+)(?: ([a-z-]+))?([^`\n]*))", text):
            name = next((each for each in (f"{first} {second}", first) if each in known), None)
            if name is None:
                wrong += [shown] if first not in GROUPS else []
                continue
            own = re.split(r"\bgit |&&|[|;,#]| -- |\\n|[:.] ", f"{second} {rest}")[0]
            used = set(re.findall(r"(?<![\w=-])--[a-z][a-z-]*", own.replace("\\-", "-")))
            wrong += [shown] if used - options[name] - {"--help"} else []
    assert wrong == []


def test_exit_codes_are_those_of_the_program() -> None:
    known = {0, 129, 130, 141, 143} | {kind.exit_code for kind in vars(errors).values() if _is_error(kind)}
    line = section("Commands").partition("**Exit codes:**")[2]
    assert {int(code) for code in re.findall(r"(?:^|·)\s+(\d+) ", line)} == known
    page = MANUAL.read_text(encoding="utf-8").partition("\n.SH EXIT STATUS\n")[2].partition("\n.SH ")[0]
    assert {int(code) for code in re.findall(r"^\\fB(\d+)\\fR$", page, re.MULTILINE)} == known


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.FleetError)


def test_the_manual_page_is_shipped_where_man_looks() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    place = "share/man/man1/git-fleet.1"
    assert build["targets"]["wheel"]["shared-data"][place] == place


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_page_is_set_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-ww", "-man", "-Tascii", str(MANUAL)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_architecture_names_every_module_and_no_other() -> None:
    named = named_modules()
    missing = {package: found - named.get(package, (set(), set()))[0] for package, found in modules().items()}
    assert {package: names for package, names in missing.items() if names} == {}
    gone = {package: explained - modules()[package] for package, (_, explained) in named.items()}
    assert {package: names for package, names in gone.items() if names} == {}


def test_architecture_is_short_and_its_tests_exist() -> None:
    assert ARCHITECTURE.count("\n") < 200
    assert [
        path for path in re.findall(r"tests/[\w/]+\.py", ARCHITECTURE) if not (ROOT / path).is_file()
    ] == []
    assert set(re.findall(r"^\| (I\d) \|", ARCHITECTURE, re.MULTILINE)) == {f"I{n}" for n in range(1, 9)}


def test_the_plans_of_readme_are_plans() -> None:
    (table,) = blocks(section("Plans"), "markdown")
    toml, _ = blocks(section("Plans"), "toml")
    assert {task.id.task: task.files for task in _plan(table, "tasks-app.md").tasks} == {
        "42": ("cli.py",),
        "43": ("README.md", "CHANGELOG.md"),
        "44": ("cli.py",),
    }
    assert [task.id.task for task in _plan(toml, "plan.toml").tasks] == [
        "42", "44", "audit", "bump-dev", "bump-prod",
    ]  # fmt: skip


def _plan(text: str, name: str) -> Plan:
    return load_plan(text.encode(), name=name, format=None, plan_id=None, default_base="main")[0]


def test_the_configuration_of_readme_shows_the_defaults() -> None:
    (text,) = blocks(section("Configuration"), "toml")
    config, document = load_config(text.encode(), "fleet.toml")
    assert set(document) - {"version", "gate", "env"} <= set(Config.__struct_fields__)
    assert replace(config, gates=(), generated=(), env=(), worker=Config().worker) == Config()


def said_to_agents() -> Iterator[tuple[str, list[str]]]:
    """Where agents are told a command of ours, and its words."""
    texts = [
        path
        for path in project_files()
        if path.parts[:2] == ("git_fleet", "templates") and path.suffix == ".md"
    ]
    texts += [Path("hooks/agent"), Path("git_fleet/agenthook.py")]
    for path in texts:
        text = (ROOT / path).read_text(encoding="utf-8").replace('"\n        "', "").replace("\n", " ")
        for words in re.findall(r"git fleet ([a-z][^`;,.()\\|'\"]*)", text):
            yield path.as_posix(), words.split(" ")


def test_the_planner_of_readme_has_the_default_time_and_the_command_of_its_agent() -> None:
    _, text = blocks(section("Plans"), "toml")
    planner, _ = load_config(f"version = 1\n{text}".encode(), "fleet.toml")
    assert planner.planner == Planner(AGENTS[0].asks)
    assert planner.planner.timeout_seconds == Planner().timeout_seconds


def test_readme_shows_how_each_known_agent_is_asked() -> None:
    shown = [line for block in blocks(section("Running a fleet"), "sh") for line in block.splitlines()]
    assert [line for line in shown if line.split()[0] in {agent.name for agent in AGENTS}] == [
        " ".join(agent.asks) for agent in AGENTS
    ]


def test_what_agents_are_told_to_call_exists() -> None:
    """Commands, and the options that stand right behind them."""
    told = list(said_to_agents())
    assert {Path(path).name for path, _ in told} >= {"AGENTS.md", "SKILL.md", "agent", "agenthook.py"}
    groups = {name.partition(" ")[0] for name in commands() if " " in name}
    for path, words in told:
        name = " ".join(words[: 1 + (words[0] in groups and words[0] not in commands())])
        assert name in commands() or words[0] in groups, (path, words)
        options = {opt for param in getattr(commands().get(name), "params", ()) for opt in param.opts} | {
            "-h"
        }
        for word in words:
            if not re.fullmatch("--?[a-z][a-z-]*", word):
                continue
            assert word in options, (path, words)


def test_the_make_targets_of_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert named == ["demo", "test"]
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


@pytest.mark.slow
def test_the_walk_of_readme_goes_as_it_says(tmp_path: Path) -> None:
    """Every command of it, word for word, in one shell, on a clone in a folder with a space in its name."""
    source = make_repo(tmp_path / "a repository")
    empty = tmp_path / "an empty folder"
    empty.mkdir()
    said = _shell("\n".join(blocks(section(WALK), "sh")), empty, REPO=str(source.path))
    assert [line.partition(":")[0] for line in said.splitlines() if line.startswith("refused:")] == [
        "refused"
    ] * 2
    assert "task 2 went back to rework" in said
    assert "FLEET-BYE.md:1: trailing whitespace." in said
    assert "all is well" in said
    app = Repo(empty / "app")
    subjects = app.run_git("log", "--format=%s", "-4").splitlines()
    assert sorted(subjects[:3]) == ["Say goodbye", "Say hello", "Shout"]
    assert subjects[3] == "Set up git-fleet"
    assert sorted(app.files()) == [
        "FLEET-BYE.md",
        "FLEET-HELLO.md",
        "README.md",
        "fleet.toml",
    ]  # invariant I7
    assert app.status() == []
    assert sorted(path.name for path in empty.iterdir()) == ["app", "walk.md"]


def test_two_clones_of_readme_share_a_task(tmp_path: Path) -> None:
    script, *_ = blocks(section("More than one machine"), "sh")
    said = _shell(script, tmp_path)
    assert "bob has it" in said
    assert "1/1 done" in said
    server, ann = Repo(tmp_path / "team.git"), Repo(tmp_path / "ann")
    assert server.files("HEAD")["hello"].content == b"Hello\n"
    assert ann.rev("HEAD") == server.rev("HEAD")


def test_what_readme_teaches_is_learned_word_for_word(repo: Repo) -> None:
    (script,) = blocks(section("What was learned"), "sh")
    said = _shell(script, repo.path)
    assert said.count("The client retries POST") == 3  # learned, recalled, listed
    assert "Headings are sentences" in said
    assert said.splitlines()[-1].endswith(" is approved")


def test_what_to_read_is_told_and_checked_out_word_for_word(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(PLAN)
    repo.commit("Begin", {"one.txt": "1\n"})
    _shell("git fleet plan import ../p.toml\ngit fleet plan approve --yes", repo.path)
    (script,) = blocks(section("What to read, and what to check out"), "sh")
    said = _shell(script, repo.path)
    assert "p/one: 1 file, 1 of 8,000 tokens, from main" in said
    assert "it holds a part of the files" in said


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_worker_of_readme_works(repo: Repo, tmp_path: Path) -> None:
    (script,) = blocks(section("Workers"), "bash")
    tools = tmp_path / "bin"
    tools.mkdir()
    agent = tools / "your-agent"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    (tmp_path / "p.toml").write_text(PLAN)
    _shell("git fleet plan import ../p.toml\ngit fleet plan approve --yes", repo.path)
    path = f"{tools}{os.pathsep}{_path()}"
    said = _shell(script, repo.path, PATH=path, SPOIL=str(tmp_path))
    assert "p/one is handed in" in said
    assert (tmp_path / "told").read_text() == "The first\n\nWrite it.\n[]"
    assert (tmp_path / "named").read_text() == "one\n"


def _path() -> str:
    """PATH with the git-fleet under test in front."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _shell(script: str, folder: Path, **env: str) -> str:
    """Runs a script that must succeed, stopping at the first command that fails: all it printed."""
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": _path(), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
