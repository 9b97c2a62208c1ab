"""What a score teaches, in sentences: was it worth it, what took the time, what to do next time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from git_fleet.core import graph
from git_fleet.core.chain import Cause
from git_fleet.core.config import Config
from git_fleet.core.graph import Pairs
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Task
from git_fleet.core.schedule import FanOut, fan_out
from git_fleet.core.score import Score, Share, Worth
from git_fleet.core.wording import count

_MOST = 5  # tasks named in a sentence
_MUCH = 0.2  # of the agent time
_FAR = 2.0  # times more or less than estimated


class Lessons(Struct, frozen=True):
    """`headline` answers whether it was worth it, `bottleneck` names what took most of the wall time ("" as
    long as there is none), `advice` is for the next time. `predicted` is what plan check says of this plan
    for as many workers as there were; None while nobody has worked."""

    headline: str
    bottleneck: str
    advice: tuple[str, ...]
    predicted: FanOut | None


def lessons(score: Score, tasks: Sequence[Task], pairs: Pairs, config: Config) -> Lessons:
    """The sentences for a score of these tasks, of which `pairs` take turns."""
    found = score.bottleneck
    advice = (*_advice(score, config), *_about_estimates(score, tasks))
    return Lessons(
        headline=_headline(score),
        bottleneck=_named(found, score) if found else "",
        advice=advice if score.claims else (),
        predicted=_predicted(score, tasks, pairs, config) if score.workers and tasks else None,
    )


def duration(seconds: float) -> str:
    """`0.4 s`, `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min" if seconds < 597 else f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


# --- was it worth it ------------------------------------------------------------------------------


def _headline(score: Score) -> str:
    if score.worth is Worth.EARLY:
        return f"Too early to tell: {_so_far(score)}"
    if not score.integrated:
        return f"Not worth it: nothing was integrated, after {duration(score.agent_seconds)} of agent time"
    alone, wall = duration(score.useful_seconds), duration(score.wall_seconds)
    if score.worth is Worth.NO:
        return f"Not worth it: the fleet took {wall}, one worker would have taken {alone}"
    text = f"Worth it: {score.speedup or 0.0:.1f} times as fast as one worker, {wall} instead of {alone}"
    saved = score.useful_seconds - score.wall_seconds
    if score.lost_seconds > saved:
        text += f"; but it took {duration(score.lost_seconds)} more of agent time to save {duration(saved)}"
    return text


def _so_far(score: Score) -> str:
    if not score.claims:
        return "nobody has claimed a task" + ("" if score.finished else " yet")
    after = duration(score.wall_seconds)
    text = f"{score.integrated} of {count(score.tasks, 'task')} integrated after {after}"
    return text + (f", {score.speedup:.1f} times as fast as one worker so far" if score.speedup else "")


# --- what took the time ---------------------------------------------------------------------------


def _named(share: Share, score: Score) -> str:
    what = _NAMES[share.cause](share, score)
    return f"{what}: {share.share:.0%} of the wall time ({duration(share.seconds)})"


_NAMES: dict[Cause, Callable[[Share, Score], str]] = {
    Cause.TASK: lambda share, _: f"One long task ({_few(share.tasks)})",
    Cause.NEEDS: lambda share, _: f"A chain of needs ({_few(share.tasks, ' → ')})",
    Cause.FILES: lambda share, _: f"Overlapping files ({_few(share.tasks, ' → ')} took turns)",
    Cause.WORKERS: lambda _, score: f"Too few workers ({score.workers} at most, and all were busy)",
    Cause.IDLE: lambda *_: "Nobody at work (tasks were ready, a worker was free, and nobody claimed)",
    Cause.SPAWN: lambda *_: "Starting workers",
    Cause.REWORK: lambda _, score: f"Rework{_reasons(score)}",
    Cause.REVIEW: lambda *_: "Waiting for review (handed in, and nobody was integrating)",
    Cause.INTEGRATION: lambda *_: "Integration (replay and gates, one task after another)",
    Cause.PERSON: lambda *_: "Waiting for a person (held, blocked, parked or paused)",
}


def _few(tasks: Sequence[TaskId], sign: str = ", ") -> str:
    shown = sign.join(task.task for task in tasks[:_MOST])
    return shown + (f" and {len(tasks) - _MOST} more" if len(tasks) > _MOST else "")


def _reasons(score: Score) -> str:
    found = ", ".join(f"{setback.times} × {setback.reason}" for setback in score.setbacks[:3])
    return f" ({found})" if found else ""


# --- what to do next time -------------------------------------------------------------------------


def _advice(score: Score, config: Config) -> Iterator[str]:
    found = score.bottleneck
    if found is not None:
        yield _REMEDIES[found.cause](found, score, config)
    bound = score.bound
    if bound.unlimited is not None and score.speedup is not None and score.finished:
        if score.speedup > 0.8 * bound.unlimited:
            yield (
                f"more workers would hardly have helped: even any number of them could not have been more "
                f"than {bound.unlimited:.1f} times as fast as one"
            )
        elif found is not None and found.cause is Cause.WORKERS:
            yield f"more workers could have made it up to {bound.unlimited:.1f} times as fast as one"
    spawn = score.spawn_seconds
    if spawn > _MUCH * score.agent_seconds and (found is None or found.cause is not Cause.SPAWN):
        yield f"larger tasks: starting workers was {spawn / score.agent_seconds:.0%} of the agent time"


def _more_workers(_: Share, score: Score, config: Config) -> str:
    if score.workers >= config.max_active:
        return (
            f"raise max_active in fleet.toml: no more than {config.max_active} tasks may be claimed at once"
        )
    return "start more workers"


def _less_rework(_: Share, score: Score, __: Config) -> str:
    worst = score.setbacks[0].reason if score.setbacks else ""
    return _AGAIN.get(worst, "say in the prompts what was sent back for")


_AGAIN = {
    "conflict": "let tasks that own the same files take turns, so that conflicts show in the plan",
    "gate": "let workers run the gates before they hand in",
    "scope": "give the tasks the files that their work needs",
    "expired": "let workers report progress, or make the lease longer: leases ran out",
    "released": "smaller tasks: workers gave theirs back",
    "blocked": "clear up before the start what workers were blocked by",
}

_REMEDIES: dict[Cause, Callable[[Share, Score, Config], str]] = {
    Cause.TASK: lambda share, *_: f"split {_few(share.tasks)}: no number of workers makes one task faster",
    Cause.NEEDS: lambda *_: (
        "cut needs that are not real; agree on interfaces first, so that both sides can start"
    ),
    Cause.FILES: lambda *_: "give shared files to one task or split them; git fleet plan check names them",
    Cause.WORKERS: _more_workers,
    Cause.IDLE: lambda *_: "keep workers asking: claim's retry_after_seconds says when to come again",
    Cause.SPAWN: lambda *_: "larger tasks, or workers that take one task after another",
    Cause.REWORK: _less_rework,
    Cause.REVIEW: lambda *_: "run git fleet integrate as soon as something is handed in",
    Cause.INTEGRATION: lambda *_: "faster gates, or larger tasks: each task is gated for itself",
    Cause.PERSON: lambda *_: "have a person at hand: git fleet status shows what waits for one",
}


def _about_estimates(score: Score, tasks: Sequence[Task]) -> Iterator[str]:
    """How far the plan's minutes were off, where that would change what plan check says."""
    if not score.integrated or not tasks:
        return
    took = score.useful_seconds / score.integrated / 60
    said = sum(task.estimate_minutes for task in tasks) / len(tasks)
    if took > 0 and said > 0 and not 1 / _FAR <= took / said <= _FAR:
        yield (
            f"estimate better: a task took {duration(took * 60)} of work, "
            f"where estimate_minutes say {duration(said * 60)}"
        )


def _predicted(score: Score, tasks: Sequence[Task], pairs: Pairs, config: Config) -> FanOut:
    minutes = {task.id: task.estimate_minutes for task in tasks}
    path = graph.critical_path(tasks, pairs)
    return fan_out(
        list(minutes.values()),
        sum(minutes[task] for task in path),
        spawn_minutes=config.spawn_seconds / 60,
        review_minutes=config.review_minutes,
        workers=score.workers,
    )
