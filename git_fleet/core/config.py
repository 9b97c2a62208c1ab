"""fleet.toml as values (DESIGN section 14). Everything has a default.

`from_document` takes a document that the schema (`schemas/config.schema.json`) has already
accepted; it only gives it types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

DEFAULT_DISPOSABLE = (
    "node_modules/", ".venv/", "venv/", "__pycache__/", "*.pyc", ".pytest_cache/", ".mypy_cache/",
    ".ruff_cache/", ".tox/", ".nox/", "*.egg-info/", "build/", "dist/", "target/", ".gradle/",
    ".next/", ".cache/", ".hypothesis/", ".coverage",
)  # fmt: skip
"""Ignored files that may go with a worktree: caches, build folders, virtual environments."""

Command = str | tuple[str, ...]
"""A string goes to sh (the user's own shell command); a list is executed as it is."""


PLACEHOLDER = re.compile(r"\{(slot|task|plan|port)\}")
"""What a value of [env] may hold; known in a task's worktree alone."""


class Gate(Struct, frozen=True):
    """A command that must pass in a clean checkout of the candidate."""

    name: str
    run: Command
    timeout_seconds: float = 600.0


class Verifier(Struct, frozen=True):
    """A command told to refute a proposal, with its lens."""

    name: str
    lens: str
    run: Command
    timeout_seconds: float = 900.0


class Planner(Struct, frozen=True):
    """A command that splits a piece of work into tasks; without one (`run` is empty) nobody does."""

    run: Command = ()
    timeout_seconds: float = 900.0


class Generated(Struct, frozen=True):
    """Paths (patterns) that `run` regenerates, such as lock files."""

    paths: tuple[str, ...]
    run: Command


class WorkerProfile(Struct, frozen=True):
    """How an agent is started; [worker] and [worker.NAME]. `prompt` is the path of a template in the
    repository, "" for the built-in one; `retries` how often an agent that failed is started again."""

    run: Command = ()
    wrap: tuple[str, ...] = ()
    prompt: str = ""
    setup: str = ""
    teardown: str = ""
    max_cost_usd: float = 0.0
    retries: int = 2
    sparse: bool = False


class Bucket(Struct, frozen=True):
    """The claim token bucket."""

    capacity: int
    refill_per_minute: float


class Policy(Struct, frozen=True):
    """What verification asks for; `human` are the verbs only a person may do; `signed`: events that nobody has
    signed do not count."""

    verdicts: int = 0
    require: tuple[str, ...] = ()
    human: tuple[str, ...] = ("approve", "accept", "reject", "verdict", "knowledge")
    signed: bool = False


class Config(Struct, frozen=True):
    """One repository's configuration, as on its base branch. `gates_none` is `gates = "none"`; `main`
    is empty where the file does not name the default base."""

    main: str = ""
    mode: str = "branch"
    branch: str = "feature/{id}-{slug}"
    worktree: str = "../{repo}-{id}-{slug}"
    lease_seconds: int = 3600
    session_minutes: float = 40
    idle_minutes: float = 15.0
    max_active: int = 8
    max_review: int = 8
    max_attempts: int = 3
    breaker: int = 3
    protected: tuple[str, ...] = ("fleet.toml", ".github/**", ".ci/**")
    park: tuple[str, ...] = ()
    touch: tuple[str, ...] = ()
    disposable: tuple[str, ...] = DEFAULT_DISPOSABLE
    refresh_seconds: float = 5.0
    ports_per_task: int = 10
    spawn_seconds: float = 30.0
    review_minutes: float = 5.0
    gates_none: bool = False
    remote: str = ""
    bucket: Bucket | None = None
    policy: Policy = Policy()
    knowledge_tokens: int = 800
    knowledge_approval: bool = False
    gates: tuple[Gate, ...] = ()
    verifiers: tuple[Verifier, ...] = ()
    generated: tuple[Generated, ...] = ()
    worker: WorkerProfile = WorkerProfile()
    profiles: tuple[tuple[str, WorkerProfile], ...] = ()
    notify: Command = ()
    planner: Planner = Planner()
    env: tuple[tuple[str, str], ...] = ()

    @property
    def lead_commits(self) -> bool:
        """Whether workers only write files, and committing is the lead's."""
        return self.mode == "lead-commits"

    def profile(self, name: str) -> WorkerProfile:
        """[worker.NAME], or [worker] itself where there is none of that name."""
        return dict(self.profiles).get(name, self.worker)

    @property
    def generated_paths(self) -> tuple[str, ...]:
        """All patterns of generated files."""
        return tuple(path for entry in self.generated for path in entry.paths)


_PLAIN = (
    "main", "mode", "branch", "worktree", "lease_seconds", "session_minutes", "idle_minutes",
    "max_active", "max_review", "max_attempts", "breaker", "refresh_seconds", "ports_per_task", "spawn_seconds",
    "review_minutes", "remote",
)  # fmt: skip
_LISTS = ("protected", "park", "touch", "disposable")


def from_document(document: Mapping[str, Any]) -> Config:
    """The configuration a validated fleet.toml document says; missing keys take their defaults."""
    known: dict[str, Any] = {key: document[key] for key in _PLAIN if key in document}
    known |= {key: tuple(document[key]) for key in _LISTS if key in document}
    knowledge = document.get("knowledge", {})
    worker = document.get("worker", {})
    own = {key: value for key, value in worker.items() if not isinstance(value, dict)}
    return Config(
        **known,
        gates_none=document.get("gates") == "none",
        bucket=Bucket(**document["bucket"]) if "bucket" in document else None,
        policy=Policy(**_tuples(document.get("policy", {}))),
        knowledge_tokens=knowledge.get("tokens", 800),
        knowledge_approval=knowledge.get("require_approval", False),
        gates=tuple(Gate(**_tuples(gate)) for gate in document.get("gate", ())),
        verifiers=tuple(Verifier(**_tuples(verifier)) for verifier in document.get("verifier", ())),
        generated=tuple(Generated(**_tuples(entry)) for entry in document.get("generated", ())),
        worker=WorkerProfile(**_tuples(own)),
        profiles=tuple(
            (name, WorkerProfile(**_tuples(own | value)))
            for name, value in worker.items()
            if isinstance(value, dict)
        ),
        notify=_command(document.get("notify", {})),
        planner=Planner(**_tuples(document.get("planner", {}))),
        env=tuple(document.get("env", {}).items()),
    )


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _command(table: Mapping[str, Any]) -> Command:
    run = table.get("run", ())
    return run if isinstance(run, str) else tuple(run)
