from __future__ import annotations

import re
from itertools import combinations

import pytest

from git_fleet import resources
from git_fleet.core.picture import Picture
from git_fleet.views.layout import MOST_BOXES, layout
from git_fleet.views.look import cut, width
from git_fleet.views.web import graph_svg
from tests.support.pictures import drawn, plan_of, task


@pytest.mark.parametrize("count", [1, 2, 7, 30, MOST_BOXES, MOST_BOXES + 1, 400])
def test_no_two_tasks_lie_on_each_other_and_all_are_inside(count: int) -> None:
    found = layout(drawn(*plan_of(count)))
    wide, high = found.size
    assert found.small is (count > MOST_BOXES)
    assert len(found.boxes) == count
    for box in found.boxes:
        assert 0 <= box.x <= found.width - wide
        assert 20 < box.y <= found.height - high
    for one, other in combinations(found.boxes, 2):
        assert abs(one.x - other.x) >= wide or abs(one.y - other.y) >= high


def test_every_edge_goes_from_one_task_to_the_other_and_passes_behind_none() -> None:
    tasks = [
        task("a"),
        task("b", "a"),
        task("c", "b"),
        task("d", "a", "c"),
        task("far"),
        task("end", "far", "d"),
    ]
    found = layout(drawn(*tasks))
    boxes = {box.node.id: box for box in found.boxes}
    ends = {(wire.edge.before.task, wire.edge.after.task) for wire in found.wires}
    assert ends == {
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("far", "end"),
        ("d", "end"),
    }  # a, d: by way of b and c
    for wire in found.wires:
        numbers = [float(text) for text in re.findall(r"-?[\d.]+", wire.path)]
        before, after = boxes[wire.edge.before], boxes[wire.edge.after]
        assert numbers[:2] == [before.x + found.size[0], pytest.approx(before.y + found.size[1] / 2, abs=0.1)]
        assert numbers[-2:] == [after.x, pytest.approx(after.y + found.size[1] / 2, abs=0.1)]
        for passed in re.finditer(r"([\d.]+) ([\d.]+)H([\d.]+)", wire.path):
            left, y, right = map(float, passed.groups())
            for box in found.boxes:
                inside = box.y <= y <= box.y + found.size[1]
                assert not (inside and left <= box.x < right), (wire, box)


def test_a_title_is_cut_by_the_columns_it_takes() -> None:
    assert cut("short", 10) == "short"
    assert width(cut("日本語" * 40, 10)) <= 10
    assert cut("a long title", 7) == "a long…"


def hostile() -> Picture:
    return drawn(task("a", title='</text><script>alert(1)</script>"\u202e' + "x" * 10_000), task("b", "a"))


def test_a_drawing_keeps_the_joiners_of_an_emoji() -> None:
    assert "&#128105;&#8205;&#128105;" in graph_svg(drawn(task("a", title="👩\u200d👩 do it")), resources.web)


def test_a_drawing_shows_hostile_titles_as_text() -> None:
    found = graph_svg(hostile(), resources.web)
    assert found.isascii()
    assert "<script" not in found
    assert "&lt;script&gt;" in found
    assert "\\u202e" in found
