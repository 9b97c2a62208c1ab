"""What is given to an engine for jobs, as values."""

from __future__ import annotations

from msgspec import Struct


class Submitted(Struct, frozen=True):
    """A job that an engine has taken: the engine's name for it, which step of which wave (from 1) it is, the tasks of
    its indices, and how it depends on the one before it ("" not at all)."""

    id: str
    step: str
    wave: int
    tasks: tuple[str, ...]
    after: str


class Rendered(Struct, frozen=True):
    """What an engine is given: `text` is the manifest or script, `commands` are the words that hand it over, and did so
    if it is `submitted`; `jobs` is what came of that, `notes` are for people."""

    engine: str
    plan: str
    name: str
    workers: int
    text: str
    submitted: bool
    commands: tuple[tuple[str, ...], ...]
    jobs: tuple[Submitted, ...]
    notes: tuple[str, ...]
