from __future__ import annotations

from xml.etree import ElementTree as ET

from tests.cli.conftest import Fleet


def test_a_plan_as_a_graph_in_every_form(approved: Fleet) -> None:
    assert "│" in approved.ok("graph")
    found = approved.json("graph", "graph", "app")
    assert found["edges"] == [{"from": "app/42", "to": "app/44", "why": "turns", "critical": True}]
    assert approved.ok("graph", "--format", "mermaid").startswith("flowchart LR\n")
    drawing = ET.fromstring(approved.ok("graph", "app", "--format", "svg"))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"


def test_a_plan_that_is_not_there_is_refused(approved: Fleet) -> None:
    answer = approved("graph", "other")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("git-fleet: there is no plan other\n")
