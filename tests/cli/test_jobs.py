"""What engines for jobs are given: manifests and scripts, with names in them that mean no good."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import yaml

from tests.cli.conftest import Fleet
from tests.support.documents import validate
from tests.support.programs import Programs, stand_ins
from tests.support.repo import Repo

HOSTILE = "a\" ': {{ 7*7 }} $(id) `id` --- # \\n &x *y \U0001f600"
SECRETS = ("--git-secret", "key", "--secret", "one", "--secret", "two")
IMAGE = ("--image", "registry.example/agents:1")


@pytest.fixture
def ready(fleet: Fleet, repo: Repo) -> Fleet:
    """A plan of two waves with a title that means no good, and a remote with an address."""
    repo.commit("Set up", {"fleet.toml": 'version = 1\ngates = "none"\nremote = "origin"\nmax_active = 3\n'})
    server = repo.path.parent / "server.git"
    repo.run_git("clone", "--quiet", "--bare", str(repo.path), str(server))
    repo.run_git("remote", "add", "origin", str(server))
    tasks = [
        {"id": name, "title": HOSTILE, "files": [f"{name}/**"], "needs": needs, "prompt": "do it"}
        for name, needs in (("a", []), ("b.1", []), ("c", ["a"]))
    ]
    plan: dict[str, Any] = {"version": 1, "plan": "p.x", "title": HOSTILE, "base": "main", "task": tasks}
    (repo.path.parent / "plan.toml").write_text(tomli_w.dumps(plan), encoding="utf-8")
    fleet.ok("plan", "import", str(repo.path.parent / "plan.toml"))
    fleet.ok("plan", "approve", "--yes")
    return fleet


def document(fleet: Fleet, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fleet.ok("--json", *words))
    validate(found, "jobs")
    return found


def manifest(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    config, job = yaml.safe_load_all(text)
    return config, job


def test_the_manifest_is_an_indexed_job_and_its_scripts(ready: Fleet) -> None:
    answer = ready(
        "jobs", "kubernetes", "p.x", "--workers", "9", "--remote", "ssh://git@host/app.git", *IMAGE, *SECRETS,
        "--namespace", "agents", "--grace-seconds", "77", "--", "agent", "$(HOME)", "it's",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    config, job = manifest(answer.out)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert (spec["completionMode"], spec["completions"], spec["backoffLimitPerIndex"]) == ("Indexed", 3, 3)
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 77)
    assert container["args"][-5:] == ["ssh://git@host/app.git", "--", "agent", "$$(HOME)", "it's"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert [each["secretRef"]["name"] for each in container["envFrom"]] == ["one", "two"]
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert config["metadata"]["name"] == job["metadata"]["name"] == pod["volumes"][1]["configMap"]["name"]
    assert "kubectl apply --server-side -f -" in answer.err


def test_a_name_that_means_no_good_is_no_more_than_a_name(ready: Fleet) -> None:
    config, job = manifest(ready.ok("jobs", "kubernetes", "p.x", "--remote", "ssh://h/x", *IMAGE))
    title = job["metadata"]["annotations"]["git-fleet/title"]
    assert title == HOSTILE
    assert set(config) == {"apiVersion", "kind", "metadata", "data"}
    assert job["metadata"]["name"].startswith("fleet-p-x-")


def test_the_script_of_the_pod_passes_the_end_on_and_takes_a_no_for_an_answer(
    ready: Fleet, tmp_path: Path
) -> None:
    config, _ = manifest(ready.ok("jobs", "kubernetes", "p.x", "--remote", "ssh://h/x", *IMAGE))
    script = tmp_path / "worker.sh"
    script.write_text(config["data"]["worker.sh"])
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "HOSTNAME": "h",
        "FLEET_JOB": "j",
        "JOB_COMPLETION_INDEX": "4",
    }

    def ends(text: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", script, "sh", "-c", text], env=env, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    assert ends('echo "$FLEET_WORKER"; exit 1') == (0, "j-4\n")
    assert ends("exit 5") == (5, "")
    told = "trap 'echo told; exit 143' TERM; kill -TERM $PPID; while :; do :; done"
    assert ends(told) == (143, "told\n")


def test_what_kubernetes_would_not_take_is_refused(ready: Fleet) -> None:
    for words, said in (
        (("--image", "a b"), "is no image"),
        ((*IMAGE, "--cpu", "1; x"), "is no quantity"),
        ((*IMAGE, "--secret", "A\nb"), "is no name of a Secret"),
        ((*IMAGE, "--name", "X_y"), "cannot be a job's name"),
        ((*IMAGE, "--remote", "https://me:pw@host/x"), "holds a password"),
        (IMAGE, "is a path of this machine"),
    ):
        answer = ready("jobs", "kubernetes", "p.x", *words)
        assert (answer.code, said in answer.err) == (2, True), answer.err


def test_apply_hands_the_manifest_to_kubectl(
    ready: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = stand_ins(tmp_path / "bin", monkeypatch, "kubectl")
    monkeypatch.setenv("FLEET_TASK", "x")
    words = ("jobs", "kubernetes", "p.x", "--remote", "ssh://h/x", *IMAGE, "--apply", "--context", "here")
    found = document(ready, *words)
    call = programs.calls()[0]
    assert call["argv"] == ["kubectl", "--context", "here", "apply", "--server-side", "-f", "-"]
    assert (call["given"], call["env"]) == (found["text"], [])
    programs.answer("kubectl", "", "1 error: no such host")
    answer = ready(*words)
    assert (answer.code, "kubectl refused: error: no such host" in answer.err) == (5, True)


def test_a_template_of_ones_own_begins_with_ours(ready: Fleet, tmp_path: Path) -> None:
    own = tmp_path / "own.j2"
    own.write_text('{% extends "git-fleet" %}{% block pod %}      nodeSelector: {kind: big}\n{% endblock %}')
    words = ("jobs", "kubernetes", "p.x", "--remote", "ssh://h/x", *IMAGE, "--template", str(own))
    assert manifest(ready.ok(*words))[1]["spec"]["template"]["spec"]["nodeSelector"] == {"kind": "big"}
    own.write_text("{{ nothing }}")
    answer = ready(*words)
    assert (answer.code, f"{own}:1" in answer.err) == (2, True)


def test_slurm_gets_arrays_that_wait_for_each_other(
    ready: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = stand_ins(tmp_path / "bin", monkeypatch, "sbatch", "scancel")
    programs.answer("sbatch", "0 11", "0 12;cluster", "0 13", "0 14")
    found = document(ready, "jobs", "slurm", "p.x", "--option=--time=60")
    assert [(job["id"], job["tasks"], job["after"]) for job in found["jobs"]] == [
        ("11", ["a", "b.1"], None), ("12", [], "afterok"), ("13", ["c"], "afterok"), ("14", [], "afterok"),
    ]  # fmt: skip
    assert "--dependency=afterok:12" in programs.calls()[2]["argv"]
    assert subprocess.run(["sh", "-n"], input=found["text"], text=True, check=False).returncode == 0
    assert "#SBATCH --time=60\n" in found["text"]


def test_a_script_runs_what_it_says_whatever_the_folder_is_called(
    ready: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = document(ready, "jobs", "slurm", "p.x", "-n", "--remote", "ssh://h/a b'$(id)", "--", "x y")["text"]
    stand_ins(tmp_path / "bin", monkeypatch, "git-fleet")
    done = subprocess.run(
        ["sh", "-s", "work", "1"], input=text, text=True, check=False,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "1"},
    )  # fmt: skip
    words = Programs(tmp_path / "bin").calls()[0]["argv"]
    assert done.returncode == 0
    assert words[:3] == ["git-fleet", "worker", "--plan"]
    assert words[words.index("--remote") + 1 :] == ["ssh://h/a b'$(id)", "--task", "b.1", "--", "x y"]


def test_when_slurm_refuses_one_job_those_before_it_are_cancelled(
    ready: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = stand_ins(tmp_path / "bin", monkeypatch, "sbatch", "scancel")
    programs.answer("sbatch", "0 11", "0 12", "1 invalid partition")
    answer = ready("jobs", "slurm", "p.x")
    assert (answer.code, "invalid partition" in answer.err) == (5, True)
    assert programs.calls()[-1]["argv"] == ["scancel", "11", "12"]
    for option in ("--wrap=id; x", "-t5", "--x=a\nb"):
        assert ready("jobs", "slurm", "p.x", f"--option={option}").code == 2


def test_any_other_engine_gets_a_script_by_a_command(
    ready: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = stand_ins(tmp_path / "bin", monkeypatch, "qsub")
    words = ("jobs", "command", "p.x", "--workers", "2", "--", "qsub", "-J", "0-{last}", "{script}")
    assert shlex.split(ready(*words[:3], "-n", *words[3:]).err)[:3] == ["qsub", "-J", "0-1"]
    assert programs.calls() == []
    assert document(ready, *words)["jobs"][0]["id"] == "done"
    script = Path(programs.calls()[0]["argv"][-1])
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    ready.ok("jobs", "command", "p.x", "--workers", "2", "--", "qsub", "{script}", "{index}")
    assert [call["argv"][-1] for call in programs.calls()[1:]] == ["0", "1"]
    assert ready("jobs", "command", "p.x").code == 2
    assert "unknown placeholder {scrip}" in ready("jobs", "command", "p.x", "--", "qsub", "{scrip}").err


def test_a_plan_that_is_not_open_starts_nobody(ready: Fleet) -> None:
    ready.ok("plan", "pause", "p.x")
    assert ready("jobs", "slurm", "p.x", "-n").code == 1


def test_a_name_of_no_text_and_a_folder_that_is_a_file_are_refused(ready: Fleet, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for words, said in (
        (["kubernetes", "p.x", *IMAGE, "--name", "a\udcff"], "cannot be a job's name"),
        (["slurm", "p.x", "--name", "a\udcff"], "cannot be a job's name"),
        (["slurm", "p.x", "--logs", str(tmp_path / "taken")], "a file is in its way"),
    ):
        answer = ready("jobs", *words)
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.err
        assert "\nhint: " in answer.err
