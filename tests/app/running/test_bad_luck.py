"""Agents that go astray, all of them in one run beside some that do not: each task comes to its sensible end, the
others do not notice, and nothing that was written is lost.

The run is the slow part, so it is had once (`astray`), and each test looks at one of its tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from git_fleet.app.outputs import LOG_BYTES
from tests.support.fleet import task
from tests.support.runs import Crew, Story, once, own_environment, writes

UNHOOKED = "git -c core.hooksPath=/dev/null"
"""For an agent that goes around the hooks, which would have told it better."""

COMMIT = 'git add -A && git commit -qm "Do $T"'


ASTRAY: Mapping[str, str] = {
    "good": "work",
    "steady": "commit",
    "crashes": f"{writes('half')}; echo 'about to fail' >&2; exit 3",
    "forks": f"""{writes("all")}
        setsid sh -c 'echo $$ >> "$BOX/forked"; exec sleep 1000' &
        sh -c 'echo $$ >> "$BOX/forked"; trap "" TERM HUP; while :; do sleep 1000; done' &
        while [ "$(wc -l < "$BOX/forked" 2>/dev/null || echo 0)" -lt 2 ]; do sleep 0.02; done""",
    "nothing": "nothing",
    "deletes": once(
        f"{writes('all')}; {COMMIT}; W=$PWD; cd /; rm -rf $W", 'grep -q "all of" "$T/new" && touch "$T/more"'
    ),
    "forgets": once(
        f"{writes('saved')}; git fleet progress 'half way' >/dev/null; W=$PWD; cd /; rm -rf $W",
        f'cp "$T/new" "$BOX/$T.found"; {writes("all")}',
    ),
    "uproots": once(
        f"""{writes("saved")}; git fleet progress half >/dev/null; W=$PWD; cd /
        git --git-dir="$(cat "$W/.git" | sed 's/gitdir: //')" worktree remove --force --force "$W" """,
        f'cp "$T/new" "$BOX/$T.found"; {writes("all")}',
    ),
    "beside": f"{UNHOOKED} switch -qc elsewhere; {writes('all')}; git add -A; {UNHOOKED} commit -qm beside",
    "leaves": once(
        f"{writes('left')}; {COMMIT}; git switch -q --detach HEAD~1; {writes('away')}; {COMMIT}",
        'cat "$(git rev-parse --git-dir)/fleet-prompt.md" > "$BOX/$T.prompt"; '
        'away=$(git rev-parse HEAD) && git switch -q - && git merge -q -s ours -m both "$away"',
    ),
    "detached": f"git switch -q --detach; {writes('all')}; {COMMIT}",
    "amends": f"{writes('first')}; {COMMIT}; {writes('all')}; git add -A; git commit -q --amend -m better",
    "resets": f"{writes('first')}; {COMMIT}; git reset -q --hard HEAD~1",
    "rebases": f"""{writes("first")}; {COMMIT}; {writes("all")}; {COMMIT}
        git reset -q --soft HEAD~2; git commit -qm squashed""",
    "stashes": f"{writes('all')}; git add -A; git stash -q || exit 0",
    "hides": f"{writes('all')}; git add -A; {UNHOOKED} stash -q",
    "tidies": f"""{writes("all")}; {COMMIT}
        for word in gc "worktree prune --expire=now" "pack-refs --all" "prune --expire=1.day"; do
            git $word >> "$BOX/tidied" 2>&1; done; true""",
    "prints": f"{writes('all')}; yes 'a line of output' | head -c 24000000",
    "meddles": f"""{writes("all")}; while [ ! -e "$BOX/victim.begun" ]; do sleep 0.02; done
        for verb in done release "block --code x y" renew; do
            set -- $verb; word=$1; shift
            git fleet $word victim "$@" >> "$BOX/meddled" 2>&1 && echo "WORKED: $verb" >> "$BOX/meddled"
        done; touch "$BOX/victim.go" """,
    "victim": "wait",
    "strays": once(
        f"{writes('all')}; echo mine > stray",
        'cat "$(git rev-parse --git-dir)/fleet-prompt.md" > "$BOX/$T.prompt"; rm stray',
    ),
    "insists": f"{writes('all')}; echo 'what insists wrote' > elsewhere",
    "shot": once(f"{writes('half')}; kill -9 $$", 'grep -q half "$T/new" && touch "$T/more"'),
    "orphaned": once(
        f"{writes('half')}; kill -9 $PPID; exec sleep 1000", 'grep -q half "$T/new"; touch "$T/more"'
    ),
    "locks": once(f'{writes("all")}; touch "$(git rev-parse --git-dir)/index.lock"', "true"),
    "founds": f"rm .git; git init -q; {writes('all')}; git add -A; git commit -qm 'in a repository of its own'",
    "unlinks": f"{writes('all')}; rm .git",
}


@pytest.fixture(scope="module")
def astray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("astray")
    with own_environment(folder):
        crew = Crew.made(folder, config="breaker = 100\nmax_review = 100")
        crew.plan(*(task(name) for name in ASTRAY), agents=ASTRAY)
        try:
            document = crew.run("--workers", "6", code=1)
            alive = crew.alive()
            crew.sound()
            crew.fleet("cleanup")  # which saves what hangs on a worktree alone, and removes it
            yield Story(crew, document, crew.states(), alive)
        finally:
            crew.end_agents()


def test_the_others_do_not_notice(astray: Story) -> None:
    astray.assert_done("good")
    astray.assert_done("steady")
    assert astray.document["ended"] == "waiting"
    assert all(said.startswith("p/founds: ") for said in astray.document["troubles"])
    assert not astray.alive


def test_all_is_well_afterwards(astray: Story) -> None:
    astray.crew.sound()
    on_main = {path.removesuffix("/new") for path in astray.crew.repo.files("main") if path.endswith("/new")}
    assert on_main == {name for name, state in astray.states.items() if state == "integrated"}


def test_an_agent_that_crashes_at_once(astray: Story) -> None:
    astray.assert_blocked("crashes", "failed", starts=2)
    assert "exit code 3" in astray.reason("crashes")
    assert "about to fail" in astray.reason("crashes")
    astray.assert_kept("half of crashes")


def test_children_that_survive_their_agent_are_ended(astray: Story) -> None:
    astray.assert_done("forks")
    pids = (astray.crew.box / "forked").read_text().split()
    assert len(pids) == 2
    assert not [pid for pid in pids if Path("/proc", pid, "exe").exists()]


def test_an_agent_that_hands_in_nothing(astray: Story) -> None:
    astray.assert_blocked("nothing", "no-changes")


def test_a_deleted_worktree_comes_back_with_its_commits(astray: Story) -> None:
    astray.assert_done("deletes", starts=2)
    assert astray.on_main("deletes") == "all of deletes"


@pytest.mark.parametrize("name", ["forgets", "uproots"])
def test_a_deleted_worktree_comes_back_as_it_was_saved_last(astray: Story, name: str) -> None:
    astray.assert_done(name, starts=2)
    assert (astray.crew.box / f"{name}.found").read_text() == f"saved of {name}\n"
    astray.assert_kept(f"saved of {name}")


def test_a_commit_on_another_branch_is_handed_in(astray: Story) -> None:
    astray.assert_done("beside")
    assert astray.on_main("beside") == "all of beside"


def test_work_left_behind_on_the_branch_is_asked_for(astray: Story) -> None:
    astray.assert_done("leaves", starts=2)
    told = (astray.crew.box / "leaves.prompt").read_text()
    assert "Put it right" in told
    assert "does not contain the task's branch" in told
    astray.assert_kept("left of leaves", "away of leaves")


def test_a_commit_on_a_detached_head_is_handed_in(astray: Story) -> None:
    astray.assert_done("detached")
    assert astray.on_main("detached") == "all of detached"


@pytest.mark.parametrize("name", ["amends", "rebases"])
def test_a_branch_that_is_rewritten(astray: Story, name: str) -> None:
    astray.assert_done(name)
    assert astray.on_main(name) == f"all of {name}"
    astray.assert_kept(f"first of {name}", f"all of {name}")


def test_a_branch_that_is_reset_to_where_it_began(astray: Story) -> None:
    astray.assert_blocked("resets", "no-changes")
    astray.assert_kept("first of resets")


def test_a_stash_is_refused_and_the_work_handed_in(astray: Story) -> None:
    astray.assert_done("stashes")
    assert astray.on_main("stashes") == "all of stashes"


def test_a_stash_around_the_hooks(astray: Story) -> None:
    astray.assert_blocked("hides", "no-changes")
    astray.assert_kept("all of hides")


def test_an_agent_that_tidies_up_the_repository(astray: Story) -> None:
    astray.assert_done("tidies")


def test_an_agent_that_prints_megabytes(astray: Story) -> None:
    astray.assert_done("prints")
    logs = (astray.crew.repo.path / ".git/fleet/output/p/prints").iterdir()
    assert 1_000_000 < sum(log.stat().st_size for log in logs) <= LOG_BYTES


def test_an_agent_that_meddles_with_the_task_of_another(astray: Story) -> None:
    astray.assert_done("meddles")
    said = (astray.crew.box / "meddled").read_text()
    assert "WORKED" not in said
    assert said.count("p/victim is crew-") == 4
    astray.assert_done("victim")


def test_a_file_outside_of_the_task_is_put_right_by_the_next_agent(astray: Story) -> None:
    astray.assert_done("strays", starts=2)
    told = (astray.crew.box / "strays.prompt").read_text()
    assert "Put it right" in told
    assert "stray" in told
    assert "stray" not in astray.crew.repo.files("main")


def test_a_file_outside_of_the_task_that_stays(astray: Story) -> None:
    astray.assert_blocked("insists", "hand-in", starts=2)
    assert "elsewhere" in astray.reason("insists")
    astray.assert_kept("all of insists", "what insists wrote")


def test_an_agent_that_is_killed_is_started_again_where_it_was(astray: Story) -> None:
    astray.assert_done("shot", starts=2)
    assert astray.on_main("shot") == "half of shot"


def test_an_agent_whose_minder_is_killed_is_ended_and_started_again(astray: Story) -> None:
    astray.assert_done("orphaned", starts=2)
    assert astray.on_main("orphaned") == "half of orphaned"


def test_a_lock_that_a_killed_git_has_left_stops_nobody(astray: Story) -> None:
    astray.assert_done("locks")


def test_a_worktree_that_lost_its_dot_git_is_mended(astray: Story) -> None:
    astray.assert_done("unlinks")
    assert astray.on_main("unlinks") == "all of unlinks"


def test_a_worktree_that_was_made_a_repository_of_its_own_is_left_to_a_person(astray: Story) -> None:
    astray.assert_blocked("founds", "trouble")
    assert "has lost its .git" in astray.reason("founds")
    left = next(astray.crew.folder.glob("repo-founds*"))
    assert (left / "founds/new").read_text() == "all of founds\n"
