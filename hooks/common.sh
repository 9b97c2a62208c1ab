# What the four shims share: POSIX sh, builtins alone, so that the common case starts no process. They
# source it here; `git fleet init` puts its text in place of that line, so that each stands alone.
python='@PYTHON@'
package='@PACKAGE@'
chained=${0%/*}/$hook.pre-fleet # the hook that was here before ours
newline='
'

# Whether a plan is open. Sets $dir (this worktree's git dir), $common (shared by all worktrees) and,
# in a task's worktree, $own (its branch). git sets GIT_DIR for hooks, but not in the main worktree.
plan_open() {
    dir=${GIT_DIR:-.git} own=
    [ -d "$dir" ] || dir=$(git rev-parse --absolute-git-dir) || return 1
    common=${GIT_COMMON_DIR:-$dir}
    if [ -z "${GIT_COMMON_DIR:-}" ] && [ -f "$dir/commondir" ]; then
        IFS= read -r common <"$dir/commondir"
        case $common in /*) ;; *) common=$dir/$common ;; esac
    fi
    [ -e "$common/fleet/open" ] || return 1
    [ ! -f "$dir/fleet-branch" ] || IFS= read -r own <"$dir/fleet-branch" || :
}

# Whether we are in a task's worktree.
in_task() { [ -e "$dir/fleet.json" ]; }

# Whether $1 is the base of an open plan; each line of the file is `PLAN REF`.
guarded() {
    while IFS=' ' read -r _ base; do
        [ "$base" != "$1" ] || return 0
    done <"$common/fleet/open"
    return 1
}

# The chained hook with these arguments, if there is one.
chain() { [ ! -x "$chained" ] || "$chained" "$@"; }

# The chained hook on all of standard input, which afterwards is ours to read again.
chain_input() {
    [ -x "$chained" ] || return 0
    input=$(cat)
    printf '%s' "${input:+$input$newline}" | "$chained" "$@" || return
    exec <<INPUT
$input
INPUT
}

# The decision in Python. A program that is gone must not let through what it was there to refuse.
decide() {
    if [ -x "$python" ] && [ -e "$package/git_fleet/hook.py" ]; then
        "$python" -I -S -c 'import sys
sys.path.append(sys.argv.pop(1))
from git_fleet.hook import main
sys.exit(main(sys.argv[1:]))' "$package" "$hook" "$@"
    elif command -v git-fleet-hook >/dev/null; then
        git-fleet-hook "$hook" "$@"
    else
        echo "git-fleet: refused, because git-fleet, which should decide this, is not installed any more" >&2
        echo "  next: install it again; or take its hook out: $0 (the one before it: $chained)" >&2
        return 1
    fi
}
