"""`init --agents`: our part comes into the files that agents read, and goes again, and nothing else of them changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_fleet import resources
from git_fleet.app import agentfiles
from git_fleet.app.doctor import doctor
from git_fleet.app.initialise import initialise, uninstall
from git_fleet.core.results import InitReport
from git_fleet.views import snippets
from tests.support.agents import claude
from tests.support.fleet import open_fleet
from tests.support.hooked import common_dir, git_dir, open_plan, task_worktree
from tests.support.repo import Repo

WRITTEN = {
    "AGENTS.md", "CLAUDE.md", ".agents/skills/git-fleet/SKILL.md", ".claude/skills/git-fleet", ".mcp.json",
    ".claude/settings.json", ".codex/config.toml", ".codex/hooks.json", ".gemini/settings.json", "opencode.json",
    ".opencode/plugin/git-fleet.js",
}  # fmt: skip
SERVER = {"command": "git-fleet", "args": ["mcp"]}
PATIENCE = {"startup_timeout_sec": 20, "tool_timeout_sec": 1800}
"""For Codex: of itself it gives up after ten seconds and a minute, and a setup or gates take longer."""


def set_up(repo: Repo, *, dry_run: bool = False) -> InitReport:
    return initialise(open_fleet(repo), agents=True, dry_run=dry_run)


def take_out(repo: Repo, *, dry_run: bool = False) -> InitReport:
    return uninstall(open_fleet(repo), dry_run=dry_run)


def contents(repo: Repo) -> dict[str, bytes | str]:
    """Every file of the work tree but fleet.toml, and every link with its target."""
    found: dict[str, bytes | str] = {}
    for folder, folders, files in os.walk(repo.path):
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*files, *(each for each in folders if (Path(folder) / each).is_symlink())]:
            path = Path(folder) / name
            found[str(path.relative_to(repo.path))] = (
                str(path.readlink()) if path.is_symlink() else path.read_bytes()
            )
    found.pop("fleet.toml", None)
    return found


def load(repo: Repo, path: str) -> Any:
    return json.loads((repo.path / path).read_text(encoding="utf-8"))


def commands(repo: Repo, path: str) -> dict[str, list[str]]:
    """The commands of a settings file's hooks, by event."""
    return {
        event: [hook["command"] for group in groups for hook in group["hooks"]]
        for event, groups in load(repo, path)["hooks"].items()
    }


def test_every_file_that_is_written_is_listed_and_rehearsed(repo: Repo) -> None:
    before = contents(repo)
    rehearsed = set_up(repo, dry_run=True)
    assert contents(repo) == before
    assert not (common_dir(repo) / "fleet" / "hooks" / "agent").exists()
    made = set_up(repo)
    assert made.agents == rehearsed.agents
    assert made.commands == rehearsed.commands
    shim = str(common_dir(repo) / "fleet" / "hooks" / "agent")
    assert {line.rpartition(": ")[0] for line in made.agents} == WRITTEN | {shim}
    assert set(contents(repo)) - set(before) == WRITTEN
    assert os.access(shim, os.X_OK)
    (command,) = made.commands
    subprocess.run(["sh", "-c", command], cwd=repo.path, check=True, capture_output=True)
    assert repo.status() == []
    assert set(repo.files()) >= WRITTEN


@pytest.mark.parametrize("client", ["claude", "codex", "gemini", "opencode"])
def test_the_server_is_entered_as_the_snippet_for_it_says(repo: Repo, client: str) -> None:
    set_up(repo)
    snippet = snippets.snippet(client, "")
    decode: Callable[[str], Any] = tomllib.loads if client == "codex" else json.loads
    written = decode((repo.path / snippet.file.removeprefix("~/")).read_text())
    (key, wanted), *_ = decode(snippet.text).items()
    if client == "opencode":  # which writes this line itself, into a file without it
        assert next(iter(written)) == "$schema"
    assert written[key] == wanted


def test_claude_is_led_to_agents_md_where_there_is_no_claude_md(repo: Repo) -> None:
    set_up(repo)
    assert (repo.path / "CLAUDE.md").read_text().splitlines()[0] == "@AGENTS.md"


def test_the_plugin_guards_as_the_settings_do(repo: Repo) -> None:
    set_up(repo)
    plugin = json.loads((resources.claude_plugin() / "hooks" / "hooks.json").read_text())["hooks"]
    settings = load(repo, ".claude/settings.json")["hooks"]
    assert plugin.keys() == settings.keys() | {"WorktreeCreate"}
    for event, (group,) in settings.items():
        assert plugin[event][0].get("matcher") == group.get("matcher")
        assert plugin[event][0]["hooks"][0]["timeout"] == group["hooks"][0]["timeout"]


def test_again_nothing_changes_and_uninstalled_nothing_is_left(repo: Repo) -> None:
    before = contents(repo)
    set_up(repo)
    once = contents(repo)
    again = set_up(repo)
    assert (again.agents, contents(repo)) == ((), once)
    rehearsed = take_out(repo, dry_run=True)
    assert contents(repo) == once
    gone = take_out(repo)
    assert gone.agents == rehearsed.agents
    assert len(gone.agents) == len(WRITTEN) + 1
    assert contents(repo) == before
    assert not (repo.path / ".claude").exists()
    assert not (common_dir(repo) / "fleet" / "hooks" / "agent").exists()
    assert take_out(repo).agents == ()


def test_what_was_committed_can_be_taken_out_by_the_command_that_is_named(repo: Repo) -> None:
    (command,) = set_up(repo).commands
    subprocess.run(["sh", "-c", command], cwd=repo.path, check=True, capture_output=True)
    (command,) = take_out(repo).commands
    subprocess.run(["sh", "-c", command], cwd=repo.path, check=True, capture_output=True)
    assert repo.status() == []
    assert set(repo.files()) == {"README.md", "fleet.toml"}


FOREIGN: Mapping[str, bytes] = {
    "AGENTS.md": b"# Rules\r\n\r\nBe kind.",
    "CLAUDE.md": b"See AGENTS.md\n",
    ".mcp.json": b'{"mcpServers": {"db": {"command": "db", "args": ["1","2"]}}}',
    ".claude/settings.json": json.dumps(
        {
            "permissions": {"allow": ["Bash(ls:*)"]},
            "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "./check"}]}]},
        },
        indent=4,
    ).encode(),
    ".codex/config.toml": b'model = "m"  # ours\n\n[mcp_servers.db]\ncommand = "db"\n',
    ".codex/hooks.json": b'{\n\t"hooks": {\n\t\t"Stop": [ {"hooks": [{"type":"command","command":"say"}]} ]\n\t}\n}\n',
    ".gemini/settings.json": b'{\r\n  "context": {\r\n    "fileName": ["RULES.md", "AGENTS.md"]\r\n  }\r\n}\r\n',
    "opencode.json": b'{\n  "$schema": "s",\n\n  "mcp": {}\n}\n',
    ".claude/skills/other/SKILL.md": b"---\nname: other\n---\n",
}  # fmt: skip


def test_what_others_have_there_stays_byte_for_byte(repo: Repo) -> None:
    for path, data in FOREIGN.items():
        repo.write(path, data)
    report = set_up(repo)
    assert [note for note in report.notes if "left alone" in note or "stays" in note] == []
    assert (repo.path / "AGENTS.md").read_bytes().startswith(FOREIGN["AGENTS.md"])
    assert b"\n" not in (repo.path / "AGENTS.md").read_bytes().replace(b"\r\n", b"")
    assert (repo.path / "CLAUDE.md").read_bytes() == FOREIGN["CLAUDE.md"]
    assert load(repo, ".mcp.json")["mcpServers"] == {
        "db": {"command": "db", "args": ["1", "2"]},
        "fleet": SERVER,
    }
    assert commands(repo, ".claude/settings.json")["PreToolUse"][0] == "./check"
    assert len(commands(repo, ".claude/settings.json")["PreToolUse"]) == 2
    assert commands(repo, ".codex/hooks.json")["Stop"][0] == "say"
    servers = tomllib.loads((repo.path / ".codex/config.toml").read_text())["mcp_servers"]
    assert servers == {"db": {"command": "db"}, "fleet": {**SERVER, **PATIENCE}}
    assert load(repo, ".gemini/settings.json")["context"]["fileName"] == ["RULES.md", "AGENTS.md"]
    assert set_up(repo).agents == ()
    take_out(repo)
    after = contents(repo)
    empty = FOREIGN["opencode.json"].replace(b',\n\n  "mcp": {}', b"")  # an empty object is nobody's
    assert {path: after[path] for path in FOREIGN} == {**FOREIGN, "opencode.json": empty}
    assert not (repo.path / ".agents").exists()


def test_after_foreign_edits_only_our_part_goes(repo: Repo) -> None:
    set_up(repo)
    place = repo.path / "AGENTS.md"
    place.write_text(f"# Mine\n\n{place.read_text()}\nMore of mine.\n")
    settings = load(repo, ".claude/settings.json")
    settings["hooks"]["PreToolUse"][0]["hooks"].insert(0, {"type": "command", "command": "./mine"})
    settings["model"] = "m"
    (repo.path / ".claude/settings.json").write_text(json.dumps(settings))
    servers = load(repo, ".mcp.json")
    servers["mcpServers"]["fleet"]["env"] = {"A": "b"}  # still the same server
    servers["mcpServers"]["mine"] = {"command": "mine"}
    (repo.path / ".mcp.json").write_text(json.dumps(servers))
    skill = repo.path / ".agents/skills/git-fleet/SKILL.md"
    skill.write_text(skill.read_text().replace("One task", "Each task"))
    assert set_up(repo).agents == ()
    report = take_out(repo)
    assert place.read_text() == "# Mine\n\nMore of mine.\n"
    assert load(repo, ".claude/settings.json") == {
        "hooks": {"PreToolUse": [{"matcher": settings["hooks"]["PreToolUse"][0]["matcher"], "hooks": [
            {"type": "command", "command": "./mine"}]}]},
        "model": "m",
    }  # fmt: skip
    assert load(repo, ".mcp.json") == {"mcpServers": {"mine": {"command": "mine"}}}
    assert skill.exists()
    assert any("SKILL.md stays: somebody changed it" in note for note in report.notes)
    assert not (repo.path / "CLAUDE.md").exists()


def test_an_older_text_of_ours_is_brought_up_to_date(repo: Repo) -> None:
    set_up(repo)
    once = contents(repo)
    agents = repo.path / "AGENTS.md"
    agents.write_text(agents.read_text().replace("git fleet prompt", "git fleet read"))
    settings = repo.path / ".claude/settings.json"
    settings.write_text(settings.read_text().replace("pre-tool-use", "pre-tool-use --old"))
    (common_dir(repo) / "fleet" / "hooks" / "agent").write_text("#!/bin/sh\n")
    report = set_up(repo)
    assert [line.rpartition(": ")[2] for line in report.agents] == ["brought up to date"] * 3
    assert contents(repo) == once


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (".claude/settings.json", b'{\n  // my settings\n  "model": "m"\n}\n'),
        (".claude/settings.json", b'{"hooks": {"Stop": "no list"}}'),
        (".claude/settings.json", b'{"hooks": {"Stop": 5}}'),
        (".claude/settings.json", b'{"hooks": true}'),
        (".mcp.json", b'{"mcpServers": {},}'),
        (".mcp.json", b'{"mcpServers": []}'),
        (".gemini/settings.json", b"\xff\xfe{\x00}\x00"),
        (".codex/config.toml", b"[broken\n"),
        (".codex/config.toml", b"mcp_servers = { db = { command = 'db' } }\n"),
        (".codex/hooks.json", b"[]"),
        ("AGENTS.md", "# Rules\n".encode("utf-16")),
        ("AGENTS.md", b"<!-- >>> git-fleet >>> -->\nunfinished\n"),
    ],
)
def test_what_cannot_be_understood_is_left_alone_and_named(repo: Repo, path: str, data: bytes) -> None:
    repo.write(path, data)
    report = set_up(repo)
    assert (repo.path / path).read_bytes() == data
    assert [note for note in report.notes if note.startswith(f"{path} is left alone: ")] != []
    assert {line.rpartition(": ")[0] for line in report.agents} >= WRITTEN - {path}
    take_out(repo)
    assert (repo.path / path).read_bytes() == data


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        (
            ".mcp.json",
            b'{"mcpServers": {"fleet": {"command": "fleetctl"}}}',
            "mcpServers.fleet stays as it is",
        ),
        (
            ".gemini/settings.json",
            b'{"context": {"fileName": "RULES.md"}}',
            "context.fileName stays as it is",
        ),
        (".mcp.json", b'{"mcpServers": {"fleet": 5}}', "mcpServers.fleet stays as it is"),
        ("opencode.json", b'{"mcp": {"fleet": true}}', "mcp.fleet stays as it is"),
        ("CLAUDE.md", b"# My rules\n", "add the line @AGENTS.md"),
        (".agents/skills/git-fleet/SKILL.md", b"mine\n", "stays as it is: somebody changed it"),
        (".opencode/plugin/git-fleet.js", b"mine\n", "stays as it is: somebody changed it"),
        (".claude/skills/git-fleet/SKILL.md", b"mine\n", "stays as it is: it is another's"),
        ("opencode.jsonc", b"{ /* mine */ }", "opencode.json is left alone: there is a opencode.jsonc"),
    ],
)
def test_what_is_anothers_stays_and_is_named(repo: Repo, path: str, data: bytes, said: str) -> None:
    repo.write(path, data)
    report = set_up(repo)
    assert [note for note in report.notes if said in note] != []
    take_out(repo)
    assert (repo.path / path).read_bytes() == data


WORDS = st.sampled_from(
    [
        "hooks",
        "mcpServers",
        "mcp",
        "fleet",
        "context",
        "fileName",
        "Stop",
        "PreToolUse",
        "command",
        "AGENTS.md",
        "é",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([part for part in agentfiles.parts() if isinstance(part, agentfiles.Settings)]),
    st.dictionaries(WORDS, VALUES, min_size=1, max_size=3),
    st.sampled_from([None, 0, 2, "\t"]),
    st.sampled_from(["\n", "\r\n", ""]),
)
def test_whatever_a_settings_file_holds_it_comes_back(
    part: agentfiles.Settings, document: dict[str, Any], indent: int | str | None, end: str
) -> None:
    """Save what is ours already, and what is empty: nothing tells whose that was."""
    text = json.dumps(document, indent=indent)
    old = (text.replace("\n", end or "\n") + end).encode()
    try:
        new, _ = part.put(old)
    except agentfiles.Left:
        return
    assert new is not None
    assert part.put(new)[0] == new
    back, _ = part.take(new)
    assert part.take(old)[0] == old, "none of it is ours"
    if not any(mark in text for mark in ("{}", "[]", "null")):
        assert back == old
    elif back is not None:
        assert full(json.loads(back)) == full(document)


def full(value: Any) -> Any:
    """Without what is empty."""
    if isinstance(value, dict):
        return {key: made for key, each in value.items() if (made := full(each)) not in ({}, [], None)}
    return [full(each) for each in value] if isinstance(value, list) else value


def test_a_block_that_others_define_the_server_in_is_no_second_one(repo: Repo) -> None:
    data = b'[mcp_servers.fleet]\ncommand = "mine"\n'
    repo.write(".codex/config.toml", data)
    assert any("does not go with what is there" in note for note in set_up(repo).notes)
    assert (repo.path / ".codex/config.toml").read_bytes() == data


def test_links_are_followed_inside_the_work_tree_and_never_out_of_it(repo: Repo, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mcp.json").write_text("{}")
    (repo.path / ".claude").symlink_to(outside)
    (repo.path / ".mcp.json").symlink_to(outside / "mcp.json")
    repo.write("RULES.md", "# Rules\n")
    (repo.path / "AGENTS.md").symlink_to("RULES.md")
    (repo.path / "CLAUDE.md").symlink_to("AGENTS.md")
    report = set_up(repo)
    assert sorted(path.name for path in outside.iterdir()) == ["mcp.json"]
    assert (outside / "mcp.json").read_text() == "{}"
    assert len([note for note in report.notes if "out of the work tree" in note]) == 3
    assert ">>> git-fleet >>>" in (repo.path / "RULES.md").read_text()
    assert (repo.path / "CLAUDE.md").is_symlink()
    take_out(repo)
    assert (repo.path / "RULES.md").read_text() == "# Rules\n"


def test_a_claude_md_that_agents_md_is_a_link_to_is_not_made_to_import_itself(repo: Repo) -> None:
    (repo.path / "CLAUDE.md").symlink_to("AGENTS.md")
    set_up(repo)
    assert (repo.path / "AGENTS.md").read_text().startswith("<!-- >>> git-fleet >>>")
    assert not [note for note in set_up(repo).notes if "CLAUDE.md" in note]


def test_what_git_ignores_is_said_and_not_to_be_committed(repo: Repo) -> None:
    repo.commit("ignore", {".gitignore": ".claude/\n"})
    report = set_up(repo)
    assert any("git ignores .claude/" in note for note in report.notes)
    (command,) = report.commands
    assert ".claude/" not in command
    subprocess.run(["sh", "-c", command], cwd=repo.path, check=True, capture_output=True)


def test_a_clone_whose_settings_call_us_gets_the_shim_from_a_plain_init(repo: Repo) -> None:
    initialise(open_fleet(repo))
    shim = common_dir(repo) / "fleet" / "hooks" / "agent"
    assert not shim.exists()
    (command,) = set_up(repo).commands
    subprocess.run(["sh", "-c", command], cwd=repo.path, check=True, capture_output=True)
    assert doctor(open_fleet(repo), fix=False).problems == ()
    shim.unlink()
    assert [problem.code for problem in doctor(open_fleet(repo), fix=False).problems] == ["agent-hooks"]
    assert len(initialise(open_fleet(repo)).agents) == 1
    assert shim.exists()
    assert doctor(open_fleet(repo), fix=False).problems == ()


def test_the_commands_in_the_settings_refuse_what_the_hooks_refuse(repo: Repo, tmp_path: Path) -> None:
    (command,) = set_up(repo).commands
    subprocess.run(["sh", "-c", command], cwd=repo.path, check=True, capture_output=True)
    open_plan(repo)
    task = task_worktree(repo, tmp_path / "task", files=["/cli.py"])
    for path, event in {
        ".claude/settings.json": "PreToolUse", ".codex/hooks.json": "PreToolUse", ".gemini/settings.json": "BeforeTool"
    }.items():  # fmt: skip
        (guard,) = commands(task, path)[event]
        for file, code in {"cli.py": 0, "README.md": 2}.items():
            data = json.dumps(claude("Write", task.path, file_path=file)).encode()
            done = subprocess.run(
                ["sh", "-c", guard], cwd=task.path, input=data, capture_output=True, check=False
            )
            assert (done.returncode, done.stdout) == (code, b""), (path, file, done.stderr)
    (stop,) = commands(task, ".gemini/settings.json")["AfterAgent"]
    done = subprocess.run(["sh", "-c", stop], cwd=task.path, input=b"{}", capture_output=True, check=False)
    assert done.returncode == 2
    shim = common_dir(repo) / "fleet" / "hooks" / "agent"
    shim.unlink()
    done = subprocess.run(["sh", "-c", stop], cwd=task.path, input=b"{}", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = subprocess.run(["sh", "-c", stop], cwd=tmp_path, input=b"{}", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


PLUGIN = """\
import { GitFleet } from "./.opencode/plugin/git-fleet.js"
const hooks = await GitFleet({ directory: process.cwd() })
const edit = (filePath) => hooks["tool.execute.before"]({ tool: "edit", sessionID: "s" }, { args: { filePath } })
await edit("cli.py")
await hooks["tool.execute.after"]({ tool: "read", sessionID: "s" })
await edit("README.md").then(() => console.log("let pass"), (error) => console.log(error.message))
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_opencodes_plugin_refuses_by_throwing(repo: Repo, tmp_path: Path) -> None:
    (command,) = set_up(repo).commands
    subprocess.run(["sh", "-c", command], cwd=repo.path, check=True, capture_output=True)
    open_plan(repo)
    task = task_worktree(repo, tmp_path / "task", files=["/cli.py"])
    script = task.write("try.mjs", PLUGIN)
    done = subprocess.run(["node", str(script)], cwd=task.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not among the files of app/42 (/cli.py)" in done.stdout
    assert (git_dir(task) / "fleet-alive").exists()


def test_the_skill_is_one_by_the_rules_for_skills(repo: Repo) -> None:
    set_up(repo)
    text = (repo.path / ".claude/skills/git-fleet/SKILL.md").read_text()
    header = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines())
    assert header["name"] == "git-fleet"
    assert len(header["description"]) <= 1024
    assert text.count("\n") < 500
    assert (resources.claude_plugin() / "skills/git-fleet/SKILL.md").read_text() in text
