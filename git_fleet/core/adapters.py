"""Which agents are known: how each is called without a person, and how what it prints is read, an entry each.

`Hearing` adds up what an agent says, line by line: what it is at, its final text, what it has used, whether it failed
though its exit code is 0, and whether a line is a sign of life at all. What has no entry is ANY: of its lines nothing
is read but the words of a rate limit. Whatever an agent prints, nothing here raises; what is no event of its dialect
(core/dialects.py) is its plain text.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import PurePath

from git_fleet.core import dialects
from git_fleet.core.config import Command
from git_fleet.core.dialects import Event, Said, decoded, short
from git_fleet.core.launch import Agent
from git_fleet.core.model import Usage
from git_fleet.core.supervision import is_rate_limit

MAX_ANSWER = 1 << 20
"""Characters of a final text that are kept, from its beginning."""

LAST_WORDS = 20
_PLAIN_LINES, _PLAIN_CHARACTERS = 40, 800
_USES = 1000  # that may still be said anew, one each
_DOCUMENT, _DOCUMENTS_TRIED = re.compile(r"^[{\[]", re.MULTILINE), 20
_JSON = json.JSONDecoder()


class Adapter(Agent, frozen=True):
    """An agent that is known: also the command that `asks` it something and lets it change nothing, the `packages`
    it is installed from, and how its events are read (None: it is none of its events)."""

    asks: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    read: Callable[[Event], Said | None] = lambda _: None

    def words(self, printed: str) -> str:
        """What the agent is at, by the last lines it has printed; "" when they do not say."""
        for line in reversed(printed.split("\n")):
            event = decoded(line)
            said = self.read(event) if event is not None else None
            words = said.words if said is not None else "" if self._is_cut(line) else short(line)
            if words:
                return words
        return ""

    def _is_cut(self, line: str) -> bool:
        """Whether a line looks like a piece of an event, of an agent that prints such."""
        return bool(self.run) and (line.startswith("{") or line.endswith("}"))


class Hearing:
    """All that one agent has said so far."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.words = ""
        self.answer = ""
        self.failure = ""
        self.spoke = False
        self._limited = False
        self._acted = True
        self._sum = Usage()
        self._uses: dict[str, Usage] = {}
        self._last: deque[str] = deque(maxlen=LAST_WORDS)
        self._plain: deque[str] = deque(maxlen=_PLAIN_LINES)

    @property
    def usage(self) -> Usage:
        """What it has used until now."""
        return sum(self._uses.values(), self._sum)

    @property
    def limited(self) -> bool:
        """Whether the last that is known of it is that too much was asked of somebody."""
        said = "\n".join((self.failure, *self._plain))
        return self._limited or is_rate_limit(None, said)

    @property
    def last_words(self) -> str:
        """The end of what it said, a line for each thing; its failure, where there is one, is the last."""
        own = [words for words in self._last if words != self.failure]
        return "\n".join([*own, *([self.failure] if self.failure else [])])

    def hear(self, line: str) -> bool:
        """Take in a line: whether it is a sign of life. Between events plain text is none: an agent that cannot reach
        its model says so there, again and again."""
        event = decoded(line)
        said = self.adapter.read(event) if event is not None else None
        if said is None:
            self._plain.append(line[-_PLAIN_CHARACTERS:])
            self._say(short(line))
            return bool(line.strip()) and not self.spoke
        answered = said.good or said.acts or (bool(said.answer or said.used) and not said.failure)
        if answered or not self.spoke:
            self._plain.clear()
        if answered or said.limited:  # its model has answered since, or has sent it away
            self._limited = said.limited
        self.spoke = True
        self._count(said)
        self._answer(said)
        if said.failure or said.good:
            self.failure = said.failure
        self._say(said.words)
        return said.alive

    def _say(self, words: str) -> None:
        if words and words != self.words:
            self.words = words
            self._last.append(words)

    def _count(self, said: Said) -> None:
        if said.used is None:
            return
        if not said.key:
            self._sum = said.used
            self._uses.clear()
            return
        self._uses[said.key] = said.used
        if len(self._uses) > _USES:
            oldest = next(iter(self._uses))
            self._sum += self._uses.pop(oldest)

    def _answer(self, said: Said) -> None:
        self._acted = self._acted or said.acts
        if said.answer:
            before = self.answer if said.joins and not self._acted else ""
            self.answer = (before + said.answer)[:MAX_ANSWER]
            self._acted = False


def heard(adapter: Adapter, output: str) -> Hearing:
    """What a command has said in all that has ended: one that printed events, each a line, or one document of JSON,
    which is the last of them or a list of all."""
    hearing = Hearing(adapter)
    for line in _lines(output):
        hearing.hear(line)
    return hearing


def _lines(output: str) -> list[str]:
    """The lines of an output; of a document that spans several, or is a list, each event is one."""
    for match in islice(_DOCUMENT.finditer(output), _DOCUMENTS_TRIED):
        try:
            value, end = _JSON.raw_decode(output, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and "\n" not in output[match.start() : end]:
            break
        events = value if isinstance(value, list) else [value]
        inside = [json.dumps(event) for event in events if isinstance(event, dict)]
        return [*output[: match.start()].split("\n"), *inside, *output[end:].split("\n")]
    return output.split("\n")


# --- the entries ------------------------------------------------------------------------------------------

ANY = Adapter("any", ())
"""Any other command: it is the exit code that says how it ended, and its last lines what it had to say."""

AGENTS = (
    Adapter(
        "claude",
        (
            "claude", "-p", "{prompt}", "--output-format", "stream-json", "--verbose", "--permission-mode", "dontAsk",
            "--allowedTools", "Bash,Edit,Glob,Grep,NotebookEdit,Read,Write",
        ),
        ("claude", "-p", "{prompt}", "--output-format", "json"),
        ("@anthropic-ai/claude-code",),
        dialects.claude,
    ),
    Adapter(
        "codex",
        ("codex", "exec", "--json", "-C", "{worktree}", "-s", "workspace-write", "--ephemeral", "{prompt}"),
        ("codex", "exec", "--json", "-s", "read-only", "--ephemeral", "{prompt}"),
        ("@openai/codex",),
        dialects.codex,
    ),
    Adapter(
        "gemini",
        ("gemini", "-p", "{prompt}", "--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"),
        ("gemini", "-p", "{prompt}", "--output-format", "json", "--skip-trust"),
        ("@google/gemini-cli",),
        dialects.gemini,
    ),
    Adapter(
        "opencode",
        ("opencode", "run", "--format", "json", "--auto", "--title", "{task}", "--dir", "{worktree}", "{prompt}"),
        ("opencode", "run", "--format", "json", "{prompt}"),
        ("opencode-ai",),
        dialects.opencode,
    ),
)  # fmt: skip
"""The agents that are known, with their own flags for running without a person: they ask nothing, and print
events as lines of JSON."""


def adapter_named(name: str) -> Adapter:
    """The entry of that name; ANY when there is none."""
    return next((each for each in AGENTS if each.name == name), ANY)


# --- which one a command is of ----------------------------------------------------------------------------

_SHELL = re.compile(r"(?:ba|da|z|k|a|fi)?sh")
_SHELL_TEXT = re.compile(r"-[A-Za-z]*c[A-Za-z]*")
_BEFORE = re.compile(
    r"env|npx|bunx|pnpx|npm|pnpm|yarn|bun|node|deno|exec|dlx|run|command|exec|nice|ionice|nohup|setsid|stdbuf|time|"
    r"timeout|chronic|sudo|doas|xvfb-run|caffeinate|[A-Za-z_][A-Za-z0-9_]*=.*|[0-9.]+[smhd]?|-.*",
    re.DOTALL,
)
_AROUND = re.compile(
    r"bwrap|firejail|landrun|sandbox-exec|unshare|nsenter|chroot|systemd-(?:run|inhibit)|docker|podman|nerdctl|devcontainer|"
    r"direnv|mise|nix|op|dotenvx?|uv|uvx"
)
"""Sandboxes and the like: behind options that take values of any kind, the program is the last word that is one."""
_PARTS = re.compile(r"&&|\|\||[;|&\n()]")
_SUFFIX = re.compile(r"\.(?:exe|cmd|ps1|js|mjs|cjs)$|(?<=.)@[\w.^~-]+$")


def adapter_of(run: Command) -> Adapter:
    """The entry of the program that a command starts, itself or by `env`, `npx`, `timeout`, a shell, a sandbox; `wrap`
    in fleet.toml is no part of it. ANY when that program is not known."""
    names = _of_text(run) if isinstance(run, str) else _of_words(run)
    return next(names, ANY)


def _of_text(text: str) -> Iterator[Adapter]:
    """The known programs that a shell's text starts."""
    for part in _PARTS.split(text):
        try:
            words = shlex.split(part)
        except ValueError:
            words = part.split()
        yield from _of_words(words)


def _of_words(words: Sequence[str]) -> Iterator[Adapter]:
    """The known program of a command line. Behind an option may stand its value."""
    for number, word in enumerate(words):
        found = _known(word)
        if found is not None:
            yield found
            return
        name = PurePath(word).name
        if _is_shell(word):
            options = [at for at, each in enumerate(words) if at > number and _SHELL_TEXT.fullmatch(each)]
            yield from _of_text(words[options[0] + 1]) if options[:1] and options[0] + 1 < len(words) else ()
            return
        behind = number > 0 and words[number - 1].startswith("-")
        if _AROUND.fullmatch(name):
            starts = [
                at for at, each in enumerate(words) if at > number and (_known(each) or _is_shell(each))
            ]
            for at in reversed(starts):
                yield from _of_words(words[at:])
            return
        if not _BEFORE.fullmatch(name if not word.startswith("-") else word) and not behind:
            return


def _is_shell(word: str) -> bool:
    return bool(_SHELL.fullmatch(PurePath(word).name))


def _known(word: str) -> Adapter | None:
    bare = _SUFFIX.sub("", word)
    name = PurePath(bare).name
    return next((each for each in AGENTS if name == each.name or bare in each.packages), None)
