"""Files that are written whole, or not at all, and the folders for them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from git_fleet.errors import InvalidInput


def make_folder(path: Path) -> None:
    """Make a folder that somebody has named, and those above it. Raises InvalidInput where a file is in its way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInput(
            f"{path} cannot be a folder: a file is in its way", hint="name another folder"
        ) from error


def write(path: Path, text: str) -> None:
    """Give the file this text in one step. Whoever does so at the same moment has a file of his own beside it: with one
    name for all, one would put away what another is still writing, and that one find nothing to put."""
    new = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        new.write_text(text, encoding="utf-8", errors="surrogateescape")
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
