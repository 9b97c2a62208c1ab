"""An Indexed Job of Kubernetes: every index is a worker that pulls tasks, in a clone of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct

from git_fleet.app.jobs import engine
from git_fleet.app.jobs.engine import Asked
from git_fleet.app.session import Session
from git_fleet.core.jobs import Rendered
from git_fleet.errors import InvalidInput

_QUANTITY = r"[0-9]+(\.[0-9]+)?(m|k|[KMGTPE]i?)?"
_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_TEMPLATE = "kubernetes.yaml"


class Pod(Struct, frozen=True):
    """How the pods are: `image` with git, git-fleet and the agent; `secrets` become variables (keys of agents),
    `git_secret` is of type kubernetes.io/ssh-auth (`known_hosts` may be in it, too) or kubernetes.io/basic-auth. cpu,
    memory and disk are quantities of Kubernetes."""

    image: str
    namespace: str = ""
    secrets: tuple[str, ...] = ()
    git_secret: str = ""
    cpu: str = "1"
    memory: str = "2Gi"
    disk: str = "10Gi"
    grace_seconds: int = 120
    retries: int = 3
    deadline_minutes: float = 0.0
    keep_minutes: float = 0.0
    context: str = ""


def kubernetes(session: Session, asked: Asked, pod: Pod, *, apply: bool = False) -> Rendered:
    """The manifest; with `apply` it is handed to `kubectl apply --server-side`.

    Raises InvalidInput for what Kubernetes would not take, AnswerIsNo for a plan that is not open, NeedsPerson when
    kubectl does not do it.
    """
    _check(pod)
    job = engine.job(session, asked)
    remote = engine.address(session, asked.remote)
    words = [
        "git-fleet",
        *engine.worker_words(asked, remote),
        *(["--", *asked.command] if asked.command else []),
    ]
    values = {
        "name": job.name,
        "plan": asked.plan,
        "title": job.title,
        "workers": job.workers,
        "args": [word.replace("$(", "$$(") for word in words],  # else Kubernetes would fill in a variable
        "image": pod.image,
        "namespace": pod.namespace,
        "secrets": list(pod.secrets),
        "git_secret": pod.git_secret,
        "cpu": pod.cpu,
        "memory": pod.memory,
        "disk": pod.disk,
        "grace_seconds": pod.grace_seconds,
        "retries": pod.retries,
        "deadline_seconds": math.ceil(pod.deadline_minutes * 60),
        "keep_seconds": math.ceil(pod.keep_minutes * 60),
    }
    text = engine.render(_TEMPLATE, asked.template, values)
    command = (
        "kubectl",
        *(("--context", pod.context) if pod.context else ()),
        "apply",
        "--server-side",
        "-f",
        "-",
    )
    said = engine.hand_over(session, command, given=text) if apply else ""
    notes = () if pod.git_secret or remote.startswith(("git:", "http:")) else (_NO_KEY,)
    return Rendered(
        "kubernetes", asked.plan, job.name, job.workers, text, apply, (command,), (), (*notes, *_lines(said))
    )


_NO_KEY = "the pods get no key for the git server (--git-secret NAME)"


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line)


def _check(pod: Pod) -> None:
    engine.plain(pod.image, "image", r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*", "registry.example/agents:1")
    for name in (*pod.secrets, *([pod.git_secret] if pod.git_secret else [])):
        engine.plain(name, "name of a Secret", _NAME, "fleet-keys")
    if pod.namespace:
        engine.plain(pod.namespace, "namespace", r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "agents")
    for value in (pod.cpu, pod.memory, pod.disk):
        engine.plain(value, "quantity of Kubernetes", _QUANTITY, "500m or 2Gi")
    if pod.context.startswith("-"):
        raise InvalidInput(f"{pod.context!r} is no context of kubectl", hint="kubectl config get-contexts")
