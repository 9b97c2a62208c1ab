"""Completion in shells: the scripts, and what they ask.

A script calls `git-fleet` with the words up to the cursor, the last of them unfinished, and _GIT_FLEET_COMPLETE set.
It gets a line for each thing that can stand there: `plain` or `file`, the word, what it is; between tabs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from git_fleet import resources
from git_fleet.cli.call import examples, write
from git_fleet.views.look import line

VARIABLE = "_GIT_FLEET_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=examples(
        "git fleet completion bash >~/.local/share/bash-completion/completions/git-fleet",
        "git fleet completion zsh >~/.zfunc/_git-fleet      where fpath has ~/.zfunc before compinit",
        "git fleet completion fish >~/.config/fish/conf.d/git-fleet.fish",
    )
)
@click.argument("shell", required=False, type=click.Choice(SHELLS))
def completion(shell: str | None) -> None:
    """Print the script that completes commands, tasks and plans in a shell.

    For `git fleet` as for `git-fleet`; its first lines say where it belongs. Without an argument it is for the
    shell that $SHELL names.
    """
    name = shell or os.environ.get("SHELL", "").rpartition("/")[2]
    if name not in SHELLS:
        raise click.UsageError(f"which shell? git fleet completion {'|'.join(SHELLS)}")
    write(resources.completion(name).rstrip("\n"))


def answer(cli: click.Command, words: Sequence[str]) -> str:
    """What can stand at the end of these words, as the scripts read it."""
    from click.shell_completion import ShellComplete

    *before, last = words or [""]
    try:
        found = ShellComplete(cli, {}, "git fleet", VARIABLE).get_completions(before, last)
    except click.ClickException:  # what stands before makes no sense, which is said once it is run
        return ""
    rows = ((item.type if item.type == "file" else "plain", item.value, item.help or "") for item in found)
    return "".join("\t".join(map(line, row)) + "\n" for row in rows)
