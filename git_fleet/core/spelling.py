"""Names that a plan insists on, checked before anything is made with them: branches, folders, slugs.

Each check returns what is wrong with the name, or "" when it may be used.
"""

from __future__ import annotations

import re

# git-check-ref-format(1): no control characters, space, ~ ^ : ? * [ \ anywhere.
_NOT_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAX_COMPONENT = 200  # bytes; a file name has 255, and git and we add suffixes
_MAX_SLUG = 100
_CARELESS = ("HEAD", "@")


def branch_problem(name: str) -> str:
    """What is wrong with a short branch name (git-check-ref-format(1), and what git-branch(1) refuses)."""
    checks = (
        (not name, "it is empty"),
        (name.startswith("-"), "it must not begin with '-'"),
        (
            _NOT_IN_REFS.search(name),
            "it must not contain spaces, control characters or any of ~ ^ : ? * [ \\",
        ),
        (".." in name or "@{" in name, "it must not contain '..' or '@{'"),
        (any(not part for part in name.split("/")), "it must not begin or end with '/' or contain '//'"),
        (name.endswith("."), "it must not end with '.'"),
        (any(part.startswith(".") for part in name.split("/")), "no part of it may begin with '.'"),
        (any(part.endswith(".lock") for part in name.split("/")), "no part of it may end with '.lock'"),
        (name in _CARELESS or name.startswith("refs/"), "it must be a short name such as feature/42-count"),
        (_too_long(name.split("/")), f"it may have {_MAX_COMPONENT} bytes between two '/'"),
        (_no_utf8(name), "it must be UTF-8 text"),
    )
    return next((text for wrong, text in checks if wrong), "")


def folder_problem(name: str) -> str:
    """What is wrong with the name of a worktree's folder: one name, that leads nowhere else."""
    checks = (
        (not name, "it is empty"),
        (name in (".", "..") or name.lower() == ".git", "it must be a folder's own name"),
        (
            "/" in name or "\\" in name,
            "it must be one folder name, or '../name': it stands beside the repository",
        ),
        (name.startswith("-"), "it must not begin with '-'"),
        (_CONTROL.search(name), "it must not contain control characters"),
        (name != name.strip(), "it must not begin or end with a space"),
        (_too_long([name]), f"it may have {_MAX_COMPONENT} bytes"),
        (_no_utf8(name), "it must be UTF-8 text"),
    )
    return next((text for wrong, text in checks if wrong), "")


def slug_problem(slug: str) -> str:
    """What is wrong with a slug, which becomes part of a branch's and a folder's name."""
    if not _SLUG.fullmatch(slug) or ".." in slug or slug.endswith((".", ".lock")) or len(slug) > _MAX_SLUG:
        return "it may hold letters, digits, '.', '_', '-', begins with a letter or digit, without '..' or '.lock'"
    return ""


def line_problem(text: str) -> str:
    """What is wrong with a text of one line, such as a title that becomes a commit's subject."""
    return (
        "it must be one line without control characters" if _CONTROL.search(text) else encoding_problem(text)
    )


def text_problem(text: str) -> str:
    """What is wrong with a text of several lines."""
    bare = text.replace("\r\n", "\n")
    return (
        "it may hold no control characters but tab and newline"
        if _CONTROL_IN_TEXT.search(bare)
        else encoding_problem(text)
    )


def encoding_problem(text: str) -> str:
    """What is wrong with a text that no file can hold."""
    return "it must be UTF-8 text" if _no_utf8(text) else ""


def _no_utf8(text: str) -> bool:
    """Half of a surrogate pair, which JSON can write and no file can hold."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def _too_long(parts: list[str]) -> bool:
    return any(len(part.encode("utf-8", "surrogatepass")) > _MAX_COMPONENT for part in parts)
