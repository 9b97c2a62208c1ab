#!/bin/sh
# Claude Code tells git-fleet: the repository's own shim, which is quick, else the installed program, else nobody.
f=$(git -C "${CLAUDE_PROJECT_DIR:-.}" rev-parse --path-format=absolute --git-common-dir 2>/dev/null)/fleet/hooks/agent
[ ! -x "$f" ] || exec "$f" "$@"
if command -v git-fleet-hook >/dev/null; then
    exec git-fleet-hook agent "$@"
fi
cat >/dev/null
[ "$1" != worktree-create ] || { echo "git-fleet is not installed, and its plugin makes the worktrees" >&2; exit 1; }
