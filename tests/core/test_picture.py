from __future__ import annotations

from tests.support.pictures import drawn, task


def test_a_picture_says_why_a_task_comes_after_another_and_leaves_out_what_others_imply() -> None:
    found = drawn(
        task("schema"),
        task("api", "schema"),
        task("cli", "schema", "api"),
        task("docs", files=("docs/**",)),
        task("guide", files=("docs/guide/**",)),
    )
    assert [(edge.before.task, edge.after.task, str(edge.why), edge.critical) for edge in found.edges] == [
        ("docs", "guide", "turns", False),
        ("schema", "api", "needs", True),
        ("api", "cli", "needs", True),
    ]
    assert [(node.id.task, node.wave, node.critical) for node in found.nodes] == [
        ("schema", 1, True),
        ("api", 2, True),
        ("cli", 3, True),
        ("docs", 1, False),
        ("guide", 2, False),
    ]
    assert found.critical_minutes == 30


def test_files_that_are_generated_keep_nobody_waiting() -> None:
    both = (task("a", files=("lock.json",)), task("b", files=("lock.json",)))
    assert len(drawn(*both).waves) == 2
    assert len(drawn(*both, generated=("lock.json",)).waves) == 1
