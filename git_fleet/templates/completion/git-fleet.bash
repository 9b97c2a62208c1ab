# Completion of `git-fleet` in bash 4.4 or newer, and of `git fleet` where git's own completion is loaded.
# git fleet completion bash >~/.local/share/bash-completion/completions/git-fleet

__git_fleet_complete() { # the words after `git fleet`, up to the cursor
    local kind value about
    COMPREPLY=()
    while IFS=$'\t' read -r kind value about; do
        case $kind in
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(_GIT_FLEET_COMPLETE=1 git-fleet "$@" 2>/dev/null)
}

_git_fleet() { # called by git's completion, with its own words
    local at=${__git_cmd_idx:-1}
    __git_fleet_complete "${words[@]:at+1:cword-at}"
}

_git_fleet_alone() {
    __git_fleet_complete "${COMP_WORDS[@]:1:COMP_CWORD}"
}

complete -o nosort -F _git_fleet_alone git-fleet
