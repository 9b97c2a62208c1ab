"""What coding agents tell their hooks: one JSON object about a tool call or the session, read tolerantly.

Claude Code, Codex and Gemini CLI send the same fields; OpenCode's plugin (app/agentfiles.py) makes them.
What differs is how a tool is called and where it names its files: `file_path` (Claude, Gemini),
`notebook_path` (Claude), `filePath` (OpenCode), `path` or `relative_path` (servers of the model context protocol), or
the headers of a patch (Codex). Like `guardrail`, this is for hooks: `json`-shaped values in, no imports but `re`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_WRITES = {
    "applypatch", "createfile", "createtextfile", "deletefile", "deletelines", "edit", "editfile", "insertaftersymbol",
    "insertatline", "insertbeforesymbol", "insertedit", "inserteditintofile", "movefile", "multiedit",
    "multireplacefilecontent", "notebookedit", "patch", "renamefile", "replace", "replacecontent",
    "replacefilecontent", "replacelines", "replaceregex", "replacesymbolbody", "searchreplace", "strreplace",
    "strreplacebasededittool", "strreplaceeditor", "write", "writefile", "writetofile",
}  # fmt: skip
"""Tools that write files, without case, `_` and `-`."""
_LONG = tuple(name for name in _WRITES if len(name) > 7)
_PATHS = {
    "absolutepath", "dest", "destination", "edits", "file", "filename", "filepath", "files", "newpath",
    "notebookpath", "oldpath", "path", "paths", "relativepath", "source", "targetfile",
}  # fmt: skip
_PATCHES = {"cmd", "command", "input", "patch", "patchtext"}
_BEGINS = "*** Begin Patch"
_HEADER = re.compile(r"^([ \t]*)\*\*\* (Add File|Update File|Delete File|Move to): (.*\S)", re.MULTILINE)
_CHANGES = ("Update File", "Move to")
_MOVED_IN = re.compile(r"\A\s*cd\s+('[^'\n]*'|\"[^\"\n]*\"|[^\s;&|]+)\s*&&\s*apply_?patch")
_DEEP = 4


class Call(NamedTuple):
    """What a hook was told. Every field is empty (False) where nothing usable was said.

    `paths` are the files the tool would write, as the tool names them, relative ones to `cwd`; `name` is that of a worktree
    to be made; `again` says that this stop follows one that a hook refused.
    """

    session: str = ""
    cwd: str = ""
    tool: str = ""
    paths: tuple[str, ...] = ()
    name: str = ""
    again: bool = False


def call(document: Any) -> Call:
    """The call in a parsed hook input. Whatever is missing or of another type counts as not said."""
    if not isinstance(document, dict):
        return Call()
    tool, given = _text(document.get("tool_name")), document.get("tool_input")
    return Call(
        session=_text(document.get("session_id")),
        cwd=_text(document.get("cwd")),
        tool=tool,
        paths=tuple(dict.fromkeys(_written(tool, given))),
        name=_text(document.get("name")),
        again=document.get("stop_hook_active") is True,
    )


def writes(tool: str) -> bool:
    """Whether a tool of this name writes files, be it an agent's own or a server's (`mcp__files__write_file`)."""
    plain = _plain(tool.rpartition("__")[2])
    return plain in _WRITES or plain.endswith(_LONG)


def _written(tool: str, given: Any) -> Iterator[str]:
    """The files a call writes. A patch may also come as the text of a shell command."""
    if not isinstance(given, dict):
        return
    patches = [text for key, value in given.items() if _plain(key) in _PATCHES for text in _texts(value)]
    if writes(tool) and "view" not in patches:  # one tool of many commands, of which this only reads
        yield from _named(given, _DEEP)
        for text in patches:
            yield from _patched(text, _text(given.get("workdir")))
        return
    for text in patches:
        if _BEGINS in text:
            yield from _patched(text, _text(given.get("workdir")))


def _named(value: Any, deep: int) -> Iterator[str]:
    """What stands under a key for paths, in lists and objects below too."""
    if not isinstance(value, dict) or not deep:
        return
    for key, below in value.items():
        if _plain(key) in _PATHS:
            yield from _texts(below)
            for each in below if isinstance(below, list) else ():
                yield from _named(each, deep - 1)


def _patched(text: str, folder: str) -> Iterator[str]:
    """The files that a patch in Codex's form adds, updates, deletes or moves to.

    Codex takes a header with blanks before it for one, too, but for a line of context where a file is changed.
    """
    moved = _MOVED_IN.match(text)
    into = [part for part in (folder, moved[1].strip("'\"") if moved else "") if part]
    changing = False
    for blanks, what, path in _HEADER.findall(text):
        if not (blanks and changing):
            changing = what in _CHANGES
            yield "/".join([*into, path]) if not path.startswith("/") else path


def _texts(value: Any) -> list[str]:
    """A text, or those in a list, that are not empty."""
    found = value if isinstance(value, list) else [value]
    return [text for text in found if isinstance(text, str) and text]


def _plain(name: Any) -> str:
    return name.lower().replace("_", "").replace("-", "") if isinstance(name, str) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
