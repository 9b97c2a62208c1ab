"""Siblings of one matrix should look alike; the odd one out is named (DESIGN section 9, *Divergence*).

What each sibling made (the changes of each file, what its gates printed, its artifacts) is compared with
the same part of the others; core/likeness.py says when two texts are alike. Most are equal once values have
their parameters' names, so texts are grouped by what is left of them; templates are looked for only between
groups, and differences only between an odd one and one of the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import reduce
from itertools import combinations
from operator import and_

from msgspec import Struct

from git_fleet.core.ids import TaskId
from git_fleet.core.likeness import (
    Kind,
    Reader,
    Readers,
    Shape,
    Text,
    one_template,
    same_line,
    templated_lines,
    witnesses,
)
from git_fleet.core.matrix import Params

SHOWN_LINES = 16
_SHOWN_COLUMNS = 400
_MATCHED_LINES = 400
_MOST_SHAPES = 64


class Part(Struct, frozen=True):
    """One thing a sibling made. Of a file `text` is its added and removed lines alone, with their signs:
    where in the file they stand is no difference. The lines of a gate may come in any order. `cut`: the end
    of the text is missing (of a gate its beginning), whole lines of it."""

    kind: Kind
    name: str
    text: str
    cut: bool = False


class Work(Struct, frozen=True):
    """All that one sibling made, and the matrix values it was made for."""

    task: TaskId
    params: Params
    parts: tuple[Part, ...]


class Line(Struct, frozen=True):
    """One line of a difference: `odd` says whether the odd one has it, or the others. Parameter values and
    what is never compared are shown by their names: `{cluster}`, `<time>`."""

    odd: bool
    text: str


class Divergence(Struct, frozen=True):
    """One part in which siblings differ.

    `odd` are the tasks that differ from more than half of the siblings, `one` the first of them, `other`
    one of the rest. Where no shape has a majority `odd` is empty: `shapes` different ones were made, and
    `one` and `other` stand for the two most frequent. `missing` are the ones without this part. `name` has
    parameter names for values. `difference` is its beginning, `cut` how many more lines differ.
    """

    group: str
    kind: Kind
    name: str
    odd: tuple[TaskId, ...]
    one: TaskId
    other: TaskId
    siblings: int
    shapes: int
    difference: tuple[Line, ...]
    cut: int = 0
    missing: tuple[TaskId, ...] = ()


def divergences(group: str, works: Sequence[Work]) -> tuple[Divergence, ...]:
    """Where the siblings of one matrix entry differ, files first. One alone differs from nobody."""
    if len(works) < 2:
        return ()
    readers = {work.task: Reader(work.params) for work in works}
    found: list[Divergence] = []
    for kind, name, texts in _by_part(works, readers):
        found += _compare(group, kind, name, texts, works, readers)
    return tuple(found)


# --- which parts belong together ---------------------------------------------------------------------

_Texts = Mapping[TaskId, Text]


class _Named(Struct):
    """Parts of several siblings that are one part by their names: whose they are, and how each reads its own."""

    kind: Kind
    shape: Shape
    names: dict[TaskId, Text]
    parts: dict[TaskId, list[Part]]


def _by_part(works: Sequence[Work], readers: Readers) -> Iterator[tuple[Kind, str, _Texts]]:
    """The siblings' texts by part, files first. The name shown has parameter names for values."""
    for named in sorted(_joined(_named(works, readers), readers), key=_rank):
        name = readers[named.shape.tasks[0]].show(_form(named))
        texts = {task: readers[task].read(text, named.kind) for task, text in _whole(named).items()}
        yield named.kind, name, texts


def _whole(named: _Named) -> dict[TaskId, str]:
    """The text of each. Where one is cut, all end (of a gate: begin) no later: how many lines there was room
    for depends on how long a value is, and says nothing."""
    lines = {
        task: [line for part in parts for line in part.text.rstrip("\n").split("\n")]
        for task, parts in named.parts.items()
    }
    cut = [len(lines[task]) for task, parts in named.parts.items() if any(part.cut for part in parts)]
    if not cut:
        return {task: "\n".join(own) for task, own in lines.items()}
    most = min(cut)
    kept = slice(-most, None) if named.kind is Kind.GATE else slice(most)
    return {task: "\n".join(own[kept]) for task, own in lines.items()}


def _rank(named: _Named) -> tuple[int, str]:
    return list(Kind).index(named.kind), _form(named)


def _form(named: _Named) -> str:
    return named.shape.text.form if named.shape.text else ""


def _named(works: Sequence[Work], readers: Readers) -> list[_Named]:
    """Parts by kind and name. A name that all siblings have as it is, is that name; in others values are
    parameters."""
    common = Counter((part.kind, part.name) for work in works for part in work.parts)
    found: dict[tuple[Kind, str], _Named] = {}
    for work in works:
        for part in work.parts:
            everywhere = common[part.kind, part.name] == len(works)
            name = readers[work.task].name(part.name, literal=everywhere)
            named = found.setdefault((part.kind, name.form), _Named(part.kind, Shape(name, []), {}, {}))
            if work.task not in named.parts:
                named.shape.tasks.append(work.task)
            named.names[work.task] = name
            named.parts.setdefault(work.task, []).append(part)
    return list(found.values())


def _joined(every: Sequence[_Named], readers: Readers) -> list[_Named]:
    """Those together whose names one template gives, where no sibling has both."""
    kept: list[_Named] = []
    for named in sorted(every, key=lambda one: -len(one.parts)):
        for other in kept:
            apart = other.kind is named.kind and other.parts.keys().isdisjoint(named.parts)
            if apart and one_template(named.shape, other.shape, {**named.names, **other.names}, readers):
                other.shape.tasks += named.shape.tasks
                other.names |= named.names
                other.parts |= named.parts
                break
        else:
            kept.append(named)
    return kept


def _compare(
    group: str,
    kind: Kind,
    name: str,
    texts: _Texts,
    works: Sequence[Work],
    readers: Readers,
) -> Iterator[Divergence]:
    """The odd ones in one part. Of a gate only those count for whom it has run; and since each ran on top
    of others' work, logs of which no two are alike say nothing."""
    among = [work.task for work in works if kind is not Kind.GATE or work.task in texts]
    if kind is Kind.GATE:
        texts = _in_any_order(texts, readers)
    shapes = _shapes(among, texts, readers)
    if len(shapes) < 2:
        return
    most, *rest = shapes
    majority = 2 * len(most.tasks) > len(among)
    if kind is Kind.GATE and not majority:
        return
    for odd in rest if majority else rest[:1]:
        one, other = odd.tasks[0], most.tasks[0]
        lines = _difference(one, most, texts, readers)
        shown = lines[:SHOWN_LINES]
        yield Divergence(
            group,
            kind,
            name,
            odd=tuple(odd.tasks) if majority else (),
            one=one,
            other=other,
            siblings=len(among),
            shapes=len(shapes),
            difference=tuple(shown),
            cut=len(lines) - len(shown),
            missing=tuple(task for shape in (odd, most) if shape.text is None for task in shape.tasks),
        )


def _in_any_order(texts: _Texts, readers: Readers) -> dict[TaskId, Text]:
    """Logs without the lines that all of them have as they are, the rest in one order: tools that work in
    parallel print in any, and a gate sees what the siblings before have brought to main."""
    lines = {task: Counter(text.lines[0]) for task, text in texts.items()}
    common = reduce(and_, lines.values(), next(iter(lines.values()), Counter()))
    return {task: readers[task].in_order((own - common).elements()) for task, own in lines.items()}


# --- which are alike ---------------------------------------------------------------------------------


def _shapes(among: Sequence[TaskId], texts: _Texts, readers: Readers) -> list[Shape]:
    """The different shapes, the most frequent first, of equally frequent ones the one that came first."""
    by_form: dict[str | None, Shape] = {}
    for task in among:
        text = texts.get(task)
        by_form.setdefault(text.form if text else None, Shape(text, [])).tasks.append(task)
    merged = _merged(list(by_form.values()), texts, readers)
    position = {task: number for number, task in enumerate(among)}
    for shape in merged:
        shape.tasks.sort(key=position.__getitem__)
    return sorted(merged, key=lambda shape: (-len(shape.tasks), position[shape.tasks[0]]))


def _merged(shapes: list[Shape], texts: _Texts, readers: Readers) -> list[Shape]:
    """Shapes that one template gives, together; first those that need it for the fewest lines. Of very many
    only the most frequent: where everybody differs from everybody, it is no use to go on."""
    ordered = sorted(shapes, key=lambda shape: -len(shape.tasks))
    few, rest = ordered[:_MOST_SHAPES], ordered[_MOST_SHAPES:]
    near = []
    for one, other in combinations(range(len(few)), 2):
        mine, theirs = few[one].tasks[0], few[other].tasks[0]
        lines = templated_lines(texts.get(mine), texts.get(theirs), readers[mine], readers[theirs])
        if lines is not None:
            near.append((lines, one, other))
    now = list(few)  # by number, the shape that this one is part of by now
    for _, one, other in sorted(near):
        kept, gone = now[one], now[other]
        if kept is not gone and one_template(kept, gone, texts, readers):
            kept.tasks += gone.tasks
            now = [kept if shape is gone else shape for shape in now]
    return [*{id(shape): shape for shape in now}.values(), *rest]


# --- what differs ------------------------------------------------------------------------------------


def _difference(odd: TaskId, most: Shape, texts: _Texts, readers: Readers) -> list[Line]:
    """The lines in which the odd one differs from the others, hunk by hunk."""
    one, reader = texts.get(odd), readers[odd]
    others = [(texts[task], readers[task]) for task in witnesses(most, readers) if task in texts]
    if one is None or not others:
        here, whose = (one, reader) if one is not None else others[0]
        return [_line(text, whose, odd=one is not None) for text in here.lines[1]]
    found = list(_changed(one, reader, others, strict=False))
    return found or list(_changed(one, reader, others, strict=True))


def _changed(
    one: Text, mine: Reader, others: Sequence[tuple[Text, Reader]], *, strict: bool
) -> Iterator[Line]:
    """Lines that differ. Unless `strict`, not those that one template gives for all of the others, whose
    texts have the same number of lines."""
    (other, theirs), form = others[0], one.lines[1]
    form_other = other.lines[1]
    for (start, end), (begin, stop) in _hunks(form_other, form):
        same: set[int] = set()
        if not strict and end - start == stop - begin:
            same = {
                i
                for i in range(end - start)
                if all(
                    same_line(one.lines[0][begin + i], text.lines[0][start + i], mine, reader)
                    for text, reader in others
                )
            }
        differ = [i for i in range(max(end - start, stop - begin)) if i not in same]
        yield from (_line(form_other[start + i], theirs, odd=False) for i in differ if start + i < end)
        yield from (_line(form[begin + i], mine, odd=True) for i in differ if begin + i < stop)


_Range = tuple[int, int]


def _hunks(old: list[str], new: list[str]) -> Iterator[tuple[_Range, _Range]]:
    """Where two lists of lines differ. What is very long is not looked into: from the first difference to
    the last it is one hunk."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    tail = 0
    while tail < min(len(old), len(new)) - start and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    end, stop = len(old) - tail, len(new) - tail
    if max(end, stop) - start > _MATCHED_LINES:
        yield (start, end), (start, stop)
        return
    matcher = SequenceMatcher(None, old[start:end], new[start:stop], autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            yield (start + a, start + b), (start + c, start + d)


def _line(form: str, reader: Reader, *, odd: bool) -> Line:
    text = reader.show(form)
    return Line(odd, text if len(text) <= _SHOWN_COLUMNS else text[: _SHOWN_COLUMNS - 1] + "…")
