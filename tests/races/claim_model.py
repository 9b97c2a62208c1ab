"""The claim protocol (DESIGN section 6) as a model that is small enough to be explored whole.

Task `a` is in an open plan P, task `x` in a plan Q that is approved or closed meanwhile; they overlap. Processes
claim them, take them over, work (which ends with a release, or with rework that somebody may shelve), approve Q
and close it. `explore` goes through every interleaving of their steps. A step reads one ref, or takes locks (which
checks the old values), or makes one ref visible; with `crash` a process may also die between any two steps of a
write, and leave its locks, which anybody may remove later.

What must hold in every state: `a` and `x` are never both active (a claim in a closed plan counts for nobody), and
nobody is left working in a closed plan. Each rule of `RULES` can be switched off, to see that it is needed.

A world that `lists` has a git server: a claimer reads all refs in any order, and again until what was read counts as
of one moment (store/mirror.py). Of LISTING, the rules for that, each can be switched off, too.

A ref's value is the whole history of its log, so that no value ever comes back: `(kind, process, before, task)`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

Value = tuple[Any, ...]
Change = tuple[str, Value, Value]  # ref, old, new

RULES = ("helping", "rereading", "approving", "revised", "guard-first", "closing")
LISTING = ("guard known", "plan known", "plan again")
REFS = ("a", "x", "guard", "Q")
_AT = {name: index for index, name in enumerate(REFS)}
PENDING: Value = ("pending", -1, (), "")
NONE: Value = ("none",)
COUNTS = ("approving", "approved", "closing")  # states of Q in which its tasks' overlaps matter
WRITING = (
    "write",
    "task",
    "revise a",
    "approve",
    "look",
    "close",
)  # where a death leaves something half-done


class Process(NamedTuple):
    """What a process does (`kind`), its next step (`at`), what it knows, how often it may still start over."""

    kind: str
    at: str
    knows: tuple[Any, ...]
    tries: int


class State(NamedTuple):
    """One state of the world: the refs' values, who holds their locks (0: nobody), the processes."""

    refs: tuple[Value, ...]
    locks: tuple[int, ...]
    processes: tuple[Process, ...]

    def ref(self, name: str) -> Value:
        return self.refs[_AT[name]]

    def locked(self, name: str) -> int:
        return self.locks[_AT[name]]

    def put(self, name: str, value: Value) -> State:
        return State(_with(self.refs, _AT[name], value), self.locks, self.processes)

    def lock(self, name: str, owner: int) -> State:
        return State(self.refs, _with(self.locks, _AT[name], owner), self.processes)

    def go(self, number: int, at: str, *knows: Any) -> State:
        """The process goes on to step `at`."""
        kind, _, _, tries = self.processes[number]
        process = Process(kind, at, knows, tries)
        return State(self.refs, self.locks, _with(self.processes, number, process))

    def again(self, number: int, at: str = "start") -> State:
        """The process starts over from step `at`, or gives up."""
        process = self.processes[number]
        fresh = Process(process.kind, at if process.tries else "end", (), max(0, process.tries - 1))
        return State(self.refs, self.locks, _with(self.processes, number, fresh))


def _with(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    return (*items[:at], item, *items[at + 1 :])


@dataclass(frozen=True)
class World:
    """Where an exploration begins: the plan Q's state, the processes, whether they may die, the rules left out,
    how often a process starts over before it gives up, and whether a claimer reads by listing."""

    plan: str
    kinds: tuple[str, ...]
    crash: bool = False
    without: Collection[str] = ()
    tries: int = 3
    lists: bool = False

    def start(self) -> State:
        processes = tuple(Process(kind, "start", (), self.tries) for kind in self.kinds)
        return State((PENDING, PENDING, NONE, (self.plan,)), (0,) * len(REFS), processes)


@dataclass(frozen=True)
class Found:
    """How many states there are, and the first that breaks what must hold (None: it holds)."""

    states: int
    broken: State | None

    @property
    def holds(self) -> bool:
        return self.broken is None


def explore(world: World) -> Found:
    """Every state that can be reached, until one is wrong."""
    gc.disable()  # a million values, all of which are kept: looking for others takes half of the time
    try:
        return _explored(world)
    finally:
        gc.enable()


def _explored(world: World) -> Found:
    start = world.start()
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        if is_wrong(state):
            return Found(len(seen), state)
        for following in steps(world, state):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return Found(len(seen), None)


def is_wrong(state: State) -> bool:
    closed = state.ref("Q") == ("closed",)
    if is_active(state.ref("a")) and is_active(state.ref("x")) and not closed:
        return True
    ended = all(process.at == "end" for process in state.processes)
    return ended and closed and state.ref("x")[0] == "claim"


def is_active(value: Value) -> bool:
    return value[0] in ("claim", "rework")


def steps(world: World, state: State) -> Iterator[State]:
    """All states one step further."""
    for number, process in enumerate(state.processes):
        if process.at in ("end", "dead"):
            continue
        if world.crash and process.at in WRITING:
            yield state.go(number, "dead")
        if process.at == "write":
            yield from _writing(state, number)
        else:
            yield from _ROLES[process.kind.split()[0]](world, state, number)
    for name in REFS:  # a lock left behind may be removed at any time
        owner = state.locked(name)
        if owner and state.processes[owner - 1].at == "dead":
            yield state.lock(name, 0)


# --- writing ---------------------------------------------------------------------------------------


def _prepare(state: State, number: int, changes: tuple[Change, ...]) -> State | None:
    """Take all locks and check all old values; None when held, stale or busy."""
    if any(state.locked(ref) or state.ref(ref) != old for ref, old, _ in changes):
        return None
    for ref, _, _ in changes:
        state = state.lock(ref, number + 1)
    return state


def _write(state: State, number: int, changes: tuple[Change, ...], *then: Any) -> State:
    """Begin a transaction, after which the process goes to `then`; or start over."""
    prepared = _prepare(state, number, changes)
    if prepared is None:
        return state.again(number)
    return prepared.go(number, "write", tuple((ref, new) for ref, _, new in changes), then)


def _writing(state: State, number: int) -> Iterator[State]:
    left, then = state.processes[number].knows
    for at, (ref, value) in enumerate(left):  # in any order: nothing may rely on it
        rest = left[:at] + left[at + 1 :]
        made = state.put(ref, value).lock(ref, 0)
        yield made.go(number, "write", rest, then) if rest else made.go(number, *then)


# --- claiming (app/claim.py, store/fleet.py) ----------------------------------------------------------


def _claimer(world: World, state: State, number: int) -> Iterator[State]:
    kind, at, knows, _ = state.processes[number]
    me = kind[-1]
    if at == "start" and world.lists:
        yield state.go(number, "list", _KNOWN_AT_FIRST, _UNREAD)
    elif at in ("list", "listed", "list again"):
        yield from _listing(world, state, number, me)
    elif at == "start":
        yield state.go(number, "guard", state.ref("Q"))
    elif at == "guard":
        yield state.go(number, "own", *knows, state.ref("guard"))
    elif at == "own":
        yield state.go(number, "other", *knows, state.ref(me))
    elif at == "other":
        yield state.go(number, "plan again", *knows, state.ref("x" if me == "a" else "a"))
    elif at == "plan again":
        same = state.ref("Q") == knows[0] or "rereading" in world.without
        yield state.go(number, "decide", *knows) if same else state.go(number, "start")
    elif at == "decide":
        yield _decide(world, state, number, me, knows)
    elif at == "task":
        yield _own_ref(state, number, me, *knows)
    elif at == "look again":
        yield _after_claim(world, state, number, me)


_UNREAD: tuple[Value, ...] = ((),) * len(REFS)
_KNOWN_AT_FIRST: tuple[Value, ...] = (PENDING, PENDING, NONE, ())
"""What a clone that has never listed knows: a log that is not there has never been there."""


def _listing(world: World, state: State, number: int, me: str) -> Iterator[State]:
    """Read every ref, in any order; what counts as of one moment is decided on, else it is what was known before."""
    _, at, (before, there), _ = state.processes[number]
    if at == "list":
        for index, name in enumerate(REFS):
            if not there[index]:
                read = _with(there, index, state.ref(name))
                yield state.go(number, "list" if () in read else "listed", before, read)
        return
    a, x, guard, plan = there
    own, other = (a, x) if me == "a" else (x, a)
    same = state.ref("Q") == plan or "plan again" in world.without
    if at == "list again":
        counts = same
    else:
        counts = (guard == before[2] or "guard known" in world.without) and (
            plan == before[3] or "plan known" in world.without
        )
        if counts and (a, x) != before[:2]:
            yield state.go(number, "list again", before, there)
            return
    if counts:
        yield state.go(number, "decide", plan, guard, own, other)
    else:
        yield state.go(number, "list", there, _UNREAD)


def _decide(world: World, state: State, number: int, me: str, knows: tuple[Any, ...]) -> State:
    (plan,), guard, own, other = knows
    if guard[0] == "claim" and "helping" not in world.without:
        _, _, before, task = guard
        if (own if task == me else other) == before and not (task == "x" and plan == "closed"):
            return _write(state, number, ((task, before, guard),), "start")
    taking = own[0] == "claim" and state.processes[number].kind.startswith("take") and own[1] != number
    if (me == "x" and plan != "approved") or (own[0] == "claim" and not taking):
        return state.go(number, "end")
    if plan in COUNTS and is_active(other):
        return state.go(number, "end")
    event = ("claim", number, own, me)
    if plan not in COUNTS:
        return _write(state, number, ((me, own, event),), "look again")
    if "guard-first" in world.without:
        return _write(state, number, ((me, own, event), ("guard", guard, event)), "look again")
    return _write(state, number, (("guard", guard, event),), "task", own, event)


def _own_ref(state: State, number: int, me: str, own: Value, event: Value) -> State:
    """The guard has decided: put the event into the task's log, unless someone has helped."""
    prepared = _prepare(state, number, ((me, own, event),))
    if prepared is not None:
        return prepared.go(number, "write", ((me, event),), ("look again",))
    if state.ref(me) == event:
        return state.go(number, "look again")
    return state if state.locked(me) else state.again(number)


def _after_claim(world: World, state: State, number: int, me: str) -> State:
    """Give a claim back that came too late for a plan that closes."""
    late = me == "x" and state.ref("Q")[0] in ("closing", "closed") and "closing" not in world.without
    mine = state.ref("x")
    if not late or mine[0] != "claim" or mine[1] != number:
        return state.go(number, "end")
    prepared = _prepare(state, number, (("x", mine, ("pending", number, mine, "x")),))
    if prepared is None:
        return state.go(number, "look again")
    return prepared.go(number, "write", (("x", ("pending", number, mine, "x")),), ("end",))


# --- working (app/work.py) ----------------------------------------------------------------------------


def _worker(_: World, state: State, number: int) -> Iterator[State]:
    """Someone ends what is claimed: `free` releases or cancels it, `fail` sends it back to rework, `shelve` frees
    a task in rework. The event is computed on the value read."""
    kind, at, knows, _tries = state.processes[number]
    verb, task = kind.split()
    if at == "start":
        found = state.ref(task)
        if found[0] == ("rework" if verb == "shelve" else "claim"):
            yield state.go(number, "end it", found)
        yield state.go(number, "end")
    elif at == "end it":
        (found,) = knows
        event = ("rework" if verb == "fail" else "pending", number, found, task)
        yield _write(state, number, ((task, found, event),), "end")


# --- plans (app/approve.py, app/plan.py) ----------------------------------------------------------------


def _approver(world: World, state: State, number: int) -> Iterator[State]:
    _, at, knows, _tries = state.processes[number]
    if at == "start":
        announced = state if "approving" in world.without else state.put("Q", ("approving",))
        yield announced.go(number, "read a")
    elif at == "read a":
        skip = "revised" in world.without or state.ref("a")[0] == "claim"
        yield state.go(number, "approve") if skip else state.go(number, "revise a", state.ref("a"))
    elif at == "revise a":
        (found,) = knows
        revised = (found[0], number, found, "a")
        prepared = _prepare(state, number, (("a", found, revised),))
        if prepared is not None:
            yield prepared.go(number, "write", (("a", revised),), ("approve",))
        else:
            yield state.again(number, "read a")
    elif at == "approve":
        yield state.put("Q", ("approved",)).go(number, "end")


def _closer(_: World, state: State, number: int) -> Iterator[State]:
    at = state.processes[number].at
    if at == "start":
        yield state.put("Q", ("closing",)).go(number, "look")
    elif at == "look":  # an active task: the plan opens again
        yield state.go(number, "reopen" if is_active(state.ref("x")) else "close")
    else:
        yield state.put("Q", ("approved" if at == "reopen" else "closed",)).go(number, "end")


_Role = Callable[[World, State, int], Iterator[State]]
_ROLES: dict[str, _Role] = {
    "claim": _claimer,
    "take": _claimer,
    "free": _worker,
    "fail": _worker,
    "shelve": _worker,
    "approve": _approver,
    "close": _closer,
}
