"""A score as a page and as a JSON document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from git_fleet.core.chain import Cause, Link
from git_fleet.core.lessons import Lessons, duration
from git_fleet.core.lives import Phase
from git_fleet.core.model import Usage
from git_fleet.core.schedule import FanOut
from git_fleet.core.score import Score, Share, Worth
from git_fleet.core.spans import moment
from git_fleet.core.wording import count
from git_fleet.views.look import Look, line, some, wrapped
from git_fleet.views.machine import Document, ids, time
from git_fleet.views.table import Cell, Table

_WORTH = {Worth.YES: "green bold", Worth.NO: "red bold", Worth.EARLY: "yellow bold"}

PHASES = {
    Phase.STARTING: ("workers starting", "magenta"),
    Phase.WORK: ("worked on", "green"),
    Phase.REWORK: ("worked on again", "red"),
    Phase.LOST: ("abandoned (the lease had run out)", "red"),
    Phase.NEEDS: ("waiting for a task it needs", "yellow"),
    Phase.TURNS: ("waiting for its turn (same files)", "yellow"),
    Phase.HOLD: ("waiting for a person", "yellow"),
    Phase.PAUSED: ("the plan was paused", "yellow"),
    Phase.WORKER: ("ready, waiting for a worker", "blue"),
    Phase.REVIEW: ("handed in, waiting for review", "cyan"),
    Phase.INTEGRATION: ("handed in, being integrated", "cyan"),
}
"""What each phase is called, and its colour."""
CAUSES = {
    Cause.TASK: ("one long task", "green"),
    Cause.NEEDS: ("tasks that need each other", "yellow"),
    Cause.FILES: ("tasks that share files", "yellow"),
    Cause.WORKERS: ("too few workers", "blue"),
    Cause.IDLE: ("nobody claimed", "blue"),
    Cause.SPAWN: ("workers starting", "magenta"),
    Cause.REWORK: ("rework", "red"),
    Cause.REVIEW: ("waiting for review", "cyan"),
    Cause.INTEGRATION: ("integration", "cyan"),
    Cause.PERSON: ("waiting for a person", "yellow"),
}
"""What each cause is called, and its colour."""

_EIGHTHS = " ▏▎▍▌▋▊▉"
_BAR = 24  # columns of the longest bar
_BESIDE = 64  # what stands beside it
_MOST = 8  # workers shown


def text(score: Score, lessons: Lessons, look: Look, *, blocks: bool = True) -> str:
    """The page: the answer first, where the time went, why, what to do next time. `blocks` says that bars may
    be drawn with block characters."""
    head, colon, rest = lessons.headline.partition(": ")
    title = f"{look.paint(line(score.plan), 'bold')}: {look.paint(head, _WORTH[score.worth])}{colon}{rest}"
    parts = [wrapped(title, look)]
    if score.claims:
        bar = _bar(look, blocks=blocks)
        parts += [*_tasks_time(score, look, bar), *_wall_time(score, lessons, look, bar)]
        parts += [*_setbacks(score, look), *_workers(score, look, bar), _numbers(score, lessons, look)]
    parts += _section(
        "Next time",
        [wrapped(f"- {line(advice)}", _inside(look), indent=2) for advice in lessons.advice],
        look,
    )
    return "\n\n".join(parts)


def _section(title: str, body: Sequence[str], look: Look) -> list[str]:
    rows = [f"  {row}" for block in body for row in block.split("\n")]
    return ["\n".join([look.paint(title, "bold"), *rows])] if rows else []


def _inside(look: Look) -> Look:
    return Look(max(look.width - 2, 1) if look.width else 0, look.colour)


# --- bars ----------------------------------------------------------------------------------------

Bar = Callable[[float], str]
"""A bar for a part of the longest one, 0 to 1."""


def _bar(look: Look, *, blocks: bool) -> Bar:
    """Bars as long as the terminal is wide enough for; none on a narrow one."""
    columns = min(_BAR, look.width - _BESIDE) if look.width else _BAR
    if columns < 4:
        return lambda _: ""
    if not blocks:
        return lambda part: "#" * max(1, round(part * columns))

    def drawn(part: float) -> str:
        eighths = max(1, round(part * columns * 8))
        return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()

    return drawn


# --- sections ------------------------------------------------------------------------------------


def _tasks_time(score: Score, look: Look, bar: Bar) -> list[str]:
    """Where the time of all tasks went, phase by phase."""
    table = Table(("WHAT A TASK WAS DOING", "", "TIME", "SHARE", "TASKS"), right=frozenset({2, 3, 4}))
    total = sum(found.seconds for found in score.phases)
    most = max(found.seconds for found in score.phases)
    for found in sorted(score.phases, key=lambda each: -each.seconds):
        name, style = PHASES[found.phase]
        drawn = Cell(bar(found.seconds / most), style)
        table.add(name, drawn, duration(found.seconds), f"{found.seconds / total:.0%}", str(found.tasks))
    title = f"Where the time of {count(score.tasks, 'task')} went ({score.integrated} integrated)"
    return _section(title, [table.render(_inside(look))], look)


def _wall_time(score: Score, lessons: Lessons, look: Look, bar: Bar) -> list[str]:
    """Why it took as long as it did, and the bottleneck in a sentence."""
    table = Table(("DUE TO", "", "TIME", "SHARE", "OF"), whole=frozenset({0, 1}), right=frozenset({2, 3}))
    for share in score.shares:
        name, style = CAUSES[share.cause]
        drawn = Cell(bar(share.seconds / score.shares[0].seconds), style)
        tasks = some([task.task for task in share.tasks], 4)
        table.add(name, drawn, duration(share.seconds), f"{share.share:.0%}", tasks)
    named = f"{look.paint('Bottleneck:', 'bold')} {line(lessons.bottleneck)}"
    body = [table.render(_inside(look)), wrapped(named, _inside(look))]
    return _section(f"Why it took {duration(score.wall_seconds)}", body, look)


def _setbacks(score: Score, look: Look) -> list[str]:
    table = Table(("SENT BACK", "TIMES", "CLAIMED AGAIN", "WORK AGAIN"), right=frozenset({1, 2, 3}))
    for found in score.setbacks:
        table.add(found.reason, str(found.times), str(found.claims), duration(found.seconds))
    body = [table.render(_inside(look))] if table.rows else []
    return _section("Rework", body, look)


def _workers(score: Score, look: Look, bar: Bar) -> list[str]:
    table = Table(("WORKER", "", "TIME", "BUSY", "CLAIMS"), right=frozenset({2, 3, 4}))
    for hand in score.hands[:_MOST]:
        busy = hand.seconds / score.wall_seconds if score.wall_seconds else 0.0
        drawn = Cell(bar(min(busy, 1.0)), "green")
        table.add(hand.worker, drawn, duration(hand.seconds), f"{busy:.0%}", str(hand.claims))
    rest = len(score.hands) - _MOST
    body = [table.render(_inside(look)), *([f"… and {rest} more (--json has them all)"] if rest > 0 else [])]
    return _section(f"Workers ({score.workers} at once at most)", body, look)


def _numbers(score: Score, lessons: Lessons, look: Look) -> str:
    return "\n".join(wrapped(text, look, indent=2) for text in _sums(score, lessons))


def _sums(score: Score, lessons: Lessons) -> Iterator[str]:
    """The numbers behind the page, a line each."""
    yield (
        f"{duration(score.agent_seconds)} of agent time in {count(score.claims, 'claim')}; one worker would have "
        f"needed {duration(score.useful_seconds)} for what is integrated"
    )
    if score.parallelism is not None:
        yield f"{score.parallelism:.1f} workers busy on average{_speed(score, lessons.predicted)}"
    yield (
        f"{duration(score.spawn_seconds)} of it starting workers (logs do not say: spawn_seconds for each claim, "
        f"less where the worker reported sooner, at most half of the claim)"
    )
    if score.usage != Usage():
        used = score.usage
        yield f"cost ${used.cost_usd:.2f}, {used.input_tokens:,} tokens in, {used.output_tokens:,} out"
    if score.skew_seconds:
        yield f"clocks disagreed by {duration(score.skew_seconds)}: what would have been negative counts as none"


def _speed(score: Score, predicted: FanOut | None) -> str:
    if score.speedup is None:
        return ""
    said = [f"; {score.speedup:.1f} times as fast as one"]
    bound = score.bound
    if bound.with_workers is not None and bound.unlimited is not None:
        these = f"{bound.with_workers:.1f} with these and " if bound.with_workers < bound.unlimited else ""
        said.append(f", at most {these}{bound.unlimited:.1f} with any number of workers (Amdahl's bound)")
    if predicted is not None:
        said.append(f"; plan check predicted {predicted.speedup:.1f}")
    return "".join(said)


# --- JSON ----------------------------------------------------------------------------------------


def document(score: Score, lessons: Lessons) -> Document:
    """`score`."""
    found = score.bottleneck
    return {
        "plan": score.plan,
        "worth": str(score.worth),
        "headline": lessons.headline,
        "bottleneck": {**_share(found), "text": lessons.bottleneck} if found else None,
        "advice": list(lessons.advice),
        "started_at": time(score.started_at),
        "ended_at": time(score.ended_at),
        "finished": score.finished,
        "tasks": score.tasks,
        "states": {str(state): number for state, number in score.states},
        "claims": score.claims,
        "workers": score.workers,
        "wall_seconds": score.wall_seconds,
        "agent_seconds": score.agent_seconds,
        "spawn_seconds": score.spawn_seconds,
        "sequence_seconds": score.useful_seconds,
        "parallelism": score.parallelism,
        "speedup": score.speedup,
        "bound": {
            "chain_seconds": score.bound.chain_seconds,
            "lead_seconds": score.bound.lead_seconds,
            "serial_fraction": score.bound.fraction,
            "with_workers": score.bound.with_workers,
            "unlimited": score.bound.unlimited,
            "amdahl": score.bound.amdahl,
        },
        "predicted": _predicted(lessons.predicted),
        "phases": [
            {"phase": str(each.phase), "seconds": each.seconds, "tasks": each.tasks} for each in score.phases
        ],
        "causes": [_share(each) for each in score.shares],
        "chain": [_link(each) for each in score.links],
        "setbacks": [
            {
                "reason": each.reason,
                "times": each.times,
                "claims": each.claims,
                "seconds": each.seconds,
                "usage": _usage(each.usage),
            }
            for each in score.setbacks
        ],
        "hands": [
            {"worker": each.worker, "claims": each.claims, "seconds": each.seconds} for each in score.hands
        ],
        "usage": _usage(score.usage),
        "skew_seconds": score.skew_seconds,
    }


def _share(share: Share) -> Document:
    return {
        "cause": str(share.cause),
        "seconds": share.seconds,
        "share": share.share,
        "tasks": ids(share.tasks),
    }


def _link(link: Link) -> Document:
    return {
        "task_id": str(link.task) if link.task else None,
        "phase": str(link.phase),
        "cause": str(link.cause),
        "from": time(moment(link.start)),
        "to": time(moment(link.end)),
    }


def _predicted(found: FanOut | None) -> Document | None:
    if found is None:
        return None
    return {
        "verdict": str(found.verdict),
        "speedup": found.speedup,
        "parallel_minutes": found.parallel_minutes,
        "sequential_minutes": found.sequential_minutes,
    }


def _usage(usage: Usage) -> Document:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": usage.cost_usd,
    }
