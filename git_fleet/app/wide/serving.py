"""The workers of one server over all repositories of a workspace: a claim takes the most important task anywhere.

One `Serving` for each repository does what there is to do; here is decided which one is meant. A task that a worker has
claimed here is looked for where it was claimed, any other where one repository alone has it. A call that names no task is about
the repository of the last claim.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from msgspec.structs import replace

from git_fleet.app import workspaces
from git_fleet.app.claim import Claimed, NothingReady, Request
from git_fleet.app.placing import Placed
from git_fleet.app.serving import Serving
from git_fleet.app.session import Session
from git_fleet.app.surroundings import Surroundings
from git_fleet.app.wide import across, looking
from git_fleet.core.workspace import Workspace
from git_fleet.errors import Ambiguous, AnswerIsNo, FleetError, InvalidInput, LostRace

_AGAIN_SECONDS = 60


class WideServing(Serving):
    """The workers of one server in the workspace; `worker` is who the process itself is."""

    def __init__(self, space: Workspace, around: Surroundings, worker: str) -> None:
        super().__init__(Path(space.folder), around, worker)
        self._space, self._surroundings = space, around
        self._each: dict[str, Serving] = {}
        self._where: dict[tuple[str, str], str] = {}  # worker and task: the repository that it was claimed in
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        """End what claims have kept open, in every repository."""
        for serving in list(self._each.values()):
            serving.__exit__(*about)

    def _in(self, name: str) -> Serving:
        """The workers in one repository. Raises InvalidInput where there is none."""
        if name not in self._each:
            place = workspaces.require_root(self._space, self._space.repo(name))
            self._each[name] = Serving(place, self._surroundings, self.worker)
        return self._each[name]

    # --- which repository is meant ---------------------------------------------------------------

    def session(self, worker: str = "", task: str = "") -> Session:
        """A new session in the repository that is meant. Raises InvalidInput where no or several repositories have the
        task, and as `Serving.session`."""
        return self._in(self._repo_of(worker, task)).session(worker, task)

    def _repo_of(self, worker: str, task: str) -> str:
        if not task:
            if not self._last and not self._space.repos:
                raise InvalidInput(
                    f"workspace {self._space.name} has no repository", hint="git fleet workspace add PATH"
                )
            return self._last or self._space.repos[0].name
        short = task.strip().lower().lstrip("#")
        mine = {
            repo
            for (who, held), repo in list(self._where.items())
            if who == (worker or self.worker) and (held == short or held.endswith(f"/{short}"))
        }
        found = sorted(mine) or self._having(task)
        if len(found) == 1:
            return found[0]
        if found:
            raise Ambiguous(
                f"task {task!r} is in several repositories: {', '.join(found)}",
                hint="claim it there: git -C REPO fleet claim TASK",
            )
        raise InvalidInput(
            f"no repository of workspace {self._space.name} has a task {task!r}",
            hint="git fleet workspace status",
        )

    def _having(self, task: str) -> list[str]:
        def has(session: Session) -> bool:
            try:
                session.snapshot().resolve(task)
            except InvalidInput:
                return False
            return True

        return [
            answer.repo.name for answer in across.ask(self._space, self._surroundings, has) if answer.value
        ]

    # --- claims ----------------------------------------------------------------------------------

    def claim(self, worker: str, request: Request) -> Claimed | Placed | NothingReady:
        """Take a task for a worker: the one that is named, wherever it is, else the most important one anywhere. Raises
        as `Serving.claim`."""
        if request.task is not None:
            return self._claim_in(self._repo_of(worker, request.task), worker, request)
        offers, broken = looking.ready(self._space, self._surroundings, request.labels)
        said = ""
        for offer in offers:
            wanted = replace(request, task=str(offer.task.id), labels=())
            try:
                got = self._claim_in(offer.repo.name, worker, wanted)
            except (LostRace, AnswerIsNo) as no:  # somebody was faster
                said = no.message
                continue
            if not isinstance(got, NothingReady):
                return got
            said = got.text
        unread = "".join(f"; {answer.repo.name} cannot be read" for answer in broken)
        if self._unended():
            return NothingReady(
                "waiting", f"{said or 'nothing is ready in any repository'}{unread}", _AGAIN_SECONDS
            )
        return NothingReady("complete", f"every task of every open plan has ended{unread}", 0)

    def _claim_in(self, repo: str, worker: str, request: Request) -> Claimed | Placed | NothingReady:
        got = self._in(repo).claim(worker, request)
        if isinstance(got, NothingReady):
            return got
        self._where[worker or self.worker, str(got.record.id)] = self._last = repo
        return self._told(repo, got) if isinstance(got, Placed) else got

    def place(self, worker: str, claimed: Claimed) -> Placed:
        """The worktree of a claim just made. Raises as `Serving.place`."""
        repo = self._where[worker or self.worker, str(claimed.record.id)]
        return self._told(repo, self._in(repo).place(worker, claimed))

    def give_back(self, worker: str, claimed: Claimed) -> None:
        """Release a claim that its worker was never told of. Raises as `work.release`."""
        repo = self._where.pop((worker or self.worker, str(claimed.record.id)))
        self._in(repo).give_back(worker, claimed)

    def _told(self, repo: str, placed: Placed) -> Placed:
        return replace(
            placed, notes=(f"this task is of repository {repo}; work in its worktree", *placed.notes)
        )

    def _unended(self) -> bool:
        def left(session: Session) -> bool:
            return any(not record.state.state.ended for record in session.snapshot().tasks.values())

        return any(
            answer.value or answer.error for answer in across.ask(self._space, self._surroundings, left)
        )


def readable(space: Workspace, around: Surroundings) -> None:
    """Raises what keeps every repository of the workspace from being read, where none can be."""
    answers = across.ask(space, around, lambda session: session.main)
    errors: list[FleetError] = [answer.error for answer in answers if answer.error is not None]
    if errors and len(errors) == len(answers):
        raise errors[0]
