"""Manifests against the official schemas of Kubernetes, offline: `make test-engines`.

Not collected with the others: the schemas of all versions are large (`pip install 'git-fleet[engines]'`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from git_fleet.app.jobs.engine import Asked
from git_fleet.app.jobs.kubernetes import Pod, kubernetes
from tests.support.clones import CONFIG, make_clones
from tests.support.fleet import approved, open_fleet, task

kubernetes_validate = pytest.importorskip("kubernetes_validate")

OLDEST = (1, 31)
"""backoffLimitPerIndex and podFailurePolicy are on by default since 1.29 and 1.26; older than this nobody is served."""

BARE = Pod("agents:1")
ALL = Pod(
    "registry.example/agents@sha256:0",
    "agents",
    ("one", "two"),
    "key",
    "500m",
    "1.5Gi",
    "20Gi",
    300,
    0,
    60.0,
    10.0,
)


def versions() -> list[str]:
    """Every version from the oldest on that there are schemas for."""
    found = []
    minor = OLDEST[1]
    latest = int(kubernetes_validate.latest_version().split(".")[1])
    while minor <= latest:
        found.append(f"1.{minor}")
        minor += 1
    return found


def manifests(tmp_path: Path, pod: Pod) -> list[dict[str, Any]]:
    _, (clone,) = make_clones(tmp_path, 1, config=CONFIG)
    with open_fleet(clone) as session:
        approved(session, task("a"), title="x: {y} # 'z' \"")
        asked = Asked("p", remote="ssh://git@host/app.git", command=("agent", "{prompt}"), filter="blob:none")
        return list(yaml.safe_load_all(kubernetes(session, asked, pod).text))


def assert_kubernetes_takes(manifest: dict[str, Any], version: str) -> None:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as refused:
        pytest.fail(f"{version}: {refused}")


@pytest.mark.parametrize("pod", [BARE, ALL], ids=["bare", "all"])
def test_what_is_rendered_is_what_kubernetes_takes(tmp_path: Path, pod: Pod) -> None:
    found = manifests(tmp_path, pod)
    assert [each["kind"] for each in found] == ["ConfigMap", "Job"]
    for version in versions():
        for each in found:
            assert_kubernetes_takes(each, version)


def test_what_it_does_not_know_is_seen(tmp_path: Path) -> None:
    _, job = manifests(tmp_path, BARE)
    job["spec"]["backoffLimitPerindex"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, versions()[-1], strict=True)
