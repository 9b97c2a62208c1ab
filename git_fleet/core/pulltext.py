"""The texts of pull requests. Whatever others wrote is in them as code, and can neither mention nor close anything.

A forge acts on text: `@name` sends mail, `#12` leaves a trace at that issue, `Fixes #12` closes it. It does so in the
message of a merge, too, where markdown does not count and which is made from title and text. So an invisible character
goes into each such word, beside the code block that keeps markdown from meaning anything.

Our part of a text begins with a marker and ends with the trailers by which a squashed merge is known again. What people
write before or after it is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from git_fleet.core import trailers
from git_fleet.core.ids import TaskId
from git_fleet.core.model import Proposal, Task, Verdict
from git_fleet.core.quoting import harmless
from git_fleet.core.trailers import Trailer, one_line

_GAP = "\u200b"  # has no width
_ACTING = re.compile(
    r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|(?<=/)(?:issues|pull|pulls|discussions|commit)/(?=\w)", re.IGNORECASE
)
_MAX_TITLE = 200  # characters; the forge takes 256
_MAX_PROMPT = 8000
_END = re.compile(rf"^{trailers.PROPOSAL}: [0-9a-f]{{40,64}}[ \t]*$", re.MULTILINE)


def tame(text: str) -> str:
    """`text` in which nothing is a mention, a reference to an issue or a word that closes one. Its lines are kept."""
    return _ACTING.sub(lambda found: found[0] + _GAP, harmless(text))


def title(task: Task, proposal: Proposal) -> str:
    """A pull request's title: what the worker says of it, else what the plan does. Never empty."""
    said = next(iter(proposal.message.strip().split("\n")), "")
    text = one_line(tame(one_line(said) or task.title)) or str(task.id)
    return text if len(text) <= _MAX_TITLE else text[: _MAX_TITLE - 1] + "…"


def marker(task: TaskId) -> str:
    """By which our part of a pull request's text is known again."""
    return f"<!-- git-fleet: {task} -->"


def body(
    task: Task, plan_title: str, proposal: Proposal, verdicts: Iterable[Verdict], gates: Sequence[str]
) -> str:
    """Plan, evidence, and at the end the trailers. `gates` are those that passed on this proposal here."""
    who = f"{_code(str(task.id))} of plan {_code(plan_title or task.id.plan)}, handed in by {_code(proposal.worker)}"
    told = [
        marker(task.id),
        f"{who} as proposal {proposal.number}.",
        _block(task.title + (f"\n\n{_short(task.prompt)}" if task.prompt.strip() else "")),
        _list("Files", task.owned),
        _list("Needs", task.needs),
        _list("Evidence", [*(f"gate {name}: pass" for name in gates),
                           *(f"{each.lens}: {each.verdict} ({each.verifier})" for each in verdicts)]),
        "\n".join(map(str, _trailers(task.id, proposal))),
    ]  # fmt: skip
    return "\n\n".join(part for part in told if part)


def _trailers(task: TaskId, proposal: Proposal) -> list[Trailer]:
    return [
        Trailer(trailers.PLAN, task.plan),
        Trailer(trailers.TASK, task.task),
        Trailer(trailers.WORKER, one_line(tame(proposal.worker))),
        Trailer(trailers.PROPOSAL, proposal.oid),
    ]


def merged_body(found: str, task: TaskId, ours: str) -> str:
    """A pull request's text with our part as it is to be now. One without our part is somebody's own, and stays."""
    before, mark, rest = found.partition(marker(task))
    ends = list(_END.finditer(rest))
    return before + ours + rest[ends[-1].end() :] if mark and ends else found


def siblings_marker(task: TaskId) -> str:
    """By which the one comment with links is known again."""
    return f"<!-- git-fleet siblings: {task} -->"


def siblings(task: TaskId, others: Sequence[tuple[TaskId, str]]) -> str:
    """The comment that names the pull requests of the plan's other tasks, by (task, address)."""
    rows = [f"- {_code(str(other))} {url}" for other, url in others]
    return "\n".join([siblings_marker(task), f"Of the same plan, {_code(task.plan)}:", "", *rows])


def _code(text: str) -> str:
    """`text` as code on one line; it may hold anything."""
    plain = one_line(tame(text)).replace("`", "'")
    return f"`{plain}`" if plain else ""


def _block(text: str) -> str:
    """`text` in a fence that it cannot close."""
    plain = tame(text).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{plain}\n{fence}"


def _list(heading: str, items: Iterable[str]) -> str:
    rows = [f"- {_code(item)}" for item in items]
    return "\n".join([f"**{heading}**", "", *rows]) if rows else ""


def _short(text: str) -> str:
    return text if len(text) <= _MAX_PROMPT else text[:_MAX_PROMPT] + "\n…"
