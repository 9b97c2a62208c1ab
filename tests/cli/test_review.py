"""`git fleet review`, through the funnel."""

from __future__ import annotations

from tests.cli.conftest import Fleet

PLAN = """\
version = 1
plan = "bump"
base = "main"

[[task]]
id = "bump-{cluster}"
title = "Bump {cluster}"
output = "report"
matrix.cluster = ["dev", "prod", "qa"]
"""


def test_a_plan_is_reviewed_as_text_and_as_json(fleet: Fleet) -> None:
    (fleet.path / ".git" / "bump.toml").write_text(PLAN, encoding="utf-8")
    fleet.ok("plan", "import", ".git/bump.toml")
    assert fleet.json("review", "review")["tasks"] == []
    fleet.ok("plan", "approve", "--yes")
    for cluster in ("dev", "prod", "qa"):
        claim = fleet.json("claim", "claim", f"bump-{cluster}", "--worker", cluster)
        report = "latest" if cluster == "qa" else f"{cluster} is at 2.1"
        place = fleet.path.parent / claim["worktree"]
        (place / "r.md").write_text(report + "\n", encoding="utf-8")
        fleet.ok(
            "done",
            f"bump-{cluster}",
            "--result",
            "done",
            "--artifact",
            "r.md",
            "--worker",
            cluster,
            cwd=place,
        )
    document = fleet.json("review", "review", "bump")
    assert [one["odd"] for one in document["divergences"]] == [["bump/bump-qa"]]
    assert document["divergences"][0]["difference"] == [
        {"of": "other", "text": "{cluster} is at 2.1"},
        {"of": "one", "text": "latest"},
    ]
    assert document["tasks"][0]["artifacts"] == [{"name": "r.md", "size": 14}]
    shown = fleet.ok("review")
    assert "bump/bump-qa, unlike 2 others of bump-{cluster}:" in shown
    assert "git fleet integrate bump" in shown
    one = fleet.ok("review", "--task", "bump-qa")
    assert one.startswith("bump/bump-qa has been proposed for ")
    assert fleet.json("review", "review", "--task", "bump-dev")["tasks"][0]["task_id"] == "bump/bump-dev"


def test_a_plan_or_task_that_is_not_there_is_said(approved: Fleet) -> None:
    assert approved("review", "nobody").code == 2
    assert approved("review", "app", "--task", "99").code == 2
    assert "--task" in approved.ok("review", "-h")
