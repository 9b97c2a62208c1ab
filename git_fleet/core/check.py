"""`plan check`: what can be known before anyone starts, from the plan and the repository alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from git_fleet.core import graph, patterns
from git_fleet.core.config import Config
from git_fleet.core.coupling import Coupling, couplings
from git_fleet.core.doubts import Doubt, doubts
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Overlap, Plan
from git_fleet.core.overlaps import Edge, Pair, interfaces, pairs
from git_fleet.core.ownership import Ownership, Tree
from git_fleet.core.plandoc import approval_problems
from git_fleet.core.schedule import FanOut, fan_out

MAX_PATHS = 100


class OverlapFound(Struct, frozen=True):
    """Two tasks that own a common path. `paths` are tracked files that both own (at most 100 of
    `count`); where there is none yet, an example of one they would both own. `ordered` says that one
    needs the other, so that they never run side by side. `rooted` are the two bare names as they would
    be written for the root alone, where they meet only because a bare name is owned in every folder."""

    a: TaskId
    b: TaskId
    paths: tuple[str, ...]
    policy: Overlap
    count: int
    ordered: bool = False
    rooted: tuple[str, ...] = ()


class Interface(Struct, frozen=True):
    """`owner` may change what `reader` relies on; paths as in `OverlapFound`."""

    owner: TaskId
    reader: TaskId
    paths: tuple[str, ...]
    count: int


class PlanCheck(Struct, frozen=True):
    """The answer of `plan check` (DESIGN sections 5 and 12). `tasks` is their number; `problems`
    keep the plan from being approved, doubts do not."""

    plan: str
    tasks: int
    overlaps: tuple[OverlapFound, ...]
    interfaces: tuple[Interface, ...]
    coupling: tuple[Coupling, ...]
    doubts: tuple[Doubt, ...]
    waves: tuple[tuple[TaskId, ...], ...]
    critical_path: tuple[TaskId, ...]
    fan_out: FanOut
    problems: tuple[str, ...]

    @property
    def collisions(self) -> tuple[OverlapFound, ...]:
        """The overlaps that make tasks take turns, beyond what their needs ask for."""
        return tuple(
            found for found in self.overlaps if found.policy is Overlap.SERIALIZE and not found.ordered
        )


def check_plan(
    plan: Plan,
    *,
    tracked: Sequence[str],
    config: Config,
    history: Iterable[frozenset[str]] = (),
    workers: int | None = None,
) -> PlanCheck:
    """Collisions, hidden coupling, doubts, waves and the verdict on a plan.

    `tracked` are the paths of the base branch's tree, `history` the changed paths of each recent
    commit, `workers` how many there will be (None: as many as are useful).
    """
    tree = Tree(tracked)
    generated = config.generated_paths
    ownership = Ownership(tree, plan.tasks, generated)
    found = pairs(plan.tasks, generated)
    serial = [(pair.a, pair.b) for pair in found if pair.policy is Overlap.SERIALIZE]
    path = graph.critical_path(plan.tasks, serial)
    minutes = {task.id: task.estimate_minutes for task in plan.tasks}
    reads = {task.id: tree.owned(task.reads) for task in plan.tasks}
    files = ownership.files
    ordered = graph.ordered(plan.tasks, ((pair.a, pair.b) for pair in found))
    return PlanCheck(
        plan=plan.id,
        tasks=len(plan.tasks),
        overlaps=tuple(
            _overlap(pair, files[pair.a] & files[pair.b], tree, ordered=(pair.a, pair.b) in ordered)
            for pair in found
        ),
        interfaces=tuple(
            _interface(edge, files[edge.owner] & reads[edge.reader], tree)
            for edge in interfaces(plan.tasks, generated)
        ),
        coupling=tuple(couplings(history, ownership)),
        doubts=tuple(doubts(plan, config, tree, ownership)),
        waves=tuple(map(tuple, graph.waves(plan.tasks, serial))),
        critical_path=tuple(path),
        fan_out=fan_out(
            list(minutes.values()),
            sum(minutes[task_id] for task_id in path),
            spawn_minutes=config.spawn_seconds / 60,
            review_minutes=config.review_minutes,
            workers=workers,
        ),
        problems=tuple(approval_problems(plan)),
    )


def _overlap(pair: Pair, common: frozenset[str], tree: Tree, *, ordered: bool) -> OverlapFound:
    paths = sorted(common) or _meeting(pair.patterns, tree)
    rooted = () if common else _rooted(pair.patterns)
    return OverlapFound(pair.a, pair.b, tuple(paths[:MAX_PATHS]), pair.policy, len(paths), ordered, rooted)


def _rooted(meeting: tuple[str, str]) -> tuple[str, ...]:
    """What to write instead of two patterns that meet only because a bare name means any depth."""
    one, other = (_at_root(text) for text in meeting)
    if (one, other) == meeting or patterns.overlap(patterns.parse(one), patterns.parse(other)):
        return ()
    return tuple(new for new, old in zip((one, other), meeting, strict=True) if new != old)


def _at_root(text: str) -> str:
    """A bare name as the one at the root: a folder, unless it looks like a file's; else as it is."""
    bare = text.removesuffix("/")
    if "/" in bare or set(bare) & set("*?[\\"):
        return text
    return f"/{bare}" if "." in bare and bare == text else f"/{bare}/"


def _interface(edge: Edge, common: frozenset[str], tree: Tree) -> Interface:
    paths = sorted(common) or _meeting(edge.patterns, tree)
    return Interface(edge.owner, edge.reader, tuple(paths[:MAX_PATHS]), len(paths))


def _meeting(meeting: tuple[str, str], tree: Tree) -> list[str]:
    """The tracked files that two patterns match (a joint owner's and its reader's), else an example."""
    one, other = map(patterns.parse, meeting)
    example = patterns.witness(one, other)
    return sorted(tree.matches(one) & tree.matches(other)) or ([example] if example else [])
