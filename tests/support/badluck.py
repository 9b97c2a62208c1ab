"""Agents for a soak: a plan of many small tasks, and all the ways in which their agents go wrong.

Each start of an agent writes lines that nobody else writes, into its worktree first and then into `written` outside
of it. So whatever became of the agents, what they wrote can be looked for.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.fleet import Table, task

ONCE: Mapping[str, str] = {
    "crash": "note; exit 3",
    "kill itself": "note; kill -9 $$",
    "survive": "note; (setsid sleep 900 > /dev/null 2>&1 &); sleep 901 &",
    "red": "note BROKEN",
    "stray": 'note; echo stray > "stray-$T"',
    "nothing but noise": "note; head -c 2000000 /dev/zero | tr '\\0' x; echo",
    "detach": "note; git checkout -q --detach; note; commit",
    "leave the branch": 'note; git checkout -q -b "own-$T"; note; commit',
    "amend": "note; commit; note; git add -A; git commit -q --amend -m again",
    "rewrite": "note; commit; git reset -q --hard HEAD~1; note",
    "delete the worktree": 'note; commit; rm -rf "$PWD"',
    "fall silent": "note; exec sleep 900",
    "stash": "note; git add -A; git stash -q; note",
    "gc": "note; commit; git gc -q; git worktree prune; note",
    "hand in": "note; commit; git fleet done",
    "hand in another's": 'note; git fleet done --all "$OTHER"; note',
    "edit slowly": "for i in 1 2 3 4 5; do note; sleep 0.3; done",
    "commit twice": "note; commit; note; commit",
}
"""What an agent does at its first start; after that it does its work."""

ALWAYS: Mapping[str, str] = {
    "always crash": "note; exit 4",
    "always kill itself": "note; kill -9 $$",
    "always red": "note BROKEN",
    "always stray": 'note; echo stray > "stray-$T"',
    "do nothing": "echo there is nothing to do",
    "give up": "note; git fleet block --code hopeless 'this cannot be done'",
}
"""What an agent does at each start. Its task ends blocked."""

LIBRARY = """\
N=$(($(cat "$BOX/count/$T" 2> /dev/null || echo 0) + 1)); echo $N > "$BOX/count/$T"
note() {  # a line that nobody else writes
    L="line $T $N $$ ${1:-}$(cat /proc/sys/kernel/random/uuid)"
    mkdir -p "$T"
    echo "$L" >> "$T/new" && echo "$L" >> "$BOX/written"
}
commit() { git add -A && git commit -q -m "Work on $T" || echo "not committed"; }
repair() {  # what an earlier start has left
    rm -f "stray-$T"
    [ ! -e "$T/new" ] || sed -i s/BROKEN// "$T/new"
}
"""
_FIRST = """\
. "$BOX/library"
OTHER={other}
if [ $N = 1 ]; then
    {does}
else
    repair; note
fi
{shared}
"""
_EACH = """\
. "$BOX/library"
{does}
"""


@dataclass
class Plan:
    """Tasks with their acts. `doomed` are those that end blocked."""

    tasks: list[Table] = field(default_factory=list)
    acts: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    doomed: list[str] = field(default_factory=list)


def bad_plan(count: int, seed: int) -> Plan:
    """`count` tasks, overlapping in threes here and there and needing others. Nothing depends on what is doomed."""
    dice = random.Random(seed)
    plan = Plan()
    names = [f"t{number:03}" for number in range(count)]
    kinds = _kinds(dice, count)
    sound: list[str] = []
    for number, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        plan.kinds[name] = kind
        if kind in ALWAYS:
            plan.doomed.append(name)
            plan.acts[name] = _EACH.format(does=ALWAYS[kind])
            plan.tasks.append(task(name))
            continue
        files = [f"{name}/**"]
        if dice.random() < 0.3:
            plan.shared[name] = f"shared/{number // 12}"
            files.append(f"shared/{number // 12}*")
        needs = (
            dice.sample(sound[-20:], k=min(len(sound), dice.choice((1, 1, 2)))) if dice.random() < 0.3 else []
        )
        plan.tasks.append(task(name, files=files, needs=sorted(needs)))
        plan.acts[name] = _FIRST.format(
            does=ONCE.get(kind, "note"), other=dice.choice(names), shared=_append(plan.shared.get(name))
        )
        sound.append(name)
    return plan


def _kinds(dice: random.Random, count: int) -> Sequence[str]:
    """Each kind a few times, and good agents between them."""
    bad = [*(kind for kind in ONCE for _ in range(4)), *(kind for kind in ALWAYS for _ in range(2))]
    kinds = [*bad, *["work"] * (count - len(bad))]
    dice.shuffle(kinds)
    return kinds


def _append(path: str | None) -> str:
    """A line of the task's own in the file that it shares with others, once."""
    if path is None:
        return ""
    return f'mkdir -p shared; grep -qs "^$T$" {path} || echo "$T" >> {path}'


def set_up(box: Path) -> None:
    """What the acts need."""
    (box / "library").write_text(LIBRARY)
    (box / "count").mkdir()
    (box / "written").touch()


def written(box: Path) -> list[str]:
    """All lines that agents have noted."""
    return (box / "written").read_text().splitlines()
