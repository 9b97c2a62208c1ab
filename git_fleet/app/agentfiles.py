"""What coding agents find of git-fleet in a repository: which file, and our part of it.

Each part puts itself into a file's bytes and takes itself out again, and touches nothing else of them; what it cannot
do without harm it leaves, with a sentence why (`Left`, or a note). app/agentsetup.py reads and writes.

The guards call our shim in git's folder, by a command that names no path of this machine, so that the
settings can be committed; where there is no shim they do nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from git_fleet import resources
from git_fleet.core import blocks, jsonedit
from git_fleet.core.blocks import HASH, MARKDOWN, SLASHES, Broken, Comment

Result = tuple[bytes | None, list[str]]
"""A file's new bytes (None: it can go), and what there is to say about what was left."""

GUARD = "/fleet/hooks/agent"
"""By this a command in somebody's settings is known as ours."""
_COMMAND = (
    'sh -c \'f=$(git -C "${{CLAUDE_PROJECT_DIR:-.}}" rev-parse --path-format=absolute --git-common-dir 2>/dev/null)'
    f'{GUARD}; [ ! -x "$f" ] || exec "$f" {{event}}\''
)


class Left(ValueError):
    """A file that stays as it is, and why."""


class Part(Protocol):
    """Our part of one file; `path` is relative to the root of the work tree."""

    @property
    def path(self) -> str:
        """The file."""

    def put(self, old: bytes | None) -> Result:
        """The file with our part, brought up to date. Raises Left."""

    def take(self, old: bytes) -> Result:
        """The file without it. Raises Left."""


class Block(Struct, frozen=True):
    """A marked block in a text of others. `sound` says whether a text of that kind can be read; it may raise ValueError."""

    path: str
    body: str
    comment: Comment
    sound: Callable[[str], object] = str

    def put(self, old: bytes | None) -> Result:
        """See Part."""
        try:
            new = blocks.put(old or b"", self.body, self.comment)
            self.sound((old or b"").decode())
        except (Broken, ValueError, RecursionError) as error:
            raise Left(str(error)) from error
        try:
            self.sound(new.decode())
        except ValueError as error:
            raise Left(f"our part does not go with what is there: {error}") from error
        return new, []

    def take(self, old: bytes) -> Result:
        """See Part."""
        try:
            new = blocks.take(old, self.comment)
        except Broken as error:
            raise Left(str(error)) from error
        return new if new.strip() or new == old else None, []


class Whole(Struct, frozen=True):
    """A file that is ours as a whole, until somebody changes it. `beside` says what to do where another's is there."""

    path: str
    text: str
    comment: Comment
    beside: Callable[[bytes], str] = lambda _: "somebody changed it"

    def put(self, old: bytes | None) -> Result:
        """See Part."""
        if old is None or blocks.is_sealed(old, self.comment):
            new = blocks.seal(self.text, self.comment)
            same = old is not None and old.replace(b"\r\n", b"\n") == new
            return old if same else new, []
        why = self.beside(old)
        return old, [f"{self.path} stays as it is: {why}"] if why else []

    def take(self, old: bytes) -> Result:
        """See Part."""
        if blocks.is_sealed(old, self.comment):
            return None, []
        return old, []


class Settings(Struct, frozen=True):
    """Members of a JSON file: `members` by their path, each with what tells ours from others'; `hooks` by event.
    `begins` is what a file of ours begins as."""

    path: str
    members: tuple[tuple[tuple[str, ...], Any], ...] = ()
    hooks: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    begins: str = ""

    def put(self, old: bytes | None) -> Result:
        """See Part."""
        text, notes = _text(old or self.begins.encode()), []
        try:
            for path, value in self.members:
                there = jsonedit.get(jsonedit.load(text), path)
                if there is None:
                    text = jsonedit.put(text, path, value)
                elif not _is_ours(there, value) and not _names_agents_md(there):
                    notes.append(f"{self.path}: {'.'.join(path)} stays as it is: it is another's")
            for event, group in self.hooks.items():
                text = _with_hook(text, event, group)
        except jsonedit.NotJson as error:
            raise Left(str(error)) from error
        return text.encode(), notes

    def take(self, old: bytes) -> Result:
        """See Part."""
        text = _text(old)
        try:
            for path, value in self.members:
                if _is_ours(jsonedit.get(jsonedit.load(text), path), value):
                    text = jsonedit.remove(text, path)
            text = _without_hooks(text)
        except jsonedit.NotJson as error:
            raise Left(str(error)) from error
        new = text.encode()
        ours = jsonedit.load(text) in ({}, jsonedit.load(self.begins))
        return None if ours and new != old else new, []


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Left("it is no text in UTF-8") from error


def _is_ours(there: Any, value: Any) -> bool:
    """Whether a member is ours, perhaps with something added to it: a server by what it starts, a list by what is in it."""
    if isinstance(value, list):
        return bool(there == value)
    if not isinstance(there, dict):
        return False
    command, wanted = there.get("command"), value["command"]
    return bool(command == wanted) and there.get("args") == value.get("args")


def _names_agents_md(there: Any) -> bool:
    """Whether a list of names, or one name, that is another's serves as well as ours would."""
    return isinstance(there, str | list) and "AGENTS.md" in there


def _ours(text: str, event: str) -> list[tuple[int, int, bool]]:
    """Our commands among the hooks of an event: of which group, which of it, whether it is alone there."""
    groups = jsonedit.get(jsonedit.load(text), ["hooks", event])
    found = []
    for index, group in enumerate(groups if isinstance(groups, list) else ()):
        entries = group.get("hooks") if isinstance(group, dict) else None
        for place, entry in enumerate(entries if isinstance(entries, list) else ()):
            command = entry.get("command") if isinstance(entry, dict) else None
            if isinstance(command, str) and GUARD in command:
                found.append((index, place, len(entries or ()) == 1))
    return found


def _with_hook(text: str, event: str, group: dict[str, Any]) -> str:
    found = _ours(text, event)
    if not found:
        groups = jsonedit.get(jsonedit.load(text), ["hooks", event])
        if groups is None:
            return jsonedit.put(text, ["hooks", event], [group])
        if not isinstance(groups, list):
            raise jsonedit.NotJson(f"hooks.{event} is not a list")
        return jsonedit.put(text, ["hooks", event, len(groups)], group)
    index, place, alone = found[0]
    path: list[str | int] = ["hooks", event, index, *(() if alone else ("hooks", place))]
    wanted = group if alone else group["hooks"][0]
    return text if jsonedit.get(jsonedit.load(text), path) == wanted else jsonedit.put(text, path, wanted)


def _without_hooks(text: str) -> str:
    """Our commands out, those of events that an earlier version had too."""
    hooks = jsonedit.load(text).get("hooks")
    for event in hooks if isinstance(hooks, dict) else ():
        for index, place, alone in reversed(_ours(text, event)):
            text = jsonedit.remove(text, ["hooks", event, index, *(() if alone else ("hooks", place))])
    return text


# --- the parts -----------------------------------------------------------------------------------

LINK = (".claude/skills/git-fleet", "../../.agents/skills/git-fleet")
"""Claude Code reads skills from its own folder alone; the others from `.agents/skills`."""

_SERVER = {"command": "git-fleet", "args": ["mcp"]}
_WRITES = "Edit|Write|MultiEdit|NotebookEdit|mcp__.*"


def _hooks(events: Mapping[str, tuple[str, str]], *, timeout: int) -> dict[str, dict[str, Any]]:
    """The agent's event → its group of hooks, from the event → (what it matches, our event)."""
    return {
        name: {
            **({"matcher": matcher} if matcher else {}),
            "hooks": [{"type": "command", "command": _COMMAND.format(event=event), "timeout": timeout}],
        }
        for name, (matcher, event) in events.items()
    }


def _claude(old: bytes) -> str:
    """What to say of a CLAUDE.md that is another's: it has to lead to AGENTS.md, or be it."""
    known = b"AGENTS.md" in old or blocks.BEGIN.encode() in old
    return "" if known else "add the line @AGENTS.md, for Claude Code to read that file too"


def _toml(text: str) -> object:
    return tomllib.loads(text)


def parts() -> Iterator[Part]:
    """Every part, in the order in which they are listed."""
    yield Block("AGENTS.md", resources.agents_text("AGENTS.md"), MARKDOWN)
    yield Whole("CLAUDE.md", "@AGENTS.md\n", MARKDOWN, _claude)
    skill = resources.claude_plugin() / "skills" / "git-fleet" / "SKILL.md"
    yield Whole(".agents/skills/git-fleet/SKILL.md", skill.read_text(encoding="utf-8"), MARKDOWN)
    yield Settings(".mcp.json", ((("mcpServers", "fleet"), _SERVER),))
    ends = {"SessionStart": ("", "session-start"), "SessionEnd": ("", "session-end")}
    turn = {"PostToolUse": ("*", "post-tool-use"), "Stop": ("", "stop")}
    hooks = _hooks({"PreToolUse": (_WRITES, "pre-tool-use"), **turn, **ends}, timeout=10)
    yield Settings(".claude/settings.json", hooks=hooks)
    yield Block(".codex/config.toml", resources.agents_text("config.toml"), HASH, _toml)
    codex = {
        "PreToolUse": (".*", "pre-tool-use"),
        "PostToolUse": (".*", "post-tool-use"),
        "Stop": ("", "stop"),
        "SessionStart": ("", "session-start"),
    }
    yield Settings(".codex/hooks.json", hooks=_hooks(codex, timeout=10))
    gemini = {
        "BeforeTool": ("write_file|replace|mcp_.*", "pre-tool-use"),
        "AfterTool": (".*", "post-tool-use"),
        "AfterAgent": ("", "stop"),
        **ends,
    }
    members = ((("context", "fileName"), ["AGENTS.md", "GEMINI.md"]), (("mcpServers", "fleet"), _SERVER))
    yield Settings(".gemini/settings.json", members, _hooks(gemini, timeout=10_000))
    server = {"type": "local", "command": ["git-fleet", "mcp"], "enabled": True}
    # OpenCode adds this line where it is missing: every worktree would have a change that is not its task's.
    schema = '{\n  "$schema": "https://opencode.ai/config.json"\n}\n'
    yield Settings("opencode.json", ((("mcp", "fleet"), server),), begins=schema)
    yield Whole(".opencode/plugin/git-fleet.js", resources.agents_text("git-fleet.js"), SLASHES)
