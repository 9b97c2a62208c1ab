from __future__ import annotations

import pytest
from msgspec.structs import replace

from git_fleet.core.bound import Bound
from git_fleet.core.chain import Cause, Link
from git_fleet.core.config import Config
from git_fleet.core.ids import TaskId
from git_fleet.core.lessons import Lessons, lessons
from git_fleet.core.lives import Phase
from git_fleet.core.model import State, Usage
from git_fleet.core.score import PhaseTime, Score, Setback, Share, WorkerTime, Worth
from git_fleet.views import score as view
from git_fleet.views.look import PLAIN, Look, width
from tests.support.clock import START
from tests.support.documents import validate
from tests.views.values import EVIL

A = TaskId("app", "a")
SCORE = Score(
    plan="app",
    started_at=START,
    ended_at=START,
    finished=True,
    states=((State.INTEGRATED, 3),),
    worth=Worth.YES,
    wall_seconds=3600,
    agent_seconds=9000,
    spawn_seconds=90,
    useful_seconds=7200,
    workers=3,
    claims=4,
    parallelism=2.5,
    speedup=2.0,
    bound=Bound(1800, 600, 0.25, 3.0, 4.0, 2.0),
    phases=(
        PhaseTime(Phase.WORK, 7200, 3),
        PhaseTime(Phase.REWORK, 1800, 1),
        PhaseTime(Phase.REVIEW, 900, 3),
    ),
    setbacks=(Setback("conflict", 1, 1, 1800, Usage()),),
    hands=(WorkerTime("ann", 2, 3600), WorkerTime("bob", 2, 1800)),
    shares=(Share(Cause.WORKERS, 2700, 0.75, (A,)), Share(Cause.REVIEW, 900, 0.25, (A,))),
    links=(
        Link(A, Phase.WORK, 0, 2_700_000, Cause.WORKERS),
        Link(None, Phase.WORKER, 2_700_000, 3_600_000, Cause.IDLE),
    ),
    usage=Usage(12_000, 3_400, 1.25),
    skew_seconds=2.5,
)
LESSONS = lessons(SCORE, (), (), Config())

PAGE = """\
app: Worth it: 2.0 times as fast as one worker, 60 min instead of 2 h

Where the time of 3 tasks went (3 integrated)
  WHAT A TASK WAS DOING                                      TIME  SHARE  TASKS
  worked on                      ████████████████████████     2 h    73%      3
  worked on again                ██████                    30 min    18%      1
  handed in, waiting for review  ███                       15 min     9%      3

Why it took 60 min
  DUE TO                                          TIME  SHARE  OF
  too few workers     ████████████████████████  45 min    75%  a
  waiting for review  ████████                  15 min    25%  a
  Bottleneck: Too few workers (3 at most, and all were busy): 75% of the wall time (45 min)

Rework
  SENT BACK  TIMES  CLAIMED AGAIN  WORK AGAIN
  conflict       1              1      30 min

Workers (3 at once at most)
  WORKER                              TIME  BUSY  CLAIMS
  ann     ████████████████████████  60 min  100%       2
  bob     ████████████              30 min   50%       2

2 h 30 min of agent time in 4 claims; one worker would have needed 2 h for what is integrated
2.5 workers busy on average; 2.0 times as fast as one, at most 3.0 with these and 4.0 with any number of workers \
(Amdahl's bound)
1.5 min of it starting workers (logs do not say: spawn_seconds for each claim, less where the worker reported \
sooner, at most half of the claim)
cost $1.25, 12,000 tokens in, 3,400 out
clocks disagreed by 2.5 s: what would have been negative counts as none

Next time
  - start more workers
  - more workers could have made it up to 4.0 times as fast as one"""


def test_the_page_answers_first_and_then_shows_why() -> None:
    assert view.text(SCORE, LESSONS, PLAIN) == PAGE


def test_bars_are_plain_where_block_characters_are_not_shown() -> None:
    page = view.text(SCORE, LESSONS, PLAIN, blocks=False)
    assert page.isascii()
    assert "  worked on again                ######  " in page


@pytest.mark.parametrize("columns", [60, 64, 72, 80, 100])
def test_the_page_fits_the_terminal(columns: int) -> None:
    long = tuple(replace(each, seconds=each.seconds + 8_000) for each in SCORE.phases)
    page = view.text(replace(SCORE, phases=long), LESSONS, Look(columns))
    assert [line for line in page.split("\n") if width(line) > columns] == []
    assert [line for line in page.split("\n") if line.strip(" █▏▎▍▌▋▊▉") == "" != line] == [], "half a bar"


def test_a_short_stretch_still_has_a_bar() -> None:
    tiny = replace(SCORE, phases=(*SCORE.phases, PhaseTime(Phase.HOLD, 0.001, 1)))
    assert "  waiting for a person           ▏" in view.text(tiny, LESSONS, PLAIN)


def test_a_plan_nobody_has_begun_is_one_line() -> None:
    early = replace(
        SCORE, worth=Worth.EARLY, claims=0, phases=(), shares=(), links=(), workers=0, speedup=None
    )
    told = Lessons("Too early to tell: nobody has claimed a task yet", "", (), None)
    assert view.text(early, told, PLAIN) == "app: Too early to tell: nobody has claimed a task yet"


def test_what_workers_wrote_cannot_steer_the_terminal() -> None:
    odd = replace(
        SCORE,
        setbacks=(Setback(EVIL, 1, 1, 5, Usage()),),
        hands=(WorkerTime(EVIL, 1, 5),),
        shares=(Share(Cause.REWORK, 3600, 1.0, (A,)),),
    )
    page = view.text(odd, lessons(odd, (), (), Config()), PLAIN)
    assert EVIL not in page
    assert all(char.isprintable() for char in page.replace("\n", ""))


def test_the_document_is_what_the_schema_says() -> None:
    validate({"v": 1, **view.document(SCORE, LESSONS)}, "score")
