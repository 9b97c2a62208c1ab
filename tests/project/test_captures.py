"""The pictures of README: they are there, they load nothing, and the script that makes them still can."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.captures import scene, shots
from tests.project.source import ROOT

PLACE = ROOT / "docs" / "captures"


def test_readme_shows_every_capture_and_no_other() -> None:
    shown = set(
        re.findall(r"\(docs/captures/([a-z-]+)\.svg\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    )
    assert shown == set(shots.SHOTS) == {path.stem for path in PLACE.glob("*.svg")}


@pytest.mark.parametrize("name", shots.SHOTS)
def test_a_capture_loads_nothing_and_runs_nothing(name: str) -> None:
    text = (PLACE / f"{name}.svg").read_text(encoding="utf-8")
    assert not re.search(r"@font-face|<script|<image|url\(\s*[\"']?http|href", text)


def test_the_scene_can_be_played_and_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in scene.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    drawn = shots.take("status", scene.play(tmp_path)).replace("&#160;", " ")
    for text in ("git fleet status", "shop/coupons", "blocked", "two routes of four", "git fleet integrate"):
        assert text in drawn
